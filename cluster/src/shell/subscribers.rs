//! Events on their way from a loop, the coordinator's or the supervisor's, to the connections that
//! subscribed.
//!
//! The loop offers each event to all; each connection takes out what it can write. What is wanted,
//! sampled, or lost is `core::subscription`'s business; the text of an event is made once, when the
//! first one wants it. Never makes the loop wait.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::event::{self, Body, Lagged, Stamp, Subscribe};
use tokio::sync::Notify;

use crate::core::coordinator::{ClientId, Interest};
use crate::core::subscription::{Event, Offered, Subscription};
use crate::core::time::Time;

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

    fn is_due(&self, first_slot: u64) -> bool {
        let waiting = self.lock();
        waiting.as_ref().is_some_and(|a| a.slot < first_slot && !a.subscription.is_empty())
    }
}

/// Waits until there is something to write, or for ever. Nothing is lost if the wait is given up.
pub(crate) async fn wait(subscriber: Option<&Subscriber>, first_slot: u64) {
    let Some(subscriber) = subscriber else { return std::future::pending().await };
    while !subscriber.is_due(first_slot) {
        subscriber.news.notified().await;
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
        let tail = || text.get_or_init(|| event::tail(stamp, &event.body)).clone();
        let mut lagging = Vec::new();
        for (conn, subscriber) in &self.all {
            let mut waiting = subscriber.lock();
            let Some(accepted) = waiting.as_mut() else { continue };
            match accepted.subscription.offer(now, event, tail) {
                Offered::Left => {}
                Offered::Taken => subscriber.news.notify_one(),
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
        let lagged = lagged.map(|lagged| event::tail(stamp, &Body::Lagged(lagged)));
        let snapshot = event::tail(stamp, snapshot);
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
    use protocol::event::Copies;
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
        assert!(out.is_empty() && !first.is_due(3) && first.is_due(4), "the reply comes first");
        first.write(&mut out, 100, 4);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("{\"event\":\"snapshot\",\"seq\":1,\"source\":"), "{text}");
        assert!(all.remove(1) && !all.remove(1));
        assert!(all.add(client(2), wants(), Arc::default(), 1));
        assert_eq!(all.counts(), (1, 0));
    }
}
