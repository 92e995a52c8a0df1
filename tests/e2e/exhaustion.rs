//! Clients that take all they can get: the servers' memory stays bounded, everybody else is served,
//! and nothing has to be restarted.
//!
//! Prints what it measured; only what must hold on every machine is asserted. Longer, and with more:
//! `PIAZZA_EXHAUSTION=full cargo test exhaustion -- --nocapture`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::Cluster;
use super::procs::wait_for;
use super::wire::{Conn, Reply, ask};

/// What all clients together may make the coordinator hold, MiB.
const BUDGET_MIB: u64 = 64;
/// What it may have beyond that and its connections' free shares: its cache, queues, allocator, MiB.
const SLACK_MIB: u64 = 300;
/// Between two requests of the client that is watched.
const PACE: Duration = Duration::from_millis(2);
/// Fewest of its requests while something goes on, or is still held.
const OPS_MIN: usize = 400;
/// What the buffer of a line may have before it counts, KiB.
const FREE_KIB: usize = 128;
const LARGE_BYTES: usize = 512 << 10;
const NARROW_BYTES: u32 = 64 << 10;
/// How long a closed connection may hold anything, on a machine that stalls.
const HELD_MAX: Duration = Duration::from_secs(60);

/// How much of everything.
struct Much {
    slow: usize,
    slow_seconds: u64,
    long_lines: usize,
    deaf: usize,
    parked: usize,
}

impl Much {
    fn wanted() -> Self {
        if std::env::var_os("PIAZZA_EXHAUSTION").is_some_and(|much| much == "full") {
            Self { slow: 1_000, slow_seconds: 25, long_lines: 2_000, deaf: 50, parked: 10_000 }
        } else {
            Self { slow: 1_000, slow_seconds: 3, long_lines: 700, deaf: 10, parked: 10_000 }
        }
    }
}

/// A client that asks one thing after the other and must be served all the time.
struct Watched {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Watched {
    fn start(addr: SocketAddr, key: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, key) = (Arc::clone(&stop), key.to_owned());
        let thread = thread::spawn(move || {
            let mut conn = Conn::open(addr).expect("there is a place");
            let mut took = Vec::new();
            while took.len() < OPS_MIN || !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let put = conn.put(&key, "v");
                assert!(matches!(put, Reply::Ok(_)), "{put:?}");
                took.push(begin.elapsed());
                let begin = Instant::now();
                assert!(matches!(conn.get(&key), Reply::Ok(_)));
                took.push(begin.elapsed());
                thread::sleep(PACE);
            }
            took
        });
        Self { stop, thread }
    }

    /// Its operations, with the slowest of a hundred, in words.
    fn end(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().expect("it was served");
        took.sort();
        let p99 = took[took.len() * 99 / 100];
        format!("{} operations of another client, p99 {p99:?}", took.len())
    }
}

/// Resident memory of a process, MiB.
fn resident_mib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    kib.expect("a number") >> 10
}

/// Writes as much of `bytes` as the server takes.
fn pour(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_nonblocking(true).expect("a socket");
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("the server closed it after {sent} bytes: {error}"),
        }
    }
    sent
}

fn connected(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| TcpStream::connect(addr).expect("there is a place");
    (0..count).map(connect).collect()
}

/// A thousand lines, a byte a second each.
fn slow(addr: SocketAddr, much: &Much) -> usize {
    let mut streams = connected(addr, much.slow);
    let line = b"{\"op\":\"put\",\"key\":\"slow\",\"value\":\"and slower";
    for second in 0..much.slow_seconds as usize {
        for stream in &mut streams {
            stream.write_all(&line[second..=second]).expect("it is not closed yet");
        }
        thread::sleep(Duration::from_secs(1));
    }
    much.slow * much.slow_seconds as usize
}

/// Lines that are nearly as long as they may be, and never end.
fn long_lines(addr: SocketAddr, much: &Much, held: &mut Vec<TcpStream>) -> usize {
    let line = [b"{\"op\":\"put\",\"key\":\"long\",\"value\":\"", &[b'x'; 1 << 20][..]].concat();
    let mut streams = connected(addr, much.long_lines);
    let mut sent = 0;
    for round in 0..20 {
        // In turns, so that all of them are under way at once.
        let part = round * line.len() / 20..(round + 1) * line.len() / 20;
        sent += streams.iter_mut().map(|stream| pour(stream, &line[part.clone()])).sum::<usize>();
    }
    held.append(&mut streams);
    sent
}

/// Readers that never read: each asks for far more than it could take.
fn deaf(addr: SocketAddr, much: &Much, held: &mut Vec<TcpStream>) -> usize {
    let lines = b"{\"op\":\"get\",\"key\":\"large\"}\n".repeat(1_024);
    let mut streams = connected(addr, much.deaf);
    let sent = streams.iter_mut().map(|stream| pour(stream, &lines)).sum();
    held.append(&mut streams);
    sent
}

/// Updates of a node that stands still: all of them wait, and all are answered.
fn parked(cluster: &Cluster, victim: &str, keys: &[String], much: &Much) -> usize {
    assert_eq!(cluster.admin("pause", victim)["ok"], true);
    let mut conns: Vec<Conn> =
        (0..20).map(|_| Conn::open(cluster.addr()).expect("a place")).collect();
    let each = much.parked / conns.len();
    for (number, conn) in conns.iter_mut().enumerate() {
        let put = |n: usize| {
            let key = &keys[n % keys.len()];
            format!("{}\n", json!({"op": "put", "key": key, "value": format!("{number}-{n}")}))
        };
        let lines: String = (0..each).map(put).collect();
        conn.send(lines).expect("it is open");
    }
    assert_eq!(cluster.admin("resume", victim)["ok"], true);
    let mut answers = 0;
    for conn in &mut conns {
        for _ in 0..each {
            let answer = conn.receive().expect("every request is answered");
            let known = ["replica_down", "unknown_outcome", "overloaded", "timeout"];
            let code = answer["code"].as_str().unwrap_or_default();
            assert!(answer["ok"] == true || known.contains(&code), "{answer}");
            answers += 1;
        }
    }
    answers
}

#[test]
fn exhaustion() {
    let much = Much::wanted();
    let budget = format!("clients_bytes={}", BUDGET_MIB << 20);
    let cluster = Cluster::start("exhaustion", 3, 2, &["--limit", &budget]);
    cluster.wait_healthy(None);
    let addr = cluster.addr();
    let ring = cluster.ring();
    let victim = ring.names().pop_last().expect("a node");
    let all = || (0..10_000).map(|n| format!("key:{n}"));
    let mut free = all().filter(|key| !ring.holders(key).contains(&victim));
    let hit: Vec<String> =
        all().filter(|key| ring.holders(key).contains(&victim)).take(500).collect();
    let key = free.next().expect("a key that the victim has no copy of");
    let large = json!({"op": "put", "key": "large", "value": "l".repeat(LARGE_BYTES)});
    assert_eq!(ask(addr, &large).expect("an answer")["ok"], true);
    let pids = cluster.pids();
    let pid = cluster.pid("coordinator").expect("it runs");
    let before = resident_mib(pid);
    let mut held = Vec::new();
    let mut phase = |what: &str, run: &mut dyn FnMut(&mut Vec<TcpStream>) -> usize| {
        let watched = Watched::start(addr, &key);
        let amount = run(&mut held);
        let told = watched.end();
        let now = resident_mib(pid);
        println!("exhaustion: {what} ({amount}): coordinator {before} -> {now} MiB; {told}");
        let free_shares = (held.len() * (FREE_KIB << 10)) as u64 >> 20;
        let most = before + BUDGET_MIB + free_shares + SLACK_MIB;
        assert!(now <= most, "{what}: {now} MiB, at most {most}");
    };
    phase("nothing", &mut |_| 0);
    phase("a byte a second", &mut |_| slow(addr, &much));
    phase("long lines", &mut |held| long_lines(addr, &much, held));
    phase("readers that never read", &mut |held| deaf(addr, &much, held));
    phase("parked operations", &mut |_| parked(&cluster, &victim, &hit, &much));
    drop(held);
    cluster.wait_healthy(None);
    assert_eq!(cluster.pids(), pids, "nothing was restarted");
}

/// A connection for which the system keeps little: else it takes more than a watch may be behind.
fn narrow(addr: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let stream = runtime.expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        socket.connect(addr).await?.into_std()
    });
    let stream = stream.expect("there is a place");
    stream.set_nonblocking(false).expect("a socket");
    stream
}

/// Watchers that never read hold what they are behind, of the same bytes that long replies are made
/// of.
#[test]
fn exhaustion_by_watchers_that_never_read() {
    const BYTES_MAX: usize = 32 << 20;
    /// With 4 MiB each, more than that.
    const DEAF: usize = 12;
    /// More than sockets take, and then that.
    const ROUNDS_MAX: usize = 60;
    let budget = format!("clients_bytes={BYTES_MAX}");
    let more = ["--limit", &budget, "--storage", "memory"];
    let cluster = Cluster::start("backlog", 2, 1, &more);
    let addr = cluster.addr();
    let mut conn = Conn::open(addr).expect("a place");
    // As long as may be: the system takes some lines, and the fewer there are in it the sooner.
    let value = "v".repeat(1 << 20);
    assert!(matches!(conn.put("large", &value), Reply::Ok(_)));
    let mut deaf: Vec<TcpStream> = (0..DEAF).map(|_| narrow(addr)).collect();
    for (number, stream) in deaf.iter_mut().enumerate() {
        let watch = json!({"op": "watch", "key": format!("watched:{number}")});
        stream.write_all(format!("{watch}\n").as_bytes()).expect("it is open");
    }
    // A `get` may be answered out of the cache, which holds its bytes anyhow.
    let scan = json!({"op": "scan", "prefix": "large", "values": true});
    let get = || ask(addr, &scan).expect("an answer");
    // Asked after each change: the one that passes the budget ends a watch, and all that it held
    // is free again.
    let refused = (0..ROUNDS_MAX * DEAF).find(|change| {
        let key = format!("watched:{}", change % DEAF);
        assert!(matches!(conn.put(&key, &value), Reply::Ok(_)));
        let answer = get();
        assert!(answer["ok"] == true || answer["code"] == "overloaded", "{answer}");
        answer["ok"] == false
    });
    let changes = refused.expect("what the watchers do not take is counted");
    println!("exhaustion: a reply is refused after {changes} changes for {DEAF} watchers");
    drop(deaf);
    wait_for("their share to come back", HELD_MAX, || (get()["ok"] == true).then_some(()));
}
