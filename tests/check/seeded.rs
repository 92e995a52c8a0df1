//! Random numbers that a seed repeats.
//!
//! Used by every test that draws something: the client library's numbers, the same on every machine,
//! with what tests want of them. Never reads entropy by itself, except in [`from_env`], which
//! says which seed it drew.

use std::time::{SystemTime, UNIX_EPOCH};

use protocol::load::Random;

/// A stream of random numbers, given by its seed.
#[derive(Debug, Clone)]
pub(crate) struct Seeded(Random);

impl Seeded {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The next 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is below 2^-32 for the small bounds of tests.
        self.bits() % bound
    }

    /// True `percent` times of 100.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// The seed in the environment variable `name`, else a fresh one; and how to repeat the run.
pub(crate) fn from_env(name: &str) -> (u64, String) {
    let given = std::env::var(name).ok();
    let seed = given.map_or_else(
        || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Short enough to be typed.
            Seeded::new(since.as_nanos() as u64).below(1_000_000)
        },
        |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
    );
    (seed, format!("repeat with {name}={seed}"))
}

/// The number in the environment variable `name`, else `default`.
pub(crate) fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}"))
    })
}
