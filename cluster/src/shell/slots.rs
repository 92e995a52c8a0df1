//! The requests of one connection whose replies are not written yet, in their order.
//!
//! Owned by `connection`. A reply waits here for those before it; what waits is bounded in number
//! and bytes, requests and replies together: past the bound the connection reads no further.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use protocol::error::ErrorCode;
use protocol::limits::Limits;

use super::budget::Share;
use super::ops::KeyHashes;

/// What became of a request.
pub(super) type Outcome = (Option<ErrorCode>, Bytes);

/// A request whose reply is not written yet.
struct Slot {
    id: Option<Box<str>>,
    op: usize,
    /// Its keys, while the core has the request.
    keys: KeyHashes,
    /// What it counts for: of the request, and of the reply once that is there.
    bytes: usize,
    reply: Option<Outcome>,
    /// What the reply holds of the budget of all clients.
    share: Option<Share>,
}

/// A request whose reply can be written.
pub(super) struct Answered {
    pub(super) id: Option<Box<str>>,
    /// Where it is counted.
    pub(super) op: usize,
    pub(super) reply: Outcome,
}

/// All of them.
///
/// Invariants: `bytes` is the sum of the slots'; `in_core` counts the keys of the slots.
#[derive(Default)]
pub(super) struct Slots {
    slots: VecDeque<Slot>,
    first: u64,
    bytes: usize,
    /// Requests in the core by key hash.
    in_core: HashMap<u64, u32>,
}

impl Slots {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of the oldest; those before it are answered, and their replies written.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Whether another request may come.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        let has_bytes = self.bytes == 0 || self.bytes < limits.in_flight_bytes;
        self.slots.len() < limits.in_flight_requests && has_bytes
    }

    /// Whether the core has a request of this key.
    pub(super) fn is_in_core(&self, key: u64) -> bool {
        !self.in_core.is_empty() && self.in_core.contains_key(&key)
    }

    /// A place for the reply to a request of so many `bytes`; its number.
    pub(super) fn take(
        &mut self,
        id: Option<&str>,
        op: usize,
        keys: KeyHashes,
        bytes: usize,
    ) -> u64 {
        for key in keys.as_slice() {
            *self.in_core.entry(*key).or_default() += 1;
        }
        let number = self.first + self.slots.len() as u64;
        self.bytes += bytes;
        self.slots.push_back(Slot {
            id: id.map(Into::into),
            op,
            keys,
            bytes,
            reply: None,
            share: None,
        });
        number
    }

    /// A request that is answered already, behind those that are not.
    pub(super) fn push(&mut self, id: Option<&str>, op: usize, reply: Outcome) {
        let (id, bytes) = (id.map(Into::into), reply.1.len());
        self.bytes += bytes;
        let slot = Slot { id, op, keys: KeyHashes::None, bytes, reply: Some(reply), share: None };
        self.slots.push_back(slot);
    }

    /// The reply to the request in the place `number`.
    pub(super) fn settle(&mut self, number: u64, reply: Outcome, share: Option<Share>) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let Some(slot) = place.and_then(|place| self.slots.get_mut(place)) else { return };
        self.bytes += reply.1.len();
        slot.bytes += reply.1.len();
        slot.reply = Some(reply);
        slot.share = share;
        for key in std::mem::replace(&mut slot.keys, KeyHashes::None).as_slice() {
            let Some(count) = self.in_core.get_mut(key) else { continue };
            *count -= 1;
            if *count == 0 {
                self.in_core.remove(key);
            }
        }
    }

    /// The oldest, if it is answered.
    pub(super) fn next_answered(&mut self) -> Option<Answered> {
        self.slots.front()?.reply.as_ref()?;
        let slot = self.slots.pop_front()?;
        self.first += 1;
        self.bytes -= slot.bytes;
        Some(Answered { id: slot.id, op: slot.op, reply: slot.reply? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: usize) -> Outcome {
        (None, vec![b'x'; bytes].into())
    }

    #[test]
    fn replies_that_wait_count_until_they_are_written() {
        let limits = Limits { in_flight_requests: 4, in_flight_bytes: 100, ..Limits::default() };
        let mut slots = Slots::default();
        let first = slots.take(None, 0, KeyHashes::None, 10);
        let second = slots.take(None, 0, KeyHashes::None, 10);
        assert!(slots.has_room(&limits));
        slots.settle(second, reply(70), None);
        assert!(slots.has_room(&limits) && slots.next_answered().is_none());
        slots.push(None, 0, reply(10));
        assert!(!slots.has_room(&limits), "20 bytes of requests and 80 of replies");
        slots.settle(first, reply(1), None);
        let mut written = 0;
        while let Some(answered) = slots.next_answered() {
            written += answered.reply.1.len();
        }
        assert_eq!((written, slots.bytes, slots.first()), (81, 0, 3));
        // One that is larger than all that is allowed goes alone.
        slots.take(None, 0, KeyHashes::None, 1_000);
        assert!(!slots.has_room(&limits));
        slots.settle(3, reply(0), None);
        assert!(slots.next_answered().is_some() && slots.has_room(&limits));
    }

    #[test]
    fn so_many_requests_wait_and_no_more() {
        let limits = Limits { in_flight_requests: 2, ..Limits::default() };
        let mut slots = Slots::default();
        slots.take(None, 0, KeyHashes::One(7), 1);
        assert!(slots.has_room(&limits) && slots.is_in_core(7) && !slots.is_in_core(8));
        slots.take(None, 0, KeyHashes::One(7), 1);
        assert!(!slots.has_room(&limits));
        slots.settle(0, reply(1), None);
        assert!(slots.is_in_core(7), "one of two is");
        slots.settle(1, reply(1), None);
        slots.settle(9, reply(1), None);
        assert!(!slots.is_in_core(7));
    }
}
