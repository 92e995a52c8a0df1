//! How long votes take here: told with them while the coordinator asks, and measured only then.

use protocol::peer::Timed;

use super::super::time::Time;
use super::NodeCore;
use super::session::Pending;

/// What is measured of the present groups.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// When the first prepare of the open group came.
    since: Option<Time>,
    /// Of the group that is told next to be durable: to write and to sync it.
    took: Option<(u64, u64)>,
}

impl Timing {
    /// The open group is closed: when its first prepare came.
    pub(super) fn close(&mut self) -> Option<Time> {
        self.since.take()
    }

    pub(super) fn took(&mut self, append_us: u64, sync_us: u64) {
        self.took = Some((append_us, sync_us));
    }

    /// The times of a group that is durable now: waiting, writing, syncing.
    pub(super) fn of_group(&mut self, now: Time, since: Option<Time>) -> Option<[u64; 3]> {
        let took = self.took.take();
        let all = now.since_us(since?);
        let (append, sync) = took.unwrap_or_default();
        Some([all.saturating_sub(append + sync), append, sync])
    }
}

impl NodeCore {
    /// Whether [`super::Input::Took`] is wanted.
    pub fn is_timed(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.timed)
    }

    /// A batch has come: its times are wanted, or not.
    pub(super) fn time_votes(&mut self, now: Time, wanted: bool, prepares: bool) {
        if let Some(session) = self.session.as_mut().filter(|_| prepares) {
            session.timed = wanted;
            if wanted {
                self.timing.since.get_or_insert(now);
            }
        }
    }
}

impl Pending {
    /// The next so many yes votes took so long.
    pub(super) fn tell_times(&mut self, took: Option<[u64; 3]>, votes: usize) {
        if let Some([queue_us, append_us, sync_us]) = took.filter(|_| votes > 0) {
            let (from, votes) = (self.yes.len() as u32, votes as u32);
            self.timed.push(Timed { from, votes, queue_us, append_us, sync_us });
        }
    }
}
