//! The keystore's lane while it counts its keys anew.

#![allow(clippy::unwrap_used)]

use protocol::ids::{Epoch, GroupSeq, MemberId, Point, Value};

use super::*;
use crate::core::cache::CacheShape;
use crate::core::record::{Committed, Previous, Write};
use crate::core::ring::Ring;
use crate::storage::keystore::memory::MemoryKeystore;

fn write(number: u64) -> Committed {
    let key = Key::new(&format!("key {number}")).unwrap();
    let value = Some(Value::from("value"));
    let previous = Previous::Any;
    let write = Write { key, value, previous, flags: 0, expires_ms: 0, holders: Vec::new() };
    Committed { version: Version::new(Epoch(1), number), write, once: None }
}

/// A lane without a thread, whose keystore has so many keys.
fn lane(keys: usize) -> (KeyLane, KeyJobs, mpsc::Receiver<KeyJob>) {
    let mut keystore = MemoryKeystore::new();
    let writes: Vec<_> = (0..keys as u64).map(write).collect();
    keystore.apply(&writes, GroupSeq(1)).unwrap();
    let cache = Arc::new(Cache::new(CacheShape { sets: 2, ways: 1 }, 1 << 20, 1));
    let (jobs, queue) = key_queue();
    let (keystore, checkpointing, recount) = (Box::new(keystore), false, None);
    let (add, sample) = (queue.add, Sample::default());
    (KeyLane { keystore, cache, jobs: add, checkpointing, recount, sample }, jobs, queue.jobs)
}

fn counted(lane: &mut KeyLane) -> u64 {
    let Ok(Outcome::Tell(Done::Counts(counts, _, _))) = lane.work(KeyJob::Count) else {
        panic!("the counts are told");
    };
    counts.iter().map(|(_, keys)| keys).sum()
}

/// Does the next job; whether it was one that counts.
fn do_next(lane: &mut KeyLane, queue: &mut mpsc::Receiver<KeyJob>) -> bool {
    let job = lane.next(queue).expect("there is one");
    let recount = matches!(job, KeyJob::Recount);
    let outcome = lane.work(job).and_then(|outcome| lane.recount_if_due(outcome));
    assert!(outcome.is_ok());
    recount
}

const STEPS: usize = 5;

#[test]
fn with_nothing_else_to_do_it_counts_to_the_end() {
    let keys = STEPS * RECOUNT_KEYS + 7;
    let (mut lane, jobs, mut queue) = lane(keys);
    let ring = Arc::new(Ring::new(vec![(Point(7), MemberId(0)), (Point(1 << 63), MemberId(1))], 1));
    assert!(jobs.give(KeyJob::Ranges(ring)));
    assert!(!do_next(&mut lane, &mut queue));
    for _ in 0..STEPS {
        assert_eq!(counted(&mut lane), 0, "only all of them are told");
        // What comes meanwhile is done first.
        assert!(jobs.give(KeyJob::Count));
        assert!(!do_next(&mut lane, &mut queue));
        assert!(do_next(&mut lane, &mut queue));
    }
    assert_eq!(counted(&mut lane), keys as u64);
    drop(jobs);
    assert!(lane.next(&mut queue).is_none(), "then it waits for jobs again");
}

#[test]
fn with_no_end_of_jobs_it_counts_between_them() {
    let keys = STEPS * RECOUNT_KEYS + 7;
    let (mut lane, jobs, mut queue) = lane(keys);
    let ring = Arc::new(Ring::new(vec![(Point(7), MemberId(0))], 1));
    assert!(jobs.give(KeyJob::Ranges(ring)));
    for _ in 0..(STEPS + 1) * (JOBS_IN_A_ROW + 1) {
        assert!(jobs.give(KeyJob::Count));
        assert!(!do_next(&mut lane, &mut queue), "there is always a job");
    }
    assert_eq!(counted(&mut lane), keys as u64);
}
