//! When a server that died is started again: the policy of the supervisor, as a pure table.
//!
//! Called by `supervisor::fleet`, one [`Restarts`] for each server. Times are `Duration`s since
//! an arbitrary fixed moment. Nothing here reads a clock or starts anything, and deliberate kills
//! never come here: they are not deaths to be made good.

use std::time::Duration;

/// The wait before the first restart; each further one waits twice as long.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait before a restart.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A death at most this long after the start is a quick one.
pub const QUICK_DEATH: Duration = Duration::from_secs(5);
/// So many quick deaths in a row, and the server is given up.
pub const QUICK_DEATHS_MAX: u32 = 5;
/// A server that was ready for this long has proved itself: count and back-off start anew.
pub const STEADY: Duration = Duration::from_secs(5);

/// What to do about a death that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start the server again after this wait.
    RestartAfter(Duration),
    /// Leave it down until somebody asks for it: another start would die in the same way.
    GiveUp,
}

/// The history of one server, as far as the next verdict depends on it.
///
/// Invariant: `quick_deaths` is at most [`QUICK_DEATHS_MAX`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restarts {
    started_at: Duration,
    ready_at: Option<Duration>,
    quick_deaths: u32,
    backoff_steps: u32,
}

impl Restarts {
    /// The server was started at `now`.
    pub fn started(&mut self, now: Duration) {
        self.started_at = now;
        self.ready_at = None;
    }

    /// The server said at `now` that it is ready; only the first time after a start counts.
    pub fn ready(&mut self, now: Duration) {
        self.ready_at.get_or_insert(now);
    }

    /// Somebody asked for the server to be started: the past is forgiven.
    pub fn forgive(&mut self) {
        self.quick_deaths = 0;
        self.backoff_steps = 0;
    }

    /// The server died at `now` without having been asked to.
    pub fn died(&mut self, now: Duration) -> Verdict {
        if self.ready_at.is_some_and(|ready| now.saturating_sub(ready) >= STEADY) {
            self.forgive();
        }
        let quick = now.saturating_sub(self.started_at) <= QUICK_DEATH;
        self.quick_deaths = if quick { self.quick_deaths + 1 } else { 0 };
        if self.quick_deaths >= QUICK_DEATHS_MAX {
            return Verdict::GiveUp;
        }
        // 2^5 s is past BACKOFF_MAX already, so the shift is bounded.
        let wait = BACKOFF_FIRST * (1 << self.backoff_steps.min(5));
        self.backoff_steps = self.backoff_steps.saturating_add(1);
        Verdict::RestartAfter(wait.min(BACKOFF_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives of a server: (milliseconds to readiness, milliseconds to death), and the verdict on
    /// each as seconds of back-off, 0 for giving up.
    fn check(lives: &[(Option<u64>, u64, u64)]) {
        let mut restarts = Restarts::default();
        let mut now = Duration::from_secs(1_000);
        for (index, &(ready, death, expected)) in lives.iter().enumerate() {
            restarts.started(now);
            if let Some(ready) = ready {
                restarts.ready(now + Duration::from_millis(ready));
            }
            now += Duration::from_millis(death);
            let seconds = match restarts.died(now) {
                Verdict::RestartAfter(wait) => {
                    now += wait;
                    wait.as_secs()
                }
                Verdict::GiveUp => 0,
            };
            assert_eq!(seconds, expected, "life {index} of {lives:?}");
        }
    }

    /// Contract: "(back-off from 1 s; 5 deaths in a row, each within 5 s of its start: given up"
    #[test]
    fn five_quick_deaths_in_a_row_are_given_up_ready_or_not() {
        let never = (None, 10);
        let briefly = (Some(5), 4_000);
        for (ready, death) in [never, briefly] {
            check(&[1, 2, 4, 8, 0].map(|wait| (ready, death, wait)));
        }
    }

    #[test]
    fn a_slow_death_breaks_the_row_but_not_the_back_off() {
        check(&[
            (None, 10, 1),
            (None, 10, 2),
            (None, 10, 4),
            (None, 10, 8),
            (None, 5_001, 16),
            (None, 10, 30),
            (None, 10, 30),
            (None, 10, 30),
            (None, 5_000, 30),
            (None, 10, 0),
        ]);
    }

    /// Contract: "a server that was ready for 5 s starts count and back-off anew"
    #[test]
    fn five_seconds_of_readiness_start_count_and_back_off_anew() {
        check(&[
            (None, 10, 1),
            (None, 10, 2),
            (None, 10, 4),
            (None, 10, 8),
            (Some(100), 5_100, 1),
            (None, 10, 2),
        ]);
        check(&[(None, 10, 1), (Some(1_000), 5_500, 2), (Some(60_000), 65_000, 1)]);
    }

    #[test]
    fn a_request_forgives_and_later_readiness_does_not_count_twice() {
        let mut restarts = Restarts::default();
        for _ in 0..5 {
            restarts.started(Duration::ZERO);
            restarts.died(Duration::ZERO);
        }
        restarts.forgive();
        restarts.started(Duration::from_secs(10));
        restarts.ready(Duration::from_secs(11));
        restarts.ready(Duration::from_secs(15));
        let verdict = restarts.died(Duration::from_secs(16));
        assert_eq!(verdict, Verdict::RestartAfter(BACKOFF_FIRST));
    }
}
