//! What is told: how a run goes, and what it has come to, as a table for people or as one JSON
//! object; pure. Made by the crate's root, counted on the way by `shopper` and `patience`.

use std::fmt::Write as _;

use super::ledger::{Difference, Sums};
use super::patience::Counts;

/// Differences that are told of; the others are counted.
const DIFFERENCES_SHOWN: usize = 50;

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Carts and stock are laid out.
    #[default]
    Opening,
    /// They shop.
    Open,
    /// Nobody shops any more; what is there is read back and compared.
    Checking,
}

/// How a run goes, so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// How far it is.
    pub phase: Phase,
    /// Changed carts that were stored.
    pub cart_changes: u64,
    /// Orders.
    pub orders: u64,
    /// Updates that came too late: what they were made from had another version by then.
    pub overtaken: u64,
    /// Checkouts for which there was not enough in stock.
    pub sold_out: u64,
    /// Attempts that were refused for now, and calls without a connection.
    pub refused: u64,
    /// Updates of which it was not known at first whether they happened.
    pub unknown: u64,
}

/// A run.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Whether it adds up.
    pub ok: bool,
    /// What the shoppers wanted was drawn from it.
    pub seed: u64,
    /// What all keys of the run begin with.
    pub prefix: String,
    /// How many they were.
    pub shoppers: u32,
    /// How many carts they had.
    pub carts: u32,
    /// How many articles there were.
    pub articles: u32,
    /// How long they shopped.
    pub ms: u64,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// Changed carts that were stored.
    pub cart_changes: u64,
    /// Orders.
    pub orders: u64,
    /// Updates that came too late, and were decided anew.
    pub overtaken: u64,
    /// Checkouts for which there was not enough in stock.
    pub sold_out: u64,
    /// Updates of which it was not known at first whether they happened.
    pub unknown: u64,
    /// How calls went.
    #[serde(flatten)]
    pub counts: Counts,
    /// Keys that were read back.
    pub keys: usize,
    /// Pieces in stock at the beginning.
    pub stock_initial: u64,
    /// Pieces in stock at the end.
    pub stock_left: u64,
    /// Pieces in orders.
    pub stock_sold: u64,
    /// What does not add up: the first ones.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub differences_not_shown: usize,
    /// Why its keys are still there, if they are.
    pub kept: Option<String>,
}

impl Report {
    /// With what was counted on the way.
    pub(crate) fn shopped(&mut self, figures: &Figures) {
        self.cart_changes = figures.cart_changes;
        self.orders = figures.orders;
        self.overtaken = figures.overtaken;
        self.sold_out = figures.sold_out;
        self.unknown = figures.unknown;
    }

    /// With what reading back has come to.
    pub(crate) fn found(&mut self, keys: usize, sums: Sums, mut differences: Vec<Difference>) {
        self.ok = differences.is_empty();
        self.keys = keys;
        (self.stock_initial, self.stock_left, self.stock_sold) =
            (sums.initial, sums.left, sums.sold);
        self.differences_not_shown = differences.len().saturating_sub(DIFFERENCES_SHOWN);
        differences.truncate(DIFFERENCES_SHOWN);
        self.differences = differences;
    }

    /// One line.
    pub(crate) fn json(&self) -> String {
        // Texts, numbers and a map by text: nothing that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let counts = &self.counts;
        let seconds = self.ms as f64 / 1000.0;
        let rate =
            |count: u64| format!("{count}, {:.1} a second", count as f64 / seconds.max(0.001));
        let refused: Vec<String> =
            counts.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
        let unknown = format!(
            "{}: {} had happened, {} had not",
            self.unknown, counts.unknown_happened, counts.unknown_did_not
        );
        let stock =
            format!("{} = {} left + {} sold", self.stock_initial, self.stock_left, self.stock_sold);
        let shoppers =
            format!("{} with {} carts, {} articles", self.shoppers, self.carts, self.articles);
        let interrupted = if self.interrupted { ", ended by Ctrl-C" } else { "" };
        let rows = [
            ("run", format!("seed {}, prefix {}", self.seed, self.prefix)),
            ("shoppers", shoppers),
            ("shopping", format!("{seconds:.1} s{interrupted}")),
            ("carts stored", rate(self.cart_changes)),
            ("orders", rate(self.orders)),
            ("overtaken", format!("{}, decided anew", self.overtaken)),
            ("sold out", self.sold_out.to_string()),
            ("refused for now", refused),
            ("outcome unknown", unknown),
            ("given up", counts.given_up.to_string()),
            ("longest call", format!("{} ms", counts.longest_ms)),
            ("read back", format!("{} keys", self.keys)),
            ("stock", if self.ok { stock } else { format!("{stock}?") }),
        ];
        let mut text = String::new();
        for (name, what) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<16} {what}");
        }
        if let Some(why) = &self.kept {
            let _ = writeln!(text, "{:<16} under {}: {why}", "kept", self.prefix);
        }
        for difference in &self.differences {
            let _ = writeln!(text, "WRONG {}: {}", difference.key, difference.what);
        }
        if self.differences_not_shown > 0 {
            let _ = writeln!(text, "WRONG and {} more", self.differences_not_shown);
        }
        text.push_str(if self.ok { "it adds up\n" } else { "it does not add up\n" });
        text
    }
}
