//! How commands find the supervisor, from a directory of their own, and what they say where there is
//! none: servers that were started one by one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, alone, binary, follow};
use super::procs::{Mark, TempDir, dying_with_us, wait_for};
use super::ran::Ran;
use super::wire::ask;

/// How long servers may take to be ready on a machine that stalls.
const READY_MAX: Duration = Duration::from_secs(60);

/// Runs `piazza` in `dir`.
fn piazza(mark: &Mark, dir: &Path, arguments: &[&str]) -> Ran {
    let mut command = dying_with_us(binary());
    command.args(arguments).current_dir(dir).env_remove("PIAZZA_ADDR").stdin(Stdio::null());
    let output = mark.put_on(&mut command).output();
    Ran::of(output.unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Something that does whatever a supervisor is asked for, as process 7.
fn toy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().expect("a second handle");
            for _ in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = writeln!(out, "{{\"ok\":true,\"pid\":7}}");
            }
        }
    });
    address
}

/// Makes `dir` that of a cluster at `client` that `supervisor` owns.
fn write_file(dir: &Path, client: SocketAddr, supervisor: SocketAddr) {
    fs::create_dir_all(dir).expect("a directory");
    let addresses = json!({"clients": [client.to_string()], "supervisor": supervisor.to_string()});
    let pids = json!({"supervisor": std::process::id()});
    let file = json!({"format": 1, "addresses": addresses, "pids": pids});
    fs::write(dir.join("cluster.json"), file.to_string()).expect("a file");
}

/// Contract: "Found by `--supervisor`, `status`, `DIR/cluster.json`"
#[test]
fn a_supervisor_is_found_in_this_order() {
    let cluster = Cluster::start("supervised", 2, 2, &[]);
    let (mark, dir) = (Mark::new(), TempDir::new("supervised-elsewhere"));
    let (client, supervisor) = (cluster.addr().to_string(), cluster.supervisor_addr().to_string());
    let (file, nowhere) = (dir.path().join("file"), dir.path().join("nowhere"));
    fs::create_dir(&nowhere).expect("a directory");
    write_file(&file.join("piazza-data"), cluster.addr(), toy());
    let start = |dir: &Path, more: &[&str]| {
        let asked = [&["admin", "start", "coordinator", "--json", "--addr", &client], more];
        piazza(&mark, dir, &asked.concat())
    };
    // While the coordinator answers, what it says counts more than the file, and the flag more.
    assert_eq!(start(&file, &[]).ended(1).object()["code"], "already");
    start(&file, &["--supervisor", "127.0.0.1:1"]).ended(3);
    let logs = |more: &[&str]| piazza(&mark, &nowhere, &[&["logs", "n1"], more].concat());
    for found in [["--addr", &client], ["--supervisor", &supervisor]] {
        assert!(logs(&found).ended(0).out.contains("node listens"), "{found:?}");
    }

    cluster.kill("coordinator");
    assert_eq!(start(&file, &[]).ended(0).object()["pid"], 7);
    assert_eq!(start(&file, &["--supervisor", &supervisor]).ended(0).object()["ok"], true);
    cluster.kill("coordinator");
    // What else runs on the machine is another cluster.
    assert_eq!(start(&nowhere, &[]).ended(3).object()["code"], "not_connected");

    let down = piazza(&mark, &nowhere, &["down", "--supervisor", &supervisor]).ended(0);
    assert!(down.err.contains("is stopped"), "{down:?}");
    wait_for("the end of all", READY_MAX, || cluster.pids().is_empty().then_some(()));
}

/// Contract: "`no_supervisor`"
#[test]
fn servers_started_one_by_one_have_no_supervisor() {
    let _alone = alone();
    let (mark, dir) = (Mark::new(), TempDir::new("one-by-one"));
    let start = |arguments: &[&str]| {
        let mut command = dying_with_us(binary());
        command.args(arguments).current_dir(dir.path()).stdin(Stdio::null());
        mark.put_on(&mut command).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = follow(child.stdout.take().expect("it is piped"));
        let line = lines.recv_timeout(READY_MAX).expect("it says where it listens");
        (child, serde_json::from_str::<Value>(&line).expect("JSON"))
    };
    let port = "127.0.0.1:0";
    let at = ["--listen", port, "--peer-listen", port, "--nodes", "1", "--replicas", "1"];
    let (mut coordinator, told) = start(&[&["coordinator"], &at[..]].concat());
    let address = |name: &str| told[name].as_str().expect("an address").to_owned();
    let (client, peer) = (address("client"), address("peer"));
    let (mut node, _) = start(&["node", "--join", &peer, "--dir", "n1", "--name", "n1"]);
    let socket = client.parse().expect("an address");
    let status = wait_for("the coordinator active", READY_MAX, || {
        let status = ask(socket, &json!({"op": "status"}))?;
        (status["coordinator"]["state"] == "active").then_some(status)
    });
    assert_eq!(status["supervisor"], Value::Null, "{status}");
    let kill = ["admin", "kill", "n1", "--json", "--addr", &client];
    let refused = piazza(&mark, dir.path(), &kill).ended(5).object();
    assert_eq!(refused["code"], "no_supervisor");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("where they run")));
    mark.kill_all();
    let _ = (coordinator.wait(), node.wait());
}
