//! What all clients together may make the coordinator hold: long lines that have begun, long
//! replies and lines of watches that nobody has taken yet.
//!
//! Each connection has bounds of its own (`slots`, the `Framer`'s); this is the one that thousands
//! of them cannot pass together. Connections ask it for lines, and wait; the loop asks it for
//! replies of the core, and refuses the read, and for lines of watches, and ends the watch. What is
//! short is not counted: who sends little, and takes what it gets, never meets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A reply of so many bytes is not counted: the many places of a connection bound those.
pub(super) const FREE_REPLY_BYTES: usize = 256;
/// A line of which so many bytes have come is not counted: the connections bound those.
pub(super) const FREE_LINE_BYTES: usize = 64 << 10;

/// So many bytes, and those that are held.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    held: AtomicUsize,
}

/// Bytes that are held, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, held: AtomicUsize::new(0) })
    }

    /// A share of so many `bytes`, if there are so many.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let with = |held: usize| held.checked_add(bytes).filter(|all| *all <= self.bytes_max);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).ok()?;
        Some(Share { of: Arc::clone(self), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_while_there_are_bytes_and_come_back() {
        let budget = Budget::new(100);
        let first = budget.take(60).unwrap();
        assert!(budget.take(41).is_none() && budget.take(usize::MAX).is_none());
        let second = budget.take(40).unwrap();
        assert!(budget.take(1).is_none());
        drop(first);
        assert!(budget.take(61).is_none());
        drop((budget.take(60).unwrap(), second));
        assert!(budget.take(100).is_some());
    }
}
