//! Golden scripts of the commit protocol: one scenario a file, read from top to bottom like an example
//! in a textbook, and checked line by line.
//!
//! A script (`*.txt` in this folder) is a heading of `#` lines, commands, a line `----`, and the trace
//! that running the commands must reproduce exactly. The real coordinator, nodes, log, state file and
//! memory keystore run; the clock stands still but for `tick`, and everything that may move moves as
//! soon as it can, until nothing more comes of it. So a script says only what is *not* to happen:
//! what is held, lost, killed. `cargo test golden` runs all; `PIAZZA_GOLDEN=h01 cargo test golden` those
//! whose name contains `h01`; `PIAZZA_GOLDEN_UPDATE=1 cargo test golden` writes the traces anew, to be
//! read in the diff before they are committed. What a script `expect`s holds in either case.
//!
//! # Commands
//!
//! Nodes are `n1`, `n2`, ...; coordinators `c1`, `c2`, ... in the order of their starts; clients are
//! small letters. Where no coordinator is named, the newest that lives is meant.
//!
//! command                              | what happens
//! -------------------------------------|--------------------------------------------------------
//! `cluster 3 nodes 2 copies`           | first in each script: founded and at rest, time is zero
//! ... `cache 1x1`                      | sets and ways of the coordinator's cache (16x4)
//! ... `batches 2`                      | prepare messages out at a node at a time (1)
//! ... `portions of 2`                  | keys that a source looks at for a portion of a copy (many)
//! ... `ascii-sum`                      | how keys are placed (by the ring)
//! ... `serial`                         | one update at a time
//! ... `1 more`                         | machines that are not started and found nothing
//! ... `evict 2000ms`                   | who is silent for so long is evicted (never)
//! ... `blank`                          | nothing is started, not even a coordinator
//! `client a put k v`                   | a request on the connection of client `a`; also
//!                                      | `put k v if-absent`, `update k v`, `cas k v 1.2`, `del k`,
//!                                      | `del k 1.2`, `get k`, `mget k l`; several with `;` between
//!                                      | arrive together
//! `client a txn if k 1.2, put l v`     | a transaction: `if k 1.2`, `if k absent`, `put k v`,
//!                                      | `update k v`, `del k`
//! `client a explain put k v`           | its way, not carried out; `explain run put k v`: carried out
//! `client a admin remove n1`           | a change of the membership; `add`, `evict n1`, `rebalance`,
//!                                      | `cancel c1`
//! ... `within 300ms`                   | the client's patience (5 s)
//! `client a@c1 get k`                  | to this coordinator
//! `hold c1 to n2`, `hold n2 to c1`     | messages that way stay on their way
//! `hold to n2`, `hold from n2`         | the same for every coordinator
//! `hold n2`                            | both ways, and its heartbeats are lost
//! `hold n2 heartbeats`                 | only those
//! `hold n2 disk`, `hold n2 keystore`   | the lane of log and state file, or of the keystore, stands
//! `release ...`                        | the same words end it
//! `deliver c1 to n2`                   | the oldest message held there arrives
//! `drop c1 to n2`, `dup c1 to n2`      | it is lost; it will arrive twice
//! `break n2`, `break c1 to n2`         | the connections end, with what is on them
//! `sync n1`                            | the first job held at its disk is done
//! `crash n1`                           | kill -9; with `before-write`, `before-sync`, `after-sync`:
//!                                      | at this moment of the first job held at its disk
//! `power-loss n1`                      | the same, and what was not synced is gone; `torn`: damaged
//! `restart n1`, `start n1`             | from its directory
//! `wipe n1`                            | it gets an empty directory
//! `save n1`, `revert n1`               | its directory is copied aside; the two change places
//! `lose n1 keystore`                   | it has no value any more, and nobody has noticed
//! `refuse n1`, `refuse n1 3`           | the next prepare that comes, or the third, names a ring that
//!                                      | it does not have: it refuses
//! `watch settled`                      | from now on what may be forgotten is told too
//! `start coordinator`                  | one more: from now on all nodes register with it
//! ... `after c1`                       | it was told that the process c1 has ended
//! `stop coordinator`                   | gracefully
//! `crash coordinator`, `pause coordinator`, `resume coordinator c1` | kill -9, SIGSTOP, SIGCONT
//! `tick 500ms`                         | time goes by, from one deadline to the next
//! `show`                               | the trace tells what every node holds
//! `expect a ok`                        | the answer to a's newest request begins so; `waiting`: none
//! `expect n1 k v`, `expect n1 k nothing` | what is in its keystore
//! `expect n1 undecided 1`, `expect n1 running`, `expect n1 down`, `expect c1 active` | how they are
//!
//! # Traces
//!
//! `>` begins a command, `#` a remark of the script; below it, one a line, what comes of it, in the
//! order in which it happens. `c1 -> n2: ...` is a message as it arrives, `(held)` as it is sent into a
//! way that is held; `n1 log, group 4: ...` a group as it is written, `n1 sync, group 4` as it becomes
//! durable, and so do all names stand for themselves. `1.7` is the seventh transaction of epoch 1, and
//! the version of what it writes. `at 0.250 s` stands before what happens then. Not told: heartbeats,
//! empty messages that ask whether a node is there and their answers, watermarks; and, unless a script
//! watches it, what is settled.

mod act;
mod coordinator;
mod node;
mod request;
mod script;
mod wires;
mod words;
mod world;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use self::script::{Command, Script, What};
use self::world::World;

/// Scripts there must be at least: none may get lost.
const SCRIPTS_MIN: usize = 40;
/// Lines of the trace that are shown of a script that fails.
const LINES_SHOWN: usize = 25;

/// Runs a script; its trace, or the line at which it fails.
fn run(script: &Script) -> Result<String, (usize, String)> {
    let Some(What::Do(Command::Cluster(setting))) = script.steps.first().map(|step| &step.what)
    else {
        return Err((1, "`cluster` is the first command".into()));
    };
    let mut world = World::found(setting.clone(), &script.steps[0].text);
    for step in &script.steps[1..] {
        world.repeat(&step.text, matches!(step.what, What::Do(_)));
        if let What::Do(command) = &step.what {
            let done = world.act(command);
            done.map_err(|why| (step.line, format!("{why}\n{}", end_of(&world.trace()))))?;
        }
    }
    Ok(world.trace())
}

/// The last lines of a trace.
fn end_of(trace: &str) -> String {
    let lines: Vec<&str> = trace.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    last.iter().map(|line| format!("    {line}\n")).collect()
}

/// The first line in which two traces differ, with a few before it.
fn difference(recorded: &str, found: &str) -> String {
    let (recorded, found): (Vec<&str>, Vec<&str>) =
        (recorded.lines().collect(), found.lines().collect());
    let same = recorded.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &found[same.saturating_sub(5)..same] {
        text += &format!("    {line}\n");
    }
    for line in recorded.iter().skip(same).take(8) {
        text += &format!("  - {line}\n");
    }
    for line in found.iter().skip(same).take(8) {
        text += &format!("  + {line}\n");
    }
    text
}

/// Checks one file, or writes its trace; what is wrong with it otherwise.
fn check(path: &Path, update: bool) -> Result<(), String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let at = |line: usize, why: &str| format!("{}:{line}: {why}", shown(path));
    let text = fs::read_to_string(path).map_err(|error| at(1, &error.to_string()))?;
    let script = script::parse(&text).map_err(|(line, why)| at(line, &why))?;
    let repeat = format!("repeat with: PIAZZA_GOLDEN={name} cargo test golden");
    let ran = catch_unwind(AssertUnwindSafe(|| run(&script)));
    let found = ran.map_err(|_| at(1, &format!("a panic, see above\n  {repeat}")))?;
    let found = found.map_err(|(line, why)| at(line, &format!("{why}\n  {repeat}")))?;
    if update {
        let whole = format!("{}{found}", script.source);
        return fs::write(path, whole).map_err(|error| at(1, &error.to_string()));
    }
    if found == script.trace {
        return Ok(());
    }
    let difference = difference(&script.trace, &found);
    Err(format!(
        "{}: the trace is another one (- recorded, + found):\n{difference}  {repeat}\n  if it is \
         right as it is now: PIAZZA_GOLDEN_UPDATE=1 cargo test golden",
        shown(path)
    ))
}

/// A path from the repository's root.
fn shown(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(folder).expect("the folder of the scripts is there");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    paths.sort();
    paths
}

#[test]
fn golden_scripts() {
    #[cfg(feature = "planted-bugs")]
    crate::sim::planted::plant_from_env();
    let only = std::env::var("PIAZZA_GOLDEN").unwrap_or_default();
    let update = std::env::var("PIAZZA_GOLDEN_UPDATE").is_ok_and(|value| value == "1");
    let all = scripts();
    assert!(all.len() >= SCRIPTS_MIN, "only {} scripts are left", all.len());
    let chosen: Vec<&PathBuf> =
        all.iter().filter(|path| path.to_string_lossy().contains(&only)).collect();
    assert!(!chosen.is_empty(), "PIAZZA_GOLDEN={only} names no script");
    let failed: Vec<String> = chosen.iter().filter_map(|path| check(path, update).err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} scripts fail\n{}",
        failed.len(),
        chosen.len(),
        failed.join("\n")
    );
}

#[test]
fn golden_mistakes_are_named_by_line() {
    let table: &[(&str, usize, &str)] = &[
        ("", 1, "there is no command"),
        ("cluster 3 nodes 2 copies", 1, "heading"),
        ("# A.\nclient a get k", 2, "`cluster` is the first command"),
        ("# A.\ncluster 2 nodes 3 copies", 2, "more copies than nodes"),
        ("# A.\ncluster 3 dogs", 2, "knows no `3`"),
        ("# A.\ncluster 3 nodes\n\nclient a", 4, "needs a name and a request"),
        ("# A.\ncluster 3 nodes\nclient a take k", 3, "`take k` is no request"),
        ("# A.\ncluster 3 nodes\nclient ann get k", 3, "one small letter"),
        ("# A.\ncluster 3 nodes\ncrash n0", 3, "`n0` is neither"),
        ("# A.\ncluster 3 nodes\ncrash c1", 3, "`c1` is not a node"),
        ("# A.\ncluster 3 nodes\ncrash n1 soon", 3, "before-sync"),
        ("# A.\ncluster 3 nodes\ndeliver n1 n2", 3, "a way is FROM to TO"),
        ("# A.\ncluster 3 nodes\ndrop n1 to n2", 3, "between a coordinator and a node"),
        ("# A.\ncluster 3 nodes\ntick soon", 3, "`soon` is no time"),
        ("# A.\ncluster 3 nodes\nexpect well", 3, "nothing can be expected"),
        ("# A.\ncluster 3 nodes\njump", 3, "no command looks like `jump`"),
        ("# A.\ncluster 3 nodes\ncluster 3 nodes", 3, "first command"),
    ];
    for (text, line, why) in table {
        let (at, said) = script::parse(text).map(|_| ()).expect_err(text);
        assert!(at == *line && said.contains(why), "{text:?}: line {at}: {said}");
    }
    // What cannot be done is named by line too, and so is what is expected and is not so.
    let table: &[(&str, usize, &str)] = &[
        ("release n1", 3, "not held"),
        ("deliver c1 to n1", 3, "nothing is held"),
        ("crash n1 before-sync", 3, "nothing to do"),
        ("crash n1\ncrash n1", 4, "it is down"),
        ("crash n7", 3, "there is no such node"),
        ("resume coordinator c4", 3, "it never started"),
        ("client a get k\nexpect a ok", 4, "it is not so: not_found"),
        ("expect n1 k v", 3, "it is not so: None"),
        ("expect c1 dead", 3, "it is not so: active"),
    ];
    for (commands, line, why) in table {
        let text = format!("# A.\ncluster 3 nodes 2 copies\n{commands}");
        let script = script::parse(&text).expect("it can be read");
        let (at, said) = run(&script).expect_err(commands);
        assert!(at == *line && said.contains(why), "{commands:?}: line {at}: {said}");
    }
}

#[test]
fn golden_differences_are_shown_where_they_begin() {
    let shown = difference("a\nb\nc\n", "a\nx\nc\n");
    assert_eq!(shown, "    a\n  - b\n  - c\n  + x\n  + c\n");
    assert_eq!(difference("a\n", "a\nb\n"), "    a\n  + b\n");
}
