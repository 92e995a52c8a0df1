//! Events of whoever owns processes: what became of them, what administrators asked for, and the
//! faults that were ordered for teaching.

use serde::{Deserialize, Serialize};

use super::Admin;
use crate::supervisor::ProcStatus;

/// How things are at a supervisor when a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcsSnapshot {
    /// The processes, the coordinator first.
    pub procs: Vec<ProcStatus>,
    /// The cluster, once known.
    pub cluster: Option<String>,
    /// Whether faults may be ordered.
    pub lab: bool,
    /// What administrators did lately at this supervisor, the newest last.
    pub admin_recent: Vec<Admin>,
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcState {
    /// It was started.
    Spawned,
    /// It ended, by itself or because it was asked to; or it could not be started.
    Exited,
    /// The supervisor killed it.
    Killed,
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// It is started again after a wait.
    Backoff,
    /// It is not started again.
    GaveUp,
    /// One that this version does not know.
    #[serde(other)]
    Other,
}

/// Something became of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proc {
    /// Its name.
    pub name: String,
    /// The process, if there is or was one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// What became of it.
    pub state: ProcState,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Its exit code, unless a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Who asked for it; none: nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// What it said last, where it is given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

/// A fault was ordered, or met: what is left of it. Only in a cluster that was started for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inject {
    /// The process.
    pub proc: String,
    /// `refuse_prepare`, `sync_delay_ms`, `drop_votes`, `drop_heartbeats` or `stop_after`.
    pub fault: String,
    /// How long, or after which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// How often it was ordered.
    pub count: u64,
    /// How often it is still to come.
    pub left: u64,
    /// Who ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}
