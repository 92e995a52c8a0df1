//! The log of a node: the memory of its promises, and the only one.
//!
//! Called by the one thread that owns it. A group is durable when `append` returns; a failed sync
//! ends the log for good (R9), a full disk does not. Records come back at `open` in the order in
//! which they were appended, all or, after damage, none. Knows nothing of what records mean: its
//! owner says up to where it is no longer needed.
//!
//! In reading order: `group` is the unit of writing, `segment` the file of groups, `open` the
//! start-up; here is what happens in between. `inspect` shows a log to people.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::ids::{GroupSeq, Uuid};

use self::group::Place;
use self::segment::{Blank, SegmentHeader};
use super::codec;
use super::disk::{Disk, DiskFile, SECTOR, is_full};
use super::failpoint;
use super::identity::Identity;
use crate::core::planted::{Bug, planted};
use crate::core::record::{LogRecord, Room};

mod group;
mod inspect;
mod open;
mod segment;
#[cfg(test)]
mod tests;

pub use self::inspect::{Found, inspect, store_of};
pub use self::open::{Opened, Tail};

/// The default length of a segment, bytes.
pub const SEGMENT_BYTES: u64 = 16 << 20;
/// The shortest and longest length of a segment that can be configured, bytes.
pub const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = 2048..=1 << 32;
/// Blank segments that are kept when segments are freed: what is freed beyond that is removed.
pub const SPARES_MAX: usize = 4;
/// Blank segments that are made ahead, and made anew when one is used: one to go on with, and one
/// that is there still when the disk has no more (R14).
pub const SPARES_MIN: usize = 2;
/// The longest group that can be appended, bytes of encoded records.
pub const GROUP_BYTES_MAX: usize = 256 << 20;

/// Whose log it is and how it is laid out.
#[derive(Debug, Clone, Copy)]
pub struct LogConfig {
    /// The store, and its cluster if it was founded.
    pub identity: Identity,
    /// The length of new segments, bytes: a multiple of 512 within [`SEGMENT_BYTES_RANGE`].
    pub segment_bytes: u64,
}

impl LogConfig {
    /// The default layout.
    pub fn new(identity: Identity) -> Self {
        Self { identity, segment_bytes: SEGMENT_BYTES }
    }

    fn check(&self) {
        let bytes = self.segment_bytes;
        assert!(SEGMENT_BYTES_RANGE.contains(&bytes), "a segment of {bytes} bytes");
        assert!(bytes.is_multiple_of(SECTOR as u64), "segments are whole sectors");
    }
}

/// Why the log cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full: the group was not appended and leaves no trace; the log can be used on.
    #[error("the disk is full: free some space; until then updates are refused")]
    DiskFull,
    /// The group is longer than [`GROUP_BYTES_MAX`]: not appended; the log can be used on.
    #[error("a group of {0} bytes is more than the log takes at a time; split it")]
    TooLong(usize),
    /// The disk failed: the process must end without another promise (R9).
    #[error("cannot {what}: {error}; stop this process and check the disk")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the disk said.
        error: io::Error,
    },
    /// An earlier call failed: the process must end.
    #[error("the log failed before; stop this process and check the disk")]
    Poisoned,
    /// Groups that were durable once are gone or damaged: the store must not serve. Nothing on
    /// the disk was changed.
    #[error(
        "{sentence}; this store has lost data, start it with an empty directory to let it \
             rejoin as a new one"
    )]
    Lost {
        /// What is missing.
        sentence: String,
    },
    /// A newer program wrote it.
    #[error(
        "the log has format {format}, written by version {written_by}; start that version or \
             a newer one"
    )]
    Newer {
        /// The log's format.
        format: u32,
        /// The version of the program that wrote it.
        written_by: String,
    },
    /// It belongs to another store or cluster.
    #[error(
        "the log belongs to store {store} of cluster {cluster}; give each node a directory \
             of its own"
    )]
    Foreign {
        /// The store that it belongs to.
        store: Uuid,
        /// The cluster that it belongs to.
        cluster: Uuid,
    },
}

impl LogError {
    fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { what, error }
    }

    fn lost(sentence: String) -> Self {
        Self::Lost { sentence }
    }
}

/// How long an append took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// To write the group.
    pub write: Duration,
    /// To sync it.
    pub sync: Duration,
}

/// A node's log, open for appending.
///
/// Invariants:
/// * segments and groups are numbered without gaps; `sealed` is in order and before `current`;
/// * every group up to `end` is durable, unless `poisoned`;
/// * from `offset` on, `current` and every spare hold nothing but zeros and what earlier segments
///   have left, in the file and on the disk.
pub struct Log {
    disk: Arc<dyn Disk>,
    config: LogConfig,
    sealed: VecDeque<Sealed>,
    current: Current,
    end: GroupSeq,
    /// The blanks for the next segments.
    spares: VecDeque<Blank>,
    /// Bytes of room for which more of them are made; 0 if they are enough.
    wanted: u64,
    /// One more is being made.
    asked: bool,
    /// The disk had no space for another one when last asked.
    full: bool,
    temporaries: u64,
    poisoned: bool,
    body: Vec<u8>,
    image: Vec<u8>,
    took: Took,
}

/// A segment that is full.
struct Sealed {
    number: u64,
    first: GroupSeq,
    last: GroupSeq,
    /// Bytes.
    length: u64,
}

/// The segment that is appended to.
struct Current {
    file: Box<dyn DiskFile>,
    number: u64,
    first: GroupSeq,
    /// Bytes.
    length: u64,
    /// Where the next group goes.
    offset: u64,
}

/// The work of making the next segment ahead of its need; for any thread.
pub struct NextSegment {
    disk: Arc<dyn Disk>,
    name: String,
    length: u64,
}

/// The outcome of [`NextSegment::run`], for [`Log::accept_next`].
pub struct ReadySegment(Result<Blank, LogError>);

impl NextSegment {
    /// Fills a file with zeros and syncs it: some tens of milliseconds for 64 MiB.
    pub fn run(self) -> ReadySegment {
        ReadySegment(Blank::make(self.disk.as_ref(), self.name, self.length))
    }
}

impl Log {
    /// Opens the log in `disk`, makes one if there is none, and shows all its records in order.
    ///
    /// The names `log-*` and `new-*` of the directory are the log's; it leaves others alone.
    /// What was shown counts only if the log opens.
    ///
    /// # Errors
    /// `Lost`, `Newer`, `Foreign`: nothing on the disk was changed. `Io`, `DiskFull`: try again
    /// when the disk is well.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        visit: &mut dyn FnMut(GroupSeq, LogRecord),
    ) -> Result<Opened, LogError> {
        open::open(disk, config, visit)
    }

    fn new(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        sealed: VecDeque<Sealed>,
        current: Current,
        end: GroupSeq,
    ) -> Self {
        Self {
            disk,
            config,
            sealed,
            current,
            end,
            spares: VecDeque::new(),
            wanted: 0,
            asked: false,
            full: false,
            temporaries: 0,
            poisoned: false,
            body: Vec::new(),
            image: Vec::new(),
            took: Took::default(),
        }
    }

    /// How long the last [`Log::append`] took.
    pub fn took(&self) -> Took {
        self.took
    }

    /// Appends `records` as group `seq`; durable on return, all or none.
    ///
    /// # Errors
    /// After `DiskFull` and `TooLong` the log is as before. After any other the group may or may
    /// not be found at the next start, and every later call fails.
    ///
    /// # Panics
    /// If `seq` is not the one after [`Log::end`].
    pub fn append(&mut self, seq: GroupSeq, records: &[LogRecord]) -> Result<(), LogError> {
        let began = Instant::now();
        let appended = self.append_group(seq, records);
        self.took.write = began.elapsed().saturating_sub(self.took.sync);
        appended
    }

    fn append_group(&mut self, seq: GroupSeq, records: &[LogRecord]) -> Result<(), LogError> {
        assert_eq!(seq, self.end.next(), "groups are numbered without gaps");
        self.check()?;
        self.body.clear();
        records.iter().for_each(|record| codec::encode(record, &mut self.body));
        if self.body.len() > GROUP_BYTES_MAX {
            return Err(LogError::TooLong(self.body.len()));
        }
        let extent = group::extent(self.body.len()) as u64;
        let fits = extent <= self.current.length - self.current.offset;
        self.poisoned = true;
        let appended = if fits {
            self.append_here(seq, records.len() as u32)
        } else {
            self.append_to_next(seq, records.len() as u32, extent)
        };
        self.poisoned = !matches!(appended, Ok(()) | Err(LogError::DiskFull));
        if appended.is_ok() {
            self.end = seq;
        }
        assert!(self.current.offset <= self.current.length);
        appended
    }

    fn seal(&mut self, segment: u64, seq: GroupSeq, records: u32) {
        let place = Place { store: self.config.identity.store, segment };
        group::seal(place, seq, records, &self.body, &mut self.image);
    }

    fn append_here(&mut self, seq: GroupSeq, records: u32) -> Result<(), LogError> {
        self.image.clear();
        self.seal(self.current.number, seq, records);
        failpoint::hit("log.append.write").map_err(LogError::io("write the log"))?;
        let current = &mut self.current;
        match current.file.write_at(&self.image, current.offset) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                // Half a group may be there: it goes, durably, before anything else comes (H56).
                self.image.fill(0);
                let zeroed = current.file.write_at(&self.image, current.offset);
                let done = zeroed.and_then(|()| current.file.sync_data());
                done.map_err(LogError::io("take back a group from a full disk"))?;
                return Err(LogError::DiskFull);
            }
            Err(error) => return Err(LogError::io("write the log")(error)),
        }
        let began = Instant::now();
        failpoint::hit("log.append.sync").map_err(LogError::io("sync the log"))?;
        if !cfg!(feature = "lie-about-sync") {
            current.file.sync_data().map_err(LogError::io("sync the log"))?;
        }
        failpoint::hit("log.append.report").map_err(LogError::io("sync the log"))?;
        self.took.sync = began.elapsed();
        current.offset += self.image.len() as u64;
        Ok(())
    }

    /// Starts the next segment with the group: two syncs, the file's and the directory's (H54).
    fn append_to_next(&mut self, seq: GroupSeq, records: u32, extent: u64) -> Result<(), LogError> {
        let needed = extent + SECTOR as u64;
        let mut blank = self.blank(needed)?;
        let number = self.current.number + 1;
        let header = SegmentHeader {
            identity: self.config.identity,
            number,
            first: seq,
            length: blank.length,
            cut_after: None,
        };
        self.image.clear();
        self.image.extend_from_slice(&header.encode());
        self.seal(number, seq, records);
        failpoint::hit("log.next.write").map_err(LogError::io("write the log"))?;
        match blank.file.write_at(&self.image, 0) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                segment::discard(self.disk.as_ref(), &blank.name)?;
                return Err(LogError::DiskFull);
            }
            Err(error) => return Err(LogError::io("write the log")(error)),
        }
        let began = Instant::now();
        failpoint::hit("log.next.sync").map_err(LogError::io("sync the log"))?;
        blank.file.sync_data().map_err(LogError::io("sync the log"))?;
        let name = segment::name(number);
        failpoint::hit("log.next.rename").map_err(LogError::io("name a segment"))?;
        self.disk.rename(&blank.name, &name).map_err(LogError::io("name a segment"))?;
        let sync_dir = LogError::io("sync the log's directory");
        failpoint::hit("log.next.sync_dir").map_err(&sync_dir)?;
        if !planted(Bug::DirectoryNotSynced) {
            self.disk.sync_dir().map_err(&sync_dir)?;
        }
        failpoint::hit("log.next.report").map_err(sync_dir)?;
        self.took.sync = began.elapsed();
        let (file, length) = (blank.file, blank.length);
        let next = Current { file, number, first: seq, length, offset: self.image.len() as u64 };
        let full = std::mem::replace(&mut self.current, next);
        let Current { number, first, length, .. } = full;
        self.sealed.push_back(Sealed { number, first, last: self.end, length });
        Ok(())
    }

    /// A blank of at least `needed` bytes: a spare one, or one made now.
    fn blank(&mut self, needed: u64) -> Result<Blank, LogError> {
        if let Some(blank) = self.spares.pop_front_if(|blank| blank.length >= needed) {
            return Ok(blank);
        }
        let length = needed.max(self.config.segment_bytes);
        let name = self.temporary();
        let made = Blank::make(self.disk.as_ref(), name, length);
        self.full = matches!(made, Err(LogError::DiskFull));
        made
    }

    fn temporary(&mut self) -> String {
        self.temporaries += 1;
        segment::temporary_name(self.temporaries)
    }

    /// The work of making a segment ahead, unless there are enough or one is being made. To be run
    /// on another thread, its outcome brought back to [`Log::accept_next`]; without it an append
    /// that needs a new segment makes it itself.
    pub fn prepare_next(&mut self) -> Option<NextSegment> {
        if self.poisoned || self.asked || self.has_enough() {
            return None;
        }
        self.asked = true;
        let (disk, name) = (Arc::clone(&self.disk), self.temporary());
        Some(NextSegment { disk, name, length: self.config.segment_bytes })
    }

    /// More is promised than there is room for: segments are to be made until there is room for
    /// so many bytes, or the disk is full.
    pub fn want(&mut self, bytes: u64) {
        self.wanted = self.wanted.max(bytes);
    }

    /// What [`Log::prepare_next`] has given out could not be run: as if the disk had been full.
    pub fn not_made(&mut self) {
        self.asked = false;
        // What was freed meanwhile may do: nobody would ask the disk again.
        self.full = !self.has_enough();
    }

    /// Whether no more segments are to be made ahead.
    fn has_enough(&mut self) -> bool {
        if self.room().bytes >= self.wanted {
            self.wanted = 0;
        }
        self.spares.len() >= SPARES_MIN && self.wanted == 0
    }

    /// Takes what [`NextSegment::run`] has made.
    ///
    /// # Errors
    /// Any poisons the log. That the disk is full is none: see [`Log::room`]; it is asked again
    /// with the next [`Log::prepare_next`].
    pub fn accept_next(&mut self, made: ReadySegment) -> Result<(), LogError> {
        self.check()?;
        self.asked = false;
        match made.0 {
            Ok(blank) => {
                self.full = false;
                self.spares.push_back(blank);
            }
            Err(LogError::DiskFull) => self.not_made(),
            Err(error) => {
                self.poisoned = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Frees the segments whose groups are all `through` or older; never the current one. Their
    /// files become the next segments, or go if there are enough of those. Returns how many it
    /// freed.
    ///
    /// # Errors
    /// Any poisons the log.
    pub fn free_through(&mut self, through: GroupSeq) -> Result<usize, LogError> {
        self.check()?;
        let mut freed = 0;
        while self.sealed.front().is_some_and(|sealed| sealed.last <= through) {
            self.poisoned = true;
            self.free_first()?;
            self.poisoned = false;
            freed += 1;
        }
        Ok(freed)
    }

    /// One by one: were a later one's name gone for good and an earlier one's not, there would be
    /// a gap.
    fn free_first(&mut self) -> Result<(), LogError> {
        let Some(Sealed { number, length, .. }) = self.sealed.pop_front() else { return Ok(()) };
        let spares = self.spares.len() + usize::from(self.asked);
        // A longer one, made for one long group, is not kept.
        if spares < SPARES_MAX && length == self.config.segment_bytes {
            let name = self.temporary();
            let blank = Blank::recycle(self.disk.as_ref(), number, name, length)?;
            failpoint::hit("log.free.report").map_err(LogError::io("recycle a segment"))?;
            self.spares.push_back(blank);
            self.full &= !self.has_enough();
            return Ok(());
        }
        let removed = self.disk.remove(&segment::name(number));
        removed.map_err(LogError::io("remove a segment of the log"))?;
        self.disk.sync_dir().map_err(LogError::io("sync the log's directory"))
    }

    /// The last group; 0 if there was none.
    pub fn end(&self) -> GroupSeq {
        self.end
    }

    /// The first group that is still there, or the next one if there is none.
    pub fn first(&self) -> GroupSeq {
        self.sealed.front().map_or(self.current.first, |sealed| sealed.first)
    }

    /// How many bytes the log takes on disk.
    pub fn bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|sealed| sealed.length).sum();
        sealed + self.current.length + self.spare_bytes()
    }

    /// What can be appended without asking the disk for more space: all of it is written already,
    /// so that no write to it finds the disk full (R14).
    pub fn room(&self) -> Room {
        let headers = (self.spares.len() * SECTOR) as u64;
        Room {
            bytes: self.current.length - self.current.offset + self.spare_bytes() - headers,
            group_max: self.config.segment_bytes - SECTOR as u64,
            full: self.full,
        }
    }

    fn spare_bytes(&self) -> u64 {
        self.spares.iter().map(|blank| blank.length).sum()
    }

    /// Gives the store its cluster: segments made from now on say so.
    pub fn set_cluster(&mut self, cluster: Uuid) {
        self.config.identity.cluster = cluster;
    }

    fn check(&self) -> Result<(), LogError> {
        if self.poisoned { Err(LogError::Poisoned) } else { Ok(()) }
    }
}
