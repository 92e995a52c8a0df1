//! The requests of the supervisor's port, from a line and back to one.
//!
//! Called by `connection` for every line. Strict: an unknown or repeated field is refused by name.
//! Decides nothing.

use std::fmt;
use std::time::Duration;

use protocol::event::{Subscribe, Topic, Topics};
use protocol::request::{SAMPLES_PER_S_MAX, nests_deeper};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::asked::{Action, Ordered};
use super::fleet::{Refusal, Reply};
use super::lines::LINE_BYTES_MAX;
use super::logs::{LINES, LINES_MAX};
use crate::orders::{COUNT_MAX, Fault};

/// Longest `id` that is a string, bytes.
const ID_BYTES_MAX: usize = 128;
/// Longest `timeout_ms`.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Deepest nesting of objects and lists, the request itself counted.
pub(super) const NESTING_MAX: usize = 8;
/// How long a node may take to take an order without a `timeout_ms`.
const ORDER_WAIT: Duration = Duration::from_secs(5);
/// How long `start` and `restart` wait for readiness without a `timeout_ms`.
const READY_WAIT: Duration = Duration::from_secs(30);

/// What a line asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Who is there.
    Hello {
        /// What the client calls itself.
        client: Option<String>,
        /// The connection shall be unable to change anything.
        read_only: bool,
    },
    /// Events from now on.
    Subscribe(Subscribe),
    /// Shows a token.
    Auth(String),
    /// The last lines of the log of a process.
    Logs {
        /// Which.
        proc: String,
        /// How many lines at most.
        lines: usize,
    },
    /// Something about processes.
    Do(Action),
    /// All servers end, then the supervisor.
    Shutdown,
}

/// The fields of a JSON object in order, repeated ones too.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object a line")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn bad(field: Option<&str>, error: String) -> Refusal {
    let fields = field.map_or(json!({}), |field| json!({ "field": field }));
    Refusal { code: "bad_request", error, fields }
}

/// The refusal of a line of `actual` bytes.
pub(super) fn too_long(actual: usize) -> Refusal {
    Refusal {
        code: "too_large",
        error: format!("the line has {actual} bytes; send at most {LINE_BYTES_MAX}"),
        fields: json!({ "what": "line", "limit": LINE_BYTES_MAX, "actual": actual }),
    }
}

/// The request of `line`, and its `id` as far as that could be read.
pub fn parse(line: &[u8]) -> (Option<Value>, Result<Request, Refusal>) {
    if nests_deeper(line, NESTING_MAX) {
        let error = format!("the request is nested more than {NESTING_MAX} deep: no request is");
        return (None, Err(bad(None, error)));
    }
    let fields: Fields = match serde_json::from_slice(line) {
        Ok(fields) => fields,
        Err(error) => return (None, Err(bad(None, format!("not a JSON object: {error}")))),
    };
    let mut map = Map::new();
    let mut repeated = None;
    for (name, value) in fields.0 {
        if map.contains_key(&name) {
            repeated.get_or_insert(name);
        } else {
            map.insert(name, value);
        }
    }
    let id = match map.remove("id") {
        None => None,
        Some(id) if is_id(&id) && repeated.as_deref() != Some("id") => Some(id),
        Some(_) => {
            let error = "id must be one string of at most 128 bytes or an integer of 64 bits";
            return (None, Err(bad(Some("id"), error.into())));
        }
    };
    if let Some(name) = repeated {
        return (id, Err(bad(Some(&name), format!("the field {name:?} is given twice"))));
    }
    (id, request(map))
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.len() <= ID_BYTES_MAX,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

fn request(mut fields: Map<String, Value>) -> Result<Request, Refusal> {
    let op = text(&mut fields, "op")?;
    let timeout = timeout(&mut fields)?;
    let request = match op.as_str() {
        "hello" => {
            let read_only = match fields.remove("read_only") {
                None => false,
                Some(Value::Bool(read_only)) => read_only,
                Some(_) => {
                    return Err(bad(Some("read_only"), "read_only must be true or false".into()));
                }
            };
            let named = fields.contains_key("client");
            let client = if named { Some(text(&mut fields, "client")?) } else { None };
            Request::Hello { client, read_only }
        }
        "subscribe" => Request::Subscribe(subscribe(&mut fields)?),
        "auth" => Request::Auth(text(&mut fields, "token")?),
        "admin" => admin(&mut fields, timeout)?,
        _ => {
            let error = format!(
                "there is no op {op:?} at the supervisor; it has hello, auth, subscribe and admin"
            );
            return Err(bad(Some("op"), error));
        }
    };
    match fields.keys().next() {
        None => Ok(request),
        Some(name) => Err(bad(Some(name), format!("the field {name:?} is not known here"))),
    }
}

fn admin(fields: &mut Map<String, Value>, timeout: Option<Duration>) -> Result<Request, Refusal> {
    let action = text(fields, "action")?;
    let ready = timeout.unwrap_or(READY_WAIT);
    Ok(match action.as_str() {
        "list" => Request::Do(Action::List),
        "shutdown" => Request::Shutdown,
        "logs" => Request::Logs { proc: text(fields, "proc")?, lines: lines(fields)? },
        "kill" => Request::Do(Action::Kill(text(fields, "proc")?)),
        "stop" => Request::Do(Action::Stop(text(fields, "proc")?)),
        "pause" => Request::Do(Action::Pause(text(fields, "proc")?)),
        "resume" => Request::Do(Action::Resume(text(fields, "proc")?)),
        "start" => Request::Do(Action::Start(text(fields, "proc")?, ready)),
        "restart" => Request::Do(Action::Restart(text(fields, "proc")?, ready)),
        "inject" => {
            let (proc, timeout) = (text(fields, "proc")?, timeout.unwrap_or(ORDER_WAIT));
            Request::Do(Action::Inject(proc, ordered(fields, timeout)?))
        }
        _ => {
            let error = format!(
                "there is no action {action:?} at the supervisor; it has list start stop restart \
                 kill pause resume logs inject shutdown, membership is the coordinator's"
            );
            return Err(bad(Some("action"), error));
        }
    })
}

fn ordered(fields: &mut Map<String, Value>, timeout: Duration) -> Result<Ordered, Refusal> {
    let name = text(fields, "fault")?;
    let value = fields.remove("value");
    let fault = Fault::named(&name, value.as_ref());
    let fault = fault.map_err(|(field, error)| bad(Some(field), error))?;
    let count = match fields.remove("count") {
        None => Some(1),
        Some(value) => value.as_u64().filter(|count| *count <= COUNT_MAX),
    };
    let error = || format!("count must be an integer from 0 to {COUNT_MAX}");
    let count = count.ok_or_else(|| bad(Some("count"), error()))?;
    Ok(Ordered { fault, count, timeout })
}

fn subscribe(fields: &mut Map<String, Value>) -> Result<Subscribe, Refusal> {
    let all = Topics::of_supervisor();
    let topic = |value: &Value| {
        let named = value.as_str().and_then(Topic::named);
        named.filter(|topic| all.has(*topic))
    };
    let topics = match fields.remove("topics") {
        None => Some(all),
        Some(Value::Array(topics)) => topics.iter().map(topic).collect(),
        Some(_) => None,
    };
    let topics = topics.ok_or_else(|| {
        bad(Some("topics"), "topics must be a list of those told here: proc, admin".into())
    })?;
    let max_per_s = match fields.remove("max_per_s") {
        None => Some(Subscribe::MAX_PER_S_DEFAULT),
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number.filter(|number| (1..=SAMPLES_PER_S_MAX).contains(number))
        }
    };
    let error = || format!("max_per_s must be an integer from 1 to {SAMPLES_PER_S_MAX}");
    let max_per_s = max_per_s.ok_or_else(|| bad(Some("max_per_s"), error()))?;
    Ok(Subscribe { topics, max_per_s, ..Subscribe::default() })
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<String, Refusal> {
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(bad(Some(name), format!("the field {name:?} must be a string"))),
        None => Err(bad(Some(name), format!("the field {name:?} is missing"))),
    }
}

fn lines(fields: &mut Map<String, Value>) -> Result<usize, Refusal> {
    let Some(value) = fields.remove("lines") else { return Ok(LINES) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| (1..=LINES_MAX).contains(number)).ok_or_else(|| {
        bad(Some("lines"), format!("lines must be an integer from 1 to {LINES_MAX}"))
    })
}

fn timeout(fields: &mut Map<String, Value>) -> Result<Option<Duration>, Refusal> {
    match fields.remove("timeout_ms") {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(ms @ 1..=TIMEOUT_MS_MAX) => Ok(Some(Duration::from_millis(ms))),
            _ => Err(bad(
                Some("timeout_ms"),
                format!("timeout_ms must be an integer from 1 to {TIMEOUT_MS_MAX}"),
            )),
        },
    }
}

/// The line that answers a request with this `id`, newline included.
pub fn answer(id: Option<Value>, reply: Reply) -> Vec<u8> {
    // By hand, so that `ok` comes first for those who read with their eyes.
    let mut line = format!("{{\"ok\":{}", reply.is_ok());
    let mut add = |name: &str, value: &Value| {
        line.push_str(&format!(",{}:{value}", Value::from(name)));
    };
    if let Some(id) = id {
        add("id", &id);
    }
    let fields = reply.unwrap_or_else(|refusal| {
        add("code", &refusal.code.into());
        add("error", &refusal.error.into());
        refusal.fields
    });
    for (name, value) in fields.as_object().into_iter().flatten() {
        add(name, value);
    }
    line.push_str("}\n");
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_with_their_ids() {
        let kill = br#"{"op":"admin","action":"kill","proc":"n3","id":7}"#;
        assert_eq!(parse(kill), (Some(json!(7)), Ok(Request::Do(Action::Kill("n3".into())))));
        let hello = br#"{"id":"a","op":"hello","client":"x"}"#;
        let expected = Request::Hello { client: Some("x".into()), read_only: false };
        assert_eq!(parse(hello), (Some(json!("a")), Ok(expected)));
        let restart = br#"{"op":"admin","action":"restart","proc":"n1","timeout_ms":5}"#;
        let expected = Action::Restart("n1".into(), Duration::from_millis(5));
        assert_eq!(parse(restart), (None, Ok(Request::Do(expected))));
        let inject = br#"{"op":"admin","action":"inject","proc":"n1","fault":"drop_votes"}"#;
        let ordered = Ordered { fault: Fault::DropVotes, count: 1, timeout: ORDER_WAIT };
        let expected = Request::Do(Action::Inject("n1".into(), ordered));
        assert_eq!(parse(inject), (None, Ok(expected)));
        let all = Subscribe { topics: Topics::of_supervisor(), ..Subscribe::default() };
        assert_eq!(parse(br#"{"op":"subscribe"}"#).1, Ok(Request::Subscribe(all.clone())));
        let some = br#"{"op":"subscribe","topics":["admin"],"max_per_s":7}"#;
        let topics = [Topic::Admin].into_iter().collect();
        let expected = Subscribe { topics, max_per_s: 7, ..all };
        assert_eq!(parse(some).1, Ok(Request::Subscribe(expected)));
        let shutdown = br#"{"op":"admin","action":"shutdown"}"#;
        assert_eq!(parse(shutdown), (None, Ok(Request::Shutdown)));
    }

    #[test]
    fn a_wrong_request_is_refused_by_field_and_keeps_its_id() {
        let long = format!(r#"{{"op":"hello","id":"{}"}}"#, "x".repeat(129));
        for (line, id, field) in [
            ("nonsense", None, None),
            ("[]", None, None),
            ("\"x\"", None, None),
            (r#"{"op":"hello"} x"#, None, None),
            (r#"{"id":1}"#, Some(json!(1)), Some("op")),
            (r#"{"id":1,"op":2}"#, Some(json!(1)), Some("op")),
            (r#"{"id":-1,"op":"get"}"#, Some(json!(-1)), Some("op")),
            (r#"{"id":1.5,"op":"hello"}"#, None, Some("id")),
            (r#"{"id":1,"id":1,"op":"hello"}"#, None, Some("id")),
            (&long, None, Some("id")),
            (r#"{"op":"hello","op":"hello","id":1}"#, Some(json!(1)), Some("op")),
            (r#"{"op":"hello","extra":1}"#, None, Some("extra")),
            (r#"{"op":"hello","timeout_ms":0}"#, None, Some("timeout_ms")),
            (r#"{"op":"admin","action":"evict"}"#, None, Some("action")),
            (r#"{"op":"admin","action":"kill"}"#, None, Some("proc")),
            (r#"{"op":"auth"}"#, None, Some("token")),
            (r#"{"op":"admin","action":"logs"}"#, None, Some("proc")),
            (r#"{"op":"admin","action":"logs","proc":"n1","lines":0}"#, None, Some("lines")),
            (r#"{"op":"admin","action":"list","proc":"n1"}"#, None, Some("proc")),
            (r#"{"op":"admin","action":"inject","proc":"n1"}"#, None, Some("fault")),
            (r#"{"op":"subscribe","topics":["proc","txn"]}"#, None, Some("topics")),
            (r#"{"op":"subscribe","topics":"proc"}"#, None, Some("topics")),
            (r#"{"op":"subscribe","max_per_s":0}"#, None, Some("max_per_s")),
            (r#"{"op":"subscribe","set":1}"#, None, Some("set")),
            (r#"{"op":"hello","read_only":1}"#, None, Some("read_only")),
        ] {
            let (found, refused) = parse(line.as_bytes());
            let refusal = refused.unwrap_err();
            assert_eq!((refusal.code, found), ("bad_request", id), "{line}");
            assert_eq!(refusal.fields.get("field").and_then(Value::as_str), field, "{line}");
        }
        assert!(parse(b"{\"op\":\"\xff\"}").1.is_err());
        for deep in
            ["[".repeat(60_000), format!("{{\"id\":1,\"x\":{}1{}}}", "[".repeat(8), "]".repeat(8))]
        {
            let refusal = parse(deep.as_bytes()).1.unwrap_err();
            assert!(refusal.error.contains("nested more than 8 deep"), "{}", refusal.error);
        }
    }

    #[test]
    fn answers_are_one_line_without_blanks() {
        let ok = answer(Some(json!(u64::MAX)), Ok(json!({ "pid": 3 })));
        assert_eq!(ok, b"{\"ok\":true,\"id\":18446744073709551615,\"pid\":3}\n");
        let refused = answer(None, Err(too_long(70_000)));
        let value: Value = serde_json::from_slice(&refused).unwrap();
        assert_eq!(value["limit"], 65_536);
        assert_eq!(value["ok"], false);
    }
}
