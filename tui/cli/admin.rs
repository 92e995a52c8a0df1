//! `piazza admin`: what is done to processes, at their supervisor, and to the membership, at the
//! coordinator.
//!
//! Called by `main`. On a terminal it asks before it takes anything away. Decides nothing: either
//! may refuse.

pub(crate) mod change;
mod preview;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use protocol::client::{ClientError, Supervisor};
use protocol::error::ErrorCode;
use protocol::request::{AdminAction, Setting};
use protocol::status::NodeState;
use protocol::supervisor::{Order, ProcAction};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::args::Common;
use crate::print::{self, Exit, Failure};
use crate::{address, supervised};

/// How long the coordinator may take to see that a node has ended.
const NOTICE_WAIT: Duration = Duration::from_secs(5);
/// How often the supervisor is asked whether a process has ended.
const INTERVAL: Duration = Duration::from_millis(50);

/// `admin`.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    action: Action,
}

/// What `admin` can do.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Kill a server at once; it stays down until it is started.
    Kill(ProcArgs),
    /// Stop a server in order; it stays down until it is started.
    Stop(ProcArgs),
    /// Start a server that is down.
    Start(ProcArgs),
    /// Kill a server, if it lives, and start it.
    Restart(ProcArgs),
    /// Let a server stand still.
    Pause(ProcArgs),
    /// Let a server that stands still go on.
    Resume(ProcArgs),
    /// Let a node have a fault, for teaching: refuse_prepare, sync_delay_ms, drop_votes,
    /// drop_heartbeats, stop_after. Needs a cluster started with `piazza up --lab`.
    Inject(InjectArgs),
    /// Take a silent node's place away.
    Evict(NodeArgs),
    /// Let a node give away what it has, and leave.
    Remove(NodeArgs),
    /// One more node.
    Add(ChangeArgs),
    /// Make the nodes' shares as equal as they can be.
    Rebalance(ChangeArgs),
    /// Scrub, and replace what is damaged by the copies of other nodes.
    Repair(ChangeArgs),
    /// Read every record of every node anew, and tell which are damaged or differ.
    Scrub(ChangeArgs),
    /// End a change, and take back what was done of it; of an eviction that cannot be.
    Cancel(CancelArgs),
    /// Change a setting of the cluster.
    Set(SetArgs),
}

/// An action on a process.
#[derive(Debug, clap::Args)]
struct ProcArgs {
    /// The server: coordinator, n1, n2 ...
    proc: String,
    /// The supervisor's address [default: as `status` or the directory tells it]
    #[arg(long, value_name = "HOST:PORT")]
    supervisor: Option<String>,
    /// Do not wait until the server is ready, or has ended.
    #[arg(long)]
    no_wait: bool,
    /// Wait no longer than this: 500ms, 30s, 1m.
    #[arg(long, default_value = "30s", value_parser = wait)]
    timeout: Duration,
    /// Do not ask first.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// A fault on order.
#[derive(Debug, clap::Args)]
struct InjectArgs {
    /// The node: n1, n2 ...
    proc: String,
    /// The fault.
    fault: String,
    /// Milliseconds of sync_delay_ms; of stop_after the step: append, sync or vote.
    #[arg(long)]
    value: Option<String>,
    /// How often it comes; 0 takes it back.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The supervisor's address [default: as `status` or the directory tells it]
    #[arg(long, value_name = "HOST:PORT")]
    supervisor: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// How long a node may take to take an order.
const ORDER_WAIT: Duration = Duration::from_secs(5);

impl InjectArgs {
    fn split(self) -> (ProcArgs, Order) {
        let Self { proc, fault, value, count, supervisor, common } = self;
        let args =
            ProcArgs { proc, supervisor, no_wait: false, timeout: ORDER_WAIT, yes: true, common };
        (args, Order { fault, value, count })
    }
}

/// A change of the membership.
#[derive(Debug, clap::Args)]
struct ChangeArgs {
    /// Only tell what it would do.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask first.
    #[arg(long, short)]
    yes: bool,
    /// Do not wait for the end of the change.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    common: Common,
}

/// One that is about a node.
#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// The node.
    node: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// One that is about a change.
#[derive(Debug, clap::Args)]
struct CancelArgs {
    /// The change, as `status` names it: c7.
    change: String,
    #[command(flatten)]
    args: ChangeArgs,
}

/// One that is about a setting.
#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The setting: evict_after_ms (0: never), copy_bytes_per_s.
    #[arg(value_name = "NAME", value_parser = setting)]
    setting: Setting,
    /// What it is until the coordinator ends.
    #[arg(value_parser = whole_number)]
    value: u64,
    #[command(flatten)]
    change: ChangeArgs,
}

fn setting(text: &str) -> Result<Setting, String> {
    let [one, other] = Setting::ALL.map(Setting::name);
    Setting::named(text).ok_or_else(|| format!("give {one} or {other}"))
}

/// What a setting can be.
fn whole_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number, in the unit of the setting's name".into())
}

/// A wait that the supervisor keeps: 1 ms to 60 s.
fn wait(text: &str) -> Result<Duration, String> {
    let wait = crate::duration::duration(text)?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(60);
    if allowed.contains(&wait) { Ok(wait) } else { Err("give 1ms to 60s".into()) }
}

/// `piazza admin`.
pub(crate) fn run(args: AdminArgs) -> ExitCode {
    use AdminAction as A;
    match args.action {
        Action::Kill(args) => at_supervisor(args, ProcAction::Kill),
        Action::Stop(args) => at_supervisor(args, ProcAction::Stop),
        Action::Start(args) => at_supervisor(args, ProcAction::Start),
        Action::Restart(args) => at_supervisor(args, ProcAction::Restart),
        Action::Pause(args) => at_supervisor(args, ProcAction::Pause),
        Action::Resume(args) => at_supervisor(args, ProcAction::Resume),
        Action::Inject(args) => {
            let (args, order) = args.split();
            at_supervisor(args, |proc| ProcAction::Inject(proc, order))
        }
        Action::Evict(NodeArgs { node, change }) => {
            change::run(change, A::Evict { node: node.into() })
        }
        Action::Remove(NodeArgs { node, change }) => {
            change::run(change, A::Remove { node: node.into() })
        }
        Action::Add(args) => change::run(args, A::Add),
        Action::Rebalance(args) => change::run(args, A::Rebalance),
        Action::Repair(args) => change::run(args, A::Repair),
        Action::Scrub(args) => change::run(args, A::Scrub),
        Action::Cancel(CancelArgs { change, args }) => {
            change::run(args, A::Cancel { change: change.into() })
        }
        Action::Set(SetArgs { setting, value, change }) => {
            change::run(change, A::Set { setting, value })
        }
    }
}

fn at_supervisor(args: ProcArgs, action: impl FnOnce(String) -> ProcAction) -> ExitCode {
    let json = args.common.json;
    let action = action(args.proc.clone());
    let takes_away = matches!(
        action,
        ProcAction::Kill(_) | ProcAction::Stop(_) | ProcAction::Restart(_) | ProcAction::Pause(_)
    );
    // Before anything listens for Ctrl-C, which must end a question.
    let done = confirm(takes_away && !args.yes, action.name(), &args.proc)
        .and_then(|()| print::block_on(act(args, action)));
    print::finish(done, json)
}

/// Whether it is a start that has not come to its end in time.
fn is_late(action: &ProcAction, error: &ClientError) -> bool {
    let starts = matches!(action, ProcAction::Start(_) | ProcAction::Restart(_));
    starts && error.reply().is_some_and(|reply| reply.code == ErrorCode::Timeout)
}

async fn act(args: ProcArgs, action: ProcAction) -> Result<Exit, Failure> {
    let token = args.common.credentials.token()?;
    let address = supervised::find(args.supervisor.as_deref(), &args.common).await?;
    let supervisor = Supervisor::connect(&address, args.timeout, token)
        .await
        .map_err(|error| Failure::connecting(error, supervised::HINT))?;
    // The supervisor answers a start when the server is ready: an early deadline is how one says
    // that nobody waits.
    let wait = if args.no_wait { Duration::from_millis(1) } else { args.timeout };
    // So that whoever watches reads who it was; an older supervisor need not know the word.
    let _ = supervisor.hello("piazza admin").await;
    let pid = match supervisor.act(&action, wait).await {
        Ok(reply) => reply.pid,
        Err(ClientError::Retry(reply)) if args.no_wait && reply.code == ErrorCode::Timeout => None,
        // The supervisor says where it shows that, which is no command of this program.
        Err(error) if is_late(&action, &error) => {
            let proc = print::escaped(args.proc.as_bytes(), false);
            let message = format!(
                "{proc} is not ready yet, after {:?}: see piazza status, and piazza logs {proc}",
                args.timeout
            );
            return Err(Failure { message, ..error.into() });
        }
        Err(error) => return Err(error.into()),
    };
    let ends = matches!(action, ProcAction::Kill(_) | ProcAction::Stop(_));
    if ends && !args.no_wait {
        wait_for_end(&supervisor, &args, pid).await?;
        wait_for_notice(&args).await;
    }
    let (proc, name) = (&args.proc, action.name());
    let line = if args.common.json {
        format!("{}\n", json!({ "ok": true, "action": name, "proc": proc, "pid": pid }))
    } else {
        let done = match (&action, args.no_wait) {
            (ProcAction::Kill(_) | ProcAction::Stop(_), true) => "is ending",
            (ProcAction::Kill(_) | ProcAction::Stop(_), false) => "has ended, and stays down",
            (ProcAction::Pause(_), _) => "stands still",
            (ProcAction::Resume(_), _) => "goes on",
            (ProcAction::Inject(_, Order { count: 0, .. }), _) => "has that fault on order no more",
            (ProcAction::Inject(..), _) => "has the fault on order",
            (_, true) => "is being started",
            (_, false) => "is ready",
        };
        let pid = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        format!("{}{pid} {done}\n", print::escaped(proc.as_bytes(), false))
    };
    print::output(line.as_bytes())?;
    Ok(Exit::Done)
}

async fn wait_for_end(
    supervisor: &Supervisor,
    args: &ProcArgs,
    pid: Option<u32>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let list = supervisor.list().await?;
        let is_it = |pid_now| pid.is_some() && pid_now == pid;
        if !list.procs.iter().any(|proc| proc.name == args.proc && is_it(proc.pid)) {
            return Ok(());
        }
        if begun.elapsed() > args.timeout {
            let text = format!("{} has not ended within {:?}: kill it", args.proc, args.timeout);
            return Err(Failure::new(Exit::Refused, "timeout", text));
        }
        sleep(INTERVAL).await;
    }
}

/// Waits until the coordinator has seen the end too, so that what is asked next is answered as the
/// message promises. It is no failure if it cannot be asked, or takes its time.
async fn wait_for_notice(args: &ProcArgs) {
    let Ok(target) = address::resolve(&args.common) else { return };
    let Ok(client) = supervised::quick_client(&target.addresses, &args.common).await else {
        return;
    };
    let begun = Instant::now();
    while begun.elapsed() < NOTICE_WAIT
        && let Ok(status) = client.status().await
    {
        let node = status.nodes.iter().find(|node| node.name.as_str() == args.proc);
        if node.is_none_or(|node| node.state == NodeState::Down) {
            return;
        }
        sleep(INTERVAL).await;
    }
}

/// On a terminal, asks whether that is meant.
fn confirm(needed: bool, what: &str, whom: &str) -> Result<(), Failure> {
    if !needed || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    let whom = print::escaped(whom.as_bytes(), false);
    let _ = write!(io::stderr(), "{what} {whom}? [y/N] ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && is_yes(&answer) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotThere, "cancelled", "nothing was done"))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_default_answer_is_no() {
        assert!(is_yes("y\n") && is_yes(" Yes\r\n"));
        assert!(!is_yes("") && !is_yes("\n") && !is_yes("yy") && !is_yes("n"));
    }

    #[test]
    fn actions_are_typed_with_what_they_are_about() {
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            args: AdminArgs,
        }
        let right = |typed: &str| Line::try_parse_from(typed.split(' ')).is_ok();
        for typed in ["kill n3 --yes", "restart coordinator --no-wait", "evict n1 --dry-run", "add"]
        {
            assert!(right(&format!("admin {typed}")), "{typed}");
        }
        assert!(right("admin set evict_after_ms 5000") && right("admin cancel c7"));
        assert!(right("admin inject n1 sync_delay_ms --value 200 --count 5"));
        assert!(right("admin inject n1 drop_votes"));
        for typed in [
            "inject n1",
            "inject n1 drop_votes --count x",
            "kill",
            "evict",
            "set evict_after_ms",
            "set x -1",
            "set evict_after_ms abc",
            "set colour 1",
            "stop n1 --timeout 2m",
        ] {
            assert!(!right(&format!("admin {typed}")), "{typed}");
        }
        assert!(whole_number("abc").unwrap_err().contains("give a whole number"));
    }
}
