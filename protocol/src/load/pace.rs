//! Wakes connections when an operation of theirs is due.
//!
//! Used by loads with a rate. A thread of its own, since the runtime's timers are a millisecond
//! coarse, which is many times what an operation takes. Decides nothing: a connection that is woken
//! asks the schedule what is due.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::flight::Schedule;

/// Between two looks at the clock, at least: at high rates many operations fall due at once.
const REST_MIN: Duration = Duration::from_micros(50);

/// The thread; it ends when this is dropped, or with its schedule.
#[derive(Debug)]
pub(super) struct Pace {
    ended: Arc<AtomicBool>,
    thread: Thread,
}

impl Pace {
    /// Begins to wake `connections`, the owners of a schedule that began at `begin`.
    pub(super) fn start(
        schedule: Arc<Schedule>,
        connections: Arc<[Notify]>,
        begin: Instant,
    ) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let builder = thread::Builder::new().name("load-pace".into());
        let thread = builder.spawn(move || run(&schedule, &connections, begin, &seen))?;
        Ok(Self { ended, thread: thread.thread().clone() })
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn run(schedule: &Schedule, connections: &[Notify], begin: Instant, ended: &AtomicBool) {
    let since = |begin: Instant| u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let count = connections.len() as u64;
    let mut number = 0;
    while let Some(at) = schedule.start_ns(number) {
        if ended.load(Ordering::Acquire) {
            return;
        }
        let now = since(begin);
        if at > now {
            thread::park_timeout(Duration::from_nanos(at - now).max(REST_MIN));
            continue;
        }
        // All that is due now; each connection is woken once, however much of it is its.
        let due = schedule.due_count(now.saturating_add(1)).unwrap_or(number).max(number + 1);
        for number in number..due.min(number + count) {
            connections[(number % count) as usize].notify_one();
        }
        number = due;
    }
    // A connection that has nothing more to send finds out here that its share is over.
    connections.iter().for_each(Notify::notify_one);
}
