//! A line and its words.
//!
//! Blanks separate words. A word that begins with `'` goes to the next `'`, exactly as it stands;
//! one that begins with `"` goes to the next `"` and has escapes, as have words without quotes:
//! `\n`, `\r`, `\t`, `\0`, `\xHH` for any byte, `\u{HEX}` for any character, and a backslash before
//! anything that is neither letter nor digit stands for that itself. Quotes within a word mean
//! nothing, so that `{"name":"Ada"}` is what it looks like.

use std::fmt::Write as _;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::problem::Problem;
use crate::text;

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it stands for: text, unless somebody wrote other bytes.
    pub bytes: Vec<u8>,
    /// Where it stands in the line, quotes included.
    pub range: Range<usize>,
    /// Whether it is in quotes.
    pub quoted: bool,
}

/// The words of `line`.
///
/// # Errors
/// A quote without its end, or an escape that means nothing, and where.
pub fn split(line: &str) -> Result<Vec<Word>, Problem> {
    read(line, false)
}

/// The words of a line that may end within quotes.
pub(super) fn split_open(line: &str) -> Result<Vec<Word>, Problem> {
    read(line, true)
}

fn read(line: &str, open: bool) -> Result<Vec<Word>, Problem> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += line[at..].len() - line[at..].trim_start_matches(is_blank).len();
        if at == line.len() {
            return Ok(words);
        }
        let word = match line.as_bytes()[at] {
            quote @ (b'\'' | b'"') => quoted(line, at, char::from(quote), open)?,
            _ => {
                let mut bytes = Vec::new();
                let end = unescape(line, at, is_blank, &mut bytes)?;
                Word { bytes, range: at..end, quoted: false }
            }
        };
        at = word.range.end;
        words.push(word);
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The word in quotes that begins at `at`.
fn quoted(line: &str, at: usize, quote: char, open: bool) -> Result<Word, Problem> {
    let inside = at + 1;
    let mut bytes = Vec::new();
    let end = if quote == '\'' {
        let end = line[inside..].find('\'').map_or(line.len(), |end| inside + end);
        bytes.extend_from_slice(&line.as_bytes()[inside..end]);
        end
    } else {
        unescape(line, inside, |c| c == '"', &mut bytes)?
    };
    if end == line.len() {
        return if open {
            Ok(Word { bytes, range: at..end, quoted: true })
        } else {
            Err(Problem::new(at..end, format!("the {quote} that begins here has no end")))
        };
    }
    let behind = end + 1;
    if line[behind..].starts_with(|c| !is_blank(c)) {
        let rest = line[behind..].find(is_blank).map_or(line.len(), |rest| behind + rest);
        let sentence = format!(
            "a blank must follow the {quote} that ends a word; a {quote} within \"...\" is written \
             \\{quote}, and JSON with blanks goes into '...'"
        );
        return Err(Problem::new(behind..rest, sentence));
    }
    Ok(Word { bytes, range: at..behind, quoted: true })
}

/// Reads from `at` to a character that `ends` it, or to the line's end; returns where that is.
fn unescape(
    line: &str,
    at: usize,
    ends: impl Fn(char) -> bool,
    bytes: &mut Vec<u8>,
) -> Result<usize, Problem> {
    let mut rest = line[at..].char_indices();
    while let Some((offset, c)) = rest.next() {
        let here = at + offset;
        if ends(c) {
            return Ok(here);
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let length = escape(&line[here..], bytes).map_err(|length| {
            let sentence = "no such escape: write \\\\ for a backslash, or \\n \\r \\t \\0 \\xHH \
                            \\u{HEX}";
            Problem::new(here..here + length, sentence)
        })?;
        let past = at + offset + length;
        while rest.clone().next().is_some_and(|(next, _)| at + next < past) {
            rest.next();
        }
    }
    Ok(line.len())
}

/// Reads the escape that `text` begins with; its length, also where it means nothing.
fn escape(text: &str, bytes: &mut Vec<u8>) -> Result<usize, usize> {
    let Some(c) = text[1..].chars().next() else { return Err(1) };
    let short = 1 + c.len_utf8();
    match c {
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        '0' => bytes.push(0),
        'x' => {
            let digits =
                text.get(2..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            bytes.push(byte.ok_or(2_usize)?);
            return Ok(4);
        }
        'u' => {
            let (hex, _) =
                text[2..].strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(2_usize)?;
            let hexadecimal = hex.len() <= 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
            let code = u32::from_str_radix(hex, 16).ok().filter(|_| hexadecimal).ok_or(2_usize)?;
            let c = char::from_u32(code).ok_or(hex.len() + 4)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(hex.len() + 4);
        }
        c if c.is_alphanumeric() => return Err(short),
        c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    Ok(short)
}

/// `bytes` as a word that [`split`] reads back, without quotes where that goes, and with escapes
/// for all that a person could not see.
pub fn quote(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !must_be_quoted(text) => text.to_owned(),
        _ => quote_open(bytes) + "\"",
    }
}

/// Whether `text` would not be read as one word that stands for itself.
pub(super) fn must_be_quoted(text: &str) -> bool {
    // A dash alone stands for standard input.
    let special = text.is_empty() || text == "-" || text.starts_with(['\'', '"', '#']);
    let unseen = |grapheme| text::shown(grapheme) != grapheme;
    let special = special || text.chars().any(|c| c == '\\' || c.is_whitespace());
    special || text.graphemes(true).any(unseen)
}

/// The beginning of a word in quotes, of which more may follow.
pub(super) fn quote_open(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for grapheme in chunk.valid().graphemes(true) {
            let seen = text::shown(grapheme) == grapheme;
            grapheme.chars().for_each(|c| push_quoted(&mut out, c, seen));
        }
        for b in chunk.invalid() {
            let _ = write!(out, "\\x{b:02x}");
        }
    }
    out
}

fn push_quoted(out: &mut String, c: char, seen: bool) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if !seen && text::is_hidden(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}
