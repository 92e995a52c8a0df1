//! A connection's limits of time, with a loop that answers nothing but a `watch`.

use protocol::limits::Limits;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::places::Places;
use super::*;
use crate::core::cache::{Cache, CacheShape};

/// For a machine that stalls; connections look around every few seconds.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A served connection with these limits, and its client's end.
async fn served(limits: Limits) -> (JoinHandle<()>, TcpStream) {
    let (core, mut events) = mpsc::channel(8);
    let shared = Shared {
        cache: Arc::new(Cache::new(CacheShape { sets: 2, ways: 2 }, 1 << 20, 1)),
        lease_until: AtomicU64::new(0),
        limits,
        cluster: OnceLock::new(),
        counters: Counters::new(),
        supervisor: None,
        hints: Arc::default(),
        lab: false,
        tokens: Arc::default(),
        budget: Budget::new(1 << 20),
        core,
    };
    tokio::spawn(async move {
        let mut client = None;
        while let Some(event) = events.recv().await {
            match (event, &client) {
                (Event::Client { replies, feed, .. }, _) => client = Some((replies, feed)),
                (Event::Core(Input::ClientGone(_)), _) => return,
                (_, Some((replies, _))) => {
                    let answer = Answer::Ok(Bytes::from_static(b",\"version\":\"1.1\"}\n"));
                    let _ = replies.send(Reply { slot: 0, answer, share: None }).await;
                }
                (_, None) => {}
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let place = Places::new(&shared.limits).take().expect("there are places");
    (tokio::spawn(serve(1, stream, Arc::new(shared), place)), client)
}

/// Contract: "Only these close it ... a timeout of section 3"
/// Contract: "idle 5 min (not for subscribers and watchers) · a line must arrive whole within 30 s · a
/// socket that takes nothing for 30 s is closed"
#[tokio::test]
async fn idle_slow_and_stalled_connections_are_closed_and_no_others() {
    let default = Limits::default();
    let times = (default.idle_ms, default.line_ms, default.stalled_ms);
    assert_eq!(times, (300_000, 30_000, 30_000));
    let idle = Limits { idle_ms: 20, ..Limits::default() };
    let (idle_end, _idle) = served(idle.clone()).await;
    let (line_end, mut slow) = served(Limits { line_ms: 20, ..Limits::default() }).await;
    slow.write_all(b"{\"op\":\"hello\"}\n{\"op\":").await.unwrap();
    let (stalled_end, stalled) = served(Limits { stalled_ms: 50, ..Limits::default() }).await;
    let (_unread, mut requests) = stalled.into_split();
    let filling = tokio::spawn(async move {
        // Until it is closed: nobody reads the answers.
        let lines = b"{\"op\":\"hello\"}\n".repeat(1_000);
        while requests.write_all(&lines).await.is_ok() {}
    });
    let (watch_end, mut watcher) = served(idle).await;
    watcher.write_all(b"{\"op\":\"watch\",\"key\":\"a\"}\n").await.unwrap();
    let mut answer = [0; 5];
    watcher.read_exact(&mut answer).await.unwrap();
    let (other_end, _other) = served(Limits::default()).await;

    for (what, end) in [("idle", idle_end), ("slow", line_end), ("stalled", stalled_end)] {
        let ended = tokio::time::timeout(WAIT_MAX, end).await;
        assert!(ended.is_ok(), "the {what} connection is still served");
    }
    filling.await.unwrap();
    // They have looked around as often as those that were closed.
    assert!(!watch_end.is_finished(), "a watcher has nothing to say, and stays");
    assert!(!other_end.is_finished(), "nobody is idle so soon");
}
