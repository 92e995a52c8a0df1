//! Durable state of a node: what a promise, once given, rests on.
//!
//! Called by the thread that owns a node's log and the one that owns its keystore, and by the
//! simulator, which brings its own disk. Synchronous throughout: it blocks, so it never runs on a
//! thread that serves connections. It knows the records of `core::record`, not what they mean.
//! It never retries a failed sync, and never guesses: damage that cannot be told from a lost
//! promise is an error that the caller must not serve after.

pub mod disk;
pub mod failpoint;
pub mod file;
pub mod read_only;

pub mod crash_disk;

pub mod codec;
pub mod identity;
pub mod log;
pub mod small_file;

pub mod keystore;

/// The highest number of a segment, a group or a save that is read. At a million a second it is
/// reached after a hundred thousand years: so there is always a next one, and a file that says more
/// is damaged or forged.
const NUMBER_MAX: u64 = 1 << 62;
