//! The faults that a node has on order, for teaching: only in a cluster started with `--lab`.
//!
//! `engine`, `lanes` and `node` ask at their edges whether one is due. Each is something that may
//! happen anyway: a lost connection, a slow disk, a process that stands still, a prepare that a
//! node must refuse. So no promise depends on there being none, and no rule knows of them. What is
//! left is announced to the supervisor, on a thread of its own.

mod disk;

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use protocol::ids::RingNumber;
use protocol::peer::{Down, DownBody, Up};
use protocol::supervisor::Injected;

pub(super) use disk::FaultyDisk;

use crate::orders::{Fault, Order, Step};
use crate::process::{Announcer, Orders};

/// What a client is told of an update that was refused on order.
const INJECTED: &str = "injected";

/// The faults on order.
pub(super) struct Faults {
    state: Mutex<State>,
    told_to_go_on: Condvar,
    changed: SyncSender<()>,
    announcer: Announcer,
    /// The thread that has a group under way to the log.
    appends: Mutex<Option<ThreadId>>,
}

#[derive(Default)]
struct State {
    /// The number of the last order taken.
    taken: u64,
    /// At most one of each name.
    armed: Vec<Armed>,
    /// The process stands still until it is told to go on.
    halted: bool,
}

struct Armed {
    fault: Fault,
    count: u64,
    left: u64,
}

impl State {
    fn take(&mut self, number: u64, fault: Fault, count: u64) {
        self.taken = number;
        self.armed.retain(|armed| armed.fault.name() != fault.name());
        if count > 0 {
            self.armed.push(Armed { fault, count, left: count });
        }
    }

    /// The first fault of these, used up so often, at most as often as it was ordered.
    fn use_up(&mut self, times: u64, is: impl Fn(Fault) -> bool) -> Option<(Fault, u64)> {
        let at = self.armed.iter().position(|armed| is(armed.fault))?;
        let armed = &mut self.armed[at];
        let (fault, used) = (armed.fault, times.min(armed.left));
        armed.left -= used;
        if armed.left == 0 {
            self.armed.remove(at);
        }
        Some((fault, used))
    }

    fn left(&self) -> Vec<Injected> {
        self.armed.iter().map(|armed| armed.fault.shown(armed.count, armed.left)).collect()
    }
}

impl Faults {
    /// Takes orders from now on, on a thread of its own; another announces what is left.
    pub(super) fn start(orders: Orders, announcer: Announcer) -> io::Result<Arc<Self>> {
        let (faults, changes) = Self::new(announcer);
        let (taker, teller) = (Arc::clone(&faults), Arc::downgrade(&faults));
        thread::Builder::new().name("orders".into()).spawn(move || {
            orders.into_iter().for_each(|order| taker.take(&order));
        })?;
        thread::Builder::new().name("faults".into()).spawn(move || {
            for () in changes {
                let Some(faults) = teller.upgrade() else { return };
                let (taken, left) = {
                    let state = faults.lock();
                    (state.taken, state.left())
                };
                faults.announcer.faults(taken, left);
            }
        })?;
        Ok(faults)
    }

    fn new(announcer: Announcer) -> (Arc<Self>, mpsc::Receiver<()>) {
        // One that waits to be told is enough: it tells what is left then.
        let (changed, changes) = mpsc::sync_channel(1);
        let (state, told_to_go_on, appends) = Default::default();
        (Arc::new(Self { state, told_to_go_on, changed, announcer, appends }), changes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics with it: what is done under it is a few moves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, order: &Order) {
        match *order {
            Order::Inject { number, fault, count } => {
                tracing::warn!(?fault, count, "a fault is ordered");
                self.lock().take(number, fault, count);
                let _ = self.changed.try_send(());
            }
            Order::GoOn => {
                self.lock().halted = false;
                self.told_to_go_on.notify_all();
            }
            Order::Hint(_) | Order::Cluster { .. } => {}
        }
    }

    fn use_up(&self, times: u64, is: impl Fn(Fault) -> bool) -> Option<(Fault, u64)> {
        let used = self.lock().use_up(times, is);
        if let Some((fault, times)) = used {
            tracing::warn!(?fault, times, "a fault as ordered");
            let _ = self.changed.try_send(());
        }
        used
    }

    /// Whether this heartbeat is not to be sent.
    pub(super) fn drops_heartbeat(&self) -> bool {
        self.use_up(1, |fault| fault == Fault::DropHeartbeats).is_some()
    }

    /// Whether this message is to be lost, for the votes in it, and its connection with it.
    pub(super) fn drops(&self, up: &Up) -> bool {
        let votes = (up.yes.len() + up.no.len()) as u64;
        votes > 0 && self.use_up(votes, |fault| fault == Fault::DropVotes).is_some()
    }

    /// Makes of as many prepares as are to be refused such as must be: they name no ring. Which.
    pub(super) fn spoil(&self, down: &mut Down) -> BTreeSet<u64> {
        let DownBody::Batch(batch) = &mut down.body else { return BTreeSet::new() };
        let count = batch.prepare.len() as u64;
        if count == 0 {
            return BTreeSet::new();
        }
        let used = self.use_up(count, |fault| fault == Fault::RefusePrepare);
        let refused = used.map_or(0, |(_, times)| times) as usize;
        let spoiled = batch.prepare.iter_mut().take(refused).map(|prepare| {
            Arc::make_mut(prepare).ring = RingNumber::default();
            prepare.id.counter()
        });
        spoiled.collect()
    }

    /// Says of refusals on order that they are.
    pub(super) fn explain(spoiled: &mut BTreeSet<u64>, up: &mut Up) {
        for refusal in &mut up.no {
            if spoiled.remove(&refusal.c) {
                refusal.reason = INJECTED.to_owned();
            }
        }
    }

    /// Whether the next sync is one to be waited for by nobody who has something else to do.
    pub(super) fn is_at_syncs(&self) -> bool {
        let at_syncs = |fault| match fault {
            Fault::SyncDelayMs(_) => true,
            Fault::StopAfter(step) => step != Step::Vote,
            Fault::RefusePrepare | Fault::DropVotes | Fault::DropHeartbeats => false,
        };
        self.lock().armed.iter().any(|armed| at_syncs(armed.fault))
    }

    /// Appends a group to the log: syncs of this thread are the group's until it is done.
    pub(super) fn appending<T, E>(&self, append: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let appends = |thread| {
            *self.appends.lock().unwrap_or_else(PoisonError::into_inner) = thread;
        };
        appends(Some(thread::current().id()));
        let done = append();
        appends(None);
        if done.is_ok() {
            self.after(Step::Sync);
        }
        done
    }

    /// What was written is about to be synced.
    fn before_sync(&self) {
        let appends = *self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        if appends != Some(thread::current().id()) {
            return;
        }
        self.after(Step::Append);
        let delayed = self.use_up(1, |fault| matches!(fault, Fault::SyncDelayMs(_)));
        if let Some((Fault::SyncDelayMs(ms), _)) = delayed {
            thread::sleep(Duration::from_millis(ms));
        }
    }

    /// Stands still if that is ordered after this step, until it is told to go on. The supervisor
    /// stops all of the process meanwhile; it ends with it at the latest.
    pub(super) fn after(&self, step: Step) {
        let (taken, left) = {
            let mut state = self.lock();
            if state.use_up(1, |fault| fault == Fault::StopAfter(step)).is_none() {
                return;
            }
            state.halted = true;
            (state.taken, state.left())
        };
        tracing::warn!(?step, "stands still, as ordered");
        if !self.announcer.halts(taken, left) {
            // Nobody would tell it to go on.
            tracing::warn!("the supervisor was not told: goes on");
            self.lock().halted = false;
            return;
        }
        let mut state = self.lock();
        while state.halted {
            let woken = self.told_to_go_on.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::Epoch;
    use protocol::peer::Refusal;

    use super::*;

    fn faults() -> (Arc<Faults>, mpsc::Receiver<()>) {
        Faults::new(Announcer::start().unwrap())
    }

    fn order(faults: &Faults, fault: Fault, count: u64) {
        faults.take(&Order::Inject { number: 1, fault, count });
    }

    fn votes(count: u64) -> Up {
        Up { yes: (1..=count).collect(), ..Up::default() }
    }

    #[test]
    fn a_fault_comes_as_often_as_it_is_ordered() {
        let (faults, changes) = faults();
        assert!(!faults.drops_heartbeat() && changes.try_recv().is_err());
        order(&faults, Fault::DropHeartbeats, 2);
        order(&faults, Fault::DropVotes, 3);
        assert!(changes.try_recv().is_ok() && changes.try_recv().is_err(), "told together");
        assert!(!faults.drops(&Up::default()), "no votes, no loss");
        assert!(faults.drops(&votes(2)) && faults.drops(&votes(2)) && !faults.drops(&votes(1)));
        assert_eq!(faults.lock().left(), [Fault::DropHeartbeats.shown(2, 2)]);
        assert!(faults.drops_heartbeat());
        order(&faults, Fault::DropHeartbeats, 1);
        assert_eq!(faults.lock().left(), [Fault::DropHeartbeats.shown(1, 1)], "replaced");
        order(&faults, Fault::DropHeartbeats, 0);
        assert!(!faults.drops_heartbeat(), "taken back");
    }

    #[test]
    fn refusals_on_order_are_told_as_such_and_others_are_not() {
        let no = |c| Refusal { c, reason: "another ring".to_owned() };
        let mut up = Up { no: vec![no(1), no(2)], epoch: Epoch(1), ..Up::default() };
        let mut spoiled = BTreeSet::from([2, 3]);
        Faults::explain(&mut spoiled, &mut up);
        let reasons: Vec<&str> = up.no.iter().map(|no| &*no.reason).collect();
        assert_eq!(reasons, ["another ring", INJECTED]);
        assert_eq!(spoiled, BTreeSet::from([3]));
    }

    #[test]
    fn a_halted_thread_waits_until_it_is_told_to_go_on() {
        let (faults, _changes) = faults();
        faults.after(Step::Vote);
        order(&faults, Fault::StopAfter(Step::Sync), 1);
        assert!(faults.is_at_syncs());
        faults.after(Step::Append);
        let (ended, wait) = mpsc::channel();
        let other = Arc::clone(&faults);
        let halts = thread::spawn(move || {
            let done: Result<(), ()> = other.appending(|| Ok(()));
            ended.send(done).unwrap();
        });
        // Under the lock, so that the order below cannot come before the halt.
        while !faults.lock().halted {
            thread::yield_now();
        }
        assert!(wait.try_recv().is_err());
        faults.take(&Order::GoOn);
        assert_eq!(wait.recv(), Ok(Ok(())));
        halts.join().unwrap();
        assert!(faults.lock().left().is_empty());
    }
}
