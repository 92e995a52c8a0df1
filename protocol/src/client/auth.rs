//! The first thing said on a connection, where there is a token: `auth`, and its answer.
//!
//! Used by `connection` before anybody else has the stream. Nothing was asked for yet, so whatever
//! fails here is safe to try again.

use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ClientError, Options};
use crate::frame::{Frame, Framer};
use crate::reply::{self, AuthReply, Role};
use crate::request::{Op, Request};

/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Shows the token of `options`, if it has one, and learns what that allows; what answers is given
/// the time to connect again.
pub(super) async fn begin(
    mut stream: TcpStream,
    options: &Options,
) -> Result<(TcpStream, Option<Role>), ClientError> {
    let Some(token) = &options.token else { return Ok((stream, None)) };
    let mut line = Vec::new();
    let op = Op::Auth { token: Cow::Borrowed(token.secret()) };
    Request { id: None, timeout_ms: None, once: None, op }.write(&mut line);
    let asked = timeout(options.connect_timeout, ask(&mut stream, &line));
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer to its token in time");
    let answer = asked.await.unwrap_or_else(|_| Err(late())).map_err(ClientError::NotConnected)?;
    let shown = reply::decode::<AuthReply>(&answer).map_err(ClientError::Protocol)?;
    let role = shown.map_err(ClientError::from_read)?.role;
    Ok((stream, Some(role)))
}

async fn ask(stream: &mut TcpStream, line: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(line).await?;
    let mut framer = Framer::new(ANSWER_BYTES_MAX);
    loop {
        match framer.next_frame() {
            Some(Frame::Line(line)) => return Ok(line.to_vec()),
            Some(Frame::TooLong(_) | Frame::Http) => return Err(no_answer()),
            None => {}
        }
        if framer.is_over_long() {
            return Err(no_answer());
        }
        if stream.read_buf(framer.read_space()).await? == 0 {
            let sentence = "the server closed it";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, sentence));
        }
    }
}

fn no_answer() -> io::Error {
    let sentence = "the answer is none of this protocol; is this Piazza's client port?";
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}
