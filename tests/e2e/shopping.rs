//! The shopping demo on a real cluster whose nodes are killed: everything adds up, and what is
//! written behind its back does not.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::wire::ask;

const PREFIX: &str = "shop/";
/// For a machine that stalls.
const SEEN_MAX: Duration = Duration::from_secs(60);
/// What every shopper does with all others of a test: more than can be done before it is stopped.
const OPERATIONS_MANY: u64 = 10_000_000;

/// A run of the demo in a thread of its own.
struct Run {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<shopping::Ended>,
}

impl Run {
    fn start(addr: SocketAddr, more: &[&str]) -> Self {
        let arguments = format!("shopping --json --shoppers 8 --prefix {PREFIX} --addr {addr}");
        let arguments = arguments.split(' ').chain(more.iter().copied()).map(OsString::from);
        let arguments: Vec<OsString> = arguments.collect();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(shopping::run(arguments, stopped))
        });
        Self { stop, thread }
    }

    /// As by Ctrl-C.
    fn stop(self) -> (u8, Value) {
        self.stop.send(()).expect("it is still at work");
        ended(self.thread)
    }
}

/// Its exit code and report.
fn ended(thread: JoinHandle<shopping::Ended>) -> (u8, Value) {
    let ended = thread.join().expect("it does not panic");
    let report = serde_json::from_str(&ended.out);
    (ended.code, report.unwrap_or_else(|error| panic!("{error}: {ended:?}")))
}

/// The version of a key of the run, once it is there and has another one than `not`.
fn version(addr: SocketAddr, key: &str, not: Option<&Value>) -> Value {
    let request = json!({"op": "get", "key": format!("{PREFIX}{key}")});
    wait_for(&format!("a new version of {key}"), SEEN_MAX, || {
        let version = ask(addr, &request)?.get("version")?.clone();
        (Some(&version) != not).then_some(version)
    })
}

/// How many keys of the run are left.
fn keys_left(addr: SocketAddr) -> usize {
    let answer = ask(addr, &json!({"op": "scan", "prefix": PREFIX})).expect("an answer");
    answer["items"].as_array().expect("a page").len()
}

#[test]
fn shopping_adds_up_while_nodes_are_killed() {
    let cluster = Cluster::start("shopping", 5, 2, &[]);
    let addr = cluster.addr();
    cluster.wait_healthy(None);
    let many = OPERATIONS_MANY.to_string();
    let run = Run::start(addr, &["--operations", &many, "--seed", "7", "--keep"]);
    let mut seen = version(addr, "cart/0000", None);
    for node in &cluster.node_names() {
        seen = version(addr, "cart/0000", Some(&seen));
        let before = cluster.pid(node);
        cluster.sigkill(node);
        cluster.wait_healthy(before);
    }
    version(addr, "cart/0000", Some(&seen));
    let (code, report) = run.stop();
    println!("shopping: {report}");
    assert_eq!((code, &report["ok"], &report["interrupted"]), (0, &json!(true), &json!(true)));
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert!(number("orders") > 0 && number("stock_sold") > 0, "{report}");
    assert_eq!(number("stock_initial"), number("stock_left") + number("stock_sold"));
    assert_eq!(number("keys"), 4 + 64 + number("orders"), "carts, articles, orders: {report}");
    assert_ne!(keys_left(addr), 0, "--keep");
}

#[test]
fn shopping_ends_by_itself_and_leaves_nothing() {
    let cluster = Cluster::start("shopping-once", 3, 2, &[]);
    let few = ["--operations", "203", "--articles", "3", "--stock", "20", "--carts", "2"];
    let (code, report) = ended(Run::start(cluster.addr(), &few).thread);
    assert_eq!((code, &report["interrupted"]), (0, &json!(false)), "{report}");
    // So few goods for so many that they fight for them, and run out.
    assert!(report["overtaken"].as_u64() > Some(0), "{report}");
    assert!(report["sold_out"].as_u64() > Some(0), "{report}");
    assert_eq!(report["stock_initial"], 60, "{report}");
    assert_eq!(keys_left(cluster.addr()), 0, "{report}");

    // A prefix that is somebody else's is left alone.
    let put = json!({"op": "put", "key": format!("{PREFIX}mine"), "value": "1"});
    assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    let refused = Run::start(cluster.addr(), &few).thread.join().expect("it does not panic");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains(PREFIX), "{refused:?}");
    assert_eq!(keys_left(cluster.addr()), 1);
}

#[test]
fn shopping_names_what_was_written_behind_its_back() {
    let cluster = Cluster::start("shopping-wrong", 3, 2, &[]);
    let addr = cluster.addr();
    let many = OPERATIONS_MANY.to_string();
    // What looks as if a shopper had stored it, and goods out of nowhere.
    for (key, value) in [("cart/0000", r#"{"lines":{}}"#), ("stock/0007", "500")] {
        let run = Run::start(addr, &["--operations", &many]);
        let seen = version(addr, key, None);
        // Somebody works with it; and will overwrite what is slipped in now.
        version(addr, key, Some(&seen));
        let put = json!({"op": "put", "key": format!("{PREFIX}{key}"), "value": value});
        let slipped_in = ask(addr, &put).expect("an answer");
        assert_eq!(slipped_in["ok"], true, "{slipped_in}");
        version(addr, key, Some(&slipped_in["version"]));
        let (code, report) = run.stop();
        assert_eq!((code, &report["ok"]), (1, &json!(false)), "{report}");
        let differences = report["differences"].as_array().expect("a list");
        let key = json!(format!("{PREFIX}{key}"));
        assert!(differences.iter().any(|difference| difference["key"] == key), "{report}");
        assert_eq!(keys_left(addr), 0, "{report}");
    }
}
