//! Failpoints: places at which a test stops a node, or lets it see an error, between two steps of
//! making something durable.
//!
//! Called by `log`, `small_file` and the shell's lanes. Without the feature `failpoints`, of test
//! builds only, nothing is left of them. With it, the variable `PIAZZA_FAILPOINTS` names a
//! directory; a file there with a point's name arms the point once, for whichever process is the
//! first to come by: `abort` in the file ends that process on the spot, anything else is the error
//! that it sees. Never fires twice for one file, so a process that is started again goes on.

/// Every point, in the order of the steps.
#[cfg(feature = "failpoints")]
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

/// The process comes by at a point.
///
/// # Errors
/// Where a test wants one.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_point: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// The process comes by at a point.
///
/// # Errors
/// Where a test wants one.
#[cfg(feature = "failpoints")]
pub fn hit(point: &'static str) -> std::io::Result<()> {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static ARMED: OnceLock<Option<PathBuf>> = OnceLock::new();
    assert!(POINTS.contains(&point), "{point} is in the list");
    let armed = ARMED.get_or_init(|| std::env::var_os("PIAZZA_FAILPOINTS").map(PathBuf::from));
    let Some(file) = armed.as_ref().map(|directory| directory.join(point)) else { return Ok(()) };
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
