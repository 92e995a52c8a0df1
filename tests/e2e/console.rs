//! The console on a real terminal with a real cluster of five nodes: what a first-time viewer reads
//! while servers are killed, paused and come back, and that the terminal is as before however it
//! ends.
//!
//! `PIAZZA_SCREENS=DIR` keeps the screens of each moment as text.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cluster::{Cluster, binary};
use super::procs::{Mark, TempDir, wait_for};
use super::terminal::Terminal;
use super::wire::Conn;

const COLUMNS: NonZeroU16 = NonZeroU16::new(120).expect("columns");
const ROWS: NonZeroU16 = NonZeroU16::new(36).expect("rows");
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Keys, so that there is something to have one copy of.
const KEYS: usize = 400;

/// A console on a terminal.
pub(super) struct Shown {
    pub(super) terminal: Terminal,
    /// Where screens are kept.
    screens: Option<PathBuf>,
    _state: TempDir,
}

impl Shown {
    /// A console of a cluster of five nodes that are well.
    pub(super) fn of(cluster: &Cluster, arguments: &[&str]) -> Self {
        let shown = Self::begin(cluster, arguments);
        // The hints name the keys that change the cluster once the supervisor is heard.
        shown.wait("live", "calm", &["LIVE", "5/5 up", "kill -9"]);
        shown
    }

    /// A console of a cluster of which so many are up.
    pub(super) fn beside(cluster: &Cluster, up: &str) -> Self {
        let shown = Self::begin(cluster, &[]);
        shown.wait("live", "late", &["LIVE", up, "kill -9"]);
        shown
    }

    fn begin(cluster: &Cluster, arguments: &[&str]) -> Self {
        let state = TempDir::new("console-state");
        let mut command = cluster.command();
        command.arg("console").arg("--addr").arg(cluster.addr().to_string()).args(arguments);
        let terminal = Terminal::of_size(&command, state.path(), COLUMNS, ROWS);
        let screens = std::env::var_os("PIAZZA_SCREENS").map(PathBuf::from);
        Self { terminal, screens, _state: state }
    }

    /// Waits until all of these words are on the screen, and keeps it. Of some that are told for a
    /// while only, and what is told after that, either will do: they stand with `|` between them.
    pub(super) fn wait(&self, what: &str, name: &str, words: &[&str]) {
        self.terminal.wait(what, |screen| {
            // A sentence may go on in another row.
            let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            words.iter().all(|either| either.split('|').any(|word| flat.contains(word)))
        });
        if let Some(screens) = &self.screens {
            std::fs::create_dir_all(screens).expect("a directory");
            std::fs::write(screens.join(format!("{name}.txt")), self.terminal.screen())
                .expect("a file");
        }
    }

    /// Types a key that asks before it does anything, and waits for the question.
    pub(super) fn ask(&mut self, key: &str, name: &str, words: &[&str]) {
        self.terminal.type_keys(key);
        self.wait("the question", name, words);
    }

    /// The same, and answers it with yes.
    pub(super) fn confirm(&mut self, key: &str, name: &str, words: &[&str]) {
        self.ask(key, name, words);
        self.terminal.type_keys("y");
    }

    /// Selects a server: the hints say which one it is.
    pub(super) fn select(&mut self, server: &str) {
        let selected = format!("{server}: K kill -9");
        for _ in 0..10 {
            if self.terminal.screen().contains(&selected) {
                return;
            }
            let before = self.terminal.screen();
            self.terminal.type_keys("n");
            self.terminal.wait("another selection", |now| now != before);
        }
        self.wait("the selection", "selected", &[&selected]);
    }
}

fn fill(cluster: &Cluster) {
    let mut client = Conn::open(cluster.addr()).expect("it serves");
    for n in 0..KEYS {
        client.put(&format!("user:{n}"), "Ada");
    }
}

/// Contract: "piazza console [--addr|--dir] [--read-only] [--record FILE] [--replay FILE]"
/// Contract: "a console that dies leaves the cluster running"
#[test]
fn console() {
    let cluster = Cluster::start("console", 5, 2, &[]);
    cluster.wait_healthy(None);
    fill(&cluster);
    killed_by_us(&cluster);
    killed_from_outside(&cluster);
    paused(&cluster);
    the_coordinator(&cluster);
    read_only(&cluster);
    however_it_ends(&cluster);
    stopped_and_continued(&cluster);
    cluster.wait_healthy(None);
}

fn killed_by_us(cluster: &Cluster) {
    let mut shown = Shown::of(cluster, &[]);
    shown.select("n3");
    let asked = ["kill -9 n3 (pid", "Its keys will have one copy", "Cancel"];
    shown.ask("K", "kill-asked", &asked);
    // Cancel is what Enter takes.
    shown.terminal.type_keys("\r");
    shown.terminal.wait("the answer", |screen| !screen.contains("Its keys will have one copy"));
    assert_eq!(cluster.node_state("n3").as_deref(), Some("up"));
    shown.ask("K", "kill-asked", &asked);
    let begun = Instant::now();
    shown.terminal.type_keys("y");
    shown.wait(
        "the story of the kill",
        "killed",
        &[
            "n3 was killed (kill -9) by you",
            " s ago",
            "now answers reads of its",
            "keys have one copy and cannot be written meanwhile",
            "DOWN",
            "waits for a restart (R on n3)",
        ],
    );
    println!("the whole story of a kill was told after {:?}", begun.elapsed());
    shown.terminal.type_keys("R");
    shown.wait("the end of the story", "killed-healthy", &["healthy: n3 is back after"]);
}

fn killed_from_outside(cluster: &Cluster) {
    let shown = Shown::of(cluster, &[]);
    cluster.sigkill("n2");
    shown.wait("the crash", "crashed", &["n2 was killed from outside (signal 9)", "restarts it"]);
    shown.wait("the end of the story", "crashed-healthy", &["healthy: n2 is back after"]);
}

fn paused(cluster: &Cluster) {
    let mut shown = Shown::of(cluster, &[]);
    let _writers = Writers::start(cluster);
    shown.select("n4");
    shown.confirm("P", "pause-asked", &["Pause n4", "Cancel"]);
    shown.wait(
        "the pause",
        "paused",
        &["n4 was paused (SIGSTOP) by you", "suspected", "paused: P lets it go on", "in doubt"],
    );
    // What was under way is shown as what it is: nobody can say yet.
    shown.terminal.type_keys("4");
    let doubt = ["IN DOUBT", "nothing can be concluded", "has it durably"];
    shown.wait("the updates in doubt", "doubt", &doubt);
    shown.terminal.type_keys("P");
    shown.wait("the end of the story", "paused-healthy", &["healthy: n4 is back after"]);
    shown.wait("their end", "doubt-resolved", &["in doubt, resolved:", "committed"]);
}

/// Clients that write all the time, until this is dropped.
struct Writers(Child);

impl Writers {
    fn start(cluster: &Cluster) -> Self {
        let mut command = cluster.command();
        command.args(["bench", "--mix", "put=100", "--keys", "200", "--no-fill", "--rate", "100"]);
        command.args(["--connections", "8", "--duration", "10m", "--addr"]);
        command.arg(cluster.addr().to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let written = || cluster.status()?["ops"]["total"]["put"]["ok"].as_u64();
        let before = written().unwrap_or(0);
        let writers = Self(command.spawn().expect("the program starts"));
        // What happens before they write finds nothing under way.
        wait_for("the writers", WAIT_MAX, || (written()? > before + 20).then_some(()));
        writers
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn the_coordinator(cluster: &Cluster) {
    let mut shown = Shown::of(cluster, &[]);
    shown.select("coordinator");
    let asked = ["Nothing can be read or written until"];
    shown.confirm("K", "coordinator-asked", &asked);
    shown.wait(
        "the coordinator's end",
        "coordinator-killed",
        &[
            "the coordinator was killed (kill -9) by you",
            "nothing is read or written without it",
            "this picture is",
            "waits for a restart (R on coordinator)",
        ],
    );
    shown.terminal.type_keys("R");
    shown.wait(
        "the end of the story",
        "coordinator-healthy",
        &["healthy: the coordinator is back after", "5/5 up"],
    );
    drop(shown);
    cluster.wait_healthy(None);
    let shown = Shown::of(cluster, &[]);
    cluster.sigkill("coordinator");
    shown.wait(
        "the coordinator's crash",
        "coordinator-crashed",
        &["the coordinator was killed from outside (signal 9)", "restarts it"],
    );
    let healthy = ["healthy: the coordinator is back after", "5/5 up"];
    shown.wait("the end of the story", "coordinator-crashed-healthy", &healthy);
}

fn read_only(cluster: &Cluster) {
    let state = TempDir::new("console-read-only");
    let mut command = cluster.command();
    command.arg("console").arg("--addr").arg(cluster.addr().to_string()).arg("--read-only");
    let mut terminal = Terminal::of_size(&command, state.path(), COLUMNS, ROWS);
    terminal.wait("read-only", |screen| screen.contains("READ-ONLY") && screen.contains("LIVE"));
    assert!(!terminal.screen().contains("kill -9"), "{}", terminal.screen());
    terminal.type_keys("K");
    terminal.wait("the refusal", |screen| screen.contains("started with --read-only"));
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
}

fn however_it_ends(cluster: &Cluster) {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGINT, 130)] {
        let shown = Shown::of(cluster, &[]);
        assert!(!shown.terminal.is_as_before(), "the console takes the terminal");
        kill(Pid::from_raw(shown.terminal.pid()), signal).expect("it runs");
        assert_eq!(shown.terminal.ended(), code, "{signal}");
    }
    let mut shown = Shown::of(cluster, &["--ascii", "--theme", "mono"]);
    let screen = shown.terminal.screen();
    assert!(screen.is_ascii(), "{screen}");
    shown.terminal.type_keys("q");
    assert_eq!(shown.terminal.ended(), 0);
    // In a language that is not written in UTF-8 nobody need ask for that.
    let state = TempDir::new("console-plain");
    let mut command = cluster.command();
    command.arg("console").arg("--addr").arg(cluster.addr().to_string()).env("LC_ALL", "POSIX");
    let mut terminal = Terminal::of_size(&command, state.path(), COLUMNS, ROWS);
    terminal.wait("live", |screen| screen.contains("5/5 up"));
    assert!(terminal.screen().is_ascii(), "{}", terminal.screen());
    terminal.type_keys("q");
    assert_eq!(terminal.ended(), 0);
}

/// Contract: "Ctrl-Z stops only the console"
fn stopped_and_continued(cluster: &Cluster) {
    let state = TempDir::new("console-stop");
    // Whoever stops a job is a shell with job control.
    let mut command = Command::new("bash");
    for (name, value) in cluster.command().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", "bash: ");
    let mut terminal = Terminal::of_size(&command, state.path(), COLUMNS, ROWS);
    terminal.wait_row("bash: ");
    let line = format!("{} console --addr {}\r", binary().display(), cluster.addr());
    terminal.type_keys(&line);
    terminal.wait("the console", |screen| screen.contains("5/5 up"));
    terminal.type_keys("\x1a");
    terminal.wait("the shell", |screen| screen.contains("Stopped") && screen.contains("bash: "));
    assert!(terminal.is_as_before(), "{}", terminal.screen());
    assert_eq!(cluster.node_state("n1").as_deref(), Some("up"));
    terminal.type_keys("fg\r");
    terminal.wait("the console again", |screen| screen.contains("5/5 up"));
    terminal.type_keys("q");
    terminal.wait("the shell again", |screen| screen.trim_end().ends_with("bash:"));
    terminal.type_keys("exit\r");
    assert_eq!(terminal.ended(), 0);
}

/// Contract: "On a terminal it starts the supervisor in a session of its own and is itself the
/// console"
/// Contract: "Ctrl-Z stops only the console; `q` in `piazza up` asks stop all / leave running /
/// cancel; a console that dies leaves the cluster running"
#[test]
fn console_of_up() {
    let place = TempDir::new("console-up");
    let procs = Mark::new();
    let data = place.path().join("data");
    let piazza = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        procs.put_on(&mut command).args(arguments).arg("--dir").arg(&data);
        command
    };
    let command = piazza(&["up", "--nodes", "2", "--any-port"]);
    let mut terminal = Terminal::of_size(&command, place.path(), COLUMNS, ROWS);
    terminal.wait("the console", |screen| screen.contains("2/2 up"));
    // Cancelled: it goes on.
    terminal.type_keys("q");
    terminal.wait("the question", |screen| screen.contains("What becomes of it?"));
    terminal.type_keys("c");
    terminal.wait("the console again", |screen| !screen.contains("What becomes of it?"));
    // Left running: another console shows it, and may die.
    terminal.type_keys("q");
    terminal.wait("the question", |screen| screen.contains("What becomes of it?"));
    terminal.type_keys("l");
    terminal.wait("the farewell", |screen| screen.contains("the cluster goes on"));
    assert_eq!(terminal.ended(), 0);
    let terminal = Terminal::of_size(&piazza(&["console"]), place.path(), COLUMNS, ROWS);
    terminal.wait("the second console", |screen| screen.contains("2/2 up"));
    kill(Pid::from_raw(terminal.pid()), Signal::SIGKILL).expect("it runs");
    drop(terminal);
    let status = piazza(&["wait", "healthy"]).status().expect("it starts");
    assert!(status.success(), "{status}");
    // Once more, on other ports, and stopped by its own console; one that was there before comes
    // along.
    let mut other = Terminal::of_size(&piazza(&["console"]), place.path(), COLUMNS, ROWS);
    other.wait("the other console", |screen| screen.contains("2/2 up"));
    let status = piazza(&["down"]).status().expect("it starts");
    assert!(status.success(), "{status}");
    other.wait("the end of the cluster", |screen| screen.contains("LOST"));
    let command = piazza(&["up", "--any-port"]);
    let mut terminal = Terminal::of_size(&command, place.path(), COLUMNS, ROWS);
    terminal.wait("the console", |screen| screen.contains("2/2 up"));
    other.wait("the cluster elsewhere", |screen| {
        screen.contains("LIVE") && screen.contains("2/2 up") && screen.contains("K kill -9")
    });
    other.type_keys("q");
    assert_eq!(other.ended(), 0);
    terminal.type_keys("qs");
    terminal.wait("the farewell", |screen| screen.contains("the cluster is stopped"));
    assert_eq!(terminal.ended(), 0);
    wait_for("the servers' end", WAIT_MAX, || procs.pids().is_empty().then_some(()));
    // A console that cannot be shown leaves it running, and says so.
    let config = place.path().join("piazza");
    std::fs::create_dir_all(&config).expect("a directory");
    std::fs::write(config.join("console.json"), r#"{"theme":"pink"}"#).expect("a file");
    let terminal = Terminal::of_size(&piazza(&["up", "--any-port"]), place.path(), COLUMNS, ROWS);
    let both = ["console.json", "the cluster goes on"];
    terminal.wait("the reason", |screen| both.iter().all(|words| screen.contains(words)));
    assert_eq!(terminal.ended(), 2);
    let status = piazza(&["down"]).status().expect("it starts");
    assert!(status.success(), "{status}");
}
