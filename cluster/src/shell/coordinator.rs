//! The coordinator's process: binds, listens, and runs the one loop that owns the core.
//!
//! The loop takes what has arrived, hands it to `core::coordinator` input by input, performs the
//! effects in order, then says `Flush`: so a batch is what arrived while the last one was out.
//! What nodes say comes on a lane of its own, which clients cannot fill (R13).

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::event::{self, Body, Snapshot, Stamp, Subscribe, Subscribed};
use protocol::ids::Uuid;
use protocol::limits::Limits;
use protocol::peer::{Register, Registered};
use protocol::reply;
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::alarm::Alarm;
use super::budget::{Budget, FREE_REPLY_BYTES, Share};
use super::connection::{Reply, Shared};
use super::counters::Counters;
use super::feed::{self, Feed};
use super::hints::Hints;
use super::link::Link;
use super::outlet::Outlet;
use super::places::Places;
use super::subscribers::{Subscriber, Subscribers};
use super::{admin, clock, listener, registration, wall};
use crate::config::CoordinatorConfig;
use crate::core::cache::{Cache, CacheShape};
use crate::core::coordinator::{
    AdminOp, Answer, ClientId, ClientOp, Config, Coordinator, Effect, Input, Note, RegistrationId,
};
use crate::core::subscription::{COORDINATOR, Event as CoreEvent};
use crate::core::time::Time;
use crate::process::{self, Announcer, Orders};

/// Requests that may wait for the loop; then the connections wait.
const CLIENT_LANE: usize = 16_384;
/// Messages of nodes that may wait for the loop; then the links wait.
const PEER_LANE: usize = 4_096;
/// Inputs between two flushes at most.
const TURN_MAX: usize = 4_096;

/// Descriptors that are not connections: ports, log, clocks, those of libraries.
const OWN_DESCRIPTORS: usize = 64;
/// Descriptors for each node: link and registration, and the next ones while those end.
const NODE_DESCRIPTORS: usize = 4;
/// Nodes for which there are some, too, though the cluster is founded without them: those that are
/// added later must not be turned away since clients have taken all.
const LATER_NODES: usize = 16;

/// Named updates that are remembered (R16): at most some 800 MB.
const ONCE_ENTRIES_MAX: usize = 4_000_000;
/// Time between two comparisons of copies, milliseconds.
const COMPARE_EVERY_MS: u64 = 5_000;

/// What comes to the loop.
pub(super) enum Event {
    /// Something for the core.
    Core(Input),
    /// A client has connected; its answers go there.
    Client {
        /// Its number.
        conn: u64,
        /// Where its answers go.
        replies: mpsc::Sender<Reply>,
        /// Where the lines of its watches go.
        feed: Feed,
    },
    /// A client wants to be told events.
    Subscribe {
        /// Who, and which request of it.
        client: ClientId,
        /// What.
        wants: Box<Subscribe>,
        /// Where they go.
        subscriber: Arc<Subscriber>,
    },
    /// Somebody asks for what administrators may.
    Administer {
        /// Who, and which request of it.
        client: ClientId,
        /// What.
        op: AdminOp,
        /// How long it may take, milliseconds.
        timeout_ms: u64,
        /// The same as it is told.
        admin: Box<event::Admin>,
    },
    /// Somebody asked for that, and was refused.
    Refused(Box<event::Admin>),
    /// A dialled link is up.
    Linked {
        /// Its session.
        session: u64,
        /// Where messages to it go.
        outlet: Outlet,
    },
    /// A node announces itself.
    Register {
        /// Its connection.
        conn: RegistrationId,
        /// Who it is.
        register: Box<Register>,
        /// Where the answer goes; dropped when the connection is to end.
        answer: mpsc::Sender<Registered>,
    },
}

/// Runs a coordinator until it is stopped. What `orders` say of nodes is shown, and no more.
pub fn run_coordinator(config: CoordinatorConfig, orders: Option<Orders>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        // As a task, not as the root future: waking a task costs no system call.
        Ok(runtime) => runtime.block_on(async {
            tokio::spawn(run(config, orders))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        }),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the coordinator cannot run");
            eprintln!("piazza coordinator: {error}");
            ExitCode::from(5)
        }
    }
}

struct Driver {
    core: Coordinator,
    shared: Arc<Shared>,
    announcer: Announcer,
    events: mpsc::Sender<Event>,
    clients: HashMap<u64, (mpsc::Sender<Reply>, Feed)>,
    subscribers: Subscribers,
    administered: admin::Administered,
    alarm: Alarm,
    /// Links by session, and where their messages go once they are up.
    links: HashMap<u64, (Link, Option<Outlet>)>,
    registrations: HashMap<RegistrationId, mpsc::Sender<Registered>>,
    released: bool,
}

async fn run(config: CoordinatorConfig, orders: Option<Orders>) -> io::Result<()> {
    let announcer = Announcer::start()?;
    let named = |what: &str, addr| {
        let what = what.to_owned();
        move |error: io::Error| io::Error::new(error.kind(), format!("{what} {addr}: {error}"))
    };
    let clients = listener::bind(config.listen).map_err(named("client port", config.listen))?;
    let (peers, udp) = bind_peer_port(config.peer_listen).await?;
    let (client_addr, peer_addr) = (clients.local_addr()?, peers.local_addr()?);
    let shape = CacheShape { sets: config.cache.sets(), ways: config.cache.ways() as u16 };
    let seed = process::random_uuid()?.0 as u64;
    let cache = Arc::new(Cache::new(shape, config.cache_bytes, seed));
    let hints = Arc::new(Hints::default());
    orders.map(|orders| hints.follow(orders)).transpose()?;
    let (client_lane, mut from_clients) = mpsc::channel(CLIENT_LANE);
    let (peer_lane, mut from_peers) = mpsc::channel(PEER_LANE);
    let shared = Arc::new(Shared {
        cache: Arc::clone(&cache),
        lease_until: AtomicU64::new(0),
        budget: Budget::new(config.limits.clients_bytes),
        limits: fitting(&config.limits, process::raise_descriptor_limit()?, config.nodes),
        tokens: Arc::new(config.access.clone()),
        cluster: OnceLock::new(),
        counters: Counters::new(),
        supervisor: config.supervisor,
        hints,
        lab: config.lab,
        core: client_lane,
    });
    let core = Coordinator::new(core_config(&config, process::random_uuid()?), cache, clock::now());
    let mut driver = Driver {
        core,
        shared: Arc::clone(&shared),
        announcer: announcer.clone(),
        events: peer_lane.clone(),
        clients: HashMap::new(),
        subscribers: Subscribers::default(),
        administered: admin::Administered::default(),
        alarm: Alarm::new(),
        links: HashMap::new(),
        registrations: HashMap::new(),
        released: false,
    };
    tokio::spawn(listener::accept(clients, Arc::clone(&shared)));
    let secret = config.access.peer().cloned();
    tokio::spawn(registration::accept(peers, peer_lane.clone(), secret.clone()));
    tokio::spawn(registration::heartbeats(udp, peer_lane.clone(), secret));
    tokio::spawn(count_seconds(shared));
    tokio::spawn(stop_on_signal(peer_lane));
    tracing::info!(client = %client_addr, peer = %peer_addr, "coordinator listens");
    announcer.coordinator_listening(client_addr, peer_addr);
    while !driver.released {
        driver.turn(&mut from_peers, &mut from_clients).await;
    }
    tracing::info!("coordinator has stopped");
    Ok(())
}

/// Registration and heartbeats share one port number.
async fn bind_peer_port(
    addr: std::net::SocketAddr,
) -> io::Result<(tokio::net::TcpListener, UdpSocket)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    // A free TCP port whose UDP twin is taken is tried again when any port will do.
    for _ in 0..16 {
        let tcp = listener::bind(addr)
            .map_err(|error| io::Error::new(error.kind(), format!("peer port {addr}: {error}")))?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) => last = error,
        }
        if addr.port() != 0 {
            break;
        }
    }
    Err(io::Error::new(last.kind(), format!("heartbeat port {addr}: {last}")))
}

/// The limits, with no more connections than there are descriptors for.
fn fitting(wanted: &Limits, descriptors: u64, nodes: u16) -> Limits {
    let others = OWN_DESCRIPTORS + NODE_DESCRIPTORS * (usize::from(nodes) + LATER_NODES);
    let free = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(others);
    let mut limits = wanted.clone();
    let too_many = Places::most(&limits).saturating_sub(free);
    limits.connections = limits.connections.saturating_sub(too_many).max(1);
    if too_many > 0 {
        let connections = limits.connections;
        let text = format!(
            "the system allows this process {descriptors} open files, so at most {connections} \
             clients may connect instead of {}: allow more (ulimit -n)",
            wanted.connections
        );
        tracing::warn!("{text}");
        eprintln!("piazza coordinator: {text}");
    }
    limits
}

fn core_config(config: &CoordinatorConfig, cluster_if_founded: Uuid) -> Config {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        instance: config.instance,
        cluster_if_founded,
        name: COORDINATOR.to_owned(),
        nodes: config.nodes,
        replicas: config.replicas,
        tokens: config.tokens,
        placement: config.placement,
        heartbeat_ms: ms(config.heartbeat),
        lease_ms: ms(config.lease),
        reaped: config.reaped.clone(),
        once_entries_max: ONCE_ENTRIES_MAX,
        batches_out_max: 1,
        evict_after_ms: config.evict_after.into(),
        copy_bytes_per_s: config.copy_bytes_per_s,
        compare_every_ms: COMPARE_EVERY_MS,
        scrub_period_ms: config.scrub_period.into(),
        serial_updates: config.serial_updates,
    }
}

async fn count_seconds(shared: Arc<Shared>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        shared.counters.tick();
    }
}

async fn stop_on_signal(events: mpsc::Sender<Event>) {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals; stop this process with SIGKILL");
        return;
    };
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        let _ = events.send(Event::Core(Input::Stop)).await;
    }
}

impl Driver {
    /// Waits for something to happen and deals with all that has.
    async fn turn(
        &mut self,
        from_peers: &mut mpsc::Receiver<Event>,
        from_clients: &mut mpsc::Receiver<Event>,
    ) {
        let first = tokio::select! {
            biased;
            event = from_peers.recv() => event,
            event = from_clients.recv() => event,
            () = self.alarm.wait(Some(self.core.next_deadline())) => None,
        };
        // One reading of the clock a turn: what is taken in below has come by then, since the
        // tasks that it comes from run on this thread too.
        let now = clock::now();
        if let Some(event) = first {
            self.take(now, event);
        }
        for _ in 1..TURN_MAX {
            let Ok(event) = from_peers.try_recv().or_else(|_| from_clients.try_recv()) else {
                break;
            };
            self.take(now, event);
        }
        if self.core.next_deadline() <= now {
            self.hand_in(now, Input::Tick);
        }
        self.hand_in(now, Input::Flush);
    }

    fn take(&mut self, now: Time, event: Event) {
        match event {
            Event::Core(input) => {
                match input {
                    Input::ClientGone(conn) => {
                        self.clients.remove(&conn);
                        self.administered.gone(conn);
                        if self.subscribers.remove(conn) {
                            self.ask_for_events(now);
                        }
                    }
                    Input::Unregistered(conn) => {
                        self.registrations.remove(&conn);
                    }
                    _ => {}
                }
                self.hand_in(now, input);
            }
            Event::Linked { session, outlet } => {
                if let Some((_, place)) = self.links.get_mut(&session) {
                    *place = Some(outlet);
                    self.hand_in(now, Input::LinkUp { session });
                }
            }
            Event::Subscribe { client, wants, subscriber } => {
                self.subscribe(now, client, *wants, subscriber);
            }
            Event::Administer { client, op, timeout_ms, admin } => {
                self.administered.asks(client, *admin, op.dry_run);
                let op = ClientOp::Admin(op);
                self.hand_in(now, Input::Request { client, op, once: None, timeout_ms });
            }
            Event::Refused(admin) => {
                let admin = self.administered.recent.keep(*admin);
                self.tell(now, CoreEvent::plain(self.core.epoch(), Body::Admin(admin)));
            }
            Event::Client { conn, replies, feed } => {
                self.clients.insert(conn, (replies, feed));
            }
            Event::Register { conn, register, answer } => {
                self.registrations.insert(conn, answer);
                self.hand_in(now, Input::Register { conn, register });
            }
        }
    }

    fn hand_in(&mut self, now: Time, input: Input) {
        for effect in self.core.handle(now, input) {
            self.perform(now, effect);
        }
    }

    fn reply(&self, client: ClientId, answer: Answer) {
        // A connection has room for the answer to each request that it may have open.
        if let Some((replies, _)) = self.clients.get(&client.conn) {
            let (answer, share) = self.held(answer);
            let _ = replies.try_send(Reply { slot: client.slot, answer, share });
        }
    }

    /// The answer with its share of what clients may make us hold; without one it is refused, which
    /// only a read can be: an update's answer is short.
    fn held(&self, answer: Answer) -> (Answer, Option<Share>) {
        let Answer::Ok(tail) = &answer else { return (answer, None) };
        if tail.len() <= FREE_REPLY_BYTES {
            return (answer, None);
        }
        match self.shared.budget.take(tail.len()) {
            None => {
                let error = ErrorReply::overloaded("replies that nobody takes", 1_000);
                (Answer::Error(Box::new(error)), None)
            }
            share => (answer, share),
        }
    }

    /// Begins a subscription, or replaces the connection's; the snapshot follows the reply.
    fn subscribe(
        &mut self,
        now: Time,
        client: ClientId,
        wants: Subscribe,
        subscriber: Arc<Subscriber>,
    ) {
        let most = self.shared.limits.subscribers;
        let reply =
            Subscribed { topics: wants.topics.iter().collect(), max_per_s: wants.max_per_s };
        if !self.subscribers.add(client, wants, subscriber, most) {
            let error = ErrorReply::overloaded("subscribers", 1_000);
            self.reply(client, Answer::Error(Box::new(error)));
            return;
        }
        self.reply(client, Answer::Ok(reply::object_tail(&reply)));
        let snapshot = Body::Snapshot(self.snapshot(now));
        self.subscribers.restart(client.conn, &self.stamp(now), None, &snapshot);
        self.ask_for_events(now);
    }

    /// The core tells what somebody wants, and no more.
    fn ask_for_events(&mut self, now: Time) {
        let interest = Box::new(self.subscribers.interest());
        self.hand_in(now, Input::Interest(interest));
    }

    /// Tells an event to those who want it; who has lost too much begins anew.
    fn tell(&mut self, now: Time, mut event: CoreEvent) {
        if let Body::Stats(stats) = &mut event.body {
            stats.ops = self.shared.counters.status().total;
            stats.conns = self.clients.len() as u64;
            (stats.subscribers, stats.dropped) = self.subscribers.counts();
        }
        if let Body::MemberState(state) = &mut event.body {
            self.shared.hints.add_to_event(state);
        }
        let stamp = Stamp { epoch: event.epoch, ..self.stamp(now) };
        for (conn, lagged) in self.subscribers.offer(now, &stamp, &event) {
            let snapshot = Body::Snapshot(self.snapshot(now));
            self.subscribers.restart(conn, &stamp, Some(lagged), &snapshot);
        }
    }

    fn stamp(&self, now: Time) -> Stamp<'static> {
        let epoch = self.core.epoch();
        Stamp { source: COORDINATOR, epoch, at_us: now.0, wall_ms: wall::now_ms() }
    }

    fn snapshot(&self, now: Time) -> Snapshot {
        let mut status = self.core.status(now);
        self.shared.complete(&mut status);
        Snapshot {
            incidents_open: status.incidents.clone(),
            status: Box::new(status),
            txns_open: self.core.txns_open(now),
            transfers: self.core.transfers(now),
            admin_recent: self.administered.recent.all(),
        }
    }

    fn perform(&mut self, now: Time, effect: Effect) {
        match effect {
            Effect::Reply { client, mut answer } => {
                if let Answer::Explained(explained) = &mut answer {
                    explained.leaves(clock::now());
                }
                if let Some(admin) = self.administered.answers(client, &answer) {
                    self.tell(now, CoreEvent::plain(self.core.epoch(), Body::Admin(admin)));
                }
                self.reply(client, answer);
            }
            Effect::Watched { clients, line } => {
                let feed = |to: &ClientId| Some((to.slot, &self.clients.get(&to.conn)?.1));
                feed::tell(line, &self.shared.budget, clients.iter().filter_map(feed));
            }
            Effect::WatchLost(conn) => {
                if let Some((_, feed)) = self.clients.get(&conn) {
                    feed.lose();
                }
            }
            Effect::Registered { conn, answer } => {
                // Room for the one answer that there is; nobody waits where it has gone.
                if let Some(waiting) = self.registrations.get(&conn) {
                    let _ = waiting.try_send(answer);
                }
            }
            Effect::RegistrationOver(conn) => {
                self.registrations.remove(&conn);
            }
            Effect::Dial { session, addr } => {
                let secret = self.shared.tokens.peer().cloned();
                let link = Link::dial(session, addr, self.events.clone(), secret);
                self.links.insert(session, (link, None));
            }
            Effect::HangUp { session } => {
                self.links.remove(&session);
            }
            Effect::Send { session, down } => {
                let outlet = self.links.get(&session).and_then(|(_, outlet)| outlet.as_ref());
                if !outlet.is_some_and(|outlet| outlet.send(&*down)) {
                    self.links.remove(&session);
                    self.hand_in(now, Input::LinkLost { session, refused: false });
                }
            }
            Effect::Lease(until) => self.shared.lease_until.store(until.0, Ordering::Release),
            Effect::Note(note) => log(&note),
            Effect::Event(event) => self.tell(now, *event),
            Effect::Active { epoch, cluster } => {
                // It is founded once, so this is the same each time.
                let _ = self.shared.cluster.set(cluster);
                self.announcer.active(epoch, cluster);
            }
            Effect::WantNode => self.announcer.want_node(),
            Effect::NodeRemoved(node) => self.announcer.removed(node),
            Effect::Released => self.released = true,
        }
    }
}

fn log(note: &Note) {
    match note {
        Note::Member { node, state, reason } => {
            tracing::info!(%node, %state, reason, "node");
        }
        Note::Phase(phase, epoch) => tracing::info!(phase, %epoch, "coordinator"),
        Note::Resolved(id, commit) => tracing::info!(%id, commit, "left open before, decided"),
        Note::Space { node, full: true } => {
            tracing::error!("the disk of node {node} is full: updates of its keys are refused");
        }
        Note::Space { node, full: false } => {
            tracing::info!("node {node} has space on its disk again: updates are taken");
        }
        Note::Ring { number, what } => {
            tracing::info!(epoch = %number.epoch, counter = number.counter, "ring {what}");
        }
        Note::Change(what) => tracing::info!("{what}"),
        Note::Alarm(what) => tracing::error!("{what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_added_later_have_descriptors_too() {
        let limits = Limits::default();
        let few = fitting(&limits, 1_024, 3);
        let clients = Places::most(&few);
        assert!(few.connections > 1 && few.connections < limits.connections, "{few:?}");
        assert_eq!(clients + OWN_DESCRIPTORS + NODE_DESCRIPTORS * (3 + LATER_NODES), 1_024);
        assert_eq!(fitting(&limits, 1 << 20, 3), limits, "where there are many");
        assert_eq!(fitting(&limits, 10, 3).connections, 1, "never none");
    }
}
