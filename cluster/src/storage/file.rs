//! The real disk: one directory of the file system.
//!
//! Opened by the shell at start, used through the traits of `disk`. Files are created with mode
//! 0600, the directory with 0700. A new file is filled with zeros by writing them: a sync then
//! has no allocation to commit, which makes a small append a third faster than into space that
//! was only reserved. Whole sectors are written past the page cache (O_DIRECT) where the file
//! system allows it: the sync that follows then finds nothing to write back, which takes a fifth
//! off a small append. Never follows a symbolic link in the directory, never retries a sync.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::disk::{Disk, DiskFile, SECTOR, beyond_the_end};

#[cfg(test)]
mod tests;

/// How many zero bytes are written at a time into a new file.
const FILL_BYTES: usize = 1 << 20;

/// A directory on a real disk.
#[derive(Debug)]
pub struct FileDisk {
    path: PathBuf,
}

impl FileDisk {
    /// The directory `path`, created if it does not exist; its parent must.
    ///
    /// # Errors
    /// What the file system says, with the path in the text.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("directory {}: {error}", path.display()))
        };
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                // Without this a power loss may take the whole directory.
                let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new(".")))
                    .and_then(|parent| parent.sync_all())
                    .map_err(named)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(named(error)),
        }
        if !fs::metadata(path).map_err(named)?.is_dir() {
            return Err(named(ErrorKind::NotADirectory.into()));
        }
        Ok(Self { path: path.to_owned() })
    }

    fn at(&self, name: &str) -> PathBuf {
        assert!(
            !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
            "{name:?} is not a flat file name"
        );
        self.path.join(name)
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(Self::flags().bits());
        options
    }

    fn flags() -> OFlag {
        OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
    }

    /// The file `name` once more, for writes past the page cache; none where that cannot be had.
    fn direct(&self, name: &str) -> Option<Direct> {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags((Self::flags() | OFlag::O_DIRECT).bits());
        let file = options.open(self.at(name)).ok()?;
        Some(Direct { file, sectors: Vec::new() })
    }
}

/// The names in a directory.
pub(super) fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        // A name that is not text is none of ours, and is left alone.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        names_in(&self.path)
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Box<dyn DiskFile>> {
        let file = Self::options().create_new(true).open(self.at(name))?;
        let zeros = vec![0; FILL_BYTES.min(usize::try_from(length).unwrap_or(FILL_BYTES))];
        let mut done = 0;
        while done < length {
            let part = zeros.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
            file.write_all_at(&zeros[..part], done)?;
            done += part as u64;
        }
        Ok(Box::new(OpenFile { file, length, direct: self.direct(name) }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = Self::options().open(self.at(name))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("{name}: not a file")));
        }
        Ok(Box::new(OpenFile { file, length: metadata.len(), direct: self.direct(name) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

struct OpenFile {
    file: File,
    length: u64,
    /// Until the file system refuses it.
    direct: Option<Direct>,
}

/// A file open for writes past the page cache.
struct Direct {
    file: File,
    /// What is written is copied here: such writes want their bytes at whole sectors in memory.
    sectors: Vec<u8>,
}

impl Direct {
    /// Writes whole sectors.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.sectors.clear();
        self.sectors.reserve(bytes.len() + SECTOR);
        // Nothing below makes the buffer move.
        let begin = self.sectors.as_ptr().align_offset(SECTOR).min(SECTOR);
        self.sectors.resize(begin, 0);
        self.sectors.extend_from_slice(bytes);
        let written = self.file.write_all_at(&self.sectors[begin..], offset);
        if self.sectors.capacity() > FILL_BYTES {
            self.sectors = Vec::new();
        }
        written
    }
}

impl DiskFile for OpenFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        // Repeats what a signal interrupted, and only that.
        self.file.read_exact_at(into, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(beyond_the_end(self.length));
        }
        let whole = offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR);
        if let Some(direct) = self.direct.as_mut().filter(|_| whole) {
            match direct.write_at(bytes, offset) {
                // The disk's own sectors are longer than ours.
                Err(error) if error.kind() == ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
