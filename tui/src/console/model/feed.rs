//! What reaches the model, and how the console's own connections are.
//!
//! Made by the feeds' tasks or by the player of a recording; taken by `apply`.

use std::collections::BTreeMap;

use protocol::event::Event;
use protocol::reply::Role;
use serde::Deserialize;

use super::clock::{At, SourceClock};
use super::rate::Rate;
use crate::console::recording::{Record, What};

/// Where events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedName {
    /// The coordinator.
    Coordinator,
    /// The supervisor of this machine's processes.
    Supervisor,
}

impl FeedName {
    /// Its name for a person, and in recordings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Supervisor => "supervisor",
        }
    }
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FeedState {
    /// Nothing was tried yet, or there is nothing to connect to.
    #[default]
    Absent,
    /// It is being made.
    Connecting,
    /// There is one.
    Live,
    /// There is none any more, or none can be made: why.
    Lost(String),
}

/// One thing that reached the console.
#[derive(Debug, Clone)]
pub enum Fed {
    /// An event.
    Event(FeedName, Box<Event>),
    /// The connection is another.
    Link(FeedName, FeedState),
    /// What our token allows at the other end.
    Role(FeedName, Role),
    /// A recording has come to its end.
    Ended,
    /// So many events were left out by the console itself, which could not keep up.
    Dropped(FeedName, u64),
}

/// A feed, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// How its connection is.
    pub state: FeedState,
    /// What our token allows there; none: none was shown, and all is allowed.
    pub role: Option<Role>,
    /// Since when.
    pub since: At,
    /// Until when it was live last; none: it is, or never was.
    pub live_until: Option<At>,
    /// When the last event came.
    pub last: Option<At>,
    /// The number of the last event of this connection.
    pub seq: Option<u64>,
    /// The clock at its other end.
    pub clock: SourceClock,
    /// Events in all.
    pub events: u64,
    /// Events a second.
    pub rate: Rate,
    /// Events that were left out at the server, by topic, and by the console (`console`).
    pub dropped: BTreeMap<String, u64>,
}

impl Feed {
    /// Whether what is shown of it is as it is now.
    pub fn is_live(&self) -> bool {
        self.state == FeedState::Live
    }

    /// Events that were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped.values().copied().fold(0, u64::saturating_add)
    }

    pub(super) fn link(&mut self, state: &FeedState, now: At) {
        if self.state != *state {
            match (&self.state, state) {
                (_, FeedState::Live) => self.live_until = None,
                (FeedState::Live, _) => self.live_until = Some(now),
                _ => {}
            }
            self.state = state.clone();
            self.since = now;
        }
        if *state != FeedState::Live {
            self.seq = None;
            self.role = None;
            self.clock = SourceClock::default();
        }
    }

    /// Takes an event's number and stamp; when it happened, or none: it came before.
    pub(super) fn take(&mut self, event: &Event, is_first: bool, now: At) -> Option<At> {
        if !is_first && self.seq.is_some_and(|last| event.seq <= last) {
            return None;
        }
        self.seq = Some(event.seq);
        self.last = Some(now);
        self.events += 1;
        Some(self.clock.happened(event.at_us, now))
    }

    pub(super) fn tick(&mut self, now: At) {
        self.rate.count(now.us(), self.events);
    }

    pub(super) fn drop_more(&mut self, dropped: impl IntoIterator<Item = (String, u64)>) {
        for (topic, count) in dropped {
            let total = self.dropped.entry(topic).or_default();
            *total = total.saturating_add(count);
        }
    }
}

impl From<Record> for (At, Fed) {
    fn from(record: Record) -> Self {
        let name = record.feed;
        let fed = match record.what {
            What::Connected => Fed::Link(name, FeedState::Live),
            What::Lost(why) => Fed::Link(name, FeedState::Lost(why)),
            What::Event(event) => Fed::Event(name, event),
        };
        (At::after_us(record.at_us), fed)
    }
}
