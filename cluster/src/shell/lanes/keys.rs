//! A node's lane of work at the keystore: its queue, its thread, its checkpoints.
//!
//! Takes jobs in order and reports to the engine; see `lanes` for what both lanes have in common.

use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use protocol::ids::{Key, Version};
use protocol::peer::{Audit, Audited, Portion, Scrubbed};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::super::directory;
use super::super::engine::{Engine, State};
use super::sample::Sample;
use super::{Done, KeyJob, Outcome, QUEUE_MAX};
use crate::core::cache::Cache;
use crate::core::node::{AskToken, Found, ReadToken, Scanned};
use crate::storage::failpoint;
use crate::storage::keystore::{Checkpointed, CopyScan, Keystore, KeystoreError, Scan, Stored};

#[cfg(test)]
mod tests;

/// Keys that are counted at a time: a job that comes meanwhile waits about a millisecond.
const RECOUNT_KEYS: usize = 1024;
/// With so many jobs in a row some keys are counted between them.
const JOBS_IN_A_ROW: usize = 1024;
/// Answers of the keystore that are told together at most.
const REPORTS_MAX: usize = 256;

/// Where the keystore's jobs go. Its lane ends when this is dropped.
pub(in super::super) struct KeyJobs(mpsc::Sender<KeyJob>);

/// Where the keystore's jobs come from, and a way for its lane's helper to add some.
pub(in super::super) struct KeyQueue {
    jobs: mpsc::Receiver<KeyJob>,
    add: mpsc::WeakSender<KeyJob>,
}

/// Both ends of the keystore's queue; `start_keys` takes the second.
pub(in super::super) fn key_queue() -> (KeyJobs, KeyQueue) {
    let (add, jobs) = mpsc::channel(QUEUE_MAX);
    let weak = add.downgrade();
    (KeyJobs(add), KeyQueue { jobs, add: weak })
}

impl KeyJobs {
    /// Hands over a job; false if the lane is gone or hopelessly behind.
    pub(in super::super) fn give(&self, job: KeyJob) -> bool {
        self.0.try_send(job).is_ok()
    }
}

/// Starts the keystore's lane.
pub(in super::super) fn start_keys(
    queue: KeyQueue,
    keystore: Box<dyn Keystore>,
    cache: Arc<Cache>,
    engine: Weak<Engine>,
) -> std::io::Result<JoinHandle<()>> {
    let (jobs, checkpointing, recount, sample) = (queue.add, false, None, Sample::default());
    let mut lane = KeyLane { keystore, cache, jobs, checkpointing, recount, sample };
    let run = move || lane.run(queue.jobs, &engine);
    thread::Builder::new().name("keys".into()).spawn(run)
}

/// What to do where a scrub could not go on.
fn unreadable(through: Option<&Key>) -> String {
    let place = through.map_or_else(String::new, |key| format!(" behind key {:?}", key.as_str()));
    format!(
        "the keystore cannot be read on{place}: check the disk of this node, then stop it, evict \
         it (`piazza admin evict`) and start it with an empty directory"
    )
}

fn page_damaged(token: AskToken, key: Key) -> Outcome {
    Outcome::Tell(Done::PageDamaged(token, key))
}

struct KeyLane {
    keystore: Box<dyn Keystore>,
    /// Only to be counted.
    cache: Arc<Cache>,
    jobs: mpsc::WeakSender<KeyJob>,
    checkpointing: bool,
    /// While keys are counted by new ranges: how many jobs were done since some were.
    recount: Option<usize>,
    sample: Sample,
}

impl KeyLane {
    /// Takes jobs in order until one fails or was the last. Reports of jobs that wait in a row are
    /// told together.
    fn run(&mut self, mut queue: mpsc::Receiver<KeyJob>, engine: &Weak<Engine>) {
        let mut reports = Vec::new();
        let mut waiting = None;
        while let Some(job) = waiting.take().or_else(|| self.next(&mut queue)) {
            let last = match self.work(job).and_then(|outcome| self.recount_if_due(outcome)) {
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

    /// The next job, if there will be any.
    fn next(&self, queue: &mut mpsc::Receiver<KeyJob>) -> Option<KeyJob> {
        match queue.try_recv() {
            Ok(job) => Some(job),
            Err(TryRecvError::Empty) if self.recount.is_some() => Some(KeyJob::Recount),
            Err(_) => queue.blocking_recv(),
        }
    }

    /// A job was done: some keys may be counted before the next one.
    fn recount_if_due(&mut self, outcome: Outcome) -> Result<Outcome, directory::Refusal> {
        if let Some(jobs) = &mut self.recount {
            *jobs += 1;
            if *jobs > JOBS_IN_A_ROW {
                self.recount()?;
            }
        }
        Ok(outcome)
    }

    fn recount(&mut self) -> Result<(), KeystoreError> {
        self.recount = self.keystore.recount_step(RECOUNT_KEYS)?.then_some(0);
        Ok(())
    }

    fn work(&mut self, job: KeyJob) -> Result<Outcome, directory::Refusal> {
        match job {
            KeyJob::Apply(writes, through) => {
                self.keystore.apply(&writes, through)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Read(token, key) => self.read(token, &key),
            KeyJob::ReadOnces(token, after, limit) => {
                Ok(Outcome::Tell(Done::Onces(token, self.keystore.onces(after, limit)?)))
            }
            KeyJob::Scan(token, scan) => self.scan(token, &scan),
            KeyJob::Copy(token, copy) => self.copy(token, &copy),
            KeyJob::Audit(token, what, looks_max) => {
                Ok(Outcome::Tell(Done::Audited(token, self.audit(&what, looks_max))))
            }
            KeyJob::KeepOnces(entries) => {
                self.keystore.keep_onces(&entries)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Retain(spans, after, looks_max) => {
                let through = self.keystore.retain(&spans, after.as_ref(), looks_max)?;
                Ok(Outcome::Tell(Done::Retained(through)))
            }
            KeyJob::DropOthers(whole, keep, looks_max) => {
                let (dropped, through) = self.keystore.drop_others(&whole, &keep, looks_max)?;
                Ok(Outcome::Tell(Done::OthersDropped(dropped, through)))
            }
            KeyJob::Sweep(below, after, looks_max) => self.sweep(below, after.as_ref(), looks_max),
            KeyJob::DropOnces(from) => {
                self.keystore.drop_onces(from)?;
                Ok(Outcome::Silent)
            }
            KeyJob::Checkpoint => {
                self.begin_checkpoint()?;
                Ok(Outcome::Silent)
            }
            KeyJob::Checkpointed(done) => self.end_checkpoint(done),
            KeyJob::Ranges(ring) => {
                let points: Vec<u64> = ring.arcs().map(|arc| arc.range.last.0).collect();
                self.keystore.set_ranges(ring.placement(), &points);
                self.recount()?;
                Ok(Outcome::Silent)
            }
            KeyJob::Recount => {
                self.recount()?;
                Ok(Outcome::Silent)
            }
            KeyJob::Count => Ok(Outcome::Tell(self.count())),
            KeyJob::Stop => {
                if !self.checkpointing {
                    self.last_checkpoint()?;
                }
                Ok(Outcome::Last)
            }
        }
    }

    fn audit(&mut self, what: &Audit, looks_max: usize) -> Audited {
        let found = self.keystore.audit(what, looks_max).unwrap_or_else(|error| {
            tracing::error!("{error}");
            Audited::Failed
        });
        if let Audited::Scrubbed(Scrubbed { unreadable: true, through, .. }) = &found {
            tracing::error!("{}", unreadable(through.as_ref()));
        }
        found
    }

    fn sweep(
        &mut self,
        below: Version,
        after: Option<&Key>,
        looks_max: usize,
    ) -> Result<Outcome, directory::Refusal> {
        let (dropped, through) = match self.keystore.sweep(below, after, looks_max) {
            // What nobody needs any more stays. What is asked for may well be readable.
            Err(KeystoreError::Corrupt(why)) => {
                tracing::error!("{}; {why}", unreadable(after));
                (0, None)
            }
            swept => swept?,
        };
        Ok(Outcome::Tell(Done::Swept(dropped, through)))
    }

    fn count(&mut self) -> Done {
        self.sample.look(&*self.keystore);
        let keys = self.keystore.ranges().live().collect();
        Done::Counts(keys, self.sample.key_bytes(), self.cache.stats())
    }

    fn read(&self, token: ReadToken, key: &Key) -> Result<Outcome, directory::Refusal> {
        let nothing = Found { version: Version::ZERO, value: None };
        let found = match self.keystore.get(key) {
            Err(KeystoreError::Damaged(_)) => return Ok(Outcome::Tell(Done::Damaged(token))),
            found => found?,
        };
        let of = |Stored { version, value, .. }| Found { version, value };
        Ok(Outcome::Tell(Done::Read(token, found.map_or(nothing, of))))
    }

    fn copy(&self, token: AskToken, copy: &CopyScan) -> Result<Outcome, directory::Refusal> {
        let page = match self.keystore.copy(copy) {
            Err(KeystoreError::Damaged(key)) => return Ok(page_damaged(token, key)),
            page => page?,
        };
        let items = page.items.into_iter().map(|(key, stored)| stored.into_item(key));
        let portion = Portion::of(&items.collect::<Vec<_>>());
        Ok(Outcome::Tell(Done::Copied(token, portion, page.through)))
    }

    fn scan(&self, token: AskToken, scan: &Scan) -> Result<Outcome, directory::Refusal> {
        let page = match self.keystore.scan(scan) {
            Err(KeystoreError::Damaged(key)) => return Ok(page_damaged(token, key)),
            page => page?,
        };
        let item = |(key, stored): (Key, Stored)| {
            let version = stored.version;
            stored.value.map(|value| Scanned { key, version, value })
        };
        let items = page.items.into_iter().filter_map(item).collect();
        Ok(Outcome::Tell(Done::Scanned(token, items, page.through)))
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

    fn end_checkpoint(&mut self, done: Checkpointed) -> Result<Outcome, directory::Refusal> {
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
}
