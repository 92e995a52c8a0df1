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
//!
//! * this file: jobs and reports of both lanes; the log's
//! * `keys`: the keystore's; `sample`: about how long its values are

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::ids::{GroupSeq, Key, Point, Version};
use protocol::peer::{Audit, Audited, Extent, OnceEntry, Portion, Span};

use super::directory;
use super::engine::Engine;
use super::faults::Faults;
use crate::core::cache::CacheStats;
use crate::core::node::{AskToken, Found, Meta, ReadToken, Scanned};
use crate::core::record::{Committed, LogRecord, Room};
use crate::core::ring::Ring;
use crate::storage::keystore::{Checkpointed, CopyScan, Scan};
use crate::storage::log::{Log, LogError, NextSegment, ReadySegment, Took};
use crate::storage::small_file::SmallFile;

mod keys;
mod sample;
#[cfg(test)]
mod tests;

pub(super) use keys::{KeyJobs, key_queue, start_keys};

/// A thread has ended with the log in its hands.
const PANICKED: &str = "a bug ended a thread at the log; the node's log file says more";
/// Jobs that may wait for a lane.
const QUEUE_MAX: usize = 131_072;
/// A sync that takes longer is not waited for by whoever brings the next group.
const QUICK_SYNC: Duration = Duration::from_millis(1);
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
    /// Read a portion for a learner.
    Copy(AskToken, CopyScan),
    /// Find out about records, or mend some; look at so many at most.
    Audit(AskToken, Audit, usize),
    /// Drop named updates.
    DropOnces(Version),
    /// Keep named updates.
    KeepOnces(Vec<OnceEntry>),
    /// Drop what lies outside of these stretches, of so many keys after this one.
    Retain(Vec<Span>, Option<Key>, usize),
    /// Drop what a whole portion with these keys does not have; look at so many keys at most.
    DropOthers(Extent, Arc<BTreeSet<Key>>, usize),
    /// Drop tombstones of versions below this one; look at so many keys at most.
    Sweep(Version, Option<Key>, usize),
    /// Make durable what was applied.
    Checkpoint,
    /// The helper has done so.
    Checkpointed(Checkpointed),
    /// Count by the ranges of this ring.
    Ranges(Arc<Ring>),
    /// Count some keys by the ranges that are new: the lane's own, when it has nothing to do.
    Recount,
    /// Report the counts, the cache's too: to add them up is nothing to keep a vote waiting for.
    Count,
    /// Make durable what was applied, then end.
    Stop,
}

/// What a lane reports.
pub(super) enum Done {
    Synced(GroupSeq, Room, Took),
    Room(Room),
    Saved(u64),
    Read(ReadToken, Found),
    /// What is there is not what was written.
    Damaged(ReadToken),
    /// The same of a key of a page or portion.
    PageDamaged(AskToken, Key),
    Audited(AskToken, Audited),
    Onces(AskToken, Vec<OnceEntry>),
    Scanned(AskToken, Vec<Scanned>, Option<Key>),
    Copied(AskToken, Portion, Option<Key>),
    Retained(Option<Key>),
    OthersDropped(u64, Option<Key>),
    Swept(u64, Option<Key>),
    Checkpointed(GroupSeq),
    /// There was no space for the checkpoint.
    NotCheckpointed,
    /// Where the ranges end that are counted by and the live keys in each; about how many bytes a
    /// key takes; the cache's counters.
    Counts(Vec<(Point, u64)>, Option<u64>, CacheStats),
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
    faults: Option<Arc<Faults>>,
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
    pub(super) fn new(
        log: Log,
        state: SmallFile,
        gauge: Arc<LogGauge>,
        faults: Option<Arc<Faults>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|lane| {
            let (lane, pause) = (Weak::clone(lane), Duration::ZERO);
            let files = LogFiles { log, state, gauge, lane, pause, faults: faults.clone() };
            Self {
                faults,
                waiting: Mutex::default(),
                called: Condvar::new(),
                files: Mutex::new(files),
                // The first ones after a start on a full disk wait for space.
                slow: AtomicBool::new(true),
            }
        })
    }

    /// Starts the lane's thread, and has the first segments made ahead.
    pub(super) fn start(self: &Arc<Self>, engine: Weak<Engine>) -> std::io::Result<JoinHandle<()>> {
        if let Ok(mut files) = self.files.lock() {
            files.prepare_next();
        }
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
        // Of the helper's there is one at most, and without it no segment would be made again.
        let fits = waiting.jobs.len() < QUEUE_MAX || matches!(job, LogJob::Made(_));
        let room = !waiting.ended && fits;
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
        let faulty = self.faults.as_ref().is_some_and(|faults| faults.is_at_syncs());
        let quick = !faulty && !self.slow.load(Ordering::Relaxed);
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
    faults: Option<Arc<Faults>>,
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
                self.append(seq, &records)?;
                let took = self.log.took();
                self.gauge.sync_us.store(us(took.sync), Ordering::Relaxed);
                self.gauge.bytes.store(self.log.bytes(), Ordering::Relaxed);
                self.prepare_next();
                Ok(Outcome::Tell(Done::Synced(seq, self.log.room(), took)))
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
            let appended = match &self.faults {
                Some(faults) => faults.appending(|| self.log.append(seq, records)),
                None => self.log.append(seq, records),
            };
            match appended {
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
        // Given out and never brought back, no segment would be made again, and prepares would
        // wait for room without end.
        if self.lane.strong_count() == 0 {
            return;
        }
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

/// In microseconds.
pub(super) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The next pause, after one that was too short.
fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SPACE_WAIT_MIN, SPACE_WAIT_MAX)
}
