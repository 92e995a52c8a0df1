//! The lines of an import or export: JSON objects, or `key,value` with the quotes of RFC 4180.
//!
//! Read by `import`, one record at a time, in memory bounded by the largest record allowed; written
//! by `export`. Pure but for the reader it is given. The first bad line ends the reading: what
//! comes after is never looked at.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use protocol::ids::Key;
use protocol::json;
use protocol::limits::Limits;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `{"key":"a","value":"b"}`, or `value_b64`.
    Json,
    /// `key,value`.
    Csv,
}

/// One key and its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The line it begins on, from 1.
    pub(crate) line: u64,
    /// The bytes of input up to its end.
    pub(crate) end_bytes: u64,
    pub(crate) key: Key,
    pub(crate) value: Vec<u8>,
}

/// A line that is no record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Which one, from 1.
    pub(crate) line: u64,
    /// What is wrong with it and how it should be.
    pub(crate) why: String,
}

/// The records of an input.
pub(crate) struct Records<R> {
    input: R,
    format: Format,
    limits: Limits,
    record_bytes_max: u64,
    lines: u64,
    bytes: u64,
    text: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Records<R> {
    /// Reads records from `input` and holds them to `limits`, so that the server need not refuse
    /// what can be refused here.
    pub(crate) fn new(input: R, format: Format, limits: Limits) -> Self {
        // Each byte of key and value can take six characters, as in \u0000.
        let content = (limits.key_bytes + limits.value_bytes) as u64;
        let record_bytes_max = content * 6 + 1024;
        let text = Vec::new();
        Self { input, format, limits, record_bytes_max, lines: 0, bytes: 0, text, ended: false }
    }

    fn read(&mut self) -> Result<Option<Record>, BadLine> {
        loop {
            let line = self.lines + 1;
            let fail = |why: String| BadLine { line, why };
            self.text.clear();
            if !self.read_line(line)? {
                return Ok(None);
            }
            if self.format == Format::Csv {
                // A line break within quotes belongs to the record: an even number of quotes in
                // all means that none is open.
                let mut open = is_odd(quotes(&self.text));
                while open {
                    let begin = self.text.len();
                    if !self.read_line(line)? {
                        let why = "a quote is never closed: double each quote inside quotes";
                        return Err(fail(why.into()));
                    }
                    open ^= is_odd(quotes(&self.text[begin..]));
                }
            }
            if line == 1 && self.text.starts_with(b"\xef\xbb\xbf") {
                self.text.drain(..3);
            }
            let text = without_line_end(&self.text);
            if text.trim_ascii().is_empty() {
                continue;
            }
            let (key, value) = match self.format {
                Format::Json => json_record(text),
                Format::Csv => csv_record(text),
            }
            .map_err(fail)?;
            let key = self.check(&key, &value).map_err(fail)?;
            return Ok(Some(Record { line, end_bytes: self.bytes, key, value }));
        }
    }

    /// Appends the next line to `text`; false at the end of the input.
    fn read_line(&mut self, record: u64) -> Result<bool, BadLine> {
        let room = self.record_bytes_max.saturating_sub(self.text.len() as u64);
        let mut limited = self.input.by_ref().take(room + 1);
        let read = limited.read_until(b'\n', &mut self.text).map_err(|error| {
            let why = format!("cannot read on: {error}");
            BadLine { line: self.lines + 1, why }
        })? as u64;
        if read > room {
            let why = format!("the record is longer than {} bytes", self.record_bytes_max);
            return Err(BadLine { line: record, why });
        }
        self.bytes += read;
        self.lines += u64::from(read > 0);
        Ok(read > 0)
    }

    fn check(&self, key: &str, value: &[u8]) -> Result<Key, String> {
        if key.len() > self.limits.key_bytes {
            let (limit, actual) = (self.limits.key_bytes, key.len());
            return Err(format!("the key has {actual} bytes, this cluster allows {limit}"));
        }
        if value.len() > self.limits.value_bytes {
            let (limit, actual) = (self.limits.value_bytes, value.len());
            return Err(format!("the value has {actual} bytes, this cluster allows {limit}"));
        }
        Key::new(key).map_err(|error| error.to_string())
    }
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let result = self.read().transpose();
        self.ended = !matches!(result, Some(Ok(_)));
        result
    }
}

fn json_record(text: &[u8]) -> Result<(String, Vec<u8>), String> {
    /// `version` is what `get --json` adds; it means nothing here.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        key: String,
        #[serde(borrow, default)]
        value: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        value_b64: Option<Cow<'a, str>>,
        #[serde(default, rename = "version")]
        _version: Option<IgnoredAny>,
    }
    const SHAPE: &str = r#"each line must look like {"key":"a","value":"b"}"#;
    let text = std::str::from_utf8(text)
        .map_err(|_| format!("not UTF-8: {SHAPE}, with value_b64 for bytes that are not text"))?;
    if !text.trim_ascii_start().starts_with('{') {
        // The derived reader would take a list of the fields, too.
        return Err(format!("not an object: {SHAPE}"));
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| {
        let cause = error.to_string();
        let cause = cause.split(" at line ").next().unwrap_or_default();
        format!("{cause}: {SHAPE}")
    })?;
    let value = match (line.value, line.value_b64) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(base64)) => json::decode_base64(&base64)
            .ok_or("value_b64 is not base64: use the RFC 4648 alphabet with padding")?,
        (None, None) => return Err(format!("there is no value: {SHAPE}")),
        (Some(_), Some(_)) => return Err("value and value_b64 are both there".into()),
    };
    Ok((line.key, value))
}

fn csv_record(text: &[u8]) -> Result<(String, Vec<u8>), String> {
    let (key, rest) = csv_field(text)?;
    let Some(rest) = rest else {
        return Err("there is no comma: each line must look like key,value".into());
    };
    let (value, rest) = csv_field(rest)?;
    if rest.is_some() {
        let why = "there are more than two fields: put a value with commas in quotes";
        return Err(why.into());
    }
    let key = String::from_utf8(key).map_err(|_| "the key is not UTF-8".to_owned())?;
    Ok((key, value))
}

/// The first field, and what follows its comma if there is one.
fn csv_field(text: &[u8]) -> Result<(Vec<u8>, Option<&[u8]>), String> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|b| *b == b',').unwrap_or(text.len());
        let field = &text[..end];
        if field.contains(&b'"') {
            return Err("a quote stands inside a field that does not begin with one: put the \
                        field in quotes and double those inside"
                .into());
        }
        return Ok((field.to_vec(), text.get(end + 1..)));
    };
    let mut field = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        let Some(end) = rest.iter().position(|b| *b == b'"') else {
            return Err("a quote is never closed: double each quote inside quotes".into());
        };
        field.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.first() {
            Some(b'"') => {
                field.push(b'"');
                rest = &rest[1..];
            }
            Some(b',') => return Ok((field, Some(&rest[1..]))),
            None => return Ok((field, None)),
            Some(_) => {
                let why = "text follows a closing quote: double each quote inside quotes";
                return Err(why.into());
            }
        }
    }
}

/// Appends one record, as [`Records`] reads it back.
pub(crate) fn write(out: &mut Vec<u8>, format: Format, key: &str, value: &[u8]) {
    match format {
        Format::Json => {
            out.extend_from_slice(b"{\"key\":");
            json::write_string(out, key);
            out.push(b',');
            json::write_value(out, value);
            out.push(b'}');
        }
        Format::Csv => {
            write_csv_field(out, key.as_bytes());
            out.push(b',');
            write_csv_field(out, value);
        }
    }
    out.push(b'\n');
}

/// In quotes where a reader would take it for anything but the field.
fn write_csv_field(out: &mut Vec<u8>, field: &[u8]) {
    let special = |b: &u8| matches!(b, b'"' | b',' | b'\r' | b'\n');
    if !field.iter().any(special) && !field.starts_with(b"\xef\xbb\xbf") {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for b in field {
        if *b == b'"' {
            out.push(b'"');
        }
        out.push(*b);
    }
    out.push(b'"');
}

fn quotes(text: &[u8]) -> usize {
    text.iter().filter(|b| **b == b'"').count()
}

fn is_odd(count: usize) -> bool {
    count % 2 == 1
}

fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, String, Vec<u8>);

    fn read(format: Format, text: &[u8]) -> Result<Vec<Row>, (u64, String)> {
        Records::new(text, format, Limits::default())
            .map(|result| {
                let record = result.map_err(|bad| (bad.line, bad.why))?;
                Ok((record.line, record.key.as_str().to_owned(), record.value))
            })
            .collect()
    }

    fn row(line: u64, key: &str, value: &str) -> Row {
        (line, key.into(), value.into())
    }

    #[test]
    fn json_lines_are_read_blank_ones_skipped() {
        let text = "\u{feff}{\"key\":\"a\",\"value\":\"1\"}\r\n\n {\"value_b64\":\"Mg==\",\
                    \"key\":\"\\u0062\",\"version\":\"1.1\"}\n{\"key\":\"c\",\"value\":\"\"}";
        let expected = vec![row(1, "a", "1"), row(3, "b", "2"), row(4, "c", "")];
        assert_eq!(read(Format::Json, text.as_bytes()), Ok(expected));
        assert_eq!(read(Format::Json, b""), Ok(vec![]));
    }

    #[test]
    fn bad_json_lines_are_named() {
        let good = "{\"key\":\"a\",\"value\":\"1\"}\n";
        for (bad, why) in [
            ("{", "EOF while parsing an object"),
            ("[\"a\",\"b\"]", "not an object"),
            ("{\"key\":\"a\"}", "there is no value"),
            ("{\"value\":\"a\"}", "missing field `key`"),
            ("{\"key\":\"\",\"value\":\"\"}", "a key must have at least one byte"),
            ("{\"key\":\"a\",\"value\":\"\",\"value_b64\":\"\"}", "value and value_b64 are both"),
            ("{\"key\":\"a\",\"value_b64\":\"a\"}", "value_b64 is not base64"),
            ("{\"key\":\"a\",\"key\":\"a\",\"value\":\"\"}", "duplicate field `key`"),
            ("{\"key\":\"a\",\"valu\":\"\"}", "unknown field `valu`"),
            ("{\"key\":\"a\",\"value\":1}", "invalid type: integer"),
        ] {
            let (line, got) =
                read(Format::Json, format!("{good}{bad}\n{good}").as_bytes()).unwrap_err();
            assert!(line == 2 && got.starts_with(why), "{bad}: {line} {got}");
        }
        let (_, why) = read(Format::Json, b"{\"key\":\"\xff\"}").unwrap_err();
        assert!(why.starts_with("not UTF-8"), "{why}");
    }

    #[test]
    fn csv_follows_rfc_4180() {
        let text = "a,1\r\n\"b,\"\"\",\"two\r\nlines\"\nc,\n\n\"d\",\"\"\ne f , x ";
        let expected = vec![
            row(1, "a", "1"),
            row(2, "b,\"", "two\r\nlines"),
            row(4, "c", ""),
            row(6, "d", ""),
            row(7, "e f ", " x "),
        ];
        assert_eq!(read(Format::Csv, text.as_bytes()), Ok(expected));
        assert_eq!(read(Format::Csv, b"a,\xff"), Ok(vec![(1, "a".into(), vec![0xff])]));
    }

    #[test]
    fn bad_csv_lines_are_named() {
        for (bad, why) in [
            ("a", "there is no comma"),
            ("a,b,c", "there are more than two fields"),
            (",b", "a key must have at least one byte"),
            ("a,b\"\"", "a quote stands inside"),
            ("\"a\"x\",\"b", "text follows a closing quote"),
            ("a,\"b\nc,d", "a quote is never closed"),
        ] {
            let (line, got) = read(Format::Csv, format!("x,y\n{bad}").as_bytes()).unwrap_err();
            assert!(line == 2 && got.starts_with(why), "{bad}: {line} {got}");
        }
    }

    #[test]
    fn limits_are_those_of_the_cluster_and_memory_is_bounded() {
        let limits = Limits { key_bytes: 3, value_bytes: 4, ..Limits::default() };
        let first = |text: &[u8]| {
            let mut records = Records::new(text, Format::Csv, limits.clone());
            let result = records.next().unwrap().map(drop).map_err(|bad| bad.why);
            assert!(result.is_ok() || records.next().is_none(), "nothing follows a bad line");
            result
        };
        assert_eq!(first(b"abc,1234"), Ok(()));
        assert!(first(b"abcd,1\nx,y").unwrap_err().contains("the key has 4 bytes"));
        assert!(first(b"a,12345\nx,y").unwrap_err().contains("the value has 5 bytes"));
        let endless = [b"a,\"".to_vec(), vec![b'\n'; 5000]].concat();
        assert!(first(&endless).unwrap_err().contains("longer than"));
    }
}
