//! The async client: one pipelined connection behind a handle that is cheap to clone.
//!
//! The command line and the demos use it, and so may any program. Calls of all clones share the
//! connection: they are written in batches and answered in the order sent. It never repeats a
//! call by itself; what a failed call means for the caller is the kind of [`ClientError`].
//!
//! - this file: connecting, the calls, their deadlines
//! - `error`: what can go wrong, by who must act
//! - `link`: the task that owns the connection

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{ErrorCode, ErrorReply};
use crate::ids::{Key, Version};
use crate::reply::{self, HelloReply, InvalidReply, Versioned};
use crate::request::{Op, Request, TIMEOUT_MS_MAX};
use crate::status::Status;

mod error;
mod link;

pub use error::{ClientError, UnknownCause};
use link::{Call, Command, Link, Loss, Lost};

/// How a [`Client`] behaves. Every wait has an end and every queue a bound.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long connecting to one address may take.
    pub connect_timeout: Duration,
    /// The deadline that requests ask the server to keep, 1 ms to 60 s.
    pub timeout: Duration,
    /// How much longer than that a call waits for its answer to arrive.
    pub margin: Duration,
    /// Requests in flight, of all clones together; further callers wait.
    pub in_flight_requests: usize,
    /// Bytes of requests in flight; a single larger request goes alone.
    pub in_flight_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            margin: Duration::from_secs(2),
            in_flight_requests: 512,
            in_flight_bytes: 2 << 20,
        }
    }
}

/// What became of a `del`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The key is gone; the version is that of its removal.
    Done(Version),
    /// There was no such key.
    NotFound,
}

/// A connection to a cluster. Clones share it; it closes when the last one is dropped.
///
/// After the connection is lost every call fails with [`ClientError::NotConnected`]: connect anew.
///
/// ```no_run
/// use protocol::client::{Client, ClientError, Options};
/// use protocol::ids::Key;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("127.0.0.1:8080", Options::default()).await?;
/// let key = Key::new("greeting")?;
/// match client.put(&key, b"hello").await {
///     Ok(version) => println!("written as {version}"),
///     Err(error) if error.is_safe_to_repeat() => println!("nothing happened: {error}"),
///     Err(ClientError::Unknown { .. }) => println!("perhaps written: read it and see"),
///     Err(error) => return Err(error.into()),
/// }
/// if let Some(found) = client.get(&key).await? {
///     println!("{} bytes, version {}", found.value.len(), found.version);
/// }
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Command>,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    lost: Arc<Lost>,
    options: Options,
    address: String,
}

impl Client {
    /// Connects to the first of `addresses` (`host:port`, or several with commas between them)
    /// that accepts. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], naming every address and what was wrong with it.
    pub async fn connect(addresses: &str, options: Options) -> Result<Self, ClientError> {
        let mut failures = Vec::new();
        let mut kind = io::ErrorKind::InvalidInput;
        for address in addresses.split(',').map(str::trim).filter(|address| !address.is_empty()) {
            let connecting = timeout(options.connect_timeout, TcpStream::connect(address));
            let result = match connecting.await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            };
            match result.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Ok(Self::over(stream, address, options)),
                Err(error) => {
                    kind = error.kind();
                    failures.push(format!("{address}: {error}"));
                }
            }
        }
        if failures.is_empty() {
            failures.push("no address was given; addresses look like 127.0.0.1:8080".into());
        }
        Err(ClientError::NotConnected(io::Error::new(kind, failures.join("; "))))
    }

    fn over(stream: TcpStream, address: &str, options: Options) -> Self {
        let requests = options.in_flight_requests.max(1);
        let bytes = options.in_flight_bytes.clamp(1, u32::MAX as usize);
        // As many places as there are requests in flight, so that only the permits ever make a
        // caller wait; one more for `close`.
        let (queue, incoming) = mpsc::channel(requests + 1);
        let lost = Arc::new(Lost::new());
        tokio::spawn(Link::new(stream, incoming, lost.clone()).run());
        let shared = Shared {
            queue,
            requests: Arc::new(Semaphore::new(requests)),
            bytes: Arc::new(Semaphore::new(bytes)),
            lost,
            options: Options { in_flight_requests: requests, in_flight_bytes: bytes, ..options },
            address: address.to_owned(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The address that accepted the connection.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether the connection is lost: then no call can succeed any more.
    pub fn is_lost(&self) -> bool {
        self.shared.lost.get().is_some()
    }

    /// The value and version of `key`, or `None` where there is no such key.
    ///
    /// # Errors
    /// Any kind but [`ClientError::Unknown`]: a read is always safe to repeat.
    pub async fn get(&self, key: &Key) -> Result<Option<Versioned>, ClientError> {
        let line = self.ask(Op::Get { key: key.as_str().into() }).await?;
        match reply::decode_value(&line).map_err(ClientError::Protocol)? {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(ClientError::from_read(error)),
        }
    }

    /// Sets `key` to `value`, whether it exists or not.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where it may or may not have happened, or may happen yet.
    pub async fn put(&self, key: &Key, value: &[u8]) -> Result<Version, ClientError> {
        let op =
            Op::Put { key: key.as_str().into(), value: Cow::Borrowed(value), if_absent: false };
        let line = self.ask(op).await?;
        updated(reply::decode_version(&line))
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where it may or may not have happened, or may happen yet.
    pub async fn del(&self, key: &Key) -> Result<Deleted, ClientError> {
        let line = self.ask(Op::Del { key: key.as_str().into(), version: None }).await?;
        match reply::decode_version(&line) {
            Ok(Err(error)) if error.code == ErrorCode::NotFound => Ok(Deleted::NotFound),
            result => updated(result).map(Deleted::Done),
        }
    }

    /// The state of the cluster.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        let line = self.ask(Op::Status).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// What the server is, and the limits it holds this connection to.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn hello(&self, client: &str, read_only: bool) -> Result<HelloReply, ClientError> {
        let line = self.ask(Op::Hello { client: Some(client.into()), read_only }).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// Waits for the answers of all calls under way, then closes the connection, for all clones.
    /// Later calls fail with [`ClientError::NotConnected`].
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.shared.queue.send(Command::Close(done)).await.is_ok() {
            // An error means that the link has ended, which is what is waited for.
            let _ = closed.await;
        }
    }

    /// Sends one request and returns its reply, a JSON line without its newline, not yet looked
    /// at: for programs that show replies as they are.
    ///
    /// # Errors
    /// Those of the connection; an error reply is a reply here.
    pub async fn ask(&self, op: Op<'_>) -> Result<Vec<u8>, ClientError> {
        let options = &self.shared.options;
        let timeout_ms = options.timeout.as_millis().clamp(1, u128::from(TIMEOUT_MS_MAX)) as u32;
        let is_update = op.is_update();
        let mut line = Vec::with_capacity(128);
        Request { id: None, timeout_ms: Some(timeout_ms), once: None, op }.write(&mut line);
        let wait = Duration::from_millis(u64::from(timeout_ms)) + options.margin;
        let deadline = Instant::now() + wait;
        let taken = Arc::new(AtomicBool::new(false));
        let exchange = self.exchange(line, taken.clone(), deadline + options.margin);
        match timeout_at(deadline, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(loss)) if !loss.sent => Err(ClientError::NotConnected(loss.error())),
            Ok(Err(loss)) if is_update => {
                Err(ClientError::Unknown { version: None, cause: UnknownCause::Lost(loss.error()) })
            }
            Ok(Err(loss)) => Err(ClientError::Lost(loss.error())),
            // Whoever sets the flag first decides whether the request is sent.
            Err(_) if is_update && taken.swap(true, Ordering::AcqRel) => {
                Err(ClientError::Unknown { version: None, cause: UnknownCause::Late(wait) })
            }
            Err(_) => Err(ClientError::Late(wait)),
        }
    }

    async fn exchange(
        &self,
        line: Vec<u8>,
        taken: Arc<AtomicBool>,
        overdue_at: Instant,
    ) -> Result<Vec<u8>, Loss> {
        let shared = &*self.shared;
        let bytes = line.len().min(shared.options.in_flight_bytes) as u32;
        let gone = |_| shared.lost.get().cloned().unwrap_or_else(Loss::closed);
        // The semaphores are never closed; an error would mean the same as a lost connection.
        let request = shared.requests.clone().acquire_owned().await;
        let room = shared.bytes.clone().acquire_many_owned(bytes).await;
        let (Ok(request), Ok(room)) = (request, room) else {
            return Err(Loss::closed());
        };
        let (answer, answered) = oneshot::channel();
        let call = Call { line, taken, answer, overdue_at, room: (request, room) };
        shared.queue.send(Command::Call(call)).await.map_err(gone)?;
        answered.await.unwrap_or_else(|_| Err(Loss::closed().after_sending()))
    }
}

/// The result of an update, from its reply. An update that is answered with garbage may well have
/// happened.
fn updated(
    reply: Result<Result<Version, Box<ErrorReply>>, InvalidReply>,
) -> Result<Version, ClientError> {
    match reply {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(error)) => Err(ClientError::from_update(error)),
        Err(invalid) => {
            Err(ClientError::Unknown { version: None, cause: UnknownCause::Protocol(invalid) })
        }
    }
}

#[cfg(test)]
mod tests;
