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
    Down, DownBody, Fence, Heartbeat, OnceEntry, PEER_PROTOCOL, Placement, Refusal, Register,
    Registered, RingMember, RingRecord, Up,
};
use protocol::status::{CacheStatus, NodeState};

use super::super::cache::{Cache, CacheShape};
use super::super::node::{self, ConnId, ExitReason, Found, Meta, NodeCore, Restart, Scanned};
use super::super::record::{Committed, LogRecord};
use super::super::ring::point_of;
use super::super::subscription::Event;
use super::super::time::Time;
use super::{
    Answer, ClientId, ClientOp, Config, Coordinator, Effect, Input, Note, Phase, RegistrationId,
    Update,
};

mod conditions;
mod events;
mod holes;
mod once;
mod registration;
mod scan;
mod txn_events;
mod watch;

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
    /// What watching connections were told.
    lines: Vec<(u64, String)>,
    notes: Vec<Note>,
    events: Vec<Event>,
    dead: bool,
}

/// A node, its disk and its lanes.
struct Machine {
    core: Option<NodeCore>,
    keys: BTreeMap<Key, Found>,
    onces: BTreeMap<Version, OnceEntry>,
    /// Keys in a page at most.
    page_max: usize,
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
        heartbeat_ms: HEARTBEAT_MS,
        lease_ms: LEASE_MS,
        reaped: Vec::new(),
        once_entries_max: 1_000,
        batches_out_max: 1,
    }
}

/// An empty cache of a node, small enough that keys push each other out.
fn node_cache() -> Arc<Cache> {
    Arc::new(Cache::new(CacheShape { sets: 2, ways: 1 }, 1 << 20, 1))
}

fn blank(node: usize) -> Machine {
    let meta = Meta {
        store: Uuid(node as u128 + 1),
        name: NodeName::new(&format!("n{}", node + 1)).expect("a short name"),
        incarnation: Incarnation(1),
        fence: Fence::default(),
        ring: None,
        cut_through: Epoch(0),
    };
    let restart = Restart::new(meta.clone(), GroupSeq(0), 1 << 30, node_cache());
    let (core, _) = restart.finish(Time(0), GroupSeq(0));
    Machine {
        core: Some(core),
        keys: BTreeMap::new(),
        onces: BTreeMap::new(),
        page_max: 3,
        log: Vec::new(),
        meta,
        beats: 0,
        done: VecDeque::new(),
        looks: VecDeque::new(),
        exit: None,
    }
}

impl Machine {
    fn apply_once(&mut self, write: &Committed) {
        if let Some(once) = write.once.clone() {
            let (version, point) = (write.version, point_of(&write.write.key));
            self.onces.insert(version, OnceEntry { version, point, once });
        }
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
            nodes: (0..3).map(blank).collect(),
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
            lines: Vec::new(),
            notes: Vec::new(),
            events: Vec::new(),
            dead: false,
        });
        self.sides.len() - 1
    }

    fn registration(&self, node: usize) -> Register {
        let meta = &self.nodes[node].meta;
        let port = 1_000 * (node as u16 + 1) + meta.incarnation.0 as u16;
        Register {
            protocol: PEER_PROTOCOL,
            version: "0".into(),
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
            Effect::Registered { answer: Registered::Refused { reason }, .. } => {
                it.refusals.push(reason);
            }
            Effect::Registered { .. } => {}
            Effect::Watched { client, line } => {
                assert!(it.answers.contains_key(&client), "told before it was answered");
                let line = String::from_utf8_lossy(&line).into_owned();
                it.lines.push((client.conn, line));
            }
            Effect::WatchLost(conn) => it.lines.push((conn, "lost".into())),
            Effect::Lease(until) => it.lease = until,
            Effect::Note(note) => it.notes.push(note),
            Effect::Event(event) => it.events.push(*event),
            Effect::Active { .. } => it.active = true,
            Effect::Released => it.released = true,
            Effect::Dial { session, addr } => self.dial(side, session, addr),
            Effect::HangUp { session } => {
                if let Some(conn) = self.conn(side, session) {
                    let wire = self.wires.remove(&conn).expect("it was found");
                    self.ask(wire.node, node::Input::Disconnected(conn));
                }
            }
            Effect::Send { session, down } => {
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

    /// Hands something to a node and does what it wants done.
    fn ask(&mut self, node: usize, input: node::Input) -> bool {
        let Some(core) = self.nodes[node].core.as_mut() else { return false };
        let effects = core.handle(self.now, input);
        let any = !effects.is_empty();
        for effect in effects {
            self.perform_node(node, effect);
        }
        any
    }

    fn perform_node(&mut self, node: usize, effect: node::Effect) {
        let machine = &mut self.nodes[node];
        match effect {
            node::Effect::Send { conn, up } => {
                if let Some(wire) = self.wires.get_mut(&conn) {
                    wire.up.push_back(*up);
                }
            }
            node::Effect::Close(conn) => self.cut(conn),
            node::Effect::SaveMeta { meta, number } => {
                machine.meta = *meta;
                machine.done.push_back(node::Input::MetaSaved(number));
            }
            node::Effect::Log { seq, records } => {
                machine.log.push((seq, records));
                if machine.core.as_ref().is_some_and(NodeCore::is_timed) {
                    machine.done.push_back(node::Input::Took { append_us: 3, sync_us: 7 });
                }
                machine.done.push_back(node::Input::Synced(seq));
            }
            node::Effect::Apply { writes, .. } => {
                for write in writes {
                    machine.apply_once(&write);
                    let found = Found { version: write.version, value: write.write.value };
                    let old = machine.keys.entry(write.write.key).or_insert_with(|| found.clone());
                    if found.version > old.version {
                        *old = found;
                    }
                }
            }
            node::Effect::Read { token, key } => {
                let nothing = Found { version: Version::ZERO, value: None };
                let found = machine.keys.get(&key).cloned().unwrap_or(nothing);
                machine.looks.push_back(node::Input::ReadDone { token, found });
            }
            node::Effect::ReadOnces { token, after, limit } => {
                let later = machine.onces.range(Version::from_number(after.number() + 1)..);
                let entries = later.take(limit).map(|(_, entry)| entry.clone()).collect();
                machine.looks.push_back(node::Input::OncesRead { token, entries });
            }
            node::Effect::Scan { token, prefix, after, looks_max, .. } => {
                let wanted = |(key, _): &(&Key, &Found)| {
                    key.as_str().starts_with(&*prefix) && Some(*key) > after.as_ref()
                };
                let all: Vec<_> = machine.keys.iter().filter(wanted).collect();
                let (mut page, mut through) = (Vec::new(), None);
                for (key, found) in all.iter().take(looks_max.min(machine.page_max)) {
                    let (key, version) = ((*key).clone(), found.version);
                    through = Some(key.clone());
                    page.extend(found.value.clone().map(|value| Scanned { key, version, value }));
                }
                let through = through.filter(|_| all.len() > machine.page_max);
                machine.looks.push_back(node::Input::Scanned { token, page, through });
            }
            node::Effect::DropOnces(from) => machine.onces = machine.onces.split_off(&from),
            node::Effect::Exit(reason) => {
                machine.exit = Some(reason);
                self.crash(node);
            }
            node::Effect::Checkpoint { .. }
            | node::Effect::FreeLog { .. }
            | node::Effect::WantRoom { .. }
            | node::Effect::Ranges(_)
            | node::Effect::CaughtUp => {}
        }
    }

    /// A connection ends, as both ends see.
    fn cut(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.remove(&conn) else { return };
        self.ask(wire.node, node::Input::Disconnected(conn));
        self.tell(wire.side, Input::LinkLost { session: wire.session, refused: false });
    }

    /// A node's process ends; what was logged stays, unless its lanes were held.
    fn crash(&mut self, node: usize) {
        self.nodes[node].core = None;
        self.nodes[node].done.clear();
        self.nodes[node].looks.clear();
        let conns: Vec<ConnId> =
            self.wires.iter().filter(|(_, w)| w.node == node).map(|(c, _)| *c).collect();
        for conn in conns {
            self.cut(conn);
        }
    }

    /// A node's directory is started again; `groups` of its log are left.
    fn restart_with(&mut self, node: usize, groups: usize) {
        let machine = &mut self.nodes[node];
        machine.log.truncate(groups);
        machine.meta.incarnation.0 += 1;
        let mut restart = Restart::new(machine.meta.clone(), GroupSeq(0), 1 << 30, node_cache());
        let mut apply = Vec::new();
        for (seq, records) in machine.log.clone() {
            for record in records {
                restart.replay(seq, record, &mut apply);
            }
        }
        let end = machine.log.last().map_or(GroupSeq(0), |(seq, _)| *seq);
        let (core, _) = restart.finish(self.now, end);
        machine.core = Some(core);
        machine.beats = 0;
        for side in 0..self.sides.len() {
            self.register(side, node);
        }
    }

    fn restart(&mut self, node: usize) {
        self.restart_with(node, usize::MAX);
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

    fn heartbeat(&self, node: usize) -> Heartbeat {
        let meta = &self.nodes[node].meta;
        Heartbeat {
            cluster: meta.ring.as_ref().map(|ring| ring.cluster),
            uuid: meta.store,
            incarnation: meta.incarnation,
            seq: self.nodes[node].beats,
            interval_ms: HEARTBEAT_MS,
            uptime_ms: 0,
            fsync_us: 0,
            undecided: 0,
            undecided_oldest_ms: 0,
            keys_primary: 0,
            keys_replica: 0,
            log_bytes: 0,
            reads: 0,
            writes: 0,
            cache: CacheStatus::default(),
            rss_bytes: 0,
            cpu_us: 0,
        }
    }

    fn beat(&mut self, node: usize) {
        if self.silent.contains(&node) {
            return;
        }
        self.nodes[node].beats += 1;
        let heartbeat = self.heartbeat(node);
        for side in 0..self.sides.len() {
            self.tell(side, Input::Heartbeat(Box::new(heartbeat.clone())));
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
        let mut up = Up {
            session,
            n: 10_000,
            epoch: self.sides[0].core.epoch,
            ack: 0,
            durable: 0,
            end: machine.log.last().map_or(GroupSeq(0), |(seq, _)| *seq),
            yes: Vec::new(),
            timed: Vec::new(),
            no: Vec::new(),
            read: Vec::new(),
            once: Vec::new(),
            scan: Vec::new(),
            report: None,
            fenced: None,
            installed: None,
            marked: false,
            caught_up: false,
            full: false,
        };
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

/// A ring of the three nodes, as a record.
fn record() -> RingRecord {
    let member = |id: u16| RingMember {
        id: MemberId(id),
        uuid: Uuid(u128::from(id) + 1),
        name: NodeName::new(&format!("n{}", id + 1)).expect("a short name"),
        points: vec![Point(u64::from(id) << 40)],
    };
    RingRecord {
        number: RingNumber { epoch: Epoch(1), counter: 0 },
        cluster: Uuid(7_100),
        replicas: 2,
        tokens: 1,
        placement: Placement::Ring,
        members: (0..3).map(member).collect(),
    }
}

#[test]
fn a_registration_with_a_record_that_is_no_ring_is_refused() {
    let spoil: [fn(&mut RingRecord); 6] = [
        |ring| ring.members.clear(),
        |ring| ring.replicas = 0,
        |ring| ring.members[1].points = ring.members[0].points.clone(),
        |ring| ring.members.iter_mut().for_each(|member| member.points.clear()),
        |ring| ring.members[2].uuid = ring.members[1].uuid,
        |ring| ring.number.epoch = Epoch(u32::MAX),
    ];
    for spoil in spoil {
        let mut world = World::blank();
        world.start_alone(config(100));
        let mut ring = record();
        spoil(&mut ring);
        let register = Register { ring: Some(ring), ..world.registration(0) };
        world.register_as(0, register);
        assert_eq!(world.sides[0].refusals.len(), 1);
        for node in 0..3 {
            world.register(0, node);
        }
        world.run();
        world.advance(20);
        assert!(world.sides[0].active, "the stranger has changed nothing");
    }
}

#[test]
fn a_fence_that_is_no_epoch_is_refused_and_does_not_end_the_cluster() {
    let mut world = World::blank();
    world.start_alone(config(100));
    let register = Register { fence: Epoch(u32::MAX), ..world.registration(0) };
    world.register_as(0, register);
    assert_eq!(world.sides[0].refusals.len(), 1);
    let mut world = World::founded();
    world.say(0, |up| up.fenced = Some(Epoch(u32::MAX)));
    world.advance(1_000);
    assert_eq!(world.sides[0].core.phase, Phase::Active);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
}

#[test]
fn a_vote_that_is_no_counter_ends_the_session_only() {
    let mut world = World::founded();
    world.say(0, |up| up.yes = vec![u64::MAX]);
    world.advance(1_000);
    world.say(1, |up| up.no = vec![Refusal { c: u64::MAX, reason: "no".into() }]);
    world.advance(1_000);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
}

#[test]
fn r4_a_vote_of_a_node_that_is_no_participant_does_not_count() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    world.mute.extend([0, 1]);
    let put = world.put(1, &at, "v");
    world.run();
    world.say(2, |up| up.yes = vec![id.counter()]);
    world.say(0, |up| up.yes = vec![id.counter()]);
    world.tell(0, Input::Flush);
    assert!(world.answer(put).is_none());
    world.say(2, |up| up.no = vec![Refusal { c: id.counter(), reason: "no".into() }]);
    world.say(1, |up| up.yes = vec![id.counter()]);
    world.tell(0, Input::Flush);
    assert!(is_ok(world.answer(put)), "{:?}", world.answer(put));
}

#[test]
fn a_forged_heartbeat_does_not_break_status() {
    let mut world = World::founded();
    for node in 0..3 {
        let heartbeat = Heartbeat { seq: 1 << 40, keys_primary: u64::MAX, ..world.heartbeat(node) };
        world.tell(0, Input::Heartbeat(Box::new(heartbeat)));
    }
    world.sides[0].core.status(world.now);
}

#[test]
fn h30_a_stop_tells_nothing_that_the_lease_no_longer_covers() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.extend([0, 1, 2]);
    world.del(2, &at);
    let waiting = world.del(1, &at);
    let get = world.get(1, &at);
    // The process stands still; somebody else serves meanwhile.
    world.now = world.now.plus_ms(30_000);
    world.tell(0, Input::Stop);
    assert_eq!(code(world.answer(waiting)), Some(ErrorCode::Overloaded));
    assert!(!is_ok(world.answer(get)), "{:?}", world.answer(get));
}

#[test]
fn a_coordinator_that_is_deposed_while_it_stops_has_stopped() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.extend([0, 1]);
    let put = world.put(1, &at, "v1");
    world.run();
    world.tell(0, Input::Stop);
    assert!(!world.sides[0].released, "an answer is still owed");
    world.say(2, |up| up.fenced = Some(Epoch(9)));
    assert!(world.sides[0].released);
    assert_eq!(world.sides[0].core.phase, Phase::Stopped);
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
}

/// H15: a vote that was in when its node began a new life.
#[test]
fn r4_a_vote_of_an_incarnation_that_is_over_does_not_count() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.insert(1);
    let put = world.put(1, &at, "v1");
    world.run();
    world.crash(0);
    world.deaf.insert(0);
    world.restart(0);
    world.advance(100);
    world.mute.remove(&1);
    world.run();
    assert!(world.answer(put).is_none(), "node 0 has not shown yet what it still has");
    world.deaf.remove(&0);
    world.run();
    assert!(is_ok(world.answer(put)));
}

#[test]
fn reads_of_one_connection_and_key_are_answered_from_one_time_to_the_next() {
    let mut world = World::founded();
    let at = world.some_key();
    let holders = world.holders(&at);
    world.put(1, &at, "v1");
    world.run();
    world.forget(&at);
    world.stuck.insert(holders[0]);
    let first = world.get(1, &at);
    world.run();
    world.put(2, &at, "v2");
    world.run();
    let second = world.get(1, &at);
    world.put(2, &at, "v3");
    world.run();
    world.crash(holders[0]);
    world.run();
    assert!(text(world.answer(first)).contains("v3"));
    assert!(text(world.answer(second)).contains("v3"), "{}", text(world.answer(second)));
}

#[test]
fn a_get_goes_on_with_the_last_decided_value_when_its_own_put_is_unknown() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    let put =
        world.request(0, 1, ClientOp::Update(Update::put(at.clone(), Value::from("v2"))), 200);
    let get = world.get(1, &at);
    world.advance(100);
    assert!(world.answer(get).is_none(), "program order");
    world.advance(150);
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
    assert!(text(world.answer(get)).contains("v1"), "{:?}", world.answer(get));
}

#[test]
fn r11_a_promise_that_nobody_told_of_may_have_been_to_somebody_alive() {
    let mut world = World::founded();
    world.tell(0, Input::Stop);
    world.run();
    assert!(world.sides[0].released);
    world.kill(0);
    // The second one never reaches node 1, and serves with the other two.
    world.deaf.insert(1);
    let second = world.start(config(101));
    world.run();
    world.advance(2_100);
    assert!(world.sides[second].active);
    world.sides[second].dead = true;
    for wire in world.wires.values_mut().filter(|wire| wire.node == 1) {
        wire.down.clear();
    }
    // The third claims of nodes 0 and 1; node 0's first report is lost on its way.
    world.deaf = BTreeSet::from([2]);
    world.mute.insert(0);
    let third = world.start(config(102));
    world.run();
    let lost = world.wires.iter().find(|(_, w)| w.side == third && w.node == 0);
    let lost = *lost.expect("it has dialled").0;
    world.cut(lost);
    world.mute.clear();
    world.advance(500);
    assert!(!world.sides[third].active, "the second one may hold a lease");
    world.advance(2_000);
    assert!(world.sides[third].active);
}

#[test]
fn a_member_is_not_turned_away_because_strangers_came_first() {
    let mut world = World::founded();
    world.kill(0);
    let side = world.start_alone(config(101));
    // One of another name, and one from a directory that was made anew under a member's.
    for (name, uuid, port) in [("n9", 99, 9_001), ("n1", 98, 9_002)] {
        let name = NodeName::new(name).expect("a short name");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let uuid = Uuid(uuid);
        let register = Register { name, uuid, addr, ring: None, ..world.registration(0) };
        world.register_as(side, register);
    }
    // The member of that name comes when the ring is known already.
    for node in [1, 2, 0] {
        world.register(side, node);
        world.run();
    }
    assert_eq!(world.sides[side].refusals, Vec::<String>::new());
    world.advance(3_000);
    assert!(world.sides[side].active);
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

#[test]
fn aborted_updates_are_counted() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    // Node 0 has lost the value; the second update is conditional on it.
    world.advance(100);
    world.nodes[0].keys.clear();
    let del = world.del(1, &at);
    world.run();
    assert_eq!(code(world.answer(del)), Some(ErrorCode::Aborted));
    assert_eq!(world.sides[0].core.status(world.now).txns["aborted"], 1);
}

/// A coordinator that knows that the first one is dead.
fn successor(instance: u128) -> Config {
    Config { reaped: vec![Uuid(100)], ..config(instance) }
}

#[test]
fn an_update_is_refused_at_once_where_a_replica_is_silent_and_waits_where_it_was_handed_over() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.mute.insert(0);
    let id = world.next_id();
    let sent = world.put(1, &at, "v2");
    let gone = world.request(0, 9, ClientOp::Update(Update::del(at.clone(), None)), 5_000);
    let queued = world.del(2, &at);
    world.run();
    assert!(world.answer(queued).is_none(), "it rests on one that is not decided (H20)");
    let conn = *world.wires.iter().find(|(_, w)| w.node == 0).expect("a link").0;
    world.deaf.insert(0);
    world.cut(conn);
    assert_eq!(code(world.answer(queued)), Some(ErrorCode::ReplicaDown), "queued");
    let new = world.put(3, &at, "v3");
    assert_eq!(code(world.answer(new)), Some(ErrorCode::ReplicaDown), "new");
    world.advance(4_900);
    assert!(world.answer(sent).is_none() && world.answer(gone).is_none());
    world.advance(200);
    for client in [sent, gone] {
        assert_eq!(code(world.answer(client)), Some(ErrorCode::UnknownOutcome));
    }
    assert!(format!("{:?}", world.answer(sent)).contains(&id.to_string()), "names the version");
    // Reads go on with what is decided.
    let get = world.get(4, &at);
    world.run();
    assert!(text(world.answer(get)).contains("v1"));
    // The transactions do not end with their clients' patience.
    world.deaf.clear();
    world.mute.clear();
    world.advance(1_000);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    let get = world.get(4, &at);
    world.run();
    assert_eq!(code(world.answer(get)), Some(ErrorCode::NotFound), "put and delete are there");
    assert_eq!(world.value(0, &at), None);
}

#[test]
fn h20_a_negative_answer_waits_for_the_write_before_it_and_is_given_anew_after_an_abort() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.advance(50);
    world.mute.extend([0, 1]);
    let aborted = world.del(1, &at);
    let second = world.del(2, &at);
    // Node 0 finds something else than the coordinator, and refuses.
    let there = world.nodes[0].keys.remove(&at).expect("it was applied");
    world.run();
    world.nodes[0].keys.insert(at.clone(), there);
    assert!(world.answer(second).is_none(), "it rests on one that is not decided");
    world.mute.remove(&0);
    world.run();
    assert!(world.answer(aborted).is_none(), "node 1 may hold it still (R5)");
    assert!(world.answer(second).is_none());
    world.mute.clear();
    world.run();
    assert_eq!(code(world.answer(aborted)), Some(ErrorCode::Aborted));
    assert!(is_ok(world.answer(second)), "{:?}", world.answer(second));
    let third = world.del(2, &at);
    world.run();
    assert_eq!(code(world.answer(third)), Some(ErrorCode::NotFound));
}

#[test]
fn h23_h24_an_answer_that_was_on_its_way_brings_nothing_old_back() {
    for delete in [false, true] {
        let mut world = World::founded();
        let at = world.some_key();
        let holders = world.holders(&at);
        world.put(1, &at, "v1");
        world.run();
        world.advance(50);
        world.forget(&at);
        world.stuck.insert(holders[0]);
        let early = world.get(1, &at);
        world.run();
        // The look has found v1 and waits; the new state is committed meanwhile, and evicted.
        if delete {
            world.stuck.clear();
            let late: Vec<_> = world.nodes[holders[0]].looks.drain(..).collect();
            let del = world.del(2, &at);
            world.run();
            assert!(is_ok(world.answer(del)));
            world.nodes[holders[0]].looks.extend(late);
        } else {
            let put = world.put(2, &at, "v2");
            world.run();
            assert!(is_ok(world.answer(put)));
        }
        world.stuck.clear();
        world.run();
        assert!(text(world.answer(early)).contains("v1"), "as of its place on the link");
        let get = world.get(3, &at);
        world.run();
        if delete {
            assert_eq!(code(world.answer(get)), Some(ErrorCode::NotFound));
        } else {
            assert!(text(world.answer(get)).contains("v2"));
        }
    }
}

#[test]
fn a_get_behind_a_put_of_its_own_connection_sees_it_and_others_do_not_wait() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    world.put(1, &at, "v2");
    let own = world.get(1, &at);
    let other = world.get(2, &at);
    world.run();
    assert!(world.answer(own).is_none());
    assert!(text(world.answer(other)).contains("v1"));
    world.mute.clear();
    world.run();
    assert!(text(world.answer(own)).contains("v2"));
}

#[test]
fn r11_without_a_lease_reads_and_negative_answers_are_parked() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.extend([0, 1, 2]);
    world.now = world.sides[0].lease;
    let get = world.get(2, &at);
    let patient = world.request(0, 3, ClientOp::Get(at.clone()), 60_000);
    world.run();
    assert!(world.answer(get).is_none() && world.answer(patient).is_none());
    world.advance(5_100);
    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
    world.mute.clear();
    world.advance(1_000);
    assert!(text(world.answer(patient)).contains("v1"));
    // A negative answer: the key was read from a node while the lease held.
    let missing = world.some_other_key(&at);
    let holders = world.holders(&missing);
    world.stuck.extend(holders.iter());
    let del = world.del(4, &missing);
    world.run();
    world.stuck.clear();
    world.now = world.sides[0].lease.plus_ms(1);
    let late: Vec<_> = holders.iter().flat_map(|n| world.nodes[*n].looks.pop_front()).collect();
    world.mute.extend([0, 1, 2]);
    for (node, look) in holders.iter().zip(late) {
        world.ask(*node, look);
    }
    world.run();
    assert!(world.answer(del).is_none());
    world.mute.clear();
    world.advance(1_000);
    assert_eq!(code(world.answer(del)), Some(ErrorCode::NotFound));
}

#[test]
fn r11_a_new_coordinator_tells_nothing_before_the_old_lease_has_ended() {
    let at = World::founded().some_key();
    for (config, waits) in [(config(101), true), (successor(101), false)] {
        let mut world = World::founded();
        world.put(1, &at, "v1");
        world.run();
        world.kill(0);
        let side = world.start(config);
        let get = world.request(side, 1, ClientOp::Get(at.clone()), 5_000);
        world.run();
        world.advance(500);
        assert_eq!(world.answer(get).is_none(), waits);
        world.advance(1_510);
        assert_eq!(world.answer(get).is_none(), waits, "2,010 ms");
        world.advance(50);
        assert!(text(world.answer(get)).contains("v1"));
    }
    // Released, it needs no waiting either.
    let mut world = World::founded();
    world.tell(0, Input::Stop);
    world.run();
    assert!(world.sides[0].released);
    world.kill(0);
    let side = world.start(config(101));
    world.run();
    world.advance(50);
    assert!(world.sides[side].active);
}

#[test]
fn r11_one_that_never_finished_its_own_wait_proves_nothing_by_its_death() {
    let mut world = World::founded();
    // The first one lives on; the second one claims, waits, and is known to be dead.
    world.sides[0].dead = true;
    let second = world.start(config(101));
    world.run();
    world.kill(second);
    let third = world.start(Config { reaped: vec![Uuid(101)], ..config(102) });
    world.run();
    world.advance(1_900);
    assert!(!world.sides[third].active);
    world.advance(200);
    assert!(world.sides[third].active);
}

#[test]
fn h16_two_coordinators_that_claim_at_once_do_not_serve_in_one_epoch() {
    let mut world = World::founded();
    world.kill(0);
    let one = world.start_alone(successor(101));
    let two = world.start_alone(successor(102));
    for (node, order) in [(0, [one, two]), (1, [two, one]), (2, [one, two])] {
        for side in order {
            world.register(side, node);
        }
    }
    let epochs = |world: &World| [one, two].map(|side| world.sides[side].core.epoch);
    assert_eq!(epochs(&world), [Epoch(2); 2]);
    let mut served = BTreeSet::new();
    for _ in 0..500 {
        world.advance(10);
        for side in [one, two] {
            if world.sides[side].core.phase == Phase::Active {
                let epoch = world.sides[side].core.epoch;
                let first = served.iter().all(|(other, of)| *other != epoch || *of == side);
                assert!(first, "epoch {epoch} was served by another");
                served.insert((epoch, side));
            }
        }
    }
    assert!(!served.is_empty(), "one of them serves");
}

/// H47: one address an incarnation, and none that is over.
#[test]
fn registrations_that_cannot_be_are_refused_with_a_reason() {
    let mut world = World::founded();
    let good = world.registration(0);
    let mut ring = good.ring.clone().expect("founded");
    ring.cluster = Uuid(1);
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 4_001));
    let name = NodeName::new("n7").expect("a short name");
    let refused = [
        (Register { protocol: 9, ..good.clone() }, "protocol"),
        (Register { ring: Some(ring), ..good.clone() }, "belongs to cluster"),
        (Register { uuid: Uuid(9), ..good.clone() }, "cannot come back as n1"),
        (Register { uuid: Uuid(9), name, ring: None, ..good.clone() }, "membership is fixed"),
        (Register { addr: elsewhere, ..good.clone() }, "copy of its directory"),
        (Register { incarnation: Incarnation(0), ..good }, "copy of its directory"),
    ];
    for (register, reason) in refused {
        world.sides[0].refusals.clear();
        world.register_as(0, register);
        let said = world.sides[0].refusals.join(" ");
        assert!(said.contains(reason), "{said:?} does not say {reason:?}");
    }
    world.advance(100);
    assert_eq!(world.states(0), [NodeState::Up; 3]);
    // Before there are members, a name belongs to the store that came first.
    let mut world = World::blank();
    world.start_alone(config(100));
    let first = world.registration(0);
    world.register_as(0, first.clone());
    world.register_as(0, Register { uuid: Uuid(9), addr: elsewhere, ..first });
    let said = world.sides[0].refusals.join(" ");
    assert!(said.contains("another store registered under the name n1"), "{said:?}");
}

#[test]
fn r7_a_store_whose_log_ends_before_what_was_seen_of_it_is_lost() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    world.advance(300);
    let groups = world.nodes[0].log.len();
    world.crash(0);
    world.restart_with(0, groups - 1);
    world.run();
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
    assert_eq!(world.states(0)[0], NodeState::Down);
    // Its record at the others outlives the coordinator that saw it.
    let mut world = World::founded();
    world.put(1, &at, "v1");
    world.run();
    for value in ["v2", "v3"] {
        world.put(1, &at, value);
        world.run();
    }
    world.advance(300);
    world.kill(0);
    world.crash(0);
    world.restart_with(0, 1);
    world.start(successor(101));
    world.run();
    world.advance(100);
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
    // Also where the only other witness took part in nothing.
    let mut world = World::founded();
    world.put(1, &at, "v1");
    world.run();
    world.advance(1_000);
    world.kill(0);
    world.crash(0);
    world.restart_with(0, 1);
    (world.deaf, world.mute) = (BTreeSet::from([1]), BTreeSet::from([1]));
    world.start(successor(101));
    world.run();
    world.advance(100);
    assert!(matches!(world.nodes[0].exit, Some(ExitReason::Lost(_))));
}

#[test]
fn r8_nothing_is_forgotten_before_all_participants_have_confirmed_it() {
    let mut world = World::founded();
    let at = world.some_key();
    let committed = |world: &World, node: usize| {
        let core = world.nodes[node].core.as_ref().expect("it runs");
        core.count_in(protocol::peer::TxnState::Committed)
    };
    let put = world.put(1, &at, "v1");
    world.run();
    assert!(is_ok(world.answer(put)));
    // Voted, answered, and the decision is not yet sent: node 1 does not get it.
    world.deaf.insert(1);
    world.advance(1_000);
    assert_eq!(committed(&world, 0), 1);
    world.deaf.clear();
    world.advance(2_000);
    assert_eq!((committed(&world, 0), committed(&world, 1)), (0, 0));
}

/// What a node may show of a transaction of an epoch that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Had {
    Prepared,
    Committed,
    Refused,
    Aborted,
    Never,
    /// Its log was cut: that nothing is there proves nothing.
    Cut,
    /// It does not come.
    Away,
}

const OLD: u64 = 900;

/// What the log of one of the first two nodes holds of a put of `v2` that it had in this state.
fn old_records(id: Version, at: &Key, had: Had) -> Vec<LogRecord> {
    use super::super::record::{Prepared, Previous, Write};
    let participants = vec![MemberId(0), MemberId(1)];
    let write = Write {
        key: at.clone(),
        value: Some(Value::from("v2")),
        previous: Previous::Any,
        flags: 0,
        expires_ms: 0,
    };
    let prepare = LogRecord::Prepare(Arc::new(Prepared {
        id,
        ring: RingNumber { epoch: Epoch(1), counter: 0 },
        participants: participants.clone(),
        rests_on: Vec::new(),
        writes: vec![write],
        once: Some(name("left open", "v2")),
    }));
    match had {
        Had::Prepared => vec![prepare],
        Had::Committed => vec![prepare, LogRecord::Commit { id }],
        Had::Refused => vec![LogRecord::Refuse { id, participants }],
        Had::Aborted => vec![prepare, LogRecord::Abort { id, participants }],
        Had::Never | Had::Cut | Had::Away => Vec::new(),
    }
}

/// A cluster whose first coordinator died over one put of `v2`, and left it in these states at
/// nodes 0 and 1. A new one has just started.
fn left_open(states: [Had; 2]) -> (World, Key) {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.advance(1_000);
    world.kill(0);
    let id = Version::new(Epoch(1), OLD);
    for (node, had) in states.into_iter().enumerate() {
        world.crash(node);
        let records = old_records(id, &at, had);
        let machine = &mut world.nodes[node];
        let seq = machine.log.last().expect("founded").0.next();
        machine.log.push((seq, records));
        if had == Had::Cut {
            machine.meta.cut_through = Epoch(1);
        }
        if had == Had::Committed {
            let found = Found { version: id, value: Some(Value::from("v2")) };
            machine.keys.insert(at.clone(), found);
        }
        if had != Had::Away {
            world.restart(node);
        }
    }
    world.start(successor(101));
    world.run();
    (world, at)
}

#[test]
fn r8_a_member_that_is_away_keeps_only_older_epochs_from_being_forgotten() {
    let count = |world: &World, node: usize, state| {
        let core = world.nodes[node].core.as_ref().expect("it runs");
        core.count_in(state)
    };
    let old = Version::new(Epoch(1), OLD);
    use Had::{Aborted, Away, Committed, Never, Prepared};
    let table = [
        (Never, Prepared, "v1"),
        (Never, Aborted, "v1"),
        (Never, Never, "v1"),
        (Prepared, Prepared, "v2"),
        (Committed, Prepared, "v2"),
    ];
    for (there, away, expected) in table {
        // Node 1 is away since before this coordinator, and may show what nobody else has.
        let (mut world, at) = left_open([there, Away]);
        let machine = &mut world.nodes[1];
        let seq = machine.log.last().expect("founded").0.next();
        machine.log.push((seq, old_records(old, &at, away)));
        world.advance(4_000);
        let keys = (0..1_000).map(|n| key(&format!("key-{n}")));
        let apart: Vec<Key> = keys.filter(|key| !world.holders(key).contains(&1)).collect();
        let mut ids = Vec::new();
        for at in &apart[..5] {
            let core = &world.sides[1].core;
            ids.push(Version::new(core.epoch, core.counter + 1));
            let put = ClientOp::Update(Update::put(at.clone(), Value::from("new")));
            let put = world.request(1, 7, put, 5_000);
            world.run();
            assert!(is_ok(world.answer(put)), "{away:?}");
        }
        world.advance(2_000);
        for node in [0, 2] {
            let older = usize::from(there == Committed && node == 0);
            assert_eq!(
                count(&world, node, TxnState::Committed),
                older,
                "the new ones are forgotten"
            );
        }
        let settled = |world: &World| world.sides[1].core.settled(Version::new(ids[0].epoch(), 0));
        assert!(ids.iter().all(|id| settled(&world).covers(*id)));
        assert!(!settled(&world).covers(old), "what it may hold is not settled");
        world.restart(1);
        world.run();
        world.advance(4_000);
        for node in [0, 1] {
            assert!(world.nodes[node].exit.is_none(), "{away:?}: {:?}", world.nodes[node].exit);
            let states = [TxnState::Prepared, TxnState::Committed, TxnState::Aborted];
            let left = states.map(|state| count(&world, node, state));
            assert_eq!(left, [0, 0, 0], "{away:?} at {node}");
        }
        assert_eq!(world.value(1, &at), Some(Value::from(expected)), "{away:?}");
    }
}

#[test]
fn r6_what_an_earlier_epoch_left_open_is_decided_by_the_table() {
    use Had::{Aborted, Away, Committed, Cut, Never, Prepared, Refused};
    let table = [
        (Committed, Prepared, Some(true)),
        (Committed, Committed, Some(true)),
        (Prepared, Prepared, Some(true)),
        (Prepared, Cut, Some(true)),
        (Prepared, Refused, Some(false)),
        (Prepared, Aborted, Some(false)),
        (Prepared, Never, Some(false)),
        (Refused, Refused, Some(false)),
        (Aborted, Never, Some(false)),
        (Prepared, Away, None),
        (Committed, Away, Some(true)),
        (Aborted, Away, Some(false)),
    ];
    for (one, other, fate) in table {
        for states in [[one, other], [other, one]] {
            let (mut world, at) = left_open(states);
            let get = world.request(1, 1, ClientOp::Get(at.clone()), 5_000);
            world.advance(1_000);
            assert!(world.sides[1].active, "{states:?}");
            let exits: Vec<_> = world.nodes.iter().filter_map(|node| node.exit.clone()).collect();
            assert!(exits.is_empty(), "{states:?} {exits:?}");
            let id = Version::new(Epoch(1), OLD);
            let decided = [true, false]
                .into_iter()
                .find(|commit| world.sides[1].notes.contains(&Note::Resolved(id, *commit)));
            assert_eq!(decided, fate, "{states:?}");
            match fate {
                Some(true) => assert!(text(world.answer(get)).contains("v2"), "{states:?}"),
                Some(false) => assert!(text(world.answer(get)).contains("v1"), "{states:?}"),
                None => {
                    assert!(world.answer(get).is_none(), "{states:?}");
                    world.advance(4_100);
                    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
                    let away = usize::from(other != one && states[1] == other);
                    world.restart(away);
                    world.advance(1_000);
                    let get = world.request(1, 1, ClientOp::Get(at.clone()), 5_000);
                    world.run();
                    assert!(text(world.answer(get)).contains("v1"), "it never came there");
                }
            }
        }
    }
}

#[test]
fn r6_a_choice_is_durable_at_all_survivors_before_it_is_shown() {
    let (mut world, at) = left_open([Had::Prepared, Had::Away]);
    world.nodes[1].meta.cut_through = Epoch(1);
    let get = world.request(1, 1, ClientOp::Get(at.clone()), 60_000);
    world.advance(100);
    world.slow.insert(0);
    world.restart(1);
    world.run();
    let id = Version::new(Epoch(1), OLD);
    assert!(world.sides[1].notes.contains(&Note::Resolved(id, true)));
    world.advance(1_000);
    assert!(world.answer(get).is_none(), "node 0 has not made the choice durable");
    world.slow.clear();
    world.advance(500);
    assert!(text(world.answer(get)).contains("v2"));
}

#[test]
fn h62_h63_a_slow_node_delays_only_its_own_keys() {
    let mut world = World::founded();
    world.slow.insert(0);
    let keys: Vec<Key> = (0..20_000).map(|n| key(&format!("k{n}"))).collect();
    let (held, free): (Vec<Key>, Vec<Key>) =
        keys.into_iter().partition(|key| world.holders(key).contains(&0));
    assert!(held.len() > 9_000 && !free.is_empty());
    // More than fits the window of node 0.
    for at in &held[..9_000] {
        world.put(1, at, "v");
    }
    world.run();
    assert!(world.sides[0].answers.is_empty());
    let other = world.put(2, &free[0], "v");
    world.run();
    assert!(is_ok(world.answer(other)), "{:?}", world.answer(other));
    world.slow.clear();
    world.advance(100);
    assert_eq!(world.sides[0].answers.len(), 9_001, "every one has its answer");
    assert!(world.sides[0].answers.values().all(|answer| is_ok(Some(answer))));
}

#[test]
fn r13_every_wait_has_an_end() {
    // Before there is a cluster.
    let mut world = World::blank();
    world.start_alone(config(100));
    let at = key("a");
    let get = world.get(1, &at);
    let put = world.put(1, &at, "v");
    world.advance(5_100);
    assert_eq!(code(world.answer(get)), Some(ErrorCode::Unavailable));
    assert_eq!(code(world.answer(put)), Some(ErrorCode::Timeout));
    // Behind an update that is not decided.
    let mut world = World::founded();
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.run();
    world.mute.insert(0);
    let first = world.request(0, 1, ClientOp::Update(Update::del(at.clone(), None)), 300);
    let second = world.request(0, 2, ClientOp::Update(Update::del(at.clone(), None)), 400);
    world.advance(350);
    assert_eq!(code(world.answer(first)), Some(ErrorCode::UnknownOutcome));
    assert!(world.answer(second).is_none());
    world.advance(100);
    assert_eq!(code(world.answer(second)), Some(ErrorCode::Timeout));
}

#[test]
fn ids_rise_in_the_order_of_each_keys_queue() {
    let mut world = World::founded();
    let at = world.some_key();
    let puts: Vec<ClientId> = (0..50).map(|n| world.put(n % 5, &at, &format!("{n}"))).collect();
    world.run();
    let number = |client: &ClientId| text(world.answer(*client));
    let versions: Vec<String> = puts.iter().map(number).collect();
    let counters: Vec<u64> = versions
        .iter()
        .filter_map(|tail| tail.split('"').find_map(|word| word.parse::<Version>().ok()))
        .map(Version::counter)
        .collect();
    assert_eq!(counters.len(), 50);
    assert!(counters.windows(2).all(|pair| pair[0] < pair[1]), "{counters:?}");
    let get = world.get(9, &at);
    assert!(text(world.answer(get)).contains("\"49\""));
}
