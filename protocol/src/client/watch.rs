//! Every change of a key, or of all keys with a prefix, as it is committed.
//!
//! A watch has a connection of its own, so that a reader who is slow with it holds up no other
//! call. It ends rather than leave anything out; nothing here begins it again, because whoever
//! watches must first read what it may have missed.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::connect;
use super::{Client, ClientError};
use crate::frame::{Frame, Framer};
use crate::ids::{Key, Version};
use crate::reply::{self, Change, REPLY_BYTES_MAX, WatchLine};
use crate::request::{Op, Watched};

/// A watch under way.
///
/// ```no_run
/// # async fn example(client: protocol::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut watch = client.watch_prefix("user/").await?;
/// loop {
///     let change = watch.next().await?;
///     match change.value {
///         Some(value) => println!("{}: {} bytes", change.key.as_str(), value.len()),
///         None => println!("{}: removed", change.key.as_str()),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    stream: TcpStream,
    framer: Framer,
    version: Version,
}

impl Client {
    /// Every change of `key` from now on.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn watch_key(&self, key: &Key) -> Result<Watch, ClientError> {
        self.watch(Watched::Key(key.as_str().into())).await
    }

    /// Every change of a key that begins with `prefix` from now on; of all keys where it is empty.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn watch_prefix(&self, prefix: &str) -> Result<Watch, ClientError> {
        self.watch(Watched::Prefix(prefix.into())).await
    }

    async fn watch(&self, of: Watched<'_>) -> Result<Watch, ClientError> {
        let line = self.line(Op::Watch { of }, None);
        let (stream, _) = connect(&self.shared.addresses, &self.shared.options).await?;
        let framer = Framer::new(REPLY_BYTES_MAX);
        let mut watch = Watch { stream, framer, version: Version::ZERO };
        let wait = self.wait();
        let begun = async {
            watch.stream.write_all(&line).await.map_err(ClientError::Lost)?;
            let reply = watch.line().await?;
            reply::decode_version(&reply)
                .map_err(ClientError::Protocol)?
                .map_err(ClientError::from_read)
        };
        watch.version = timeout(wait, begun).await.map_err(|_| ClientError::Late(wait))??;
        Ok(watch)
    }
}

impl Watch {
    /// The newest version there was when it began.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The next change, however long that takes. May be dropped while it waits.
    ///
    /// # Errors
    /// [`ClientError::WatchLost`] or [`ClientError::Lost`] at the end, and then again and again:
    /// read what is watched, then watch anew.
    pub async fn next(&mut self) -> Result<Change, ClientError> {
        loop {
            let line = self.line().await?;
            match reply::decode_watch(&line).map_err(ClientError::Protocol)? {
                WatchLine::Change(change) => return Ok(change),
                WatchLine::Lost => return Err(ClientError::WatchLost),
                WatchLine::Other => {}
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, ClientError> {
        loop {
            match self.framer.next_frame() {
                Some(Frame::Line(line)) => return Ok(line.to_vec()),
                Some(Frame::TooLong(_) | Frame::Http) => {
                    let sentence = "a line is no line of a watch".to_owned();
                    return Err(ClientError::Protocol(reply::InvalidReply(sentence)));
                }
                None => {}
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
