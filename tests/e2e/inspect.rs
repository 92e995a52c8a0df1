//! `piazza inspect` on directories that real nodes have left behind: what it shows, that it changes
//! nothing, and that damage is told and never ends it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cluster::Cluster;
use super::ran::{Ran, piazza};
use super::wire::ask;

impl Ran {
    /// All objects of this kind that it printed.
    fn of_kind(&self, kind: &str) -> Vec<Value> {
        let mut all = self.objects();
        all.retain(|object| object["kind"] == kind);
        all
    }
}

/// Every file below `dir` with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("it is ours").map(|e| e.expect("e").path()));
        } else {
            found.insert(path.clone(), fs::read(&path).expect("it is ours"));
        }
    }
    found
}

/// H47: a running node's directory is nobody else's, to look at or to serve from; one that is
/// stopped is shown whole and stays as it is.
/// Contract: "piazza inspect DIR [--log|--keystore] [--plain] a node's log and keystore, readable,
/// without a server"
#[test]
fn inspect_shows_a_stopped_node_and_refuses_a_running_one() {
    let mut cluster = Cluster::start("inspect", 3, 2, &[]);
    cluster.wait_healthy(None);
    for number in 0..20 {
        let key = if number == 7 { "a\u{1b}[2J\n".to_owned() } else { format!("k{number}") };
        let put = serde_json::json!({"op": "put", "key": key, "value": "v"});
        assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    }
    let del = serde_json::json!({"op": "del", "key": "k3"});
    assert_eq!(ask(cluster.addr(), &del).expect("an answer")["ok"], true);

    let dir = |node: &str| cluster.data().join(node).to_string_lossy().into_owned();
    let (n1, n2, n3) = (dir("n1"), dir("n2"), dir("n3"));
    let refused = piazza(&cluster, &["inspect", &n1]).ended(2);
    let pid = cluster.pid("n1").expect("it runs").to_string();
    assert!(refused.err.contains("is in use by process") && refused.err.contains(&pid));
    let twice = ["node", "--join", "127.0.0.1:9", "--name", "n1", "--dir", &n1];
    let refused = piazza(&cluster, &twice).ended(5);
    assert!(refused.err.contains("is in use by process"), "{}", refused.err);
    let whole = cluster.data().to_string_lossy().into_owned();
    assert!(piazza(&cluster, &["inspect", &whole]).ended(2).err.contains("n1"));

    let ring = cluster.ring();
    cluster.stop();
    let before = content(&cluster.data());
    for node in [&n1, &n2, &n3] {
        let name = node.rsplit('/').next().expect("a name");
        shows_what_it_holds(&piazza(&cluster, &["inspect", node, "--json"]).ended(0), name, &ring);
    }
    let words = piazza(&cluster, &["inspect", &n1]).ended(0).out;
    let odd =
        words.contains("\\u{1b}[2J\\n") || !ring.holders("a\u{1b}[2J\n").contains(&"n1".into());
    assert!(odd && !words.contains('\u{1b}'), "{words}");
    let compared = piazza(&cluster, &["inspect", "--compare", &n1, &n2]).ended(0).out;
    assert!(compared.contains("all are the same"), "{compared}");
    assert_eq!(content(&cluster.data()), before, "nothing was changed");
    tells_damage(&cluster, &n1, &n2);
}

fn shows_what_it_holds(ran: &Ran, name: &str, ring: &super::cluster::Ring) {
    let keys = ran.of_kind("key");
    let mut expected: BTreeMap<String, (&str, bool)> = BTreeMap::new();
    for number in 0..20 {
        let key = if number == 7 { "a\u{1b}[2J\n".to_owned() } else { format!("k{number}") };
        let place = ring.holders(&key).iter().position(|holder| holder == name);
        let Some(place) = place else { continue };
        expected.insert(key, (if place == 0 { "primary" } else { "replica" }, number == 3));
    }
    let shown: BTreeMap<String, (&str, bool)> = keys
        .iter()
        .map(|key| {
            let text = key["key"].as_str().expect("a key").to_owned();
            let role = key["role"].as_str().expect("a role");
            (text, (role, key["deleted"].as_bool().expect("true or false")))
        })
        .collect();
    assert_eq!(shown, expected, "{name}");
    let [log, keystore] = [&ran.of_kind("log")[0], &ran.of_kind("keystore")[0]];
    let records = ran.of_kind("record");
    assert_eq!(log["records"], records.len());
    assert_eq!(log["torn"], false);
    let prepares = records.iter().filter(|record| record["record"] == "prepare").count();
    assert!(prepares >= expected.len(), "{prepares} prepares of {}", expected.len());
    assert_eq!(keystore["keys_undecided"], 0);
    let live = expected.values().filter(|(_, deleted)| !deleted).count();
    let told = ["keys_primary", "keys_replica"].map(|n| keystore[n].as_u64().expect("a number"));
    assert_eq!((told[0] + told[1], &keystore["keys_stray"]), (live as u64, &0.into()));
}

/// A node that is behind another one is found out, key by key.
/// Contract: "--compare DIR DIR"
#[test]
fn inspect_compares_two_nodes() {
    let mut cluster = Cluster::start("compare", 2, 2, &[]);
    let put = |cluster: &Cluster, key: &str| {
        let put = serde_json::json!({"op": "put", "key": key, "value": "v"});
        assert_eq!(ask(cluster.addr(), &put).expect("an answer")["ok"], true);
    };
    cluster.wait_healthy(None);
    put(&cluster, "old");
    put(&cluster, "changed");
    cluster.stop();
    let (n1, n2) = (cluster.data().join("n1"), cluster.data().join("n2"));
    let earlier = cluster.data().with_extension("earlier");
    copy_all(&n1, &earlier);
    cluster.start_again();
    cluster.wait_healthy(None);
    put(&cluster, "changed");
    put(&cluster, "new");
    cluster.stop();

    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (n1, n2, earlier) = (text(&n1), text(&n2), text(&earlier));
    let same = piazza(&cluster, &["inspect", "--compare", "--json", &n1, &n2]).ended(0);
    assert_eq!(same.of_kind("comparison")[0]["compared"], 3);
    let ran = piazza(&cluster, &["inspect", "--compare", "--json", &earlier, &n2]).ended(1);
    let differ: Vec<_> = ran.of_kind("difference").iter().map(|d| d["key"].clone()).collect();
    assert_eq!(differ, ["changed", "new"]);
    assert_eq!(ran.of_kind("difference")[1]["nodes"][0]["version"], Value::Null);
    assert_eq!(ran.of_kind("comparison")[0]["different"], 2);
    let words = piazza(&cluster, &["inspect", "--compare", &earlier, &n2]).ended(1).out;
    assert!(words.contains("\"new\"  n1 has nothing, n2 has 2."), "{words}");
    let one = piazza(&cluster, &["inspect", "--compare", &earlier, &n1]).ended(2);
    assert!(one.err.contains("of one node"), "{}", one.err);
}

fn copy_all(from: &Path, to: &Path) {
    for (file, content) in content(from) {
        let target = to.join(file.strip_prefix(from).expect("it is below"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a directory of ours");
        fs::write(target, content).expect("a directory of ours");
    }
}

/// Cuts and rots the files of `n1`.
fn tells_damage(cluster: &Cluster, n1: &str, n2: &str) {
    let log = Path::new(n1).join("log/log-00000000000000000001");
    let whole = fs::read(&log).expect("the log");
    let shown = piazza(cluster, &["inspect", n1, "--log", "--json"]).ended(0);
    let used = shown.of_kind("segment_end")[0]["used"].as_u64().expect("a number") as usize;
    let mut torn = whole.clone();
    torn[used..used + 300].fill(7);
    fs::write(&log, &torn).expect("it is ours");
    let words = piazza(cluster, &["inspect", n1, "--log"]).ended(0).out;
    assert!(words.contains("TORN TAIL"), "{words}");

    let mut rotten = whole.clone();
    rotten[700] ^= 1;
    fs::write(&log, &rotten).expect("it is ours");
    let words = piazza(cluster, &["inspect", n1, "--plain"]).ended(5).out;
    assert!(words.contains("DAMAGED log: group 1 of the log is damaged"), "{words}");
    fs::write(&log, &whole[..100]).expect("it is ours");
    piazza(cluster, &["inspect", n1]).ended(5);
    fs::write(&log, &whole).expect("it is ours");

    let state = Path::new(n1).join("log/state.a");
    let saved = fs::read(&state).expect("the state file");
    fs::write(&state, b"nonsense").expect("it is ours");
    let words = piazza(cluster, &["inspect", n1]).ended(5).out;
    assert!(words.contains("state.a has a wrong length"), "{words}");
    fs::write(&state, saved).expect("it is ours");

    let keys = Path::new(n1).join("keys");
    for (file, content) in content(&keys) {
        if content.is_empty() {
            continue;
        }
        let mut rotten = content.clone();
        rotten[content.len() / 2] ^= 4;
        fs::write(&file, &rotten).expect("it is ours");
        let ran = piazza(cluster, &["inspect", n1, "--keystore"]);
        assert!(matches!(ran.code, Some(0 | 5)), "{}: {:?}", file.display(), ran.code);
        fs::write(&file, &content).expect("it is ours");
    }
    // The log alone still says it all: it was never freed.
    fs::rename(&keys, keys.with_extension("away")).expect("it is ours");
    fs::rename(Path::new(n2).join("keys"), &keys).expect("it is ours");
    let ran = piazza(cluster, &["inspect", n1, "--keystore"]).ended(5);
    assert!(ran.out.contains("belongs to store"), "{}", ran.out);
}
