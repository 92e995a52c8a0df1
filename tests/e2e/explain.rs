//! `piazza explain` on a real cluster: plans, what was carried out, what was refused, a dead node.

use std::time::Duration;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::{Ran, piazza};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Nothing is coloured or wider than a terminal.
fn is_plain(ran: &Ran) {
    assert!(!ran.out.contains('\x1b'), "{ran:?}");
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
}

/// The last line.
fn closing(ran: &Ran) -> &str {
    ran.out.lines().last().expect("a sentence")
}

/// Contract: "locate · explain · watch"
#[test]
fn explain() {
    let cluster = Cluster::start("explain", 3, 2, &[]);
    cluster.wait_healthy(None);
    let addr = cluster.addr().to_string();
    let run = |arguments: &[&str]| {
        piazza(&cluster, &[&["explain"], arguments, &["--addr", &addr]].concat())
    };
    let plan = run(&["put", "a", "1"]).ended(0);
    is_plain(&plan);
    assert!(closing(&plan).starts_with("nothing was done"), "{plan:?}");
    assert_eq!(plan.out.matches("sync ").count(), 2, "{}", plan.out);
    let missing = run(&["get", "a", "--run"]).ended(1);
    is_plain(&missing);
    assert!(missing.out.contains("node_read") && missing.err.contains("no key \"a\""));
    let put = run(&["put", "a", "1", "--run"]).ended(0);
    is_plain(&put);
    assert!(put.out.contains("ok, version 1."), "{}", put.out);
    assert!(closing(&put).starts_with("of ") && closing(&put).contains(" us were "));
    let hit = run(&["get", "a", "--run"]).ended(0);
    assert!(hit.out.contains("a hit in set") && !hit.out.contains("node_read"), "{}", hit.out);
    let object = run(&["get", "a", "--run", "--json"]).ended(0).object();
    assert!(object["ok"] == true && object["total_us"].is_u64(), "{object}");
    let refused = run(&["put", "a", "2", "--if-absent", "--run", "--json"]).ended(1);
    let object = refused.object();
    assert!(refused.out.is_empty() && object["code"] == "exists", "{object}");
    assert!(object["steps"].is_array(), "{object}");
    run(&["put", "a"]).ended(0);
    run(&["cas", "a", "2", "3"]).ended(2);
    is_plain(&run(&["get", "\x1b[31ma"]).ended(0));

    let victim = cluster.ring().holders("a").pop().expect("two copies");
    cluster.kill(&victim);
    wait_for("the dead node suspect or down", WAIT_MAX, || {
        cluster.node_state(&victim).filter(|state| state == "suspect" || state == "down")
    });
    let plan = run(&["put", "a", "2"]).ended(0);
    assert!(plan.out.contains("replica_down") && plan.out.contains(&victim), "{}", plan.out);
    let refused = run(&["put", "a", "2", "--run"]).ended(3);
    is_plain(&refused);
    assert!(refused.out.contains("replica_down") && refused.err.contains(&victim), "{refused:?}");
}
