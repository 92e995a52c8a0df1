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

fn files(disk: &CrashDisk) -> LogFiles {
    let identity = Identity { cluster: Uuid(0), store: Uuid(5) };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let state = SmallFile::open(Arc::clone(&shared), "state", identity).unwrap().0;
    let config = LogConfig { identity, segment_bytes: 2048 };
    let log = Log::open(shared, config, &mut |_, _| {}).unwrap().log;
    LogFiles {
        log,
        state,
        gauge: Arc::default(),
        lane: Weak::new(),
        pause: Duration::ZERO,
        faults: None,
    }
}

/// Files, and a segment that was given out to be made ahead.
fn files_and_next(disk: &CrashDisk) -> (LogFiles, NextSegment) {
    let mut files = files(disk);
    let next = files.log.prepare_next().unwrap();
    (files, next)
}

fn save(number: u64) -> LogJob {
    let meta = Meta {
        store: Uuid(5),
        name: NodeName::new("n1").unwrap(),
        incarnation: Incarnation(1),
        fence: Fence::default(),
        ring: None,
        cut_through: Epoch(0),
        former: Vec::new(),
        void_through: GroupSeq(0),
        swept: Version::ZERO,
        lost: Vec::new(),
    };
    LogJob::Save(number, Box::new(meta))
}

fn append(lane: &LogFiles) -> LogJob {
    let records = (0..20).map(|_| LogRecord::Commit { id: Version::from_number(1) });
    LogJob::Append(lane.log.end().next(), records.collect())
}

/// The last of the jobs.
const LAST: usize = 60;

/// All kinds of jobs in turn, until one fails: which, if any.
fn work(lane: &mut LogFiles, next: NextSegment) -> Option<usize> {
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
        let (mut lane, next) = files_and_next(&disk);
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
    let (mut lane, _next) = files_and_next(&disk);
    let first = append(&lane);
    assert!(matches!(lane.work(first), Ok(Outcome::Tell(Done::Synced(GroupSeq(1), ..)))));
    disk.fail_sync_after(0);
    let second = append(&lane);
    let Err(error) = lane.work(second) else { panic!("its sync failed") };
    assert!(error.to_string().contains("check the disk"), "{error}");
    assert_eq!(lane.log.end(), GroupSeq(1));
}

/// A lane without a thread.
fn log_lane() -> Arc<LogLane> {
    let (files, _next) = files_and_next(&CrashDisk::new());
    LogLane::new(files.log, files.state, Arc::default(), None)
}

#[test]
fn segments_are_made_ahead_for_a_lane_that_they_reach() {
    let LogFiles { log, state, .. } = files(&CrashDisk::new());
    let lane = LogLane::new(log, state, Arc::default(), None);
    let before = lane.files.lock().unwrap().log.room().bytes;
    let mut unreached = files(&CrashDisk::new());
    unreached.prepare_next();
    for log in [&mut lane.files.lock().unwrap().log, &mut unreached.log] {
        assert!(log.prepare_next().is_some(), "none was given out to be lost");
        log.not_made();
    }
    // It ends with the first report, as there is no engine.
    lane.start(Weak::new()).unwrap().join().unwrap();
    assert!(lane.files.lock().unwrap().log.room().bytes > before);
}

fn group(seq: u64) -> LogJob {
    LogJob::Append(GroupSeq(seq), vec![LogRecord::Commit { id: Version::from_number(1) }])
}

/// The groups that are told as synced, in the order of the reports.
#[derive(Default)]
struct Told(Mutex<Vec<u64>>, Condvar);

impl Told {
    fn tell(&self, done: Done) -> bool {
        if let Done::Synced(seq, ..) = done {
            self.0.lock().unwrap().push(seq.0);
            self.1.notify_all();
        }
        true
    }

    fn wait_for(&self, count: usize) -> Vec<u64> {
        let told = self.0.lock().unwrap();
        self.1.wait_while(told, |told| told.len() < count).unwrap().clone()
    }
}

#[test]
fn a_lone_group_is_done_by_who_left_it_and_others_are_not() {
    let (lane, told) = (log_lane(), Told::default());
    let here = || lane.work_here(&|done| told.tell(done));
    lane.slow.store(false, Ordering::Relaxed);
    assert!(lane.leave(group(1)));
    here();
    assert_eq!(*told.0.lock().unwrap(), [1], "no thread but this one is there");
    // A disk that was slow, two groups, another job, a called thread: all are for the lane's own.
    lane.slow.store(true, Ordering::Relaxed);
    assert!(lane.leave(group(2)));
    here();
    assert!(lane.waiting().called);
    for (slow, jobs) in [(false, vec![group(3)]), (false, vec![save(1)])] {
        lane.waiting().called = false;
        lane.slow.store(slow, Ordering::Relaxed);
        jobs.into_iter().for_each(|job| assert!(lane.leave(job)));
        here();
        assert!(lane.waiting().called);
    }
    here();
    assert_eq!(*told.0.lock().unwrap(), [1]);
    assert_eq!(lane.waiting().jobs.len(), 3);
}

#[test]
fn whoever_does_them_groups_are_told_once_and_in_their_order() {
    let (lane, told) = (log_lane(), Arc::new(Told::default()));
    let thread = {
        let (lane, told) = (Arc::clone(&lane), Arc::clone(&told));
        thread::spawn(move || lane.work_off(&|done| told.tell(done)))
    };
    const GROUPS: u64 = 3_000;
    for seq in 1..=GROUPS {
        lane.slow.store(false, Ordering::Relaxed);
        if seq % 3 == 0 {
            assert!(lane.give(group(seq)));
        } else {
            assert!(lane.leave(group(seq)));
            lane.work_here(&|done| told.tell(done));
        }
    }
    assert_eq!(told.wait_for(GROUPS as usize), (1..=GROUPS).collect::<Vec<_>>());
    assert!(lane.give(LogJob::Stop));
    thread.join().unwrap();
    assert!(!lane.give(group(GROUPS + 1)), "after the last job nothing is taken");
}

#[test]
fn a_panic_at_the_files_ends_the_lane_with_a_sentence() {
    let lane = log_lane();
    let broken = Arc::clone(&lane);
    let panicked = thread::spawn(move || {
        let _files = broken.files.lock().unwrap();
        panic!("with the files in hand");
    });
    assert!(panicked.join().is_err());
    lane.slow.store(false, Ordering::Relaxed);
    assert!(lane.leave(group(1)));
    lane.work_here(&|_| panic!("nothing is done on files that a panic left"));
    let reason = Mutex::new(None);
    lane.work_off(&|done| {
        let Done::Failed(why) = done else { panic!("nothing else is told") };
        *reason.lock().unwrap() = Some(why);
        false
    });
    assert_eq!(reason.lock().unwrap().as_deref(), Some(PANICKED));
    assert!(!lane.give(group(2)));
}
