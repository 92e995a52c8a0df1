//! The sending end of a link between servers: writes at once what the socket takes, and leaves
//! the rest to the link's task.
//!
//! Used by both ends of a link (`link`, `node_link`). Any thread may send: most messages so reach
//! the socket without a wait for the thread that serves sockets. Never blocks, never reorders.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::peer::Message;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::lines;

/// Bytes that may wait for the socket; a link that is so far behind is given up.
const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// A buffer that has grown past this is given back when it is empty.
const KEPT_BYTES: usize = 1 << 20;

/// Where messages go out. The link ends, once it has sent what it holds, when this is dropped.
pub(super) struct Outlet(Arc<Shared>);

/// The part of the link's task: sends what the socket did not take at once.
pub(super) struct Rest(Arc<Shared>);

struct Shared {
    socket: OwnedWriteHalf,
    backlog: Mutex<Backlog>,
    /// There is a backlog, or the outlet is gone.
    news: Notify,
}

#[derive(Default)]
struct Backlog {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    /// Nothing more is to come.
    closed: bool,
    /// The socket takes nothing more.
    broken: bool,
}

/// Both parts of one link's sending end.
pub(super) fn new(socket: OwnedWriteHalf) -> (Outlet, Rest) {
    let shared = Shared { socket, backlog: Mutex::default(), news: Notify::new() };
    let shared = Arc::new(shared);
    (Outlet(Arc::clone(&shared)), Rest(shared))
}

impl Outlet {
    /// Sends a message behind all earlier ones; false if the link cannot take it.
    pub(super) fn send(&self, message: &impl Message) -> bool {
        let mut backlog = self.0.lock();
        let behind = backlog.bytes.len() - backlog.sent;
        if backlog.broken || backlog.closed || behind > BACKLOG_BYTES_MAX {
            return false;
        }
        lines::write_line(&mut backlog.bytes, message);
        if behind == 0 {
            self.0.write(&mut backlog);
        }
        !backlog.broken
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.news.notify_one();
    }
}

impl Rest {
    /// Sends what is left over until the outlet is gone.
    pub(super) async fn send_all(&self) -> io::Result<()> {
        loop {
            self.0.news.notified().await;
            loop {
                {
                    let mut backlog = self.0.lock();
                    self.0.write(&mut backlog);
                    if backlog.broken {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                    if backlog.bytes.is_empty() {
                        if backlog.closed {
                            return Ok(());
                        }
                        break;
                    }
                }
                self.0.socket.writable().await?;
            }
        }
    }

    /// Sends plain text, if nothing was sent before.
    pub(super) fn say(&self, text: &str) {
        let _ = self.0.socket.try_write(text.as_bytes());
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Backlog> {
        // Whoever panicked with it left a message half written at worst, and its process ends.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the socket takes.
    fn write(&self, backlog: &mut Backlog) {
        while backlog.sent < backlog.bytes.len() {
            match self.socket.try_write(&backlog.bytes[backlog.sent..]) {
                Ok(0) => backlog.broken = true,
                Ok(sent) => {
                    backlog.sent += sent;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => backlog.broken = true,
            }
            self.news.notify_one();
            return;
        }
        backlog.sent = 0;
        backlog.bytes.clear();
        if backlog.bytes.capacity() > KEPT_BYTES {
            backlog.bytes = Vec::new();
        }
    }
}
