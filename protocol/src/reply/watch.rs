//! The lines that follow the reply to a `watch`: one a change, in commit order per key.
//!
//! A watch line is told from a reply by its first field, `watch`, where replies have `ok`. A line
//! is encoded once, however many connections watch.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

use super::{InvalidReply, invalid, value};
use crate::error::version_text;
use crate::ids::{Key, Value, Version};
use crate::json;

/// The last line of a watch that cannot go on without leaving something out.
pub const WATCH_LOST_LINE: &[u8] = b"{\"watch\":\"lost\"}\n";

/// The line about a key that was set, newline included.
pub fn watch_put_line(key: &str, value: &[u8], version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(key.len() + value.len() + 80);
    write_key(&mut out, "put", key);
    out.put_u8(b',');
    json::write_value(&mut out, value);
    write_end(&mut out, version);
    out.freeze()
}

/// The line about a key that was removed, newline included.
pub fn watch_del_line(key: &str, version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(key.len() + 64);
    write_key(&mut out, "del", key);
    write_end(&mut out, version);
    out.freeze()
}

fn write_key(out: &mut BytesMut, kind: &str, key: &str) {
    out.put_slice(b"{\"watch\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"key\":");
    json::write_string(out, key);
}

fn write_end(out: &mut BytesMut, version: Version) {
    out.put_slice(b",\"version\":");
    json::write_version(out, version);
    out.put_slice(b"}\n");
}

/// A committed change of a key that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its new value; `None` where it was removed.
    pub value: Option<Value>,
    /// The version of the new value, or of the removal.
    pub version: Version,
}

/// What a line of a watch says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchLine {
    /// A key has changed.
    Change(Change),
    /// The watch is over, and changes may have been left out since the last line.
    Lost,
    /// Something that this version does not know, to be ignored.
    Other,
}

/// Reads a line of a watch.
pub fn decode_watch(line: &[u8]) -> Result<WatchLine, InvalidReply> {
    #[derive(Deserialize)]
    struct Body<'a> {
        watch: Cow<'a, str>,
        #[serde(default)]
        key: Option<Key>,
        #[serde(borrow, default)]
        value: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        value_b64: Option<Cow<'a, str>>,
        #[serde(with = "version_text", default)]
        version: Option<Version>,
    }
    let body: Body<'_> = serde_json::from_slice(line).map_err(invalid)?;
    let missing = |name: &str| InvalidReply(format!("a line of a watch has no {name}"));
    let value = match &*body.watch {
        "put" => {
            let value = value(body.value, body.value_b64)?;
            Some(value.ok_or_else(|| missing("value"))?)
        }
        "del" => None,
        "lost" => return Ok(WatchLine::Lost),
        _ => return Ok(WatchLine::Other),
    };
    let key = body.key.ok_or_else(|| missing("key"))?;
    let version = body.version.ok_or_else(|| missing("version"))?;
    Ok(WatchLine::Change(Change { key, value, version }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;
    use crate::testing::Numbers;

    #[test]
    fn lines_are_written_to_the_letter() {
        let version = Version::new(Epoch(3), 17);
        let put = "{\"watch\":\"put\",\"key\":\"a\\n\",\"value\":\"v\",\"version\":\"3.17\"}\n";
        assert_eq!(watch_put_line("a\n", b"v", version), put.as_bytes());
        let del = "{\"watch\":\"del\",\"key\":\"a\",\"version\":\"3.17\"}\n";
        assert_eq!(watch_del_line("a", version), del.as_bytes());
    }

    #[test]
    fn lines_read_back_and_unknown_ones_are_no_trouble() {
        let mut numbers = Numbers::new(8);
        for number in 0..500 {
            let key = Key::new(&numbers.text(20)).unwrap();
            let length = numbers.below(50);
            let value: Option<Value> = (number % 3 > 0).then(|| numbers.bytes(length).into());
            let version = Version::from_number(numbers.next());
            let line = match &value {
                Some(value) => watch_put_line(key.as_str(), value.as_bytes(), version),
                None => watch_del_line(key.as_str(), version),
            };
            let change = Change { key, value, version };
            assert_eq!(decode_watch(&line), Ok(WatchLine::Change(change)));
        }
        assert_eq!(decode_watch(WATCH_LOST_LINE), Ok(WatchLine::Lost));
        assert_eq!(decode_watch(b"{\"watch\":\"expired\",\"x\":[]}"), Ok(WatchLine::Other));
        let wrong: [&[u8]; 5] = [
            b"{}",
            b"\xff",
            b"{\"watch\":\"put\",\"key\":\"a\",\"version\":\"1.1\"}",
            b"{\"watch\":\"del\",\"version\":\"1.1\"}",
            b"{\"watch\":\"del\",\"key\":\"a\"}",
        ];
        for line in wrong {
            assert!(decode_watch(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }
}
