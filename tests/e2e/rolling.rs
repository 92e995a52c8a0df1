//! All servers are restarted one after the other under load: each node is stopped, started and waited
//! for, then the coordinator. A key is refused while one of its replicas is away, never because of
//! two, and never once that is back.
//!
//! Nothing is measured by a clock: each request and each step of the restarts takes a number, and
//! only their order counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, Ring};
use super::procs::wait_for;
use super::wire::{Conn, Reply};

const WRITERS: usize = 6;
const KEYS: usize = 40;
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Updates that are taken before each restart, and after the last.
const OK_MIN: u64 = 200;

/// A request that was not answered `ok`.
#[derive(Debug)]
struct Refusal {
    sent: u64,
    answered: u64,
    key: String,
    /// The code of the answer; none: the connection was lost.
    code: Option<String>,
    node: Option<String>,
}

/// From the order to stop a server until it is back and all is well.
#[derive(Debug)]
struct Window {
    server: String,
    from: u64,
    until: u64,
    /// Updates that were taken meanwhile.
    ok: u64,
}

impl Window {
    fn overlaps(&self, refusal: &Refusal) -> bool {
        refusal.sent < self.until && refusal.answered > self.from
    }
}

/// What writers and restarts have in common.
#[derive(Default)]
struct Course {
    order: AtomicU64,
    ok: AtomicU64,
    over: AtomicBool,
    refusals: Mutex<Vec<Refusal>>,
    /// The newest value of each key that was acknowledged.
    acknowledged: Mutex<BTreeMap<String, u64>>,
}

impl Course {
    fn next(&self) -> u64 {
        self.order.fetch_add(1, Ordering::SeqCst)
    }

    fn ok(&self) -> u64 {
        self.ok.load(Ordering::SeqCst)
    }

    /// An update was refused since then.
    fn refused_since(&self, from: u64) -> bool {
        self.refusals.lock().expect("no panic").iter().any(|refusal| refusal.answered > from)
    }

    /// Waits until some more updates were taken.
    fn goes_on(&self) {
        let before = self.ok();
        wait_for("updates that are taken", WAIT_MAX, || {
            (self.ok() >= before + OK_MIN).then_some(())
        });
    }
}

/// Writes its keys round and round, each time a greater number.
fn write(cluster: &Cluster, course: &Course, writer: usize) {
    let connect = || wait_for("a connection", WAIT_MAX, || Conn::open(cluster.addr()).ok());
    let mut conn = connect();
    for number in 1.. {
        if course.over.load(Ordering::SeqCst) {
            return;
        }
        let key = format!("rolling-{writer}-{}", number % KEYS as u64);
        let put = json!({"op": "put", "key": key, "value": number.to_string(),
            "timeout_ms": 60_000});
        let sent = course.next();
        let answer = conn.call(&put);
        let answered = course.next();
        match answer {
            Ok(answer) if answer["ok"] == true => {
                course.ok.fetch_add(1, Ordering::SeqCst);
                course.acknowledged.lock().expect("no panic").insert(key, number);
            }
            refused => {
                let text = |name: &str| {
                    let answer = refused.as_ref().ok()?;
                    answer[name].as_str().map(str::to_owned)
                };
                let (code, node) = (text("code"), text("node"));
                let refusal = Refusal { sent, answered, key, code, node };
                course.refusals.lock().expect("no panic").push(refusal);
                if refused.is_err() {
                    conn = connect();
                }
            }
        }
    }
}

/// Stops a server, starts it again, and waits until all is well.
fn restart(cluster: &Cluster, course: &Course, server: &str) -> Window {
    course.goes_on();
    let (before, ok) = (cluster.pid(server), course.ok());
    let from = course.next();
    let stopped = cluster.admin("stop", server);
    assert_eq!(stopped["ok"], true, "{stopped}");
    wait_for("its end", WAIT_MAX, || {
        before.is_none_or(|pid| !cluster.pids().contains(&pid)).then_some(())
    });
    // Writers may be slower than a restart: without load this would show nothing.
    wait_for("an update that needs it", WAIT_MAX, || course.refused_since(from).then_some(()));
    // The supervisor may not have seen its end yet: it would not start it.
    cluster.restart(server);
    cluster.wait_healthy(before);
    Window { server: server.to_owned(), from, until: course.next(), ok: course.ok() - ok }
}

#[test]
fn a_rolling_restart_refuses_nothing_for_longer_than_one_nodes_restart() {
    let cluster = Cluster::start("rolling", 5, 3, &["--evict-after", "never"]);
    cluster.wait_healthy(None);
    let (ring, course) = (cluster.ring(), Course::default());
    let windows: Vec<Window> = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (cluster, course) = (&cluster, &course);
            scope.spawn(move || write(cluster, course, writer));
        }
        let servers = cluster.node_names().into_iter().chain(["coordinator".to_owned()]);
        let restarted = servers.map(|server| restart(&cluster, &course, &server)).collect();
        course.goes_on();
        course.over.store(true, Ordering::SeqCst);
        restarted
    });
    let refusals = course.refusals.into_inner().expect("no panic");
    for window in &windows {
        let here = refusals.iter().filter(|refusal| window.overlaps(refusal)).count();
        println!("rolling: {} away: {here} refused, {} taken", window.server, window.ok);
    }
    for refusal in &refusals {
        right(&windows, &ring, refusal);
    }
    let nodes = windows.iter().filter(|window| window.server != "coordinator");
    for window in nodes {
        assert!(window.ok > 0, "no other key could be written: {window:?}");
        assert!(refusals.iter().any(|refusal| window.overlaps(refusal)), "no load: {window:?}");
    }
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    for (key, number) in course.acknowledged.into_inner().expect("no panic") {
        let Reply::Ok(answer) = conn.get(&key) else { panic!("{key} cannot be read") };
        let found: Option<u64> = answer["value"].as_str().and_then(|text| text.parse().ok());
        assert!(found >= Some(number), "{key}: {number} was acknowledged, {answer} is there");
    }
    assert_eq!(
        cluster.status().map(|status| status["changes"].clone()),
        Some(Value::Array(vec![]))
    );
}

/// A refusal is right while a server is away that it needs, and for that reason only.
fn right(windows: &[Window], ring: &Ring, refusal: &Refusal) {
    let mut within = windows.iter().filter(|window| window.overlaps(refusal));
    let Some(window) = within.next() else { panic!("nothing was away: {refusal:?}") };
    let at = format!("{refusal:?} in {window:?}");
    assert!(within.next().is_none(), "two were away: {at}");
    match (&*window.server, refusal.code.as_deref()) {
        ("coordinator", _) => {}
        (server, Some("replica_down")) => {
            assert_eq!(refusal.node.as_deref(), Some(server), "another one is blamed: {at}");
            assert!(
                ring.holders(&refusal.key).contains(&refusal.node.clone().expect("it")),
                "{at}"
            );
        }
        // It was handed over, and the node took long to come back.
        (_, Some("unknown_outcome" | "timeout")) => {}
        _ => panic!("no reason to refuse it: {at}"),
    }
}
