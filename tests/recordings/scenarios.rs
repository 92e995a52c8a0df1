//! What happens in each recording. Started by hand: it takes minutes, and writes the files anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::event::Subscribe;
use serde_json::{Value, json};
use tui::console::recording::Feed;

use super::clients::{self, Load};
use super::recorder::Recorder;
use crate::e2e::cluster::Cluster;
use crate::e2e::wire::ask;

/// No recording is longer: they are kept for ever.
pub(super) const BYTES_MAX: usize = 600 << 10;

/// A name, and what happens.
type Scenario = (&'static str, fn(&str) -> Vec<u8>);

const ALL: &[Scenario] = &[
    ("calm", calm),
    ("kill", kill),
    ("crash", crash),
    ("pause", pause),
    ("coordinator", coordinator),
    ("coordinator-killed", coordinator_killed),
];

/// Where the recordings are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

#[test]
#[ignore = "writes the recordings anew: some minutes, and a diff to be read"]
fn record_scenarios() {
    let wanted = std::env::var("PIAZZA_RECORD").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|name| !name.is_empty()).collect();
    let known = |name: &&str| ALL.iter().any(|(known, _)| known == name);
    assert!(wanted.iter().all(known), "of {wanted:?} not all are scenarios");
    for (name, scenario) in ALL {
        if !wanted.is_empty() && !wanted.contains(name) {
            continue;
        }
        let bytes = scenario(name);
        println!("{name}: {} bytes", bytes.len());
        let text = String::from_utf8_lossy(&bytes);
        let host = fs::read_to_string("/etc/hostname").unwrap_or_default();
        for private in [env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"), host.trim()] {
            assert!(private.is_empty() || !text.contains(private), "{name} names {private}");
        }
        assert!(bytes.len() <= BYTES_MAX, "{name} is too long to be kept");
        fs::write(folder().join(format!("{name}.ndjson")), bytes).expect("a folder of ours");
    }
}

/// A cluster of five nodes, some keys, a recorder and a load.
struct Scene {
    load: Option<Load>,
    recorder: Recorder,
    cluster: Cluster,
}

/// What a console asks for that shows some sets of the coordinator's cache.
fn wants() -> Subscribe {
    Subscribe { max_per_s: 10, sets: Some((0, 4)), ..Subscribe::default() }
}

const RATE: u64 = 60;

impl Scene {
    fn new(name: &str, flags: &[&str], rate: u64, wants: Subscribe) -> Self {
        let cluster = Cluster::start(name, 5, 2, &[&["--lab"], flags].concat());
        cluster.wait_healthy(None);
        Load::fill(&cluster);
        let recorder = Recorder::start(&cluster, wants);
        let load = Some(Load::start(&cluster, rate, 0.8));
        recorder.run_for(Duration::from_secs(2));
        Self { load, recorder, cluster }
    }

    fn usual(name: &str) -> Self {
        Self::new(name, &[], RATE, wants())
    }

    /// Waits until the coordinator sees this node so.
    fn until_member(&self, node: &str, to: &str) -> Value {
        self.recorder.until(&format!("{node} {to}"), |_, event| {
            event["event"] == "member_state" && event["node"] == node && event["to"] == to
        })
    }

    /// Waits until the supervisor tells this of a process.
    fn until_proc(&self, name: &str, state: &str) -> Value {
        self.recorder.until(&format!("{name} {state}"), |_, event| {
            event["event"] == "proc" && event["name"] == name && event["state"] == state
        })
    }

    /// Waits until the coordinator is so.
    fn until_coordinator(&self, state: &str) {
        self.recorder.until(&format!("the coordinator {state}"), |from, event| {
            let told = match event["event"].as_str() {
                Some("snapshot") => &event["status"]["coordinator"]["state"],
                Some("coordinator_state") => &event["state"],
                _ => &Value::Null,
            };
            from == Feed::Coordinator && *told == state
        });
    }

    /// Asks the supervisor, as somebody with a name.
    fn order(&self, request: Value) {
        let answer = ask(self.cluster.supervisor_addr(), &request).expect("an answer");
        assert_eq!(answer["ok"], true, "{request}: {answer}");
    }

    fn act(&self, action: &str, proc: &str) {
        self.order(json!({"op": "admin", "action": action, "proc": proc, "timeout_ms": 60_000}));
    }

    /// All is well; it is looked at for a while more, then it is over.
    fn finish(mut self) -> Vec<u8> {
        self.cluster.wait_healthy(None);
        self.pass(2_000);
        self.load = None;
        self.recorder.finish()
    }

    fn pass(&self, ms: u64) {
        self.recorder.run_for(Duration::from_millis(ms));
    }
}

/// Ten seconds of load, and one of every request.
fn calm(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    clients::ask_for_everything(&scene.cluster);
    scene.pass(6_000);
    scene.finish()
}

/// A node is killed on purpose, stays away, and is started.
fn kill(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.act("kill", "n3");
    scene.until_member("n3", "down");
    scene.pass(4_000);
    scene.act("start", "n3");
    scene.until_member("n3", "up");
    scene.finish()
}

/// A node dies by itself, and is started again by its supervisor.
fn crash(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.cluster.sigkill("n3");
    scene.until_proc("n3", "backoff");
    scene.until_member("n3", "up");
    scene.finish()
}

/// A node stands still until it is taken for dead, and goes on.
fn pause(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.act("pause", "n3");
    scene.until_member("n3", "suspect");
    scene.until_member("n3", "down");
    scene.pass(1_000);
    scene.act("resume", "n3");
    scene.until_member("n3", "up");
    scene.finish()
}

/// The coordinator dies by itself.
fn coordinator(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.cluster.sigkill("coordinator");
    scene.until_proc("coordinator", "backoff");
    scene.until_coordinator("active");
    scene.finish()
}

/// The coordinator is killed on purpose, stays away, and is started.
fn coordinator_killed(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.act("kill", "coordinator");
    scene.until_proc("coordinator", "killed");
    scene.pass(5_000);
    scene.act("start", "coordinator");
    scene.until_coordinator("active");
    scene.finish()
}
