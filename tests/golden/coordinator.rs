//! A coordinator of a script, and the clients that talk to it: the real core and cache, and around them
//! what the shell does.
//!
//! As in the shell, a `get` that the cache can answer is answered on the client's connection if the
//! lease holds after the value was read, unless the core has a request of the connection for that key;
//! answers go out in the order of the requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::core::cache::{Cache, CacheShape};
use cluster::core::coordinator::{
    Answer, ClientId, ClientOp, Config, Coordinator as Core, Effect, Input, Note,
};
use cluster::core::time::Time;
use protocol::ids::{Key, Uuid};
use protocol::peer::Registered;

use super::request::Request;
use super::words;
use super::world::{HEARTBEAT_MS, LEASE_MS, World};

/// No script comes near it.
const ONCE_ENTRIES_MAX: usize = 1_000;

/// A coordinator's process, dead or alive.
pub(super) struct Coordinator {
    core: Core,
    cache: Arc<Cache>,
    pub(super) alive: bool,
    pub(super) paused: bool,
    pub(super) phase: &'static str,
    lease_until: Time,
    /// What has come and was not taken in.
    pub(super) inbox: VecDeque<Input>,
    conns: BTreeMap<u64, Connection>,
    dirty: bool,
}

/// A client's connection, as the coordinator sees it.
struct Connection {
    client: String,
    slots: VecDeque<Slot>,
    first_slot: u64,
}

struct Slot {
    /// The keys of a request that the core has.
    keys: Vec<Key>,
    answer: Option<String>,
}

/// A client.
#[derive(Default)]
pub(super) struct Client {
    /// Its connections, by coordinator.
    conns: BTreeMap<usize, u64>,
    /// How many requests it has made.
    asked: usize,
    /// What it was told, in that order.
    pub(super) told: Vec<String>,
}

impl Client {
    /// The answer to its newest request, if it has all.
    pub(super) fn newest(&self) -> &str {
        let told = self.told.last().filter(|_| self.told.len() == self.asked);
        told.map_or("waiting", String::as_str)
    }
}

impl World {
    /// The coordinator that is meant where none is named: the newest that lives.
    pub(super) fn newest(&self) -> Result<usize, String> {
        let living = self.coordinators.iter().rposition(|coordinator| coordinator.alive);
        living.ok_or_else(|| "no coordinator runs".into())
    }

    /// Starts a coordinator, which knows that `reaped` have ended; all nodes register with it.
    pub(super) fn start_coordinator(&mut self, reaped: &[usize]) {
        let number = self.coordinators.len();
        let instance = |number: usize| Uuid(100 + number as u128);
        let config = Config {
            instance: instance(number),
            cluster_if_founded: Uuid(7),
            name: format!("c{}", number + 1),
            nodes: self.setting.nodes,
            replicas: self.setting.copies,
            tokens: 1,
            placement: self.setting.placement,
            serial_updates: self.setting.serial,
            heartbeat_ms: HEARTBEAT_MS,
            lease_ms: LEASE_MS,
            reaped: reaped.iter().map(|number| instance(*number)).collect(),
            once_entries_max: ONCE_ENTRIES_MAX,
            batches_out_max: self.setting.batches,
            evict_after_ms: self.setting.evict_after_ms,
            copy_bytes_per_s: 1 << 30,
            // No script is about it.
            compare_every_ms: 3_600_000,
            scrub_period_ms: None,
        };
        let (sets, ways) = self.setting.cache;
        let cache = Arc::new(Cache::new(CacheShape { sets, ways }, 1 << 20, 1));
        self.coordinators.push(Coordinator {
            core: Core::new(config, Arc::clone(&cache), self.time()),
            cache,
            alive: true,
            paused: false,
            phase: "gathering",
            lease_until: Time(0),
            inbox: VecDeque::new(),
            conns: BTreeMap::new(),
            dirty: false,
        });
        for node in 0..self.machines.len() {
            self.register(number, node);
        }
    }

    /// A coordinator's process ends.
    pub(super) fn crash_coordinator(&mut self, number: usize) -> Result<(), String> {
        let coordinator = &mut self.coordinators[number];
        if !coordinator.alive {
            return Err("it is dead".into());
        }
        coordinator.alive = false;
        coordinator.paused = false;
        coordinator.phase = "dead";
        coordinator.inbox.clear();
        for connection in std::mem::take(&mut coordinator.conns).into_values() {
            for _ in &connection.slots {
                self.event(format!("{}: the connection has ended", connection.client));
                self.told(&connection.client, "connection lost".into());
            }
        }
        for at in 0..self.wires.len() {
            if self.wires[at].coordinator == number && self.wires[at].coordinator_open {
                self.close_coordinator_end(at);
            }
        }
        Ok(())
    }

    /// A client is told the end of one of its requests.
    fn told(&mut self, client: &str, text: String) {
        let client = self.clients.get_mut(client).expect("it has asked");
        client.told.push(text);
    }

    /// Hands something to a coordinator's core and does what it wants done.
    pub(super) fn hand_in(&mut self, number: usize, input: Input) {
        let now = self.time();
        let coordinator = &mut self.coordinators[number];
        coordinator.dirty = true;
        let effects = coordinator.core.handle(now, input);
        for effect in effects {
            self.perform(number, effect);
        }
    }

    fn perform(&mut self, number: usize, effect: Effect) {
        let coordinator = &mut self.coordinators[number];
        let name = number + 1;
        match effect {
            Effect::Reply { client, answer } => self.fill_slot(number, client, &answer),
            Effect::Registered { answer: Registered::Refused { reason, .. }, .. } => {
                self.event(format!("c{name} turns it away: {reason}"));
            }
            Effect::Registered { .. } => {}
            Effect::RegistrationOver(conn) => self.register_again(number, conn),
            // No script watches.
            Effect::Watched { .. } | Effect::WatchLost(_) => {}
            Effect::Dial { session, addr } => self.dial(number, session, addr),
            Effect::HangUp { session } => {
                if let Some(wire) = self.wire_of_session(number, session) {
                    self.close_coordinator_end(wire);
                }
            }
            Effect::Send { session, down } => {
                if let Some(wire) = self.wire_of_session(number, session) {
                    self.send_down(wire, &down);
                }
            }
            Effect::Lease(until) => coordinator.lease_until = until,
            Effect::Event(event) => panic!("nobody has asked for {event:?}"),
            Effect::Note(note) => {
                if let Note::Phase(phase, _) = note {
                    coordinator.phase = phase;
                }
                self.event(format!("c{name}: {}", words::note(&note)));
            }
            // Machines are started and stopped by the script's own words.
            Effect::WantNode => self.event(format!("c{name} wants one more node")),
            Effect::NodeRemoved(node) => {
                self.event(format!("c{name}: {node} need not run any more"));
            }
            Effect::Active { .. } => {}
            Effect::Released => {
                self.event(format!("c{name}: stopped"));
                // Its last answers are on their way: nobody waits any more.
                let _ = self.crash_coordinator(number);
            }
        }
    }

    /// Coordinators take in what has come.
    pub(super) fn hear(&mut self) -> bool {
        let mut any = false;
        for number in 0..self.coordinators.len() {
            while !self.coordinators[number].paused
                && let Some(input) = self.coordinators[number].inbox.pop_front()
            {
                self.hand_in(number, input);
                any = true;
            }
        }
        any
    }

    pub(super) fn flush_coordinators(&mut self) -> bool {
        let mut any = self.hear();
        for number in 0..self.coordinators.len() {
            let coordinator = &mut self.coordinators[number];
            if coordinator.alive && !coordinator.paused && std::mem::take(&mut coordinator.dirty) {
                self.hand_in(number, Input::Flush);
                self.coordinators[number].dirty = false;
                any = true;
            }
        }
        any
    }

    /// When the first coordinator wants to be told that time has passed.
    pub(super) fn next_coordinator(&self) -> Option<u64> {
        let awake = self.coordinators.iter().filter(|c| c.alive && !c.paused);
        awake.map(|coordinator| coordinator.core.next_deadline().0).min()
    }

    pub(super) fn tick_coordinators(&mut self) {
        for number in 0..self.coordinators.len() {
            let coordinator = &self.coordinators[number];
            let awake = coordinator.alive && !coordinator.paused;
            if awake && coordinator.core.next_deadline() <= self.time() {
                self.hand_in(number, Input::Tick);
            }
        }
    }

    /// Whether all nodes are up, as a coordinator that serves sees it.
    pub(super) fn serves(&self) -> bool {
        let serving = |coordinator: &Coordinator| {
            let status = coordinator.core.status(self.time());
            let up =
                |node: &protocol::status::NodeStatus| node.state == protocol::status::NodeState::Up;
            coordinator.phase == "active" && status.nodes.iter().all(up)
        };
        self.coordinators.last().is_some_and(serving)
    }

    /// Requests of a client, on its connection to a coordinator.
    pub(super) fn ask(
        &mut self,
        name: &str,
        number: usize,
        requests: &[Request],
        timeout_ms: u64,
    ) -> Result<(), String> {
        if !self.coordinators[number].alive {
            return Err(format!("c{} is dead", number + 1));
        }
        let client = self.clients.entry(name.to_owned()).or_default();
        client.asked += requests.len();
        self.last_conn += 1;
        let conn = *client.conns.entry(number).or_insert(self.last_conn);
        for request in requests {
            self.event(format!("{name} -> c{}: {}", number + 1, request.text));
            self.request(name, number, conn, request, timeout_ms);
        }
        Ok(())
    }

    fn request(
        &mut self,
        name: &str,
        number: usize,
        conn: u64,
        request: &Request,
        timeout_ms: u64,
    ) {
        let now = self.time();
        let coordinator = &mut self.coordinators[number];
        let paused = coordinator.paused;
        let connection = coordinator.conns.entry(conn).or_insert_with(|| Connection {
            client: name.to_owned(),
            slots: VecDeque::new(),
            first_slot: 0,
        });
        let slot = connection.first_slot + connection.slots.len() as u64;
        let Request { op, keys, .. } = request;
        self.named.extend(keys.iter().cloned());
        let mut in_core = connection.slots.iter().filter(|slot| slot.answer.is_none());
        let own = in_core.any(|slot| slot.keys.iter().any(|key| keys.contains(key)));
        if let ClientOp::Get(key) = op
            && !own
            && !paused
            && let Some((_, tail)) = coordinator.cache.get(key.as_str())
            && now < coordinator.lease_until
        {
            let answer = words::answer(&Answer::Ok(tail)) + " (cache)";
            connection.slots.push_back(Slot { keys: Vec::new(), answer: Some(answer) });
            self.send_answers(number, conn);
            return;
        }
        connection.slots.push_back(Slot { keys: keys.clone(), answer: None });
        let (client, mut op) = (ClientId { conn, slot }, op.clone());
        if let ClientOp::Explain(explain) = &mut op {
            (explain.seen.began, explain.seen.parsed) = (now, now);
        }
        coordinator.inbox.push_back(Input::Request { client, op, once: None, timeout_ms });
    }

    fn fill_slot(&mut self, number: usize, client: ClientId, answer: &Answer) {
        let Some(connection) = self.coordinators[number].conns.get_mut(&client.conn) else {
            return;
        };
        let place = client.slot - connection.first_slot;
        let slot = connection.slots.get_mut(place as usize).expect("an answer has a slot");
        assert!(slot.answer.is_none(), "a request is answered once");
        slot.answer = Some(words::answer(answer));
        self.send_answers(number, client.conn);
    }

    /// Sends the answers that are next in line.
    fn send_answers(&mut self, number: usize, conn: u64) {
        while let Some(connection) = self.coordinators[number].conns.get_mut(&conn)
            && let Some(answer) = connection.slots.front_mut().and_then(|slot| slot.answer.take())
        {
            connection.slots.pop_front();
            connection.first_slot += 1;
            let client = connection.client.clone();
            self.event(format!("c{} -> {client}: {answer}", number + 1));
            self.told(&client, answer);
        }
    }
}
