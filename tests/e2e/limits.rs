//! The system's limits on a server's files: what they forbid is met as a shortage, which ends when
//! they do. No server ends, nothing is lost.
//!
//! Limits are set on running servers by `prlimit`, of util-linux. Says so where that is missing.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, alone, binary};
use super::procs::{Mark, TempDir, wait_for};
use super::wire::{Conn, Reply, ask};

const WAIT_MAX: Duration = Duration::from_secs(120);
/// More than a segment of the log, less than a table of the keystore.
const FILE_BYTES_MAX: usize = 20 << 20;
/// Of log between two checkpoints.
const CHECKPOINT_BYTES: usize = 64 << 20;
const VALUE_BYTES: usize = 500_000;
/// Connections beyond what a server has descriptors for.
const TOO_MANY: usize = 20;

/// Sets soft limits of a process; false if that is not possible here.
fn limit(pid: i32, what: &str) -> bool {
    let set = Command::new("prlimit").arg(format!("--pid={pid}")).arg(what).output();
    let done = set.is_ok_and(|output| output.status.success());
    if !done {
        // Not `eprintln!`: of a test that passes, that is not shown.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED a test of limits: no prlimit that sets {what}");
    }
    done
}

/// H59: neither `SIGXFSZ` nor the error that comes with it ends a node. Its log is there already;
/// it is the keystore whose file may not become as long as it would.
#[test]
fn h59_a_file_that_may_not_grow_is_a_full_disk() {
    let cluster = Cluster::start("file-size", 2, 2, &[]);
    cluster.wait_healthy(None);
    let node = cluster.node_names()[0].clone();
    let pid = cluster.pid(&node).expect("it runs");
    if !limit(pid, &format!("--fsize={FILE_BYTES_MAX}:unlimited")) {
        return;
    }
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    // More than the log takes before the keystore makes a checkpoint of it.
    for n in 0..CHECKPOINT_BYTES / VALUE_BYTES + 20 {
        let answer = conn.put(&format!("key-{n}"), &value(n as u64));
        assert!(matches!(answer, Reply::Ok(_)), "update {n}: {answer:?}");
    }
    let said = |what: &str| log_of(&cluster, &node).contains(what).then_some(());
    wait_for("a checkpoint that finds no space", WAIT_MAX, || said("no space"));
    assert!(matches!(conn.put("key", "value"), Reply::Ok(_)), "the log has room still");
    assert!(limit(pid, "--fsize=unlimited:unlimited"));
    wait_for("a checkpoint that frees the log", WAIT_MAX, || said("log segments freed"));
    assert_eq!(cluster.pid(&node), Some(pid), "the same process");
    match conn.get("key-7") {
        Reply::Ok(answer) => assert_eq!(answer["value"], *value(7)),
        other => panic!("{other:?}"),
    }
}

/// A value that the keystore cannot make much shorter.
fn value(seed: u64) -> String {
    let mut state = seed;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + ((state >> 40) % 64) as u8)
    };
    (0..VALUE_BYTES).map(next).collect()
}

/// What a server has logged.
fn log_of(cluster: &Cluster, name: &str) -> String {
    let files = fs::read_dir(cluster.data().join("logs")).expect("the logs");
    let named = files.filter_map(Result::ok).map(|file| file.path());
    let own = named.filter(|path| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}.log")))
    });
    own.map(|path| fs::read_to_string(path).expect("a log")).collect()
}

/// H59: who has connected is served, and the others are when there are descriptors again.
#[test]
fn h59_without_descriptors_connections_wait() {
    let cluster = Cluster::start("descriptors", 2, 2, &[]);
    cluster.wait_healthy(None);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    assert!(matches!(conn.put("key", "value"), Reply::Ok(_)));
    let pid = cluster.pid("coordinator").expect("it runs");
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    if !limit(pid, &format!("--nofile={}:", open + 2)) {
        return;
    }
    let connect = |_| Conn::open(cluster.addr()).expect("the system accepts for the server");
    let mut waiting: Vec<Conn> = (0..TOO_MANY).map(connect).collect();
    waiting
        .iter_mut()
        .for_each(|conn| conn.send(b"{\"op\":\"get\",\"key\":\"key\"}\n").expect("it is open"));
    for n in 0..200 {
        assert!(matches!(conn.put("key", &n.to_string()), Reply::Ok(_)), "who is served stays so");
    }
    assert!(limit(pid, "--nofile=4096:"));
    for conn in &mut waiting {
        let answer = conn.receive().expect("an answer, once there are descriptors");
        assert_eq!(answer["ok"], true, "{answer}");
    }
    assert_eq!(cluster.pid("coordinator"), Some(pid), "the same process");
}

/// Where the system allows too few descriptors, fewer clients may connect, and that is said.
/// Contract: "At start the descriptor limit is raised as far as allowed; if that is too low, the
/// limits shrink and it is said"
#[test]
fn h59_few_descriptors_are_few_connections() {
    let _alone = alone();
    let (mark, dir) = (Mark::new(), TempDir::new("few-descriptors"));
    let errors = dir.path().join("errors");
    let mut command = Command::new("prlimit");
    command.arg("--nofile=256:256").arg("--").arg(binary());
    command.args(["coordinator", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(fs::File::create(&errors).expect("a file"));
    let Ok(mut child) = mark.put_on(&mut command).spawn() else {
        let _ = writeln!(std::io::stderr(), "SKIPPED a test of limits: no prlimit");
        return;
    };
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let line = lines.next().expect("a line").expect("text");
    let said: Value = serde_json::from_str(&line).expect("JSON");
    let addr: SocketAddr =
        said["client"].as_str().and_then(|addr| addr.parse().ok()).expect("an address");
    let hello = ask(addr, &json!({"op": "hello"})).expect("an answer");
    let connections = hello["limits"]["connections"].as_u64().expect("a number");
    assert!((1..256).contains(&connections), "{hello}");
    mark.kill_all();
    child.wait().expect("it is our child");
    let told = fs::read_to_string(&errors).expect("a file");
    assert!(told.contains(&format!("at most {connections} clients")), "{told}");
    assert!(told.contains("ulimit -n"), "{told}");
}
