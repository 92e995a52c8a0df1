//! An entry as the line that came, and that line in rows that can be read.
//!
//! Part of the view Events. Lines are made anew of what was understood: fields that this version
//! does not know are not among them.

use protocol::event::{Body, Event, Stamp, tail, write_line};

use crate::console::model::feed::{FeedName, FeedState};
use crate::console::model::record::{Entry, What};

/// More of a line than this is not put into rows, bytes.
const SHOWN_BYTES_MAX: usize = 64 << 10;
/// Rows are at most so long where that can be, and are drawn over several where not.
const ROW_BYTES: usize = 96;
/// Deeper than this nothing is opened.
const DEPTH_MAX: usize = 16;

/// The line of an entry, without its newline.
pub(super) fn line(entry: &Entry) -> String {
    match &entry.what {
        What::Event(event) => event_line(event),
        What::Link(state) => link_line(entry, state),
    }
}

fn event_line(event: &Event) -> String {
    let Event { seq, source, epoch, at_us, wall_ms, incident, cause, body } = event;
    let stamp = Stamp { source, epoch: *epoch, at_us: *at_us, wall_ms: *wall_ms };
    let plain = |name: &&String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let name = match body {
        Body::Other(name) => Some(name).filter(plain).map_or("other", String::as_str),
        _ => body.name(),
    };
    let mut out = Vec::new();
    write_line(&mut out, name, *seq, *cause, &tail(&stamp, incident.as_deref(), body));
    out.pop_if(|last| *last == b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

fn link_line(entry: &Entry, state: &FeedState) -> String {
    let feed = match entry.feed {
        FeedName::Coordinator => "coordinator",
        FeedName::Supervisor => "supervisor",
    };
    let (link, why) = match state {
        FeedState::Absent => ("absent", None),
        FeedState::Connecting => ("connecting", None),
        FeedState::Live => ("connected", None),
        FeedState::Lost(why) => ("lost", Some(why)),
    };
    let why = why.map_or(String::new(), |why| {
        format!(",\"why\":{}", serde_json::Value::String(why.clone()))
    });
    format!("{{\"at_us\":{},\"feed\":\"{feed}\",\"link\":\"{link}\"{why}}}", entry.at.us())
}

/// A line in rows: what is short on one, what is long opened.
pub(super) fn pretty(line: &str) -> Vec<String> {
    let mut rows = Vec::new();
    if line.len() > SHOWN_BYTES_MAX {
        let end = line.floor_char_boundary(SHOWN_BYTES_MAX);
        rows.push(line[..end].to_owned());
        rows.push(format!("... {} bytes more: y copies all of it", line.len() - end));
        return rows;
    }
    open(&mut rows, 0, "", line, "");
    rows
}

/// Puts a value into rows, with its name in front and what follows it behind.
fn open(rows: &mut Vec<String>, depth: usize, name: &str, value: &str, behind: &str) {
    let indent = " ".repeat(2 * depth);
    let room = ROW_BYTES.saturating_sub(2 * depth + name.len());
    let inside = value.get(1..value.len().saturating_sub(1)).filter(|_| depth < DEPTH_MAX);
    let (Some(inside), Some(first @ ('{' | '['))) = (inside, value.chars().next()) else {
        rows.push(format!("{indent}{name}{value}{behind}"));
        return;
    };
    if value.len() < room {
        rows.push(format!("{indent}{name}{}{behind}", spaced(value)));
        return;
    }
    rows.push(format!("{indent}{name}{first}"));
    let members = split(inside, ',');
    let last = members.len().saturating_sub(1);
    // Several that are short share a row.
    let mut row = String::new();
    for (at, member) in members.into_iter().enumerate() {
        let behind = if at == last { "" } else { "," };
        let inner = ROW_BYTES.saturating_sub(2 * depth + 2);
        let short = (member.len() < inner / 2).then(|| spaced(member) + behind);
        let fits = short.as_ref().is_some_and(|text| row.len() + text.len() < inner);
        if !row.is_empty() && !fits {
            rows.push(format!("{indent}  {row}"));
            row.clear();
        }
        match (short, split(member, ':').as_slice()) {
            (Some(text), _) if row.is_empty() => row = text,
            (Some(text), _) => row = format!("{row} {text}"),
            (None, [name, value]) if first == '{' => {
                open(rows, depth + 1, &format!("{name}: "), value, behind);
            }
            (None, _) => open(rows, depth + 1, "", member, behind),
        }
    }
    if !row.is_empty() {
        rows.push(format!("{indent}  {row}"));
    }
    let end = if first == '{' { '}' } else { ']' };
    rows.push(format!("{indent}{end}{behind}"));
}

/// Each character of a JSON text, with whether it stands outside of all strings, and how deep.
fn places(text: &str) -> impl Iterator<Item = (usize, char, bool, usize)> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_usize);
    text.char_indices().map(move |(at, c)| {
        let outside = !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        (at, c, outside, depth)
    })
}

/// The parts of the inside of a JSON value, split at each `by` that is neither in a string nor
/// deeper.
fn split(inside: &str, by: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, c, outside, depth) in places(inside) {
        if c == by && outside && depth == 0 {
            parts.push(&inside[from..at]);
            from = at + 1;
        }
    }
    if from < inside.len() {
        parts.push(&inside[from..]);
    }
    parts
}

/// The same with a blank behind each colon and comma.
fn spaced(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    for (_, c, outside, _) in places(value) {
        out.push(c);
        if outside && matches!(c, ',' | ':') {
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_opened_and_nothing_is_lost() {
        let long = "x".repeat(80);
        let text = format!(r#"{{"a":1,"b":{{"c":[1,2],"d":"{long}, \"{{:"}},"e":[],"f":2}}"#);
        let rows = pretty(&text);
        let expected = [
            "{".to_owned(),
            "  \"a\": 1,".into(),
            "  \"b\": {".into(),
            "    \"c\": [1, 2],".into(),
            format!("    \"d\": \"{long}, \\\"{{:\""),
            "  },".into(),
            "  \"e\": [], \"f\": 2".into(),
            "}".into(),
        ];
        assert_eq!(rows, expected);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let again: serde_json::Value = serde_json::from_str(&rows.concat()).unwrap();
        assert_eq!(value, again);
        assert_eq!(pretty("{}"), ["{}"]);
        assert_eq!(pretty(""), [""]);
    }

    #[test]
    fn anything_at_all_is_put_into_rows() {
        for text in ["{", "[", "{\"", "{\"a\":", "\u{202e}{[", "}}}]]"] {
            let long = text.repeat(200);
            assert!(!pretty(&long).is_empty());
        }
        let huge = pretty(&"é".repeat(SHOWN_BYTES_MAX));
        assert!(huge.len() == 2 && huge[1].contains("bytes more"));
    }
}
