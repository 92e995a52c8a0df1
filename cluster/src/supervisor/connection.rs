//! One connection to the supervisor's port: one request at a time, in their order, and events
//! between the replies once it has subscribed.
//!
//! Made by `endpoint`, answered by `run`. Bounded in line length and time. A connection ends with
//! its client, with the supervisor or at a limit; its faults never reach anybody else.

use std::future::{self, Future};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use protocol::error::ErrorReply;
use protocol::frame::{Frame, Framer, HTTP_RESPONSE};
use protocol::reply::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::asked::admin;
use super::contained::contained;
use super::endpoint::Endpoint;
use super::fleet::{Input, Refusal, Reply};
use super::lines::LINE_BYTES_MAX;
use super::logs;
use super::request::{self, Request};
use super::run::News;
use crate::core::coordinator::ClientId;
use crate::shell::admin::shortened;
use crate::shell::subscribers::{self, Subscriber};
use crate::tokens::Visitor;

/// A connection without requests is closed after this, unless it has subscribed.
pub(super) const IDLE: Duration = Duration::from_secs(300);
/// A line must arrive whole within this.
pub(super) const LINE_WAIT: Duration = Duration::from_secs(30);
/// A client that takes nothing for this long is closed.
pub(super) const WRITE_WAIT: Duration = Duration::from_secs(30);
/// How long a client may take to notice that its connection is over.
const FAREWELL: Duration = Duration::from_secs(1);
/// What it may still have sent until then, bytes.
const FAREWELL_BYTES: u64 = 1 << 20;
/// Events are written out when this many bytes have gathered.
const OUT_BYTES: usize = 64 << 10;

type Answer = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// A request that has no reply yet.
struct Pending {
    id: Option<Value>,
    answer: Answer,
    /// What the supervisor is told once the reply is written.
    then: Option<News>,
}

/// One client.
pub(super) struct Connection {
    id: u64,
    sink: OwnedWriteHalf,
    news: mpsc::Sender<News>,
    logs: Arc<Path>,
    /// Who asks: the name that the client gave itself, else its address.
    who: String,
    read_only: bool,
    visitor: Visitor,
    pending: Option<Pending>,
    /// Requests that were answered.
    served: u64,
    subscriber: Option<Arc<Subscriber>>,
    /// When it last said something, and when the line began that has not ended.
    active: Instant,
    begun: Option<Instant>,
}

/// Serves a client until either side has had enough.
pub(super) async fn serve(id: u64, stream: TcpStream, endpoint: Endpoint) {
    let Endpoint { news, logs, tokens } = endpoint;
    let who = stream.peer_addr().map_or_else(|_| String::new(), |addr| addr.to_string());
    let _ = stream.set_nodelay(true);
    let (source, sink) = stream.into_split();
    let end = news.clone();
    let connection = Connection {
        id,
        sink,
        news,
        logs,
        who,
        read_only: false,
        visitor: Visitor::new(tokens),
        pending: None,
        served: 0,
        subscriber: None,
        active: Instant::now(),
        begun: None,
    };
    if let Err(error) = connection.run(source).await {
        tracing::debug!(conn = id, %error, "connection ended");
    }
    let _ = end.send(News::Gone(id)).await;
}

impl Connection {
    async fn run(mut self, mut source: OwnedReadHalf) -> io::Result<()> {
        let mut framer = Framer::new(LINE_BYTES_MAX);
        let mut open = true;
        loop {
            if self.pending.is_none() && self.take_lines(&mut framer, open).await? {
                return Ok(());
            }
            let (idle, deadline) = (self.pending.is_none(), self.deadline());
            tokio::select! {
                reply = answered(&mut self.pending) => {
                    self.reply(reply).await?;
                    if self.visitor.is_to_go() {
                        self.part(source).await;
                        return Ok(());
                    }
                }
                () = subscribers::wait(self.subscriber.as_deref(), self.served) => {
                    self.write_events().await?;
                }
                read = source.read_buf(framer.read_space()), if idle => {
                    self.active = Instant::now();
                    open = read? > 0;
                }
                () = tokio::time::sleep_until(deadline) => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Runs the lines that have come, up to one that is not answered at once; true if the
    /// connection is over.
    async fn take_lines(&mut self, framer: &mut Framer, open: bool) -> io::Result<bool> {
        loop {
            let frame = match framer.next_frame() {
                None if open => {
                    let now = Instant::now();
                    let begun = *self.begun.get_or_insert(now);
                    self.begun = framer.is_mid_line().then_some(begun);
                    return Ok(false);
                }
                None => framer.finish(),
                some => some,
            };
            self.begun = None;
            match frame {
                None => return Ok(true),
                Some(Frame::Http) => {
                    self.write(HTTP_RESPONSE.as_bytes()).await?;
                    return Ok(true);
                }
                Some(Frame::TooLong(actual)) => {
                    self.write(&request::answer(None, Err(request::too_long(actual)))).await?;
                }
                Some(Frame::Line(line)) => {
                    let (id, parsed) = request::parse(line);
                    self.pending = Some(self.begin(id, parsed));
                    return Ok(false);
                }
            }
        }
    }

    /// When the connection is given up if nothing happens.
    fn deadline(&self) -> Instant {
        let far = Duration::from_secs(86_400);
        match (&self.pending, self.begun, &self.subscriber) {
            (None, Some(begun), _) => begun + LINE_WAIT,
            (None, None, None) => self.active + IDLE,
            // The reply has a deadline of its own, and who listens may be silent.
            _ => Instant::now() + far,
        }
    }

    /// Begins what a line asks.
    fn begin(&mut self, id: Option<Value>, parsed: Result<Request, Refusal>) -> Pending {
        let mut then = None;
        let answer: Answer = match parsed.and_then(|request| self.authorised(request)) {
            Err(refusal) => Box::pin(future::ready(Err(refusal))),
            Ok(Request::Hello { client, read_only }) => {
                if let Some(client) = client {
                    self.who = shortened(&client);
                }
                self.read_only |= read_only;
                self.ask(News::Hello)
            }
            Ok(Request::Auth(token)) => {
                let role = self.visitor.show(&token);
                let shown = role.map(|role| json!({ "role": role }));
                let reply = shown.ok_or_else(|| refusal(&ErrorReply::wrong_token()));
                Box::pin(future::ready(reply))
            }
            Ok(Request::Subscribe(wants)) => {
                let subscriber = Arc::clone(self.subscriber.get_or_insert_default());
                let client = ClientId { conn: self.id, slot: self.served };
                self.ask(move |reply| News::Subscribe { client, wants, subscriber, reply })
            }
            Ok(Request::Logs { proc, lines }) => {
                let logs = Arc::clone(&self.logs);
                Box::pin(contained(move || logs::tail(&logs, &proc, lines)))
            }
            Ok(Request::Do(action)) => {
                let by = self.who.clone();
                self.ask(move |reply| News::Asked { action, by, reply })
            }
            Ok(Request::Shutdown) => {
                // Written before it begins: the supervisor may end faster than its answer leaves.
                then = Some(News::Fleet(Input::Shutdown { by: self.who.clone() }));
                Box::pin(future::ready(Ok(json!({ "pid": std::process::id() }))))
            }
        };
        Pending { id, answer, then }
    }

    /// The request, if this connection may make it: who shows no token only shows one, a viewer or
    /// client looks, an admin acts. What is refused of those that change something is told.
    fn authorised(&self, request: Request) -> Result<Request, Refusal> {
        if matches!(request, Request::Hello { .. } | Request::Auth(_)) {
            return Ok(request);
        }
        let Some(role) = self.visitor.role() else { return Err(refusal(&ErrorReply::no_token())) };
        let told = match &request {
            Request::Do(action) => action.told(),
            Request::Shutdown => Some(("shutdown", "")),
            _ => None,
        };
        let Some((action, target)) = told else { return Ok(request) };
        let error = if role != Role::Admin {
            "only an admin token allows that at the supervisor: show one".to_owned()
        } else if self.read_only {
            format!("this connection is read-only: {action} needs another")
        } else {
            return Ok(request);
        };
        let code = "forbidden";
        let target = Some(target).filter(|target| !target.is_empty());
        let mut refused = admin(action, target, &self.who);
        refused.result = code.to_owned();
        // Only told: it may be lost where everything is too much.
        let _ = self.news.try_send(News::Fleet(Input::Refused(refused)));
        Err(Refusal::new(code, error))
    }

    /// Ends the stream of a client that may still be sending: what comes is read for a moment, else
    /// it could lose what was written last.
    async fn part(&mut self, mut source: OwnedReadHalf) {
        let _ = self.sink.shutdown().await;
        let mut rest = (&mut source).take(FAREWELL_BYTES);
        let _ = timeout(FAREWELL, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }

    fn ask(&self, make: impl FnOnce(oneshot::Sender<Reply>) -> News + Send + 'static) -> Answer {
        let news = self.news.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let gone = || Refusal::new("refused", "the supervisor has stopped");
            news.send(make(reply)).await.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    async fn reply(&mut self, reply: Reply) -> io::Result<()> {
        let Some(Pending { id, then, .. }) = self.pending.take() else { return Ok(()) };
        let written = self.write(&request::answer(id, reply)).await;
        self.served += 1;
        self.active = Instant::now();
        if let Some(then) = then {
            let _ = self.news.send(then).await;
        }
        written
    }

    async fn write_events(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        if let Some(subscriber) = &self.subscriber {
            subscriber.write(&mut out, OUT_BYTES, self.served);
        }
        self.write(&out).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = timeout(WRITE_WAIT, self.sink.write_all(bytes)).await;
        written.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// The reply to the pending request; for ever without one.
async fn answered(pending: &mut Option<Pending>) -> Reply {
    match pending {
        Some(pending) => pending.answer.as_mut().await,
        None => future::pending().await,
    }
}

fn refusal(error: &ErrorReply) -> Refusal {
    Refusal::new(error.code.as_str(), error.error.to_string())
}
