//! Which transactions are listed: by outcome, key, node and time, as a person types it.
//!
//! Pure: words in, yes or no for each row out.

use crate::console::model::Model;

use super::rows::{Fate, Row};

/// Characters that a filter may have.
pub(super) const TEXT_MAX: usize = 200;
/// How it is written, in a line.
pub(super) const HELP: &str =
    "n3 user:1 key:user: node:n3 slow:5ms id:1.7 doubt flight committed aborted refused resolved";

/// Outcomes, as one key goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Outcomes {
    /// Any.
    #[default]
    All,
    /// Those that are or were in doubt.
    Doubt,
    /// Those that are not finished.
    Flight,
    /// Those that happened.
    Committed,
    /// Those that were handed over and never happen.
    Aborted,
    /// Those that were never handed over.
    Refused,
    /// Those that were in doubt and are not any more.
    Resolved,
}

impl Outcomes {
    const EACH: [Self; 7] = [
        Self::All,
        Self::Doubt,
        Self::Flight,
        Self::Committed,
        Self::Aborted,
        Self::Refused,
        Self::Resolved,
    ];

    /// The one after it; after the last comes the first.
    pub(super) fn next(self) -> Self {
        let at = Self::EACH.iter().position(|one| *one == self).unwrap_or(0);
        Self::EACH[(at + 1) % Self::EACH.len()]
    }

    /// Its name, as it is typed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Doubt => "doubt",
            Self::Flight => "flight",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
            Self::Resolved => "resolved",
        }
    }

    /// What those are that are listed, for a person.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Doubt => "in doubt",
            Self::Flight => "in flight",
            other => other.word(),
        }
    }

    /// Whether it is one of them.
    pub(super) fn passes(self, row: &Row<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Doubt => row.doubt.is_some(),
            Self::Flight => matches!(row.fate, Fate::InFlight | Fate::InDoubt),
            Self::Committed => row.fate == Fate::Committed,
            Self::Aborted => row.fate == Fate::Aborted,
            Self::Refused => row.fate == Fate::Refused,
            Self::Resolved => row.doubt.is_some_and(|doubt| doubt.resolved.is_some()),
        }
    }
}

/// What is asked for. Outcomes are joined by or, all else by and.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    keys: Vec<String>,
    nodes: Vec<String>,
    ids: Vec<String>,
    slower_us: u64,
    outcomes: Vec<Outcomes>,
    /// Plain words: a node's name, a part of a key, or the beginning of an id.
    words: Vec<String>,
    /// The first word that was not understood.
    pub(super) unknown: Option<String>,
}

impl Filter {
    /// What `text` asks for.
    pub(super) fn of(text: &str) -> Self {
        let mut filter = Self::default();
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let is_last = words.peek().is_none() && text.ends_with(word);
            let is_whole = Outcomes::EACH.iter().any(|one| one.word() == word);
            let half_typed = is_last && !is_whole && begins_one(word);
            if !half_typed && !filter.word(word) && filter.unknown.is_none() {
                filter.unknown = Some(word.to_owned());
            }
        }
        filter
    }

    fn word(&mut self, word: &str) -> bool {
        if let Some(outcome) = Outcomes::EACH.iter().find(|one| one.word() == word) {
            self.outcomes.push(*outcome);
            return true;
        }
        match word.split_once(':') {
            Some(("key", prefix)) => self.keys.push(prefix.to_owned()),
            Some(("node", name)) => self.nodes.push(name.to_owned()),
            Some(("id", id)) => self.ids.push(id.to_owned()),
            // While it is typed it is not there yet, and not wrong.
            Some(("slow", "")) => {}
            Some(("slow", least)) => match micros_of(least) {
                Some(us) => self.slower_us = us,
                None => return false,
            },
            _ => self.words.push(word.to_owned()),
        }
        true
    }

    /// Whether it is listed.
    pub(super) fn passes(&self, row: &Row<'_>, model: &Model) -> bool {
        let node = |name: &String| row.votes().iter().any(|vote| vote.node.as_str() == *name);
        let key = |prefix: &String| row.key().is_some_and(|key| key.starts_with(prefix));
        let has = |part: &String| row.key().is_some_and(|key| key.contains(part.as_str()));
        let id = |id: &String| row.id().starts_with(id);
        let slow = || row.took_us(model).is_some_and(|us| us >= self.slower_us);
        (self.outcomes.is_empty() || self.outcomes.iter().any(|one| one.passes(row)))
            && self.keys.iter().all(key)
            && self.nodes.iter().filter(|name| !name.is_empty()).all(node)
            && self.ids.iter().all(id)
            && self.words.iter().all(|word| node(word) || has(word) || id(word))
            && (self.slower_us == 0 || slow())
    }
}

/// Whether more letters could make it a word that is understood.
fn begins_one(word: &str) -> bool {
    let outcomes = Outcomes::EACH.iter().map(|one| one.word());
    outcomes.chain(["key:", "node:", "slow:", "id:"]).any(|whole| whole.starts_with(word))
}

/// The microseconds of `5ms`, `800us`, `1.5s`; a bare number is milliseconds.
fn micros_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1.0,
        "ms" | "" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = digits.parse().ok().filter(|_| plain)?;
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        let read = ["5ms", "800us", "1.5s", "7", "x", "5h", "-1ms", "", "1e9s", "漢ms"];
        let us = read.map(micros_of);
        let expected = [Some(5_000), Some(800), Some(1_500_000), Some(7_000)];
        assert_eq!(us[..4], expected);
        assert!(us[4..].iter().all(Option::is_none), "{us:?}");
    }

    #[test]
    fn what_is_not_understood_is_named_and_what_is_half_typed_is_not_wrong() {
        let unknown = |text: &str| Filter::of(text).unknown;
        assert_eq!(unknown("key:a aborted slow:wat n3").as_deref(), Some("slow:wat"));
        assert!(Filter::of("re").words.is_empty() && Filter::of("re ").words == ["re"]);
        for text in ["", "slow:", "node:", "key:", "re", "doubt flight", HELP] {
            assert_eq!(Filter::of(text).unknown, None, "{text}");
        }
        assert_eq!(Filter::of("slow:5parsecs").unknown.as_deref(), Some("slow:5parsecs"));
    }

    #[test]
    fn one_key_goes_through_all_outcomes_and_begins_again() {
        let mut at = Outcomes::All;
        for _ in Outcomes::EACH {
            at = at.next();
        }
        assert_eq!(at, Outcomes::All);
    }
}
