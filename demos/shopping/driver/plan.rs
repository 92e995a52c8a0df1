//! What a shopper wants to do, drawn from a seed; pure. Used by `shopper`, which does it as far as
//! cart and stock allow.

/// Changes of the cart before a checkout, at most.
const CHANGES_MAX: u64 = 5;
/// Pieces of an article that are taken at once, at most.
const PIECES_MAX: u64 = 3;

/// A stream of random numbers that a seed repeats (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed` for this one of many.
    pub(crate) fn new(seed: u64, number: u32) -> Self {
        // Streams that begin apart by the step of the generator would be the same, shifted.
        let mut mixed = Self(seed ^ u64::from(number).rotate_left(32));
        Self(mixed.bits())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder does not matter here.
        self.bits().checked_rem(bound).unwrap_or(0)
    }
}

/// One thing that a shopper wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// So many pieces of an article into the cart.
    Take {
        /// Its number.
        article: u32,
        /// At least 1.
        pieces: u32,
    },
    /// An article out of the cart again: the one on this line, counted from 0 and around.
    PutBack {
        /// The line.
        line: u32,
    },
    /// Buys what is in the cart.
    Checkout,
}

/// The intents of one shopper, without end.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    random: Random,
    articles: u32,
    until_checkout: u64,
}

impl Plan {
    /// That of this shopper.
    pub(crate) fn new(seed: u64, shopper: u32, articles: u32) -> Self {
        let mut random = Random::new(seed, shopper);
        let until_checkout = 1 + random.below(CHANGES_MAX);
        Self { random, articles, until_checkout }
    }
}

impl Iterator for Plan {
    type Item = Intent;

    fn next(&mut self) -> Option<Intent> {
        if self.until_checkout == 0 {
            self.until_checkout = 1 + self.random.below(CHANGES_MAX);
            return Some(Intent::Checkout);
        }
        self.until_checkout -= 1;
        let (kind, what) = (self.random.below(5), self.random.bits());
        if kind == 0 {
            return Some(Intent::PutBack { line: what as u32 });
        }
        let article = (what % u64::from(self.articles.max(1))) as u32;
        Some(Intent::Take { article, pieces: 1 + self.random.below(PIECES_MAX) as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(seed: u64, shopper: u32) -> Vec<Intent> {
        Plan::new(seed, shopper, 7).take(500).collect()
    }

    #[test]
    fn a_seed_repeats_and_shoppers_differ() {
        assert_eq!(intents(1, 2), intents(1, 2));
        assert_ne!(intents(1, 2), intents(1, 3));
        assert_ne!(intents(1, 2), intents(2, 2));
    }

    #[test]
    fn every_intent_is_drawn_and_within_bounds() {
        let all = intents(3, 0);
        let checkouts = all.iter().filter(|intent| **intent == Intent::Checkout).count();
        assert!((500 / 6..=500 / 2).contains(&checkouts), "{checkouts} checkouts");
        assert!(all.iter().any(|intent| matches!(intent, Intent::PutBack { .. })));
        for intent in all {
            if let Intent::Take { article, pieces } = intent {
                assert!(article < 7 && (1..=3).contains(&pieces), "{intent:?}");
            }
        }
    }

    #[test]
    fn nothing_is_below_nothing() {
        assert_eq!(Random::new(1, 1).below(0), 0);
    }
}
