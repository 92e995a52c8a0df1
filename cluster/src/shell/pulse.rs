//! A node's heartbeats: what it tells of itself, unasked and unanswered (R15).
//!
//! Written under the engine's lock and sent by the node's loop, so that a node that is stuck in
//! either falls silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use protocol::ids::{MemberId, Point, RingNumber};
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
    /// Where the ranges end that were last counted by, rising, and the live keys in each.
    pub(super) counts: Vec<(Point, u64)>,
    /// What was last counted by the ranges of a ring, and of which.
    counted: Option<Counted>,
    /// About how many bytes a key took at that time.
    pub(super) key_bytes: Option<u64>,
    /// The cache's counters at that time.
    pub(super) cache: CacheStats,
}

/// A node's live keys by one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    ring: RingNumber,
    /// In the ranges of which it is the first replica in sync.
    primary: u64,
    /// In the others that it holds or learns.
    replica: u64,
}

impl Pulse {
    pub(super) fn new(gauge: Arc<LogGauge>, interval: Duration) -> Self {
        let (started, counts, cache) = (Instant::now(), Vec::new(), CacheStats::default());
        let (seq, reads, writes, key_bytes, counted) = (0, 0, 0, None, None);
        Self { gauge, interval, started, seq, reads, writes, counts, counted, key_bytes, cache }
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
        let meta = core.meta();
        let number = meta.ring.as_ref().map(|ring| ring.number);
        match (number.zip(ring), core.member()) {
            (Some((number, ring)), Some(me)) => self.count(number, ring, me),
            // It has no place: what it still has is nobody's copy.
            _ => self.counted = None,
        }
        let counted = self.counted;
        let (rss_bytes, cpu_us) = usage();
        Heartbeat {
            cluster: meta.ring.as_ref().map(|ring| ring.cluster),
            uuid: meta.store,
            incarnation: meta.incarnation,
            seq: self.seq,
            ring: counted.map(|counted| counted.ring),
            figures: NodeFigures {
                interval_ms: ms(self.interval),
                uptime_ms: ms(self.started.elapsed()),
                fsync_us: self.gauge.sync_us.load(Ordering::Relaxed),
                undecided,
                undecided_oldest_ms: oldest.map_or(0, |at| clock::now().since_us(at) / 1000),
                counting: counted.is_none(),
                keys_primary: counted.map_or(0, |counted| counted.primary),
                keys_replica: counted.map_or(0, |counted| counted.replica),
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

    /// Sums up what was counted, once that is by ranges of which this ring's consist: until then
    /// what was told by the ring before is still what the node knows.
    fn count(&mut self, number: RingNumber, ring: &Ring, me: MemberId) {
        let ends_there =
            |end: Point| self.counts.binary_search_by_key(&end, |count| count.0).is_ok();
        if !ring.arcs().all(|arc| ends_there(arc.range.last)) {
            return;
        }
        let (mut primary, mut replica) = (0, 0);
        for (end, keys) in &self.counts {
            if ring.in_sync_at(*end).first() == Some(&me) {
                primary += keys;
            } else if ring.replicas_at(*end).contains(&me) {
                replica += keys;
            }
        }
        self.counted = Some(Counted { ring: number, primary, replica });
    }
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
    use protocol::ids::Epoch;

    use super::*;

    #[test]
    fn keys_are_told_by_the_ring_by_whose_ranges_they_were_counted() {
        let ring = |points: &[(u64, u16)]| {
            Ring::new(points.iter().map(|(at, id)| (Point(*at), MemberId(*id))).collect(), 1)
        };
        let number = |counter| RingNumber { epoch: Epoch(1), counter };
        let mut pulse = Pulse::new(Arc::default(), Duration::from_millis(100));
        let mut told = |counts: Vec<(Point, u64)>, counter, ring: &Ring| {
            pulse.counts = counts;
            pulse.count(number(counter), ring, MemberId(1));
            pulse.counted.map(|told| (told.ring.counter, told.primary))
        };
        let (one, two) = (ring(&[(10, 0), (20, 1)]), ring(&[(10, 0), (15, 2), (20, 1)]));
        assert_eq!(told(vec![], 1, &one), None, "not counted yet");
        assert_eq!(told(vec![(Point(20), 9)], 1, &one), None, "by fewer ranges");
        let by_one = vec![(Point(10), 3), (Point(20), 6)];
        assert_eq!(told(by_one.clone(), 1, &one), Some((1, 6)));
        assert_eq!(told(by_one, 2, &two), Some((1, 6)), "still by the ring before");
        let by_two = vec![(Point(10), 3), (Point(15), 2), (Point(20), 4)];
        assert_eq!(told(by_two.clone(), 2, &two), Some((2, 4)));
        assert_eq!(told(by_two, 3, &one), Some((3, 6)), "ranges of which its own consist");
    }
}
