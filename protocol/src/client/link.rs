//! The task that owns a client's connection: writes requests in batches, hands out the replies.
//!
//! Started by `super::connection`, ended by the loss of the connection, `close`, or the last
//! client's end. It owns all state, so there are no locks. It never waits for a caller, and knows
//! of every call whether any byte of it was handed to the operating system.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::frame::{Frame, Framer};
use crate::reply::{self, REPLY_BYTES_MAX};

/// Calls taken from the queue at once.
const BATCH: usize = 256;
/// An output buffer larger than this is given back once it is written, bytes.
const OUT_BYTES_KEPT: usize = 256 << 10;

/// What the handles ask of the link.
#[derive(Debug)]
pub(super) enum Command {
    Call(Call),
    Close(oneshot::Sender<()>),
}

/// One request on its way.
#[derive(Debug)]
pub(super) struct Call {
    /// The request, newline included.
    pub(super) line: Bytes,
    /// Set by the link when it sends the request, or by the caller when it gives up; whoever
    /// comes second must respect the first.
    pub(super) taken: Arc<AtomicBool>,
    pub(super) answer: Answer,
    /// If the reply has not come by then, the connection is as good as lost.
    pub(super) overdue_at: Instant,
    /// Held until the reply has come, whether the caller still waits or not.
    pub(super) room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

type Answer = oneshot::Sender<Result<Vec<u8>, Loss>>;

/// Why the connection is gone; set once.
pub(super) type Lost = OnceLock<Loss>;

/// The loss of the connection, as one call sees it.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    kind: io::ErrorKind,
    text: Arc<str>,
    /// Whether the server may have got the call.
    pub(super) sent: bool,
}

impl Loss {
    pub(super) fn new(error: &io::Error) -> Self {
        Self { kind: error.kind(), text: error.to_string().into(), sent: false }
    }

    pub(super) fn closed() -> Self {
        Self::new(&io::Error::new(io::ErrorKind::NotConnected, "the client was closed"))
    }

    pub(super) fn after_sending(self) -> Self {
        Self { sent: true, ..self }
    }

    pub(super) fn error(&self) -> io::Error {
        io::Error::new(self.kind, &*self.text)
    }
}

/// A call that was put into the output buffer and waits for its reply.
struct Pending {
    answer: Answer,
    overdue_at: Instant,
    /// Where the call begins in the stream of all bytes ever put into the output buffer.
    begin: u64,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// The connection and everything on its way over it.
///
/// Invariants: `pending` is in the order of `begin`; the bytes of a call are in `out` or written;
/// `out` is empty exactly when everything put into it is written.
pub(super) struct Link {
    stream: TcpStream,
    incoming: mpsc::Receiver<Command>,
    lost: Arc<Lost>,
    framer: Framer,
    pending: VecDeque<Pending>,
    out: Vec<u8>,
    /// How much of `out` is written.
    out_done: usize,
    /// Bytes written over the connection's whole life.
    written: u64,
    /// No further calls are taken.
    closing: bool,
    closers: Vec<oneshot::Sender<()>>,
    overdue: Pin<Box<Sleep>>,
    overdue_armed: bool,
}

enum Event {
    Commands(usize),
    Writable,
    Readable,
    Overdue,
}

impl Link {
    pub(super) fn new(
        stream: TcpStream,
        incoming: mpsc::Receiver<Command>,
        lost: Arc<Lost>,
    ) -> Self {
        Self {
            stream,
            incoming,
            lost,
            framer: Framer::new(REPLY_BYTES_MAX),
            pending: VecDeque::new(),
            out: Vec::new(),
            out_done: 0,
            written: 0,
            closing: false,
            closers: Vec::new(),
            overdue: Box::pin(sleep_until(Instant::now())),
            overdue_armed: false,
        }
    }

    /// Runs until there is nothing left to do, or to do it with.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        let loss = loop {
            if self.closing && self.pending.is_empty() && self.out.is_empty() {
                // Everything is answered; a failing farewell changes nothing.
                let _ = self.stream.shutdown().await;
                break Loss::closed();
            }
            if let Err(error) = self.step(&mut batch).await {
                break Loss::new(&error);
            }
        };
        self.end(loss, batch);
    }

    async fn step(&mut self, batch: &mut Vec<Command>) -> io::Result<()> {
        let takes = !self.closing && self.out.is_empty();
        let event = tokio::select! {
            count = self.incoming.recv_many(batch, BATCH), if takes => Event::Commands(count),
            ready = self.stream.writable(), if !self.out.is_empty() => {
                ready.map(|()| Event::Writable)?
            }
            ready = self.stream.readable() => ready.map(|()| Event::Readable)?,
            () = &mut self.overdue, if self.overdue_armed => Event::Overdue,
        };
        match event {
            Event::Commands(0) => self.closing = true,
            Event::Commands(_) => {
                batch.drain(..).for_each(|command| self.accept(command));
                self.write()?;
            }
            Event::Writable => self.write()?,
            Event::Readable => self.read()?,
            Event::Overdue => self.check_overdue()?,
        }
        Ok(())
    }

    fn accept(&mut self, command: Command) {
        let call = match command {
            Command::Call(call) => call,
            Command::Close(done) => {
                // What is queued already came before the close, and is still carried out.
                self.closers.push(done);
                self.incoming.close();
                return;
            }
        };
        // A caller that is gone wants nothing any more; one that gave up has been told so.
        if call.answer.is_closed() || call.taken.swap(true, Ordering::AcqRel) {
            return;
        }
        let begin = self.written + (self.out.len() - self.out_done) as u64;
        self.out.extend_from_slice(&call.line);
        let Call { answer, overdue_at, room, .. } = call;
        self.pending.push_back(Pending { answer, overdue_at, begin, _room: room });
        if !self.overdue_armed {
            self.overdue_armed = true;
            self.overdue.as_mut().reset(overdue_at);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.out_done < self.out.len() {
            match self.stream.try_write(&self.out[self.out_done..]) {
                Ok(count) => {
                    self.out_done += count;
                    self.written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out_done = 0;
        self.out.clear();
        self.out.shrink_to(OUT_BYTES_KEPT);
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        match self.stream.try_read_buf(self.framer.read_space()) {
            Ok(0) => {
                let sentence = "the server closed it";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, sentence));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(frame) = self.framer.next_frame() {
            let line = match frame {
                Frame::Line(line) if line.starts_with(b"{") => line,
                Frame::TooLong(_) => {
                    let sentence = format!("a reply is longer than {REPLY_BYTES_MAX} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
                }
                Frame::Line(_) | Frame::Http => {
                    let sentence = "the answer is not JSON; is this Piazza's client port?";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
                }
            };
            match self.pending.pop_front() {
                // Sending fails where the caller has given up: nobody wants the reply.
                Some(pending) => drop(pending.answer.send(Ok(line.to_vec()))),
                None => return Err(unasked(line)),
            }
        }
        Ok(())
    }

    /// Replies come in order, so it is enough to watch the first one.
    fn check_overdue(&mut self) -> io::Result<()> {
        let Some(first) = self.pending.front() else {
            self.overdue_armed = false;
            return Ok(());
        };
        if first.overdue_at <= Instant::now() {
            let sentence = "the server has not answered in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, sentence));
        }
        self.overdue.as_mut().reset(first.overdue_at);
        Ok(())
    }

    /// Tells every caller, and every later one, what the end means for its call.
    fn end(mut self, loss: Loss, batch: Vec<Command>) {
        // Before the queue closes, so that whoever finds it closed finds the reason too.
        let loss = self.lost.get_or_init(|| loss).clone();
        self.incoming.close();
        for pending in self.pending.drain(..) {
            let sent = pending.begin < self.written;
            let _ = pending.answer.send(Err(Loss { sent, ..loss.clone() }));
        }
        let rest = std::iter::from_fn(|| self.incoming.try_recv().ok());
        for command in batch.into_iter().chain(rest) {
            if let Command::Call(call) = command {
                let _ = call.answer.send(Err(loss.clone()));
            }
        }
    }
}

/// A line that answers nothing: a server that refuses the connection says why in one.
fn unasked(line: &[u8]) -> io::Error {
    match reply::decode::<serde::de::IgnoredAny>(line) {
        Ok(Err(error)) => io::Error::new(io::ErrorKind::ConnectionRefused, error.to_string()),
        _ => io::Error::new(io::ErrorKind::InvalidData, "an answer came that nobody asked for"),
    }
}
