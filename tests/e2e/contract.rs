//! What the contract promises of one cluster of `piazza up`, beyond what its ports say: flags that
//! make its limits small, its processes, how commands find it, and what they print.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, binary};
use super::procs::{TempDir, wait_for};
use super::ran::{Ran, piazza};
use super::wire::{Conn, ask};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Far beyond what the sockets of both ends hold.
const UNREAD_BYTES_MAX: usize = 256 << 20;
/// How long a server that still reads may take to read something.
const READS_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn contract_of_a_cluster_with_small_limits() {
    let flags = [
        "--cache",
        "2x2",
        "--node-cache",
        "4x3",
        "--cache-bytes",
        "100000",
        "--key-bytes-max",
        "20",
        "--value-bytes-max",
        "1000",
        "--heartbeat-ms",
        "200",
        "--lease-ms",
        "1500",
        "--tokens",
        "3",
    ];
    let mut cluster = Cluster::start("contract", 3, 2, &flags);
    cluster.wait_healthy(None);
    flags_are_told_and_kept(&cluster);
    nodes_tell_where_they_are(&cluster);
    servers_have_process_groups_of_their_own(&cluster);
    an_eviction_is_told_step_by_step(&cluster);
    commands_find_the_cluster(&cluster);
    values_are_printed(&cluster);
    nobody_reads_on(&cluster);
    a_terminal_is_protected(&cluster);
    reading_stops(&cluster);
    a_stop_ends_connections(&mut cluster);
}

/// Contract: "Only these close it ... the server's stop"
/// Contract: "list start stop restart kill pause resume logs ... shutdown`, as"
/// Contract: "logs inject shutdown`, as"
fn a_stop_ends_connections(cluster: &mut Cluster) {
    let mut conn = Conn::open(cluster.addr()).expect("it is ready");
    let shutdown = json!({"op": "admin", "action": "shutdown"});
    let answer = ask(cluster.supervisor_addr(), &shutdown).expect("an answer");
    assert_eq!(answer["ok"], true, "{answer}");
    assert_eq!(conn.receive_rest().expect("a clean end"), "");
    wait_for("the end of all processes", WAIT_MAX, || cluster.pids().is_empty().then_some(()));
}

/// Contract: "[--cache 4096x8] [--node-cache SxW] [--heartbeat-ms 500] [--lease-ms 2000]"
/// Contract: "[--cache-bytes N]"
/// Contract: "[--key-bytes-max] [--value-bytes-max]"
/// Contract: "The seeds' limits (20 B and 1 KB; 256 B) are reached with flags"
/// Contract: "One object, enough to draw the whole console once"
fn flags_are_told_and_kept(cluster: &Cluster) {
    let is_told = |status: &Value| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let beats = nodes.filter(|node| node["heartbeats"].as_u64() > Some(0)).count();
        beats == 3 && status["cluster"]["name"] != ""
    };
    let told = || cluster.status().filter(is_told);
    let status = wait_for("a heartbeat of each node, and the cluster's name", WAIT_MAX, told);
    let told = &status["cluster"];
    let file = fs::read_to_string(cluster.data().join("cluster.json")).expect("a file");
    let file: Value = serde_json::from_str(&file).expect("JSON");
    assert_eq!((&told["name"], &told["uuid"]), (&file["name"], &file["cluster"]));
    assert_eq!((&told["heartbeat_ms"], &told["lease_ms"]), (&json!(200), &json!(1_500)));
    assert_eq!(
        (&told["tokens"], &told["replicas"], &told["nodes"]),
        (&json!(3), &json!(2), &json!(3))
    );
    assert_eq!(status["ring"]["points"].as_array().map(Vec::len), Some(9));
    assert_eq!((&status["cache"]["sets"], &status["cache"]["ways"]), (&json!(2), &json!(2)));
    for node in status["nodes"].as_array().expect("a list") {
        assert_eq!(
            (&node["cache"]["sets"], &node["cache"]["ways"]),
            (&json!(4), &json!(3)),
            "{node}"
        );
    }
    let put = |key: usize, value: usize| {
        let (key, value) = ("k".repeat(key), "v".repeat(value));
        ask(cluster.addr(), &json!({"op": "put", "key": key, "value": value})).expect("an answer")
    };
    assert_eq!(put(20, 1_000)["ok"], true);
    for (key, value, what, limit) in [(21, 1, "key", 20), (1, 1_001, "value", 1_000)] {
        let refused = put(key, value);
        assert_eq!((&refused["code"], &refused["what"]), (&json!("too_large"), &json!(what)));
        assert_eq!(refused["limit"], limit, "{refused}");
    }
}

/// Contract: "A node serves on a random port that it tells at registration"
/// Contract: "Nodes tell their supervisor's address when they register"
fn nodes_tell_where_they_are(cluster: &Cluster) {
    let status = cluster.status().expect("it answers");
    let supervisor = json!(cluster.supervisor_addr().to_string());
    assert_eq!(status["supervisor"], supervisor);
    let mut ports = BTreeSet::new();
    for node in status["nodes"].as_array().expect("a list") {
        assert_eq!(node["supervisor"], supervisor, "{node}");
        let addr: std::net::SocketAddr =
            node["addr"].as_str().and_then(|a| a.parse().ok()).expect("an address");
        drop(TcpStream::connect(addr).expect("it serves there"));
        ports.insert(addr.port());
    }
    assert_eq!(ports.len(), 3, "{ports:?}");
}

/// Contract: "a whole cluster on this machine, each server a process of its own"
/// Contract: "Servers run in process groups of their own"
fn servers_have_process_groups_of_their_own(cluster: &Cluster) {
    let pids = cluster.pids();
    assert_eq!(pids.len(), 5, "a supervisor, a coordinator, three nodes");
    let group = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // What follows the name, which may hold anything: state, parent, group.
        let rest = stat.rsplit_once(") ").expect("a name").1.to_owned();
        rest.split(' ').nth(2).and_then(|group| group.parse::<i32>().ok()).expect("a number")
    };
    let groups: BTreeSet<i32> = pids.iter().map(group).collect();
    assert_eq!(groups.len(), 5, "{groups:?} of {pids:?}");
}

/// Contract: "`cache_evict {server,set,trigger_key,trigger:miss|write,steps:[{way,key,ref,action}],victim,filled_way,hand_after}`"
fn an_eviction_is_told_step_by_step(cluster: &Cluster) {
    let mut conn = Conn::open(cluster.addr()).expect("it is ready");
    let name = cluster.status().expect("it answers")["coordinator"]["name"].clone();
    let request = json!({"op": "subscribe", "topics": ["cache"], "server": name, "set": 0});
    assert_eq!(conn.call(&request).expect("an answer")["ok"], true);
    let mut other = Conn::open(cluster.addr()).expect("it is ready");
    for round in 0..2 {
        for n in 0..20 {
            let key = format!("evict-{n}");
            let op = if round == 0 { "put" } else { "get" };
            let mut request = json!({"op": op, "key": key});
            if round == 0 {
                request["value"] = json!("1");
            }
            assert_eq!(other.call(&request).expect("an answer")["ok"], true);
        }
    }
    let evict = (0..1_000).map(|_| conn.receive().expect("an event"));
    let evict =
        evict.into_iter().find(|event| event["event"] == "cache_evict").expect("an eviction");
    assert_eq!((&evict["server"], &evict["set"]), (&name, &json!(0)), "{evict}");
    assert!(evict["trigger_key"].as_str().is_some_and(|key| key.starts_with("evict-")), "{evict}");
    assert!(evict["trigger"] == "miss" || evict["trigger"] == "write", "{evict}");
    assert!(evict["hand_after"].is_u64() && evict["filled_way"].is_u64(), "{evict}");
    let steps = evict["steps"].as_array().expect("a list");
    let last = steps.last().expect("a step");
    assert_eq!((&last["way"], &last["action"]), (&evict["victim"], &json!("evict")), "{evict}");
    for step in steps {
        assert!(
            step["way"].is_u64() && step["ref"].is_boolean() && step["key"].is_string(),
            "{step}"
        );
    }
}

/// Contract: "`--addr`/`PIAZZA_ADDR` (default 127.0.0.1:8080; a comma list tries each) or
/// `--dir DIR` (reads the addresses in `DIR/cluster.json`)"
/// Contract: "piazza status"
/// Contract: "wait ready|healthy [--timeout 30s]"
fn commands_find_the_cluster(cluster: &Cluster) {
    let addr = cluster.addr().to_string();
    let list = format!("127.0.0.1:1,{addr}");
    let data = cluster.data().to_string_lossy().into_owned();
    piazza(cluster, &["put", "found", "1", "--addr", &addr]).ended(0);
    piazza(cluster, &["get", "found", "--addr", &list]).ended(0);
    piazza(cluster, &["get", "found", "--addr", "127.0.0.1:1"]).ended(3);
    piazza(cluster, &["get", "found", "--dir", &data]).ended(0);
    let mut by_environment = cluster.command();
    let output = by_environment.args(["get", "found"]).env("PIAZZA_ADDR", &list).output();
    assert_eq!(Ran::of(output.expect("it starts")).ended(0).out, "1\n");
    let status = piazza(cluster, &["status", "--json", "--addr", &addr]).ended(0).object();
    assert_eq!(status["nodes"].as_array().map(Vec::len), Some(3));
    for goal in ["ready", "healthy"] {
        piazza(cluster, &["wait", goal, "--timeout", "30s", "--addr", &addr]).ended(0);
    }
    piazza(cluster, &["wait", "ready", "--timeout", "300ms", "--addr", "127.0.0.1:1"]).ended(3);
}

/// Contract: "errors to stderr. `get` prints the value and one newline; `--raw` exact bytes"
/// Contract: "piazza get KEY [--raw]"
fn values_are_printed(cluster: &Cluster) {
    let addr = cluster.addr().to_string();
    let put = json!({"op": "put", "key": "bytes", "value_b64": "AP8bWzMxbQo="});
    assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    let get = |more: &[&str]| {
        let mut command = cluster.command();
        command.args(["get", "bytes", "--addr", &addr]).args(more);
        command.output().expect("it starts").stdout
    };
    let bytes = b"\0\xff\x1b[31m\n";
    assert_eq!(get(&["--raw"]), bytes);
    // To a program, not a terminal: the bytes, and one newline.
    assert_eq!(get(&[]), [&bytes[..], b"\n"].concat());
    let none = piazza(cluster, &["get", "nobody", "--addr", &addr]).ended(1);
    assert!(none.out.is_empty() && none.err.ends_with('\n'), "{none:?}");
}

/// Contract: "SIGPIPE is silent"
fn nobody_reads_on(cluster: &Cluster) {
    let mut conn = Conn::open(cluster.addr()).expect("it is ready");
    let value = "v".repeat(1_000);
    for n in 0..300 {
        let put = json!({"op": "put", "key": format!("pipe-{n}"), "value": value});
        assert_eq!(conn.call(&put).expect("an answer")["ok"], true);
    }
    let mut command = cluster.command();
    command.args(["export", "--addr", &cluster.addr().to_string()]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // More than a pipe holds is left unread.
    let mut some = [0; 100];
    child.stdout.take().expect("it is piped").read_exact(&mut some).expect("a beginning");
    let output = child.wait_with_output().expect("it is our child");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.is_empty(), "{told}");
}

/// Contract: "To a terminal, control characters in anything from outside (keys, values, names, log
/// lines) are escaped. Colour only on a terminal and without `NO_COLOR`"
fn a_terminal_is_protected(cluster: &Cluster) {
    // Of util-linux: runs a command on a terminal of its own.
    if !Path::new("/usr/bin/script").exists() {
        let _ = writeln!(std::io::stderr(), "SKIPPED what a terminal is told: no script(1)");
        return;
    }
    let (key, value) = ("odd\u{1b}[2J", "a\u{1b}[31mb");
    let put = json!({"op": "put", "key": key, "value": value});
    assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    let on_terminal = |command: &str, no_colour: bool| {
        let line = format!("{} {command} --addr {}", binary().display(), cluster.addr());
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env("TERM", "xterm");
        script.env_remove("NO_COLOR");
        if no_colour {
            script.env("NO_COLOR", "1");
        }
        let output = script.output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for command in ["get \"$(printf 'odd\\033[2J')\"", "scan odd --values"] {
        let shown = on_terminal(command, true);
        assert!(!shown.contains("\u{1b}["), "{command}: {shown:?}");
        assert!(shown.contains("\\u{1b}["), "{command}: {shown:?}");
    }
    assert!(on_terminal("status", false).contains("\u{1b}["), "colour on a terminal");
    assert!(!on_terminal("status", true).contains("\u{1b}["), "none with NO_COLOR");
    let plain = piazza(cluster, &["status", "--addr", &cluster.addr().to_string()]).ended(0);
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
}

/// Contract: "(past the limits of section 3 the server stops reading until it has answered)"
fn reading_stops(cluster: &Cluster) {
    let put = json!({"op": "put", "key": "unread", "value": "v".repeat(1_000)});
    assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    let mut stream = TcpStream::connect(cluster.addr()).expect("it is ready");
    stream.set_write_timeout(Some(READS_WITHIN)).expect("a socket");
    let lines = "{\"op\":\"get\",\"key\":\"unread\"}\n".repeat(4_000);
    let mut sent = 0;
    // Nobody reads the answers, so the requests pile up.
    loop {
        match stream.write(lines.as_bytes()) {
            Ok(bytes) => sent += bytes,
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{error}"
                );
                break;
            }
        }
        assert!(sent < UNREAD_BYTES_MAX, "the server reads on and on");
    }
    assert_eq!(
        ask(cluster.addr(), &json!({"op": "hello"})).expect("others are served")["ok"],
        true
    );
}

#[test]
fn contract_of_commands_that_find_nothing() {
    let nowhere = TempDir::new("contract-nowhere");
    let mut command = Command::new(binary());
    command.args(["get", "k", "--dir"]).arg(nowhere.path()).stdin(Stdio::null());
    let ran = Ran::of(command.output().expect("it starts")).ended(2);
    assert!(ran.err.contains("piazza up --dir"), "{ran:?}");
}
