//! One node, driven message by message; its lanes are done when a test says so.

use std::sync::Arc;

use protocol::ids::{Epoch, GroupSeq, Incarnation, Key, MemberId, NodeName, Point, RingNumber};
use protocol::ids::{Once, Uuid, Value, Version};
use protocol::peer::{
    Abort, Batch, Down, DownBody, Due, Fence, Open, PEER_PROTOCOL, Placement, Prepare, ReadAsk,
    Report, RingMember, RingRecord, Settled, TxnState, Up, WireValue, WireWrite,
};

use super::super::cache::{Cache, CacheShape};
use super::super::record::{Committed, LogRecord};
use super::super::time::Time;
use super::{
    AskToken, ConnId, Effect, ExitReason, Found, Input, Meta, NodeCore, ReadToken, Restart,
};

mod cache;
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
        writes: vec![WireWrite { key: key(at), value, previous }],
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
                Effect::Scan { token, .. } => self.asked.push(token),
                Effect::DropOnces(from) => self.dropped.push(from),
                Effect::Read { token, key } => self.looks.push((token, key)),
                Effect::Exit(reason) => self.exit = Some(reason),
                Effect::FreeLog { through } => self.freed.push(through),
                Effect::WantRoom { bytes } => self.wanted.push(bytes),
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
            protocol: PEER_PROTOCOL,
            version: "0".into(),
            coordinator,
            cluster: None,
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
fn votes_and_answers_of_one_coordinator_are_not_told_to_the_next_under_the_same_number() {
    let mut rig = Rig::ready();
    let read = Batch { read: vec![ReadAsk { r: 7, k: key("x") }], ..Batch::default() };
    rig.batch(read);
    rig.batch(prepares([put(id(1, 1), "k")]));
    // The group is on its way when another coordinator begins, whose sessions count from 1 too.
    rig.open(2, Uuid(12), 1);
    rig.found(id(1, 9));
    rig.settle();
    let report = rig.up.iter().find(|up| up.report.is_some()).expect("a report");
    assert_eq!(report.durable, 1, "of the one message that it has sent");
    assert!(rig.up.iter().all(|up| up.yes.is_empty() && up.read.is_empty()));
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
fn a_record_that_is_no_ring_ends_the_session_only() {
    let spoil: [fn(&mut RingRecord); 5] = [
        |ring| ring.members.clear(),
        |ring| ring.replicas = 0,
        |ring| ring.members[1].points = ring.members[0].points.clone(),
        |ring| ring.members[0].points.clear(),
        |ring| ring.number.epoch = Epoch(9),
    ];
    for spoil in spoil {
        let mut rig = Rig::blank();
        rig.open(1, Uuid(11), 1);
        rig.settle();
        let mut ring = record();
        spoil(&mut ring);
        rig.down(DownBody::Install(ring));
        assert_eq!(rig.closed, [ConnId(1)]);
        assert_eq!(rig.node.meta().ring, None);
    }
}

#[test]
fn r2_a_claim_of_a_number_that_is_no_epoch_is_turned_away() {
    let mut rig = Rig::ready();
    rig.open(u32::MAX, Uuid(12), 9);
    assert_eq!(rig.closed, [ConnId(2)]);
    assert_eq!(rig.node.meta().fence.epoch, Epoch(1));
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
fn r2_h1_what_a_fenced_coordinator_says_is_not_taken() {
    let mut rig = Rig::ready();
    let (old, n) = (rig.conn, rig.n);
    rig.open(2, Uuid(12), 1);
    rig.settle();
    rig.closed.clear();
    rig.up.clear();
    // Its prepare was still on its way.
    let body = DownBody::Batch(prepares([put(id(1, 1), "k")]));
    let late = Down { session: 1, n: n + 1, epoch: Epoch(1), body };
    rig.hand(Input::Down { conn: old, down: Box::new(late.clone()) });
    assert_eq!(rig.closed, [old]);
    // And on the new one's connection, as it were.
    rig.hand(Input::Down { conn: rig.conn, down: Box::new(late) });
    assert_eq!(rig.state(id(1, 1)), None);
    // It tries again.
    let groups = rig.logged.len();
    rig.up.clear();
    rig.open(1, Uuid(11), 2);
    rig.settle();
    assert_eq!(rig.up.iter().map(|up| up.fenced).collect::<Vec<_>>(), [Some(Epoch(2))]);
    assert_eq!(rig.logged.len(), groups);
    // H16: an epoch is bound to the process that claimed it first.
    rig.up.clear();
    rig.open(2, Uuid(13), 1);
    assert_eq!(rig.up.iter().map(|up| up.fenced).collect::<Vec<_>>(), [Some(Epoch(2))]);
}

#[test]
fn r2_a_report_is_given_only_when_the_fence_and_all_before_it_are_durable() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "k")]));
    rig.open(2, Uuid(12), 1);
    assert!(rig.up.iter().all(|up| up.report.is_none()));
    for number in std::mem::take(&mut rig.saved) {
        rig.hand(Input::MetaSaved(number));
    }
    rig.flush();
    assert!(rig.up.iter().all(|up| up.report.is_none()), "the log is behind");
    rig.settle();
    let report = rig.up.iter().find_map(|up| up.report.clone()).expect("a report");
    assert_eq!(report.before.map(|fence| fence.epoch), Some(Epoch(1)));
    assert_eq!(report.txns.len(), 1);
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
fn r8_what_is_settled_stays_settled_and_an_undecided_one_is_never_forgotten() {
    let mut rig = Rig::ready();
    let (done, open) = (id(1, 1), id(1, 2));
    rig.batch(prepares([put(done, "k"), put(open, "k")]));
    rig.settle();
    rig.batch(commits(done));
    let settled = |below, except: &[Version]| Batch {
        settled: Some(Settled { from: Version::ZERO, below, except: except.to_vec() }),
        ..Batch::default()
    };
    rig.batch(settled(id(1, 9), &[open]));
    assert_eq!((rig.state(done), rig.state(open)), (None, Some(TxnState::Prepared)));
    // Older news, and news that would take something back.
    rig.batch(settled(id(1, 1), &[]));
    rig.batch(settled(id(1, 9), &[done, open]));
    let report = rig.report();
    let settled_now = |below| Settled { from: Version::ZERO, below, except: vec![open] };
    assert_eq!(report.settled, [settled_now(id(1, 9))]);
    // Told again to commit what is settled: it was, and is not known any more.
    rig.batch(commits(done));
    assert_eq!(rig.exit, None);
    // A prepare that comes late is refused, not prepared anew.
    rig.votes();
    rig.batch(prepares([put(id(1, 3), "k")]));
    rig.settle();
    assert_eq!(rig.votes(), (vec![], vec![3]));
    // Even if it was said to be settled, an undecided one stays.
    rig.batch(settled(id(1, 10), &[]));
    assert_eq!(rig.state(open), Some(TxnState::Prepared));
}

#[test]
fn r8_an_announcement_that_says_nothing_new_is_not_logged() {
    let mut rig = Rig::ready();
    let settled = Settled { from: Version::ZERO, below: id(1, 9), except: vec![id(1, 2)] };
    let said = || Batch { settled: Some(settled.clone()), ..Batch::default() };
    rig.batch(said());
    let due = rig.node.next_deadline().expect("it waits for company in the log");
    let logged = rig.node.handle(due, Input::Tick);
    assert!(matches!(logged.as_slice(), [Effect::Log { .. }]), "{logged:?}");
    rig.batch(said());
    assert_eq!(rig.node.next_deadline(), None);
}

#[test]
fn r8_what_is_settled_of_one_epoch_leaves_older_ones_alone_and_all_of_it_adds_up() {
    let mut rig = Rig::ready();
    let (old, stuck, done) = (id(1, 1), id(1, 2), id(1, 3));
    rig.batch(prepares([put(old, "a"), put(stuck, "b"), put(done, "c")]));
    rig.settle();
    rig.batch(Batch { commit: vec![old, done], ..Batch::default() });
    let news = |from, below, except: &[Version]| Batch {
        settled: Some(Settled { from, below, except: except.to_vec() }),
        ..Batch::default()
    };
    let known = |rig: &mut Rig| rig.report().txns.iter().map(|txn| txn.id).collect::<Vec<_>>();
    // What cannot be, and what is empty, changes nothing.
    rig.batch(news(id(1, 9), id(1, 1), &[]));
    rig.batch(news(id(1, 3), id(1, 3), &[]));
    assert_eq!(known(&mut rig), [old, stuck, done]);
    rig.batch(news(id(1, 2), id(1, 9), &[stuck]));
    assert_eq!(known(&mut rig), [old, stuck]);
    rig.batch(news(id(2, 0), id(2, 5), &[]));
    let two = rig.report().settled;
    assert_eq!(two.iter().map(|range| range.from).collect::<Vec<_>>(), [id(1, 2), id(2, 0)]);
    let mut rig = rig.restart(usize::MAX);
    rig.open(2, Uuid(12), 1);
    assert_eq!(rig.report().settled, two, "the log tells the same");
    // News of part of a range takes its exceptions away, and of all of it takes its place.
    rig.batch(Batch { abort: aborts(stuck).abort, ..Batch::default() });
    rig.batch(news(id(1, 2), id(1, 4), &[]));
    assert_eq!(known(&mut rig), [old], "settled though the range that excepted it is longer");
    rig.batch(news(Version::ZERO, id(2, 4), &[old]));
    assert_eq!(rig.report().settled.len(), 2, "the end of the second range is still its own");
    rig.batch(news(Version::ZERO, id(2, 6), &[old, done]));
    let all = Settled { from: Version::ZERO, below: id(2, 6), except: vec![old] };
    assert_eq!(rig.report().settled, [all]);
    assert_eq!(known(&mut rig), [old]);
}

/// The ids and states that a node reports, and what it takes for settled.
fn told(rig: &mut Rig) -> (Vec<(Version, TxnState, bool)>, Vec<Settled>) {
    let report = rig.report();
    let txn = |txn: &protocol::peer::ReportedTxn| (txn.id, txn.state, txn.prepared.is_some());
    (report.txns.iter().map(txn).collect(), report.settled)
}

/// A node with one transaction in each state that it can be in, and one that is settled, all
/// durable; then a checkpoint of the keystore that covers it all.
fn one_of_each(checkpoint_bytes: u64) -> Rig {
    let mut rig = Rig::founded(Rig::with_checkpoint_bytes(checkpoint_bytes));
    let open = put(id(1, 1), "a");
    let unfit = Prepare { ring: RingNumber { epoch: Epoch(9), counter: 9 }, ..put(id(1, 3), "c") };
    rig.batch(prepares([open, put(id(1, 2), "b"), unfit, put(id(1, 4), "d"), put(id(1, 6), "f")]));
    rig.settle();
    let adopt = vec![Arc::new(put(id(1, 5), "e"))];
    let commit = vec![id(1, 2), id(1, 6)];
    rig.batch(Batch { commit, adopt, abort: aborts(id(1, 4)).abort, ..Batch::default() });
    rig.settle();
    let except: Vec<Version> = (1..=5).map(|counter| id(1, counter)).collect();
    let settled = Some(Settled { from: Version::ZERO, below: id(1, 9), except });
    rig.batch(Batch { settled, sync: true, ..Batch::default() });
    rig.settle();
    rig
}

#[test]
fn a_transaction_in_any_state_keeps_no_old_group_after_a_checkpoint() {
    for checkpoint_bytes in [0, 400, 1 << 20] {
        let mut rig = one_of_each(checkpoint_bytes);
        let before = told(&mut rig);
        assert_eq!(before.0.len(), 5, "{before:?}");
        let end = rig.logged.last().expect("groups").0;
        rig.hand(Input::Checkpointed(end));
        // As long as what carries it is not durable, nothing goes.
        assert_eq!(rig.freed, []);
        let groups = rig.logged.len();
        for stop in groups - 1..=groups {
            let mut again = rig.restart_after(GroupSeq(0), end, stop);
            again.open(1, Uuid(11), 50);
            assert_eq!(told(&mut again), before, "the old records are there, {stop}");
        }
        while checkpoint_bytes < 1 << 20 && rig.freed.last() != Some(&end) {
            // A small budget: one at a time, and the rest after the next checkpoint.
            rig.sync();
            let (freed, last) = (rig.freed.clone(), rig.logged.last().expect("groups").0);
            let through = freed.last().copied().unwrap_or_default();
            let mut again = rig.restart_after(through, end, usize::MAX);
            again.open(1, Uuid(11), 50);
            assert_eq!(told(&mut again), before, "after {through:?} went");
            assert!(last.0 < 100, "it comes to an end");
            rig.hand(Input::Checkpointed(end));
        }
        rig.sync();
        rig.sync();
        assert_eq!(rig.freed.last(), Some(&end), "at {checkpoint_bytes}");
        assert_eq!(told(&mut rig), before);
        let mut again = rig.restart_after(end, end, usize::MAX);
        again.open(1, Uuid(11), 50);
        assert_eq!(told(&mut again), before, "without the old groups");
        // What is carried can be decided, and a decision is never repeated wrongly.
        again.batch(commits(id(1, 1)));
        again.batch(commits(id(1, 2)));
        again.batch(aborts(id(1, 3)));
        again.settle();
        assert_eq!(again.exit, None);
        assert_eq!(again.state(id(1, 1)), Some(TxnState::Committed));
    }
}

#[test]
fn what_is_committed_behind_the_checkpoint_keeps_its_prepare() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "a"), put(id(1, 2), "b")]));
    rig.settle();
    let end = rig.logged.last().expect("groups").0;
    rig.batch(commits(id(1, 1)));
    rig.settle();
    rig.hand(Input::Checkpointed(end));
    rig.sync();
    let needed = GroupSeq(end.0 - 1);
    assert!(rig.freed.iter().all(|freed| *freed <= needed), "{:?}", rig.freed);
    // Its decision is in the next one.
    let end = rig.logged.last().expect("groups").0;
    rig.hand(Input::Checkpointed(end));
    rig.sync();
    assert_eq!(rig.freed.last(), Some(&end));
    let mut again = rig.restart_after(end, end, usize::MAX);
    again.open(1, Uuid(11), 50);
    assert_eq!(again.state(id(1, 1)), Some(TxnState::Committed));
    assert_eq!(again.state(id(1, 2)), Some(TxnState::Prepared));
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

#[test]
fn a_session_that_misses_a_message_ends_and_repeats_are_ignored() {
    let mut rig = Rig::ready();
    rig.n -= 1;
    rig.batch(prepares([put(id(1, 1), "k")]));
    assert!(rig.closed.is_empty(), "a repeat of a number is ignored");
    rig.n += 5;
    rig.batch(prepares([put(id(1, 2), "k")]));
    assert_eq!(rig.closed.len(), 1);
    assert_eq!((rig.state(id(1, 1)), rig.state(id(1, 2))), (None, None));
}

#[test]
fn r16_a_name_goes_with_the_first_write_and_survives_a_restart() {
    let once = || Once { name: "0123456789abcdef".parse().expect("16 bytes"), request_hash: 7 };
    let mut rig = Rig::ready();
    let mut named = put(id(1, 1), "a");
    named.writes.extend(put(id(1, 1), "b").writes);
    named.once = Some(once());
    rig.batch(prepares([named]));
    rig.settle();
    assert_eq!(rig.report().txns[0].prepared.as_ref().and_then(|p| p.once.clone()), Some(once()));
    rig.batch(commits(id(1, 1)));
    rig.hand(Input::Stop);
    rig.settle();
    assert_eq!(rig.applied, [(key("a"), id(1, 1)), (key("b"), id(1, 1))]);
    assert_eq!(rig.named, [(id(1, 1), once())]);
    let mut replayed = Vec::new();
    let mut restart = Restart::new(rig.meta.clone(), GroupSeq(0), 1 << 30, small_cache());
    for (seq, records) in &rig.logged {
        for record in records {
            restart.replay(*seq, record.clone(), &mut replayed);
        }
    }
    let named: Vec<Option<Once>> = replayed.into_iter().map(|write| write.once).collect();
    assert_eq!(named, [Some(once()), None]);
}

#[test]
fn r16_named_updates_are_told_in_portions_of_the_ranges_asked_for() {
    use protocol::peer::{OnceAsk, OnceEntry};
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "a")]));
    rig.settle();
    rig.batch(commits(id(1, 1)));
    let ask = OnceAsk { r: 5, after: Version::ZERO, ranges: vec![(Point(10), Point(19))] };
    rig.batch(Batch { once: vec![ask], once_from: Some(id(1, 0)), ..Batch::default() });
    assert_eq!((rig.applied.len(), &rig.dropped[..]), (1, &[id(1, 0)][..]), "applied before");
    let entry = |counter: u64| OnceEntry {
        version: id(1, counter),
        point: Point(counter % 20),
        once: Once { name: "0123456789abcdef".parse().expect("16 bytes"), request_hash: 7 },
    };
    let full: Vec<OnceEntry> = (1..=super::once::PORTION as u64).map(entry).collect();
    rig.up.clear();
    let token = rig.asked[0];
    rig.hand(Input::OncesRead { token, entries: full.clone() });
    rig.flush();
    let answer = rig.up[0].once[0].clone();
    assert_eq!((answer.r, answer.through), (5, full.last().map(|entry| entry.version)));
    let wanted = full.iter().filter(|entry| (10..20).contains(&entry.point.0));
    assert!(answer.entries.iter().eq(wanted) && !answer.entries.is_empty());
    // The last portion says so, also when nothing of it was asked for.
    let ask = OnceAsk { r: 6, after: Version::ZERO, ranges: vec![(Point(10), Point(19))] };
    rig.batch(Batch { once: vec![ask], ..Batch::default() });
    rig.up.clear();
    rig.hand(Input::OncesRead { token: rig.asked[1], entries: vec![entry(3)] });
    rig.flush();
    assert_eq!((rig.up[0].once[0].entries.len(), rig.up[0].once[0].through), (0, None));
}
