//! Which nodes a directory has by name: those that it runs, and those that it must not run again.
//!
//! Part of `cluster.json`. Made anew by `fleet` whenever it changes. Names are never given twice:
//! a removed node's directory stays where it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::options::NODES_MAX;

/// The nodes of a directory. The default is that of a file that does not name them.
///
/// Invariants of one that is sound: all names are `n1`, `n2` ..., none is there twice,
/// and those of `joining` are among `nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Roster {
    /// Those that run with the cluster, in the order in which they were made.
    pub nodes: Vec<String>,
    /// Those among them that were made for a place in the cluster, and have not had one yet.
    #[serde(default)]
    pub joining: Vec<String>,
    /// Those that were removed from the cluster, and stay out.
    #[serde(default)]
    pub removed: Vec<String>,
}

impl Roster {
    /// The nodes of a cluster that is founded with so many.
    pub fn founded(nodes: u16) -> Self {
        let nodes = (1..=nodes).map(|number| format!("n{number}")).collect();
        Self { nodes, ..Self::default() }
    }

    /// Whether this can be true.
    pub(super) fn is_sound(&self) -> bool {
        let all = || self.nodes.iter().chain(&self.removed);
        let distinct: BTreeSet<&String> = all().collect();
        let runnable = (1..=usize::from(NODES_MAX)).contains(&self.nodes.len());
        runnable
            && distinct.len() == all().count()
            && all().all(|name| number(name).is_some())
            && self.joining.iter().all(|name| self.nodes.contains(name))
    }
}

/// The number in the name of a node, as `n7`.
pub(super) fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('n')?;
    let number = digits.parse().ok().filter(|number| *number > 0)?;
    // No second way to write it, and no sign.
    (name == format!("n{number}")).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_and_distinct() {
        assert_eq!(number("n12"), Some(12));
        for wrong in ["", "n", "n0", "n01", "n+1", "m1", "n1/..", "n99999999999"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let roster = |nodes, joining, removed| Roster {
            nodes: names(nodes),
            joining: names(joining),
            removed: names(removed),
        };
        assert!(roster(&["n1", "n3"], &["n3"], &["n2"]).is_sound());
        assert!(
            Roster::founded(NODES_MAX).is_sound() && !Roster::founded(NODES_MAX + 1).is_sound()
        );
        for wrong in [
            Roster::default(),
            roster(&["n1", "n1"], &[], &[]),
            roster(&["n1"], &[], &["n1"]),
            roster(&["n1"], &["n2"], &[]),
            roster(&["n1", "../n2"], &[], &[]),
        ] {
            assert!(!wrong.is_sound(), "{wrong:?}");
        }
    }
}
