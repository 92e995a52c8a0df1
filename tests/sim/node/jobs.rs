//! When a simulated node's two lanes do their jobs: each takes them in order, one at a time, and a
//! job takes a drawn while.
//!
//! Used by `node`, whose effects they come from, and by the world when one ends. What a job does is
//! in `lanes`.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::core::node::{AskToken, Input, ReadToken};
use cluster::core::record::Committed;
use cluster::core::ring::Ring;
use cluster::storage::disk::SECTOR;
use cluster::storage::keystore::{Checkpointed, CopyScan, Keystore, KeystoreError, Scan};
use cluster::storage::log::SPARES_MIN;
use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::{Audit, Extent, OnceEntry, Span};

use super::super::lanes::{
    LogDone, LogJob, drop_others, look_up, read_copy, read_onces, read_page, retain, sweep,
};
use super::super::plan::{Fault, MS};
use super::super::world::{Event, Failure, World};
use super::LOOKS_MAX;

/// A job of the keystore's lane; the first in line is under way.
pub(super) enum KeyJob {
    Apply(Vec<Committed>, GroupSeq),
    Read(ReadToken, Key),
    ReadOnces(AskToken, Version, usize),
    DropOnces(Version),
    KeepOnces(Vec<OnceEntry>),
    Scan(AskToken, Scan),
    Copy(AskToken, CopyScan),
    Audit(AskToken, Audit),
    Retain(Vec<Span>, Option<Key>),
    DropOthers(Extent, Arc<BTreeSet<Key>>),
    Sweep(Version, Option<Key>),
    Checkpoint,
    Checkpointed(Checkpointed),
    Ranges(Arc<Ring>),
}

impl World {
    pub(super) fn log_job(&mut self, node: usize, job: LogJob) {
        let process = self.process(node);
        process.log_jobs.push_back(job);
        if process.log_jobs.len() == 1 {
            self.begin_log_job(node);
        }
    }

    fn begin_log_job(&mut self, node: usize) {
        let stall = self.plan.disk.stall;
        let stalls = !self.healed && self.rarely(Fault::StallDisk, stall);
        let took = if stalls { 2_000 * MS } else { self.plan.disk.sync_us };
        let process = self.process(node);
        let (life, append) = (process.life, matches!(process.log_jobs[0], LogJob::Append(..)));
        let mut took = 20 + self.rng.below(took);
        if append && let Some(power) = self.nodes[node].doom.take() {
            if self.rng.chance(30) {
                // It takes its time, and there is a new session before the crash.
                took += 300 * MS;
                self.cut(node);
            }
            let wait = self.rng.below(took);
            self.after(wait, Event::Doom(node, life, power));
        }
        self.after(took, Event::LogDone(node, life));
    }

    /// The job under way in the log's lane ends.
    pub(crate) fn log_done(&mut self, node: usize) {
        let process = self.process(node);
        let job = process.log_jobs.pop_front().expect("a job is under way");
        let text = job.text();
        let logged = job.logged();
        let done = match job.run(&mut process.log, &mut process.state) {
            Ok(done) => done,
            Err(reason) => return self.end_by_disk(node, &reason),
        };
        if let LogDone::NoSpace(job) = done {
            return self.no_space(node, job);
        }
        if !process.log_jobs.is_empty() {
            self.begin_log_job(node);
        }
        self.trace_text(&text);
        match done {
            LogDone::Synced(seq) => {
                self.note_logged(node, &logged);
                self.make_segment(node);
                self.tell_room(node);
                self.hand_in_node(node, Input::Synced(seq));
            }
            LogDone::Saved(number) => {
                self.hand_in_node(node, Input::MetaSaved(number));
                let Some(process) = self.nodes[node].process.as_mut() else { return };
                let meta = process.core.meta();
                process.register.fence = meta.fence.epoch;
                process.register.ring = meta.ring.clone();
            }
            LogDone::Freed(segments) => {
                self.coverage.add("segments freed", segments as u64);
                self.tell_room(node);
            }
            LogDone::Made | LogDone::Wanted => {
                self.make_segment(node);
                self.tell_room(node);
            }
            LogDone::NoSpace(_) => unreachable!("done with above"),
        }
    }

    /// A node's core hears how much its log takes.
    pub(super) fn tell_room(&mut self, node: usize) {
        let segment_bytes = self.plan.disk.sizes.segment_bytes;
        let process = self.process(node);
        let room = process.log.room();
        process.reserved |= room.bytes >= SPARES_MIN as u64 * (segment_bytes - SECTOR as u64);
        self.hand_in_node(node, Input::Room(room));
    }

    /// A group does not fit: it waits, and all behind it. Only what was promised before the log had
    /// its reserve may.
    fn no_space(&mut self, node: usize, job: LogJob) {
        self.coverage.met("groups without space");
        let process = self.process(node);
        let (life, reserved) = (process.life, process.reserved);
        process.log_jobs.push_front(job);
        if reserved {
            let what = format!("node {node} has promised more than its log takes");
            self.fail(Failure::Stuck(what));
        }
        let wait = (20 + self.rng.below(200)) * MS;
        self.after(wait, Event::LogDone(node, life));
    }

    /// The next segment is made ahead, at some time later.
    pub(super) fn make_segment(&mut self, node: usize) {
        let slow = self.rng.chance(30);
        let wait = self.rng.below(30) * MS;
        let process = self.process(node);
        let (life, full) = (process.life, process.log.room().full);
        let wait = if full || slow { 5 * wait } else { wait };
        if let Some(work) = process.log.prepare_next() {
            process.making = Some(work);
            self.after(wait, Event::SegmentMade(node, life));
        }
    }

    /// The helper has made a segment.
    pub(crate) fn segment_made(&mut self, node: usize) {
        let work = self.process(node).making.take().expect("it was asked for");
        self.log_job(node, LogJob::Made(work.run()));
    }

    pub(super) fn key_job(&mut self, node: usize, job: KeyJob) {
        let process = self.process(node);
        process.key_jobs.push_back(job);
        if process.key_jobs.len() == 1 {
            self.begin_key_job(node);
        }
    }

    fn begin_key_job(&mut self, node: usize) {
        let took = 5 + self.rng.below(self.plan.disk.keys_us);
        let life = self.process(node).life;
        self.after(took, Event::KeysDone(node, life));
    }

    /// The job under way in the keystore's lane ends.
    pub(crate) fn keys_done(&mut self, node: usize) {
        let process = self.process(node);
        let life = process.life;
        let job = process.key_jobs.pop_front().expect("a job is under way");
        let keystore = &mut process.keystore;
        let mut input = None;
        let mut writing = false;
        let mut met = None;
        match job {
            KeyJob::Apply(writes, through) => {
                keystore.apply(&writes, through).expect("memory does not fail");
            }
            KeyJob::Read(token, key) => {
                input = Some(look_up(keystore, token, &key));
            }
            KeyJob::ReadOnces(token, after, limit) => {
                input = Some(read_onces(keystore, token, after, limit));
            }
            KeyJob::Scan(token, scan) => {
                input = Some(read_page(keystore, token, &scan));
            }
            KeyJob::Copy(token, copy) => {
                input = Some(read_copy(keystore, token, &copy));
            }
            KeyJob::Audit(token, what) => {
                let what = keystore.audit(&what, LOOKS_MAX).expect("memory does not fail");
                input = Some(Input::Audited { token, what });
            }
            KeyJob::KeepOnces(entries) => {
                keystore.keep_onces(&entries).expect("memory does not fail");
            }
            KeyJob::DropOthers(whole, keep) => {
                let dropped = drop_others(keystore, &whole, &keep, LOOKS_MAX);
                if let Input::OthersDropped { dropped, .. } = &dropped {
                    met = Some(("records dropped beside a copy", *dropped));
                }
                input = Some(dropped);
            }
            KeyJob::Sweep(below, after) => {
                let swept = sweep(keystore, below, after.as_ref(), LOOKS_MAX);
                if let Input::Swept { dropped, .. } = &swept {
                    met = Some(("tombstones dropped", *dropped));
                }
                input = Some(swept);
            }
            KeyJob::Retain(spans, after) => {
                input = Some(retain(keystore, &spans, after.as_ref(), LOOKS_MAX));
            }
            KeyJob::DropOnces(from) => {
                keystore.drop_onces(from).expect("memory does not fail");
            }
            KeyJob::Checkpoint => {
                if let Some(work) = keystore.begin_checkpoint() {
                    process.checkpoint = Some(work.run());
                    writing = true;
                }
            }
            KeyJob::Checkpointed(done) => {
                input = Some(match keystore.end_checkpoint(done) {
                    Ok(through) => Input::Checkpointed(through),
                    Err(KeystoreError::NoSpace(_)) => Input::NotCheckpointed,
                    Err(error) => panic!("memory does not fail: {error}"),
                });
            }
            KeyJob::Ranges(ring) => {
                let points: Vec<u64> = ring.arcs().map(|arc| arc.range.last.0).collect();
                keystore.set_ranges(ring.placement(), &points);
            }
        }
        keystore.recount_step(LOOKS_MAX).expect("memory does not fail");
        let more = !process.key_jobs.is_empty();
        if let Some((what, count)) = met {
            self.coverage.add(what, count);
        }
        if writing {
            let wait = self.rng.below(100) * MS;
            self.after(wait, Event::CheckpointWritten(node, life));
        }
        if more {
            self.begin_key_job(node);
        } else {
            self.check_cache(node);
        }
        if let Some(input) = input {
            if let Input::Checkpointed(_) = input {
                self.coverage.met("checkpoints");
            }
            self.hand_in_node(node, input);
        }
    }

    /// The helper has written a checkpoint.
    pub(crate) fn checkpoint_written(&mut self, node: usize) {
        let mut done = self.process(node).checkpoint.take().expect("one was begun");
        if self.disk_is_full(node) && self.rng.chance(80) {
            self.coverage.met("checkpoints without space");
            done = Checkpointed::no_space();
        }
        self.key_job(node, KeyJob::Checkpointed(done));
    }
}
