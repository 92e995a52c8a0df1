//! A connection of its own for lines that come unasked: those of a watch, and events.
//!
//! A reader who is slow with them holds up no other call. Used by `watch` and `events`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::connect;
use super::{Client, ClientError, Options};
use crate::frame::{Frame, Framer};
use crate::reply::{InvalidReply, REPLY_BYTES_MAX};
use crate::request::Op;

/// The lines of one connection.
#[derive(Debug)]
pub(super) struct Lines {
    stream: TcpStream,
    framer: Framer,
}

impl Lines {
    /// Connects, asks, and gives the reply; what follows it is for [`Lines::next`].
    pub(super) async fn ask(client: &Client, op: Op<'_>) -> Result<(Self, Vec<u8>), ClientError> {
        let line = client.line(op, None);
        Self::open(&client.shared.addresses, &client.shared.options, &line, client.wait()).await
    }

    /// As `ask`, of whoever is at one of these addresses.
    pub(super) async fn open(
        addresses: &str,
        options: &Options,
        line: &[u8],
        wait: Duration,
    ) -> Result<(Self, Vec<u8>), ClientError> {
        let (stream, ..) = connect(addresses, options).await?;
        let mut lines = Self { stream, framer: Framer::new(REPLY_BYTES_MAX) };
        let asked = async {
            lines.stream.write_all(line).await.map_err(ClientError::Lost)?;
            lines.next().await
        };
        let reply = timeout(wait, asked).await.map_err(|_| ClientError::Late(wait))??;
        Ok((lines, reply))
    }

    /// The next line, however long that takes. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, ClientError> {
        loop {
            match self.framer.next_frame() {
                Some(Frame::Line(line)) => return Ok(line.to_vec()),
                Some(Frame::TooLong(_) | Frame::Http) => return Err(too_long()),
                None => {}
            }
            // A line without end is not waited for.
            if self.framer.is_over_long() {
                return Err(too_long());
            }
            let read = self.stream.read_buf(self.framer.read_space()).await;
            if read.map_err(ClientError::Lost)? == 0 {
                let sentence = "the server closed it";
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, sentence);
                return Err(ClientError::Lost(error));
            }
        }
    }
}

fn too_long() -> ClientError {
    ClientError::Protocol(InvalidReply("a line is longer than any of this protocol".to_owned()))
}
