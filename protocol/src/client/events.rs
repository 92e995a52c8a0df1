//! What a server tells those who subscribe, as it happens.
//!
//! A subscription has a connection of its own. It begins with a snapshot; a gap in the numbers is a
//! loss, and a `lagged` is followed by a fresh snapshot. Nothing here begins it again when the
//! connection is lost: whoever folds events over a snapshot must begin with a new one.

use super::lines::Lines;
use super::{Client, ClientError};
use crate::event::{self, Event, Subscribe, Subscribed};
use crate::reply;
use crate::request::Op;

/// A subscription under way.
///
/// ```no_run
/// use protocol::event::{Body, Subscribe, Topic};
///
/// # async fn example(client: protocol::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let topics = [Topic::Member, Topic::Txn].into_iter().collect();
/// let mut events = client.subscribe(Subscribe { topics, ..Subscribe::default() }).await?;
/// loop {
///     match events.next().await?.body {
///         Body::MemberState(state) => println!("{} is {}", state.node, state.to),
///         Body::Txn(txn) => println!("{} took {} us", txn.op, txn.us_total),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    lines: Lines,
}

impl Client {
    /// Events from now on; the first one is a snapshot.
    ///
    /// # Errors
    /// As for [`Client::get`]; [`ClientError::Retry`] where too many have subscribed.
    pub async fn subscribe(&self, wants: Subscribe) -> Result<Events, ClientError> {
        let (lines, reply) = Lines::ask(self, Op::Subscribe(Box::new(wants))).await?;
        Events::begin(lines, &reply)
    }
}

impl Events {
    pub(super) fn begin(lines: Lines, reply: &[u8]) -> Result<Self, ClientError> {
        let begun = reply::decode::<Subscribed>(reply).map_err(ClientError::Protocol)?;
        begun.map_err(ClientError::from_read)?;
        Ok(Self { lines })
    }

    /// The next event, however long that takes. May be dropped while it waits.
    ///
    /// # Errors
    /// [`ClientError::Lost`] at the end, and then again and again: subscribe anew.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        let line = self.next_line().await?;
        event::decode(&line).map_err(ClientError::Protocol)
    }

    /// The next event's line as it came, without its newline: for who keeps it, too. As
    /// [`Events::next`] else; [`event::decode`] reads it.
    ///
    /// # Errors
    /// As for [`Events::next`].
    pub async fn next_line(&mut self) -> Result<Vec<u8>, ClientError> {
        self.lines.next().await
    }
}
