//! What else is known of a server, in rows below its own: the first for all, more for the selected.
//!
//! Part of the overview. What comes from the supervisor is live also while the coordinator is lost,
//! and says so.

use protocol::event::RecoveryPhase;

use crate::console::look::Tone;
use crate::console::model::clock::{ago, bytes, count, micros, some};
use crate::console::model::node::Node;
use crate::console::model::servers::Process;
use crate::console::model::story::{Cause, Incident};
use crate::console::model::{COORDINATOR, Model, sentence};
use crate::console::views::Seen;
use crate::console::widgets::text::{Span, span};

/// The rows below a server's own, the most important first.
pub(super) fn rows(seen: &Seen<'_>, server: &str) -> Vec<Vec<Span>> {
    let mut rows = Vec::new();
    if let Some(away) = away(seen.model, server) {
        rows.push(vec![span(away, Tone::Warn)]);
    }
    let stale = seen.model.stale_ms().is_some();
    if stale {
        rows.extend(process_row(seen.model, server));
    }
    match seen.model.nodes.get(server) {
        None if server == COORDINATOR => rows.extend(of_coordinator(seen.model)),
        None => {}
        Some(node) => {
            if let Some(recovery) = recovery(node).filter(|_| !stale) {
                rows.insert(0, vec![span(recovery, Tone::Info)]);
            }
            rows.extend(of_node(seen.model, server, node));
        }
    }
    rows
}

/// Why a server is away, by whom, and what becomes of it; none: it is not.
pub(super) fn away(model: &Model, server: &str) -> Option<String> {
    let process = model.procs.get(server);
    let incident = model.story.open().find(|incident| incident.server == server);
    let ended = process.is_some_and(|process| process.pid.is_none());
    let paused = process.is_some_and(|process| process.paused);
    let state = model.nodes.get(server).is_some_and(|node| !node.is_well());
    if !ended && !paused && !state && incident.is_none_or(|incident| !incident.is_coordinator) {
        return None;
    }
    let mut said = Vec::new();
    said.extend(incident.map(|incident| cause(model, incident)));
    if incident.is_none() {
        let ended = process.filter(|process| process.pid.is_none());
        said.extend(ended.map(|process| ended_words(model, process)));
        let by = process.filter(|process| process.paused).and_then(|process| process.by.as_deref());
        said.extend(by.map(|by| format!("paused (SIGSTOP){}", model.by(Some(by)))));
    }
    if said.is_empty()
        && let Some(node) = model.nodes.get(server)
    {
        let told = node.hint.as_deref().unwrap_or(&node.reason);
        let told = sentence::reason_words(told);
        // Who did it is told as the servers call them.
        let by_you =
            told.strip_suffix(model.own_name.as_str()).filter(|_| !model.own_name.is_empty());
        let told = by_you.map_or_else(|| told.to_owned(), |what| format!("{what}you"));
        said.extend((!told.is_empty()).then_some(told));
    }
    said.extend(process.and_then(|process| next(model, process, incident)));
    (!said.is_empty()).then(|| said.join(" · "))
}

fn cause(model: &Model, incident: &Incident) -> String {
    let since = incident.began.words(model.now);
    let by = model.by(incident.by.as_deref());
    match &incident.cause {
        Cause::Killed => format!("killed (kill -9){by} {since} ago"),
        Cause::Stopped => format!("stopped{by} {since} ago"),
        Cause::Restarted => format!("restarted{by} {since} ago"),
        Cause::Paused => format!("paused (SIGSTOP){by} {since} ago"),
        Cause::Crashed { signal: Some(signal), .. } => {
            format!("ended by signal {signal}, unasked, {since} ago")
        }
        Cause::Crashed { exit_code: Some(code), .. } => {
            format!("ended with exit code {code}, unasked, {since} ago")
        }
        Cause::Crashed { .. } => format!("ended unasked {since} ago"),
        Cause::Silent => format!("not heard for {since}"),
        Cause::Before if incident.began.is_found() => "away since before this console began".into(),
        Cause::Before => format!("last heard {since} ago, before this console began"),
        Cause::Evicted => format!("evicted{by} {since} ago"),
        Cause::Returns => format!("back since {since}"),
        Cause::Joins => format!("joins{by} since {since}"),
        Cause::Leaves => format!("leaves{by} since {since}"),
    }
}

fn ended_words(model: &Model, process: &Process) -> String {
    let by = model.by(process.by.as_deref());
    match (process.signal, process.exit_code) {
        (Some(9), _) if process.by.is_some() => format!("killed (kill -9){by}"),
        (Some(signal), _) => format!("ended by signal {signal}{by}"),
        (None, Some(code)) => format!("ended with exit code {code}{by}"),
        (None, None) => format!("does not run{by}"),
    }
}

/// What becomes of a process that is away. Nobody knows where its supervisor is not heard: that
/// may have ended together with all its processes.
fn next(model: &Model, process: &Process, incident: Option<&Incident>) -> Option<String> {
    if !model.can_administer() {
        return None;
    }
    if process.paused {
        return Some("P lets it go on".into());
    }
    if let Some(pid) = process.pid {
        let was_gone = |one: &Incident| !matches!(one.cause, Cause::Joins | Cause::Leaves);
        let is_back = incident.is_some_and(|one| one.is_returning() && was_gone(one));
        let again = if is_back { "again " } else { "" };
        return Some(format!("runs {again}as pid {pid}"));
    }
    Some(match (process.state.as_str(), process.retry_at) {
        ("backoff", Some(at)) => format!("started again in {}", ago(at.ms_since(model.now))),
        ("backoff", None) => "started again soon".into(),
        ("gave_up", _) => match process.last_lines.last() {
            Some(line) => format!("given up; it said last: {line}"),
            None => "given up: R tries once more".into(),
        },
        ("starting", _) => "is being started".into(),
        _ => "R starts it".into(),
    })
}

/// What the supervisor says of a server's process.
fn process_row(model: &Model, server: &str) -> Option<Vec<Span>> {
    let process = model.procs.get(server)?;
    if !model.can_administer() {
        let state = match (process.pid, process.paused) {
            (Some(pid), false) => format!("pid {pid} ran"),
            (Some(pid), true) => format!("pid {pid} was paused"),
            (None, _) => "there was no process".into(),
        };
        // It tells changes only: until it was lost, nothing else had become of its processes.
        let feed = &model.supervisor_feed;
        let heard = feed.live_until.or(feed.last).unwrap_or_default();
        let since = ago(model.now.ms_since(heard));
        let text = format!("{state} when its supervisor was last heard, {since} ago");
        return Some(vec![span(text, Tone::Text)]);
    }
    let state = match (process.pid, process.paused) {
        (Some(pid), false) => format!("pid {pid} runs"),
        (Some(pid), true) => format!("pid {pid} is paused"),
        (None, _) => "no process".into(),
    };
    let text = format!("{state}, {}", some(process.restarts, "restart"));
    Some(vec![span(text, Tone::Text), span(" · live, from its supervisor", Tone::Dim)])
}

/// How far a node's return is.
fn recovery(node: &Node) -> Option<String> {
    let step = node.recovery.as_ref()?;
    let what = match step.phase {
        RecoveryPhase::Log => "back: its log is read",
        phase => sentence::recovery_words(phase),
    };
    let of = match step.total {
        // That it has begun: how far it is, its transfers tell.
        _ if step.phase == RecoveryPhase::Copy && step.done == 0 => String::new(),
        0 => String::new(),
        total => format!(": {} of {}", count(step.done), count(total)),
    };
    Some(format!("{what}{of}, {} after its first step", sentence::took(step.ms)))
}

fn joined(parts: Vec<String>, tone: Tone) -> Vec<Span> {
    let all = parts.into_iter().enumerate();
    all.map(|(at, part)| span(if at == 0 { part } else { format!(" · {part}") }, tone)).collect()
}

fn of_coordinator(model: &Model) -> Vec<Vec<Span>> {
    if model.cluster.is_none() {
        return vec![joined(vec!["nothing heard yet".into()], Tone::Dim)];
    }
    let stale = model.stale_ms().is_some();
    let tone = if stale { Tone::Stale } else { Tone::Dim };
    let coordinator = &model.coordinator;
    let stats = &model.figures.stats;
    let mut first = Vec::new();
    if let Some(state) = coordinator.state {
        let since = coordinator.since.words(model.now);
        first.push(if stale { format!("was {state}") } else { format!("{state} for {since}") });
    }
    if let Some((answered, needed)) = coordinator.answers {
        first.push(format!("{} answered, {needed} must", some(answered.into(), "node")));
        first.push(format!("reads {:.0} %", coordinator.serving_share * 100.0));
    }
    first.push(format!("connections {}", count(stats.conns)));
    first.push(format!("subscribers {}", count(stats.subscribers)));
    let mut second = Vec::new();
    if !stale {
        first.extend(coordinator.pid.map(|pid| format!("pid {pid}")));
        let runs = coordinator.began.map(|began| ago(model.now.ms_since(began)));
        second.extend(runs.map(|runs| format!("runs for {runs}")));
    }
    second.push(format!("version {}", known(&coordinator.version)));
    second.push(format!(
        "left by earlier epochs: {} in doubt, {} resolved",
        count(coordinator.in_doubt),
        count(coordinator.resolved)
    ));
    let mut third = vec![format!("ring {}", known(&model.ring.number))];
    third.push(format!("{} a key", some(model.replicas().into(), "copy")));
    third.push(format!("{} in doubt", some(model.keys_in_doubt, "key")));
    third.push(format!("{} left out for slow readers", some(stats.dropped, "event")));
    [first, second, third].map(|parts| joined(parts, tone)).into()
}

fn of_node(model: &Model, server: &str, node: &Node) -> Vec<Vec<Span>> {
    let tone = if model.stale_ms().is_some() || !node.is_well() { Tone::Stale } else { Tone::Dim };
    let mut first = Vec::new();
    first.extend(model.what_rots_at(server));
    first.extend(stands_in(model, server));
    let process = model.procs.get(server);
    let pid = process.map_or_else(|| node.pid(), |process| process.pid);
    let ended = process.is_some_and(|process| process.pid.is_none());
    // Until a process that has just begun is heard of, the address is that of the one before.
    first.extend(node.address().filter(|_| pid.is_some() && pid == node.pid()).map(address));
    first.extend(pid.map(|pid| format!("pid {pid}")));
    let mut second = Vec::new();
    if let Some(figures) = node.figures.as_ref().filter(|_| node.is_silent() || ended) {
        first.push(format!(
            "when last heard: up {}, undecided {}, log {}",
            ago(figures.uptime_ms),
            count(figures.undecided),
            bytes(figures.log_bytes)
        ));
    } else if let Some(figures) = &node.figures {
        first.push(format!("up {}", ago(figures.uptime_ms)));
        first.push(format!("sync {}", micros(figures.fsync_us)));
        first.push(format!("undecided {}", count(figures.undecided)));
        first.push(format!("log {}", bytes(figures.log_bytes)));
        first.push(format!("rss {}", bytes(figures.rss_bytes)));
        if figures.undecided > 0 {
            second.push(format!("oldest undecided {}", ago(figures.undecided_oldest_ms)));
        }
        second.push(format!("processor {}", ago(figures.cpu_us / 1_000)));
    }
    let rates = node.reads_per_s.per_s().zip(node.writes_per_s.per_s());
    if let Some((reads, writes)) = rates.filter(|_| node.is_well()) {
        second.push(format!("{reads:.0} reads/s, {writes:.0} writes/s"));
    }
    let load = &node.load;
    let (votes, more) = (some(load.txns, "vote"), some(load.unconfirmed, "confirmation"));
    second.push(format!("owes {votes}, {more}"));
    if load.oldest_ms > 0 {
        second.push(format!("oldest {}", ago(load.oldest_ms)));
    }
    let mut third = Vec::new();
    let why = match node.reason.as_str() {
        _ if node.is_evicted() => "others have its place",
        "" => "as it was found",
        why => why,
    };
    let since = node.state_since.words(model.now);
    third.push(format!("{} for {since}: {}", node.seen_word(), sentence::reason_words(why)));
    third.extend(node.status.as_ref().map(|told| format!("version {}", known(&told.version))));
    third.extend(process.map(|process| some(process.restarts, "restart")));
    [first, second, third].map(|parts| joined(parts, tone)).into()
}

/// For whom a node answers reads, beside its own.
fn stands_in(model: &Model, server: &str) -> Option<String> {
    if model.stale_ms().is_some() {
        return None;
    }
    let stands_in =
        |name: &str| model.stand_ins(name).is_some_and(|by| by.iter().any(|by| by == server));
    let away: Vec<&str> =
        model.nodes.keys().map(String::as_str).filter(|name| stands_in(name)).collect();
    (!away.is_empty()).then(|| format!("answers reads for {}", away.join(" ")))
}

/// An address; of one on the console's own machine, the port says it all.
fn address(addr: &str) -> String {
    addr.strip_prefix("127.0.0.1").unwrap_or(addr).to_owned()
}

fn known(text: &str) -> &str {
    if text.is_empty() { "?" } else { text }
}
