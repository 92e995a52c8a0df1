//! The log's lane on disks that fail: a job that met an error is never reported as done, and
//! neither is any after it.

#![allow(clippy::unwrap_used)]

use protocol::ids::{Epoch, Incarnation, NodeName, Uuid, Version};
use protocol::peer::Fence;

use super::*;
use crate::storage::crash_disk::CrashDisk;
use crate::storage::disk::Disk;
use crate::storage::identity::Identity;
use crate::storage::log::LogConfig;

/// A lane, and the one segment made ahead that it waits for: so it begins no thread.
fn lane(disk: &CrashDisk) -> (LogLane, NextSegment) {
    let identity = Identity { cluster: Uuid(0), store: Uuid(5) };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let state = SmallFile::open(Arc::clone(&shared), "state", identity).unwrap().0;
    let config = LogConfig { identity, segment_bytes: 2048 };
    let mut log = Log::open(shared, config, &mut |_, _| {}).unwrap().log;
    let next = log.prepare_next().unwrap();
    let (_, queue) = super::lane();
    let (gauge, pause) = (Arc::default(), Duration::ZERO);
    (LogLane { log, state, gauge, jobs: queue.add, pause }, next)
}

fn save(number: u64) -> LogJob {
    let meta = Meta {
        store: Uuid(5),
        name: NodeName::new("n1").unwrap(),
        incarnation: Incarnation(1),
        fence: Fence::default(),
        ring: None,
        cut_through: Epoch(0),
    };
    LogJob::Save(number, Box::new(meta))
}

fn append(lane: &LogLane) -> LogJob {
    let records = (0..20).map(|_| LogRecord::Commit { id: Version::from_number(1) });
    LogJob::Append(lane.log.end().next(), records.collect())
}

/// The last of the jobs.
const LAST: usize = 60;

/// All kinds of jobs in turn, until one fails: which, if any.
fn work(lane: &mut LogLane, next: NextSegment) -> Option<usize> {
    let mut next = Some(next);
    (0..=LAST).find(|at| {
        let job = match at % 12 {
            _ if *at == LAST => LogJob::Made(next.take().unwrap().run()),
            5 => save(*at as u64),
            11 => LogJob::Free(lane.log.end()),
            _ => append(lane),
        };
        lane.work(job).is_err()
    })
}

#[test]
fn a_job_that_met_an_error_is_not_reported_and_none_like_it_after_it() {
    let mut failed_jobs = std::collections::BTreeSet::new();
    for step in 0.. {
        let disk = CrashDisk::new();
        let (mut lane, next) = lane(&disk);
        disk.stop_after(step);
        let Some(at) = work(&mut lane, next) else {
            assert!(step > 100, "{step}");
            break;
        };
        failed_jobs.insert(if at == LAST { at } else { at % 12 });
        disk.heal();
        // The lane ends there; were it asked again, what failed would fail again.
        let again = if at % 12 == 5 { save(99) } else { append(&lane) };
        assert!(lane.work(again).is_err(), "step {step}, job {at}");
    }
    assert!([0, 5, 11, LAST].iter().all(|kind| failed_jobs.contains(kind)), "{failed_jobs:?}");
}

#[test]
fn what_is_not_done_is_not_told() {
    let disk = CrashDisk::new();
    let (mut lane, _next) = lane(&disk);
    let first = append(&lane);
    assert!(matches!(lane.work(first), Ok(Outcome::Tell(Done::Synced(GroupSeq(1), _)))));
    disk.fail_sync_after(0);
    let second = append(&lane);
    let Err(error) = lane.work(second) else { panic!("its sync failed") };
    assert!(error.to_string().contains("check the disk"), "{error}");
    assert_eq!(lane.log.end(), GroupSeq(1));
}
