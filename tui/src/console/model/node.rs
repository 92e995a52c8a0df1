//! What the console knows of one node: as the coordinator sees it, as it tells of itself, and how
//! its last heartbeats came.
//!
//! Changed by `apply` only; read by the views.

use std::collections::VecDeque;

use protocol::event::{
    Heartbeat, HeartbeatMissed, MemberRecovery, MemberState, NodeLoad, RecoveryPhase,
};
use protocol::status::{NodeFigures, NodeState, NodeStatus};

use super::clock::{At, Since};
use super::rate::Rate;

/// Heartbeats that a coordinator waits for before it suspects a node, and before it counts it out.
pub(super) const SUSPECT_INTERVALS: u64 = 3;
pub(super) const DOWN_INTERVALS: u64 = 2 * SUSPECT_INTERVALS;
/// Heartbeats that are kept for the strip.
pub const BEATS_MAX: usize = 120;

/// A heartbeat that comes sooner after another than this part of an interval is one of a burst.
const BURST_PART: u64 = 8;

/// One interval, as it was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Beat {
    /// A heartbeat came, so much later than it should, as a part of an interval.
    Came(f32),
    /// None came.
    Missed,
}

/// How a coordinator waits for nodes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waits {
    /// Milliseconds between heartbeats; 0: not known.
    pub(super) beat_ms: u64,
    /// When it began to wait for them.
    pub(super) began: Option<At>,
}

/// What place a node has on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Its own, as far as known.
    #[default]
    Own,
    /// It is learning what it shall hold.
    New,
    /// It gives it away.
    Leaving,
    /// Others have it.
    Evicted,
}

/// A node.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// As it was last told as a whole.
    pub status: Option<NodeStatus>,
    /// How it is seen, and what place it has, as one; none: never told.
    pub state: Option<NodeState>,
    /// How it was last seen, whatever its place.
    seen: Option<NodeState>,
    place: Place,
    /// Others had its place since it last had it as its own.
    lost_its_place: bool,
    /// Its supervisor says that it stands still.
    pub paused: bool,
    /// What its supervisor says of its end.
    pub hint: Option<String>,
    /// Why its state is what it is.
    pub reason: String,
    /// Since when.
    pub state_since: Since,
    /// Its start.
    pub incarnation: u64,
    /// Its last heartbeats, the newest last.
    pub beats: VecDeque<Beat>,
    /// When the last one came.
    pub heard: Option<At>,
    /// Missed in a row.
    pub missed: u64,
    /// Missed ones in the strip since the last one came.
    missed_shown: u64,
    /// What it told of itself last.
    pub figures: Option<NodeFigures>,
    /// Reads and writes a second, of its figures.
    pub reads_per_s: Rate,
    /// Writes likewise.
    pub writes_per_s: Rate,
    /// How far its return is, while it returns.
    pub recovery: Option<MemberRecovery>,
    /// What is on its way to it.
    pub load: NodeLoad,
    /// The last change of state, with what it meant for keys.
    pub last_change: Option<MemberState>,
}

/// Whether this tells of the end of one that has no place, or has none any more: nobody misses it.
pub(super) fn is_missed_by_nobody(change: &MemberState) -> bool {
    let had_none = matches!(change.from, NodeState::Joining | NodeState::Evicted);
    had_none && change.to == NodeState::Down && change.ring_share == 0.0
}

impl Node {
    /// Takes what a snapshot says of it.
    pub(super) fn snapshot(&mut self, status: &NodeStatus, waits: Waits, now: At) {
        self.paused = status.paused;
        self.hint.clone_from(&status.hint);
        self.incarnation = status.incarnation.0;
        if let Some(age_ms) = status.heartbeat_age_ms {
            self.heard = self.heard.max(Some(now.minus_ms(age_ms)));
        }
        let since = match status.state {
            NodeState::Suspect => self.silent_by(SUSPECT_INTERVALS, waits, now),
            NodeState::Down => self.silent_by(DOWN_INTERVALS, waits, now),
            _ => now,
        };
        self.take_state(status.state, Place::Own, Since::found(since));
        self.status = Some(status.clone());
    }

    /// Takes a heartbeat; before `listens` nobody could have heard one.
    pub(super) fn heartbeat(&mut self, beat: &Heartbeat, listens: At, now: At) {
        let interval_us = beat.figures.interval_ms.max(1).saturating_mul(1_000);
        let gap_us = self.heard.map_or(interval_us, |heard| now.us_since(heard));
        // That one was missed is not told of a node that nobody waits for.
        let silent_us = gap_us.min(now.us_since(listens));
        let missed = (silent_us / interval_us).saturating_sub(1).saturating_sub(self.missed_shown);
        (0..missed.min(BEATS_MAX as u64)).for_each(|_| self.push(Beat::Missed));
        let comes_after_one = matches!(self.beats.back(), Some(Beat::Came(_)));
        if comes_after_one && gap_us < interval_us / BURST_PART {
            // One that stood still sends what it owes at once: that is one moment still.
            self.beats.pop_back();
        }
        self.missed_shown = 0;
        self.push(Beat::Came((beat.delay_us as f64 / interval_us as f64) as f32));
        self.heard = self.heard.max(Some(now));
        self.missed = 0;
        // What its supervisor said of it is older than this.
        self.paused = false;
        self.incarnation = beat.incarnation.0;
        let at_us = beat.figures.uptime_ms.saturating_mul(1_000);
        self.reads_per_s.count(at_us, beat.figures.reads);
        self.writes_per_s.count(at_us, beat.figures.writes);
        self.figures = Some(beat.figures.clone());
    }

    pub(super) fn heartbeat_missed(&mut self, missed: &HeartbeatMissed) {
        self.push(Beat::Missed);
        self.missed_shown += 1;
        self.missed = missed.missed;
    }

    pub(super) fn member_state(&mut self, change: &MemberState, now: At) {
        // That one is heard again says nothing of its place.
        let has_its_own = matches!(change.from, NodeState::Joining | NodeState::Leaving);
        let place_if_up = if has_its_own { Place::Own } else { self.place };
        self.take_state(change.to, place_if_up, Since::at(now));
        self.paused = change.paused;
        self.hint.clone_from(&change.hint);
        self.reason.clone_from(&change.reason);
        if change.to == NodeState::Up {
            self.recovery = None;
            self.missed = 0;
        }
        self.last_change = Some(change.clone());
    }

    pub(super) fn member_recovery(&mut self, step: &MemberRecovery) {
        // Whoever is up has come to the end of it before.
        let is_over = step.phase == RecoveryPhase::Ready && self.seen == Some(NodeState::Up);
        self.recovery = (!is_over).then(|| step.clone());
    }

    /// It is seen so. A state that speaks of its place alone says that it is well otherwise, but
    /// for one that is gone.
    fn take_state(&mut self, state: NodeState, place_if_up: Place, since: Since) {
        (self.seen, self.place) = match state {
            NodeState::Joining => (Some(NodeState::Up), Place::New),
            NodeState::Leaving => (Some(NodeState::Up), Place::Leaving),
            NodeState::Evicted => (self.seen.or(Some(NodeState::Down)), Place::Evicted),
            NodeState::Up => (Some(NodeState::Up), place_if_up),
            seen => (Some(seen), self.place),
        };
        self.set_state(since);
    }

    /// It has another place on the ring.
    pub(super) fn take_place(&mut self, place: Place, now: At) {
        self.place = place;
        self.set_state(Since::at(now));
    }

    /// What place it has.
    pub fn place(&self) -> Place {
        self.place
    }

    fn set_state(&mut self, since: Since) {
        self.lost_its_place = match self.place {
            Place::Evicted => true,
            Place::Own => false,
            Place::New | Place::Leaving => self.lost_its_place,
        };
        let state = match (self.place, self.seen) {
            (Place::Evicted, _) => NodeState::Evicted,
            (Place::New, Some(NodeState::Up)) => NodeState::Joining,
            (Place::Leaving, Some(NodeState::Up)) => NodeState::Leaving,
            (_, Some(seen)) => seen,
            (Place::New, None) => NodeState::Joining,
            (_, None) => return,
        };
        if self.state != Some(state) {
            self.state = Some(state);
            self.state_since = since;
        }
    }

    fn push(&mut self, beat: Beat) {
        if self.beats.len() == BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back(beat);
    }

    /// When so many heartbeats had failed to come, if that is why it is not up: else it was not up
    /// before. Never later than `now`.
    pub(super) fn silent_by(&self, intervals: u64, waits: Waits, now: At) -> At {
        match self.heard.max(waits.began) {
            Some(heard) if waits.beat_ms > 0 => {
                now.min(heard.plus_ms(intervals.saturating_mul(waits.beat_ms)))
            }
            _ => now,
        }
    }

    /// Whether it is up and goes.
    pub fn is_well(&self) -> bool {
        self.state == Some(NodeState::Up) && !self.paused
    }

    /// Whether nothing is heard of it now, as far as known.
    pub fn is_silent(&self) -> bool {
        self.paused || self.seen == Some(NodeState::Down)
    }

    /// Whether it serves what it holds, whatever becomes of its place.
    pub fn is_there(&self) -> bool {
        self.seen == Some(NodeState::Up) && !self.paused && !self.is_evicted()
    }

    /// Whether others have its place, or had it until it began to learn anew.
    pub(super) fn had_lost_its_place(&self) -> bool {
        self.lost_its_place
    }

    /// Whether others have its place.
    pub fn is_evicted(&self) -> bool {
        self.place == Place::Evicted
    }

    /// When the coordinator did not count on it any more at the latest; none: it does.
    pub(super) fn gone_since(&self) -> Option<At> {
        let is_gone = matches!(self.seen, Some(NodeState::Suspect | NodeState::Down));
        is_gone.then(|| self.state_since.latest())
    }

    /// Whether it is missed where it should be: neither well, nor on its way in or out.
    pub fn is_away(&self) -> bool {
        let moves = [NodeState::Joining, NodeState::Leaving].map(Some).contains(&self.state);
        !self.is_evicted() && (self.paused || !self.is_well() && !moves)
    }

    /// Whether it has not counted its keys yet, after a start.
    pub fn is_counting(&self) -> bool {
        self.figures.as_ref().is_some_and(|figures| figures.counting)
    }

    /// Its state in one word for a person.
    pub fn word(&self) -> &'static str {
        match self.state {
            _ if self.paused && !self.is_evicted() => "PAUSED",
            _ => self.seen_word(),
        }
    }

    /// How the coordinator counts it, in one word, whether it stands still or not.
    pub fn seen_word(&self) -> &'static str {
        match self.state {
            Some(NodeState::Up) => "UP",
            Some(NodeState::Suspect) if self.recovery.is_some() => "BACK",
            Some(NodeState::Suspect) => "SUSPECT",
            Some(NodeState::Down) => "DOWN",
            Some(NodeState::Joining) => "JOINING",
            Some(NodeState::Leaving) => "LEAVING",
            Some(NodeState::Evicted) => "EVICTED",
            Some(NodeState::Other) | None => "?",
        }
    }

    /// Keys of which it is the first replica; none: not told, or not counted yet.
    pub fn keys_primary(&self) -> Option<u64> {
        let told = self.status.as_ref().and_then(|status| status.keys_primary);
        match &self.figures {
            Some(figures) => Some(figures.keys_primary).filter(|_| !figures.counting),
            None => told,
        }
    }

    /// Keys of which it is a further replica.
    pub fn keys_replica(&self) -> Option<u64> {
        let told = self.status.as_ref().and_then(|status| status.keys_replica);
        match &self.figures {
            Some(figures) => Some(figures.keys_replica).filter(|_| !figures.counting),
            None => told,
        }
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.of_this_start()?.pid
    }

    /// Where it serves; none: not told since it started.
    pub fn address(&self) -> Option<&str> {
        self.of_this_start()?.addr.as_deref()
    }

    /// What was told of it as a whole, if that was of the process that runs now.
    fn of_this_start(&self) -> Option<&NodeStatus> {
        self.status.as_ref().filter(|status| status.incarnation.0 == self.incarnation)
    }
}
