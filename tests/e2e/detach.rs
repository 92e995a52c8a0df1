//! `piazza up --detach` and `--fresh`, and the commands that need no cluster.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cluster::{beside_others, binary};
use super::procs::{Mark, TempDir, wait_for};

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Contract: "[--headless|--detach] [--fresh]"
/// Contract: "logs [NAME]"
/// Contract: "`--fresh` deletes only a directory with a valid `cluster.json` and no running
/// supervisor"
/// Contract: "piazza token new · completions SHELL · man DIR"
/// Contract: "(files 0600, 32 bytes or more; `piazza token new`)"
#[test]
fn up_goes_into_the_background_and_begins_afresh() {
    let _turn = beside_others();
    let dir = TempDir::new("detach");
    let mark = Mark::new();
    let piazza = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(dir.path()).stdin(Stdio::null());
        let output = mark.put_on(&mut command).output().expect("it starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let up = ["up", "--detach", "--any-port", "--nodes", "2", "--dir", "data"];
    let (code, out, err) = piazza(&up);
    assert!(code == Some(0) && out.starts_with("ready {"), "{code:?} {out}{err}");
    assert_eq!(mark.pids().len(), 4, "it goes on: a supervisor, a coordinator, two nodes");
    let at = ["--dir", "data"];
    assert_eq!(piazza(&[&["put", "k", "v"], &at[..]].concat()).0, Some(0));
    let fresh = [&up[..], &["--fresh"]].concat();
    let (code, _, err) = piazza(&fresh);
    assert!(code == Some(2) && err.contains("is in use by the supervisor"), "{code:?} {err}");
    assert_eq!(piazza(&[&["get", "k"], &at[..]].concat()).0, Some(0));
    let logs = piazza(&[&["logs", "n1"], &at[..]].concat());
    assert!(logs.0 == Some(0) && logs.1.contains("node listens"), "{logs:?}");
    assert_eq!(piazza(&[&["logs", "n7"], &at[..]].concat()).0, Some(2));
    assert_eq!(piazza(&[&["down"], &at[..]].concat()).0, Some(0));
    wait_for("the end of all processes", WAIT_MAX, || mark.pids().is_empty().then_some(()));

    let (code, out, err) = piazza(&fresh);
    assert!(code == Some(0) && out.starts_with("ready {"), "{code:?} {out}{err}");
    assert_eq!(piazza(&[&["get", "k"], &at[..]].concat()).0, Some(1), "it is another cluster");
    assert_eq!(piazza(&[&["down"], &at[..]].concat()).0, Some(0));
    let left = fs::read_dir(dir.path()).expect("ours").count();
    assert_eq!(left, 1, "nothing is left of the first one");

    let (code, token, _) = piazza(&["token", "new"]);
    assert!(code == Some(0) && token.trim_end().len() == 64, "{token}");
    assert!(piazza(&["completions", "bash"]).1.contains("complete -F"));
    assert_eq!(piazza(&["completions", "dos"]).0, Some(2));
    assert_eq!(piazza(&["man", "pages"]).0, Some(0));
    assert!(dir.path().join("pages/piazza-inspect.1").exists());
}
