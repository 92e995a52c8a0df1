//! The demos that come with the program: each is played at once and unseen, and all that it says
//! must be so; a demo that says what is not so fails and shows the screen.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::cluster::{alone, binary};
use super::procs::{Mark, TempDir, wait_for};
use super::ran::Ran;

/// Runs `piazza demo` with nothing to read; nothing of it may stay.
fn demo(dir: &TempDir, arguments: &[&str]) -> Ran {
    let mark = Mark::new();
    let mut command = Command::new(binary());
    mark.put_on(&mut command).arg("demo").args(arguments);
    command.env("TMPDIR", dir.path()).current_dir(dir.path()).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    wait_for("the end of all that it started", Duration::from_secs(30), || {
        mark.pids().is_empty().then_some(())
    });
    let left = fs::read_dir(dir.path()).expect("our directory").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
    let left: Vec<_> =
        left.iter().filter(|name| name.to_string_lossy().contains("demo-")).collect();
    assert!(left.is_empty(), "{command:?} leaves {left:?}");
    Ran::of(output)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demos")
}

/// The names of the list.
fn names(dir: &TempDir) -> Vec<String> {
    let listed = demo(dir, &["--list", "--json"]).ended(0).objects();
    let name = |one: &Value| one["name"].as_str().map(str::to_owned);
    listed.iter().map(|one| name(one).expect("each has a name")).collect()
}

/// Contract: "piazza demo [NAME|FILE] [--list|--present|--fast|--headless] [--cast FILE.cast] [--json]"
#[test]
fn every_demo_is_in_the_list_and_all_it_says_is_so() {
    let _alone = alone();
    let dir = TempDir::new("demos");
    let names = names(&dir);
    let files = fs::read_dir(folder()).expect("the demos").flatten();
    let files = files.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        Some(name.strip_suffix(".demo")?.to_owned())
    });
    let mut files: Vec<String> = files.collect();
    let mut sorted = names.clone();
    files.sort();
    sorted.sort();
    assert_eq!(sorted, files, "what lies in demos/ is what is listed");
    for name in names {
        let ran = demo(&dir, &[&name, "--headless", "--fast", "--json"]);
        let last = ran.out.lines().last().unwrap_or_default().to_owned();
        assert_eq!(ran.code, Some(0), "{name}: {last}\n{}", ran.err);
        let steps = ran.objects();
        assert_eq!(steps.last().map(|step| &step["result"]), Some(&"passed".into()), "{name}");
        assert!(steps.iter().any(|step| step["caption"].is_string()), "{name}");
        assert!(steps.iter().any(|step| step["result"] == "ok"), "{name}");
    }
}

/// A cluster that is told never to evict does not heal by itself: the demo says what it found, and
/// shows the screen.
#[test]
fn a_demo_whose_cluster_does_otherwise_fails() {
    let _alone = alone();
    let dir = TempDir::new("demo-sabotage");
    let text = fs::read_to_string(folder().join("heal.demo")).expect("it is there");
    let sabotaged = text.replace("evict=3s", "evict=never").replace("within 20s", "within 4s");
    assert_ne!(text, sabotaged);
    let file = dir.path().join("sabotaged.demo");
    fs::write(&file, sabotaged).expect("our directory");
    let file = file.to_str().expect("text");
    let ran = demo(&dir, &[file, "--headless", "--fast"]).ended(1);
    assert!(ran.out.contains("UNMET"), "{}", ran.out);
    assert!(ran.out.contains("node.n4.state = evicted: node.n4.state is"), "{}", ran.out);
    assert!(ran.out.contains("[1 Overview]") && ran.out.contains("n4 "), "{}", ran.out);
    assert!(!ran.out.contains("passed"), "{}", ran.out);
}

#[test]
fn a_bad_script_is_told_with_its_place_and_nothing_is_started() {
    let dir = TempDir::new("demo-bad");
    let file = dir.path().join("bad.demo");
    let text = "title \"T\"\nabout \"A\"\ntakes 9s\ncluster 3\nwait nodes.upp = 3\nprss K\n";
    fs::write(&file, text).expect("our directory");
    let ran = demo(&dir, &[file.to_str().expect("text"), "--headless"]).ended(2);
    assert!(ran.out.is_empty() && ran.err.contains("bad.demo:5:6: "), "{ran:?}");
    assert!(ran.err.contains("did you mean \"nodes.up\"?"), "{ran:?}");
    assert!(ran.err.contains("bad.demo:6:1: unknown verb \"prss\": did you mean \"press\"?"));
    let ran = demo(&dir, &["kill-primry"]).ended(2);
    assert!(ran.err.contains("did you mean \"kill-primary\"?"), "{ran:?}");
    let listed = demo(&dir, &[]).ended(0);
    assert!(listed.out.contains("kill-primary ") && listed.out.contains(" s  "), "{listed:?}");
}

/// What is recorded, played back in a terminal, ends with the screen that the demo ended with.
#[test]
fn a_recording_ends_on_the_last_screen() {
    let _alone = alone();
    let dir = TempDir::new("demo-cast");
    let cast = dir.path().join("kill.cast");
    let cast = cast.to_str().expect("text");
    let ran = demo(&dir, &["kill-primary", "--headless", "--fast", "--json", "--cast", cast]);
    let steps = ran.ended(0).objects();
    let last = steps.last().and_then(|step| step["frame"].as_str()).expect("the last screen");
    let text = fs::read_to_string(cast).expect("it was recorded");
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let header = lines.next().expect("a header");
    assert_eq!(header["version"], 2, "{header}");
    let size = |name: &str| u16::try_from(header[name].as_u64().expect("a size")).expect("small");
    let (rows, columns) = (size("height"), size("width"));
    let at_least_one = |n: u16| std::num::NonZero::new(n).expect("a size");
    let mut terminal = vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0);
    let (mut before, mut labels) = (0.0, Vec::new());
    for event in lines {
        let at = event[0].as_f64().expect("a time");
        assert!(at >= before, "times rise: {event}");
        before = at;
        let data = event[2].as_str().expect("text");
        match event[1].as_str() {
            Some("o") => terminal.process(data.as_bytes()),
            Some("m") => labels.push(data.to_owned()),
            _ => panic!("{event}"),
        }
    }
    assert!(labels.iter().any(|label| label == "kill"), "{labels:?}");
    let shown: Vec<String> = terminal.screen().rows(0, columns).collect();
    let shown: Vec<&str> = shown.iter().map(|row| row.trim_end()).collect();
    assert_eq!(shown, last.lines().collect::<Vec<_>>());
    // Nobody's recording is overwritten.
    demo(&dir, &["kill-primary", "--headless", "--cast", cast]).ended(2);
}
