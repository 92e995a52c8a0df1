//! The servers under test: Redis with a replica, and a Piazza of two nodes.
//!
//! Used by `versus` only. Both write to directories of their own on the same disk, and are killed
//! and removed on drop. Never touches a server that it did not start.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::e2e::cluster::{Cluster, follow};
use crate::e2e::procs::{TempDir, dying_with_us, wait_for};

/// The unit of the times in /proc/PID/stat: fixed at 100 a second for programs on Linux.
const TICK_US: u64 = 10_000;
const READY_MAX: Duration = Duration::from_secs(60);
/// Redis cannot choose a port itself, and between our choice and its start another may take it.
const PORT_TRIES: usize = 5;

/// A Redis that answers a write after it is on disk, `WAIT` after its replica has it too.
pub(crate) struct Redis {
    addr: SocketAddr,
    /// Before the directories, which they still write to.
    servers: [Launched; 2],
    _dirs: [TempDir; 2],
}

/// One server's process, killed on drop. Not found by a mark, as Piazza's are: Redis overwrites its
/// environment with its title.
struct Launched(Child);

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Redis {
    /// Both servers, once the replica follows.
    pub(crate) fn start() -> Result<Self, String> {
        let dirs = [TempDir::new("redis"), TempDir::new("redis-replica")];
        let (addr, first) = launch(&dirs[0], &[])?;
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        let (_, second) = launch(&dirs[1], &["--replicaof", &host, &port])?;
        wait_for("the Redis replica to follow", READY_MAX, || {
            let info = exchange(addr, "INFO replication\r\n", |line| line.starts_with("slave0:"));
            info.filter(|line| line.contains("state=online")).map(|_| ())
        });
        Ok(Self { addr, servers: [first, second], _dirs: dirs })
    }
}

/// Something to measure.
pub(crate) trait Server {
    /// Where clients connect.
    fn addr(&self) -> SocketAddr;
    /// All its processes.
    fn pids(&self) -> Vec<i32>;

    /// User and system time that its processes, and their children that ended, took so far.
    fn cpu_us(&self) -> u64 {
        self.pids().into_iter().map(cpu_us).sum()
    }
}

impl Server for Redis {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn pids(&self) -> Vec<i32> {
        self.servers.iter().map(|server| server.0.id().cast_signed()).collect()
    }
}

impl Server for Cluster {
    fn addr(&self) -> SocketAddr {
        Self::addr(self)
    }

    fn pids(&self) -> Vec<i32> {
        Self::pids(self)
    }
}

/// A Piazza of two nodes, each key on both.
pub(crate) fn piazza() -> Cluster {
    Cluster::start("versus", 2, 2, &[])
}

fn launch(dir: &TempDir, more: &[&str]) -> Result<(SocketAddr, Launched), String> {
    for _ in 0..PORT_TRIES {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|on| on.local_addr());
        let addr = free.map_err(|error| format!("no free port: {error}"))?;
        let mut command = dying_with_us("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--repl-diskless-sync-delay", "0", "--dir"]).arg(dir.path()).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command
            .spawn()
            .map(Launched)
            .map_err(|error| format!("redis-server (Debian: apt install redis-server): {error}"))?;
        // One that cannot have the port says something else, and ends.
        let lines = follow(child.0.stdout.take().expect("it is piped"));
        while let Ok(line) = lines.recv_timeout(READY_MAX) {
            if line.to_lowercase().contains("ready to accept connections") {
                return Ok((addr, child));
            }
        }
    }
    Err("redis-server does not start".into())
}

/// The first line of the answer to `request` that is `wanted`.
fn exchange(addr: SocketAddr, request: &str, wanted: fn(&str) -> bool) -> Option<String> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    BufReader::new(stream).lines().map_while(Result::ok).find(|line| wanted(line))
}

fn cpu_us(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The program's name, in parentheses, may hold blanks. Behind it: utime, stime, cutime, cstime
    // are numbers 11 to 14.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * TICK_US
}
