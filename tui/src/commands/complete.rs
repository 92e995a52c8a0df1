//! What may stand where the cursor is.
//!
//! [`wanted`] looks at the line up to the cursor. Commands and options are known at once; for keys
//! it says what to ask the cluster, and [`KeyQuestion::answer`] makes candidates of what it said.

use std::ops::Range;

use super::catalog::{Catalog, Choice, Takes};
use super::words::{must_be_quoted, quote, quote_open, split_open};
use crate::prompt::{Candidate, Completion};

/// What completes a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These candidates; perhaps none.
    These(Completion),
    /// Keys, which must be asked for.
    Keys(KeyQuestion),
    /// Nobody knows.
    Nothing,
}

/// Which keys are to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyQuestion {
    /// What the keys begin with.
    pub prefix: String,
    /// The part of the line that they replace.
    range: Range<usize>,
    /// Whether a key that begins with a dash would be taken for an option.
    dashes_mean_options: bool,
}

impl KeyQuestion {
    /// The completion by `keys`; whether there are `more`.
    pub fn answer(self, keys: &[String], more: bool) -> Completion {
        self.made(keys, more, !more)
    }

    /// The completion by `keys`, the first of more, all of which begin with what these have in
    /// common.
    pub fn answer_alike(self, keys: &[String]) -> Completion {
        self.made(keys, true, true)
    }

    fn made(self, keys: &[String], more: bool, alike: bool) -> Completion {
        let fits = |key: &&String| {
            key.starts_with(&self.prefix) && !(self.dashes_mean_options && key.starts_with('-'))
        };
        let keys: Vec<&str> = keys.iter().filter(fits).map(String::as_str).collect();
        // Of more keys than these nobody knows what they have in common.
        let common = if alike { common_beginning(&keys) } else { self.prefix.as_str() };
        let quoted = keys.iter().any(|key| must_be_quoted(key));
        let common = if quoted { quote_open(common.as_bytes()) } else { common.to_owned() };
        let candidate =
            |key: &&str| Candidate { insert: quote(key.as_bytes()), about: String::new() };
        let candidates = keys.iter().map(candidate).collect();
        Completion { range: self.range, common, candidates, more }
    }
}

/// What completes `line` at `cursor`.
pub fn wanted(catalog: &Catalog, line: &str, cursor: usize) -> Wanted {
    let Some(typed) = line.get(..cursor) else { return Wanted::Nothing };
    let Ok(mut words) = split_open(typed) else { return Wanted::Nothing };
    let (begun, range, quoted) = match words.pop_if(|word| word.range.end == cursor) {
        Some(word) => (word.bytes, word.range, word.quoted),
        None => (Vec::new(), cursor..cursor, false),
    };
    let Ok(begun) = String::from_utf8(begun) else { return Wanted::Nothing };
    let Some((name, words)) = words.split_first() else {
        return commands(catalog, &begun, range);
    };
    let Some(command) = catalog.command(&name.bytes) else { return Wanted::Nothing };

    let mut places = 0;
    let mut only_places = false;
    let mut awaited: Option<&Choice> = None;
    for word in words {
        if awaited.take().is_some() {
            continue;
        }
        match word.bytes.as_slice() {
            b"--" if !only_places => only_places = true,
            bytes if !only_places && bytes.starts_with(b"--") => {
                awaited = command.option(bytes).filter(|option| option.takes.is_some());
            }
            _ => places += 1,
        }
    }
    let takes = match awaited {
        Some(option) => option.takes,
        None if !only_places && !quoted && begun.starts_with('-') => {
            let options = command.options.iter();
            let known = options.map(|option| (option.name.as_str(), option.about.as_str()));
            return these(known, &begun, range);
        }
        None => command.place(places),
    };
    match takes {
        Some(Takes::Key) => {
            let dashes_mean_options = !only_places;
            Wanted::Keys(KeyQuestion { prefix: begun, range, dashes_mean_options })
        }
        Some(Takes::Command) => commands(catalog, &begun, range),
        Some(Takes::Other) | None => Wanted::Nothing,
    }
}

fn commands(catalog: &Catalog, begun: &str, range: Range<usize>) -> Wanted {
    let known = catalog.commands.iter();
    these(known.map(|command| (command.name.as_str(), command.about.as_str())), begun, range)
}

fn these<'a>(
    known: impl Iterator<Item = (&'a str, &'a str)>,
    begun: &str,
    range: Range<usize>,
) -> Wanted {
    let fit: Vec<(&str, &str)> = known.filter(|(name, _)| name.starts_with(begun)).collect();
    let names: Vec<&str> = fit.iter().map(|(name, _)| *name).collect();
    let common = common_beginning(&names).to_owned();
    let candidate =
        |(name, about): (&str, &str)| Candidate { insert: name.into(), about: about.into() };
    let candidates = fit.into_iter().map(candidate).collect();
    Wanted::These(Completion { range, common, candidates, more: false })
}

/// What all of `texts` begin with.
pub(crate) fn common_beginning<'a>(texts: &[&'a str]) -> &'a str {
    let Some((first, others)) = texts.split_first() else { return "" };
    let same = |other: &&str| {
        let pairs = first.chars().zip(other.chars());
        pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>()
    };
    &first[..others.iter().map(same).min().unwrap_or(first.len())]
}
