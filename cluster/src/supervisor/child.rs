//! One server process: starting it, reading what it announces, reaping it.
//!
//! Used by `run`, on the main thread only: a server's parent-death signal is tied to the thread
//! that started it. The one place that reaps, so that no signal ever goes to a pid that the
//! system has given to somebody else.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fleet::{Exit, Input, ProcId, Sig};
use super::lines::{Line, Lines};
use super::run::News;
use crate::orders::{LINE_BYTES_MAX, Order};
use crate::process::ServerEvent;

/// Lines of stderr kept for the message about a death.
const LAST_LINES: usize = 20;
/// So much of the end of stderr is searched for them, bytes.
const TAIL_BYTES: u64 = 16 << 10;
/// A stderr file larger than this is renamed to `.old` at the next start, bytes.
const STDERR_BYTES_MAX: u64 = 4 << 20;
/// How long the announcements of a dead server are still read. They end at once, unless a process
/// that it started holds the pipe open.
const DRAIN_WAIT: Duration = Duration::from_secs(1);

/// A server from its start until it is reaped.
#[derive(Debug)]
pub(super) struct Running {
    pid: Pid,
    reaped: Arc<AtomicBool>,
    /// Where it reads orders. When this is dropped, or this process ends, the server reads the end
    /// of its stdin and ends.
    lifeline: PipeWriter,
}

impl Running {
    /// Starts `program` with `args`, in a process group of its own, so that a Ctrl-C or Ctrl-Z
    /// meant for us does not reach it. News of it go to `news` as `proc`'s life number `life`.
    pub(super) fn spawn(
        program: &OsString,
        args: Vec<OsString>,
        stderr: PathBuf,
        (proc, life): (ProcId, u64),
        news: mpsc::Sender<News>,
    ) -> io::Result<(Self, u32)> {
        let (errors, errors_start) = open_stderr(&stderr)?;
        let (stdin, lifeline) = io::pipe()?;
        fcntl(&lifeline, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let gone = || io::Error::other("the process ended while it was started");
        let pid = child.id().ok_or_else(gone)?;
        let stdout = child.stdout.take().ok_or_else(gone)?;
        let reaped = Arc::new(AtomicBool::new(false));
        let watch = Watch { proc, life, news, reaped: reaped.clone(), stderr, errors_start };
        tokio::spawn(watch.follow(child, stdout));
        let raw = i32::try_from(pid).map_err(io::Error::other)?;
        Ok((Self { pid: Pid::from_raw(raw), reaped, lifeline }, pid))
    }

    /// Writes an order to the server's stdin, whole or not at all: it must not wait for one that
    /// does not read. Nothing depends on its arrival.
    pub(super) fn order(&self, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else { return };
        line.push(b'\n');
        let fits = line.len() <= LINE_BYTES_MAX + 1;
        if !fits || !matches!((&self.lifeline).write(&line), Ok(count) if count == line.len()) {
            tracing::warn!(pid = self.pid.as_raw(), ?order, "a server does not take its orders");
        }
    }

    /// Sends a signal to the server and what it may have started, unless it has been reaped.
    pub(super) fn signal(&self, sig: Sig) {
        // No other task can reap between this check and the signal: all run on this thread.
        if self.reaped.load(Ordering::Relaxed) {
            return;
        }
        let signal = match sig {
            Sig::Term => Signal::SIGTERM,
            Sig::Kill => Signal::SIGKILL,
            Sig::Stop => Signal::SIGSTOP,
            Sig::Cont => Signal::SIGCONT,
        };
        match killpg(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::error!(pid = self.pid.as_raw(), %error, "cannot signal"),
        }
    }
}

/// The task that follows one process.
struct Watch {
    proc: ProcId,
    life: u64,
    news: mpsc::Sender<News>,
    reaped: Arc<AtomicBool>,
    stderr: PathBuf,
    errors_start: u64,
}

impl Watch {
    async fn follow(self, mut child: Child, stdout: ChildStdout) {
        let mut lines = Lines::new(stdout);
        let mut open = true;
        let status = loop {
            tokio::select! {
                line = lines.next(), if open => open = self.take(line).await,
                status = child.wait() => {
                    self.reaped.store(true, Ordering::Relaxed);
                    break status;
                }
            }
        };
        let _ = timeout(DRAIN_WAIT, async {
            while open {
                open = self.take(lines.next().await).await;
            }
        })
        .await;
        let exit = exit_of(status);
        let last_lines = last_lines(&self.stderr, self.errors_start).unwrap_or_default();
        let Self { proc, life, .. } = self;
        self.tell(Input::Exited { proc, life, exit, last_lines }).await;
    }

    /// Hands on what a line announces; false at the end of them.
    async fn take(&self, line: io::Result<Line>) -> bool {
        let text = match line {
            Ok(Line::Whole(text)) => text,
            Ok(Line::TooLong(bytes)) => {
                tracing::warn!(proc = self.proc, bytes, "an over-long announcement was skipped");
                return true;
            }
            Ok(Line::End) | Err(_) => return false,
        };
        // A newer server may announce what we do not know, and libraries may print.
        match serde_json::from_slice::<ServerEvent>(&text) {
            Ok(event) => {
                let Self { proc, life, .. } = *self;
                self.tell(Input::Event { proc, life, event }).await;
            }
            Err(error) => tracing::debug!(proc = self.proc, %error, "not an announcement"),
        }
        true
    }

    async fn tell(&self, input: Input) {
        // The supervisor reads until its end; after that nobody wants to know.
        let _ = self.news.send(News::Fleet(input)).await;
    }
}

fn exit_of(status: io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => Exit { exit_code: status.code(), signal: status.signal() },
        Err(error) => {
            tracing::error!(%error, "cannot learn how a server ended");
            Exit { exit_code: None, signal: None }
        }
    }
}

/// The file that a server's stderr is appended to, and its length before that. The server writes
/// it itself, so that its last words are kept even if this process dies with it.
fn open_stderr(path: &Path) -> io::Result<(File, u64)> {
    let open = || OpenOptions::new().create(true).append(true).open(path);
    let mut file = open()?;
    if file.metadata()?.len() > STDERR_BYTES_MAX {
        std::fs::rename(path, path.with_extension("stderr.old"))?;
        file = open()?;
    }
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// The last lines that were written to `path` after its first `start` bytes.
fn last_lines(path: &Path, start: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    Ok(lines[first..].iter().map(|line| (*line).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_of_this_life_only() {
        let name = format!("piazza-stderr-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "old\n").unwrap();
        assert_eq!(last_lines(&path, 4).unwrap(), Vec::<String>::new());
        let many: String = (0..3_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, format!("old\n{many}")).unwrap();
        let lines = last_lines(&path, 4).unwrap();
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines.last().map(String::as_str), Some("line 2999"));
        std::fs::remove_file(path).unwrap();
    }
}
