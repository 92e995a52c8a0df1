//! A node's two lanes of work that blocks: one owns log and state file, one the keystore.
//!
//! Each does its jobs in order and tells the engine, on the thread that did them, when they are
//! done; so the order of the core's effects is the order on disk. An error of either ends the
//! process: nothing may be promised after it (R9). Queues are bounded by the coordinator's windows;
//! a full one ends the process too, since to drop a job would be to lie.
//!
//! Each lane has a thread. But while the disk is quick, whoever brings a lone group to the log may
//! write it itself, if it has nothing better to do: to wake another thread costs as much as a
//! third of a quick disk's sync.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::OnceEntry;
use tokio::sync::mpsc;

use super::directory;
use super::engine::{Engine, State};
use crate::core::cache::{Cache, CacheStats};
use crate::core::node::{AskToken, Found, Meta, ReadToken, Scanned};
use crate::core::record::{Committed, LogRecord, Room};
use crate::core::ring::Ring;
use crate::storage::failpoint;
use crate::storage::keystore::{Checkpointed, Keystore, KeystoreError, Scan, Stored};
use crate::storage::log::{Log, LogError, NextSegment, ReadySegment};
use crate::storage::small_file::SmallFile;

#[cfg(test)]
mod tests;

/// A thread has ended with the log in its hands.
const PANICKED: &str = "a bug ended a thread at the log; the node's log file says more";
/// Jobs that may wait for a lane.
const QUEUE_MAX: usize = 131_072;
/// A sync that takes longer is not waited for by whoever brings the next group.
const QUICK_SYNC: Duration = Duration::from_millis(1);
/// Answers of the keystore that are told together at most.
const REPORTS_MAX: usize = 256;

/// How long a full disk is left alone before it is asked for space again; doubles.
const SPACE_WAIT_MIN: Duration = Duration::from_millis(100);
const SPACE_WAIT_MAX: Duration = Duration::from_secs(3);

/// A job of the log's lane.
pub(super) enum LogJob {
    /// Append one group and sync.
    Append(GroupSeq, Vec<LogRecord>),
    /// Save the state file.
    Save(u64, Box<Meta>),
    /// Groups through this one may go.
    Free(GroupSeq),
    /// The helper has made a segment.
    Made(ReadySegment),
    /// Room for so many bytes is wanted.
    Want(u64),
    /// End.
    Stop,
}

/// A job of the keystore's lane.
pub(super) enum KeyJob {
    /// Apply decided writes.
    Apply(Vec<Committed>, GroupSeq),
    /// Look a key up.
    Read(ReadToken, Key),
    /// Read named updates.
    ReadOnces(AskToken, Version, usize),
    /// Read a page of keys.
    Scan(AskToken, Scan),
    /// Drop named updates.
    DropOnces(Version),
    /// Make durable what was applied.
    Checkpoint,
    /// The helper has done so.
    Checkpointed(Checkpointed),
    /// Count by these ranges.
    Ranges(Arc<Ring>),
    /// Report the counts, the cache's too: to add them up is nothing to keep a vote waiting for.
    Count,
    /// Make durable what was applied, then end.
    Stop,
}

/// What a lane reports.
pub(super) enum Done {
    Synced(GroupSeq, Room),
    Room(Room),
    Saved(u64),
    Read(ReadToken, Found),
    Onces(AskToken, Vec<OnceEntry>),
    Scanned(AskToken, Vec<Scanned>, Option<Key>),
    Checkpointed(GroupSeq),
    /// There was no space for the checkpoint.
    NotCheckpointed,
    /// Live keys by range, and the counters of the cache.
    Counts(Vec<u64>, CacheStats),
    /// The process must end: a sentence for the operator.
    Failed(String),
}

/// What the log's lane shows to heartbeats.
#[derive(Default)]
pub(super) struct LogGauge {
    pub(super) bytes: AtomicU64,
    pub(super) sync_us: AtomicU64,
    /// The node stops: nothing waits for space any more.
    pub(super) stopping: AtomicBool,
}

/// Where the keystore's jobs go. Its lane ends when this is dropped.
pub(super) struct KeyJobs(mpsc::Sender<KeyJob>);

/// Where the keystore's jobs come from, and a way for its lane's helper to add some.
pub(super) struct KeyQueue {
    jobs: mpsc::Receiver<KeyJob>,
    add: mpsc::WeakSender<KeyJob>,
}

/// Both ends of the keystore's queue; `start_keys` takes the second.
pub(super) fn key_queue() -> (KeyJobs, KeyQueue) {
    let (add, jobs) = mpsc::channel(QUEUE_MAX);
    let weak = add.downgrade();
    (KeyJobs(add), KeyQueue { jobs, add: weak })
}

impl KeyJobs {
    /// Hands over a job; false if the lane is gone or hopelessly behind.
    pub(super) fn give(&self, job: KeyJob) -> bool {
        self.0.try_send(job).is_ok()
    }
}

/// What a job leads to.
enum Outcome {
    /// Nothing to be told.
    Silent,
    /// The engine is to know.
    Tell(Done),
    /// It was the last.
    Last,
}

/// The log's lane: what waits for log and state file, and these.
pub(super) struct LogLane {
    waiting: Mutex<Waiting>,
    /// The lane's thread is called.
    called: Condvar,
    files: Mutex<LogFiles>,
    /// The last job was not a quick one.
    slow: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<LogJob>,
    /// The lane's thread is on its way.
    called: bool,
    /// Nothing more will be done.
    ended: bool,
}

/// How reports reach the engine; false if the process is to end.
pub(super) type Tell<'a> = &'a dyn Fn(Done) -> bool;

impl LogLane {
    pub(super) fn new(log: Log, state: SmallFile, gauge: Arc<LogGauge>) -> Arc<Self> {
        Arc::new_cyclic(|lane| {
            let lane = Weak::clone(lane);
            let mut files = LogFiles { log, state, gauge, lane, pause: Duration::ZERO };
            files.prepare_next();
            Self {
                waiting: Mutex::default(),
                called: Condvar::new(),
                files: Mutex::new(files),
                // The first ones after a start on a full disk wait for space.
                slow: AtomicBool::new(true),
            }
        })
    }

    /// Starts the lane's thread.
    pub(super) fn start(self: &Arc<Self>, engine: Weak<Engine>) -> std::io::Result<JoinHandle<()>> {
        let lane = Arc::clone(self);
        let tell = move |done| engine.upgrade().is_some_and(|engine| engine.tell(done));
        thread::Builder::new().name("log".into()).spawn(move || lane.work_off(&tell))
    }

    /// Hands over a job; false if the lane has ended or is hopelessly behind.
    pub(super) fn give(&self, job: LogJob) -> bool {
        let left = self.leave(job);
        self.call();
        left
    }

    /// As `give`, but whoever leaves a job there sees to it that it is done: by `work_here` or
    /// by `call`.
    pub(super) fn leave(&self, job: LogJob) -> bool {
        let mut waiting = self.waiting();
        let room = !waiting.ended && waiting.jobs.len() < QUEUE_MAX;
        if room {
            waiting.jobs.push_back(job);
        }
        room
    }

    /// Calls the lane's thread.
    pub(super) fn call(&self) {
        let mut waiting = self.waiting();
        if !waiting.called {
            waiting.called = true;
            self.called.notify_one();
        }
    }

    /// Does what was left, on this thread, if it is one group and the disk is quick; else calls the
    /// lane's thread.
    pub(super) fn work_here(&self, tell: Tell) {
        let quick = !self.slow.load(Ordering::Relaxed);
        if quick
            && let Ok(mut files) = self.files.try_lock()
            && let Some(group) = self.lone_group()
        {
            self.end_if(files.do_job(group, &self.slow, tell));
        } else {
            self.call();
        }
    }

    /// The one job that waits, if it is a group and the lane's thread is not called.
    fn lone_group(&self) -> Option<LogJob> {
        let mut waiting = self.waiting();
        let lone = !waiting.called && waiting.jobs.len() == 1;
        let group = matches!(waiting.jobs.front(), Some(LogJob::Append(..)));
        if lone && group { waiting.jobs.pop_front() } else { None }
    }

    /// The lane's thread: does all jobs that wait when it is called, until the last.
    fn work_off(&self, tell: Tell) {
        loop {
            let mut waiting = self.waiting();
            while !waiting.called {
                let woken = self.called.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
            waiting.called = false;
            drop(waiting);
            // A thread that panicked with the files left nothing that may be gone on with.
            let Ok(mut files) = self.files.lock() else {
                self.end_if(true);
                tell(Done::Failed(PANICKED.to_owned()));
                return;
            };
            // Whoever takes a job holds the files: so they are done in their order.
            while let Some(job) = self.next() {
                if self.end_if(files.do_job(job, &self.slow, tell)) {
                    return;
                }
            }
        }
    }

    fn next(&self) -> Option<LogJob> {
        self.waiting().jobs.pop_front()
    }

    fn end_if(&self, last: bool) -> bool {
        self.waiting().ended |= last;
        last
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nobody panics with it: what is done under it is a few moves.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the log's lane works on.
struct LogFiles {
    log: Log,
    state: SmallFile,
    gauge: Arc<LogGauge>,
    lane: Weak<LogLane>,
    /// Before another segment is asked for: the disk had no space for the last one.
    pause: Duration,
}

impl LogFiles {
    /// Does a job and tells what it led to; true if none may follow.
    fn do_job(&mut self, job: LogJob, slow: &AtomicBool, tell: Tell) -> bool {
        let began = Instant::now();
        let outcome = self.work(job);
        slow.store(began.elapsed() > QUICK_SYNC, Ordering::Relaxed);
        match outcome {
            Ok(Outcome::Silent) => false,
            Ok(Outcome::Tell(report)) => !tell(report),
            Ok(Outcome::Last) => true,
            Err(error) => {
                tell(Done::Failed(error.to_string()));
                true
            }
        }
    }

    fn work(&mut self, job: LogJob) -> Result<Outcome, directory::Refusal> {
        match job {
            LogJob::Append(seq, records) => {
                let began = Instant::now();
                self.append(seq, &records)?;
                let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.gauge.sync_us.store(took, Ordering::Relaxed);
                self.gauge.bytes.store(self.log.bytes(), Ordering::Relaxed);
                self.prepare_next();
                Ok(Outcome::Tell(Done::Synced(seq, self.log.room())))
            }
            LogJob::Save(number, meta) => {
                if let Some(ring) = &meta.ring {
                    self.log.set_cluster(ring.cluster);
                }
                directory::save(&mut self.state, &meta)?;
                Ok(Outcome::Tell(Done::Saved(number)))
            }
            LogJob::Free(through) => {
                let freed = self.log.free_through(through)?;
                if freed > 0 {
                    tracing::info!(freed, through = through.0, "log segments freed");
                }
                Ok(Outcome::Tell(Done::Room(self.log.room())))
            }
            LogJob::Made(made) => {
                self.log.accept_next(made)?;
                let room = self.log.room();
                self.pause = if room.full { longer(self.pause) } else { Duration::ZERO };
                self.prepare_next();
                Ok(Outcome::Tell(Done::Room(room)))
            }
            LogJob::Want(bytes) => {
                self.log.want(bytes);
                self.prepare_next();
                Ok(Outcome::Tell(Done::Room(self.log.room())))
            }
            LogJob::Stop => Ok(Outcome::Last),
        }
    }

    /// Appends. Space is known to be there, but for groups after a start on a full disk: those
    /// wait, and all behind them, since what they hold is promised.
    fn append(&mut self, seq: GroupSeq, records: &[LogRecord]) -> Result<(), LogError> {
        let mut pause = Duration::ZERO;
        loop {
            match self.log.append(seq, records) {
                Err(LogError::DiskFull) if !self.gauge.stopping.load(Ordering::Relaxed) => {
                    if pause.is_zero() {
                        tracing::error!(group = seq.0, "{}", LogError::DiskFull);
                    }
                    pause = longer(pause);
                    thread::sleep(pause);
                }
                done => return done,
            }
        }
    }

    /// Segments are made ahead, by a thread of its own, which waits if the disk was full.
    fn prepare_next(&mut self) {
        let Some(work) = self.log.prepare_next() else { return };
        let (lane, pause) = (Weak::clone(&self.lane), self.pause);
        let make = move |work: NextSegment| {
            thread::sleep(pause);
            let made = work.run();
            if let Some(lane) = lane.upgrade() {
                lane.give(LogJob::Made(made));
            }
        };
        let named = thread::Builder::new().name("segment".into());
        if let Err(error) = named.spawn(move || make(work)) {
            tracing::warn!(%error, "cannot make a log segment ahead");
            self.log.not_made();
        }
    }
}

/// The next pause, after one that was too short.
fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SPACE_WAIT_MIN, SPACE_WAIT_MAX)
}

/// Starts the keystore's lane.
pub(super) fn start_keys(
    queue: KeyQueue,
    keystore: Box<dyn Keystore>,
    cache: Arc<Cache>,
    engine: Weak<Engine>,
) -> std::io::Result<JoinHandle<()>> {
    let mut lane = KeyLane { keystore, cache, jobs: queue.add, checkpointing: false };
    let run = move || lane.run(queue.jobs, &engine);
    thread::Builder::new().name("keys".into()).spawn(run)
}

struct KeyLane {
    keystore: Box<dyn Keystore>,
    /// Only to be counted.
    cache: Arc<Cache>,
    jobs: mpsc::WeakSender<KeyJob>,
    checkpointing: bool,
}

impl KeyLane {
    /// Takes jobs in order until one fails or was the last. Reports of jobs that wait in a row are
    /// told together.
    fn run(&mut self, mut queue: mpsc::Receiver<KeyJob>, engine: &Weak<Engine>) {
        let mut reports = Vec::new();
        let mut waiting = None;
        while let Some(job) = waiting.take().or_else(|| queue.blocking_recv()) {
            let last = match self.work(job) {
                Ok(Outcome::Silent) => false,
                Ok(Outcome::Tell(report)) => {
                    reports.push(report);
                    false
                }
                Ok(Outcome::Last) => true,
                Err(error) => {
                    reports.push(Done::Failed(error.to_string()));
                    true
                }
            };
            if !last && reports.len() < REPORTS_MAX {
                waiting = queue.try_recv().ok();
            }
            if !reports.is_empty() && waiting.is_none() {
                let Some(engine) = engine.upgrade() else { return };
                let tell = |state: &mut State, now| {
                    reports.drain(..).for_each(|done| state.on_done(now, done));
                };
                if !engine.turn(tell) {
                    return;
                }
            }
            if last {
                return;
            }
        }
    }

    fn work(&mut self, job: KeyJob) -> Result<Outcome, directory::Refusal> {
        match job {
            KeyJob::Apply(writes, through) => {
                self.keystore.apply(&writes, through)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Read(token, key) => {
                let stored = self.keystore.get(&key)?;
                let found =
                    stored.map_or(Found { version: Version::ZERO, value: None }, |stored| Found {
                        version: stored.version,
                        value: stored.value,
                    });
                Ok(Outcome::Tell(Done::Read(token, found)))
            }
            KeyJob::ReadOnces(token, after, limit) => {
                Ok(Outcome::Tell(Done::Onces(token, self.keystore.onces(after, limit)?)))
            }
            KeyJob::Scan(token, scan) => {
                let page = self.keystore.scan(&scan)?;
                let item = |(key, stored): (Key, Stored)| {
                    let version = stored.version;
                    stored.value.map(|value| Scanned { key, version, value })
                };
                let items = page.items.into_iter().filter_map(item).collect();
                Ok(Outcome::Tell(Done::Scanned(token, items, page.through)))
            }
            KeyJob::DropOnces(from) => {
                self.keystore.drop_onces(from)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Checkpoint => {
                self.begin_checkpoint()?;
                Ok(Outcome::Silent)
            }
            KeyJob::Checkpointed(done) => {
                self.checkpointing = false;
                failpoint::hit("keys.checkpoint.end")?;
                match self.keystore.end_checkpoint(done) {
                    Ok(through) => {
                        failpoint::hit("keys.checkpoint.report")?;
                        Ok(Outcome::Tell(Done::Checkpointed(through)))
                    }
                    Err(error @ KeystoreError::NoSpace(_)) => {
                        tracing::warn!("{error}");
                        Ok(Outcome::Tell(Done::NotCheckpointed))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            KeyJob::Ranges(ring) => {
                let points: Vec<u64> = ring.points().iter().map(|(point, _)| point.0).collect();
                self.keystore.set_ranges(&points)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Count => {
                let keys = self.keystore.counts().iter().map(|range| range.live).collect();
                Ok(Outcome::Tell(Done::Counts(keys, self.cache.stats())))
            }
            KeyJob::Stop => {
                if !self.checkpointing {
                    self.last_checkpoint()?;
                }
                Ok(Outcome::Last)
            }
        }
    }

    /// Without space none is made: all of it is in the log.
    fn last_checkpoint(&mut self) -> Result<(), KeystoreError> {
        match self.keystore.checkpoint() {
            Ok(_) | Err(KeystoreError::NoSpace(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The frozen state is written by a thread of its own; reads and applies go on.
    fn begin_checkpoint(&mut self) -> Result<(), directory::Refusal> {
        if self.checkpointing {
            return Ok(());
        }
        failpoint::hit("keys.checkpoint.begin")?;
        let Some(work) = self.keystore.begin_checkpoint() else { return Ok(()) };
        self.checkpointing = true;
        let jobs = self.jobs.clone();
        thread::Builder::new().name("checkpoint".into()).spawn(move || {
            let done = work.run();
            if let Some(jobs) = jobs.upgrade() {
                let _ = jobs.blocking_send(KeyJob::Checkpointed(done));
            }
        })?;
        Ok(())
    }
}
