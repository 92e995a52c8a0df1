//! Crashes: a group in flight cut, torn or out of order, and a stop at every operation.

use super::*;

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
