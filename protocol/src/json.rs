//! Writing JSON by hand where it is hot: strings, numbers, values; and base64.
//!
//! Used by the encoders of requests and replies on both sides. Reading is `serde_json`'s business.
//! Nothing here allocates but the growth of the buffer written to, and the result of
//! [`decode_base64`]; nothing ever writes a blank outside a string.

use bytes::BufMut;

use crate::ids::Version;

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut impl BufMut, text: &str) {
    out.put_u8(b'"');
    write_contents(out, text);
    out.put_u8(b'"');
}

/// Appends `text` as part of a JSON string.
pub fn write_contents(out: &mut impl BufMut, text: &str) {
    if is_plain(text.as_bytes()) {
        out.put_slice(text.as_bytes());
    } else {
        write_escaped(out, text.as_bytes());
    }
}

/// Appends `"value":"text"`, or `"value_b64":"..."` where the bytes are not UTF-8 or contain
/// control characters other than tab, newline and carriage return. This is the rule for replies.
pub fn write_value(out: &mut impl BufMut, value: &[u8]) {
    match kind(value) {
        Kind::Plain => write_plain_value(out, value),
        Kind::Readable => write_escaped_value(out, value),
        Kind::Bytes => write_base64_value(out, value),
    }
}

/// Like [`write_value`], but chooses base64 also where escapes would make the text longer than
/// that: so that every value within its limit fits a request line within its own.
pub fn write_value_compact(out: &mut impl BufMut, value: &[u8]) {
    let few_escapes = || value.iter().filter(|b| must_escape(**b)).count() <= value.len() / 3;
    match kind(value) {
        Kind::Plain => write_plain_value(out, value),
        Kind::Readable if few_escapes() => write_escaped_value(out, value),
        Kind::Readable | Kind::Bytes => write_base64_value(out, value),
    }
}

/// Appends `number` in decimal.
pub fn write_number(out: &mut impl BufMut, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// Appends a version as clients see it, `"EPOCH.COUNTER"`, quotes included.
pub fn write_version(out: &mut impl BufMut, version: Version) {
    out.put_u8(b'"');
    write_number(out, u64::from(version.epoch().0));
    out.put_u8(b'.');
    write_number(out, version.counter());
    out.put_u8(b'"');
}

/// Appends `bytes` in base64 (RFC 4648, section 4, padded), without quotes.
pub fn write_base64(out: &mut impl BufMut, bytes: &[u8]) {
    let letter = |group: u32, shift: u32| ALPHABET[(group >> shift & 63) as usize];
    // In pieces of a fixed size, because appending to a buffer costs more than four letters do.
    const TRIPLES: usize = 32;
    let (triples, rest) = bytes.as_chunks::<3>();
    for piece in triples.chunks(TRIPLES) {
        let mut letters = [[0; 4]; TRIPLES];
        for ([a, b, c], quad) in piece.iter().zip(&mut letters) {
            let group = u32::from_be_bytes([0, *a, *b, *c]);
            *quad = [letter(group, 18), letter(group, 12), letter(group, 6), letter(group, 0)];
        }
        out.put_slice(letters[..piece.len()].as_flattened());
    }
    match rest {
        [a] => {
            let group = u32::from_be_bytes([0, *a, 0, 0]);
            out.put_slice(&[letter(group, 18), letter(group, 12), b'=', b'=']);
        }
        [a, b] => {
            let group = u32::from_be_bytes([0, *a, *b, 0]);
            out.put_slice(&[letter(group, 18), letter(group, 12), letter(group, 6), b'=']);
        }
        _ => {}
    }
}

/// The bytes that `text` stands for in base64, or `None` if it is not strictly RFC 4648: wrong
/// length, a foreign character (blanks too), misplaced padding, or bits left over.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (quads, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(quads.len() * 3);
    let Some((last, whole)) = quads.split_last() else {
        return Some(bytes);
    };
    for quad in whole {
        bytes.extend_from_slice(&decode_quad(*quad)?.to_be_bytes()[1..]);
    }
    let [a, b, c, d] = *last;
    match (c, d) {
        (b'=', b'=') => {
            let group = decode_quad([a, b, b'A', b'A'])?;
            if group & 0xffff != 0 {
                return None;
            }
            bytes.push((group >> 16) as u8);
        }
        (_, b'=') => {
            let group = decode_quad([a, b, c, b'A'])?;
            if group & 0xff != 0 {
                return None;
            }
            bytes.extend_from_slice(&[(group >> 16) as u8, (group >> 8) as u8]);
        }
        _ => bytes.extend_from_slice(&decode_quad(*last)?.to_be_bytes()[1..]),
    }
    Some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What each character of base64 stands for; 64 for all others.
const LETTERS: [u8; 256] = {
    let mut table = [64; 256];
    let mut i = 0;
    while i < 64 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
};

fn decode_quad(quad: [u8; 4]) -> Option<u32> {
    let values = quad.map(|letter| u32::from(LETTERS[letter as usize]));
    let [a, b, c, d] = values;
    ((a | b | c | d) < 64).then_some(a << 18 | b << 12 | c << 6 | d)
}

/// How a value can be written.
enum Kind {
    /// Text that needs no escape.
    Plain,
    /// Text that a reader may meet, with escapes.
    Readable,
    /// Not text, or text with control characters.
    Bytes,
}

fn kind(value: &[u8]) -> Kind {
    let Ok(text) = std::str::from_utf8(value) else {
        return Kind::Bytes;
    };
    if is_plain(value) {
        return Kind::Plain;
    }
    let harmless = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if text.chars().all(harmless) { Kind::Readable } else { Kind::Bytes }
}

fn write_plain_value(out: &mut impl BufMut, text: &[u8]) {
    out.put_slice(b"\"value\":\"");
    out.put_slice(text);
    out.put_u8(b'"');
}

fn write_escaped_value(out: &mut impl BufMut, text: &[u8]) {
    out.put_slice(b"\"value\":\"");
    write_escaped(out, text);
    out.put_u8(b'"');
}

fn write_base64_value(out: &mut impl BufMut, value: &[u8]) {
    out.put_slice(b"\"value_b64\":\"");
    write_base64(out, value);
    out.put_u8(b'"');
}

/// Whether the bytes, known to be UTF-8, can stand in a JSON string as they are and contain no
/// control character. Errs on the side of no: the byte 0xc2 begins the controls U+0080 to U+009F,
/// but other characters too.
fn is_plain(bytes: &[u8]) -> bool {
    // Without early exit or short cut within a block, so that the compiler turns it into vector
    // instructions.
    let suspect = |b: u8| (b < 0x20) | (b == b'"') | (b == b'\\') | (b == 0x7f) | (b == 0xc2);
    let (blocks, rest) = bytes.as_chunks::<32>();
    let clean = |block: &[u8; 32]| block.iter().fold(0, |found, b| found | u8::from(suspect(*b)));
    blocks.iter().all(|block| clean(block) == 0) && !rest.iter().any(|b| suspect(*b))
}

fn must_escape(b: u8) -> bool {
    b < 0x20 || b == b'"' || b == b'\\'
}

fn write_escaped(out: &mut impl BufMut, bytes: &[u8]) {
    let mut copied = 0;
    for (at, b) in bytes.iter().enumerate() {
        if !must_escape(*b) {
            continue;
        }
        out.put_slice(&bytes[copied..at]);
        copied = at + 1;
        match b {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            _ => {
                let hex = |digit: u8| b"0123456789abcdef"[digit as usize];
                out.put_slice(&[b'\\', b'u', b'0', b'0', hex(b >> 4), hex(b & 15)]);
            }
        }
    }
    out.put_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    fn value(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_value(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_exactly_where_json_wants_it() {
        assert_eq!(string("plain é 😀 \u{7f}"), "\"plain é 😀 \u{7f}\"");
        assert_eq!(string("a\"b\\c\n\r\t\0\u{1f}/"), r#""a\"b\\c\n\r\t\u0000\u001f/""#);
        let mut numbers = Numbers::new(1);
        for _ in 0..2000 {
            let text = numbers.text(40);
            assert_eq!(serde_json::from_str::<String>(&string(&text)).unwrap(), text);
        }
    }

    #[test]
    fn values_are_text_only_where_a_reader_may_see_them() {
        assert_eq!(value(b""), r#""value":"""#);
        assert_eq!(value("é\t\n\r\"".as_bytes()), r#""value":"é\t\n\r\"""#);
        assert_eq!(value(b"\0"), r#""value_b64":"AA==""#);
        assert_eq!(value(b"\x7f"), r#""value_b64":"fw==""#);
        assert_eq!(value("\u{85}".as_bytes()), r#""value_b64":"woU=""#);
        assert_eq!(value("\u{a0}".as_bytes()), "\"value\":\"\u{a0}\"");
        assert_eq!(value(&[0xff, 0xfe]), r#""value_b64":"//4=""#);
    }

    #[test]
    fn a_value_full_of_escapes_stays_short_in_a_request() {
        let mut out = Vec::new();
        write_value_compact(&mut out, &[b'"'; 3000]);
        assert!(out.len() < 4020, "{}", out.len());
        out.clear();
        write_value_compact(&mut out, b"say \"hello\" to everybody here");
        assert!(out.starts_with(b"\"value\":"));
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 123, u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn base64_reads_back_and_is_strict() {
        let mut numbers = Numbers::new(2);
        for length in 0..200 {
            let bytes = numbers.bytes(length);
            let mut out = Vec::new();
            write_base64(&mut out, &bytes);
            assert_eq!(decode_base64(std::str::from_utf8(&out).unwrap()), Some(bytes));
        }
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo")] {
            assert_eq!(decode_base64(text), Some(bytes.as_bytes().to_vec()), "{text}");
        }
        let wrong = [
            "Z", "Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "=g==", "Z===",
            "Zg==Zg==", "Zm9-", "Zm9_", "é===", "Zg=A",
        ];
        for text in wrong {
            assert_eq!(decode_base64(text), None, "{text:?}");
        }
    }
}
