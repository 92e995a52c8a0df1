//! A server's ties to the supervisor that started it: the lifeline, on which orders come too, and
//! the announcements.
//!
//! The mains of coordinator and node call [`adopt_lifeline`] first (when `--lifeline` is given)
//! and keep one [`Announcer`]. The supervisor reads what is announced (`supervisor::child`). A
//! server never waits for its supervisor here, and never outlives it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::{prctl, signal};
use nix::unistd;
use protocol::ids::{Epoch, Uuid};
use protocol::supervisor::Injected;
use serde::{Deserialize, Serialize};

use crate::orders::{LINE_BYTES_MAX, Order};

/// Announcements that may wait for a supervisor that does not read; more are dropped.
const QUEUE_MAX: usize = 64;
/// How long [`Announcer::fatal`] and [`Announcer::halts`] wait until that is written.
const WRITE_WAIT: Duration = Duration::from_secs(1);
/// Orders that may wait for the server; more are dropped.
const ORDERS_MAX: usize = 1_024;

/// Why a server cannot be tied to its supervisor.
#[derive(Debug, thiserror::Error)]
pub enum LifelineError {
    /// The supervisor was gone before the server had started; there is nobody to serve for.
    #[error("the supervisor that started this server is gone; start it again with `piazza up`")]
    Orphaned,
    /// The system refused; without a lifeline a server could outlive its supervisor.
    #[error("this server cannot be tied to its supervisor: {0}; start it without --lifeline")]
    System(#[from] io::Error),
}

/// Ties this process to its parent: from now on it ends at once, without clean-up, when the
/// parent ends in whatever way, even while it is stopped (SIGSTOP).
///
/// Two ties, since each alone has a hole. The parent-death signal reaches a stopped process, but
/// not one whose parent ended before it was asked for. End of input on stdin, the read end of a
/// pipe that only the parent writes, is seen also then.
///
/// Call it on the main thread, before any other thread and before reading stdin: the signal is an
/// attribute of the calling thread. What the supervisor orders on stdin comes out of what is
/// returned, which may be dropped.
pub fn adopt_lifeline() -> Result<Orders, LifelineError> {
    let parent = unistd::getppid();
    prctl::set_pdeathsig(signal::Signal::SIGKILL).map_err(io::Error::from)?;
    if unistd::getppid() != parent {
        return Err(LifelineError::Orphaned);
    }
    let (tell, orders) = mpsc::sync_channel(ORDERS_MAX);
    thread::Builder::new().name("lifeline".into()).spawn(move || wait_for_end(&tell))?;
    Ok(orders)
}

/// What the supervisor orders, as it comes.
pub type Orders = mpsc::Receiver<Order>;

/// Reads stdin until its end, then ends the process as a crash would: nothing may run that
/// believes in an orderly stop, and the store must bear a crash at any time anyway. Nothing that
/// is read on the way can hold that up.
fn wait_for_end(tell: &SyncSender<Order>) {
    read_orders(BufReader::new(io::stdin()), |order| {
        if let Err(TrySendError::Full(order)) = tell.try_send(order) {
            tracing::warn!(?order, "too many orders at once; one is dropped");
        }
    });
    let _ = signal::kill(unistd::getpid(), signal::Signal::SIGKILL);
    std::process::exit(1);
}

/// Hands on each order until the end of `source`. A line that is none, or is longer than any, is
/// passed over.
fn read_orders(mut source: impl BufRead, mut tell: impl FnMut(Order)) {
    let mut line = Vec::new();
    loop {
        line.clear();
        // What is left of an over-long line is the next one, which is no order either.
        let read = source.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
        match read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(_) => match serde_json::from_slice(&line) {
                Ok(order) => tell(order),
                Err(error) => tracing::debug!(%error, "not an order"),
            },
        }
    }
}

/// From now on a write beyond the allowed length of a file fails, and does not end the process
/// (H59): to the storage that is a full disk. To be called on a runtime's thread.
pub fn bear_file_size_limit() -> io::Result<()> {
    let raised = tokio::signal::unix::SignalKind::from_raw(signal::Signal::SIGXFSZ as i32);
    // What is installed stays when this end of it goes.
    tokio::signal::unix::signal(raised).map(drop)
}

/// Raises how many files this process may have open, as far as it may do so itself; how many that
/// is.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    // Where the system refuses after all, what was allowed before stays so.
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    Ok(if raised { hard } else { soft })
}

/// 128 bits from the system's source of randomness.
pub fn random_uuid() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(Uuid(u128::from_le_bytes(bytes)))
}

/// What a server tells its supervisor: one JSON object a line on stdout. Receivers ignore kinds
/// and fields that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ServerEvent {
    /// The server has bound its ports; these are the real ones.
    Listening {
        /// The coordinator's port for clients.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<SocketAddr>,
        /// The coordinator's port for nodes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        /// A node's port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addr: Option<SocketAddr>,
    },
    /// The coordinator serves.
    Active {
        /// Its term of office.
        epoch: Epoch,
        /// The cluster's uuid.
        cluster: Uuid,
    },
    /// The node has caught up; told again each time.
    Up,
    /// What is left of the faults that were ordered.
    Faults {
        /// The number of the last order that was taken.
        taken: u64,
        /// Those still to come.
        left: Vec<Injected>,
    },
    /// The process does nothing more until it is stopped and told to go on: it is after a step
    /// at which it was ordered to stop.
    Halts {
        /// The number of the last order that was taken.
        taken: u64,
        /// The faults still to come.
        left: Vec<Injected>,
    },
    /// The coordinator has room for a node that is no member yet.
    WantNode,
    /// This node was removed from the cluster: it need not run any more.
    Removed {
        /// Its name.
        node: String,
    },
    /// The server ends, and a restart would end the same way.
    Fatal {
        /// One sentence that says why and what to do.
        reason: String,
    },
}

/// Writes [`ServerEvent`]s to stdout from a thread of its own, so that neither a supervisor that
/// does not read nor a closed stdout can hold up or end the server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Announcer {
    queue: SyncSender<(ServerEvent, Option<SyncSender<()>>)>,
}

impl Announcer {
    /// Starts the thread that writes.
    pub fn start() -> io::Result<Self> {
        let (queue, announcements) =
            mpsc::sync_channel::<(ServerEvent, Option<SyncSender<()>>)>(QUEUE_MAX);
        thread::Builder::new().name("announcer".into()).spawn(move || {
            for (event, written) in announcements {
                if write_line(&event).is_err() {
                    return;
                }
                if let Some(written) = written {
                    let _ = written.try_send(());
                }
            }
        })?;
        Ok(Self { queue })
    }

    /// The coordinator has bound its ports.
    pub fn coordinator_listening(&self, client: SocketAddr, peer: SocketAddr) {
        self.tell(ServerEvent::Listening { client: Some(client), peer: Some(peer), addr: None });
    }

    /// The node has bound its port.
    pub fn node_listening(&self, addr: SocketAddr) {
        self.tell(ServerEvent::Listening { client: None, peer: None, addr: Some(addr) });
    }

    /// The coordinator serves.
    pub fn active(&self, epoch: Epoch, cluster: Uuid) {
        self.tell(ServerEvent::Active { epoch, cluster });
    }

    /// A node is wanted that is no member yet.
    pub fn want_node(&self) {
        self.tell(ServerEvent::WantNode);
    }

    /// A node was removed by order.
    pub fn removed(&self, node: String) {
        self.tell(ServerEvent::Removed { node });
    }

    /// The node has caught up.
    pub fn up(&self) {
        self.tell(ServerEvent::Up);
    }

    /// What is left of the faults that were ordered, through order number `taken`.
    pub(crate) fn faults(&self, taken: u64, left: Vec<Injected>) {
        self.tell(ServerEvent::Faults { taken, left });
    }

    /// The process stands still from now on, as ordered. Waits, at most 1 s, until that is
    /// written; false if it is not.
    pub(crate) fn halts(&self, taken: u64, left: Vec<Injected>) -> bool {
        self.tell_surely(ServerEvent::Halts { taken, left })
    }

    /// The server is about to end for `reason`, and should not be restarted. Waits, at most 1 s,
    /// until that is written.
    pub fn fatal(&self, reason: &str) {
        if !self.tell_surely(ServerEvent::Fatal { reason: reason.into() }) {
            tracing::warn!("the supervisor did not take the reason of this server's end");
        }
    }

    fn tell_surely(&self, event: ServerEvent) -> bool {
        let (written, wait) = mpsc::sync_channel(1);
        self.queue.try_send((event, Some(written))).is_ok() && wait.recv_timeout(WRITE_WAIT).is_ok()
    }

    fn tell(&self, event: ServerEvent) {
        if let Err(TrySendError::Full((event, _))) = self.queue.try_send((event, None)) {
            tracing::warn!(?event, "the supervisor does not read; announcement dropped");
        }
    }
}

fn write_line(event: &ServerEvent) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_lines_that_the_supervisor_knows() {
        let cases = [
            (
                r#"{"event":"listening","client":"127.0.0.1:8080","peer":"127.0.0.1:9090"}"#,
                ServerEvent::Listening {
                    client: "127.0.0.1:8080".parse().ok(),
                    peer: "127.0.0.1:9090".parse().ok(),
                    addr: None,
                },
            ),
            (
                r#"{"event":"listening","addr":"127.0.0.1:4"}"#,
                ServerEvent::Listening {
                    client: None,
                    peer: None,
                    addr: "127.0.0.1:4".parse().ok(),
                },
            ),
            (
                r#"{"event":"active","epoch":3,"cluster":"00000000000000000000000000000007"}"#,
                ServerEvent::Active { epoch: Epoch(3), cluster: Uuid(7) },
            ),
            (r#"{"event":"up"}"#, ServerEvent::Up),
            (r#"{"event":"want_node"}"#, ServerEvent::WantNode),
            (r#"{"event":"removed","node":"n2"}"#, ServerEvent::Removed { node: "n2".into() }),
            (r#"{"event":"fatal","reason":"no"}"#, ServerEvent::Fatal { reason: "no".into() }),
        ];
        for (line, event) in cases {
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
            assert_eq!(serde_json::from_str::<ServerEvent>(line).unwrap(), event);
        }
        let extended = r#"{"event":"up","later":1}"#;
        assert_eq!(serde_json::from_str::<ServerEvent>(extended).unwrap(), ServerEvent::Up);
    }

    #[test]
    fn orders_are_read_and_all_else_is_passed_over() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let go_on = r#"{"order":"go_on","later":1}"#;
        let text = format!("\n{go_on}\n{long}\n{{\"order\":\"dance\"}}\n\u{ff}\n{go_on}");
        let mut orders = Vec::new();
        read_orders(text.as_bytes(), |order| orders.push(order));
        assert_eq!(orders, [Order::GoOn, Order::GoOn]);
    }

    #[test]
    fn uuids_differ() {
        assert_ne!(random_uuid().unwrap(), random_uuid().unwrap());
    }
}
