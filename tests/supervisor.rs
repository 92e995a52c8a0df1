//! `piazza up` and `piazza down` as whole processes, with doubles in the place of the servers.
//!
//! A double is this test program again, in [`fake_server`]: it is tied to its supervisor and
//! announces itself as a real server does, and misbehaves as a file in the cluster's directory
//! tells it. Every supervisor is killed when its test ends, and its servers must die with it.

#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cluster::process::{Announcer, adopt_lifeline};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::ids::{Epoch, Uuid};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::e2e::procs::wait_for;

/// Longer than anything should take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Not a test: a server's double. It does nothing unless a supervisor started it.
#[test]
#[ignore = "the double of a server, started by the other tests"]
fn fake_server() {
    let Ok(args) = std::env::var("FAKE_ARGS") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inside = runtime.enter();
    let mut terminations = signal(SignalKind::terminate()).unwrap();
    drop(inside);
    adopt_lifeline().unwrap();
    let words: Vec<&str> = args.split(' ').collect();
    let flag = |name: &str| {
        words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied()
    };
    let dir = Path::new(flag("--log-dir").unwrap()).parent().unwrap();
    let name = flag("--name").unwrap_or("coordinator");
    let mode =
        fs::read_to_string(dir.join("logs").join(format!("{name}.mode"))).unwrap_or_default();
    println!();
    let announcer = Announcer::start().unwrap();
    let mut held = Vec::new();
    match mode.as_str() {
        "die" => {
            eprintln!("last words of {name}");
            std::process::exit(7);
        }
        "fatal" => {
            announcer.fatal("the store is lost");
            std::process::exit(1);
        }
        "slow" => {}
        _ if words[0] == "coordinator" => {
            let client = TcpListener::bind(flag("--listen").unwrap()).unwrap();
            let peer = TcpListener::bind(flag("--peer-listen").unwrap()).unwrap();
            let addresses = (client.local_addr().unwrap(), peer.local_addr().unwrap());
            announcer.coordinator_listening(addresses.0, addresses.1);
            announcer.active(Epoch(1), Uuid(42));
            held = vec![client, peer];
        }
        _ => {
            announcer.node_listening("127.0.0.1:1".parse().unwrap());
            announcer.up();
        }
    }
    loop {
        runtime.block_on(terminations.recv()).unwrap();
        let mut order = OpenOptions::new();
        let mut order = order.create(true).append(true).open(dir.join("logs/order")).unwrap();
        // In one piece: others write there, too.
        order.write_all(format!("{name}\n").as_bytes()).unwrap();
        if mode != "deaf" {
            drop(held);
            std::process::exit(0);
        }
    }
}

/// A directory of its own, and the program whose servers are doubles.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("piazza-supervisor-{}-{count}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        let script = root.join("servers");
        let double = std::env::current_exe().unwrap();
        let text = format!(
            "#!/bin/sh\nFAKE_ARGS=\"$*\" exec {} --exact supervisor::fake_server --ignored \
             --nocapture --test-threads 1\n",
            double.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        Self { root }
    }

    fn dir(&self) -> PathBuf {
        self.root.join("data")
    }

    /// How the double `name` misbehaves from its next start on.
    fn mode(&self, name: &str, mode: &str) {
        fs::create_dir_all(self.dir().join("logs")).unwrap();
        fs::write(self.dir().join("logs").join(format!("{name}.mode")), mode).unwrap();
    }

    fn piazza(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_piazza"));
        command.args(flags).stdin(Stdio::null()).current_dir(&self.root);
        command
    }

    fn up_command(&self, flags: &[&str]) -> Command {
        let mut command = self.piazza(&["up", "--headless", "--dir", "data"]);
        command.arg("--server-program").arg(self.root.join("servers")).args(flags);
        command
    }

    /// A supervisor on free ports.
    fn up(&self, flags: &[&str]) -> Up {
        let mut command = self.up_command(&["--any-port"]);
        let errors = fs::File::create(self.root.join("stderr")).unwrap();
        let mut child = command.args(flags).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Up { child, stdout, errors: self.root.join("stderr"), dir: self.dir() }
    }

    fn down(&self) -> Output {
        self.piazza(&["down", "--dir", "data"]).output().unwrap()
    }

    fn file(&self) -> Value {
        serde_json::from_slice(&fs::read(self.dir().join("cluster.json")).unwrap()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A running supervisor; killed when dropped.
struct Up {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    errors: PathBuf,
    dir: PathBuf,
}

impl Up {
    fn ready(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let Some(json) = line.strip_prefix("ready ") else {
            panic!("no ready line but {line:?}; stderr: {}", self.stderr());
        };
        serde_json::from_str(json).unwrap()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let address = eventually("the supervisor's address", || {
            let text = fs::read(self.dir.join("cluster.json")).ok()?;
            let file: Value = serde_json::from_slice(&text).ok()?;
            Some(file["addresses"]["supervisor"].as_str()?.to_owned())
        });
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends raw bytes and returns all lines until the end.
    fn raw(&self, bytes: &[u8]) -> Vec<String> {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn ask(&self, request: &Value) -> Value {
        let lines = self.raw(request.to_string().as_bytes());
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap()
    }

    fn admin(&self, action: &str, proc: &str) -> Value {
        self.ask(&json!({ "op": "admin", "action": action, "proc": proc, "id": action }))
    }

    fn proc(&self, name: &str) -> Value {
        let list = self.ask(&json!({ "op": "admin", "action": "list" }));
        let procs = list["procs"].as_array().unwrap();
        procs.iter().find(|proc| proc["name"] == name).unwrap().clone()
    }

    fn until_proc(&self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(name, || Some(self.proc(name)).filter(|proc| fits(proc)))
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        eventually("the supervisor's end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    wait_for(what, DEADLINE, probe)
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(value.as_i64().unwrap().try_into().unwrap())
}

fn is_gone(pid: Pid) -> bool {
    // A zombie that init has not reaped yet is gone as well.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || stat.contains(") Z ")
}

fn pids(ready: &Value) -> Vec<Pid> {
    ready["pids"].as_object().unwrap().values().map(pid).collect()
}

/// Contract: "once all are up it prints one line ready
/// {"dir":"...","clients":["127.0.0.1:8080"],"peers":["127.0.0.1:9090"],"supervisor":"127.0.0.1:9191","pids":{"coordinator":11,"n1":12}}"
/// Contract: "`DIR/cluster.json` (format, cluster uuid, name, nodes, replicas, tokens, placement,
/// current addresses and pids), `DIR/<node>/`, `DIR/logs/`; 0700"
/// Contract: "--headless is the supervisor, in the foreground"
/// Contract: "piazza down"
#[test]
fn a_cluster_comes_up_says_so_and_goes_down_in_order() {
    let place = Place::new();
    let mut up = place.up(&["--nodes", "3", "--replicas", "2"]);
    let ready = up.ready();
    assert_eq!(ready["dir"], *place.dir().canonicalize().unwrap().to_string_lossy());
    assert_eq!(pids(&ready).len(), 4);
    let file = place.file();
    assert_eq!(file["format"], 1);
    assert_eq!(file["cluster"], Uuid(42).to_string());
    assert_eq!(
        (&file["nodes"], &file["replicas"], &file["tokens"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(file["placement"], "ring");
    assert_eq!(file["addresses"]["clients"], ready["clients"]);
    assert_eq!(file["addresses"]["peers"], ready["peers"]);
    assert_eq!(file["addresses"]["supervisor"], ready["supervisor"]);
    assert_eq!(file["pids"]["n3"], ready["pids"]["n3"]);
    assert_eq!(file["pids"]["supervisor"], up.child.id());
    let mode = fs::metadata(place.dir()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    let down = place.down();
    assert_eq!(down.status.code(), Some(0), "{}", String::from_utf8_lossy(&down.stderr));
    assert_eq!(up.exit_code(), Some(0));
    assert!(pids(&ready).into_iter().all(is_gone));
    let order = fs::read_to_string(place.dir().join("logs/order")).unwrap();
    let mut order: Vec<&str> = order.lines().collect();
    assert_eq!(order[0], "coordinator");
    order.sort_unstable();
    assert_eq!(order, ["coordinator", "n1", "n2", "n3"]);
    let file = place.file();
    assert_eq!(file["pids"], json!({}));
    assert_eq!(file["addresses"]["clients"], json!([]));

    let again = place.down();
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("not running"));
    let mut up = place.up(&[]);
    assert_eq!(pids(&up.ready()).len(), 4);
}

/// Contract: "What dies unasked is restarted"
/// Contract: "a deliberate kill or stop stays down until `start`/`restart`"
#[test]
fn what_dies_is_restarted_and_what_is_killed_stays_down() {
    let place = Place::new();
    let mut up = place.up(&["--nodes", "2"]);
    let ready = up.ready();

    kill(pid(&ready["pids"]["n1"]), Signal::SIGKILL).unwrap();
    let back = up.until_proc("n1", |proc| proc["state"] == "running" && proc["restarts"] == 1);
    assert_ne!(back["pid"], ready["pids"]["n1"]);
    assert_eq!(back["exit"]["signal"], 9);

    kill(pid(&ready["pids"]["coordinator"]), Signal::SIGKILL).unwrap();
    let back = up.until_proc("coordinator", |p| p["state"] == "running" && p["restarts"] == 1);
    let line = fs::read_to_string(format!("/proc/{}/environ", back["pid"])).unwrap();
    let args = line.split('\0').find_map(|entry| entry.strip_prefix("FAKE_ARGS=")).unwrap();
    assert!(args.contains(&format!("--listen {}", ready["clients"][0].as_str().unwrap())));
    assert!(args.contains(&format!("--peer-listen {}", ready["peers"][0].as_str().unwrap())));
    assert!(args.contains("--reaped "), "{args}");

    let killed = up.admin("kill", "n2");
    assert_eq!(killed, json!({"ok": true, "id": "kill", "pid": ready["pids"]["n2"]}));
    let dead = up.until_proc("n2", |proc| proc["state"] == "dead");
    assert_eq!((&dead["pid"], &dead["exit"]["signal"]), (&Value::Null, &json!(9)));
    assert_eq!(up.admin("kill", "n2")["code"], "already");
    assert_eq!(up.admin("kill", "n9")["code"], "no_such_node");

    let started = up.admin("restart", "n2");
    assert_eq!(started["ok"], true, "{started}");
    let now = up.proc("n2");
    assert_eq!((&now["state"], &now["pid"]), (&json!("running"), &started["pid"]));
    let again = up.admin("restart", "n2");
    assert_ne!(again["pid"], started["pid"]);
    assert!(is_gone(pid(&started["pid"])));
    assert_eq!(up.admin("start", "n2")["code"], "already");
    assert_eq!(up.admin("stop", "n2")["pid"], again["pid"]);
    assert_eq!(up.until_proc("n2", |proc| proc["state"] == "dead")["exit"]["exit_code"], 0);
    assert_eq!(up.admin("start", "n2")["ok"], true);
}

#[test]
fn a_restart_that_is_not_ready_in_time_says_so() {
    let place = Place::new();
    let mut up = place.up(&["--nodes", "1"]);
    up.ready();
    place.mode("n1", "slow");
    let request = json!({"op":"admin","action":"restart","proc":"n1","timeout_ms":300});
    let reply = up.ask(&request);
    assert_eq!(reply["code"], "timeout", "{reply}");
    assert_eq!(reply["pid"], up.proc("n1")["pid"]);
    assert_eq!(up.proc("n1")["state"], "starting");
}

/// Contract: "5 deaths in a row, each within 5 s of its start: given up, last log lines shown"
#[test]
fn five_quick_deaths_are_given_up_with_the_last_words() {
    let place = Place::new();
    // As if an earlier start had got no further: only our own files are in the directory.
    place.mode("n1", "die");
    let up = place.up(&["--nodes", "1"]);
    let gone = up.until_proc("n1", |proc| proc["state"] == "gave_up");
    assert_eq!((&gone["restarts"], &gone["exit"]["exit_code"]), (&json!(4), &json!(7)));
    assert!(gone["reason"].as_str().unwrap().contains("last words of n1"), "{gone}");
    assert!(up.stderr().contains("last words of n1"), "{}", up.stderr());
    assert_eq!(up.proc("coordinator")["state"], "running");
    place.mode("n1", "");
    assert_eq!(up.admin("restart", "n1")["ok"], true);
}

#[test]
fn a_server_that_says_a_restart_is_useless_is_given_up_at_once() {
    let place = Place::new();
    place.mode("n1", "fatal");
    let up = place.up(&["--nodes", "1"]);
    let gone = up.until_proc("n1", |proc| proc["state"] == "gave_up");
    assert_eq!((&gone["restarts"], &gone["reason"]), (&json!(0), &json!("the store is lost")));
}

/// Contract: "If the supervisor dies in any way, its children end too, paused ones included"
#[test]
fn no_server_outlives_a_killed_supervisor_not_even_a_stopped_one() {
    let place = Place::new();
    let mut up = place.up(&["--nodes", "3"]);
    let ready = up.ready();
    assert_eq!(up.admin("pause", "n2")["ok"], true);
    assert_eq!(up.proc("n2")["paused"], true);
    kill(pid(&ready["pids"]["coordinator"]), Signal::SIGSTOP).unwrap();
    for pid in pids(&ready) {
        assert!(!is_gone(pid));
    }
    up.signal(Signal::SIGKILL);
    up.child.wait().unwrap();
    eventually("the servers' end", || pids(&ready).into_iter().all(is_gone).then_some(()));
    let down = place.down();
    assert_eq!(down.status.code(), Some(3), "{}", String::from_utf8_lossy(&down.stderr));
}

/// A process that does not outlive its test.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ends_within(limit: Duration, pid: Pid) -> bool {
    let began = Instant::now();
    while !is_gone(pid) && began.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(20));
    }
    is_gone(pid)
}

/// Each tie alone, since the supervisor's death pulls both (and the system sends SIGHUP to the
/// process group of a stopped server that is orphaned).
#[test]
fn each_of_the_two_ties_ends_a_server() {
    let place = Place::new();
    fs::create_dir_all(place.dir().join("logs")).unwrap();
    let fifo = place.root.join("lifeline");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for stopped in [false, true] {
        let script = "./servers node --name n1 --log-dir data/logs <lifeline & echo $! >pid; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&place.root).stdout(Stdio::piped());
        let mut parent = KillOnDrop(command.spawn().unwrap());
        let lifeline = OpenOptions::new().write(true).open(&fifo).unwrap();
        let mut lines = BufReader::new(parent.0.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("\"up\"")));
        let pid = eventually("the pid", || {
            let text = fs::read_to_string(place.root.join("pid")).ok()?;
            Some(Pid::from_raw(text.strip_suffix('\n')?.parse().unwrap()))
        });
        fs::remove_file(place.root.join("pid")).unwrap();
        assert!(!is_gone(pid));
        let (mut parent, mut lifeline) = (Some(parent), Some(lifeline));
        if stopped {
            kill(pid, Signal::SIGSTOP).unwrap();
            parent = None;
        } else {
            lifeline = None;
        }
        let _ties = (&parent, &lifeline);
        let ended = ends_within(DEADLINE, pid);
        if !ended {
            // A failure must not leave it behind.
            let _ = kill(pid, Signal::SIGKILL);
        }
        assert!(ended, "the server has not ended; stopped: {stopped}");
    }
}

#[test]
fn a_second_interrupt_ends_servers_that_do_not_listen() {
    let place = Place::new();
    place.mode("coordinator", "deaf");
    let mut up = place.up(&["--nodes", "2"]);
    let ready = up.ready();
    up.signal(Signal::SIGINT);
    eventually("the first signal", || fs::metadata(place.dir().join("logs/order")).ok());
    assert_eq!(up.admin("restart", "n1")["code"], "refused");
    up.signal(Signal::SIGINT);
    assert_eq!(up.exit_code(), Some(0));
    assert!(pids(&ready).into_iter().all(is_gone));
    let order = fs::read_to_string(place.dir().join("logs/order")).unwrap();
    assert_eq!(order, "coordinator\n");
}

#[test]
fn a_server_that_does_not_end_is_killed_and_a_paused_one_is_woken() {
    let place = Place::new();
    place.mode("coordinator", "deaf");
    let mut up = place.up(&["--nodes", "2"]);
    let ready = up.ready();
    assert_eq!(up.admin("pause", "n2")["ok"], true);
    up.signal(Signal::SIGTERM);
    assert_eq!(up.exit_code(), Some(0));
    assert!(pids(&ready).into_iter().all(is_gone));
    assert!(up.stderr().contains("coordinator did not end within 10 s"), "{}", up.stderr());
    assert!(!up.stderr().contains("n2 did not"), "{}", up.stderr());
    let order = fs::read_to_string(place.dir().join("logs/order")).unwrap();
    assert!(order.contains("n2"), "{order}");
}

/// Contract: "`up`: an existing DIR's `cluster.json` rules; a contradicting flag is exit 2 with what to
/// do. DIR in use: exit 2, naming the pid and `piazza console --dir`. A port taken: exit 2 before
/// any server starts, naming port, flag and `--any-port`"
/// Contract: "listening on any other address is refused at start with the sentence what to do"
#[test]
fn what_cannot_work_is_refused_before_any_server_starts() {
    let place = Place::new();
    let refused = |flags: &[&str], parts: &[&str]| {
        let output = place.up_command(flags).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert!(output.stdout.is_empty());
        assert!(!text.contains("starting"), "{text}");
    };
    refused(&["--any-port", "--nodes", "0"], &["--nodes 0"]);
    refused(&["--any-port", "--listen", "0.0.0.0:0"], &["--listen", "tokens", "loopback"]);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let port = format!("port {} is taken", other.local_addr().unwrap().port());
    let free = "127.0.0.1:0";
    let flags = ["--listen", &address, "--peer-listen", free, "--control-listen", free];
    refused(&flags, &[&port, "--listen", "--any-port"]);
    let flags = ["--listen", free, "--peer-listen", free, "--control-listen", &address];
    refused(&flags, &[&port, "--control-listen", "--any-port"]);

    let mut up = place.up(&["--nodes", "2", "--storage", "memory"]);
    up.ready();
    let pid = format!("pid {}", up.child.id());
    refused(&["--any-port"], &[&pid, "piazza console --dir"]);
    up.signal(Signal::SIGTERM);
    assert_eq!(up.exit_code(), Some(0));
    refused(&["--any-port", "--nodes", "3"], &["--nodes 3", "--nodes 2", "--dir"]);
    refused(&["--any-port", "--storage", "disk"], &["--storage disk", "--storage memory"]);
    let newer = r#"{"format":9,"written_by":"7.1.0"}"#;
    fs::write(place.dir().join("cluster.json"), newer).unwrap();
    refused(&["--any-port"], &["7.1.0"]);
}

#[test]
fn the_port_answers_every_line_and_outlives_bad_ones() {
    let place = Place::new();
    let mut up = place.up(&["--nodes", "1"]);
    up.ready();
    let long = "x".repeat(70_000);
    let text = format!(
        "nonsense\n\n{long}\n{{\"op\":\"get\",\"id\":1}}\r\n{{\"op\":\"hello\",\"id\":\"h\"}}"
    );
    let lines = up.raw(text.as_bytes());
    let replies: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&Value> = replies.iter().map(|reply| &reply["code"]).collect();
    assert_eq!(
        codes,
        ["bad_request", "too_large", "bad_request", ""]
            .map(|code| match code {
                "" => Value::Null,
                code => json!(code),
            })
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(replies[1]["actual"], 70_000);
    assert_eq!(replies[2]["id"], 1);
    assert_eq!((&replies[3]["ok"], &replies[3]["id"]), (&json!(true), &json!("h")));
    let http = up.raw(b"GET / HTTP/1.1\r\n\r\n");
    assert!(http[0].starts_with("HTTP/1.1 400"), "{http:?}");
    assert!(http.iter().any(|line| line.contains("piazza console")), "{http:?}");

    let held: Vec<TcpStream> = (0..64).map(|_| up.connect()).collect();
    let mut refused = String::new();
    up.connect().read_to_string(&mut refused).unwrap();
    assert!(refused.contains("overloaded"), "{refused}");
    drop(held);
    eventually("a place", || {
        let mut stream = up.connect();
        let _ = stream.write_all(b"{\"op\":\"hello\"}\n");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        line.contains("\"ok\":true").then_some(())
    });
}
