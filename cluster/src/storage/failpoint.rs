//! Failpoints: places at which a test stops a node, or lets it see an error, between two steps of
//! making something durable.
//!
//! Called by `log`, `small_file` and the shell. Without debug assertions nothing is left of them.
//! With them, the variable `PIAZZA_FAILPOINTS` names a directory; a file there with a point's name
//! arms the point once, for whichever process is the first to come by: `abort` in the file ends
//! that process on the spot, anything else is the error that it sees. Never fires twice for one
//! file, so a process that is started again goes on.

use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

/// Every point, in the order of the steps.
pub const POINTS: &[&str] = &[
    "log.append.write",
    "log.append.sync",
    "log.append.report",
    "log.blank.sync",
    "log.next.write",
    "log.next.sync",
    "log.next.rename",
    "log.next.sync_dir",
    "log.next.report",
    "log.free.rename",
    "log.free.sync_dir",
    "log.free.report",
    "state.write",
    "state.sync",
    "state.second",
    "state.report",
    "keys.checkpoint.begin",
    "keys.checkpoint.end",
    "keys.checkpoint.report",
];

/// The directory that a test arms points in, if one does.
fn directory() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<OsString>> = OnceLock::new();
    if !cfg!(debug_assertions) {
        return None;
    }
    DIRECTORY.get_or_init(|| std::env::var_os("PIAZZA_FAILPOINTS")).as_ref().map(Path::new)
}

/// Whether a test may arm points: it is to see all of them soon.
pub fn are_wanted() -> bool {
    directory().is_some()
}

/// The process comes by at a point.
///
/// # Errors
/// Where a test wants one.
pub fn hit(point: &'static str) -> std::io::Result<()> {
    debug_assert!(POINTS.contains(&point), "{point} is in the list");
    let Some(file) = directory().map(|directory| directory.join(point)) else { return Ok(()) };
    let Ok(what) = std::fs::read_to_string(&file) else { return Ok(()) };
    // Only one process removes it.
    if std::fs::remove_file(&file).is_err() {
        return Ok(());
    }
    if what.trim() == "abort" {
        std::process::abort();
    }
    Err(std::io::Error::other(format!("failpoint {point}: {}", what.trim())))
}
