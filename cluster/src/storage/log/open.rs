//! Start-up: reads the whole log, tells a torn tail from damage, and makes a fresh tail (R7, R9).
//!
//! Called once, before the node talks to anyone. A group counts if its checksums are right and
//! its number follows. What does not count may be cut only at the very end, where a crash can
//! have left it: since a group is written only after the one before it was synced, anything valid
//! behind it proves damage, and then nothing on the disk is changed.
//! The last segment is rewritten into a new file, so that nothing is promised on the strength of
//! bytes which are only in the page cache.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::ids::GroupSeq;

use super::group::{self, Place, Trace};
use super::segment::{self, Blank, SegmentHeader};
use super::{Current, Log, LogConfig, LogError, Sealed};
use crate::core::planted::{Bug, planted};
use crate::core::record::LogRecord;
use crate::storage::codec;
use crate::storage::disk::{Disk, DiskFile, SECTOR};

/// How many bytes are read at a time where no group says how many.
const CHUNK_BYTES: usize = 1 << 20;

/// How the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a whole group and nothing behind it.
    Clean,
    /// Something behind the last whole group was unreadable, and is gone: an append that a crash
    /// interrupted, or rot. What it held is "lost here", never "none" (R7). Reported again at the
    /// next starts until a group is appended, since a crash may come before it is acted upon.
    Cut {
        /// The last group before the cut.
        after: GroupSeq,
    },
}

/// A log that is ready for appending.
pub struct Opened {
    /// The log.
    pub log: Log,
    /// Its last group; 0 if it has none.
    pub end: GroupSeq,
    /// The first group that was read. If it is above 1, all before it were freed: the keystore
    /// must have everything up to there.
    pub first: GroupSeq,
    /// How it ended.
    pub tail: Tail,
    /// Whether there was no log before: a new store, or one that was wiped.
    pub fresh: bool,
}

type Visit<'a> = &'a mut dyn FnMut(GroupSeq, LogRecord);

/// What was read of one segment.
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    file: Box<dyn DiskFile>,
    /// Where the first byte is that belongs to no valid group.
    pub(super) end: u64,
    /// The group that would come next.
    pub(super) next: GroupSeq,
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    config: LogConfig,
    visit: Visit<'_>,
) -> Result<Opened, LogError> {
    config.check();
    let names = disk.list().map_err(LogError::io("list the log's directory"))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
    numbers.sort_unstable();
    if let Some(gap) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        let missing = gap[0] + 1;
        return Err(LogError::lost(format!("segment {missing} of the log is missing")));
    }
    let Some((&last, sealed)) = numbers.split_last() else {
        remove_leftovers(disk.as_ref(), &names)?;
        return create(disk, config);
    };
    let mut expected = None;
    let mut kept = VecDeque::new();
    for &number in sealed {
        let read = read_segment(disk.as_ref(), &config, number, expected, visit)?;
        let (first, length) = (read.header.first, read.header.length);
        expected = Some(read.next);
        kept.push_back(Sealed { number, first, last: GroupSeq(read.next.0 - 1), length });
    }
    let read = read_segment(disk.as_ref(), &config, last, expected, visit)?;
    let end = GroupSeq(read.next.0 - 1);
    let torn = is_torn(&read)?;
    if last > 1 && read.next == read.header.first {
        // A segment gets its name when its first group is durable.
        return Err(LogError::lost(format!("segment {last} of the log has lost its first group")));
    }
    let cut = torn || read.header.cut_after == Some(end);
    let tail = if cut { Tail::Cut { after: end } } else { Tail::Clean };
    let first = kept.front().map_or(read.header.first, |sealed| sealed.first);
    // Not before: what is lost must stay as it is.
    remove_leftovers(disk.as_ref(), &names)?;
    let current = rewrite(disk.as_ref(), &config, read, cut.then_some(end))?;
    let log = Log::new(disk, config, kept, current, end);
    Ok(Opened { log, end, first, tail, fresh: false })
}

fn remove_leftovers(disk: &dyn Disk, names: &[String]) -> Result<(), LogError> {
    names
        .iter()
        .filter(|name| segment::is_temporary(name))
        .try_for_each(|name| segment::discard(disk, name))
}

fn create(disk: Arc<dyn Disk>, config: LogConfig) -> Result<Opened, LogError> {
    let first = GroupSeq(1);
    let header = SegmentHeader {
        identity: config.identity,
        number: 1,
        first,
        length: config.segment_bytes,
        cut_after: None,
    };
    let blank = Blank::make(disk.as_ref(), segment::temporary_name(0), header.length)?;
    let current = install(disk.as_ref(), blank, header, SECTOR as u64)?;
    let log = Log::new(disk, config, VecDeque::new(), current, GroupSeq(0));
    Ok(Opened { log, end: GroupSeq(0), first, tail: Tail::Clean, fresh: true })
}

/// Writes the header of a segment whose groups are in place, and gives it its name, durably.
fn install(
    disk: &dyn Disk,
    blank: Blank,
    header: SegmentHeader,
    offset: u64,
) -> Result<Current, LogError> {
    let Blank { mut file, name, length } = blank;
    assert_eq!(length, header.length);
    file.write_at(&header.encode(), 0).map_err(LogError::io("write the log"))?;
    file.sync_data().map_err(LogError::io("sync the log"))?;
    disk.rename(&name, &segment::name(header.number)).map_err(LogError::io("name a segment"))?;
    disk.sync_dir().map_err(LogError::io("sync the log's directory"))?;
    Ok(Current { file, number: header.number, first: header.first, length, offset })
}

fn rewrite(
    disk: &dyn Disk,
    config: &LogConfig,
    read: Segment,
    cut_after: Option<GroupSeq>,
) -> Result<Current, LogError> {
    let Segment { header, file, end, .. } = read;
    if planted(Bug::TailKept) {
        let SegmentHeader { number, first, length, .. } = header;
        return Ok(Current { file, number, first, length, offset: end });
    }
    let mut blank = Blank::make(disk, segment::temporary_name(0), header.length)?;
    let mut buffer = vec![0; CHUNK_BYTES.min((end as usize).max(SECTOR))];
    let mut at = SECTOR as u64;
    while at < end {
        let part = buffer.len().min((end - at) as usize);
        file.read_at(&mut buffer[..part], at).map_err(LogError::io("read the log"))?;
        blank.file.write_at(&buffer[..part], at).map_err(LogError::io("rewrite the log"))?;
        at += part as u64;
    }
    let identity = config.identity;
    install(disk, blank, SegmentHeader { identity, cut_after, ..header }, end)
}

/// Reads the valid groups of a segment. `expected` is the group that it must begin with.
fn read_segment(
    disk: &dyn Disk,
    config: &LogConfig,
    number: u64,
    expected: Option<GroupSeq>,
    visit: Visit<'_>,
) -> Result<Segment, LogError> {
    let mut read = Segment::open(disk, config, number)?;
    read.follows(expected)?;
    while let Some((records, body, extent)) = read.group()? {
        let mut count = 0u32;
        for record in codec::decode(&body) {
            let record = record.map_err(|bad| {
                LogError::lost(format!("group {} of the log cannot be read: {bad}", read.next.0))
            })?;
            visit(read.next, record);
            count += 1;
        }
        if count != records {
            return Err(LogError::lost(format!(
                "group {} of the log should have {records} records and has {count}",
                read.next.0
            )));
        }
        read.next = read.next.next();
        read.end += extent;
    }
    Ok(read)
}

impl Segment {
    /// Segment `number`, none of whose groups has been read.
    pub(super) fn open(disk: &dyn Disk, config: &LogConfig, number: u64) -> Result<Self, LogError> {
        let file = disk.open(&segment::name(number)).map_err(LogError::io("open the log"))?;
        let header = SegmentHeader::read(file.as_ref(), number, &config.identity)?;
        Ok(Self { next: header.first, header, file, end: SECTOR as u64 })
    }

    /// Checks that it begins with the group that is `expected`.
    pub(super) fn follows(&self, expected: Option<GroupSeq>) -> Result<(), LogError> {
        let SegmentHeader { number, first, .. } = self.header;
        if first == GroupSeq(0) || expected.is_some_and(|expected| expected != first) {
            let next = expected.unwrap_or(GroupSeq(1)).0;
            return Err(LogError::lost(format!(
                "segment {number} of the log begins with group {}, but group {next} is next",
                first.0
            )));
        }
        Ok(())
    }

    fn place(&self) -> Place {
        Place { store: self.header.identity.store, segment: self.header.number }
    }

    /// The next group, if there is a valid one: how many records it has, its body and how many
    /// bytes it takes.
    pub(super) fn group(&self) -> Result<Option<(u32, Vec<u8>, u64)>, LogError> {
        let left = self.header.length - self.end;
        let mut sectors = vec![0; SECTOR];
        if left < SECTOR as u64 {
            return Ok(None);
        }
        self.file.read_at(&mut sectors, self.end).map_err(LogError::io("read the log"))?;
        let Some(header) = group::header(self.place(), &sectors) else { return Ok(None) };
        if header.seq != self.next {
            return Err(LogError::lost(format!(
                "group {} of the log stands where group {} should",
                header.seq.0, self.next.0
            )));
        }
        let extent = header.extent();
        if extent as u64 > left {
            return Ok(None);
        }
        sectors.resize(extent, 0);
        let further = self.end + SECTOR as u64;
        self.file.read_at(&mut sectors[SECTOR..], further).map_err(LogError::io("read the log"))?;
        let body = group::body(self.place(), header, &sectors);
        Ok(body.map(|body| (header.records, body, extent as u64)))
    }
}

/// Whether anything was written behind the last valid group of the last segment.
///
/// # Errors
/// `Lost` if one of it is the start of a later group: then the group before that was durable
/// once, and is damaged now.
pub(super) fn is_torn(read: &Segment) -> Result<bool, LogError> {
    let mut torn = false;
    let mut at = read.end;
    let end = read.header.length / SECTOR as u64 * SECTOR as u64;
    let left = usize::try_from(end.saturating_sub(at)).unwrap_or(CHUNK_BYTES);
    let mut buffer = vec![0; CHUNK_BYTES.min(left)];
    while at < end {
        let part = buffer.len().min((end - at) as usize);
        let chunk = &mut buffer[..part];
        read.file.read_at(chunk, at).map_err(LogError::io("read the log"))?;
        for sector in chunk.chunks_exact(SECTOR) {
            match group::trace(read.place(), sector) {
                Trace::Nothing => {}
                Trace::Begins(later) if later.seq != read.next => {
                    return Err(LogError::lost(format!(
                        "group {} of the log is damaged: group {} was written after it",
                        read.next.0, later.seq.0
                    )));
                }
                Trace::Begins(_) | Trace::Something => torn = true,
            }
        }
        at += part as u64;
    }
    Ok(torn)
}
