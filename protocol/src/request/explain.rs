//! `explain`: which way another request takes, or has just taken.
//!
//! What stands in it is a `get` or an update, held to what a line of its own would be held to; what
//! is wrong is named by its place, as in `request.key`.

use bytes::BufMut;

use super::fields::{Field, Name};
use super::take::{self, Object, Taken};
use super::write::{write_flag, write_name};
use super::{Op, Request, bad_field};
use crate::error::ErrorReply;

/// A request that is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explain<'a> {
    /// A `get` or an update, see [`Op::is_update`]; it has no `id`.
    pub request: Request<'a>,
    /// Whether it is carried out.
    pub run: bool,
}

/// What may be explained, for the sentence about the rest.
const EXPLAINED: &str = "get, put, update, cas, del, txn";

pub(super) fn take<'a>(line: &mut Object<'a, '_>) -> Taken<Explain<'a>> {
    let raw = match line.take(Name::Request) {
        Some(Field::Object(raw)) => raw,
        Some(other) => return Err(line.wrong_type(Name::Request, "an object", &other)),
        None => {
            let what = "is missing: give the request to explain, a get or an update";
            return Err(line.wrong(Name::Request, what));
        }
    };
    let fields = line.inside(Name::Request, raw)?;
    let op = fields.text_of(Name::Op);
    if op.is_some_and(|op| !EXPLAINED.split(", ").any(|known| known == op)) {
        let what = format!("must be a get or an update to be explained: one of {EXPLAINED}");
        return Err(bad_field("request.op", format!("request.op {what}")));
    }
    let (timeout_ms, once, op) = take::request(fields, line.limits()).map_err(within)?;
    Ok(Explain { request: Request { id: None, timeout_ms, once, op }, run: line.flag(Name::Run)? })
}

/// What is wrong in the request inside, with its place.
fn within(mut error: Box<ErrorReply>) -> Box<ErrorReply> {
    let Some(field) = error.field.take() else { return error };
    let named = error.error.starts_with(&field);
    error.error = format!("request{}{}", if named { "." } else { ": " }, error.error).into();
    error.field = Some(format!("request.{field}"));
    error
}

pub(super) fn write(out: &mut impl BufMut, explain: &Explain<'_>) {
    write_name(out, "request");
    // As a line of its own, whose newline is left out.
    let mut line = Vec::new();
    explain.request.write(&mut line);
    out.put_slice(line.trim_ascii_end());
    write_flag(out, "run", explain.run);
}

impl Op<'_> {
    /// Whether it may be explained.
    pub fn is_explainable(&self) -> bool {
        EXPLAINED.split(", ").any(|known| known == self.name())
    }
}
