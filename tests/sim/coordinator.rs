//! A simulated coordinator process: the real core and cache, and around them what the shell does.
//!
//! As in the shell, inputs are handed in one by one and a flush follows when nothing more has come
//! for a moment; a `get` that the cache can answer is answered on the client's connection, in its
//! turn, if the lease holds after the value was read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::core::cache::{Cache, CacheShape};
use cluster::core::coordinator::{
    Answer, ClientId, Config, Coordinator, Effect, Input, Note, RegistrationId,
};
use cluster::core::time::Time;
use protocol::ids::{Key, Uuid};
use protocol::peer::{Heartbeat, Register, Registered};
use protocol::reply::{self, WATCH_LOST_LINE};

use super::asked::{Asked, once_of};
use super::network::Way;
use super::plan::{HEARTBEAT_MS, LEASE_MS, MS};
use super::seen::Seen;
use super::world::{Clock, Event, Failure, World};

/// One coordinator, dead or alive.
pub(crate) struct Process {
    pub(crate) instance: Uuid,
    pub(crate) core: Coordinator,
    pub(crate) alive: bool,
    pub(crate) active: bool,
    /// When it last claimed an epoch.
    claimed_at: u64,
    /// Set while it stands still: what has come meanwhile.
    pub(crate) paused: Option<Vec<Event>>,
    /// Links by their session.
    pub(crate) links: BTreeMap<u64, u64>,
    /// Open registrations: whose.
    pub(crate) registrations: BTreeMap<u64, (usize, u64)>,
    pub(crate) conns: BTreeMap<u64, Connection>,
    cache: Arc<Cache>,
    lease_until: Time,
    clock: Clock,
    flushing: bool,
    /// The wake-up that was asked for.
    wake_at: u64,
    /// What its subscriber has been told; none: it has none.
    pub(crate) seen: Option<Seen>,
}

/// One client's connection, as the coordinator sees it.
pub(crate) struct Connection {
    pub(crate) client: usize,
    slots: VecDeque<Slot>,
    first_slot: u64,
    /// How many requests the core has, by key.
    in_core: BTreeMap<u64, u32>,
    /// When the last reply so far arrives.
    replies_at: u64,
    /// It watches, and was not told that this has ended.
    watches: bool,
    /// Lines of watches that wait for a reply, by the request that they answer to.
    lines: VecDeque<(u64, Vec<u8>)>,
}

struct Slot {
    op: usize,
    /// Its keys, while the core has it.
    keys: Vec<u64>,
    reply: Option<(bool, Vec<u8>)>,
}

impl Connection {
    pub(crate) fn new(client: usize) -> Self {
        let (slots, in_core) = (VecDeque::new(), BTreeMap::new());
        let (watches, lines) = (false, VecDeque::new());
        Self { client, slots, first_slot: 0, in_core, replies_at: 0, watches, lines }
    }
}

impl Process {
    /// What it says of itself.
    pub(crate) fn status(&self, now: u64) -> protocol::status::Status {
        self.core.status(self.clock.read(now))
    }

    /// Where its events go while it stands still.
    pub(crate) fn inbox_if_paused(&mut self) -> Option<&mut Vec<Event>> {
        self.paused.as_mut().filter(|_| self.alive)
    }
}

/// The key that clients know under a number.
pub(crate) fn key_of(number: u64) -> Key {
    Key::new(&format!("key-{number}")).expect("a short key")
}

impl World {
    /// The coordinator that the address leads to, if it is there.
    pub(crate) fn reachable(&self) -> Option<usize> {
        let last = self.coordinators.len().checked_sub(1)?;
        self.coordinators[last].alive.then_some(last)
    }

    /// Starts a coordinator, unless the address is taken.
    pub(crate) fn start_coordinator(&mut self) {
        if self.reachable().is_some_and(|c| self.coordinators[c].paused.is_none()) {
            return;
        }
        let number = self.coordinators.len();
        let instance = Uuid(u128::from(self.rng.bits()) << 64 | number as u128);
        // A supervisor tells only of processes that it has seen end.
        let told = self.rng.chance(60);
        let ended = self.coordinators.iter().filter(|process| !process.alive);
        let reaped = if told { ended.map(|p| p.instance).collect() } else { Vec::new() };
        let config = Config {
            instance,
            cluster_if_founded: Uuid(u128::from(self.rng.bits())),
            name: "coordinator".into(),
            nodes: self.plan.nodes,
            replicas: self.plan.replicas,
            tokens: self.plan.tokens,
            placement: self.plan.placement,
            serial_updates: self.plan.serial,
            heartbeat_ms: HEARTBEAT_MS,
            lease_ms: LEASE_MS,
            reaped,
            once_entries_max: self.plan.once_entries_max,
            batches_out_max: 1 + self.rng.below(2) as usize,
            evict_after_ms: self.plan.evict_after_ms,
            copy_bytes_per_s: *self.rng.one_of(&[2_000, 1 << 20]),
            compare_every_ms: 200,
            scrub_period_ms: Some(3_000),
        };
        let shape = CacheShape { sets: self.plan.cache_sets, ways: self.plan.cache_ways };
        let cache = Arc::new(Cache::new(shape, 1 << 20, self.rng.bits()));
        let clock = Clock::draw(&mut self.rng, self.plan.drift);
        let core = Coordinator::new(config, Arc::clone(&cache), clock.read(self.now));
        self.coordinators.push(Process {
            instance,
            core,
            alive: true,
            active: false,
            claimed_at: 0,
            paused: None,
            links: BTreeMap::new(),
            registrations: BTreeMap::new(),
            conns: BTreeMap::new(),
            cache,
            lease_until: Time(0),
            clock,
            flushing: false,
            wake_at: u64::MAX,
            seen: None,
        });
        self.subscribe(number);
        self.plan_wake(number);
    }

    /// Hands something to a coordinator's core and does what it wants done.
    pub(crate) fn hand_in(&mut self, coordinator: usize, input: Input) {
        let process = &mut self.coordinators[coordinator];
        let now = process.clock.read(self.now);
        let effects = process.core.handle(now, input);
        self.see(coordinator, &effects, false);
        let process = &mut self.coordinators[coordinator];
        let undecided = process.core.undecided();
        if self.plan.serial && undecided > 1 {
            self.fail(Failure::AtATime(undecided));
        }
        for effect in effects {
            self.effect(coordinator, effect);
        }
        let process = &mut self.coordinators[coordinator];
        if process.alive && !process.flushing {
            process.flushing = true;
            let wait = self.rng.below(300);
            self.after(wait, Event::Flush(coordinator));
        }
    }

    /// The same of what changes nothing but what is told.
    pub(crate) fn hand_in_quietly(&mut self, coordinator: usize, input: Input) {
        let process = &mut self.coordinators[coordinator];
        let effects = process.core.handle(process.clock.read(self.now), input);
        assert!(effects.is_empty(), "{effects:?}");
    }

    fn effect(&mut self, coordinator: usize, effect: Effect) {
        match effect {
            Effect::Reply { client, answer } => self.fill_slot(coordinator, client, answer),
            Effect::Watched { clients, line } => {
                for client in clients {
                    self.feed(coordinator, client.conn, client.slot, line.to_vec());
                }
            }
            Effect::WatchLost(conn) => {
                if let Some(connection) = self.coordinators[coordinator].conns.get_mut(&conn) {
                    connection.watches = false;
                }
                self.feed(coordinator, conn, 0, WATCH_LOST_LINE.to_vec());
            }
            Effect::Registered { conn, answer } => {
                self.answer_registration(coordinator, conn, &answer);
            }
            Effect::RegistrationOver(conn) => self.end_registration(coordinator, conn.0),
            Effect::Dial { session, addr } => self.dial(coordinator, session, addr),
            Effect::HangUp { session } => {
                let link = self.coordinators[coordinator].links.get(&session).copied();
                if let Some(number) = link {
                    self.close_at_coordinator(number);
                    self.tell_node_end(number);
                }
            }
            Effect::Send { session, down } => {
                match self.coordinators[coordinator].links.get(&session).copied() {
                    Some(number) => self.send_down(number, &down),
                    None => self.hand_in(coordinator, Input::LinkLost { session, refused: false }),
                }
            }
            Effect::Lease(until) => self.coordinators[coordinator].lease_until = until,
            Effect::Note(note) => self.on_note(coordinator, &note),
            Effect::Event(event) => {
                let asked = self.coordinators[coordinator].seen.is_some();
                assert!(asked, "nobody has asked for {event:?}");
            }
            Effect::Active { epoch, .. } => {
                let process = &mut self.coordinators[coordinator];
                process.active = true;
                if epoch.0 > 1 && self.now - process.claimed_at < LEASE_MS * MS {
                    self.coverage.met("waits skipped");
                }
                self.coverage.met("coordinators active");
                self.check_majority(epoch);
            }
            Effect::WantNode => self.start_spare(),
            Effect::NodeRemoved(node) => self.node_removed(&node),
            Effect::Released => self.released(coordinator),
        }
    }

    /// A line for a connection that watches, behind the answer to its request.
    fn feed(&mut self, coordinator: usize, conn: u64, slot: u64, line: Vec<u8>) {
        if let Some(connection) = self.coordinators[coordinator].conns.get_mut(&conn) {
            connection.lines.push_back((slot, line));
            self.send_replies(coordinator, conn);
        }
    }

    fn on_note(&mut self, coordinator: usize, note: &Note) {
        if self.shows() {
            eprintln!("{:>10}   coordinator {coordinator}: {note:?}", self.now);
        }
        match note {
            Note::Resolved(_, true) => self.coverage.met("recovered commits"),
            Note::Resolved(_, false) => self.coverage.met("recovered aborts"),
            Note::Alarm(what)
                if what.contains("'s store has lost data") && !self.may_be_lost(what) =>
            {
                self.fail(Failure::Refused(what.clone()));
            }
            Note::Alarm(what) => self.note_alarm(what),
            Note::Change(what) => self.note_change(what),
            Note::Space { full: true, .. } => self.coverage.met("full disks noticed"),
            Note::Phase("claiming", epoch) => {
                let process = &mut self.coordinators[coordinator];
                process.claimed_at = self.now;
                // What is done between two epochs it cannot tell.
                if let Some((conn, _)) = process.conns.iter().find(|(_, conn)| conn.watches) {
                    let text = format!("conn {conn} is not told that epoch {epoch} is another one");
                    self.fail(Failure::Watch(text));
                }
            }
            Note::Phase("deposed", _) => {
                self.coordinators[coordinator].active = false;
                self.coverage.met("coordinators deposed");
            }
            _ => {}
        }
    }

    /// It has stopped gracefully; a supervisor starts another one.
    fn released(&mut self, coordinator: usize) {
        self.coverage.met("coordinators released");
        self.end_coordinator(coordinator);
        let wait = self.rng.below(200) * MS;
        self.after(wait, Event::StartCoordinator);
    }

    /// Time has passed for a coordinator.
    pub(crate) fn wake(&mut self, coordinator: usize) {
        let process = &mut self.coordinators[coordinator];
        if process.wake_at > self.now {
            return;
        }
        process.wake_at = u64::MAX;
        // The flush ticks first, as the shell's turn does.
        self.flush(coordinator);
    }

    fn plan_wake(&mut self, coordinator: usize) {
        let process = &mut self.coordinators[coordinator];
        let at = process.clock.when(process.core.next_deadline()).max(self.now + 1);
        if process.alive && at < process.wake_at {
            process.wake_at = at;
            self.at(at, Event::Wake(coordinator));
        }
    }

    /// All that had arrived was handed in.
    pub(crate) fn flush(&mut self, coordinator: usize) {
        self.hand_in_flush(coordinator);
        self.plan_wake(coordinator);
    }

    fn hand_in_flush(&mut self, coordinator: usize) {
        let process = &mut self.coordinators[coordinator];
        // Kept set, so that the flush does not ask for another one.
        process.flushing = true;
        let now = process.clock.read(self.now);
        let mut effects = Vec::new();
        if process.core.next_deadline() <= now {
            effects = process.core.handle(now, Input::Tick);
        }
        effects.extend(process.core.handle(now, Input::Flush));
        self.see(coordinator, &effects, true);
        for effect in effects {
            self.effect(coordinator, effect);
        }
        self.coordinators[coordinator].flushing = false;
    }

    /// A registration arrives.
    pub(crate) fn on_register(
        &mut self,
        coordinator: usize,
        conn: u64,
        node: usize,
        life: u64,
        text: &str,
    ) {
        let register: Box<Register> = serde_json::from_str(text).expect("messages read back");
        self.coordinators[coordinator].registrations.insert(conn, (node, life));
        if !self.nodes[node].tampered.is_impostor(life) && !self.duplicates.contains(&conn) {
            self.note_life(coordinator, node, life);
        }
        self.hand_in(coordinator, Input::Register { conn: RegistrationId(conn), register });
        let gone = self.nodes[node].process.as_ref().is_none_or(|p| p.registration != Some(conn));
        if gone {
            // Its sender had ended before it arrived.
            let wait = self.delay();
            self.after(wait, Event::Unregistered(coordinator, conn));
        }
    }

    fn answer_registration(
        &mut self,
        coordinator: usize,
        conn: RegistrationId,
        answer: &Registered,
    ) {
        let registrations = &self.coordinators[coordinator].registrations;
        let Some((node, life)) = registrations.get(&conn.0).copied() else { return };
        if self.is_duplicates(conn.0, answer) {
            return;
        };
        let text = serde_json::to_string(answer).expect("messages serialize");
        let wait = self.passes(node, Way::Down) + self.delay();
        self.after(wait, Event::Registered { node, life, conn: conn.0, text });
    }

    /// A registration connection has ended.
    pub(crate) fn on_unregistered(&mut self, coordinator: usize, conn: u64) {
        if self.coordinators[coordinator].registrations.remove(&conn).is_some() {
            self.hand_in(coordinator, Input::Unregistered(RegistrationId(conn)));
        }
    }

    /// A heartbeat arrives.
    pub(crate) fn on_heartbeat(&mut self, coordinator: usize, text: &str) {
        let heartbeat: Box<Heartbeat> = serde_json::from_str(text).expect("messages read back");
        self.hand_in(coordinator, Input::Heartbeat(heartbeat));
    }

    /// A request arrives on a client's connection.
    pub(crate) fn on_request(&mut self, coordinator: usize, conn: u64, op: usize) {
        let process = &mut self.coordinators[coordinator];
        let asked = self.asked[op].clone();
        let now = process.clock.read(self.now);
        let Some(connection) = process.conns.get_mut(&conn) else { return };
        let slot = connection.first_slot + connection.slots.len() as u64;
        if let Asked::Get(number) = asked
            && !connection.in_core.contains_key(&number)
            && let Some((_, tail)) = process.cache.get(key_of(number).as_str())
            && now < process.lease_until
        {
            self.coverage.met("cache hits");
            let reply = Some((true, tail.to_vec()));
            connection.slots.push_back(Slot { op, keys: Vec::new(), reply });
            self.send_replies(coordinator, conn);
            return;
        }
        let keys = asked.keys();
        for number in &keys {
            *connection.in_core.entry(*number).or_default() += 1;
        }
        connection.slots.push_back(Slot { op, keys, reply: None });
        let once = self.tries[op].0.then(|| once_of(op));
        let op = asked.to_core();
        let (client, timeout_ms) = (ClientId { conn, slot }, self.plan.timeout_ms);
        self.hand_in(coordinator, Input::Request { client, op, once, timeout_ms });
    }

    /// A client has hung up.
    pub(crate) fn on_client_gone(&mut self, coordinator: usize, conn: u64) {
        if self.coordinators[coordinator].conns.remove(&conn).is_some() {
            self.hand_in(coordinator, Input::ClientGone(conn));
        }
    }

    fn fill_slot(&mut self, coordinator: usize, client: ClientId, answer: Answer) {
        let Some(connection) = self.coordinators[coordinator].conns.get_mut(&client.conn) else {
            return;
        };
        let place = client.slot - connection.first_slot;
        let slot = connection.slots.get_mut(place as usize).expect("an answer has a slot");
        assert!(slot.reply.is_none(), "a request is answered once");
        let watches = matches!(self.asked[slot.op], Asked::Watch);
        connection.watches |= watches && matches!(answer, Answer::Ok(_));
        let first = self.asked[slot.op].is_update() && self.tries[slot.op].1 == 1;
        let done = match &answer {
            Answer::Ok(tail) if first => Some(tail.to_vec()),
            _ => None,
        };
        slot.reply = Some(match answer {
            Answer::Ok(tail) => (true, tail.to_vec()),
            Answer::Error(error) => (false, reply::error_tail(&error).to_vec()),
            Answer::Status(_) | Answer::Explained(_) => return,
        });
        for key in std::mem::take(&mut slot.keys) {
            let count = connection.in_core.get_mut(&key).expect("it was counted");
            *count -= 1;
            if *count == 0 {
                connection.in_core.remove(&key);
            }
        }
        self.send_replies(coordinator, client.conn);
        if let Some(tail) = done {
            self.check_votes(coordinator, &tail);
        }
    }

    /// Sends the answers that are next in line.
    fn send_replies(&mut self, coordinator: usize, conn: u64) {
        let wait = self.delay();
        let Some(connection) = self.coordinators[coordinator].conns.get_mut(&conn) else { return };
        let mut at = connection.replies_at.max(self.now + wait);
        let client = connection.client;
        let mut replies = Vec::new();
        while connection.slots.front().is_some_and(|slot| slot.reply.is_some()) {
            let Some(Slot { op, reply: Some((ok, tail)), .. }) = connection.slots.pop_front()
            else {
                break;
            };
            connection.first_slot += 1;
            at += 1;
            let mut line = Vec::new();
            reply::write_reply(&mut line, None, ok, &tail);
            replies.push((at, Event::Reply { client, conn, op, line, ok }));
        }
        while connection.lines.front().is_some_and(|(slot, _)| *slot < connection.first_slot) {
            let Some((_, line)) = connection.lines.pop_front() else { break };
            at += 1;
            replies.push((at, Event::WatchLine { client, conn, line }));
        }
        connection.replies_at = at;
        for (at, event) in replies {
            self.at(at, event);
        }
    }
}
