//! Durations as they are typed.
//!
//! Used by the grammar. Pure.

use std::time::Duration;

/// A duration as it is typed: a number with `ms`, `s`, `m` or `h`; without: seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a duration: durations look like 500ms, 30s or 2m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    // A year is beyond any use, and keeps every sum of times far from overflow.
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 31_536_000_000).ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_strictly() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("30"), Ok(30_000));
        assert_eq!(ms("2m"), Ok(120_000));
        for wrong in ["", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999", "9999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
