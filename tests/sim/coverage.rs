//! What runs have come across: a simulation that meets nothing proves nothing.
//!
//! Counted by `world` and its parts, summed over all seeds, and held against the least that so
//! many seeds must meet.

use std::collections::BTreeMap;
use std::fmt;

/// Counters by name; what was never met is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage(BTreeMap<&'static str, u64>);

/// What 1,000 seeds must meet at least, each.
#[cfg(not(feature = "lie-about-sync"))]
const AT_LEAST: &[(&str, u64)] = &[
    ("clusters by ascii-sum", 150),
    ("clusters with serial updates", 80),
    ("ops ok", 38_541),
    ("ops refused", 5_000),
    ("ops unknown", 500),
    ("updates repeated", 2_000),
    ("repetitions answered", 312),
    ("outcomes committed", 50),
    ("outcomes aborted", 1),
    ("pages", 2_000),
    ("watches", 500),
    ("watches lost", 20),
    ("watch lines", 5_000),
    ("cache hits", 5_000),
    ("node cache hits", 2_500),
    ("node cache evictions", 700),
    ("conditions met", 1_015),
    ("conditions refused", 2_923),
    ("mgets ok", 1_852),
    ("txns ok", 500),
    ("nodes killed", 115),
    ("nodes without power", 500),
    ("nodes stopped", 85),
    ("nodes paused", 83),
    ("crashes in a start", 50),
    ("coordinators killed", 89),
    ("coordinators stopped", 98),
    ("coordinators paused", 76),
    ("coordinators usurped", 100),
    ("links reset", 500),
    ("messages lost", 100),
    ("messages doubled", 500),
    ("messages overtaking", 100),
    ("dials refused", 100),
    ("claims fenced", 20),
    ("waits skipped", 100),
    ("recovered commits", 50),
    ("recovered aborts", 50),
    ("adopted", 5),
    ("late prepares", 2),
    ("votes no", 500),
    ("checkpoints", 500),
    ("segments freed", 200),
    ("tails cut", 12),
    ("disk errors met", 95),
    ("full disks met", 18),
    ("full disks noticed", 13),
    ("updates refused by a full disk", 300),
    ("checkpoints without space", 45),
    ("starts refused by a disk", 37),
    ("one-way cuts", 113),
    ("nodes clogged", 207),
    ("disks wiped", 46),
    ("strangers refused", 35),
    ("registrations ended", 30),
    ("directories rolled back", 9),
    ("older copies found lost", 6),
    ("older copies refused", 1),
    ("directories put back", 54),
    ("state copies rotten", 58),
    ("logs rotten", 40),
    ("rotten logs refused", 19),
    ("rotten tails cut", 23),
    ("writes astray", 12),
    ("duplicates refused", 60),
    ("nodes missing", 6),
    ("orders", 400),
    ("evictions", 60),
    ("returns", 60),
    ("nodes added", 70),
    ("removals", 30),
    ("copies resumed", 15),
    ("nodes told to be evicted", 60),
    ("nodes told to join", 100),
    ("nodes told to leave", 30),
    ("records changed", 50),
    ("records damaged", 50),
    ("rotten records found", 100),
    ("records mended", 50),
];

impl Coverage {
    /// It was met once more.
    pub(crate) fn met(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// It was met so often.
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// How often it was met.
    #[cfg(not(feature = "lie-about-sync"))]
    pub(crate) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Adds another run's.
    #[cfg(not(feature = "lie-about-sync"))]
    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }

    /// What `seeds` runs met too little of, in words.
    #[cfg(not(feature = "lie-about-sync"))]
    pub(crate) fn too_quiet(&self, seeds: u64) -> Vec<String> {
        // Much of it comes in bursts: small runs differ from one another.
        let slack = if seeds < 2_000 { 5 } else { 1 };
        let short = AT_LEAST.iter().filter_map(|(what, per_thousand)| {
            let least = per_thousand * seeds / 1_000 / slack;
            let met = self.of(what);
            (met < least).then(|| format!("{what}: {met}, at least {least} expected"))
        });
        short.collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>12} {what}")?;
        }
        Ok(())
    }
}
