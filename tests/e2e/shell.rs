//! `piazza shell`, as a person at a terminal meets it, and as a script in a pipe.
//!
//! One cluster for both. What the keys do is tested with the editor; here that they arrive, that
//! commands are carried out, and that the terminal is as before however the shell ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tui::terminal::Guard;

use super::cluster::{Cluster, binary};
use super::procs::{TempDir, wait_for};
use super::ran::{Ran, piazza};
use super::terminal::Terminal;

/// Contract: "· shell"
#[test]
fn shell() {
    let cluster = Cluster::start("shell", 3, 2, &[]);
    cluster.wait_healthy(None);
    a_script(&cluster);
    a_person(&cluster);
    a_narrow_terminal(&cluster);
    a_lost_connection(&cluster);
    however_it_ends(&cluster);
    stopped_and_continued(&cluster);
}

/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What a child of [`a_panic`] is told.
const PANIC: &str = "PIAZZA_TEST_PANIC";

#[test]
fn a_panic() {
    if std::env::var_os(PANIC).is_some() {
        // Nothing but the panic itself puts the terminal back.
        std::mem::forget(Guard::enter().expect("it has a terminal"));
        panic!("on purpose");
    }
    let state = TempDir::new("shell-panic");
    let mut command = Command::new(std::env::current_exe().expect("this test has a file"));
    command.args(["--exact", "e2e::shell::a_panic", "--nocapture"]).env(PANIC, "1");
    let terminal = Terminal::start(&command, state.path());
    // Told when the terminal is as before: its rows begin where they should.
    terminal.wait("the panic", |screen| screen.contains("\non purpose\n"));
    assert_ne!(terminal.ended(), 0);
}

fn shell_command(cluster: &Cluster) -> Command {
    let mut command = cluster.command();
    command.arg("shell").arg("--addr").arg(cluster.addr().to_string());
    command
}

fn script(cluster: &Cluster, arguments: &[&str], lines: &str) -> Ran {
    let mut command = shell_command(cluster);
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end before it has read all.
    let _ = stdin.write_all(lines.as_bytes());
    drop(stdin);
    Ran::of(child.wait_with_output().expect("it is our child"))
}

/// Waits for this prompt. Where the machine stood still the cluster did not say in time how it is:
/// an empty line asks again.
fn ready(terminal: &mut Terminal, prompt: &str) {
    terminal.wait_row_or(prompt, "(no answer)>", "\r");
}

fn a_script(cluster: &Cluster) {
    let ran = script(cluster, &[], "# a remark\nput s1 'a b'\nget s1\nget s0\nget s1\n").ended(1);
    let (first, rest) = ran.out.split_once('\n').expect("lines");
    assert!(first.starts_with("written, version "), "{ran:?}");
    assert_eq!((rest, &*ran.err), ("a b\n", "piazza: line 4: there is no key \"s0\"\n"), "{ran:?}");
    // The code is that of the first failure, also where it goes on.
    let ran = script(cluster, &["--keep-going"], "gte s1\nget s0\nget s1").ended(2);
    assert_eq!(ran.out, "a b\n");
    assert!(ran.err.starts_with("  gte s1\n  ^^^\npiazza: line 1: there is no"), "{ran:?}");
    let ran =
        script(cluster, &["--json"], "put s2 \"\\xff\\x00\"\nget s2\nput s3\nget s2\n").ended(2);
    assert_eq!(ran.objects()[1]["value_b64"], json!("/wA="), "{ran:?}");
    assert!(ran.err.contains("line 3: the value is missing"), "{ran:?}");
    let ran = script(cluster, &[], "get s1\nquit\nget s0\n").ended(0);
    assert_eq!(ran.out, "a b\n");
    let txn = r#"txn '{"then":[{"op":"put", "key":"s4", "value":"1"}]}'"#;
    let ran = script(cluster, &[], &format!("{txn}\nmget s4 s1\n")).ended(0);
    assert!(ran.out.starts_with("done, version ") && ran.out.ends_with("s4\t1\ns1\ta b\n"));
    let one = script(cluster, &[], "scan s1\nlocate s1\n").ended(0);
    let addr = cluster.addr().to_string();
    let alone = |arguments: &[&str]| piazza(cluster, &[arguments, &["--addr", &addr]].concat()).out;
    assert_eq!(one.out, alone(&["scan", "s1"]) + &alone(&["locate", "s1"]));
    assert_eq!(script(cluster, &[], "").ended(0).out, "");
}

fn a_person(cluster: &Cluster) {
    let state = TempDir::new("shell-state");
    let mut terminal = Terminal::start(&shell_command(cluster), state.path());
    let prompt = "piazza-data (3/3 up)> ";
    ready(&mut terminal, prompt);
    terminal.type_keys("put user:42 \"hi \\x1b[31m there\"\r");
    terminal.wait("the answer", |screen| screen.contains("\nwritten, version "));
    ready(&mut terminal, prompt);
    // A key is completed; what a terminal would obey is shown as escapes.
    terminal.type_keys("get use\t");
    terminal.wait_row_or(&format!("{prompt}get user:42 "), "does not tell its keys now", "\t");
    terminal.type_keys("\r");
    terminal.wait("the value", |screen| screen.contains("\nhi \\u{1b}[31m there\n"));
    // A slip.
    ready(&mut terminal, prompt);
    terminal.type_keys("gte k\r");
    let marked =
        "\n                      ^^^\npiazza: there is no command \"gte\": did you mean get?\n";
    terminal.wait("the mark", |screen| screen.contains(marked));
    ready(&mut terminal, prompt);
    // History by what it begins with, a wide text, and Ctrl-C.
    terminal.type_keys("ge\x1b[A");
    terminal.wait_row(&format!("{prompt}get user:42"));
    terminal.type_keys("\x03get 漢字\x1b[D");
    let column = prompt.len() as u16 + 6;
    terminal.wait("the wide text", |screen| screen.ends_with("> get 漢字"));
    terminal.wait_column(column);
    terminal.type_keys("\x03");
    terminal.wait("it is dropped", |screen| screen.contains("漢字^C\n"));
    ready(&mut terminal, prompt);
    a_watch(cluster, &mut terminal);
    ready(&mut terminal, prompt);
    terminal.type_keys("\x0c");
    terminal.wait("an empty screen", |screen| screen.trim_end() == prompt.trim_end());
    // A value that is not shown, and a line that is not remembered.
    terminal.type_keys("put hidden\r");
    terminal.wait_row("value (not shown): ");
    terminal.type_keys("hunter2");
    terminal.wait_row("value (not shown): *******");
    terminal.type_keys("\r");
    ready(&mut terminal, prompt);
    terminal.type_keys(" put spaced 1\r");
    terminal.wait("the answer", |screen| screen.matches("written, version ").count() == 2);
    ready(&mut terminal, prompt);
    // Pasted lines run at Enter, one after the other.
    terminal.type_keys("\x1b[200~get hidden\nget spaced\x1b[201~");
    terminal.wait("the pasted lines", |screen| screen.contains("1 pasted above; Enter runs all"));
    assert!(!terminal.screen().contains("hunter2"), "{}", terminal.screen());
    terminal.type_keys("\r");
    let both = format!("\n{prompt}get hidden\nhunter2\n{prompt}get spaced\n1\n");
    terminal.wait("both answers", |screen| screen.contains(&both));
    ready(&mut terminal, prompt);
    terminal.type_keys("\x04");
    assert_eq!(terminal.ended(), 0);
    let file = state.path().join("piazza/history");
    let history = fs::read_to_string(&file).expect("a history");
    assert!(history.contains("get user:42\n") && history.contains("put hidden\n"), "{history}");
    assert!(!history.contains("hunter2") && !history.contains("put spaced"), "{history}");
    let mode = fs::metadata(&file).expect("a history").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn a_watch(cluster: &Cluster, terminal: &mut Terminal) {
    terminal.type_keys("watch user:42\r");
    let addr = cluster.addr().to_string();
    // Until the watch has begun, a change is not shown.
    terminal.wait("a change", |screen| {
        piazza(cluster, &["put", "user:42", "changed", "--addr", &addr]).ended(0);
        screen.contains("\nput     user:42 ")
    });
    assert!(terminal.is_as_before(), "a command has the terminal as it was");
    terminal.type_keys("\x03");
    terminal.wait("its end", |screen| screen.contains("^C\n") && screen.trim_end().ends_with('>'));
}

fn a_narrow_terminal(cluster: &Cluster) {
    let state = TempDir::new("shell-narrow");
    let mut terminal = Terminal::start(&shell_command(cluster), state.path());
    ready(&mut terminal, "piazza-data (3/3 up)> ");
    let text = "get 0123456789abcdefghijklmnopqrstuvwxyz";
    terminal.type_keys(text);
    terminal.wait_row(&format!("piazza-data (3/3 up)> {text}"));
    terminal.resize(30);
    // Half of the row is the prompt's; of the line its end is shown, in the same row.
    terminal.wait_row(&format!("piazza-data (3/<{}", &text[text.len() - 13..]));
    terminal.type_keys("\x01");
    terminal.wait("the line's begin", |screen| screen.ends_with("piazza-data (3/get 012345678>"));
    terminal.type_keys("\x05\x15scan --\t");
    terminal.wait("a menu", |screen| screen.contains("(3/scan --\n  --after   Begin behind this"));
    terminal.type_keys("\t");
    terminal.wait_row_above("piazza-data (3/scan --after");
    terminal.type_keys("\x03\x04");
    assert_eq!(terminal.ended(), 0);
}

fn a_lost_connection(cluster: &Cluster) {
    let state = TempDir::new("shell-lost");
    let mut terminal = Terminal::start(&shell_command(cluster), state.path());
    ready(&mut terminal, "piazza-data (3/3 up)> ");
    let old = cluster.pid("coordinator");
    cluster.sigkill("coordinator");
    cluster.wait_healthy(old);
    terminal.type_keys("get s1\r");
    terminal.wait("the value", |screen| screen.contains("> get s1\na b\n"));
    ready(&mut terminal, "piazza-data (3/3 up)> ");
    // The prompt says that something is wrong.
    cluster.kill("n2");
    let gone = || (cluster.node_state("n2")? != "up").then_some(());
    wait_for("the node's end is known", WAIT_MAX, gone);
    terminal.type_keys("\r");
    ready(&mut terminal, "piazza-data (2/3 up)> ");
    cluster.restart("n2");
    cluster.wait_healthy(None);
    terminal.type_keys("quit\r");
    assert_eq!(terminal.ended(), 0);
}

fn however_it_ends(cluster: &Cluster) {
    let state = TempDir::new("shell-end");
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        for watching in [false, true] {
            let mut terminal = Terminal::start(&shell_command(cluster), state.path());
            ready(&mut terminal, "piazza-data (3/3 up)> ");
            assert!(!terminal.is_as_before(), "a line is edited key by key");
            if watching {
                terminal.type_keys("watch s1\r");
                terminal.wait("the watch", |_| terminal.is_as_before());
            }
            kill(Pid::from_raw(terminal.pid()), signal).expect("it runs");
            assert_eq!(terminal.ended(), code, "{signal}, watching: {watching}");
        }
    }
}

fn stopped_and_continued(cluster: &Cluster) {
    let state = TempDir::new("shell-stop");
    // Whoever stops a job is a shell with job control.
    let mut command = Command::new("bash");
    for (name, value) in cluster.command().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", "bash: ");
    let mut terminal = Terminal::start(&command, state.path());
    terminal.wait_row("bash: ");
    let shell = binary();
    let line = format!("{} shell --addr {}\r", shell.display(), cluster.addr());
    terminal.type_keys(&line);
    ready(&mut terminal, "piazza-data (3/3 up)> ");
    terminal.type_keys("get s");
    terminal.wait_row("piazza-data (3/3 up)> get s");
    terminal.type_keys("\x1a");
    terminal.wait_row("bash: ");
    assert!(terminal.is_as_before(), "{}", terminal.screen());
    terminal.type_keys("fg\r");
    terminal.wait_row("piazza-data (3/3 up)> get s");
    terminal.type_keys("1\r");
    terminal.wait("the value", |screen| screen.contains("> get s1\na b\n"));
    ready(&mut terminal, "piazza-data (3/3 up)> ");
    terminal.type_keys("\x04");
    terminal.wait_row("bash: ");
    terminal.type_keys("exit\r");
    assert_eq!(terminal.ended(), 0);
}
