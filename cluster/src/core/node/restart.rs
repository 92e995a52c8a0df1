//! From a log back to a node's state: records are replayed in order, decided writes that the
//! keystore may lack are handed out again.
//!
//! Called by `shell::node` and the simulator before anything listens (R9, H34).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use protocol::ids::{GroupSeq, MemberId, Version};
use protocol::peer::{Settled, TxnState};

use super::super::cache::Cache;
use super::super::record::{Committed, LogRecord};
use super::super::time::Time;
use super::space::{RESERVE_BYTES, Space};
use super::{Effect, Meta, NodeCore, checkpoint, forget};

/// A node on its way up: feed it [`Restart::replay`], then take the node with
/// [`Restart::finish`].
#[derive(Debug)]
pub struct Restart {
    node: NodeCore,
    /// Decisions in groups through this one are in the keystore already.
    through: GroupSeq,
}

impl Restart {
    /// Begins: `meta` as saved for this start, `through` as the keystore says,
    /// `checkpoint_bytes` as in [`super::CHECKPOINT_BYTES`]. `cache` is empty: the keystore is
    /// filled past it until the node is finished.
    pub fn new(meta: Meta, through: GroupSeq, checkpoint_bytes: u64, cache: Arc<Cache>) -> Self {
        let mut node = NodeCore {
            meta,
            me: None,
            ring: None,
            metas_saved: 0,
            metas_sent: 0,
            session: None,
            sessions: 0,
            txns: BTreeMap::new(),
            pins: BTreeMap::new(),
            late_pins: BTreeMap::new(),
            undecided: BTreeMap::new(),
            checking: BTreeMap::new(),
            behind: BTreeMap::new(),
            settled: forget::Forgotten::default(),
            marks: BTreeMap::new(),
            next: GroupSeq(1),
            synced: GroupSeq(0),
            in_flight: VecDeque::new(),
            buffer: Vec::new(),
            buffer_yes: Vec::new(),
            buffer_no: Vec::new(),
            buffer_since: None,
            sync_wanted: false,
            unapplied: Vec::new(),
            unapplied_bytes: 0,
            unapplied_since: None,
            cache,
            checkpoints: checkpoint::Pace::new(checkpoint_bytes),
            sweep: super::sweep::Sweep::new(checkpoint_bytes),
            checkpoint: checkpoint::State::Idle,
            found_whole: false,
            learning: super::copying::Learning::default(),
            checkpointed: through,
            space: Space::new(RESERVE_BYTES),
            timing: super::timing::Timing::default(),
            followed: Default::default(),
            effects: Vec::new(),
        };
        node.take_ring();
        Self { node, through }
    }

    /// Prepares leave so much room in the log instead of [`RESERVE_BYTES`].
    pub fn reserve(&mut self, bytes: u64) {
        self.node.space.set_reserve(bytes);
    }

    /// Takes in one record of group `seq`; adds to `apply` the writes that it proves decided.
    pub fn replay(&mut self, seq: GroupSeq, record: LogRecord, apply: &mut Vec<Committed>) {
        let node = &mut self.node;
        node.next = seq;
        node.checkpoints.logged(super::record_bytes(&record));
        match record {
            LogRecord::Prepare(prepared) => {
                if node.txns.contains_key(&prepared.id) {
                    // Carried forward: it rests on this record now.
                    node.repin(prepared.id, seq);
                    return;
                }
                if node.is_settled(prepared.id) {
                    return;
                }
                let (id, participants) = (prepared.id, prepared.participants.clone());
                for write in &prepared.writes {
                    node.undecided.entry(write.key.clone()).or_default().insert(id);
                }
                let txn = node.remember(Time::default(), id, TxnState::Prepared, &participants);
                txn.prepared = Some(prepared);
                node.space.keep(participants.len());
            }
            LogRecord::Refuse { id, participants } => {
                self.closed(id, &participants, TxnState::Refused);
            }
            LogRecord::Abort { id, participants } => {
                self.closed(id, &participants, TxnState::Aborted);
            }
            LogRecord::Commit { id } => self.committed(seq, id, apply),
            LogRecord::Committed { id, participants } => {
                self.committed(seq, id, apply);
                self.closed(id, &participants, TxnState::Committed);
            }
            LogRecord::Settled { from, below, except } => {
                node.forget(Settled { from, below, except });
            }
            LogRecord::Marks(marks) => self.marks(marks),
        }
    }

    fn committed(&mut self, seq: GroupSeq, id: Version, apply: &mut Vec<Committed>) {
        let node = &mut self.node;
        // Its prepare is gone only when it is in a checkpoint, and settled or carried forward.
        let undecided = node.txns.get(&id).is_some_and(|txn| txn.state == TxnState::Prepared);
        if undecided && let Some(prepared) = node.decide(id, TxnState::Committed) {
            if seq > self.through {
                apply.extend(node.committed(&prepared));
            }
            // Only what was adopted has both records in one group.
            if let Some(txn) = node.txns.get_mut(&id).filter(|txn| txn.group == seq) {
                txn.prepared = Some(prepared);
            }
        }
    }

    fn marks(&mut self, marks: Vec<(MemberId, GroupSeq)>) {
        for (member, seq) in marks {
            let mark = self.node.marks.entry(member).or_default();
            *mark = (*mark).max(seq);
        }
    }

    /// It is decided, without writes to apply, or was carried forward as decided.
    fn closed(&mut self, id: Version, participants: &[MemberId], state: TxnState) {
        let (node, through) = (&mut self.node, self.through);
        match node.txns.get(&id).map(|txn| txn.state) {
            Some(TxnState::Prepared) => {
                node.decide(id, state);
            }
            None if !node.is_settled(id) => {
                let next = node.next;
                let txn = node.remember(Time::default(), id, state, participants);
                if state == TxnState::Committed {
                    txn.decided = through.min(next);
                }
            }
            Some(known) if known == state => node.repin(id, node.next),
            Some(TxnState::Refused) => node.set_state(id, state),
            _ => {}
        }
    }

    /// An invalid tail was cut off the log while this epoch was promised (R7).
    pub fn cut(&mut self, through: protocol::ids::Epoch) {
        self.node.meta.cut_through = through;
    }

    /// Ends: the log's last group is `end`.
    pub fn finish(mut self, now: Time, end: GroupSeq) -> (NodeCore, Vec<Effect>) {
        self.node.next = end.next();
        self.node.synced = end;
        self.node.drop_void();
        for txn in self.node.txns.values_mut() {
            txn.since = now;
        }
        let effects = std::mem::take(&mut self.node.effects);
        (self.node, effects)
    }
}
