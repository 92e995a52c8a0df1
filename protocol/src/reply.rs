//! One reply: encoded by servers from pieces that can be prepared and kept, decoded by clients.
//!
//! A reply line is a head, `{"ok":true` and the request's id, and a *tail*: everything after it,
//! newline included. The coordinator caches tails, so that a hit is two copies; a tail never
//! depends on the request that is answered. Decoding trusts nothing and ignores unknown fields.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorReply, version_text};
use crate::ids::{Value, Version};
use crate::json;
use crate::limits::Limits;

/// Longest reply line, bytes without its newline.
pub const REPLY_BYTES_MAX: usize = 4 << 20;

/// Appends a whole reply line: `ok`, the request's `id` as it stood in the request, and `tail`.
pub fn write_reply(out: &mut impl BufMut, id: Option<&str>, ok: bool, tail: &[u8]) {
    let head: &[u8] = if ok { b"{\"ok\":true" } else { b"{\"ok\":false" };
    out.put_slice(head);
    if let Some(id) = id {
        out.put_slice(b",\"id\":");
        out.put_slice(id.as_bytes());
    }
    out.put_slice(tail);
}

/// How many bytes [`write_reply`] appends at most.
pub fn reply_bytes(id: Option<&str>, tail: &[u8]) -> usize {
    11 + id.map_or(0, |id| 6 + id.len()) + tail.len()
}

/// The tail that answers a `get`: `,"value":"..","version":"1.2"}` and the newline.
pub fn value_tail(value: &[u8], version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(value.len() + 48);
    out.put_u8(b',');
    json::write_value(&mut out, value);
    write_version(&mut out, version);
    out.freeze()
}

/// The tail that answers an update: `,"version":"1.2"}` and the newline.
pub fn version_tail(version: Version) -> Bytes {
    let mut out = BytesMut::with_capacity(40);
    write_version(&mut out, version);
    out.freeze()
}

/// The tail of an error reply.
pub fn error_tail(error: &ErrorReply) -> Bytes {
    object_tail(error)
}

/// The tail whose fields are those of `object`, as for `status` and `hello`.
///
/// # Panics
/// If `object` does not serialize to a JSON object that has a field; the types of this crate do.
pub fn object_tail(object: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(object).expect("plain data always serializes");
    assert!(text.starts_with(b"{\""), "a reply's tail is made of an object with fields");
    text[0] = b',';
    text.push(b'\n');
    text.into()
}

fn write_version(out: &mut BytesMut, version: Version) {
    out.put_slice(b",\"version\":\"");
    json::write_number(out, u64::from(version.epoch().0));
    out.put_u8(b'.');
    json::write_number(out, version.counter());
    out.put_slice(b"\"}\n");
}

/// What `hello` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The server's name and version, as in `piazza 0.1.0`.
    pub server: String,
    /// The version of the client protocol, 1.
    pub protocol: u32,
    /// The cluster's uuid, once it has one.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The limits this connection is held to.
    #[serde(default)]
    pub limits: Limits,
}

/// A value with the version that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes.
    pub value: Value,
    /// Compare it for equality only.
    pub version: Version,
}

/// A reply that no Piazza server sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the reply is not one of this protocol ({0}): is this the client port of a Piazza cluster?"
)]
pub struct InvalidReply(pub String);

/// Reads a reply whose fields, if it is `ok`, are those of `T`; otherwise the error it tells.
pub fn decode<T: DeserializeOwned>(
    line: &[u8],
) -> Result<Result<T, Box<ErrorReply>>, InvalidReply> {
    let (ok, text) = head(line)?;
    if ok {
        serde_json::from_str(text).map(Ok).map_err(invalid)
    } else {
        serde_json::from_str(text).map(Err).map_err(invalid)
    }
}

/// Reads the reply to a `get`.
pub fn decode_value(line: &[u8]) -> Result<Result<Versioned, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        value: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        value_b64: Option<Cow<'a, str>>,
        #[serde(with = "version_text", default)]
        version: Option<Version>,
    }
    let (ok, text) = head(line)?;
    if !ok {
        return serde_json::from_str(text).map(Err).map_err(invalid);
    }
    let body: Body<'_> = serde_json::from_str(text).map_err(invalid)?;
    let bytes = match (body.value, body.value_b64) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(base64)) => json::decode_base64(&base64)
            .ok_or_else(|| InvalidReply("value_b64 is not base64".into()))?,
        _ => return Err(InvalidReply("it has not exactly one value".into())),
    };
    let version = body.version.ok_or_else(|| InvalidReply("it has no version".into()))?;
    Ok(Ok(Versioned { value: bytes.into(), version }))
}

/// Reads the reply to an update.
pub fn decode_version(line: &[u8]) -> Result<Result<Version, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(with = "version_text", default)]
        version: Option<Version>,
    }
    let body = match decode::<Body>(line)? {
        Ok(body) => body,
        Err(error) => return Ok(Err(error)),
    };
    body.version.map(Ok).ok_or_else(|| InvalidReply("it has no version".into()))
}

/// Whether the reply is `ok`. Servers write that first; any other order is right too, only slower.
fn head(line: &[u8]) -> Result<(bool, &str), InvalidReply> {
    #[derive(Deserialize)]
    struct Head {
        ok: bool,
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| InvalidReply(format!("not UTF-8 at byte {}", error.valid_up_to() + 1)))?;
    let ok = match text {
        _ if text.starts_with("{\"ok\":true,") => true,
        _ if text.starts_with("{\"ok\":false,") => false,
        _ => serde_json::from_str::<Head>(text).map_err(invalid)?.ok,
    };
    Ok((ok, text))
}

fn invalid(error: serde_json::Error) -> InvalidReply {
    InvalidReply(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;
    use crate::testing::Numbers;

    const VERSION: &str = "3.17";

    fn version() -> Version {
        Version::new(Epoch(3), 17)
    }

    fn line(id: Option<&str>, ok: bool, tail: &[u8]) -> String {
        let mut out = Vec::new();
        write_reply(&mut out, id, ok, tail);
        assert!(out.len() <= reply_bytes(id, tail));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn replies_are_written_to_the_letter() {
        let tail = value_tail(b"a\"b", version());
        assert_eq!(
            line(None, true, &tail),
            "{\"ok\":true,\"value\":\"a\\\"b\",\"version\":\"3.17\"}\n"
        );
        assert_eq!(
            line(Some("\"x\""), true, &version_tail(version())),
            "{\"ok\":true,\"id\":\"x\",\"version\":\"3.17\"}\n"
        );
        let error = ErrorReply { error: "no".into(), ..ErrorReply::not_found() };
        assert_eq!(
            line(Some("-7"), false, &error_tail(&error)),
            "{\"ok\":false,\"id\":-7,\"code\":\"not_found\",\"error\":\"no\"}\n"
        );
    }

    #[test]
    fn values_read_back() {
        let mut numbers = Numbers::new(3);
        for round in 0..500 {
            let length = numbers.below(300);
            let value =
                if round % 2 == 0 { numbers.bytes(length) } else { numbers.text(99).into_bytes() };
            let line = line(Some("1"), true, &value_tail(&value, version()));
            let read = decode_value(line.trim_end().as_bytes()).unwrap().unwrap();
            assert_eq!((read.value.as_bytes(), read.version), (&value[..], version()));
            let read = decode_version(line.as_bytes()).unwrap().unwrap();
            assert_eq!(read, version());
        }
    }

    #[test]
    fn errors_read_back_and_unknown_fields_and_orders_are_no_trouble() {
        let error = Box::new(ErrorReply::replica_down("n2"));
        let text = line(Some("1"), false, &error_tail(&error));
        assert_eq!(decode_value(text.as_bytes()), Ok(Err(error.clone())));
        assert_eq!(decode_version(text.as_bytes()), Ok(Err(error)));
        let text = format!(r#"{{ "new":[1], "version":"{VERSION}", "ok" : true }}"#);
        assert_eq!(decode_version(text.as_bytes()), Ok(Ok(version())));
    }

    #[test]
    fn garbage_is_no_reply() {
        let wrong: [&[u8]; 12] = [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b"HTTP/1.1 400 Bad Request",
            b"{\"ok\":1}",
            b"{\"ok\":true}",
            b"{\"ok\":true,\"version\":3}",
            b"{\"ok\":true,\"version\":\"3\"}",
            b"{\"ok\":true,\"value\":\"a\",\"value_b64\":\"\",\"version\":\"1.1\"}",
            b"{\"ok\":true,\"value_b64\":\"a\",\"version\":\"1.1\"}",
            b"{\"ok\":false,\"error\":\"no code\"}",
        ];
        for line in wrong {
            assert!(decode_value(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }
}
