//! The log as it is shown to people: the same records as at a start, nothing changed, and every
//! kind of damage told.

use super::*;
use crate::storage::log::{Found, inspect, store_of};

fn show(disk: &CrashDisk) -> Vec<Found> {
    let mut found = Vec::new();
    inspect(disk, STORE, &mut |one| found.push(one)).unwrap();
    found
}

fn records(found: &[Found]) -> Groups {
    let mut groups = Groups::new();
    for one in found {
        match one {
            Found::Group { .. } => groups.push(vec![]),
            Found::Record(record) => groups.last_mut().unwrap().push(record.clone()),
            _ => {}
        }
    }
    groups
}

fn damage(found: &[Found]) -> usize {
    found.iter().filter(|one| matches!(one, Found::Damaged(_) | Found::Torn { .. })).count()
}

#[test]
fn what_is_shown_is_what_a_start_reads() {
    let all = groups(71, 40, 300);
    let disk = disk_with(4096, &all);
    let found = show(&disk);
    assert_eq!((records(&found), damage(&found)), (all, 0));
    let segments: Vec<u64> = found
        .iter()
        .filter_map(|one| match one {
            Found::Segment { number, .. } => Some(*number),
            _ => None,
        })
        .collect();
    assert!(segments.len() > 2 && segments.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(store_of(&disk), Some(STORE.store));
    assert_eq!(show(&CrashDisk::new()), []);
}

/// Whatever is flipped: a start that refuses has been told damaged, and what is shown as a record
/// was one.
#[test]
fn damage_is_told_wherever_it_is() {
    let all = groups(72, 12, 200);
    let disk = disk_with(4096, &all);
    let (mut told, mut names) = (0, disk.list().unwrap());
    names.retain(|name| segment::number(name).is_some());
    for name in &names {
        let length = disk.read(name).unwrap().len();
        for at in (0..length).step_by(97) {
            let rotten = disk.fork();
            rotten.rot(name, |bytes| bytes[at] ^= 0x10);
            let found = show(&rotten);
            assert!(records(&found).iter().all(|group| all.contains(group)), "{name} byte {at}");
            told += usize::from(damage(&found) > 0);
            match open(&rotten, 4096) {
                Ok((opened, _)) => {
                    let torn = found.iter().any(|one| matches!(one, Found::Torn { .. }));
                    assert_eq!(torn, opened.tail != Tail::Clean, "{name} byte {at}");
                }
                Err(_) => assert!(damage(&found) > 0, "{name} byte {at}"),
            }
        }
    }
    assert!(told > 20, "{told}");
    let gap = disk.fork();
    gap.remove(&names.iter().min().unwrap().clone()).unwrap();
    assert_eq!(damage(&show(&gap)), 0, "older segments are freed from the front");
    assert!(names.len() > 2, "one in the middle");
    let mut sorted = names.clone();
    sorted.sort();
    let gap = disk.fork();
    gap.remove(&sorted[1]).unwrap();
    let missing = |one: &Found| matches!(one, Found::Damaged(what) if what.contains("missing"));
    assert!(show(&gap).iter().any(missing));
}
