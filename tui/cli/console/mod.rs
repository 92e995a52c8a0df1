//! `piazza console`, and `piazza up` on a terminal: the console, wired to this process's terminal,
//! to the cluster that is named, and to the commands that its prompt shares with the shell.
//!
//! Called by `main` and `up`. The console itself is the crate `tui`'s.
//!
//! - `config`: the person's own keys and theme; `surface`: the terminal, and what is typed there
//! - `prompt`: what carries out the lines of the prompt

mod config;
pub(crate) mod prompt;
pub(crate) mod surface;

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;
use tui::console::config::Config;
use tui::console::look::{Look, ThemeName};
use tui::console::run::{self, End, Find, RecordError, Wiring};
use tui::console::state::{Console, Settings};

use crate::address;
use crate::args::Common;
use crate::print::{self, Exit, Failure};

/// Watches a cluster on the whole terminal: heartbeats, ring, caches, commits; and changes it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Change nothing: no kill, stop, restart or pause, no updates [default: only where the cluster
    /// is on another machine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    read_only: Option<bool>,
    /// Record everything that comes in, in a new file
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Play a recording in place of a cluster
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) appearance: Appearance,
}

impl ConsoleArgs {
    /// The console of the cluster in `dir`.
    pub(crate) fn of_dir(dir: PathBuf, appearance: Appearance) -> Self {
        let common = Common { dir: Some(dir), ..Common::default() };
        Self { common, appearance, ..Self::default() }
    }
}

/// How the console looks and asks.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Appearance {
    /// dark, light, deuteranopia or mono [default: as the config file says, mono with NO_COLOR]
    #[arg(long, value_name = "NAME")]
    theme: Option<ThemeName>,
    /// Draw with plain ASCII only [default: as the config file says, else where the language of
    /// the environment is not written in UTF-8]
    #[arg(long)]
    ascii: bool,
    /// Do not ask before a server is killed, stopped, restarted or paused
    #[arg(long)]
    no_confirm: bool,
    /// Leave the mouse to the terminal, to mark and copy text
    #[arg(long)]
    no_mouse: bool,
}

/// Runs `piazza console`.
pub(crate) fn run(args: ConsoleArgs) -> ExitCode {
    let json = args.common.json;
    match show(args, false) {
        Ok(end) => exit_code(end),
        Err(failure) => print::finish(Err(failure), json),
    }
}

/// What a shell is told of how it ended.
pub(crate) fn exit_code(end: End) -> ExitCode {
    match end {
        End::Left | End::Stopped => ExitCode::SUCCESS,
        End::Signal(number) => ExitCode::from(128_u8.saturating_add(number)),
    }
}

/// Shows the cluster until the person, a signal or the terminal ends that. `owns_cluster`: this
/// command has started it, and asks at the end what becomes of it.
pub(crate) fn show(args: ConsoleArgs, owns_cluster: bool) -> Result<End, Failure> {
    if !print::has_screen() {
        return Err(Failure::usage(
            "the console needs a terminal that can move its cursor: use piazza status, watch or \
             shell instead, or piazza up --headless",
        ));
    }
    let config = config::read()?;
    let token = args.common.credentials.token()?;
    let (coordinator, supervisor) = if args.replay.is_some() {
        (String::new(), None)
    } else {
        let target = address::resolve(&args.common)?;
        (target.addresses, address::supervisor(&args.common))
    };
    let read_only = match (&args.replay, args.read_only) {
        (Some(_), _) => Some("this is a recording".to_owned()),
        (None, Some(true)) => Some("it was started with --read-only".to_owned()),
        (None, Some(false)) => None,
        (None, None) if is_here(&coordinator) => None,
        (None, None) => Some("the cluster is on another machine: --read-only=false".to_owned()),
    };
    let Appearance { no_confirm, no_mouse, .. } = args.appearance;
    let settings = Settings {
        look: look(&args.appearance, &config),
        keys: config.keys,
        read_only,
        confirm: config.confirm && !no_confirm,
        mouse: config.mouse && !no_mouse,
        address: args
            .replay
            .as_ref()
            .map_or_else(|| coordinator.clone(), |path| path.display().to_string()),
        owns_cluster,
        own_name: format!("console-{}", std::process::id()),
    };
    let find = args.common.dir.is_some() && args.replay.is_none();
    let wiring = Wiring {
        coordinator,
        supervisor,
        find: find.then(|| finder(&args.common)),
        token,
        record: args.record,
        replay: args.replay,
    };
    let prompt = prompt::Prompt::new(args.common, settings.read_only.is_some());
    on_screen(Console::new(settings), prompt, wiring)
}

/// How the console looks, by its flags and the config file.
fn look(flags: &Appearance, config: &Config) -> Look {
    let is_plain = || config::is_plain(|name| std::env::var_os(name));
    let ascii = flags.ascii || config.ascii.unwrap_or_else(is_plain);
    Look::choose(flags.theme, print::no_colour(), config.theme, ascii)
}

/// How a demo looks to this person: as every console of theirs.
pub(crate) fn look_of_person() -> Result<Look, Failure> {
    Ok(look(&Appearance::default(), &config::read()?))
}

/// Where the coordinator of the cluster in the directory is by now: it may have been started again
/// on another port.
pub(crate) fn finder(common: &Common) -> Find {
    let common = Common { dir: common.dir.clone(), ..Common::default() };
    Arc::new(move || address::resolve(&common).ok().map(|target| target.addresses))
}

fn on_screen(console: Console, mut prompt: prompt::Prompt, wiring: Wiring) -> Result<End, Failure> {
    let failed =
        |error: io::Error| Failure::new(Exit::Other, "terminal", format!("the terminal: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mouse = console.mouse;
    let ended = runtime.block_on(async {
        let inputs = surface::inputs()?;
        let mut surface = surface::OnTerminal::enter(mouse)?;
        run::run(console, &mut surface, inputs, &mut prompt, wiring).await
    });
    // A thread that reads the terminal cannot be woken; nobody waits for it.
    runtime.shutdown_background();
    ended.map_err(|error| match error {
        RecordError::Terminal(error) => failed(error),
        other => Failure::usage(other.to_string()),
    })
}

/// Whether all of these addresses are of this machine's own loopback.
fn is_here(addresses: &str) -> bool {
    let loops = |ip: IpAddr| ip.is_loopback();
    addresses.split(',').all(|one| {
        let found = one.trim().to_socket_addrs();
        found.is_ok_and(|mut found| found.all(|address| loops(address.ip())))
    })
}
