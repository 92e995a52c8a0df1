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
    fn times_and_numbers_are_for_persons() {
        let shown = [0, 449, 9_999, 10_000, 119_999, 120_000, 7_200_000].map(ago);
        assert_eq!(shown, ["0.0 s", "0.4 s", "9.9 s", "10 s", "119 s", "2 m", "2 h"]);
        let shown = [999, 2_449, 12_900, 1_204_000].map(micros);
        assert_eq!(shown, ["999 us", "2.4 ms", "12 ms", "1.20 s"]);
        assert_eq!([7, 999, 1_000, 1_234_567].map(count), ["7", "999", "1,000", "1,234,567"]);
        assert_eq!(At(5_000).ms_since(At(7_000)), 0);
    }
}
