//! Events about transactions, and the figures that are made of them.

use protocol::event::{
    Body, Outcome, Role, Stats, Subscribe, Topic, Txn, TxnInDoubt, TxnResolved, VoteState,
};

use super::super::{Change, Write};
use super::events::{names, pick};
use super::*;

fn txns(events: &[Event]) -> Vec<Txn> {
    pick(events, |body| match body {
        Body::Txn(txn) => Some(txn.clone()),
        _ => None,
    })
}

fn open(events: &[Event]) -> Vec<Txn> {
    pick(events, |body| match body {
        Body::TxnOpen(open) => Some(open.0.clone()),
        _ => None,
    })
}

fn doubts(events: &[Event]) -> Vec<TxnInDoubt> {
    pick(events, |body| match body {
        Body::TxnInDoubt(doubt) => Some(doubt.clone()),
        _ => None,
    })
}

fn resolved(events: &[Event]) -> Vec<TxnResolved> {
    pick(events, |body| match body {
        Body::TxnResolved(resolved) => Some(resolved.clone()),
        _ => None,
    })
}

fn is_whole(txn: &Txn) -> bool {
    txn.decides.iter().all(|decide| decide.sent_us.is_some() && decide.confirmed_us.is_some())
}

#[test]
fn a_commit_is_told_with_its_phases_votes_and_decisions() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let id = world.next_id();
    world.slow.extend(0..3);
    world.put(4, &at, "v1");
    world.run();
    world.now = world.now.plus_us(500);
    world.slow.clear();
    world.run();
    assert_eq!(names(&world.heard()), [""; 0], "its confirmations are waited for");
    world.advance(200);
    let txns = txns(&world.heard());
    let [txn] = &txns[..] else { panic!("{txns:?}") };
    assert_eq!((txn.tx, txn.op.as_str(), txn.keys, txn.conn), (Some(id), "put", 1, 4));
    assert_eq!((&txn.key, txn.outcome), (&Some(at.clone()), Some(Outcome::Committed)));
    assert_eq!((txn.us_total, txn.batch_txns, &txn.reason), (500, 1, &None));
    let us = txn.us;
    assert_eq!((us.queued, us.batch_formed, us.prepare_sent), (Some(0), Some(0), Some(0)));
    assert_eq!((us.last_vote, us.cache, us.answered), (Some(500), Some(500), Some(500)));
    assert_eq!(txn.votes.len(), 2);
    for vote in &txn.votes {
        assert_eq!((vote.vote, vote.sent_us, vote.recv_us), (VoteState::Yes, Some(0), Some(500)));
        let node_us = vote.node_us.expect("it was asked for");
        assert_eq!((node_us.queue, node_us.append, node_us.sync), (490, 3, 7));
        let first = world.holders(&at)[0];
        let is_first = vote.node.as_str() == format!("n{}", first + 1);
        assert_eq!(vote.role, if is_first { Role::Primary } else { Role::Replica });
    }
    assert!(txn.decides.len() == 2 && is_whole(txn), "{txn:?}");
}

#[test]
fn node_times_are_asked_for_only_while_somebody_listens() {
    let mut world = World::founded();
    let at = world.some_key();
    let timed = |world: &World| {
        let cores = world.nodes.iter().filter_map(|node| node.core.as_ref());
        cores.filter(|core| core.is_timed()).count()
    };
    world.put(1, &at, "v1");
    world.advance(200);
    world.listen(&[Topic::Stats]);
    world.put(1, &at, "v2");
    world.advance(200);
    assert_eq!(timed(&world), 0);
    world.listen(&[Topic::Txn]);
    world.put(1, &at, "v3");
    world.advance(200);
    assert_eq!(timed(&world), 2);
    world.listen(&[]);
    world.put(1, &at, "v4");
    world.advance(200);
    assert_eq!(timed(&world), 0);
}

/// Contract: "for one older than 20 ms"
#[test]
fn an_old_transaction_is_told_while_it_is_open() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let id = world.next_id();
    world.mute.insert(1);
    world.put(1, &at, "v1");
    world.advance(20);
    assert_eq!(names(&world.heard()), [""; 0]);
    world.advance(200);
    let told = open(&world.heard());
    let [txn] = &told[..] else { panic!("once, while nothing is new: {told:?}") };
    assert_eq!((txn.tx, txn.outcome, txn.us.last_vote), (Some(id), None, None));
    let votes: Vec<VoteState> = txn.votes.iter().map(|vote| vote.vote).collect();
    assert_eq!(votes, [VoteState::Yes, VoteState::None]);
    assert_eq!(world.sides[0].core.txns_open(world.now).len(), 1);
    world.mute.clear();
    world.advance(300);
    let heard = world.heard();
    assert_eq!(names(&heard), ["txn"]);
    assert!(txns(&heard)[0].us_total >= 200_000);
    assert!(world.sides[0].core.txns_open(world.now).is_empty());
}

/// Contract: "for one older than 20 ms or watched"
#[test]
fn a_watched_transaction_is_told_while_it_is_young() {
    let mut world = World::founded();
    let tx = Some(world.next_id());
    let topics = [Topic::Txn].into_iter().collect();
    world.subscribe(0, Subscribe { topics, tx, ..Subscribe::default() });
    world.mute.insert(1);
    let at = world.some_key();
    world.put(1, &at, "v1");
    world.tell(0, Input::Tick);
    assert_eq!(open(&world.heard()).len(), 1);
}

#[test]
fn an_abort_is_told_with_the_vote_that_it_came_of() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let node = world.holders(&at)[0];
    world.mute.insert(node);
    let id = world.next_id();
    world.put(1, &at, "v1");
    world.run();
    world.say(node, |up| up.no = vec![Refusal { c: id.counter(), reason: "test".into() }]);
    world.mute.clear();
    world.advance(100);
    let txns = txns(&world.heard());
    let [txn] = &txns[..] else { panic!("{txns:?}") };
    assert_eq!((txn.tx, txn.outcome), (Some(id), Some(Outcome::Aborted)));
    assert_eq!(txn.reason.as_deref(), Some("aborted"));
    let no = |vote: &&protocol::event::Vote| vote.vote == VoteState::No;
    let refused: Vec<_> = txn.votes.iter().filter(no).map(|vote| vote.node.as_str()).collect();
    assert_eq!(refused, [format!("n{}", node + 1)]);
}

#[test]
fn what_is_refused_has_no_id_and_says_why() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let cas = Update::cas(at.clone(), Value::from("v"), Version::new(Epoch(1), 999));
    world.request(0, 1, ClientOp::Update(cas), 5_000);
    world.run();
    world.crash(0);
    world.put(1, &at, "v1");
    let told = txns(&world.heard());
    let ends: Vec<_> =
        told.iter().map(|txn| (txn.tx, txn.op.as_str(), txn.reason.as_deref())).collect();
    assert_eq!(ends, [(None, "cas", Some("not_found")), (None, "put", Some("replica_down"))]);
    assert!(told.iter().all(|txn| txn.outcome == Some(Outcome::Refused)));
    assert!(told.iter().all(|txn| txn.decides.is_empty() && txn.votes.len() == 2));
}

#[test]
fn one_that_waited_names_the_one_ahead_of_it() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let first = world.next_id();
    world.put(1, &at, "v1");
    world.put(2, &at, "v2");
    world.advance(400);
    let waited: Vec<_> = txns(&world.heard()).iter().map(|txn| txn.waited_for).collect();
    assert_eq!(waited, [None, Some(first)]);
}

#[test]
fn one_that_waited_on_any_of_its_keys_names_the_one_ahead() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let mut keys = [world.some_key(), Key::new("zz").expect("a short key")];
    keys.sort();
    let first = world.next_id();
    world.put(1, &keys[1], "v1");
    let write = |key: &Key| Write { key: key.clone(), change: Change::Put(Value::from("v2")) };
    let both = Update::txn(Vec::new(), keys.iter().map(write).collect());
    world.request(0, 2, ClientOp::Update(both), 5_000);
    world.advance(400);
    let waited: Vec<_> = txns(&world.heard()).iter().map(|txn| txn.waited_for).collect();
    assert_eq!(waited, [None, Some(first)]);
}

#[test]
fn when_it_was_sent_is_told_without_a_vote_and_without_the_link() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    world.mute.insert(1);
    world.put(1, &at, "v1");
    world.run();
    let asked = |world: &World| {
        let open = world.sides[0].core.txns_open(world.now);
        let [txn] = &open[..] else { panic!("{open:?}") };
        let votes = txn.votes.iter().map(|vote| (vote.vote, vote.sent_us)).collect::<Vec<_>>();
        (votes, txn.us.prepare_sent, txn.batch_txns)
    };
    let (yes, none) = ((VoteState::Yes, Some(0)), (VoteState::None, Some(0)));
    assert_eq!(asked(&world), (vec![yes, none], Some(0), 1));
    world.crash(1);
    assert_eq!(asked(&world), (vec![yes, (VoteState::Lost, Some(0))], Some(0), 1));
}

#[test]
fn samples_are_made_before_anything_is_built() {
    let mut world = World::founded();
    let topics = [Topic::Txn].into_iter().collect();
    world.subscribe(0, Subscribe { topics, max_per_s: 1, ..Subscribe::default() });
    let at = world.some_key();
    for _ in 0..10 {
        world.put(1, &at, "v");
        world.run();
    }
    world.advance(400);
    assert_eq!(txns(&world.heard()).len(), 1);
    // A condition may choose those that a sample would have left out.
    let only = protocol::event::Only { key_prefix: Some("k".into()), ..Default::default() };
    world.subscribe(0, Subscribe { topics, max_per_s: 1, only, ..Subscribe::default() });
    for _ in 0..10 {
        world.put(1, &at, "v");
        world.run();
    }
    world.advance(400);
    assert_eq!(txns(&world.heard()).len(), 10);
}

#[test]
fn a_doubt_is_told_once_and_so_is_its_end() {
    let mut world = World::founded();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let id = world.next_id();
    world.mute.insert(1);
    let put = world.put(1, &at, "v1");
    world.run();
    world.crash(1);
    world.mute.clear();
    world.advance(6_000);
    assert_eq!(code(world.answer(put)), Some(ErrorCode::UnknownOutcome));
    let heard = world.heard();
    let told = doubts(&heard);
    let [doubt] = &told[..] else { panic!("{told:?}") };
    let missing: Vec<&str> = doubt.missing.iter().map(|name| name.as_str()).collect();
    assert_eq!((doubt.tx, missing), (Some(id), vec!["n2"]));
    assert!(doubt.safe_action.contains("n2") && doubt.safe_action.contains("1.1"), "{doubt:?}");
    let votes: Vec<VoteState> = doubt.votes.iter().map(|vote| vote.vote).collect();
    assert_eq!(votes, [VoteState::Yes, VoteState::Lost]);
    assert!(txns(&heard).is_empty() && resolved(&heard).is_empty());
    world.restart(1);
    world.advance(500);
    let heard = world.heard();
    let end = TxnResolved { tx: Some(id), key: Some(at), outcome: Outcome::Committed };
    assert_eq!(resolved(&heard), [end]);
    let txns = txns(&heard);
    assert_eq!((txns.len(), txns[0].reason.as_deref()), (1, Some("unknown_outcome")));
    assert!(txns[0].votes.iter().all(|vote| vote.vote == VoteState::Yes), "a report is a vote");
}

#[test]
fn what_an_earlier_coordinator_left_is_in_doubt_until_its_nodes_are_there() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    world.mute.extend(0..3);
    world.put(1, &at, "v1");
    world.run();
    world.crash(1);
    world.kill(0);
    world.mute.clear();
    let side = world.start_alone(config(200));
    let topics = [Topic::Txn].into_iter().collect();
    world.subscribe(side, Subscribe { topics, ..Subscribe::default() });
    world.register(side, 0);
    world.register(side, 2);
    world.advance(3_000);
    let heard = std::mem::take(&mut world.sides[side].events);
    let told = doubts(&heard);
    let [doubt] = &told[..] else { panic!("{told:?}") };
    assert_eq!((doubt.tx, &doubt.key), (Some(id), &Some(at.clone())));
    assert_eq!(doubt.missing.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["n2"]);
    assert!(resolved(&heard).is_empty());
    world.restart(1);
    world.advance(500);
    let end = TxnResolved { tx: Some(id), key: Some(at), outcome: Outcome::Committed };
    assert_eq!(resolved(&world.sides[side].events), [end]);
}

#[test]
fn figures_are_those_of_half_a_second() {
    let mut world = World::founded();
    world.listen(&[Topic::Stats]);
    world.advance(100);
    world.heard();
    let at = world.some_key();
    world.slow.extend(0..3);
    world.put(1, &at, "v1");
    world.run();
    world.now = world.now.plus_us(700);
    world.slow.clear();
    world.run();
    world.forget(&at);
    world.get(1, &at);
    world.run();
    world.mute.insert(1);
    world.put(1, &at, "v2");
    world.advance(500);
    let all = pick(&world.heard(), |body| match body {
        Body::Stats(stats) => Some(stats.clone()),
        _ => None,
    });
    let [stats] = &all[..] else { panic!("{all:?}") };
    let update = stats.latency_us["update"];
    assert_eq!((update.count, update.max), (1, 700));
    assert_eq!(stats.latency_us["read"].count, 1);
    assert_eq!((stats.phases_us["last_vote"].max, stats.phases_us["answered"].max), (700, 0));
    assert_eq!((stats.batches, stats.batch_txns_p50), (4, 1), "two updates at two nodes");
    assert_eq!(stats.in_flight, 1);
    assert!((400..=500).contains(&stats.oldest_ms), "{}", stats.oldest_ms);
    assert_eq!((stats.per_node["n2"].txns, stats.per_node["n1"].txns), (1, 0));
    world.mute.clear();
    world.advance(1_000);
    let last: Vec<Stats> = pick(&world.heard(), |body| match body {
        Body::Stats(stats) => Some(stats.clone()),
        _ => None,
    });
    assert_eq!(last.last().map(|stats| (stats.in_flight, stats.batches)), Some((0, 0)));
}

#[test]
fn what_an_eviction_decides_is_in_doubt_no_more() {
    let mut world = super::membership::living();
    world.listen(&[Topic::Txn]);
    let at = world.some_key();
    let id = world.next_id();
    world.deaf.insert(1);
    world.put(1, &at, "v1");
    world.advance(300);
    world.crash(1);
    world.deaf.clear();
    world.advance(1_000);
    let told: Vec<_> = doubts(&world.heard()).into_iter().map(|doubt| doubt.tx).collect();
    assert_eq!(told, [Some(id)]);
    world.advance(4_000);
    world.settle();
    let heard = world.heard();
    let told = resolved(&heard);
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.tx, &told.key, told.outcome), (Some(id), &Some(at), Outcome::Committed));
    let told = txns(&heard);
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!((told.tx, told.outcome), (Some(id), Some(Outcome::Committed)));
    assert_eq!(told.reason.as_deref(), Some("unknown_outcome"), "its client was told that");
}
