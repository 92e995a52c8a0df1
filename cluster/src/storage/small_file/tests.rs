//! The state file at every crash point, with every bit flipped, and with failing disks.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::storage::codec::tests::Source;
use crate::storage::crash_disk::{CrashDisk, Fate};

const STORE: Identity = Identity { cluster: Uuid(0xc1), store: Uuid(0x57) };

type Opened = Result<(SmallFile, Option<Vec<u8>>), SmallFileError>;

fn open(disk: &CrashDisk) -> Opened {
    SmallFile::open(Arc::new(disk.clone()), "fence", STORE)
}

fn content(number: u64) -> Vec<u8> {
    // Grows past what the copies have room for.
    Source(number).bytes(100 + 1500 * number as usize)
}

/// A disk on which 1 to `count` were saved.
fn saved(count: u64) -> CrashDisk {
    let disk = CrashDisk::new();
    let (mut file, nothing) = open(&disk).unwrap();
    assert_eq!(nothing, None);
    (1..=count).for_each(|number| file.save(&content(number)).unwrap());
    disk
}

#[test]
fn the_last_save_is_found() {
    for count in 1..8 {
        let disk = saved(count);
        disk.power_loss(&mut |_| Fate::Drop);
        let (mut file, found) = open(&disk).unwrap();
        assert_eq!(found, Some(content(count)));
        file.save(b"").unwrap();
        assert_eq!(open(&disk).unwrap().1, Some(vec![]));
    }
    assert_eq!(open(&CrashDisk::new()).unwrap().1, None);
}

#[test]
fn a_crash_at_every_operation_leaves_the_old_or_the_new() {
    let mut crashes = 0;
    for count in 0..7 {
        let start = saved(count);
        for stop in 0..40 {
            let stopped = start.fork();
            let (mut file, _) = open(&stopped).unwrap();
            stopped.stop_after(stop);
            let done = file.save(&content(count + 1)).is_ok();
            stopped.kill();
            for way in 0..40 {
                let disk = stopped.fork();
                let mut source = Source(stop * 100 + way);
                let mut lose = |disk: &CrashDisk| {
                    disk.power_loss(&mut |_| match (way, source.below(3)) {
                        (0, _) | (2.., 0) => Fate::Keep,
                        (1, _) | (2.., 1) => Fate::Drop,
                        _ => Fate::Torn(source.bytes(512)),
                    });
                };
                lose(&disk);
                // A crash in the repair, too.
                disk.stop_after(way % 9);
                let _ = open(&disk);
                lose(&disk);
                let (mut file, found) = open(&disk).unwrap();
                let old = (count > 0).then(|| content(count));
                let new = Some(content(count + 1));
                assert!(found == new || (!done && found == old), "save {count} stop {stop}");
                let a = disk.read("fence.a").map(|a| a[..HEADER_BYTES].to_vec());
                let b = disk.read("fence.b").map(|b| b[..HEADER_BYTES].to_vec());
                assert_eq!(a, b, "both copies are whole again");
                file.save(b"more").unwrap();
                disk.power_loss(&mut |_| Fate::Drop);
                assert_eq!(open(&disk).unwrap().1, Some(b"more".to_vec()));
                crashes += 1;
            }
            if done {
                break;
            }
        }
    }
    assert!(crashes > 1500, "{crashes}");
}

#[test]
fn rot_of_one_copy_costs_nothing_and_of_both_is_lost() {
    let disk = saved(2);
    let used = HEADER_BYTES + content(2).len();
    for bit in 0..used * 8 {
        let rotten = disk.fork();
        let name = ["fence.a", "fence.b"][bit % 2];
        rotten.rot(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(open(&rotten).unwrap().1, Some(content(2)));
        assert_eq!(rotten.read("fence.a"), rotten.read("fence.b"), "repaired");
    }
    for flips in 0..2000 {
        let rotten = disk.fork();
        let mut source = Source(flips);
        for name in ["fence.a", "fence.b"] {
            let bit = source.below(used as u64 * 8) as usize;
            rotten.rot(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        }
        assert!(matches!(open(&rotten), Err(SmallFileError::Lost { .. })));
    }
}

#[test]
fn garbage_and_wrong_lengths_are_lost_never_a_panic() {
    let mut source = Source(3);
    for length in [0, 1, 91, 92, 93, 512, 4096, 5000] {
        let disk = CrashDisk::new();
        let mut bytes = source.bytes(length);
        disk.put("fence.b", bytes.clone());
        assert!(matches!(open(&disk), Err(SmallFileError::Lost { .. })));
        if length > 92 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[88..92].fill(0xff);
            disk.put("fence.a", bytes);
            assert!(matches!(open(&disk), Err(SmallFileError::Lost { .. })));
        }
    }
}

#[test]
fn a_failed_sync_poisons() {
    for failing in 0..6 {
        let disk = saved(1);
        let (mut file, _) = open(&disk).unwrap();
        disk.fail_sync_after(failing);
        let Err(error) = file.save(&content(2)) else { continue };
        assert!(matches!(error, SmallFileError::Io { .. }));
        assert!(matches!(file.save(b"again"), Err(SmallFileError::Poisoned(_))));
    }
}

#[test]
fn an_error_of_any_step_poisons_and_leaves_the_old_or_the_new() {
    // In place, and into longer copies: files made, renamed, the directory synced.
    for length in [10, COPY_BYTES_MIN] {
        for step in 0.. {
            let disk = saved(1);
            let (mut file, _) = open(&disk).unwrap();
            let new = vec![7; length];
            disk.stop_after(step);
            let Err(error) = file.save(&new) else {
                assert!(step >= 4);
                break;
            };
            assert!(matches!(error, SmallFileError::Io { .. }), "step {step}: {error}");
            disk.heal();
            assert!(matches!(file.save(b"again"), Err(SmallFileError::Poisoned(_))));
            for drops in [true, false] {
                let disk = disk.fork();
                if drops {
                    disk.power_loss(&mut |_| Fate::Drop);
                }
                let found = open(&disk).unwrap().1;
                assert!(found == Some(content(1)) || found.as_ref() == Some(&new), "step {step}");
            }
        }
    }
}

#[test]
fn a_full_disk_takes_what_fits_the_old_copies() {
    let disk = saved(1);
    let (mut file, _) = open(&disk).unwrap();
    let start = disk.operations();
    file.save(&vec![1; COPY_BYTES_MIN - HEADER_BYTES]).unwrap();
    assert_eq!(disk.operations() - start, 4, "two writes, two syncs, nothing allocated");
    let long = vec![0; CONTENT_BYTES_MAX + 1];
    assert!(matches!(file.save(&long), Err(SmallFileError::TooLong { .. })));
    file.save(b"still usable").unwrap();
}

/// Contract: "Every data file begins with a magic, a format number, cluster and store uuid"
/// Contract: "A newer format refuses to start and names the version that wrote it"
#[test]
fn a_strangers_or_newer_file_is_refused() {
    let disk = saved(1);
    let other = Identity { store: Uuid(9), ..STORE };
    let opened = SmallFile::open(Arc::new(disk.clone()), "fence", other);
    assert!(matches!(opened, Err(SmallFileError::Foreign { store: Uuid(0x57), .. })));
    let newer = |bytes: &mut [u8]| {
        bytes[8] = 2;
        let used = HEADER_BYTES + content(1).len();
        let crc = crc(&bytes[..used]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    };
    disk.rot("fence.a", newer);
    disk.rot("fence.b", newer);
    let Err(SmallFileError::Newer { format, written_by, .. }) = open(&disk) else {
        panic!("a newer format is refused");
    };
    assert_eq!((format, written_by.as_str()), (2, env!("CARGO_PKG_VERSION")));
}

/// There is always a next generation.
#[test]
fn a_generation_that_no_file_reaches_is_damage() {
    let disk = saved(1);
    for suffix in SUFFIXES {
        disk.rot(&format!("fence.{suffix}"), |bytes| {
            bytes[80..88].copy_from_slice(&u64::MAX.to_le_bytes());
            let crc = crc(&bytes[..HEADER_BYTES + content(1).len()]);
            bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        });
    }
    assert!(matches!(open(&disk), Err(SmallFileError::Lost { .. })));
}

#[test]
fn a_peek_shows_what_an_open_finds_and_changes_nothing() {
    let disk = saved(3);
    let look = |disk: &CrashDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        peek(&disk, "fence", STORE).unwrap()
    };
    let whole = Peek { content: Some(content(3)), generation: 3, damage: vec![] };
    assert_eq!(look(&disk), whole);
    assert_eq!(look(&CrashDisk::new()).content, None);
    for suffix in SUFFIXES {
        let name = format!("fence.{suffix}");
        let rotten = disk.fork();
        rotten.rot(&name, |bytes| bytes[200] ^= 1);
        let before = rotten.read(&name);
        let found = look(&rotten);
        assert_eq!(found.content, Some(content(3)));
        assert_eq!(found.damage, [format!("{name} has a wrong checksum")]);
        assert_eq!(rotten.read(&name), before);
    }
}
