//! What has come in, kept to be read again: changes for long, figures and samples for a while.
//!
//! Changed by `apply` only; read by the views Events and Overview, and exported. Entries are
//! shared, so that a frozen picture keeps what it shows without a copy.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::event::{Body, Class, Event};

use super::clock::At;
use super::feed::{FeedName, FeedState};

/// Changes that are kept.
pub const CONTROL_MAX: usize = 10_000;
/// Snapshots that are kept among them.
pub const SNAPSHOTS_MAX: usize = 100;
/// Figures and samples that are kept.
pub const TELEMETRY_MAX: usize = 10_000;

/// Something that came in.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Rises with each.
    pub no: u64,
    /// When it happened, as far as known: it may have come later.
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
    /// The numbers of the snapshots among the changes, the newest last.
    snapshots: VecDeque<u64>,
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
        let is_snapshot = matches!(&what, What::Event(event)
            if matches!(event.body, Body::Snapshot(_) | Body::ProcsSnapshot(_)));
        kept.push_back(Arc::new(Entry { no, at, feed, what, incident }));
        if is_snapshot {
            self.snapshots.push_back(no);
            self.forget_snapshot();
        }
        no
    }

    /// Of snapshots, which are large, only the newest are kept.
    fn forget_snapshot(&mut self) {
        if self.snapshots.len() <= SNAPSHOTS_MAX {
            return;
        }
        let oldest = self.snapshots.pop_front();
        let place = self.control.binary_search_by_key(&oldest, |entry| Some(entry.no));
        if let Ok(place) = place {
            self.control.remove(place);
        }
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
