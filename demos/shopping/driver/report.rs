//! What a run has come to, as a table for people or as one JSON object; pure. Made by `driver`.

use std::fmt::Write as _;

use super::ledger::{Difference, Sums};
use super::patience::Counts;

/// Differences that are told of; the others are counted.
const DIFFERENCES_SHOWN: usize = 50;

/// A run.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Report {
    /// Whether it adds up.
    pub(crate) ok: bool,
    pub(crate) seed: u64,
    pub(crate) prefix: String,
    pub(crate) shoppers: u32,
    pub(crate) carts: u32,
    pub(crate) articles: u32,
    /// How long they shopped.
    pub(crate) ms: u64,
    /// Whether Ctrl-C ended it.
    pub(crate) interrupted: bool,
    pub(crate) cart_changes: u64,
    pub(crate) orders: u64,
    pub(crate) overtaken: u64,
    pub(crate) sold_out: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Keys that were read back.
    pub(crate) keys: usize,
    pub(crate) stock_initial: u64,
    pub(crate) stock_left: u64,
    pub(crate) stock_sold: u64,
    pub(crate) differences: Vec<Difference>,
    pub(crate) differences_not_shown: usize,
    /// Why its keys are still there, if they are.
    pub(crate) kept: Option<String>,
}

impl Report {
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
            counts.unknown, counts.unknown_happened, counts.unknown_did_not
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
