//! The requests of the supervisor's port, from a line and back to one.
//!
//! Called by `endpoint` for every line. Strict: an unknown or repeated field is refused by name.
//! Decides nothing.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::fleet::{Action, Refusal, Reply};
use super::lines::LINE_BYTES_MAX;
use super::logs::{LINES, LINES_MAX};

/// Longest `id` that is a string, bytes.
const ID_BYTES_MAX: usize = 128;
/// Longest `timeout_ms`.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// How long `start` and `restart` wait for readiness without a `timeout_ms`.
const READY_WAIT: Duration = Duration::from_secs(30);

/// What a line asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Who is there.
    Hello,
    /// Without tokens any one is right.
    Auth,
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
            if let Some(read_only) = fields.remove("read_only")
                && read_only != Value::Bool(false)
            {
                let error = "read_only connections are for the coordinator's port".to_owned();
                return Err(bad(Some("read_only"), error));
            }
            if fields.contains_key("client") {
                text(&mut fields, "client")?;
            }
            Request::Hello
        }
        "auth" => {
            text(&mut fields, "token")?;
            Request::Auth
        }
        "admin" => admin(&mut fields, timeout.unwrap_or(READY_WAIT))?,
        _ => {
            let error =
                format!("there is no op {op:?} at the supervisor; it has hello, auth and admin");
            return Err(bad(Some("op"), error));
        }
    };
    match fields.keys().next() {
        None => Ok(request),
        Some(name) => Err(bad(Some(name), format!("the field {name:?} is not known here"))),
    }
}

fn admin(fields: &mut Map<String, Value>, timeout: Duration) -> Result<Request, Refusal> {
    let action = text(fields, "action")?;
    Ok(match action.as_str() {
        "list" => Request::Do(Action::List),
        "shutdown" => Request::Shutdown,
        "logs" => Request::Logs { proc: text(fields, "proc")?, lines: lines(fields)? },
        "kill" => Request::Do(Action::Kill(text(fields, "proc")?)),
        "stop" => Request::Do(Action::Stop(text(fields, "proc")?)),
        "pause" => Request::Do(Action::Pause(text(fields, "proc")?)),
        "resume" => Request::Do(Action::Resume(text(fields, "proc")?)),
        "start" => Request::Do(Action::Start(text(fields, "proc")?, timeout)),
        "restart" => Request::Do(Action::Restart(text(fields, "proc")?, timeout)),
        _ => {
            let error = format!(
                "there is no action {action:?} at the supervisor; it has list start stop restart \
                 kill pause resume logs shutdown, membership is the coordinator's"
            );
            return Err(bad(Some("action"), error));
        }
    })
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
        assert_eq!(parse(hello), (Some(json!("a")), Ok(Request::Hello)));
        let restart = br#"{"op":"admin","action":"restart","proc":"n1","timeout_ms":5}"#;
        let expected = Action::Restart("n1".into(), Duration::from_millis(5));
        assert_eq!(parse(restart), (None, Ok(Request::Do(expected))));
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
        ] {
            let (found, refused) = parse(line.as_bytes());
            let refusal = refused.unwrap_err();
            assert_eq!((refusal.code, found), ("bad_request", id), "{line}");
            assert_eq!(refusal.fields.get("field").and_then(Value::as_str), field, "{line}");
        }
        assert!(parse(b"{\"op\":\"\xff\"}").1.is_err());
        assert!(parse("[".repeat(60_000).as_bytes()).1.is_err());
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
