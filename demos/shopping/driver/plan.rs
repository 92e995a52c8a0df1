//! What a shopper wants to do, drawn from a seed; pure. Used by `shopper`, which does it as far as
//! cart and stock allow.

use protocol::load::Random;

/// Changes of the cart before a checkout, at most.
const CHANGES_MAX: u32 = 5;
/// Pieces of an article that are taken at once, at most.
const PIECES_MAX: u32 = 3;

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
    until_checkout: u32,
}

impl Plan {
    /// That of this shopper.
    pub(crate) fn new(seed: u64, shopper: u32, articles: u32) -> Self {
        let mut random = Random::one_of_many(seed, shopper);
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
        if self.random.below(5) == 0 {
            return Some(Intent::PutBack { line: self.random.below(u32::MAX) });
        }
        let article = self.random.below(self.articles.max(1));
        Some(Intent::Take { article, pieces: 1 + self.random.below(PIECES_MAX) })
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
}
