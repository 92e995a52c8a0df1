//! How a cluster places keys on its nodes: a choice of its founding.
//!
//! Said between servers in the ring record, and to clients in `status`; typed with `--placement`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How keys are placed on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// Consistent hashing on a ring of 2^64 points.
    #[default]
    Ring,
    /// The sum of the key's bytes modulo the number of nodes is the number of its primary, counted
    /// clockwise from 0; for comparison. One more node moves nearly every key.
    AsciiSum,
}

/// A text that is no placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no placement; write ring or ascii-sum")]
pub struct NoPlacement(pub String);

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            Self::AsciiSum => "ascii-sum",
        })
    }
}

impl FromStr for Placement {
    type Err = NoPlacement;

    fn from_str(text: &str) -> Result<Self, NoPlacement> {
        [Self::Ring, Self::AsciiSum]
            .into_iter()
            .find(|placement| placement.to_string() == text)
            .ok_or_else(|| NoPlacement(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_is_typed_and_said_in_the_same_words() {
        for placement in [Placement::Ring, Placement::AsciiSum] {
            let text = placement.to_string();
            assert_eq!(text.parse(), Ok(placement));
            assert_eq!(serde_json::to_string(&placement).unwrap(), format!("\"{text}\""));
        }
        assert!("ASCII-sum".parse::<Placement>().is_err());
    }
}
