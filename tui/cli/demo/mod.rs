//! `piazza demo`: a script is played in the console, on a cluster that is there for it alone.
//!
//! Called by `main`. The language and the player are the crate `tui`'s. Where there is no terminal
//! a demo is played unseen, and its transcript printed: so it is a test too.
//!
//! - `cluster`: the cluster, and that nothing of it stays
//! - `stage`: what the demo says and has done beside the console: transcript, recording
//! - `background`: requests that go on meanwhile; `shop`: a shop that does
//! - `surface`: screens that are recorded, or that nobody sees

mod background;
mod cluster;
mod shop;
mod stage;
mod surface;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use tui::console::run::{self, End, RecordError, Surface, Wiring};
use tui::console::state::{Console, Settings};
use tui::demo::library::{self, DEMOS};
use tui::demo::parse;
use tui::demo::player::{Pace, Player};
use tui::demo::script::Script;

use crate::args::Common;
use crate::console::prompt::Prompt;
use crate::console::surface::{self as terminal, OnTerminal};
use crate::console::{exit_code, finder, look_of_person};
use crate::print::{self, Exit, Failure};
use cluster::Cluster;
use stage::{Cast, Telling};
use surface::{Recorded, Unseen};

/// The screen that nobody sees.
const UNSEEN: (u16, u16) = (120, 36);

/// Plays a story in the console on a cluster of its own, and checks all that it says.
///
/// Keys: Space stands still and goes on, n goes on at once, b looks back, + and - change the speed,
/// Esc hands the cluster over to you, q ends.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all was as said, 1 something was not, 2 the script is wrong."
)]
pub(crate) struct DemoArgs {
    /// One of the list, or a file; without it: the list
    #[arg(value_name = "NAME|FILE")]
    name: Option<String>,
    /// Show what there is, and how long each takes
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Wait for Enter at each caption
    #[arg(long, conflicts_with_all = ["fast", "headless", "json"])]
    present: bool,
    /// Make no pauses
    #[arg(long)]
    fast: bool,
    /// Show nothing, print a transcript [default: where there is no terminal]
    #[arg(long)]
    headless: bool,
    /// Record the screen in a new file, for players of asciicast
    #[arg(long, value_name = "FILE.cast")]
    cast: Option<PathBuf>,
    /// Print the transcript as JSON, one object a step
    #[arg(long)]
    json: bool,
}

/// Runs `piazza demo`.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    let json = args.json;
    let result = match &args.name {
        Some(name) => read(name).and_then(|script| play(script, &args)),
        None => list(json).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|failure| print::finish(Err(failure), json))
}

fn list(json: bool) -> Result<(), Failure> {
    let mut out = String::new();
    for listed in DEMOS {
        // They were checked when the program was tested.
        let Ok(script) = parse(listed.name, listed.text) else { continue };
        let (name, takes_s, about) = (listed.name, script.takes_ms / 1_000, script.about);
        if json {
            let line = serde_json::json!({"name": name, "takes_s": takes_s, "about": about});
            out.push_str(&format!("{line}\n"));
        } else {
            out.push_str(&format!("{name:18} {takes_s:3} s  {about}\n"));
        }
    }
    if !json {
        out.push_str("\npiazza demo NAME plays one; --present waits for Enter at each caption\n");
    }
    print::output(out.as_bytes())
}

/// The demo of that name, or in that file.
fn read(name: &str) -> Result<Script, Failure> {
    let (of, text) = match library::named(name) {
        Some(listed) => (name.to_owned(), listed.text.to_owned()),
        None => (name.to_owned(), read_file(name)?),
    };
    let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
    parse(&stem, &text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|one| format!("{of}:{one}")).collect();
        Failure::usage(lines.join("\n"))
    })
}

fn read_file(name: &str) -> Result<String, Failure> {
    std::fs::read_to_string(name).map_err(|error| {
        let is_name = !name.contains(['.', '/']);
        let names = DEMOS.iter().map(|listed| listed.name);
        let near = tui::commands::nearest(name, names);
        Failure::usage(match (error.kind(), near) {
            (io::ErrorKind::NotFound, Some(near)) => {
                format!("there is no demo {name:?}: did you mean {near:?}?")
            }
            (io::ErrorKind::NotFound, None) if is_name => {
                format!("there is no demo {name:?}: piazza demo lists them")
            }
            _ => format!("{name}: {error}"),
        })
    })
}

fn system(error: io::Error) -> Failure {
    Failure::new(Exit::Other, "system", error.to_string())
}

fn play(script: Script, args: &DemoArgs) -> Result<ExitCode, Failure> {
    let is_watched = print::has_screen() && !args.headless && !args.json;
    if args.present && !is_watched {
        return Err(Failure::usage("--present needs a terminal: nobody could press Enter here"));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let result = runtime.block_on(played(script, args, is_watched));
    // A thread that reads the terminal cannot be woken; nobody waits for it.
    runtime.shutdown_background();
    result
}

async fn played(script: Script, args: &DemoArgs, is_watched: bool) -> Result<ExitCode, Failure> {
    let mut inputs = if is_watched { terminal::inputs() } else { terminal::signals() };
    let inputs = inputs.as_mut().map_err(|error| system(io::Error::other(error.to_string())))?;
    if is_watched {
        eprintln!("starting a cluster of {} nodes for the demo ...", script.cluster.nodes);
    }
    let mut cluster = Cluster::start(&script.cluster)?;
    let ready = tokio::select! {
        ready = cluster.ready() => ready?,
        // Nothing but a signal ends it before its screen is there.
        end = until_ended(inputs) => return Ok(exit_code(end)),
    };
    let cast = args.cast.as_deref().map(Cast::create).transpose()?;
    let cast = cast.map(|cast| Rc::new(RefCell::new(cast)));
    let pace = match (args.present, args.fast) {
        (true, _) => Pace::Present,
        (false, true) => Pace::Fast,
        (false, false) => Pace::Timed,
    };
    let title = script.title.clone();
    let mut stage = Telling::new(&ready.coordinator, !is_watched, args.json, cast.clone());
    let player = Player::new(script, pace, is_watched);
    let (console, wiring, mut prompt) = wired(&cluster, &ready, is_watched)?;
    let mut shown: Box<dyn Surface> = match is_watched {
        true => Box::new(OnTerminal::enter(console.mouse).map_err(system)?),
        false => Box::new(Unseen(UNSEEN)),
    };
    if let Some(cast) = cast {
        shown = Box::new(Recorded::new(shown, cast, &title)?);
    }
    let taken = std::mem::replace(inputs, tokio::sync::mpsc::channel(1).1);
    let demo = (player, &mut stage as &mut dyn run::Stage);
    let ended = run::play(console, shown.as_mut(), taken, &mut prompt, wiring, demo).await;
    // The terminal is as it was before anything is printed.
    drop(shown);
    let end = ended.map_err(|error| match error {
        RecordError::Terminal(error) => {
            Failure::new(Exit::Other, "terminal", format!("the terminal: {error}"))
        }
        other => Failure::usage(other.to_string()),
    })?;
    stage.finish(is_watched)?;
    Ok(match (end, stage.failed()) {
        (End::Signal(_), _) => exit_code(end),
        (_, true) => ExitCode::from(Exit::NotThere as u8),
        (_, false) => ExitCode::SUCCESS,
    })
}

/// The console of the demo's cluster.
fn wired(
    cluster: &Cluster,
    ready: &cluster::Ready,
    is_watched: bool,
) -> Result<(Console, Wiring, Prompt), Failure> {
    let common = Common { dir: Some(cluster.dir()), ..Common::default() };
    let settings = Settings {
        look: if is_watched { look_of_person()? } else { tui::console::look::Look::default() },
        address: ready.coordinator.clone(),
        own_name: format!("demo-{}", std::process::id()),
        ..Settings::default()
    };
    let wiring = Wiring {
        coordinator: ready.coordinator.clone(),
        supervisor: Some(ready.supervisor.clone()),
        find: Some(finder(&common)),
        token: None,
        record: None,
        replay: None,
    };
    Ok((Console::new(settings), wiring, Prompt::new(common, false)))
}

/// Waits for a signal that ends the program.
async fn until_ended(inputs: &mut terminal::Inputs) -> End {
    loop {
        match inputs.recv().await {
            Some(Ok(run::Did::Ended(end))) => return end,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}
