//! Processes and directories that do not outlive their test; waiting with a deadline.
//!
//! Used by `cluster` and by the benchmarks. A run's processes are found by a mark in their
//! environment, which children inherit: also those that a test never heard of, and never those of
//! somebody else. Never kills by name.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable that marks the processes of one run.
const MARK: &str = "PIAZZA_TEST_RUN";
/// Between two looks at a condition; short against everything that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long the death of a killed process may take on a machine that stalls.
const DEATH_MAX: Duration = Duration::from_secs(60);

/// In a directory that shall stay.
const KEPT: &str = "kept-after-failure";

/// A directory of its own under cargo's directory for tests, on a real disk; removed on drop.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
    kept: AtomicBool,
}

impl TempDir {
    /// An empty directory whose name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_orphans(all);
        let path = all.join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, kept: AtomicBool::new(false) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all now but `kept`, paths below this directory, which stay when it is dropped.
    pub(crate) fn keep_only(&self, kept: &[PathBuf]) {
        fn prune(dir: &Path, kept: &[PathBuf]) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if kept.contains(&path) {
                    continue;
                }
                if kept.iter().any(|kept| kept.starts_with(&path)) {
                    prune(&path, kept);
                } else if path.is_dir() {
                    let _ = fs::remove_dir_all(&path);
                } else {
                    let _ = fs::remove_file(&path);
                }
            }
        }
        prune(&self.path, kept);
        self.kept.store(true, Ordering::Relaxed);
        let _ = fs::write(self.path.join(KEPT), "");
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes what a run left behind that was ended without a chance to clean up.
fn remove_orphans(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // "name-PID-number", as given above.
        let pid = name.to_str().and_then(|name| name.rsplit('-').nth(1)?.parse::<u32>().ok());
        let ended = pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if ended && !entry.path().join(KEPT).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The mark of one run's processes; all of them are killed on drop.
#[derive(Debug)]
pub(crate) struct Mark(String);

impl Mark {
    /// A mark that no other process of this machine has.
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}-{number}", std::process::id()))
    }

    /// Marks what `command` will start.
    pub(crate) fn put_on<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.0)
    }

    /// The marked processes that are alive.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let line = format!("{MARK}={}", self.0);
        let is_marked = |pid: &i32| {
            // Gone meanwhile, or somebody else's: not ours either way.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == line.as_bytes())
        };
        let proc = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = proc.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_marked).collect()
    }

    /// The marked process whose command line has the argument `word`.
    pub(crate) fn pid_with_argument(&self, word: &str) -> Option<i32> {
        self.pids().into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
        })
    }

    /// SIGKILL to all of them at once, again until none is left: one may just be starting another.
    pub(crate) fn kill_all(&self) {
        let begin = Instant::now();
        loop {
            let pids = self.pids();
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                let _ = sigkill(pid);
            }
            if begin.elapsed() > DEATH_MAX {
                eprintln!("processes {:?} cannot be killed", self.pids());
                return;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// A command that is killed when the thread that started it ends, in whatever way: Ctrl-C at a test
/// or a SIGKILL of it runs no destructor. The process is that of `program` itself.
pub(crate) fn dying_with_us(program: impl AsRef<OsStr>) -> Command {
    // Of util-linux, so everywhere; doing it here would need unsafe code.
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// SIGKILL to one process.
pub(crate) fn sigkill(pid: i32) -> io::Result<()> {
    Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
}

/// What `look` finds, once it finds something.
///
/// # Panics
/// After `deadline`, with `what` was waited for.
pub(crate) fn wait_for<T>(what: &str, deadline: Duration, look: impl FnMut() -> Option<T>) -> T {
    wait_or(deadline, look, || what.to_owned())
}

/// The same; what was waited for is told as it is then.
pub(crate) fn wait_or<T>(
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
    what: impl FnOnce() -> String,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        if begin.elapsed() >= deadline {
            panic!("waited {deadline:?} in vain: {}", what());
        }
        thread::sleep(LOOK_AGAIN);
    }
}
