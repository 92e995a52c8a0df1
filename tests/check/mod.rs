//! Histories of operations, and what may be wrong with one.
//!
//! Used by the simulator and by the tests on real processes: both record a [`History`] of what
//! clients asked and were told, and hand it to the checkers here. Nothing here does I/O, reads a
//! clock or knows how an operation was carried out. In reading order:
//!
//! * this file: the vocabulary;
//! * `linear`: is there one order of the operations that explains every answer?
//! * `search`: the search for that order on one key;
//! * `durable`: is every acknowledged write still there at the end? (an independent, simpler rule)
//! * `seeded`: the random numbers of a seed;
//! * `wrong`: the checkers' own tests, on hand-made histories and against brute force.

pub(crate) mod durable;
pub(crate) mod linear;
mod search;
pub(crate) mod seeded;
mod wrong;

use std::fmt;
use std::sync::Arc;

/// Stands for one written value; every write of a history has a number of its own.
pub(crate) type ValueId = u64;

/// What a client asked, and with `Ok` what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A read; what it returned, `None` for "not there". Without meaning unless the outcome is ok.
    Get(Option<ValueId>),
    /// A blind write of this value.
    Put(ValueId),
    /// A deletion. `found: false` is the answer `not_found`, which is as good as a read. Without
    /// meaning unless the outcome is ok.
    Del {
        /// Whether the key was there.
        found: bool,
    },
    /// A write of this value where the key exists. Refused, it is as good as a read.
    Replace(ValueId),
    /// A write where the key holds `from`. Refused, it is as good as a read.
    Swap {
        /// What it must hold; `None`: it must not be there.
        from: Option<ValueId>,
        /// What it holds then; `None`: it is deleted.
        to: Option<ValueId>,
    },
}

impl Action {
    /// What the key holds once this has taken effect; `None` for what changes nothing.
    pub(crate) fn effect(self) -> Option<Option<ValueId>> {
        match self {
            Self::Get(_) => None,
            Self::Put(value) | Self::Replace(value) => Some(Some(value)),
            Self::Del { .. } => Some(None),
            Self::Swap { to, .. } => Some(to),
        }
    }
}

/// What the client knows about whether its operation took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did, between `invoke` and `complete`.
    Ok,
    /// It certainly did not and never will.
    Failed,
    /// It may have taken effect at any time since `invoke`, may still do so, or never.
    Unknown,
}

/// One operation of one client on one key.
#[derive(Debug, Clone)]
pub(crate) struct Op {
    /// The key; operations on different keys are checked apart.
    pub(crate) key: Arc<str>,
    /// Who asked; for explanations only.
    pub(crate) client: u32,
    /// What was asked and answered.
    pub(crate) action: Action,
    /// Whether it happened.
    pub(crate) outcome: Outcome,
    /// When it was sent; any monotonic unit, the same for the whole history.
    pub(crate) invoke: u64,
    /// When it was answered; without meaning for `Outcome::Unknown`.
    pub(crate) complete: u64,
}

/// What clients asked and were told, in any order.
pub(crate) type History = Vec<Op>;

impl Op {
    /// The last moment at which the operation may have taken effect.
    pub(crate) fn latest(&self) -> u64 {
        if self.outcome == Outcome::Unknown { u64::MAX } else { self.complete }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::Unknown => write!(f, "[{:>9} ..         ?]", self.invoke)?,
            _ => write!(f, "[{:>9} .. {:>9}]", self.invoke, self.complete)?,
        }
        write!(f, " client {:<3} ", self.client)?;
        let ok = self.outcome == Outcome::Ok;
        match self.action {
            Action::Put(value) => write!(f, "put {value}")?,
            Action::Get(Some(value)) if ok => write!(f, "get -> {value}")?,
            Action::Get(None) if ok => write!(f, "get -> not there")?,
            Action::Get(_) => write!(f, "get")?,
            Action::Del { found: true } if ok => write!(f, "del -> found")?,
            Action::Del { found: false } if ok => write!(f, "del -> not there")?,
            Action::Del { .. } => write!(f, "del")?,
            Action::Replace(value) => write!(f, "update {value}")?,
            Action::Swap { from, to } => write!(f, "cas {from:?} -> {to:?}")?,
        }
        match self.outcome {
            Outcome::Ok => Ok(()),
            Outcome::Failed => write!(f, " (refused)"),
            Outcome::Unknown => write!(f, " (outcome unknown)"),
        }
    }
}

/// Why a history cannot be right, for a person to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The key.
    pub(crate) key: Arc<str>,
    /// One sentence.
    pub(crate) sentence: String,
    /// What leads to it: operations, one a line.
    pub(crate) details: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?}: {}", self.key, self.sentence)?;
        for line in &self.details {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}
