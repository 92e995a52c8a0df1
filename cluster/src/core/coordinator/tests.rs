//! One or more coordinators and three nodes in memory, joined by queues that a test can hold.
//!
//! Logs and state files are durable at once unless a node is made slow; time moves only when a
//! test says so. Everything is in a fixed order, so every run is the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::error::ErrorCode;
use protocol::ids::{Epoch, GroupSeq, Incarnation, Key, MemberId, NodeName, Point, Uuid, Value};
use protocol::ids::{Once, RingNumber, Version};
use protocol::peer::TxnState;
use protocol::peer::{
    Down, DownBody, Fence, Greeting, Heartbeat, OnceEntry, OpenChanges, Placement, Refusal,
    Register, Registered, RingMember, RingRecord, Up,
};
use protocol::status::{NodeFigures, NodeState};

use super::super::cache::{Cache, CacheShape};
use super::super::node::{self, ConnId, ExitReason, Found, Meta, NodeCore, Restart, Scanned};
use super::super::record::{Committed, LogRecord};
use super::super::subscription::Event;
use super::super::time::Time;
use super::{
    Answer, ClientId, ClientOp, Config, Coordinator, Effect, Input, Note, Phase, RegistrationId,
    Update,
};

mod audit;
mod cache_events;
mod cancel;
mod carried;
mod census;
mod conditions;
mod events;
mod explain;
mod forged;
mod holes;
mod lease;
mod machine;
mod membership;
mod once;
mod progress;
mod reads;
mod recovery;
mod registration;
mod resume;
mod scan;
mod states;
mod txn_events;
mod updates;
mod watch;

use self::recovery::{Had, OLD, left_open, old_records};

const LEASE_MS: u64 = 2_000;
const HEARTBEAT_MS: u64 = 500;

/// A coordinator and what it has said.
struct Side {
    core: Coordinator,
    lease: Time,
    active: bool,
    released: bool,
    answers: BTreeMap<ClientId, Answer>,
    refusals: Vec<String>,
    /// What it began its side of sessions with, welcomes and links.
    greetings: Vec<Greeting>,
    /// What watching connections were told.
    lines: Vec<(u64, String)>,
    notes: Vec<Note>,
    events: Vec<Event>,
    /// How nodes are, by what was told; none: nobody asked.
    seen: Option<states::Seen>,
    /// How many nodes were asked for.
    wanted: u32,
    /// Nodes that were removed by order.
    removed: Vec<String>,
    /// Registrations that it ended.
    over: Vec<RegistrationId>,
    dead: bool,
}

/// A node, its disk and its lanes.
struct Machine {
    core: Option<NodeCore>,
    keys: BTreeMap<Key, Found>,
    /// Whose records are not what was written.
    rotten: BTreeSet<Key>,
    onces: BTreeMap<Version, OnceEntry>,
    /// Keys in a page at most.
    page_max: usize,
    /// Its keystore finds no space for a checkpoint.
    no_space: bool,
    /// What its heartbeats tell.
    figures: NodeFigures,
    log: Vec<(GroupSeq, Vec<LogRecord>)>,
    meta: Meta,
    beats: u64,
    /// Reports of the lanes that have not been handed in.
    done: VecDeque<node::Input>,
    looks: VecDeque<node::Input>,
    exit: Option<ExitReason>,
}

/// One connection between a coordinator and a node, and what is on its way.
struct Wire {
    side: usize,
    session: u64,
    node: usize,
    down: VecDeque<Down>,
    up: VecDeque<Up>,
}

struct World {
    now: Time,
    sides: Vec<Side>,
    nodes: Vec<Machine>,
    wires: BTreeMap<ConnId, Wire>,
    last_conn: u64,
    last_registration: u64,
    /// Nodes to which nothing is delivered, and from which nothing.
    deaf: BTreeSet<usize>,
    mute: BTreeSet<usize>,
    /// Nodes whose lanes do not get on.
    slow: BTreeSet<usize>,
    /// Nodes that send no heartbeats.
    silent: BTreeSet<usize>,
    /// Nodes that do not get on with looks into their keystore.
    stuck: BTreeSet<usize>,
    slots: u64,
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a short key")
}

fn config(instance: u128) -> Config {
    Config {
        instance: Uuid(instance),
        cluster_if_founded: Uuid(instance + 7_000),
        name: "coordinator".into(),
        nodes: 3,
        replicas: 2,
        tokens: 1,
        placement: Placement::Ring,
        serial_updates: false,
        heartbeat_ms: HEARTBEAT_MS,
        lease_ms: LEASE_MS,
        reaped: Vec::new(),
        once_entries_max: 1_000,
        batches_out_max: 1,
        evict_after_ms: None,
        copy_bytes_per_s: u64::MAX,
        compare_every_ms: 1_000,
        scrub_period_ms: None,
    }
}

/// The name of an update, and a hash that follows from what it puts.
fn name(name: &str, value: &str) -> Once {
    let request_hash = value.bytes().map(u64::from).sum();
    Once { name: format!("{name:-<16}").parse().expect("16 bytes"), request_hash }
}

fn code(answer: Option<&Answer>) -> Option<ErrorCode> {
    match answer {
        Some(Answer::Error(error)) => Some(error.code),
        _ => None,
    }
}

fn is_ok(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Ok(_)))
}

fn text(answer: Option<&Answer>) -> String {
    match answer {
        Some(Answer::Ok(tail)) => String::from_utf8_lossy(tail).into_owned(),
        other => format!("{other:?}"),
    }
}

impl World {
    fn blank() -> Self {
        Self {
            now: Time(1_000_000),
            sides: Vec::new(),
            nodes: (0..3).map(machine::blank).collect(),
            wires: BTreeMap::new(),
            last_conn: 0,
            last_registration: 0,
            deaf: BTreeSet::new(),
            mute: BTreeSet::new(),
            slow: BTreeSet::new(),
            silent: BTreeSet::new(),
            stuck: BTreeSet::new(),
            slots: 0,
        }
    }

    /// Three nodes and a coordinator that serves.
    fn founded() -> Self {
        let mut world = Self::blank();
        world.start(config(100));
        world.run();
        world.advance(20);
        assert!(world.sides[0].active, "founding needs no wait (R11)");
        assert_eq!(world.states(0), [NodeState::Up; 3]);
        world
    }

    /// Starts a coordinator, at which all nodes that run register.
    fn start(&mut self, config: Config) -> usize {
        let side = self.start_alone(config);
        for node in 0..self.nodes.len() {
            if self.nodes[node].core.is_some() {
                self.register(side, node);
            }
        }
        side
    }

    /// Starts a coordinator of which no node knows.
    fn start_alone(&mut self, config: Config) -> usize {
        let cache = Arc::new(Cache::new(CacheShape { sets: 16, ways: 4 }, 1 << 20, 1));
        let core = Coordinator::new(config, cache, self.now);
        self.sides.push(Side {
            core,
            lease: Time(0),
            active: false,
            released: false,
            answers: BTreeMap::new(),
            refusals: Vec::new(),
            greetings: Vec::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            events: Vec::new(),
            seen: None,
            wanted: 0,
            removed: Vec::new(),
            over: Vec::new(),
            dead: false,
        });
        self.sides.len() - 1
    }

    fn registration(&self, node: usize) -> Register {
        let meta = &self.nodes[node].meta;
        let port = 1_000 * (node as u16 + 1) + meta.incarnation.0 as u16;
        Register {
            greeting: Greeting::new(meta.ring.as_ref().map(|ring| ring.cluster)),
            name: meta.name.clone(),
            uuid: meta.store,
            incarnation: meta.incarnation,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            pid: 1,
            supervisor: None,
            durable: true,
            fence: meta.fence.epoch,
            ring: meta.ring.clone(),
        }
    }

    fn register(&mut self, side: usize, node: usize) {
        let register = self.registration(node);
        self.register_as(side, register);
    }

    fn register_as(&mut self, side: usize, register: Register) {
        self.last_registration += 1;
        let conn = RegistrationId(self.last_registration);
        self.tell(side, Input::Register { conn, register: Box::new(register) });
    }

    /// Hands something to a coordinator and does what it wants done.
    fn tell(&mut self, side: usize, input: Input) -> bool {
        if self.sides[side].dead {
            return false;
        }
        let effects = self.sides[side].core.handle(self.now, input);
        self.fold(side, &effects);
        let any = !effects.is_empty();
        for effect in effects {
            self.perform(side, effect);
        }
        any
    }

    fn perform(&mut self, side: usize, effect: Effect) {
        let now = self.now;
        let it = &mut self.sides[side];
        match effect {
            Effect::Reply { client, answer } => {
                let twice = it.answers.insert(client, answer).is_some();
                assert!(!twice, "{client:?} was answered twice");
            }
            Effect::Registered { answer: Registered::Refused { reason, later }, .. } => {
                let when = if later { " (for now)" } else { "" };
                it.refusals.push(format!("{reason}{when}"));
            }
            Effect::Registered { answer: Registered::Welcome(greeting), .. } => {
                it.greetings.push(greeting);
            }
            Effect::Watched { clients, line } => {
                let line = String::from_utf8_lossy(&line).into_owned();
                for client in clients {
                    assert!(it.answers.contains_key(&client), "told before it was answered");
                    it.lines.push((client.conn, line.clone()));
                }
            }
            Effect::WatchLost(conn) => it.lines.push((conn, "lost".into())),
            Effect::Lease(until) => it.lease = until,
            Effect::Note(note) => it.notes.push(note),
            Effect::Event(event) => it.events.push(*event),
            Effect::Active { .. } => it.active = true,
            Effect::Released => it.released = true,
            Effect::RegistrationOver(conn) => it.over.push(conn),
            Effect::WantNode => it.wanted += 1,
            Effect::NodeRemoved(node) => it.removed.push(node),
            Effect::Dial { session, addr } => self.dial(side, session, addr),
            Effect::HangUp { session } => {
                if let Some(conn) = self.conn(side, session) {
                    let wire = self.wires.remove(&conn).expect("it was found");
                    self.ask(wire.node, node::Input::Disconnected(conn));
                }
            }
            Effect::Send { session, down } => {
                if let DownBody::Open(open) = &down.body {
                    it.greetings.push(open.greeting.clone());
                }
                if let Some(conn) = self.conn(side, session) {
                    let wire = self.wires.get_mut(&conn).expect("it was found");
                    wire.down.push_back(*down);
                }
            }
        }
        assert!(self.sides[side].lease <= now.plus_ms(LEASE_MS), "a lease is no longer than that");
    }

    fn dial(&mut self, side: usize, session: u64, addr: SocketAddr) {
        let node = usize::from(addr.port() / 1_000) - 1;
        let there = self.nodes.get(node).is_some_and(|machine| {
            let port = machine.meta.incarnation.0 as u16 + 1_000 * (node as u16 + 1);
            machine.core.is_some() && port == addr.port()
        });
        if !there {
            self.tell(side, Input::LinkLost { session, refused: true });
            return;
        }
        self.last_conn += 1;
        let (down, up) = (VecDeque::new(), VecDeque::new());
        self.wires.insert(ConnId(self.last_conn), Wire { side, session, node, down, up });
        self.tell(side, Input::LinkUp { session });
    }

    fn conn(&self, side: usize, session: u64) -> Option<ConnId> {
        let found = self.wires.iter().find(|(_, w)| w.side == side && w.session == session);
        found.map(|(conn, _)| *conn)
    }

    /// A connection ends, as both ends see.
    fn cut(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.remove(&conn) else { return };
        self.ask(wire.node, node::Input::Disconnected(conn));
        self.tell(wire.side, Input::LinkLost { session: wire.session, refused: false });
    }

    /// A coordinator's process ends.
    fn kill(&mut self, side: usize) {
        self.sides[side].dead = true;
        let conns: Vec<ConnId> =
            self.wires.iter().filter(|(_, w)| w.side == side).map(|(c, _)| *c).collect();
        for conn in conns {
            self.cut(conn);
        }
    }

    /// Delivers all that may be delivered until nothing more comes of it.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut any = self.deliver();
            for node in 0..self.nodes.len() {
                any |= self.ask(node, node::Input::Flush);
            }
            for side in 0..self.sides.len() {
                any |= self.tell(side, Input::Flush);
            }
            if !any {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn deliver(&mut self) -> bool {
        let mut any = false;
        for conn in self.wires.keys().copied().collect::<Vec<_>>() {
            while let Some(wire) = self.wires.get_mut(&conn)
                && !self.deaf.contains(&wire.node)
                && let Some(down) = wire.down.pop_front()
            {
                let node = wire.node;
                self.ask(node, node::Input::Down { conn, down: Box::new(down) });
                any = true;
            }
            while let Some(wire) = self.wires.get_mut(&conn)
                && !self.mute.contains(&wire.node)
                && let Some(up) = wire.up.pop_front()
            {
                let (side, session) = (wire.side, wire.session);
                self.tell(side, Input::Up { session, up: Box::new(up) });
                any = true;
            }
        }
        for node in 0..self.nodes.len() {
            while !self.slow.contains(&node)
                && let Some(done) = self.nodes[node].done.pop_front()
            {
                self.ask(node, done);
                any = true;
            }
            while !self.stuck.contains(&node)
                && let Some(done) = self.nodes[node].looks.pop_front()
            {
                self.ask(node, done);
                any = true;
            }
        }
        any
    }

    /// Time passes, in steps of 10 ms, with heartbeats.
    fn advance(&mut self, ms: u64) {
        for step in 0..ms / 10 {
            self.now = self.now.plus_ms(10);
            for side in 0..self.sides.len() {
                self.tell(side, Input::Tick);
            }
            for node in 0..self.nodes.len() {
                self.ask(node, node::Input::Tick);
                if step % 10 == 0 && self.nodes[node].core.is_some() {
                    self.beat(node);
                }
            }
            self.run();
        }
    }

    fn request(&mut self, side: usize, conn: u64, op: ClientOp, timeout_ms: u64) -> ClientId {
        self.slots += 1;
        let client = ClientId { conn, slot: self.slots };
        self.tell(side, Input::Request { client, op, once: None, timeout_ms });
        client
    }

    /// A put with a name; the hash of its request follows from the value.
    fn put_once(&mut self, side: usize, conn: u64, at: &Key, value: &str, name: &str) -> ClientId {
        self.slots += 1;
        let client = ClientId { conn, slot: self.slots };
        let op = ClientOp::Update(Update::put(at.clone(), Value::from(value)));
        let once = Some(self::name(name, value));
        self.tell(side, Input::Request { client, op, once, timeout_ms: 5_000 });
        client
    }

    fn put(&mut self, conn: u64, at: &Key, value: &str) -> ClientId {
        self.request(0, conn, ClientOp::Update(Update::put(at.clone(), Value::from(value))), 5_000)
    }

    fn del(&mut self, conn: u64, at: &Key) -> ClientId {
        self.request(0, conn, ClientOp::Update(Update::del(at.clone(), None)), 5_000)
    }

    fn get(&mut self, conn: u64, at: &Key) -> ClientId {
        self.request(0, conn, ClientOp::Get(at.clone()), 5_000)
    }

    fn answer(&self, client: ClientId) -> Option<&Answer> {
        self.sides.iter().find_map(|side| side.answers.get(&client))
    }

    fn states(&self, side: usize) -> Vec<NodeState> {
        let mut nodes: Vec<_> =
            self.sides[side].core.nodes.iter().map(|n| (n.name.clone(), n.state)).collect();
        nodes.sort();
        nodes.into_iter().map(|(_, state)| state).collect()
    }

    /// The places of the nodes that hold a key.
    fn holders(&self, at: &Key) -> Vec<usize> {
        let ring = self.sides[0].core.ring.clone().expect("a ring is in force");
        ring.replicas_of(at).iter().map(|member| usize::from(member.0)).collect()
    }

    /// A key of the first two nodes.
    fn some_key(&self) -> Key {
        let keys = (0..1_000).map(|n| key(&format!("key-{n}")));
        let there = |key: &Key| {
            let mut holders = self.holders(key);
            holders.sort_unstable();
            holders == [0, 1]
        };
        keys.into_iter().find(there).expect("some key is there")
    }

    /// Another key of the same nodes.
    fn some_other_key(&self, not: &Key) -> Key {
        let keys = (0..1_000).map(|n| key(&format!("other-{n}")));
        let same = |key: &Key| key != not && self.holders(key) == self.holders(not);
        keys.into_iter().find(same).expect("some key is there")
    }

    fn value(&self, node: usize, at: &Key) -> Option<Value> {
        self.nodes[node].keys.get(at).and_then(|found| found.value.clone())
    }

    /// Forgets what coordinator and nodes have cached, as evictions do.
    fn forget(&self, at: &Key) {
        self.sides[0].core.cache.remove(at.as_str());
        let nodes = self.nodes.iter().filter_map(|node| node.core.as_ref());
        nodes.for_each(|core| core.cache().remove(at.as_str()));
    }

    /// Says something as a node would, on its present link.
    fn say(&mut self, node: usize, change: impl FnOnce(&mut Up)) {
        let place = self.sides[0].core.by_member[&MemberId(node as u16)];
        let session = self.sides[0].core.nodes[place].link.session;
        let machine = &self.nodes[node];
        let epoch = self.sides[0].core.epoch;
        let end = machine.log.last().map_or(GroupSeq(0), |(seq, _)| *seq);
        let mut up = Up { session, epoch, end, ..Up::default() };
        change(&mut up);
        // One of these numbers is the one that is due; time tells which was taken.
        for n in 1..1_000 {
            self.now = self.now.plus_us(1);
            let up = Box::new(Up { n, ..up.clone() });
            self.tell(0, Input::Up { session, up });
            let node = &self.sides[0].core.nodes[place];
            let ended = node.link.session != session || self.sides[0].released;
            if node.last_heard == self.now || ended {
                return;
            }
        }
        panic!("no number was due");
    }

    /// The id that the next update of the first coordinator will have.
    fn next_id(&self) -> Version {
        let core = &self.sides[0].core;
        Version::new(core.epoch, core.counter + 1)
    }
}

#[test]
fn three_blank_nodes_found_a_cluster_and_serve() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)), "{:?}", world.answer(put));
    let get = world.get(2, &at);
    assert!(text(world.answer(get)).contains("v1"));
    world.advance(200);
    for node in world.holders(&at) {
        assert_eq!(world.value(node, &at), Some(Value::from("v1")));
    }
}

#[test]
fn h43_the_first_thing_heard_after_a_pause_makes_nobody_suspect() {
    let mut world = World::founded();
    world.advance(1_000);
    world.now = world.now.plus_ms(10_000);
    world.beat(0);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    let at = world.some_key();
    world.mute.insert(0);
    world.put(1, &at, "v");
    world.run();
    world.now = world.now.plus_ms(10_000);
    world.tell(0, Input::Tick);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    world.advance(1_400);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    world.advance(200);
    assert_ne!(world.states(0)[0], NodeState::Up, "it owes an answer");
}

/// A coordinator that knows that the first one is dead.
fn successor(instance: u128) -> Config {
    Config { reaped: vec![Uuid(100)], ..config(instance) }
}
