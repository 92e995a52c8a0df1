//! What a load shall be: how much of what, on which keys, how fast and for how long.
//!
//! Filled in by whoever starts a load; [`Plan::check`] is asked before anything is sent. Plain
//! data.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::KEY_BYTES_MAX;

/// Most keys of one load: their versions, where they are needed, take 8 bytes each.
pub const KEYS_MAX: u32 = 16 << 20;
/// Most connections of one load: what a server allows unless told otherwise.
pub const CONNECTIONS_MAX: usize = 4096;
/// Most requests in flight on one connection: past that, servers stop reading.
pub const DEPTH_MAX: usize = 1024;
/// Most operations a second that can be asked for: beyond any machine, and far from overflow.
pub const RATE_MAX: u64 = 1_000_000_000;
/// Largest exponent of a [`Distribution::Zipf`]; past it nearly all goes to one key.
pub const THETA_MAX: f64 = 10.0;
/// What stands between the prefix and the number in a key's name.
pub const KEY_MARK: &str = "load-";
/// Digits of the number in a key's name.
const KEY_DIGITS: usize = 8;
/// Bytes of requests in flight on one connection, and on all together.
const IN_FLIGHT_BYTES_MAX: usize = 4 << 20;
const TOTAL_BYTES_MAX: usize = 1 << 30;
/// What a request has beside its value, bytes; generous.
const REQUEST_BYTES: usize = 2 * KEY_BYTES_MAX + 128;

/// What a load is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Reads of a key.
    Get,
    /// Writes of a key, whether it exists or not.
    Put,
    /// Writes of a key that exists.
    Update,
    /// Writes of a key that has the version that this load saw of it last. The first on a key
    /// that it has not seen yet is refused with `version_mismatch`, and so learns the version.
    Cas,
    /// Removals of a key.
    Del,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Get, Self::Put, Self::Update, Self::Cas, Self::Del];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Update => "update",
            Self::Cas => "cas",
            Self::Del => "del",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is wrong with a [`Plan`] or a part of it, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPlan(pub String);

/// How often each kind is drawn, by weight.
///
/// Invariants: their sum is not 0 and fits into 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix([u32; 5]);

impl Mix {
    /// Nothing but `kind`.
    pub fn only(kind: Kind) -> Self {
        let mut weights = [0; 5];
        weights[kind as usize] = 1;
        Self(weights)
    }

    /// The weight of `kind`.
    pub fn weight(&self, kind: Kind) -> u32 {
        self.0[kind as usize]
    }

    pub(super) fn sum(&self) -> u32 {
        self.0.iter().sum()
    }
}

impl FromStr for Mix {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        let wrong = |why: String| InvalidPlan(format!("{why}: a mix looks like get=90,put=10"));
        let mut weights = [None; 5];
        for part in text.split(',') {
            let named = part.trim().split_once('=');
            let (name, weight) = named.ok_or_else(|| wrong(format!("{part:?} has no weight")))?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
            let kind = kind.ok_or_else(|| {
                wrong(format!("{name:?} is none of get, put, update, cas and del"))
            })?;
            // Small enough that no sum overflows.
            let weight = weight.parse().ok().filter(|weight: &u32| *weight <= 1_000_000);
            let weight = weight
                .ok_or_else(|| wrong(format!("the weight of {name} is no number up to 1000000")))?;
            if weights[kind as usize].replace(weight).is_some() {
                return Err(wrong(format!("{name} is there twice")));
            }
        }
        let mix = Self(weights.map(Option::unwrap_or_default));
        if mix.sum() == 0 { Err(wrong("all weights are 0".into())) } else { Ok(mix) }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = Kind::ALL.into_iter().filter(|kind| self.weight(*kind) > 0);
        for (at, kind) in there.enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{kind}={}", self.weight(kind))?;
        }
        Ok(())
    }
}

/// Which keys are drawn how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// All alike.
    Uniform,
    /// The n-th key in proportion to `1 / n^theta`: few are hot, most are cold.
    Zipf {
        /// The exponent, above 0 and at most [`THETA_MAX`].
        theta: f64,
    },
}

impl FromStr for Distribution {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        let theta = match text.split_once(':') {
            None if text == "uniform" => return Ok(Self::Uniform),
            None if text == "zipf" => Some(0.99),
            Some(("zipf", theta)) => theta.parse().ok().filter(|theta| is_theta(*theta)),
            _ => None,
        };
        theta.map(|theta| Self::Zipf { theta }).ok_or_else(|| {
            let sentence = "is no distribution: they are uniform, zipf and zipf:0.99, with an \
                            exponent above 0 and at most 10";
            InvalidPlan(format!("{text:?} {sentence}"))
        })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf { theta } => write!(f, "zipf:{theta}"),
        }
    }
}

fn is_theta(theta: f64) -> bool {
    theta > 0.0 && theta <= THETA_MAX
}

/// What is asked, of which keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Kinds and keys are drawn.
    Drawn {
        /// The kinds.
        mix: Mix,
        /// The keys.
        distribution: Distribution,
    },
    /// One operation of this kind on every key, once, in their order: a put of each fills, a del
    /// of each removes. It has as many operations as there are keys.
    EachKey(Kind),
}

/// A load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is asked.
    pub work: Work,
    /// How many keys, 1 to [`KEYS_MAX`].
    pub keys: u32,
    /// What their names begin with; see [`Plan::key`].
    pub prefix: String,
    /// Bytes of a value: text, each time another one.
    pub value_bytes: usize,
    /// How many connections, 1 to [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Requests in flight on each, 1 to [`DEPTH_MAX`].
    pub depth: usize,
    /// Operations a second of all connections, at evenly spaced times that no answer moves. None:
    /// the next request is sent as soon as there is room for it.
    pub rate: Option<u64>,
    /// For how long requests are sent; what is in flight then is still waited for.
    pub duration: Option<Duration>,
    /// How many operations.
    pub ops: Option<u64>,
    /// Repeats what is drawn, connection by connection.
    pub seed: u64,
    /// Whether each update has a name of its own (`once`). None is ever repeated here.
    pub once: bool,
    /// How long an answer is waited for before the connection counts as lost.
    pub answer_wait: Duration,
    /// What every connection shows first, if anything.
    pub token: Option<crate::token::Token>,
}

impl Default for Plan {
    fn default() -> Self {
        let mut mix = Mix::only(Kind::Get);
        mix.0[Kind::Get as usize] = 90;
        mix.0[Kind::Put as usize] = 10;
        Self {
            work: Work::Drawn { mix, distribution: Distribution::Uniform },
            keys: 10_000,
            prefix: "bench:".into(),
            value_bytes: 100,
            connections: 16,
            depth: 1,
            rate: None,
            duration: None,
            ops: None,
            seed: 1,
            once: false,
            answer_wait: Duration::from_secs(10),
            token: None,
        }
    }
}

impl Plan {
    /// The name of a key: the prefix, [`KEY_MARK`] and its number in eight digits. Loads touch no
    /// key that is not named so.
    pub fn key(&self, number: u32) -> String {
        let mut key = self.prefix.clone();
        write_key(&mut key, number);
        key
    }

    /// How many operations there are in all, if that is given.
    pub(super) fn ops_max(&self) -> Option<u64> {
        match self.work {
            Work::EachKey(_) => Some(u64::from(self.keys)),
            Work::Drawn { .. } => self.ops,
        }
    }

    /// Whether all of it can be done.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), InvalidPlan> {
        let within = |what: &str, number: u64, most: u64| {
            let wrong = || InvalidPlan(format!("{what} must be 1 to {most}, not {number}"));
            (1..=most).contains(&number).then_some(()).ok_or_else(wrong)
        };
        within("the number of keys", u64::from(self.keys), u64::from(KEYS_MAX))?;
        within("the number of connections", self.connections as u64, CONNECTIONS_MAX as u64)?;
        within("the depth", self.depth as u64, DEPTH_MAX as u64)?;
        within("the rate", self.rate.unwrap_or(1), RATE_MAX)?;
        let wrong = |sentence: String| Err(InvalidPlan(sentence));
        if self.ops_max().is_none() && self.duration.is_none() {
            return wrong("a load needs a duration or a number of operations".into());
        }
        let prefix_max = KEY_BYTES_MAX - KEY_MARK.len() - KEY_DIGITS;
        if self.prefix.len() > prefix_max {
            return wrong(format!("the prefix may have at most {prefix_max} bytes"));
        }
        if let Work::Drawn { distribution: Distribution::Zipf { theta }, .. } = self.work
            && !is_theta(theta)
        {
            return wrong(format!("the exponent of zipf must be above 0 and at most {THETA_MAX}"));
        }
        let bytes = self.value_bytes.saturating_add(REQUEST_BYTES).saturating_mul(self.depth);
        if self.depth > 1 && bytes > IN_FLIGHT_BYTES_MAX {
            return wrong(format!(
                "values of {} bytes, {} at a time, are more than the 4 MiB that servers take in \
                 flight on a connection: choose a smaller depth",
                self.value_bytes, self.depth
            ));
        }
        if bytes.saturating_mul(self.connections) > TOTAL_BYTES_MAX {
            return wrong(
                "more than 1 GiB would be in flight: choose fewer connections, a smaller depth or \
                 smaller values"
                    .into(),
            );
        }
        Ok(())
    }
}

/// Appends what follows the prefix.
pub(super) fn write_key(key: &mut String, number: u32) {
    key.push_str(KEY_MARK);
    let mut digits = [b'0'; KEY_DIGITS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    digits.iter().for_each(|digit| key.push(char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read_strictly_and_written_back() {
        let mix: Mix = "get=90,put=10".parse().unwrap();
        assert_eq!((mix.weight(Kind::Get), mix.weight(Kind::Put), mix.sum()), (90, 10, 100));
        let all: Mix = "del=1, cas=2,update=3,put=4,get=5".parse().unwrap();
        assert_eq!(all.to_string(), "get=5,put=4,update=3,cas=2,del=1");
        assert_eq!("put=0,get=7".parse::<Mix>().unwrap().to_string(), "get=7");
        for (wrong, why) in [
            ("", "no weight"),
            ("get", "no weight"),
            ("get=", "no number"),
            ("get=-1", "no number"),
            ("get=1000001", "no number"),
            ("get=5,get=5", "twice"),
            ("scan=5", "none of"),
            ("Get=5", "none of"),
            ("get=0,put=0", "all weights"),
            ("get=1,", "no weight"),
        ] {
            let error = wrong.parse::<Mix>().unwrap_err().0;
            assert!(error.contains(why) && error.contains("get=90,put=10"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn distributions_are_read_strictly_and_written_back() {
        for (text, written) in [
            ("uniform", "uniform"),
            ("zipf", "zipf:0.99"),
            ("zipf:1", "zipf:1"),
            ("zipf:1.1", "zipf:1.1"),
        ] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), written);
        }
        for wrong in ["", "zipfian", "zipf:", "zipf:0", "zipf:-1", "zipf:11", "zipf:nan", "gauss:1"]
        {
            assert!(wrong.parse::<Distribution>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_are_named_by_prefix_and_number() {
        let plan = Plan { prefix: "a/é:".into(), ..Plan::default() };
        assert_eq!(plan.key(0), "a/é:load-00000000");
        assert_eq!(plan.key(1234), "a/é:load-00001234");
        assert_eq!(plan.key(KEYS_MAX - 1), "a/é:load-16777215");
    }

    #[test]
    fn what_cannot_be_done_is_told_before() {
        let right = || Plan { ops: Some(1), ..Plan::default() };
        assert_eq!(right().check(), Ok(()));
        let mix = Mix::only(Kind::Get);
        let zipf = |theta| Work::Drawn { mix, distribution: Distribution::Zipf { theta } };
        let wrong = [
            (Plan { keys: 0, ..right() }, "keys"),
            (Plan { keys: KEYS_MAX + 1, ..right() }, "keys"),
            (Plan { connections: 0, ..right() }, "connections"),
            (Plan { depth: DEPTH_MAX + 1, ..right() }, "depth"),
            (Plan { rate: Some(0), ..right() }, "rate"),
            (Plan { ops: None, ..right() }, "duration"),
            (Plan { prefix: "p".repeat(244), ..right() }, "prefix"),
            (Plan { work: zipf(f64::NAN), ..right() }, "exponent"),
            (Plan { value_bytes: usize::MAX, ..right() }, "in flight"),
            (Plan { value_bytes: 1 << 20, depth: 8, ..right() }, "smaller depth"),
            (Plan { value_bytes: 1 << 20, connections: 2000, ..right() }, "fewer connections"),
        ];
        for (plan, why) in wrong {
            let error = plan.check().unwrap_err().0;
            assert!(error.contains(why), "{why}: {error}");
        }
        let longest = Plan { prefix: "p".repeat(243), ..right() };
        assert_eq!((longest.check(), longest.key(0).len()), (Ok(()), KEY_BYTES_MAX));
        let each = Plan { work: Work::EachKey(Kind::Put), keys: 7, ops: Some(3), ..right() };
        assert_eq!(each.ops_max(), Some(7));
    }
}
