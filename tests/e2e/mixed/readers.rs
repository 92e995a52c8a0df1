//! A client that watches every change, and one that scans.
//!
//! A page of a scan is a read of each key that it covers. A watch is judged at the end, when it is
//! known what became of every update.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::client::{Client, ClientError, Watch};
use protocol::ids::Version;
use protocol::reply::{Page, Versioned};
use tokio::time::timeout;

use super::LAST_READER;
use super::book::{Asked, Book, Entries};
use super::clients::{self, Worker};
use crate::check::durable::Finals;
use crate::check::{Outcome, ValueId};

/// How long a watcher waits for a line before it looks whether all is over.
const LINE_WAIT: Duration = Duration::from_millis(50);
/// What is scanned: few keys each, so that the history stays small.
const PREFIXES: [&str; 6] = ["count/", "account/", "write/", "list/0/", "set/0/", "repeat/"];
/// Items of a page, so that every scan has several.
const PAGE_ITEMS: u64 = 7;

/// A change that a watch told: the key, its version, the value's number.
type Line = (Arc<str>, Version, Option<ValueId>);

/// What one watch was told, from its beginning until it was lost.
pub(super) struct Watched {
    from: Version,
    lines: Vec<Line>,
}

impl Worker {
    /// Watches all keys, again and again; what it was told.
    pub(super) async fn watcher(mut self) -> Vec<Watched> {
        let mut all = Vec::new();
        while self.think().await {
            match self.client.watch_prefix("").await {
                Ok(watch) => {
                    self.book.count_ok("watch");
                    all.push(self.follow(watch).await);
                }
                Err(error) => self.not_read("watch", &error),
            }
        }
        all
    }

    async fn follow(&self, mut watch: Watch) -> Watched {
        let mut watched = Watched { from: watch.version(), lines: Vec::new() };
        while self.book.is_open() {
            let change = match timeout(LINE_WAIT, watch.next()).await {
                Err(_) => continue,
                Ok(Ok(change)) => change,
                Ok(Err(ClientError::WatchLost | ClientError::Lost(_))) => {
                    self.book.count("watch", "lost");
                    break;
                }
                Ok(Err(error)) => panic!("a watch was told {error:?}"),
            };
            self.book.count_ok("watch line");
            let key = change.key.as_str();
            let value = change.value.as_ref();
            let value = value.map(|value| self.book.learn(key, change.version, value.as_bytes()));
            watched.lines.push((key.into(), change.version, value.map(|held| held.id)));
        }
        watched
    }

    /// Scans one part after the other.
    pub(super) async fn scanner(mut self) {
        while self.think().await {
            let prefix = *self.random.one_of(&PREFIXES);
            let known = self.book.keys(prefix);
            let items = 1 + self.random.below(PAGE_ITEMS) as u32;
            let mut scan = self.client.scan(prefix).limit(items).with_values();
            let mut after: Arc<str> = "".into();
            loop {
                let asked = self.book.ask("scan page", self.number);
                match scan.next().await {
                    Ok(None) => break,
                    Ok(Some(page)) => {
                        self.book.count_ok("scan page");
                        self.page_read(asked, prefix, &known, &after, &page);
                        after = page.next.as_deref().unwrap_or_default().into();
                    }
                    Err(error) => {
                        self.not_read("scan page", &error);
                        break;
                    }
                }
            }
        }
    }

    /// Of `known`, keys that were there before the call, the page says what they hold.
    fn page_read(&self, asked: Asked, prefix: &str, known: &[Arc<str>], after: &str, page: &Page) {
        let keys: Vec<&str> = page.items.iter().map(|item| item.key.as_str()).collect();
        let next = page.next.as_deref();
        let sound = keys.windows(2).all(|pair| pair[0] < pair[1])
            && keys.iter().all(|key| key.starts_with(prefix) && *key > after)
            && next.is_none_or(|next| keys.last().is_some_and(|last| *last <= next));
        if !sound {
            let sentence = format!("a page after {after:?} has {keys:?} and leads to {next:?}");
            self.book.fail(prefix, &sentence);
        }
        for item in &page.items {
            let value = item.value.clone().expect("values were asked for");
            let found = Versioned { value, version: item.version };
            self.book.read(asked, item.key.as_str(), Some(&found));
        }
        let covered = |key: &&Arc<str>| ***key > *after && next.is_none_or(|next| ***key <= *next);
        for key in known.iter().filter(covered).filter(|key| !keys.contains(&&***key)) {
            self.book.read(asked, key, None);
        }
    }
}

/// What all keys hold at the end.
pub(super) async fn read_all(book: &Book, client: &Client) -> Finals {
    let mut finals = Finals::new();
    let keys = book.entries().all_keys();
    for portion in keys.chunks(100) {
        let names: Vec<_> = portion.iter().map(|key| clients::key(key)).collect();
        let asked = book.ask("last read", LAST_READER);
        let found = client.mget(&names).await;
        let found = found.unwrap_or_else(|error| panic!("the last reads: {error:?}"));
        for (key, found) in portion.iter().zip(&found) {
            let held = book.read(asked, key, found.as_ref());
            finals.insert(key.clone(), held.map(|held| held.id));
        }
    }
    finals
}

/// Judges what watches were told, now that all is over: per key versions rise, nothing is told
/// that was refused, and nothing is left out between two lines.
pub(super) fn judge(entries: &Entries, watches: &[Watched]) -> Result<(), String> {
    let mut writers: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut written: BTreeMap<(&str, Version), ValueId> = BTreeMap::new();
    for (at, op) in entries.history.iter().enumerate() {
        let Some(Some(id)) = op.action.effect() else { continue };
        writers.insert(id, at);
        if let Some(version) = entries.version_of(id).filter(|_| op.outcome == Outcome::Ok) {
            written.insert((&op.key, version), id);
        }
    }
    let wrong = |key: &str, sentence: String| {
        Err(format!("key {key:?}: {sentence}\n{}", entries.story(key)))
    };
    for watched in watches {
        let mut last: BTreeMap<&str, Version> = BTreeMap::new();
        for (key, version, value) in &watched.lines {
            let before = last.insert(key, *version).unwrap_or(Version::ZERO);
            if *version <= before {
                return wrong(key, format!("a watch told {version} after {before}"));
            }
            let op = value.and_then(|id| writers.get(&id)).map(|at| &entries.history[*at]);
            if value.is_some() && op.is_none_or(|op| op.outcome == Outcome::Failed) {
                return wrong(key, format!("a watch told {version}, which was refused"));
            }
            // What was on its way when it began may have a lower version, and count or not.
            let known = before.max(watched.from);
            if known >= *version {
                continue;
            }
            let mut between = written.range((&**key, known)..(&**key, *version));
            let here = |missing: Version| missing > known && missing.epoch() == known.epoch();
            if let Some(((_, missing), _)) = between.find(|((_, missing), _)| here(*missing)) {
                return wrong(key, format!("a watch left out {missing}, before {version}"));
            }
        }
    }
    Ok(())
}
