//! A node's two threads that block: one owns log and state file, one the keystore.
//!
//! Each takes its jobs in order and reports when they are done; so the order of the core's
//! effects is the order on disk. An error of either ends the process: nothing may be promised
//! after it (R9). Queues are bounded by the coordinator's windows; a full one ends the process
//! too, since to drop a job would be to lie.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use protocol::ids::{GroupSeq, Key};
use tokio::sync::mpsc;

use super::directory;
use crate::core::node::{Found, Meta, ReadToken};
use crate::core::record::{Committed, LogRecord};
use crate::core::ring::Ring;
use crate::storage::failpoint;
use crate::storage::keystore::{Checkpointed, Keystore};
use crate::storage::log::{Log, NextSegment, ReadySegment};
use crate::storage::small_file::SmallFile;

/// Jobs that may wait for a lane.
const QUEUE_MAX: usize = 131_072;

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
    /// End.
    Stop,
}

/// A job of the keystore's lane.
pub(super) enum KeyJob {
    /// Apply decided writes.
    Apply(Vec<Committed>, GroupSeq),
    /// Look a key up.
    Read(ReadToken, Key),
    /// Make durable what was applied.
    Checkpoint,
    /// The helper has done so.
    Checkpointed(Checkpointed),
    /// Count by these ranges.
    Ranges(Arc<Ring>),
    /// Report the counts.
    Count,
    /// Make durable what was applied, then end.
    Stop,
}

/// What a lane reports.
pub(super) enum Done {
    Synced(GroupSeq),
    Saved(u64),
    Read(ReadToken, Found),
    Checkpointed(GroupSeq),
    /// Live keys by range.
    Counts(Vec<u64>),
    /// The process must end: a sentence for the operator.
    Failed(String),
    Stopped,
}

/// What the log's lane shows to heartbeats.
#[derive(Default)]
pub(super) struct LogGauge {
    pub(super) bytes: AtomicU64,
    pub(super) sync_us: AtomicU64,
}

/// A lane: where its jobs go, and its thread.
pub(super) struct Lane<J> {
    jobs: mpsc::Sender<J>,
    thread: JoinHandle<()>,
}

impl<J> Lane<J> {
    /// Hands over a job; false if the lane is gone or hopelessly behind.
    pub(super) fn give(&self, job: J) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// Waits for the thread's end, after it was told to stop.
    pub(super) fn join(self) {
        let _ = self.thread.join();
    }
}

/// Takes jobs in order until one fails or says that it was the last.
fn work_off<J>(
    queue: &mut mpsc::Receiver<J>,
    done: &mpsc::Sender<Done>,
    mut work: impl FnMut(J) -> Result<Option<Done>, directory::Refusal>,
) {
    while let Some(job) = queue.blocking_recv() {
        let report = match work(job) {
            Ok(Some(report)) => report,
            Ok(None) => continue,
            Err(error) => Done::Failed(error.to_string()),
        };
        let last = matches!(report, Done::Failed(_) | Done::Stopped);
        if done.blocking_send(report).is_err() || last {
            return;
        }
    }
}

/// Starts the log's lane.
pub(super) fn log_lane(
    log: Log,
    state: SmallFile,
    gauge: Arc<LogGauge>,
    done: mpsc::Sender<Done>,
) -> std::io::Result<Lane<LogJob>> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let lane = LogLane { log, state, gauge, done, jobs: jobs.downgrade() };
    let thread = thread::Builder::new().name("log".into()).spawn(move || lane.run(queue))?;
    Ok(Lane { jobs, thread })
}

struct LogLane {
    log: Log,
    state: SmallFile,
    gauge: Arc<LogGauge>,
    done: mpsc::Sender<Done>,
    jobs: mpsc::WeakSender<LogJob>,
}

impl LogLane {
    fn run(mut self, mut queue: mpsc::Receiver<LogJob>) {
        self.prepare_next();
        let done = self.done.clone();
        work_off(&mut queue, &done, |job| self.work(job));
    }

    fn work(&mut self, job: LogJob) -> Result<Option<Done>, directory::Refusal> {
        match job {
            LogJob::Append(seq, records) => {
                let began = Instant::now();
                self.log.append(seq, &records)?;
                let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.gauge.sync_us.store(took, Ordering::Relaxed);
                self.gauge.bytes.store(self.log.bytes(), Ordering::Relaxed);
                self.prepare_next();
                Ok(Some(Done::Synced(seq)))
            }
            LogJob::Save(number, meta) => {
                if let Some(ring) = &meta.ring {
                    self.log.set_cluster(ring.cluster);
                }
                directory::save(&mut self.state, &meta)?;
                Ok(Some(Done::Saved(number)))
            }
            LogJob::Free(through) => {
                let freed = self.log.free_through(through)?;
                if freed > 0 {
                    tracing::info!(freed, through = through.0, "log segments freed");
                }
                Ok(None)
            }
            LogJob::Made(made) => {
                self.log.accept_next(made)?;
                Ok(None)
            }
            LogJob::Stop => Ok(Some(Done::Stopped)),
        }
    }

    /// The next segment is made ahead, by a thread of its own.
    fn prepare_next(&mut self) {
        let Some(work) = self.log.prepare_next() else { return };
        let jobs = self.jobs.clone();
        let make = move |work: NextSegment| {
            let made = work.run();
            if let Some(jobs) = jobs.upgrade() {
                let _ = jobs.blocking_send(LogJob::Made(made));
            }
        };
        let named = thread::Builder::new().name("segment".into());
        if let Err(error) = named.spawn(move || make(work)) {
            tracing::warn!(%error, "cannot make a log segment ahead");
        }
    }
}

/// Starts the keystore's lane.
pub(super) fn key_lane(
    keystore: Box<dyn Keystore>,
    done: mpsc::Sender<Done>,
) -> std::io::Result<Lane<KeyJob>> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let lane = KeyLane { keystore, done, jobs: jobs.downgrade(), checkpointing: false };
    let thread = thread::Builder::new().name("keys".into()).spawn(move || lane.run(queue))?;
    Ok(Lane { jobs, thread })
}

struct KeyLane {
    keystore: Box<dyn Keystore>,
    done: mpsc::Sender<Done>,
    jobs: mpsc::WeakSender<KeyJob>,
    checkpointing: bool,
}

impl KeyLane {
    fn run(mut self, mut queue: mpsc::Receiver<KeyJob>) {
        let done = self.done.clone();
        work_off(&mut queue, &done, |job| self.work(job));
    }

    fn work(&mut self, job: KeyJob) -> Result<Option<Done>, directory::Refusal> {
        match job {
            KeyJob::Apply(writes, through) => {
                self.keystore.apply(&writes, through)?;
                Ok(None)
            }
            KeyJob::Read(token, key) => {
                let stored = self.keystore.get(&key)?;
                let found = stored.map_or(
                    Found { version: protocol::ids::Version::ZERO, value: None },
                    |stored| Found { version: stored.version, value: stored.value },
                );
                Ok(Some(Done::Read(token, found)))
            }
            KeyJob::Checkpoint => {
                self.begin_checkpoint()?;
                Ok(None)
            }
            KeyJob::Checkpointed(done) => {
                self.checkpointing = false;
                failpoint::hit("keys.checkpoint.end")?;
                let through = self.keystore.end_checkpoint(done)?;
                failpoint::hit("keys.checkpoint.report")?;
                Ok(Some(Done::Checkpointed(through)))
            }
            KeyJob::Ranges(ring) => {
                let points: Vec<u64> = ring.points().iter().map(|(point, _)| point.0).collect();
                self.keystore.set_ranges(&points)?;
                Ok(None)
            }
            KeyJob::Count => {
                let keys = self.keystore.counts().iter().map(|range| range.live).collect();
                Ok(Some(Done::Counts(keys)))
            }
            KeyJob::Stop => {
                if !self.checkpointing {
                    self.keystore.checkpoint()?;
                }
                Ok(Some(Done::Stopped))
            }
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
