//! What a console was fed, as lines of a file: to be looked at again, and to be tested with.
//!
//! | line | fields |
//! |---|---|
//! | the first | `recording`: 1; `version`: of the program that wrote it; `cluster`: its name |
//! | an event | `at_us`: since the recording began; `feed`; `line`: the event's line as it came |
//! | a link | `at_us`; `feed`; `link`: `connected`, or `lost` with `why` |
//!
//! `feed` is `coordinator` or `supervisor`. Every line is a JSON object; times never fall. After a
//! `connected` the feed begins with a snapshot. Readers ignore fields they do not know.
//!
//! Used by `piazza console`, which records and replays, and by its tests. Pure: lines go in, typed
//! records come out, and the other way round. Never reads or writes a file.

use std::fmt;

use protocol::event::{self, Event};
use protocol::json;
use protocol::reply::REPLY_BYTES_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Who tells a console what happens.
pub use super::model::feed::FeedName as Feed;

/// The format that is written, and the highest that is read.
pub const FORMAT: u32 = 1;
/// No line is longer, newline not counted: an event's at most, and what is around it.
pub const LINE_BYTES_MAX: usize = REPLY_BYTES_MAX + 1_024;

/// What a recording is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the program that wrote it.
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
}

/// One thing that a console was fed.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When, since the recording began.
    pub at_us: u64,
    /// By whom.
    pub feed: Feed,
    /// What.
    pub what: What,
}

/// What a console is fed.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The subscription was accepted: a snapshot comes next.
    Connected,
    /// There is no connection; why, as a sentence.
    Lost(String),
    /// An event.
    Event(Box<Event>),
}

/// Why a line is none of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: u64,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is none of a recording: {}", self.number, self.what)
    }
}

impl std::error::Error for BadLine {}

/// Appends the first line.
pub fn write_header(out: &mut Vec<u8>, header: &Header) {
    out.extend_from_slice(b"{\"recording\":");
    json::write_number(out, u64::from(FORMAT));
    out.extend_from_slice(b",\"version\":");
    json::write_string(out, &header.version);
    out.extend_from_slice(b",\"cluster\":");
    json::write_string(out, &header.cluster);
    out.extend_from_slice(b"}\n");
}

/// Appends an event: its line as it came, without a newline, once it has been decoded.
pub fn write_event(out: &mut Vec<u8>, at_us: u64, feed: Feed, line: &[u8]) {
    write_begin(out, at_us, feed);
    out.extend_from_slice(b",\"line\":");
    out.extend_from_slice(line);
    out.extend_from_slice(b"}\n");
}

/// Appends that a subscription was accepted.
pub fn write_connected(out: &mut Vec<u8>, at_us: u64, feed: Feed) {
    write_begin(out, at_us, feed);
    out.extend_from_slice(b",\"link\":\"connected\"}\n");
}

/// Appends that a connection was lost, or could not be made.
pub fn write_lost(out: &mut Vec<u8>, at_us: u64, feed: Feed, why: &str) {
    write_begin(out, at_us, feed);
    out.extend_from_slice(b",\"link\":\"lost\",\"why\":");
    json::write_string(out, why);
    out.extend_from_slice(b"}\n");
}

fn write_begin(out: &mut Vec<u8>, at_us: u64, feed: Feed) {
    out.extend_from_slice(b"{\"at_us\":");
    json::write_number(out, at_us);
    out.extend_from_slice(b",\"feed\":\"");
    out.extend_from_slice(feed.as_str().as_bytes());
    out.push(b'"');
}

/// Reads a recording, line by line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    header: Header,
    /// Lines read.
    lines: u64,
    /// The time of the last one.
    at_us: u64,
}

impl Reader {
    /// Begins with the first line.
    ///
    /// # Errors
    /// What is wrong with it; a newer format too.
    pub fn new(line: &[u8]) -> Result<Self, BadLine> {
        #[derive(Deserialize)]
        struct First {
            recording: u32,
            #[serde(default)]
            version: String,
            #[serde(default)]
            cluster: String,
        }
        let bad = |what| BadLine { number: 1, what };
        bounded(line).map_err(bad)?;
        let First { recording, version, cluster } =
            serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?;
        if recording > FORMAT {
            return Err(bad(format!(
                "its format is {recording}, and this program reads {FORMAT}: use Piazza {version}"
            )));
        }
        Ok(Self { header: Header { version, cluster }, lines: 1, at_us: 0 })
    }

    /// What the recording is of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next line, without its newline.
    ///
    /// # Errors
    /// What is wrong with it. The next one may be read all the same.
    pub fn record(&mut self, line: &[u8]) -> Result<Record, BadLine> {
        self.lines += 1;
        let record = parse(line).and_then(|record| match record.at_us < self.at_us {
            true => Err(format!("its time is before {} us, that of the one before", self.at_us)),
            false => Ok(record),
        });
        let record = record.map_err(|what| BadLine { number: self.lines, what })?;
        self.at_us = record.at_us;
        Ok(record)
    }
}

/// Reads a recording that is there as a whole.
///
/// # Errors
/// The first line that is wrong.
pub fn read(bytes: &[u8]) -> Result<(Header, Vec<Record>), BadLine> {
    let mut lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
    let mut reader = Reader::new(lines.next().unwrap_or_default())?;
    let records = lines.map(|line| reader.record(line)).collect::<Result<_, _>>()?;
    Ok((reader.header, records))
}

fn bounded(line: &[u8]) -> Result<(), String> {
    let is_long = line.len() > LINE_BYTES_MAX;
    if is_long { Err(format!("it is longer than {LINE_BYTES_MAX} bytes")) } else { Ok(()) }
}

fn parse(line: &[u8]) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Line<'a> {
        at_us: u64,
        feed: Feed,
        #[serde(borrow, default)]
        line: Option<&'a RawValue>,
        #[serde(default)]
        link: Option<String>,
        #[serde(default)]
        why: String,
    }
    bounded(line)?;
    let Line { at_us, feed, line, link, why } =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let what = match (line, link.as_deref()) {
        (Some(line), None) => {
            let event = event::decode(line.get().as_bytes()).map_err(|error| error.to_string())?;
            What::Event(Box::new(event))
        }
        (None, Some("connected")) => What::Connected,
        (None, Some("lost")) => What::Lost(why),
        (None, Some(_)) => return Err("`link` is neither connected nor lost".to_owned()),
        _ => return Err("it has not one of `line` and `link`".to_owned()),
    };
    Ok(Record { at_us, feed, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"event":"copies","seq":7,"source":"coordinator","epoch":2,"at_us":5,"wall_ms":6,"by_live_copies":{"2":9},"unwritable":0}"#;

    fn written() -> String {
        let mut out = Vec::new();
        let header = Header { version: "0.1.0".into(), cluster: "mar\"ket".into() };
        write_header(&mut out, &header);
        write_connected(&mut out, 0, Feed::Supervisor);
        write_event(&mut out, 15, Feed::Coordinator, EVENT.as_bytes());
        write_lost(&mut out, 15, Feed::Coordinator, "a \u{1b} b");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = written();
        assert!(text.lines().nth(2).unwrap().contains(EVENT), "as it came");
        let (header, records) = read(text.as_bytes()).unwrap();
        assert_eq!((&*header.version, &*header.cluster), ("0.1.0", "mar\"ket"));
        let event = event::decode(EVENT.as_bytes()).unwrap();
        let expected = [
            (0, Feed::Supervisor, What::Connected),
            (15, Feed::Coordinator, What::Event(Box::new(event))),
            (15, Feed::Coordinator, What::Lost("a \u{1b} b".into())),
        ];
        assert_eq!(records, expected.map(|(at_us, feed, what)| Record { at_us, feed, what }));
        // One without its last newline is whole.
        assert_eq!(read(text.trim_end().as_bytes()).unwrap().1.len(), 3);
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_ones_are_read() {
        for (line, wrong) in [
            ("", "EOF"),
            ("{\"at_us\":15", "EOF"),
            (r#"{"at_us":15,"feed":"coordinator"}"#, "not one of"),
            (r#"{"at_us":15,"feed":"oracle","link":"lost"}"#, "oracle"),
            (r#"{"at_us":15,"feed":"supervisor","link":"odd"}"#, "neither"),
            (r#"{"at_us":15,"feed":"supervisor","line":{"seq":1}}"#, "event"),
            (r#"{"at_us":14,"feed":"supervisor","link":"lost"}"#, "before 15 us"),
        ] {
            let text = format!("{}{line}\n", written());
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error.number, 5, "{line}");
            assert!(error.to_string().contains(wrong), "{line}: {error}");
        }
        let mut reader = Reader::new(br#"{"recording":1,"new":true}"#).unwrap();
        assert_eq!(reader.record(&vec![b' '; LINE_BYTES_MAX + 1]).unwrap_err().number, 2);
        let good = br#"{"at_us":1,"feed":"supervisor","link":"lost","new":[]}"#;
        assert_eq!(reader.record(good).unwrap().what, What::Lost(String::new()));
        assert_eq!(reader.record(b"x").unwrap_err().number, 4);
    }

    #[test]
    fn a_newer_format_names_who_reads_it() {
        let error = read(b"{\"recording\":2,\"version\":\"7.5\"}\n").unwrap_err();
        assert!(error.number == 1 && error.what.contains("use Piazza 7.5"), "{error}");
        assert_eq!(read(b"").unwrap_err().number, 1);
        assert!(read(EVENT.as_bytes()).unwrap_err().what.contains("recording"));
    }
}
