//! Requests as clients send them: the inverse of `request::parse`.
//!
//! Used by the client library and by tests. Checks nothing: what is too large or too many is
//! refused by the server, in the server's words.

use bytes::BufMut;

use super::{Change, Condition, Op, Request, UpdateName, Watched, Write, admin, explain};
use crate::ids::Version;
use crate::json;

impl Request<'_> {
    /// Appends the request as one line, newline included. A value goes as base64 where that is
    /// shorter than its escapes.
    pub fn write(&self, out: &mut impl BufMut) {
        out.put_slice(b"{\"op\":\"");
        out.put_slice(self.op.name().as_bytes());
        out.put_u8(b'"');
        if let Some(id) = self.id {
            out.put_slice(b",\"id\":");
            out.put_slice(id.as_bytes());
        }
        if let Some(timeout_ms) = self.timeout_ms {
            out.put_slice(b",\"timeout_ms\":");
            json::write_number(out, u64::from(timeout_ms));
        }
        if let Some(once) = &self.once {
            write_text(out, "once", once);
        }
        write_op(out, &self.op);
        out.put_slice(b"}\n");
    }
}

fn write_op(out: &mut impl BufMut, op: &Op<'_>) {
    match op {
        Op::Get { key } => write_text(out, "key", key),
        Op::Put { key, value, if_absent } => {
            write_text(out, "key", key);
            write_value(out, value);
            write_flag(out, "if_absent", *if_absent);
        }
        Op::Update { key, value } => {
            write_text(out, "key", key);
            write_value(out, value);
        }
        Op::Cas { key, value, version } => {
            write_text(out, "key", key);
            write_value(out, value);
            write_version(out, *version);
        }
        Op::Del { key, version } => {
            write_text(out, "key", key);
            if let Some(version) = version {
                write_version(out, *version);
            }
        }
        Op::Mget { keys } => {
            write_list(out, "keys", keys, |out, key| json::write_string(out, key));
        }
        Op::Txn { conditions, writes } => {
            write_list(out, "if", conditions, write_condition);
            write_list(out, "then", writes, write_write);
        }
        Op::Scan { prefix, after, limit, values } => {
            write_text(out, "prefix", prefix);
            if let Some(after) = after {
                write_text(out, "after", after);
            }
            out.put_slice(b",\"limit\":");
            json::write_number(out, u64::from(*limit));
            write_flag(out, "values", *values);
        }
        Op::Watch { of: Watched::Key(key) } => write_text(out, "key", key),
        Op::Watch { of: Watched::Prefix(prefix) } => write_text(out, "prefix", prefix),
        Op::Outcome { of: UpdateName::Version(version) } => write_version(out, *version),
        Op::Outcome { of: UpdateName::Once { once, key } } => {
            write_text(out, "once", once);
            write_text(out, "key", key);
        }
        Op::Subscribe(subscribe) => {
            let fields = serde_json::to_vec(subscribe).expect("plain data always serializes");
            out.put_u8(b',');
            out.put_slice(&fields[1..fields.len() - 1]);
        }
        Op::Locate { key, copies } => {
            write_text(out, "key", key);
            write_flag(out, "copies", *copies);
        }
        Op::Explain(of) => explain::write(out, of),
        Op::Admin(admin) => admin::write(out, admin),
        Op::Auth { token } => write_text(out, "token", token),
        Op::Status => {}
        Op::Hello { client, read_only } => {
            if let Some(client) = client {
                write_text(out, "client", client);
            }
            write_flag(out, "read_only", *read_only);
        }
    }
}

pub(super) fn write_name(out: &mut impl BufMut, name: &str) {
    out.put_slice(b",\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\":");
}

pub(super) fn write_text(out: &mut impl BufMut, name: &str, text: &str) {
    write_name(out, name);
    json::write_string(out, text);
}

fn write_value(out: &mut impl BufMut, value: &[u8]) {
    out.put_u8(b',');
    json::write_value_compact(out, value);
}

fn write_version(out: &mut impl BufMut, version: Version) {
    write_name(out, "version");
    json::write_version(out, version);
}

/// Only a flag that is set: absent means false.
pub(super) fn write_flag(out: &mut impl BufMut, name: &str, flag: bool) {
    if flag {
        write_name(out, name);
        out.put_slice(b"true");
    }
}

fn write_list<B: BufMut, T>(out: &mut B, name: &str, list: &[T], write: impl Fn(&mut B, &T)) {
    write_name(out, name);
    out.put_u8(b'[');
    for (at, element) in list.iter().enumerate() {
        if at > 0 {
            out.put_u8(b',');
        }
        write(out, element);
    }
    out.put_u8(b']');
}

fn write_condition(out: &mut impl BufMut, condition: &Condition<'_>) {
    out.put_slice(b"{\"key\":");
    json::write_string(out, &condition.key);
    match condition.version {
        Some(version) => write_version(out, version),
        None => out.put_slice(b",\"version\":null"),
    }
    out.put_u8(b'}');
}

fn write_write(out: &mut impl BufMut, write: &Write<'_>) {
    out.put_slice(b"{\"op\":\"");
    out.put_slice(write.change.name().as_bytes());
    out.put_u8(b'"');
    write_text(out, "key", &write.key);
    if let Change::Put(value) | Change::Update(value) = &write.change {
        write_value(out, value);
    }
    out.put_u8(b'}');
}
