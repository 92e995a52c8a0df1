//! The way of a request as a picture of 80 columns: steps below each other, what goes on at the
//! same time as branches, and bars that show when each step began and how long it took.
//!
//! Pure: the same reply gives the same text.

use std::fmt::Write as _;

use protocol::reply::{COORDINATOR, ExplainReply, Step, StepName};

use crate::print::escaped;

/// Columns in all.
const COLUMNS: usize = 80;
/// Of a bar at its longest.
const BAR_COLUMNS: usize = 18;
/// In front of a time: the branches and the longest name.
const NAME_COLUMNS: usize = 15;
/// Of a time, its unit included.
const TIME_COLUMNS: usize = 10;

const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The steps that follow each other at one place, and when the first began.
struct Branch<'a> {
    steps: &'a [Step],
    began: u64,
}

/// A branch's line in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fork {
    None,
    More,
    Last,
}

impl Branch<'_> {
    fn is_at_node(&self) -> bool {
        self.steps[0].place != COORDINATOR
    }

    fn us(&self) -> u64 {
        self.steps.iter().filter_map(|step| step.us).sum()
    }
}

/// The picture; `title` names the request.
pub(super) fn draw(title: &str, explained: &ExplainReply, colour: bool) -> String {
    let ExplainReply { hash, byte_sum, nodes, set, steps, total_us, serial_updates, .. } =
        explained;
    let nodes: Vec<&str> = nodes.iter().map(|node| node.as_str()).collect();
    let mut out = format!("{title}\n");
    let sum = byte_sum.map_or_else(String::new, |sum| format!(" · {sum}"));
    let serial = if *serial_updates { " · one update at a time" } else { "" };
    let placed = format!("hash {hash}{sum} · on {} · set {set}{serial}", nodes.join(", "));
    wrap(&mut out, 0, 0, &placed);
    out.push_str("\nclient\n└─ coordinator\n");
    let branches = branches(steps);
    let end = branches.iter().map(|branch| branch.began + branch.us()).max().unwrap_or(0);
    let drawing = Drawing {
        scale_us: total_us.map(|total| total.max(end)),
        longest: longest(&branches),
        colour,
    };
    for (at, branch) in branches.iter().enumerate() {
        let more = branches.get(at + 1).is_some_and(Branch::is_at_node);
        let fork = match (branch.is_at_node(), more) {
            (false, _) => Fork::None,
            (true, true) => Fork::More,
            (true, false) => Fork::Last,
        };
        drawing.branch(&mut out, branch, fork);
    }
    out.push('\n');
    wrap(&mut out, 0, 0, &closing(explained, &branches));
    out
}

/// Steps at one place are one branch; those of several nodes in a row begin together.
fn branches(steps: &[Step]) -> Vec<Branch<'_>> {
    let mut branches = Vec::new();
    let (mut began, mut end) = (0, 0);
    let mut forked = false;
    for steps in steps.chunk_by(|a, b| a.place == b.place) {
        let at_node = steps[0].place != COORDINATOR;
        if !(at_node && forked) {
            began = end;
        }
        forked = at_node;
        let branch = Branch { steps, began };
        end = end.max(began + branch.us());
        branches.push(branch);
    }
    branches
}

/// The longest step of those that the whole waited for: of branches that go on at the same time,
/// the slowest one's.
fn longest<'a>(branches: &[Branch<'a>]) -> Option<&'a Step> {
    let is_slowest = |branch: &&Branch<'_>| {
        let beside = branches.iter().filter(|other| other.began == branch.began);
        let beside = beside.filter(|other| other.is_at_node() == branch.is_at_node());
        beside.map(Branch::us).max() <= Some(branch.us())
    };
    let steps = branches.iter().filter(is_slowest).flat_map(|branch| branch.steps);
    steps.filter(|step| step.us.is_some_and(|us| us > 0)).max_by_key(|step| step.us)
}

/// Where the time went, in one sentence.
fn closing(explained: &ExplainReply, branches: &[Branch<'_>]) -> String {
    let Some(total) = explained.total_us else {
        return "nothing was done: --run carries it out and shows the times".into();
    };
    let Some((step, us)) = longest(branches).and_then(|step| Some((step, step.us?))) else {
        return format!("{total} us in all");
    };
    let node = escaped(step.place.as_bytes(), false);
    let what = match step.name {
        StepName::Parse => "reading the request".into(),
        StepName::CacheLookup => "the look into the cache".into(),
        StepName::Queue => "waiting for its turn".into(),
        StepName::NodeRead => format!("the read at {node}"),
        StepName::Batch => "waiting to be sent".into(),
        StepName::Prepare => format!("waiting for the log of {node}"),
        StepName::Append => format!("writing the log of {node}"),
        StepName::Sync => format!("the sync at {node}"),
        StepName::Vote => format!("the way to {node} and back"),
        StepName::CacheUpdate => "deciding it and updating the cache".into(),
        StepName::Reply => match silent(&explained.steps) {
            Some(node) => format!("waiting in vain for the vote of {node}"),
            None => "making the reply".into(),
        },
        StepName::Other => format!("a step at {node}"),
    };
    format!("of {total} us, {us} us were {what}")
}

/// The node that has not voted, if there is one.
fn silent(steps: &[Step]) -> Option<String> {
    let silent = steps.iter().find(|step| step.name == StepName::Vote && step.us.is_none())?;
    Some(escaped(silent.place.as_bytes(), false))
}

/// What the lines have in common.
struct Drawing<'a> {
    /// What the longest bar stands for; none: there are no times.
    scale_us: Option<u64>,
    longest: Option<&'a Step>,
    colour: bool,
}

impl Drawing<'_> {
    fn branch(&self, out: &mut String, branch: &Branch<'_>, fork: Fork) {
        let indent = match fork {
            Fork::None => "   ",
            Fork::More => "   │  ",
            Fork::Last => "      ",
        };
        if fork != Fork::None {
            let corner = if fork == Fork::More { "├─" } else { "└─" };
            let _ =
                writeln!(out, "   {corner} {}", escaped(branch.steps[0].place.as_bytes(), false));
        }
        let mut at = branch.began;
        for step in branch.steps {
            self.step(out, indent, step, at);
            at += step.us.unwrap_or(0);
        }
    }

    fn step(&self, out: &mut String, indent: &str, step: &Step, at: u64) {
        let width = NAME_COLUMNS.max(indent.chars().count() + 1);
        let name = format!("{indent}{}", name(step.name));
        let _ = write!(out, "{name:width$}");
        let mut column = width;
        if let Some(scale_us) = self.scale_us {
            let time = step.us.map_or_else(|| "-".into(), |us| format!("{us} us"));
            let _ = write!(out, " {time:>TIME_COLUMNS$} ");
            self.bar(out, step, at, scale_us);
            column += TIME_COLUMNS + 2 + BAR_COLUMNS;
        }
        if step.note.is_empty() {
            let end = out.trim_end_matches(' ').len();
            out.truncate(end);
            out.push('\n');
            return;
        }
        out.push(' ');
        wrap(out, column + 1, column + 1, &escaped(step.note.as_bytes(), false));
    }

    /// When it began and how long it took.
    fn bar(&self, out: &mut String, step: &Step, at: u64, scale_us: u64) {
        let scale = u128::from(scale_us.max(1));
        let cell = |us: u64| (u128::from(us) * BAR_COLUMNS as u128 / scale) as usize;
        let from = cell(at).min(BAR_COLUMNS - 1);
        let Some(us) = step.us else {
            out.push_str(&" ".repeat(BAR_COLUMNS));
            return;
        };
        let (bar, count) = match cell(us) {
            0 => ("▏", 1),
            _ => ("█", cell(at + us).clamp(from + 1, BAR_COLUMNS) - from),
        };
        let is_longest = self.longest.is_some_and(|longest| std::ptr::eq(longest, step));
        let paint = if is_longest { YELLOW } else { CYAN };
        let (paint, plain) = if self.colour { (paint, PLAIN) } else { ("", "") };
        let _ = write!(out, "{:from$}{paint}{}{plain}", "", bar.repeat(count));
        out.push_str(&" ".repeat(BAR_COLUMNS - from - count));
    }
}

fn name(name: StepName) -> &'static str {
    match name {
        StepName::Parse => "parse",
        StepName::CacheLookup => "cache_lookup",
        StepName::Queue => "queue",
        StepName::NodeRead => "node_read",
        StepName::Batch => "batch",
        StepName::Prepare => "prepare",
        StepName::Append => "append",
        StepName::Sync => "sync",
        StepName::Vote => "vote",
        StepName::CacheUpdate => "cache_update",
        StepName::Reply => "reply",
        StepName::Other => "other",
    }
}

/// Appends `text` and a newline, from column `at` on; lines that follow begin at column `from`.
fn wrap(out: &mut String, mut at: usize, from: usize, text: &str) {
    let mut first = true;
    for word in text.split(' ') {
        let chars = word.chars().count();
        if !first && at + 1 + chars > COLUMNS {
            out.push('\n');
            out.push_str(&" ".repeat(from));
            at = from;
        } else if !first {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += chars;
        first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(steps: &str, total_us: &str) -> ExplainReply {
        let text = format!(
            r#"{{"hash":"00000000000000ff","nodes":["n2","n3"],"set":17,"total_us":{total_us},
                "steps":[{steps}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn step(name: &str, place: &str, us: &str, note: &str) -> String {
        format!(r#"{{"name":"{name}","where":"{place}","us":{us},"note":"{note}"}}"#)
    }

    fn put(us: &str) -> ExplainReply {
        let node = |node: &str, sync: &str| {
            [("prepare", us), ("append", us), ("sync", sync), ("vote", us)]
                .map(|(name, us)| step(name, node, us, ""))
                .join(",")
        };
        let steps = [
            step("parse", COORDINATOR, us, "understood"),
            step("batch", COORDINATOR, us, "alone in its batch"),
            node("n2", us),
            node("n3", if us == "null" { us } else { "301" }),
            step("reply", COORDINATOR, us, "ok, version 1.7, and a note that takes two lines"),
        ];
        reply(&steps.join(","), if us == "null" { us } else { "361" })
    }

    #[test]
    fn what_was_carried_out_is_drawn_with_its_times() {
        let expected = "\
put \"a\"
hash 00000000000000ff · on n2, n3 · set 17

client
└─ coordinator
   parse             10 us ▏                  understood
   batch             10 us ▏                  alone in its batch
   ├─ n2
   │  prepare        10 us ▏
   │  append         10 us  ▏
   │  sync           10 us  ▏
   │  vote           10 us   ▏
   └─ n3
      prepare        10 us ▏
      append         10 us  ▏
      sync          301 us  ████████████████
      vote           10 us                  ▏
   reply             10 us                  ▏ ok, version 1.7, and a note that
                                              takes two lines

of 361 us, 301 us were the sync at n3
";
        let drawn = draw("put \"a\"", &put("10"), false);
        assert_eq!(drawn, expected, "\n{drawn}");
    }

    #[test]
    fn a_plan_has_no_times_and_says_that_nothing_was_done() {
        let drawn = draw("put \"a\"", &put("null"), true);
        assert!(drawn.contains("   parse        understood\n"), "{drawn}");
        assert!(!drawn.contains(" us") && !drawn.contains('\x1b'), "{drawn}");
        assert!(drawn.ends_with("\nnothing was done: --run carries it out and shows the times\n"));
    }

    #[test]
    fn every_line_fits_and_obeys_nobody() {
        let long = "word ".repeat(60);
        let steps = [
            step("parse", COORDINATOR, "18446744073709551", "\\u001b[2J"),
            step("teleport", "n2", "0", long.trim_end()),
            step("node_read", "n3", "null", &"\\u202e".repeat(3)),
        ];
        for total in ["18446744073709551", "null"] {
            let drawn = draw("get", &reply(&steps.join(","), total), false);
            assert!(!drawn.contains(['\x1b', '\u{202e}']), "{drawn}");
            let longest = drawn.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(COLUMNS + 10), "{drawn}");
        }
        let drawn = draw("put", &put("10"), false);
        assert!(drawn.lines().all(|line| line.chars().count() <= COLUMNS), "{drawn}");
    }

    #[test]
    fn the_longest_step_of_the_slowest_branch_is_named_and_coloured() {
        let steps = [
            step("parse", COORDINATOR, "5", ""),
            step("prepare", "n2", "90", ""),
            step("sync", "n3", "80", ""),
            step("vote", "n3", "70", ""),
        ];
        let drawn = draw("put", &reply(&steps.join(","), "155"), true);
        assert!(drawn.ends_with("of 155 us, 80 us were the sync at n3\n"), "{drawn}");
        let yellow = drawn.lines().find(|line| line.contains(YELLOW)).unwrap();
        assert!(yellow.contains("sync") && drawn.matches(YELLOW).count() == 1, "{drawn}");
        let late = [step("vote", "n3", "null", "none yet"), step("reply", COORDINATOR, "9", "")];
        let drawn = draw("put", &reply(&late.join(","), "9"), false);
        assert!(drawn.ends_with("9 us were waiting in vain for the vote of n3\n"), "{drawn}");
        let nothing = draw("get", &reply("", "0"), false);
        assert!(nothing.ends_with("\n0 us in all\n"), "{nothing}");
    }
}
