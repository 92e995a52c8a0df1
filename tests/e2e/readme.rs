//! The README's sessions at the terminal are typed in, command by command, and print what it says.
//!
//! Runs the `console` blocks of the sections named below in one directory, from first to last, as a
//! reader would; `cargo run --release -- up` is the cluster of the test. Ports are free ones instead
//! of the README's. Of the output, figures may differ and `...` stands for anything, within a line
//! or for any number of lines. Needs bash, nc and Debian's `wamerican`: without them the test is
//! skipped, and says so, unless `CI` is set.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::cluster::{Cluster, binary};
use super::procs::{TempDir, wait_for};

const README: &str = include_str!("../../README.md");
/// The sections that are typed in.
const SECTIONS: [&str; 2] = ["## The first ten minutes", "## The first outage"];
/// What starts the cluster in the README; no program to be run here.
const UP: &str = "cargo run --release -- up";
/// How long the nodes' first heartbeats may take.
const HEARTBEATS_MAX: Duration = Duration::from_secs(60);
const NEEDED: [&str; 2] = ["/usr/bin/nc", "/usr/share/dict/american-english"];

/// A command and what it prints.
#[derive(Debug)]
struct Step {
    /// Its line in the README, from 1.
    line: usize,
    command: String,
    output: Vec<String>,
}

/// The steps of `section`, a heading: what begins with `$` in its `console` blocks.
fn steps(section: &str) -> Vec<Step> {
    let (mut inside, mut console) = (false, false);
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in README.lines().enumerate() {
        if line.starts_with("## ") {
            inside = line == section;
        }
        if line.starts_with("```") {
            console = inside && line == "```console";
        } else if console && let Some(command) = line.strip_prefix("$ ") {
            let (line, command) = (number + 1, command.to_owned());
            steps.push(Step { line, command, output: Vec::new() });
        } else if console {
            steps.last_mut().expect("a block begins with a command").output.push(line.to_owned());
        }
    }
    steps
}

/// What is compared of a line: its words, each run of digits as one, long names as one.
fn shape(line: &str) -> Vec<String> {
    let shape = |word: &str| {
        let bare = word.trim_end_matches(',');
        if bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return "UUID".to_owned();
        }
        let mut shape = String::new();
        for char in word.chars() {
            match char {
                '0'..='9' if shape.ends_with('0') => {}
                '0'..='9' => shape.push('0'),
                char => shape.push(char),
            }
        }
        shape
    };
    line.split_whitespace().map(shape).collect()
}

/// Whether `line` is what the README shows as `shown`.
fn is_shown(shown: &str, line: &str) -> bool {
    let pieces: Vec<String> = shown.split("...").map(|piece| shape(piece).join(" ")).collect();
    let line = shape(line).join(" ");
    let (first, rest) = pieces.split_first().expect("split gives one at least");
    let Some((last, middle)) = rest.split_last() else { return line == *first };
    let Some(mut left) = line.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some(at) = left.find(piece.as_str()) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last.as_str())
}

/// Whether `lines` are what the README shows.
fn are_shown(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, later)), _) if first.trim() == "..." => {
            (0..=lines.len()).any(|skipped| are_shown(later, &lines[skipped..]))
        }
        (Some((first, later)), Some((line, rest))) => {
            is_shown(first, line) && are_shown(later, rest)
        }
        _ => false,
    }
}

/// Where the commands are typed in.
struct Terminal {
    cluster: Cluster,
    dir: TempDir,
    path: String,
}

impl Terminal {
    fn open() -> Self {
        let cluster = Cluster::start("readme", 5, 2, &[]);
        // A reader has typed nothing before all nodes have told their figures.
        wait_for("heartbeats", HEARTBEATS_MAX, || {
            let nodes = cluster.status()?["nodes"].as_array()?.clone();
            nodes.iter().all(|node| node["keys_primary"].is_number()).then_some(())
        });
        let dir = TempDir::new("readme-terminal");
        symlink(cluster.data(), dir.path().join("piazza-data")).expect("a directory of our own");
        let binary = binary();
        let bin = binary.parent().expect("a program is in a directory");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Self { cluster, dir, path }
    }

    /// What is printed, on standard output and error as they come.
    fn run(&mut self, step: &Step) -> String {
        if step.command.starts_with(UP) {
            // Everything was killed; the terminal in which it ran is the test itself.
            self.cluster.kill_everything();
            self.cluster.start_again();
            return String::new();
        }
        let mut bash = self.cluster.command_of("bash");
        let ready = [
            ("127.0.0.1 8080", self.cluster.addr().to_string().replace(':', " ")),
            ("127.0.0.1:8080", self.cluster.addr().to_string()),
            ("127.0.0.1:9191", self.cluster.supervisor_addr().to_string()),
        ];
        let command =
            ready.iter().fold(step.command.clone(), |text, (from, to)| text.replace(from, to));
        bash.arg("-c").arg(format!("exec 2>&1; {command}"));
        bash.current_dir(self.dir.path()).env("PATH", &self.path).env_remove("PIAZZA_ADDR");
        let output = bash.stdin(Stdio::null()).stderr(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{bash:?}: {error}"));
        String::from_utf8(output.stdout).expect("text")
    }
}

#[test]
fn readme_sessions_print_what_they_show() {
    if let Some(missing) = NEEDED.iter().find(|path| !Path::new(path).exists()) {
        assert!(std::env::var_os("CI").is_none(), "{missing} is missing: install it");
        let _ = writeln!(std::io::stderr(), "SKIPPED the README's sessions: no {missing}");
        return;
    }
    let mut terminal = Terminal::open();
    for section in SECTIONS {
        let steps = steps(section);
        assert!(steps.len() > 5, "{section}: {} commands", steps.len());
        for step in steps {
            let printed = terminal.run(&step);
            let lines: Vec<&str> = printed.lines().collect();
            // The reader sees the start in the other terminal.
            let told = step.command.starts_with(UP) || are_shown(&step.output, &lines);
            let Step { line, command, output } = &step;
            assert!(
                told,
                "README.md:{line}\n$ {command}\nshows:\n{}\nprinted:\n{printed}",
                output.join("\n")
            );
        }
    }
}

#[test]
fn readme_lines_are_compared_but_for_their_figures() {
    for (shown, line, is) in [
        ("written, version 1.1", "written, version 12.345", true),
        ("written, version 1.1", "written, versions 12.345", false),
        ("n1  up   17 ms ago", "n2 up 453 ms ago", true),
        ("n1  up   17 ms ago", "n2 down 453 ms ago", false),
        ("imported 104334 keys in 4.2 s, ...", "imported 1 keys in 10.25 s, 3/s", true),
        ("{\"a\":1,...,\"b\":\"x\"}", "{\"a\":7,\"c\":3,\"b\":\"x\"}", true),
        ("{\"a\":1,...,\"b\":\"x\"}", "{\"a\":7,\"c\":3,\"b\":\"y\"}", false),
        ("id 0166ed61cf578171e0fbf8ef4d48144a", "id 6baf3b8cdbd84cfd66b732ef2e911ee6", true),
    ] {
        assert_eq!(is_shown(shown, line), is, "{shown:?} {line:?}");
    }
    let shown = ["a", "...", "z"].map(String::from);
    assert!(are_shown(&shown, &["a", "b", "c", "z"]) && are_shown(&shown, &["a", "z"]));
    assert!(!are_shown(&shown, &["a", "b"]) && !are_shown(&shown, &["a", "z", "b"]));
}
