//! Several writes, all or none: collected first, sent as one request.

use std::borrow::Cow;

use super::{Client, ClientError};
use crate::ids::{Key, Version};
use crate::request::{Change, Condition, Op, Write};

/// A transaction in the making; nothing happens before [`Txn::commit`].
///
/// ```no_run
/// # async fn example(client: protocol::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use protocol::ids::Key;
///
/// let (from, to) = (Key::new("alice")?, Key::new("bob")?);
/// let found = client.get(&from).await?.ok_or("alice has no account")?;
/// let version = client
///     .txn()
///     .if_version(&from, found.version)
///     .if_absent(&to)
///     .update(&from, b"90")
///     .put(&to, b"10")
///     .commit()
///     .await?;
/// println!("both written as {version}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a transaction does nothing until it is committed"]
pub struct Txn<'a> {
    client: &'a Client,
    conditions: Vec<Condition<'a>>,
    writes: Vec<Write<'a>>,
}

impl Client {
    /// A transaction without conditions and writes yet.
    pub fn txn(&self) -> Txn<'_> {
        Txn { client: self, conditions: Vec::new(), writes: Vec::new() }
    }
}

impl<'a> Txn<'a> {
    /// Only if `key` has this version.
    pub fn if_version(self, key: &'a Key, version: Version) -> Self {
        self.condition(key, Some(version))
    }

    /// Only if there is no such key.
    pub fn if_absent(self, key: &'a Key) -> Self {
        self.condition(key, None)
    }

    /// Sets `key`, whether it exists or not.
    pub fn put(self, key: &'a Key, value: &'a [u8]) -> Self {
        self.write(key, Change::Put(Cow::Borrowed(value)))
    }

    /// Sets `key`; without such a key nothing of the transaction happens.
    pub fn update(self, key: &'a Key, value: &'a [u8]) -> Self {
        self.write(key, Change::Update(Cow::Borrowed(value)))
    }

    /// Removes `key`; without such a key nothing of the transaction happens.
    pub fn del(self, key: &'a Key) -> Self {
        self.write(key, Change::Del)
    }

    fn condition(mut self, key: &'a Key, version: Option<Version>) -> Self {
        self.conditions.push(Condition { key: key.as_str().into(), version });
        self
    }

    fn write(mut self, key: &'a Key, change: Change<'a>) -> Self {
        self.writes.push(Write { key: key.as_str().into(), change });
        self
    }

    /// Carries it out, all or nothing; the version is that of every key written.
    ///
    /// # Errors
    /// As for [`Client::put`]; [`ClientError::Condition`], with the key, where a condition does not
    /// hold or a key is not there.
    pub async fn commit(self) -> Result<Version, ClientError> {
        let Self { client, conditions, writes } = self;
        client.carry_out(Op::Txn { conditions, writes }).await
    }
}
