//! How a trace puts things: messages between servers, records of the log, answers.
//!
//! One event, one line, in the words of the field. What only keeps a link alive has no words: empty
//! batches and their answers, acknowledgements, watermarks.

use std::collections::BTreeMap;

use cluster::core::coordinator::{Answer, Explained, Note};
use cluster::core::node::Meta;
use cluster::core::record::{Committed, LogRecord, Previous, Write};
use cluster::core::time::Time;
use protocol::ids::{Key, MemberId, Value, Version};
use protocol::peer::{
    Batch, Down, DownBody, Portion, Prepare, Report, RingRecord, Settled, TxnState, Up,
};
use protocol::reply;

/// The name of the member with this number: founders are numbered in the order of their names.
pub(super) fn member(id: MemberId) -> String {
    format!("n{}", id.0 + 1)
}

fn list<T>(all: &[T], word: impl Fn(&T) -> String) -> String {
    all.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn ids(all: &[Version]) -> String {
    list(all, ToString::to_string)
}

fn value(value: Option<&Value>) -> String {
    match value {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => "(gone)".into(),
    }
}

fn settled(settled: &Settled) -> String {
    let except = ids(&settled.except);
    let except = if except.is_empty() { except } else { format!(" except {except}") };
    let from = settled.from;
    let from = if from == Version::ZERO { String::new() } else { format!(" from {from}") };
    format!("settled{from} below {}{except}", settled.below)
}

fn prepare(prepare: &Prepare) -> String {
    let write = |write: &protocol::peer::WireWrite| {
        let new = value(write.value.as_ref().map(|value| &value.0));
        let over = write.previous.map_or_else(String::new, |v| format!(" over {v}"));
        format!("{}={new}{over}", write.key.as_str())
    };
    let mut text = format!("prepare {} {}", prepare.id, list(&prepare.writes, write));
    text += &format!(" at {}", list(&prepare.participants, |id| member(*id)));
    if !prepare.rests_on.is_empty() {
        text += &format!(" resting on {}", ids(&prepare.rests_on));
    }
    text
}

/// A message to a node; `None` if it only keeps the link alive.
pub(super) fn down(down: &Down, tell_settled: bool) -> Option<String> {
    let epoch = down.epoch;
    match &down.body {
        DownBody::Open(_) => Some(format!("claim epoch {epoch}, report")),
        DownBody::Install(ring) => Some(self::ring(ring)),
        DownBody::Mark { released: true, .. } => Some(format!("epoch {epoch} is released")),
        DownBody::Mark { .. } => Some(format!("epoch {epoch} is active")),
        DownBody::Losses(lost) => {
            Some(format!("{} lost data: keep that", list(lost, |id| member(*id))))
        }
        DownBody::Lost { reason } => Some(format!("you have lost data: {reason}")),
        DownBody::Batch(batch) => self::batch(batch, tell_settled),
    }
}

/// A ring, and in which way it is none that all have had for long.
fn ring(ring: &RingRecord) -> String {
    let mut text = format!("ring {}.{}", ring.number.epoch, ring.number.counter);
    if let Some(gone) = &ring.outgoing {
        text += &format!(", without {}", member(gone.id));
    }
    if let Some(come) = &ring.incoming {
        text += &format!(", with {}", member(*come));
    }
    let mut learners: Vec<MemberId> = ring.learning.iter().map(|one| one.learner).collect();
    learners.sort_unstable();
    learners.dedup();
    for learner in learners {
        text += &format!(", {} learns", member(learner));
    }
    text
}

fn items(portion: Option<&Portion>) -> String {
    let items = portion.map(|portion| portion.items().expect("as it was written"));
    list(&items.unwrap_or_default(), |item| {
        let value = value(item.value.as_ref().map(|value| &value.0));
        format!("{}={value} @{}", item.key.as_str(), item.version)
    })
}

fn batch(batch: &Batch, tell_settled: bool) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(batch.adopt.iter().map(|adopted| format!("adopt: {}", prepare(adopted))));
    if !batch.commit.is_empty() {
        parts.push(format!("commit {}", ids(&batch.commit)));
    }
    if !batch.abort.is_empty() {
        parts.push(format!("abort {}", list(&batch.abort, |abort| abort.id.to_string())));
    }
    if batch.sync {
        parts.push("sync it".into());
    }
    parts.extend(batch.read.iter().map(|ask| format!("read {}", ask.k.as_str())));
    for ask in &batch.copy {
        let after = ask.after.as_ref().map(|key| format!(" after {}", key.as_str()));
        parts.push(format!("copy{}", after.unwrap_or_default()));
    }
    for put in &batch.put {
        parts.push(match put.last {
            true => "you have all of it".into(),
            false => format!("take {}", items(put.portion.as_ref())).trim_end().to_owned(),
        });
    }
    parts.extend(batch.prepare.iter().map(|one| prepare(one)));
    parts.extend(batch.settled.as_ref().filter(|_| tell_settled).map(settled));
    if batch.caught_up {
        parts.push("that is all you missed".into());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A message to a coordinator; `None` if it only keeps the link alive. `asked` are the keys of its
/// questions, `confirmed` the decisions that it says are durable.
pub(super) fn up(up: &Up, asked: &BTreeMap<u64, Key>, confirmed: &[Version]) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(epoch) = up.fenced {
        parts.push(format!("no: epoch {epoch} is promised"));
    }
    parts.extend(up.report.as_ref().map(|told| report(told)));
    if let Some(number) = up.installed {
        parts.push(format!("ring {}.{} is durable", number.epoch, number.counter));
    }
    if up.marked {
        parts.push("mark is durable".into());
    }
    if !up.lost.is_empty() {
        parts.push(format!("that {} lost data is durable", list(&up.lost, |id| member(*id))));
    }
    let version = |counter: u64| Version::new(up.epoch, counter);
    if !up.yes.is_empty() {
        parts.push(format!("yes {}", list(&up.yes, |counter| version(*counter).to_string())));
    }
    parts.extend(up.no.iter().map(|no| format!("no {} ({})", version(no.c), no.reason)));
    for answer in &up.read {
        let key = asked.get(&answer.r).map_or("?", Key::as_str);
        parts.push(match &answer.v {
            Some(found) => format!("{key} is {} @{}", value(Some(&found.0)), answer.at),
            None => format!("{key} is not there"),
        });
    }
    for answer in &up.copy {
        parts.push(format!("portion {}", items(answer.portion.as_ref())).trim_end().to_owned());
    }
    if !up.put.is_empty() {
        parts.push("taken".into());
    }
    if !confirmed.is_empty() {
        parts.push(format!("{} durable", ids(confirmed)));
    }
    if up.caught_up {
        parts.push("caught up".into());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn report(report: &Report) -> String {
    let mut parts = Vec::new();
    for txn in &report.txns {
        let state = match txn.state {
            TxnState::Prepared => "prepared",
            TxnState::Refused => "refused",
            TxnState::Committed => "committed",
            TxnState::Aborted => "aborted",
        };
        parts.push(format!("{} {state}", txn.id));
    }
    parts.extend(report.settled.iter().map(settled));
    if !report.lost.is_empty() {
        parts.push(format!("{} lost data", list(&report.lost, |id| member(*id))));
    }
    for copied in &report.copied {
        let (through, source) = (copied.through.as_str(), member(copied.source));
        parts.push(format!("has copied through {through} from {source}"));
    }
    if report.cut_through.0 > 0 {
        parts.push(format!("what is missing through epoch {} may be lost", report.cut_through));
    }
    if let Some(before) = report.before.filter(|fence| fence.epoch.0 > 0) {
        let how = match (before.active, before.released) {
            (_, true) => "released",
            (true, false) => "active",
            (false, false) => "never active",
        };
        parts.push(format!("epoch {} was {how}", before.epoch));
    }
    if parts.is_empty() {
        parts.push("nothing".into());
    }
    format!("report: {}", parts.join(", "))
}

/// The records of a group; `None` if they are watermarks only.
pub(super) fn records(records: &[LogRecord], tell_settled: bool) -> Option<String> {
    let write = |write: &Write| {
        let over = match write.previous {
            Previous::Any => String::new(),
            Previous::Is(version) => format!(" over {version}"),
        };
        format!("{}={}{over}", write.key.as_str(), value(write.value.as_ref()))
    };
    let word = |record: &LogRecord| match record {
        LogRecord::Prepare(prepared) => {
            Some(format!("prepare {} {}", prepared.id, list(&prepared.writes, write)))
        }
        LogRecord::Refuse { id, .. } => Some(format!("refuse {id}")),
        LogRecord::Commit { id } => Some(format!("commit {id}")),
        LogRecord::Abort { id, .. } => Some(format!("abort {id}")),
        LogRecord::Committed { id, .. } => Some(format!("committed {id}, and in the keystore")),
        LogRecord::Settled { from, below, except } if tell_settled => {
            Some(settled(&Settled { from: *from, below: *below, except: except.clone() }))
        }
        LogRecord::Settled { .. } | LogRecord::Marks(_) => None,
    };
    let words: Vec<String> = records.iter().filter_map(word).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// What a new state file says that the one before did not.
pub(super) fn meta(old: &Meta, new: &Meta) -> Option<String> {
    let mut parts = Vec::new();
    if old.fence.epoch != new.fence.epoch {
        parts.push(format!("nothing below epoch {} any more", new.fence.epoch));
    }
    let number = |meta: &Meta| meta.ring.as_ref().map(|ring| ring.number);
    if let Some(number) = number(new).filter(|_| number(old) != number(new)) {
        parts.push(format!("ring {}.{}", number.epoch, number.counter));
    }
    if new.fence.active && !old.fence.active {
        parts.push(format!("epoch {} is active", new.fence.epoch));
    }
    if new.fence.released && !old.fence.released {
        parts.push(format!("epoch {} is released", new.fence.epoch));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Writes on their way into the keystore.
pub(super) fn applied(writes: &[Committed]) -> String {
    list(writes, |one| {
        format!("{}={} @{}", one.write.key.as_str(), value(one.write.value.as_ref()), one.version)
    })
}

/// What a client is told.
pub(super) fn answer(answer: &Answer) -> String {
    let tail = match answer {
        Answer::Ok(tail) => tail,
        Answer::Error(error) => {
            let why = error.node.clone().or(error.reason.as_ref().map(ToString::to_string));
            let version = error.version.map(|version| format!("@{version}"));
            let details = [why, error.key.clone(), version];
            let details: Vec<String> = details.into_iter().flatten().collect();
            if details.is_empty() {
                return error.code.to_string();
            }
            return format!("{} ({})", error.code, details.join(" "));
        }
        Answer::Status(_) => return "status".into(),
        Answer::Explained(explained) => return way(explained),
    };
    let mut line = Vec::new();
    reply::write_reply(&mut line, None, true, tail);
    let json: serde_json::Value = serde_json::from_slice(&line).expect("replies are JSON");
    match (json.get("value").and_then(|v| v.as_str()), json["version"].as_str()) {
        (Some(value), Some(version)) => format!("{value} @{version}"),
        (None, Some(version)) => format!("ok {version}"),
        _ => String::from_utf8_lossy(&line).trim_end().to_owned(),
    }
}

/// The steps of a request's way, with the times of those that took any.
fn way(explained: &Explained) -> String {
    // When the reply is made: at once.
    let (_, tail) = explained.clone().finish(Time::default());
    let line = [b"{\"ok\":true", &tail[..]].concat();
    let json: serde_json::Value = serde_json::from_slice(&line).expect("replies are JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let steps = json["steps"].as_array().expect("a list").iter().map(|step| {
        let us = step["us"].as_u64().map_or(String::new(), |us| format!(" {us} us"));
        let note = text(&step["note"]);
        let note = if note.is_empty() { note } else { format!(" ({note})") };
        format!("{} at {}{us}{note}", text(&step["name"]), text(&step["where"]))
    });
    format!("explained: {}", steps.collect::<Vec<_>>().join("; "))
}

/// What a coordinator has to say of itself.
pub(super) fn note(note: &Note) -> String {
    match note {
        Note::Member { node, state, reason } => {
            format!("{node} is {} ({reason})", format!("{state:?}").to_lowercase())
        }
        Note::Phase(phase, epoch) => format!("{phase}, epoch {epoch}"),
        Note::Resolved(id, true) => format!("{id} is resolved: commit"),
        Note::Resolved(id, false) => format!("{id} is resolved: abort"),
        Note::Space { node, full } => format!("{node} full={full}"),
        Note::Ring { number, what } => {
            format!("ring {}.{} is {what}", number.epoch, number.counter)
        }
        Note::Change(what) => what.clone(),
        Note::Alarm(what) => format!("ALARM {what}"),
    }
}
