//! Clients that count, collect and overwrite, through the client library.
//!
//! * `counter`: reads a number and writes the next one, where the version is still that (`cas`);
//! * `collector`: puts keys that must not be there, and appends to lists by `cas`;
//! * `writer`: blind puts, updates and deletions: what ran twice would show in the order.
//!
//! What each is told goes into the book; `judge` has the last word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::client::{Client, Deleted, Options};
use protocol::ids::Key;
use tokio::time::sleep;

use super::book::{Book, Held, Told};
use crate::check::seeded::Seeded;
use crate::check::{Action, ValueId};

/// Elements of a list, and keys of a set, before the next one is begun.
pub(super) const ELEMENTS_MAX: u64 = 100;
const LISTS: u64 = 2;
const WRITER_KEYS: u64 = 12;
/// Between two operations, microseconds at most.
const THINK_US: u64 = 6_000;

/// One connection at work.
pub(super) struct Worker {
    pub(super) number: u32,
    pub(super) addr: SocketAddr,
    pub(super) options: Options,
    pub(super) client: Client,
    pub(super) book: Arc<Book>,
    pub(super) random: Seeded,
}

impl Worker {
    /// Counts in one of `keys` at a time. All writes are called `kind`.
    pub(super) async fn counter(mut self, kind: &'static str, keys: Vec<Key>) {
        while self.think().await {
            let key = self.random.one_of(&keys).clone();
            let Some(found) = self.get(&key).await else { continue };
            let next = found.as_ref().map_or(1, |held| number(held) + 1);
            let (id, text) = self.book.value(key.as_str(), |_| next.to_string());
            self.replace(kind, &key, found, id, &text).await;
        }
    }

    /// Makes sets and lists grow.
    pub(super) async fn collector(mut self) {
        let mut element = 0;
        while self.think().await {
            if self.random.chance(50) {
                element += 1;
                self.claim(element).await;
            } else {
                let list = self.random.below(LISTS);
                self.append(list, element / ELEMENTS_MAX).await;
            }
        }
    }

    /// Others want the same element: one of them gets it.
    async fn claim(&self, element: u64) {
        let key = key(&format!("set/{}/{element}", element / ELEMENTS_MAX));
        let (id, text) = self.book.value(key.as_str(), |_| self.number.to_string());
        let asked = self.book.ask("put if absent", self.number);
        let told = Told::from(self.client.put_if_absent(&key, text.as_bytes()).await);
        let action = Action::Swap { from: None, to: Some(id) };
        self.book.wrote(asked, &[(key.as_str(), action)], &told);
    }

    async fn append(&self, list: u64, generation: u64) {
        let key = key(&format!("list/{generation}/{list}"));
        let Some(found) = self.get(&key).await else { return };
        let before = found.as_ref().map(|held| format!("{},", held.payload)).unwrap_or_default();
        let (id, text) = self.book.value(key.as_str(), |id| format!("{before}{id}"));
        self.replace("append", &key, found, id, &text).await;
    }

    async fn replace(
        &self,
        kind: &'static str,
        key: &Key,
        found: Option<Held>,
        id: ValueId,
        text: &str,
    ) {
        let asked = self.book.ask(kind, self.number);
        let result = match &found {
            Some(held) => self.client.cas(key, text.as_bytes(), held.version).await,
            None => self.client.put_if_absent(key, text.as_bytes()).await,
        };
        let told = Told::from(result);
        let action = Action::Swap { from: found.map(|held| held.id), to: Some(id) };
        self.book.wrote(asked, &[(key.as_str(), action)], &told);
    }

    /// Overwrites without a look.
    pub(super) async fn writer(mut self) {
        while self.think().await {
            let key = key(&format!("write/{}", self.random.below(WRITER_KEYS)));
            let draw = self.random.below(100);
            if draw < 30 {
                self.get(&key).await;
                continue;
            }
            self.overwrite(&key, draw).await;
        }
    }

    async fn overwrite(&self, key: &Key, draw: u64) {
        let (id, text) = self.book.value(key.as_str(), |id| format!("{id:0>60}"));
        let kind = match draw {
            ..70 => "put",
            70..85 => "update",
            _ => "del",
        };
        let asked = self.book.ask(kind, self.number);
        let (action, told) = match kind {
            "put" => (Action::Put(id), self.client.put(key, text.as_bytes()).await.into()),
            "update" => {
                (Action::Replace(id), self.client.update(key, text.as_bytes()).await.into())
            }
            _ => match self.client.del(key).await {
                Ok(Deleted::Done(version)) => (Action::Del { found: true }, Told::Done(version)),
                Ok(Deleted::NotFound) => (Action::Del { found: false }, Told::NotThere),
                Err(error) => (Action::Del { found: true }, Err(error).into()),
            },
        };
        self.book.wrote(asked, &[(key.as_str(), action)], &told);
    }

    /// What `key` holds; the outer `None` if that was not told.
    async fn get(&self, key: &Key) -> Option<Option<Held>> {
        let asked = self.book.ask("get", self.number);
        match self.client.get(key).await {
            Ok(found) => {
                self.book.count_ok("get");
                Some(self.book.read(asked, key.as_str(), found.as_ref()))
            }
            Err(error) if error.is_safe_to_repeat() => {
                self.book.count("get", "refused");
                None
            }
            Err(error) => panic!("get {key:?} was answered with {error:?}"),
        }
    }

    /// Thinks, as a user does between two operations, whatever came of the last one, and connects
    /// anew where that is needed; false at the end.
    pub(super) async fn think(&mut self) -> bool {
        sleep(Duration::from_micros(self.random.below(THINK_US))).await;
        // Else the client does so by itself.
        if self.options.repeat_for.is_zero() && self.client.is_lost() {
            let again = Client::connect(&self.addr.to_string(), self.options.clone()).await;
            self.client = again.unwrap_or_else(|_| self.client.clone());
        }
        self.book.is_open()
    }
}

/// The number that a counter holds.
pub(super) fn number(held: &Held) -> u64 {
    held.payload.parse().expect("counters hold numbers")
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text).expect("a short key")
}
