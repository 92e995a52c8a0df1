//! A node's core and all that its effects act on, behind one lock.
//!
//! Links and the node's loop hand in what comes from outside, the two lanes what they have done:
//! each on its own thread, so that a vote leaves from the log's thread as soon as the disk has
//! answered, without a wait for another thread to wake. Whoever hands something in performs the
//! effects before it gives up the lock: so their order is the core's. Nothing here blocks.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use protocol::peer::{Down, Heartbeat, Register, Up};
use tokio::sync::{Notify, watch};

use super::clock;
use super::faults::Faults;
use super::lanes::{self, Done, KeyJob, KeyJobs, LogJob, LogLane};
use super::outlet::Outlet;
use super::pulse::Pulse;
use crate::core::node::{ConnId, Effect, ExitReason, Input, NodeCore};
use crate::core::ring::Ring;
use crate::core::time::Time;
use crate::orders::Step;
use crate::process::Announcer;
use crate::storage::keystore::{CopyScan, Scan};

/// Links open at a time: one is in use, others are on their way out.
const LINKS_MAX: usize = 16;

/// How a node ended.
pub(super) enum End {
    /// It was asked to.
    Stopped,
    /// It must not run, and a restart would end the same way.
    Fatal(String),
}

/// The one engine of a node, for all of its threads.
pub(super) struct Engine {
    state: Mutex<State>,
    log: Arc<LogLane>,
    /// The loop is to look at the engine's end or at the next deadline.
    pub(super) news: Notify,
}

/// What an engine is made of.
pub(super) struct Parts {
    pub(super) core: NodeCore,
    pub(super) log: Arc<LogLane>,
    pub(super) keys: KeyJobs,
    pub(super) register: watch::Sender<Register>,
    pub(super) announcer: Announcer,
    pub(super) pulse: Pulse,
    pub(super) faults: Option<Arc<Faults>>,
}

pub(super) struct State {
    pub(super) core: NodeCore,
    log: Arc<LogLane>,
    /// Whoever has the engine sees to the log's jobs afterwards.
    leaves: bool,
    /// There are some.
    left: bool,
    keys: KeyJobs,
    /// A link ends, once it has sent what it holds, when its outlet is dropped.
    conns: HashMap<ConnId, Outlet>,
    last_conn: u64,
    /// The lanes are on their way to their ends: nothing more is taken.
    stops: bool,
    register: watch::Sender<Register>,
    announcer: Announcer,
    ring: Option<Arc<Ring>>,
    pulse: Pulse,
    end: Option<End>,
    /// Updates are refused for want of space.
    short_of_space: bool,
    /// When the loop next looks at the clock by itself.
    awake_at: Option<Time>,
    faults: Option<Arc<Faults>>,
    /// Counters of prepares that are refused on order, until that is told.
    spoiled: BTreeSet<u64>,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { core, log, keys, register, announcer, pulse, faults } = parts;
        let state = State {
            core,
            log: Arc::clone(&log),
            leaves: false,
            left: false,
            keys,
            conns: HashMap::new(),
            last_conn: 0,
            stops: false,
            register,
            announcer,
            ring: None,
            pulse,
            end: None,
            short_of_space: false,
            awake_at: None,
            faults,
            spoiled: BTreeSet::new(),
        };
        Self { state: Mutex::new(state), log, news: Notify::new() }
    }

    /// The engine's state; `None` if a thread has panicked with it: then the process must end.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.lock().ok()
    }

    /// Hands in, at one moment, what `hand_in` does. False if the process is to end.
    pub(super) fn turn(&self, hand_in: impl FnOnce(&mut State, Time)) -> bool {
        self.take_turn(false, hand_in).0
    }

    /// As `turn`, but what it brings to the log may be done before it returns, on this thread.
    pub(super) fn turn_here(&self, hand_in: impl FnOnce(&mut State, Time)) -> bool {
        let (going, left) = self.take_turn(true, hand_in);
        if left {
            self.log.work_here(&|done| self.tell(done));
        }
        going
    }

    /// A lane's report. False if the process is to end.
    pub(super) fn tell(&self, done: Done) -> bool {
        self.turn(|state, now| state.on_done(now, done))
    }

    /// Whether the process goes on, and whether jobs were left at the log for the caller to see to:
    /// they are if it `leaves` them there.
    fn take_turn(&self, leaves: bool, hand_in: impl FnOnce(&mut State, Time)) -> (bool, bool) {
        let Some(mut state) = self.lock() else {
            self.news.notify_one();
            return (false, false);
        };
        let now = clock::now();
        state.leaves = leaves;
        hand_in(&mut state, now);
        state.hand_in(now, Input::Flush);
        state.leaves = false;
        let left = std::mem::take(&mut state.left);
        let next = state.core.next_deadline();
        let sooner = next.is_some_and(|next| state.awake_at.is_none_or(|at| next < at));
        if state.end.is_some() || sooner {
            self.news.notify_one();
        }
        (state.end.is_none(), left)
    }
}

impl State {
    /// When the loop is to look at the clock.
    pub(super) fn next_deadline(&mut self) -> Option<Time> {
        self.awake_at = self.core.next_deadline();
        self.awake_at
    }

    /// How the node has ended, if it has.
    pub(super) fn take_end(&mut self) -> Option<End> {
        self.end.take()
    }

    pub(super) fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// A new link, whose messages go to `outlet`; none if there is no room for it, or the node
    /// stops: who lost a link tries again at once, and would bring what no lane takes any more.
    pub(super) fn on_accepted(&mut self, outlet: Outlet) -> Option<ConnId> {
        if self.stops {
            return None;
        }
        if self.conns.len() >= LINKS_MAX {
            // Strangers that connect and say nothing must not keep the coordinator out.
            let idle = self.conns.keys().filter(|conn| Some(**conn) != self.core.conn()).min();
            let idle = idle.copied()?;
            self.conns.remove(&idle);
        }
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.conns.insert(conn, outlet);
        Some(conn)
    }

    pub(super) fn on_disconnected(&mut self, now: Time, conn: ConnId) {
        self.conns.remove(&conn);
        self.spoiled.clear();
        self.hand_in(now, Input::Disconnected(conn));
    }

    /// A message came on a link.
    pub(super) fn on_down(&mut self, now: Time, conn: ConnId, mut down: Down) {
        // It may have come before its link was ended.
        if self.stops {
            return;
        }
        if let Some(faults) = &self.faults {
            self.spoiled.append(&mut faults.spoil(&mut down));
        }
        self.hand_in(now, Input::Down { conn, down: Box::new(down) });
    }

    pub(super) fn on_done(&mut self, now: Time, done: Done) {
        match done {
            Done::Synced(seq, room, took) => {
                if self.core.is_timed() {
                    let (append_us, sync_us) = (lanes::us(took.write), lanes::us(took.sync));
                    self.hand_in(now, Input::Took { append_us, sync_us });
                }
                self.hand_in(now, Input::Room(room));
                self.hand_in(now, Input::Synced(seq));
            }
            Done::Room(room) => self.hand_in(now, Input::Room(room)),
            Done::Saved(number) => {
                self.hand_in(now, Input::MetaSaved(number));
                let meta = self.core.meta();
                let (fence, ring) = (meta.fence.epoch, meta.ring.clone());
                self.register.send_modify(|register| {
                    register.fence = fence;
                    register.ring = ring;
                });
            }
            Done::Read(token, found) => {
                self.pulse.reads += 1;
                self.hand_in(now, Input::ReadDone { token, found });
            }
            Done::Damaged(token) => self.hand_in(now, Input::ReadDamaged(token)),
            Done::PageDamaged(token, key) => {
                self.hand_in(now, Input::PageDamaged { token, key });
            }
            Done::Audited(token, what) => self.hand_in(now, Input::Audited { token, what }),
            Done::Onces(token, entries) => {
                self.hand_in(now, Input::OncesRead { token, entries });
            }
            Done::Scanned(token, page, through) => {
                self.hand_in(now, Input::Scanned { token, page, through });
            }
            Done::Copied(token, portion, through) => {
                self.hand_in(now, Input::Copied { token, portion, through });
            }
            Done::Retained(through) => self.hand_in(now, Input::Retained(through)),
            Done::OthersDropped(dropped, through) => {
                self.hand_in(now, Input::OthersDropped { dropped, through });
            }
            Done::Swept(dropped, through) => self.hand_in(now, Input::Swept { dropped, through }),
            Done::Checkpointed(through) => self.hand_in(now, Input::Checkpointed(through)),
            Done::NotCheckpointed => self.hand_in(now, Input::NotCheckpointed),
            Done::Counts(counts, key_bytes, cache) => {
                self.pulse.counts = counts;
                (self.pulse.key_bytes, self.pulse.cache) = (key_bytes, cache);
            }
            Done::Failed(reason) => self.end(End::Fatal(reason)),
        }
    }

    /// Hands something to the core and performs what it wants done.
    pub(super) fn hand_in(&mut self, now: Time, input: Input) {
        let effects = self.core.handle(now, input);
        self.perform(now, effects);
        if self.core.is_short_of_space() != self.short_of_space {
            self.short_of_space = !self.short_of_space;
            if self.short_of_space {
                tracing::error!("the disk is full: updates are refused; free some space");
            } else {
                tracing::info!("there is space on the disk again: updates are taken");
            }
        }
    }

    pub(super) fn perform(&mut self, now: Time, effects: Vec<Effect>) {
        for effect in effects {
            let given = match effect {
                Effect::Send { conn, up } => {
                    self.send(now, conn, *up);
                    true
                }
                Effect::Close(conn) => {
                    self.conns.remove(&conn);
                    true
                }
                Effect::SaveMeta { meta, number } => self.log_job(LogJob::Save(number, meta)),
                Effect::Log { seq, records } => self.log_job(LogJob::Append(seq, records)),
                Effect::FreeLog { through } => self.log_job(LogJob::Free(through)),
                Effect::WantRoom { bytes } => self.log_job(LogJob::Want(bytes)),
                Effect::Apply { writes, through } => {
                    self.pulse.writes += writes.len() as u64;
                    self.keys.give(KeyJob::Apply(writes, through))
                }
                Effect::Read { token, key } => self.keys.give(KeyJob::Read(token, key)),
                Effect::ReadOnces { token, after, limit } => {
                    self.keys.give(KeyJob::ReadOnces(token, after, limit))
                }
                Effect::Scan { token, prefix, after, looks_max, bytes_max } => {
                    let scan = Scan { prefix, after, looks_max, bytes_max };
                    self.keys.give(KeyJob::Scan(token, scan))
                }
                Effect::Copy { token, ask, looks_max } => {
                    let copy = CopyScan::of(ask, looks_max);
                    self.keys.give(KeyJob::Copy(token, copy))
                }
                Effect::Audit { token, what, looks_max } => {
                    self.keys.give(KeyJob::Audit(token, what, looks_max))
                }
                Effect::KeepOnces(entries) => self.keys.give(KeyJob::KeepOnces(entries)),
                Effect::DropOthers { whole, keep, looks_max } => {
                    self.keys.give(KeyJob::DropOthers(whole, keep, looks_max))
                }
                Effect::Sweep { below, after, looks_max } => {
                    self.keys.give(KeyJob::Sweep(below, after, looks_max))
                }
                Effect::Retain { spans, after, looks_max } => {
                    self.keys.give(KeyJob::Retain(spans, after, looks_max))
                }
                Effect::DropOnces(from) => self.keys.give(KeyJob::DropOnces(from)),
                Effect::Checkpoint { .. } => self.keys.give(KeyJob::Checkpoint),
                Effect::Ranges(ring) => {
                    self.ring = Some(Arc::clone(&ring));
                    self.keys.give(KeyJob::Ranges(ring))
                }
                Effect::CaughtUp => {
                    tracing::info!("caught up");
                    self.announcer.up();
                    true
                }
                Effect::Exit(reason) => {
                    self.end(exit(reason));
                    true
                }
            };
            if !given {
                let reason = "the disk is so far behind that nothing more can be taken; check it";
                self.end(End::Fatal(reason.to_owned()));
            }
        }
    }

    fn log_job(&mut self, job: LogJob) -> bool {
        if self.leaves {
            self.left = true;
            self.log.leave(job)
        } else {
            self.log.give(job)
        }
    }

    fn send(&mut self, now: Time, conn: ConnId, mut up: Up) {
        if let Some(faults) = &self.faults {
            Faults::explain(&mut self.spoiled, &mut up);
            if faults.drops(&up) {
                // Nothing is lost between two ends that both live: its connection goes with it.
                self.on_disconnected(now, conn);
                return;
            }
        }
        if !self.conns.get(&conn).is_some_and(|outlet| outlet.send(&up)) {
            self.on_disconnected(now, conn);
        } else if let Some(faults) = &self.faults
            && !(up.yes.is_empty() && up.no.is_empty())
        {
            faults.after(Step::Vote);
        }
    }

    /// What the next heartbeat says.
    pub(super) fn heartbeat(&mut self) -> Heartbeat {
        self.keys.give(KeyJob::Count);
        self.pulse.heartbeat(&self.core, self.ring.as_deref())
    }

    /// Leaves nothing undone, and sends both lanes to their end; false if one has failed.
    pub(super) fn stop(&mut self) -> bool {
        self.stops = true;
        self.conns.clear();
        self.pulse.stopping();
        self.hand_in(clock::now(), Input::Stop);
        self.end.is_none() && self.log.give(LogJob::Stop) && self.keys.give(KeyJob::Stop)
    }
}

fn exit(reason: ExitReason) -> End {
    match reason {
        ExitReason::Lost(what) => End::Fatal(what),
        ExitReason::Broken(what) => {
            // A restart recovers from the log; the same again is for a developer to look at.
            let what = format!("a rule of the commit protocol is broken: {what}");
            tracing::error!("{what}");
            End::Fatal(what)
        }
    }
}
