//! An error at each step of appending, rolling and freeing: a full disk leaves no trace and the
//! log usable, any other error ends it.

use super::*;

/// Appends and frees, so that segments are begun, freed and used again; the error that it met.
fn act(log: &mut Log, all: &[Vec<LogRecord>], appended: &mut usize) -> Option<LogError> {
    for group in all {
        if let Err(error) = log.append(log.end().next(), group) {
            return Some(error);
        }
        *appended += 1;
        if log.sealed.len() > 2
            && let Err(error) = log.free_through(log.sealed[1].last)
        {
            return Some(error);
        }
    }
    None
}

/// What is there is a suffix of `all` that ends with group `synced`, or with one more.
fn check_suffix(disk: &CrashDisk, all: &[Vec<LogRecord>], synced: usize) {
    let (opened, read) = open(disk, 4096).expect("no damage");
    let first = opened.first.0 as usize - 1;
    assert!((synced..=synced + 1).contains(&(first + read.len())), "{synced}");
    assert!(read == all[first..first + read.len()]);
}

/// H10: nothing is tried again.
#[test]
fn an_error_of_any_step_poisons_though_the_disk_is_well_afterwards() {
    let all = groups(41, 45, 300);
    for step in 0.. {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        let made = log.prepare_next().unwrap();
        disk.stop_after(step);
        let mut appended = 0;
        let Some(error) = act(&mut log, &all, &mut appended) else {
            assert!(step > 120, "{step} steps");
            break;
        };
        assert!(matches!(error, LogError::Io { .. }), "step {step}: {error}");
        assert_eq!(log.end(), GroupSeq(appended as u64));
        disk.heal();
        let next = log.end().next();
        assert!(matches!(log.append(next, &all[0]), Err(LogError::Poisoned)));
        assert!(matches!(log.free_through(GroupSeq(1)), Err(LogError::Poisoned)));
        assert!(matches!(log.accept_next(made.run()), Err(LogError::Poisoned)));
        assert!(log.prepare_next().is_none());
        let lost_power = disk.fork();
        drop_all(&lost_power);
        check_suffix(&lost_power, &all, appended);
        check_suffix(&disk, &all, appended);
    }
}

/// What a sync was to make durable is in danger, whatever its error says: no space is no excuse.
#[test]
fn h58_a_sync_that_first_tells_of_a_full_disk_poisons() {
    let all = groups(43, 45, 300);
    for sync in 0.. {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        disk.fill_at_sync_after(sync);
        let mut appended = 0;
        let Some(error) = act(&mut log, &all, &mut appended) else {
            assert!(sync > 45, "{sync} syncs");
            break;
        };
        assert!(matches!(error, LogError::Io { .. }), "sync {sync}: {error}");
        let next = log.end().next();
        assert!(matches!(log.append(next, &all[0]), Err(LogError::Poisoned)));
        drop_all(&disk);
        check_suffix(&disk, &all, appended);
    }
}

#[test]
fn a_segment_that_cannot_be_made_ahead_poisons_unless_the_disk_is_full() {
    for full in [true, false] {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        let work = log.prepare_next().unwrap();
        if full {
            disk.full_after(700, false);
        } else {
            disk.stop_after(1);
        }
        let accepted = log.accept_next(work.run());
        disk.heal();
        let record = groups(42, 1, 30);
        let appended = log.append(GroupSeq(1), &record[0]);
        if full {
            assert!(accepted.is_ok() && log.room().full && appended.is_ok());
            assert_eq!(disk.list().unwrap().len(), 1, "nothing half made is left");
            assert!(log.prepare_next().is_some(), "it is tried again");
        } else {
            assert!(matches!(accepted, Err(LogError::Io { .. })));
            assert!(matches!(appended, Err(LogError::Poisoned)));
        }
    }
}

#[test]
fn a_full_disk_leaves_no_trace_of_a_group_in_recycled_segments_either() {
    let all = groups(43, 90, 300);
    let mut refused = 0;
    for full_after in (0..30_000).step_by(211) {
        let disk = CrashDisk::new();
        let mut log = open(&disk, 4096).unwrap().0.log;
        append_all(&mut log, &all[..45]);
        log.free_through(GroupSeq(45)).unwrap();
        assert!(log.spares.len() > 1);
        disk.full_after(full_after, false);
        for group in &all[45..] {
            let end = log.end();
            match log.append(end.next(), group) {
                Ok(()) => {}
                Err(LogError::DiskFull) => {
                    refused += 1;
                    assert_eq!(log.end(), end);
                    for drops in [true, false] {
                        let crashed = disk.fork();
                        if drops {
                            drop_all(&crashed);
                        }
                        let (opened, read) = open(&crashed, 4096).unwrap();
                        let first = opened.first.0 as usize - 1;
                        assert!(read == all[first..end.0 as usize]);
                        assert_eq!(opened.tail, Tail::Clean);
                    }
                    log.append(end.next(), group).expect("there is space again");
                }
                Err(other) => panic!("{other}"),
            }
        }
        drop_all(&disk);
        check_suffix(&disk, &all, all.len());
    }
    assert!(refused > 60, "{refused} refusals");
}
