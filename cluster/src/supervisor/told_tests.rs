//! What the fleet tells: events with what led to them, hints to the coordinator, faults on order.

use std::time::Duration;

use serde_json::{Value, json};

use super::asked::{Action, Ordered};
use super::fleet::{Exit, Input};
use super::fleet_tests::{KILLED, Script};
use crate::orders::{Fault, Step};
use crate::process::ServerEvent;

const WAIT: Duration = Duration::from_secs(5);

/// What was told since the last look: the number of an event and of its cause, its name, and these
/// fields of it.
fn told(script: &mut Script, fields: &str) -> Vec<String> {
    let line = |text: String| {
        let Some((head, body)) = text.split_once(" {") else { return text };
        let Ok(value) = serde_json::from_str::<Value>(&format!("{{{body}")) else { return text };
        let shown = fields.split(' ').map(|field| match &value[field] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        format!("{head} {}", shown.collect::<Vec<_>>().join(" "))
    };
    script.told.drain(..).map(line).collect()
}

fn name(name: &str) -> String {
    name.to_owned()
}

fn order(fault: Fault, count: u64) -> Action {
    Action::Inject(name("n1"), Ordered { fault, count, timeout: WAIT })
}

/// Contract: "Supervisor: `proc {name,pid,state:spawned ... |killed ... signal ... by"
#[test]
fn what_was_asked_leads_to_what_becomes_of_a_process() {
    let mut script = Script::ready(1);
    let spawned = told(&mut script, "name state by");
    assert_eq!(spawned, ["1 proc coordinator spawned -", "2 proc n1 spawned -"]);
    script.ask(2.0, 1, Action::Kill(name("n1")));
    script.exits(2.1, 1, KILLED);
    script.ask(2.2, 2, Action::Kill(name("n1")));
    script.ask(3.0, 3, Action::Start(name("n1"), WAIT));
    script.event(3.5, 1, ServerEvent::Up);
    assert_eq!(
        told(&mut script, "id action target by result name pid state signal node why"),
        [
            "3 of 2 admin 1 kill n1 eve ok - - - - - -",
            "4 of 3 proc - - - eve - n1 101 killed 9 - -",
            "coordinator <- - - - - - - - - - n1 killed by eve",
            "5 of 4 admin 2 kill n1 eve already - - - - - -",
            "6 of 5 proc - - - eve - n1 101 spawned - - -",
            "coordinator <- - - - - - - - - - n1 -",
            "7 of 6 admin 3 start n1 eve ok - - - - - -",
        ]
    );
    let recent = script.fleet.teller.recent();
    let results: Vec<&str> = recent.iter().map(|admin| &*admin.result).collect();
    assert_eq!(results, ["ok", "already", "ok"]);
}

/// Contract: "Supervisor: `proc ... |exited| ... backoff|gave_up ... exit_code ...
/// retry_ms,last_lines}`"
#[test]
fn an_unasked_death_is_told_with_its_restart_and_its_end() {
    let mut script = Script::ready(1);
    let died = Exit { exit_code: Some(7), signal: None };
    let fields = "state exit_code signal by retry_ms last_lines";
    let mut now = 1.1;
    for backoff in [1.0, 2.0, 4.0, 8.0] {
        told(&mut script, "");
        script.exits(now, 1, died);
        let ended = told(&mut script, fields);
        assert!(ended[0].ends_with("proc exited 7 - - - -"), "{ended:?}");
        assert!(ended[1].ends_with(&format!("proc backoff - - - {} -", backoff * 1000.0)));
        now += backoff;
        script.at(now, Input::Tick);
    }
    told(&mut script, "");
    script.exits(now, 1, died);
    let last = told(&mut script, fields);
    assert!(last[1].ends_with(r#"proc gave_up - - - - ["bye"]"#), "{last:?}");
}

/// Contract: "Supervisor: `proc ... |paused|resumed|"
/// Contract: "It tells the coordinator of kills and pauses"
#[test]
fn a_pause_is_told_and_a_new_coordinator_is_told_again() {
    let mut script = Script::ready(1);
    told(&mut script, "");
    script.ask(2.0, 1, Action::Pause(name("n1")));
    assert_eq!(
        told(&mut script, "action result state node paused"),
        [
            "3 of 2 admin pause ok - - -",
            "4 of 3 proc - - paused - -",
            "coordinator <- - - - n1 true",
        ]
    );
    script.exits(3.0, 0, KILLED);
    script.at(5.0, Input::Tick);
    let again = told(&mut script, "state node paused");
    assert_eq!(again.last().expect("a line"), "coordinator <- - n1 true", "{again:?}");
    script.ask(6.0, 2, Action::Resume(name("n1")));
    let resumed = told(&mut script, "state node paused");
    assert_eq!(resumed.last().expect("a line"), "coordinator <- - n1 false", "{resumed:?}");
    assert!(resumed[1].ends_with("proc resumed - -"), "{resumed:?}");
}

#[test]
fn a_shutdown_is_told_with_all_that_ends() {
    let mut script = Script::ready(1);
    told(&mut script, "");
    script.at(2.0, Input::Shutdown { by: "eve".into() });
    script.exits(2.1, 0, Exit { exit_code: Some(0), signal: None });
    script.exits(2.2, 1, Exit { exit_code: Some(0), signal: None });
    assert_eq!(
        told(&mut script, "action result name state by"),
        [
            "3 admin shutdown ok - - eve",
            "4 of 1 proc - - coordinator exited eve",
            "5 of 2 proc - - n1 exited eve",
        ]
    );
}

/// Contract: "every use is an event"
#[test]
fn a_fault_is_ordered_taken_met_and_over() {
    let mut script = Script::ready(2);
    told(&mut script, "");
    let out = script.ask(2.0, 1, order(Fault::SyncDelayMs(200), 2));
    assert_eq!(out, Vec::<String>::new(), "answered when it is taken");
    let fault = r#"{"fault":"sync_delay_ms","value":200}"#;
    let line = format!(r#"n1 <- {{"order":"inject","number":1,"fault":{fault},"count":2}}"#);
    assert_eq!(script.told, [line]);
    script.told.clear();
    let left = |left| vec![Fault::SyncDelayMs(200).shown(2, left)];
    // The first one was met before anything was told.
    let out = script.event(2.1, 1, ServerEvent::Faults { taken: 1, left: left(1) });
    assert_eq!(out, [r#"reply 1 {"pid":101}"#]);
    assert_eq!(script.shown(1)["injected"], json!(left(1)));
    script.event(2.2, 1, ServerEvent::Faults { taken: 1, left: vec![] });
    assert_eq!(script.shown(1)["injected"], json!([]));
    let hint = "coordinator <- - - - - - - n1";
    assert_eq!(
        told(&mut script, "action result fault value left by node injected"),
        [
            "4 of 3 admin inject ok - - - eve - -",
            "5 of 4 inject - - sync_delay_ms 200 2 eve - -",
            "6 of 5 inject - - sync_delay_ms 200 1 eve - -",
            &format!("{hint} {}", json!(left(1))),
            "7 of 6 inject - - sync_delay_ms 200 0 eve - -",
            &format!("{hint} []"),
        ]
    );
}

#[test]
fn a_node_that_stops_itself_is_paused_and_told_to_go_on() {
    let mut script = Script::ready(1);
    script.ask(2.0, 1, order(Fault::StopAfter(Step::Vote), 1));
    told(&mut script, "");
    let out = script.event(2.1, 1, ServerEvent::Halts { taken: 1, left: vec![] });
    assert_eq!(out, [r#"reply 1 {"pid":101}"#, "Stop n1"]);
    assert_eq!(script.shown(1)["paused"], true);
    let fields = "action fault left state by paused";
    assert_eq!(
        told(&mut script, fields),
        [
            "3 of 2 admin inject - - - eve -",
            "4 of 3 inject - stop_after 1 - eve -",
            "5 of 4 inject - stop_after 0 - eve -",
            "6 of 5 proc - - - paused eve -",
            "coordinator <- - - - - - true",
        ]
    );
    script.ask(2.2, 2, order(Fault::DropVotes, 1));
    script.ask(2.3, 3, Action::Resume(name("n1")));
    let after = script.told.join("\n");
    assert!(after.contains(r#"n1 <- {"order":"go_on"}"#) && after.contains("refused"), "{after}");
    assert_eq!(script.shown(1)["paused"], false);
}

#[test]
fn faults_are_refused_where_they_cannot_be() {
    let refused = |script: &mut Script, action| {
        let out = script.ask(2.0, 1, action);
        assert_eq!(out.len(), 1, "{out:?}");
        out.into_iter().next().expect("a line")
    };
    let mut script = Script::ready(1);
    let Action::Inject(_, ordered) = order(Fault::DropVotes, 1) else { return };
    for (proc, code) in [("coordinator", "refused"), ("n9", "no_such_node")] {
        let action = Action::Inject(name(proc), ordered);
        assert_eq!(refused(&mut script, action), format!("refuse 1 {code}"));
    }
    script.ask(2.0, 2, order(Fault::DropVotes, 1));
    assert_eq!(script.exits(2.1, 1, KILLED)[0], "refuse 2 refused", "it can take no order");
    assert_eq!(refused(&mut script, order(Fault::DropVotes, 1)), "refuse 1 refused");
    let mut script = Script::ready(1);
    script.ask(2.0, 3, order(Fault::DropVotes, 1));
    assert_eq!(script.at(7.0, Input::Tick), ["refuse 3 timeout"]);
    script.fleet.lab = false;
    assert_eq!(refused(&mut script, order(Fault::DropVotes, 1)), "refuse 1 refused");
}
