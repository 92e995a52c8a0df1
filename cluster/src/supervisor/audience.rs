//! Those who subscribed at the supervisor's port: its events on their way to them.
//!
//! Owned by `run`, which hands in each event of the fleet. Who wants what, and what becomes of it
//! when somebody is slow, is `core::subscription`'s business.

use std::sync::Arc;

use protocol::event::{Body, ProcsSnapshot, SUPERVISOR, Stamp, Subscribe, Subscribed};
use protocol::supervisor::ProcStatus;
use serde_json::json;

use super::fleet::{Fleet, Refusal, Reply};
use crate::core::coordinator::ClientId;
use crate::core::subscription::Event;
use crate::core::time::Time;
use crate::shell::subscribers::{Subscriber, Subscribers};
use crate::shell::{clock, wall};

/// Connections that may subscribe.
pub(super) const SUBSCRIBERS_MAX: usize = 16;

/// All who listen.
#[derive(Default)]
pub(super) struct Audience(Subscribers);

impl Audience {
    /// Begins a subscription, or replaces the connection's; the snapshot follows the reply.
    pub(super) fn add(
        &mut self,
        fleet: &Fleet,
        client: ClientId,
        wants: Subscribe,
        subscriber: Arc<Subscriber>,
    ) -> Reply {
        let (topics, max_per_s) = (wants.topics.iter().collect(), wants.max_per_s);
        if !self.0.add(client, wants, subscriber, SUBSCRIBERS_MAX) {
            let error = format!("{SUBSCRIBERS_MAX} connections subscribed; try again later");
            let fields = json!({ "retry_after_ms": 1000 });
            return Err(Refusal { code: "overloaded", error, fields });
        }
        let snapshot = Body::ProcsSnapshot(snapshot(fleet));
        self.0.restart(client.conn, &stamp(fleet, clock::now()), None, &snapshot);
        Ok(json!(Subscribed { topics, max_per_s }))
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, conn: u64) {
        self.0.remove(conn);
    }

    /// Tells an event to those who want it; who has lost too much begins anew.
    pub(super) fn tell(&self, fleet: &Fleet, number: u64, cause: Option<u64>, body: Body) {
        let now = clock::now();
        let stamp = stamp(fleet, now);
        let event = Event { number, cause, ..Event::plain(stamp.epoch, body) };
        for (conn, lagged) in self.0.offer(now, &stamp, &event) {
            let snapshot = Body::ProcsSnapshot(snapshot(fleet));
            self.0.restart(conn, &stamp, Some(lagged), &snapshot);
        }
    }
}

fn stamp(fleet: &Fleet, now: Time) -> Stamp<'static> {
    let epoch = fleet.epoch().unwrap_or_default();
    Stamp { source: SUPERVISOR, epoch, at_us: now.0, wall_ms: wall::now_ms() }
}

fn snapshot(fleet: &Fleet) -> ProcsSnapshot {
    ProcsSnapshot {
        procs: fleet.present().map(|(_, proc)| proc.status()).collect::<Vec<ProcStatus>>(),
        cluster: fleet.cluster().map(|uuid| uuid.to_string()),
        lab: fleet.lab,
        admin_recent: fleet.teller.recent(),
    }
}
