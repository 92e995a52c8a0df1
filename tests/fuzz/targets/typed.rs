//! What a person types, or imports from a file.

use std::io::BufReader;
use std::net::SocketAddr;
use std::time::Duration;

use cluster::config::{CacheShape, EvictAfter, StorageKind, parse_ms};
use protocol::ids::{Key, NodeName, OnceName, Point, Uuid, Version};
use protocol::limits::Limits;
use protocol::peer::Placement;
use protocol::token::Token;

use super::any_json;

#[path = "../../../tui/cli/duration.rs"]
mod duration;
#[path = "../../../tui/cli/records.rs"]
mod records;

use self::duration::duration;
use self::records::{BadLine, Format, Record, Records};

/// Values of flags and arguments: what is read is bounded, and reads back.
pub fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(found) = duration(text) {
        assert!(found <= Duration::from_secs(366 * 86_400), "{found:?}");
        assert_eq!(duration(&format!("{}ms", found.as_millis())), Ok(found));
    }
    if let Ok(found) = parse_ms(text) {
        assert!(found >= Duration::from_millis(1) && found <= Duration::from_secs(600));
        assert_eq!(duration(&format!("{text}ms").replace('+', "")), Ok(found));
    }
    if let Ok(shape) = text.parse::<CacheShape>() {
        assert!(u64::from(shape.sets()) * u64::from(shape.ways()) <= 1 << 30, "{shape}");
        assert_eq!(shape.to_string().parse(), Ok(shape));
    }
    if let Ok(kind) = text.parse::<StorageKind>() {
        assert_eq!(kind.to_string(), text);
    }
    if let Ok(placement) = text.parse::<Placement>() {
        assert_eq!(placement.to_string(), text);
    }
    if let Ok(after) = text.parse::<EvictAfter>() {
        assert_eq!(after.to_string().parse(), Ok(after));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    // Of these there is one text each: some compare texts.
    let texts = [
        text.parse::<Version>().map(|id| id.to_string()),
        text.parse::<Point>().map(|id| id.to_string()),
        text.parse::<Uuid>().map(|id| id.to_string()),
        text.parse::<NodeName>().map(|id| id.to_string()),
        text.parse::<OnceName>().map(|id| id.to_string()),
        Key::new(text).map(|key| key.as_str().to_owned()),
    ];
    for again in texts.into_iter().flatten() {
        assert_eq!(again, text);
    }
    if let Ok(token) = Token::new(text) {
        assert_eq!(token.secret(), text);
        assert!(!format!("{token:?}").contains(text), "a token is not shown");
    }
    if let Ok(name) = text.parse::<NodeName>() {
        let name = name.as_str();
        assert!(!name.contains('/') && name != "." && name != "..", "{name} is a file's name");
    }
}

/// Lines of JSON: what is read is what a general reader sees, and reads back.
pub fn import_json(data: &[u8]) {
    let (found, end) = import(data, Format::Json);
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.filter(|line| !line.is_empty());
    for record in &found {
        // What stands in a field that is ignored may be more than that reader takes.
        let line = lines.next().expect("a line a record");
        let Some(line) = any_json(line) else { continue };
        assert_eq!(line["key"].as_str(), Some(record.key.as_str()));
        if let Some(text) = line["value"].as_str() {
            assert_eq!(text.as_bytes(), record.value);
        }
    }
    assert!(end.is_some() || lines.next().is_none(), "every line is a record");
}

/// Lines of CSV: what is read is what a plain reader of RFC 4180 sees, and reads back.
pub fn import_csv(data: &[u8]) {
    let (found, end) = import(data, Format::Csv);
    if end.is_none() {
        let found: Vec<[Vec<u8>; 2]> =
            found.into_iter().map(|r| [r.key.as_bytes().to_vec(), r.value]).collect();
        assert_eq!(found, plain_csv(data));
    }
}

/// All records, and the line that ended them; the same however the input arrives.
fn import(data: &[u8], format: Format) -> (Vec<Record>, Option<BadLine>) {
    let limits = Limits { key_bytes: 12, value_bytes: 40, ..Limits::default() };
    let read = |buffer: usize| {
        let input = BufReader::with_capacity(buffer, data);
        let (mut good, mut bad) = (Vec::new(), None);
        for record in Records::new(input, format, limits.clone()) {
            assert!(bad.is_none(), "nothing follows a bad line");
            match record {
                Ok(record) => good.push(record),
                Err(line) => bad = Some(line),
            }
        }
        (good, bad)
    };
    let (good, bad) = read(1 << 12);
    assert_eq!(read(1), (read(7).0, read(1 << 12).1), "however it arrives");
    let mut written = Vec::new();
    let mut before = (0, 0);
    for record in &good {
        assert!(record.key.as_bytes().len() <= limits.key_bytes);
        assert!(record.value.len() <= limits.value_bytes);
        assert!(record.line > before.0 && record.end_bytes > before.1, "{record:?}");
        assert!(record.end_bytes <= data.len() as u64);
        before = (record.line, record.end_bytes);
        records::write(&mut written, format, record.key.as_str(), &record.value);
    }
    let again: Result<Vec<Record>, BadLine> = Records::new(&written[..], format, limits).collect();
    let again = again.expect("what was written can be read");
    let parts = |records: &[Record]| -> Vec<(Key, Vec<u8>)> {
        records.iter().map(|record| (record.key.clone(), record.value.clone())).collect()
    };
    assert_eq!(parts(&again), parts(&good), "the same when written");
    (good, bad)
}

/// A byte at a time, of input that is known to be right.
fn plain_csv(data: &[u8]) -> Vec<[Vec<u8>; 2]> {
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let mut rows: Vec<Vec<Vec<u8>>> = vec![vec![Vec::new()]];
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let ends = |at: usize| matches!(text.get(at..), Some([] | [b'\n', ..]) | None);
        let row = rows.last_mut().expect("a row");
        let field = row.last_mut().expect("a field");
        match byte {
            b'"' if quoted && text.get(at + 1) == Some(&b'"') => {
                field.push(b'"');
                at += 1;
            }
            b'"' => quoted = !quoted,
            b',' if !quoted => row.push(Vec::new()),
            b'\r' if !quoted && ends(at + 1) => {}
            b'\n' if !quoted => rows.push(vec![Vec::new()]),
            byte => field.push(*byte),
        }
        at += 1;
    }
    let blank = |row: &Vec<Vec<u8>>| row.len() == 1 && row[0].trim_ascii().is_empty();
    rows.retain(|row| !blank(row));
    rows.into_iter().map(|row| row.try_into().expect("a key and a value")).collect()
}
