//! How fast copies are made: what copying may take beside the requests of clients.
//!
//! For all that is copied together. It is never faster than `copy_bytes_per_s`. While clients are
//! served, one portion at a time is on its way, small enough that nobody waits long behind it, and
//! after each comes a pause: as long as that portion took, twice for each request of a client that
//! is open on the average, [`PAUSES_MAX`] times at most. So copying beside few requests goes on for
//! half of the time, and beside many for a sixth; and where machines are busy, portions take
//! longer, so they get smaller, and the pauses longer. When nobody asks for anything, and when
//! something that is to be copied has only one copy left, copying has all the time.
//!
//! Used by `copying`. Never: knows what is copied, or for whom.

use super::super::time::Time;

/// Pauses as long as a portion took, after each: for each open request, and at most.
const PAUSES_EACH: f64 = 2.0;
const PAUSES_MAX: f64 = 5.0;
/// Time between two looks at what clients do, milliseconds, and over how many of them, about, open
/// requests are averaged.
const LOOK_MS: u64 = 5;
const LOOKS: u32 = 8;
/// What a portion should take while clients are served, and while copying is alone, microseconds.
/// Its way from node to node takes a millisecond, however little is in it: a limit near that would
/// make portions ever smaller, and copying no gentler.
const SHARED_US: u64 = 4_000;
const ALONE_US: u64 = 20_000;
/// Bytes of a portion.
const BYTES_MIN: u64 = 8 << 10;
const BYTES_MAX: u64 = 256 << 10;
/// One pause at most, microseconds: copying goes on however slow the machines are.
const PAUSE_US_MAX: u64 = 250_000;
/// Clients count as being served for so long after the last look that saw them, milliseconds.
const SERVED_MS: u64 = 200;
/// Whoever is given a portion and says nothing is not waited for any longer, microseconds.
const SILENT_US: u64 = 1_000_000;

/// When the next portion may be asked for.
#[derive(Debug)]
pub(super) struct Pace {
    not_before: Time,
    /// When what clients do is looked at next.
    look_at: Time,
    /// Requests that clients had made at the last look, if there was one.
    served: Option<u64>,
    shared_until: Time,
    /// Open requests on the average of the last looks, which were so many, [`LOOKS`] at most.
    open: f64,
    looks: u32,
    /// Something has only one copy left.
    urgent: bool,
    bytes_max: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        let (not_before, shared_until) = (Time(0), Time(0));
        let (served, open, looks, urgent) = (None, 0.0, 0, false);
        let (look_at, bytes_max) = (Time(0), 4 * BYTES_MIN);
        Self { not_before, look_at, served, shared_until, open, looks, urgent, bytes_max }
    }

    /// Whether it is time to look at what clients do.
    pub(super) fn is_look_due(&self, now: Time) -> bool {
        now >= self.look_at
    }

    /// Clients have made so many requests until now, and so many are open; `urgent`: something has
    /// only one copy left.
    pub(super) fn look(&mut self, now: Time, served: u64, open: usize, urgent: bool) {
        if now > self.look_at.plus_ms(SERVED_MS) {
            // What was so in an earlier copy is not so now.
            self.looks = 0;
        }
        self.looks = (self.looks + 1).min(LOOKS);
        self.open += (open as f64 - self.open) / f64::from(self.looks);
        if self.served.is_some_and(|before| served > before) {
            self.shared_until = now.plus_ms(SERVED_MS);
        }
        (self.served, self.urgent) = (Some(served), urgent);
        self.look_at = now.plus_ms(LOOK_MS);
    }

    fn is_shared(&self, now: Time) -> bool {
        now < self.shared_until && !self.urgent
    }

    /// After how many bytes the next portion is to end.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Whether one more portion may be asked for; those on their way were asked for at these times.
    pub(super) fn may_ask(&self, now: Time, mut on_their_way: impl Iterator<Item = Time>) -> bool {
        now >= self.not_before
            && (!self.is_shared(now) || on_their_way.all(|asked| now.since_us(asked) >= SILENT_US))
    }

    /// A portion was read.
    pub(super) fn read(&mut self, now: Time, bytes: u64, bytes_per_s: u64) {
        let us = bytes.saturating_mul(1_000_000) / bytes_per_s.max(1);
        self.not_before = self.not_before.max(now).plus_us(us);
    }

    /// A portion that was asked for then has come to its end.
    pub(super) fn taken(&mut self, now: Time, asked: Time) {
        let took_us = now.since_us(asked);
        let shared = self.is_shared(now);
        let wanted_us = if shared { SHARED_US } else { ALONE_US };
        if took_us > wanted_us {
            self.bytes_max = (self.bytes_max / 2).max(BYTES_MIN);
        } else if took_us < wanted_us / 2 {
            self.bytes_max = (self.bytes_max * 2).min(BYTES_MAX);
        }
        if shared {
            let pauses = (PAUSES_EACH * self.open).min(PAUSES_MAX);
            let pause_us = ((took_us as f64 * pauses) as u64).min(PAUSE_US_MAX);
            self.not_before = self.not_before.max(now.plus_us(pause_us));
        }
    }

    /// When the next one may be asked for.
    pub(super) fn due(&self) -> Time {
        self.not_before
    }

    /// Nobody waits on for as long as the rate before made it.
    pub(super) fn anew(&mut self, now: Time) {
        self.not_before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(10_000_000);
    const RATE: u64 = 1_000_000;

    fn asks(pace: &Pace, now: Time, on_their_way: &[Time]) -> bool {
        pace.may_ask(now, on_their_way.iter().copied())
    }

    #[test]
    fn alone_only_the_rate_counts() {
        let mut pace = Pace::new();
        pace.look(NOW, 0, 0, false);
        assert!(asks(&pace, NOW, &[NOW; 3]));
        pace.read(NOW, 500, RATE);
        pace.read(NOW, 500, RATE);
        pace.taken(NOW.plus_us(900), NOW);
        assert!(!asks(&pace, NOW.plus_us(999), &[]), "both count");
        assert!(asks(&pace, NOW.plus_us(1_000), &[NOW; 3]));
        assert_eq!(pace.due(), NOW.plus_us(1_000));
    }

    #[test]
    fn beside_clients_it_has_a_part_of_the_time() {
        let mut pace = Pace::new();
        pace.look(NOW, 0, 9, false);
        pace.look(NOW, 7, 9, false);
        assert!(asks(&pace, NOW, &[]));
        assert!(!asks(&pace, NOW, &[NOW]), "one at a time");
        assert!(asks(&pace, NOW.plus_us(SILENT_US), &[NOW]), "unless that one is silent");
        pace.taken(NOW, Time(NOW.0 - 3_000));
        assert_eq!(pace.due(), NOW.plus_us(3_000 * 5));
        pace.taken(NOW, Time(0));
        assert_eq!(pace.due(), NOW.plus_us(PAUSE_US_MAX));
        // The last client has gone.
        let later = NOW.plus_ms(SERVED_MS);
        pace.look(later, 7, 0, false);
        pace.anew(later);
        pace.taken(later, NOW);
        assert!(asks(&pace, later, &[NOW]));
    }

    #[test]
    fn the_fewer_requests_are_open_the_shorter_are_the_pauses() {
        let mut pace = Pace::new();
        let mut pause_us = |open: [usize; 2]| {
            (0..400).for_each(|n| pace.look(NOW, n, open[n as usize % 2], false));
            pace.anew(Time(0));
            pace.taken(NOW, Time(NOW.0 - 1_000));
            pace.due().since_us(NOW)
        };
        assert_eq!(pause_us([20, 20]), 5_000);
        assert!((900..1_100).contains(&pause_us([0, 1])), "one is open half of the time");
        assert_eq!(pause_us([0, 0]), 0);
        assert!((1_900..=2_000).contains(&pause_us([1, 1])));
        // After a while nothing is left of what was before, and the first look counts.
        let later = NOW.plus_ms(2 * SERVED_MS);
        pace.look(later, 400, 2, false);
        pace.look(later, 401, 2, false);
        pace.taken(later, Time(later.0 - 1_000));
        assert_eq!(pace.due(), later.plus_us(4_000));
    }

    #[test]
    fn a_last_copy_does_not_wait_for_clients() {
        let mut pace = Pace::new();
        pace.look(NOW, 0, 9, true);
        pace.look(NOW, 7, 9, true);
        pace.taken(NOW, Time(NOW.0 - 3_000));
        assert!(asks(&pace, NOW, &[NOW; 3]));
    }

    #[test]
    fn portions_are_as_long_as_they_may_take() {
        let mut pace = Pace::new();
        let mut take = |us: u64, served: u64| {
            pace.look(NOW, served, 9, false);
            (0..20).for_each(|_| pace.taken(NOW, Time(NOW.0 - us)));
            pace.bytes_max()
        };
        assert_eq!(take(SHARED_US / 3, 0), BYTES_MAX);
        assert_eq!(take(ALONE_US, 0), BYTES_MAX, "alone a portion may take long");
        assert_eq!(take(ALONE_US, 1), BYTES_MIN);
        assert_eq!(take(SHARED_US, 2), BYTES_MIN, "neither too long nor too short");
    }
}
