//! Below the servers: throughput, two-phase commits, and the last events as sentences.
//!
//! Part of the overview.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::console::look::Tone;
use crate::console::model::clock::{ago, count, micros};
use crate::console::model::figures::STEP_MS;
use crate::console::model::rate::{HISTORY_MAX, Rate};
use crate::console::model::record::Entry;
use crate::console::model::sentence::{Mood, Sentence, sentence};
use crate::console::model::story::Cause;
use crate::console::views::Seen;
use crate::console::widgets::spark::Spark;
use crate::console::widgets::text::{self, Span, span};

/// Entries of the record that are looked through for events to show.
const LOOKED_MAX: usize = 200;
/// Columns of an event's age, with the mark before and a blank behind.
const AGE_COLUMNS: u16 = 8;

/// The throughput's history, so that it fits into some columns.
struct Past {
    values: Vec<Option<f64>>,
    /// Figures that went into one value.
    each: usize,
}

/// The history, each value the mean of as many figures as it must be; what is not known since the
/// coordinator was heard last has no bar.
fn past(seen: &Seen<'_>, columns: u16) -> Past {
    let model = seen.model;
    let mut figures = model.figures.ops_history.values();
    let silent = model.stale_ms().map_or(0, |ms| ms / STEP_MS).min(HISTORY_MAX as u64);
    figures.extend((0..silent).map(|_| None));
    let figures = &figures[figures.len().saturating_sub(HISTORY_MAX)..];
    let each = HISTORY_MAX.div_ceil(usize::from(columns).max(1));
    let mut values: Vec<Option<f64>> = figures.rchunks(each).map(mean).collect();
    values.reverse();
    Past { values, each }
}

fn mean(figures: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = figures.iter().flatten().copied().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// Where the last incident began, as the number of values that came after, and its name.
fn marker(seen: &Seen<'_>, past: &Past) -> Option<(usize, String)> {
    let incident = seen.model.story.foremost()?;
    let after_ms = seen.model.now.ms_since(incident.began.latest());
    if matches!(incident.cause, Cause::Before) || after_ms > STEP_MS * HISTORY_MAX as u64 {
        return None;
    }
    let what = match incident.cause {
        Cause::Killed => "killed",
        Cause::Stopped => "stopped",
        Cause::Restarted => "restarted",
        Cause::Crashed { .. } => "ended",
        Cause::Paused => "paused",
        Cause::Silent | Cause::Before => "silent",
        Cause::Evicted => "evicted",
        Cause::Returns => "back",
        Cause::Joins => "joins",
        Cause::Leaves => "leaves",
    };
    let after = usize::try_from(after_ms / STEP_MS).unwrap_or(usize::MAX) / past.each;
    Some((after, format!("{} {what}", incident.server)))
}

fn tone(seen: &Seen<'_>, tone: Tone) -> Tone {
    if seen.model.stale_ms().is_some() { Tone::Stale } else { tone }
}

fn per_s(seen: &Seen<'_>, rate: &Rate) -> String {
    match seen.model.stale_ms() {
        Some(_) => "?".into(),
        None => rate.per_s().map_or("-".into(), |rate| count(rate.round() as u64)),
    }
}

/// Reads, writes and failures a second, and how long updates take.
fn figures(seen: &Seen<'_>, columns: u16) -> Vec<Span> {
    let figures = &seen.model.figures;
    let failing = figures.failed.per_s().is_some_and(|rate| rate >= 0.5);
    let failed = if failing { Tone::Bad } else { Tone::Dim };
    let part = |name: &str, figure: String, of: Tone| {
        vec![span(format!("{name} "), Tone::Dim), span(figure, tone(seen, of))]
    };
    let parts = [
        part("reads", per_s(seen, &figures.reads), Tone::Bright),
        part("  writes", per_s(seen, &figures.writes), Tone::Bright),
        part("  failed", per_s(seen, &figures.failed), failed),
    ];
    text::whole_parts(seen.look, &parts, columns)
}

/// Draws the throughput of the last minute.
pub(super) fn throughput(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    if area.height < 4 {
        return row_of_throughput(seen, area, buf);
    }
    let plot = Rect { height: area.height - 1, ..area };
    // The scale takes a few columns; which depends on the greatest value, which depends on them.
    let past = past(seen, plot.width.saturating_sub(6));
    let greatest = past.values.iter().flatten().copied().fold(0.0, f64::max);
    let marker = marker(seen, &past);
    let spark = Spark {
        values: &past.values,
        max: Some(greatest),
        max_label: &count(greatest.round() as u64),
        tone: tone(seen, Tone::Bar),
        marker: marker.as_ref().map(|(after, what)| (*after, what.as_str())),
        since: "-60 s",
    };
    spark.draw(seen.look, plot, buf);
    let last = Rect { y: area.bottom() - 1, height: 1, ..area };
    text::put_spans(seen.look, last, buf, &figures(seen, last.width));
}

/// The same in one row.
pub(super) fn row_of_throughput(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let label = text::put(seen.look, area, buf, "op/s 60 s ", Tone::Title).min(area.width);
    let rest = Rect { x: area.x + label, width: area.width - label, ..area };
    let mut figures = figures(seen, rest.width.saturating_sub(2));
    figures.push(span("  ", Tone::Text));
    let past = past(seen, rest.width.saturating_sub(text::spans_width(seen.look, &figures) + 1));
    let spark = Spark {
        values: &past.values,
        max: None,
        max_label: "",
        tone: tone(seen, Tone::Bar),
        marker: None,
        since: "",
    };
    spark.draw_row(seen.look, rest, buf, &figures);
}

/// Two-phase commits in one row: what is under way, what came of those that were told, doubts.
pub(super) fn txns_row(seen: &Seen<'_>, columns: u16) -> Vec<Span> {
    let rows = txns_rows(seen);
    // What is in doubt goes before what is finished.
    let rows = [0, 2, 1].into_iter().filter_map(|row| rows.get(row)).enumerate();
    let part = |(at, row): (usize, &Vec<Span>)| {
        let begin = if at == 0 { span("2PC ", Tone::Title) } else { span(" · ", Tone::Border) };
        [&[begin], &row[..]].concat()
    };
    text::whole_parts(seen.look, &rows.map(part).collect::<Vec<_>>(), columns)
}

/// Two-phase commits in rows, the most important first.
pub(super) fn txns_rows(seen: &Seen<'_>) -> Vec<Vec<Span>> {
    let (model, stats) = (seen.model, &seen.model.figures.stats);
    let number = |number: u64, of: Tone| span(count(number), tone(seen, of));
    let told = |name: &str| model.txns.seen.get(name).copied().unwrap_or(0);
    let mut under_way = vec![number(stats.in_flight, Tone::Bright), span(" in flight", Tone::Text)];
    if stats.in_flight > 0 {
        under_way.push(span(format!(", oldest {}", ago(stats.oldest_ms)), Tone::Dim));
    }
    let aborted = if told("aborted") > 0 { Tone::Warn } else { Tone::Text };
    let finished = vec![
        number(told("committed"), Tone::Good),
        span(" committed, ", Tone::Dim),
        number(told("aborted"), aborted),
        span(" aborted", Tone::Dim),
    ];
    let refused = [number(told("refused"), Tone::Text), span(" refused, ", Tone::Dim)];
    let open = model.txns.doubts().filter(|(_, doubt)| doubt.resolved.is_none());
    let oldest = open.map(|(_, doubt)| model.now.ms_since(doubt.since.latest())).max();
    let doubts = match oldest {
        None => [&refused[..], &[span("none in doubt", Tone::Dim)]].concat(),
        Some(age) => vec![
            span(format!("{} IN DOUBT", count(model.txns.in_doubt_now() as u64)), Tone::Bad),
            span(format!(", oldest {}", ago(age)), Tone::Warn),
        ],
    };
    let mut rows = vec![under_way, finished, doubts];
    rows.push(phases_head());
    rows.extend(phases(seen));
    rows
}

fn phase_row(name: &str, half: &str, most: &str) -> String {
    format!("{name:<9}{half:>11} {most:>11}")
}

fn phases_head() -> Vec<Span> {
    vec![span(phase_row("latency", "half within", "99 % within"), Tone::Title)]
}

/// How long updates were at each step, from the one before it.
fn phases(seen: &Seen<'_>) -> Vec<Vec<Span>> {
    let known = [
        ("queued", "its turn"),
        ("batch_formed", "handover"),
        ("prepare_sent", "prepare"),
        ("last_vote", "last vote"),
        ("answered", "answer"),
    ];
    let stats = &seen.model.figures.stats;
    let mut rows = Vec::new();
    for (name, words) in known {
        let Some(told) = stats.phases_us.get(name).filter(|told| told.count > 0) else { continue };
        let text = phase_row(words, &micros(told.p50), &micros(told.p99));
        rows.push(vec![span(text, tone(seen, Tone::Text))]);
    }
    if rows.is_empty() {
        rows.push(vec![span("no update this half second", Tone::Dim)]);
    }
    rows
}

/// An event to be shown, and how many of its like came before it.
struct Shown {
    entry: Arc<Entry>,
    told: Sentence,
    before: u64,
}

/// The last events, the newest first, so many at most. What is told again and again stands there
/// once, as it was told last.
fn last(seen: &Seen<'_>, most: usize) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for entry in seen.model.record.control().take(LOOKED_MAX) {
        let told = sentence(entry);
        // That a picture of all has come says nothing of the cluster.
        if told.kind == "feed" && told.mood == Mood::Plain {
            continue;
        }
        let repeats = matches!(told.kind, "beat" | "copies" | "copy" | "link" | "2pc");
        let same = |one: &Shown| {
            let other = &one.told;
            (repeats || other.text == told.text)
                && (&other.server, other.kind, other.mood) == (&told.server, told.kind, told.mood)
        };
        if let Some(at) = shown.iter().position(same) {
            shown[at].before += 1;
        } else if shown.len() < most {
            shown.push(Shown { entry: Arc::clone(entry), told, before: 0 });
        }
    }
    shown
}

/// Draws the last events, each with its age; those of an incident are marked.
pub(super) fn events(seen: &Seen<'_>, area: Rect, buf: &mut Buffer) {
    let shown = last(seen, usize::from(area.height));
    for (row, one) in area.rows().zip(shown) {
        if one.entry.incident.is_some() {
            text::put(seen.look, row, buf, seen.look.glyphs.edge, Tone::Bad);
        }
        let age = ago(seen.model.now.ms_since(one.entry.at));
        let columns = AGE_COLUMNS.min(row.width);
        let place = Rect { width: columns.saturating_sub(1), ..row };
        text::put_right(seen.look, place, buf, &age, Tone::Dim);
        let place = Rect { x: row.x + columns, width: row.width - columns, ..row };
        text::put_spans(seen.look, place, buf, &event(&one));
    }
}

fn event(Shown { told, before, .. }: &Shown) -> Vec<Span> {
    let tone = match told.mood {
        Mood::Plain => Tone::Text,
        Mood::Good => Tone::Good,
        Mood::Worry => Tone::Warn,
        Mood::Bad => Tone::Bad,
    };
    let about = match (told.server.as_str(), told.kind) {
        ("", "copies") => String::new(),
        ("", kind) => format!("{kind} "),
        (server, _) => format!("{server} "),
    };
    let mut spans = vec![span(about, Tone::Bright)];
    // Of missed heartbeats the sentence itself counts; of the others the first is the best.
    if *before > 0 && told.kind == "2pc" {
        spans.push(span(format!("{} so far: ", count(before + 1)), Tone::Bright));
    }
    spans.push(span(told.text.as_str(), tone));
    spans
}
