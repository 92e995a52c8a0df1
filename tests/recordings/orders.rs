//! A scenario in which everything happens that an administrator may ask for, at either plane, and
//! what is refused of it.
//!
//! Part of `scenarios`. `mod` says which orders of the contract occur in it.

use protocol::event::Subscribe;
use serde_json::{Value, json};
use tui::console::recording::Feed;

use super::recorder::Orders;
use super::scenarios::{RATE, Scene, wants};
use crate::e2e::wire::Conn;

/// Whom most of it happens to.
const NODE: &str = "n3";

/// One order after the other, the last of which stops the cluster.
pub(super) fn orders(name: &str) -> Vec<u8> {
    let wants = Subscribe { max_per_s: 5, ..wants() };
    let flags = ["--evict-after", "never", "--scrub-period", "24h"];
    let scene = Scene::new(name, &flags, RATE / 3, Orders { wants, little: false });
    of_the_membership(&scene);
    of_processes(&scene);
    of_faults(&scene);
    a_participant_is_lost(&scene);
    scene.cluster.wait_healthy(None);
    scene.order(&json!({"op": "admin", "action": "shutdown"}));
    scene.recorder.until("the last order", |from, event| {
        from == Feed::Supervisor && event["action"] == "shutdown"
    });
    scene.over()
}

/// Asks the coordinator: refused with this code, or not at all.
fn expect(scene: &Scene, request: &Value, code: &str) -> Value {
    let answer = scene.answer(request);
    let answered = if answer["ok"] == true { "ok" } else { answer["code"].as_str().unwrap_or("") };
    assert_eq!(answered, code, "{request}: {answer}");
    answer
}

fn admin(action: &str, mut fields: Value) -> Value {
    fields["op"] = json!("admin");
    fields["action"] = json!(action);
    fields
}

fn of_the_membership(scene: &Scene) {
    let do_set = |name: &str, value: u64| {
        expect(scene, &admin("set", json!({"name": name, "value": value})), "ok");
    };
    expect(scene, &admin("evict", json!({"node": "n1", "dry_run": true})), "ok");
    expect(scene, &admin("remove", json!({"node": "n99"})), "no_such_node");
    expect(scene, &admin("add", json!({"dry_run": true})), "ok");
    expect(scene, &admin("rebalance", json!({"if_ring_epoch": "1048575.7"})), "conflict");
    expect(scene, &admin("rebalance", json!({})), "ok");
    expect(scene, &admin("cancel", json!({"change": "c0"})), "already");
    do_set("evict_after_ms", 60_000);
    do_set("evict_after_ms", 0);
    // A scrub that takes long, so that another one is in its way.
    do_set("copy_bytes_per_s", 1);
    let scrub = expect(scene, &admin("scrub", json!({})), "ok");
    expect(scene, &admin("repair", json!({})), "busy");
    expect(scene, &admin("cancel", json!({"change": scrub["change"]})), "ok");
    do_set("copy_bytes_per_s", 16 << 20);
    expect(scene, &admin("repair", json!({})), "ok");
    let mut conn = Conn::open(scene.cluster.addr()).expect("it is there");
    let hello = json!({"op": "hello", "client": "bob, who looks", "read_only": true});
    conn.call(&hello).expect("an answer");
    assert_eq!(conn.call(&admin("add", json!({}))).expect("an answer")["code"], "forbidden");
}

fn of_processes(scene: &Scene) {
    let act = |action: &str, proc: &str, code: &str| {
        let request = admin(action, json!({"proc": proc, "timeout_ms": 60_000}));
        assert_eq!(scene.ask(&request)["code"], code, "{request}");
    };
    act("kill", "n99", "no_such_node");
    scene.act("restart", NODE);
    scene.cluster.wait_healthy(None);
    scene.act("stop", NODE);
    scene.until_proc(NODE, "exited");
    act("stop", NODE, "already");
    scene.act("start", NODE);
    scene.cluster.wait_healthy(None);
}

/// Those that the scenario `doubt` does not have.
fn of_faults(scene: &Scene) {
    let over = |fault: &str| {
        scene.recorder.until(&format!("{fault} met"), |_, event| {
            event["event"] == "inject" && event["fault"] == fault && event["left"] == 0
        });
    };
    scene.inject(NODE, "drop_votes", Value::Null, 1);
    over("drop_votes");
    scene.cluster.wait_healthy(None);
    for step in ["append", "vote"] {
        scene.recorder.mark();
        scene.inject(NODE, "stop_after", json!(step), 1);
        over("stop_after");
        scene.until_proc(NODE, "paused");
        scene.act("resume", NODE);
        scene.cluster.wait_healthy(None);
    }
}

/// An update waits for two nodes that stand still: one is killed, the other one votes.
fn a_participant_is_lost(scene: &Scene) {
    let key = scene.key_of(NODE);
    let holders = scene.cluster.locate(key);
    let [first, second] = &holders[..] else { panic!("two copies: {holders:?}") };
    scene.recorder.mark();
    scene.act("pause", first);
    scene.act("pause", second);
    let (_client, tx) = scene.begin(key);
    scene.act("kill", first);
    scene.until_member(first, "down");
    scene.act("resume", second);
    scene.recorder.until("one vote, and one that is lost", |_, event| {
        let has = |vote: &str| {
            event["votes"].as_array().into_iter().flatten().any(|one| one["vote"] == vote)
        };
        event["event"] == "txn_open" && event["tx"] == tx && has("yes") && has("lost")
    });
    scene.act("start", first);
    scene.until_tx("txn_resolved", &tx);
}
