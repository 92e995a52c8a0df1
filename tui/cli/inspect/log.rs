//! A log in words: a line a segment, group and record.
//!
//! Called by `inspect`. Says of a record what it means to recovery, and what is missing or torn.

use cluster::core::record::{LogRecord, Prepared, Previous, Write};
use cluster::inspect::{Found, NodeDirectory};
use protocol::ids::Value;
use serde_json::json;

use super::{Out, counted, member, members, quoted, versions};
use crate::print::{Exit, Failure};

/// What was counted on the way.
#[derive(Default)]
struct Totals {
    segments: u64,
    groups: u64,
    records: u64,
    blanks: u64,
    blank_bytes: u64,
    torn: bool,
}

/// Shows the log of `node`.
pub(super) fn show(out: &mut Out<'_>, node: &NodeDirectory) -> Result<(), Failure> {
    let mut totals = Totals::default();
    let mut shown = Ok(());
    let mut group = 0;
    let listed = node.log(&mut |found| {
        // What was found after a failure of the output is passed over.
        if shown.is_ok() {
            shown = one(out, node, &mut totals, &mut group, found);
        }
    });
    shown?;
    if let Err(error) = listed {
        let text = format!("cannot list the log's directory: {error}");
        return Err(Failure::new(Exit::Other, "system", text));
    }
    let Totals { segments, groups, records, blanks, blank_bytes, torn } = totals;
    let words = format!(
        "log: {}, {}, {}; {} of {blank_bytes} bytes ready{}\n",
        counted(segments, "segment"),
        counted(groups, "group"),
        counted(records, "record"),
        counted(blanks, "blank segment"),
        if torn { "; the tail is torn" } else { "" },
    );
    let object = json!({
        "kind": "log", "segments": segments, "groups": groups, "records": records,
        "blank_segments": blanks, "blank_bytes": blank_bytes, "torn": torn,
    });
    out.line(&words, &object)
}

fn one(
    out: &mut Out<'_>,
    node: &NodeDirectory,
    totals: &mut Totals,
    group: &mut u64,
    found: Found,
) -> Result<(), Failure> {
    match found {
        Found::Segment { number, first, length, cut_after } => {
            totals.segments += 1;
            let cut = cut_after.map_or_else(String::new, |after| {
                format!(" · a start has cut what came behind group {}", after.0)
            });
            let words = format!("segment {number} · from group {} · {length} bytes{cut}", first.0);
            let object = json!({
                "kind": "segment", "segment": number, "first_group": first.0, "bytes": length,
                "cut_after": cut_after.map(|after| after.0),
            });
            out.line(&words, &object)
        }
        Found::Group { seq, offset, bytes, records } => {
            totals.groups += 1;
            *group = seq.0;
            let words = format!(
                "  group {} · at byte {offset} · {bytes} bytes · {}",
                seq.0,
                counted(records.into(), "record")
            );
            let object = json!({
                "kind": "group", "group": seq.0, "offset": offset, "bytes": bytes,
                "records": records,
            });
            out.line(&words, &object)
        }
        Found::Record(record) => {
            totals.records += 1;
            record_line(out, node, *group, &record)
        }
        Found::SegmentEnd { number, next, used } => {
            let words =
                format!("  end of segment {number}: {used} bytes used, group {} is next", next.0);
            let object = json!({
                "kind": "segment_end", "segment": number, "next_group": next.0, "used": used,
            });
            out.line(&words, &object)
        }
        Found::Torn { number, offset, after } => {
            totals.torn = true;
            let words = format!(
                "TORN TAIL: segment {number} has something from byte {offset} on that is no whole \
                 group: a write that a crash interrupted, or rot. The next start cuts it off \
                 behind group {}",
                after.0
            );
            let object = json!({
                "kind": "torn", "segment": number, "offset": offset, "after_group": after.0,
            });
            out.notice(&words, &object)
        }
        Found::Damaged(what) => out.damage("log", &what),
        Found::Blank { name, length } => {
            totals.blanks += 1;
            totals.blank_bytes += length;
            let object = json!({ "kind": "blank", "file": name, "bytes": length });
            out.line(&format!("blank {name} · {length} bytes"), &object)
        }
    }
}

fn record_line(
    out: &mut Out<'_>,
    node: &NodeDirectory,
    group: u64,
    record: &LogRecord,
) -> Result<(), Failure> {
    let decision = |kind: &str, id: &dyn ToString, of: &[_], meaning: &str| {
        let (id, names) = (id.to_string(), members(node, of));
        let with = if names.is_empty() { "nobody else".into() } else { names.join(", ") };
        let words = format!("    {kind} {id} · participants {with} · {meaning}");
        let object = json!({
            "kind": "record", "group": group, "record": kind, "version": id,
            "participants": names,
        });
        (words, object)
    };
    let (words, object) = match record {
        LogRecord::Prepare(prepared) => return prepare_lines(out, node, group, prepared),
        LogRecord::Refuse { id, participants } => {
            decision("refuse", id, participants, "a no, for ever")
        }
        LogRecord::Abort { id, participants } => {
            decision("abort", id, participants, "it did not happen")
        }
        LogRecord::Committed { id, participants } => decision(
            "committed",
            id,
            participants,
            "carried forward: it happened, and the keystore has it",
        ),
        LogRecord::Commit { id } => {
            let id = id.to_string();
            let words = format!("    commit {id} · what was prepared as {id} has happened");
            (words, json!({ "kind": "record", "group": group, "record": "commit", "version": id }))
        }
        LogRecord::Settled { from, below, except } => {
            let except = versions(except);
            let but = if except.is_empty() {
                String::new()
            } else {
                format!(" but {}", except.join(", "))
            };
            let words = format!(
                "    settled · all from {from} to before {below}{but}: decided everywhere, may be \
                 forgotten"
            );
            let object = json!({
                "kind": "record", "group": group, "record": "settled", "from": from.to_string(),
                "below": below.to_string(), "except": except,
            });
            (words, object)
        }
        LogRecord::Marks(marks) => {
            let ends: Vec<String> =
                marks.iter().map(|(id, end)| format!("{} {}", member(node, *id), end.0)).collect();
            let object: serde_json::Map<_, _> =
                marks.iter().map(|(id, end)| (member(node, *id), end.0.into())).collect();
            let words = format!("    marks · log ends seen: {}", ends.join(", "));
            let object =
                json!({ "kind": "record", "group": group, "record": "marks", "ends": object });
            (words, object)
        }
    };
    out.line(&words, &object)
}

fn prepare_lines(
    out: &mut Out<'_>,
    node: &NodeDirectory,
    group: u64,
    prepared: &Prepared,
) -> Result<(), Failure> {
    let Prepared { id, ring, participants, rests_on, writes, once } = prepared;
    let (names, rests_on) = (members(node, participants), versions(rests_on));
    let mut words = format!(
        "    prepare {id} · a yes · participants {} · ring {}.{}",
        names.join(", "),
        ring.epoch,
        ring.counter
    );
    if !rests_on.is_empty() {
        words.push_str(&format!(" · rests on {}", rests_on.join(", ")));
    }
    let name = once.as_ref().map(|once| once.name.to_string());
    if let Some(name) = &name {
        words.push_str(&format!(" · once {}", crate::print::escaped(name.as_bytes(), false)));
    }
    for write in writes {
        words.push_str(&format!("\n      {}", write_words(write)));
    }
    let writes: Vec<_> = writes
        .iter()
        .map(|write| {
            json!({
                "key": write.key.as_str(),
                "op": if write.value.is_some() { "put" } else { "del" },
                "bytes": write.value.as_ref().map(Value::len),
                "previous": match write.previous {
                    Previous::Any => None,
                    Previous::Is(version) => Some(version.to_string()),
                },
                "flags": write.flags,
            })
        })
        .collect();
    let object = json!({
        "kind": "record", "group": group, "record": "prepare", "version": id.to_string(),
        "ring": format!("{}.{}", ring.epoch, ring.counter), "participants": names,
        "rests_on": rests_on, "once": name, "writes": writes,
    });
    out.line(&words, &object)
}

fn write_words(write: &Write) -> String {
    let key = quoted(&write.key);
    let done = match &write.value {
        Some(value) => format!("put {key} ({})", counted(value.len() as u64, "byte")),
        None => format!("del {key}"),
    };
    match write.previous {
        Previous::Any => format!("{done}, whatever is there"),
        Previous::Is(version) if version.number() == 0 => format!("{done}, where nothing was"),
        Previous::Is(version) => format!("{done}, in place of {version}"),
    }
}
