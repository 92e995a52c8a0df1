//! The supervisor's port: JSON lines, one request at a time for each connection, bounded in
//! connections, line length and time.
//!
//! Started by `run`, which alone answers. A connection ends with its client, with the supervisor
//! or at a limit; its faults never reach anybody else.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::frame::{HTTP_RESPONSE, is_http};
use protocol::reply::Role;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::fleet::{Action, Refusal, Reply};
use super::lines::{Line, Lines};
use super::logs;
use super::request::{self, Request};
use super::run::News;
use crate::tokens::{Tokens, Visitor};

/// Connections served at a time.
const CONNECTIONS_MAX: usize = 64;
/// A connection without requests is closed after this.
const IDLE: Duration = Duration::from_secs(300);
/// A line must arrive whole within this.
const LINE_WAIT: Duration = Duration::from_secs(30);
/// A client that takes nothing for this long is closed.
const WRITE_WAIT: Duration = Duration::from_secs(30);
/// How long a client may take to notice that its connection is over.
const FAREWELL: Duration = Duration::from_secs(1);
/// The pause after a failed accept (no descriptors left): trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// Where requests go.
    pub(super) news: mpsc::Sender<News>,
    /// Where the servers' logs are.
    pub(super) logs: Arc<Path>,
    /// Who may do what.
    pub(super) tokens: Arc<Tokens>,
}

impl Endpoint {
    /// Accepts until it is dropped.
    pub(super) async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let endpoint = self.clone();
                    tokio::spawn(async move {
                        let _ = endpoint.connection(stream).await;
                        drop(place);
                    });
                }
                Err(_) => refuse(&stream),
            }
        }
    }

    async fn connection(self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (source, mut sink) = stream.into_split();
        let mut lines = Lines::new(source);
        let mut visitor = Visitor::new(Arc::clone(&self.tokens));
        let mut first = true;
        while !visitor.is_to_go() {
            let line = match next(&mut lines).await? {
                Line::End => return Ok(()),
                Line::TooLong(actual) => {
                    write(&mut sink, &request::answer(None, Err(request::too_long(actual))))
                        .await?;
                    continue;
                }
                Line::Whole(line) => line,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            if std::mem::take(&mut first) && is_http(&line) {
                return write(&mut sink, HTTP_RESPONSE.as_bytes()).await;
            }
            let (id, parsed) = request::parse(&line);
            let reply = match parsed.and_then(|asked| allowed(&visitor, asked)) {
                Err(refusal) => Err(refusal),
                Ok(Request::Shutdown) => {
                    // Written before it begins: the supervisor may end faster than its answer
                    // leaves.
                    let reply = Ok(serde_json::json!({ "pid": std::process::id() }));
                    let written = write(&mut sink, &request::answer(id, reply)).await;
                    let _ = self.news.send(News::Shutdown).await;
                    written?;
                    continue;
                }
                Ok(asked) => self.reply(asked, &mut visitor).await,
            };
            write(&mut sink, &request::answer(id, reply)).await?;
        }
        lines.part(sink, FAREWELL).await;
        Ok(())
    }

    async fn reply(&self, asked: Request, visitor: &mut Visitor) -> Reply {
        match asked {
            Request::Hello | Request::Shutdown => ask(&self.news, News::Hello).await,
            Request::Auth(token) => match visitor.show(&token) {
                Some(role) => Ok(serde_json::json!({ "role": role })),
                None => Err(refusal(&ErrorReply::wrong_token())),
            },
            Request::Logs { proc, lines } => read_logs(&self.logs, proc, lines).await,
            Request::Do(action) => ask_to(&self.news, action).await,
        }
    }
}

/// Answers a connection over the limit, as far as that is possible without waiting.
fn refuse(stream: &TcpStream) {
    let error = format!("{CONNECTIONS_MAX} connections are open; close one or try again later");
    let fields = serde_json::json!({ "retry_after_ms": 1000 });
    let line = request::answer(None, Err(Refusal { code: "overloaded", error, fields }));
    let _ = stream.try_write(&line);
}

/// What is asked, if whoever asks may have it: a viewer or client looks, an admin acts.
fn allowed(visitor: &Visitor, asked: Request) -> Result<Request, Refusal> {
    match visitor.role() {
        _ if matches!(asked, Request::Hello | Request::Auth(_)) => Ok(asked),
        None => Err(refusal(&ErrorReply::no_token())),
        Some(Role::Admin) => Ok(asked),
        Some(_) if !asked.acts() => Ok(asked),
        Some(_) => {
            let error = "only an admin token allows that at the supervisor: show one";
            Err(Refusal::new("forbidden", error))
        }
    }
}

fn refusal(error: &ErrorReply) -> Refusal {
    Refusal::new(error.code.as_str(), error.error.to_string())
}

async fn ask_to(news: &mpsc::Sender<News>, action: Action) -> Reply {
    ask(news, |reply| News::Asked(action, reply)).await
}

async fn ask(
    news: &mpsc::Sender<News>,
    make: impl FnOnce(oneshot::Sender<Reply>) -> News,
) -> Reply {
    let (reply, answer) = oneshot::channel();
    let gone = || Refusal::new("refused", "the supervisor has stopped");
    news.send(make(reply)).await.map_err(|_| gone())?;
    answer.await.unwrap_or_else(|_| Err(gone()))
}

/// Reads on a thread of its own: a disk that hangs must not hold up the others.
async fn read_logs(logs: &Arc<Path>, proc: String, lines: usize) -> Reply {
    let logs = Arc::clone(logs);
    let read = tokio::task::spawn_blocking(move || logs::tail(&logs, &proc, lines)).await;
    read.unwrap_or_else(|error| Err(Refusal::new("internal", error.to_string())))
}

/// The next line within the limits of time; past them an error, which closes the connection.
async fn next(lines: &mut Lines<OwnedReadHalf>) -> io::Result<Line> {
    let mut begun_at = None;
    loop {
        if let Some(line) = lines.take() {
            return Ok(line);
        }
        let now = Instant::now();
        let deadline =
            if lines.begun() { *begun_at.get_or_insert(now) + LINE_WAIT } else { now + IDLE };
        timeout_at(deadline, lines.fill()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
}

async fn write(sink: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_WAIT, sink.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}
