//! Changes of the membership, and what is told of them: on a cluster of one's own with two copies of
//! each key. Of one copy: `alone`.
//!
//! Each check begins with four nodes or five that are well, and leaves as many. What is copied is
//! little, but so slowly that no change is over before it was looked at; then it is let go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::Events;
use super::servers::{counts, has};
use super::talk::Talk;
use super::{Site, checks};
use crate::e2e::cluster::Cluster;
use crate::e2e::procs::wait_for;

checks! {
    1201 a_change_is_told_as_it_goes_on
        "Replies `{\"ok\":true,\"change\":\"c7\"}` at acceptance; progress in `status.changes` and events",
        "`changes` (membership changes with progress)",
        "`joining` (learner)",
        "ring: `ring_epoch {epoch,points,moves:[{from,to,gain_node,lose_node,source,keys,bytes}],durable_on}`"
    1202 copying_is_told_from_its_beginning_to_its_end
        "`transfer {id,range,from,target,keys_done,keys_total,bytes_done,bytes_total,bytes_per_s,eta_ms,state}`",
        "(`evict_after_ms`, `copy_bytes_per_s`)",
        "`evicted`, `leaving`",
        "`snapshot {status, txns_open, transfers, incidents_open, admin_recent}`"
    1203 there_is_one_change_at_a_time
        "`busy`, `conflict` | `reason`, `change` | admin (section 4)",
        "`busy` names the running change",
        "`cancel {change}`"
    1204 eviction_counts_from_suspect
        "Eviction counts from `suspect`",
        "(`evict_after_ms`, `copy_bytes_per_s`)",
        "`evicted`, `leaving`"
    1205 what_is_being_copied_can_be_written
        "`evict {node}`",
        "`copies {by_live_copies,unwritable}` on change",
        "`copies` (keys by number of live copies)",
        "a replica of this key is down and its place is not yet filled"
    1206 every_change_has_a_name_and_an_end
        "`rebalance`, `repair`, `scrub {}`",
        "Replies `{\"ok\":true,\"change\":\"c7\"}` at acceptance; progress in `status.changes` and events"
    1207 how_a_node_is_is_told_as_status_says_it
        "`member_state {node,from,to,reason:tcp_refused|tcp_reset|silence|no_progress|registered|caught_up|admin",
        "Node states: `joining` (learner), `up`",
        "`evicted`, `leaving`",
        "`remove {node}` (drain, leave; its process is then stopped and not restarted), `add {}`"
    1208 what_a_change_would_do_is_told_before
        "each with `dry_run:true` and `if_ring_epoch` (else `conflict`): `evict {node}`, `remove {node}` ... `add {}`, `rebalance`"
    1209 faults_are_ordered_shown_and_taken_back
        "`inject {proc,fault,count}` with `refuse_prepare`, `sync_delay_ms`, `drop_votes`, `drop_heartbeats`, `stop_after: append|sync|vote`",
        "every use is an event",
        "`inject {...}`"
}

/// Nobody is evicted but where a check wants it, and faults may be ordered.
pub(super) const FLAGS: &[&str] = &["--evict-after", "never", "--lab"];
/// For a machine that stalls.
pub(super) const CHANGE_MAX: Duration = Duration::from_secs(60);
/// Keys that are there while the membership changes.
const KEYS: usize = 200;
/// What is copied takes some seconds.
const SLOW: u64 = 1_000;
const FAST: u64 = 1 << 30;
/// Progress is told at most so often; the coordinator's clock ticks more coarsely.
const TOLD_EVERY_US: u64 = 240_000;

fn own(site: &Site) -> &Cluster {
    site.own.as_ref().expect("a cluster of its own")
}

/// Waits until all nodes are up and nothing changes; their names.
fn well(site: &Site) -> Vec<String> {
    wait_for("all to be well", CHANGE_MAX, || {
        let status = own(site).status()?;
        let open = |change: &Value| change["state"] == "running" || change["state"] == "waiting";
        let nodes = status["nodes"].as_array()?.iter();
        let up = nodes.clone().all(|node| node["state"] == "up");
        let at_rest = !status["changes"].as_array()?.iter().any(open);
        let names = nodes.filter_map(|node| node["name"].as_str().map(String::from));
        (status["coordinator"]["state"] == "active" && up && at_rest).then(|| names.collect())
    })
}

/// Asks the coordinator; accepted, with the change's name where it has one.
pub(super) fn change(talk: &mut Talk, request: Value) -> String {
    let answer = talk.ok(&admin(request));
    let name = answer["change"].as_str().unwrap_or_default().to_owned();
    assert!(name.strip_prefix('c').is_some_and(|n| n.parse::<u64>().is_ok()), "{answer}");
    name
}

pub(super) fn admin(mut request: Value) -> Value {
    request["op"] = json!("admin");
    request
}

fn set(talk: &mut Talk, name: &str, value: u64) {
    talk.ok(&admin(json!({"action": "set", "name": name, "value": value})));
}

pub(super) fn pace(talk: &mut Talk, bytes_per_s: u64) {
    set(talk, "copy_bytes_per_s", bytes_per_s);
}

/// Keys with values, all of which have all their copies.
pub(super) fn fill(site: &Site) -> Vec<String> {
    let prefix = site.key();
    let keys: Vec<String> = (0..KEYS).map(|number| format!("{prefix}{number}")).collect();
    let put = |key: &String| json!({"op": "put", "key": key, "value": "x".repeat(100)});
    let puts: Vec<Value> = keys.iter().map(put).collect();
    let answers = site.open().ask_all(&puts);
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    well(site);
    keys
}

/// What `status` says of a change.
fn shown(site: &Site, name: &str) -> Value {
    let status = site.status();
    let mut changes = status["changes"].as_array().expect("a list").iter();
    changes.find(|change| change["change"] == name).expect("it is shown").clone()
}

fn node(site: &Site, name: &str) -> Value {
    let status = site.status();
    let mut nodes = status["nodes"].as_array().expect("a list").iter();
    nodes.find(|node| node["name"] == name).cloned().unwrap_or_default()
}

/// Waits for a state of a change.
pub(super) fn comes_to(site: &Site, name: &str, state: &str) {
    wait_for(&format!("{name} to be {state}"), CHANGE_MAX, || {
        let change = shown(site, name);
        let over = change["state"] != "running" && change["state"] != "waiting";
        assert!(!over || change["state"] == state, "{change}");
        over.then_some(())
    });
}

/// Lets a change go, and waits for its end.
fn let_go(site: &Site, talk: &mut Talk, name: &str, state: &str) {
    pace(talk, FAST);
    comes_to(site, name, state);
    well(site);
}

/// The last one of the nodes.
fn last_node(site: &Site) -> String {
    well(site).into_iter().max().expect("some nodes")
}

fn members(event: &Value) -> Vec<&str> {
    let points = event["points"].as_array().expect("points").iter();
    points.filter_map(|point| point["node"].as_str()).collect()
}

/// Reads until a node is told to be in this state: all that was told of nodes until then.
fn told_until(events: &mut Events, name: &str, to: &str) -> Vec<Value> {
    events.heard.clear();
    events.until(&format!("that {name} is {to}"), |event| {
        event["event"] == "member_state" && event["node"] == name && event["to"] == to
    });
    let heard = events.heard.iter().filter(|event| event["event"] == "member_state");
    heard.cloned().collect()
}

fn is_transfer(event: &Value) -> bool {
    event["event"] == "transfer"
}

fn a_change_is_told_as_it_goes_on(site: &Site) {
    fill(site);
    let mut talk = site.open();
    pace(&mut talk, SLOW);
    let (mut events, _) = Events::open(site, &json!({"topics": ["ring", "admin"]}));
    let name = change(&mut talk, json!({"action": "add"}));
    let told = events.until("the order", |event| event["event"] == "admin");
    assert_eq!((&told["action"], &told["result"]), (&json!("add"), &json!("ok")), "{told}");
    let ring = events.until("a ring in which somebody learns", |event| {
        event["moves"].as_array().is_some_and(|moves| !moves.is_empty())
    });
    assert_eq!(ring["event"], "ring_epoch", "{ring}");
    let running = wait_for("something to be copied", CHANGE_MAX, || {
        Some(shown(site, &name)).filter(|change| change["keys_done"].as_u64() > Some(0))
    });
    assert_eq!((&running["action"], &running["state"]), (&json!("add"), &json!("running")));
    assert!(running["bytes_done"].as_u64() > Some(0), "{running}");
    has(&running, "keys_total transfers");
    let newcomer = running["node"].as_str().expect("it has come").to_owned();
    assert!(members(&ring).contains(&newcomer.as_str()), "{ring}");
    for moved in ring["moves"].as_array().expect("moves") {
        has(moved, "from to gain_node lose_node source keys bytes");
        assert_eq!(moved["gain_node"], *newcomer, "{moved}");
        let source = moved["source"].as_str().expect("somebody has it");
        assert!(source != newcomer && members(&ring).contains(&source), "{moved}");
    }
    let learner = node(site, &newcomer);
    assert!(learner["state"] == "joining" && learner["id"].is_string(), "{learner}");
    let moving = events.until("copying", is_transfer);
    assert_eq!(moving["target"], *newcomer, "{moving}");
    let_go(site, &mut talk, &name, "done");
    assert_eq!(node(site, &newcomer)["state"], "up");
    events.heard.clear();
    events.until("a ring in which nobody learns", |event| {
        event["event"] == "ring_epoch" && event["moves"] == json!([])
    });
}

fn copying_is_told_from_its_beginning_to_its_end(site: &Site) {
    fill(site);
    let leaver = last_node(site);
    let mut talk = site.open();
    pace(&mut talk, SLOW);
    let (mut events, _) = Events::open(site, &json!({"topics": ["ring"]}));
    let name = change(&mut talk, json!({"action": "remove", "node": leaver}));
    let first = events.until("the beginning", is_transfer);
    has(&first, "id range from target keys_total bytes_total eta_ms state");
    counts(&first, "id keys_done bytes_done bytes_per_s");
    assert_eq!((&first["keys_done"], &first["state"]), (&json!(0), &json!("copying")), "{first}");
    assert_eq!(node(site, &leaver)["state"], "leaving");
    let further = events.until("that it has come further", |event| {
        is_transfer(event) && event["state"] == "copying" && event["keys_done"].as_u64() > Some(0)
    });
    assert!(further["bytes_done"].as_u64() > Some(0), "{further}");
    // Who comes later is told at once how far it is.
    let (_, late) = Events::open(site, &json!({"topics": ["ring"]}));
    let under_way = late["transfers"].as_array().expect("a list");
    assert!(under_way.iter().any(|one| one["id"] == further["id"]), "{late}");
    let_go(site, &mut talk, &name, "done");
    let ring = |event: &Value| event["event"] == "ring_epoch" && event["moves"] == json!([]);
    events.heard.retain(is_transfer);
    events.until("a ring in which nobody learns", ring);
    let mut each: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for event in events.heard.iter().filter(|event| is_transfer(event)) {
        each.entry(event["id"].as_u64().expect("a number")).or_default().push(event);
    }
    for (id, told) in each {
        let (first, last) = (told[0], told[told.len() - 1]);
        assert_eq!((&first["keys_done"], &last["state"]), (&json!(0), &json!("done")), "{told:?}");
        assert_eq!(last["keys_done"], last["keys_total"], "{last}");
        let on_the_way = &told[..told.len() - 1];
        let at_us = |event: &Value| event["at_us"].as_u64().expect("a moment");
        let apart = |two: &[&Value]| at_us(two[1]) - at_us(two[0]) >= TOLD_EVERY_US;
        assert!(on_the_way.windows(2).all(apart), "{id} is told too often: {told:?}");
    }
}

fn there_is_one_change_at_a_time(site: &Site) {
    fill(site);
    let (stayer, leaver) = (well(site).remove(0), last_node(site));
    let mut talk = site.open();
    pace(&mut talk, SLOW);
    let before = site.status()["ring"]["epoch"].clone();
    let name = change(&mut talk, json!({"action": "remove", "node": leaver}));
    wait_for("its ring", CHANGE_MAX, || (site.status()["ring"]["epoch"] != before).then_some(()));
    let others = [
        json!({"action": "add"}),
        json!({"action": "rebalance"}),
        json!({"action": "remove", "node": stayer}),
    ];
    for other in others {
        let busy = talk.refused(admin(other).to_string(), "busy");
        assert_eq!(busy["change"], *name, "{busy}");
        assert!(busy["error"].as_str().is_some_and(|said| said.contains(&name)), "{busy}");
    }
    let ring = format!("{}.{}", before["epoch"], before["counter"]);
    let late = admin(json!({"action": "rebalance", "if_ring_epoch": ring}));
    let conflict = talk.refused(late.to_string(), "conflict");
    assert!(conflict["reason"].is_string(), "{conflict}");
    let cancel = json!({"action": "cancel", "change": name, "dry_run": true});
    let tried = talk.ok(&admin(cancel));
    assert!(tried["change"].is_null() && tried["note"].is_string(), "{tried}");
    assert!(tried["preview"].is_object(), "the way back: {tried}");
    assert_eq!(shown(site, &name)["state"], "running");
    assert_eq!(change(&mut talk, json!({"action": "cancel", "change": name})), name);
    let_go(site, &mut talk, &name, "cancelled");
    assert_eq!(node(site, &leaver)["state"], "up");
    let again =
        talk.refused(admin(json!({"action": "cancel", "change": name})).to_string(), "already");
    assert!(again["reason"].is_string(), "{again}");
}

fn eviction_counts_from_suspect(site: &Site) {
    fill(site);
    let (cluster, victim) = (own(site), last_node(site));
    let mut talk = site.open();
    let (mut events, _) = Events::open(site, &json!({"topics": ["member", "ring"]}));
    let heartbeat_ms = site.status()["cluster"]["heartbeat_ms"].as_u64().expect("a number");
    // Less than it takes from suspect to down.
    set(&mut talk, "evict_after_ms", heartbeat_ms);
    assert_eq!(site.status()["cluster"]["evict_after_ms"], heartbeat_ms);
    assert_eq!(cluster.admin("pause", &victim)["ok"], true);
    let is = |event: &Value, state: &str| {
        event["event"] == "member_state" && event["node"] == *victim && event["to"] == state
    };
    let suspect = events.until("that it is suspect", |event| is(event, "suspect"));
    let gone = events.until("a ring without it", |event| {
        event["event"] == "ring_epoch" && !members(event).contains(&victim.as_str())
    });
    let at_us = |event: &Value| event["at_us"].as_u64().expect("a moment");
    let after_us = at_us(&gone) - at_us(&suspect);
    assert!(after_us >= heartbeat_ms * 1_000, "evicted after {after_us} us");
    assert!(!events.heard.iter().any(|event| is(event, "down")), "{:?}", events.heard);
    let told = events.until("that it is evicted", |event| is(event, "evicted"));
    assert_eq!(told["reason"], "silence", "as nobody has asked for it: {told}");
    assert_eq!(node(site, &victim)["state"], "evicted");
    set(&mut talk, "evict_after_ms", 0);
    assert_eq!(cluster.admin("resume", &victim)["ok"], true);
    wait_for("its return", CHANGE_MAX, || (node(site, &victim)["state"] == "up").then_some(()));
    well(site);
}

fn what_is_being_copied_can_be_written(site: &Site) {
    let keys = fill(site);
    let (cluster, victim) = (own(site), last_node(site));
    let its: Vec<String> =
        keys.into_iter().filter(|key| cluster.locate(key).contains(&victim)).collect();
    let put = |key: &String| json!({"op": "put", "key": key, "value": "y", "timeout_ms": 30_000});
    let mut talk = site.open();
    let (mut events, _) = Events::open(site, &json!({"topics": ["member"]}));
    pace(&mut talk, SLOW);
    cluster.kill(&victim);
    let copies = |event: &Value| event["event"] == "copies";
    let down = events.until("that copies are missing", |event| {
        copies(event) && event["by_live_copies"]["1"].as_u64() > Some(0)
    });
    assert_eq!(down["unwritable"], down["by_live_copies"]["1"], "{down}");
    assert_eq!(talk.refused(put(&its[0]).to_string(), "replica_down")["node"], *victim);
    let name = change(&mut talk, json!({"action": "evict", "node": victim}));
    events.heard.clear();
    let copied = events.until("that all can be written", |event| {
        let all_counted = event["uncounted"].as_array().is_none_or(Vec::is_empty);
        copies(event) && all_counted && event["unwritable"] == 0
    });
    assert!(copied["by_live_copies"]["1"].as_u64() > Some(0), "not all is copied yet: {copied}");
    let puts: Vec<Value> = its.iter().map(put).collect();
    let answers = talk.ask_all(&puts);
    assert!(answers.iter().all(|answer| answer["ok"] == true), "{answers:?}");
    assert_eq!(shown(site, &name)["state"], "running");
    pace(&mut talk, FAST);
    comes_to(site, &name, "done");
    let whole = site.status();
    assert!(whole["copies"]["1"].is_null() && whole["copies"]["2"].is_u64(), "{}", whole["copies"]);
    cluster.restart(&victim);
    wait_for("its return", CHANGE_MAX, || (node(site, &victim)["state"] == "up").then_some(()));
    well(site);
}

fn every_change_has_a_name_and_an_end(site: &Site) {
    fill(site);
    let mut talk = site.open();
    pace(&mut talk, FAST);
    let mut names = Vec::new();
    for action in ["scrub", "repair", "rebalance"] {
        let name = change(&mut talk, json!({"action": action}));
        assert!(!names.contains(&name), "{name} once more");
        comes_to(site, &name, "done");
        assert_eq!(shown(site, &name)["action"], action);
        names.push(name);
    }
    well(site);
}

/// Whoever folds the events over the snapshot has what `status` says; what an order led to says so.
fn how_a_node_is_is_told_as_status_says_it(site: &Site) {
    fill(site);
    let before = well(site);
    let evicted = last_node(site);
    let mut talk = site.open();
    pace(&mut talk, FAST);
    let (mut events, first) = Events::open(site, &json!({"topics": ["member"]}));
    let mut states: BTreeMap<String, Value> = BTreeMap::new();
    for node in first["status"]["nodes"].as_array().expect("a list") {
        let name = node["name"].as_str().expect("a name").to_owned();
        assert!(states.insert(name, node["state"].clone()).is_none(), "a row a name: {first}");
    }
    let mut told = Vec::new();

    // It runs, and so it comes back by itself.
    change(&mut talk, json!({"action": "evict", "node": evicted}));
    told.extend(told_until(&mut events, &evicted, "evicted"));
    told.extend(told_until(&mut events, &evicted, "up"));
    well(site);
    let name = change(&mut talk, json!({"action": "add"}));
    comes_to(site, &name, "done");
    let newcomer = well(site).into_iter().find(|node| !before.contains(node)).expect("one more");
    told.extend(told_until(&mut events, &newcomer, "up"));
    let name = change(&mut talk, json!({"action": "remove", "node": newcomer}));
    told.extend(told_until(&mut events, &newcomer, "evicted"));
    comes_to(site, &name, "done");

    let of = |node: &str| {
        let its = told.iter().filter(|event| event["node"] == node);
        let words = its.map(|event| ["from", "to", "reason"].map(|field| event[field].clone()));
        words
            .map(|words| words.map(|word| word.as_str().unwrap_or("?").to_owned()).join(" "))
            .collect::<Vec<_>>()
    };
    let back = ["up evicted admin", "evicted joining registered", "joining up caught_up"];
    assert_eq!(of(&evicted), back);
    let life =
        ["down joining admin", "joining up caught_up", "up leaving admin", "leaving evicted admin"];
    assert_eq!(of(&newcomer), life);
    for event in &told {
        let node = event["node"].as_str().expect("a name").to_owned();
        let known = states.insert(node, event["to"].clone()).unwrap_or_else(|| json!("down"));
        assert_eq!(known, event["from"], "{event}");
    }
    wait_for("it to be gone", CHANGE_MAX, || (well(site) == before).then_some(()));
    wait_for("its process to be stopped, for good", CHANGE_MAX, || {
        let procs = own(site).supervised()["procs"].clone();
        let process = procs.as_array()?.iter().find(|one| one["name"] == *newcomer);
        let ended = |process: &Value| process["state"] == "dead" && process["pid"].is_null();
        process.is_none_or(ended).then_some(())
    });
    for name in before {
        assert_eq!(states[&name], node(site, &name)["state"], "{name}");
    }
}

/// Under the ring that there is; it stays.
fn what_a_change_would_do_is_told_before(site: &Site) {
    fill(site);
    let (mut talk, node) = (site.open(), last_node(site));
    let ring = site.status()["ring"].clone();
    let number = format!("{}.{}", ring["epoch"]["epoch"], ring["epoch"]["counter"]);
    for action in ["evict", "remove", "add", "rebalance"] {
        let mut request = json!({"action": action, "dry_run": true, "if_ring_epoch": number});
        if ["evict", "remove"].contains(&action) {
            request["node"] = json!(node);
        }
        let answer = talk.ok(&admin(request));
        assert!(answer["change"].is_null(), "{action}: {answer}");
        assert!(answer["preview"].is_object() || answer["note"].is_string(), "{action}: {answer}");
    }
    assert_eq!(site.status()["ring"], ring);
}

/// None of them comes to pass: each is taken back at once.
fn faults_are_ordered_shown_and_taken_back(site: &Site) {
    let (cluster, node) = (own(site), last_node(site));
    let mut talk = Talk::open(cluster.supervisor_addr());
    let mut events = Talk::open(cluster.supervisor_addr());
    events.ok(&json!({"op": "subscribe", "topics": ["proc", "admin"]}));
    let mut order = |fault: &str, value: &Value, count: u64| {
        let mut request = admin(json!({"action": "inject", "proc": node, "fault": fault,
            "count": count}));
        if !value.is_null() {
            request["value"] = value.clone();
        }
        talk.ok(&request);
        loop {
            let told: Value = serde_json::from_str(&events.line()).expect("a line that is JSON");
            if told["event"] == "inject" && told["fault"] == fault && told["left"] == count {
                assert_eq!((&told["proc"], &told["value"]), (&json!(node), value), "{told}");
                return;
            }
        }
    };
    let shown = || site.status()["lab"]["injected"].get(&node).cloned().unwrap_or(json!([]));
    for (fault, value) in [
        ("refuse_prepare", Value::Null),
        ("sync_delay_ms", json!(1)),
        ("drop_votes", Value::Null),
        ("drop_heartbeats", Value::Null),
        ("stop_after", json!("append")),
        ("stop_after", json!("sync")),
        ("stop_after", json!("vote")),
    ] {
        order(fault, &value, 1_000);
        wait_for("the fault to be shown", CHANGE_MAX, || {
            let is_it = |one: &Value| one["fault"] == fault && one["value"] == value;
            shown().as_array()?.iter().any(is_it).then_some(())
        });
        order(fault, &value, 0);
        wait_for("the fault to be gone", CHANGE_MAX, || (shown() == json!([])).then_some(()));
    }
    well(site);
}
