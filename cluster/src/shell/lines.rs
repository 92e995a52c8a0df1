//! JSON lines on a socket between servers: one message a line, bounded, both ways.
//!
//! Used by links and registrations. A line that cannot be read ends the connection: between
//! servers it is a bug or a stranger, and a new session puts everything right.

use std::io;

use protocol::frame::{Frame, Framer, HTTP_RESPONSE};
use protocol::peer::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Reads messages.
pub(super) struct LineReader {
    socket: OwnedReadHalf,
    framer: Framer,
}

impl LineReader {
    pub(super) fn new(socket: OwnedReadHalf, line_bytes_max: usize) -> Self {
        Self { socket, framer: Framer::new(line_bytes_max) }
    }

    /// Lines may have so many bytes from now on.
    pub(super) fn allow(&mut self, line_bytes_max: usize) {
        self.framer.allow(line_bytes_max);
    }

    /// The next message; `None` at the end of the connection.
    pub(super) async fn next<T: Message>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(message) = self.ready()? {
                return Ok(Some(message));
            }
            if self.socket.read_buf(self.framer.read_space()).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message, if all of it has been read.
    pub(super) fn ready<T: Message>(&mut self) -> io::Result<Option<T>> {
        match self.framer.next_frame() {
            Some(Frame::Line(line)) => {
                let text = std::str::from_utf8(line).map_err(io::Error::other)?;
                T::read(text).map(Some).map_err(io::Error::other)
            }
            Some(Frame::TooLong(_)) => Err(too_long()),
            Some(Frame::Http) => Err(io::Error::other(HTTP_RESPONSE)),
            // A line without end is not waited for.
            None => {
                if self.framer.is_over_long() {
                    Err(too_long())
                } else {
                    Ok(None)
                }
            }
        }
    }
}

fn too_long() -> io::Error {
    io::Error::other("a line is too long")
}

/// Appends one message and its newline.
pub(super) fn write_line(out: &mut Vec<u8>, message: &impl Message) {
    message.write(out);
    out.push(b'\n');
}

/// Sends what has been written.
pub(super) async fn send(socket: &mut OwnedWriteHalf, out: &mut Vec<u8>) -> io::Result<()> {
    socket.write_all(out).await?;
    out.clear();
    if out.capacity() > 1 << 20 {
        *out = Vec::new();
    }
    Ok(())
}
