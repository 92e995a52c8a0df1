//! The fleet and the membership as scenarios without processes; times are seconds.

use std::time::Duration;

use serde_json::json;

use super::asked::Action;
use super::fleet::{Exit, Input};
use super::fleet_tests::{KILLED, Script};
use super::options::NODES_MAX;
use super::roster::Roster;
use crate::process::ServerEvent;

const ENDED: Exit = Exit { exit_code: Some(0), signal: None };

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn gone(node: &str) -> ServerEvent {
    ServerEvent::Removed { node: node.into() }
}

fn listed(script: &mut Script) -> Vec<String> {
    let list = script.fleet.list();
    let procs = list["procs"].as_array().expect("a list").iter();
    procs.map(|proc| proc["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Contract: "`add {}`"
#[test]
fn a_node_that_is_wanted_is_made_under_a_name_that_none_had() {
    let roster =
        Roster { nodes: names(&["n1", "n3"]), removed: names(&["n2"]), ..Roster::default() };
    let mut script = Script::of(roster, names(&["n1", "n4"]));
    script.at(0.0, Input::Begin);
    assert_eq!(script.coordinator_up(0.1), ["spawn n1", "spawn n3"]);
    script.event(1.0, 1, ServerEvent::Up);
    // Somebody is wanted before all are ready: who joins is not waited for.
    assert_eq!(script.event(1.1, 0, ServerEvent::WantNode), ["spawn n5"]);
    assert_eq!(script.event(1.2, 2, ServerEvent::Up), ["ready"]);
    let expected = Roster {
        nodes: names(&["n1", "n3", "n5"]),
        joining: names(&["n5"]),
        removed: names(&["n2"]),
    };
    assert_eq!(script.fleet.roster(), expected);
    assert!(script.told.iter().any(|told| told.contains(r#""name":"n5""#)), "{:?}", script.told);
    // It is on its way, also after a death; once it is there another may be wanted.
    assert_eq!(script.event(1.3, 0, ServerEvent::WantNode), Vec::<String>::new());
    assert_eq!(script.exits(1.4, 3, KILLED), Vec::<String>::new());
    assert_eq!(script.event(1.5, 0, ServerEvent::WantNode), Vec::<String>::new());
    assert_eq!(script.at(2.4, Input::Tick), ["spawn n5"]);
    assert_eq!(script.event(3.0, 3, ServerEvent::Up), Vec::<String>::new());
    assert_eq!(script.fleet.roster(), Roster { joining: names(&[]), ..expected });
    assert_eq!(script.event(3.1, 0, ServerEvent::WantNode), ["spawn n6"]);
    assert_eq!(listed(&mut script), ["coordinator", "n1", "n3", "n5", "n6"]);
    // Only the coordinator knows of the membership.
    assert_eq!(script.event(3.2, 1, ServerEvent::WantNode), Vec::<String>::new());
    script.at(4.0, Input::Stop);
    assert_eq!(script.event(4.1, 0, ServerEvent::WantNode), Vec::<String>::new());
}

/// Contract: "`remove {node}` (drain, leave; its process is then stopped and not restarted)"
#[test]
fn a_removed_node_ends_and_never_comes_back() {
    let mut script = Script::ready(3);
    script.ask(2.0, 1, Action::Pause("n2".into()));
    assert_eq!(script.event(3.0, 0, gone("n2")), ["Term n2", "Cont n2"]);
    assert_eq!(script.event(3.0, 0, gone("n2")), Vec::<String>::new());
    let start = script.ask(3.1, 2, Action::Restart("n2".into(), Duration::from_secs(9)));
    assert_eq!(start, ["refuse 2 refused"]);
    assert_eq!(listed(&mut script).len(), 4);
    assert_eq!(script.exits(4.0, 2, ENDED), Vec::<String>::new());
    assert_eq!(script.at(100.0, Input::Tick), Vec::<String>::new());
    assert_eq!(listed(&mut script), ["coordinator", "n1", "n3"]);
    let start = script.ask(101.0, 3, Action::Start("n2".into(), Duration::from_secs(9)));
    assert_eq!(start, ["refuse 3 no_such_node"]);
    let expected =
        Roster { nodes: names(&["n1", "n3"]), removed: names(&["n2"]), ..Roster::default() };
    assert_eq!(script.fleet.roster(), expected);
    assert_eq!(script.event(102.0, 0, ServerEvent::WantNode), ["spawn n4"]);
    // Nodes of others, the coordinator, and what a node says of others.
    for (proc, name) in [(0, "n9"), (0, "coordinator"), (1, "n3")] {
        assert_eq!(script.event(103.0, proc, gone(name)), Vec::<String>::new());
    }
    assert_eq!(script.at(104.0, Input::Stop), ["Term coordinator"]);
    assert_eq!(script.exits(104.1, 0, ENDED), ["Term n1", "Term n3", "Term n4"]);
}

#[test]
fn a_node_that_is_removed_while_it_is_down_stays_down() {
    let mut script = Script::of(Roster::founded(2), names(&[]));
    script.at(0.0, Input::Begin);
    script.coordinator_up(0.1);
    script.event(0.2, 1, ServerEvent::Up);
    // Refused for good by the coordinator, which tells it again: the others are all that there is.
    script.event(0.3, 2, ServerEvent::Fatal { reason: "it was removed".into() });
    assert_eq!(script.exits(0.4, 2, ENDED), Vec::<String>::new());
    assert_eq!(script.shown(2)["state"], json!("gave_up"));
    assert_eq!(script.event(0.5, 0, gone("n2")), ["ready"]);
    assert_eq!(listed(&mut script), ["coordinator", "n1"]);

    let mut script = Script::ready(2);
    script.exits(20.0, 2, KILLED);
    assert_eq!(script.event(20.1, 0, gone("n2")), Vec::<String>::new());
    assert_eq!(script.at(30.0, Input::Tick), Vec::<String>::new());

    let mut script = Script::ready(2);
    script.event(20.0, 0, gone("n2"));
    assert_eq!(script.at(30.0, Input::Tick), ["Kill n2"]);
    assert_eq!(script.exits(30.1, 2, KILLED), Vec::<String>::new());
}

#[test]
fn no_more_nodes_are_made_than_one_supervisor_runs() {
    let mut script = Script::ready(NODES_MAX);
    assert_eq!(script.event(2.0, 0, ServerEvent::WantNode), Vec::<String>::new());
    script.event(3.0, 0, gone("n7"));
    assert_eq!(script.event(4.0, 0, ServerEvent::WantNode), ["spawn n257"]);
}
