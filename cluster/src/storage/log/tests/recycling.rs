//! Recycled segments: whatever a file held in an earlier life, nothing of it comes back as new.

use super::*;

/// A log whose current segment is in a file that was a segment before, more than once, with its
/// first `kept` groups freed; `more` groups into that. And all groups that were ever appended.
fn recycled(more: usize) -> (CrashDisk, Log, Groups) {
    let all = groups(31, 120 + more, 300);
    let disk = CrashDisk::new();
    let mut log = open(&disk, 4096).unwrap().0.log;
    for group in &all {
        log.append(log.end().next(), group).unwrap();
        if log.sealed.len() > 2 {
            let through = log.sealed[0].last;
            log.free_through(through).unwrap();
        }
    }
    assert!(log.current.number > 20);
    assert!(disk.list().unwrap().len() < 8, "few files had many lives");
    (disk, log, all)
}

/// The number of groups appended when the log last began a segment, of [`recycled`].
fn boundary() -> usize {
    let (_, mut log, _) = recycled(0);
    let all = groups(31, 160, 300);
    let number = log.current.number;
    (120..160)
        .find(|at| {
            log.append(log.end().next(), &all[*at]).unwrap();
            log.current.number > number
        })
        .expect("a segment fills up")
        - 120
}

/// The same log, and one more group that is written and not synced.
fn in_flight_recycled(more: usize, bytes: usize) -> (CrashDisk, Groups) {
    let (disk, mut log, mut all) = recycled(more);
    let last = big_group(33, bytes);
    disk.fail_sync_after(0);
    assert!(matches!(log.append(log.end().next(), &last), Err(LogError::Io { .. })));
    disk.heal();
    all.push(last);
    (disk, all)
}

/// Opens and appends, through several segments: all but the last group of `all` is there, and at
/// most that one. Returns how it ended, and whether that one was there.
fn check(disk: &CrashDisk, all: &[Vec<LogRecord>]) -> (Tail, bool) {
    let (opened, read) = open(disk, 4096).expect("a crash is no damage");
    let first = opened.first.0 as usize - 1;
    let end = first + read.len();
    assert!(end + 1 >= all.len(), "a synced group is gone");
    assert!(read == all[first..end], "a stale group came back as a new one");
    let tail = opened.tail;
    drop(opened);
    drop_all(disk);
    let (mut again, same) = open(disk, 4096).expect("recovery is idempotent");
    assert!(again.tail == tail && same == read);
    let more = groups(99, 3, 300);
    append_all(&mut again.log, &more);
    drop(again);
    keep_all(disk);
    let (last, longer) = open(disk, 4096).unwrap();
    assert!(last.tail == Tail::Clean && longer == [read, more].concat());
    (tail, end == all.len())
}

#[test]
fn freed_segments_become_the_next_ones_within_a_bound() {
    let disk = CrashDisk::new();
    let mut log = open(&disk, 4096).unwrap().0.log;
    append_all(&mut log, &groups(6, 100, 300));
    let freed = log.free_through(GroupSeq(u64::MAX)).unwrap();
    assert!(freed > SPARES_MAX && log.spares.len() == SPARES_MAX);
    assert_eq!(disk.list().unwrap().len(), 1 + SPARES_MAX, "what is beyond the bound is gone");
    assert!(log.prepare_next().is_none(), "there is one");
    let (bytes, number) = (log.bytes(), log.current.number);
    while log.current.number < number + SPARES_MAX as u64 {
        let records = groups(7, 1, 300);
        log.append(log.end().next(), &records[0]).unwrap();
    }
    assert_eq!(log.bytes(), bytes, "no space was asked for");
    assert_eq!(disk.list().unwrap().len(), 1 + SPARES_MAX);
    // One that was made for a long group is not kept.
    log.append(log.end().next(), &big_group(3, 9000)).unwrap();
    append_all(&mut log, &groups(8, 30, 300));
    log.free_through(GroupSeq(u64::MAX)).unwrap();
    assert!(!log.spares.is_empty() && log.spares.iter().all(|blank| blank.length == 4096));
    drop(log);
    drop_all(&disk);
    drop(open(&disk, 4096).unwrap());
    assert_eq!(disk.list().unwrap().len(), 1, "a start leaves no spare");
}

#[test]
fn h53_every_subset_of_the_sectors_in_flight_over_an_earlier_life() {
    let boundary = boundary();
    let (mut torn, mut whole) = (0, 0);
    // In the middle of a segment, at its end, as the first group of one, and behind that.
    for more in [0, boundary, boundary + 1, boundary + 2, boundary + 3] {
        for bytes in [60, 900, 2600] {
            let (disk, all) = in_flight_recycled(more, bytes);
            let sectors = disk.unsynced().len();
            assert!((1..=9).contains(&sectors), "{sectors}");
            for subset in 0..1u32 << sectors {
                let crashed = disk.fork();
                let mut at = 0;
                crashed.power_loss(&mut |_| {
                    at += 1;
                    if subset >> (at - 1) & 1 == 1 { Fate::Keep } else { Fate::Drop }
                });
                let (tail, there) = check(&crashed, &all);
                torn += usize::from(tail != Tail::Clean);
                whole += usize::from(there);
                if subset == 0 {
                    assert_eq!((tail, there), (Tail::Clean, false), "nothing was written");
                }
            }
        }
    }
    assert!(torn > 80 && whole > 5, "{torn} torn, {whole} whole");
}

#[test]
fn h53_torn_sectors_over_an_earlier_life() {
    let mut source = Source(35);
    let mut torn = 0;
    for (more, bytes) in [(0, 400), (1, 2400), (2, 400)] {
        let more = boundary() + more;
        let (disk, all) = in_flight_recycled(more, bytes);
        for _ in 0..250 {
            let crashed = disk.fork();
            crashed.power_loss(&mut |_| match source.below(4) {
                0 => Fate::Keep,
                1 => Fate::Drop,
                _ => {
                    let length = source.below(513) as usize;
                    Fate::Torn(source.bytes(length))
                }
            });
            torn += usize::from(check(&crashed, &all).0 != Tail::Clean);
        }
    }
    assert!(torn > 200, "{torn}");
}

#[test]
fn a_cut_at_every_byte_of_the_group_in_flight_over_an_earlier_life() {
    let (full, all) = in_flight_recycled(boundary() + 1, 1500);
    let before = full.fork();
    drop_all(&before);
    let number = open(&before.fork(), 4096).unwrap().0.log.current.number;
    let name = segment::name(number);
    let (old, new) = (before.read(&name).unwrap(), full.read(&name).unwrap());
    let (start, end) = span(&old, &new);
    assert!(old[start..end].iter().any(|byte| *byte != 0), "an earlier life is under it");
    let mut torn = 0;
    for cut in start..=end {
        let disk = before.fork();
        disk.rot(&name, |bytes| bytes[start..cut].copy_from_slice(&new[start..cut]));
        let (opened, read) = open(&disk, 4096).unwrap();
        let first = opened.first.0 as usize - 1;
        let there = first + read.len() == all.len();
        assert!(read == all[first..all.len() - usize::from(!there)]);
        let as_before = old[start..cut] == new[start..cut];
        let expected = !there && !as_before;
        assert_eq!(opened.tail != Tail::Clean, expected, "at {cut}");
        torn += usize::from(expected);
    }
    assert!(torn > 1000, "{torn}");
}

#[test]
fn every_flipped_bit_of_a_recycled_segment_is_noticed_or_harmless() {
    for more in [1, boundary() + 1] {
        let (disk, log, all) = recycled(more);
        let name = segment::name(log.current.number);
        drop(log);
        keep_all(&disk);
        let mut outcomes = std::collections::BTreeMap::new();
        for bit in 0..4096 * 8 {
            let damaged = disk.fork();
            damaged.rot(&name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let outcome = match open(&damaged, 4096) {
                Ok((opened, read)) => {
                    let first = opened.first.0 as usize - 1;
                    let missing = all.len() - first - read.len();
                    assert!(read == all[first..][..read.len()], "other data");
                    assert!(missing <= 1, "only the last group may be cut");
                    assert!(missing == 0 || opened.tail == Tail::Cut { after: opened.end });
                    if missing == 0 { "same" } else { "cut" }
                }
                Err(LogError::Lost { .. }) => "lost",
                Err(other) => panic!("{other}"),
            };
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        assert!(outcomes.len() >= 2 && outcomes["lost"] > 4000, "{outcomes:?}");
    }
}

/// H55: a segment has its next life only when its name in this one is gone for good.
#[test]
fn a_crash_at_every_operation_of_recycling_and_of_what_comes_after() {
    let all = groups(36, 40, 300);
    let (appended, freed) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let mut reused = 0;
    let start = CrashDisk::new();
    let crashes = crash_everywhere(
        &start,
        &mut |disk| {
            appended.set(0);
            freed.set(0);
            let Ok((opened, _)) = open(disk, 4096) else { return false };
            let mut log = opened.log;
            for group in &all {
                let spares = log.spares.len();
                if log.append(log.end().next(), group).is_err() {
                    return false;
                }
                reused += usize::from(log.spares.len() < spares);
                appended.set(appended.get() + 1);
                if log.sealed.len() > 1 {
                    freed.set(log.sealed[0].last.0 as usize);
                    if log.free_through(log.sealed[0].last).is_err() {
                        return false;
                    }
                }
            }
            true
        },
        &mut |disk| {
            let (opened, read) = open(disk, 4096).expect("a crash is no damage");
            let first = opened.first.0 as usize - 1;
            assert!(first <= freed.get(), "a needed segment is gone");
            assert!(first + read.len() >= appended.get(), "a synced group is gone");
            assert!(read == all[first..first + read.len()], "a stale group came back");
        },
    );
    assert!(crashes > 400 && reused > 100, "{crashes} crashes, {reused} reused");
}
