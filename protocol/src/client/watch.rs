//! Every change of a key, or of all keys with a prefix, as it is committed.
//!
//! A watch has a connection of its own, so that a reader who is slow with it holds up no other
//! call. It ends rather than leave anything out; nothing here begins it again, because whoever
//! watches must first read what it may have missed.

use super::lines::Lines;
use super::{Client, ClientError};
use crate::ids::{Key, Version};
use crate::reply::{self, Change, WatchLine};
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
    lines: Lines,
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
        let (lines, reply) = Lines::ask(self, Op::Watch { of }).await?;
        let version = reply::decode_version(&reply).map_err(ClientError::Protocol)?;
        Ok(Watch { lines, version: version.map_err(ClientError::from_read)? })
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
            let line = self.lines.next().await?;
            match reply::decode_watch(&line).map_err(ClientError::Protocol)? {
                WatchLine::Change(change) => return Ok(change),
                WatchLine::Lost => return Err(ClientError::WatchLost),
                WatchLine::Other => {}
            }
        }
    }
}
