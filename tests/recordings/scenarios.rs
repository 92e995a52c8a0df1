//! What happens in each recording. Started by hand: it takes minutes, and writes the files anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::event::Subscribe;
use serde_json::{Value, json};
use tui::console::recording::Feed;

use super::clients::{self, Load};
use super::recorder::{Orders, Recorder};
use super::{membership, orders, rot};
use crate::e2e::cluster::Cluster;
use crate::e2e::wire::Conn;

/// No recording is longer: they are kept for ever.
pub(super) const BYTES_MAX: usize = 600 << 10;

/// A name, and what happens.
pub(super) type Scenario = (&'static str, fn(&str) -> Vec<u8>);

/// Every recording there is.
pub(super) const ALL: &[Scenario] = &[
    ("calm", calm),
    ("kill", kill),
    ("crash", crash),
    ("pause", pause),
    ("coordinator", coordinator),
    ("coordinator-killed", coordinator_killed),
    ("recovering", recovering),
    ("doubt", doubt),
    ("cache", cache),
    ("lagged", lagged),
    ("gave-up", gave_up),
    ("evict", membership::evict),
    ("add", membership::add),
    ("remove", membership::remove),
    ("rot", rot::rot),
    ("unreadable", rot::unreadable),
    ("orders", orders::orders),
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
pub(super) struct Scene {
    load: Option<Load>,
    pub(super) recorder: Recorder,
    pub(super) cluster: Cluster,
}

/// What a console asks for that shows some sets of the coordinator's cache.
pub(super) fn wants() -> Subscribe {
    Subscribe { max_per_s: 10, sets: Some((0, 4)), ..Subscribe::default() }
}

pub(super) const RATE: u64 = 60;

impl Scene {
    pub(super) fn new(name: &str, flags: &[&str], rate: u64, orders: Orders) -> Self {
        let cluster = Cluster::start(name, 5, 2, &[&["--lab"], flags].concat());
        cluster.wait_healthy(None);
        Self::of(cluster, rate, orders)
    }

    /// The same with a cluster that is there already.
    pub(super) fn of(cluster: Cluster, rate: u64, orders: Orders) -> Self {
        Load::fill(&cluster);
        let recorder = Recorder::start(&cluster, orders);
        let load = Some(Load::start(&cluster, rate, 0.8));
        recorder.run_for(Duration::from_secs(2));
        Self { load, recorder, cluster }
    }

    pub(super) fn usual(name: &str) -> Self {
        Self::new(name, &[], RATE, Orders { wants: wants(), little: false })
    }

    /// Waits until the coordinator sees this node so.
    pub(super) fn until_member(&self, node: &str, to: &str) -> Value {
        self.recorder.until(&format!("{node} {to}"), |_, event| {
            event["event"] == "member_state" && event["node"] == node && event["to"] == to
        })
    }

    /// Waits until the supervisor tells this of a process.
    pub(super) fn until_proc(&self, name: &str, state: &str) -> Value {
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
    pub(super) fn ask(&self, request: &Value) -> Value {
        let mut conn = Conn::open(self.cluster.supervisor_addr()).expect("it is there");
        conn.call(&json!({"op": "hello", "client": "ada at the console"})).expect("an answer");
        conn.call(request).expect("an answer")
    }

    pub(super) fn order(&self, request: &Value) {
        let answer = self.ask(request);
        assert_eq!(answer["ok"], true, "{request}: {answer}");
    }

    /// Asks the coordinator, as somebody with a name: what it answers.
    pub(super) fn answer(&self, request: &Value) -> Value {
        let mut conn = Conn::open(self.cluster.addr()).expect("it is there");
        conn.call(&json!({"op": "hello", "client": "ada at the console"})).expect("an answer");
        conn.call(request).expect("an answer")
    }

    /// The same of what it does not refuse.
    pub(super) fn ask_coordinator(&self, request: &Value) -> Value {
        let answer = self.answer(request);
        assert_eq!(answer["ok"], true, "{request}: {answer}");
        answer
    }

    pub(super) fn inject(&self, proc: &str, fault: &str, value: Value, count: u64) {
        let mut request = json!({"op": "admin", "action": "inject", "proc": proc, "fault": fault,
            "count": count});
        if !value.is_null() {
            request["value"] = value;
        }
        self.order(&request);
    }

    pub(super) fn act(&self, action: &str, proc: &str) {
        self.order(&json!({"op": "admin", "action": action, "proc": proc, "timeout_ms": 60_000}));
    }

    /// All is well; it is looked at for a while more, then it is over.
    pub(super) fn finish(self) -> Vec<u8> {
        self.cluster.wait_healthy(None);
        self.over()
    }

    /// It is looked at for a while more, then it is over.
    pub(super) fn over(mut self) -> Vec<u8> {
        self.pass(2_000);
        self.load = None;
        self.recorder.finish()
    }

    /// A key with an odd name that this node holds.
    pub(super) fn key_of(&self, node: &str) -> &'static str {
        let holds = |key: &&str| self.cluster.locate(key).iter().any(|holder| holder == node);
        let key = clients::ODD_KEYS.into_iter().find(holds);
        key.expect("one in two or three keys is on any node")
    }

    /// Begins an update that may take long, and waits until it is open for a while: its id.
    pub(super) fn begin(&self, key: &str) -> (Conn, Value) {
        let mut conn = Conn::open(self.cluster.addr()).expect("the cluster is ready");
        let put = json!({"op": "put", "key": key, "value": "in doubt", "timeout_ms": 60_000});
        conn.send(format!("{put}\n")).expect("it lives");
        let open = self.recorder.until(&format!("txn_open of {key:?}"), |_, event| {
            event["event"] == "txn_open" && event["key"] == key
        });
        (conn, open["tx"].clone())
    }

    /// Waits until something of this kind is told of a transaction.
    pub(super) fn until_tx(&self, kind: &str, tx: &Value) -> Value {
        self.recorder.until(&format!("{kind} of {tx}"), |_, event| {
            event["event"] == kind && event["tx"] == *tx
        })
    }

    pub(super) fn pass(&self, ms: u64) {
        self.recorder.run_for(Duration::from_millis(ms));
    }
}

/// Ten seconds of load, and one of every request.
fn calm(name: &str) -> Vec<u8> {
    let wants = Subscribe { max_per_s: 1_000, ..wants() };
    let scene = Scene::new(name, &[], RATE / 2, Orders { wants, little: false });
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
    scene.recorder.mark();
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
    scene.recorder.mark();
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
    scene.recorder.mark();
    scene.act("start", "coordinator");
    scene.until_coordinator("active");
    scene.finish()
}

/// A coordinator comes up while too few nodes are there, and then finds an update that only some of
/// its nodes can tell of.
fn recovering(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    let is_split = |key: &&str| {
        let holders = scene.cluster.locate(key);
        let stands = |node: &String| ["n2", "n3"].contains(&node.as_str());
        holders.iter().any(stands) && holders.iter().any(|node| node == "n4")
    };
    let key = clients::ODD_KEYS.into_iter().find(is_split).expect("one key in five is on both");
    for node in ["n1", "n2", "n3"] {
        scene.act("pause", node);
    }
    let (_client, tx) = scene.begin(key);
    scene.recorder.mark();
    scene.cluster.sigkill("coordinator");
    scene.until_coordinator("claiming");
    scene.pass(2_500);
    scene.act("resume", "n1");
    scene.until_coordinator("active");
    scene.pass(2_000);
    scene.act("resume", "n2");
    scene.act("resume", "n3");
    scene.until_tx("txn_resolved", &tx);
    scene.until_member("n3", "up");
    scene.finish()
}

/// Faults at one node: it refuses an update; it makes no progress; it stops with an update that it
/// holds, and is killed; it is killed before it has another one, and the coordinator with it.
fn doubt(name: &str) -> Vec<u8> {
    let orders = Orders { wants: wants(), little: false };
    let mut scene = Scene::new(name, &[], RATE / 3, orders);
    let key = scene.key_of("n3");
    scene.inject("n3", "refuse_prepare", Value::Null, 1);
    let mut client = Conn::open(scene.cluster.addr()).expect("the cluster is ready");
    client.put(key, "refused, or not: another one may be");
    scene.inject("n3", "drop_heartbeats", Value::Null, 2);
    scene.inject("n3", "sync_delay_ms", json!(4_000), 1);
    scene.until_member("n3", "suspect");
    scene.until_member("n3", "up");

    // What follows is of one update each.
    scene.load = None;
    scene.recorder.mark();
    scene.inject("n3", "stop_after", json!("sync"), 1);
    let (_first, tx) = scene.begin(key);
    scene.until_proc("n3", "paused");
    scene.until_tx("txn_in_doubt", &tx);
    // Who comes now is told of it in the snapshot.
    scene.recorder.want(wants());
    scene.act("kill", "n3");
    scene.until_member("n3", "down");
    scene.pass(1_500);
    scene.recorder.mark();
    scene.act("start", "n3");
    let resolved = scene.until_tx("txn_resolved", &tx);
    assert_eq!(resolved["outcome"], "committed", "{resolved}");
    scene.cluster.wait_healthy(None);

    scene.recorder.mark();
    scene.act("pause", "n3");
    let (_second, tx) = scene.begin(key);
    scene.act("kill", "n3");
    scene.until_tx("txn_in_doubt", &tx);
    // This coordinator would give it to the node again; the next one may not.
    scene.recorder.mark();
    scene.cluster.sigkill("coordinator");
    scene.until_coordinator("active");
    scene.until_tx("txn_in_doubt", &tx);
    scene.pass(1_000);
    scene.act("start", "n3");
    scene.until_tx("txn_resolved", &tx);
    scene.finish()
}

/// Small caches, so that entries give way; one set closely, at the coordinator and at a node.
fn cache(name: &str) -> Vec<u8> {
    let flags = ["--cache", "8x4", "--node-cache", "2x4"];
    let wants = Subscribe { max_per_s: 10, sets: Some((0, 8)), ..Subscribe::default() };
    let orders = Orders { wants: wants.clone(), little: false };
    let scene = Scene::new(name, &flags, RATE, orders);
    let locate = json!({"op": "locate", "key": clients::ODD_KEYS[0]});
    let mut conn = Conn::open(scene.cluster.addr()).expect("the cluster is ready");
    let place = conn.call(&locate).expect("an answer");
    let set = place["set"].as_u64().and_then(|set| u32::try_from(set).ok()).expect("a set");
    scene.recorder.want(Subscribe { set: Some(set), ..wants.clone() });
    clients::ask_for_everything(&scene.cluster);
    scene.pass(6_000);
    clients::ask_for_everything(&scene.cluster);
    scene.pass(1_000);
    let server = Some("n2".to_owned());
    let sets = Some((0, 2));
    scene.recorder.want(Subscribe { set: Some(1), sets, server, ..wants });
    scene.pass(5_000);
    scene.finish()
}

/// A reader that takes nothing for a while, until too much is waiting for it.
fn lagged(name: &str) -> Vec<u8> {
    let orders = Orders { wants: Subscribe { max_per_s: 2, ..wants() }, little: true };
    let scene = Scene::new(name, &[], RATE / 6, orders);
    let mut watcher = Conn::open(scene.cluster.addr()).expect("the cluster is ready");
    let mut client = Conn::open(scene.cluster.addr()).expect("the cluster is ready");
    client.call(&json!({"op": "hello", "client": "\u{202e}bob\u{1b}[5m"})).expect("an answer");
    watcher.call(&json!({"op": "subscribe", "topics": ["stats"]})).expect("an answer");
    scene.recorder.hold(true);
    // Nobody who reads loses what administrators do, and these are refused at once.
    for _ in 0..100 {
        let line = format!("{}\n", json!({"op": "admin", "action": "rebalance"}));
        client.send(line.repeat(150)).expect("it lives");
        for _ in 0..150 {
            client.receive().expect("an answer");
        }
        let dropped = loop {
            let event = watcher.receive().expect("an event");
            if event["event"] == "stats" {
                break event["dropped"].as_u64().expect("a number");
            }
        };
        if dropped > 0 {
            scene.recorder.hold(false);
            scene.recorder.until("lagged", |_, event| event["event"] == "lagged");
            scene.pass(1_000);
            return scene.finish();
        }
    }
    panic!("nothing was dropped");
}

/// A node's directory is damaged: it ends at each start, until it is given up; then it is mended.
fn gave_up(name: &str) -> Vec<u8> {
    let scene = Scene::usual(name);
    scene.act("stop", "n3");
    scene.until_proc("n3", "exited");
    let file = scene.cluster.data().join("n3/store");
    let whole = fs::read(&file).expect("it is there");
    fs::write(&file, "damaged\u{1b}[7m\n").expect("it is ours");
    let start = json!({"op": "admin", "action": "start", "proc": "n3", "timeout_ms": 1_000});
    assert_eq!(scene.ask(&start)["ok"], false);
    scene.until_proc("n3", "gave_up");
    scene.pass(2_000);
    fs::write(&file, whole).expect("it is ours");
    scene.recorder.mark();
    scene.act("start", "n3");
    scene.until_member("n3", "up");
    scene.finish()
}
