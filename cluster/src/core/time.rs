//! The one clock that the core is told of, as a number.
//!
//! The shell reads CLOCK_BOOTTIME, which also counts while the machine is suspended (R11, H30) and
//! never jumps with the wall clock (H48), and hands the reading to every call of the core. Readings
//! of two machines are never compared.

/// A reading of CLOCK_BOOTTIME in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// Later than every reading.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time `ms` milliseconds later; [`Time::NEVER`] past the end of numbers.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        self.plus_us(ms.saturating_mul(1_000))
    }

    /// The time `us` microseconds later; [`Time::NEVER`] past the end of numbers.
    #[must_use]
    pub fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`; 0 if that is in fact later.
    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_saturate_at_both_ends() {
        assert_eq!(Time(5).plus_ms(2), Time(2_005));
        assert_eq!(Time(5).plus_ms(u64::MAX), Time::NEVER);
        assert_eq!(Time::NEVER.plus_us(1), Time::NEVER);
        assert_eq!(Time(9).since_us(Time(4)), 5);
        assert_eq!(Time(4).since_us(Time(9)), 0);
    }
}
