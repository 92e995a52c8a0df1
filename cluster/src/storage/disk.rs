//! What a node asks of a disk: one directory of flat names, and files of a fixed length.
//!
//! Implemented by `file` for real directories and by `crash_disk` for tests and simulation;
//! called by `log` and `small_file`. The promises below are all that those two rely on: whatever
//! is not promised here, they must survive. Nothing here retries or hides an error.
//!
//! **The crash model.** A crash of the process loses nothing that a call has returned for. After
//! power loss, of everything since the last sync: each aligned 512-byte sector of a file is,
//! independently of all others, as before, as written, or torn (any bytes at all); each creation,
//! rename and removal has, independently of all others, happened or not. A rename is atomic.
//! What was synced stays, except for rot, which the readers detect and never explain away.

use std::io;

/// The unit in which a disk writes, bytes: sectors fail independently of each other.
pub const SECTOR: usize = 512;

/// One directory of files with flat names.
///
/// Errors are those of the operating system. That there is no space (`is_full`) is the only one
/// after which going on may be right; after any other the caller gives up (R9).
pub trait Disk: Send + Sync {
    /// The names in the directory, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file of `length` zero bytes, all of them allocated. Fails if the name exists.
    ///
    /// The content is durable after `sync_data`, the name after `sync_dir`.
    fn create(&self, name: &str, length: u64) -> io::Result<Box<dyn DiskFile>>;

    /// The existing file `name`, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives the file `from` the name `to`, atomically; what had that name is gone. Durable after
    /// `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes the name `name`; the file goes when no one has it open. Durable after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Its length was fixed when it was created.
pub trait DiskFile: Send {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Fills `into` from byte `offset` on; fewer bytes than that are an error.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at byte `offset`; writing beyond the file's length is refused, a
    /// short write is an error. On an error any part may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written to this file durable. After an error nothing is known of what was
    /// written since the last success, and a repetition proves nothing (R9).
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Whether the disk, the quota or the allowed file size is used up (H56, H59).
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The error of a write that would go beyond the end of a file of `length` bytes.
pub(crate) fn beyond_the_end(length: u64) -> io::Error {
    let text = format!("a write goes beyond the end of a file of {length} bytes");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
