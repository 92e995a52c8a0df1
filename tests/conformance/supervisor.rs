//! The supervisor's port, and what administrators do at either port as it is told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::malformed::ports;
use super::talk::{Talk, shown};
use super::{Site, checks};

checks! {
    741 the_supervisor_says_hello_like_the_coordinator
        "`hello auth",
        "same line protocol"
    742 the_supervisor_holds_lines_to_its_limits
        "same line protocol",
        "nesting 8"
    743 the_supervisor_tells_events
        "Envelope: `event`, `seq` (per source; a gap is a loss), `source` (`coordinator`/`supervisor`)",
        "at the supervisor `proc admin`",
        "`hello auth subscribe list"
    744 what_is_asked_of_the_supervisor_is_an_event
        "admin: `admin {id,action,target,by,result}`"
    745 a_read_only_connection_to_the_supervisor_changes_nothing
        "`read_only` optional: the server then refuses updates and admin on this connection"
    746 faults_need_a_lab
        "for teaching and demos, only in a loopback `up` with `--lab`"
    747 there_are_not_too_many_subscribers_at_the_supervisor
        "subscribers 16",
        "`subscribe` ... `overloaded`"
    751 what_is_asked_of_the_coordinator_is_an_event
        "admin: `admin {id,action,target,by,result}`",
        "topics `member heartbeat coordinator ring txn stats cache admin`"
    761 a_browser_is_told_before_its_line_ends
        "a first line that starts with an HTTP method",
        "the same guard on every TCP port"
}

/// A connection to the supervisor; none where the cluster is somebody else's.
fn supervisor(site: &Site) -> Option<Talk> {
    let port = ports(site).into_iter().find(|port| port.name == "supervisor");
    if port.is_none() {
        println!("    SKIPPED: only a cluster of its own is known to have a supervisor here");
    }
    port.map(|port| Talk::open(port.addr))
}

/// The next line, which must be an event.
fn event(talk: &mut Talk) -> Value {
    let line = talk.line();
    let event: Value = serde_json::from_str(&line).expect("a line that is JSON");
    assert!(line.starts_with("{\"event\":\""), "{line}");
    for field in ["seq", "at_us", "wall_ms", "epoch"] {
        assert!(event[field].is_u64(), "no {field}: {line}");
    }
    event
}

fn the_supervisor_says_hello_like_the_coordinator(site: &Site) {
    let Some(mut talk) = supervisor(site) else { return };
    let (own, other) = (talk.ok(&json!({"op": "hello"})), site.open().ok(&json!({"op": "hello"})));
    assert_eq!((&own["protocol"], &own["cluster"]), (&other["protocol"], &other["cluster"]));
    assert!(own["server"].as_str().is_some_and(|server| server.starts_with("piazza")), "{own}");
    assert!(own["dir"].is_string() && own["pid"].is_u64(), "{own}");
    for (name, limit) in own["limits"].as_object().expect("an object") {
        assert!(limit.is_u64() && other["limits"][name].is_u64(), "{name}: {own}");
    }
}

fn the_supervisor_holds_lines_to_its_limits(site: &Site) {
    let Some(mut talk) = supervisor(site) else { return };
    let limits = talk.ok(&json!({"op": "hello"}))["limits"].clone();
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!("{{\"op\":\"hello\",\"x\":{open}{close}}}")
    };
    let depth = limits["nesting"].as_u64().expect("a number") as usize;
    assert_eq!(depth, 8);
    talk.bad(nested(depth), "x");
    let deep = talk.refused(nested(depth + 1), "bad_request");
    assert!(deep["error"].as_str().is_some_and(|error| error.contains("nested")), "{deep}");
    let most = limits["line_bytes"].as_u64().expect("a number") as usize;
    talk.refused("x".repeat(most), "bad_request");
    let long = talk.refused("x".repeat(most + 1), "too_large");
    assert_eq!((&long["limit"], &long["actual"]), (&json!(most), &json!(most + 1)));
    talk.lives();
}

fn the_supervisor_tells_events(site: &Site) {
    let Some(mut talk) = supervisor(site) else { return };
    talk.bad(r#"{"op":"subscribe","topics":["txn"]}"#, "topics");
    talk.bad(r#"{"op":"subscribe","max_per_s":0}"#, "max_per_s");
    let reply = talk.ok(&json!({"op": "subscribe", "id": 1}));
    assert_eq!((&reply["topics"], &reply["id"]), (&json!(["admin", "proc"]), &json!(1)), "{reply}");
    let first = event(&mut talk);
    assert_eq!((&first["event"], &first["seq"]), (&json!("snapshot"), &json!(1)), "{first}");
    assert_eq!(first["source"], "supervisor");
    let list = talk.ok(&json!({"op": "admin", "action": "list"}));
    let names = |procs: &Value| -> Vec<Value> {
        procs.as_array().expect("a list").iter().map(|proc| proc["name"].clone()).collect()
    };
    assert_eq!(names(&first["procs"]), names(&list["procs"]));
    assert!(first["admin_recent"].is_array(), "{first}");
    // Another one takes its place, and the numbers go on.
    talk.ok(&json!({"op": "subscribe", "topics": ["proc"]}));
    let again = event(&mut talk);
    assert_eq!((&again["event"], &again["seq"]), (&json!("snapshot"), &json!(2)), "{again}");
    talk.refused(r#"{"op":"admin","action":"kill","proc":"nobody"}"#, "no_such_node");
    talk.lives();
}

fn what_is_asked_of_the_supervisor_is_an_event(site: &Site) {
    let (Some(mut talk), Some(mut other)) = (supervisor(site), supervisor(site)) else { return };
    talk.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
    event(&mut talk);
    let kill = r#"{"op":"admin","action":"kill","proc":"nobody"}"#;
    let address = format!("127.0.0.1:{}", other.own_port());
    other.refused(kill, "no_such_node");
    other.ok(&json!({"op": "hello", "client": "conformance"}));
    other.refused(kill, "no_such_node");
    other.ok(&json!({"op": "admin", "action": "list"}));
    let mut ids = Vec::new();
    for by in [address.as_str(), "conformance"] {
        let admin = event(&mut talk);
        let told = ["event", "action", "target", "by", "result"].map(|field| &admin[field]);
        let expected = ["admin", "kill", "nobody", by, "no_such_node"].map(Value::from);
        assert_eq!(told, expected.each_ref(), "{admin}");
        ids.push(admin["id"].as_u64().expect("a number"));
    }
    assert!(ids[0] < ids[1]);
    talk.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
    let recent = event(&mut talk)["admin_recent"].clone();
    let last = recent.as_array().and_then(|recent| recent.last());
    assert_eq!(last.map(|admin| &admin["by"]), Some(&json!("conformance")), "{recent}");
}

fn a_read_only_connection_to_the_supervisor_changes_nothing(site: &Site) {
    let Some(mut talk) = supervisor(site) else { return };
    talk.bad(r#"{"op":"hello","read_only":"yes"}"#, "read_only");
    talk.ok(&json!({"op": "hello", "read_only": true}));
    for action in ["kill", "stop", "pause", "resume", "start", "restart"] {
        let line = json!({"op": "admin", "action": action, "proc": "n1"}).to_string();
        talk.refused(line, "forbidden");
    }
    talk.refused(r#"{"op":"admin","action":"shutdown"}"#, "forbidden");
    talk.ok(&json!({"op": "hello"}));
    talk.refused(r#"{"op":"admin","action":"shutdown"}"#, "forbidden");
    talk.ok(&json!({"op": "admin", "action": "list"}));
    talk.ok(&json!({"op": "admin", "action": "logs", "proc": "n1", "lines": 1}));
}

fn faults_need_a_lab(site: &Site) {
    let Some(mut talk) = supervisor(site) else { return };
    for (fields, wrong) in [
        (r#""fault":"explode""#, "fault"),
        (r#""fault":"stop_after","value":"lunch""#, "value"),
        (r#""fault":"sync_delay_ms""#, "value"),
        (r#""fault":"drop_votes","value":1"#, "value"),
        (r#""fault":"drop_votes","count":-1"#, "count"),
    ] {
        talk.bad(format!(r#"{{"op":"admin","action":"inject","proc":"n1",{fields}}}"#), wrong);
    }
    let inject = r#"{"op":"admin","action":"inject","proc":"n1","fault":"drop_votes","count":1}"#;
    let refused = talk.refused(inject, "refused");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("--lab")), "{refused}");
    assert_eq!(site.status().get("lab"), None);
}

fn there_are_not_too_many_subscribers_at_the_supervisor(site: &Site) {
    let subscribe = json!({"op": "subscribe"});
    let mut all = Vec::new();
    // Those of the checks before may still be on their way out.
    let deadline = Instant::now() + Duration::from_secs(60);
    while all.len() < 16 && Instant::now() < deadline {
        let Some(mut talk) = supervisor(site) else { return };
        if talk.ask(subscribe.to_string())["ok"] == true {
            all.push(talk);
        }
    }
    assert_eq!(all.len(), 16);
    let Some(mut talk) = supervisor(site) else { return };
    talk.refused(subscribe.to_string(), "overloaded");
    talk.lives();
}

fn what_is_asked_of_the_coordinator_is_an_event(site: &Site) {
    let (mut talk, mut other) = (site.open(), site.open());
    talk.bad(r#"{"op":"subscribe","topics":["proc"]}"#, "topics[0]");
    talk.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
    assert_eq!(event(&mut talk)["source"], "coordinator");
    other.ok(&json!({"op": "hello", "client": "conformance"}));
    // Whatever becomes of it: nothing is done that anybody would notice.
    let answer = other.ask(r#"{"op":"admin","action":"evict","node":"nobody"}"#);
    other.ok(&json!({"op": "hello", "read_only": true}));
    other.refused(r#"{"op":"admin","action":"add"}"#, "forbidden");
    let result = if answer["ok"] == true { json!("ok") } else { answer["code"].clone() };
    for (action, target, result) in
        [("evict", json!("nobody"), result), ("add", Value::Null, json!("forbidden"))]
    {
        let admin = event(&mut talk);
        let told = ["event", "action", "target", "by", "result"].map(|field| &admin[field]);
        let expected = [json!("admin"), json!(action), target, json!("conformance"), result];
        assert_eq!(told, expected.each_ref(), "{admin}");
    }
}

fn a_browser_is_told_before_its_line_ends(site: &Site) {
    for port in ports(site) {
        for text in ["GET / HTTP/1.1", "PUT ", "\r\nHEAD /"] {
            let mut talk = Talk::open(port.addr);
            talk.send(text);
            let told = talk.rest();
            let is_told = told.starts_with(b"HTTP/1.1 400 ");
            assert!(is_told, "{text} at the {} port: {}", port.name, shown(&told));
        }
    }
}
