//! `bench`: asks much of a cluster for a while, and tells how it answered.
//!
//! Called by `main`. Fills its keys, measures, prints, removes its keys. Writes no key but its own
//! (`PREFIX` + `load-` + a number), and refuses a prefix under which others have keys. Ctrl-C ends
//! a measurement early: what was measured is printed, the keys are removed. A second one leaves
//! them.

mod show;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use protocol::client::{Client, ClientError, Options};
use protocol::ids::Key;
use protocol::load::{
    self, Distribution, KEY_MARK, Kind, Mix, OK, Plan, Report, Sample, StartError, Work,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::address::{self, Target};
use crate::args::Common;
use crate::duration::duration;
use crate::print::{self, Exit, Failure};
use show::Measured;

/// How long it measures where neither a duration nor a number of operations is given.
const DURATION: Duration = Duration::from_secs(10);
/// How often the line on the terminal is written anew.
const LIVE: Duration = Duration::from_millis(200);
/// What fills and removes keys: enough to be quick, and no burden.
const SWEEP_CONNECTIONS: usize = 8;
const SWEEP_DEPTH: usize = 32;
/// Bytes of values in flight on one of its connections.
const SWEEP_BYTES: usize = 1 << 20;
/// For how long keys that could not be removed are tried again.
const REMOVE_MAX: Duration = Duration::from_secs(30);
const REMOVE_PAUSE: Duration = Duration::from_millis(500);

/// `bench`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchArgs {
    /// What is asked how often, by weight: get, put, update, cas and del.
    #[arg(long, value_name = "MIX", default_value = "get=90,put=10")]
    mix: Mix,
    /// How many keys.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    keys: u32,
    /// Which keys are asked for: all alike (uniform), or few of them often (zipf, zipf:0.99).
    #[arg(long, default_value = "uniform")]
    distribution: Distribution,
    /// Bytes of a value.
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    value_bytes: usize,
    /// How many connections.
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    depth: usize,
    /// Start so many operations a second, whatever the answers do; latencies count from when an
    /// operation was meant to start.
    ///
    /// Without it, each connection asks again as soon as it is answered.
    #[arg(long, value_name = "OPS_PER_S")]
    rate: Option<u64>,
    /// For how long: 500ms, 30s, 2m. Without it and --ops: 10s.
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// End after so many operations.
    #[arg(long, value_name = "COUNT")]
    ops: Option<u64>,
    /// Repeats which keys are asked for.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the names of its keys begin with; no other keys are written.
    #[arg(long, default_value = "bench:")]
    prefix: String,
    /// Do not put every key first.
    #[arg(long)]
    no_fill: bool,
    /// Leave the keys when done.
    #[arg(long)]
    keep: bool,
    /// Go on where others have keys with this prefix; they are not touched.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// `piazza bench`.
pub(crate) fn run(args: BenchArgs) -> ExitCode {
    let json = args.common.json;
    print::finish(print::to_its_end(bench(args)), json)
}

impl BenchArgs {
    fn plan(&self) -> Plan {
        Plan {
            work: Work::Drawn { mix: self.mix, distribution: self.distribution },
            keys: self.keys,
            prefix: self.prefix.clone(),
            value_bytes: self.value_bytes,
            connections: self.connections,
            depth: self.depth,
            rate: self.rate,
            duration: self.duration.or(self.ops.is_none().then_some(DURATION)),
            ops: self.ops,
            seed: self.seed,
            ..Plan::default()
        }
    }
}

async fn bench(args: BenchArgs) -> Result<Exit, Failure> {
    let token = args.common.credentials.token()?;
    let plan = Plan { token, ..args.plan() };
    plan.check().map_err(|wrong| Failure::usage(wrong.0))?;
    let target = address::resolve(&args.common)?;
    let system = |error: io::Error| Failure::new(Exit::Other, "system", error.to_string());
    let interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let json = args.common.json;
    let mut bench = Bench { target, plan, interrupt, json, cut_short: false };
    bench.prepare(args.yes).await?;
    let measured = match args.no_fill {
        true => bench.measure().await,
        false => match bench.fill().await {
            Ok(()) => bench.measure().await,
            Err(failure) => Err(failure),
        },
    };
    let printed = match &measured {
        Ok(measured) if !bench.json => print::lines(show::table(&bench.plan, measured).as_bytes()),
        _ => Ok(()),
    };
    let left = if args.keep { None } else { Some(bench.remove().await?) };
    // Whatever became of the output, the keys are gone first.
    printed?;
    let measured = measured?;
    if bench.json {
        print::output(&show::object(&bench.plan, &measured, left))?;
    }
    let left = left.unwrap_or(0);
    let exit = if measured.interrupted || bench.cut_short {
        Exit::Interrupted
    } else if left == 0 && measured.report.count(OK) > 0 {
        Exit::Done
    } else {
        Exit::Refused
    };
    if left > 0 {
        return Err(Failure::new(exit, "keys_left", bench.keys_left(left)));
    }
    Ok(exit)
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted", "")
}

/// One benchmark of one cluster.
struct Bench {
    target: Target,
    plan: Plan,
    interrupt: Signal,
    json: bool,
    /// Ctrl-C came while keys were removed.
    cut_short: bool,
}

impl Bench {
    /// Makes sure that the cluster takes such requests, and that nobody else's keys are near.
    async fn prepare(&mut self, yes: bool) -> Result<(), Failure> {
        let (target, plan) = (&self.target, &self.plan);
        let look = async {
            let token = plan.token.clone();
            let options = Options { repeat_refused: false, token, ..Options::default() };
            let client = Client::connect(&target.addresses, options).await;
            let client = client.map_err(|error| Failure::connecting(error, &target.hint))?;
            let limits = client.hello("piazza bench", true).await?.limits;
            if plan.value_bytes > limits.value_bytes || plan.key(0).len() > limits.key_bytes {
                return Err(Failure::usage(format!(
                    "the cluster takes keys of {} bytes and values of {}: choose a shorter \
                     --prefix or fewer --value-bytes",
                    limits.key_bytes, limits.value_bytes
                )));
            }
            if !yes && let Some(key) = foreign_key(&client, &plan.prefix).await? {
                return Err(Failure::usage(format!(
                    "there are keys with the prefix {} that bench has not made, such as {}: choose \
                     another --prefix; or add --yes, which leaves them as they are",
                    plan.prefix,
                    key.as_str()
                )));
            }
            client.close().await;
            Ok(())
        };
        tokio::select! {
            looked = look => looked,
            _ = self.interrupt.recv() => Err(interrupted()),
        }
    }

    /// The plan of one operation a key.
    fn sweep(&self, kind: Kind) -> Plan {
        let depth = (SWEEP_BYTES / self.plan.value_bytes.max(1)).clamp(1, SWEEP_DEPTH);
        Plan {
            work: Work::EachKey(kind),
            connections: SWEEP_CONNECTIONS,
            depth,
            rate: None,
            duration: None,
            ops: None,
            ..self.plan.clone()
        }
    }

    /// Puts every key once.
    async fn fill(&mut self) -> Result<(), Failure> {
        let plan = self.sweep(Kind::Put);
        let keys = plan.keys;
        self.say(&format!("filling {keys} keys that begin with {}{KEY_MARK}", plan.prefix));
        let filling = self.phase(plan, |bar, sample, _| {
            bar.set_message(format!("{} of {keys} keys filled", sample.ops_total));
        });
        let (report, was_interrupted) = filling.await?;
        if was_interrupted {
            return Err(interrupted());
        }
        let filled = report.count(OK);
        if filled == u64::from(keys) {
            return Ok(());
        }
        let why = report.errors().keys().next().cloned();
        let advice = why.as_deref().map_or("the coordinator is away", show::advice);
        let why = why.map(|code| format!(" ({code})")).unwrap_or_default();
        Err(Failure::new(
            Exit::Refused,
            "not_filled",
            format!(
                "only {filled} of {keys} keys could be filled{why}, so nothing was measured: \
                 {advice}"
            ),
        ))
    }

    async fn measure(&mut self) -> Result<Measured, Failure> {
        let plan = self.plan.clone();
        let (begun, cpu) = (Instant::now(), cpu_time());
        let whole = plan.duration;
        let measuring = self.phase(plan, |bar, sample, elapsed| {
            bar.set_message(show::live(sample, whole.map(|whole| whole.saturating_sub(elapsed))));
        });
        let (report, interrupted) = measuring.await?;
        let cpu = cpu_time().saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
        Ok(Measured { report, generator_cpu: cpu, interrupted })
    }

    /// Removes every key; how many are left.
    async fn remove(&mut self) -> Result<u64, Failure> {
        let keys = u64::from(self.plan.keys);
        let begun = Instant::now();
        loop {
            let plan = self.sweep(Kind::Del);
            let result = self.phase(plan, |bar, sample, _| {
                bar.set_message(format!("{} of {keys} keys removed", sample.ops_total));
            });
            let left = match result.await {
                Ok((report, cut_short)) => {
                    self.cut_short = cut_short;
                    keys - report.count(OK) - report.count("not_found")
                }
                // The cluster is away: what was measured is still worth telling.
                Err(failure) if failure.exit == Exit::Refused => keys,
                Err(failure) => return Err(failure),
            };
            if left == 0 {
                self.say(&format!("removed all {keys} keys"));
                return Ok(0);
            }
            if self.cut_short || begun.elapsed() > REMOVE_MAX {
                return Ok(left);
            }
            tokio::select! {
                () = sleep(REMOVE_PAUSE) => {}
                _ = self.interrupt.recv() => {
                    self.cut_short = true;
                    return Ok(left);
                }
            }
        }
    }

    /// Runs `plan` to its end or to Ctrl-C, which of them, and shows how it goes.
    async fn phase(
        &mut self,
        plan: Plan,
        show: impl Fn(&ProgressBar, &Sample, Duration),
    ) -> Result<(Report, bool), Failure> {
        let mut running = tokio::select! {
            running = load::start(&self.target.addresses, plan) => {
                running.map_err(|error| self.not_started(error))?
            }
            _ = self.interrupt.recv() => return Err(interrupted()),
        };
        let begun = Instant::now();
        let bar = self.live_line();
        let mut ticks = interval_at(begun + LIVE, LIVE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut interrupted = false;
        loop {
            tokio::select! {
                () = running.ended() => break,
                _ = self.interrupt.recv() => {
                    interrupted = true;
                    running.stopper().stop();
                }
                _ = ticks.tick(), if !bar.is_hidden() => {
                    show(&bar, &running.sample(), begun.elapsed());
                }
            }
        }
        bar.finish_and_clear();
        Ok((running.report(), interrupted))
    }

    fn keys_left(&self, left: u64) -> String {
        format!(
            "{left} of the {} keys that begin with {}{KEY_MARK} could not be removed: when piazza \
             status says that all is well, the same bench with --no-fill --ops 1 removes them",
            self.plan.keys, self.plan.prefix
        )
    }

    fn not_started(&self, error: StartError) -> Failure {
        match error {
            StartError::Plan(wrong) => Failure::usage(wrong.0),
            StartError::Connect(error @ ClientError::NotConnected(_)) => {
                Failure::connecting(error, &self.target.hint)
            }
            StartError::Connect(error) => error.into(),
            StartError::System(_) => Failure::new(Exit::Other, "system", error.to_string()),
        }
    }

    /// A line on a terminal, nothing elsewhere.
    fn live_line(&self) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let line = ProgressBar::no_length();
        match ProgressStyle::with_template("{spinner} {msg}") {
            Ok(style) => line.with_style(style),
            // Only a mistake in the template; a plain line is as good.
            Err(_) => line,
        }
    }

    /// Tells people how it goes; results are not told here.
    fn say(&self, sentence: &str) {
        if !self.json {
            // Where standard error is closed nobody wants to know.
            let _ = io::Write::write_all(
                &mut io::stderr(),
                format!("{}\n", print::escaped(sentence.as_bytes(), false)).as_bytes(),
            );
        }
    }
}

/// A key with this prefix that no load has made, if there is one.
async fn foreign_key(client: &Client, prefix: &str) -> Result<Option<Key>, Failure> {
    let own = format!("{prefix}{KEY_MARK}");
    // Keys come in order, so others are before or behind those of loads. A colon follows the nine.
    let behind = Key::new(&format!("{own}:")).map_err(|error| Failure::usage(error.0))?;
    for mut scan in [client.scan(prefix), client.scan(prefix).after(&behind)] {
        scan = scan.limit(1);
        while let Some(page) = scan.next().await? {
            if let Some(item) = page.items.into_iter().next() {
                if item.key.as_str().starts_with(&own) && item.key < behind {
                    break;
                }
                return Ok(Some(item.key));
            }
        }
    }
    Ok(None)
}

/// Processor time that this process has used.
fn cpu_time() -> Duration {
    let of = |time: TimeVal| {
        let us = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(us).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(Duration::ZERO, |usage| of(usage.user_time()) + of(usage.system_time()))
}
