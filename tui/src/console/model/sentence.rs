//! Each thing that comes in as one sentence, for lists.
//!
//! Used by the views Events and Overview, and by transcripts. What comes from outside stands in it
//! as it came: whoever shows it makes it safe.

use protocol::event::{Body, Event, Outcome, Proc, ProcState, RecoveryPhase};

use super::clock::{ago, count, micros};
use super::feed::FeedState;
use super::record::{Entry, What};

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
        FeedState::Connecting => (Mood::Plain, format!("the console connects to the {feed}")),
        FeedState::Live => (Mood::Good, format!("the console hears the {feed}")),
        FeedState::Lost(why) => {
            (Mood::Bad, format!("the console's connection to the {feed} is lost: {why}"))
        }
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
        | Body::Copies(_) => of_member(&event.body),
        _ => of_figures(event),
    }
}

fn of_source(event: &Event) -> Sentence {
    let source = event.source.as_str();
    match &event.body {
        Body::Lagged(lagged) => {
            let dropped = lagged.dropped.values().copied().fold(0, u64::saturating_add);
            let text = format!("{} events were left out for us: we were too slow", count(dropped));
            made(source, "feed", Mood::Worry, text)
        }
        Body::Admin(admin) => {
            let target = admin.target.as_deref().unwrap_or("");
            let mood = if admin.result == "ok" { Mood::Plain } else { Mood::Worry };
            let text = format!("{} {target} by {}: {}", admin.action, admin.by, admin.result);
            made(target, "admin", mood, text)
        }
        Body::Inject(told) => {
            let text =
                format!("fault {}: {} of {} still to come", told.fault, told.left, told.count);
            made(&told.proc, "fault", Mood::Worry, text)
        }
        Body::Other(kind) => made(
            source,
            "other",
            Mood::Plain,
            format!("a kind that this console does not know: {kind}"),
        ),
        _ => made(source, "feed", Mood::Plain, "how things are".into()),
    }
}

fn of_member(body: &Body) -> Sentence {
    match body {
        Body::Heartbeat(beat) => made(
            beat.node.as_str(),
            "beat",
            Mood::Plain,
            format!("heartbeat {}, {} late", beat.hb_seq, micros(beat.delay_us)),
        ),
        Body::HeartbeatMissed(missed) => made(
            missed.node.as_str(),
            "beat",
            Mood::Worry,
            format!("{} missed, silent for {}", missed.missed, ago(missed.silent_ms)),
        ),
        Body::MemberState(change) => {
            let mood = match change.to.to_string().as_str() {
                "up" => Mood::Good,
                "down" | "evicted" => Mood::Bad,
                _ => Mood::Worry,
            };
            let why = reason_words(&change.reason);
            let text = format!("{} -> {}: {why}", change.from, change.to);
            made(change.node.as_str(), "member", mood, text)
        }
        Body::MemberRecovery(step) => {
            let what = match step.phase {
                RecoveryPhase::Log => "back: asked what its log remembers",
                RecoveryPhase::Decisions => "told what was decided meanwhile",
                RecoveryPhase::Copy => "copies what it missed",
                RecoveryPhase::Ready => "has all it needs",
                RecoveryPhase::Other => "comes back",
            };
            let of = if step.total > 0 {
                format!(" {} of {}", step.done, step.total)
            } else {
                String::new()
            };
            made(
                step.node.as_str(),
                "member",
                Mood::Plain,
                format!("{what}{of}, {} ms after it registered", step.ms),
            )
        }
        Body::Link(link) => {
            let state = serde_name(&link.state);
            let retry =
                link.retry_ms.map_or(String::new(), |ms| format!(", tried again in {ms} ms"));
            made(
                link.peer.as_str(),
                "link",
                Mood::Plain,
                format!("the coordinator's link is {state}{retry}"),
            )
        }
        Body::Copies(copies) => {
            let counts = copies.by_live_copies.iter().rev();
            let counts: Vec<String> =
                counts.map(|(n, keys)| format!("{} keys x{n}", count(*keys))).collect();
            let mood = if copies.unwritable > 0 { Mood::Worry } else { Mood::Good };
            let text = format!(
                "live copies: {}; {} cannot be written",
                counts.join(", "),
                count(copies.unwritable)
            );
            made("", "copies", mood, text)
        }
        _ => made("", "member", Mood::Plain, body.name().into()),
    }
}

fn of_figures(event: &Event) -> Sentence {
    let body = &event.body;
    match body {
        Body::CoordinatorState(told) => made(
            "coordinator",
            "coord",
            if told.serving_share > 0.0 { Mood::Good } else { Mood::Worry },
            format!(
                "{}, epoch {}: {} of {} nodes answered, {} in doubt, {} resolved, serves {:.0} %",
                told.state,
                event.epoch,
                told.answered,
                told.needed,
                told.in_doubt,
                told.resolved,
                told.serving_share * 100.0
            ),
        ),
        Body::RingEpoch(told) => made(
            "",
            "ring",
            Mood::Plain,
            format!(
                "ring {}.{} in force, {} points, durable on {} nodes",
                told.ring.epoch,
                told.ring.counter,
                told.points.len(),
                told.durable_on.len()
            ),
        ),
        Body::Stats(stats) => made(
            "coordinator",
            "stats",
            Mood::Plain,
            format!("{} in flight, {} connections", stats.in_flight, stats.conns),
        ),
        Body::CacheTotals(totals) => {
            made("", "cache", Mood::Plain, format!("counters of {} caches", totals.servers.len()))
        }
        Body::CacheSets(sets) => {
            made(&sets.server, "cache", Mood::Plain, format!("{} sets", sets.sets.len()))
        }
        Body::CacheSet(set) => made(&set.server, "cache", Mood::Plain, format!("set {}", set.set)),
        Body::CacheEvict(sweep) => {
            let victim = sweep.steps.last().and_then(|step| step.key.as_ref());
            let victim = victim.map_or("nothing".to_owned(), |key| key.as_str().to_owned());
            made(
                &sweep.server,
                "cache",
                Mood::Plain,
                format!(
                    "set {}: {} takes the place of {victim}",
                    sweep.set,
                    sweep.trigger_key.as_str()
                ),
            )
        }
        _ => made("", "other", Mood::Plain, body.name().into()),
    }
}

fn of_txn(body: &Body) -> Sentence {
    let id = |tx: &Option<protocol::ids::Version>| {
        tx.map_or("never handed over".to_owned(), |tx| tx.to_string())
    };
    let key = |key: &Option<protocol::ids::Key>| {
        key.as_ref().map_or(String::new(), |key| format!(" {}", key.as_str()))
    };
    match body {
        Body::Txn(txn) => {
            let outcome = txn.outcome.map_or("other", Outcome::as_str);
            let mood =
                if txn.outcome == Some(Outcome::Committed) { Mood::Plain } else { Mood::Worry };
            let reason = txn.reason.as_ref().map_or(String::new(), |why| format!(" ({why})"));
            made(
                "",
                "2pc",
                mood,
                format!(
                    "{} {}{} {outcome} in {}{reason}",
                    id(&txn.tx),
                    txn.op,
                    key(&txn.key),
                    micros(txn.us_total)
                ),
            )
        }
        Body::TxnOpen(open) => made(
            "",
            "2pc",
            Mood::Plain,
            format!(
                "{} {}{} not finished after {}",
                id(&open.0.tx),
                open.0.op,
                key(&open.0.key),
                micros(open.0.us_total)
            ),
        ),
        Body::TxnInDoubt(told) => {
            let missing: Vec<&str> = told.missing.iter().map(|node| node.as_str()).collect();
            made(
                "",
                "2pc",
                Mood::Bad,
                format!(
                    "{}{} is IN DOUBT: {} is missing",
                    id(&told.tx),
                    key(&told.key),
                    missing.join(", ")
                ),
            )
        }
        Body::TxnResolved(told) => made(
            "",
            "2pc",
            Mood::Good,
            format!("{}{} is resolved: {}", id(&told.tx), key(&told.key), told.outcome.as_str()),
        ),
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
            let asked = if told.by.is_some() { by } else { ", unasked".into() };
            (Mood::Bad, format!("ended{how}{asked}{pid}"))
        }
        ProcState::Killed => (Mood::Bad, format!("killed (kill -9){by}{pid}")),
        ProcState::Paused => (Mood::Bad, format!("paused (SIGSTOP){by}{pid}")),
        ProcState::Resumed => (Mood::Good, format!("goes on (SIGCONT){by}{pid}")),
        ProcState::Backoff => {
            let wait = told.retry_ms.map_or(String::new(), |ms| format!(" in {}", ago(ms)));
            (Mood::Worry, format!("is started again{wait}"))
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
