//! Replies that hold many values: those of `mget` and of a page of `scan`.
//!
//! Servers build them item by item; both builders keep the line within its length. An `mget` is
//! all or nothing, so that one that grows too long is refused; a page simply ends before the item
//! that does not fit, and the next page begins with it.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;

use super::{InvalidReply, TAIL_BYTES_MAX, ValueFields, Versioned, read, value};
use crate::error::{ErrorReply, version_text};
use crate::ids::{KEY_BYTES_MAX, Key, Value, Version};
use crate::json;

/// What `,"next":"KEY"` and the end of the line take at most, each byte of the key an escape.
const NEXT_BYTES_MAX: usize = 6 * KEY_BYTES_MAX + 32;

/// The tail of an `mget`, in the making: `,"values":[{"value":"..","version":".."},null]}`.
#[derive(Debug)]
pub struct MgetTail {
    out: BytesMut,
    /// All that was pushed, whether it was kept or not.
    bytes: usize,
}

impl Default for MgetTail {
    fn default() -> Self {
        Self::new()
    }
}

impl MgetTail {
    /// One without any value yet.
    pub fn new() -> Self {
        let out = BytesMut::from(&b",\"values\":["[..]);
        Self { bytes: out.len(), out }
    }

    /// Adds the next key's value, as the tail that [`super::value_tail`] makes and caches keep;
    /// `None` where there is no such key.
    pub fn push(&mut self, value_tail: Option<&[u8]>) {
        // A value's tail is `,FIELDS}` and a newline: an object but for its first brace.
        let fields = value_tail.map(|tail| {
            let tail = tail.strip_suffix(b"\n").unwrap_or(tail);
            tail.strip_prefix(b",").unwrap_or(tail)
        });
        self.bytes += 1 + fields.map_or(4, |fields| 1 + fields.len());
        if self.bytes + 3 > TAIL_BYTES_MAX {
            return;
        }
        if !self.out.ends_with(b"[") {
            self.out.put_u8(b',');
        }
        match fields {
            None => self.out.put_slice(b"null"),
            Some(fields) => {
                self.out.put_u8(b'{');
                self.out.put_slice(fields);
            }
        }
    }

    /// The tail, or the refusal where it is too long.
    pub fn finish(mut self) -> Result<Bytes, Box<ErrorReply>> {
        let bytes = self.bytes + 3;
        if bytes > TAIL_BYTES_MAX {
            return Err(Box::new(ErrorReply::reply_too_large(TAIL_BYTES_MAX, bytes)));
        }
        self.out.put_slice(b"]}\n");
        Ok(self.out.freeze())
    }
}

/// The tail of a page of `scan`, in the making:
/// `,"items":[{"key":"..","version":"..","bytes":5,"value":".."}],"next":null}`.
#[derive(Debug)]
pub struct ScanTail {
    out: BytesMut,
}

impl Default for ScanTail {
    fn default() -> Self {
        Self::new()
    }
}

impl ScanTail {
    /// A page without any item yet.
    pub fn new() -> Self {
        Self { out: BytesMut::from(&b",\"items\":["[..]) }
    }

    /// Adds an item, with its value's length and, if it was asked for, the value. False where it
    /// does not fit: then the page ends before it. The first item always fits.
    #[must_use]
    pub fn push(&mut self, key: &str, version: Version, bytes: u64, value: Option<&[u8]>) -> bool {
        let end_before = self.out.len();
        let first = self.out.ends_with(b"[");
        self.write_item(first, key, version, bytes, value);
        let fits = first || self.out.len() + NEXT_BYTES_MAX <= TAIL_BYTES_MAX;
        if !fits {
            self.out.truncate(end_before);
        }
        fits
    }

    fn write_item(
        &mut self,
        first: bool,
        key: &str,
        version: Version,
        bytes: u64,
        value: Option<&[u8]>,
    ) {
        let out = &mut self.out;
        out.put_slice(if first { b"{\"key\":" } else { b",{\"key\":" });
        json::write_string(out, key);
        out.put_slice(b",\"version\":");
        json::write_version(out, version);
        out.put_slice(b",\"bytes\":");
        json::write_number(out, bytes);
        if let Some(value) = value {
            out.put_u8(b',');
            json::write_value(out, value);
        }
        out.put_u8(b'}');
    }

    /// The tail; `next` is what the next page is to come after, `None` where this was the last.
    pub fn finish(mut self, next: Option<&str>) -> Bytes {
        self.out.put_slice(b"],\"next\":");
        match next {
            Some(key) => json::write_string(&mut self.out, key),
            None => self.out.put_slice(b"null"),
        }
        self.out.put_slice(b"}\n");
        self.out.freeze()
    }
}

/// A page of a `scan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys' bytes.
    pub items: Vec<Item>,
    /// What the next page comes after, `None` where this is the last.
    pub next: Option<String>,
}

/// One key of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Key,
    /// The version of its value.
    pub version: Version,
    /// How long its value is.
    pub bytes: u64,
    /// The value, where the `scan` asked for values.
    pub value: Option<Value>,
}

/// Reads the reply to an `mget`; `None` stands for a key that does not exist.
pub fn decode_values(
    line: &[u8],
) -> Result<Result<Vec<Option<Versioned>>, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        values: Vec<Option<ValueFields<'a>>>,
    }
    read(line, |body: Body<'_>| {
        let versioned = |value: Option<ValueFields<'_>>| value.map(ValueFields::versioned);
        body.values.into_iter().map(|value| versioned(value).transpose()).collect()
    })
}

/// Reads the reply to a `scan`.
pub fn decode_page(line: &[u8]) -> Result<Result<Page, Box<ErrorReply>>, InvalidReply> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        items: Vec<ItemFields<'a>>,
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct ItemFields<'a> {
        key: Key,
        #[serde(with = "version_text", default)]
        version: Option<Version>,
        bytes: u64,
        #[serde(borrow, default)]
        value: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        value_b64: Option<Cow<'a, str>>,
    }
    read(line, |body: Body<'_>| {
        let item = |item: ItemFields<'_>| {
            let version = item.version.ok_or_else(|| InvalidReply("it has no version".into()))?;
            let value = value(item.value, item.value_b64)?;
            Ok(Item { key: item.key, version, bytes: item.bytes, value })
        };
        let items = body.items.into_iter().map(item).collect::<Result<_, _>>()?;
        Ok(Page { items, next: body.next })
    })
}

#[cfg(test)]
mod tests {
    use super::super::{REPLY_BYTES_MAX, value_tail, write_reply};
    use super::*;
    use crate::error::ErrorCode;
    use crate::ids::Epoch;
    use crate::testing::Numbers;

    fn version(counter: u64) -> Version {
        Version::new(Epoch(3), counter)
    }

    fn line(tail: &[u8]) -> String {
        let mut out = Vec::new();
        // The longest id there can be.
        let id = format!("\"{}\"", "\\u0061".repeat(128));
        write_reply(&mut out, Some(&id), true, tail);
        assert!(out.len() <= REPLY_BYTES_MAX, "{} bytes", out.len());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lists_are_written_to_the_letter() {
        let mut mget = MgetTail::new();
        mget.push(Some(&value_tail(b"a\n", version(1))));
        mget.push(None);
        mget.push(Some(&value_tail(b"\xff", version(2))));
        let text = mget.finish().unwrap();
        let expected = ",\"values\":[{\"value\":\"a\\n\",\"version\":\"3.1\"},null,\
                        {\"value_b64\":\"/w==\",\"version\":\"3.2\"}]}\n";
        assert_eq!(text, expected.as_bytes());
        let mut page = ScanTail::new();
        assert!(page.push("a\"", version(1), 1, None));
        assert!(page.push("b", version(2), 1, Some(b"v")));
        let expected = ",\"items\":[{\"key\":\"a\\\"\",\"version\":\"3.1\",\"bytes\":1},{\"key\":\
                        \"b\",\"version\":\"3.2\",\"bytes\":1,\"value\":\"v\"}],\"next\":\"b\"}\n";
        assert_eq!(page.finish(Some("b")), expected.as_bytes());
        assert_eq!(ScanTail::new().finish(None), &b",\"items\":[],\"next\":null}\n"[..]);
    }

    #[test]
    fn lists_read_back() {
        let mut numbers = Numbers::new(7);
        for _ in 0..300 {
            let count = numbers.below(20);
            let mut values = Vec::new();
            let (mut mget, mut scan, mut page) = (MgetTail::new(), ScanTail::new(), Vec::new());
            for number in 0..count as u64 {
                let length = numbers.below(50);
                let value: Value = numbers.bytes(length).into();
                let key = Key::new(&numbers.text(20)).unwrap();
                let found = Versioned { value: value.clone(), version: version(number) };
                let kept = (numbers.below(3) > 0).then_some(found);
                let tail =
                    kept.as_ref().map(|found| value_tail(found.value.as_bytes(), found.version));
                mget.push(tail.as_deref());
                values.push(kept);
                let bytes = value.len() as u64;
                let value = (numbers.below(2) == 0).then_some(value);
                let written = value.as_ref().map(Value::as_bytes);
                assert!(scan.push(key.as_str(), version(number), bytes, written));
                page.push(Item { key, version: version(number), bytes, value });
            }
            let read = decode_values(line(&mget.finish().unwrap()).as_bytes());
            assert_eq!(read, Ok(Ok(values)));
            let next = count.is_multiple_of(2).then(|| numbers.text(20));
            let read = decode_page(line(&scan.finish(next.as_deref())).as_bytes());
            assert_eq!(read, Ok(Ok(Page { items: page, next })));
        }
    }

    #[test]
    fn an_mget_that_is_too_long_is_refused() {
        let mib = value_tail(&vec![b'v'; 1 << 20], version(1));
        for (count, fits) in [(3, true), (4, false), (128, false)] {
            let mut mget = MgetTail::new();
            (0..count).for_each(|_| mget.push(Some(&mib)));
            match mget.finish() {
                Ok(tail) => assert!(fits && line(&tail).len() > count << 19),
                Err(error) => {
                    assert!(!fits && error.code == ErrorCode::TooLarge, "{count}: {error}");
                    assert!(error.actual.unwrap() > error.limit.unwrap(), "{error}");
                    assert_eq!(error.what.as_deref(), Some("reply"));
                }
            }
        }
    }

    #[test]
    fn a_page_ends_before_what_does_not_fit() {
        // The worst value (all of it escapes) and the worst key.
        let (value, key) = (vec![b'"'; 1 << 20], "\0".repeat(KEY_BYTES_MAX));
        let mut page = ScanTail::new();
        assert!(page.push(&key, version(1), 1 << 20, Some(&value)));
        assert!(!page.push(&key, version(2), 1 << 20, Some(&value)));
        let text = line(&page.finish(Some(&key)));
        let read = decode_page(text.as_bytes()).unwrap().unwrap();
        let versions: Vec<u64> = read.items.iter().map(|item| item.version.counter()).collect();
        assert_eq!((versions, read.next), (vec![1], Some(key.clone())));
        let mut page = ScanTail::new();
        let fitting = (0..10_000).take_while(|_| page.push(&key, version(1), 1, None)).count();
        assert!((2000..10_000).contains(&fitting), "{fitting}");
        line(&page.finish(Some(&key)));
    }

    #[test]
    fn garbage_is_no_list() {
        let wrong = [
            r#"{"ok":true}"#,
            r#"{"ok":true,"values":[{}],"items":[{}],"next":null}"#,
            r#"{"ok":true,"values":[{"value":"a"}],"items":[{"key":"a","bytes":1}]}"#,
            r#"{"ok":true,"values":5,"items":5}"#,
            r#"{"ok":true,"values":["a"],"items":[{"key":"","version":"1.1","bytes":0}]}"#,
        ];
        for text in wrong {
            assert!(decode_values(text.as_bytes()).is_err(), "{text}");
            assert!(decode_page(text.as_bytes()).is_err(), "{text}");
        }
        let refused = br#"{"ok":false,"code":"timeout","error":"x"}"#;
        assert_eq!(decode_values(refused).unwrap().unwrap_err().code, ErrorCode::Timeout);
        assert_eq!(decode_page(refused).unwrap().unwrap_err().code, ErrorCode::Timeout);
    }
}
