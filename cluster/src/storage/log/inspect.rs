//! The log as it lies on the disk, for people: every segment, group and record, and what is wrong
//! with them.
//!
//! Called by `inspect` for a directory that no server has. Reads with the code of `open`, but goes
//! on behind damage and writes nothing: what a start would cut, rewrite or refuse is only told.

use std::io;

use protocol::ids::{GroupSeq, Uuid};

use super::open::{self, Segment};
use super::segment::{self, SegmentHeader};
use super::{LogConfig, LogError};
use crate::core::record::LogRecord;
use crate::storage::codec;
use crate::storage::disk::Disk;
use crate::storage::identity::Identity;

/// Something in a log, in the order in which it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A segment begins.
    Segment {
        /// Its number.
        number: u64,
        /// The group that it begins with.
        first: GroupSeq,
        /// Of the file, bytes.
        length: u64,
        /// A start has cut the log behind this group.
        cut_after: Option<GroupSeq>,
    },
    /// A whole group begins.
    Group {
        /// Its number.
        seq: GroupSeq,
        /// Where in the segment's file, bytes.
        offset: u64,
        /// On the disk, bytes.
        bytes: u64,
        /// How many records it has.
        records: u32,
    },
    /// A record of the group.
    Record(LogRecord),
    /// A segment ends.
    SegmentEnd {
        /// Its number.
        number: u64,
        /// The group that would come next.
        next: GroupSeq,
        /// What its header and groups take, bytes.
        used: u64,
    },
    /// Behind the last whole group of the last segment something was written that is none: an
    /// append that a crash interrupted, or rot. The next start cuts it off.
    Torn {
        /// The segment's number.
        number: u64,
        /// Where in its file, bytes.
        offset: u64,
        /// The last group before it.
        after: GroupSeq,
    },
    /// Something that a node would not start over, or that cannot be read.
    Damaged(String),
    /// A file that is not, or not yet, part of the log.
    Blank {
        /// Its name.
        name: String,
        /// Bytes.
        length: u64,
    },
}

/// The store that the first segment with a whole header says it belongs to.
pub fn store_of(disk: &dyn Disk) -> Option<Uuid> {
    let numbers = numbers(&disk.list().ok()?);
    numbers.into_iter().find_map(|number| {
        let file = disk.open(&segment::name(number)).ok()?;
        segment::store_of(file.as_ref())
    })
}

/// Shows everything in the log of `disk` that belongs to `identity`.
///
/// # Errors
/// What the disk says when its directory cannot be listed. A file that cannot be read is
/// [`Found::Damaged`].
pub fn inspect(
    disk: &dyn Disk,
    identity: Identity,
    visit: &mut dyn FnMut(Found),
) -> io::Result<()> {
    let names = disk.list()?;
    let numbers = numbers(&names);
    let mut expected: Option<(u64, GroupSeq)> = None;
    for (at, &number) in numbers.iter().enumerate() {
        let last = at + 1 == numbers.len();
        if let Some((before, next)) = expected
            && number != before + 1
        {
            let missing = before + 1;
            visit(Found::Damaged(format!(
                "segment {missing} of the log is missing, and with it group {} and what follows",
                next.0
            )));
            expected = None;
        }
        let next = expected.map(|(_, next)| next);
        match show(disk, identity, number, next, last, visit) {
            Ok(next) => expected = Some((number, next)),
            Err(error) => {
                visit(Found::Damaged(sentence(error)));
                expected = None;
            }
        }
    }
    let mut blanks: Vec<&String> =
        names.iter().filter(|name| segment::is_temporary(name)).collect();
    blanks.sort_unstable();
    for name in blanks {
        let length = disk.open(name).and_then(|file| file.length()).unwrap_or(0);
        visit(Found::Blank { name: name.clone(), length });
    }
    Ok(())
}

fn numbers(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
    numbers.sort_unstable();
    numbers
}

/// What is wrong, without the advice for one who runs a server.
fn sentence(error: LogError) -> String {
    match error {
        LogError::Lost { sentence } => sentence,
        LogError::Io { what, error } => format!("cannot {what}: {error}"),
        other => other.to_string(),
    }
}

/// Shows one segment; returns the group that comes next.
fn show(
    disk: &dyn Disk,
    identity: Identity,
    number: u64,
    expected: Option<GroupSeq>,
    last: bool,
    visit: &mut dyn FnMut(Found),
) -> Result<GroupSeq, LogError> {
    let config = LogConfig::new(identity);
    let mut read = Segment::open(disk, &config, number)?;
    let SegmentHeader { first, length, cut_after, .. } = read.header;
    visit(Found::Segment { number, first, length, cut_after });
    if let Err(error) = read.follows(expected) {
        visit(Found::Damaged(sentence(error)));
    }
    while let Some((records, body, extent)) = read.group()? {
        let (seq, offset) = (read.next, read.end);
        visit(Found::Group { seq, offset, bytes: extent, records });
        let mut count = 0u32;
        for record in codec::decode(&body) {
            match record {
                Ok(record) => visit(Found::Record(record)),
                Err(bad) => visit(Found::Damaged(format!("group {} cannot be read: {bad}", seq.0))),
            }
            count += 1;
        }
        if count != records {
            let text = format!("group {} should have {records} records and has {count}", seq.0);
            visit(Found::Damaged(text));
        }
        read.next = read.next.next();
        read.end += extent;
    }
    let (next, used) = (read.next, read.end);
    visit(Found::SegmentEnd { number, next, used });
    // In any segment: what stands behind a bad group proves that it was good once.
    if open::is_torn(&read)? {
        let after = GroupSeq(next.0.saturating_sub(1));
        if last {
            visit(Found::Torn { number, offset: used, after });
        } else {
            visit(Found::Damaged(format!(
                "segment {number} has something unreadable behind group {}, and is not the last",
                after.0
            )));
        }
    } else if next == first && (number > 1 || !last) {
        visit(Found::Damaged(format!("segment {number} of the log has lost its first group")));
    }
    Ok(next)
}
