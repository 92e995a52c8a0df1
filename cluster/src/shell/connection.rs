//! One client connection: lines in, replies out, in order.
//!
//! A `get` that the cache can answer is answered here, in the connection's own task: one read,
//! all whole lines of it, one write. Everything else goes to the core, and so does a `get` of a
//! key for which this connection has any request there: program order. The lease is checked after
//! the value was read (R11). What the connection may do is asked of `access`, before anything else.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use protocol::error::{ErrorCode, ErrorReply};
use protocol::frame::{Frame, Framer, HTTP_RESPONSE};
use protocol::ids::Uuid;
use protocol::limits::Limits;
use protocol::reply::{self, AuthReply, HelloReply, error_tail};
use protocol::request::{self, Admin, Op, Request};
use protocol::status::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::access::Access;
use super::admin;
use super::budget::{Budget, FREE_LINE_BYTES, Share};
use super::coordinator::Event;
use super::counters::Counters;
use super::feed::{self, FeedReader};
use super::hints::Hints;
use super::ops::{self, KeyHashes};
use super::places::Place;
use super::slots::Slots;
use super::subscribers::{self, Subscriber};
use super::{clock, wall};
use crate::core::cache::Cache;
use crate::core::coordinator::{Answer, ClientId, Input};
use crate::core::time::Time;
use crate::tokens::Tokens;

mod explain;

/// Replies are written out when this many bytes have gathered.
const OUT_BYTES: usize = 64 << 10;
/// How often a connection's time limits are looked at, at least four times in each.
const LOOK_AROUND_MS: u64 = 2_500;
/// How long a client may take to notice that its connection is over.
const FAREWELL: Duration = Duration::from_secs(1);
/// What it may still have sent until then, bytes.
const FAREWELL_BYTES: u64 = 8 << 20;

/// What all client connections share.
pub(super) struct Shared {
    pub(super) cache: Arc<Cache>,
    /// Until when the cache's content may be told, microseconds of the core's clock.
    pub(super) lease_until: AtomicU64,
    pub(super) limits: Limits,
    /// What all clients together may make us hold.
    pub(super) budget: Arc<Budget>,
    pub(super) tokens: Arc<Tokens>,
    /// Once it is known.
    pub(super) cluster: OnceLock<Uuid>,
    pub(super) counters: Counters,
    /// Where our own supervisor listens.
    pub(super) supervisor: Option<SocketAddr>,
    /// What it says of the nodes.
    pub(super) hints: Arc<Hints>,
    /// Nodes may be ordered to have faults.
    pub(super) lab: bool,
    pub(super) core: mpsc::Sender<Event>,
}

impl Shared {
    /// Adds to a status what the core does not know.
    pub(super) fn complete(&self, status: &mut Status) {
        status.ops = self.counters.status();
        status.cluster.limits = self.limits.clone();
        status.coordinator.pid = Some(std::process::id());
        // Nodes may have others, or be away.
        if let Some(supervisor) = self.supervisor {
            status.supervisor = Some(supervisor.to_string());
        }
        // The core knows no other clock than its own.
        let began_ms = wall::now_ms().saturating_sub(clock::now().0 / 1_000);
        for incident in &mut status.incidents {
            incident.wall_ms = incident.wall_ms.saturating_add(began_ms);
        }
        self.hints.add_to(status, self.lab);
    }
}

/// An answer of the core, for a slot of the connection.
pub(super) struct Reply {
    pub(super) slot: u64,
    pub(super) answer: Answer,
    /// What it holds of the budget of all clients, if it is long.
    pub(super) share: Option<Share>,
}

/// Why a connection is over.
enum End {
    /// The client has sent all it will.
    Input,
    /// It is to be closed now.
    Closed,
}

/// One client.
pub(super) struct Connection {
    id: u64,
    shared: Arc<Shared>,
    writer: OwnedWriteHalf,
    out: Vec<u8>,
    slots: Slots,
    access: Access,
    /// Who asks: the name that the client gave itself, else its address.
    who: String,
    /// It has asked to be told of changes.
    watches: bool,
    /// Where events come from, once it has asked for some.
    subscriber: Option<Arc<Subscriber>>,
    /// For a long line that has begun.
    line_share: Option<Share>,
    last_active: Instant,
    line_since: Option<Instant>,
}

/// Serves a client until either side has had enough.
pub(super) async fn serve(id: u64, stream: TcpStream, shared: Arc<Shared>, place: Place) {
    let (replies_in, replies) = mpsc::channel(shared.limits.in_flight_requests + 1);
    let (feed, watched) = feed::feed();
    if shared.core.send(Event::Client { conn: id, replies: replies_in, feed }).await.is_err() {
        return;
    }
    let core = shared.core.clone();
    let who = stream.peer_addr().map_or_else(|_| String::new(), |addr| addr.to_string());
    let (reader, writer) = stream.into_split();
    let access = Access::new(&shared.tokens, place);
    let connection = Connection {
        id,
        shared,
        writer,
        out: Vec::new(),
        slots: Slots::default(),
        access,
        who,
        watches: false,
        subscriber: None,
        line_share: None,
        last_active: Instant::now(),
        line_since: None,
    };
    if let Err(error) = connection.run(reader, replies, watched).await {
        tracing::debug!(conn = id, %error, "client connection ended");
    }
    let _ = core.send(Event::Core(Input::ClientGone(id))).await;
}

impl Connection {
    async fn run(
        mut self,
        mut reader: OwnedReadHalf,
        mut replies: mpsc::Receiver<Reply>,
        mut watched: FeedReader,
    ) -> io::Result<()> {
        let mut framer = Framer::new(self.shared.limits.line_bytes);
        let limits = &self.shared.limits;
        let look_around_ms = LOOK_AROUND_MS.min(limits.idle_ms / 4).min(limits.line_ms / 4);
        let mut look_around = tokio::time::interval(Duration::from_millis(look_around_ms.max(1)));
        look_around.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.slots.is_empty() {
            let may_read = open && self.has_room() && self.may_hold(&framer);
            if !may_read {
                // It is not the client that a line waits for.
                self.line_since = None;
            }
            let first_slot = self.slots.first();
            tokio::select! {
                biased;
                reply = replies.recv() => {
                    let Some(reply) = reply else { return Ok(()) };
                    self.last_active = Instant::now();
                    self.on_reply(reply);
                    while let Ok(reply) = replies.try_recv() {
                        self.on_reply(reply);
                    }
                }
                () = watched.wait(), if self.watches && !watched.is_held(first_slot) => {}
                () = subscribers::wait(self.subscriber.as_deref(), first_slot),
                    if self.subscriber.is_some() => {}
                read = reader.read_buf(framer.read_space()), if may_read => {
                    self.last_active = Instant::now();
                    open = read? > 0;
                }
                _ = look_around.tick() => {
                    if self.is_overdue() {
                        return Ok(());
                    }
                    continue;
                }
            }
            // First, so that there is room for lines that have come already: nothing else may ever
            // come.
            self.write_answered().await?;
            match self.take_lines(&mut framer, open).await? {
                Some(End::Closed) => return self.flush().await,
                Some(End::Input) => open = false,
                None => {}
            }
            open &= !self.access.is_to_go();
            let first_slot = self.slots.first();
            if self.watches && !watched.write(&mut self.out, OUT_BYTES, first_slot) {
                return self.flush().await;
            }
            if let Some(subscriber) = &self.subscriber {
                subscriber.write(&mut self.out, OUT_BYTES, first_slot);
            }
            self.flush().await?;
        }
        if self.access.is_to_go() {
            part(reader, self.writer).await;
        }
        Ok(())
    }

    /// Runs the whole lines that have come, as far as the limits of one connection allow.
    async fn take_lines(&mut self, framer: &mut Framer, open: bool) -> io::Result<Option<End>> {
        while self.has_room() {
            match framer.next_frame() {
                Some(Frame::Line(line)) => {
                    if let Some(event) = self.on_line(line) {
                        self.hand_to_loop(event).await?;
                    }
                }
                Some(Frame::TooLong(actual)) => self.on_too_long(actual),
                Some(Frame::Http) => {
                    self.out.extend_from_slice(HTTP_RESPONSE.as_bytes());
                    return Ok(Some(End::Closed));
                }
                None if open => {
                    let mid_line = framer.is_mid_line();
                    let since = *self.line_since.get_or_insert_with(Instant::now);
                    self.line_since = mid_line.then_some(since);
                    return Ok(None);
                }
                None => {
                    let last = match framer.finish() {
                        Some(Frame::Line(line)) => self.on_line(line),
                        Some(Frame::TooLong(actual)) => {
                            self.on_too_long(actual);
                            None
                        }
                        Some(Frame::Http) => {
                            self.out.extend_from_slice(HTTP_RESPONSE.as_bytes());
                            return Ok(Some(End::Closed));
                        }
                        None => None,
                    };
                    if let Some(event) = last {
                        self.hand_to_loop(event).await?;
                    }
                    return Ok(Some(End::Input));
                }
            }
            self.line_since = None;
            if self.out.len() >= OUT_BYTES {
                self.flush().await?;
            }
        }
        Ok(None)
    }

    async fn hand_to_loop(&mut self, event: Event) -> io::Result<()> {
        match self.shared.core.try_send(event) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(event)) => {
                self.shared.core.send(event).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Whether another request may be taken.
    fn has_room(&self) -> bool {
        self.slots.has_room(&self.shared.limits) && !self.access.is_to_go()
    }

    /// Whether more of a line may come: a long one needs a share of what all clients may use.
    fn may_hold(&mut self, framer: &Framer) -> bool {
        if framer.held_bytes() <= FREE_LINE_BYTES {
            self.line_share = None;
            return true;
        }
        if self.line_share.is_none() {
            self.line_share = self.shared.budget.take(self.shared.limits.line_bytes);
        }
        self.line_share.is_some()
    }

    fn on_too_long(&mut self, actual: usize) {
        let error = ErrorReply::line_too_long(self.shared.limits.line_bytes, actual);
        self.answer(None, Counters::op("other"), Some(error.code), error_tail(&error));
    }

    /// Answers a line at once, or returns what the loop is to do for it.
    fn on_line(&mut self, line: &[u8]) -> Option<Event> {
        let shared = Arc::clone(&self.shared);
        let request = match request::parse(line, &shared.limits) {
            Ok(request) => request,
            Err(rejected) => {
                let tail = error_tail(&rejected.error);
                let (id, code) = (rejected.id, rejected.error.code);
                self.answer(id, Counters::op("other"), Some(code), tail);
                return None;
            }
        };
        if let Some(error) = self.access.refusal(&request.op) {
            let (op, tail) = (Counters::op(request.op.name()), error_tail(&error));
            self.answer(request.id, op, Some(error.code), tail);
            let Op::Admin(asked) = &request.op else { return None };
            return Some(self.refused(asked, error.code));
        }
        if let Op::Get { key } = &request.op
            && self.answer_hit(&request, key)
        {
            return None;
        }
        self.pass_on(&request, line.len())
    }

    /// A hit, told only if the lease holds after the value was read.
    fn answer_hit(&mut self, request: &Request<'_>, key: &str) -> bool {
        if !self.slots.is_empty() && self.slots.is_in_core(ops::hash(key)) {
            return false;
        }
        let shared = &self.shared;
        let may_tell = || clock::now() < Time(shared.lease_until.load(Ordering::Acquire));
        match shared.cache.hit(key) {
            Some((_, tail)) if may_tell() => {
                self.answer(request.id, 0, None, tail);
                true
            }
            _ => false,
        }
    }

    /// Makes a request the loop's, with a slot for its reply.
    fn pass_on(&mut self, request: &Request<'_>, bytes: usize) -> Option<Event> {
        match &request.op {
            Op::Hello { read_only, client } => {
                if *read_only {
                    self.access.only_read();
                }
                if let Some(client) = client {
                    self.who = admin::shortened(client);
                }
                self.hello(request.id);
                return None;
            }
            Op::Subscribe(wants) => {
                let client = self.take_slot(request, bytes, KeyHashes::None);
                let subscriber = Arc::clone(self.subscriber.get_or_insert_default());
                return Some(Event::Subscribe { client, wants: wants.clone(), subscriber });
            }
            _ => {}
        }
        if let Op::Explain(explain) = &request.op {
            return self.explain(request, explain, bytes);
        }
        if let Op::Admin(asked) = &request.op {
            return Some(self.administer(request, asked, bytes));
        }
        if let Op::Auth { token } = &request.op {
            self.auth(request.id, token);
            return None;
        }
        let op = ops::for_core(&request.op)?;
        let once = ops::once_of(request);
        self.watches |= matches!(request.op, Op::Watch { .. });
        let client = self.take_slot(request, bytes, KeyHashes::of(&request.op));
        let timeout_ms = self.timeout_ms(request);
        Some(Event::Core(Input::Request { client, op, once, timeout_ms }))
    }

    fn timeout_ms(&self, request: &Request<'_>) -> u64 {
        request.timeout_ms.map_or(self.shared.limits.op_ms, u64::from)
    }

    /// A place for the reply to a request.
    fn take_slot(&mut self, request: &Request<'_>, bytes: usize, keys: KeyHashes) -> ClientId {
        let op = Counters::op(request.op.name());
        ClientId { conn: self.id, slot: self.slots.take(request.id, op, keys, bytes) }
    }

    /// What administrators ask for is the core's.
    fn administer(&mut self, request: &Request<'_>, asked: &Admin<'_>, bytes: usize) -> Event {
        let op = ops::admin(asked);
        let client = self.take_slot(request, bytes, KeyHashes::None);
        let (timeout_ms, admin) = (self.timeout_ms(request), admin::told(asked, &self.who));
        Event::Administer { client, op, timeout_ms, admin: Box::new(admin) }
    }

    fn refused(&self, asked: &Admin<'_>, code: ErrorCode) -> Event {
        let admin = admin::answered(admin::told(asked, &self.who), Some(code));
        Event::Refused(Box::new(admin))
    }

    fn auth(&mut self, id: Option<&str>, token: &str) {
        let (code, tail) = match self.access.show(token) {
            Some(role) => (None, reply::object_tail(&AuthReply { role })),
            None => {
                let error = ErrorReply::wrong_token();
                (Some(error.code), error_tail(&error))
            }
        };
        self.answer(id, Counters::op("auth"), code, tail);
    }

    fn hello(&mut self, id: Option<&str>) {
        let hello = HelloReply {
            server: format!("piazza {}", env!("CARGO_PKG_VERSION")),
            protocol: 1,
            cluster: self.shared.cluster.get().map(Uuid::to_string),
            limits: self.shared.limits.clone(),
        };
        self.answer(id, Counters::op("hello"), None, reply::object_tail(&hello));
    }

    /// Writes a reply, behind those that are still awaited.
    fn answer(&mut self, id: Option<&str>, op: usize, code: Option<ErrorCode>, tail: Bytes) {
        if self.slots.is_empty() {
            self.shared.counters.count(op, code);
            reply::write_reply(&mut self.out, id, code.is_none(), &tail);
            return;
        }
        self.slots.push(id, op, (code, tail));
    }

    fn on_reply(&mut self, reply: Reply) {
        let outcome = match reply.answer {
            Answer::Ok(tail) => (None, tail),
            Answer::Error(error) => (Some(error.code), error_tail(&error)),
            Answer::Status(mut status) => {
                self.shared.complete(&mut status);
                (None, reply::object_tail(&*status))
            }
            Answer::Explained(explained) => explained.finish(clock::now()),
        };
        self.slots.settle(reply.slot, outcome, reply.share);
    }

    /// Writes out the replies whose turn it is, a portion at a time: what waits for a slow client
    /// stays where it is counted.
    async fn write_answered(&mut self) -> io::Result<()> {
        while let Some(answered) = self.slots.next_answered() {
            let (code, tail) = answered.reply;
            self.shared.counters.count(answered.op, code);
            reply::write_reply(&mut self.out, answered.id.as_deref(), code.is_none(), &tail);
            if self.out.len() >= OUT_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Writes out what there is; a socket that takes nothing for too long is given up.
    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        // Most often the socket takes it all at once, and no timer is needed.
        match self.writer.try_write(&self.out) {
            Ok(written) => sent = written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let stalled = Duration::from_millis(self.shared.limits.stalled_ms);
        while sent < self.out.len() {
            let write = tokio::time::timeout(stalled, self.writer.write(&self.out[sent..]));
            let written = write.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            sent += written;
        }
        self.out.clear();
        if self.out.capacity() > 4 * OUT_BYTES {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Idle for too long, or a line that does not come to its end.
    fn is_overdue(&self) -> bool {
        let limits = &self.shared.limits;
        let idle = self.last_active.elapsed() > Duration::from_millis(limits.idle_ms);
        let line = Duration::from_millis(limits.line_ms);
        let slow = self.line_since.is_some_and(|since| since.elapsed() > line);
        let listens = self.watches || self.subscriber.as_ref().is_some_and(|s| s.is_subscribed());
        (idle && self.slots.is_empty() && !listens) || slow
    }
}

/// Ends a connection whose client may still be sending, so that it gets what was written last:
/// closing with input unread would take that away from it.
pub(super) async fn part(reader: OwnedReadHalf, mut writer: OwnedWriteHalf) {
    let _ = writer.shutdown().await;
    let (mut rest, mut nowhere) = (reader.take(FAREWELL_BYTES), tokio::io::sink());
    let _ = tokio::time::timeout(FAREWELL, tokio::io::copy(&mut rest, &mut nowhere)).await;
}
