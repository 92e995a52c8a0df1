//! Places for client connections: so many for everybody, and a few more for those who look after
//! the cluster when all of the others are taken.
//!
//! Taken by `listener`, held by `connection`. Counts, and nothing else.

use std::sync::Arc;

use protocol::limits::Limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time that are told that there is no place.
const TURNED_AWAY_MAX: usize = 64;

/// All places of the client port.
pub(super) struct Places {
    common: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

/// The place of one connection, free again when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Where a common place may be found, for who has none.
    common: Option<Arc<Semaphore>>,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            common: Arc::new(Semaphore::new(limits.connections)),
            reserve: Arc::new(Semaphore::new(limits.connections_reserved)),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY_MAX)),
        }
    }

    /// How many connections can be open at a time.
    pub(super) fn most(limits: &Limits) -> usize {
        limits.connections + limits.connections_reserved + TURNED_AWAY_MAX
    }

    /// A place, if there is one.
    pub(super) fn take(&self) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.common).try_acquire_owned() {
            return Some(Place { _permit: permit, common: None });
        }
        let permit = Arc::clone(&self.reserve).try_acquire_owned().ok()?;
        Some(Place { _permit: permit, common: Some(Arc::clone(&self.common)) })
    }

    /// A place to be told that there is none.
    pub(super) fn turn_away(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turned_away).try_acquire_owned().ok()
    }
}

impl Place {
    /// Whether it is a common place; one of the reserve becomes one when there is one again.
    pub(super) fn is_common(&mut self) -> bool {
        let Some(common) = &self.common else { return true };
        let Ok(permit) = Arc::clone(common).try_acquire_owned() else { return false };
        *self = Self { _permit: permit, common: None };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_place_becomes_a_common_one_when_there_is_one() {
        let limits = Limits { connections: 2, connections_reserved: 1, ..Limits::default() };
        let places = Places::new(&limits);
        let mut first = places.take().unwrap();
        let _second = places.take().unwrap();
        let mut third = places.take().unwrap();
        assert!(places.take().is_none());
        assert!(first.is_common() && !third.is_common());
        drop(first);
        assert!(third.is_common());
        let mut fourth = places.take().expect("the reserve is free again");
        assert!(!fourth.is_common() && places.take().is_none());
    }
}
