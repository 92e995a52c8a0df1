//! Who may do what: on a cluster of one's own with a token of each kind.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use protocol::ids::Incarnation;
use protocol::peer::Heartbeat;
use protocol::status::NodeFigures;
use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};
use crate::e2e::procs::{TempDir, wait_for};

checks! {
    1001 before_a_token_nothing_is_answered
        "Set: before `auth` only `hello` and `auth` are answered"
    1002 a_token_gives_its_role
        "`auth` | `token` | `role`: `client`, `viewer` or `admin` | `unauthorized`",
        "Roles: `--client-token-file --viewer-token-file --admin-token-file",
        "`unauthorized`, `forbidden` | | credentials"
    1003 three_wrong_tokens_are_enough
        "Only these close it ... three failed `auth`"
    1004 a_viewer_looks
        "`role`: `client`, `viewer` or `admin`"
    1005 a_client_reads_and_updates
        "`role`: `client`, `viewer` or `admin`"
    1006 an_admin_does_everything
        "`role`: `client`, `viewer` or `admin`"
    1007 read_only_goes_on_top
        "`read_only` optional: the server then refuses updates and admin on this connection"
    1008 the_supervisor_has_the_same_tokens
        "same line protocol"
    1011 no_stranger_is_a_server
        "--peer-token-file`"
    1012 no_forged_heartbeat_counts
        "--peer-token-file`"
}

/// Longer than a few heartbeats on a machine that stalls.
const HEARTBEATS_MAX: Duration = Duration::from_secs(60);
const KINDS: [&str; 4] = ["client", "viewer", "admin", "peer"];

/// The token of a kind; each is a letter of its own.
fn token(kind: &str) -> String {
    kind[..1].repeat(40)
}

/// The flags of a cluster with a token of each kind.
pub(super) fn flags(dir: &TempDir) -> Vec<String> {
    let flags = KINDS.map(|kind| {
        let path = dir.path().join(kind);
        fs::write(&path, format!("{}\n", token(kind))).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our file");
        [format!("--{kind}-token-file"), path.to_string_lossy().into_owned()]
    });
    flags.into_iter().flatten().collect()
}

fn auth(token: &str) -> Value {
    json!({"op": "auth", "token": token})
}

/// A connection that has shown its token.
fn open(site: &Site, kind: &str) -> Talk {
    open_at(site.addr, kind)
}

fn open_at(addr: SocketAddr, kind: &str) -> Talk {
    let mut talk = Talk::open(addr);
    assert_eq!(talk.ok(&auth(&token(kind)))["role"], kind);
    talk
}

fn reads(key: &str) -> Vec<Value> {
    vec![
        json!({"op": "mget", "keys": [key]}),
        json!({"op": "scan", "prefix": key}),
        json!({"op": "locate", "key": key}),
        json!({"op": "outcome", "version": "1.1"}),
        json!({"op": "status"}),
    ]
}

fn updates(key: &str) -> Vec<Value> {
    vec![
        json!({"op": "put", "key": key, "value": "1"}),
        json!({"op": "put", "key": key, "value": "1", "if_absent": true}),
        json!({"op": "update", "key": key, "value": "1"}),
        json!({"op": "cas", "key": key, "value": "1", "version": "1.1"}),
        json!({"op": "del", "key": key}),
        json!({"op": "txn", "if": [], "then": [{"op": "put", "key": key, "value": "1"}]}),
    ]
}

/// Of a request that is carried out it needs the right to it, of another only that to look.
fn explain(key: &str, run: bool) -> Value {
    json!({"op": "explain", "run": run, "request": {"op": "put", "key": key, "value": "1"}})
}

fn admin() -> Value {
    json!({"op": "admin", "action": "add", "dry_run": true})
}

/// What an answer says that need not be one of a key's operations.
fn code(talk: &mut Talk, request: &Value) -> Value {
    talk.send(format!("{request}\n"));
    let answer: Value = serde_json::from_str(&talk.line()).expect("JSON");
    answer["code"].clone()
}

fn before_a_token_nothing_is_answered(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    talk.ok(&json!({"op": "hello", "client": "conformance"}));
    let get = json!({"op": "get", "key": key});
    let listen = json!({"op": "subscribe", "topics": ["member"]});
    let watch = json!({"op": "watch", "key": key});
    let all = [reads(&key), updates(&key), vec![get, listen, watch, admin()]].concat();
    for request in &all {
        let answer = talk.refused(request.to_string(), "unauthorized");
        assert!(answer["error"].as_str().is_some_and(|text| text.contains("auth")), "{answer}");
    }
    talk.lives();
    let answers = talk.ask_all(&[all[0].clone(), auth(&token("admin")), all[0].clone()]);
    assert_eq!(answers[0]["code"], "unauthorized");
    assert_eq!((&answers[1]["ok"], &answers[2]["ok"]), (&json!(true), &json!(true)));
    open(site, "admin").refused(json!({"op": "get", "key": key}).to_string(), "not_found");
}

fn a_token_gives_its_role(site: &Site) {
    let mut talk = site.open();
    for kind in ["client", "viewer", "admin", "client"] {
        assert_eq!(talk.ok(&auth(&token(kind)))["role"], kind);
    }
    let kept = token("client");
    let (longer, shorter) = (format!("{kept}c"), &kept[1..]);
    for wrong in ["", &longer, shorter, &token("peer"), &token("x"), &format!("{kept}\n")] {
        let mut talk = site.open();
        talk.refused(auth(wrong).to_string(), "unauthorized");
        talk.refused(json!({"op": "status"}).to_string(), "unauthorized");
        talk.lives();
    }
    site.open().bad(r#"{"op":"auth"}"#, "token");
    site.open().bad(r#"{"op":"auth","token":7}"#, "token");
}

fn three_wrong_tokens_are_enough(site: &Site) {
    for addr in [site.addr, supervisor(site)] {
        let mut talk = Talk::open(addr);
        let wrong = auth("no");
        let line = format!("{wrong}\n");
        talk.send(format!("{line}{{\"op\":\"hello\"}}\n{line}{line}{{\"op\":\"hello\"}}\n{line}"));
        for expected in [json!(false), json!(true), json!(false), json!(false)] {
            assert_eq!(talk.answer()["ok"], expected);
        }
        talk.closes();
        // A right one in between changes nothing: three are three.
        let mut talk = Talk::open(addr);
        talk.refused(wrong.to_string(), "unauthorized");
        talk.refused(wrong.to_string(), "unauthorized");
        talk.ok(&auth(&token("viewer")));
        talk.lives();
        talk.refused(wrong.to_string(), "unauthorized");
        talk.closes();
    }
    // What was asked before is answered before.
    let mut talk = open(site, "client");
    let put = json!({"op": "put", "key": site.key(), "value": "1"});
    talk.send(format!("{put}\n{0}\n{0}\n{put}\n{0}\n{put}\n", auth("no")));
    for expected in [true, false, false, true, false] {
        assert_eq!(talk.answer()["ok"], expected);
    }
    talk.closes();
}

fn a_viewer_looks(site: &Site) {
    let (mut talk, key) = (open(site, "viewer"), site.key());
    reads(&key).iter().for_each(|read| drop(talk.ok(read)));
    for update in updates(&key) {
        talk.refused(update.to_string(), "forbidden");
    }
    talk.refused(admin().to_string(), "forbidden");
    talk.ok(&explain(&key, false));
    talk.refused(explain(&key, true).to_string(), "forbidden");
    talk.refused(json!({"op": "get", "key": key}).to_string(), "not_found");
    talk.ok(&json!({"op": "watch", "key": key}));
    let version = open(site, "client").ok(&updates(&key)[0])["version"].clone();
    assert_eq!(talk.watched()["version"], version);
    talk.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
}

fn a_client_reads_and_updates(site: &Site) {
    let (mut talk, key) = (open(site, "client"), site.key());
    talk.ok(&updates(&key)[0]);
    reads(&key).iter().for_each(|read| drop(talk.ok(read)));
    assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["value"], "1");
    talk.refused(updates(&key)[1].to_string(), "exists");
    talk.ok(&updates(&key)[2]);
    talk.refused(updates(&key)[3].to_string(), "version_mismatch");
    talk.ok(&updates(&key)[5]);
    talk.ok(&explain(&key, true));
    talk.refused(admin().to_string(), "forbidden");
    talk.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
}

fn an_admin_does_everything(site: &Site) {
    let (mut talk, key) = (open(site, "admin"), site.key());
    talk.ok(&updates(&key)[0]);
    reads(&key).iter().for_each(|read| drop(talk.ok(read)));
    let refused = code(&mut talk, &admin());
    assert!(refused != "forbidden" && refused != "unauthorized", "{refused}");
}

fn read_only_goes_on_top(site: &Site) {
    let (mut talk, key) = (open(site, "admin"), site.key());
    talk.ok(&json!({"op": "hello", "read_only": true}));
    talk.ok(&auth(&token("admin")));
    for update in updates(&key) {
        talk.refused(update.to_string(), "forbidden");
    }
    talk.refused(admin().to_string(), "forbidden");
    reads(&key).iter().for_each(|read| drop(talk.ok(read)));
}

fn supervisor(site: &Site) -> SocketAddr {
    site.own.as_ref().expect("a cluster of its own").supervisor_addr()
}

fn the_supervisor_has_the_same_tokens(site: &Site) {
    let act = |action: &str| json!({"op": "admin", "action": action, "proc": "n1"});
    let list = json!({"op": "admin", "action": "list"});
    let mut talk = Talk::open(supervisor(site));
    talk.ok(&json!({"op": "hello"}));
    for request in
        [list.clone(), act("logs"), act("start"), json!({"op":"admin","action":"shutdown"})]
    {
        talk.refused(request.to_string(), "unauthorized");
    }
    for kind in ["viewer", "client"] {
        let mut talk = open_at(supervisor(site), kind);
        talk.ok(&list);
        talk.ok(&act("logs"));
        for action in ["start", "stop", "kill", "restart", "pause", "resume"] {
            talk.refused(act(action).to_string(), "forbidden");
        }
        talk.refused(r#"{"op":"admin","action":"shutdown"}"#, "forbidden");
        talk.ok(&json!({"op": "subscribe", "topics": ["proc"]}));
    }
    let mut talk = open_at(supervisor(site), "admin");
    talk.ok(&list);
    assert_eq!(code(&mut talk, &act("start")), "already", "it was let in");
    talk.refused(auth(&token("peer")).to_string(), "unauthorized");
}

fn no_stranger_is_a_server(site: &Site) {
    let cluster = site.own.as_ref().expect("a cluster of its own");
    let status = open(site, "viewer").ok(&json!({"op": "status"}));
    let register = json!({"protocol": 2, "version": "0.1.0", "name": "n9", "uuid": "0".repeat(32),
        "incarnation": 1, "addr": "127.0.0.1:9", "pid": 1, "supervisor": null, "durable": true,
        "fence": 0, "ring": null});
    let mut talk = Talk::open(cluster.peer_addr());
    talk.send(format!("{register}\n"));
    let told = String::from_utf8(talk.rest()).expect("text");
    assert!(told.contains("refused") && told.contains("--peer-token-file"), "{told}");
    let node: SocketAddr =
        status["nodes"][0]["addr"].as_str().and_then(|addr| addr.parse().ok()).expect("an address");
    let challenge = "1".repeat(32);
    for addr in [cluster.peer_addr(), node] {
        // It proves itself first, and by what it says nobody else can.
        let mut talk = Talk::open(addr);
        talk.send(format!("{{\"challenge\":\"{challenge}\"}}\n"));
        let proven: Value = serde_json::from_str(&talk.line()).expect("JSON");
        assert_eq!(proven["proof"].as_str().map(str::len), Some(64), "{proven}");
        talk.send(format!("{{\"proof\":{}}}\n{register}\n", proven["proof"]));
        let told = String::from_utf8(talk.rest()).expect("text");
        assert!(!told.contains("welcome"), "{told}");
    }
    let open_a_link = json!({"session": 1, "n": 1, "epoch": 99, "body": {"open": {"protocol": 2,
        "version": "0.1.0", "coordinator": challenge, "cluster": null,
        "store": status["nodes"][0]["uuid"], "incarnation": 1}}});
    let mut talk = Talk::open(node);
    talk.send(format!("{open_a_link}\n"));
    talk.closes();
    let after = open(site, "viewer").ok(&json!({"op": "status"}));
    assert_eq!(after["coordinator"]["epoch"], status["coordinator"]["epoch"]);
    assert_eq!(after["nodes"].as_array().map(Vec::len), status["nodes"].as_array().map(Vec::len));
}

fn no_forged_heartbeat_counts(site: &Site) {
    let cluster = site.own.as_ref().expect("a cluster of its own");
    let mut talk = open(site, "viewer");
    let mut node = || talk.ok(&json!({"op": "status"}))["nodes"][0].clone();
    let before = node();
    let text = |field: &str| before[field].as_str().expect("a text").to_owned();
    // Were it believed, all true ones would be older than it, and none of them would count.
    let forged = Heartbeat {
        cluster: None,
        uuid: text("uuid").parse().expect("a uuid"),
        incarnation: Incarnation(before["incarnation"].as_u64().expect("a number")),
        seq: 1 << 40,
        ring: None,
        figures: NodeFigures { log_bytes: 1 << 50, ..NodeFigures::default() },
    };
    let forged = serde_json::to_string(&forged).expect("plain data");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let tagged = format!("{forged}\n{}", "0".repeat(64));
    for datagram in [forged.as_str(), &tagged, "", "\n"] {
        udp.send_to(datagram.as_bytes(), cluster.peer_addr()).expect("it is sent");
    }
    let wanted = before["heartbeats"].as_u64().map(|heartbeats| heartbeats + 5);
    wait_for("heartbeats that count", HEARTBEATS_MAX, || {
        let now = node();
        assert_ne!(now["log_bytes"], json!(1u64 << 50), "the forged one was believed");
        (now["heartbeats"].as_u64() >= wanted).then_some(())
    });
}
