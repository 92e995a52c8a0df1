//! Texts in a buffer: clipped at a width, safe whatever they hold, in ASCII where the look is.
//!
//! Used by every widget, and by views for what is no widget. A grapheme is drawn whole or not at
//! all; what a terminal would obey is drawn as an escape.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use unicode_segmentation::UnicodeSegmentation;

use crate::console::look::{Glyphs, Look, Tone};
use crate::text;

/// A text and what it means.
pub type Span = (String, Tone);

/// A longer grapheme is no character that anybody wrote: only its first is drawn.
const GRAPHEME_BYTES_MAX: usize = 64;

/// A span of anything that is a text.
pub fn span(text: impl Into<String>, tone: Tone) -> Span {
    (text.into(), tone)
}

/// The graphemes of `text` as they are drawn, each with its columns. An escape is several.
fn cells<'a>(look: &Look, text: &'a str) -> impl Iterator<Item = (Cow<'a, str>, usize)> {
    let ascii = look.glyphs.ascii;
    graphemes(text).flat_map(move |grapheme| {
        if is_plain(grapheme.as_bytes()) {
            return Some((Cow::Borrowed(grapheme), 1)).into_iter().chain(Vec::new());
        }
        let first = grapheme.chars().next().map_or(0, char::len_utf8);
        let long = grapheme.len() > GRAPHEME_BYTES_MAX;
        let (one, several) = match text::shown(if long { &grapheme[..first] } else { grapheme }) {
            shown if ascii && !shown.is_ascii() => {
                (None, apart(&Glyphs::plain(&shown, text::width(&shown))))
            }
            Cow::Borrowed(one) if text::width(one) > 2 => (
                None,
                one.chars().flat_map(|c| apart(&text::shown(c.encode_utf8(&mut [0; 4])))).collect(),
            ),
            Cow::Borrowed(one) => (Some((Cow::Borrowed(one), text::width(one))), Vec::new()),
            Cow::Owned(escape) => (None, apart(&escape)),
        };
        one.into_iter().chain(several)
    })
}

/// Whether every byte is a character of one column that stands for itself.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The graphemes of `text`. Nearly all that is drawn is plain, and a plain character before another
/// ASCII one is a grapheme: only what follows some other character has to be looked up.
fn graphemes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let bytes = rest.as_bytes();
        let plain = bytes.get(..1).is_some_and(is_plain) && bytes.get(1).is_none_or(u8::is_ascii);
        let length = if plain { 1 } else { rest.graphemes(true).next()?.len() };
        let (grapheme, after) = rest.split_at(length);
        rest = after;
        Some(grapheme)
    })
}

/// The graphemes of what is shown.
fn apart<'a>(shown: &str) -> Vec<(Cow<'a, str>, usize)> {
    shown.graphemes(true).map(|one| (Cow::Owned(one.to_owned()), text::width(one))).collect()
}

/// The columns that `text` takes when it is drawn.
pub fn width(look: &Look, text: &str) -> u16 {
    let columns: usize = if is_plain(text.as_bytes()) {
        text.len()
    } else {
        cells(look, text).map(|(_, columns)| columns).sum()
    };
    u16::try_from(columns).unwrap_or(u16::MAX)
}

/// The columns that `spans` take one after the other.
pub fn spans_width(look: &Look, spans: &[Span]) -> u16 {
    spans.iter().fold(0, |sum, (text, _)| sum.saturating_add(width(look, text)))
}

/// Sets one cell, if it is in the buffer. Its background stays, reversed or not, where `style` has
/// none; half of a wide character left of it goes.
pub fn set(buf: &mut Buffer, x: u16, y: u16, symbol: &str, style: Style) {
    if x > 0
        && let Some(left) = buf.cell_mut((x - 1, y))
        && !left.symbol().is_ascii()
        && text::width(left.symbol()) > 1
    {
        left.set_symbol(" ");
    }
    set_cell(buf, x, y, symbol, style);
}

fn set_cell(buf: &mut Buffer, x: u16, y: u16, symbol: &str, style: Style) {
    if let Some(cell) = buf.cell_mut((x, y)) {
        cell.modifier &= Modifier::REVERSED;
        cell.set_symbol(symbol).set_style(style);
    }
}

/// Puts `text` into the first row of `area`, cut where that ends; the columns it took.
pub fn put(look: &Look, area: Rect, buf: &mut Buffer, text: &str, tone: Tone) -> u16 {
    put_styled(look, area, buf, text, look.style(tone))
}

/// As [`put`], for what no tone says.
pub fn put_styled(look: &Look, area: Rect, buf: &mut Buffer, text: &str, style: Style) -> u16 {
    let area = area.intersection(buf.area);
    if area.height == 0 {
        return 0;
    }
    let mut taken = 0;
    for (symbol, columns) in cells(look, text) {
        let columns = u16::try_from(columns).unwrap_or(u16::MAX);
        if columns > area.width - taken {
            break;
        }
        set(buf, area.x + taken, area.y, &symbol, style);
        for rest in 1..columns {
            set_cell(buf, area.x + taken + rest, area.y, " ", style);
        }
        taken += columns;
    }
    taken
}

/// Puts `text` at the right end of the first row of `area`, its begin cut if it is too long.
pub fn put_right(look: &Look, area: Rect, buf: &mut Buffer, text: &str, tone: Tone) {
    let area = area.intersection(buf.area);
    let mut kept = Vec::new();
    let mut columns = 0;
    for (symbol, more) in cells(look, text).collect::<Vec<_>>().into_iter().rev() {
        if columns + more > usize::from(area.width) {
            break;
        }
        columns += more;
        kept.push(symbol);
    }
    kept.reverse();
    put(look, right(area, columns), buf, &kept.concat(), tone);
}

/// The rightmost `columns` of `area`.
fn right(area: Rect, columns: usize) -> Rect {
    let columns = u16::try_from(columns).unwrap_or(u16::MAX).min(area.width);
    Rect { x: area.right() - columns, width: columns, ..area }
}

/// Puts `text` into the first row of `area`, with an ellipsis where it had to be cut.
pub fn put_elided(look: &Look, area: Rect, buf: &mut Buffer, text: &str, tone: Tone) -> u16 {
    put(look, area, buf, &elided(look, text, area.width), tone)
}

/// As much of `text` as fits into `columns`, with an ellipsis if that is not all.
pub fn elided(look: &Look, text: &str, columns: u16) -> String {
    if width(look, text) <= columns {
        return cells(look, text).map(|(symbol, _)| symbol).collect();
    }
    let mut left = usize::from(columns).saturating_sub(1);
    let mut out = String::new();
    for (symbol, columns) in cells(look, text) {
        if columns > left {
            break;
        }
        left -= columns;
        out.push_str(&symbol);
    }
    if columns > 0 {
        out.push_str(look.glyphs.ellipsis);
    }
    out
}

/// As [`elided`], with the middle cut out: keys differ at their ends.
pub fn shortened(look: &Look, text: &str, columns: u16) -> String {
    if width(look, text) <= columns {
        return elided(look, text, columns);
    }
    let mut left = usize::from(columns / 3);
    let mut tail = Vec::new();
    let all: Vec<_> = cells(look, text).collect();
    for (symbol, columns) in all.into_iter().rev() {
        if columns > left {
            break;
        }
        left -= columns;
        tail.push(symbol);
    }
    let head = elided(look, text, columns - columns / 3);
    std::iter::once(head).chain(tail.into_iter().rev().map(|symbol| symbol.to_string())).collect()
}

/// Puts `spans` one after the other into the first row of `area`, with an ellipsis where they had
/// to be cut; the columns they took.
pub fn put_spans(look: &Look, area: Rect, buf: &mut Buffer, spans: &[Span]) -> u16 {
    let area = area.intersection(buf.area);
    let (mut taken, whole) = (0, spans_width(look, spans) <= area.width);
    for (text, tone) in spans {
        let rest = Rect { x: area.x + taken, width: area.width - taken, ..area };
        if !whole && width(look, text) >= rest.width {
            return taken + put(look, rest, buf, &ended(look, text, rest.width), *tone);
        }
        taken += put(look, rest, buf, text, *tone);
    }
    taken
}

/// As many whole parts as so many columns hold, but at least the first.
pub fn whole_parts(look: &Look, parts: &[Vec<Span>], columns: u16) -> Vec<Span> {
    let fits = |n: &usize| spans_width(look, &parts[..*n].concat()) <= columns;
    let most = (1..=parts.len()).rev().find(fits).unwrap_or(1.min(parts.len()));
    parts[..most].concat()
}

/// `text` in less than `columns` and an ellipsis, though it might fit without one. A number is left
/// out of which a part would be missing: it would be another one.
fn ended(look: &Look, text: &str, columns: u16) -> String {
    let ellipsis = look.glyphs.ellipsis;
    let out = elided(look, &format!("{text}{ellipsis}"), columns);
    let Some(begun) = out.strip_suffix(ellipsis) else { return out };
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.');
    let goes_on = text.strip_prefix(begun).is_some_and(|rest| rest.starts_with(is_of_number));
    let whole = begun.trim_end_matches(is_of_number);
    let word = whole.rsplit(' ').next().unwrap_or_default();
    // A name with a number at its end is shortened as any other.
    match goes_on && whole.len() < begun.len() && word.is_empty() {
        true => format!("{whole}{ellipsis}"),
        false => out,
    }
}

/// As [`put_spans`], at the right end.
pub fn put_spans_right(look: &Look, area: Rect, buf: &mut Buffer, spans: &[Span]) {
    let area = area.intersection(buf.area);
    let columns = spans_width(look, spans).min(area.width);
    put_spans(look, right(area, columns.into()), buf, spans);
}

/// As [`put_spans`], in the middle.
pub fn put_spans_centred(look: &Look, area: Rect, buf: &mut Buffer, spans: &[Span]) {
    let area = area.intersection(buf.area);
    let columns = spans_width(look, spans).min(area.width);
    let x = area.x + (area.width - columns) / 2;
    put_spans(look, Rect { x, width: columns, ..area }, buf, spans);
}

/// `spans` as rows of at most `columns`, broken at blanks where there are some.
pub fn wrapped(look: &Look, spans: &[Span], columns: u16) -> Vec<Vec<Span>> {
    let columns = usize::from(columns.max(1));
    let (mut rows, mut row, mut taken) = (Vec::new(), Vec::new(), 0);
    for (text, tone) in spans {
        for word in text.split_inclusive(' ') {
            let mut fresh: Span = (String::new(), *tone);
            let length: usize = cells(look, word.trim_end_matches(' ')).map(|(_, n)| n).sum();
            if taken > 0 && taken + length > columns {
                rows.push(std::mem::take(&mut row));
                taken = 0;
            }
            for (symbol, more) in cells(look, word) {
                if taken + more > columns {
                    row.push((std::mem::take(&mut fresh.0), *tone));
                    rows.push(std::mem::take(&mut row));
                    taken = 0;
                    if symbol == " " {
                        continue;
                    }
                }
                taken += more;
                fresh.0.push_str(&symbol);
            }
            if !fresh.0.is_empty() {
                row.push(fresh);
            }
        }
    }
    if !row.is_empty() || rows.is_empty() {
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::testing::{area, ascii, look, text};
    use super::*;

    fn drawn(look: &Look, columns: u16, draw: impl FnOnce(&Look, Rect, &mut Buffer)) -> String {
        let mut buf = Buffer::empty(area(columns, 1));
        draw(look, buf.area, &mut buf);
        text(&buf)
    }

    #[test]
    fn a_text_is_cut_between_its_characters() {
        let put = |columns, of: &str| {
            drawn(&look(), columns, |look, area, buf| {
                put(look, area, buf, of, Tone::Text);
            })
        };
        assert_eq!(put(5, "hello world"), "hello");
        assert_eq!(put(5, "a漢字b"), "a漢字");
        assert_eq!(put(4, "a漢字b"), "a漢");
        assert_eq!(put(9, "a\x1b[31m"), "a\\u{1b}[3");
        assert_eq!(put(20, "x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
    }

    #[test]
    fn what_is_plain_is_no_grapheme_of_its_own_where_something_joins_it() {
        let parts = ["a", " ", "~", "\r", "\n", "\t", "é", "e", "\u{301}", "漢", "\u{200d}"];
        let more =
            ["\u{1f468}", "\u{1f1e9}", "\u{1f3fd}", "\u{600}", "\u{fe0f}", "\u{915}", "\u{94d}"];
        let parts: Vec<&str> = parts.into_iter().chain(more).collect();
        for number in 0..parts.len().pow(4) {
            let part = |place| parts[number / parts.len().pow(place) % parts.len()];
            let text: String = (0..4).map(part).collect();
            let ours: Vec<&str> = graphemes(&text).collect();
            assert_eq!(ours, text.graphemes(true).collect::<Vec<_>>(), "of {text:?}");
        }
    }

    #[test]
    fn the_other_end_and_the_ellipsis() {
        let right = drawn(&look(), 6, |l, a, b| put_right(l, a, b, "abc", Tone::Text));
        assert_eq!(right, "   abc");
        let right = drawn(&look(), 4, |l, a, b| put_right(l, a, b, "漢字abc", Tone::Text));
        assert_eq!(right, " abc");
        let elided = |columns| elided(&look(), "漢字abc", columns);
        assert_eq!([7, 6, 5, 1, 0].map(elided), ["漢字abc", "漢字a…", "漢字…", "…", ""]);
        assert_eq!(super::elided(&ascii(), "→ 漢 abcdef", 7), "> ?? a~");
    }

    #[test]
    fn spans_are_cut_as_one_text() {
        let spans = [span("ab", Tone::Good), span("cd", Tone::Bad), span("ef", Tone::Text)];
        let put = |columns| {
            drawn(&look(), columns, |look, area, buf| {
                put_spans(look, area, buf, &spans);
            })
        };
        assert_eq!([6, 5, 4, 3, 2].map(put), ["abcdef", "abcd…", "abc…", "ab…", "a…"]);
        let centred = drawn(&look(), 10, |l, a, b| put_spans_centred(l, a, b, &spans));
        assert_eq!(centred, "  abcdef");
    }

    #[test]
    fn half_of_a_wide_character_is_no_character() {
        let both = drawn(&look(), 4, |look, area, buf| {
            put(look, area, buf, "漢字", Tone::Text);
            put(look, Rect { x: 1, width: 2, ..area }, buf, "ab", Tone::Text);
        });
        assert_eq!(both, " ab");
    }

    #[test]
    fn rows_are_broken_at_blanks_and_long_words_anywhere() {
        let rows = |text: &str, columns| -> Vec<String> {
            let spans = [span(text, Tone::Text)];
            let rows = wrapped(&look(), &spans, columns);
            let row = |row: Vec<Span>| row.into_iter().map(|(text, _)| text).collect::<String>();
            rows.into_iter().map(row).collect()
        };
        assert_eq!(rows("one two three", 8), ["one two ", "three"]);
        assert_eq!(rows("one two", 3), ["one", "two"]);
        assert_eq!(rows("abcdefgh ij", 3), ["abc", "def", "gh ", "ij"]);
        assert_eq!(rows("", 3), [""]);
        assert_eq!(rows("漢字", 1).len(), 3, "nothing fits, and nothing hangs");
    }
}
