//! From the text of a script to its commands: what a line may say, and a sentence with file and line
//! where one says something else.
//!
//! Called by the runner in `mod.rs`, whose documentation describes the language. Nothing here knows
//! what a command does.

use protocol::ids::{Key, Value, Version};
use protocol::peer::Placement;

use super::request::{Request, request};

/// Stands between the commands and the recorded trace.
pub(super) const RULE: &str = "----";
/// Longest time that one command lets pass, milliseconds.
const TICK_MS_MAX: u64 = 600_000;

/// A script as it stands in its file.
#[derive(Debug)]
pub(super) struct Script {
    /// Everything above the rule, with the rule.
    pub(super) source: String,
    pub(super) steps: Vec<Step>,
    /// Everything below the rule.
    pub(super) trace: String,
}

/// One line of the script.
#[derive(Debug)]
pub(super) struct Step {
    /// Counted from 1.
    pub(super) line: usize,
    /// As it stands there.
    pub(super) text: String,
    pub(super) what: What,
}

/// What a line says.
#[derive(Debug)]
pub(super) enum What {
    /// A remark, which the trace repeats.
    Remark,
    Do(Command),
}

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// From 0; `c1` is 0.
    Coordinator(usize),
    Node(usize),
}

/// A way of messages, or a lane of a node: what can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    /// Messages of this coordinator, or of all, to a node.
    Down(Option<usize>, usize),
    /// Messages of a node to this coordinator, or to all.
    Up(Option<usize>, usize),
    Heartbeats(usize),
    Disk(usize),
    Keystore(usize),
}

impl Held {
    fn node(&self) -> usize {
        match self {
            Self::Down(_, node)
            | Self::Up(_, node)
            | Self::Heartbeats(node)
            | Self::Disk(node)
            | Self::Keystore(node) => *node,
        }
    }
}

/// Which death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Whenever it is.
    Any,
    /// What the disk is about to write is not written.
    BeforeWrite,
    /// It is written, and not synced.
    BeforeSync,
    /// It is synced, and nobody was told.
    AfterSync,
    /// It is written, and what reached the disk of it is not what was written.
    Torn,
}

/// What holds at this point, or the script fails.
#[derive(Debug)]
pub(super) enum Expected {
    /// The newest answer of a client begins so; `waiting` while there is none.
    Answer { client: String, begins: String },
    /// A node's store has this value of a key, or none.
    Stored { node: usize, key: Key, value: Option<Value> },
    /// A node's process runs, or does not.
    Runs(usize, bool),
    /// A node has so many undecided transactions.
    Undecided(usize, u64),
    /// The phase that a coordinator has reached.
    Phase(usize, String),
}

/// One command.
#[derive(Debug)]
pub(super) enum Command {
    Cluster(Setting),
    /// Requests that arrive together, on one connection.
    Client {
        name: String,
        at: Option<usize>,
        requests: Vec<Request>,
        timeout_ms: u64,
    },
    Hold(Vec<Held>),
    Release(Vec<Held>),
    Deliver(Held),
    Drop(Held),
    Dup(Held),
    /// The connections between a coordinator, or all, and a node end.
    Break(Option<usize>, usize),
    /// The first held job of a node's disk is done.
    Sync(usize),
    Crash {
        node: usize,
        power: bool,
        moment: Moment,
    },
    Restart(usize),
    Wipe(usize),
    /// The directory of a node that is down is copied aside, or put back.
    Save(usize),
    Revert(usize),
    /// A node's keystore loses all that it has.
    Lose(usize),
    /// A node will refuse this one of the prepares that reach it, counted from 1.
    Refuse(usize, u64),
    StartCoordinator {
        reaped: Vec<usize>,
    },
    StopCoordinator(Option<usize>),
    CrashCoordinator(Option<usize>),
    PauseCoordinator(Option<usize>),
    ResumeCoordinator(Option<usize>),
    /// So many microseconds pass.
    Tick(u64),
    /// From now on the trace tells what is settled.
    WatchSettled,
    /// The trace shows what every node holds.
    Show,
    Expect(Expected),
}

impl Command {
    /// The node that it names.
    pub(super) fn node(&self) -> Option<usize> {
        match self {
            Self::Hold(held) | Self::Release(held) => held.first().map(Held::node),
            Self::Deliver(held) | Self::Drop(held) | Self::Dup(held) => Some(held.node()),
            Self::Break(_, node)
            | Self::Sync(node)
            | Self::Crash { node, .. }
            | Self::Restart(node)
            | Self::Wipe(node)
            | Self::Save(node)
            | Self::Revert(node)
            | Self::Lose(node)
            | Self::Refuse(node, _)
            | Self::Expect(
                Expected::Stored { node, .. }
                | Expected::Runs(node, _)
                | Expected::Undecided(node, _),
            ) => Some(*node),
            _ => None,
        }
    }
}

/// What a cluster is like.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) nodes: u16,
    /// Machines beside those that found the cluster.
    pub(super) more: u16,
    pub(super) copies: u16,
    pub(super) cache: (u32, u16),
    /// Prepare messages out at a node at a time.
    pub(super) batches: usize,
    /// Keys that a source looks at for a portion, at most.
    pub(super) portion_keys: usize,
    /// Who is silent for so long is evicted, milliseconds.
    pub(super) evict_after_ms: Option<u64>,
    /// How keys are placed.
    pub(super) placement: Placement,
    /// One update at a time.
    pub(super) serial: bool,
    /// Nothing is started.
    pub(super) blank: bool,
}

/// Reads a whole file. An error names the line.
pub(super) fn parse(text: &str) -> Result<Script, (usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let rule = lines.iter().position(|line| *line == RULE).unwrap_or(lines.len());
    let mut steps = Vec::new();
    let mut heading = true;
    for (at, line) in lines[..rule].iter().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() {
            continue;
        }
        if line.starts_with('#') {
            if !heading {
                steps.push(Step { line: number, text: line.to_owned(), what: What::Remark });
            }
            continue;
        }
        let command = command(line).map_err(|why| (number, why))?;
        let first = heading;
        heading = false;
        if first != matches!(command, Command::Cluster(_)) {
            return Err((number, "`cluster` is the first command, and only that".into()));
        }
        steps.push(Step { line: number, text: line.to_owned(), what: What::Do(command) });
    }
    if steps.is_empty() {
        return Err((rule.max(1), "there is no command".into()));
    }
    if !lines.first().is_some_and(|line| line.starts_with("# ")) {
        return Err((1, "a script begins with a heading, `# ...`".into()));
    }
    let above = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let source = above(&lines[..rule]).trim_end().to_owned() + "\n\n" + RULE + "\n";
    let trace = above(lines.get(rule + 1..).unwrap_or_default());
    Ok(Script { source, steps, trace })
}

fn command(line: &str) -> Result<Command, String> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (verb, words.as_slice()) {
        ("cluster", words) => setting(words).map(Command::Cluster),
        ("client", _) => client(rest),
        ("hold", words) => held(words).map(Command::Hold),
        ("release", words) => held(words).map(Command::Release),
        ("deliver", words) => way(words).map(Command::Deliver),
        ("drop", words) => way(words).map(Command::Drop),
        ("dup", words) => way(words).map(Command::Dup),
        ("break", [n]) => Ok(Command::Break(None, node(n)?)),
        ("break", [c, "to", n]) => Ok(Command::Break(Some(coordinator(c)?), node(n)?)),
        ("sync", [n]) => Ok(Command::Sync(node(n)?)),
        ("crash", ["coordinator"]) => Ok(Command::CrashCoordinator(None)),
        ("crash", ["coordinator", c]) => Ok(Command::CrashCoordinator(Some(coordinator(c)?))),
        ("crash", [n]) => crash(n, false, Moment::Any),
        ("crash", [n, moment]) => crash(n, false, self::moment(moment)?),
        ("power-loss", [n]) => crash(n, true, Moment::Any),
        ("power-loss", [n, moment]) => crash(n, true, self::moment(moment)?),
        ("restart", [n]) => Ok(Command::Restart(node(n)?)),
        ("wipe", [n]) => Ok(Command::Wipe(node(n)?)),
        ("save", [n]) => Ok(Command::Save(node(n)?)),
        ("revert", [n]) => Ok(Command::Revert(node(n)?)),
        ("lose", [n, "keystore"]) => Ok(Command::Lose(node(n)?)),
        ("refuse", [n]) => Ok(Command::Refuse(node(n)?, 1)),
        ("refuse", [n, place]) => match place.parse() {
            Ok(place @ 1..=9) => Ok(Command::Refuse(node(n)?, place)),
            _ => Err(format!("`{place}` is not 1 to 9")),
        },
        ("watch", ["settled"]) => Ok(Command::WatchSettled),
        ("start", ["coordinator"]) => Ok(Command::StartCoordinator { reaped: Vec::new() }),
        ("start", ["coordinator", "after", c]) => {
            Ok(Command::StartCoordinator { reaped: vec![coordinator(c)?] })
        }
        ("start", [n]) => Ok(Command::Restart(node(n)?)),
        ("stop", ["coordinator"]) => Ok(Command::StopCoordinator(None)),
        ("pause", ["coordinator"]) => Ok(Command::PauseCoordinator(None)),
        ("pause", ["coordinator", c]) => Ok(Command::PauseCoordinator(Some(coordinator(c)?))),
        ("resume", ["coordinator", c]) => Ok(Command::ResumeCoordinator(Some(coordinator(c)?))),
        ("tick", [time]) => Ok(Command::Tick(duration_ms(time)? * 1_000)),
        ("show", []) => Ok(Command::Show),
        ("expect", words) => expected(words).map(Command::Expect),
        _ => Err(format!("no command looks like `{line}`: tests/golden/mod.rs lists them")),
    }
}

fn crash(name: &str, power: bool, moment: Moment) -> Result<Command, String> {
    Ok(Command::Crash { node: node(name)?, power, moment })
}

fn moment(word: &str) -> Result<Moment, String> {
    match word {
        "before-write" => Ok(Moment::BeforeWrite),
        "before-sync" => Ok(Moment::BeforeSync),
        "after-sync" => Ok(Moment::AfterSync),
        "torn" => Ok(Moment::Torn),
        _ => Err(format!("{word} is none of before-write, before-sync, after-sync, torn")),
    }
}

fn setting(words: &[&str]) -> Result<Setting, String> {
    let mut setting = Setting {
        nodes: 3,
        more: 0,
        copies: 2,
        cache: (16, 4),
        batches: 1,
        portion_keys: usize::MAX,
        evict_after_ms: None,
        placement: Placement::Ring,
        serial: false,
        blank: false,
    };
    let number = |word: &str| {
        word.parse().ok().filter(|n| (1..=9).contains(n)).ok_or(format!("{word} is not 1 to 9"))
    };
    let mut rest = words;
    loop {
        rest = match rest {
            [] => break,
            [n, "nodes", rest @ ..] => {
                setting.nodes = number(n)?;
                rest
            }
            [n, "copies", rest @ ..] => {
                setting.copies = number(n)?;
                rest
            }
            [n, "more", rest @ ..] => {
                setting.more = number(n)?;
                rest
            }
            ["evict", after, rest @ ..] => {
                let ms = after.strip_suffix("ms").and_then(|ms| ms.parse().ok());
                setting.evict_after_ms = Some(ms.ok_or("evict after how long, as in 2000ms")?);
                rest
            }
            [n, "batches", rest @ ..] => {
                setting.batches = usize::from(number(n)?);
                rest
            }
            ["portions", "of", n, rest @ ..] => {
                setting.portion_keys = usize::from(number(n)?);
                rest
            }
            ["cache", shape, rest @ ..] => {
                let parts = shape.split_once('x').ok_or("a cache is SETSxWAYS, as in 1x1")?;
                setting.cache = (u32::from(number(parts.0)?), number(parts.1)?);
                rest
            }
            ["ascii-sum", rest @ ..] => {
                setting.placement = Placement::AsciiSum;
                rest
            }
            ["serial", rest @ ..] => {
                setting.serial = true;
                rest
            }
            ["blank", rest @ ..] => {
                setting.blank = true;
                rest
            }
            [word, ..] => return Err(format!("a cluster knows no `{word}`")),
        };
    }
    if setting.copies > setting.nodes {
        return Err("there are more copies than nodes".into());
    }
    Ok(setting)
}

fn client(rest: &str) -> Result<Command, String> {
    let (who, what) = rest.split_once(' ').ok_or("a client needs a name and a request")?;
    let (name, at) = match who.split_once('@') {
        Some((name, c)) => (name, Some(coordinator(c)?)),
        None => (who, None),
    };
    if name.len() != 1 || !name.chars().all(|c| c.is_ascii_lowercase()) {
        return Err(format!("a client is one small letter, not `{name}`"));
    }
    let (what, timeout_ms) = match what.split_once(" within ") {
        Some((what, time)) => (what, duration_ms(time)?),
        None => (what, 5_000),
    };
    let requests = what.split(';').map(|text| request(text.trim()));
    let requests = requests.collect::<Result<Vec<_>, String>>()?;
    Ok(Command::Client { name: name.to_owned(), at, requests, timeout_ms })
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|_| format!("`{text}` is no version: write 1.2"))
}

pub(super) fn key(text: &str) -> Result<Key, String> {
    Key::new(text).map_err(|_| format!("`{text}` is no key"))
}

fn place(text: &str) -> Result<Place, String> {
    let number = |digits: &str| digits.parse::<usize>().ok().filter(|n| (1..=9).contains(n));
    let place = match text.split_at_checked(1) {
        Some(("n", digits)) => number(digits).map(|n| Place::Node(n - 1)),
        Some(("c", digits)) => number(digits).map(|n| Place::Coordinator(n - 1)),
        _ => None,
    };
    place.ok_or(format!("`{text}` is neither a node (n1) nor a coordinator (c1)"))
}

fn node(text: &str) -> Result<usize, String> {
    match place(text)? {
        Place::Node(node) => Ok(node),
        Place::Coordinator(_) => Err(format!("`{text}` is not a node")),
    }
}

fn coordinator(text: &str) -> Result<usize, String> {
    match place(text)? {
        Place::Coordinator(coordinator) => Ok(coordinator),
        Place::Node(_) => Err(format!("`{text}` is not a coordinator")),
    }
}

/// `c1 to n2` or `n2 to c1`.
fn way(words: &[&str]) -> Result<Held, String> {
    let [from, "to", to] = words else {
        return Err("a way is FROM to TO, as in `c1 to n2`".into());
    };
    match (place(from)?, place(to)?) {
        (Place::Coordinator(c), Place::Node(n)) => Ok(Held::Down(Some(c), n)),
        (Place::Node(n), Place::Coordinator(c)) => Ok(Held::Up(Some(c), n)),
        _ => Err("messages go between a coordinator and a node".into()),
    }
}

fn held(words: &[&str]) -> Result<Vec<Held>, String> {
    match words {
        [n] => {
            let n = node(n)?;
            Ok(vec![Held::Down(None, n), Held::Up(None, n), Held::Heartbeats(n)])
        }
        ["to", n] => Ok(vec![Held::Down(None, node(n)?)]),
        ["from", n] => Ok(vec![Held::Up(None, node(n)?)]),
        [n, "heartbeats"] => Ok(vec![Held::Heartbeats(node(n)?)]),
        [n, "disk"] => Ok(vec![Held::Disk(node(n)?)]),
        [n, "keystore"] => Ok(vec![Held::Keystore(node(n)?)]),
        words => Ok(vec![way(words)?]),
    }
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let ms = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => text.strip_suffix('s').and_then(|n| n.parse::<u64>().ok()?.checked_mul(1_000)),
    };
    let ms = ms.filter(|ms| (1..=TICK_MS_MAX).contains(ms));
    ms.ok_or(format!("`{text}` is no time: write 500ms or 2s, at most ten minutes"))
}

fn expected(words: &[&str]) -> Result<Expected, String> {
    match words {
        [n, "running"] => Ok(Expected::Runs(node(n)?, true)),
        [n, "down"] => Ok(Expected::Runs(node(n)?, false)),
        [n, "undecided", count] => {
            let count = count.parse().map_err(|_| format!("`{count}` is no number"))?;
            Ok(Expected::Undecided(node(n)?, count))
        }
        [n, k, v] if n.starts_with('n') && n.len() == 2 => {
            let value = (*v != "nothing").then(|| Value::from(*v));
            Ok(Expected::Stored { node: node(n)?, key: key(k)?, value })
        }
        [c, phase] if c.starts_with('c') && c.len() == 2 => {
            Ok(Expected::Phase(coordinator(c)?, (*phase).to_owned()))
        }
        [client, begins @ ..] if client.len() == 1 && !begins.is_empty() => {
            let (client, begins) = ((*client).to_owned(), begins.join(" "));
            Ok(Expected::Answer { client, begins })
        }
        _ => Err("nothing can be expected in these words".into()),
    }
}
