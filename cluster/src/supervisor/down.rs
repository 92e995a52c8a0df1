//! `piazza down`: asks the supervisor of a directory to stop its cluster, and waits for its end.
//!
//! Called by `tui/cli/up.rs`. Never signals a process and never changes the directory: a stale
//! file must not be able to end a stranger.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use protocol::json;
use protocol::token::Token;
use serde_json::Value;

use super::directory::{ClusterFile, holder, lock_file};
use super::note;

/// How long the supervisor may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How long the servers may take to end: two phases of 15 s, and some slack.
const END_WAIT: Duration = Duration::from_secs(45);
/// The longest answer read, bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Why a cluster was not stopped; one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
enum DownError {
    /// Nobody was reached: exit code 3.
    #[error("{0}")]
    NotReached(String),
    /// Somebody was reached, but it did not end: exit code 5.
    #[error("{0}")]
    NotStopped(String),
    /// The directory is no cluster's: exit code 2.
    #[error("{0}")]
    Usage(String),
}

/// Stops the cluster in `dir`, by `token` if its supervisor wants one. Returns once the supervisor
/// has ended.
pub fn down(dir: &Path, token: Option<&Token>) -> ExitCode {
    let code = match stop(dir, token) {
        Ok(()) => {
            note(&format!("the cluster in {} is stopped", dir.display()));
            return ExitCode::SUCCESS;
        }
        Err(DownError::NotReached(text)) => (3, text),
        Err(DownError::NotStopped(text)) => (5, text),
        Err(DownError::Usage(text)) => (2, text),
    };
    note(&code.1);
    ExitCode::from(code.0)
}

fn stop(dir: &Path, token: Option<&Token>) -> Result<(), DownError> {
    let shown = dir.display();
    let file = ClusterFile::read(dir)
        .map_err(|error| DownError::Usage(error.to_string()))?
        .ok_or_else(|| DownError::NotReached(format!("no cluster in {shown}: give its --dir")))?;
    // The address in the file of a dead supervisor may be somebody else's by now.
    let pid = holder(dir)
        .map_err(|error| DownError::Usage(format!("{shown}: {error}")))?
        .ok_or_else(|| {
            DownError::NotReached(format!("the cluster in {shown} is not running: nothing to stop"))
        })?;
    let not_reached = |why: String| {
        DownError::NotReached(format!(
            "the supervisor of {shown} (pid {pid}) does not answer: {why}; try again, or end it \
             and its servers with `kill {pid}`"
        ))
    };
    let address = file.addresses.supervisor.unwrap_or_default();
    let address: SocketAddr =
        address.parse().map_err(|_| not_reached("it is still starting".into()))?;
    let mut stream = connect(address, dir).map_err(|error| not_reached(error.to_string()))?;
    let not_stopped = |why: String| {
        DownError::NotStopped(format!(
            "the supervisor of {shown} (pid {pid}) {why}; end it and its servers with `kill {pid}`"
        ))
    };
    let broke_off = |error: io::Error| not_stopped(format!("broke off: {error}"));
    if let Some(token) = token {
        let mut line = b"{\"op\":\"auth\",\"token\":".to_vec();
        json::write_string(&mut line, token.secret());
        line.push(b'}');
        let reply = ask(&mut stream, &String::from_utf8_lossy(&line)).map_err(broke_off)?;
        not_denied(&reply)?;
    }
    let reply = ask(&mut stream, r#"{"op":"admin","action":"shutdown"}"#).map_err(broke_off)?;
    not_denied(&reply)?;
    if reply["ok"] != true {
        return Err(not_stopped(format!("refused: {reply}")));
    }
    wait_for_end(stream, dir).map_err(|error| not_stopped(format!("has not ended yet ({error})")))
}

/// The supervisor's own words where the token is missing, wrong, or not that of an admin.
fn not_denied(reply: &Value) -> Result<(), DownError> {
    let is_denied = reply["code"] == "unauthorized" || reply["code"] == "forbidden";
    let sentence = reply["error"].as_str().unwrap_or_default();
    if is_denied { Err(DownError::NotStopped(sentence.to_owned())) } else { Ok(()) }
}

/// A connection to the supervisor of `dir`, sure to be that one.
fn connect(address: SocketAddr, dir: &Path) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    let mut stream = BufReader::new(stream);
    let hello = ask(&mut stream, r#"{"op":"hello","client":"piazza down"}"#)?;
    if hello["dir"] != *dir.canonicalize()?.to_string_lossy() {
        return Err(io::Error::other(format!("at {address} is another one")));
    }
    Ok(stream)
}

fn ask(stream: &mut BufReader<TcpStream>, line: &str) -> io::Result<Value> {
    writeln!(stream.get_mut(), "{line}")?;
    let mut answer = String::new();
    stream.by_ref().take(ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Waits for the end of the connection and for the lock: then the process is gone.
fn wait_for_end(mut stream: BufReader<TcpStream>, dir: &Path) -> io::Result<()> {
    stream.get_ref().set_read_timeout(Some(END_WAIT))?;
    let mut rest = [0; 64];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let lock = lock_file(dir)?;
    let (done, wait) = mpsc::channel();
    // A thread, since the wait for a lock has no time limit of its own.
    std::thread::spawn(move || done.send(lock.lock_shared()));
    wait.recv_timeout(ANSWER_WAIT).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
