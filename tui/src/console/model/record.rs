//! What has come in, kept to be read again: changes for long, figures and samples for a while.
//!
//! Changed by `apply` only; read by the views Events and Overview, and exported. Entries are
//! shared, so that a frozen picture keeps what it shows without a copy.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::event::{Class, Event};

use super::clock::At;
use super::feed::{FeedName, FeedState};

/// Changes that are kept.
pub const CONTROL_MAX: usize = 10_000;
/// Figures and samples that are kept.
pub const TELEMETRY_MAX: usize = 10_000;

/// Something that came in.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Rises with each.
    pub no: u64,
    /// When it came.
    pub at: At,
    /// From where.
    pub feed: FeedName,
    /// What.
    pub what: What,
    /// The incident that it is part of.
    pub incident: Option<u32>,
}

/// What came in.
#[derive(Debug, Clone)]
pub enum What {
    /// An event.
    Event(Box<Event>),
    /// The console's own connection is another.
    Link(FeedState),
}

/// All that is kept.
#[derive(Debug, Clone, Default)]
pub struct Record {
    control: VecDeque<Arc<Entry>>,
    telemetry: VecDeque<Arc<Entry>>,
    next: u64,
}

impl Record {
    pub(super) fn push(
        &mut self,
        at: At,
        feed: FeedName,
        what: What,
        incident: Option<u32>,
    ) -> u64 {
        let no = self.next;
        self.next += 1;
        let is_telemetry =
            matches!(&what, What::Event(event) if event.body.class() == Class::Telemetry);
        let (kept, most) = if is_telemetry {
            (&mut self.telemetry, TELEMETRY_MAX)
        } else {
            (&mut self.control, CONTROL_MAX)
        };
        if kept.len() == most {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Entry { no, at, feed, what, incident }));
        no
    }

    /// How many have come in all.
    pub fn total(&self) -> u64 {
        self.next
    }

    /// Changes, the newest first.
    pub fn control(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.control.iter().rev()
    }

    /// Everything that is kept, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let mut control = self.control.iter().rev().peekable();
        let mut telemetry = self.telemetry.iter().rev().peekable();
        std::iter::from_fn(move || match (control.peek(), telemetry.peek()) {
            (Some(a), Some(b)) if a.no > b.no => control.next(),
            (Some(_), None) => control.next(),
            _ => telemetry.next(),
        })
    }
}
