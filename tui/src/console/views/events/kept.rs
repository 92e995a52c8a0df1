//! The entries that are shown, found once and kept: a picture must not look at all of them again.
//!
//! Part of the view Events. Caught up before each key and four times a second; what came since is
//! added when it is drawn. Bounded as the record is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::filter::{Level, Sieve, Wanted, is_telemetry};
use crate::console::model::Model;
use crate::console::model::record::{CONTROL_MAX, Entry, TELEMETRY_MAX};

/// Entries that are kept.
const ROWS_MAX: usize = CONTROL_MAX + TELEMETRY_MAX;
/// Incidents whose first and last entries are known.
const INCIDENTS_MAX: usize = 200;
/// Entries that a picture looks at, at most.
const FRESH_MAX: usize = 2_000;

/// What is shown, as far as it was looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    sieve: Sieve,
    /// Entries below this number have been looked at.
    upto: u64,
    rows: VecDeque<Arc<Entry>>,
    /// Each incident's first and last entry among them.
    incidents: BTreeMap<u32, (u64, u64)>,
}

impl Kept {
    /// Looks at what is new; at all, where something else is wanted or the record is another.
    pub(super) fn catch_up(&mut self, wanted: &Wanted, model: &Model) {
        let total = model.record.total();
        if *self.sieve.wanted() != *wanted || total < self.upto {
            *self = Self { sieve: Sieve::new(wanted.clone()), ..Self::default() };
        }
        let fresh = fresh(&mut self.sieve, self.upto, ROWS_MAX, model);
        for entry in fresh {
            note(&mut self.incidents, &entry);
            self.rows.push_back(entry);
        }
        self.upto = total;
        while self.rows.len() > ROWS_MAX {
            self.rows.pop_front();
        }
        while self.incidents.len() > INCIDENTS_MAX {
            self.incidents.pop_first();
        }
    }

    /// What is shown of the model now.
    pub(super) fn rows(&self, model: &Model) -> Rows<'_> {
        let mut sieve = self.sieve.clone();
        let fresh = fresh(&mut sieve, self.upto, FRESH_MAX, model);
        let mut incidents = self.incidents.clone();
        fresh.iter().for_each(|entry| note(&mut incidents, entry));
        Rows { kept: &self.rows, fresh, incidents }
    }
}

fn note(incidents: &mut BTreeMap<u32, (u64, u64)>, entry: &Entry) {
    if let Some(id) = entry.incident {
        incidents.entry(id).or_insert((entry.no, entry.no)).1 = entry.no;
    }
}

/// What is wanted of the entries from `upto` on, the oldest first.
fn fresh(sieve: &mut Sieve, upto: u64, most: usize, model: &Model) -> Vec<Arc<Entry>> {
    let is_new = |entry: &&Arc<Entry>| entry.no >= upto;
    let mut found: Vec<&Arc<Entry>> = if sieve.needs_telemetry() {
        model.record.all().take_while(is_new).take(most).collect()
    } else {
        model.record.control().take_while(is_new).take(most).collect()
    };
    found.reverse();
    found.into_iter().filter(|entry| sieve.lets(entry)).cloned().collect()
}

/// The entries that are shown, the oldest first.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    kept: &'a VecDeque<Arc<Entry>>,
    fresh: Vec<Arc<Entry>>,
    incidents: BTreeMap<u32, (u64, u64)>,
}

impl Rows<'_> {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.kept.len() + self.fresh.len()
    }

    /// The one at this place.
    pub(super) fn get(&self, at: usize) -> Option<&Arc<Entry>> {
        self.kept.get(at).or_else(|| self.fresh.get(at.checked_sub(self.kept.len())?))
    }

    /// The first and the last entry of an incident.
    pub(super) fn ends(&self, incident: u32) -> Option<(u64, u64)> {
        self.incidents.get(&incident).copied()
    }

    /// The place of the entry of that number, or of the one before it where it is not shown.
    pub(super) fn place(&self, no: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).is_some_and(|entry| entry.no <= no) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (self.len() > 0).then(|| low.saturating_sub(1))
    }
}

/// Whether an entry would be among what is shown with nothing but this level.
pub(super) fn level_of(entry: &Entry) -> Level {
    if is_telemetry(entry) { Level::All } else { Level::Changes }
}
