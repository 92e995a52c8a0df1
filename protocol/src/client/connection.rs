//! One connection as its callers see it: a queue to the task that owns it, and room in flight.
//!
//! Made by [`super::Client`], replaced when it is lost. A call here is one request sent at most
//! once; its deadline ends the caller's wait, and only then is it told what may have happened.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::auth;
use super::link::{Call, Command, Link, Loss, Lost};
use super::{ClientError, Options, UnknownCause};
use crate::reply::Role;

/// A connection that was made, and may be lost by now.
#[derive(Debug)]
pub(super) struct Connection {
    /// The address that accepted it.
    pub(super) address: String,
    /// What the token allows; none: none was shown.
    pub(super) role: Option<Role>,
    pub(super) queue: mpsc::Sender<Command>,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    lost: Arc<Lost>,
}

impl Connection {
    /// Connects to the first of `addresses` that accepts.
    pub(super) async fn open(addresses: &str, options: &Options) -> Result<Self, ClientError> {
        let (stream, role, address) = connect(addresses, options).await?;
        let requests = options.in_flight_requests;
        // As many places as there are requests in flight, so that only the permits ever make a
        // caller wait; one more for `close`.
        let (queue, incoming) = mpsc::channel(requests + 1);
        let lost = Arc::new(Lost::new());
        tokio::spawn(Link::new(stream, incoming, lost.clone()).run());
        Ok(Self {
            address,
            role,
            queue,
            requests: Arc::new(Semaphore::new(requests)),
            bytes: Arc::new(Semaphore::new(options.in_flight_bytes)),
            bytes_max: options.in_flight_bytes,
            lost,
        })
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Sends `line` and waits for its reply; the connection is given up `margin` after `wait`.
    pub(super) async fn call(
        &self,
        line: Bytes,
        is_update: bool,
        wait: Duration,
        margin: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + wait;
        let taken = Arc::new(AtomicBool::new(false));
        let exchange = self.exchange(line, taken.clone(), deadline + margin);
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
        line: Bytes,
        taken: Arc<AtomicBool>,
        overdue_at: Instant,
    ) -> Result<Vec<u8>, Loss> {
        let bytes = line.len().min(self.bytes_max) as u32;
        let gone = |_| self.lost.get().cloned().unwrap_or_else(Loss::closed);
        // The semaphores are never closed; an error would mean the same as a lost connection.
        let request = self.requests.clone().acquire_owned().await;
        let room = self.bytes.clone().acquire_many_owned(bytes).await;
        let (Ok(request), Ok(room)) = (request, room) else {
            return Err(Loss::closed());
        };
        let (answer, answered) = oneshot::channel();
        let call = Call { line, taken, answer, overdue_at, room: (request, room) };
        self.queue.send(Command::Call(call)).await.map_err(gone)?;
        answered.await.unwrap_or_else(|_| Err(Loss::closed().after_sending()))
    }
}

/// A stream to the first of `addresses` that accepts, what the token allows there, and which
/// address that was.
pub(crate) async fn connect(
    addresses: &str,
    options: &Options,
) -> Result<(TcpStream, Option<Role>, String), ClientError> {
    let mut failures = Vec::new();
    let mut kind = io::ErrorKind::InvalidInput;
    for address in addresses.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        let connecting = timeout(options.connect_timeout, TcpStream::connect(address));
        let result = match connecting.await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        let opened = match result.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => auth::begin(stream, options).await,
            Err(error) => Err(ClientError::NotConnected(error)),
        };
        match opened {
            Ok((stream, role)) => return Ok((stream, role, address.to_owned())),
            Err(ClientError::NotConnected(error)) => {
                kind = error.kind();
                failures.push(format!("{address}: {error}"));
            }
            Err(refused) => return Err(refused),
        }
    }
    if failures.is_empty() {
        failures.push("no address was given; addresses look like 127.0.0.1:8080".into());
    }
    Err(ClientError::NotConnected(io::Error::new(kind, failures.join("; "))))
}
