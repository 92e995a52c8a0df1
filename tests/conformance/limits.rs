//! The limits of connections: on a cluster of one's own that has small ones.
//!
//! Nothing here takes a time for granted: a connection that must not be closed is compared with one
//! that must be.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::talk::Talk;
use super::{Site, checks};
use crate::e2e::procs::wait_for;

checks! {
    1101 limits_are_configurable
        "`cluster` (`uuid`, `name`, `replicas`, `tokens`, `limits`, times)"
    1102 who_is_idle_is_left
        "idle 5 min (not for subscribers and watchers)",
        "Only these close it ... a timeout of section 3"
    1103 a_line_arrives_whole
        "a line must arrive whole within 30 s"
    1104 who_takes_nothing_is_left
        "a socket that takes nothing for 30 s is closed"
    1105 the_last_places_are_for_looking_after_it
        "connections 4,096 on the client port (beyond: only `hello`, `auth`, `status`, `subscribe`, `admin`, 16 of them)",
        "Only these close it ... a connection over its limit (after `overloaded`)"
}

/// The flags of a cluster with small limits.
pub(super) const FLAGS: &[&str] = &[
    "--limit",
    "connections=4",
    "--limit",
    "connections_reserved=2",
    "--limit",
    "idle_ms=1500",
    "--limit",
    "line_ms=600",
    "--limit",
    "stalled_ms=600",
];
const COMMON: usize = 4;
const RESERVED: usize = 2;
/// Between two signs of life of a client that is slow.
const TRICKLE: Duration = Duration::from_millis(20);
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A connection that is never idle, once there is a place: those of the checks before may still be
/// on their way out.
fn common(site: &Site) -> Talk {
    let watch = json!({"op": "watch", "key": site.key()});
    wait_for("a place", WAIT_MAX, || {
        let mut talk = site.open();
        (talk.ask(watch.to_string())["ok"] == true).then_some(talk)
    })
}

fn limits_are_configurable(site: &Site) {
    let limits = site.open().ok(&json!({"op": "hello"}))["limits"].clone();
    for (name, value) in
        [("connections", 4), ("connections_reserved", 2), ("idle_ms", 1500), ("line_ms", 600)]
    {
        assert_eq!(limits[name], value, "{limits}");
    }
}

fn who_is_idle_is_left(site: &Site) {
    let mut watcher = common(site);
    let mut subscriber = common(site);
    subscriber.ok(&json!({"op": "subscribe", "topics": ["admin"]}));
    for n in 0..2 {
        let mut idle = site.open();
        if n > 0 {
            idle.lives();
        }
        idle.closes();
    }
    watcher.lives();
    subscriber.send("{\"op\":\"hello\"}\n");
    let mut answered = || subscriber.line().contains("\"protocol\":1");
    assert!((0..3).any(|_| answered()), "a snapshot, then the answer");
}

/// Whether the server has closed; whatever else comes is taken.
fn is_closed(stream: &mut std::net::TcpStream) -> bool {
    let mut taken = [0; 256];
    match stream.read(&mut taken) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// A client that is never idle, but never comes to the end of its line.
fn a_line_arrives_whole(site: &Site) {
    let mut other = common(site);
    let mut slow = site.open().sender();
    slow.set_read_timeout(Some(TRICKLE)).expect("a socket");
    wait_for("the end of a connection whose line has none", WAIT_MAX, || {
        (slow.write_all(b" ").is_err() || is_closed(&mut slow)).then_some(())
    });
    other.lives();
}

fn who_takes_nothing_is_left(site: &Site) {
    let (mut other, key) = (common(site), site.key());
    other.ok(&json!({"op": "put", "key": key, "value": "x".repeat(1 << 20)}));
    let deaf = site.open();
    let mut sender = deaf.sender();
    let get = format!("{}\n", json!({"op": "get", "key": key}));
    // Far more than what the system keeps for a socket.
    sender.write_all(get.repeat(100).as_bytes()).expect("a few kilobytes");
    let mut next = std::time::Instant::now();
    wait_for("the end of a connection that takes nothing", WAIT_MAX, || {
        if next.elapsed() < TRICKLE {
            return None;
        }
        next = std::time::Instant::now();
        // To a blank line no answer belongs.
        sender.write_all(b"\n").is_err().then_some(())
    });
    other.lives();
    drop(deaf);
}

/// The answer to a request of a connection that is told events too.
fn answer(talk: &mut Talk, request: &Value) -> Value {
    talk.send(format!("{request}\n"));
    loop {
        let line: Value = serde_json::from_str(&talk.line()).expect("JSON");
        if line.get("ok").is_some() {
            return line;
        }
    }
}

fn the_last_places_are_for_looking_after_it(site: &Site) {
    let listen = json!({"op": "subscribe", "topics": ["admin"]});
    let (get, status) = (json!({"op": "get", "key": site.key()}), json!({"op": "status"}));
    let mut held: Vec<Talk> = (0..COMMON).map(|_| common(site)).collect();
    let reserved = |_| {
        wait_for("a place of the reserve", WAIT_MAX, || {
            let mut talk = site.open();
            (answer(&mut talk, &listen)["ok"] == true).then_some(talk)
        })
    };
    let mut reserve: Vec<Talk> = (0..RESERVED).map(reserved).collect();
    for talk in &mut reserve {
        assert_eq!(answer(talk, &json!({"op": "hello"}))["ok"], true);
        assert_eq!(answer(talk, &json!({"op": "auth", "token": "any"}))["role"], "admin");
        assert_eq!(answer(talk, &status)["ok"], true);
        let repair = json!({"op": "admin", "action": "repair", "dry_run": true});
        assert_eq!(answer(talk, &repair)["ok"], true);
        for refused in [
            get.clone(),
            json!({"op": "put", "key": site.key(), "value": "1"}),
            json!({"op": "scan"}),
            json!({"op": "watch", "key": site.key()}),
        ] {
            let told = answer(talk, &refused);
            assert_eq!(told["code"], "overloaded", "{refused}: {told}");
            assert!(told["retry_after_ms"].is_u64(), "{told}");
        }
    }
    for _ in 0..3 {
        let mut beyond = site.open();
        beyond.refused(status.to_string(), "overloaded");
        beyond.closes();
    }
    // Those who have a place notice nothing, and when one leaves, the next one has it.
    held.iter_mut().for_each(Talk::lives);
    held.pop();
    wait_for("the place that is free", WAIT_MAX, || {
        (answer(&mut reserve[0], &get)["code"] == "not_found").then_some(())
    });
    assert_eq!(answer(&mut reserve[1], &get)["code"], "overloaded");
}
