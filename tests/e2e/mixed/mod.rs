//! Every kind of operation at once, by the project's own client library, while servers are killed
//! and paused and connections are cut.
//!
//! What must hold: counters count exactly what was acknowledged; transfers keep their sum, in every
//! `mget`; what was acknowledged is there at the end and what was refused is not; an update under
//! one name happens once, however often it is sent; a watch tells each change, in order, and
//! nothing that was refused; the history of every key has an order; all copies of a key are equal.
//!
//! * `book`: what the clients were told;
//! * `clients`, `bank`, `readers`: the clients, 16 connections in all; half of them by way of
//!   `cutter`, which cuts connections in the midst of requests;
//! * `repeats`: two more, on raw sockets, that repeat updates under one name;
//! * `nemesis`: what kills and pauses;
//! * `judge`: what must hold of each kind of key, when all is over.
//!
//! By hand: `PIAZZA_MIXED_KILLS=300 cargo test mixed -- --nocapture`.

mod bank;
mod book;
mod clients;
mod cutter;
mod judge;
mod nemesis;
mod readers;
mod repeats;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use protocol::client::{Client, Options};
use protocol::ids::Key;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::sleep;

use self::book::{Book, Closing};
use self::clients::{Worker, key};
use self::cutter::Cutter;
use self::judge::judge;
use self::nemesis::Nemesis;
use self::readers::Watched;
use self::repeats::Repeater;
use super::cluster::{Cluster, Ring};
use super::copies;
use super::procs::wait_for;
use crate::check::durable::Finals;
use crate::check::seeded::{Seeded, from_env, number_from_env};

/// Clients of each kind: 16 connections in all.
const COUNTERS: u32 = 3;
const NAMELESS_COUNTERS: u32 = 2;
const COLLECTORS: u32 = 2;
const WRITERS: u32 = 2;
const BANKERS: u32 = 3;
const AUDITORS: u32 = 2;
const REPEATERS: u32 = 2;
/// Counters that several clients share, by whether their updates have a name.
const COUNTED_KEYS: u64 = 3;
/// How often each kind of operation must have succeeded for the run to show anything.
const OK_MIN: [(&str, u64); 14] = [
    ("get", 300),
    ("mget", 100),
    ("scan page", 100),
    ("watch line", 300),
    ("count", 50),
    ("nameless count", 20),
    ("append", 20),
    ("put if absent", 20),
    ("put", 20),
    ("update", 10),
    ("del", 10),
    ("transfer", 20),
    ("repeated put", 20),
    ("repeated cas", 20),
];
/// So small that reads find many keys in it, and many not.
const CACHE: &str = "8x2";
/// For a machine that stalls.
const ENOUGH_MAX: Duration = Duration::from_secs(120);
/// What is slept to see how much longer it takes.
const TICK: Duration = Duration::from_millis(10);
/// The number of the client that reads last, in histories.
const LAST_READER: u32 = 999;
/// How long all clients may take to be at work.
const AT_WORK_MAX: Duration = Duration::from_secs(60);
/// How long the last decisions may take to reach every node.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// What the clients have seen.
struct Work {
    watches: Vec<Watched>,
    cuts: u64,
    /// How long this process stood still at most: of a longer stall the cluster is innocent.
    stood: Duration,
}

#[test]
fn mixed() {
    let (seed, repeat) = from_env("PIAZZA_MIXED_SEED");
    let kills = number_from_env("PIAZZA_MIXED_KILLS", 20);
    let mut random = Seeded::new(seed);
    let replicas = 2 + random.below(2) as usize;
    println!("mixed: {kills} kills, {replicas} copies of each key, {repeat}");
    let begin = Instant::now();
    let mut cluster = Cluster::start("mixed", 5, replicas, &["--cache", CACHE]);
    cluster.wait_healthy(None);
    let ring = cluster.ring();
    let accounts = bank::accounts(&ring);
    let book = Book::new();
    let _closing = Closing(book.clone());

    let (at_work, is_at_work) = mpsc::channel();
    let work = {
        let (addr, book, random) = (cluster.addr(), book.clone(), Seeded::new(random.bits()));
        let accounts = accounts.clone();
        thread::spawn(move || {
            let _closing = Closing(book.clone());
            runtime().block_on(work(addr, book, random, accounts, at_work))
        })
    };
    let repeaters: Vec<_> = (0..REPEATERS)
        .map(|number| {
            let random = Seeded::new(random.bits());
            let repeater = Repeater::new(100 + number, cluster.addr(), book.clone(), random);
            thread::spawn(move || repeater.run())
        })
        .collect();
    // So there is a coordinator for each to connect to. One that fails drops the sender, and says so
    // where it is joined.
    let waited = is_at_work.recv_timeout(AT_WORK_MAX);
    assert_ne!(waited, Err(RecvTimeoutError::Timeout), "the clients are not at work; {repeat}");
    let deeds = Nemesis::new(&cluster, &book, Seeded::new(random.bits())).run(kills);
    wait_for("enough of each kind of operation", ENOUGH_MAX, || {
        let entries = book.entries();
        let enough = OK_MIN.iter().all(|(kind, min)| entries.counted(kind, "ok") >= *min);
        (enough || !book.is_open()).then_some(())
    });
    book.close();
    let repeated =
        repeaters.into_iter().map(|thread| thread.join().is_ok()).fold(true, |a, b| a & b);
    let work = work.join().ok().filter(|_| repeated);
    let work = work.unwrap_or_else(|| panic!("a client has failed, see above; {repeat}"));
    let killed = begin.elapsed();

    let finals = last_reads(cluster.addr(), &book, &accounts);
    let mut entries = book.entries();
    print!("{entries}");
    println!("  {deeds:?}, {} connections cut, {killed:.1?}", work.cuts);
    let (stall, stood) = (entries.longest_stall(), work.stood);
    println!("  longest time without a success: {stall:.1?}; the tests stood for {stood:.1?}");
    if let Err(wrong) = judge(&mut entries, &finals, &work.watches) {
        panic!("{repeat}: {wrong}");
    }
    let keys = settle_and_compare(&mut cluster, &ring);
    let keys = keys.unwrap_or_else(|wrong| panic!("{repeat}: {wrong}"));
    println!("  all copies of {keys} keys are equal; {:.1?} in all", begin.elapsed());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// All clients of the library, until the book is closed; says when they are `at_work`.
async fn work(
    addr: SocketAddr,
    book: Arc<Book>,
    mut random: Seeded,
    accounts: Vec<Key>,
    at_work: mpsc::Sender<()>,
) -> Work {
    let cutter = Cutter::start(addr, random.bits()).await;
    let first = connect(addr, &Options::default()).await;
    bank::open(&book, &first, &accounts).await;
    let mut number = 0;
    let mut worker = async |options: Options| {
        number += 1;
        let addr = if number % 2 == 0 { addr } else { cutter.addr };
        let client = connect(addr, &options).await;
        let (book, random) = (book.clone(), Seeded::new(random.bits()));
        Worker { number, addr, options, client, book, random }
    };
    let named = Options::default;
    let nameless = || Options { repeat_for: Duration::ZERO, ..Options::default() };
    let keys = |prefix: &str| -> Vec<Key> {
        (0..COUNTED_KEYS).map(|number| key(&format!("{prefix}/{number}"))).collect()
    };
    let clock = tokio::spawn(stood_still(book.clone()));
    let mut tasks = JoinSet::new();
    for _ in 0..COUNTERS {
        tasks.spawn(worker(named()).await.counter("count", keys("count")));
    }
    for _ in 0..COLLECTORS {
        tasks.spawn(worker(named()).await.collector());
    }
    for _ in 0..WRITERS {
        tasks.spawn(worker(named()).await.writer());
    }
    for _ in 0..BANKERS {
        tasks.spawn(worker(named()).await.banker(accounts.clone()));
    }
    for _ in 0..AUDITORS {
        tasks.spawn(worker(named()).await.auditor(accounts.clone()));
    }
    tasks.spawn(worker(named()).await.scanner());
    let watcher: JoinHandle<Vec<Watched>> = tokio::spawn(worker(named()).await.watcher());
    for _ in 0..NAMELESS_COUNTERS {
        tasks.spawn(worker(nameless()).await.counter("nameless count", keys("nameless")));
    }
    at_work.send(()).expect("it is waited for");
    // What a client that failed has to say is said.
    let failed = |error: JoinError| resume_unwind(error.into_panic());
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(failed);
    }
    let watches = watcher.await.unwrap_or_else(|error| resume_unwind(error.into_panic()));
    let stood = clock.await.unwrap_or_default();
    Work { watches, cuts: cutter.cuts.load(Relaxed), stood }
}

/// The longest time for which nothing ran here, until the book is closed: each sleep waits for
/// nothing, and shows a stall by its length.
async fn stood_still(book: Arc<Book>) -> Duration {
    let mut longest = Duration::ZERO;
    while book.is_open() {
        let begin = Instant::now();
        sleep(TICK).await;
        longest = longest.max(begin.elapsed().saturating_sub(TICK));
    }
    longest
}

/// A connection, while nobody kills the coordinator.
async fn connect(addr: SocketAddr, options: &Options) -> Client {
    let client = Client::connect(&addr.to_string(), options.clone()).await;
    client.unwrap_or_else(|error| panic!("{addr}: {error}"))
}

/// What all keys hold, now that nobody writes any more.
fn last_reads(addr: SocketAddr, book: &Book, accounts: &[Key]) -> Finals {
    runtime().block_on(async {
        let client = connect(addr, &Options::default()).await;
        let asked = book.ask("last read", LAST_READER);
        let found = client.mget(accounts).await.expect("the cluster is whole");
        let pairs = accounts.iter().zip(&found);
        let held: Vec<_> =
            pairs.map(|(key, found)| book.read(asked, key.as_str(), found.as_ref())).collect();
        bank::check_sum(book, accounts, &held);
        readers::read_all(book, &client).await
    })
}

/// Stops the cluster once every node knows all decisions, and compares what the nodes have.
fn settle_and_compare(cluster: &mut Cluster, ring: &Ring) -> Result<usize, String> {
    wait_for("every update decided on every node", SETTLED_MAX, || {
        let status = cluster.status()?;
        let nodes = status["nodes"].as_array()?;
        nodes.iter().all(|node| node["undecided"] == 0).then_some(())
    });
    cluster.stop();
    copies::compare(&cluster.data(), ring)
}
