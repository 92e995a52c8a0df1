//! What one connection may send when, and what of it is unanswered: the rules of a load's time.
//!
//! Used by `connection`. Pure: times are nanoseconds since the load began, given as arguments.
//!
//! With a rate, operation `n` of the load is meant to start at `n / rate`, whatever became of those
//! before it, and belongs to connection `n` modulo the number of connections. Its latency counts
//! from there, however late there was room to send it: a server that stalls is charged for every
//! operation that the stall held up, not just for those it had already been given.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::{Kind, Plan};

/// Nanoseconds in a second.
pub(super) const SECOND_NS: u64 = 1_000_000_000;

/// The times of a whole load.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: Option<u64>,
    step: u64,
    ops_max: u64,
    end_ns: u64,
    /// Without a rate: the number of the next operation, whichever connection it goes to.
    next: AtomicU64,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
        let ns = |duration: std::time::Duration| u64::try_from(duration.as_nanos());
        Self {
            rate: plan.rate,
            step: plan.connections as u64,
            ops_max: plan.ops_max().unwrap_or(u64::MAX),
            end_ns: plan.duration.map_or(u64::MAX, |duration| ns(duration).unwrap_or(u64::MAX)),
            next: AtomicU64::new(0),
        }
    }

    /// Nothing is sent from then on.
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns
    }

    pub(super) fn has_rate(&self) -> bool {
        self.rate.is_some()
    }

    /// When operation `number` is meant to start, if the load has a rate and that many.
    pub(super) fn start_ns(&self, number: u64) -> Option<u64> {
        let rate = u128::from(self.rate?);
        let at = u128::from(number) * u128::from(SECOND_NS) / rate;
        let at = u64::try_from(at).ok()?;
        (number < self.ops_max && at < self.end_ns).then_some(at)
    }

    /// How many operations are meant to have started before `now_ns`, if the load has a rate.
    pub(super) fn due_count(&self, now_ns: u64) -> Option<u64> {
        let before = u128::from(now_ns.min(self.end_ns));
        // Those n with n * second / rate < before, rounded down as in `start_ns`.
        let due = (before * u128::from(self.rate?)).div_ceil(u128::from(SECOND_NS));
        Some(u64::try_from(due).unwrap_or(u64::MAX).min(self.ops_max))
    }
}

/// What a connection may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Send the operation of this number, which is meant to have started then.
    Send { number: u64, start_ns: u64 },
    /// All room is taken: wait for an answer.
    Full,
    /// Nothing is due yet.
    NotYet,
    /// Nothing will be sent any more.
    Over,
}

/// An operation that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) kind: Kind,
    pub(super) key: u32,
    /// From when its latency counts.
    pub(super) start_ns: u64,
    /// When it was sent.
    pub(super) sent_ns: u64,
}

/// One connection's share of the load.
///
/// Invariants: at most `depth` are in flight; they are in the order sent.
#[derive(Debug)]
pub(super) struct Flight {
    depth: usize,
    in_flight: VecDeque<Sent>,
    /// With a rate: the number of this connection's next operation.
    next: u64,
    /// Since when there has been room: what starts later than it should after that is late by the
    /// generator's own doing.
    room_since_ns: u64,
}

impl Flight {
    /// The share of the connection `number`.
    pub(super) fn new(number: usize, depth: usize) -> Self {
        Self { depth, in_flight: VecDeque::new(), next: number as u64, room_since_ns: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// What may be done; an operation to send is given once.
    pub(super) fn next(&mut self, schedule: &Schedule, now_ns: u64) -> Next {
        if now_ns >= schedule.end_ns {
            return Next::Over;
        }
        if !schedule.has_rate() {
            if self.in_flight.len() >= self.depth {
                return Next::Full;
            }
            // One too many a connection at most, so it cannot overflow.
            let number = schedule.next.fetch_add(1, Ordering::Relaxed);
            let more = number < schedule.ops_max;
            return if more { Next::Send { number, start_ns: now_ns } } else { Next::Over };
        }
        match schedule.start_ns(self.next) {
            None => Next::Over,
            Some(start_ns) if start_ns > now_ns => Next::NotYet,
            Some(_) if self.in_flight.len() >= self.depth => Next::Full,
            Some(start_ns) => {
                let number = self.next;
                self.next = number.saturating_add(schedule.step);
                Next::Send { number, start_ns }
            }
        }
    }

    /// Notes that an operation is sent; how late, by the generator's own doing.
    pub(super) fn sent(&mut self, sent: Sent) -> u64 {
        self.in_flight.push_back(sent);
        sent.sent_ns.saturating_sub(sent.start_ns.max(self.room_since_ns))
    }

    /// The oldest operation is answered; none: nothing was asked.
    pub(super) fn answered(&mut self, now_ns: u64) -> Option<Sent> {
        if self.in_flight.len() >= self.depth {
            self.room_since_ns = now_ns;
        }
        self.in_flight.pop_front()
    }

    /// When the oldest unanswered operation was sent.
    pub(super) fn oldest_sent_ns(&self) -> Option<u64> {
        self.in_flight.front().map(|sent| sent.sent_ns)
    }

    /// The connection is lost: what will never be answered.
    pub(super) fn lost(&mut self) -> impl Iterator<Item = Sent> + '_ {
        self.in_flight.drain(..)
    }

    /// There is a connection again.
    pub(super) fn connected(&mut self, now_ns: u64) {
        self.room_since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn schedule(rate: Option<u64>, ms: Option<u64>, ops: Option<u64>, step: usize) -> Schedule {
        let duration = ms.map(Duration::from_millis);
        Schedule::new(&Plan { rate, duration, ops, connections: step, ..Plan::default() })
    }

    /// Sends all that may be sent now; their numbers, and what came after them.
    fn send_all(flight: &mut Flight, schedule: &Schedule, now_ns: u64) -> (Vec<u64>, Next) {
        let mut numbers = Vec::new();
        loop {
            match flight.next(schedule, now_ns) {
                Next::Send { number, start_ns } => {
                    flight.sent(Sent { kind: Kind::Get, key: 0, start_ns, sent_ns: now_ns });
                    numbers.push(number);
                }
                next => return (numbers, next),
            }
        }
    }

    #[test]
    fn a_stalled_server_is_charged_from_the_intended_starts() {
        // 1000 a second on one connection; the server stalls from 10 ms to 1010 ms.
        for depth in [1, 4, 1024] {
            let schedule = schedule(Some(1000), Some(2000), None, 1);
            let mut flight = Flight::new(0, depth);
            let mut latencies = Vec::new();
            let mut answer_all = |flight: &mut Flight, now: u64| {
                while let Some(sent) = flight.answered(now) {
                    latencies.push(now - sent.start_ns);
                }
            };
            for ms in 0..10 {
                assert_eq!(send_all(&mut flight, &schedule, ms * MS), (vec![ms], Next::NotYet));
                answer_all(&mut flight, ms * MS);
            }
            for ms in 10..1010 {
                send_all(&mut flight, &schedule, ms * MS);
            }
            // The server is back and answers at once. All that was due goes out now.
            while !flight.is_empty() {
                answer_all(&mut flight, 1010 * MS);
                send_all(&mut flight, &schedule, 1010 * MS);
            }
            assert_eq!(latencies.len(), 1011, "depth {depth}");
            assert!(latencies[..10].iter().all(|latency| *latency == 0));
            let stalled = latencies[10..].iter().enumerate();
            for (at, latency) in stalled {
                assert_eq!(*latency, (1000 - at as u64) * MS, "depth {depth}, operation {at}");
            }
        }
    }

    #[test]
    fn connections_share_the_schedule_evenly() {
        let schedule = schedule(Some(3000), Some(10), None, 4);
        let mut all = Vec::new();
        for number in 0..4 {
            let (numbers, next) = send_all(&mut Flight::new(number, 100), &schedule, 10 * MS - 1);
            assert!(next == Next::Over && numbers.iter().all(|n| n % 4 == number as u64));
            all.extend(numbers);
        }
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
        assert_eq!(schedule.start_ns(1), Some(333_333));
        assert_eq!((schedule.start_ns(29), schedule.start_ns(30)), (Some(9_666_666), None));
    }

    #[test]
    fn what_is_due_is_counted_as_it_starts() {
        for rate in [1, 3, 7, 1000, 999_999, 1_000_000_000] {
            let schedule = schedule(Some(rate), Some(3), Some(2_000_000), 1);
            for now in (0..3_100_000).step_by(100_003).chain([1, 3 * MS, 4 * MS]) {
                let due = schedule.due_count(now).unwrap();
                let starts = |number| schedule.start_ns(number).is_some_and(|at| at < now);
                assert!(due == 0 || starts(due - 1), "rate {rate}, {now} ns: {due}");
                assert!(!starts(due), "rate {rate}, {now} ns: {due}");
            }
        }
        assert_eq!(schedule(None, Some(1), None, 1).due_count(5), None);
    }

    #[test]
    fn without_a_rate_there_is_always_as_much_in_flight_as_there_is_room() {
        let schedule = schedule(None, Some(5), Some(10), 2);
        let (mut one, mut two) = (Flight::new(0, 3), Flight::new(1, 3));
        assert_eq!(send_all(&mut one, &schedule, 0), (vec![0, 1, 2], Next::Full));
        assert_eq!(send_all(&mut two, &schedule, 1), (vec![3, 4, 5], Next::Full));
        assert_eq!(one.oldest_sent_ns(), Some(0));
        assert_eq!(two.answered(2).map(|sent| sent.start_ns), Some(1));
        assert_eq!(send_all(&mut two, &schedule, 2), (vec![6], Next::Full));
        assert_eq!(one.lost().count(), 3);
        assert_eq!(send_all(&mut one, &schedule, 3), (vec![7, 8, 9], Next::Full));
        assert!(one.answered(4).is_some());
        assert_eq!(send_all(&mut one, &schedule, 4), (vec![], Next::Over));
        assert_eq!(send_all(&mut two, &schedule, 5 * MS), (vec![], Next::Over));
        assert_eq!((one.is_empty(), one.lost().count(), one.answered(9)), (false, 2, None));
    }

    #[test]
    fn only_what_there_was_room_for_is_late_by_our_own_doing() {
        let schedule = schedule(Some(1000), None, Some(10), 1);
        let mut flight = Flight::new(0, 1);
        let send = |flight: &mut Flight, now| {
            let Next::Send { start_ns, .. } = flight.next(&schedule, now) else { panic!("{now}") };
            flight.sent(Sent { kind: Kind::Get, key: 0, start_ns, sent_ns: now })
        };
        assert_eq!(send(&mut flight, 5), 5);
        // The next was due at 1 ms, but there was room only at 4 ms.
        flight.answered(4 * MS);
        assert_eq!(send(&mut flight, 4 * MS + 7), 7);
        // A lost connection gives no room until there is another.
        assert_eq!(flight.lost().count(), 1);
        flight.connected(9 * MS);
        assert_eq!(send(&mut flight, 9 * MS + 2), 2);
    }
}
