//! What of all that came in is shown.
//!
//! Part of the view Events. Pure: an entry in, yes or no out.

use protocol::event::{Body, Class};

use crate::console::model::record::{Entry, What};
use crate::console::model::sentence::{Mood, Sentence, sentence};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Level {
    /// What has changed: no figures, no samples.
    #[default]
    Changes,
    /// What is not as it should be, samples included.
    Worries,
    /// Everything.
    All,
}

impl Level {
    /// The next one; after the last comes the first.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Changes => Self::Worries,
            Self::Worries => Self::All,
            Self::All => Self::Changes,
        }
    }

    /// What it shows, for a person.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Worries => "only worries",
            Self::All => "everything",
        }
    }
}

/// Conditions: an entry is shown if all of them hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// How much.
    pub(super) level: Level,
    /// Words that server, kind and text together must have, or must not have where `!` goes before.
    pub(super) text: String,
    /// Only what is about this server.
    pub(super) server: Option<String>,
    /// Only what is part of this incident.
    pub(super) incident: Option<u32>,
}

/// Entries go in one after the other, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Sieve {
    wanted: Wanted,
    /// What must be there, and what must not, in lower case.
    words: Vec<(bool, String)>,
    /// Keys that could not be written, and whether some had fewer copies than others, as told last:
    /// the same again is no change.
    copies: Option<(u64, bool)>,
}

impl Sieve {
    /// One that lets through what is wanted.
    pub(super) fn new(wanted: Wanted) -> Self {
        let words = wanted.text.split_whitespace().map(|word| match word.strip_prefix('!') {
            Some(rest) => (false, rest.to_lowercase()),
            None => (true, word.to_lowercase()),
        });
        let words = words.filter(|(_, word)| !word.is_empty()).collect();
        Self { wanted, words, copies: None }
    }

    /// What it lets through.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether figures and samples may be among it.
    pub(super) fn needs_telemetry(&self) -> bool {
        self.wanted.level != Level::Changes
    }

    /// Whether this one is shown.
    pub(super) fn lets(&mut self, entry: &Entry) -> bool {
        let is_news = self.is_news(entry);
        let of_incident = self.wanted.incident.is_none_or(|id| entry.incident == Some(id));
        if !of_incident || !is_news {
            return false;
        }
        if self.wanted.level != Level::Worries
            && self.wanted.server.is_none()
            && self.words.is_empty()
        {
            return true;
        }
        let said = sentence(entry);
        let is_bad = matches!(said.mood, Mood::Worry | Mood::Bad);
        (self.wanted.level != Level::Worries || is_bad)
            && self.wanted.server.as_deref().is_none_or(|server| concerns(entry, &said, server))
            && self.has_words(&said)
    }

    /// Keys come and go all the time: their counts are a change only where it is another number
    /// that cannot be written, or where some begin to lack a copy or none does any more.
    fn is_news(&mut self, entry: &Entry) -> bool {
        let What::Event(event) = &entry.what else { return true };
        let Body::Copies(copies) = &event.body else { return true };
        let told = (copies.unwritable, copies.by_live_copies.len() > 1);
        let before = self.copies.replace(told);
        self.wanted.level == Level::All || before != Some(told)
    }

    fn has_words(&self, said: &Sentence) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let Sentence { server, kind, text, .. } = said;
        let all = format!("{server} {kind} {text}").to_lowercase();
        self.words.iter().all(|(must, word)| all.contains(word) == *must)
    }
}

/// Whether an entry is about a server, or about a transaction that it takes part in.
fn concerns(entry: &Entry, said: &Sentence, server: &str) -> bool {
    if said.server == server {
        return true;
    }
    let What::Event(event) = &entry.what else { return false };
    let votes = match &event.body {
        Body::Txn(txn) => &txn.votes,
        Body::TxnOpen(open) => &open.0.votes,
        Body::TxnInDoubt(told) => &told.votes,
        _ => return false,
    };
    votes.iter().any(|vote| vote.node.as_str() == server)
}

/// Whether an entry is a figure or a sample.
pub(super) fn is_telemetry(entry: &Entry) -> bool {
    matches!(&entry.what, What::Event(event) if event.body.class() == Class::Telemetry)
}
