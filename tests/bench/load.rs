//! The load generator: one thread, one epoll, the same loop and buffers for both protocols.
//!
//! Used by `versus` only. Requests are encoded before the clock runs, so that the generator costs
//! both servers the same: a copy into a buffer, a write, a read, a look for the ends of answers.
//! Every answer is checked for being the right kind of success. Never opens a connection while it
//! measures.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::seeded::Seeded;

/// Bytes of a key.
const KEY_BYTES: usize = 16;
/// Bytes of a value.
const VALUE_BYTES: usize = 100;
/// Longer than an answer to all that is in flight on one connection.
const INPUT_BYTES: usize = 64 << 10;
/// No answer at all for so long: the server hangs.
const HANG_MAX: Duration = Duration::from_secs(30);

/// What the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Redis; a put is a `SET`, then `WAIT 1 0`: acknowledged by one replica, without a deadline.
    Resp,
    /// Piazza's JSON lines.
    Json,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Reads of keys that are there.
    Get,
    /// Durable writes.
    Put,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) work: Work,
    pub(crate) connections: usize,
    /// Requests in flight on each connection.
    pub(crate) depth: usize,
    /// How many keys, evenly drawn.
    pub(crate) keys: usize,
}

/// What one slice of time gave.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) ops: u64,
    pub(crate) seconds: f64,
    /// From the request's encoding to its answer, microseconds.
    pub(crate) latencies_us: Vec<u32>,
}

impl Slice {
    /// Operations a second.
    pub(crate) fn rate(&self) -> f64 {
        self.ops as f64 / self.seconds
    }
}

/// Connections to one server, kept over all slices.
pub(crate) struct Load {
    poll: Poll,
    conns: Vec<Conn>,
    dialect: Dialect,
    shape: Shape,
    requests: Vec<Vec<u8>>,
    random: Seeded,
}

struct Conn {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
    sent_at: VecDeque<Instant>,
}

impl Load {
    /// Connects `shape.connections` times.
    pub(crate) fn connect(addr: SocketAddr, dialect: Dialect, shape: Shape) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut conns = Vec::new();
        for number in 0..shape.connections {
            // Connected before it is made non-blocking: nothing of that is in the measurement.
            let stream = std::net::TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest)?;
            let input = vec![0; INPUT_BYTES];
            let (out, sent_at) = (Vec::new(), VecDeque::new());
            conns.push(Conn { stream, out, written: 0, input, filled: 0, sent_at });
        }
        let requests = (0..shape.keys).map(|key| encode(dialect, shape.work, key)).collect();
        Ok(Self { poll, conns, dialect, shape, requests, random: Seeded::new(1) })
    }

    /// Asks for `time`, then waits for what is in flight.
    pub(crate) fn run(&mut self, time: Duration) -> io::Result<Slice> {
        let begin = Instant::now();
        let end = begin + time;
        let mut slice = Slice::default();
        for number in 0..self.conns.len() {
            self.ask(number, self.shape.depth, begin);
            self.conns[number].flush()?;
        }
        let mut events = Events::with_capacity(1024);
        let mut in_flight = self.conns.len() * self.shape.depth;
        while in_flight > 0 {
            self.poll.poll(&mut events, Some(HANG_MAX))?;
            if events.is_empty() {
                return Err(io::Error::new(ErrorKind::TimedOut, "the server stopped answering"));
            }
            for event in &events {
                let number = event.token().0;
                let conn = &mut self.conns[number];
                let answers = conn.read(self.dialect, self.shape.work)?;
                let now = Instant::now();
                for sent_at in conn.sent_at.drain(..answers) {
                    slice.latencies_us.push((now - sent_at).as_micros() as u32);
                }
                slice.ops += answers as u64;
                if now < end {
                    self.ask(number, answers, now);
                } else {
                    in_flight -= answers;
                }
                self.conns[number].flush()?;
            }
        }
        slice.seconds = begin.elapsed().as_secs_f64();
        Ok(slice)
    }

    /// Writes every key once, so that reads find it.
    pub(crate) fn fill(addr: SocketAddr, dialect: Dialect, keys: usize) -> io::Result<()> {
        let shape = Shape { work: Work::Put, connections: 1, depth: 1, keys };
        let mut load = Self::connect(addr, dialect, shape)?;
        let (mut events, conn) = (Events::with_capacity(8), &mut load.conns[0]);
        for request in &load.requests {
            conn.out.extend_from_slice(request);
            conn.flush()?;
            while conn.read(dialect, Work::Put)? == 0 {
                load.poll.poll(&mut events, Some(HANG_MAX))?;
                conn.flush()?;
            }
        }
        Ok(())
    }

    fn ask(&mut self, number: usize, count: usize, now: Instant) {
        let conn = &mut self.conns[number];
        for _ in 0..count {
            let key = self.random.below(self.requests.len() as u64) as usize;
            conn.out.extend_from_slice(&self.requests[key]);
            conn.sent_at.push_back(now);
        }
    }
}

impl Conn {
    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes in what has come; how many operations it ends.
    fn read(&mut self, dialect: Dialect, work: Work) -> io::Result<usize> {
        let mut answers = 0;
        loop {
            let space = self.input.len() - self.filled;
            let count = match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "server closed")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(answers),
                Err(error) => return Err(error),
            };
            self.filled += count;
            let (used, ended) = match dialect {
                Dialect::Json => json_answers(&self.input[..self.filled])?,
                Dialect::Resp => resp_answers(&self.input[..self.filled], work)?,
            };
            answers += ended;
            self.input.copy_within(used..self.filled, 0);
            self.filled -= used;
            // Less than there was room for: the socket is empty, and epoll tells when it is not.
            if count < space {
                return Ok(answers);
            }
        }
    }
}

fn encode(dialect: Dialect, work: Work, key: usize) -> Vec<u8> {
    let key = format!("key:{key:0>width$}", width = KEY_BYTES - 4);
    let value = "v".repeat(VALUE_BYTES);
    let text = match (dialect, work) {
        (Dialect::Json, Work::Get) => format!("{{\"op\":\"get\",\"key\":\"{key}\"}}\n"),
        (Dialect::Json, Work::Put) => {
            format!("{{\"op\":\"put\",\"key\":\"{key}\",\"value\":\"{value}\"}}\n")
        }
        (Dialect::Resp, Work::Get) => resp(&["GET", &key]),
        (Dialect::Resp, Work::Put) => resp(&["SET", &key, &value]) + &resp(&["WAIT", "1", "0"]),
    };
    text.into_bytes()
}

fn resp(words: &[&str]) -> String {
    let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{words}", words.matches("\r\n").count() / 2)
}

fn wrong(answer: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(&answer[..answer.len().min(300)]);
    io::Error::new(ErrorKind::InvalidData, format!("unexpected answer: {text}"))
}

/// How many bytes at the front of `input` are whole answers, and how many.
fn json_answers(input: &[u8]) -> io::Result<(usize, usize)> {
    let (mut used, mut ended) = (0, 0);
    for newline in memchr::memchr_iter(b'\n', input) {
        let line = &input[used..newline];
        if !line.starts_with(b"{\"ok\":true") {
            return Err(wrong(line));
        }
        used = newline + 1;
        ended += 1;
    }
    Ok((used, ended))
}

/// The same for Redis; a put has ended with the answer to its `WAIT`.
fn resp_answers(input: &[u8], work: Work) -> io::Result<(usize, usize)> {
    let (mut used, mut ended) = (0, 0);
    while let Some(newline) = memchr::memchr(b'\n', &input[used..]) {
        let line = &input[used..used + newline];
        let mut next = used + newline + 1;
        match (work, line) {
            (Work::Put, b"+OK\r") => {}
            (Work::Put, b":1\r") => ended += 1,
            (Work::Get, b"$100\r") => {
                next += VALUE_BYTES + 2;
                if next > input.len() {
                    break;
                }
                ended += 1;
            }
            _ => return Err(wrong(line)),
        }
        used = next;
    }
    Ok((used, ended))
}
