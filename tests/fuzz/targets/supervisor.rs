//! The supervisor's port, what its children announce to it, and `cluster.json`.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use cluster::orders;
use cluster::process::ServerEvent;
use cluster::supervisor::Action;
use cluster::supervisor::directory::ClusterFile;
use cluster::supervisor::request::{Request, answer, parse};
use protocol::event::Subscribe;
use protocol::reply;
use protocol::request::{self, Op};
use protocol::supervisor::{Order, ProcAction, ProcReply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{any_json, assert_is_line};

/// A request is understood as a reader that knows nothing of it sees it, and the same when a client
/// writes it; every answer is a line that a client reads, with the request's id.
pub fn supervisor_request(data: &[u8]) {
    let (id, parsed) = parse(data);
    let seen = any_json(data);
    if let (Some(seen), Ok(_)) = (&seen, &parsed) {
        assert_eq!(seen.get("id"), id.as_ref(), "the id that was sent");
    }
    let line = match parsed {
        Ok(request) => {
            is_understood(&seen.expect("a request is JSON"), &request);
            answer(id.clone(), Ok(json!({ "pid": 7 })))
        }
        Err(refusal) => answer(id.clone(), Err(refusal)),
    };
    assert_is_line(&line);
    assert_eq!(any_json(&line).expect("JSON").get("id"), id.as_ref(), "the id comes back");
    reply::decode::<ProcReply>(&line).expect("a client reads the answer").ok();
}

fn is_understood(seen: &Value, request: &Request) {
    let text = |name: &str| seen[name].as_str().map(str::to_owned);
    let proc = || text("proc").expect("a process is named");
    let action = match request {
        Request::Hello { client, .. } => return assert_eq!(*client, text("client")),
        Request::Subscribe(wants) => return subscribes(wants),
        Request::Auth(token) => return assert_eq!(Some(token), text("token").as_ref()),
        Request::Logs { proc, lines } => ProcAction::Logs(proc.clone(), *lines as u32),
        Request::Shutdown => ProcAction::Shutdown,
        Request::Do(Action::List) => ProcAction::List,
        Request::Do(Action::Kill(_)) => ProcAction::Kill(proc()),
        Request::Do(Action::Restart(..)) => ProcAction::Restart(proc()),
        Request::Do(Action::Start(..)) => ProcAction::Start(proc()),
        Request::Do(Action::Stop(_)) => ProcAction::Stop(proc()),
        Request::Do(Action::Pause(_)) => ProcAction::Pause(proc()),
        Request::Do(Action::Resume(_)) => ProcAction::Resume(proc()),
        Request::Do(Action::Inject(_, ordered)) => {
            let value = match &seen["value"] {
                Value::Number(number) => Some(number.to_string()),
                Value::String(text) => Some(text.clone()),
                Value::Null => None,
                // A step in another form, which no client of ours writes.
                _ => return,
            };
            let fault = text("fault").expect("a fault is named");
            ProcAction::Inject(proc(), Order { fault, value, count: ordered.count })
        }
    };
    assert_eq!(
        (text("op").as_deref(), text("action")),
        (Some("admin"), Some(action.name().into()))
    );
    let wait = match request {
        Request::Do(Action::Start(_, wait) | Action::Restart(_, wait)) => *wait,
        Request::Do(Action::Inject(_, ordered)) => ordered.timeout,
        _ => Duration::from_secs(1),
    };
    let wait_ms = u32::try_from(wait.as_millis()).expect("a wait is bounded");
    let mut line = Vec::new();
    action.write(wait_ms, &mut line);
    let (id, again) = parse(&line);
    assert_eq!(
        (id, again.as_ref().ok()),
        (None, Some(request)),
        "the same when a client writes it"
    );
}

fn subscribes(wants: &Subscribe) {
    let op = Op::Subscribe(Box::new(wants.clone()));
    let mut line = Vec::new();
    request::Request { id: None, timeout_ms: None, once: None, op }.write(&mut line);
    let expected = (None, Ok(Request::Subscribe(wants.clone())));
    assert_eq!(parse(&line), expected, "the same when a client writes it");
}

/// What a child announces, and what it is told, is the same when it is written.
pub fn announcement(data: &[u8]) {
    fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
        let Ok(found) = serde_json::from_slice::<T>(data) else { return };
        let written = serde_json::to_vec(&found).expect("plain data always serializes");
        assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(found));
    }
    same::<ServerEvent>(data);
    same::<orders::Order>(data);
}

/// A `cluster.json` is the same when it is written, or refused with a sentence.
pub fn cluster_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("cluster.json");
    match ClusterFile::parse(path, text) {
        Ok(file) => {
            let written = serde_json::to_string_pretty(&file).expect("plain data");
            let again = ClusterFile::parse(path, &written).expect("what was written can be read");
            assert_eq!(again, file);
        }
        Err(error) => assert_eq!(error.exit_code(), 2, "{error}"),
    }
}
