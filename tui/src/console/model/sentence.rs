//! Each thing that comes in as one sentence, for lists.
//!
//! Used by the views Events and Overview, and by transcripts. What comes from outside stands in it
//! as it came: whoever shows it makes it safe.

use protocol::event::{
    Body, Divergence, DivergenceKind, Event, MemberRecovery, MemberState, Outcome, Proc, ProcState,
    RecoveryPhase, RingEpoch, Transfer, Txn, TxnOpen,
};
use protocol::ids::{Key, NodeName, Version};
use protocol::status::NodeState;

use super::clock::{ago, count, micros, some};
use super::feed::FeedState;
use super::node::is_missed_by_nobody;
use super::record::{Entry, What};
use super::story::rot::{range_words, what_is_wrong, what_mends};

/// A sentence, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The server it is about; empty: the cluster.
    pub server: String,
    /// The kind, in one short word.
    pub kind: &'static str,
    /// What happened.
    pub text: String,
    /// Whether it is bad, good, or neither.
    pub mood: Mood,
}

/// How a sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It is as it should be.
    Plain,
    /// Something is better than before.
    Good,
    /// Something is not as it should be.
    Worry,
    /// Something is amiss.
    Bad,
}

/// The sentence of an entry.
pub fn sentence(entry: &Entry) -> Sentence {
    match &entry.what {
        What::Link(state) => link(entry.feed.as_str(), state),
        What::Event(event) => of_event(event),
    }
}

fn made(server: &str, kind: &'static str, mood: Mood, text: String) -> Sentence {
    Sentence { server: server.to_owned(), kind, text, mood }
}

fn link(feed: &str, state: &FeedState) -> Sentence {
    let (mood, text) = match state {
        FeedState::Absent => (Mood::Plain, format!("the console has no {feed} to connect to")),
        FeedState::Connecting => (Mood::Plain, format!("the console tries to reach the {feed}")),
        FeedState::Live => (Mood::Good, format!("the console is connected to the {feed}")),
        FeedState::Lost(why) => (Mood::Bad, format!("lost: {why}")),
    };
    made(feed, "link", mood, text)
}

fn of_event(event: &Event) -> Sentence {
    match &event.body {
        Body::Txn(_) | Body::TxnOpen(_) | Body::TxnInDoubt(_) | Body::TxnResolved(_) => {
            of_txn(&event.body)
        }
        Body::Proc(told) => of_process(told),
        Body::Snapshot(_)
        | Body::ProcsSnapshot(_)
        | Body::Lagged(_)
        | Body::Admin(_)
        | Body::Inject(_)
        | Body::Other(_) => of_source(event),
        Body::Heartbeat(_)
        | Body::HeartbeatMissed(_)
        | Body::MemberState(_)
        | Body::MemberRecovery(_)
        | Body::Link(_)
        | Body::Divergence(_)
        | Body::Copies(_) => of_member(&event.body),
        _ => of_figures(event),
    }
}

fn of_source(event: &Event) -> Sentence {
    let source = event.source.as_str();
    match &event.body {
        Body::Lagged(lagged) => {
            let dropped = lagged.dropped.values().copied().fold(0, u64::saturating_add);
            let were = if dropped == 1 { "was" } else { "were" };
            let text =
                format!("the console was too slow: {} {were} left out", some(dropped, "event"));
            made(source, "feed", Mood::Worry, text)
        }
        Body::Admin(admin) => {
            let target = admin.target.as_deref().unwrap_or("");
            let mood = if admin.result == "ok" { Mood::Plain } else { Mood::Worry };
            let refused = match admin.result.as_str() {
                "ok" => String::new(),
                code => format!(": refused, {code}"),
            };
            let text = format!("{} asked for: {} {target}{refused}", admin.by, admin.action);
            made(target, "admin", mood, text)
        }
        Body::Inject(told) => {
            let text = format!(
                "a fault for teaching, {}: {} of {} still to come",
                told.fault, told.left, told.count
            );
            made(&told.proc, "fault", Mood::Worry, text)
        }
        Body::Other(kind) => made(
            source,
            "other",
            Mood::Plain,
            format!("a kind that this console does not know: {kind}"),
        ),
        _ => {
            let text = format!("the {source} told how everything is (a snapshot)");
            made(source, "feed", Mood::Plain, text)
        }
    }
}

fn of_member(body: &Body) -> Sentence {
    match body {
        Body::Heartbeat(beat) => made(
            beat.node.as_str(),
            "beat",
            Mood::Plain,
            format!("heartbeat {} came, {} late", beat.hb_seq, micros(beat.delay_us)),
        ),
        Body::HeartbeatMissed(missed) => made(
            missed.node.as_str(),
            "beat",
            Mood::Worry,
            match missed.missed {
                1 => format!("a heartbeat missed, silent for {}", ago(missed.silent_ms)),
                n => format!("{n} heartbeats missed, silent for {}", ago(missed.silent_ms)),
            },
        ),
        Body::MemberState(change) => of_state(change),
        Body::Divergence(found) => of_divergence(found),
        Body::MemberRecovery(step) => of_recovery(step),
        Body::Link(link) => {
            let state = serde_name(&link.state);
            let retry = link.retry_ms.map_or(String::new(), |ms| format!(", next try in {ms} ms"));
            made(
                link.peer.as_str(),
                "link",
                Mood::Plain,
                format!("its link to the coordinator is {state}{retry}"),
            )
        }
        Body::Copies(copies) => {
            let counts = copies.by_live_copies.iter().rev();
            let counts: Vec<String> =
                counts.map(|(n, keys)| format!("{} with {n}", count(*keys))).collect();
            let (mood, unwritable) = match copies.unwritable {
                // Some have fewer than others: they are being copied, or somebody is not up.
                0 if counts.len() > 1 => (Mood::Plain, "all can be written".to_owned()),
                0 => (Mood::Good, "all can be written".to_owned()),
                keys => (Mood::Worry, format!("{} cannot be written", count(keys))),
            };
            let text = match counts.as_slice() {
                [] if !copies.uncounted.is_empty() => "keys are being counted".to_owned(),
                [] => "there are no keys".to_owned(),
                counts => {
                    let least = match copies.uncounted.is_empty() {
                        true => "",
                        false => ", not all counted yet",
                    };
                    format!("keys by live copies: {}{least}; {unwritable}", counts.join(", "))
                }
            };
            made("", "copies", mood, text)
        }
        _ => made("", "member", Mood::Plain, body.name().into()),
    }
}

fn of_divergence(found: &Divergence) -> Sentence {
    let nodes: Vec<&str> = found.nodes.iter().map(NodeName::as_str).collect();
    let keys: Vec<&str> = found.keys.iter().map(Key::as_str).collect();
    let (nodes, keys) = (nodes.join(", "), keys.join(", "));
    let range = range_words(found).map_or(String::new(), |range| format!("; {range}"));
    let text = match (found.repaired, found.kind) {
        (0, kind) => {
            let (node, text) = what_is_wrong(found);
            return made(&node, "rot", Mood::Bad, format!("{text}; {}{range}", what_mends(kind)));
        }
        (_, DivergenceKind::Unreadable) => "can read all of its keystore again".to_owned(),
        (1, DivergenceKind::Checksum) if !keys.is_empty() => {
            format!("a whole copy is in the place of the damaged record of {keys}")
        }
        (n, DivergenceKind::Checksum) if !keys.is_empty() => {
            format!("whole copies are in the place of {} damaged records, of {keys}", count(n))
        }
        (_, DivergenceKind::Checksum) => format!("has no damaged record any more{range}"),
        _ => {
            let text = format!("the copies on {nodes} are alike again{range}");
            return made("", "rot", Mood::Good, text);
        }
    };
    made(&nodes, "rot", Mood::Good, text)
}

fn of_state(change: &MemberState) -> Sentence {
    let (mood, now) = match change.to {
        NodeState::Up => (Mood::Good, "UP".to_owned()),
        NodeState::Down if is_missed_by_nobody(change) => {
            let text = "has ended, and has no place".to_owned();
            return made(change.node.as_str(), "member", Mood::Plain, text);
        }
        NodeState::Down => (Mood::Bad, "DOWN".to_owned()),
        // Whoever is asked to go, and whoever comes, is no worry.
        NodeState::Evicted if change.from == NodeState::Leaving => {
            let text = "has left: others have all that it had".to_owned();
            return made(change.node.as_str(), "member", Mood::Plain, text);
        }
        NodeState::Evicted if change.reason == "admin" => (Mood::Worry, change.to.to_string()),
        NodeState::Evicted => (Mood::Bad, change.to.to_string()),
        NodeState::Joining | NodeState::Leaving => (Mood::Plain, change.to.to_string()),
        _ => (Mood::Worry, change.to.to_string()),
    };
    let why = reason_words(&change.reason);
    let keys = match change.keys_unwritable {
        0 => String::new(),
        keys => format!("; {} not writable", some(keys, "key")),
    };
    let text = format!("{now}: {why}{keys}");
    made(change.node.as_str(), "member", mood, text)
}

/// What a node that comes back is at.
pub fn recovery_words(phase: RecoveryPhase) -> &'static str {
    match phase {
        RecoveryPhase::Log => "is back: asked what its log remembers",
        RecoveryPhase::Decisions => "is told what was decided meanwhile",
        RecoveryPhase::Copy => "copies what it missed",
        RecoveryPhase::Ready => "has all it needs",
        RecoveryPhase::Other => "comes back",
    }
}

/// How long a step of a return took, in words.
pub fn took(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { ago(ms) }
}

fn of_recovery(step: &MemberRecovery) -> Sentence {
    let what = recovery_words(step.phase);
    let of = match step.total {
        0 => String::new(),
        total => format!(" {} of {total}", step.done),
    };
    let text = format!("{what}{of}, {} after its first step", took(step.ms));
    made(step.node.as_str(), "member", Mood::Plain, text)
}

fn of_figures(event: &Event) -> Sentence {
    let body = &event.body;
    match body {
        Body::CoordinatorState(told) => {
            let mood = if told.serving_share > 0.0 { Mood::Good } else { Mood::Worry };
            let doubts = match (told.in_doubt, told.resolved) {
                (0, 0) => String::new(),
                (open, done) => format!("; {} in doubt, {done} decided", some(open, "update")),
            };
            let text = format!(
                "{} in epoch {}: {} answered, {} needed; {:.0} % of the keys served{doubts}",
                told.state,
                event.epoch,
                some(told.answered.into(), "node"),
                told.needed,
                told.serving_share * 100.0
            );
            made("coordinator", "coord", mood, text)
        }
        Body::RingEpoch(told) => made("", "ring", Mood::Plain, ring(told)),
        Body::Transfer(told) => made(told.target.as_str(), "copy", Mood::Plain, copied(told)),
        Body::Stats(stats) => made(
            "coordinator",
            "stats",
            Mood::Plain,
            format!(
                "figures: {} under way, {}",
                some(stats.in_flight, "update"),
                some(stats.conns, "connection")
            ),
        ),
        Body::CacheTotals(totals) => made(
            "",
            "cache",
            Mood::Plain,
            format!("the counters of {}", some(totals.servers.len() as u64, "cache")),
        ),
        Body::CacheSets(sets) => {
            let text = match (sets.sets.first(), sets.sets.last()) {
                (Some(first), Some(last)) => {
                    format!("the bits of sets {} to {}", first.set, last.set)
                }
                _ => "the bits of no set".into(),
            };
            made(&sets.server, "cache", Mood::Plain, text)
        }
        Body::CacheSet(set) => {
            made(&set.server, "cache", Mood::Plain, format!("set {}, closely", set.set))
        }
        Body::CacheEvict(sweep) => {
            let victim = sweep.steps.last().and_then(|step| step.key.as_ref());
            let victim = victim.map_or("nothing".to_owned(), |key| key.as_str().to_owned());
            let key = sweep.trigger_key.as_str();
            let text = format!("set {}: {victim} had to go for {key}", sweep.set);
            made(&sweep.server, "cache", Mood::Plain, text)
        }
        _ => made("", "other", Mood::Plain, body.name().into()),
    }
}

fn ring(told: &RingEpoch) -> String {
    let moves = match told.moves.len() {
        0 => String::new(),
        1 => "; 1 stretch is copied".into(),
        n => format!("; {n} stretches are copied"),
    };
    format!(
        "ring {}.{} is in force: {}, durable on {}{moves}",
        told.ring.epoch,
        told.ring.counter,
        some(told.points.len() as u64, "point"),
        some(told.durable_on.len() as u64, "node")
    )
}

fn of_txn(body: &Body) -> Sentence {
    let id = |tx: &Option<Version>| tx.map_or(String::new(), |tx| format!(" ({tx})"));
    let what = |txn: &Txn| match (&txn.key, txn.keys) {
        (Some(key), 2..) => format!("{} {} and {} more", txn.op, key.as_str(), txn.keys - 1),
        (Some(key), _) => format!("{} {}", txn.op, key.as_str()),
        (None, _) => txn.op.clone(),
    };
    let update = |key: &Option<Key>| {
        key.as_ref().map_or("an update".to_owned(), |key| format!("the update of {}", key.as_str()))
    };
    match body {
        Body::Txn(txn) => {
            let took = micros(txn.us_total);
            let (mood, how) = match txn.outcome {
                Some(Outcome::Committed) => (Mood::Plain, format!("committed in {took}")),
                Some(Outcome::Aborted) => (Mood::Worry, format!("ABORTED after {took}")),
                Some(Outcome::Refused) => (Mood::Worry, format!("refused after {took}")),
                Some(Outcome::Other) | None => (Mood::Worry, format!("ended after {took}")),
            };
            let reason = txn.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
            made("", "2pc", mood, format!("{} {how}{reason}{}", what(txn), id(&txn.tx)))
        }
        Body::TxnOpen(TxnOpen(txn)) => {
            let took = micros(txn.us_total);
            let text = format!("{} is not finished after {took}{}", what(txn), id(&txn.tx));
            made("", "2pc", Mood::Plain, text)
        }
        Body::TxnInDoubt(told) => {
            let missing: Vec<&str> = told.missing.iter().map(|node| node.as_str()).collect();
            let missing = match missing.as_slice() {
                [] => String::new(),
                missing => format!(", {} not heard", missing.join(", ")),
            };
            let key = told.key.as_ref().map_or("an update", |key| key.as_str());
            let text = format!("IN DOUBT{missing}: {key}{}", id(&told.tx));
            made("", "2pc", Mood::Bad, text)
        }
        Body::TxnResolved(told) => {
            let outcome = told.outcome.as_str();
            let key = update(&told.key);
            let text = format!("{key} is not in doubt any more: {outcome}{}", id(&told.tx));
            made("", "2pc", Mood::Good, text)
        }
        _ => made("", "2pc", Mood::Plain, body.name().into()),
    }
}

fn of_process(told: &Proc) -> Sentence {
    let pid = told.pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
    let by = told.by.as_ref().map_or(String::new(), |by| format!(" by {by}"));
    let (mood, text) = match told.state {
        ProcState::Spawned => (Mood::Good, format!("started{pid}{by}")),
        ProcState::Exited => {
            let how = match (told.signal, told.exit_code) {
                (Some(signal), _) => format!(" by signal {signal}"),
                (None, Some(code)) => format!(" with exit code {code}"),
                _ => String::new(),
            };
            // Who was asked to go and has gone as it should is no failure.
            let is_as_asked = told.by.is_some() && told.exit_code == Some(0);
            let mood = if is_as_asked { Mood::Plain } else { Mood::Bad };
            let asked = if told.by.is_some() { by } else { ", unasked".into() };
            (mood, format!("ended{how}{asked}{pid}"))
        }
        ProcState::Killed => (Mood::Bad, format!("killed with kill -9{by}{pid}")),
        ProcState::Paused => (Mood::Bad, format!("paused (SIGSTOP){by}{pid}")),
        ProcState::Resumed => (Mood::Good, format!("goes on (SIGCONT){by}{pid}")),
        ProcState::Backoff => {
            let wait = told.retry_ms.map_or(String::new(), |ms| format!(" in {}", ago(ms)));
            (Mood::Worry, format!("it died: started again{wait}"))
        }
        ProcState::GaveUp => (Mood::Bad, "given up: it died 5 times in a row".into()),
        ProcState::Other => {
            (Mood::Plain, "changed in a way that this console does not know".into())
        }
    };
    made(&told.name, "proc", mood, text)
}

/// Why a node's state changed, for a person.
pub fn reason_words(reason: &str) -> &str {
    match reason {
        "tcp_refused" => "its port refuses connections",
        "tcp_reset" => "its connection broke",
        "silence" => "no heartbeat",
        "no_progress" => "it does not answer",
        "registered" => "it has registered",
        "caught_up" => "it has learned what it missed",
        "admin" => "as ordered",
        "lost" => "its store has lost something",
        other => other,
    }
}

/// The name that a plain enumeration has on the wire.
fn serde_name(value: &protocol::event::LinkState) -> &'static str {
    use protocol::event::LinkState;
    match value {
        LinkState::Up => "up",
        LinkState::Lost => "lost",
        LinkState::Refused => "refused",
        LinkState::Other => "in another state",
    }
}

/// How far the copying from one node to another is.
fn copied(told: &Transfer) -> String {
    let of = told.keys_total.map(|total| format!(" of about {total}")).unwrap_or_default();
    let keys = crate::text::plural(told.keys_total.unwrap_or(told.keys_done), "key");
    format!("copies from {}: {}{of} {keys}, {}", told.source, told.keys_done, told.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, fields: &str) -> (String, &'static str, String, Mood) {
        let line = format!(
            "{{\"event\":\"{kind}\",\"seq\":1,\"source\":\"coordinator\",\"epoch\":3,{fields}}}"
        );
        let Sentence { server, kind, text, mood } =
            of_event(&protocol::event::decode(line.as_bytes()).expect(&line));
        (server, kind, text, mood)
    }

    /// A kind, its fields; the server, the text, the mood.
    const CASES: [(&str, &str, &str, &str, Mood); 10] = [
        (
            "member_state",
            r#""node":"n3","from":"suspect","to":"down","reason":"tcp_refused",
            "keys_unwritable":1200"#,
            "n3",
            "DOWN: its port refuses connections; 1,200 keys not writable",
            Mood::Bad,
        ),
        (
            "heartbeat_missed",
            r#""node":"n3","missed":1,"silent_ms":720"#,
            "n3",
            "a heartbeat missed, silent for 0.7 s",
            Mood::Worry,
        ),
        (
            "txn",
            r#""tx":"3.17","op":"txn","keys":3,"key":"a","outcome":"aborted",
            "reason":"timeout","us_total":502000"#,
            "",
            "txn a and 2 more ABORTED after 502 ms: timeout (3.17)",
            Mood::Worry,
        ),
        (
            "txn",
            r#""tx":null,"op":"put","keys":1,"key":"a","outcome":"refused","us_total":90"#,
            "",
            "put a refused after 90 us",
            Mood::Worry,
        ),
        (
            "txn_in_doubt",
            r#""tx":"3.17","key":"a","missing":["n2","n3"]"#,
            "",
            "IN DOUBT, n2, n3 not heard: a (3.17)",
            Mood::Bad,
        ),
        (
            "txn_resolved",
            r#""tx":"3.17","outcome":"committed""#,
            "",
            "an update is not in doubt any more: committed (3.17)",
            Mood::Good,
        ),
        (
            "copies",
            r#""by_live_copies":{"1":46,"2":1072},"unwritable":46"#,
            "",
            "keys by live copies: 1,072 with 2, 46 with 1; 46 cannot be written",
            Mood::Worry,
        ),
        (
            "coordinator_state",
            r#""state":"recovering","answered":4,"needed":3,
            "in_doubt":2,"resolved":5,"serving_share":0.8"#,
            "coordinator",
            "recovering in epoch 3: 4 nodes answered, 3 needed; 80 % of the keys served; \
                 2 updates in doubt, 5 decided",
            Mood::Good,
        ),
        (
            "admin",
            r#""id":1,"action":"kill","target":"n3","by":"ada","result":"forbidden""#,
            "n3",
            "ada asked for: kill n3: refused, forbidden",
            Mood::Worry,
        ),
        (
            "dawn",
            "\"x\":1",
            "coordinator",
            "a kind that this console does not know: dawn",
            Mood::Plain,
        ),
    ];

    #[test]
    fn a_sentence_has_the_figures_of_its_event() {
        for (kind, fields, server, text, mood) in CASES {
            let told = said(kind, fields);
            assert_eq!((told.0.as_str(), told.2.as_str(), told.3), (server, text, mood));
            assert!(!told.1.is_empty());
        }
    }
}
