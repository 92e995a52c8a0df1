//! The system's limits on a server's files: what they forbid is met as a shortage, which ends when
//! they do. No server ends, nothing is lost.
//!
//! Limits are set on running servers by `prlimit`, of util-linux. Says so where that is missing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::cluster::{Cluster, alone};
use super::procs::wait_for;
use super::wire::{Conn, Reply};

const WAIT_MAX: Duration = Duration::from_secs(120);
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

/// H59: neither `SIGXFSZ` nor the error that comes with it ends a node.
#[test]
fn h59_a_file_that_may_not_grow_is_a_full_disk() {
    let _alone = alone();
    let mut cluster = Cluster::start("file-size", 2, 2, &[]);
    cluster.wait_healthy(None);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    let mut acknowledged = BTreeMap::new();
    let mut put = |conn: &mut Conn, n: usize| {
        let (key, value) = (format!("key-{n}"), format!("value {}", acknowledged.len()));
        let request = json!({"op": "put", "key": key, "value": value, "timeout_ms": 1_000});
        let answer = conn.call(&request).expect("the connection lives on");
        // One that is not answered with ok may be carried out: its key is not looked at.
        acknowledged.insert(key, (answer["ok"] == true).then_some(value));
        answer["ok"] == true
    };
    assert!((0..20).all(|n| put(&mut conn, n)));
    let node = cluster.node_names()[0].clone();
    let pid = cluster.pid(&node).expect("it runs");
    if !limit(pid, "--fsize=512:unlimited") {
        return;
    }
    assert!((20..23).all(|n| !put(&mut conn, n)), "an update was taken that no file can hold");
    assert!(matches!(conn.get("key-1"), Reply::Ok(_)), "reads go on");
    assert_eq!(cluster.pid(&node), Some(pid), "the same process");

    assert!(limit(pid, "--fsize=unlimited:unlimited"));
    wait_for("an update taken again", WAIT_MAX, || put(&mut conn, 30).then_some(()));
    assert_eq!(cluster.pid(&node), Some(pid), "the same process");
    cluster.kill_everything();
    cluster.start_again();
    cluster.wait_healthy(None);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    for (key, value) in acknowledged.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
    {
        match conn.get(key) {
            Reply::Ok(answer) => assert_eq!(answer["value"], **value, "{key}"),
            other => panic!("get {key}: {other:?}"),
        }
    }
}

/// H59: who has connected is served, and the others are when there are descriptors again.
#[test]
fn h59_without_descriptors_connections_wait() {
    let _alone = alone();
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
    waiting.iter_mut().for_each(|conn| conn.send("{\"op\":\"ping\"}\n").expect("it is open"));
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
