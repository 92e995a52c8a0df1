//! All keys that begin with a prefix, page by page.

use super::{Client, ClientError};
use crate::ids::Key;
use crate::reply::{self, Page};
use crate::request::{Op, SCAN_ITEMS_DEFAULT, SCAN_ITEMS_MAX};

/// A walk over keys in the order of their bytes.
///
/// Each item was current at some time during its page's call; keys that nobody touches meanwhile
/// appear exactly once. It is not a picture of one moment.
///
/// ```no_run
/// # async fn example(client: protocol::client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut scan = client.scan("user/").limit(1000);
/// while let Some(page) = scan.next().await? {
///     for item in page.items {
///         println!("{}: {} bytes", item.key.as_str(), item.bytes);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Scan {
    client: Client,
    prefix: String,
    after: Option<String>,
    limit: u32,
    values: bool,
    ended: bool,
}

impl Client {
    /// A walk over the keys that begin with `prefix`, all keys where it is empty.
    pub fn scan(&self, prefix: &str) -> Scan {
        Scan {
            client: self.clone(),
            prefix: prefix.to_owned(),
            after: None,
            limit: SCAN_ITEMS_DEFAULT,
            values: false,
            ended: false,
        }
    }
}

impl Scan {
    /// Begins behind `key`.
    #[must_use]
    pub fn after(self, key: &Key) -> Self {
        Self { after: Some(key.as_str().to_owned()), ..self }
    }

    /// At most so many items a page, 1 to 1000.
    #[must_use]
    pub fn limit(self, items: u32) -> Self {
        Self { limit: items.clamp(1, SCAN_ITEMS_MAX), ..self }
    }

    /// With the values.
    #[must_use]
    pub fn with_values(self) -> Self {
        Self { values: true, ..self }
    }

    /// The next page, `None` after the last one. A call that failed may be made again.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn next(&mut self) -> Result<Option<Page>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let op = Op::Scan {
            prefix: self.prefix.as_str().into(),
            after: self.after.as_deref().map(Into::into),
            limit: self.limit,
            values: self.values,
        };
        let line = self.client.ask(op).await?;
        let page = reply::decode_page(&line).map_err(ClientError::Protocol)?;
        let page = page.map_err(ClientError::from_read)?;
        match &page.next {
            // A page that led back would never end.
            Some(next) if self.after.as_ref().is_some_and(|after| next <= after) => {
                let sentence = "a page's next is not behind the page before".to_owned();
                return Err(ClientError::Protocol(reply::InvalidReply(sentence)));
            }
            Some(next) => self.after = Some(next.clone()),
            None => self.ended = true,
        }
        Ok(Some(page))
    }
}
