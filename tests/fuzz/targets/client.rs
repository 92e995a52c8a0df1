//! What clients and servers say to each other, read by either side; and how lines are cut.

use bytes::Bytes;
use protocol::error::ErrorReply;
use protocol::event::{self, Body, Event, Stamp, Subscribed};
use protocol::frame::{Frame, Framer, READ_BYTES, is_http};
use protocol::ids::Version;
use protocol::limits::Limits;
use protocol::reply::{
    self, AdminReply, AuthReply, ExplainReply, HelloReply, InvalidReply, LocateReply, MgetTail,
    ScanTail, Versioned, WatchLine,
};
use protocol::request::{self, Op, Rejected, Request};
use protocol::status::Status;
use protocol::supervisor::{ListReply, LogsReply, ProcReply, SupervisorHello};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{any_json, assert_is_line};

/// Longest sentence and longest name of a field in an error: a client's text is repeated in part
/// only.
const SENTENCE_BYTES_MAX: usize = 2048;

/// A request is understood as a reader that knows nothing of the protocol sees it, or refused in
/// a way that can be answered; what is understood is the same when it is written again.
pub fn request(data: &[u8]) {
    let limits = Limits::default();
    let strict = Limits { key_bytes: 3, value_bytes: 4, nesting: 3, ..Limits::default() };
    for line in data.split(|byte| *byte == b'\n').take(8) {
        let usual = request::parse(line, &limits);
        let narrow = request::parse(line, &strict);
        for parsed in [&usual, &narrow] {
            match parsed {
                Ok(request) => is_understood(line, request, &limits),
                Err(rejected) => is_answered(rejected),
            }
        }
        // A lower limit only ever refuses.
        if narrow.is_ok() {
            assert_eq!(narrow, usual);
        }
        if any_json(line).is_some_and(|value| depth(&value) > limits.nesting) {
            assert!(usual.is_err(), "a nested request is refused");
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn is_understood(line: &[u8], request: &Request<'_>, limits: &Limits) {
    let seen = any_json(line).expect("a request is JSON");
    let seen = seen.as_object().expect("a request is an object");
    let text = |name: &str| seen.get(name).and_then(Value::as_str);
    assert_eq!(text("op"), Some(request.op.name()));
    assert_eq!(request.id.is_some(), seen.contains_key("id"));
    assert_eq!(request.timeout_ms.map(u64::from), seen.get("timeout_ms").and_then(Value::as_u64));
    if request.op.is_update() {
        assert_eq!(request.once.as_deref(), text("once"));
    } else {
        assert_eq!(request.once, None);
    }
    match &request.op {
        Op::Get { key } | Op::Del { key, .. } | Op::Locate { key, .. } => {
            assert_eq!(Some(&**key), text("key"));
        }
        Op::Put { key, value, .. } | Op::Update { key, value } | Op::Cas { key, value, .. } => {
            assert_eq!(Some(&**key), text("key"));
            if let Some(text) = text("value") {
                assert_eq!(**value, *text.as_bytes());
            }
            assert!(key.len() <= limits.key_bytes && value.len() <= limits.value_bytes);
        }
        Op::Mget { keys } => {
            let seen = seen["keys"].as_array().expect("a list");
            assert!(keys.iter().map(|key| Some(&**key)).eq(seen.iter().map(Value::as_str)));
        }
        Op::Txn { conditions, writes } => {
            let count = |name: &str| seen.get(name).and_then(Value::as_array).map_or(0, Vec::len);
            assert_eq!((conditions.len(), writes.len()), (count("if"), count("then")));
        }
        _ => {}
    }
    let mut written = Vec::new();
    request.write(&mut written);
    assert_is_line(&written);
    written.pop();
    assert!(written.len() <= limits.line_bytes.max(line.len() * 6), "it fits a line again");
    assert_eq!(request::parse(&written, limits).as_ref(), Ok(request), "the same when written");
}

fn is_answered(rejected: &Rejected<'_>) {
    let Rejected { id, error } = rejected;
    assert!(error.error.len() <= SENTENCE_BYTES_MAX, "{} bytes", error.error.len());
    assert!(error.field.as_ref().is_none_or(|field| field.len() <= SENTENCE_BYTES_MAX));
    let tail = reply::error_tail(error);
    let mut line = Vec::new();
    reply::write_reply(&mut line, *id, false, &tail);
    assert!(line.len() <= reply::reply_bytes(*id, &tail));
    assert_is_line(&line);
    let read = reply::decode_version(&line);
    assert_eq!(read, Ok(Err(error.clone())), "a client reads what it was answered");
}

/// However a connection's bytes arrive, the lines are those that a plain split gives.
pub fn framer(data: &[u8]) {
    let [limit, seed, stream @ ..] = data else { return };
    // Not below the longest method of HTTP: that is told from a line by its beginning.
    let limit = 8 + usize::from(*limit) % 56;
    let expected = plain_split(stream, limit);
    assert_eq!(framed(stream, limit, || stream.len()), expected, "all at once");
    assert_eq!(framed(stream, limit, || 1), expected, "byte by byte");
    let mut state = u32::from(*seed) | 1;
    let drawn = || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        1 + (state >> 24) as usize % 90
    };
    assert_eq!(framed(stream, limit, drawn), expected, "in pieces");
}

fn framed(stream: &[u8], limit: usize, mut size: impl FnMut() -> usize) -> Vec<String> {
    let mut framer = Framer::new(limit);
    let mut seen = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let space = framer.read_space();
        assert!(space.capacity() > space.len() && space.capacity() <= limit + 2 + 2 * READ_BYTES);
        let spare = space.capacity() - space.len();
        let (now, later) = rest.split_at(size().clamp(1, rest.len()).min(spare));
        space.extend_from_slice(now);
        rest = later;
        while let Some(frame) = framer.next_frame() {
            seen.push(shown(&frame));
        }
        assert!(framer.held_bytes() <= limit + 1, "{} bytes held", framer.held_bytes());
    }
    seen.extend(framer.finish().map(|frame| shown(&frame)));
    assert!(!framer.is_mid_line() || seen.last().is_some_and(|last| last == "Http"));
    seen
}

fn shown(frame: &Frame<'_>) -> String {
    format!("{frame:?}")
}

fn plain_split(stream: &[u8], limit: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for line in stream.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() <= limit && line.trim_ascii().is_empty() {
            continue;
        }
        if seen.is_empty() && is_http(line) {
            return vec![shown(&Frame::Http)];
        }
        let long = line.len() > limit;
        seen.push(shown(&if long { Frame::TooLong(line.len()) } else { Frame::Line(line) }));
    }
    seen
}

/// Every reader of replies: what is read is the same when a server writes it, and all readers read
/// the same error.
pub fn reply(data: &[u8]) {
    let values = |list: Vec<Option<Versioned>>| {
        let mut tail = MgetTail::new();
        for one in &list {
            let one = one.as_ref().map(|v| reply::value_tail(v.value.as_bytes(), v.version));
            tail.push(one.as_deref());
        }
        (tail.finish().expect("as short as it was read"), list)
    };
    let page = |page: reply::Page| {
        let mut tail = ScanTail::new();
        for item in &page.items {
            let value = item.value.as_ref().map(protocol::ids::Value::as_bytes);
            assert!(tail.push(item.key.as_str(), item.version, item.bytes, value));
        }
        (tail.finish(page.next.as_deref()), page)
    };
    let value = |v: Versioned| (reply::value_tail(v.value.as_bytes(), v.version), v);
    same(data, reply::decode_value, value);
    same(data, reply::decode_version, |version| (reply::version_tail(version), version));
    same(data, reply::decode_outcome, |state| (reply::outcome_tail(state), state));
    same(data, reply::decode_values, values);
    same(data, reply::decode_page, page);
    explained(data);
    same_object::<ExplainReply>(data);
    same_object::<HelloReply>(data);
    same_object::<AuthReply>(data);
    same_object::<AdminReply>(data);
    same_object::<LocateReply>(data);
    same_object::<Status>(data);
    same_object::<Subscribed>(data);
    same_object::<ListReply>(data);
    same_object::<LogsReply>(data);
    same_object::<ProcReply>(data);
    same_object::<SupervisorHello>(data);
}

/// A refusal that tells its way is the same refusal to those who do not ask for that.
fn explained(line: &[u8]) {
    let Ok(Err(refusal)) = reply::decode_explained(line) else { return };
    assert_eq!(reply::decode_version(line), Ok(Err(refusal.error.clone())));
    let Some(explained) = &refusal.explained else { return };
    let tail = reply::refusal_tail(&refusal.error, explained);
    let mut again = Vec::new();
    reply::write_reply(&mut again, None, false, &tail);
    assert_is_line(&again);
    assert_eq!(reply::decode_explained(&again), Ok(Err(refusal)), "the same when written");
}

type Read<T> = Result<Result<T, Box<ErrorReply>>, InvalidReply>;

/// `write` makes the tail of what was read.
fn same<T: PartialEq + std::fmt::Debug>(
    line: &[u8],
    read: impl Fn(&[u8]) -> Read<T>,
    write: impl Fn(T) -> (Bytes, T),
) {
    let Ok(found) = read(line) else { return };
    assert!(any_json(line).is_none_or(|line| line.is_object()), "a reply is an object");
    let (tail, found) = match found {
        Ok(found) => {
            let (tail, found) = write(found);
            (tail, Ok(found))
        }
        Err(error) => (reply::error_tail(&error), Err(error)),
    };
    let mut again = Vec::new();
    reply::write_reply(&mut again, None, found.is_ok(), &tail);
    assert_is_line(&again);
    assert_eq!(read(&again), Ok(found), "the same when written");
}

/// Written twice, since the shortest text of a fraction is not always read to the last bit.
fn same_object<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(line: &[u8]) {
    let Ok(Ok(found)) = reply::decode::<T>(line) else { return };
    let mut again = Vec::new();
    reply::write_reply(&mut again, Some("7"), true, &reply::object_tail(&found));
    assert_is_line(&again);
    let read = reply::decode::<T>(&again).expect("a reply").expect("an ok one");
    close(&serde_json::to_value(&found), &serde_json::to_value(&read));
}

/// Checks that two values are the same but for the last bits of fractions.
fn close(one: &serde_json::Result<Value>, other: &serde_json::Result<Value>) {
    fn walk(one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
                let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
                (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| walk(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                let same = |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| walk(a, b));
                a.len() == b.len() && a.iter().all(same)
            }
            (a, b) => a == b,
        }
    }
    let (Ok(one), Ok(other)) = (one, other) else { panic!("plain data always serializes") };
    assert!(walk(one, other), "{one}\nis written as\n{other}");
}

/// Events and the lines of a watch are the same when a server writes them.
pub fn event(data: &[u8]) {
    if let Ok(event) = event::decode(data) {
        let again = event_line(&event);
        assert_is_line(&again);
        assert!(event::is_event(&again));
        let read = event::decode(&again).expect("an event");
        // Of a kind that is not known only the envelope is.
        if !matches!(event.body, Body::Other(_)) {
            let twice = event_line(&read);
            let value = |line: &[u8]| serde_json::from_slice::<Value>(line);
            close(&value(&again), &value(&twice));
            assert_eq!(read.body.name(), event.body.name());
            assert_eq!(read.body.topic(), event.body.topic());
        }
        assert_eq!(
            (read.seq, read.source, read.epoch, read.at_us, read.wall_ms, read.cause),
            (event.seq, event.source, event.epoch, event.at_us, event.wall_ms, event.cause)
        );
    }
    if let Ok(line) = reply::decode_watch(data) {
        let again = match &line {
            WatchLine::Change(change) => match &change.value {
                Some(value) => {
                    let value = value.as_bytes();
                    reply::watch_put_line(change.key.as_str(), value, change.version)
                }
                None => reply::watch_del_line(change.key.as_str(), change.version),
            },
            WatchLine::Lost => Bytes::from_static(reply::WATCH_LOST_LINE),
            WatchLine::Other => return,
        };
        assert_is_line(&again);
        assert_eq!(reply::decode_watch(&again), Ok(line));
    }
}

fn event_line(event: &Event) -> Vec<u8> {
    let Event { seq, source, epoch, at_us, wall_ms, incident, cause, body } = event;
    let stamp = Stamp { source, epoch: *epoch, at_us: *at_us, wall_ms: *wall_ms };
    let mut line = Vec::new();
    event::write_line(
        &mut line,
        body.name(),
        *seq,
        *cause,
        &event::tail(&stamp, incident.as_deref(), body),
    );
    line
}

/// What is written by hand is what a general reader reads.
pub fn json(data: &[u8]) {
    use protocol::json::{
        decode_base64, write_base64, write_number, write_string, write_value, write_value_compact,
        write_version,
    };
    let mut base64 = Vec::new();
    write_base64(&mut base64, data);
    let base64 = String::from_utf8(base64).expect("letters");
    assert_eq!(decode_base64(&base64).as_deref(), Some(data));
    for compact in [false, true] {
        let mut field = b"{".to_vec();
        if compact {
            write_value_compact(&mut field, data);
        } else {
            write_value(&mut field, data);
        }
        field.push(b'}');
        let read = any_json(&field).expect("JSON");
        match (read["value"].as_str(), read["value_b64"].as_str()) {
            (Some(text), None) => assert_eq!(text.as_bytes(), data),
            (None, Some(text)) => assert_eq!(text, base64),
            both => panic!("{both:?}"),
        }
        let length = 18 + 4 * data.len().div_ceil(3);
        assert!(!compact || field.len() <= length.max(14 + 3 * data.len()));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut string = Vec::new();
    write_string(&mut string, text);
    assert_eq!(any_json(&string), Some(Value::from(text)));
    if let Some(bytes) = decode_base64(text) {
        let mut again = Vec::new();
        write_base64(&mut again, &bytes);
        assert_eq!(again, text.as_bytes(), "one text for the same bytes");
    }
    if let Ok(number) = text.parse::<u64>() {
        let mut digits = Vec::new();
        write_number(&mut digits, number);
        assert_eq!(digits, number.to_string().as_bytes());
        let version = Version::from_number(number);
        let mut text = Vec::new();
        write_version(&mut text, version);
        assert_eq!(text, format!("\"{version}\"").as_bytes());
        assert_eq!(version.to_string().parse(), Ok(version));
    }
}
