//! One or more coordinators and three nodes in memory, joined by queues that a test can hold.
//!
//! Logs and state files are durable at once unless a node is made slow; time moves only when a
//! test says so. Everything is in a fixed order, so every run is the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::{Epoch, GroupSeq, Incarnation, Key, MemberId, NodeName, Point, Uuid, Value};
use protocol::ids::{RingNumber, Version};
use protocol::peer::{
    Down, Fence, Heartbeat, PEER_PROTOCOL, Placement, Refusal, Register, Registered, RingMember,
    RingRecord, Up,
};
use protocol::status::NodeState;

use super::super::cache::{Cache, CacheShape};
use super::super::node::{self, ConnId, ExitReason, Found, Meta, NodeCore, Restart};
use super::super::record::LogRecord;
use super::super::time::Time;
use super::{
    Answer, ClientId, ClientOp, Config, Coordinator, Effect, Input, Note, Phase, RegistrationId,
};

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
    notes: Vec<Note>,
    dead: bool,
}

/// A node, its disk and its lanes.
struct Machine {
    core: Option<NodeCore>,
    keys: BTreeMap<Key, Found>,
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
        batches_out_max: 1,
    }
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
    let (core, _) = Restart::new(meta.clone(), GroupSeq(0), 1 << 30).finish(Time(0), GroupSeq(0));
    Machine {
        core: Some(core),
        keys: BTreeMap::new(),
        log: Vec::new(),
        meta,
        beats: 0,
        done: VecDeque::new(),
        looks: VecDeque::new(),
        exit: None,
    }
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
            notes: Vec::new(),
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
            Effect::Lease(until) => it.lease = until,
            Effect::Note(note) => it.notes.push(note),
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
                machine.done.push_back(node::Input::Synced(seq));
            }
            node::Effect::Apply { writes, .. } => {
                for write in writes {
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
            node::Effect::Exit(reason) => {
                machine.exit = Some(reason);
                self.crash(node);
            }
            node::Effect::Checkpoint { .. }
            | node::Effect::FreeLog { .. }
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
        let mut restart = Restart::new(machine.meta.clone(), GroupSeq(0), 1 << 30);
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
                self.ask(node, node::Input::Down { conn, down });
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
        self.tell(side, Input::Request { client, op, timeout_ms });
        client
    }

    fn put(&mut self, conn: u64, at: &Key, value: &str) -> ClientId {
        self.request(0, conn, ClientOp::Put(at.clone(), Value::from(value)), 5_000)
    }

    fn del(&mut self, conn: u64, at: &Key) -> ClientId {
        self.request(0, conn, ClientOp::Del(at.clone()), 5_000)
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

    /// The first key that exactly these nodes hold, the primary first.
    fn key_at(&self, holders: &[usize]) -> Key {
        let keys = (0..1_000).map(|n| key(&format!("key-{n}")));
        keys.into_iter().find(|key| self.holders(key) == holders).expect("some key is there")
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

    fn value(&self, node: usize, at: &Key) -> Option<Value> {
        self.nodes[node].keys.get(at).and_then(|found| found.value.clone())
    }

    /// Forgets what the coordinator has cached, as evictions do.
    fn forget(&self, at: &Key) {
        self.sides[0].core.cache.remove(at.as_str());
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
            no: Vec::new(),
            read: Vec::new(),
            report: None,
            fenced: None,
            installed: None,
            marked: false,
            caught_up: false,
        };
        change(&mut up);
        // One of these numbers is the one that is due; time tells which was taken.
        for n in 1..1_000 {
            self.now = self.now.plus_us(1);
            let up = Box::new(Up { n, ..up.clone() });
            self.tell(0, Input::Up { session, up });
            let node = &self.sides[0].core.nodes[place];
            if node.last_heard == self.now || node.link.session != session {
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
    let put = world.request(0, 1, ClientOp::Put(at.clone(), Value::from("v2")), 200);
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
    let name = NodeName::new("n9").expect("a short name");
    let register = Register { name, uuid: Uuid(99), ring: None, ..world.registration(0) };
    world.register_as(side, Register { addr: SocketAddr::from(([127, 0, 0, 1], 9_001)), ..register });
    for node in 0..3 {
        world.register(side, node);
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
