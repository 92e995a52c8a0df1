//! What the store has acknowledged, written down beside it, and what that must come to; pure.
//!
//! `shopper` writes, `audit` compares with what is read back. Of carts and stock it knows the whole
//! history: each update names the version that it replaced, so that all of them must make one chain
//! from the first value to the last. A value that somebody else has put in between, or an update
//! that was lost, breaks it, even if it was overwritten since.

use std::collections::BTreeMap;

use protocol::ids::Version;

use super::goods::{Keys, Order, decode};

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Where.
    pub key: String,
    /// What is wrong there.
    pub what: String,
}

impl Difference {
    /// At this key.
    pub(crate) fn new(key: &str, what: impl Into<String>) -> Self {
        Self { key: key.to_owned(), what: what.into() }
    }
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Since which update.
    pub(crate) version: Version,
    /// The bytes.
    pub(crate) value: Vec<u8>,
}

/// The updates of one key.
#[derive(Debug)]
struct Chain {
    /// The last one that follows from the first without a gap.
    tip: Held,
    /// Those that do not follow yet, by the version that they replaced: acknowledgements of several
    /// shoppers come in any order.
    waiting: BTreeMap<Version, Held>,
}

/// What the goods come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Pieces in stock at the beginning.
    pub(crate) initial: u64,
    /// Pieces in stock at the end.
    pub(crate) left: u64,
    /// Pieces in orders.
    pub(crate) sold: u64,
}

/// All that was acknowledged. It grows with the orders, and so with the run, which has an end.
#[derive(Debug)]
pub(crate) struct Ledger {
    keys: Keys,
    chains: BTreeMap<String, Chain>,
    orders: BTreeMap<String, Held>,
    /// Keys of stock by article, and what was there at the beginning.
    stock: BTreeMap<u32, (String, u64)>,
    differences: Vec<Difference>,
}

impl Ledger {
    /// An empty one.
    pub(crate) fn new(keys: Keys) -> Self {
        let (chains, orders, stock) = Default::default();
        Self { keys, chains, orders, stock, differences: Vec::new() }
    }

    /// A cart or stock is there for the first time.
    pub(crate) fn created(&mut self, key: &str, first: Held) {
        self.chains.insert(key.to_owned(), Chain { tip: first, waiting: BTreeMap::new() });
    }

    /// So much of an article is in stock at the beginning.
    pub(crate) fn stocked(&mut self, article: u32, key: &str, pieces: u64) {
        self.stock.insert(article, (key.to_owned(), pieces));
    }

    /// An update of a cart or stock has replaced the version `base`.
    pub(crate) fn changed(&mut self, key: &str, base: Version, now: Held) {
        let Some(chain) = self.chains.get_mut(key) else {
            self.wrong(Difference::new(key, "was updated and had never been made"));
            return;
        };
        if chain.waiting.insert(base, now).is_some() {
            let what = format!("two updates were both told that they replaced {base}");
            self.differences.push(Difference::new(key, what));
            return;
        }
        while let Some(next) = chain.waiting.remove(&chain.tip.version) {
            chain.tip = next;
        }
    }

    /// An order was acknowledged.
    pub(crate) fn sold(&mut self, key: &str, order: Held) {
        if self.orders.insert(key.to_owned(), order).is_some() {
            self.wrong(Difference::new(key, "was acknowledged twice"));
        }
    }

    /// Something is wrong already while the shop is open.
    pub(crate) fn wrong(&mut self, difference: Difference) {
        self.differences.push(difference);
    }

    /// Compares with all that was found at the end, once nothing is under way any more.
    pub(crate) fn compare(&self, found: &BTreeMap<String, Held>) -> (Sums, Vec<Difference>) {
        let mut differences = self.differences.clone();
        for (key, chain) in &self.chains {
            differences.extend(chain.compare(key, found.get(key)));
        }
        for (key, order) in &self.orders {
            let what = match found.get(key) {
                None => "the order was acknowledged and is not there",
                Some(held) if held != order => "the order is not the one that was acknowledged",
                Some(_) => continue,
            };
            differences.push(Difference::new(key, what));
        }
        for key in found.keys() {
            if !self.chains.contains_key(key) && !self.orders.contains_key(key) {
                let what = "is there, and no update of this run was acknowledged that made it";
                differences.push(Difference::new(key, what));
            }
        }
        let sums = self.add_up(found, &mut differences);
        (sums, differences)
    }

    /// What was in stock must be what is left and what was sold, article by article.
    fn add_up(&self, found: &BTreeMap<String, Held>, differences: &mut Vec<Difference>) -> Sums {
        let mut sold: BTreeMap<u32, u64> = BTreeMap::new();
        for (key, held) in found.iter().filter(|(key, _)| self.keys.is_order(key)) {
            let Some(order) = decode::<Order>(&held.value) else {
                differences.push(Difference::new(key, "is no order"));
                continue;
            };
            for (article, pieces) in order.lines {
                let total = sold.entry(article).or_default();
                *total = total.saturating_add(u64::from(pieces));
            }
        }
        let mut sums = Sums::default();
        for (article, (key, initial)) in &self.stock {
            // One that is gone is told of as such; nothing is left of it.
            let left = found.get(key).and_then(|held| decode::<u64>(&held.value)).unwrap_or(0);
            let gone = sold.remove(article).unwrap_or(0);
            if left.checked_add(gone) != Some(*initial) {
                let what = format!("{initial} at the beginning, but {left} left and {gone} sold");
                differences.push(Difference::new(key, what));
            }
            sums.initial = sums.initial.saturating_add(*initial);
            sums.left = sums.left.saturating_add(left);
            sums.sold = sums.sold.saturating_add(gone);
        }
        for (article, pieces) in sold {
            let what = format!("{pieces} pieces of article {article} were sold, which is none");
            differences.push(Difference::new(&self.keys.prefix, what));
        }
        sums
    }
}

impl Chain {
    fn compare(&self, key: &str, found: Option<&Held>) -> Vec<Difference> {
        let mut differences = Vec::new();
        if let Some(base) = self.waiting.keys().next() {
            let what = format!(
                "an update replaced {base}, which is not what was stored last before it ({}): \
                 somebody else wrote it, or an update was lost",
                self.tip.version
            );
            differences.push(Difference::new(key, what));
        }
        let tip = &self.tip;
        match found {
            None => differences.push(Difference::new(key, "is gone")),
            // Of a chain with a gap it is not known which its last one is.
            Some(_) if !self.waiting.is_empty() => {}
            Some(held) if held == tip => {}
            Some(held) if held.version == tip.version => {
                let what = format!("has another value than was stored last, by {}", tip.version);
                differences.push(Difference::new(key, what));
            }
            Some(held) => {
                let (now, last) = (held.version, tip.version);
                let what = format!("has version {now}; what was stored last is {last}");
                differences.push(Difference::new(key, what));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests;
