//! One connection of a load: sends what is due, takes in what is answered, connects anew.
//!
//! A task each, started by `super::start`; ends with its share of the load, or by being aborted. It
//! never waits for another connection, and no reply, however odd, does more than lose it its own.
//! All that is due goes out in one write; all that one read brought is counted in one step.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Shared;
use super::draw::Draws;
use super::flight::{Flight, Next, Sent};
use super::plan::{Kind, Work, write_key};
use super::tally::{CONNECTION_LOST, INVALID_REPLY, OK, Tally};
use crate::client::connection::connect;
use crate::client::{ClientError, Options};
use crate::error::{ErrorReply, Remedy};
use crate::frame::{Frame, Framer};
use crate::ids::Version;
use crate::reply::{self, REPLY_BYTES_MAX};
use crate::request::{Op, Request};
use crate::token::Token;

/// Pauses between attempts to connect anew grow from this to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections that bring no answer are made anew for so long.
const USELESS_MAX: Duration = Duration::from_secs(30);
/// An output buffer larger than this is given back once it is written, bytes.
const OUT_BYTES_KEPT: usize = 256 << 10;
/// How a reply begins that is `ok`, as servers write it.
const OK_BEGIN: &[u8] = b"{\"ok\":true,";

/// Connects, and shows the token if there is one.
pub(super) async fn open(
    addresses: &str,
    token: Option<&Token>,
    wait: Duration,
) -> Result<TcpStream, ClientError> {
    let options = Options { token: token.cloned(), connect_timeout: wait, ..Options::default() };
    Ok(connect(addresses, &options).await?.0)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it")
}

fn invalid(sentence: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

/// A connection's share of a load.
pub(super) struct Connection {
    shared: Arc<Shared>,
    number: usize,
    flight: Flight,
    draws: Draws,
    framer: Framer,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// The name of a key, up to what the prefix fills.
    key: String,
    updates: u64,
    /// Whether this connection has brought an answer.
    useful: bool,
}

impl Connection {
    /// The share of the connection `number`.
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let plan = &shared.plan;
        let distribution = match plan.work {
            Work::Drawn { distribution, .. } => Some(distribution),
            Work::EachKey(_) => None,
        };
        Self {
            number,
            flight: Flight::new(number, plan.depth),
            // A plan has far fewer connections.
            draws: Draws::new(plan.seed, number as u32, plan.keys, distribution),
            framer: Framer::new(REPLY_BYTES_MAX),
            out: Vec::new(),
            written: 0,
            key: plan.prefix.clone(),
            updates: 0,
            useful: false,
            shared,
        }
    }

    /// Does the share, beginning with `stream`.
    pub(super) async fn run(mut self, stream: TcpStream) {
        let mut stream = Some(stream);
        let mut pause = PAUSE_MIN;
        let mut useful_at = Instant::now();
        loop {
            if let Some(stream) = stream.take() {
                self.flight.connected(self.shared.now_ns());
                let Err(error) = self.converse(&stream).await else { return };
                self.lose(&error);
            }
            if std::mem::take(&mut self.useful) {
                (pause, useful_at) = (PAUSE_MIN, Instant::now());
            }
            if useful_at.elapsed() > USELESS_MAX {
                return self.shared.tally().gave_up();
            }
            match self.in_time(self.reopen(pause)).await {
                None => return,
                Some(Ok(made)) => stream = Some(made),
                Some(Err(error)) => self.shared.tally().connect_failed(error.to_string()),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn reopen(&self, pause: Duration) -> Result<TcpStream, ClientError> {
        sleep(pause).await;
        let plan = &self.shared.plan;
        open(&self.shared.addresses, plan.token.as_ref(), plan.answer_wait).await
    }

    /// What `future` gives, unless the load's time ends first.
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match self.shared.at(self.shared.schedule.end_ns()) {
            Some(end) => timeout_at(end, future).await.ok(),
            None => Some(future.await),
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.framer = Framer::new(REPLY_BYTES_MAX);
        self.out.clear();
        self.written = 0;
        let mut tally = self.shared.tally();
        tally.lost(error.to_string());
        for sent in self.flight.lost() {
            tally.failed(sent.kind, CONNECTION_LOST);
        }
    }

    /// Asks and takes answers until the share is done, or the connection is lost.
    async fn converse(&mut self, stream: &TcpStream) -> io::Result<()> {
        let shared = self.shared.clone();
        let overdue = sleep_until(Instant::now());
        tokio::pin!(overdue);
        let mut overdue_at = None;
        loop {
            let next = self.send_due();
            if next == Next::Over && self.flight.is_empty() {
                return Ok(());
            }
            self.write(stream)?;
            if overdue_at.is_none() {
                // Answers come in order, so it is enough to watch the oldest; once for many.
                let wait_ns = shared.plan.answer_wait.as_nanos() as u64;
                let at = self.flight.oldest_sent_ns().map(|sent| sent.saturating_add(wait_ns));
                overdue_at = at.and_then(|at| shared.at(at).map(|instant| (at, instant)));
                if let Some((_, instant)) = overdue_at {
                    overdue.as_mut().reset(instant);
                }
            }
            tokio::select! {
                biased;
                ready = stream.readable() => {
                    ready?;
                    self.read(stream)?;
                }
                ready = stream.writable(), if !self.out.is_empty() => ready?,
                () = shared.due[self.number].notified(), if next == Next::NotYet => {}
                () = &mut overdue, if overdue_at.is_some() => {
                    self.check_overdue()?;
                    overdue_at = None;
                }
            }
        }
    }

    /// Puts all that may be sent into the output; what is to be waited for then.
    fn send_due(&mut self) -> Next {
        let mut sent_count = 0;
        let now_ns = self.shared.now_ns();
        loop {
            // Whatever is not written yet bounds what is added to it.
            let next = self.flight.next(&self.shared.schedule, now_ns);
            let Next::Send { number, start_ns } = next else {
                if sent_count > 0 {
                    self.shared.tally().sent(sent_count);
                }
                return next;
            };
            let (kind, key) = match self.shared.plan.work {
                Work::Drawn { mix, .. } => (self.draws.kind(&mix), self.draws.key()),
                // There are as many operations as keys.
                Work::EachKey(kind) => (kind, number as u32),
            };
            self.ask(kind, key);
            sent_count += 1;
            let delay_ns = self.flight.sent(Sent { kind, key, start_ns, sent_ns: now_ns });
            if self.shared.schedule.has_rate() {
                self.shared.tally().delayed(delay_ns);
            }
        }
    }

    fn ask(&mut self, kind: Kind, key_number: u32) {
        let shared = &*self.shared;
        self.key.truncate(shared.plan.prefix.len());
        write_key(&mut self.key, key_number);
        let key = Cow::Borrowed(self.key.as_str());
        let mut value = || Cow::Borrowed(self.draws.value(&shared.values));
        let op = match kind {
            Kind::Get => Op::Get { key },
            Kind::Put => Op::Put { key, value: value(), if_absent: false },
            Kind::Update => Op::Update { key, value: value() },
            Kind::Cas => Op::Cas { key, value: value(), version: shared.version(key_number) },
            Kind::Del => Op::Del { key, version: None },
        };
        let once = shared.name.as_ref().filter(|_| kind != Kind::Get).map(|name| {
            self.updates += 1;
            let mut once = String::with_capacity(64);
            // Writing to a string cannot fail.
            let _ = write!(once, "{name}.{:x}.{:x}", self.number, self.updates);
            Cow::Owned(once)
        });
        Request { id: None, timeout_ms: None, once, op }.write(&mut self.out);
    }

    fn write(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.written < self.out.len() {
            match stream.try_write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(OUT_BYTES_KEPT);
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        match stream.try_read_buf(self.framer.read_space()) {
            Ok(0) => return Err(closed()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let now_ns = self.shared.now_ns();
        let mut tally = self.shared.tally();
        while let Some(frame) = self.framer.next_frame() {
            let Frame::Line(line) = frame else {
                return Err(invalid("a reply is longer than any of this protocol"));
            };
            let Some(sent) = self.flight.answered(now_ns) else { return Err(unasked(line)) };
            count(&mut tally, &self.shared, sent, line, now_ns)?;
            self.useful = true;
        }
        // A reply without end is not waited for.
        if self.framer.is_over_long() {
            return Err(invalid("a reply is longer than any of this protocol"));
        }
        Ok(())
    }

    fn check_overdue(&self) -> io::Result<()> {
        let wait_ns = self.shared.plan.answer_wait.as_nanos() as u64;
        let now_ns = self.shared.now_ns();
        let oldest = self.flight.oldest_sent_ns();
        if oldest.is_some_and(|sent| sent.saturating_add(wait_ns) <= now_ns) {
            let sentence = "the server has not answered in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, sentence));
        }
        Ok(())
    }
}

/// Counts one answer. What is no reply at all ends the connection: it cannot be told any more which
/// answer belongs to which request.
fn count(
    tally: &mut Tally,
    shared: &Shared,
    sent: Sent,
    line: &[u8],
    now_ns: u64,
) -> io::Result<()> {
    let decoded = if line.starts_with(OK_BEGIN) && !shared.has_versions() {
        Ok(Ok(None))
    } else {
        decode(line)
    };
    match decoded {
        Ok(Ok(version)) => {
            shared.saw(sent.key, version);
            tally.answered(sent, OK, now_ns);
        }
        Ok(Err(error)) if error.code.remedy() == Remedy::Condition => {
            shared.saw(sent.key, error.version);
            tally.answered(sent, error.code.as_str(), now_ns);
        }
        Ok(Err(error)) => tally.failed(sent.kind, error.code.as_str()),
        Err(error) => {
            tally.failed(sent.kind, INVALID_REPLY);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
    Ok(())
}

/// A reply's version, if it has one.
fn decode(line: &[u8]) -> Result<Result<Option<Version>, Box<ErrorReply>>, reply::InvalidReply> {
    #[derive(serde::Deserialize)]
    struct Body {
        version: Option<String>,
    }
    let reply = reply::decode::<Body>(line)?;
    Ok(reply.map(|body| body.version.and_then(|text| text.parse().ok())))
}

/// A line that answers nothing: a server that refuses the connection says why in one.
fn unasked(line: &[u8]) -> io::Error {
    match reply::decode::<IgnoredAny>(line) {
        Ok(Err(error)) => io::Error::new(io::ErrorKind::ConnectionRefused, error.to_string()),
        _ => invalid("an answer came that nobody asked for"),
    }
}
