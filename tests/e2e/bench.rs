//! The load generator against a real cluster: as a library while a node is killed, and as `bench`.

use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::load::{self, OK, Plan, Report, Running};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::procs::wait_for;
use super::ran::{Ran, piazza};
use super::wire::{Conn, Reply};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A load that a test ends.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn a_load_goes_on_while_a_node_is_dead() {
    let cluster = Cluster::start("load", 3, 2, &[]);
    let victim = cluster.node_names()[0].clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.expect("a runtime").block_on(async {
        let plan = Plan {
            work: load::Work::Drawn {
                mix: "get=4,put=3,update=1,cas=1,del=1".parse().expect("a mix"),
                distribution: load::Distribution::Zipf { theta: 0.99 },
            },
            keys: 500,
            depth: 4,
            once: true,
            duration: Some(FOR_EVER),
            ..Plan::default()
        };
        let addr = cluster.addr().to_string();
        let mut running = load::start(&addr, plan).await.expect("the cluster is ready");
        until(&mut running, "2000 operations", |report| report.ops > 2000).await;
        cluster.kill(&victim);
        until(&mut running, "refusals", |report| report.count("replica_down") > 100).await;
        let before = running.report().count(OK);
        until(&mut running, "more successes", |report| report.count(OK) > before + 100).await;
        running.stopper().stop();
        running.ended().await;
        running.report()
    });
    println!("{report:?}");
    let counts = report.kinds.values().map(|kind| kind.count);
    assert_eq!((counts.sum::<u64>(), report.kinds.len()), (report.ops, 5));
    for kind in report.kinds.values() {
        assert_eq!(kind.outcomes.values().sum::<u64>(), kind.count, "{kind:?}");
        assert!(kind.outcomes[OK] > 0 && kind.latency.p50_us > 0.0, "{kind:?}");
    }
    let answered: u64 = report.kinds.values().map(|kind| kind.latency.count).sum();
    assert_eq!(answered + report.errors().values().sum::<u64>(), report.ops);
    let expected = ["replica_down", "unknown_outcome", "timeout", "aborted"];
    assert!(report.errors().keys().all(|code| expected.contains(&code.as_str())));
    assert!(report.unanswered <= 64 && report.connections_lost == 0);
}

async fn until(running: &mut Running, what: &str, is_so: impl Fn(&Report) -> bool) {
    let seen = async {
        while !is_so(&running.report()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(WAIT_MAX, seen).await;
    assert!(waited.is_ok(), "no {what}: {:?}", running.report());
}

/// Contract: "piazza bench ..."
#[test]
fn bench() {
    let mut cluster = Cluster::start("bench", 3, 2, &[]);
    it_adds_up(&cluster);
    a_rate_is_kept(&cluster);
    others_keys_are_left_alone(&cluster);
    what_cannot_be_is_refused(&cluster);
    ctrl_c_ends_it_early(&cluster);
    a_node_is_killed_meanwhile(&cluster);
    cluster.kill_everything();
    // A process that has not quite ended may still take a connection.
    wait_for("nobody to listen", WAIT_MAX, || Conn::open(cluster.addr()).err());
    assert!(run(&cluster, &[]).ended(3).err.contains("cannot connect"));
    assert_eq!(run(&cluster, &["--json"]).ended(3).object()["code"], "not_connected");
}

fn run(cluster: &Cluster, arguments: &[&str]) -> Ran {
    let addr = cluster.addr().to_string();
    piazza(cluster, &[&["bench", "--addr", &addr][..], arguments].concat())
}

/// The keys with this prefix.
fn keys(cluster: &Cluster, prefix: &str) -> Vec<String> {
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    let page = conn.call(&json!({"op": "scan", "prefix": prefix, "limit": 1000}));
    let page = page.expect("an answer");
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
    items.iter().map(|item| item["key"].as_str().expect("a key").to_owned()).collect()
}

/// The figures of the object are consistent.
fn check(object: &Value) {
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value}: {object}"));
    let (mut all, mut answered, mut failed) = (0, 0, 0);
    for kind in object["kinds"].as_object().expect("kinds").values() {
        let outcomes = kind["outcomes"].as_object().expect("outcomes").values();
        assert_eq!(outcomes.map(number).sum::<u64>(), number(&kind["count"]), "{object}");
        all += number(&kind["count"]);
        answered += number(&kind["latency"]["count"]);
        let times = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
        let times = times.map(|name| kind["latency"][name].as_f64().expect("a time"));
        assert!(times.is_sorted(), "{object}");
    }
    failed += object["errors"].as_object().expect("errors").values().map(number).sum::<u64>();
    assert_eq!((all, answered + failed), (number(&object["ops"]), number(&object["ops"])));
    let rate = number(&object["ops"]) as f64 / object["seconds"].as_f64().expect("seconds");
    let told = object["rate"].as_f64().expect("a rate");
    assert!((told - rate).abs() <= 0.1 + rate * 1e-6, "{told}, not {rate}: {object}");
}

fn it_adds_up(cluster: &Cluster) {
    let arguments = ["--ops", "3000", "--keys", "300", "--connections", "4", "--depth", "4"];
    let mix = ["--mix", "get=5,put=2,update=1,cas=1,del=1", "--distribution", "zipf:1.1", "--json"];
    let object = run(cluster, &[&arguments[..], &mix].concat()).ended(0).object();
    check(&object);
    assert_eq!(object["ops"], 3000, "{object}");
    // A node may refuse an update where it does not know of what that rests on.
    let errors = object["errors"].as_object().expect("errors");
    assert!(errors.keys().all(|code| code == "aborted"), "{object}");
    assert_eq!((&object["keys_left"], &object["interrupted"]), (&json!(0), &json!(false)));
    assert_eq!(object["kinds"].as_object().map(serde_json::Map::len), Some(5));
    assert_eq!(keys(cluster, "bench:"), [""; 0]);
    // For people: the same as a table; and what was made may stay.
    let ran =
        run(cluster, &["--ops", "500", "--keys", "20", "--keep", "--prefix", "mine/"]).ended(0);
    assert!(ran.out.contains("OP ") && ran.out.contains("\nget ") && ran.out.contains("\nput "));
    assert!(ran.err.starts_with("filling 20 keys that begin with mine/load-\n"), "{ran:?}");
    assert_eq!(keys(cluster, "mine/").len(), 20);
    let again = ["--ops", "1", "--keys", "20", "--no-fill", "--prefix", "mine/"];
    let ran = run(cluster, &again).ended(0);
    assert_eq!((ran.err.as_str(), keys(cluster, "mine/").len()), ("removed all 20 keys\n", 0));
}

fn a_rate_is_kept(cluster: &Cluster) {
    let arguments = ["--rate", "2000", "--ops", "1000", "--keys", "50", "--json"];
    let object = run(cluster, &arguments).ended(0).object();
    check(&object);
    assert_eq!((&object["ops"], &object["rate_asked"]), (&json!(1000), &json!(2000)), "{object}");
    assert_eq!((&object["unsent"], &object["start_delay"]["count"]), (&json!(0), &json!(1000)));
    // The last one is not due before.
    assert!(object["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.4995), "{object}");
}

fn others_keys_are_left_alone(cluster: &Cluster) {
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    for key in ["theirs:a", "theirs:z", "theirs:load-00000001x"] {
        assert!(matches!(conn.put(key, "kept"), Reply::Ok(_)), "put {key}");
        let arguments = ["--prefix", "theirs:", "--ops", "50", "--keys", "10"];
        if !key.ends_with('x') {
            let ran = run(cluster, &arguments).ended(2);
            assert!(ran.err.contains(key) && ran.err.contains("--yes"), "{ran:?}");
        }
        run(cluster, &[&arguments[..], &["--yes"]].concat()).ended(0);
        assert_eq!(keys(cluster, "theirs:"), [key]);
        assert!(matches!(conn.del(key), Reply::Ok(_)), "del {key}");
    }
}

fn what_cannot_be_is_refused(cluster: &Cluster) {
    for (arguments, why) in [
        (["--mix", "get=1,dance=2"], "none of get"),
        (["--distribution", "gauss"], "uniform, zipf"),
        (["--keys", "0"], "number of keys"),
        (["--connections", "5000"], "number of connections"),
        (["--rate", "0"], "the rate"),
        (["--value-bytes", "1048577"], "--value-bytes"),
    ] {
        let ran = run(cluster, &arguments).ended(2);
        assert!(ran.err.contains(why) && ran.out.is_empty(), "{arguments:?}: {ran:?}");
    }
    assert_eq!(keys(cluster, ""), [""; 0]);
}

/// Starts a bench that only a signal ends, and waits until it measures.
fn start(cluster: &Cluster, more: &[&str]) -> Child {
    let mut command = cluster.command();
    command.args([
        "bench",
        "--duration",
        "1h",
        "--no-fill",
        "--mix",
        "get=1,put=9",
        "--keys",
        "90",
    ]);
    command.args(["--addr", &cluster.addr().to_string()]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    wait_for("its first keys", WAIT_MAX, || (keys(cluster, "bench:").len() == 90).then_some(()));
    child
}

fn interrupt(child: Child) -> Ran {
    let pid = i32::try_from(child.id()).expect("a process");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("it runs");
    Ran::of(child.wait_with_output().expect("it is our child"))
}

fn ctrl_c_ends_it_early(cluster: &Cluster) {
    let ran = interrupt(start(cluster, &[])).ended(130);
    assert!(ran.out.contains("\nput "), "{ran:?}");
    assert_eq!((ran.err.as_str(), keys(cluster, "bench:").len()), ("removed all 90 keys\n", 0));
    let object = interrupt(start(cluster, &["--json", "--rate", "500"])).ended(130).object();
    check(&object);
    assert_eq!((&object["interrupted"], &object["keys_left"]), (&json!(true), &json!(0)));
}

fn a_node_is_killed_meanwhile(cluster: &Cluster) {
    let child = start(cluster, &["--json"]);
    let victim = cluster.node_names()[1].clone();
    cluster.kill(&victim);
    wait_for("refusals", WAIT_MAX, || {
        let status = cluster.status()?;
        let told = status["ops"].to_string();
        told.contains("replica_down").then_some(())
    });
    // It needs all nodes to remove its keys.
    cluster.restart(&victim);
    let object = interrupt(child).ended(130).object();
    check(&object);
    assert!(object["errors"]["replica_down"].as_u64() > Some(0), "{object}");
    assert_eq!((&object["keys_left"], keys(cluster, "bench:").len()), (&json!(0), 0), "{object}");
}
