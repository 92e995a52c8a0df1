//! Damage: bits that flip, files that are missing, short or garbage, and bytes that are from
//! elsewhere or made to look like groups.

use super::*;

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

/// There is always a next group and a next segment.
#[test]
fn numbers_that_no_log_reaches_are_damage() {
    for (number, first) in [(1, u64::MAX), (u64::MAX, 1)] {
        let (identity, first) = (STORE, GroupSeq(first));
        let header = SegmentHeader { identity, number, first, length: 4096, cut_after: None };
        let mut bytes = header.encode();
        group::seal(Place { store: STORE.store, segment: number }, first, 0, &[], &mut bytes);
        bytes.resize(4096, 0);
        let disk = CrashDisk::new();
        disk.put(&segment::name(number), bytes);
        assert!(matches!(open(&disk, 4096), Err(LogError::Lost { .. })));
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
        let last = vec![prepare_of(value.into(), 1)];
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
