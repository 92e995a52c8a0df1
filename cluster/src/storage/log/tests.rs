//! The log against crashes at every point, damage of every bit, failing syncs and full disks.
//!
//! Oracle throughout: what opens is the synced groups, or those and the one in flight; or, after
//! damage, a shorter prefix that says it was cut, or `Lost`. Never other records, never a panic.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::storage::codec::tests::Source;
use crate::storage::crash_disk::{CrashDisk, Fate, Sector};

mod errors;
mod inspect;
mod recycling;
mod space;

const STORE: Identity = Identity { cluster: Uuid(0xc1), store: Uuid(0x57) };

fn config(segment_bytes: u64) -> LogConfig {
    LogConfig { identity: STORE, segment_bytes }
}

type Groups = Vec<Vec<LogRecord>>;

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

/// H50: wherever the last write ended.
#[test]
fn a_cut_at_every_byte_of_the_group_in_flight() {
    let mut all = groups(7, 3, 60);
    all.push(big_group(8, 2500));
    let full = in_flight(16384, &all[..3], &all[3]);
    let name = segment::name(1);
    let image = full.read(&name).unwrap();
    let synced = disk_with(16384, &all[..3]).read(&name).unwrap();
    let (start, end) = span(&synced, &image);
    assert!(end - start > 2400);
    let mut outcomes = [0; 2];
    for cut in start..=end {
        let mut bytes = synced.clone();
        bytes[start..cut].copy_from_slice(&image[start..cut]);
        let disk = CrashDisk::new();
        disk.put(&name, bytes);
        let (opened, read) = open(&disk, 16384).unwrap();
        let cut_tail = opened.tail == Tail::Cut { after: GroupSeq(3) };
        assert_eq!(cut_tail, cut > start && read.len() == 3, "at {cut}");
        outcomes[read.len() - 3] += 1;
        if cut % 97 == 0 {
            drop(opened);
            check_crash(&disk, 16384, &all, 3);
        }
    }
    assert!(outcomes[0] > 2400 && outcomes[1] > 0, "{outcomes:?}");
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

/// H50: in whatever order the pages arrived.
#[test]
fn every_subset_of_the_last_pages_may_be_missing() {
    let mut all = groups(9, 4, 60);
    all.push(big_group(10, 40_000));
    let disk = in_flight(65536, &all[..4], &all[4]);
    let first = offset_of(&disk.unsynced()[0]);
    let pages =
        disk.unsynced().iter().map(|s| offset_of(s) / 4096).max().unwrap() - first / 4096 + 1;
    assert!((10..=12).contains(&pages), "{pages} pages");
    for subset in 0..1u32 << pages {
        let disk = disk.fork();
        disk.power_loss(&mut |sector| {
            let page = offset_of(sector) / 4096 - first / 4096;
            if subset >> page & 1 == 1 { Fate::Keep } else { Fate::Drop }
        });
        let (opened, read) = open(&disk, 65536).unwrap();
        let whole = subset == (1 << pages) - 1;
        assert_eq!(read.len(), if whole { 5 } else { 4 });
        assert_eq!(read, all[..read.len()]);
        let clean = whole || subset == 0;
        assert_eq!(opened.tail == Tail::Clean, clean, "subset {subset:b}");
    }
}

#[test]
fn torn_sectors_are_never_taken_for_a_group() {
    let mut all = groups(11, 4, 60);
    all.push(big_group(12, 3000));
    let disk = in_flight(16384, &all[..4], &all[4]);
    let sectors = disk.unsynced().len();
    let mut source = Source(13);
    for round in 0..600 {
        let disk = disk.fork();
        let mut at = 0;
        disk.power_loss(&mut |_| {
            at += 1;
            // Each sector alone, then any mixture.
            if round < sectors && at - 1 != round {
                return Fate::Keep;
            }
            match source.below(3) {
                0 if round >= sectors => Fate::Keep,
                1 if round >= sectors => Fate::Drop,
                _ => {
                    let length = source.below(513) as usize;
                    Fate::Torn(source.bytes(length))
                }
            }
        });
        check_crash(&disk, 16384, &all, 4);
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

/// H54: the loss of a name that was not synced is among the crashes.
#[test]
fn a_crash_at_every_operation_of_appending_and_rolling() {
    let all = groups(14, 40, 300);
    let mut acknowledged = 0;
    let start = CrashDisk::new();
    let appended = std::cell::Cell::new(0);
    let crashes = crash_everywhere(
        &start,
        &mut |disk| {
            appended.set(0);
            let Ok((opened, _)) = open(disk, 4096) else { return false };
            let mut log = opened.log;
            for group in &all {
                if log.append(log.end().next(), group).is_err() {
                    return false;
                }
                appended.set(appended.get() + 1);
            }
            true
        },
        &mut |disk| {
            acknowledged = acknowledged.max(appended.get());
            check_crash(disk, 4096, &[&all[..], &groups(99, 1, 20)].concat(), appended.get());
        },
    );
    assert_eq!(acknowledged, 40);
    assert!(crashes > 400, "{crashes} crashes");
}

#[test]
fn a_crash_at_every_operation_of_recovery_and_of_its_recovery() {
    // The last one goes behind others.
    let mut all = groups(15, 33, 300);
    let last = big_group(16, 1500);
    let torn = in_flight(8192, &all, &last);
    let mut at = 0;
    torn.power_loss(&mut |_| {
        at += 1;
        if at == 2 { Fate::Drop } else { Fate::Keep }
    });
    torn.put("new-7", vec![1; 600]);
    all.push(last);
    let recover = |disk: &CrashDisk| open(disk, 8192).is_ok();
    let mut depth_two = 0;
    let crashes = crash_everywhere(&torn, &mut |disk| recover(disk), &mut |disk| {
        depth_two += crash_everywhere(disk, &mut |disk| recover(disk), &mut |disk| {
            let (opened, read) = open(disk, 8192).unwrap();
            assert_eq!(read, all[..33]);
            assert_eq!(opened.tail, Tail::Cut { after: GroupSeq(33) }, "a cut is not forgotten");
        });
    });
    assert!(crashes >= 35 && depth_two > 1000, "{crashes} crashes, {depth_two} in recovery");
}

/// What may come of damage: nothing, a shorter log that says it was cut, or `Lost`.
fn check_damage(disk: &CrashDisk, segment_bytes: u64, all: &[Vec<LogRecord>]) -> &'static str {
    match open(disk, segment_bytes) {
        Ok((opened, read)) => {
            assert_eq!(read, all[..read.len()], "other data");
            let cut = Tail::Cut { after: opened.end };
            if read.len() == all.len() {
                if opened.tail == cut { "cut nothing" } else { "same" }
            } else {
                assert_eq!(read.len(), all.len() - 1, "only the last group may be cut");
                assert_eq!(opened.tail, cut);
                "cut"
            }
        }
        Err(LogError::Lost { sentence }) => {
            assert!(!sentence.is_empty());
            "lost"
        }
        Err(other) => panic!("{other}"),
    }
}

fn flip_bits(
    disk: &CrashDisk,
    name: &str,
    step: usize,
    all: &[Vec<LogRecord>],
) -> Vec<(String, usize)> {
    let image = disk.read(name).unwrap();
    let mut outcomes = std::collections::BTreeMap::new();
    for bit in (0..image.len() * 8).step_by(step) {
        let damaged = CrashDisk::new();
        for other in disk.list().unwrap() {
            damaged.put(&other, disk.read(&other).unwrap());
        }
        damaged.rot(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        *outcomes.entry(check_damage(&damaged, 4096, all).to_owned()).or_insert(0) += 1;
    }
    outcomes.into_iter().collect()
}

/// H51: damage before the last group is never cut off, nor anything behind it.
#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    let all = groups(17, 26, 300);
    let disk = disk_with(4096, &all);
    let last = open(&disk, 4096).unwrap().0.log.current.number;
    keep_all(&disk);
    let tail = flip_bits(&disk, &segment::name(last), 1, &all);
    let middle = flip_bits(&disk, &segment::name(last - 1), 1, &all);
    let count = |of: &[(String, usize)], what: &str| {
        of.iter().find(|(name, _)| name == what).map_or(0, |(_, count)| *count)
    };
    assert!(count(&tail, "lost") > 4096 && count(&tail, "cut") > 0, "{tail:?}");
    assert!(count(&middle, "lost") > 4096 && count(&middle, "cut") == 0, "{middle:?}");
}

/// Flips bits of a log of 64 KiB that fills one segment.
fn flip_64_kib(step: usize) -> Vec<(String, usize)> {
    let mut source = Source(27);
    let mut all = Vec::new();
    let disk = CrashDisk::new();
    let mut log = open(&disk, 65536).unwrap().0.log;
    while log.room().bytes > 10_000 {
        let records = source.records(300);
        log.append(log.end().next(), &records).unwrap();
        all.push(records);
    }
    assert!(log.sealed.is_empty() && all.len() > 30);
    drop(log);
    drop_all(&disk);
    flip_bits(&disk, &segment::name(1), step, &all)
}

#[test]
fn bits_flipped_all_over_64_kib_are_noticed_or_harmless() {
    let outcomes = flip_64_kib(61);
    assert!(outcomes.len() >= 3, "{outcomes:?}");
}

#[test]
#[ignore = "half a million logs are opened: a minute or two"]
fn every_flipped_bit_of_64_kib_is_noticed_or_harmless() {
    println!("{:?}", flip_64_kib(1));
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

#[test]
fn a_missing_or_shortened_segment_is_lost_and_nothing_is_changed() {
    let all = groups(21, 60, 300);
    let disk = disk_with(4096, &all);
    drop(open(&disk, 4096).unwrap());
    keep_all(&disk);
    let names = disk.list().unwrap();
    for (at, name) in names.iter().enumerate() {
        let gone = disk.fork();
        gone.remove(name).unwrap();
        gone.sync_dir().unwrap();
        match open(&gone, 4096) {
            // As if freed: the keystore must have what was in it.
            Ok((opened, read)) if at == 0 => assert_eq!(read, all[opened.first.0 as usize - 1..]),
            // Only the others that know the log's end can tell (R7).
            Ok((_, read)) if at == names.len() - 1 => assert_eq!(read, all[..read.len()]),
            Ok(_) => panic!("a gap was not noticed"),
            Err(LogError::Lost { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        let short = disk.fork();
        short.put(name, disk.read(name).unwrap()[..3000].to_vec());
        short.put("new-1", vec![1]);
        let operations = short.operations();
        assert!(matches!(open(&short, 4096), Err(LogError::Lost { .. })));
        assert_eq!(short.operations(), operations, "nothing was touched");
    }
}

#[test]
fn garbage_files_never_panic() {
    let mut source = Source(22);
    let header = SegmentHeader {
        identity: STORE,
        number: 1,
        first: GroupSeq(1),
        length: 4096,
        cut_after: None,
    };
    for round in 0..3000 {
        let disk = CrashDisk::new();
        let mut bytes = source.bytes(4096);
        if round % 3 > 0 {
            bytes[..SECTOR].copy_from_slice(&header.encode());
        }
        if round % 3 == 2 {
            // A group with a valid header, any lengths, and garbage for a body.
            let place = Place { store: STORE.store, segment: 1 };
            let mut image = Vec::new();
            let length = source.below(3000) as usize;
            group::seal(place, GroupSeq(1), source.next() as u32, &vec![0; length], &mut image);
            let keep = source.below(image.len() as u64 + 1) as usize;
            bytes[SECTOR..][..keep].copy_from_slice(&image[..keep]);
        }
        disk.put(&segment::name(1), bytes);
        match open(&disk, 4096) {
            Ok((opened, read)) => {
                assert!(round % 3 > 0 && read.is_empty());
                assert_eq!(opened.tail, Tail::Cut { after: GroupSeq(0) });
            }
            Err(LogError::Lost { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// H50: a length that is garbage.
#[test]
fn lengths_are_checked_before_allocation() {
    let place = Place { store: STORE.store, segment: 1 };
    let mut image = Vec::new();
    group::seal(place, GroupSeq(1), 1, &vec![1; 5 << 20], &mut image);
    let disk = disk_with(4096, &[]);
    let name = segment::name(1);
    disk.rot(&name, |bytes| bytes[SECTOR..].copy_from_slice(&image[..4096 - SECTOR]));
    let (opened, read) = open(&disk, 4096).unwrap();
    assert!(read.is_empty());
    assert_eq!(opened.tail, Tail::Cut { after: GroupSeq(0) });
}

#[test]
fn bytes_left_from_another_segment_or_store_are_not_groups() {
    let all = groups(23, 60, 300);
    let disk = disk_with(4096, &all);
    let (first, last) = {
        let log = open(&disk, 4096).unwrap().0.log;
        (segment::name(1), (segment::name(log.current.number), log.current.offset as usize))
    };
    keep_all(&disk);
    // Behind the last segment's groups are an older segment's, as after recycling.
    let stale = disk.read(&first).unwrap();
    let count = 4096 - last.1;
    assert!(count > 0);
    disk.rot(&last.0, |bytes| bytes[last.1..].copy_from_slice(&stale[SECTOR..][..count]));
    let (opened, read) = open(&disk, 4096).unwrap();
    assert_eq!(read, all);
    assert_eq!(opened.tail, Tail::Clean);

    let place = Place { store: Uuid(8), segment: 1 };
    let mut image = Vec::new();
    let mut body = Vec::new();
    codec::encode(&LogRecord::Commit { id: protocol::ids::Version::ZERO }, &mut body);
    group::seal(place, GroupSeq(1), 1, &body, &mut image);
    let disk = disk_with(4096, &[]);
    disk.rot(&segment::name(1), |bytes| bytes[SECTOR..2 * SECTOR].copy_from_slice(&image));
    assert!(open(&disk, 4096).unwrap().1.is_empty());
}

#[test]
fn a_value_crafted_to_look_like_a_later_group_is_only_a_value() {
    // Any sector of a torn group may be all that is left of it, so a value is tried at all
    // places: a whole later group in every one of 512 alignments.
    let place = Place { store: STORE.store, segment: 1 };
    let mut fake = Vec::new();
    group::seal(place, GroupSeq(3), 0, &[], &mut fake);
    let mut first = groups(24, 1, 10);
    for shift in 0..SECTOR {
        let mut value = vec![b'x'; shift];
        (0..4).for_each(|_| value.extend_from_slice(&fake));
        let write = crate::core::record::Write {
            key: protocol::ids::Key::new("k").unwrap(),
            value: Some(value.into()),
            previous: crate::core::record::Previous::Any,
            flags: 0,
            expires_ms: 0,
        };
        let prepared = crate::core::record::Prepared {
            id: protocol::ids::Version::from_number(1),
            ring: Default::default(),
            participants: vec![protocol::ids::MemberId(1)],
            rests_on: vec![],
            writes: vec![write],
            once: None,
        };
        let last = vec![LogRecord::Prepare(Arc::new(prepared))];
        let disk = in_flight(16384, &first, &last);
        let header = offset_of(&disk.unsynced()[0]);
        disk.power_loss(&mut |s| if offset_of(s) == header { Fate::Drop } else { Fate::Keep });
        let (opened, read) = open(&disk, 16384).expect("a torn group, not a lost one");
        assert_eq!((opened.tail, &read), (Tail::Cut { after: GroupSeq(1) }, &first));
        if shift == SECTOR - 1 {
            first.push(last);
        }
    }
}

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
    let write = crate::core::record::Write {
        key: protocol::ids::Key::new("k").unwrap(),
        value: Some(value),
        previous: crate::core::record::Previous::Any,
        flags: 0,
        expires_ms: 0,
    };
    let prepared = crate::core::record::Prepared {
        id: protocol::ids::Version::from_number(1),
        ring: Default::default(),
        participants: vec![protocol::ids::MemberId(1)],
        rests_on: vec![],
        writes: vec![write; 256],
        once: None,
    };
    let group = [LogRecord::Prepare(Arc::new(prepared))];
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
