//! The failure detector for one node: from what was seen of it and the time to a verdict.
//!
//! Its owner keeps one `Observed` and one `Heartbeats` per node and asks for the verdict after each
//! change and at `next_change`. Suspicion is a hint (R15): it moves displays, refuses new updates
//! and starts the clock of an eviction, but only a majority ever decides anything. No verdict here
//! remembers another one: a node that is heard again is up again.

use protocol::ids::{Incarnation, Uuid};

use super::time::Time;

/// Intervals of silence, or without progress, after which a node is suspect.
pub const SUSPECT_AFTER_INTERVALS: u64 = 3;
/// Intervals after which it is down: three more.
pub const DOWN_AFTER_INTERVALS: u64 = 2 * SUSPECT_AFTER_INTERVALS;
/// A timer that is late by this many of its own periods means that this process stood still (H43).
const LATE_PERIODS_MAX: u64 = 1;

/// The TCP connection to the node, as this end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Connected.
    Up,
    /// It broke, or a new one cannot be made; nobody has refused it.
    Lost {
        /// When it broke.
        since: Time,
    },
    /// The last attempt was refused: the machine answers, but no process listens.
    Refused,
}

/// Why a node is not up; the reasons of the event `member_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its port refuses connections, or its process was reported to have ended.
    TcpRefused,
    /// Its connection broke.
    TcpReset,
    /// No heartbeat came, or it has not registered.
    Silence,
    /// It was asked something and has not answered, though its heartbeats may come (H46).
    NoProgress,
}

impl Reason {
    /// The reason's name in events and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpRefused => "tcp_refused",
            Self::TcpReset => "tcp_reset",
            Self::Silence => "silence",
            Self::NoProgress => "no_progress",
        }
    }
}

/// What the detector thinks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Up,
    /// It may be gone: new updates of its keys are refused.
    Suspect(Reason),
    /// It is very likely gone.
    Down(Reason),
}

/// What was seen of one node; plain data, changed by its owner as things happen.
///
/// All times are of this process's clock, and none lies in the future of a `now` handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Whether its present incarnation has registered with this coordinator.
    pub registered: bool,
    /// The connection to it.
    pub link: Link,
    /// When it was last heard: its registration or newest accepted heartbeat; before the first of
    /// them, when this process began to wait for it.
    pub last_heard: Time,
    /// When the oldest of the questions was sent that it has not answered; `None` if it owes
    /// nothing: an idle node makes no progress and is not suspect for it.
    pub asked_oldest: Option<Time>,
}

impl Observed {
    /// The verdict at `now` for heartbeats every `interval_ms`.
    ///
    /// The worst finding counts; among equal ones the one that says most, in this order: refused,
    /// reset, silence, no progress.
    pub fn verdict(&self, interval_ms: u64, now: Time) -> Verdict {
        let findings = self.findings(interval_ms, now);
        let down = findings.iter().find(|finding| matches!(finding, Verdict::Down(_)));
        let suspect = findings.iter().find(|finding| matches!(finding, Verdict::Suspect(_)));
        down.or(suspect).copied().unwrap_or(Verdict::Up)
    }

    /// When the verdict changes next if nothing happens but the passing of time; later than `now`.
    pub fn next_change(&self, interval_ms: u64, now: Time) -> Option<Time> {
        let present = self.verdict(interval_ms, now);
        let limits = [SUSPECT_AFTER_INTERVALS, DOWN_AFTER_INTERVALS];
        let mut turns: Vec<Time> = [Some(self.last_heard), self.asked_oldest, self.lost_since()]
            .into_iter()
            .flatten()
            .flat_map(|since| limits.map(|n| since.plus_ms(n.saturating_mul(interval_ms))))
            .filter(|turn| *turn > now && *turn < Time::NEVER)
            .collect();
        turns.sort_unstable();
        turns.into_iter().find(|turn| self.verdict(interval_ms, *turn) != present)
    }

    /// Moves all times `gap_us` microseconds on, at most to `now`: this process stood still for so
    /// long and could not have heard anybody (H43).
    pub fn shift(&mut self, gap_us: u64, now: Time) {
        let moved = |time: Time| time.max(time.plus_us(gap_us).min(now));
        self.last_heard = moved(self.last_heard);
        self.asked_oldest = self.asked_oldest.map(moved);
        if let Link::Lost { since } = &mut self.link {
            *since = moved(*since);
        }
    }

    fn lost_since(&self) -> Option<Time> {
        match self.link {
            Link::Lost { since } => Some(since),
            Link::Up | Link::Refused => None,
        }
    }

    /// One finding per reason, the reason that says most first.
    fn findings(&self, interval_ms: u64, now: Time) -> [Verdict; 4] {
        let after = |since: Time, reason: Reason| {
            let reached = |n: u64| now >= since.plus_ms(n.saturating_mul(interval_ms));
            if reached(DOWN_AFTER_INTERVALS) {
                Verdict::Down(reason)
            } else if reached(SUSPECT_AFTER_INTERVALS) {
                Verdict::Suspect(reason)
            } else {
                Verdict::Up
            }
        };
        let at_least_suspect = |finding: Verdict, reason: Reason| match finding {
            Verdict::Up => Verdict::Suspect(reason),
            worse => worse,
        };
        let refused = if self.link == Link::Refused {
            Verdict::Down(Reason::TcpRefused)
        } else {
            Verdict::Up
        };
        let reset = match self.link {
            // A lost connection makes suspect at once, so its 3 more intervals count from there.
            Link::Lost { since } => {
                let limit_ms = interval_ms.saturating_mul(SUSPECT_AFTER_INTERVALS);
                if now >= since.plus_ms(limit_ms) {
                    Verdict::Down(Reason::TcpReset)
                } else {
                    Verdict::Suspect(Reason::TcpReset)
                }
            }
            Link::Up | Link::Refused => Verdict::Up,
        };
        let mut silence = after(self.last_heard, Reason::Silence);
        if !self.registered {
            silence = at_least_suspect(silence, Reason::Silence);
        }
        let progress =
            self.asked_oldest.map_or(Verdict::Up, |sent| after(sent, Reason::NoProgress));
        [refused, reset, silence, progress]
    }
}

/// Tells a node's new heartbeats from doubled, late and foreign ones (H45).
///
/// Invariant: `(incarnation, seq_newest)` only rises. A heartbeat does not bring in a new
/// incarnation, only a registration does, so that one forged packet cannot shut a node out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeats {
    store: Uuid,
    incarnation: Incarnation,
    /// The highest sequence number accepted of this incarnation; `None` before the first.
    seq_newest: Option<u64>,
}

impl Heartbeats {
    /// The filter of a store that has registered under `incarnation`.
    pub fn new(store: Uuid, incarnation: Incarnation) -> Self {
        Self { store, incarnation, seq_newest: None }
    }

    /// The store registered again. `false`, and nothing changes, for an older incarnation; the
    /// same one (a new connection of the same process) keeps its sequence.
    pub fn register(&mut self, incarnation: Incarnation) -> bool {
        if incarnation > self.incarnation {
            *self = Self::new(self.store, incarnation);
        }
        incarnation == self.incarnation
    }

    /// Whether the heartbeat is news; if so, all up to it are old from now on.
    pub fn accept(&mut self, store: Uuid, incarnation: Incarnation, seq: u64) -> bool {
        let ours = store == self.store && incarnation == self.incarnation;
        let news = ours && self.seq_newest.is_none_or(|newest| seq > newest);
        if news {
            self.seq_newest = Some(seq);
        }
        news
    }
}

/// Notices that this process itself stood still: stopped, suspended, or starved (H43). Whoever sees
/// a gap shifts all observations and checks its own lease before it judges anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnClock {
    ticked: Option<Time>,
}

impl OwnClock {
    /// To be called at each tick of a timer whose period is `expected_us` microseconds. The gap,
    /// in microseconds, is how much later than expected the tick came, if that is more than a
    /// whole period.
    pub fn tick(&mut self, now: Time, expected_us: u64) -> Option<u64> {
        let before = self.ticked.replace(now)?;
        let late_us = now.since_us(before).saturating_sub(expected_us);
        (late_us > expected_us.saturating_mul(LATE_PERIODS_MAX)).then_some(late_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL_MS: u64 = 500;

    fn ms(ms: u64) -> Time {
        Time::default().plus_ms(ms)
    }

    fn healthy() -> Observed {
        Observed { registered: true, link: Link::Up, last_heard: ms(10_000), asked_oldest: None }
    }

    /// Contract: "`suspect` (connection lost, or 3 heartbeat intervals of silence or of no
    /// progress), `down` (connection refused"
    #[test]
    fn the_table_of_verdicts() {
        use Reason::{NoProgress, Silence, TcpRefused, TcpReset};
        use Verdict::{Down, Suspect, Up};
        let seen = healthy();
        let lost = Observed { link: Link::Lost { since: ms(10_000) }, ..seen };
        let asked = |at| Observed { asked_oldest: Some(ms(at)), last_heard: ms(99_000), ..seen };
        let unregistered = Observed { registered: false, ..seen };
        let refused = Observed { link: Link::Refused, ..seen };
        let table = [
            ("fresh", seen, 10_000, Up),
            ("just before 3 intervals", seen, 11_499, Up),
            ("3 intervals of silence", seen, 11_500, Suspect(Silence)),
            ("just before 6 intervals", seen, 12_999, Suspect(Silence)),
            ("6 intervals of silence", seen, 13_000, Down(Silence)),
            ("lost just now", lost, 10_000, Suspect(TcpReset)),
            ("lost, then silent", lost, 11_499, Suspect(TcpReset)),
            ("lost for 3 intervals", lost, 11_500, Down(TcpReset)),
            ("busy", asked(20_000), 21_499, Up),
            ("stuck, heartbeats pass (H46)", asked(20_000), 21_500, Suspect(NoProgress)),
            ("stuck for 6 intervals", asked(20_000), 23_000, Down(NoProgress)),
            ("refused", refused, 10_000, Down(TcpRefused)),
            ("not registered yet", unregistered, 10_000, Suspect(Silence)),
            ("never registered", unregistered, 13_000, Down(Silence)),
            (
                "down beats suspect",
                Observed { last_heard: ms(8_000), ..refused },
                10_000,
                Down(TcpRefused),
            ),
            (
                "silent and stuck is silent",
                Observed { asked_oldest: Some(ms(10_000)), ..seen },
                11_500,
                Suspect(Silence),
            ),
            (
                "down for no progress beats suspect for silence",
                Observed { asked_oldest: Some(ms(8_000)), ..seen },
                11_500,
                Down(NoProgress),
            ),
        ];
        for (what, seen, now, verdict) in table {
            assert_eq!(seen.verdict(INTERVAL_MS, ms(now)), verdict, "{what}");
        }
    }

    #[test]
    fn heard_again_is_up_again() {
        let mut seen = healthy();
        assert_ne!(seen.verdict(INTERVAL_MS, ms(20_000)), Verdict::Up);
        seen.last_heard = ms(20_000);
        assert_eq!(seen.verdict(INTERVAL_MS, ms(20_000)), Verdict::Up);
    }

    /// Checks `next_change` against asking for the verdict at every millisecond.
    #[test]
    fn the_next_change_is_the_first_and_a_change() {
        let times = [ms(10_000), ms(10_700), ms(12_000)];
        for link in [Link::Up, Link::Lost { since: ms(10_300) }, Link::Refused] {
            for (last_heard, asked) in times.iter().flat_map(|a| times.map(|b| (*a, b))) {
                for asked_oldest in [None, Some(asked)] {
                    let seen = Observed { link, last_heard, asked_oldest, ..healthy() };
                    let mut now = 12_000;
                    loop {
                        let present = seen.verdict(INTERVAL_MS, ms(now));
                        let differs = |t: &u64| seen.verdict(INTERVAL_MS, ms(*t)) != present;
                        let first = (now + 1..20_000).find(differs).map(ms);
                        assert_eq!(seen.next_change(INTERVAL_MS, ms(now)), first, "{seen:?}");
                        let Some(first) = first else { break };
                        now = first.0 / 1_000;
                    }
                }
            }
        }
    }

    #[test]
    fn h45_doubled_late_and_foreign_heartbeats_are_ignored() {
        let (store, other) = (Uuid(1), Uuid(2));
        let mut filter = Heartbeats::new(store, Incarnation(5));
        let table = [
            (store, 5, 0, true),
            (store, 5, 0, false),
            (store, 5, 3, true),
            (store, 5, 2, false),
            (other, 5, 9, false),
            (store, 4, 9, false),
            (store, 6, 9, false),
            (store, 5, 4, true),
        ];
        for (uuid, incarnation, seq, news) in table {
            assert_eq!(filter.accept(uuid, Incarnation(incarnation), seq), news, "{seq}");
        }
        assert!(!filter.register(Incarnation(4)));
        assert!(filter.register(Incarnation(5)));
        assert!(!filter.accept(store, Incarnation(5), 4));
        assert!(filter.register(Incarnation(6)));
        assert!(!filter.accept(store, Incarnation(5), 10));
        assert!(filter.accept(store, Incarnation(6), 0));
    }

    #[test]
    fn h43_after_a_pause_of_ones_own_nobody_is_suspect() {
        let mut clock = OwnClock::default();
        let mut seen =
            Observed { asked_oldest: Some(ms(9_900)), last_heard: ms(9_800), ..healthy() };
        assert_eq!(clock.tick(ms(10_000), 100_000), None, "the first tick has nothing before it");
        assert_eq!(clock.tick(ms(10_200), 100_000), None, "one period late is a busy machine");
        let now = ms(40_300);
        assert_ne!(seen.verdict(INTERVAL_MS, now), Verdict::Up);
        let gap_us = clock.tick(now, 100_000).expect("30 s are a gap");
        assert_eq!(gap_us, 30_000_000);
        seen.shift(gap_us, now);
        assert_eq!(seen.last_heard, ms(39_800));
        assert_eq!(seen.verdict(INTERVAL_MS, now), Verdict::Up);
        assert_eq!(seen.verdict(INTERVAL_MS, ms(41_300)), Verdict::Suspect(Reason::Silence));
        assert_eq!(clock.tick(ms(40_400), 100_000), None);
    }

    #[test]
    fn a_shift_never_leads_into_the_future_nor_back() {
        let mut seen = Observed { link: Link::Lost { since: ms(50) }, ..healthy() };
        seen.shift(5_000_000, ms(12_000));
        assert_eq!(seen.last_heard, ms(12_000));
        assert_eq!(seen.link, Link::Lost { since: ms(5_050) });
        seen.shift(5_000_000, ms(11_000));
        assert_eq!(seen.last_heard, ms(12_000));
    }
}
