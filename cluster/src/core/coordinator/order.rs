//! Program order: what one connection asks of a key takes effect in the order in which it asked.
//!
//! Updates of a key keep their order by its queue. Everything else is kept here: a read waits for
//! its connection's last update and last read of each of its keys, an update for the last read. A
//! request that ends before those that it waits for (its deadline, a refusal) hands them on to
//! those that wait for it. Called by `updates` and `reads`; never looks at what others ask.

use protocol::ids::Key;

use super::{Coordinator, Seq};

/// A request in the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Update(Seq),
    Read(u64),
}

/// A request's neighbours in its connection's order.
///
/// Invariant: `a` is in `b.before` if and only if `b` is in `a.after`.
#[derive(Debug, Default)]
pub(super) struct Turn {
    before: Vec<Place>,
    after: Vec<Place>,
}

impl Turn {
    /// Whether nothing is left that comes before it.
    pub(super) fn has_come(&self) -> bool {
        self.before.is_empty()
    }
}

impl Coordinator {
    /// Gives a request that is in none of its keys' queues yet its place in its connection's
    /// order. Returns whether it must wait.
    pub(super) fn take_turn(&mut self, me: Place, conn: u64, keys: &[Key]) -> bool {
        for key in keys {
            let read = self.last_own_read(conn, key).map(Place::Read);
            let update = match me {
                Place::Read(_) => self.last_own_update(conn, key, None).map(Place::Update),
                Place::Update(_) => None,
            };
            for before in read.into_iter().chain(update) {
                self.wait_for(me, before);
            }
        }
        self.turn_of(me).is_some_and(|turn| !turn.has_come())
    }

    /// A request has its answer: those that waited for it go on, behind what it waited for itself.
    /// To be called while it is still in its keys' queues.
    pub(super) fn end_turn(&mut self, me: Place, conn: Option<u64>, keys: &[Key]) {
        let Some(turn) = self.turn_of(me) else { return };
        let Turn { mut before, after } = std::mem::take(turn);
        for other in &before {
            if let Some(turn) = self.turn_of(*other) {
                turn.after.retain(|place| *place != me);
            }
        }
        if let (Place::Update(seq), Some(conn), false) = (me, conn, after.is_empty()) {
            let earlier = keys.iter().filter_map(|key| self.last_own_update(conn, key, Some(seq)));
            before.extend(earlier.map(Place::Update));
        }
        for other in after {
            if let Some(turn) = self.turn_of(other) {
                turn.before.retain(|place| *place != me);
            }
            for earlier in &before {
                let queued = matches!((earlier, other), (Place::Update(_), Place::Update(_)));
                if !queued && self.share_a_key(*earlier, other) {
                    self.wait_for(other, *earlier);
                }
            }
            if self.turn_of(other).is_some_and(|turn| turn.has_come()) {
                match other {
                    Place::Update(seq) => self.work.push_back(seq),
                    // Not from here: a chain of hits would go as deep as it is long.
                    Place::Read(read) => self.due_reads.push_back(read),
                }
            }
        }
    }

    fn wait_for(&mut self, me: Place, before: Place) {
        match self.turn_of(me) {
            Some(turn) if !turn.before.contains(&before) => turn.before.push(before),
            _ => return,
        }
        if let Some(turn) = self.turn_of(before) {
            turn.after.push(me);
        }
    }

    fn turn_of(&mut self, place: Place) -> Option<&mut Turn> {
        match place {
            Place::Update(seq) => self.txns.get_mut(&seq).map(|txn| &mut txn.turn),
            Place::Read(read) => self.reads.get_mut(&read).map(|read| &mut read.turn),
        }
    }

    fn has_key(&self, place: Place, key: &Key) -> bool {
        match place {
            Place::Update(seq) => self.txns.get(&seq).is_some_and(|txn| txn.keys.contains(key)),
            Place::Read(read) => self.reads.get(&read).is_some_and(|read| read.has_key(key)),
        }
    }

    /// Whether a connection has a request of the key here.
    pub(super) fn has_own(&self, conn: u64, key: &Key) -> bool {
        self.last_own_read(conn, key).is_some() || self.last_own_update(conn, key, None).is_some()
    }

    fn share_a_key(&self, a: Place, b: Place) -> bool {
        match a {
            Place::Update(seq) => {
                self.txns.get(&seq).is_some_and(|a| a.keys.iter().any(|key| self.has_key(b, key)))
            }
            Place::Read(read) => {
                self.reads.get(&read).is_some_and(|a| a.keys().any(|key| self.has_key(b, key)))
            }
        }
    }

    /// The connection's last update of the key, or the last one before another.
    fn last_own_update(&self, conn: u64, key: &Key, before: Option<Seq>) -> Option<Seq> {
        let own = |seq: &&Seq| {
            let client = self.txns.get(seq).and_then(|txn| txn.client);
            client.is_some_and(|client| client.conn == conn)
        };
        let earlier = |seq: &&Seq| before.is_none_or(|before| **seq < before);
        let queue = &self.keys.get(key)?.queue;
        queue.iter().rev().filter(earlier).find(own).copied()
    }

    fn last_own_read(&self, conn: u64, key: &Key) -> Option<u64> {
        let own = (Some(conn), 0)..=(Some(conn), u64::MAX);
        self.keys.get(key)?.reads.range(own).next_back().map(|(_, id)| *id)
    }
}
