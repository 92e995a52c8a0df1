//! The one place that reads a clock for the core: CLOCK_BOOTTIME, which goes on while the machine
//! is suspended, so that a lease never outlives what it was granted for (R11, H30).

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::core::time::Time;

/// Now, for the core.
pub fn now() -> Time {
    let read = clock_gettime(ClockId::CLOCK_BOOTTIME);
    let time = read.expect("CLOCK_BOOTTIME is there since Linux 2.6.39");
    let micros = Duration::from(time).as_micros();
    Time(u64::try_from(micros).expect("half a million years of uptime"))
}

/// Sleeps end on multiples of this, microseconds: each earlier end than the one before costs the
/// runtime a system call, and with a grid the next ends are mostly equal.
const GRID_US: u64 = 5_000;

/// The end of a sleep that is to last until `at`: up to 5 ms more.
pub(super) fn on_grid(at: Time) -> Time {
    Time(at.0.div_ceil(GRID_US).saturating_mul(GRID_US))
}

/// When the runtime's clock shows `at`, for a sleep.
pub(super) fn instant_of(at: Time) -> tokio::time::Instant {
    let ahead = at.since_us(now()).min(24 * 3_600_000_000);
    tokio::time::Instant::now() + Duration::from_micros(ahead)
}
