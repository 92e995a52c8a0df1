//! The log against crashes at every point, damage of every bit, failing syncs and full disks.
//!
//! Oracle throughout: what opens is the synced groups, or those and the one in flight; or, after
//! damage, a shorter prefix that says it was cut, or `Lost`. Never other records, never a panic.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::storage::codec::tests::Source;
use crate::storage::crash_disk::{CrashDisk, Fate, Sector};

mod crashes;
mod damage;
mod errors;
mod inspect;
mod recycling;
mod space;

const STORE: Identity = Identity { cluster: Uuid(0xc1), store: Uuid(0x57) };

fn config(segment_bytes: u64) -> LogConfig {
    LogConfig { identity: STORE, segment_bytes }
}

type Groups = Vec<Vec<LogRecord>>;

/// A transaction that writes this value so many times.
fn prepare_of(value: protocol::ids::Value, times: usize) -> LogRecord {
    let write = crate::core::record::Write {
        key: protocol::ids::Key::new("k").unwrap(),
        value: Some(value),
        previous: crate::core::record::Previous::Any,
        flags: 0,
        expires_ms: 0,
        holders: Vec::new(),
    };
    LogRecord::Prepare(Arc::new(crate::core::record::Prepared {
        id: protocol::ids::Version::from_number(1),
        ring: Default::default(),
        participants: vec![protocol::ids::MemberId(1)],
        rests_on: vec![],
        writes: vec![write; times],
        once: None,
    }))
}

fn open(disk: &CrashDisk, segment_bytes: u64) -> Result<(Opened, Groups), LogError> {
    let mut groups: Vec<(GroupSeq, Vec<LogRecord>)> = Vec::new();
    let opened =
        Log::open(Arc::new(disk.clone()), config(segment_bytes), &mut |seq, record| match groups
            .last_mut()
        {
            Some((last, records)) if *last == seq => records.push(record),
            _ => groups.push((seq, vec![record])),
        })?;
    for (at, (seq, _)) in groups.iter().enumerate() {
        assert_eq!(seq.0, opened.first.0 + at as u64, "no gaps");
    }
    assert_eq!(opened.end.0 + 1, opened.first.0 + groups.len() as u64);
    assert_eq!(opened.log.end(), opened.end);
    assert_eq!(opened.log.first(), opened.first);
    Ok((opened, groups.into_iter().map(|(_, records)| records).collect()))
}

fn groups(seed: u64, count: usize, value_bytes_max: u64) -> Groups {
    let mut source = Source(seed);
    (0..count).map(|_| source.records(value_bytes_max)).collect()
}

/// One group whose encoding has at least `bytes` bytes.
fn big_group(seed: u64, bytes: usize) -> Vec<LogRecord> {
    let mut source = Source(seed);
    let mut records = Vec::new();
    let mut encoded = Vec::new();
    while encoded.len() < bytes {
        let record = source.record(500);
        codec::encode(&record, &mut encoded);
        records.push(record);
    }
    records
}

fn append_all(log: &mut Log, groups: &[Vec<LogRecord>]) {
    for group in groups {
        log.append(log.end().next(), group).unwrap();
    }
}

/// A disk with a log of `groups`, all synced.
fn disk_with(segment_bytes: u64, groups: &[Vec<LogRecord>]) -> CrashDisk {
    let disk = CrashDisk::new();
    append_all(&mut open(&disk, segment_bytes).unwrap().0.log, groups);
    disk
}

fn keep_all(disk: &CrashDisk) {
    disk.power_loss(&mut |_| Fate::Keep);
}

fn drop_all(disk: &CrashDisk) {
    disk.power_loss(&mut |_| Fate::Drop);
}

/// Opens twice and appends: what is there is `all` or all but the last, `synced` at least.
fn check_crash(disk: &CrashDisk, segment_bytes: u64, all: &[Vec<LogRecord>], synced: usize) {
    let (opened, read) = open(disk, segment_bytes).expect("a crash is no damage");
    assert!(read.len() >= synced, "a synced group is gone");
    assert_eq!(read, all[..read.len()]);
    if let Tail::Cut { after } = opened.tail {
        assert_eq!(after, opened.end);
    }
    let tail = opened.tail;
    drop(opened);
    drop_all(disk);
    let (mut again, same) = open(disk, segment_bytes).expect("recovery is idempotent");
    assert_eq!((again.tail, &same), (tail, &read));
    let more = groups(99, 1, 20);
    append_all(&mut again.log, &more);
    drop(again);
    drop_all(disk);
    let (last, longer) = open(disk, segment_bytes).unwrap();
    assert_eq!((last.tail, longer.len()), (Tail::Clean, read.len() + 1));
    assert_eq!(longer[read.len()], more[0]);
}

#[test]
fn groups_read_back_over_many_segments() {
    let all = groups(1, 400, 900);
    let disk = disk_with(8192, &all);
    drop_all(&disk);
    let (opened, read) = open(&disk, 8192).unwrap();
    assert_eq!((opened.tail, opened.fresh), (Tail::Clean, false));
    assert!(opened.log.sealed.len() > 20, "many segments: {}", opened.log.sealed.len());
    assert_eq!(read, all);
}

#[test]
fn an_empty_directory_is_a_fresh_log() {
    let disk = CrashDisk::new();
    let (opened, read) = open(&disk, 4096).unwrap();
    assert!(opened.fresh && read.is_empty() && opened.tail == Tail::Clean);
    drop_all(&disk);
    let (opened, _) = open(&disk, 4096).unwrap();
    assert!(!opened.fresh, "the empty log is durable");
    assert_eq!(opened.log.bytes(), 4096);
    assert_eq!(opened.log.room(), Room { bytes: 3584, group_max: 3584, full: false });
}

#[test]
fn a_group_longer_than_a_segment_gets_its_own() {
    let mut all = groups(2, 5, 50);
    all.push(big_group(3, 70_000));
    all.extend(groups(4, 5, 50));
    let disk = disk_with(4096, &all);
    drop_all(&disk);
    assert_eq!(open(&disk, 4096).unwrap().1, all);
}

#[test]
fn a_segment_made_ahead_is_used_without_asking_for_space() {
    let all = groups(5, 60, 400);
    let disk = CrashDisk::new();
    let mut log = open(&disk, 8192).unwrap().0.log;
    let mut made = 0;
    for group in &all {
        disk.heal();
        if let Some(work) = log.prepare_next() {
            assert!(log.prepare_next().is_none(), "one at a time");
            log.accept_next(work.run()).unwrap();
            made += 1;
        }
        disk.full_after(8191, false);
        assert!(log.room().bytes >= 8192 - 512);
        log.append(log.end().next(), group).unwrap();
    }
    assert!(made > 3 && log.bytes() == (log.sealed.len() as u64 + 1) * 8192 + log.spare_bytes());
    disk.heal();
    drop_all(&disk);
    let (opened, read) = open(&disk, 8192).unwrap();
    assert_eq!(read, all);
    let names = disk.list().unwrap();
    assert!(names.iter().all(|name| segment::number(name).is_some()), "leftovers: {names:?}");
    drop(opened);
}

#[test]
fn old_segments_are_freed_whole_and_never_the_current_one() {
    let all = groups(6, 100, 300);
    let disk = disk_with(4096, &all);
    let (opened, _) = open(&disk, 4096).unwrap();
    let mut log = opened.log;
    assert_eq!(log.free_through(GroupSeq(0)).unwrap(), 0);
    let second = log.sealed[1].first;
    assert_eq!(log.free_through(GroupSeq(second.0 - 1)).unwrap(), 1);
    assert_eq!(log.free_through(second).unwrap(), 0);
    drop_all(&disk);
    let (opened, read) = open(&disk, 4096).unwrap();
    assert_eq!(opened.first, second);
    assert_eq!(read, all[second.0 as usize - 1..]);
    let mut log = opened.log;
    assert!(log.free_through(GroupSeq(u64::MAX)).unwrap() > 1);
    assert!(log.sealed.is_empty());
    assert_eq!(log.end(), GroupSeq(100));
}

/// H55: what is left is whole from its first group on, wherever freeing stopped.
#[test]
fn a_crash_while_freeing_leaves_no_gap() {
    let all = groups(6, 60, 300);
    let disk = disk_with(4096, &all);
    let start = open(&disk, 4096).unwrap().0.log;
    let count = start.sealed.len() as u64;
    drop(start);
    keep_all(&disk);
    for stop in 0..2 * count {
        for keep in [Fate::Keep, Fate::Drop] {
            let disk = disk.fork();
            let mut log = open(&disk, 4096).unwrap().0.log;
            disk.stop_after(stop);
            assert!(matches!(log.free_through(GroupSeq(60)), Err(LogError::Io { .. })));
            disk.power_loss(&mut |_| keep.clone());
            let (opened, read) = open(&disk, 4096).unwrap();
            assert_eq!(read, all[opened.first.0 as usize - 1..]);
        }
    }
}

/// Synced groups, then one in flight whose sync has not returned: the disk as it stands then.
fn in_flight(segment_bytes: u64, synced: &[Vec<LogRecord>], last: &[LogRecord]) -> CrashDisk {
    let disk = CrashDisk::new();
    let mut log = open(&disk, segment_bytes).unwrap().0.log;
    append_all(&mut log, synced);
    disk.fail_sync_after(0);
    assert!(matches!(log.append(log.end().next(), last), Err(LogError::Io { .. })));
    disk.heal();
    disk
}

/// Where two images of one length differ: first and one past the last byte.
fn span(a: &[u8], b: &[u8]) -> (usize, usize) {
    let differs: Vec<_> = (0..a.len()).filter(|i| a[*i] != b[*i]).collect();
    (differs[0], differs[differs.len() - 1] + 1)
}

fn offset_of(sector: &Sector) -> u64 {
    match sector {
        Sector::Data { offset, .. } => *offset,
        _ => 0,
    }
}

/// Does `act` on a copy of the disk, stopped after each number of operations and then losing
/// power in five ways, until it is no longer stopped; returns how many crashes that were.
fn crash_everywhere(
    start: &CrashDisk,
    act: &mut dyn FnMut(&CrashDisk) -> bool,
    check: &mut dyn FnMut(&CrashDisk),
) -> usize {
    let mut crashes = 0;
    for stop in 0.. {
        let stopped = start.fork();
        stopped.stop_after(stop);
        let done = act(&stopped);
        stopped.kill();
        for way in 0..5 {
            let disk = stopped.fork();
            let mut source = Source(stop * 7 + way);
            if way > 0 {
                disk.power_loss(&mut |_| match (way, source.below(3)) {
                    (1, _) | (3.., 0) => Fate::Keep,
                    (2, _) | (3.., 1) => Fate::Drop,
                    _ => Fate::Torn(source.bytes(300)),
                });
            }
            check(&disk);
            crashes += 1;
        }
        if done {
            break;
        }
    }
    crashes
}

/// H10: the disk lets later syncs pass over what a failed one left, and the log asks for none.
#[test]
fn every_failed_sync_poisons() {
    let all = groups(18, 30, 300);
    for failing in 0.. {
        let disk = CrashDisk::new();
        disk.fail_sync_after(failing);
        let Ok((opened, _)) = open(&disk, 4096) else { continue };
        let mut log = opened.log;
        let mut appended = 0;
        let error = all.iter().find_map(|group| {
            let error = log.append(log.end().next(), group).err();
            appended += usize::from(error.is_none());
            error
        });
        let Some(error) = error else {
            assert!(failing > 40);
            break;
        };
        assert!(matches!(error, LogError::Io { .. }));
        assert_eq!(log.end(), GroupSeq(appended as u64));
        for _ in 0..2 {
            let again = log.append(log.end().next(), &all[0]);
            assert!(matches!(again, Err(LogError::Poisoned)));
        }
        assert!(matches!(log.free_through(GroupSeq(1)), Err(LogError::Poisoned)));
        assert!(log.prepare_next().is_none());
        check_crash(&disk, 4096, &all, appended);
    }
}

/// H56: what was half written is gone before the next group comes.
#[test]
fn a_full_disk_refuses_a_group_and_leaves_no_trace_of_it() {
    let all = groups(19, 30, 300);
    let mut refused = 0;
    for full_after in (0..30_000).step_by(61) {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        disk.full_after(full_after, false);
        for group in &all {
            let end = log.end();
            match log.append(end.next(), group) {
                Ok(()) => {}
                Err(LogError::DiskFull) => {
                    refused += 1;
                    assert_eq!(log.end(), end);
                    let lost_power = disk.fork();
                    drop_all(&lost_power);
                    check_crash(&lost_power, 4096, &all, end.0 as usize);
                    let killed = disk.fork();
                    assert_eq!(open(&killed, 4096).unwrap().1, all[..end.0 as usize]);
                    assert_eq!(open(&killed, 4096).unwrap().0.tail, Tail::Clean);
                    log.append(end.next(), group).expect("there is space again");
                }
                Err(other) => panic!("{other}"),
            }
        }
        drop_all(&disk);
        assert_eq!(open(&disk, 4096).unwrap().1, all);
    }
    assert!(refused > 400, "{refused} refusals");
}

#[test]
fn a_disk_that_stays_full_refuses_new_segments_and_poisons_half_written_groups() {
    let all = groups(20, 60, 300);
    for full_after in [0, 700, 4096, 5000, 9000] {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        disk.full_after(full_after, true);
        let failed = all.iter().find_map(|group| log.append(log.end().next(), group).err());
        let end = log.end().0 as usize;
        match failed.unwrap() {
            LogError::DiskFull => {
                let leftovers = disk.list().unwrap();
                assert!(leftovers.iter().all(|name| segment::number(name).is_some()));
            }
            LogError::Io { .. } => {
                assert!(matches!(log.append(log.end().next(), &all[0]), Err(LogError::Poisoned)));
            }
            other => panic!("{other}"),
        }
        drop_all(&disk);
        assert_eq!(open(&disk, 4096).unwrap().1, all[..end]);
    }
}

/// Contract: "Every data file begins with a magic, a format number, cluster and store uuid"
/// Contract: "A newer format refuses to start and names the version that wrote it"
#[test]
fn strangers_and_newer_logs_are_refused() {
    let disk = disk_with(4096, &groups(25, 3, 30));
    let config = |cluster, store| LogConfig {
        identity: Identity { cluster: Uuid(cluster), store: Uuid(store) },
        segment_bytes: 4096,
    };
    let open_as = |config| Log::open(Arc::new(disk.clone()), config, &mut |_, _| {});
    for stranger in [config(0xc1, 9), config(9, 0x57)] {
        let foreign = open_as(stranger);
        assert!(matches!(foreign, Err(LogError::Foreign { store: Uuid(0x57), .. })));
    }
    assert!(open_as(config(0, 0x57)).is_ok(), "a cluster that is not known yet");
    disk.rot(&segment::name(1), |bytes| {
        bytes[8] = 7;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..12]);
        crc.update(&bytes[16..SECTOR]);
        bytes[12..16].copy_from_slice(&crc.finalize().to_le_bytes());
    });
    let Err(LogError::Newer { format: 7, written_by }) = open_as(config(0xc1, 0x57)) else {
        panic!("a newer format is refused");
    };
    assert_eq!(written_by, env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_group_that_is_too_long_is_refused_and_the_log_goes_on() {
    let disk = CrashDisk::new();
    let mut log = open(&disk, 4096).unwrap().0.log;
    let value = protocol::ids::Value::from(vec![0; protocol::ids::VALUE_BYTES_MAX]);
    let group = [prepare_of(value, 256)];
    assert!(matches!(log.append(GroupSeq(1), &group), Err(LogError::TooLong(_))));
    log.append(GroupSeq(1), &[]).unwrap();
    assert_eq!(log.end(), GroupSeq(1));
}

#[cfg(feature = "lie-about-sync")]
#[test]
fn a_log_that_lies_loses_what_it_acknowledged() {
    let all = groups(26, 3, 30);
    let disk = disk_with(16384, &all);
    drop_all(&disk);
    assert!(open(&disk, 16384).unwrap().1.is_empty());
}
