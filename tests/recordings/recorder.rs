//! A console without a screen: it subscribes at the coordinator and at the supervisor of a real
//! cluster, begins again whenever it loses one of them, and keeps all that it is fed.
//!
//! Used by `scenarios`, which also wait here for what they want to see happen. Each feed has a
//! thread of its own; both end when the recorder is dropped. One that shall fall behind has a socket
//! of its own, too, which takes little while nobody reads it.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use protocol::client::{Client, ClientError, Events, Options, Supervisor};
use protocol::event::Subscribe;
use protocol::frame::{Frame, Framer};
use protocol::reply::REPLY_BYTES_MAX;
use protocol::request::{Op, Request};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tui::console::recording::{self, Feed, Header};

use crate::e2e::cluster::Cluster;

/// Between two attempts to subscribe.
const BACK_OFF: Duration = Duration::from_millis(200);
/// How long anything is waited for, on a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// What stands for the cluster's directory in a recording.
const DIR: &str = "DIR";

/// What a socket takes unread, bytes: the system's least.
const LITTLE_BYTES: u32 = 4_096;
/// Bytes a packet: the other end keeps unsent in proportion to it.
const LITTLE_PACKET_BYTES: u32 = 536;

/// What the coordinator's feed shall do.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// What it asks for.
    pub(super) wants: Subscribe,
    /// Whether its socket takes little.
    pub(super) little: bool,
}

/// What was fed, so far.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    /// The events, and who told them, in order.
    events: Vec<(Feed, Value)>,
    /// The first of them that [`Recorder::until`] looks at.
    mark: usize,
    /// Why each feed is lost; none: it is not.
    lost: [Option<String>; 2],
}

struct Shared {
    begin: Instant,
    tape: Mutex<Tape>,
    news: Condvar,
    /// The cluster's directory, as it may be told.
    dir: String,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends, under the lock, so that times do not fall.
    fn keep(&self, write: impl FnOnce(&mut Tape, u64)) {
        let mut tape = self.lock();
        let at_us = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        write(&mut tape, at_us);
        self.news.notify_all();
    }

    fn connected(&self, feed: Feed) {
        self.keep(|tape, at_us| {
            tape.lost[feed as usize] = None;
            recording::write_connected(&mut tape.bytes, at_us, feed);
        });
    }

    /// The same reason again is no news.
    fn lost(&self, feed: Feed, error: &ClientError) {
        let why = error.to_string();
        self.keep(|tape, at_us| {
            if tape.lost[feed as usize].as_ref() != Some(&why) {
                recording::write_lost(&mut tape.bytes, at_us, feed, &why);
                tape.lost[feed as usize] = Some(why);
            }
        });
    }

    fn event(&self, feed: Feed, line: &[u8]) {
        let line = String::from_utf8(line.to_vec()).expect("events are text");
        let line = line.replace(&self.dir, DIR);
        let event = serde_json::from_str(&line).expect("events are JSON");
        self.keep(|tape, at_us| {
            recording::write_event(&mut tape.bytes, at_us, feed, line.as_bytes());
            tape.events.push((feed, event));
        });
    }
}

/// A recording under way.
pub(super) struct Recorder {
    shared: Arc<Shared>,
    orders: Option<watch::Sender<Orders>>,
    /// Whether nothing is read at present.
    holds: watch::Sender<bool>,
    feeds: Vec<JoinHandle<()>>,
}

/// What a feed is told.
#[derive(Clone)]
struct Told {
    orders: watch::Receiver<Orders>,
    holds: watch::Receiver<bool>,
}

impl Recorder {
    /// Begins, and waits for both snapshots.
    pub(super) fn start(cluster: &Cluster, orders: Orders) -> Self {
        let file = fs::read(cluster.data().join("cluster.json")).expect("it is there");
        let file: Value = serde_json::from_slice(&file).expect("it is JSON");
        let name = file["name"].as_str().expect("it has a name");
        let header = Header { version: env!("CARGO_PKG_VERSION").into(), cluster: name.into() };
        let mut tape = Tape::default();
        recording::write_header(&mut tape.bytes, &header);
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            tape: Mutex::new(tape),
            news: Condvar::new(),
            dir: cluster.data().display().to_string(),
        });
        let (sender, receiver) = watch::channel(orders);
        let (holds, held) = watch::channel(false);
        let told = Told { orders: receiver, holds: held };
        let places = [
            (Feed::Coordinator, cluster.addr().to_string()),
            (Feed::Supervisor, cluster.supervisor_addr().to_string()),
        ];
        let feeds = places.map(|(feed, address)| {
            let (shared, told) = (Arc::clone(&shared), told.clone());
            thread::spawn(move || follow(&shared, feed, &address, told))
        });
        drop(told);
        let recorder = Self { shared, orders: Some(sender), holds, feeds: feeds.into() };
        for feed in [Feed::Coordinator, Feed::Supervisor] {
            recorder
                .until("a snapshot", |from, event| from == feed && event["event"] == "snapshot");
        }
        recorder
    }

    /// Asks the coordinator for something else from now on.
    pub(super) fn want(&self, wants: Subscribe) {
        self.mark();
        let sender = self.orders.as_ref().expect("it is there until it is dropped");
        sender.send_modify(|orders| orders.wants = wants);
        self.until("a snapshot", |from, event| {
            from == Feed::Coordinator && event["event"] == "snapshot"
        });
    }

    /// Reads nothing from the coordinator until it is told to go on.
    pub(super) fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// What has come until now is not waited for any more.
    pub(super) fn mark(&self) {
        let mut tape = self.shared.lock();
        tape.mark = tape.events.len();
    }

    /// Waits for the first such event since the mark, or the beginning.
    ///
    /// # Panics
    /// If it does not come.
    pub(super) fn until(&self, what: &str, is: impl Fn(Feed, &Value) -> bool) -> Value {
        let begin = Instant::now();
        let mut tape = self.shared.lock();
        let mut next = tape.mark;
        loop {
            if let Some((_, event)) = tape.events[next..].iter().find(|(from, e)| is(*from, e)) {
                return event.clone();
            }
            next = tape.events.len();
            assert!(begin.elapsed() < WAIT_MAX, "in vain: {what}");
            let waited = self.shared.news.wait_timeout(tape, BACK_OFF);
            tape = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the time pass.
    pub(super) fn run_for(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Ends it: all of it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end();
        std::mem::take(&mut self.shared.lock().bytes)
    }

    fn end(&mut self) {
        self.orders = None;
        for feed in self.feeds.drain(..) {
            // It has told why on standard error.
            let _ = feed.join();
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where lines come from.
enum Source {
    Library(Events),
    Own(TcpStream, Framer),
}

impl Source {
    async fn next_line(&mut self) -> Result<Vec<u8>, ClientError> {
        match self {
            Self::Library(events) => events.next_line().await,
            Self::Own(stream, framer) => loop {
                match framer.next_frame() {
                    Some(Frame::Line(line)) => return Ok(line.to_vec()),
                    Some(other) => panic!("{other:?} from a server"),
                    None => {}
                }
                let read = stream.read_buf(framer.read_space()).await;
                if read.map_err(ClientError::Lost)? == 0 {
                    let end = io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed");
                    return Err(ClientError::Lost(end));
                }
            },
        }
    }
}

/// Subscribes, keeps what comes, and begins again; until the recorder goes.
fn follow(shared: &Shared, feed: Feed, address: &str, mut told: Told) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        loop {
            let orders = told.orders.borrow_and_update().clone();
            let mut changes = told.orders.clone();
            // What a supervisor is asked for never changes.
            let mut changed = async || loop {
                let changed = changes.changed().await;
                if feed == Feed::Coordinator || changed.is_err() {
                    return changed.is_ok();
                }
            };
            tokio::select! {
                error = listen(shared, feed, address, &orders, &mut told.holds) => {
                    shared.lost(feed, &error);
                }
                goes_on = changed() => if goes_on { continue } else { return },
            }
            tokio::select! {
                () = tokio::time::sleep(BACK_OFF) => {}
                goes_on = changed() => if !goes_on { return },
            }
        }
    });
}

/// One subscription, to its end.
async fn listen(
    shared: &Shared,
    feed: Feed,
    address: &str,
    orders: &Orders,
    holds: &mut watch::Receiver<bool>,
) -> ClientError {
    let subscribed = match feed {
        Feed::Coordinator if orders.little => with_little(address, &orders.wants).await,
        Feed::Coordinator => at_coordinator(address, orders.wants.clone()).await,
        Feed::Supervisor => at_supervisor(address).await,
    };
    let mut source = match subscribed {
        Ok(source) => source,
        Err(error) => return error,
    };
    shared.connected(feed);
    loop {
        if feed == Feed::Coordinator && holds.wait_for(|holds| !holds).await.is_err() {
            // The recorder is gone; so is this, at once.
            std::future::pending::<()>().await;
        }
        match source.next_line().await {
            Ok(line) => shared.event(feed, &line),
            Err(error) => return error,
        }
    }
}

async fn at_coordinator(address: &str, wants: Subscribe) -> Result<Source, ClientError> {
    let client = Client::connect(address, Options::default()).await?;
    client.subscribe(wants).await.map(Source::Library)
}

async fn at_supervisor(address: &str) -> Result<Source, ClientError> {
    let supervisor = Supervisor::connect(address, WAIT_MAX / 4, None).await?;
    supervisor.subscribe().await.map(Source::Library)
}

async fn with_little(address: &str, wants: &Subscribe) -> Result<Source, ClientError> {
    let address: SocketAddr = address.parse().expect("the cluster's own");
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(LITTLE_BYTES)?;
        socket2::SockRef::from(&socket).set_tcp_mss(LITTLE_PACKET_BYTES)?;
        let mut stream = socket.connect(address).await?;
        let op = Op::Subscribe(Box::new(wants.clone()));
        let mut line = Vec::new();
        Request { id: None, timeout_ms: None, once: None, op }.write(&mut line);
        stream.write_all(&line).await?;
        Ok(stream)
    };
    let stream = connect.await.map_err(ClientError::Lost)?;
    let mut source = Source::Own(stream, Framer::new(REPLY_BYTES_MAX));
    let reply = source.next_line().await?;
    assert!(reply.starts_with(b"{\"ok\":true"), "{}", String::from_utf8_lossy(&reply));
    Ok(source)
}
