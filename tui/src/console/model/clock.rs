//! The console's clock, as an argument: when something happened, and how long ago that is.
//!
//! Made by the loop, or by the player of a recording; everything below takes it and reads no other.
//! What a server stamps with its own clock is put on this one by [`SourceClock`].

/// A moment, microseconds since the console (or the recording) began; below 0: before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At(pub i64);

impl At {
    /// So many microseconds after the beginning.
    pub fn after_us(us: u64) -> Self {
        Self(i64::try_from(us).unwrap_or(i64::MAX))
    }

    /// Microseconds since the beginning; 0 before that.
    pub fn us(self) -> u64 {
        self.us_since(Self(0))
    }

    /// Microseconds from `earlier` to this; 0 where that is later.
    pub fn us_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Milliseconds likewise.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.us_since(earlier) / 1_000
    }

    /// `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms.saturating_mul(1_000)))
    }

    /// `ms` milliseconds earlier.
    #[must_use]
    pub fn minus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(ms.saturating_mul(1_000)))
    }
}

/// The clock of one source of events beside the console's: no two clocks are ever compared, but
/// what came quickest tells how far they are apart, and what comes later than that was on its way
/// for so long. So what waited while the console stood still happened when it happened.
///
/// The source's is monotonic. A source whose clock stood still with its machine, or runs slower,
/// is seen as one of which everything comes late: that is believed for some seconds only.
#[derive(Debug, Clone, Copy, Default)]
pub struct SourceClock {
    /// The last event: its stamp, and when it came.
    last: Option<(u64, At)>,
    /// How far the clocks are apart at most, by the events of this stretch of time.
    least: Option<i64>,
    /// The same of the stretch before.
    before: Option<i64>,
    /// How much of this stretch has passed, microseconds.
    passed_us: u64,
}

/// A stretch of time, and how much of it one event takes at most: while nothing comes, nothing is
/// learned either.
const STRETCH_US: u64 = 10_000_000;
const STEP_US_MAX: u64 = 1_000_000;

impl SourceClock {
    /// When something happened that its source stamped with `stamp_us`, and that came at `now`:
    /// then, or before. A stamp of 0 says nothing.
    pub fn happened(&mut self, stamp_us: u64, now: At) -> At {
        if stamp_us == 0 {
            return now;
        }
        if self.last.is_some_and(|(stamp, _)| stamp_us < stamp) {
            // It is another clock.
            *self = Self::default();
        }
        let step_us = self.last.map_or(0, |(_, at)| now.us_since(at)).min(STEP_US_MAX);
        self.last = Some((stamp_us, now));
        self.passed_us += step_us;
        if self.passed_us >= STRETCH_US {
            (self.before, self.least, self.passed_us) = (self.least, None, 0);
        }
        let stamp = At::after_us(stamp_us).0;
        let apart = now.0.saturating_sub(stamp);
        let least = self.least.map_or(apart, |least| least.min(apart));
        self.least = Some(least);
        let quickest = self.before.map_or(least, |before| before.min(least));
        At(stamp.saturating_add(quickest)).min(now)
    }
}

/// Since when something is so, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Since {
    at: At,
    /// It was found so, and may have been before.
    found: bool,
}

impl Since {
    /// It came to be so at `at`.
    pub fn at(at: At) -> Self {
        Self { at, found: false }
    }

    /// It was so already when it was looked at first.
    pub fn found(at: At) -> Self {
        Self { at, found: true }
    }

    /// When it was so at the latest.
    pub fn latest(self) -> At {
        self.at
    }

    /// Whether it was so already when it was looked at first: nobody knows for how long.
    pub fn is_found(self) -> bool {
        self.found
    }

    /// The same, or since `at` where that is later: two servers may tell of one thing.
    #[must_use]
    pub fn not_before(self, at: At) -> Self {
        Self { at: self.at.max(at), ..self }
    }

    /// For how long, in words: `0.4 s`, or `at least 0.4 s`.
    pub fn words(self, now: At) -> String {
        let least = if self.found { "at least " } else { "" };
        format!("{least}{}", ago(now.ms_since(self.at)))
    }
}

impl From<At> for Since {
    fn from(at: At) -> Self {
        Self::at(at)
    }
}

/// A length of time as a person reads it: `0.4 s`, `12 s`, `3 m`, `2 h`.
pub fn ago(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} m", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// Microseconds as a person reads them: `840 us`, `2.4 ms`, `1.20 s`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// Bytes as a person reads them: `840 B`, `16 M`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} K", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} M", bytes >> 20),
        _ => format!("{} G", bytes >> 30),
    }
}

/// A number with its thousands apart: `1,204`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many things of which one is called `one`: `1 key`, `1,204 keys`, `2 copies`.
pub fn some(number: u64, one: &str) -> String {
    format!("{} {}", count(number), crate::text::plural(number, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_at_least_as_old() {
        let now = At(9_400_000);
        assert_eq!(Since::at(At(9_000_000)).words(now), "0.4 s");
        assert_eq!(Since::found(At(9_000_000)).words(now), "at least 0.4 s");
    }

    #[test]
    fn times_and_numbers_are_for_persons() {
        let shown = [0, 449, 9_999, 10_000, 119_999, 120_000, 7_200_000].map(ago);
        assert_eq!(shown, ["0.0 s", "0.4 s", "9.9 s", "10 s", "119 s", "2 m", "2 h"]);
        let shown = [999, 2_449, 12_900, 1_204_000].map(micros);
        assert_eq!(shown, ["999 us", "2.4 ms", "12 ms", "1.20 s"]);
        assert_eq!([7, 999, 1_000, 1_234_567].map(count), ["7", "999", "1,000", "1,234,567"]);
        let shown = [0, 1, 1_204].map(|keys| some(keys, "key"));
        assert_eq!(shown, ["0 keys", "1 key", "1,204 keys"]);
        assert_eq!((some(1, "copy"), some(2, "copy")), ("1 copy".into(), "2 copies".into()));
        assert_eq!(some(2, "stretch"), "2 stretches");
        assert_eq!([840, 2_048, 16 << 20, 20 << 30].map(bytes), ["840 B", "2 K", "16 M", "20 G"]);
        assert_eq!(At(5_000).ms_since(At(7_000)), 0);
    }

    #[test]
    fn a_moment_may_lie_before_the_beginning() {
        let heard = At(100_000).minus_ms(10_000);
        assert_eq!((heard, heard.us()), (At(-9_900_000), 0));
        assert_eq!(ago(At(300_000).ms_since(heard)), "10 s");
        assert_eq!(At::after_us(u64::MAX).plus_ms(u64::MAX), At(i64::MAX));
        assert_eq!(At(i64::MIN).minus_ms(1), At(i64::MIN));
        assert_eq!(At(i64::MAX).us_since(At(i64::MIN)), i64::MAX as u64);
    }

    /// Stamps and arrivals in milliseconds, and when that was, by the console's clock.
    fn happened(events: &[(u64, i64)]) -> Vec<i64> {
        let mut clock = SourceClock::default();
        let when =
            |(stamp, came): &(u64, i64)| clock.happened(stamp * 1_000, At(came * 1_000)).0 / 1_000;
        events.iter().map(when).collect()
    }

    #[test]
    fn what_waited_happened_when_it_was_stamped() {
        // The console stands still from 2 to 12 seconds, and then reads all at once.
        let events = [(70_000, 1_003), (71_000, 2_001), (72_000, 12_000), (79_500, 12_001)];
        assert_eq!(happened(&events), [1_003, 2_001, 3_001, 10_501]);
        // One that says nothing of its time happens when it comes.
        assert_eq!(
            happened(&[(70_000, 1_000), (0, 9_000), (70_500, 9_500)]),
            [1_000, 9_000, 1_500]
        );
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_old_for_long() {
        // Another clock, behind: a source that was started anew, or another one.
        assert_eq!(happened(&[(900_000, 1_000), (5, 1_500), (505, 2_000)]), [1_000, 1_500, 2_000]);
        // One that jumps ahead: its machine slept, and the console did not count that.
        let ahead = [(1_000, 1_000), (1_500, 1_500), (3_602_000, 2_000), (3_602_500, 2_500)];
        assert_eq!(happened(&ahead), [1_000, 1_500, 2_000, 2_500]);
        // One that stood still while the console's went on: late for some seconds, then not.
        let halted = (0..60).map(|n| (1_000 + n * 500, if n < 2 { 0 } else { 600_000 }));
        let events: Vec<(u64, i64)> =
            halted.map(|(stamp, late)| (stamp, stamp as i64 + late)).collect();
        let late: Vec<i64> =
            happened(&events).iter().zip(&events).map(|(at, (_, came))| came - at).collect();
        assert_eq!((late[1], late[2], late[20]), (0, 600_000, 600_000));
        assert_eq!(late[45..], [0; 15]);
        // What lies beyond all bounds is borne.
        happened(&[(u64::MAX / 1_000, i64::MAX / 1_000), (1, i64::MIN / 1_000), (2, 0)]);
    }
}
