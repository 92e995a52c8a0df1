//! A node's heartbeats: what it tells of itself, unasked and unanswered (R15).
//!
//! Written under the engine's lock and sent by the node's loop, so that a node that is stuck in
//! either falls silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use protocol::ids::{MemberId, Point};
use protocol::peer::Heartbeat;
use protocol::status::NodeFigures;

use super::clock;
use super::lanes::LogGauge;
use crate::core::cache::CacheStats;
use crate::core::node::NodeCore;
use crate::core::ring::Ring;

/// The node's heartbeats.
pub(super) struct Pulse {
    gauge: Arc<LogGauge>,
    interval: Duration,
    started: Instant,
    seq: u64,
    /// Looks into the keystore.
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Where the ranges end that were last counted by, and the live keys in each.
    pub(super) counts: Vec<(Point, u64)>,
    /// About how many bytes a key took at that time.
    pub(super) key_bytes: Option<u64>,
    /// The cache's counters at that time.
    pub(super) cache: CacheStats,
}

impl Pulse {
    pub(super) fn new(gauge: Arc<LogGauge>, interval: Duration) -> Self {
        let (started, counts, cache) = (Instant::now(), Vec::new(), CacheStats::default());
        let (seq, reads, writes, key_bytes) = (0, 0, 0, None);
        Self { gauge, interval, started, seq, reads, writes, counts, key_bytes, cache }
    }

    /// The node stops: the log's lane is not to wait for space.
    pub(super) fn stopping(&self) {
        self.gauge.stopping.store(true, Ordering::Relaxed);
    }

    /// The next heartbeat.
    pub(super) fn heartbeat(&mut self, core: &NodeCore, ring: Option<&Ring>) -> Heartbeat {
        self.seq += 1;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (undecided, oldest) = core.undecided();
        let placed = ring.zip(core.member());
        let keys = placed.and_then(|(ring, me)| keys(&self.counts, ring, me));
        let (keys_primary, keys_replica) = keys.unwrap_or_default();
        let meta = core.meta();
        let (rss_bytes, cpu_us) = usage();
        Heartbeat {
            cluster: meta.ring.as_ref().map(|ring| ring.cluster),
            uuid: meta.store,
            incarnation: meta.incarnation,
            seq: self.seq,
            ring: meta.ring.as_ref().map(|ring| ring.number),
            figures: NodeFigures {
                interval_ms: ms(self.interval),
                uptime_ms: ms(self.started.elapsed()),
                fsync_us: self.gauge.sync_us.load(Ordering::Relaxed),
                undecided,
                undecided_oldest_ms: oldest.map_or(0, |at| clock::now().since_us(at) / 1000),
                counting: keys.is_none(),
                keys_primary,
                keys_replica,
                key_bytes: self.key_bytes,
                log_bytes: self.gauge.bytes.load(Ordering::Relaxed),
                reads: self.reads + self.cache.hits,
                writes: self.writes,
                cache: self.cache.status(core.cache().shape()),
                rss_bytes,
                cpu_us,
            },
        }
    }
}

/// Live keys in the ranges of which `me` is the first replica in sync, and in the others that it
/// holds or learns; `None` before anything was counted. Until the keys are counted by the ring's
/// own ranges, each range of before is as its end is.
fn keys(counts: &[(Point, u64)], ring: &Ring, me: MemberId) -> Option<(u64, u64)> {
    if counts.is_empty() {
        return None;
    }
    let (mut primary, mut replica) = (0, 0);
    for (end, keys) in counts {
        if ring.in_sync_at(*end).first() == Some(&me) {
            primary += keys;
        } else if ring.replicas_at(*end).contains(&me) {
            replica += keys;
        }
    }
    Some((primary, replica))
}

/// Resident bytes and processor time of this process.
fn usage() -> (u64, u64) {
    use nix::sys::resource::{UsageWho, getrusage};
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    let cpu_us = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let us = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
        u64::try_from(us(usage.user_time()) + us(usage.system_time())).unwrap_or(0)
    });
    (pages.unwrap_or(0) * 4096, cpu_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_once_they_are_counted_by_this_ring() {
        let ring = Ring::new(vec![(Point(10), MemberId(0)), (Point(20), MemberId(1))], 2);
        let told = |counts: &[(Point, u64)]| keys(counts, &ring, MemberId(1));
        assert_eq!(told(&[]), None, "not counted yet");
        assert_eq!(told(&[(Point(15), 5)]), Some((5, 0)), "by the range of another ring");
        assert_eq!(told(&[(Point(10), 3), (Point(20), 4)]), Some((4, 3)));
    }
}
