//! A real cluster for one test: `piazza up` in a directory of its own, on free ports.
//!
//! Used by the tests of this folder and by the benchmarks. Every process of it is killed and every
//! file removed on drop; after a failed test its logs stay, and their place is printed. Another
//! binary than the one just built is tested with `PIAZZA_BIN=path`. Never more than one cluster at
//! a time in one test program, so that tests do not disturb each other's timing; but what mostly
//! waits, as people at a terminal do, goes on beside its like.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::time::Duration;
use std::{fs, thread};

use serde_json::{Value, json};

use super::procs::{Mark, TempDir, dying_with_us, sigkill, wait_for};
use super::wire::ask;

/// How long a cluster may take to be ready, or healthy again, on a machine that stalls.
const READY_MAX: Duration = Duration::from_secs(60);

/// Of its directory, and so of the cluster: the one that `piazza up` takes by itself.
const NAME: &str = "piazza-data";
/// In its directory: where failpoints are armed.
const FAILPOINTS: &str = "failpoints";

static CLUSTERS: RwLock<()> = RwLock::new(());

/// No other cluster of this test program runs meanwhile.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    CLUSTERS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Only others that asked for this run meanwhile: those that mostly wait.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    CLUSTERS.read().unwrap_or_else(PoisonError::into_inner)
}

/// What `piazza up` printed when it was ready.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// Where clients connect.
    pub(crate) client: SocketAddr,
    /// Where nodes register.
    pub(crate) peer: SocketAddr,
    /// Where the supervisor listens.
    pub(crate) supervisor: SocketAddr,
    /// The servers' processes at that time, by name.
    pub(crate) pids: BTreeMap<String, i32>,
}

/// The ring that `status` shows, read here, not by the code under test.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    /// Hash and node of each point, in their order.
    points: Vec<(String, String)>,
    replicas: usize,
}

impl Ring {
    /// The names of the nodes that hold `key`, the primary first.
    pub(crate) fn holders(&self, key: &str) -> Vec<String> {
        let hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(key.as_bytes()));
        let first = self.points.iter().position(|(point, _)| *point >= hash).unwrap_or(0);
        let mut nodes = Vec::new();
        for (_, node) in self.points.iter().cycle().skip(first).take(self.points.len()) {
            if nodes.len() < self.replicas && !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        nodes
    }

    /// The names of all nodes.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.points.iter().map(|(_, node)| node.clone()).collect()
    }
}

/// A running cluster.
pub(crate) struct Cluster {
    ready: Ready,
    supervisor: Child,
    /// Kills whatever is left, before the directory goes.
    mark: Mark,
    dir: TempDir,
    arguments: Vec<String>,
    _alone: RwLockWriteGuard<'static, ()>,
}

impl Cluster {
    /// A fresh cluster of `nodes` nodes with `replicas` copies of each key, once it is ready. Silent
    /// nodes keep their places for ever, unless `more` says otherwise.
    pub(crate) fn start(name: &str, nodes: usize, replicas: usize, more: &[&str]) -> Self {
        Self::start_in(TempDir::new(name), nodes, replicas, more)
    }

    /// The same, with failpoints that can be armed, see [`Cluster::failpoints`].
    #[cfg(debug_assertions)]
    pub(crate) fn start_to_fail(name: &str, nodes: usize, replicas: usize) -> Self {
        let dir = TempDir::new(name);
        fs::create_dir(dir.path().join(FAILPOINTS)).expect("a directory");
        Self::start_in(dir, nodes, replicas, &[])
    }

    fn start_in(dir: TempDir, nodes: usize, replicas: usize, more: &[&str]) -> Self {
        let alone = alone();
        let (nodes, replicas) = (nodes.to_string(), replicas.to_string());
        let fixed = ["--nodes", &nodes, "--replicas", &replicas];
        let never = ["--evict-after", "never"];
        let never = if more.contains(&never[0]) { &[][..] } else { &never };
        let all = fixed.iter().chain(never).chain(more);
        let arguments: Vec<String> = all.map(|argument| (*argument).to_string()).collect();
        let mark = Mark::new();
        let (supervisor, ready) = up(&mark, &dir, &arguments);
        Self { ready, supervisor, mark, dir, arguments, _alone: alone }
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.ready.client
    }

    /// Where nodes register.
    pub(crate) fn peer_addr(&self) -> SocketAddr {
        self.ready.peer
    }

    /// Where the supervisor listens.
    pub(crate) fn supervisor_addr(&self) -> SocketAddr {
        self.ready.supervisor
    }

    /// The cluster's directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    /// Where a file arms a failpoint of the servers.
    #[cfg(debug_assertions)]
    pub(crate) fn failpoints(&self) -> PathBuf {
        self.dir.path().join(FAILPOINTS)
    }

    /// The names of the nodes.
    pub(crate) fn node_names(&self) -> Vec<String> {
        self.ready.pids.keys().filter(|name| !name.starts_with("coordinator")).cloned().collect()
    }

    /// All its processes that are alive, whatever they are.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.mark.pids()
    }

    /// SIGKILL to the supervisor, the coordinator and every node at once.
    pub(crate) fn kill_everything(&mut self) {
        // The supervisor first, or it would see the others die.
        let _ = self.supervisor.kill();
        self.mark.kill_all();
        let _ = self.supervisor.wait();
    }

    /// Starts it again on the same directory, after everything was killed.
    pub(crate) fn start_again(&mut self) {
        (self.supervisor, self.ready) = up(&self.mark, &self.dir, &self.arguments);
    }

    /// Asks the supervisor for `action` on `proc`, and gives its answer.
    pub(crate) fn admin(&self, action: &str, proc: &str) -> Value {
        let request = json!({"op": "admin", "action": action, "proc": proc, "timeout_ms": 60_000});
        ask(self.ready.supervisor, &request)
            .unwrap_or_else(|| panic!("the supervisor did not answer {request}"))
    }

    /// Kills `proc` deliberately: it stays down.
    pub(crate) fn kill(&self, proc: &str) {
        let answer = self.admin("kill", proc);
        assert_eq!(answer["ok"], true, "kill {proc}: {answer}");
    }

    /// Starts `proc` again, after [`Cluster::kill`]; returns once it is ready.
    pub(crate) fn restart(&self, proc: &str) {
        let answer = self.admin("restart", proc);
        assert_eq!(answer["ok"], true, "restart {proc}: {answer}");
    }

    /// SIGKILL to `proc` behind the supervisor's back, which then restarts it.
    pub(crate) fn sigkill(&self, proc: &str) {
        let pid = self.pid(proc).unwrap_or_else(|| panic!("{proc} is not running"));
        sigkill(pid).unwrap_or_else(|error| panic!("SIGKILL to {proc}, process {pid}: {error}"));
    }

    /// The process that is `proc` now.
    pub(crate) fn pid(&self, proc: &str) -> Option<i32> {
        if proc == "coordinator" {
            return self.mark.pid_with_argument("coordinator");
        }
        let status = self.status()?;
        let node = nodes_of(&status).find(|node| node["name"] == proc)?;
        node["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// What `status` answers; `None` while the coordinator is away.
    pub(crate) fn status(&self) -> Option<Value> {
        ask(self.ready.client, &json!({"op": "status"})).filter(|status| status["ok"] == true)
    }

    /// The state of the node `name` in `status`.
    pub(crate) fn node_state(&self, name: &str) -> Option<String> {
        let status = self.status()?;
        let node = nodes_of(&status).find(|node| node["name"] == name)?;
        node["state"].as_str().map(String::from)
    }

    /// Waits until the coordinator serves, every node is up, and none of their processes is
    /// `not`: the one just killed, which may still be in the status.
    pub(crate) fn wait_healthy(&self, not: Option<i32>) {
        let wanted = self.node_names().len();
        let mut last = None;
        let what = "the coordinator active and all nodes up";
        let healthy = |status: &Value| {
            let up = nodes_of(status)
                .filter(|node| node["state"] == "up")
                .filter(|node| not.is_none_or(|not| node["pid"] != not));
            status["coordinator"]["state"] == "active" && up.count() == wanted
        };
        wait_for(what, READY_MAX, || {
            if not.is_some_and(|not| self.mark.pids().contains(&not)) {
                return None;
            }
            last = self.status();
            last.as_ref().filter(|status| healthy(status)).map(|_| ())
        });
    }

    /// Waits until the node `name` is in this state and no change is under way.
    pub(crate) fn wait_settled(&self, name: &str, state: &str, deadline: Duration) {
        wait_for(&format!("{name} to be {state} and nothing on its way"), deadline, || {
            let status = self.status()?;
            let node = nodes_of(&status).find(|node| node["name"] == name)?;
            (node["state"] == state && !is_changing(&status)?).then_some(())
        });
    }

    /// The names of the nodes that hold `key`, the primary first.
    pub(crate) fn locate(&self, key: &str) -> Vec<String> {
        self.ring().holders(key)
    }

    /// Who holds what.
    pub(crate) fn ring(&self) -> Ring {
        let status = self.status().expect("the cluster answers");
        let points = status["ring"]["points"].as_array().expect("a ring of points");
        let text = |value: &Value| value.as_str().map(String::from).expect("a text");
        let points = points.iter().map(|point| (text(&point["hash"]), text(&point["node"])));
        let replicas = status["cluster"]["replicas"].as_u64().expect("a number") as usize;
        Ring { points: points.collect(), replicas }
    }

    /// The servers, as the supervisor lists them.
    pub(crate) fn supervised(&self) -> Value {
        let request = json!({"op": "admin", "action": "list"});
        ask(self.ready.supervisor, &request).expect("the supervisor answers")
    }

    /// Stops it in order, and waits until none of its processes is left.
    pub(crate) fn stop(&mut self) {
        let mut down = self.command();
        down.args(["down", "--dir"]).arg(self.data());
        let output = down.output().unwrap_or_else(|error| panic!("{down:?}: {error}"));
        assert!(output.status.success(), "{down:?}: {output:?}");
        let status = self.supervisor.wait().expect("it is our child");
        assert!(status.success(), "`piazza up` ended with {status}");
        wait_for("the end of all processes", READY_MAX, || self.pids().is_empty().then_some(()));
    }

    /// A command of this cluster's binary, which is killed with the cluster at the latest.
    pub(crate) fn command(&self) -> Command {
        self.command_of(binary())
    }

    /// A command of another program, likewise.
    pub(crate) fn command_of(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.mark.put_on(&mut command);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_everything();
        if thread::panicking() {
            let logs = [self.data().join("logs"), self.dir.path().join("supervisor.log")];
            self.dir.keep_only(&logs);
            eprintln!("the cluster's logs are in {}", self.dir.path().display());
        }
    }
}

fn nodes_of(status: &Value) -> impl Iterator<Item = &Value> {
    status["nodes"].as_array().into_iter().flatten()
}

/// Whether any change is not at its end; `None`: that is not told.
pub(crate) fn is_changing(status: &Value) -> Option<bool> {
    Some(status["changes"].as_array()?.iter().any(is_open))
}

/// Whether a change is not at its end.
pub(crate) fn is_open(change: &Value) -> bool {
    change["state"] == "running" || change["state"] == "waiting"
}

/// What is tested.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("PIAZZA_BIN").map_or(env!("CARGO_BIN_EXE_piazza").into(), PathBuf::from)
}

/// Starts `piazza up` on `dir` and waits until it is ready.
fn up(mark: &Mark, dir: &TempDir, arguments: &[String]) -> (Child, Ready) {
    let log_path = dir.path().join("supervisor.log");
    let log = File::options().create(true).append(true).open(&log_path).expect("a log file");
    let mut command = dying_with_us(binary());
    command.args(["up", "--headless", "--any-port", "--dir"]).arg(dir.path().join(NAME));
    let failpoints = dir.path().join(FAILPOINTS);
    if failpoints.exists() {
        command.env("PIAZZA_FAILPOINTS", failpoints);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    // A group of its own: Ctrl-C at the tests is not meant for it, its end comes by drop.
    mark.put_on(&mut command).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let lines = follow(child.stdout.take().expect("it is piped"));
    let ready = loop {
        let Ok(line) = lines.recv_timeout(READY_MAX) else {
            let _ = child.kill();
            let status = child.wait();
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            dir.keep_only(&[dir.path().join(NAME).join("logs"), log_path]);
            panic!("`piazza up` printed no ready line in {READY_MAX:?} ({status:?}):\n{log}");
        };
        if let Some(json) = line.strip_prefix("ready ") {
            break parse_ready(json);
        }
    };
    (child, ready)
}

/// The lines of `stdout`, read to its end so that the writer never blocks.
pub(crate) fn follow(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn parse_ready(json: &str) -> Ready {
    let ready: Value = serde_json::from_str(json)
        .unwrap_or_else(|error| panic!("the ready line is no JSON: {error} in {json:?}"));
    let addr = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("no address where one should be: {json}"))
    };
    let pids = ready["pids"].as_object().into_iter().flatten();
    let pid = |value: &Value| value.as_i64().and_then(|pid| i32::try_from(pid).ok());
    Ready {
        client: addr(&ready["clients"][0]),
        peer: addr(&ready["peers"][0]),
        supervisor: addr(&ready["supervisor"]),
        pids: pids.filter_map(|(name, value)| Some((name.clone(), pid(value)?))).collect(),
    }
}
