//! The supervisor's port, what its children announce to it, and `cluster.json`.

use std::path::Path;
use std::time::Duration;

use cluster::process::ServerEvent;
use cluster::supervisor::Action;
use cluster::supervisor::directory::ClusterFile;
use cluster::supervisor::request::{Request, answer, parse};
use protocol::reply;
use protocol::supervisor::{ProcAction, ProcReply};
use serde_json::{Value, json};

use super::{any_json, assert_is_line};

/// A request is understood as a reader that knows nothing of it sees it, and the same when a client
/// writes it; every answer is a line that a client reads, with the request's id.
pub fn supervisor_request(data: &[u8]) {
    let (id, parsed) = parse(data);
    let seen = any_json(data);
    if let Some(id) = &id {
        assert!(seen.as_ref().is_none_or(|seen| seen.get("id") == Some(id)));
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
        Request::Hello => return assert_eq!(text("op").as_deref(), Some("hello")),
        Request::Auth => return assert_eq!(text("op").as_deref(), Some("auth")),
        Request::Logs { proc, lines } => ProcAction::Logs(proc.clone(), *lines as u32),
        Request::Shutdown => ProcAction::Shutdown,
        Request::Do(Action::List) => ProcAction::List,
        Request::Do(Action::Kill(_)) => ProcAction::Kill(proc()),
        Request::Do(Action::Restart(..)) => ProcAction::Restart(proc()),
        Request::Do(Action::Start(..)) => ProcAction::Start(proc()),
        Request::Do(Action::Stop(_)) => ProcAction::Stop(proc()),
        Request::Do(Action::Pause(_)) => ProcAction::Pause(proc()),
        Request::Do(Action::Resume(_)) => ProcAction::Resume(proc()),
    };
    assert_eq!(
        (text("op").as_deref(), text("action")),
        (Some("admin"), Some(action.name().into()))
    );
    let wait = match request {
        Request::Do(Action::Start(_, wait) | Action::Restart(_, wait)) => *wait,
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

/// What a child announces is the same when it is written.
pub fn announcement(data: &[u8]) {
    let Ok(event) = serde_json::from_slice::<ServerEvent>(data) else { return };
    let written = serde_json::to_vec(&event).expect("plain data always serializes");
    let again: ServerEvent = serde_json::from_slice(&written).expect("an announcement");
    assert_eq!(again, event);
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
