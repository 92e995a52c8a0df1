//! What a `subscribe` asks for, held to its limits.

use super::super::fields::{Field, Name};
use super::super::{SAMPLES_PER_S_MAX, TIMEOUT_MS_MAX, bad_field, fields};
use super::{Object, Place, Taken};
use crate::event::{Only, Outcome, SETS_MAX, Subscribe, Topic, Topics};

/// Highest number of a set.
const SET_MAX: u64 = u32::MAX as u64;

impl Object<'_, '_> {
    pub(super) fn subscribe(&mut self) -> Taken<Subscribe> {
        let tx = self.text(Name::Tx)?;
        let tx = tx.map(|text| {
            text.parse().map_err(|_| {
                let what = "is not a version: give one as a reply or an event told it";
                self.wrong(Name::Tx, what)
            })
        });
        let most = self.number(Name::MaxPerS, SAMPLES_PER_S_MAX)?;
        Ok(Subscribe {
            topics: self.topics()?,
            max_per_s: most.unwrap_or(Subscribe::MAX_PER_S_DEFAULT),
            server: self.text(Name::Server)?.map(Into::into),
            sets: self.sets()?,
            set: self.whole(Name::Set, SET_MAX)?.map(|set| set as u32),
            tx: tx.transpose()?,
            only: self.only()?,
        })
    }

    fn topics(&mut self) -> Taken<Topics> {
        if !self.fields.has(Name::Topics) {
            return Ok(Topics::all());
        }
        let all = Topics::all();
        let elements = self.list(Name::Topics, 0, all.iter().count())?;
        let topic = |(at, raw): (usize, &str)| {
            let text = fields::string(raw);
            let named = text.as_deref().and_then(Topic::named);
            named.filter(|topic| all.has(*topic)).ok_or_else(|| {
                let all: Vec<&str> = all.iter().map(Topic::as_str).collect();
                let path = format!("topics[{at}]");
                bad_field(&path, format!("{path} is none of the topics: {}", all.join(", ")))
            })
        };
        elements.into_iter().enumerate().map(topic).collect()
    }

    fn sets(&mut self) -> Taken<Option<(u32, u32)>> {
        if !self.fields.has(Name::Sets) {
            return Ok(None);
        }
        let elements = self.list(Name::Sets, 2, 2)?;
        let number = |raw: &str| raw.parse::<u32>().ok();
        match (number(elements[0]), number(elements[1])) {
            (Some(first), Some(count)) if (1..=SETS_MAX).contains(&count) => {
                Ok(Some((first, count)))
            }
            _ => {
                let what = format_args!("must be the first set and how many, 1 to {SETS_MAX}");
                Err(self.wrong(Name::Sets, what))
            }
        }
    }

    /// An integer from 0 to `max`.
    fn whole(&mut self, name: Name, max: u64) -> Taken<Option<u64>> {
        match self.fields.take(name) {
            None => Ok(None),
            Some(Field::Unsigned(number)) if number <= max => Ok(Some(number)),
            Some(Field::Unsigned(_)) => {
                Err(self.wrong(name, format_args!("must be from 0 to {max}")))
            }
            Some(other) => {
                Err(self.wrong_type(name, &format!("an integer from 0 to {max}"), &other))
            }
        }
    }

    /// How a transaction ended.
    fn outcome(&mut self) -> Taken<Option<String>> {
        let all = [Outcome::Committed, Outcome::Aborted, Outcome::Refused].map(Outcome::as_str);
        match self.text(Name::Outcome)? {
            Some(wanted) if !all.contains(&&*wanted) => {
                Err(self.wrong(Name::Outcome, format_args!("must be one of {}", all.join(", "))))
            }
            wanted => Ok(wanted.map(Into::into)),
        }
    }

    fn only(&mut self) -> Taken<Only> {
        let raw = match self.fields.take(Name::Only) {
            None => return Ok(Only::default()),
            Some(Field::Object(raw)) => raw,
            Some(other) => return Err(self.wrong_type(Name::Only, "an object", &other)),
        };
        let mut only = Object::within(raw, Place::Field(Name::Only), self.limits)?;
        let longest_us = u64::from(TIMEOUT_MS_MAX) * 1_000;
        let read = Only {
            node: only.text(Name::Node)?.map(Into::into),
            key_prefix: only.key_part(Name::KeyPrefix)?.map(Into::into),
            outcome: only.outcome()?,
            slower_us: only.whole(Name::SlowerUs, longest_us)?,
        };
        only.check_empty("only")?;
        Ok(read)
    }
}
