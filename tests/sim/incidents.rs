//! What has gone wrong in a run, one by one, and which of it is let happen.
//!
//! Everything that a plan may do to a cluster is an incident with a number among those of its
//! kind. A run can be told to keep only some: the others are counted, so that numbers stay, but do
//! not strike. Together with events that draw from numbers of their own (see `world`), a run
//! without an incident is the same up to that moment. Never decides whether something is to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::plan::{ALL_FAULTS, Fault};

/// One thing that goes wrong: what, and which one of its kind, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incident {
    pub(crate) fault: Fault,
    pub(crate) number: u32,
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.fault, self.number)
    }
}

impl FromStr for Incident {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once('.').ok_or(format!("{text:?} is not NAME.NUMBER"))?;
        let fault = ALL_FAULTS.into_iter().find(|fault| format!("{fault:?}") == name);
        let fault = fault.ok_or(format!("{name:?} is no fault; there are {ALL_FAULTS:?}"))?;
        let number = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
        Ok(Self { fault, number })
    }
}

/// Which incidents of a run may strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    All,
    Only(BTreeSet<Incident>),
}

impl Kept {
    /// From a list with commas; an empty one keeps nothing.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let names = list.split(',').filter(|name| !name.is_empty());
        names.map(str::parse).collect::<Result<_, _>>().map(Self::Only)
    }
}

/// The list that [`Kept::parse`] reads.
pub(crate) fn list(kept: &BTreeSet<Incident>) -> String {
    kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The incidents of one run.
#[derive(Debug)]
pub(crate) struct Incidents {
    kept: Kept,
    counts: BTreeMap<Fault, u32>,
    /// What has struck, and when in virtual microseconds.
    pub(crate) struck: Vec<(u64, Incident)>,
}

impl Incidents {
    pub(crate) fn new(kept: Kept) -> Self {
        Self { kept, counts: BTreeMap::new(), struck: Vec::new() }
    }

    /// The next incident of this kind is due: whether it strikes.
    pub(crate) fn strikes(&mut self, now: u64, fault: Fault) -> bool {
        let count = self.counts.entry(fault).or_default();
        let incident = Incident { fault, number: *count };
        *count += 1;
        let strikes = match &self.kept {
            Kept::All => true,
            Kept::Only(kept) => kept.contains(&incident),
        };
        if strikes {
            self.struck.push((now, incident));
        }
        strikes
    }
}
