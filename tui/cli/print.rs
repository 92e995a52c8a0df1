//! How commands end and what they print: exit codes, failures, text that is safe on a terminal.
//!
//! Every client command runs inside [`with_client`] or ends with [`finish`]. Results go to
//! standard output, failures to standard error. A closed pipe is a silent success: whoever read
//! us has read enough.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use protocol::client::{Client, ClientError, Options};
use protocol::error::{ErrorCode, ErrorReply};
use protocol::json;
use protocol::reply::error_tail;
use tokio::sync::mpsc;
pub(crate) use tui::text::escaped;

use crate::address;
use crate::args::Common;

/// What the exit code says. Scripts rely on these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Not there, or the condition is not met.
    NotThere = 1,
    /// Wrong usage; a request that can only be refused.
    Usage = 2,
    /// Refused and safe to try again, or never connected.
    Refused = 3,
    /// It is not known whether the update happened.
    Unknown = 4,
    /// Anything else.
    Other = 5,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// A sentence that says what to do.
    pub(crate) message: String,
    /// The server's own words with their details, if it was the server who refused.
    pub(crate) reply: Option<Box<ErrorReply>>,
}

impl Failure {
    /// A failure that no server took part in.
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), reply: None }
    }

    /// What was typed is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// The failure of an attempt to connect; `hint` says how to start or find the cluster.
    pub(crate) fn connecting(error: ClientError, hint: &str) -> Self {
        let ClientError::NotConnected(cause) = error else { return error.into() };
        Self::new(Exit::Refused, "not_connected", format!("cannot connect to {cause}: {hint}"))
    }

    /// The same failure with where or when it happened in front.
    pub(crate) fn within(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let reply = error.reply().cloned().map(Box::new);
        let told = reply.as_ref().map(|reply| reply.code);
        let (exit, code) = match &error {
            ClientError::Fix(reply) => match reply.code {
                ErrorCode::BadRequest | ErrorCode::TooLarge | ErrorCode::NoSuchNode => {
                    (Exit::Usage, "bad_request")
                }
                // Nothing was done, and the same may be asked again when what it says has changed.
                ErrorCode::Refused => (Exit::Refused, "refused"),
                _ => (Exit::Other, "forbidden"),
            },
            ClientError::Condition(_) => (Exit::NotThere, "not_found"),
            ClientError::Retry(_) => (Exit::Refused, "unavailable"),
            ClientError::NotConnected(_) => (Exit::Refused, "not_connected"),
            ClientError::Lost(_) => (Exit::Refused, "connection_lost"),
            ClientError::Late(_) => (Exit::Refused, "timeout"),
            ClientError::WatchLost => (Exit::Refused, "watch_lost"),
            ClientError::Unknown { .. } => (Exit::Unknown, "unknown_outcome"),
            ClientError::Protocol(_) => (Exit::Other, "protocol"),
            ClientError::Report(_) => (Exit::Other, "internal"),
        };
        let code = told.map_or(code, ErrorCode::as_str);
        Self { exit, code, message: sentence(&error), reply }
    }
}

/// What an error says, with the details that the server tells beside its sentence.
fn sentence(error: &ClientError) -> String {
    if let ClientError::Unknown { version: Some(version), .. } = error {
        return format!("{error} (ask: piazza outcome {version})");
    }
    let Some(reply) = error.reply() else { return error.to_string() };
    let key = reply.key.as_ref().map(|key| format!("key \"{key}\""));
    let key = key.as_deref().unwrap_or("the key");
    match (reply.code, reply.version) {
        (ErrorCode::NotFound, _) => {
            format!("{key} does not exist, so nothing was done: put it first")
        }
        (ErrorCode::Exists, Some(version)) => format!(
            "{key} is there already, with version {version}, so nothing was done: choose another \
             key, or put without --if-absent"
        ),
        (ErrorCode::VersionMismatch, Some(version)) => format!(
            "{key} has version {version}, not the one asked for, so nothing was done: read it, \
             then decide anew"
        ),
        (ErrorCode::VersionMismatch, None) => format!(
            "{key} does not have the version asked for, so nothing was done: read it, then decide \
             anew"
        ),
        _ => error.to_string(),
    }
}

impl From<io::Error> for Failure {
    /// For errors of our own output; a closed pipe ends the command in silence.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "closed_pipe", "");
        }
        Self::new(Exit::Other, "output", format!("cannot write the output: {error}"))
    }
}

/// Runs `work` with a connection to the cluster that `common` names, and prints why it failed.
pub(crate) fn with_client(
    common: &Common,
    work: impl AsyncFnOnce(Client) -> Result<Exit, Failure>,
) -> ExitCode {
    let result = block_on(async { work(connect(common).await?).await });
    finish(result, common.json)
}

/// A connection to the cluster that `common` names.
pub(crate) async fn connect(common: &Common) -> Result<Client, Failure> {
    connected(common, Options::default()).await
}

/// The same, never made anew: what it was promised to be it stays.
pub(crate) async fn connect_once(common: &Common) -> Result<Client, Failure> {
    connected(common, Options { repeat_for: Duration::ZERO, ..Options::default() }).await
}

async fn connected(common: &Common, options: Options) -> Result<Client, Failure> {
    let target = address::resolve(common)?;
    let token = common.credentials.token()?;
    // A refusal is for the one who typed to see: the exit code says that a retry is safe.
    let options = Options { repeat_refused: false, token, ..options };
    let client = Client::connect(&target.addresses, options).await;
    client.map_err(|error| Failure::connecting(error, &target.hint))
}

/// Runs `work` to its end or to Ctrl-C.
pub(crate) fn block_on(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    to_its_end(async {
        tokio::select! {
            result = work => result,
            // Without a handler Ctrl-C ends the process by itself, so an error needs no answer.
            Ok(()) = tokio::signal::ctrl_c() => {
                Err(Failure::new(Exit::Interrupted, "interrupted", ""))
            }
        }
    })
}

/// Runs `work`, which sees to Ctrl-C itself or leaves it to end the process.
pub(crate) fn to_its_end<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::new(Exit::Other, "system", format!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    // Looking up a name may still be going on in a thread of its own; nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Prints the failure, if it is one, and turns the result into the exit code.
pub(crate) fn finish(result: Result<Exit, Failure>, json: bool) -> ExitCode {
    ExitCode::from(told(result, json) as u8)
}

tokio::task_local! {
    /// Where a command prints that does not have the terminal: the console's screen.
    static SHOWN: mpsc::Sender<Vec<u8>>;
}

/// Runs `work`, and sends what it prints to `to`, failures too.
pub(crate) async fn shown_to(to: mpsc::Sender<Vec<u8>>, work: impl Future<Output = ()>) {
    SHOWN.scope(to, work).await;
}

/// Whether what is printed goes to a screen.
fn is_shown() -> bool {
    SHOWN.try_with(|_| ()).is_ok()
}

/// Prints the failure, if it is one and has anything to say.
pub(crate) fn told(result: Result<Exit, Failure>, json: bool) -> Exit {
    result.unwrap_or_else(|failure| {
        if is_shown() {
            // Where the screen cannot take more, it says so itself.
            let _ = output(&failure_line(&failure, json, true));
        } else if !failure.message.is_empty() {
            let line = failure_line(&failure, json, io::stderr().is_terminal());
            // Where standard error is closed too there is nobody left to tell.
            let _ = io::stderr().write_all(&line);
        }
        failure.exit
    })
}

fn failure_line(failure: &Failure, as_json: bool, terminal: bool) -> Vec<u8> {
    if !as_json {
        let message = if terminal {
            escaped(failure.message.as_bytes(), false)
        } else {
            failure.message.clone()
        };
        return format!("piazza: {message}\n").into_bytes();
    }
    let mut line = b"{\"ok\":false".to_vec();
    match &failure.reply {
        Some(reply) => {
            let reply = ErrorReply { error: failure.message.clone().into(), ..(**reply).clone() };
            line.extend_from_slice(&error_tail(&reply));
        }
        None => {
            line.extend_from_slice(b",\"code\":");
            json::write_string(&mut line, failure.code);
            line.extend_from_slice(b",\"error\":");
            json::write_string(&mut line, &failure.message);
            line.extend_from_slice(b"}\n");
        }
    }
    line
}

/// Writes to standard output, whole and at once, or to the screen.
pub(crate) fn output(bytes: &[u8]) -> Result<(), Failure> {
    if let Ok(sent) = SHOWN.try_with(|to| to.try_send(bytes.to_vec())) {
        let full = "more is printed at once than the screen can take: the rest is left out";
        return sent.map_err(|_| Failure::new(Exit::Other, "output", full));
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(())
}

/// Writes lines with text from outside; on a terminal, what it would obey is escaped.
pub(crate) fn lines(bytes: &[u8]) -> Result<(), Failure> {
    if on_terminal() { output(escaped(bytes, true).as_bytes()) } else { output(bytes) }
}

/// Whether standard output is a terminal, on which nothing from outside may be obeyed.
pub(crate) fn on_terminal() -> bool {
    is_shown() || io::stdout().is_terminal()
}

/// Whether somebody types at a terminal whose cursor can be moved, and reads there.
pub(crate) fn has_screen() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whether nobody wants colours: `NO_COLOR` says so.
pub(crate) fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether standard output should be coloured.
pub(crate) fn in_colour() -> bool {
    !is_shown() && io::stdout().is_terminal() && !no_colour()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::ids::Version;

    /// Contract: "control characters in anything from outside (keys, values, names, log lines) are
    /// escaped"
    #[test]
    fn failures_are_told_to_people_and_to_programs() {
        let reply = Box::new(ErrorReply::replica_down("n\x1b1"));
        let failure = Failure::from(ClientError::Retry(reply));
        assert_eq!((failure.exit, failure.code), (Exit::Refused, "replica_down"));
        let line = String::from_utf8(failure_line(&failure, false, true)).unwrap();
        assert!(line.starts_with("piazza: node n\\u{1b}1 holds a copy"), "{line}");
        let line = failure_line(&failure, true, false);
        assert!(line.starts_with(b"{\"ok\":false,\"code\":\"replica_down\",\"error\":\"node n"));
        let object: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(object["code"], "replica_down");
        assert_eq!(object["node"], "n\x1b1");
        let line = failure_line(&Failure::usage("no \"x\""), true, false);
        assert_eq!(line, b"{\"ok\":false,\"code\":\"usage\",\"error\":\"no \\\"x\\\"\"}\n");
    }

    #[test]
    fn a_refusal_names_the_key_and_its_version() {
        let version = Version::new(protocol::ids::Epoch(3), 17);
        let message =
            |error: ErrorReply| Failure::from(ClientError::from_update(Box::new(error))).message;
        for (error, begin) in [
            (ErrorReply::key_not_found("a"), "key \"a\" does not exist, so"),
            (ErrorReply::exists(version), "the key is there already, with version 3.17, so"),
            (ErrorReply::version_mismatch("a", Some(version)), "key \"a\" has version 3.17, not"),
            (ErrorReply::version_mismatch("a", None), "key \"a\" does not have the version"),
        ] {
            let message = message(error);
            assert!(message.starts_with(begin), "{message}");
        }
        let unknown = message(ErrorReply::unknown_outcome(Some(version)));
        assert!(unknown.ends_with("(ask: piazza outcome 3.17)"), "{unknown}");
    }

    /// Contract: "2 wrong usage, `bad_request`, `too_large`; 3 refused and safe to retry, or never
    /// connected; 4 unknown outcome, or the connection was lost after an update was sent and could
    /// not be settled with `once`; 5 anything else; SIGPIPE is silent"
    #[test]
    fn exit_codes_follow_who_must_act() {
        let exit = |error: ErrorReply| Failure::from(ClientError::Fix(Box::new(error))).exit;
        assert_eq!(exit(ErrorReply::too_large("key", 1, 2)), Exit::Usage);
        assert_eq!(exit(ErrorReply::bad_field("key", "no")), Exit::Usage);
        assert_eq!(exit(ErrorReply::read_only("put")), Exit::Other);
        let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(Failure::from(ClientError::Lost(lost())).exit, Exit::Refused);
        assert_eq!(Failure::from(ClientError::NotConnected(lost())).exit, Exit::Refused);
        let cause = protocol::client::UnknownCause::Lost(lost());
        let unknown = ClientError::Unknown { version: None, cause };
        assert_eq!(Failure::from(unknown).exit, Exit::Unknown);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit, Exit::Done);
    }
}
