//! A recording as a file: written while the console runs, or read whole to be played.
//!
//! Used by the loop. The format is `recording`'s.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedState};
use crate::console::recording::{self, BadLine, Header, Record};

/// Longest recording that is played, bytes.
const BYTES_MAX: u64 = 1 << 30;

/// Why the console cannot begin or go on.
#[derive(Debug)]
pub enum RecordError {
    /// The terminal's own.
    Terminal(io::Error),
    /// The recording cannot be read or written.
    File(PathBuf, io::Error),
    /// It is none.
    Line(PathBuf, BadLine),
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Terminal(error) => write!(f, "the terminal: {error}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Line(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for RecordError {}

impl From<io::Error> for RecordError {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

/// A recording that is being written.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    file: BufWriter<File>,
    /// Whether its first line is written: that needs the cluster's name.
    begun: bool,
    bytes: Vec<u8>,
}

impl RecordFile {
    /// Begins one in a file that is not there yet.
    pub(super) fn create(path: &Path) -> Result<Self, RecordError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let file = file.map_err(|error| RecordError::File(path.to_owned(), error))?;
        let file = BufWriter::new(file);
        Ok(Self { path: path.to_owned(), file, begun: false, bytes: Vec::new() })
    }

    /// Adds one thing that came in.
    pub(super) fn add(
        &mut self,
        at: At,
        fed: &Fed,
        line: Option<&[u8]>,
        cluster: &str,
    ) -> Result<(), RecordError> {
        self.bytes.clear();
        if !self.begun {
            self.begun = true;
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let header = Header { version, cluster: cluster.to_owned() };
            recording::write_header(&mut self.bytes, &header);
        }
        match (fed, line) {
            (Fed::Event(name, _), Some(line)) => {
                recording::write_event(&mut self.bytes, at.us(), *name, line);
            }
            (Fed::Link(name, FeedState::Live), _) => {
                recording::write_connected(&mut self.bytes, at.us(), *name);
            }
            (Fed::Link(name, FeedState::Lost(why)), _) => {
                recording::write_lost(&mut self.bytes, at.us(), *name, why);
            }
            _ => {}
        }
        self.file.write_all(&self.bytes).map_err(|error| self.failed(error))
    }

    /// What was added is in the file.
    pub(super) fn flush(&mut self) -> Result<(), RecordError> {
        self.file.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> RecordError {
        RecordError::File(self.path.clone(), error)
    }
}

/// Reads a recording, whole.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, RecordError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| RecordError::File(path.to_owned(), error))?;
    let (_, records) =
        recording::read(&bytes).map_err(|e| RecordError::Line(path.to_owned(), e))?;
    Ok(records)
}
