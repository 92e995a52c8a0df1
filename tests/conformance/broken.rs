//! What is answered, and told, while servers are down, paused or replaced: on a cluster of one's own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::events::Events;
use super::explain::explain;
use super::servers::has;
use super::talk::Talk;
use super::{Site, checks};
use crate::e2e::cluster::Cluster;
use crate::e2e::procs::wait_for;

checks! {
    901 a_replica_that_is_down_is_named
        "`replica_down` | `node` | a replica of this key is down and its place is not yet filled: nothing was or will be written | safe",
        "`aborted` and `replica_down` are final"
    902 a_paused_replica_is_waited_for
        "Requests in flight together on different keys are concurrent, as if from different clients",
        "**timeout_ms** (1 to 60000, default 5000)",
        "an operation's deadline 5 s",
        "`unknown_outcome` | `version` | it may or may not happen; ask `outcome`, or repeat with the same `once` | safe with `once` only",
        "`overloaded`, `timeout` | `retry_after_ms` | refused before anything was written | safe, later",
        "`aborted` (only if ... `in_doubt`",
        "An update in flight when a replica falls silent is not refused: it waits for that replica to return or be evicted, at most its deadline, then answers `unknown_outcome`; a silent node is never by itself a reason to abort. A key whose last update is in doubt stays readable",
        "`suspect` (connection lost, or 3 heartbeat intervals of silence or of no progress), `down` ... or 3 more intervals)",
        "plus `paused:true` where the supervisor says so. A suspect that comes back with the same incarnation is `up` at once",
        "It tells the coordinator of kills and pauses, as a hint for display only",
        "`txn_open` (same fields so far) for one older than 20 ms",
        "`txn_in_doubt {tx,key,votes,missing,meaning,safe_action}`; `txn_resolved`"
    903 a_death_is_told_as_it_goes_on
        "`heartbeat_missed {node,missed,silent_ms}`, once an interval, from the coordinator's timer",
        "member: `member_state {node,from,to,reason:tcp_refused|tcp_reset|silence|no_progress|registered|caught_up|admin,silent_ms,ring_share,keys_one_copy,keys_unwritable,keys_in_doubt,reads_by}`",
        "`member_recovery {node,phase:log|decisions|copy|ready,done,total,ms}`; `link {peer,state,retry_ms}`; `copies {by_live_copies,unwritable}` on change, at most 4/s",
        "`cause` (a seq)",
        "a member that restarted is `suspect` until it has learned what it missed"
    904 the_supervisor_acts_on_processes
        "**Supervisor** of `piazza up` (the processes of this machine",
        "`hello auth",
        "list start stop restart kill pause resume logs",
        "`{\"op\":\"admin\",\"action\":\"kill\",\"proc\":\"n3\"}`; `proc` is a node's name or `coordinator`",
        "Replies `{\"ok\":true,\"pid\":..}` once the signal is sent or the server is ready; `already` for a kill of a dead one",
        "`no_such_node` ... `already`"
    905 an_incomplete_cluster_says_so
        "`unavailable` | `reason`, `blocked_by` | no replica may answer this read now, or the cluster is not complete | safe",
        "`status` | | section 2; answered always, also while recovering",
        "also across any restart",
        "coordinator: `coordinator_state {state,epoch,answered,needed,in_doubt,resolved,serving_share}`",
        "ring: `ring_epoch {epoch,points,moves ... durable_on}`"
}

const SEEN_MAX: Duration = Duration::from_secs(60);

fn a_replica_that_is_down_is_named(site: &Site) {
    let cluster = own(site);
    let (victim, its, others) = keys_of_a_node(site);
    let mut talk = site.open();
    let put = |key: &String, value: &str| json!({"op": "put", "key": key, "value": value});
    let versions: Vec<Value> =
        its.iter().map(|key| talk.ok(&put(key, "before"))["version"].clone()).collect();
    cluster.kill(&victim);
    wait_for("the dead node suspect or down", SEEN_MAX, || {
        cluster.node_state(&victim).filter(|state| state == "suspect" || state == "down")
    });
    for (key, version) in its.iter().zip(&versions) {
        let then = json!([put(&others[0], "never"), put(key, "never")]);
        for update in [
            put(key, "never"),
            json!({"op": "update", "key": key, "value": "never"}),
            json!({"op": "cas", "key": key, "value": "never", "version": version}),
            json!({"op": "del", "key": key}),
            json!({"op": "txn", "if": [], "then": then}),
        ] {
            let answer = talk.refused(update.to_string(), "replica_down");
            assert_eq!(answer["node"], *victim, "{answer}");
        }
        let plan = talk.ok(&explain(&put(key, "never"), false));
        let told = plan["steps"].to_string();
        assert!(told.contains("`replica_down`") && told.contains(&victim), "{plan}");
        let answer = talk.refused(explain(&put(key, "never"), true).to_string(), "replica_down");
        assert_eq!(answer["node"], *victim, "{answer}");
        let answer = talk.ok(&json!({"op": "get", "key": key}));
        assert_eq!((&answer["value"], &answer["version"]), (&json!("before"), version));
    }
    talk.refused(json!({"op": "get", "key": others[0]}).to_string(), "not_found");
    for key in &others {
        talk.ok(&put(key, "during"));
    }
    let state = site.status()["nodes"]
        .as_array()
        .expect("a list")
        .iter()
        .find_map(|node| (node["name"] == *victim).then(|| node["state"].clone()));
    assert!(state == Some(json!("suspect")) || state == Some(json!("down")), "{state:?}");
}

/// The cluster, which may be broken, once it is well.
fn own(site: &Site) -> &Cluster {
    let Some(cluster) = &site.own else { panic!("it would break a cluster of somebody else") };
    for proc in cluster.supervised()["procs"].as_array().expect("a list") {
        let name = proc["name"].as_str().expect("a name");
        if proc["paused"] == true {
            cluster.admin("resume", name);
        } else if proc["state"] == "dead" {
            cluster.restart(name);
        }
    }
    cluster.wait_healthy(None);
    cluster
}

/// A node, keys that it holds, and keys that it does not.
fn keys_of_a_node(site: &Site) -> (String, Vec<String>, Vec<String>) {
    let cluster = site.own.as_ref().expect("a cluster of one's own");
    let victim = cluster.node_names().pop().expect("some nodes");
    let ring = cluster.ring();
    let keys = (0..60).map(|_| site.key());
    let (its, others): (Vec<String>, Vec<String>) =
        keys.partition(|key| ring.holders(key).contains(&victim));
    assert!(its.len() > 5 && others.len() > 5, "{victim} holds {} of 60 keys", its.len());
    (victim, its, others)
}

fn node_in(status: &Value, name: &str) -> Value {
    let mut nodes = status["nodes"].as_array().expect("a list").iter();
    nodes.find(|node| node["name"] == name).expect("the node").clone()
}

fn put(key: &str, value: &str) -> Value {
    json!({"op": "put", "key": key, "value": value})
}

fn a_paused_replica_is_waited_for(site: &Site) {
    let cluster = own(site);
    let (victim, its, others) = keys_of_a_node(site);
    let (key, late, other, free) = (&its[0], &its[1], &others[0], &others[1]);
    let mut talk = site.open();
    let before = talk.ok(&put(key, "before"))["version"].clone();
    let incarnation = node_in(&site.status(), &victim)["incarnation"].clone();
    let (mut events, _) = Events::open(site, &json!({"topics": ["txn", "member"]}));
    assert_eq!(cluster.admin("pause", &victim)["ok"], true);

    // All of these are on their way before anybody can notice.
    let begin = Instant::now();
    let (mut without, mut both, mut behind) = (site.open(), site.open(), site.open());
    without.send(format!("{}\n", put(late, "late")));
    let txn = json!({"op": "txn", "if": [], "then": [put(key, "after"), put(other, "after")],
        "timeout_ms": 3_000});
    both.send(format!("{txn}\n{}\n", put(free, "free")));
    let mut narrow = put(key, "never");
    narrow["timeout_ms"] = json!(400);
    wait_for("the update of another key on the same connection", SEEN_MAX, || {
        (talk.ask(json!({"op": "get", "key": free}).to_string())["value"] == "free").then_some(())
    });
    let refused = behind.refused(narrow.to_string(), "timeout");
    assert!(refused["retry_after_ms"].as_u64() > Some(0), "{refused}");

    let unknown = both.answer();
    assert_eq!(unknown["code"], "unknown_outcome", "{unknown}");
    assert_eq!(both.answer()["ok"], true, "the one that was seen while the first still waited");
    let unknown_late = without.answer();
    assert_eq!(unknown_late["code"], "unknown_outcome", "{unknown_late}");
    let waited = begin.elapsed();
    assert!(
        waited > Duration::from_millis(4_500),
        "the deadline of an update that names none: {waited:?}"
    );
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    in_doubt(site, &victim, key, &unknown, &before, &mut events);
    let open = events.until("an open transaction", |event| event["event"] == "txn_open");
    has(&open, "tx op keys key conn us_total us batch_txns votes decides");

    assert_eq!(cluster.admin("resume", &victim)["ok"], true);
    wait_for("the node up again", SEEN_MAX, || {
        cluster.node_state(&victim).filter(|state| state == "up")
    });
    let node = node_in(&site.status(), &victim);
    assert_eq!(node["incarnation"], incarnation, "the same process");
    for version in [&unknown["version"], &unknown_late["version"]] {
        let ask = json!({"op": "outcome", "version": version});
        wait_for("the update committed after all", SEEN_MAX, || {
            let state = talk.ok(&ask)["state"].clone();
            assert_ne!(state, "aborted", "silence is no reason to abort");
            (state == "committed").then_some(())
        });
        let resolved = events.until("the end of the doubt", |event| {
            event["event"] == "txn_resolved" && event["tx"] == *version
        });
        assert_eq!(resolved["outcome"], "committed", "{resolved}");
    }
    assert_eq!(talk.ok(&json!({"op": "get", "key": key}))["value"], "after");
}

/// What is seen of an update that nobody can decide.
fn in_doubt(
    site: &Site,
    victim: &str,
    key: &str,
    unknown: &Value,
    before: &Value,
    events: &mut Events,
) {
    let mut talk = site.open();
    let version = &unknown["version"];
    assert!(version.is_string(), "{unknown}");
    assert_eq!(talk.ok(&json!({"op": "outcome", "version": version}))["state"], "in_doubt");
    let got = talk.ok(&json!({"op": "get", "key": key}));
    assert_eq!((&got["value"], &got["version"]), (&json!("before"), before), "it stays readable");
    wait_for("the paused node down", SEEN_MAX, || {
        let node = node_in(&site.status(), victim);
        (node["state"] == "down" && node["paused"] == true).then_some(())
    });
    assert!(site.status()["keys_in_doubt"].as_u64() > Some(0));
    let told = events
        .until("the doubt", |event| event["event"] == "txn_in_doubt" && event["tx"] == *version);
    assert_eq!((&told["key"], &told["missing"]), (&json!(key), &json!([victim])), "{told}");
    for sentence in ["meaning", "safe_action"] {
        assert!(told[sentence].as_str().is_some_and(|text| text.contains(' ')), "{told}");
    }
    let votes = told["votes"].as_array().expect("a list");
    assert!(votes.iter().any(|vote| vote["node"] == victim && vote["vote"] != "yes"), "{told}");
    let suspect = |event: &Value| event["event"] == "member_state" && event["to"] == "suspect";
    let suspect = events.until("the suspicion", suspect);
    assert_eq!((&suspect["node"], &suspect["from"]), (&json!(victim), &json!("up")), "{suspect}");
    let heartbeat = site.status()["cluster"]["heartbeat_ms"].as_u64().expect("a number");
    assert!(suspect["silent_ms"].as_u64() >= Some(3 * heartbeat - heartbeat / 2), "{suspect}");
    let down = |event: &Value| event["event"] == "member_state" && event["to"] == "down";
    let down = events.until("that it is given up", down);
    let at_us = |event: &Value| event["at_us"].as_u64().expect("a number");
    let between_ms = (at_us(&down) - at_us(&suspect)) / 1_000;
    assert!(between_ms >= 3 * heartbeat - heartbeat / 2, "{between_ms} ms: {down}");
}

fn a_death_is_told_as_it_goes_on(site: &Site) {
    let cluster = own(site);
    let (victim, its, _) = keys_of_a_node(site);
    let mut talk = site.open();
    talk.ok(&put(&its[0], "1"));
    let topics = json!({"topics": ["member", "heartbeat", "ring", "coordinator"]});
    let (mut events, _) = Events::open(site, &topics);
    cluster.sigkill(&victim);
    let of = |kind: &'static str| {
        let victim = victim.clone();
        move |event: &Value| {
            event["event"] == kind && (event["node"] == *victim || event["peer"] == *victim)
        }
    };
    let state = events.until("another state", of("member_state"));
    has(&state, "from to reason silent_ms ring_share keys_one_copy keys_unwritable keys_in_doubt");
    let reasons = "tcp_refused tcp_reset silence no_progress registered caught_up admin";
    assert!(reasons.split(' ').any(|reason| state["reason"] == reason), "{state}");
    assert!(state["reads_by"].is_array() && state["ring_share"].as_f64() > Some(0.0), "{state}");
    assert_eq!(state["from"], "up", "{state}");
    let link = events.until("the link", of("link"));
    assert!(link["state"].is_string(), "{link}");
    let missed = events.until("a missed heartbeat", of("heartbeat_missed"));
    has(&missed, "node missed silent_ms");
    let copies = events.until("copies", |event| event["event"] == "copies");
    assert!(copies["by_live_copies"].is_object() && copies["unwritable"].is_u64(), "{copies}");
    let back = events.until("its return", |event| of("member_state")(event) && event["to"] == "up");
    assert_ne!(back["from"], "up", "{back}");
    let registered = events.until("that it registered", |event| {
        event["reason"] == "registered" || of("member_recovery")(event)
    });
    assert_ne!(registered["to"], "up", "it has to learn what it missed: {registered}");
    for phase in ["log", "decisions", "ready"] {
        let step = |event: &Value| of("member_recovery")(event) && event["phase"] == phase;
        has(&events.until(phase, step), "done total ms");
    }
    assert!(events.heard.iter().any(|event| event["cause"].is_u64()), "nothing has a cause");
    let at_us = |event: &&Value| event["at_us"].as_u64().expect("a number");
    let all: Vec<u64> =
        events.heard.iter().filter(|event| event["event"] == "copies").map(|e| at_us(&e)).collect();
    assert!(all.windows(2).all(|two| two[1] - two[0] >= 240_000), "at most 4/s: {all:?}");
}

fn the_supervisor_acts_on_processes(site: &Site) {
    let cluster = own(site);
    let mut talk = Talk::open(cluster.supervisor_addr());
    let victim = cluster.node_names().pop().expect("some nodes");
    let act = |action: &str, proc: &str| json!({"op": "admin", "action": action, "proc": proc, "timeout_ms": 60_000});
    let state = |talk: &mut Talk, proc: &str| {
        let list = talk.ok(&json!({"op": "admin", "action": "list"}));
        let mut procs = list["procs"].as_array().expect("a list").iter();
        procs.find(|one| one["name"] == proc).expect("it is listed").clone()
    };
    talk.ok(&json!({"op": "hello"}));
    talk.ok(&json!({"op": "auth", "token": "x"}));
    assert_eq!(state(&mut talk, "coordinator")["state"], "running");
    let pid = state(&mut talk, &victim)["pid"].clone();
    assert_eq!(talk.ok(&act("kill", &victim))["pid"], pid);
    wait_for("its end", SEEN_MAX, || (state(&mut talk, &victim)["state"] == "dead").then_some(()));
    for dead in ["kill", "stop"] {
        talk.refused(act(dead, &victim).to_string(), "already");
    }
    let started = talk.ok(&act("start", &victim))["pid"].clone();
    // Ready, not only begun: it is what the coordinator knows.
    assert_eq!(node_in(&site.status(), &victim)["pid"], started);
    talk.refused(act("start", &victim).to_string(), "already");
    let restarted = talk.ok(&act("restart", &victim))["pid"].clone();
    assert_ne!(restarted, started);
    assert_eq!(talk.ok(&act("pause", &victim))["pid"], restarted);
    assert_eq!(state(&mut talk, &victim)["paused"], true);
    assert_eq!(talk.ok(&act("resume", &victim))["pid"], restarted);
    assert_eq!(talk.ok(&act("stop", &victim))["pid"], restarted);
    wait_for("its end", SEEN_MAX, || (state(&mut talk, &victim)["state"] == "dead").then_some(()));
    talk.ok(&act("start", &victim));
    assert!(
        talk.ok(&act("logs", &victim))["lines"].as_array().is_some_and(|lines| !lines.is_empty())
    );
    for action in ["kill", "stop", "start", "restart", "pause", "resume", "logs"] {
        talk.refused(act(action, "n99").to_string(), "no_such_node");
        talk.bad(json!({"op": "admin", "action": action}).to_string(), "proc");
    }
    own(site);
}

fn an_incomplete_cluster_says_so(site: &Site) {
    let cluster = own(site);
    let key = site.key();
    let mut once = put(&key, "1");
    once["once"] = json!("0123456789abcdef-restart");
    let version = site.open().ok(&once)["version"].clone();
    let epoch = site.status()["coordinator"]["epoch"].as_u64();
    let nodes = cluster.node_names();
    nodes.iter().for_each(|name| cluster.kill(name));
    let restart =
        json!({"op": "admin", "action": "restart", "proc": "coordinator", "timeout_ms": 1});
    Talk::open(cluster.supervisor_addr()).ask(restart.to_string());
    wait_for("the next coordinator", SEEN_MAX, || {
        cluster.status().filter(|status| status["coordinator"]["state"] == "claiming")
    });
    let mut talk = site.open();
    let get = json!({"op": "get", "key": key, "timeout_ms": 200});
    let answer = talk.refused(get.to_string(), "unavailable");
    assert!(answer.get("blocked_by").is_none_or(Value::is_string), "{answer}");
    assert_eq!(talk.ok(&json!({"op": "status"}))["coordinator"]["state"], "claiming");
    let (mut events, first) =
        Events::open(site, &json!({"topics": ["coordinator", "ring", "member"]}));
    assert_eq!(first["status"]["coordinator"]["state"], "claiming", "{first}");
    // None of them is ready before there are enough of them.
    for name in &nodes {
        let start = json!({"op": "admin", "action": "start", "proc": name, "timeout_ms": 1});
        Talk::open(cluster.supervisor_addr()).ask(start.to_string());
    }
    let active = events.until("that it is active", |event| {
        event["event"] == "coordinator_state" && event["state"] == "active"
    });
    has(&active, "answered needed in_doubt resolved serving_share");
    assert!(active["epoch"].as_u64() > epoch, "{active}");
    let ring = events.until("the ring in force", |event| event["event"] == "ring_epoch");
    assert!(ring["points"].as_array().is_some_and(|points| points.len() >= nodes.len()), "{ring}");
    assert!(ring["moves"].is_array() && ring["durable_on"].is_array(), "{ring}");
    cluster.wait_healthy(None);
    assert_eq!(site.open().ok(&once)["version"], version, "it must not run again");
}
