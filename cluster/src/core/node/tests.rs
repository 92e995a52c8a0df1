//! One node, driven message by message; its lanes are done when a test says so.

use std::sync::Arc;

use protocol::ids::{Epoch, GroupSeq, Incarnation, Key, MemberId, NodeName, Point, RingNumber};
use protocol::ids::{Once, Uuid, Value, Version};
use protocol::peer::{
    Abort, Batch, CopyPut, Down, DownBody, Due, Extent, Fence, Greeting, Learning, Open,
    OpenChanges, Placement, Prepare, ReadAsk, Report, RingMember, RingRecord, Settled, TxnState,
    Up, WireValue, WireWrite,
};

use super::super::cache::{Cache, CacheShape};
use super::super::record::{Committed, LogRecord};
use super::super::time::Time;
use super::{
    AskToken, ConnId, Effect, ExitReason, Found, Input, Meta, NodeCore, ReadToken, Restart,
};

mod cache;
mod forgetting;
mod once;
mod progress;
mod sessions;
mod space;

/// The node under test is member 0; with two members and two copies it holds every key.
struct Rig {
    node: NodeCore,
    conn: ConnId,
    session: u64,
    n: u64,
    epoch: Epoch,
    coordinator: Uuid,
    up: Vec<Up>,
    closed: Vec<ConnId>,
    logged: Vec<(GroupSeq, Vec<LogRecord>)>,
    synced: usize,
    saved: Vec<u64>,
    looks: Vec<(ReadToken, Key)>,
    applied: Vec<(Key, Version)>,
    /// Named updates that were applied.
    named: Vec<(Version, Once)>,
    asked: Vec<AskToken>,
    dropped: Vec<Version>,
    exit: Option<ExitReason>,
    freed: Vec<GroupSeq>,
    wanted: Vec<u64>,
    /// Sweeps that were asked for: below which version, behind which key.
    swept: Vec<(Version, Option<Key>)>,
    others: Vec<Extent>,
    meta: Meta,
}

fn id(epoch: u32, counter: u64) -> Version {
    Version::new(Epoch(epoch), counter)
}

/// One set, so that a write of any key voids what was asked of all.
fn small_cache() -> Arc<Cache> {
    Arc::new(Cache::new(CacheShape { sets: 1, ways: 4 }, 1 << 20, 1))
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a short key")
}

fn record() -> RingRecord {
    let member = |id: u16| RingMember {
        id: MemberId(id),
        uuid: Uuid(u128::from(id) + 1),
        name: NodeName::new(&format!("n{}", id + 1)).expect("a short name"),
        points: vec![Point(u64::from(id) << 40)],
    };
    RingRecord {
        number: RingNumber { epoch: Epoch(1), counter: 0 },
        cluster: Uuid(77),
        replicas: 2,
        tokens: 1,
        placement: Placement::Ring,
        members: (0..2).map(member).collect(),
        learning: Vec::new(),
        outgoing: None,
        changes: OpenChanges::default(),
        incoming: None,
        departed: Vec::new(),
    }
}

fn put(number: Version, at: &str) -> Prepare {
    prepare(number, at, Some("v"), None, &[])
}

fn prepare(
    number: Version,
    at: &str,
    value: Option<&str>,
    previous: Option<Version>,
    rests_on: &[Version],
) -> Prepare {
    let value = value.map(|value| WireValue(Value::from(value)));
    Prepare {
        id: number,
        ring: record().number,
        participants: vec![MemberId(0), MemberId(1)],
        rests_on: rests_on.to_vec(),
        due: Vec::new(),
        writes: vec![WireWrite { key: key(at), value, previous, holders: Vec::new() }],
        once: None,
    }
}

fn prepares(all: impl IntoIterator<Item = Prepare>) -> Batch {
    Batch { prepare: all.into_iter().map(Arc::new).collect(), ..Batch::default() }
}

fn aborts(number: Version) -> Batch {
    let participants = vec![MemberId(0), MemberId(1)];
    Batch { abort: vec![Abort { id: number, participants }], ..Batch::default() }
}

fn commits(number: Version) -> Batch {
    Batch { commit: vec![number], ..Batch::default() }
}

impl Rig {
    fn of(node: NodeCore) -> Self {
        let meta = node.meta().clone();
        Self {
            node,
            conn: ConnId(0),
            session: 0,
            n: 0,
            epoch: Epoch(0),
            coordinator: Uuid(0),
            up: Vec::new(),
            closed: Vec::new(),
            logged: Vec::new(),
            synced: 0,
            saved: Vec::new(),
            looks: Vec::new(),
            applied: Vec::new(),
            named: Vec::new(),
            asked: Vec::new(),
            dropped: Vec::new(),
            exit: None,
            freed: Vec::new(),
            wanted: Vec::new(),
            swept: Vec::new(),
            others: Vec::new(),
            meta,
        }
    }

    fn blank() -> Self {
        Self::with_checkpoint_bytes(1 << 30)
    }

    fn with_checkpoint_bytes(bytes: u64) -> Self {
        let meta = Meta {
            store: Uuid(1),
            name: NodeName::new("n1").expect("a short name"),
            incarnation: Incarnation(1),
            fence: Fence::default(),
            ring: None,
            cut_through: Epoch(0),
            former: Vec::new(),
            void_through: GroupSeq(0),
            swept: Version::ZERO,
            lost: Vec::new(),
        };
        let restart = Restart::new(meta, GroupSeq(0), bytes, small_cache());
        Self::of(restart.finish(Time(0), GroupSeq(0)).0)
    }

    /// A founded node in a session of epoch 1.
    fn ready() -> Self {
        Self::founded(Self::blank())
    }

    fn founded(mut rig: Self) -> Self {
        rig.open(1, Uuid(11), 1);
        rig.down(DownBody::Install(record()));
        rig.settle();
        rig.up.clear();
        rig
    }

    fn hand(&mut self, input: Input) {
        for effect in self.node.handle(Time(1_000), input) {
            match effect {
                Effect::Send { up, .. } => self.up.push(*up),
                Effect::Close(conn) => self.closed.push(conn),
                Effect::SaveMeta { meta, number } => {
                    self.meta = *meta;
                    self.saved.push(number);
                }
                Effect::Log { seq, records } => self.logged.push((seq, records)),
                Effect::Apply { writes, .. } => {
                    let named = |w: &Committed| Some((w.version, w.once.clone()?));
                    self.named.extend(writes.iter().filter_map(named));
                    let of = |w: Committed| (w.write.key, w.version);
                    self.applied.extend(writes.into_iter().map(of));
                }
                Effect::ReadOnces { token, .. } => self.asked.push(token),
                Effect::Scan { token, .. } | Effect::Copy { token, .. } => self.asked.push(token),
                Effect::Audit { token, .. } => self.asked.push(token),
                Effect::DropOnces(from) => self.dropped.push(from),
                Effect::Read { token, key } => self.looks.push((token, key)),
                Effect::Exit(reason) => self.exit = Some(reason),
                Effect::FreeLog { through } => self.freed.push(through),
                Effect::WantRoom { bytes } => self.wanted.push(bytes),
                Effect::KeepOnces(_) | Effect::Retain { .. } => {}
                Effect::Sweep { below, after, .. } => self.swept.push((below, after)),
                Effect::DropOthers { whole, .. } => self.others.push(whole),
                Effect::Checkpoint { .. } | Effect::Ranges(_) | Effect::CaughtUp => {}
            }
        }
    }

    fn flush(&mut self) {
        self.hand(Input::Flush);
    }

    /// Everything on its way to the disk is there.
    fn sync(&mut self) {
        for number in std::mem::take(&mut self.saved) {
            self.hand(Input::MetaSaved(number));
        }
        while self.synced < self.logged.len() {
            let seq = self.logged[self.synced].0;
            self.synced += 1;
            self.hand(Input::Synced(seq));
        }
        self.flush();
    }

    fn settle(&mut self) {
        self.flush();
        self.sync();
        self.sync();
    }

    /// A coordinator begins a session on a connection of its own.
    fn open(&mut self, epoch: u32, coordinator: Uuid, session: u64) {
        self.conn = ConnId(self.conn.0 + 1);
        (self.session, self.n, self.epoch) = (session, 0, Epoch(epoch));
        self.coordinator = coordinator;
        let open = Open {
            greeting: Greeting::new(None),
            coordinator,
            store: Uuid(1),
            incarnation: self.node.meta().incarnation,
        };
        self.down(DownBody::Open(open));
        self.flush();
    }

    fn down(&mut self, body: DownBody) {
        self.n += 1;
        let down = Down { session: self.session, n: self.n, epoch: self.epoch, body };
        self.hand(Input::Down { conn: self.conn, down: Box::new(down) });
    }

    fn batch(&mut self, batch: Batch) {
        self.down(DownBody::Batch(batch));
        self.flush();
    }

    /// What was voted since the last call: yes, no.
    fn votes(&mut self) -> (Vec<u64>, Vec<u64>) {
        let up = std::mem::take(&mut self.up);
        let yes = up.iter().flat_map(|up| up.yes.clone()).collect();
        (yes, up.iter().flat_map(|up| up.no.iter().map(|no| no.c)).collect())
    }

    /// The first look that was asked for finds this version.
    fn found(&mut self, version: Version) {
        self.found_there(version, None);
    }

    /// The same, with a value or, without, a tombstone.
    fn found_there(&mut self, version: Version, value: Option<&str>) {
        let (token, _) = self.looks.remove(0);
        let found = Found { version, value: value.map(Value::from) };
        self.hand(Input::ReadDone { token, found });
        self.flush();
    }

    /// Begins a session of the same coordinator and returns the report.
    fn report(&mut self) -> Report {
        self.settle();
        self.up.clear();
        let (epoch, coordinator) = (self.epoch.0, self.coordinator);
        self.open(epoch, coordinator, self.session + 1);
        self.settle();
        *self.up.iter_mut().find_map(|up| up.report.take()).expect("a report")
    }

    fn state(&mut self, number: Version) -> Option<TxnState> {
        self.report().txns.iter().find(|txn| txn.id == number).map(|txn| txn.state)
    }

    /// The process ends and is started again; so many of its groups are left.
    fn restart(&self, groups: usize) -> Self {
        self.restart_after(GroupSeq(0), GroupSeq(0), groups)
    }

    /// The same after groups through `freed` went; the keystore has those through `through`.
    fn restart_after(&self, freed: GroupSeq, through: GroupSeq, groups: usize) -> Self {
        let mut meta = self.meta.clone();
        meta.incarnation.0 += 1;
        let mut restart = Restart::new(meta, through, 1 << 30, small_cache());
        let mut apply = Vec::new();
        let mut end = freed;
        for (seq, records) in self.logged.iter().take(groups).filter(|(seq, _)| *seq > freed) {
            for record in records {
                restart.replay(*seq, record.clone(), &mut apply);
            }
            end = *seq;
        }
        Self::of(restart.finish(Time(0), end).0)
    }
}

#[test]
fn h18_what_is_undecided_on_a_key_is_in_the_order_of_ids_though_looks_take_time() {
    let mut rig = Rig::ready();
    let (first, second, third) = (id(1, 1), id(1, 2), id(1, 3));
    rig.batch(prepares([prepare(first, "k", None, Some(id(0, 5)), &[]), put(second, "k")]));
    rig.found(id(0, 5));
    rig.batch(prepares([prepare(third, "k", None, Some(second), &[second])]));
    assert!(rig.looks.is_empty(), "the second one is what it was evaluated against");
    rig.settle();
    let (mut yes, no) = rig.votes();
    yes.sort_unstable();
    assert_eq!((yes, no), (vec![1, 2, 3], vec![]));
}

#[test]
fn h18_a_chain_waits_for_the_look_of_its_first() {
    let (zero, a, b, c) = (id(1, 1), id(1, 2), id(1, 3), id(1, 4));
    let chain = || {
        prepares([
            prepare(a, "k", Some("a"), Some(zero), &[]),
            prepare(b, "k", Some("b"), Some(a), &[a]),
            prepare(c, "k", Some("c"), Some(b), &[b]),
        ])
    };
    let mut rig = Rig::ready();
    rig.batch(chain());
    assert_eq!(rig.votes(), (vec![], vec![]), "the first one's look is awaited");
    rig.found(zero);
    rig.settle();
    assert_eq!(rig.votes(), (vec![2, 3, 4], vec![]));
    // What the first one is refused for, the others are refused for.
    let mut rig = Rig::ready();
    rig.batch(chain());
    rig.found(id(1, 9));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![2, 3, 4]));
    // An abort of the one in the middle does not hold up the last.
    let mut rig = Rig::ready();
    rig.batch(chain());
    rig.batch(aborts(b));
    rig.found(zero);
    rig.settle();
    assert_eq!(rig.votes(), (vec![2], vec![3, 4]));
}

#[test]
fn a_prepare_that_is_said_twice_is_answered_and_nothing_worse() {
    let (first, second) = (id(1, 1), id(1, 2));
    let on = prepare(second, "k", Some("w"), Some(first), &[first]);
    let looking = prepare(first, "k", Some("v"), Some(id(0, 5)), &[]);
    for accepted in [true, false] {
        let mut rig = Rig::ready();
        rig.batch(prepares([looking.clone(), looking.clone(), on.clone(), on.clone()]));
        if accepted {
            rig.found(id(0, 5));
        } else {
            rig.batch(aborts(first));
        }
        rig.settle();
        assert_eq!(rig.exit, None);
        let (yes, no) = rig.votes();
        assert_eq!(yes.contains(&2), accepted);
        assert_eq!(no.contains(&2), !accepted);
    }
    let mut rig = Rig::ready();
    rig.batch(prepares([looking.clone()]));
    rig.batch(Batch { adopt: vec![Arc::new(looking)], ..Batch::default() });
    rig.found(id(0, 5));
    rig.settle();
    assert_eq!(rig.exit, None);
    assert_eq!(rig.state(first), Some(TxnState::Committed));
}

#[test]
fn r9_h22_a_vote_leaves_only_when_its_record_is_durable() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "k")]));
    assert_eq!(rig.votes(), (vec![], vec![]));
    // A second group behind it: the first one's sync proves nothing of it.
    rig.batch(prepares([put(id(1, 2), "k")]));
    let seq = rig.logged[rig.synced].0;
    rig.synced += 1;
    rig.hand(Input::Synced(seq));
    rig.flush();
    assert_eq!(rig.votes(), (vec![1], vec![]));
    rig.sync();
    assert_eq!(rig.votes(), (vec![2], vec![]));
}

#[test]
fn r3_a_refusal_is_for_ever() {
    let mut rig = Rig::ready();
    let conditional = prepare(id(1, 1), "k", None, Some(id(0, 5)), &[]);
    rig.batch(prepares([conditional.clone()]));
    rig.found(id(0, 4));
    assert_eq!(rig.votes(), (vec![], vec![]), "a no, too, is durable before it is said");
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![1]));
    // It would fit now.
    rig.batch(prepares([conditional.clone()]));
    assert!(rig.looks.is_empty());
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![1]));
    let mut rig = rig.restart(usize::MAX);
    rig.open(1, Uuid(11), 9);
    rig.settle();
    rig.votes();
    rig.batch(prepares([conditional]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![1]));
    assert_eq!(rig.state(id(1, 1)), Some(TxnState::Refused));
}

#[test]
fn h14_decisions_that_contradict_each_other_end_the_process() {
    let (known, other) = (id(1, 1), id(1, 2));
    let cases: [(&str, Vec<Batch>); 3] = [
        ("commit of what is not here", vec![commits(other)]),
        ("commit after abort", vec![aborts(known), commits(known)]),
        ("abort after commit", vec![commits(known), aborts(known)]),
    ];
    for (what, batches) in cases {
        let mut rig = Rig::ready();
        rig.batch(prepares([put(known, "k")]));
        rig.settle();
        for batch in batches {
            assert_eq!(rig.exit, None, "{what}");
            rig.batch(batch);
        }
        assert!(matches!(rig.exit, Some(ExitReason::Broken(_))), "{what}");
    }
}

#[test]
fn h18_an_abort_takes_with_it_what_rests_on_it_in_one_group() {
    let mut rig = Rig::ready();
    let (a, b, c, free) = (id(1, 1), id(1, 2), id(1, 3), id(1, 4));
    rig.batch(prepares([
        put(a, "k"),
        prepare(b, "k", Some("w"), Some(a), &[a]),
        prepare(c, "k", None, Some(b), &[b]),
        put(free, "k"),
    ]));
    rig.settle();
    let groups = rig.logged.len();
    rig.batch(aborts(a));
    rig.settle();
    assert_eq!(rig.logged.len(), groups + 1);
    for (number, state) in [
        (a, TxnState::Aborted),
        (b, TxnState::Aborted),
        (c, TxnState::Aborted),
        (free, TxnState::Prepared),
    ] {
        assert_eq!(rig.state(number), Some(state), "{number}");
    }
    // What comes later and rests on it is refused.
    let late = id(1, 5);
    rig.votes();
    rig.batch(prepares([prepare(late, "k", Some("x"), Some(c), &[c])]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![5]));
    // A restart finds the same.
    let mut rig = rig.restart(usize::MAX);
    rig.open(1, Uuid(11), 9);
    assert_eq!(rig.state(c), Some(TxnState::Aborted));
    assert_eq!(rig.state(free), Some(TxnState::Prepared));
}

#[test]
fn h18_what_a_prepare_rests_on_must_stand_here_where_it_is_due_here() {
    let mut rig = Rig::ready();
    let (elsewhere, here, missing) = (id(1, 2), id(1, 3), id(1, 4));
    let due = |at: &[u16]| Due { id: id(1, 1), at: at.iter().copied().map(MemberId).collect() };
    let rests = |number, due: &[Due]| Prepare {
        due: due.to_vec(),
        ..prepare(number, "k", Some("v"), None, &[id(1, 1)])
    };
    rig.batch(prepares([
        rests(elsewhere, &[due(&[1])]),
        rests(here, &[due(&[0, 1])]),
        rests(missing, &[]),
    ]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![elsewhere.counter()], vec![here.counter(), missing.counter()]));
}

#[test]
fn a_look_comes_behind_all_decisions_before_it_and_shows_nothing_undecided() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "k"), put(id(1, 2), "k")]));
    rig.settle();
    let ask = ReadAsk { r: 1, k: key("k") };
    rig.batch(Batch { read: vec![ask], ..commits(id(1, 1)) });
    assert_eq!(rig.applied, [(key("k"), id(1, 1))], "handed over before the look");
    assert_eq!(rig.looks.len(), 1);
}
