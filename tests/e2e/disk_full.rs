//! A node's disk is full, for a while: its keys' updates are refused and say why, reads go on, and
//! when there is space again updates are taken, by the same process. Nothing acknowledged is lost.
//!
//! The node's directory lies on a small tmpfs, and a ballast takes what is left of that. Needs
//! root for the mount, which is made in a mount namespace of its own: so it never stays. Says so
//! where it is skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::{Cluster, alone};
use super::procs::{TempDir, dying_with_us, wait_for};
use super::wire::{Conn, Reply};

/// Set in the process that has the namespace.
const INSIDE: &str = "PIAZZA_DISK_FULL_INSIDE";
const DISK_BYTES: u64 = 256 << 20;
const VALUE_BYTES: usize = 500_000;
/// Far more than the log has room for.
const UPDATES_MAX: usize = 400;
pub(super) const WAIT_MAX: Duration = Duration::from_secs(120);

#[test]
fn disk_full_refuses_updates_until_there_is_space() {
    let name = "e2e::disk_full::disk_full_refuses_updates_until_there_is_space";
    where_it_may_mount(name, fill_and_free);
}

/// Runs a test in a process of its own that may mount what nobody else sees; `name` is the test's.
pub(super) fn where_it_may_mount(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let unshare = ["--mount", "--propagation", "private", "--"];
    let mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    let possible = Command::new("unshare").args(unshare).args(mount).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        // Not `eprintln!`: of a test that passes, that is not shown.
        let _ = writeln!(std::io::stderr(), "SKIPPED {name}: it mounts a tmpfs: run it as root");
        return;
    }
    let _alone = alone();
    let mut inside = dying_with_us("unshare");
    inside.args(unshare).arg(std::env::current_exe().expect("this program has a path"));
    inside.args([name, "--exact"]);
    let status = inside.arg("--nocapture").env(INSIDE, "1").status();
    let status = status.unwrap_or_else(|error| panic!("{inside:?}: {error}"));
    assert!(status.success(), "it failed: {status}; see above");
}

fn fill_and_free() {
    let files = TempDir::new("small-disk");
    let mut cluster = Cluster::start("disk-full", 2, 2, &[]);
    cluster.wait_healthy(None);
    let node = cluster.node_names()[0].clone();
    cluster.kill_everything();
    move_to_tmpfs(&cluster.data().join(&node), files.path());
    cluster.start_again();
    cluster.wait_healthy(None);
    let pid = cluster.pid(&node);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    let mut acknowledged = BTreeMap::new();
    put(&mut conn, &mut acknowledged, 0).expect("there is space");

    let ballast = files.path().join("ballast");
    fill(&ballast);
    let refused = (1..UPDATES_MAX).find_map(|n| put(&mut conn, &mut acknowledged, n).err());
    let refused = refused.expect("the disk is full");
    println!("disk_full: {} updates, then {refused}", acknowledged.len());
    assert_eq!(refused["code"], "aborted", "{refused}");
    assert_eq!((&refused["reason"], &refused["node"]), (&json!("disk_full"), &json!(node)));
    read_back(&mut conn, &acknowledged);
    for n in 0..50 {
        let answer = put(&mut conn, &mut acknowledged, n).expect_err("it is full still");
        assert_eq!(answer["reason"], "disk_full", "{answer}");
    }

    fs::remove_file(&ballast).expect("the ballast");
    wait_for("an update taken again", WAIT_MAX, || put(&mut conn, &mut acknowledged, 1).ok());
    for n in 0..UPDATES_MAX / 4 {
        put(&mut conn, &mut acknowledged, n).unwrap_or_else(|answer| panic!("{n}: {answer}"));
    }
    assert_eq!(cluster.pid(&node), pid, "the same process");
    read_back(&mut conn, &acknowledged);
    cluster.kill_everything();
    cluster.start_again();
    cluster.wait_healthy(None);
    let mut conn = Conn::open(cluster.addr()).expect("the cluster is ready");
    read_back(&mut conn, &acknowledged);
    drop(cluster);
    let _ = Command::new("umount").arg(files.path()).status();
}

/// Writes a long value; the answer if it is refused.
fn put(
    conn: &mut Conn,
    acknowledged: &mut BTreeMap<String, String>,
    number: usize,
) -> Result<(), Value> {
    let key = format!("key-{number}");
    let value = format!("{}:{}", acknowledged.len(), "x".repeat(VALUE_BYTES));
    let answer = conn.call(&json!({"op": "put", "key": key, "value": value}));
    let answer = answer.expect("the connection lives on");
    if answer["ok"] != true {
        return Err(answer);
    }
    acknowledged.insert(key, value);
    Ok(())
}

fn read_back(conn: &mut Conn, acknowledged: &BTreeMap<String, String>) {
    for (key, value) in acknowledged {
        match conn.get(key) {
            Reply::Ok(answer) => assert!(answer["value"] == **value, "{key} is another value"),
            other => panic!("get {key}: {other:?}"),
        }
    }
}

/// Moves a node's directory onto a tmpfs at `mount`; the node must not run.
pub(super) fn move_to_tmpfs(directory: &Path, mount: &Path) {
    let size = format!("size={DISK_BYTES}");
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {output:?}");
    };
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(mount));
    let to = mount.join("node");
    run(Command::new("cp").args(["-a", "--sparse=always"]).arg(directory).arg(&to));
    fs::remove_dir_all(directory).expect("the node's first directory");
    std::os::unix::fs::symlink(&to, directory).expect("a link to the tmpfs");
}

/// Writes a file until the disk is full.
pub(super) fn fill(ballast: &Path) {
    let mut file = fs::File::create(ballast).expect("a new file");
    let zeros = vec![0; 64 << 10];
    while file.write_all(&zeros).is_ok() {}
}
