//! Clients for `scenarios`: a steady load, and requests of every kind on keys with odd names.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use protocol::load::{self, Distribution, Kind, Plan, Stopper, Work};
use serde_json::{Value, json};

use crate::e2e::cluster::Cluster;
use crate::e2e::wire::Conn;

/// What a terminal must not be given as it is, or would measure wrongly.
pub(super) const ODD_KEYS: [&str; 10] = [
    "\u{1b}[31;7mred\u{1b}[0m",
    "tab\there, line\nthere, nul\u{0}, bell\u{7}",
    "\u{9b}2J\u{85}\u{90}older controls",
    "家族\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}",
    "zero\u{200b}width\u{feff}\u{2060}",
    "\u{202e}left to right to left\u{2066}",
    "שלום/עולם-مرحبا",
    "e\u{301}\u{327}\u{330} combined",
    "\"quoted\" \\ and {braced}",
    "ｆｕｌｌ　ｗｉｄｔｈ ﷽",
];

/// How many keys the load has.
pub(super) const KEYS: u32 = 120;

fn plan() -> Plan {
    Plan { keys: KEYS, prefix: "market:".into(), value_bytes: 40, ..Plan::default() }
}

/// A key of the load.
pub(super) fn key(number: u32) -> String {
    plan().key(number)
}

/// A load under way; it stops when this is dropped.
pub(super) struct Load {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// So many operations a second, until it is dropped.
    pub(super) fn start(cluster: &Cluster, rate: u64, theta: f64) -> Self {
        Self::of(
            cluster,
            Plan {
                work: Work::Drawn {
                    mix: "get=50,put=30,update=10,cas=8,del=2".parse().expect("a mix"),
                    distribution: Distribution::Zipf { theta },
                },
                connections: 8,
                rate: Some(rate),
                duration: Some(Duration::from_secs(3_600)),
                once: true,
                ..plan()
            },
        )
    }

    /// Every key is written once.
    pub(super) fn fill(cluster: &Cluster) {
        let plan = Plan { work: Work::EachKey(Kind::Put), connections: 4, ..plan() };
        let mut load = Self::of(cluster, plan);
        let thread = load.thread.take().expect("it was just started");
        thread.join().expect("it does not panic");
    }

    fn of(cluster: &Cluster, plan: Plan) -> Self {
        let addr = cluster.addr().to_string();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut running = load::start(&addr, plan).await.expect("the cluster is ready");
                let _ = sender.send(running.stopper());
                running.ended().await;
            });
        });
        Self { stopper: receiver.recv().expect("the load starts"), thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Asks for one of everything, on keys with odd names: what is refused, too.
pub(super) fn ask_for_everything(cluster: &Cluster) {
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    let mut ask = |request: Value| conn.call(&request).expect("an answer");
    ask(json!({"op": "hello", "client": "\u{1b}]0;odd\u{7} client \u{202e}"}));
    for (at, key) in ODD_KEYS.iter().enumerate() {
        let put = ask(json!({"op": "put", "key": key, "value": format!("value {at}")}));
        assert_eq!(put["ok"], true, "{key:?}: {put}");
        ask(json!({"op": "get", "key": key}));
    }
    let long = "long ".repeat(51);
    ask(json!({"op": "put", "key": long, "value": "1"}));
    let pair = [key(1), ODD_KEYS[3].to_owned(), ODD_KEYS[5].to_owned()];
    let then: Vec<Value> =
        pair.iter().map(|key| json!({"op": "put", "key": key, "value": "both"})).collect();
    let done = ask(json!({"op": "txn", "if": [], "then": then}));
    assert_eq!(done["ok"], true, "{done}");
    let exists = json!({"op": "put", "key": ODD_KEYS[0], "value": "2", "if_absent": true});
    assert_eq!(ask(exists)["code"], "exists");
    let cas = json!({"op": "cas", "key": ODD_KEYS[1], "value": "2", "version": "1.1"});
    assert_eq!(ask(cas)["code"], "version_mismatch");
    assert_eq!(ask(json!({"op": "update", "key": "\u{1}absent", "value": "2"}))["ok"], false);
    ask(json!({"op": "del", "key": long}));
    ask(json!({"op": "mget", "keys": ODD_KEYS}));
    ask(json!({"op": "scan", "limit": 3}));
    // Several at once on one key: one waits for another.
    let put = |at| json!({"op": "put", "key": ODD_KEYS[4], "value": format!("at once {at}")});
    let lines: String = (0..6).map(|at| format!("{}\n", put(at))).collect();
    conn.send(lines).expect("it lives");
    for _ in 0..6 {
        conn.receive().expect("an answer");
    }
}
