//! What is asked of the supervisor of `piazza up`, which owns the servers of one machine as
//! processes, and what it answers. The lines are those of the client protocol, at another port.
//!
//! Written by clients; the supervisor reads them with its own parser. Membership is never its
//! business: see [`crate::request::Admin`].

use bytes::BufMut;
use serde::{Deserialize, Serialize};

use crate::ids::Epoch;
use crate::json;

/// What the supervisor is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcAction {
    /// Tell all processes.
    List,
    /// SIGKILL; it stays down.
    Kill(String),
    /// Ask it to end, SIGKILL after a while; it stays down.
    Stop(String),
    /// Start it where it is down; answered when it is ready.
    Start(String),
    /// End it, if it lives, and start it; answered when it is ready.
    Restart(String),
    /// SIGSTOP.
    Pause(String),
    /// SIGCONT.
    Resume(String),
    /// The last lines of its log, so many at most.
    Logs(String, u32),
    /// Order a fault, in a cluster that was started for that.
    Inject(String, Order),
    /// Stop all servers, then end.
    Shutdown,
}

/// A fault that a server is to have, as a person orders it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// `refuse_prepare`, `sync_delay_ms`, `drop_votes`, `drop_heartbeats` or `stop_after`.
    pub fault: String,
    /// How long, or after which step.
    pub value: Option<String>,
    /// How often; 0 takes it back.
    pub count: u64,
}

impl ProcAction {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Kill(_) => "kill",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Logs(..) => "logs",
            Self::Inject(..) => "inject",
            Self::Shutdown => "shutdown",
        }
    }

    /// The process that it is about.
    pub fn proc(&self) -> Option<&str> {
        match self {
            Self::Kill(proc)
            | Self::Stop(proc)
            | Self::Start(proc)
            | Self::Restart(proc)
            | Self::Pause(proc)
            | Self::Resume(proc)
            | Self::Logs(proc, _)
            | Self::Inject(proc, _) => Some(proc),
            Self::List | Self::Shutdown => None,
        }
    }

    /// Appends the request as one line, newline included.
    pub fn write(&self, timeout_ms: u32, out: &mut impl BufMut) {
        out.put_slice(b"{\"op\":\"admin\",\"action\":");
        json::write_string(out, self.name());
        if let Some(proc) = self.proc() {
            out.put_slice(b",\"proc\":");
            json::write_string(out, proc);
        }
        if let Self::Logs(_, lines) = self {
            out.put_slice(b",\"lines\":");
            json::write_number(out, u64::from(*lines));
        }
        if let Self::Inject(_, order) = self {
            order.write(out);
        }
        out.put_slice(b",\"timeout_ms\":");
        json::write_number(out, u64::from(timeout_ms));
        out.put_slice(b"}\n");
    }
}

impl Order {
    fn write(&self, out: &mut impl BufMut) {
        out.put_slice(b",\"fault\":");
        json::write_string(out, &self.fault);
        if let Some(value) = &self.value {
            out.put_slice(b",\"value\":");
            match value.parse() {
                Ok(number) => json::write_number(out, number),
                Err(_) => json::write_string(out, value),
            }
        }
        out.put_slice(b",\"count\":");
        json::write_number(out, self.count);
    }
}

/// What is answered to an action on a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcReply {
    /// The process that was signalled, or is ready.
    #[serde(default)]
    pub pid: Option<u32>,
}

/// What is answered to `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReply {
    /// The processes, the coordinator first.
    pub procs: Vec<ProcStatus>,
    /// The cluster, once known.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The coordinator's epoch, once known.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// Whether faults may be ordered.
    #[serde(default)]
    pub lab: bool,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcStatus {
    /// Its name.
    pub name: String,
    /// Its process, while it lives.
    #[serde(default)]
    pub pid: Option<u32>,
    /// `starting`, `running`, `dead`, `backoff` or `gave_up`.
    pub state: String,
    /// SIGSTOP was sent.
    #[serde(default)]
    pub paused: bool,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u64,
    /// Why it is not started again.
    #[serde(default)]
    pub reason: Option<String>,
    /// The faults that it is still to have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<Injected>,
}

/// A fault that was ordered and is still to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// As in [`Order`].
    pub fault: String,
    /// As in [`Order`]: milliseconds, or a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
    /// How often it was ordered.
    pub count: u64,
    /// How often it is still to come.
    pub left: u64,
}

/// What is answered to `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsReply {
    /// Lines, the last one last.
    pub lines: Vec<String>,
}

/// What is answered to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorHello {
    /// The server's name and version.
    pub server: String,
    /// The directory of the cluster, absolute.
    pub dir: String,
    /// The supervisor's own process.
    pub pid: u32,
    /// Where its coordinators take clients.
    #[serde(default)]
    pub clients: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_lines_that_name_their_process() {
        let line = |action: ProcAction| {
            let mut out = Vec::new();
            action.write(30_000, &mut out);
            String::from_utf8(out).unwrap()
        };
        let kill =
            "{\"op\":\"admin\",\"action\":\"kill\",\"proc\":\"n\\\"3\",\"timeout_ms\":30000}\n";
        assert_eq!(line(ProcAction::Kill("n\"3".into())), kill);
        let logs = line(ProcAction::Logs("n1".into(), 5));
        assert!(logs.contains("\"proc\":\"n1\",\"lines\":5"), "{logs}");
        assert!(!line(ProcAction::List).contains("proc"));
        let order = |value: Option<&str>| Order {
            fault: "f".into(),
            value: value.map(str::to_owned),
            count: 2,
        };
        let inject = |value| line(ProcAction::Inject("n1".into(), order(value)));
        assert!(inject(None).contains(r#""fault":"f","count":2,"#));
        assert!(inject(Some("200")).contains(r#""value":200,"count":2,"#));
        assert!(inject(Some("sync")).contains(r#""value":"sync","count":2,"#));
    }
}
