//! What the console wants done, done: asked of servers, written to files.
//!
//! Used by the loop, which spawns each: nothing here keeps the screen waiting. What came of it goes
//! back as a [`Done`].

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::client::{Client, ClientError, Options, Supervisor};
use protocol::ids::Key;
use protocol::reply::ChangePreview;
use protocol::request::{Admin, AdminAction};
use protocol::supervisor::ProcAction;
use protocol::token::Token;
use tokio::sync::{Mutex, watch};

use crate::commands::common_beginning;
use crate::console::effect::{Completions, Done, MemberChange, MemberOrder};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(30);
/// How long the coordinator may take to begin a change.
const CHANGE: Duration = Duration::from_secs(10);
/// How long a question may take.
const ASK: Duration = Duration::from_secs(2);
/// Keys offered to complete what is typed.
const COMPLETIONS_MAX: usize = 100;
/// Files of one name, before none is written any more.
const FILES_MAX: u32 = 1_000;

/// Whom to ask, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    addresses: watch::Receiver<Option<String>>,
    token: Option<Token>,
    name: String,
    /// The connection for questions, once it was made, and where that was.
    client: Arc<Mutex<Option<(String, Client)>>>,
}

impl Hands {
    pub(super) fn new(
        addresses: watch::Receiver<Option<String>>,
        token: Option<Token>,
        name: String,
    ) -> Self {
        Self { addresses, token, name, client: Arc::default() }
    }

    /// Has the supervisor do something.
    pub(super) async fn process(self, address: Option<String>, action: ProcAction) -> Done {
        let result = match address {
            Some(address) => self.act(&address, &action).await.map_err(|e| e.to_string()),
            None => Err("no supervisor is known".into()),
        };
        Done::Process(action, result)
    }

    async fn act(&self, address: &str, action: &ProcAction) -> Result<(), ClientError> {
        let supervisor = Supervisor::connect(address, READY, self.token.clone()).await?;
        supervisor.hello(&self.name).await?;
        supervisor.act(action, READY).await.map(drop)
    }

    /// Has the coordinator change who is a member, or say what that would do. Never repeated by
    /// itself: what was lost on its way may have begun.
    pub(super) async fn member(self, order: MemberOrder) -> Done {
        let result = self.change(&order).await.map_err(|error| match error {
            ClientError::Lost(_) | ClientError::Late(_) if !order.dry_run => {
                "no answer came, and it may have begun: watch before you ask again".into()
            }
            error => error.to_string(),
        });
        Done::Member(order, result)
    }

    async fn change(&self, order: &MemberOrder) -> Result<Option<Box<ChangePreview>>, ClientError> {
        let addresses = self.addresses.borrow().clone().unwrap_or_default();
        let options = Options {
            connect_timeout: ASK,
            repeat_for: Duration::ZERO,
            token: self.token.clone(),
            ..Options::default()
        };
        let client = Client::connect(&addresses, options).await?.with_timeout(CHANGE);
        // So that whoever watches reads who it was; an older server need not know the word.
        let _ = client.hello(&self.name, false).await;
        let action = match &order.change {
            MemberChange::Add => AdminAction::Add,
            MemberChange::Remove(node) => AdminAction::Remove { node: node.as_str().into() },
            MemberChange::Evict(node) => AdminAction::Evict { node: node.as_str().into() },
        };
        let asked = Admin { action, dry_run: order.dry_run, if_ring_epoch: order.ring };
        let reply = client.admin(asked).await?;
        Ok(reply.preview.map(Box::new))
    }

    /// Stops all servers, and the supervisor.
    pub(super) async fn shut_down(&self, address: &str) -> Result<(), ClientError> {
        self.act(address, &ProcAction::Shutdown).await
    }

    /// Where a key lies.
    pub(super) async fn locate(self, text: String) -> Done {
        let located = async {
            let key = Key::new(&text).map_err(|error| error.to_string())?;
            let client = self.client().await.map_err(|error| error.to_string())?;
            let located = client.locate(&key, true).await;
            located.map(Box::new).map_err(|error| error.to_string())
        };
        let located = located.await;
        Done::Located(text, located)
    }

    /// Keys that begin so.
    pub(super) async fn scan(self, prefix: String, most: u32) -> Done {
        let found = self.keys(&prefix, most as usize).await.map_err(|error| error.to_string());
        Done::Scanned(prefix, found)
    }

    /// Keys that complete what is typed.
    pub(super) async fn complete(self, prefix: String) -> Done {
        let found = self.completions(&prefix).await.ok();
        Done::Completed(prefix, found)
    }

    async fn completions(&self, prefix: &str) -> Result<Completions, ClientError> {
        let (keys, more) = self.keys(prefix, COMPLETIONS_MAX).await?;
        let listed: Vec<&str> = keys.iter().map(String::as_str).collect();
        let common = common_beginning(&listed);
        // Keys are sorted: who does not begin so comes behind all that do.
        let behind = Key::new(&format!("{common}{}", char::MAX)).ok();
        let alike = match behind.filter(|_| more && common.len() > prefix.len()) {
            Some(behind) => {
                let mut others = self.client().await?.scan(prefix).after(&behind).limit(1);
                others.next().await?.is_none_or(|page| page.items.is_empty())
            }
            None => false,
        };
        Ok(Completions { keys, more, alike })
    }

    async fn keys(&self, prefix: &str, most: usize) -> Result<(Vec<String>, bool), ClientError> {
        let client = self.client().await?;
        let mut scan = client.scan(prefix).limit(most as u32 + 1);
        let mut keys: Vec<String> = Vec::new();
        while let Some(page) = scan.next().await? {
            keys.extend(page.items.into_iter().map(|item| item.key.as_str().to_owned()));
            if keys.len() > most {
                break;
            }
        }
        let more = keys.len() > most;
        keys.truncate(most);
        Ok((keys, more))
    }

    async fn client(&self) -> Result<Client, ClientError> {
        let mut kept = self.client.lock().await;
        let addresses = self.addresses.borrow().clone().unwrap_or_default();
        if let Some((of, client)) = kept.as_ref()
            && *of == addresses
        {
            return Ok(client.with_timeout(ASK));
        }
        let token = self.token.clone();
        let options = Options { connect_timeout: ASK, token, ..Options::default() };
        let client = Client::connect(&addresses, options).await?;
        Ok(kept.insert((addresses, client)).1.with_timeout(ASK))
    }
}

/// Writes lines to a file that is not there yet: `name`, or `name` with a number in it.
pub(super) fn export(name: &str, lines: &[String]) -> Done {
    Done::Exported(write_new(name, lines).map_err(|error| format!("cannot write {name}: {error}")))
}

fn write_new(name: &str, lines: &[String]) -> io::Result<String> {
    let path = PathBuf::from(name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    for number in 0..FILES_MAX {
        let file = match number {
            0 => path.clone(),
            n => path.with_file_name(format!("{stem}-{n}{extension}")),
        };
        match OpenOptions::new().write(true).create_new(true).open(&file) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(mut open) => {
                for line in lines {
                    open.write_all(line.as_bytes())?;
                    open.write_all(b"\n")?;
                }
                open.flush()?;
                return Ok(file.display().to_string());
            }
        }
    }
    Err(io::Error::other("there are too many files of that name"))
}

/// The bytes that put `text` onto a terminal's clipboard (OSC 52).
pub(super) fn clipboard(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = b"\x1b]52;c;".to_vec();
    for chunk in text.as_bytes().chunks(3) {
        let all = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { letter } else { b'=' });
        }
    }
    out.push(0x07);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_base64() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            let expected = format!("\x1b]52;c;{expected}\x07");
            assert_eq!(clipboard(text), expected.as_bytes());
        }
    }
}
