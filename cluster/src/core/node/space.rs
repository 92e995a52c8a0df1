//! Room in the log: what is promised fits, also when the disk is full (R14, H57).
//!
//! The log says how much it takes for sure ([`Room`]), behind every group and whenever that
//! changes. A prepare is taken in only while there is room for it, for one decision of each
//! undecided transaction, and for a reserve besides: for refusals, for aborts of what is not
//! prepared here, and for what is carried forward. Where there is not, it waits while the log
//! gets more, or is refused if the disk has none. Called by `core::node` only; asks no disk.
//!
//! All is counted double: a group that does not fit into what is left of a segment goes into the
//! next one, and what it leaves unused is less than itself.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::ids::MemberId;
use protocol::peer::Prepare;

use super::super::planted::{Bug, planted};
use super::super::record::{
    LogRecord, Prepared, Room, decision_bytes_max, group_bytes_max, prepare_bytes_max,
};
use super::super::time::Time;
use super::{CHECKING_MAX, Effect, NodeCore};

/// Room that prepares leave, beyond what decisions need, unless configured.
pub const RESERVE_BYTES: u64 = 4 << 20;

/// What is known of the log's room, and what it is needed for.
///
/// Invariant, asserted when a prepare is taken in: `in_flight`, the open group and `kept` fit into
/// the room together.
#[derive(Debug)]
pub(super) struct Space {
    room: Room,
    reserve_bytes: u64,
    /// What the groups on their way may take.
    in_flight: u64,
    /// Bytes of the records of the open group.
    open: u64,
    /// What the decisions of all undecided transactions may take, each in a group of its own.
    kept: u64,
    /// No prepare is taken in.
    short: bool,
    /// Room that the log was asked for, and does not have yet.
    wanted: u64,
    /// Prepares that wait for the log to get more room.
    waiting: VecDeque<Arc<Prepare>>,
    /// There are marks that were not logged for want of room.
    marks_owed: bool,
}

/// What becomes of a prepare.
pub(super) enum Taken {
    Now,
    Later,
    Never,
}

/// What a group with records of so many bytes may take.
fn twice(body_bytes: u64) -> u64 {
    2 * group_bytes_max(body_bytes)
}

impl Space {
    pub(super) fn new(reserve_bytes: u64) -> Self {
        Self {
            room: Room::ENDLESS,
            reserve_bytes,
            in_flight: 0,
            open: 0,
            kept: 0,
            short: false,
            wanted: 0,
            waiting: VecDeque::new(),
            marks_owed: false,
        }
    }

    pub(super) fn set_reserve(&mut self, bytes: u64) {
        self.reserve_bytes = bytes;
    }

    /// A record goes into the open group.
    pub(super) fn add(&mut self, bytes: u64) {
        self.open += bytes;
    }

    /// The open group is on its way: what it may take, to be given back when it is there.
    pub(super) fn close(&mut self) -> u64 {
        let taken = twice(std::mem::take(&mut self.open));
        self.in_flight += taken;
        taken
    }

    /// A group is durable; the room that was last told is without it.
    pub(super) fn synced(&mut self, taken: u64) {
        self.in_flight -= taken;
    }

    /// A transaction with so many participants is undecided.
    pub(super) fn keep(&mut self, participants: usize) {
        self.kept += twice(decision_bytes_max(participants));
    }

    /// Its decision is about to be recorded.
    pub(super) fn release(&mut self, participants: usize) {
        self.kept -= twice(decision_bytes_max(participants));
    }

    /// What all that is promised may take.
    fn promised(&self) -> u64 {
        let open = if self.open > 0 { twice(self.open) } else { 0 };
        self.in_flight + open + self.kept
    }

    /// Room that nothing needs, the reserve included.
    fn free(&self) -> u64 {
        self.room.bytes.saturating_sub(self.promised())
    }

    /// Whether a prepare can be taken in, as a record of so many bytes.
    pub(super) fn takes(&self, bytes: u64, participants: usize) -> Taken {
        if planted(Bug::ReserveUsed) {
            return Taken::Now;
        }
        let needed = self.needed(bytes, participants);
        let fits = needed <= self.room.bytes && group_bytes_max(bytes) <= self.room.group_max;
        match (fits, self.room.full) {
            _ if self.short => Taken::Never,
            (true, _) => Taken::Now,
            (false, true) => Taken::Never,
            // A longer one gets a segment of its own.
            (false, false) if group_bytes_max(bytes) > self.room.group_max => Taken::Now,
            (false, false) => Taken::Later,
        }
    }

    /// The room in which a prepare can be taken in, as a record of so many bytes.
    fn needed(&self, bytes: u64, participants: usize) -> u64 {
        let own = twice(bytes) + twice(decision_bytes_max(participants));
        self.promised() + own + self.reserve_bytes
    }

    /// Whether a record of so many bytes would make the open group longer than a segment.
    pub(super) fn overflows(&self, bytes: u64) -> bool {
        self.open > 0 && group_bytes_max(self.open + bytes) > self.room.group_max
    }

    /// Whether so many bytes more may be carried forward: with no more space in sight, only while
    /// at least as much is left for other things.
    pub(super) fn carries(&self, bytes: u64) -> bool {
        !self.room.full || 2 * twice(bytes) <= self.free()
    }

    /// Bytes logged after which a checkpoint is due at the latest: it may free segments.
    pub(super) fn checkpoint_bytes_max(&self) -> u64 {
        if self.room.full { self.reserve_bytes } else { u64::MAX }
    }

    fn assert_promises(&self) {
        let longer = group_bytes_max(self.open) > self.room.group_max;
        let holds = self.promised() <= self.room.bytes || longer;
        assert!(holds || planted(Bug::ReserveUsed), "more is promised than fits: {self:?}");
    }
}

/// How long a prepare's record is at most, and how many participants it names.
fn prepare_size(prepare: &Prepare) -> (u64, usize) {
    let write = |w: &protocol::peer::WireWrite| {
        let holders = 2 + 2 * w.holders.len();
        w.key.as_bytes().len() + w.value.as_ref().map_or(0, |value| value.0.len()) + holders
    };
    let (participants, rests_on) = (prepare.participants.len(), prepare.rests_on.len());
    let bytes = prepare_bytes_max(participants, rests_on, prepare.writes.iter().map(write));
    (bytes, participants)
}

impl NodeCore {
    /// Whether updates are refused for want of space.
    pub fn is_short_of_space(&self) -> bool {
        self.space.short
    }

    /// The log has news of its room.
    pub(super) fn on_room(&mut self, now: Time, room: Room) {
        self.space.room = room;
        if room.full || room.bytes >= self.space.wanted {
            self.space.wanted = 0;
        }
        self.look_at_space(now);
    }

    /// Begins or ends the refusing of prepares. Between the two lies half a reserve: what a few
    /// decisions free does not end it.
    pub(super) fn look_at_space(&mut self, now: Time) {
        let space = &mut self.space;
        let enough = space.reserve_bytes + if space.short { space.reserve_bytes / 2 } else { 0 };
        let short = space.room.full && space.free() < enough || self.checkpoints.are_overdue();
        space.short = short && !planted(Bug::ReserveUsed);
        if !space.room.full && std::mem::take(&mut space.marks_owed) {
            self.log_marks(now);
        }
    }

    fn log_marks(&mut self, now: Time) {
        let marks: Vec<(MemberId, _)> = self.marks.iter().map(|(m, seq)| (*m, *seq)).collect();
        self.record(now, LogRecord::Marks(marks), false);
    }

    /// Whether what can wait is not to be logged now; it is with the next checkpoint. Marks are
    /// logged as soon as there is space, so that a loss is found out (R7).
    pub(super) fn saves_space(&mut self, marks: bool) -> bool {
        self.space.marks_owed |= marks && self.space.room.full;
        self.space.room.full
    }

    /// A prepare waits until the log has more room, or none.
    pub(super) fn wait_for_room(&mut self, now: Time, prepare: Arc<Prepare>) {
        if self.space.waiting.len() >= CHECKING_MAX {
            self.refuse(now, &prepare, "out of bounds");
            return;
        }
        if self.space.waiting.is_empty() {
            self.want_room(&prepare);
        }
        self.space.waiting.push_back(prepare);
    }

    /// Asks the log for the room that a prepare waits for. What is undecided elsewhere may wait for
    /// this node's vote, so that no decision gives room here: to wait for those would be to wait
    /// for ever.
    fn want_room(&mut self, prepare: &Prepare) {
        let (bytes, participants) = prepare_size(prepare);
        let needed = self.space.needed(bytes, participants);
        if needed > self.space.wanted && !planted(Bug::RoomNotAsked) {
            self.space.wanted = needed;
            self.effects.push(Effect::WantRoom { bytes: needed });
        }
    }

    /// Whether prepares wait for room: those that come now wait behind them.
    pub(super) fn is_cramped(&self) -> bool {
        !self.space.waiting.is_empty()
    }

    /// Goes on with the prepares that wait, in their order, as far as there is room.
    pub(super) fn resume(&mut self, now: Time) {
        while let Some(prepare) = self.space.waiting.pop_front() {
            if let Taken::Later = self.room_for(&prepare) {
                self.want_room(&prepare);
                self.space.waiting.push_front(prepare);
                return;
            }
            self.examine(now, prepare);
        }
    }

    /// Whether a prepare can be taken in.
    pub(super) fn room_for(&self, prepare: &Prepare) -> Taken {
        let (bytes, participants) = prepare_size(prepare);
        self.space.takes(bytes, participants)
    }

    /// Begins another group if a prepare would make the open one longer than a segment.
    pub(super) fn make_room_in_group(&mut self, prepared: &Prepared) {
        if self.space.overflows(prepared.bytes_max()) {
            self.close_group();
        }
    }

    /// A prepare was taken in: all that is promised must fit.
    pub(super) fn assert_room(&self) {
        self.space.assert_promises();
    }

    /// Takes those out that need not wait for room any more; whether there were any.
    pub(super) fn drop_waiting(&mut self, done: impl Fn(&Prepare) -> bool) -> bool {
        let before = self.space.waiting.len();
        self.space.waiting.retain(|prepare| !done(prepare));
        self.space.waiting.len() < before
    }
}
