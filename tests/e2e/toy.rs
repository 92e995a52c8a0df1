//! A toy server inside the test, right or wrong in a chosen way: does the workload, with the
//! checkers, notice?
//!
//! Tests of the test tooling; never talks to a real cluster. It speaks only `get`, `put` and `del`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::procs::wait_for;
use super::workload::{self, Plan, Recorder};
use crate::check::seeded::{Seeded, from_env};
use crate::check::{durable, linear};

/// In which way the toy is wrong, once in a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    Never,
    /// Reads return the value before the last one.
    StaleReads,
    /// Updates are acknowledged and not done.
    LostUpdates,
    /// Updates are refused and done all the same.
    GhostUpdates,
    /// It closes connections before or after an update is done: allowed.
    Closes,
}

#[derive(Default)]
struct Store {
    now: BTreeMap<String, String>,
    before: BTreeMap<String, String>,
}

fn serve(stream: TcpStream, store: &Mutex<Store>, wrong: Wrong, mut random: Seeded) {
    stream.set_nodelay(true).expect("a socket");
    let mut out = stream.try_clone().expect("a second handle");
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).expect("the workload sends JSON");
        // Not to the last reads, which carry an id: they must all be answered.
        let now = random.below(300) == 0 && request.get("id").is_none();
        if now && wrong == Wrong::Closes && random.chance(50) {
            return;
        }
        let mut answer = carry_out(&request, &mut store.lock().expect("no panic"), wrong, now);
        if now && wrong == Wrong::Closes {
            return;
        }
        if let Some(id) = request.get("id") {
            answer["id"] = id.clone();
        }
        // One write a line: many small ones would wait for each other's acknowledgement.
        if out.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn carry_out(request: &Value, store: &mut Store, wrong: Wrong, now: bool) -> Value {
    let key = request["key"].as_str().expect("a key").to_string();
    let missing = json!({"ok": false, "code": "not_found", "error": "."});
    if request["op"] == "get" {
        let stale = now && wrong == Wrong::StaleReads;
        let values = if stale { &store.before } else { &store.now };
        let value = values.get(&key);
        return value.map_or(missing, |value| json!({"ok": true, "value": value}));
    }
    let old = store.now.get(&key).cloned();
    if !(now && wrong == Wrong::LostUpdates) {
        if let Some(old) = &old {
            store.before.insert(key.clone(), old.clone());
        }
        match request["value"].as_str() {
            Some(value) => drop(store.now.insert(key, value.into())),
            None => drop(store.now.remove(&key)),
        }
    }
    if now && wrong == Wrong::GhostUpdates {
        return json!({"ok": false, "code": "aborted", "error": "."});
    }
    if request["op"] == "del" && old.is_none() {
        return missing;
    }
    json!({"ok": true, "version": "1.1"})
}

fn start(wrong: Wrong, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let store: Arc<Mutex<Store>> = Arc::default();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let (store, random) = (store.clone(), Seeded::new(seed ^ number as u64));
            thread::spawn(move || serve(stream, &store, wrong, random));
        }
    });
    addr
}

#[test]
fn the_workload_with_the_checkers_notices_what_is_wrong_and_nothing_else() {
    let (seed, repeat) = from_env("PIAZZA_TOY_SEED");
    for wrong in
        [Wrong::Never, Wrong::Closes, Wrong::StaleReads, Wrong::LostUpdates, Wrong::GhostUpdates]
    {
        let addr = start(wrong, seed);
        let recorder = Recorder::new();
        let plan = Plan { seed, clients: 8, ..Plan::default() };
        let running = workload::start(addr, &recorder, &plan);
        wait_for("20000 operations", Duration::from_secs(60), || {
            (recorder.ok_count() > 20_000).then_some(())
        });
        let mut record = running.stop();
        let finals = workload::read_all(addr, &recorder, &mut record.history);
        let linear = linear::check(&record.history);
        let durable = durable::check(&record.history, &finals);
        let allowed = matches!(wrong, Wrong::Never | Wrong::Closes);
        assert_eq!(linear.is_ok(), allowed, "{wrong:?}, {repeat}: {linear:?}");
        if allowed {
            assert_eq!(durable, [], "{wrong:?}, {repeat}");
        }
        println!("{wrong:?}: {record}");
    }
}
