//! Events on their way from a loop, the coordinator's or the supervisor's, to the connections that
//! subscribed.
//!
//! The loop offers each event to all; each connection takes out what it can write. What is wanted,
//! sampled, or lost is `core::subscription`'s business; the text of an event is made once, when the
//! first one wants it. Never makes the loop wait.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::event::{self, Body, Lagged, Stamp, Subscribe};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::coordinator::{ClientId, Interest};
use crate::core::subscription::{Event, Offered, Subscription};
use crate::core::time::Time;

/// So long figures and samples are gathered for one write: a write each, and a reader that wakes
/// for each, would cost more than all that is told.
const GATHER: Duration = Duration::from_millis(50);

/// One connection's events. Both ends hold it: nothing waits here before the loop has accepted it.
#[derive(Default)]
pub(crate) struct Subscriber {
    waiting: Mutex<Option<Accepted>>,
    news: Notify,
}

struct Accepted {
    /// The request that asked for it: its reply comes first.
    slot: u64,
    subscription: Subscription,
}

impl Subscriber {
    fn lock(&self) -> MutexGuard<'_, Option<Accepted>> {
        // Nobody panics with it: what is done under it moves entries of queues.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the loop has accepted it.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.lock().is_some()
    }

    /// Writes what waits, up to `bytes_max`, once the reply before it is written: that of a request
    /// before `first_slot`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, bytes_max: usize, first_slot: u64) {
        let mut waiting = self.lock();
        let Some(accepted) = waiting.as_mut().filter(|a| a.slot < first_slot) else { return };
        while out.len() < bytes_max
            && let Some(next) = accepted.subscription.take()
        {
            event::write_line(out, next.name, next.seq, next.cause, &next.tail);
        }
    }

    fn due(&self, first_slot: u64) -> Due {
        let waiting = self.lock();
        let accepted = waiting.as_ref().filter(|accepted| accepted.slot < first_slot);
        match accepted.map(|accepted| &accepted.subscription) {
            Some(subscription) if subscription.is_urgent() => Due::Now,
            Some(subscription) if !subscription.is_empty() => Due::Soon,
            _ => Due::Never,
        }
    }
}

/// When a connection is to write events.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Now,
    /// In [`GATHER`].
    Soon,
    /// Nothing waits.
    Never,
}

/// Waits until something is to be written, or for ever. Nothing is lost if the wait is given up.
pub(crate) async fn wait(subscriber: Option<&Subscriber>, first_slot: u64) {
    let Some(subscriber) = subscriber else { return std::future::pending().await };
    let mut gathered = None;
    loop {
        let news = subscriber.news.notified();
        match subscriber.due(first_slot) {
            Due::Now => return,
            Due::Never => news.await,
            Due::Soon => {
                let until = *gathered.get_or_insert_with(|| Instant::now() + GATHER);
                if tokio::time::timeout_at(until, news).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// All connections that subscribed.
#[derive(Default)]
pub(crate) struct Subscribers {
    all: BTreeMap<u64, Arc<Subscriber>>,
    /// What those have lost that have gone.
    dropped: u64,
}

impl Subscribers {
    /// A connection subscribes, or subscribes to something else; false if there are too many.
    pub(crate) fn add(
        &mut self,
        client: ClientId,
        wants: Subscribe,
        subscriber: Arc<Subscriber>,
        most: usize,
    ) -> bool {
        if !self.all.contains_key(&client.conn) && self.all.len() >= most {
            return false;
        }
        {
            let mut waiting = subscriber.lock();
            match waiting.as_mut() {
                Some(accepted) => {
                    accepted.slot = client.slot;
                    accepted.subscription.replace(wants);
                }
                None => {
                    let subscription = Subscription::new(wants);
                    *waiting = Some(Accepted { slot: client.slot, subscription });
                }
            }
        }
        self.all.insert(client.conn, subscriber);
        true
    }

    /// A connection is gone; true if it had subscribed.
    pub(crate) fn remove(&mut self, conn: u64) -> bool {
        let Some(subscriber) = self.all.remove(&conn) else { return false };
        self.dropped += dropped(&subscriber);
        true
    }

    /// What they want together.
    pub(crate) fn interest(&self) -> Interest {
        let wants = |subscriber: &Arc<Subscriber>| {
            subscriber.lock().as_ref().map(|accepted| accepted.subscription.wants().clone())
        };
        let all: Vec<Subscribe> = self.all.values().filter_map(wants).collect();
        Interest::of(all.iter())
    }

    /// How many there are, and what was lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let dropped: u64 = self.all.values().map(|subscriber| dropped(subscriber)).sum();
        (self.all.len() as u64, dropped + self.dropped)
    }

    /// Offers an event to all; those that have lost too much are to begin anew.
    pub(crate) fn offer(&self, now: Time, stamp: &Stamp<'_>, event: &Event) -> Vec<(u64, Lagged)> {
        let text = OnceCell::new();
        let tail = || {
            text.get_or_init(|| event::tail(stamp, event.incident.as_deref(), &event.body)).clone()
        };
        let mut lagging = Vec::new();
        for (conn, subscriber) in &self.all {
            let mut waiting = subscriber.lock();
            let Some(accepted) = waiting.as_mut() else { continue };
            let first = accepted.subscription.is_empty();
            match accepted.subscription.offer(now, event, tail) {
                Offered::Left => {}
                Offered::Taken if first || accepted.subscription.is_urgent() => {
                    subscriber.news.notify_one();
                }
                Offered::Taken => {}
                Offered::Lagged(lagged) => lagging.push((*conn, lagged)),
            }
        }
        lagging
    }

    /// Begins a connection's events, or begins them anew behind a loss.
    pub(crate) fn restart(
        &self,
        conn: u64,
        stamp: &Stamp<'_>,
        lagged: Option<Lagged>,
        snapshot: &Body,
    ) {
        let Some(subscriber) = self.all.get(&conn) else { return };
        let lagged = lagged.map(|lagged| event::tail(stamp, None, &Body::Lagged(lagged)));
        let snapshot = event::tail(stamp, None, snapshot);
        if let Some(accepted) = subscriber.lock().as_mut() {
            accepted.subscription.restart(lagged, snapshot);
        }
        subscriber.news.notify_one();
    }
}

fn dropped(subscriber: &Subscriber) -> u64 {
    subscriber.lock().as_ref().map_or(0, |accepted| accepted.subscription.dropped())
}

#[cfg(test)]
mod tests {
    use protocol::event::{Copies, Stats};
    use protocol::ids::Epoch;

    use super::*;

    fn stamp() -> Stamp<'static> {
        Stamp { source: "coordinator", epoch: Epoch(1), at_us: 1, wall_ms: 1 }
    }

    #[test]
    fn events_wait_for_the_reply_and_a_place_is_free_when_its_holder_goes() {
        let mut all = Subscribers::default();
        let wants = Subscribe::default;
        let first = Arc::new(Subscriber::default());
        let client = |conn| ClientId { conn, slot: 3 };
        assert!(!first.is_subscribed());
        assert!(all.add(client(1), wants(), Arc::clone(&first), 1));
        assert!(!all.add(client(2), wants(), Arc::default(), 1), "there is one place");
        assert!(all.add(client(1), wants(), Arc::clone(&first), 1), "it is its own");
        all.restart(1, &stamp(), None, &Body::Copies(Copies::default()));
        let mut out = Vec::new();
        first.write(&mut out, 100, 3);
        assert!(out.is_empty(), "the reply comes first");
        assert_eq!((first.due(3), first.due(4)), (Due::Never, Due::Now));
        first.write(&mut out, 100, 4);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("{\"event\":\"snapshot\",\"seq\":1,\"source\":"), "{text}");
        assert!(all.remove(1) && !all.remove(1));
        assert!(all.add(client(2), wants(), Arc::default(), 1));
        assert_eq!(all.counts(), (1, 0));
    }

    #[tokio::test]
    async fn figures_wait_for_more_and_what_changes_takes_them_along() {
        let mut all = Subscribers::default();
        let subscriber = Arc::new(Subscriber::default());
        let client = ClientId { conn: 1, slot: 0 };
        assert!(all.add(client, Subscribe::default(), Arc::clone(&subscriber), 1));
        let offer = |body| all.offer(Time(0), &stamp(), &Event::plain(Epoch(1), body));
        offer(Body::Stats(Stats::default()));
        assert_eq!(subscriber.due(1), Due::Soon);
        // That they are ever written needs no second event.
        wait(Some(&subscriber), 1).await;
        let mut out = Vec::new();
        subscriber.write(&mut out, 1, 1);
        assert!(out.starts_with(b"{\"event\":\"stats\"") && subscriber.due(1) == Due::Never);
        offer(Body::Stats(Stats::default()));
        offer(Body::Copies(Copies::default()));
        assert_eq!(subscriber.due(1), Due::Now);
        wait(Some(&subscriber), 1).await;
        out.clear();
        subscriber.write(&mut out, usize::MAX, 1);
        assert_eq!(out.split(|byte| *byte == b'\n').count(), 3, "two lines");
    }
}
