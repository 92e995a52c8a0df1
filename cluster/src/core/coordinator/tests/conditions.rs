//! Updates under conditions, transactions, and reads of several keys: the rules one by one, in
//! adversarial orders.

use protocol::error::ErrorReply;
use protocol::peer::DownBody;

use super::super::{Change, Test, Write};
use super::*;

mod naive;

fn found_version(answer: Option<&Answer>) -> Version {
    let text = text(answer);
    let version = text.split('"').find_map(|word| word.parse().ok());
    version.unwrap_or_else(|| panic!("no version in {text}"))
}

fn error(answer: Option<&Answer>) -> ErrorReply {
    match answer {
        Some(Answer::Error(error)) => (**error).clone(),
        other => panic!("no error but {other:?}"),
    }
}

fn test(key: &Key, version: impl Into<Option<Version>>) -> Test {
    Test { key: key.clone(), version: version.into() }
}

fn put(key: &Key, value: &str) -> Write {
    Write { key: key.clone(), change: Change::Put(Value::from(value)) }
}

fn change(key: &Key, value: &str) -> Write {
    Write { key: key.clone(), change: Change::Update(Value::from(value)) }
}

impl World {
    fn update(&mut self, conn: u64, update: Update) -> ClientId {
        self.request(0, conn, ClientOp::Update(update), 5_000)
    }

    fn cas(&mut self, conn: u64, at: &Key, value: &str, version: Version) -> ClientId {
        self.update(conn, Update::cas(at.clone(), Value::from(value), version))
    }

    fn if_absent(&mut self, conn: u64, at: &Key, value: &str) -> ClientId {
        self.update(conn, Update::put_if_absent(at.clone(), Value::from(value)))
    }

    fn txn(&mut self, conn: u64, tests: Vec<Test>, writes: Vec<Write>) -> ClientId {
        self.update(conn, Update::txn(tests, writes))
    }

    fn mget(&mut self, conn: u64, keys: &[&Key]) -> ClientId {
        let keys = keys.iter().map(|key| (*key).clone()).collect();
        self.request(0, conn, ClientOp::Mget(keys), 5_000)
    }

    /// Puts a value, and lets it be applied everywhere.
    fn have(&mut self, at: &Key, value: &str) -> Version {
        let put = self.put(99, at, value);
        self.run();
        self.advance(50);
        found_version(self.answer(put))
    }

    /// A key of exactly these nodes.
    fn key_at(&self, nodes: [usize; 2], name: &str) -> Key {
        let keys = (0..1_000).map(|n| key(&format!("{name}-{n}")));
        let there = |key: &Key| {
            let mut holders = self.holders(key);
            holders.sort_unstable();
            holders == nodes
        };
        keys.into_iter().find(there).expect("some key is there")
    }

    /// Lets a node refuse what it is asked to look at now: it finds another version of the key.
    fn look_wrong(&mut self, node: usize, at: &Key) {
        let other =
            Found { version: Version::new(Epoch(1), 1 << 40), value: Some(Value::from("wrong")) };
        let there = self.nodes[node].keys.insert(at.clone(), other);
        self.run();
        match there {
            Some(there) => self.nodes[node].keys.insert(at.clone(), there),
            None => self.nodes[node].keys.remove(at),
        };
    }

    /// How many transactions a node has prepared.
    fn prepared(&self, node: usize) -> usize {
        let records = self.nodes[node].log.iter().flat_map(|(_, records)| records);
        records.filter(|record| matches!(record, LogRecord::Prepare(_))).count()
    }

    fn conn_to(&self, node: usize) -> ConnId {
        *self.wires.iter().find(|(_, wire)| wire.node == node).expect("a link").0
    }
}

#[test]
fn conditions_are_decided_by_what_is_there() {
    let mut world = World::founded();
    let at = world.some_key();
    let wrong = Version::new(Epoch(1), 1 << 40);
    let value = || Value::from("w");
    let update = world.update(1, Update::put_existing(at.clone(), value()));
    let cas = world.cas(1, &at, "w", wrong);
    let del = world.update(1, Update::del(at.clone(), Some(wrong)));
    let first = world.if_absent(1, &at, "v1");
    let second = world.if_absent(1, &at, "v2");
    world.run();
    for client in [update, cas, del] {
        assert_eq!(code(world.answer(client)), Some(ErrorCode::NotFound));
    }
    let version = found_version(world.answer(first));
    let exists = error(world.answer(second));
    assert_eq!((exists.code, exists.version), (ErrorCode::Exists, Some(version)));
    let cas = world.cas(1, &at, "w", wrong);
    let del = world.update(1, Update::del(at.clone(), Some(wrong)));
    world.run();
    for client in [cas, del] {
        let error = error(world.answer(client));
        assert_eq!((error.code, error.version), (ErrorCode::VersionMismatch, Some(version)));
        assert_eq!(error.key.as_deref(), Some(at.as_str()));
    }
    let cas = world.cas(1, &at, "v3", version);
    world.run();
    let version = found_version(world.answer(cas));
    let update = world.update(1, Update::put_existing(at.clone(), Value::from("v4")));
    world.run();
    assert!(found_version(world.answer(update)) > version);
    let version = found_version(world.answer(update));
    let del = world.update(1, Update::del(at.clone(), Some(version)));
    let again = world.if_absent(1, &at, "v5");
    world.run();
    assert!(is_ok(world.answer(del)) && is_ok(world.answer(again)), "{:?}", world.answer(again));
    world.advance(50);
    for node in world.holders(&at) {
        assert_eq!(world.value(node, &at), Some(Value::from("v5")));
    }
}

#[test]
fn a_transaction_is_all_or_nothing_across_nodes_and_names_the_key_that_refuses_it() {
    let mut world = World::founded();
    let (a, b, c) =
        (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"), world.key_at([0, 2], "c"));
    let v1 = world.have(&a, "a1");
    let refused = world.txn(1, vec![test(&a, v1), test(&b, v1)], vec![put(&c, "c1")]);
    let present = world.txn(1, vec![test(&a, None)], vec![put(&c, "c1")]);
    let missing = world.txn(1, vec![test(&a, v1)], vec![put(&c, "c1"), change(&b, "b1")]);
    let done = world.txn(1, vec![test(&a, v1), test(&b, None)], vec![put(&b, "b1"), put(&c, "c1")]);
    world.run();
    let error_of = |client| {
        let error = error(world.answer(client));
        (error.code, error.version, error.key)
    };
    let name = |key: &Key| Some(key.as_str().to_owned());
    assert_eq!(error_of(refused), (ErrorCode::VersionMismatch, None, name(&b)));
    assert_eq!(error_of(present), (ErrorCode::VersionMismatch, Some(v1), name(&a)));
    assert_eq!(error_of(missing), (ErrorCode::NotFound, None, name(&b)));
    let version = found_version(world.answer(done));
    world.advance(50);
    for (key, value) in [(&a, "a1"), (&b, "b1"), (&c, "c1")] {
        for node in world.holders(key) {
            assert_eq!(world.value(node, key), Some(Value::from(value)));
        }
    }
    let stale = world.cas(2, &c, "c2", v1);
    world.run();
    assert_eq!(error(world.answer(stale)).version, Some(version));
}

#[test]
fn h18_an_abort_in_a_chain_takes_what_rests_on_it_and_nothing_else() {
    let mut world = World::founded();
    let at = world.some_key();
    let v1 = world.have(&at, "v1");
    let id = world.next_id();
    // All of them are handed over before anything is decided.
    let first = world.cas(1, &at, "v2", v1);
    let rests = world.update(2, Update::put_existing(at.clone(), Value::from("v3")));
    let rests_on_that = world.cas(3, &at, "v4", Version::new(id.epoch(), id.counter() + 1));
    let blind = world.put(4, &at, "v5");
    let on_blind = world.cas(5, &at, "v6", Version::new(id.epoch(), id.counter() + 3));
    assert_eq!(world.next_id().counter(), id.counter() + 5);
    world.look_wrong(0, &at);
    for client in [first, rests, rests_on_that] {
        assert_eq!(code(world.answer(client)), Some(ErrorCode::Aborted));
    }
    assert!(is_ok(world.answer(blind)) && is_ok(world.answer(on_blind)));
    world.advance(50);
    for node in world.holders(&at) {
        assert_eq!(world.value(node, &at), Some(Value::from("v6")));
    }
}

#[test]
fn h20_a_refusal_by_an_undecided_write_is_evaluated_again_when_that_is_decided() {
    for abort in [false, true] {
        let mut world = World::founded();
        let at = world.some_key();
        let first = world.if_absent(1, &at, "v1");
        let second = world.if_absent(2, &at, "v2");
        world.run_held(&at, abort);
        assert!(world.answer(second).is_none(), "it rests on one that is not decided");
        world.mute.clear();
        world.run();
        if abort {
            assert_eq!(code(world.answer(first)), Some(ErrorCode::Aborted));
            assert!(is_ok(world.answer(second)), "{:?}", world.answer(second));
        } else {
            let version = found_version(world.answer(first));
            assert_eq!(error(world.answer(second)).version, Some(version));
        }
    }
}

impl World {
    /// Lets the cold reads of a key be answered, and its first update be prepared, with a refusal
    /// at one node if it is to abort; holds the votes back.
    fn run_held(&mut self, at: &Key, abort: bool) {
        let id = self.next_id();
        while self.next_id() == id {
            let mut any = self.tell(0, Input::Flush);
            for node in 0..self.nodes.len() {
                any |= self.ask(node, node::Input::Flush);
            }
            assert!(self.deliver() || any, "the cold read is answered");
        }
        self.mute.extend([0, 1]);
        if abort {
            self.look_wrong(0, at);
        } else {
            self.run();
        }
    }
}

#[test]
fn a_narrow_update_behind_a_wide_undecided_one_is_held_and_not_lost_with_it() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    world.have(&a, "a1");
    world.have(&b, "b1");
    let before: Vec<usize> = (0..3).map(|node| world.prepared(node)).collect();
    // Node 2 never hears of the wide one.
    world.deaf.insert(2);
    let wide = world.txn(1, vec![], vec![put(&a, "a2"), put(&b, "b2")]);
    let narrow = world.update(2, Update::put_existing(a.clone(), Value::from("a3")));
    let blind = world.put(3, &a, "a4");
    world.run();
    assert!(world.answer(wide).is_none());
    assert!(world.answer(narrow).is_none() && world.answer(blind).is_none());
    let after: Vec<usize> = (0..3).map(|node| world.prepared(node)).collect();
    assert_eq!(after, [before[0] + 1, before[1] + 1, before[2]], "the narrow ones are held");
    world.kill(0);
    world.deaf.clear();
    let side = world.start(successor(200));
    world.run();
    world.advance(50);
    assert!(world.sides[side].active);
    for (key, value) in [(&a, "a1"), (&b, "b1")] {
        let get = world.request(side, 1, ClientOp::Get(key.clone()), 5_000);
        world.run();
        assert!(text(world.answer(get)).contains(value), "{:?}", world.answer(get));
    }
}

#[test]
fn a_wide_update_rests_on_a_narrow_one_that_is_not_due_at_all_its_nodes() {
    for abort in [false, true] {
        let mut world = World::founded();
        let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
        world.have(&a, "a1");
        let id = world.next_id();
        let narrow = world.update(1, Update::put_existing(a.clone(), Value::from("a2")));
        // It tests what the narrow one writes, and writes elsewhere too.
        let wide = world.txn(2, vec![test(&a, id)], vec![change(&a, "a3"), put(&b, "b3")]);
        assert_eq!(world.next_id().counter(), id.counter() + 2, "both are handed over");
        if abort {
            world.look_wrong(0, &a);
            assert_eq!(code(world.answer(narrow)), Some(ErrorCode::Aborted));
            assert_eq!(code(world.answer(wide)), Some(ErrorCode::Aborted));
        } else {
            world.run();
            assert!(is_ok(world.answer(narrow)), "{:?}", world.answer(narrow));
            assert!(is_ok(world.answer(wide)), "{:?}", world.answer(wide));
        }
        world.advance(50);
        let expected = if abort { Some(Value::from("a1")) } else { Some(Value::from("a3")) };
        for node in [0, 1] {
            assert_eq!(world.value(node, &a), expected);
        }
        for node in [1, 2] {
            assert_eq!(world.value(node, &b).is_some(), !abort);
        }
    }
}

#[test]
fn a_cold_condition_overtaken_by_an_update_ahead_of_it_is_void() {
    // A value that is not cached leaves nothing but the node to ask a second time.
    for length in [2, 20_000] {
        let mut world = World::founded();
        let at = world.some_key();
        let v1 = world.have(&at, "v1");
        world.forget(&at);
        world.stuck.extend([0, 1]);
        let ahead =
            world.update(1, Update::put_existing(at.clone(), Value::from(&*"y".repeat(length))));
        let behind = world.cas(2, &at, "v3", v1);
        let third = world.update(3, Update::del(at.clone(), Some(v1)));
        world.run();
        assert_eq!(world.sides[0].core.reads.len(), 3, "all of them are read ahead");
        world.stuck.clear();
        world.run();
        let version = found_version(world.answer(ahead));
        for client in [behind, third] {
            let error = error(world.answer(client));
            assert_eq!((error.code, error.version), (ErrorCode::VersionMismatch, Some(version)));
        }
        assert!(world.sides[0].core.reads.is_empty());
    }
}

#[test]
fn ids_rise_in_queue_order_on_every_key_of_transactions_too() {
    let mut world = World::founded();
    let keys = [world.key_at([0, 1], "a"), world.key_at([1, 2], "b"), world.key_at([0, 2], "c")];
    let mut asked: Vec<(Vec<usize>, ClientId)> = Vec::new();
    for n in 0..60 {
        let (one, other) = (n % 3, (n / 3) % 3);
        let text = format!("{n}");
        let client = if n % 4 == 0 && one != other {
            let writes = vec![put(&keys[one], &text), put(&keys[other], &text)];
            asked.push((vec![one, other], world.txn(n as u64 % 5, vec![], writes)));
            continue;
        } else {
            world.put(n as u64 % 5, &keys[one], &text)
        };
        asked.push((vec![one], client));
    }
    world.run();
    for key in 0..keys.len() {
        let mine = asked.iter().filter(|(keys, _)| keys.contains(&key));
        let versions: Vec<Version> = mine.map(|(_, c)| found_version(world.answer(*c))).collect();
        assert!(versions.len() > 15 && versions.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[test]
fn an_mget_is_one_cut_whatever_is_committed_while_a_node_is_asked() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    let none = world.key_at([0, 2], "none");
    let both = |value: &str| vec![put(&a, value), put(&b, value)];
    world.txn(1, vec![], both("x1"));
    world.run();
    world.advance(50);
    world.forget(&b);
    let first = world.holders(&b)[0];
    world.stuck.insert(first);
    let mget = world.mget(2, &[&a, &b, &a]);
    world.run();
    let newer = world.txn(1, vec![], both("x2"));
    world.run();
    assert!(is_ok(world.answer(newer)) && world.answer(mget).is_none());
    world.stuck.clear();
    world.run();
    let values = text(world.answer(mget));
    assert_eq!((values.matches("x1").count(), values.contains("x2")), (3, false), "{values}");
    // If a node must be asked again, so is everything.
    world.advance(50);
    world.forget(&b);
    world.stuck.insert(first);
    let mget = world.mget(2, &[&a, &b, &none]);
    world.run();
    let newest = world.txn(1, vec![], both("x3"));
    world.run();
    assert!(is_ok(world.answer(newest)) && world.answer(mget).is_none());
    let late: Vec<_> = world.nodes[first].looks.drain(..).collect();
    assert!(!late.is_empty());
    let conn = world.conn_to(first);
    world.cut(conn);
    world.stuck.clear();
    world.run();
    world.advance(200);
    let values = text(world.answer(mget));
    assert_eq!((values.matches("x3").count(), values.contains("x2")), (2, false), "{values}");
    assert!(values.contains("null"), "{values}");
}

#[test]
fn an_mget_sees_all_of_a_commit_that_goes_out_in_the_same_message_or_nothing() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    let both = |value: &str| vec![put(&a, value), put(&b, value)];
    world.txn(1, vec![], both("x1"));
    world.run();
    world.advance(50);
    world.forget(&b);
    world.mute.extend([0, 1, 2]);
    let newer = world.txn(1, vec![], both("x2"));
    world.run();
    // The last votes come after the mget and before anything is sent.
    let mget = world.mget(2, &[&a, &b]);
    world.mute.clear();
    world.deliver();
    assert!(is_ok(world.answer(newer)));
    world.run();
    let values = text(world.answer(mget));
    assert!(!(values.contains("x1") && values.contains("x2")), "{values}");
}

#[test]
fn an_mget_over_the_length_of_a_reply_is_refused() {
    let mut world = World::founded();
    let keys: Vec<Key> = (0..5).map(|n| key(&format!("large-{n}"))).collect();
    for at in &keys {
        world.put(1, at, &"x".repeat(1 << 20));
    }
    world.run();
    let mget = world.mget(1, &keys.iter().collect::<Vec<_>>());
    let fits = world.mget(1, &keys[1..4].iter().collect::<Vec<_>>());
    world.run();
    assert_eq!(code(world.answer(mget)), Some(ErrorCode::TooLarge));
    assert!(is_ok(world.answer(fits)));
    assert_eq!((world.sides[0].core.reads.len(), world.sides[0].core.keys_read), (0, 0));
}

#[test]
fn r11_a_condition_on_a_key_that_is_not_written_holds_only_under_the_lease() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    let version = world.have(&a, "a1");
    world.mute.extend([0, 1, 2]);
    world.now = world.sides[0].lease;
    let id = world.next_id();
    let elsewhere = world.txn(1, vec![test(&a, version)], vec![put(&b, "b1")]);
    let refused = world.txn(2, vec![test(&a, None)], vec![put(&a, "a2")]);
    assert_eq!(code(world.answer(elsewhere)), Some(ErrorCode::Aborted));
    assert!(world.answer(refused).is_none(), "a refusal waits for the lease");
    assert_eq!(world.next_id(), id, "nothing was handed over");
    // What it writes as well is checked by those that prepare it.
    let same = world.txn(3, vec![test(&b, None)], vec![put(&b, "b1")]);
    world.run();
    world.mute.clear();
    world.advance(1_000);
    assert!(is_ok(world.answer(same)), "{:?}", world.answer(same));
    assert_eq!(error(world.answer(refused)).version, Some(version));
    let elsewhere = world.txn(1, vec![test(&a, version)], vec![put(&b, "b2")]);
    world.run();
    assert!(is_ok(world.answer(elsewhere)), "with a lease");
}

#[test]
fn one_connection_sees_its_own_order_on_every_shared_key() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    world.have(&a, "a1");
    world.have(&b, "b1");
    world.mute.insert(0);
    let put_a = world.put(1, &a, "a2");
    let own = world.mget(1, &[&a, &b]);
    let other = world.mget(2, &[&a, &b]);
    // Behind the mget, which has not been read yet.
    let put_b = world.put(1, &b, "b2");
    let get_b = world.get(1, &b);
    world.run();
    assert!(text(world.answer(other)).contains("a1"));
    for client in [put_a, own, put_b, get_b] {
        assert!(world.answer(client).is_none());
    }
    world.mute.clear();
    world.run();
    let values = text(world.answer(own));
    assert!(values.contains("a2") && values.contains("b1"), "{values}");
    assert!(text(world.answer(get_b)).contains("b2"));
}

#[test]
fn what_ends_before_its_turn_leaves_the_order_of_the_others_as_it_is() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([1, 2], "b"));
    world.have(&a, "a1");
    world.have(&b, "b1");
    world.mute.insert(0);
    let put_a = world.put(1, &a, "a2");
    let keys = vec![a.clone(), b.clone()];
    let impatient = world.request(0, 1, ClientOp::Mget(keys), 100);
    let get_a = world.get(1, &a);
    let get_b = world.get(1, &b);
    world.run();
    assert!(world.answer(get_b).is_none());
    world.advance(150);
    assert_eq!(code(world.answer(impatient)), Some(ErrorCode::Unavailable));
    assert!(world.answer(put_a).is_none() && world.answer(get_a).is_none());
    assert!(is_ok(world.answer(get_b)), "it shares no key with what is left before it");
    world.mute.clear();
    world.run();
    assert!(text(world.answer(get_a)).contains("a2"));
}

#[test]
fn r13_a_wait_for_a_cold_condition_ends_and_leaves_nothing_behind() {
    let mut world = World::founded();
    let (a, b) = (world.key_at([0, 1], "a"), world.key_at([0, 2], "b"));
    let txn = |world: &mut World, tests, writes| {
        let update = ClientOp::Update(Update::txn(tests, writes));
        world.request(0, 1, update, 300)
    };
    world.stuck.extend([0, 1, 2]);
    let waits = txn(&mut world, vec![test(&a, None)], vec![put(&b, "b1")]);
    world.advance(400);
    assert_eq!(code(world.answer(waits)), Some(ErrorCode::Timeout), "it was not handed over");
    let core = &world.sides[0].core;
    assert_eq!((core.reads.len(), core.keys_read, core.queued), (0, 0, 0));
    world.stuck.clear();
    world.run();
    world.mute.insert(0);
    let sent = txn(&mut world, vec![], vec![put(&a, "a2"), put(&b, "b2")]);
    let behind = world.request(0, 2, ClientOp::Update(Update::del(a.clone(), None)), 400);
    world.advance(500);
    assert_eq!(code(world.answer(sent)), Some(ErrorCode::UnknownOutcome), "it was handed over");
    assert_eq!(code(world.answer(behind)), Some(ErrorCode::Timeout), "it is held: too narrow");
    world.mute.clear();
    world.run();
    world.advance(50);
    assert_eq!(world.value(0, &a), Some(Value::from("a2")), "it does not end with a wait");
    assert_eq!(world.value(2, &b), Some(Value::from("b2")));
}
