//! Messages between servers as lines of JSON.
//!
//! `serde` does it for all of them. The two that every update needs, a batch down and the votes
//! up, are also written and read by hand, in the form that `serde` gives them: that takes a small
//! part of the time, and it is on the way of every acknowledgement. A line of any other form is
//! left to `serde`, so that both accept the same and mean the same. Never judges what is said.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Batch, Down, DownBody, Due, Prepare, ReadAnswer, ReadAsk, Timed, Up, WireValue, WireWrite,
};
use crate::ids::{Epoch, GroupSeq, Key, MemberId, Once, OnceName, RingNumber, Value, Version};
use crate::json::{write_base64, write_contents, write_number, write_string};

#[cfg(test)]
mod tests;

/// What is said in one line.
pub trait Message: Serialize + DeserializeOwned {
    /// Appends the message, without a newline.
    fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("plain data always serializes");
    }

    /// The message that the line holds.
    ///
    /// # Errors
    /// What is wrong with the line.
    fn read(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

impl Message for super::Register {}
impl Message for super::Registered {}
impl Message for serde_json::Value {}

impl Message for Down {
    fn write(&self, out: &mut Vec<u8>) {
        match &self.body {
            DownBody::Batch(batch) if is_everyday_batch(batch) => write_down(out, self, batch),
            _ => serde_json::to_writer(out, self).expect("plain data always serializes"),
        }
    }

    fn read(line: &str) -> Result<Self, serde_json::Error> {
        read_down(&mut Cursor::new(line)).map_or_else(|| serde_json::from_str(line), Ok)
    }
}

impl Message for Up {
    fn write(&self, out: &mut Vec<u8>) {
        if is_everyday_up(self) {
            write_up(out, self);
        } else {
            serde_json::to_writer(out, self).expect("plain data always serializes");
        }
    }

    fn read(line: &str) -> Result<Self, serde_json::Error> {
        read_up(&mut Cursor::new(line)).map_or_else(|| serde_json::from_str(line), Ok)
    }
}

// Fields are taken apart by name wherever something is written: a new one that is forgotten here
// does not compile.

fn is_everyday_batch(batch: &Batch) -> bool {
    let Batch {
        ask,
        commit,
        adopt,
        sync,
        abort,
        read,
        once,
        scan,
        cache,
        copy,
        put,
        audit,
        in_force,
        once_from,
        prepare,
        timed,
        settled,
        marks,
        caught_up,
    } = batch;
    let _everyday = (commit, read, prepare, timed, marks);
    let news = settled.is_some() || once_from.is_some() || cache.is_some();
    let news = news || in_force.is_some();
    let rare = adopt.len() + abort.len() + once.len() + scan.len() + copy.len() + put.len() > 0
        || !audit.is_empty();
    !ask && !sync && !caught_up && !news && !rare
}

fn is_everyday_up(up: &Up) -> bool {
    let Up {
        session,
        n,
        epoch,
        ack,
        durable,
        end,
        yes,
        timed,
        no,
        read,
        once,
        scan,
        cache,
        copy,
        put,
        audit,
        report,
        fenced,
        installed,
        marked,
        lost,
        caught_up,
        full,
    } = up;
    let _everyday = (session, n, epoch, ack, durable, end, yes, timed, read);
    let rare = report.is_some() || fenced.is_some() || installed.is_some();
    let rare = rare || no.len() + once.len() + scan.len() + cache.len() + lost.len() > 0;
    let rare = rare || copy.len() + put.len() > 0 || !audit.is_empty();
    !rare && !marked && !caught_up && !full
}

fn write_down(out: &mut Vec<u8>, down: &Down, batch: &Batch) {
    write_field(out, "{\"session\":", down.session);
    write_field(out, ",\"n\":", down.n);
    write_field(out, ",\"epoch\":", u64::from(down.epoch.0));
    out.extend_from_slice(b",\"body\":{\"batch\":{");
    let begin = out.len();
    let number = |out: &mut Vec<u8>, id: &Version| write_number(out, id.number());
    write_list(out, begin, "commit", &batch.commit, number);
    write_list(out, begin, "read", &batch.read, |out, ReadAsk { r, k }| {
        write_field(out, "{\"r\":", *r);
        out.extend_from_slice(b",\"k\":");
        write_string(out, k.as_str());
        out.push(b'}');
    });
    write_list(out, begin, "prepare", &batch.prepare, |out, all| write_prepare(out, all));
    if batch.timed {
        let first = out.len() == begin;
        out.extend_from_slice(if first { b"\"timed\":true" } else { b",\"timed\":true" });
    }
    write_list(out, begin, "marks", &batch.marks, |out, (member, seq)| {
        write_field(out, "[", u64::from(member.0));
        write_field(out, ",", seq.0);
        out.push(b']');
    });
    out.extend_from_slice(b"}}}");
}

fn write_prepare(out: &mut Vec<u8>, prepare: &Prepare) {
    let Prepare { id, ring, participants, rests_on, due, writes, once } = prepare;
    let RingNumber { epoch, counter } = ring;
    write_field(out, "{\"id\":", id.number());
    write_field(out, ",\"ring\":{\"epoch\":", u64::from(epoch.0));
    write_field(out, ",\"counter\":", u64::from(*counter));
    out.extend_from_slice(b"},\"at\":[");
    write_items(out, participants, |out, id| write_number(out, u64::from(id.0)));
    if !rests_on.is_empty() {
        out.extend_from_slice(b"],\"rests_on\":[");
        write_items(out, rests_on, |out, id| write_number(out, id.number()));
    }
    if !due.is_empty() {
        out.extend_from_slice(b"],\"due\":[");
        write_items(out, due, |out, Due { id, at }| {
            write_field(out, "{\"id\":", id.number());
            out.extend_from_slice(b",\"at\":[");
            write_items(out, at, |out, id| write_number(out, u64::from(id.0)));
            out.extend_from_slice(b"]}");
        });
    }
    out.extend_from_slice(b"],\"writes\":[");
    write_items(out, writes, |out, write| {
        let WireWrite { key, value, previous, holders } = write;
        out.extend_from_slice(b"{\"k\":");
        write_string(out, key.as_str());
        if let Some(value) = value {
            write_value(out, value);
        }
        if let Some(previous) = previous {
            write_field(out, ",\"prev\":", previous.number());
        }
        if !holders.is_empty() {
            out.extend_from_slice(b",\"on\":[");
            write_items(out, holders, |out, id| write_number(out, u64::from(id.0)));
            out.push(b']');
        }
        out.push(b'}');
    });
    out.push(b']');
    if let Some(Once { name, request_hash }) = once {
        out.extend_from_slice(b",\"once\":{\"n\":");
        write_string(out, name.as_str());
        write_field(out, ",\"h\":", *request_hash);
        out.push(b'}');
    }
    out.push(b'}');
}

fn write_up(out: &mut Vec<u8>, up: &Up) {
    write_field(out, "{\"session\":", up.session);
    write_field(out, ",\"n\":", up.n);
    write_field(out, ",\"epoch\":", u64::from(up.epoch.0));
    write_field(out, ",\"ack\":", up.ack);
    write_field(out, ",\"durable\":", up.durable);
    write_field(out, ",\"end\":", up.end.0);
    write_list(out, 0, "yes", &up.yes, |out, counter| write_number(out, *counter));
    write_list(out, 0, "timed", &up.timed, |out, timed| {
        let Timed { from, votes, queue_us, append_us, sync_us } = timed;
        write_field(out, "{\"from\":", u64::from(*from));
        write_field(out, ",\"n\":", u64::from(*votes));
        write_field(out, ",\"q\":", *queue_us);
        write_field(out, ",\"a\":", *append_us);
        write_field(out, ",\"s\":", *sync_us);
        out.push(b'}');
    });
    write_list(out, 0, "read", &up.read, |out, ReadAnswer { r, v, at, c, damaged }| {
        write_field(out, "{\"r\":", *r);
        if let Some(value) = v {
            write_value(out, value);
        }
        write_field(out, ",\"at\":", at.number());
        if *c {
            out.extend_from_slice(b",\"c\":true");
        }
        if *damaged {
            out.extend_from_slice(b",\"bad\":true");
        }
        out.push(b'}');
    });
    out.push(b'}');
}

/// `name` is all that stands before the number.
fn write_field(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    write_number(out, number);
}

fn write_value(out: &mut Vec<u8>, value: &WireValue) {
    let bytes = value.0.as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.extend_from_slice(b",\"v\":\"t");
        write_contents(out, text);
    } else {
        out.extend_from_slice(b",\"v\":\"b");
        write_base64(out, bytes);
    }
    out.push(b'"');
}

/// A list that is left out where it is empty, in an object whose first field is at `begin`.
fn write_list<T>(
    out: &mut Vec<u8>,
    begin: usize,
    name: &str,
    items: &[T],
    item: impl Fn(&mut Vec<u8>, &T),
) {
    if items.is_empty() {
        return;
    }
    out.extend_from_slice(if out.len() == begin { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":[");
    write_items(out, items, item);
    out.push(b']');
}

fn write_items<T>(out: &mut Vec<u8>, items: &[T], item: impl Fn(&mut Vec<u8>, &T)) {
    for (place, one) in items.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        item(out, one);
    }
}

/// The rest of a line. Each step is `None` where the line has another form than those above.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn new(line: &'a str) -> Self {
        Self(line)
    }

    /// Whether the rest begins with `token`, which is then passed.
    fn passes(&mut self, token: &str) -> bool {
        let rest = self.0.strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn pass(&mut self, token: &str) -> Option<()> {
        self.passes(token).then_some(())
    }

    /// `name` is all that stands before the number.
    fn field<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        self.pass(name)?;
        self.number()
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at(digits);
        if number.is_empty() || (number.starts_with('0') && digits > 1) {
            return None;
        }
        let value = number.bytes().try_fold(0u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        self.0 = rest;
        T::try_from(value?).ok()
    }

    /// A text without escapes, behind its opening quote.
    fn text(&mut self) -> Option<&'a str> {
        let end = memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix('"')?;
        let controls = text.bytes().fold(0, |found, byte| found | u8::from(byte < 0x20));
        (controls == 0).then_some(text)
    }

    fn key(&mut self) -> Option<Key> {
        self.pass("\"")?;
        Key::new(self.text()?).ok()
    }

    /// A value that is text, and may be absent.
    fn value(&mut self) -> Option<Option<WireValue>> {
        if !self.passes(",\"v\":\"t") {
            return Some(None);
        }
        self.text().map(|text| Some(WireValue(Value::from(text))))
    }

    /// Items up to the closing bracket.
    fn items<T>(&mut self, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        loop {
            items.push(item(self)?);
            if self.passes("]") {
                return Some(items);
            }
            self.pass(",")?;
        }
    }

    /// The list that begins with `name`, not the first of its object's fields unless `first`;
    /// empty where something else comes.
    fn list<T>(
        &mut self,
        first: &mut bool,
        name: &str,
        item: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let comma = if *first { "" } else { "," };
        let found = self.0.strip_prefix(comma).and_then(|rest| rest.strip_prefix(name));
        let Some(rest) = found else { return Some(Vec::new()) };
        self.0 = rest;
        *first = false;
        self.items(item)
    }

    /// Whether this flag comes next, which is passed then.
    fn flag(&mut self, first: &mut bool, name: &str) -> bool {
        let comma = if *first { "" } else { "," };
        let found = self.0.strip_prefix(comma).and_then(|rest| rest.strip_prefix(name));
        let Some(rest) = found else { return false };
        self.0 = rest;
        *first = false;
        true
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn read_down(line: &mut Cursor<'_>) -> Option<Down> {
    let session = line.field("{\"session\":")?;
    let n = line.field(",\"n\":")?;
    let epoch = Epoch(line.field(",\"epoch\":")?);
    line.pass(",\"body\":{\"batch\":{")?;
    let mut first = true;
    let batch = Batch {
        commit: line.list(&mut first, "\"commit\":[", read_version)?,
        read: line.list(&mut first, "\"read\":[", read_ask)?,
        prepare: line.list(&mut first, "\"prepare\":[", read_prepare)?,
        timed: line.flag(&mut first, "\"timed\":true"),
        marks: line.list(&mut first, "\"marks\":[", read_mark)?,
        ..Batch::default()
    };
    line.pass("}}}")?;
    line.end()?;
    Some(Down { session, n, epoch, body: DownBody::Batch(batch) })
}

fn read_version(line: &mut Cursor<'_>) -> Option<Version> {
    line.number().map(Version::from_number)
}

fn read_ask(line: &mut Cursor<'_>) -> Option<ReadAsk> {
    let r = line.field("{\"r\":")?;
    line.pass(",\"k\":")?;
    let k = line.key()?;
    line.pass("}")?;
    Some(ReadAsk { r, k })
}

fn read_mark(line: &mut Cursor<'_>) -> Option<(MemberId, GroupSeq)> {
    let member = MemberId(line.field("[")?);
    let seq = GroupSeq(line.field(",")?);
    line.pass("]")?;
    Some((member, seq))
}

fn read_prepare(line: &mut Cursor<'_>) -> Option<Arc<Prepare>> {
    let id = Version::from_number(line.field("{\"id\":")?);
    let epoch = Epoch(line.field(",\"ring\":{\"epoch\":")?);
    let counter = line.field(",\"counter\":")?;
    let ring = RingNumber { epoch, counter };
    line.pass("},\"at\":[")?;
    let participants = line.items(|line| line.number().map(MemberId))?;
    let rests_on = line.list(&mut false, "\"rests_on\":[", read_version)?;
    let due = line.list(&mut false, "\"due\":[", read_due)?;
    line.pass(",\"writes\":[")?;
    let writes = line.items(read_write)?;
    let once = if line.passes(",\"once\":{\"n\":\"") { Some(read_once(line)?) } else { None };
    line.pass("}")?;
    Some(Arc::new(Prepare { id, ring, participants, rests_on, due, writes, once }))
}

fn read_due(line: &mut Cursor<'_>) -> Option<Due> {
    let id = Version::from_number(line.field("{\"id\":")?);
    line.pass(",\"at\":[")?;
    let at = line.items(|line| line.number().map(MemberId))?;
    line.pass("}")?;
    Some(Due { id, at })
}

fn read_once(line: &mut Cursor<'_>) -> Option<Once> {
    let name = line.text()?.parse::<OnceName>().ok()?;
    let request_hash = line.field(",\"h\":")?;
    line.pass("}")?;
    Some(Once { name, request_hash })
}

fn read_write(line: &mut Cursor<'_>) -> Option<WireWrite> {
    line.pass("{\"k\":")?;
    let key = line.key()?;
    let value = line.value()?;
    let previous = if line.passes(",\"prev\":") { Some(read_version(line)?) } else { None };
    let holders = line.list(&mut false, "\"on\":[", |line| line.number().map(MemberId))?;
    line.pass("}")?;
    Some(WireWrite { key, value, previous, holders })
}

fn read_up(line: &mut Cursor<'_>) -> Option<Up> {
    let up = Up {
        session: line.field("{\"session\":")?,
        n: line.field(",\"n\":")?,
        epoch: Epoch(line.field(",\"epoch\":")?),
        ack: line.field(",\"ack\":")?,
        durable: line.field(",\"durable\":")?,
        end: GroupSeq(line.field(",\"end\":")?),
        yes: line.list(&mut false, "\"yes\":[", Cursor::number)?,
        timed: line.list(&mut false, "\"timed\":[", read_timed)?,
        read: line.list(&mut false, "\"read\":[", read_answer)?,
        ..Up::default()
    };
    line.pass("}")?;
    line.end()?;
    Some(up)
}

fn read_timed(line: &mut Cursor<'_>) -> Option<Timed> {
    let timed = Timed {
        from: line.field("{\"from\":")?,
        votes: line.field(",\"n\":")?,
        queue_us: line.field(",\"q\":")?,
        append_us: line.field(",\"a\":")?,
        sync_us: line.field(",\"s\":")?,
    };
    line.pass("}")?;
    Some(timed)
}

fn read_answer(line: &mut Cursor<'_>) -> Option<ReadAnswer> {
    let r = line.field("{\"r\":")?;
    let v = line.value()?;
    let at = Version::from_number(line.field(",\"at\":")?);
    let c = line.passes(",\"c\":true");
    let damaged = line.passes(",\"bad\":true");
    line.pass("}")?;
    Some(ReadAnswer { r, v, at, c, damaged })
}
