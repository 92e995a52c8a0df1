//! A command that has ended: what the tests of the command line look at.

use std::process::{Output, Stdio};

use serde_json::Value;

use super::cluster::Cluster;

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs `piazza` with nothing to read.
pub(super) fn piazza(cluster: &Cluster, arguments: &[&str]) -> Ran {
    let mut command = cluster.command();
    command.args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran::of(output)
}

impl Ran {
    pub(super) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub(super) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// The one object that it printed, on standard output or, of a failure, on standard error.
    pub(super) fn object(&self) -> Value {
        let text = if self.out.is_empty() { &self.err } else { &self.out };
        assert_eq!(text.lines().count(), 1, "{self:?}");
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All objects that it printed on standard output.
    pub(super) fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }
}
