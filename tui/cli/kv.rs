//! `get`, `put`, `update`, `cas` and `del`: one key, one call.
//!
//! Called by `asked`. A value is printed as it is where a program reads it, and escaped where a
//! person's terminal would obey it. Standard input is read before anything
//! is sent.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;

use protocol::client::{Client, ClientError, Deleted};
use protocol::error::ErrorCode;
use protocol::ids::{Key, Version};
use protocol::json;
use protocol::reply::Versioned;

use crate::args::{CasArgs, DelArgs, GetArgs, PutArgs, UpdateArgs};
use crate::print::{self, Exit, Failure};

/// More of standard input than this is no value of any cluster, bytes.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// `get KEY`.
pub(crate) async fn get(client: &Client, args: &GetArgs) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    let Some(found) = client.get(&key).await? else {
        return Err(not_there(&key));
    };
    let out = match (args.raw, args.common.json) {
        (true, _) => found.value.0.into(),
        (_, true) => value_object(&key, &found),
        _ => shown_value(&found, print::on_terminal()),
    };
    print::output(&out)?;
    Ok(Exit::Done)
}

/// `put KEY [VALUE|-]`.
pub(crate) async fn put(client: &Client, args: &PutArgs, value: &[u8]) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    let version = if args.if_absent {
        client.put_if_absent(&key, value).await?
    } else {
        client.put(&key, value).await?
    };
    print_version(&key, version, "written", args.common.json)
}

/// `update KEY [VALUE|-]`.
pub(crate) async fn update(
    client: &Client,
    args: &UpdateArgs,
    value: &[u8],
) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    let version = client.update(&key, value).await.map_err(|error| failed(&key, error))?;
    print_version(&key, version, "written", args.common.json)
}

/// `cas KEY VALUE VERSION`.
pub(crate) async fn cas(client: &Client, args: &CasArgs, value: &[u8]) -> Result<Exit, Failure> {
    let key = key(&args.key)?;
    let done = client.cas(&key, value, args.version).await;
    let version = done.map_err(|error| failed(&key, error))?;
    print_version(&key, version, "written", args.common.json)
}

/// `del KEY`.
pub(crate) async fn del(client: &Client, args: &DelArgs) -> Result<Exit, Failure> {
    let json = args.common.json;
    let key = key(&args.key)?;
    if let Some(version) = args.if_version {
        let done = client.del_if(&key, version).await;
        let version = done.map_err(|error| failed(&key, error))?;
        return print_version(&key, version, "removed", json);
    }
    match client.del(&key).await? {
        Deleted::Done(version) => print_version(&key, version, "removed", json),
        Deleted::NotFound => Err(not_there(&key)),
    }
}

pub(crate) fn key(text: &str) -> Result<Key, Failure> {
    Key::new(text).map_err(|error| Failure::usage(error.to_string()))
}

/// The value that was typed, or standard input.
pub(crate) fn value(typed: Option<&OsStr>) -> Result<Vec<u8>, Failure> {
    if let Some(typed) = typed.filter(|typed| *typed != "-") {
        return Ok(typed.as_bytes().to_vec());
    }
    let stdin = io::stdin();
    if typed.is_none() && stdin.is_terminal() {
        let sentence = "the value is missing: give it after the key, or - to type it and end with \
                        Ctrl-D";
        return Err(Failure::usage(sentence));
    }
    input(stdin.lock(), "standard input")
}

/// All that is left of `source`, which is called `name`.
pub(crate) fn input(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    source.take(INPUT_BYTES_MAX + 1).read_to_end(&mut value).map_err(|error| {
        Failure::new(Exit::Other, "input", format!("cannot read {name}: {error}"))
    })?;
    if value.len() as u64 > INPUT_BYTES_MAX {
        let sentence = format!(
            "{name} is longer than {INPUT_BYTES_MAX} bytes: nothing may be so large, use several \
             keys"
        );
        return Err(Failure::usage(sentence));
    }
    Ok(value)
}

pub(crate) fn not_there(key: &Key) -> Failure {
    let key = print::escaped(key.as_bytes(), false);
    Failure::new(Exit::NotThere, "not_found", format!("there is no key \"{key}\""))
}

/// Why an update of this one key was not carried out.
fn failed(key: &Key, error: ClientError) -> Failure {
    match error.reply() {
        Some(reply) if reply.code == ErrorCode::NotFound => not_there(key),
        _ => error.into(),
    }
}

fn shown_value(found: &Versioned, terminal: bool) -> Vec<u8> {
    let bytes = found.value.as_bytes();
    let mut out = if terminal { print::escaped(bytes, true).into_bytes() } else { bytes.to_vec() };
    out.push(b'\n');
    out
}

/// A line that `piazza import` takes.
pub(crate) fn value_object(key: &Key, found: &Versioned) -> Vec<u8> {
    let mut out = b"{\"key\":".to_vec();
    json::write_string(&mut out, key.as_str());
    out.push(b',');
    json::write_value(&mut out, found.value.as_bytes());
    out.extend_from_slice(format!(",\"version\":\"{}\"}}\n", found.version).as_bytes());
    out
}

fn print_version(key: &Key, version: Version, deed: &str, as_json: bool) -> Result<Exit, Failure> {
    let mut out = Vec::new();
    if as_json {
        out.extend_from_slice(b"{\"key\":");
        json::write_string(&mut out, key.as_str());
        out.extend_from_slice(format!(",\"version\":\"{version}\"}}\n").as_bytes());
    } else {
        out.extend_from_slice(format!("{deed}, version {version}\n").as_bytes());
    }
    print::output(&out)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Versioned {
        Versioned { value: bytes.to_vec().into(), version: "3.17".parse().unwrap() }
    }

    #[test]
    fn a_value_is_escaped_for_terminals_only() {
        assert_eq!(shown_value(&found(b"a\x1bb\xff\n"), false), b"a\x1bb\xff\n\n");
        assert_eq!(shown_value(&found(b"a\x1bb\xff\nc"), true), b"a\\u{1b}b\\xff\nc\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let key = Key::new("a\"b").unwrap();
        let text = String::from_utf8(value_object(&key, &found(b"v\n"))).unwrap();
        assert_eq!(text, "{\"key\":\"a\\\"b\",\"value\":\"v\\n\",\"version\":\"3.17\"}\n");
        let text = String::from_utf8(value_object(&key, &found(b"\0"))).unwrap();
        assert_eq!(text, "{\"key\":\"a\\\"b\",\"value_b64\":\"AA==\",\"version\":\"3.17\"}\n");
    }
}
