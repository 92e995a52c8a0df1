//! `piazza up --detach`: the same cluster in the background, in a session of its own.
//!
//! Called by `up`. Starts this program again with `--headless`, shows what it says until it is
//! ready or has ended, then leaves it alone. The child leaves our session itself, before it does
//! anything else, so that no signal of this terminal reaches it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How long the cluster may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(60);

/// What the child has said.
enum Said {
    /// On standard output, a line.
    Out(String),
    /// On standard error.
    Err(Vec<u8>),
    /// Standard output has ended.
    End,
}

/// Starts this program in the background.
pub(super) fn run() -> ExitCode {
    let started = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(arguments(std::env::args_os().skip(1)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    });
    match started.and_then(follow) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("piazza: cannot start in the background: {error}; start it with --headless");
            ExitCode::from(5)
        }
    }
}

/// Our arguments as the child gets them.
fn arguments(ours: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ours.filter(|argument| argument != "--detach").collect();
    arguments.extend(["--headless".into(), "--own-session".into()]);
    arguments
}

/// Becomes the leader of a session of its own.
pub(super) fn leave_session() -> io::Result<()> {
    nix::unistd::setsid().map(drop).map_err(io::Error::from)
}

/// Repeats what the child says, until it is ready or has ended.
fn follow(mut child: Child) -> io::Result<ExitCode> {
    let (said, heard) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        spawn_reader(said.clone(), move |said| {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = said.send(Said::Out(line));
            }
            let _ = said.send(Said::End);
        })?;
    }
    if let Some(mut stderr) = child.stderr.take() {
        spawn_reader(said, move |said| {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let _ = said.send(Said::Err(buffer[..count].to_vec()));
            }
        })?;
    }
    let until = Instant::now() + READY_WAIT;
    loop {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Said::Out(line)) => {
                let mut stdout = io::stdout().lock();
                let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
                if line.starts_with("ready ") {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Ok(Said::Err(text)) => {
                let _ = io::stderr().write_all(&text);
            }
            Ok(Said::End) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let pid = child.id();
                eprintln!(
                    "piazza: not all servers are ready after {READY_WAIT:?}; the supervisor goes \
                     on as process {pid}: see `piazza logs`, or end it with `piazza down`"
                );
                return Ok(ExitCode::from(3));
            }
        }
    }
    let status = child.wait()?;
    // Its last words.
    while let Ok(said) = heard.recv() {
        if let Said::Err(text) = said {
            let _ = io::stderr().write_all(&text);
        }
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.filter(|code| *code != 0).unwrap_or(5)))
}

fn spawn_reader(
    said: Sender<Said>,
    read: impl FnOnce(Sender<Said>) + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("detach".into()).spawn(move || read(said)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_is_told_all_but_to_detach() {
        let ours = ["up", "--detach", "--nodes", "3"].map(OsString::from).into_iter();
        assert_eq!(arguments(ours), ["up", "--nodes", "3", "--headless", "--own-session"]);
    }
}
