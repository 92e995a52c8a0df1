//! The loop in virtual time, with feeds and a terminal that are not real: it keeps up, or says what
//! it left out; keys are not kept waiting; nothing is drawn where nothing changed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use protocol::event::{Body, Event, Heartbeat, Stats};
use protocol::ids::{Epoch, Incarnation, NodeName};
use protocol::status::NodeFigures;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::feeds::{self, QUEUE, tell_or_count};
use super::turn::Turns;
use super::*;
use crate::commands::Catalog;
use crate::console::model::feed::{Fed, FeedState};
use crate::console::state::Settings;

/// What was drawn, and when.
#[derive(Default)]
struct Drawn {
    at: Vec<Instant>,
    screens: Vec<String>,
    dropped: Vec<u64>,
    events: u64,
}

/// A terminal that keeps what is drawn.
struct Kept(Rc<RefCell<Drawn>>);

impl Surface for Kept {
    fn draw(&mut self, console: &Console) -> io::Result<()> {
        let mut drawn = self.0.borrow_mut();
        drawn.at.push(Instant::now());
        drawn.screens.push(crate::console::testing::frame(console, 120, 36));
        drawn.dropped.push(console.model.coordinator_feed.dropped());
        drawn.events = console.model.coordinator_feed.events;
        Ok(())
    }

    fn size(&self) -> (u16, u16) {
        (120, 36)
    }
}

/// A prompt that prints what is typed, and goes on until it is interrupted.
struct Echo;

impl Commands for Echo {
    fn catalog(&self) -> Catalog {
        Catalog::default()
    }

    fn run(&mut self, line: &str, printed: mpsc::Sender<Vec<u8>>) -> Running {
        let line = line.to_owned();
        Box::pin(async move {
            let _ = printed.send(format!("you said {line}\n").into_bytes()).await;
            std::future::pending::<()>().await;
        })
    }
}

fn event(seq: u64, body: Body) -> Box<Event> {
    let (source, epoch) = ("coordinator".to_owned(), Epoch(1));
    let at_us = seq * 1_000;
    Box::new(Event { seq, source, epoch, at_us, wall_ms: 0, incident: None, cause: None, body })
}

fn heartbeat(seq: u64) -> Box<Event> {
    let figures = NodeFigures { interval_ms: 500, ..NodeFigures::default() };
    let node = NodeName::new(&format!("n{}", seq % 5 + 1)).unwrap();
    let beat = Heartbeat { node, incarnation: Incarnation(1), hb_seq: seq, delay_us: seq, figures };
    event(seq, Body::Heartbeat(beat))
}

/// Runs the loop beside `test`, which has its inputs and its feed.
async fn beside<T, F>(
    test: impl FnOnce(mpsc::Sender<io::Result<Did>>, mpsc::Sender<feeds::Told>) -> F,
) -> (T, Rc<RefCell<Drawn>>)
where
    F: Future<Output = T>,
{
    let (result, drawn, _) = beside_with(None, test).await;
    (result, drawn)
}

/// The same with what finds the coordinator; where that was looked for in the end, too.
async fn beside_with<T, F>(
    find: Option<Find>,
    test: impl FnOnce(mpsc::Sender<io::Result<Did>>, mpsc::Sender<feeds::Told>) -> F,
) -> (T, Rc<RefCell<Drawn>>, Option<String>)
where
    F: Future<Output = T>,
{
    let drawn: Rc<RefCell<Drawn>> = Rc::default();
    let mut surface = Kept(drawn.clone());
    let console = Console::new(Settings::default());
    let (keys, inputs) = mpsc::channel(64);
    let (to, fed) = mpsc::channel(QUEUE);
    let (wants, _wants) = watch::channel(console.subscribe());
    let (coordinator, sought) = watch::channel(Some("127.0.0.1:1".to_owned()));
    let (supervisor, _supervisor) = watch::channel(None);
    let (hurry, _hurry) = watch::channel(0);
    let hands = deeds::Hands::new(coordinator.subscribe(), None, "test".into());
    let told = Told { wants, coordinator, supervisor, hurry, find };
    let mut echo = Echo;
    let turns = Turns::new(console, &mut surface, &mut echo, hands, told, JoinSet::new(), None);
    let ends = keys.clone();
    let test = async {
        let result = test(keys, to).await;
        ends.send(Ok(Did::Ended(End::Left))).await.unwrap();
        result
    };
    let (result, ended) = tokio::join!(test, turns.run(inputs, fed));
    assert_eq!(ended.unwrap(), End::Left);
    let sought = sought.borrow().clone();
    (result, drawn, sought)
}

/// 50,000 events a second for ten seconds: at most twenty pictures a second and one more a key, all
/// that was not left out is shown, and what was left out is counted to the last one.
#[tokio::test(start_paused = true)]
async fn a_flood_is_drawn_at_leisure_and_counted() {
    const SECONDS: u64 = 10;
    const A_MILLISECOND: u64 = 50;
    let (left_out, drawn) = beside(|keys, to| async move {
        let mut dropped = 0;
        let mut left_out = 0;
        for ms in 0..SECONDS * 1_000 {
            for n in 0..A_MILLISECOND {
                let event = heartbeat(ms * A_MILLISECOND + n + 1);
                let before = dropped;
                tell_or_count(&to, FeedName::Coordinator, event, None, &mut dropped).await.unwrap();
                left_out += u64::from(dropped > before);
            }
            if ms % 1_000 == 500 {
                keys.send(Ok(Did::Key(Key::Tab))).await.unwrap();
            }
            sleep(Duration::from_millis(1)).await;
        }
        // What comes last says what was left out before it.
        let last = event(SECONDS * 1_000 * A_MILLISECOND + 1, Body::Stats(Stats::default()));
        while to.capacity() < QUEUE {
            sleep(Duration::from_millis(1)).await;
        }
        tell_or_count(&to, FeedName::Coordinator, last, None, &mut dropped).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        left_out
    })
    .await;
    let drawn = drawn.borrow();
    assert!(drawn.at.len() <= 210 + SECONDS as usize * 2, "{} pictures", drawn.at.len());
    assert!(drawn.at.len() >= 190, "{} pictures", drawn.at.len());
    assert_eq!(drawn.dropped.last(), Some(&left_out));
    assert_eq!(drawn.events + left_out, SECONDS * 1_000 * A_MILLISECOND + 1);
}

/// Where the loop cannot run, figures are left out and counted; the loop shows how many.
#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_left_out_and_said() {
    let (left_out, drawn) = beside(|_keys, to| async move {
        // Nothing is awaited that would let the loop run: the queue fills.
        let mut dropped = 0;
        for seq in 1..=QUEUE as u64 + 500 {
            let fed = tell_or_count(&to, FeedName::Coordinator, heartbeat(seq), None, &mut dropped);
            let mut fed = std::pin::pin!(tokio::task::unconstrained(fed));
            let waker = std::task::Waker::noop();
            let polled = fed.as_mut().poll(&mut std::task::Context::from_waker(waker));
            assert!(polled.is_ready(), "figures are never waited for");
        }
        let left_out = dropped;
        sleep(Duration::from_millis(100)).await;
        let next = heartbeat(QUEUE as u64 + 501);
        tell_or_count(&to, FeedName::Coordinator, next, None, &mut dropped).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        left_out
    })
    .await;
    assert_eq!(left_out, 501, "the count of what was left out needs a place too");
    let drawn = drawn.borrow();
    assert_eq!(drawn.dropped.last(), Some(&501));
    assert!(drawn.screens.last().unwrap().contains("dropped 501"));
}

#[tokio::test(start_paused = true)]
async fn a_key_is_drawn_within_a_frame_under_a_flood() {
    let (pressed, drawn) = beside(|keys, to| async move {
        let mut dropped = 0;
        let mut pressed = Vec::new();
        for ms in 0..2_000_u64 {
            for n in 0..20 {
                let event = heartbeat(ms * 20 + n + 1);
                tell_or_count(&to, FeedName::Coordinator, event, None, &mut dropped).await.unwrap();
            }
            if ms % 100 == 50 {
                keys.send(Ok(Did::Key(Key::Tab))).await.unwrap();
                pressed.push(Instant::now());
            }
            sleep(Duration::from_millis(1)).await;
        }
        pressed
    })
    .await;
    let drawn = drawn.borrow();
    for at in pressed {
        let next = drawn.at.iter().find(|drawn| **drawn >= at).expect("it is drawn");
        assert!(*next - at <= Duration::from_millis(17), "{:?}", *next - at);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_drawn_four_times_a_second_only() {
    let ((), drawn) = beside(|_keys, to| async move {
        let live = Fed::Link(FeedName::Coordinator, FeedState::Live);
        to.send(feeds::Told { fed: live, line: None }).await.unwrap();
        sleep(Duration::from_secs(10)).await;
    })
    .await;
    let drawn = drawn.borrow();
    assert!((38..=44).contains(&drawn.at.len()), "{} pictures", drawn.at.len());
}

#[tokio::test(start_paused = true)]
async fn a_lost_feed_is_told_and_its_return_too() {
    let ((), drawn) = beside(|_keys, to| async move {
        for state in [FeedState::Live, FeedState::Lost("cut off".into()), FeedState::Live] {
            let fed = Fed::Link(FeedName::Coordinator, state);
            to.send(feeds::Told { fed, line: None }).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let drawn = drawn.borrow();
    assert!(drawn.screens.iter().any(|screen| screen.contains("LOST")));
    assert!(drawn.screens.last().unwrap().contains("LIVE"));
}

/// One that was started again on another port is found where it is now.
#[tokio::test]
async fn a_coordinator_that_is_lost_is_looked_for_anew() {
    let find: Find = Arc::new(|| Some("127.0.0.1:2".into()));
    let lost = |why: &str| {
        let fed = Fed::Link(FeedName::Coordinator, FeedState::Lost(why.into()));
        feeds::Told { fed, line: None }
    };
    let drawn_at = |drawn: &Rc<RefCell<Drawn>>, address: &str| {
        let drawn = drawn.borrow();
        drawn.screens.last().is_some_and(|screen| screen.contains(address))
    };
    let found = |find: Option<Find>| async move {
        let (_, drawn, sought) = beside_with(find, |_keys, to| async move {
            to.send(lost("cut off")).await.unwrap();
            sleep(Duration::from_millis(700)).await;
        })
        .await;
        (drawn_at(&drawn, "127.0.0.1:2"), sought)
    };
    assert_eq!(found(Some(find)).await, (true, Some("127.0.0.1:2".into())));
    assert_eq!(found(None).await, (false, Some("127.0.0.1:1".into())));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_command_has_taken_its_time() {
    let ((), drawn) = beside(|keys, to| async move {
        let _feed = to;
        for key in [Key::Char('5'), Key::Char('x'), Key::Enter] {
            keys.send(Ok(Did::Key(key))).await.unwrap();
        }
        sleep(Duration::from_millis(1_500)).await;
        keys.send(Ok(Did::Key(Key::Ctrl('c')))).await.unwrap();
        sleep(Duration::from_millis(300)).await;
    })
    .await;
    let drawn = drawn.borrow();
    let last = drawn.screens.last().unwrap();
    assert!(last.contains("interrupted") && last.contains(" 1500 ms"), "{last}");
}
