//! What is known of the key that is looked up, in rows.
//!
//! Part of the view Ring: where the key lies, what each of its nodes holds, who answers its reads
//! now, whether it can be written now and why not.

use protocol::reply::{Copy, LocateReply};

use super::lookup::Lookup;
use super::picture;
use crate::console::look::Tone;
use crate::console::model::clock::{ago, count};
use crate::console::model::{COORDINATOR, Model};
use crate::console::views::{Seen, overview};
use crate::console::widgets::text::{self, Span, span};

/// Columns of a copy's state, a glyph and a word.
const STATE_COLUMNS: usize = 10;

/// The rows, the most important first.
pub(super) fn rows(seen: &Seen<'_>, lookup: &Lookup, columns: u16) -> Vec<Vec<Span>> {
    let mut rows = vec![typed(seen, lookup, columns)];
    if lookup.text().is_empty() {
        rows.extend(hints(lookup));
        return rows;
    }
    match lookup.answer().map(|answer| &answer.told) {
        None => rows.push(vec![span(waits(seen, lookup), Tone::Dim)]),
        Some(Err(why)) => rows.push(vec![span(format!("no answer: {why}"), Tone::Bad)]),
        Some(Ok(located)) => {
            rows.push(hash(located));
            let sum = located.byte_sum.map(|sum| format!("{sum}, counted clockwise from 0"));
            rows.extend(sum.map(|words| vec![span(words, Tone::Dim)]));
            rows.extend(copies(seen, located));
            rows.push(reads(seen, located));
            rows.push(writes(seen, located));
            rows.extend(written(seen, located));
            rows.push(cached(seen, located));
            rows.push(way(seen, located));
        }
    }
    if let Some(answer) = lookup.answer() {
        let age = ago(seen.model.now.ms_since(answer.at));
        let more = match (lookup.is_waiting(), lookup.is_typing()) {
            (true, _) => "; asked again",
            (false, true) => "",
            (false, false) => "; u asks again",
        };
        rows.push(vec![span(format!("as it was {age} ago{more}"), Tone::Dim)]);
    }
    rows
}

fn typed(seen: &Seen<'_>, lookup: &Lookup, columns: u16) -> Vec<Span> {
    let mut spans = vec![span("key ", Tone::Title)];
    if lookup.text().is_empty() && !lookup.is_typing() {
        spans.push(span("none", Tone::Dim));
        return spans;
    }
    // Of a text that is too long, the end is shown: that is where the cursor is.
    let room = columns.saturating_sub(6);
    let mut from = 0;
    while text::width(seen.look, &lookup.text()[from..]) > room {
        let next = lookup.text()[from..].chars().next().map_or(1, char::len_utf8);
        from += next;
    }
    if from > 0 {
        spans.push(span(seen.look.glyphs.ellipsis, Tone::Dim));
    }
    spans.push(span(&lookup.text()[from..], Tone::Bright));
    if lookup.is_typing() {
        spans.push(span(seen.look.glyphs.cursor, Tone::Accent));
    }
    spans
}

fn hints(lookup: &Lookup) -> Vec<Vec<Span>> {
    let words: &[&str] = match lookup.is_typing() {
        true => &["type a key: it is followed as you type", "Enter keeps it, Esc ends"],
        false => &[
            "/ and a key: which nodes hold it, what each has,",
            "who answers its reads, whether it can be written",
        ],
    };
    words.iter().map(|words| vec![span(*words, Tone::Dim)]).collect()
}

fn waits(seen: &Seen<'_>, lookup: &Lookup) -> String {
    match picture::unserved(seen.model) {
        Some(why) => format!("not asked: {why}"),
        None if lookup.is_waiting() => "asked".into(),
        None => "not asked".into(),
    }
}

fn hash(located: &LocateReply) -> Vec<Span> {
    vec![
        span("hash ", Tone::Title),
        span(located.hash.to_string(), Tone::Text),
        span(format!(" at {}", picture::degrees(located.hash.0)), Tone::Dim),
    ]
}

/// A row for each of the key's nodes; also where the coordinator told nothing of the copies.
fn copies(seen: &Seen<'_>, located: &LocateReply) -> Vec<Vec<Span>> {
    let told = located.copies.as_deref().unwrap_or_default();
    let names = located.nodes.iter().map(|node| text::width(seen.look, node.as_str()));
    let names = usize::from(names.max().unwrap_or(0).min(16));
    let rows = located.nodes.iter().enumerate().map(|(at, node)| {
        let copy = told.iter().find(|copy| copy.node == *node);
        let role = copy.map_or(if at == 0 { "primary" } else { "replica" }, |copy| &copy.role);
        let tone = Tone::Node(picture::number(seen.model, node.as_str()));
        let mut spans = vec![
            span(format!("{} ", at + 1), Tone::Accent),
            span(format!("{role:<8}"), Tone::Text),
            span(format!("{:<names$} ", node.as_str()), tone),
        ];
        spans.extend(state(seen, node.as_str(), copy));
        spans.push(held(copy));
        if let Some(copy) = copy {
            match copy.cached {
                Some(true) => spans.push(span(" cached", Tone::Info)),
                Some(false) => spans.push(span(" not cached", Tone::Dim)),
                None => {}
            }
            if copy.undecided > 0 {
                spans.push(span(format!(" {} undecided", count(copy.undecided)), Tone::Warn));
            }
        }
        spans
    });
    rows.collect()
}

/// A node's state as it is now; as it was told with the copy where nothing else is known.
fn state(seen: &Seen<'_>, node: &str, copy: Option<&Copy>) -> Vec<Span> {
    if seen.model.nodes.contains_key(node) {
        return overview::state_spans(seen, node);
    }
    let word = copy.map_or("?".to_owned(), |copy| copy.state.to_string());
    vec![span(format!("{word:<STATE_COLUMNS$}"), Tone::Dim)]
}

fn held(copy: Option<&Copy>) -> Span {
    match copy.map(|copy| (copy.version, copy.cached)) {
        Some((Some(version), _)) => span(format!(" {version}"), Tone::Bright),
        Some((None, Some(_))) => span(" no value", Tone::Text),
        Some((None, None)) => span(" no answer", Tone::Warn),
        None => span(" not told", Tone::Dim),
    }
}

fn is_well(model: &Model, node: &str) -> bool {
    !picture::is_broken(model, node)
}

/// A node that does not serve, with its state.
fn state_words(seen: &Seen<'_>, node: &str) -> String {
    let (_, word, _) = overview::state_of(seen, node);
    format!("{node} is {word}")
}

/// Who answers the key's reads now.
fn reads(seen: &Seen<'_>, located: &LocateReply) -> Vec<Span> {
    let title = span("reads  ", Tone::Title);
    if let Some(why) = picture::unserved(seen.model) {
        return vec![title, span(format!("nobody answers: {why}"), Tone::Bad)];
    }
    let nodes = &located.nodes;
    match nodes.iter().position(|node| is_well(seen.model, node.as_str())) {
        None => vec![title, span("nobody answers: none of its nodes is up", Tone::Bad)],
        Some(0) => vec![title, span(format!("{} answers, its primary", nodes[0]), Tone::Good)],
        Some(at) => {
            let why = state_words(seen, nodes[0].as_str());
            vec![title, span(format!("{} answers, for {why}", nodes[at]), Tone::Warn)]
        }
    }
}

/// Whether the key can be written now.
fn writes(seen: &Seen<'_>, located: &LocateReply) -> Vec<Span> {
    let title = span("writes ", Tone::Title);
    if let Some(why) = picture::unserved(seen.model) {
        return vec![title, span(format!("no: {why}"), Tone::Bad)];
    }
    let away = located.nodes.iter().find(|node| !is_well(seen.model, node.as_str()));
    if let Some(away) = away {
        let why = state_words(seen, away.as_str());
        return vec![title, span(format!("no: {why}, and all must vote"), Tone::Bad)];
    }
    let copies = located.copies.iter().flatten();
    let undecided = copies.map(|copy| copy.undecided).max().unwrap_or(0);
    match undecided {
        0 => vec![title, span("yes: all its nodes are up", Tone::Good)],
        more => {
            let said = format!("yes, once {} undecided are decided", count(more));
            vec![title, span(said, Tone::Warn)]
        }
    }
}

/// Where the copies differ, what that means.
fn written(seen: &Seen<'_>, located: &LocateReply) -> Option<Vec<Span>> {
    let copies = located.copies.as_deref()?;
    let told: Vec<&Copy> = copies.iter().filter(|copy| copy.cached.is_some()).collect();
    let (first, rest) = told.split_first()?;
    if rest.iter().any(|copy| copy.version != first.version) {
        let words = "they differ: an update reaches one by one";
        return Some(vec![span("copies ", Tone::Title), span(words, Tone::Warn)]);
    }
    let away = |copy: &&Copy| copy.cached.is_none() && !is_well(seen.model, copy.node.as_str());
    let silent = copies.iter().filter(away);
    let silent: Vec<&str> = silent.map(|copy| copy.node.as_str()).collect();
    if silent.is_empty() || seen.model.stale_ms().is_some() {
        return None;
    }
    let words = format!("{} catches up when it is back", silent.join(", "));
    let tone = Tone::Dim;
    Some(vec![span("copies ", Tone::Title), span(words, tone)])
}

/// Its place in the coordinator's cache.
fn cached(seen: &Seen<'_>, located: &LocateReply) -> Vec<Span> {
    let sets = seen.model.caches.servers.get(COORDINATOR).map(|cache| cache.counters.sets);
    let of = sets.map_or(String::new(), |sets| format!(" of {}", count(sets)));
    let way = match located.way {
        Some(way) => format!(", way {way}"),
        None => ", not there".into(),
    };
    vec![
        span("cache  ", Tone::Title),
        span(format!("coordinator: set {}{of}{way}", located.set), Tone::Text),
    ]
}

/// From the key's place clockwise to the points of its nodes.
fn way(seen: &Seen<'_>, located: &LocateReply) -> Vec<Span> {
    let look = seen.look;
    let from = format!("{} {}", look.glyphs.diamond, picture::degrees(located.hash.0));
    let mut spans = vec![span("walk   ", Tone::Title), span(from, Tone::Accent)];
    let walk = seen.model.ring.walk(located.hash.0);
    for node in &located.nodes {
        let Some(point) = walk.iter().find(|point| point.node == node.as_str()) else { continue };
        let well = is_well(seen.model, node.as_str());
        let mark = if well { look.glyphs.done } else { look.glyphs.failed };
        let tone = if well { Tone::Text } else { Tone::Bad };
        let angle = picture::degrees(point.hash);
        spans.push(span(format!(" {} {node} {angle} {mark}", look.glyphs.arrow), tone));
    }
    spans
}
