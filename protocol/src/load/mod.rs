//! A load generator: any number of connections that ask what a [`Plan`] says.
//!
//! For measurements, tests and demos. It counts every operation once, by kind and outcome; repeats
//! none; and judges nothing: what a value is, it does not look at. With a rate, latencies count
//! from when an operation was meant to start, so that a server that stalls hides nothing.
//!
//! - `plan`: what shall be done; `draw`: kinds, keys and values, from a seed
//! - `flight`: what may be sent when; `pace`: who wakes a connection for it
//! - `connection`: the task of each; `tally`: what has become of it all
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use protocol::load::{self, Plan};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan { duration: Some(Duration::from_secs(10)), ..Plan::default() };
//! let mut running = load::start("127.0.0.1:8080", plan).await?;
//! running.ended().await;
//! let report = running.report();
//! println!("{} operations, {:.0} a second", report.ops, report.rate);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::client::ClientError;
use crate::client::repeat::random_name;
use crate::ids::Version;

mod connection;
mod draw;
mod flight;
mod pace;
mod plan;
mod tally;

use connection::Connection;
pub use draw::Random;
use draw::Values;
use flight::Schedule;
use pace::Pace;
pub use plan::{
    CONNECTIONS_MAX, DEPTH_MAX, Distribution, InvalidPlan, KEY_MARK, KEYS_MAX, Kind, Mix, Plan,
    RATE_MAX, THETA_MAX, Work,
};
use tally::Tally;
pub use tally::{CONNECTION_LOST, INVALID_REPLY, KindReport, Latency, OK, Report, Sample};

/// Why a load did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The plan cannot be done.
    #[error("{0}")]
    Plan(#[from] InvalidPlan),
    /// Not all connections could be made.
    #[error("{0}")]
    Connect(#[from] ClientError),
    /// The system refused a thread, or random numbers.
    #[error("the system refuses what a load needs: {0}")]
    System(io::Error),
}

/// What all connections of a load share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    addresses: String,
    begin: Instant,
    schedule: Arc<Schedule>,
    values: Values,
    tally: Mutex<Tally>,
    /// With a rate: woken when something of a connection's is due, by its number.
    due: Arc<[Notify]>,
    /// The version last seen of each key; empty where no operation needs one.
    versions: Vec<AtomicU64>,
    /// What the names of updates begin with, if they have any.
    name: Option<String>,
}

impl Shared {
    fn new(addresses: &str, plan: Plan) -> io::Result<Self> {
        let needs_versions = match plan.work {
            Work::Drawn { mix, .. } => mix.weight(Kind::Cas) > 0,
            Work::EachKey(kind) => kind == Kind::Cas,
        };
        let versions = if needs_versions { plan.keys } else { 0 };
        Ok(Self {
            addresses: addresses.to_owned(),
            begin: Instant::now(),
            schedule: Arc::new(Schedule::new(&plan)),
            values: Values::new(plan.value_bytes, plan.seed),
            tally: Mutex::new(Tally::new()),
            due: (0..plan.connections).map(|_| Notify::new()).collect(),
            versions: (0..versions).map(|_| AtomicU64::new(0)).collect(),
            name: plan.once.then(random_name).transpose()?,
            plan,
        })
    }

    /// Nanoseconds since the load began.
    fn now_ns(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment `ns` after the load began, if there is such a one.
    fn at(&self, ns: u64) -> Option<Instant> {
        (ns < u64::MAX).then(|| self.begin.checked_add(Duration::from_nanos(ns))).flatten()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counting does not panic; were it to, what is counted is still the best there is.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_versions(&self) -> bool {
        !self.versions.is_empty()
    }

    /// The version last seen of a key; before that one that no key has.
    fn version(&self, key: u32) -> Version {
        let seen = self.versions.get(key as usize).map(|seen| seen.load(Ordering::Relaxed));
        seen.map_or(Version::ZERO, Version::from_number)
    }

    fn saw(&self, key: u32, version: Option<Version>) {
        if let (Some(seen), Some(version)) = (self.versions.get(key as usize), version) {
            seen.store(version.number(), Ordering::Relaxed);
        }
    }
}

/// A load under way. It stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    stopper: Stopper,
    /// When the last task ended.
    ended_ns: Option<u64>,
    _pace: Option<Pace>,
}

/// Stops a load, from anywhere.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<[AbortHandle]>);

impl Stopper {
    /// Stops it at once: what is in flight is not waited for.
    pub fn stop(&self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Makes all connections to the first of `addresses` that accepts, then starts the load. Must be
/// called within a tokio runtime.
///
/// # Errors
/// What is wrong with the plan, or why a connection could not be made.
pub async fn start(addresses: &str, plan: Plan) -> Result<Running, StartError> {
    plan.check()?;
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        streams.push(connection::open(addresses, plan.token.as_ref(), plan.answer_wait).await?);
    }
    let mut shared = Shared::new(addresses, plan).map_err(StartError::System)?;
    shared.begin = Instant::now();
    let begin = shared.begin.into_std();
    let pace = shared.schedule.has_rate().then(|| {
        Pace::start(shared.schedule.clone(), shared.due.clone(), begin).map_err(StartError::System)
    });
    let pace = pace.transpose()?;
    let shared = Arc::new(shared);
    let mut tasks = JoinSet::new();
    let shares = streams.into_iter().enumerate();
    let handles = shares
        .map(|(number, stream)| tasks.spawn(Connection::new(shared.clone(), number).run(stream)));
    let stopper = Stopper(handles.collect());
    Ok(Running { shared, tasks, stopper, ended_ns: None, _pace: pace })
}

impl Running {
    /// Waits until all is done, or stopped. May be dropped while it waits, and called again.
    pub async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
        self.ended_ns.get_or_insert_with(|| self.shared.now_ns());
    }

    /// Something that stops this load.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What has happened since the last sample, or the beginning.
    pub fn sample(&self) -> Sample {
        self.shared.tally().sample(self.shared.now_ns())
    }

    /// What has become of it: of all of it after [`Running::ended`], so far before.
    pub fn report(&self) -> Report {
        let now_ns = self.ended_ns.unwrap_or_else(|| self.shared.now_ns());
        let due = self.shared.schedule.due_count(now_ns);
        let report = self.shared.tally().report(now_ns, due);
        Report { rate_asked: self.shared.plan.rate, ..report }
    }
}

#[cfg(test)]
mod tests;
