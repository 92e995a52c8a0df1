//! A console without a screen: it subscribes at the coordinator and at the supervisor of a real
//! cluster, begins again whenever it loses one of them, and keeps all that it is fed.
//!
//! Used by `scenarios`, which also wait here for what they want to see happen. Each feed has a
//! thread of its own; both end when the recorder is dropped.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::client::{Client, ClientError, Events, Options, Supervisor};
use protocol::event::Subscribe;
use serde_json::Value;
use tokio::sync::watch;
use tui::console::recording::{self, Feed, Header};

use crate::e2e::cluster::Cluster;

/// Between two attempts to subscribe.
const BACK_OFF: Duration = Duration::from_millis(200);
/// How long anything is waited for, on a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// What stands for the cluster's directory in a recording.
const DIR: &str = "DIR";

/// What was fed, so far.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    /// The events, and who told them, in order.
    events: Vec<(Feed, Value)>,
    /// The first of them that [`Recorder::until`] has not looked at.
    unseen: usize,
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
    wants: Option<watch::Sender<Subscribe>>,
    feeds: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Begins, and waits for both snapshots.
    pub(super) fn start(cluster: &Cluster, wants: Subscribe) -> Self {
        let status = cluster.status().expect("the cluster is ready");
        let name = status["cluster"]["name"].as_str().expect("it has a name");
        let header = Header { version: env!("CARGO_PKG_VERSION").into(), cluster: name.into() };
        let mut tape = Tape::default();
        recording::write_header(&mut tape.bytes, &header);
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            tape: Mutex::new(tape),
            news: Condvar::new(),
            dir: cluster.data().display().to_string(),
        });
        let (sender, receiver) = watch::channel(wants);
        let places = [
            (Feed::Coordinator, cluster.addr().to_string()),
            (Feed::Supervisor, cluster.supervisor_addr().to_string()),
        ];
        let feeds = places.map(|(feed, address)| {
            let (shared, wants) = (Arc::clone(&shared), receiver.clone());
            thread::spawn(move || follow(&shared, feed, &address, wants))
        });
        let recorder = Self { shared, wants: Some(sender), feeds: feeds.into() };
        for feed in [Feed::Coordinator, Feed::Supervisor] {
            recorder
                .until("a snapshot", |from, event| from == feed && event["event"] == "snapshot");
            recorder.shared.lock().unseen = 0;
        }
        recorder
    }

    /// Asks the coordinator for something else from now on.
    pub(super) fn want(&self, wants: Subscribe) {
        let sender = self.wants.as_ref().expect("it is there until it is dropped");
        sender.send(wants).expect("the feeds listen");
    }

    /// Waits for an event that was not looked at yet.
    ///
    /// # Panics
    /// If it does not come.
    pub(super) fn until(&self, what: &str, is: impl Fn(Feed, &Value) -> bool) -> Value {
        let begin = Instant::now();
        let mut tape = self.shared.lock();
        loop {
            while tape.unseen < tape.events.len() {
                let (feed, event) = &tape.events[tape.unseen];
                if is(*feed, event) {
                    let event = event.clone();
                    tape.unseen += 1;
                    return event;
                }
                tape.unseen += 1;
            }
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
        self.wants = None;
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

/// Subscribes, keeps what comes, and begins again; until the recorder goes.
fn follow(shared: &Shared, feed: Feed, address: &str, mut wants: watch::Receiver<Subscribe>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        loop {
            let asked = wants.borrow_and_update().clone();
            let listened = tokio::select! {
                error = listen(shared, feed, address, asked) => Some(error),
                changed = wants.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return,
                },
            };
            if let Some(error) = listened {
                shared.lost(feed, &error);
                tokio::select! {
                    () = tokio::time::sleep(BACK_OFF) => {}
                    changed = wants.changed() => if changed.is_err() { return },
                }
            }
        }
    });
}

/// One subscription, to its end.
async fn listen(shared: &Shared, feed: Feed, address: &str, wants: Subscribe) -> ClientError {
    let subscribed = match feed {
        Feed::Coordinator => at_coordinator(address, wants).await,
        Feed::Supervisor => at_supervisor(address).await,
    };
    let mut events = match subscribed {
        Ok(events) => events,
        Err(error) => return error,
    };
    shared.connected(feed);
    loop {
        match events.next_line().await {
            Ok(line) => shared.event(feed, &line),
            Err(error) => return error,
        }
    }
}

async fn at_coordinator(address: &str, wants: Subscribe) -> Result<Events, ClientError> {
    let client = Client::connect(address, Options::default()).await?;
    client.subscribe(wants).await
}

async fn at_supervisor(address: &str) -> Result<Events, ClientError> {
    let supervisor = Supervisor::connect(address, WAIT_MAX / 4, None).await?;
    supervisor.subscribe().await
}
