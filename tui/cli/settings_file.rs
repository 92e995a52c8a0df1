//! The text of a file of settings that a person has written.
//!
//! Read by the console for its own settings and by `server_file` for a server's flags. Bounded:
//! what is too long to be settings is not read to its end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Longest file, bytes.
const BYTES_MAX: u64 = 64 << 10;

/// The whole text of the file.
///
/// # Errors
/// If it cannot be read, is no text, or is longer than such files are.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {BYTES_MAX} bytes")));
    }
    Ok(text)
}
