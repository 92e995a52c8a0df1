//! Room: what the log says it takes, it takes, though the disk has no more space; and it takes more
//! when there is some again.

use super::*;
use crate::core::record::{decision_bytes_max, group_bytes_max};

const SEGMENT_BYTES: u64 = 16 << 10;

/// A log with all the segments that it wants, on a disk with no more space.
fn full() -> (CrashDisk, Log) {
    let disk = CrashDisk::new();
    let mut log = open(&disk, SEGMENT_BYTES).unwrap().0.log;
    while let Some(work) = log.prepare_next() {
        log.accept_next(work.run()).unwrap();
    }
    assert_eq!(log.spares.len(), SPARES_MIN);
    disk.leave_space(0);
    (disk, log)
}

/// The log asks the disk for another segment.
fn ask(log: &mut Log) {
    if let Some(work) = log.prepare_next() {
        log.accept_next(work.run()).unwrap();
    }
}

#[test]
fn records_and_groups_are_no_longer_than_is_counted_with() {
    let mut source = Source(61);
    for _ in 0..5_000 {
        let record = source.record(2_000);
        let mut encoded = Vec::new();
        codec::encode(&record, &mut encoded);
        assert!(encoded.len() as u64 <= record.bytes_max(), "{record:?}");
        if let LogRecord::Abort { participants, .. } = &record {
            assert_eq!(record.bytes_max(), decision_bytes_max(participants.len()));
        }
    }
    for body_bytes in 0..5_000 {
        assert!(group::extent(body_bytes) as u64 <= group_bytes_max(body_bytes as u64));
    }
}

#[test]
fn h57_groups_for_half_of_the_room_are_taken_without_more_space() {
    for seed in 0..200 {
        let (disk, mut log) = full();
        let mut source = Source(seed);
        let mut all = Vec::new();
        loop {
            let group = source.records(1 + seed * 20);
            let bytes = group_bytes_max(group.iter().map(LogRecord::bytes_max).sum());
            let room = log.room();
            // What each group takes is known only to be less than twice its bytes.
            if 2 * bytes > room.bytes || bytes > room.group_max {
                break;
            }
            log.append(log.end().next(), &group).unwrap();
            assert!(log.room().bytes + 2 * bytes >= room.bytes, "seed {seed}");
            all.push(group);
            ask(&mut log);
        }
        assert!(log.spares.len() < SPARES_MIN && log.room().full, "{seed}: {:?}", log.room());
        drop_all(&disk);
        assert_eq!(open(&disk, SEGMENT_BYTES).unwrap().1, all, "seed {seed}");
    }
}

#[test]
fn a_full_disk_is_noticed_and_forgotten_when_segments_are_freed_or_there_is_space() {
    for freed in [true, false] {
        let (disk, mut log) = full();
        let group = groups(62, 1, 10);
        while log.spares.len() > 1 {
            log.append(log.end().next(), &group[0]).unwrap();
        }
        assert!(!log.room().full, "it has not asked yet");
        ask(&mut log);
        assert!(log.room().full);
        let bytes = log.room().bytes;
        if freed {
            log.free_through(log.end()).unwrap();
        } else {
            disk.heal();
            ask(&mut log);
        }
        assert!(!log.room().full && log.room().bytes > bytes + SEGMENT_BYTES / 2);
        log.append(log.end().next(), &group[0]).unwrap();
    }
}

#[test]
fn a_full_disk_is_no_news_when_enough_was_freed_meanwhile() {
    let (disk, mut log) = full();
    let group = groups(63, 1, 10);
    while log.spares.len() > 1 {
        log.append(log.end().next(), &group[0]).unwrap();
    }
    log.want(log.room().bytes + 1);
    let asked = log.prepare_next().unwrap();
    log.free_through(log.end()).unwrap();
    log.accept_next(asked.run()).unwrap();
    assert!(!log.room().full, "nobody asks again: {:?}", log.room());
    assert!(log.prepare_next().is_none());
    drop(disk);
}

#[test]
fn as_much_room_as_is_wanted_is_made_or_the_disk_is_full() {
    let (disk, mut log) = full();
    let wanted = log.room().bytes + 2 * SEGMENT_BYTES;
    assert!(log.prepare_next().is_none(), "there is enough");
    log.want(wanted);
    ask(&mut log);
    assert!(log.room().full && log.room().bytes < wanted);
    disk.heal();
    for _ in 0..3 {
        ask(&mut log);
    }
    assert!(!log.room().full && log.room().bytes >= wanted);
    assert!(log.prepare_next().is_none(), "there is enough again");
    log.want(log.room().bytes + 1);
    assert!(log.prepare_next().is_some() && log.prepare_next().is_none());
    log.not_made();
    assert!(log.room().full && log.prepare_next().is_some(), "it is tried again");
}
