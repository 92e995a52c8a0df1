//! The console's clock, as an argument: when something reached it, and how long ago that is.
//!
//! Made by the loop, or by the player of a recording; everything below takes it and reads no other.

/// A moment, microseconds since the console (or the recording) began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At(pub u64);

impl At {
    /// Milliseconds from `earlier` to this; 0 where that is later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }

    /// `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
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

    /// For how long, in words: `0.4 s`, or `at least 0.4 s`.
    pub fn words(self, now: At) -> String {
        let least = if self.found { "at least " } else { "" };
        format!("{least}{}", ago(now.ms_since(self.at)))
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
        assert_eq!([840, 2_048, 16 << 20, 20 << 30].map(bytes), ["840 B", "2 K", "16 M", "20 G"]);
        assert_eq!(At(5_000).ms_since(At(7_000)), 0);
    }
}
