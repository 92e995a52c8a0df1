//! `piazza inspect`: a node's log and keystore, readable, without a server.
//!
//! Called by `main`. What is read, and how, is `cluster::inspect`'s business; here it gets words.
//! `log` and `keystore` show one directory, `compare` two. Values are never shown, keys are always
//! escaped. Changes nothing in the directory.

mod compare;
mod keystore;
mod log;

use std::io::{self, BufWriter, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster::inspect::{InspectError, NodeDirectory};
use protocol::ids::{Key, MemberId, Version};
use serde_json::{Value, json};

use crate::print::{self, Exit, Failure};

/// `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The directory of a node, as ./piazza-data/n1; its server must not be running. With
    /// --compare: two of them.
    #[arg(required = true, num_args = 1..=2, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Only the log: segments, groups and records.
    #[arg(long, conflicts_with = "compare")]
    log: bool,
    /// Only the keystore: keys with versions and sizes.
    #[arg(long, conflicts_with_all = ["compare", "log"])]
    keystore: bool,
    /// Show only the keys that differ between two nodes which should both hold them.
    #[arg(long)]
    compare: bool,
    /// No colours, on a terminal too.
    #[arg(long)]
    plain: bool,
    /// Answer in JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// `piazza inspect`.
pub(crate) fn run(args: InspectArgs) -> ExitCode {
    // The storage engine panics over some kinds of damage; that is caught, and told as damage.
    std::panic::set_hook(Box::new(|_| {}));
    let stop = Arc::new(AtomicBool::new(false));
    let result = watch_interrupt(&stop).and_then(|()| {
        catch_unwind(AssertUnwindSafe(|| inspect(&args, &stop))).unwrap_or_else(|_| {
            let text = "this command met a defect of its own: please report it, with the directory";
            Err(Failure::new(Exit::Other, "internal", text))
        })
    });
    print::finish(result, args.json)
}

/// Ctrl-C ends the output and not the process, so that nothing is left behind in the directory for
/// temporary files; a second one does not wait for that.
fn watch_interrupt(stop: &Arc<AtomicBool>) -> Result<(), Failure> {
    let system = |error: io::Error| Failure::new(Exit::Other, "system", error.to_string());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let stop = Arc::clone(stop);
    let wait = move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            std::process::exit(Exit::Interrupted as i32);
        }
    };
    std::thread::Builder::new().name("interrupt".into()).spawn(wait).map_err(system)?;
    Ok(())
}

fn inspect(args: &InspectArgs, stop: &AtomicBool) -> Result<Exit, Failure> {
    let colour = print::in_colour() && !args.plain;
    let out = BufWriter::new(io::stdout().lock());
    let mut out = Out { out, json: args.json, colour, stop, damage: 0 };
    let exit = match args.dirs.as_slice() {
        [one, other] if args.compare => compare::run(&mut out, one, other)?,
        _ if args.compare => {
            let text = "--compare takes two directories: piazza inspect --compare DIR DIR";
            return Err(Failure::usage(text));
        }
        [dir] => {
            let node = NodeDirectory::open(dir)?;
            head(&mut out, &node)?;
            if !args.keystore {
                log::show(&mut out, &node)?;
            }
            if !args.log {
                keystore::show(&mut out, &node)?;
            }
            Exit::Done
        }
        _ => return Err(Failure::usage("give one directory; two are for --compare")),
    };
    out.out.flush()?;
    Ok(if out.damage > 0 { Exit::Other } else { exit })
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Usage(text) => Self::usage(text),
            InspectError::System(text) => Self::new(Exit::Other, "system", text),
        }
    }
}

/// Standard output, in words or in JSON.
struct Out<'a> {
    out: BufWriter<io::StdoutLock<'static>>,
    json: bool,
    colour: bool,
    stop: &'a AtomicBool,
    /// How much damage was told.
    damage: u64,
}

impl Out<'_> {
    /// One line: `words`, or `object`.
    fn line(&mut self, words: &str, object: &Value) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Failure::new(Exit::Interrupted, "interrupted", ""));
        }
        if self.json {
            writeln!(self.out, "{object}")?;
        } else {
            writeln!(self.out, "{words}")?;
        }
        Ok(())
    }

    /// Something is wrong with what was found.
    fn damage(&mut self, of: &str, what: &str) -> Result<(), Failure> {
        self.damage += 1;
        let words = format!("DAMAGED {of}: {}", print::escaped(what.as_bytes(), false));
        let words = if self.colour { format!("\x1b[31m{words}\x1b[0m") } else { words };
        self.line(&words, &json!({ "kind": "damage", "of": of, "what": what }))
    }

    /// Something that a start will mend.
    fn notice(&mut self, words: &str, object: &Value) -> Result<(), Failure> {
        let words = if self.colour { format!("\x1b[33m{words}\x1b[0m") } else { words.to_owned() };
        self.line(&words, object)
    }
}

/// Whose directory it is, and what it has promised.
fn head(out: &mut Out<'_>, node: &NodeDirectory) -> Result<(), Failure> {
    let store = node.store();
    let name = node.name().map(ToString::to_string);
    let mut facts = vec![format!("node {}", name.as_deref().unwrap_or("?"))];
    facts.push(format!("store {store}"));
    if let Some(meta) = &node.meta {
        facts.push(format!("started {}", counted(meta.incarnation.0, "time")));
        facts.push(format!("promised epoch {}", meta.fence.epoch));
    }
    match node.ring() {
        Some(ring) => {
            let names: Vec<String> = ring.members.iter().map(|m| m.name.to_string()).collect();
            facts.push(format!("cluster {}", ring.cluster));
            facts.push(format!("ring {}.{}", ring.number.epoch, ring.number.counter));
            facts.push(format!("{} of {}", ring.replicas, names.join(" ")));
        }
        None => facts.push("no ring: never part of a cluster".into()),
    }
    let object = json!({
        "kind": "node",
        "node": name,
        "store": store.to_string(),
        "state_saves": node.saves,
        "state": node.meta,
    });
    out.line(&facts.join(" · "), &object)?;
    for what in &node.damage {
        out.damage("directory", what)?;
    }
    Ok(())
}

/// A key as it stands in a line of words.
fn quoted(key: &Key) -> String {
    format!("\"{}\"", print::escaped(key.as_bytes(), false))
}

fn member(node: &NodeDirectory, id: MemberId) -> String {
    node.member(id).map_or_else(|| format!("member {}", id.0), ToString::to_string)
}

fn members(node: &NodeDirectory, ids: &[MemberId]) -> Vec<String> {
    ids.iter().map(|id| member(node, *id)).collect()
}

fn versions<'a>(versions: impl IntoIterator<Item = &'a Version>) -> Vec<String> {
    versions.into_iter().map(ToString::to_string).collect()
}

/// `1 group`, `2 groups`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
