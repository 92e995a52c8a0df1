//! What clients asked for and what became of it: counted where they are answered, shown in
//! `status`. Relaxed counters; a second-by-second history for rates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::error::ErrorCode;
use protocol::status::OpsStatus;

/// The operations counted; `other` is what could not be read as one.
const OPS: [&str; 18] = [
    "get",
    "put",
    "update",
    "cas",
    "del",
    "mget",
    "txn",
    "scan",
    "watch",
    "locate",
    "explain",
    "outcome",
    "subscribe",
    "status",
    "hello",
    "auth",
    "admin",
    "other",
];
/// Seconds that rates are taken over.
const RATE_S: usize = 5;
const OUTCOMES: usize = ErrorCode::ALL.len() + 1;

/// Requests by operation and outcome.
pub(super) struct Counters {
    counts: [[AtomicU64; OUTCOMES]; OPS.len()],
    history: Mutex<VecDeque<[u64; OPS.len()]>>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let counts = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
        Self { counts, history: Mutex::new(VecDeque::with_capacity(RATE_S + 1)) }
    }

    /// Where an operation is counted.
    pub(super) fn op(name: &str) -> usize {
        OPS.iter().position(|op| *op == name).unwrap_or(OPS.len() - 1)
    }

    /// Counts a request that is answered; `None` = ok.
    pub(super) fn count(&self, op: usize, code: Option<ErrorCode>) {
        let place = |code| ErrorCode::ALL.iter().position(|other| *other == code);
        let outcome = code.and_then(place).map_or(0, |place| place + 1);
        self.counts[op][outcome].fetch_add(1, Ordering::Relaxed);
    }

    /// To be called once a second.
    pub(super) fn tick(&self) {
        let Ok(mut history) = self.history.lock() else { return };
        history.push_back(self.totals());
        if history.len() > RATE_S + 1 {
            history.pop_front();
        }
    }

    fn totals(&self) -> [u64; OPS.len()] {
        std::array::from_fn(|op| {
            self.counts[op].iter().map(|count| count.load(Ordering::Relaxed)).sum()
        })
    }

    /// For `status`.
    pub(super) fn status(&self) -> OpsStatus {
        let mut total = BTreeMap::new();
        for (op, counts) in OPS.iter().zip(&self.counts) {
            let mut outcomes = BTreeMap::new();
            for (place, count) in counts.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                let name = place.checked_sub(1).map_or("ok", |code| ErrorCode::ALL[code].as_str());
                if count > 0 {
                    outcomes.insert(name.to_owned(), count);
                }
            }
            if !outcomes.is_empty() {
                total.insert((*op).to_owned(), outcomes);
            }
        }
        OpsStatus { total, per_s: self.rates() }
    }

    fn rates(&self) -> BTreeMap<String, f64> {
        let Ok(history) = self.history.lock() else { return BTreeMap::new() };
        let (Some(first), Some(last)) = (history.front(), history.back()) else {
            return BTreeMap::new();
        };
        let seconds = (history.len() - 1).max(1) as f64;
        let rate = |op: usize| (last[op] - first[op]) as f64 / seconds;
        (0..OPS.len()).filter(|op| last[*op] > 0).map(|op| (OPS[op].to_owned(), rate(op))).collect()
    }
}
