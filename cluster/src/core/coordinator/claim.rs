//! From a blank coordinator to the one that may tell results.
//!
//! phase      | waits for                                              | then
//! -----------|--------------------------------------------------------|-----------
//! Gathering  | a majority of the members of the newest ring seen, or  | Claiming
//!            | all founders, registered                               |
//! Claiming   | their reports: each has fenced all lower epochs (R2)   | Installing
//! Installing | the ring, under this epoch, durable on a majority      | Recovering
//!            | (of a founding: on all)                                |
//! Recovering | old leases to end (R11), or proof that none is left;   | Active
//!            | then the mark `active` durable on a majority           |
//! Active     | Stop: the last answers, then the mark `released`       | Stopped
//!
//! A report that names a higher epoch sends it back to Gathering, after a back-off that differs
//! from one process and attempt to the next (R15, H16).

use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::ids::{Epoch, MemberId, RingNumber, Uuid};
use protocol::peer::{DownBody, OpenChanges, RingMember, RingRecord};

use super::super::lease::{self, Lease};
use super::super::planted::{Bug, planted};
use super::super::ring::{self, ring_of};
use super::super::time::Time;
use super::links::LinkPhase;
use super::{Arrival, ClientOp, Coordinator, Effect, Note};

/// Longest wait between two claims, milliseconds.
const CLAIM_RETRY_MS: u64 = 200;
/// How long a graceful stop waits for its last answers and marks, milliseconds.
const STOP_MS: u64 = 5_000;

/// How far the coordinator has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Waits for enough nodes.
    Gathering {
        /// No claim before this.
        not_before: Time,
        /// The next claim is above this epoch.
        above: Epoch,
        /// Claims that failed.
        attempts: u32,
    },
    /// Has asked for fences and reports.
    Claiming {
        /// As in `Gathering`.
        attempts: u32,
    },
    /// Has asked for the ring to be made durable.
    Installing {
        /// No ring was there before.
        founding: bool,
        /// When the claim was durable on a majority.
        claimed: Time,
    },
    /// Resolves what earlier epochs left, and waits for their leases.
    Recovering {
        /// When results may be told.
        tell_from: Time,
        /// The mark `active` is on its way.
        marking: bool,
    },
    /// Serves.
    Active,
    /// Gives its last answers.
    Stopping {
        /// When it ends in any case.
        until: Time,
        /// The mark `released` is on its way.
        marking: bool,
    },
    /// Has ended.
    Stopped,
}

impl Coordinator {
    /// Goes on as far as what is known allows.
    pub(super) fn claim_step(&mut self, now: Time) {
        match self.phase.clone() {
            Phase::Gathering { not_before, above, attempts } if now >= not_before => {
                self.maybe_claim(now, above, attempts);
            }
            Phase::Claiming { .. } => self.maybe_install(now),
            Phase::Installing { founding, claimed } => self.maybe_recover(now, founding, claimed),
            Phase::Recovering { tell_from, marking: false } if now >= tell_from => {
                self.mark_all(now, true, false);
                self.phase = Phase::Recovering { tell_from, marking: true };
            }
            Phase::Recovering { marking: true, .. } => self.maybe_activate(now),
            Phase::Stopping { until, marking } => self.maybe_stop(now, until, marking),
            _ => {}
        }
    }

    /// The newest ring that anybody has told of.
    pub(super) fn newest_ring(&self) -> Option<RingRecord> {
        let registered = self.nodes.iter().filter_map(|n| n.register.as_ref()?.ring.as_ref());
        let reported = self.nodes.iter().filter_map(|n| n.report.as_ref()?.ring.as_ref());
        let all = registered.chain(reported);
        let newest = if planted(Bug::OldRingFound) {
            all.min_by_key(|ring| ring.number)
        } else {
            all.max_by_key(|ring| ring.number)
        };
        newest.cloned()
    }

    fn maybe_claim(&mut self, now: Time, above: Epoch, attempts: u32) {
        let enough = match self.newest_ring() {
            Some(ring) => self.majority_of(&ring, |node| node.registered_on.is_some()),
            None => {
                let there = self.nodes.iter().filter(|node| node.registered_on.is_some()).count();
                there == usize::from(self.config.nodes)
            }
        };
        if !enough {
            return;
        }
        let told = self.nodes.iter().filter_map(|node| Some(node.register.as_ref()?.fence));
        let highest = told.chain([above, self.epoch]).max().unwrap_or_default();
        let Some(epoch) = highest.next() else {
            self.note(Note::Alarm("all epochs are used up; this cluster is at its end".into()));
            return;
        };
        self.epoch = epoch;
        self.counter = 0;
        self.phase = Phase::Claiming { attempts };
        self.note(Note::Phase("claiming", epoch));
        for place in 0..self.nodes.len() {
            self.nodes[place].redial_at = None;
            self.dial(now, place);
        }
    }

    /// Somebody has promised a higher epoch: all that was claimed is void.
    pub(super) fn deposed(&mut self, now: Time, by: Epoch) {
        let attempts = match self.phase {
            Phase::Claiming { attempts } => attempts.saturating_add(1),
            _ => 1,
        };
        self.note(Note::Phase("deposed", by));
        if matches!(self.phase, Phase::Stopping { .. } | Phase::Stopped) {
            self.release();
            return;
        }
        self.abandon();
        for place in 0..self.nodes.len() {
            self.end_link(now, place, false);
            let node = &mut self.nodes[place];
            node.report = None;
            node.before = None;
            node.witness = None;
            node.installed = None;
            node.marked = false;
            node.caught_up = false;
        }
        self.cache.clear();
        self.effects.push(Effect::Lease(Time(0)));
        self.lease_told = Time(0);
        self.record = None;
        self.lease = None;
        self.ring = None;
        self.abandon_steps();
        self.by_member.clear();
        self.marks.clear();
        let not_before = now.plus_us(self.jitter_us(attempts));
        self.phase = Phase::Gathering { not_before, above: by, attempts };
    }

    /// A wait that grows with the attempts and differs between processes.
    fn jitter_us(&self, attempts: u32) -> u64 {
        let seed = u64::from(attempts) ^ self.config.instance.0 as u64;
        let spread = CLAIM_RETRY_MS * 1000 / 8 * u64::from(attempts.clamp(1, 8));
        xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) % spread
    }

    fn maybe_install(&mut self, now: Time) {
        let found = self.newest_ring();
        let founding = found.is_none();
        let record = match found {
            Some(ring) => {
                self.take_numbers_of(&ring);
                (0..self.nodes.len()).for_each(|place| self.hear_losses(now, place));
                if !self.majority_of(&ring, |node| node.report.is_some()) {
                    return;
                }
                ring
            }
            None if self.nodes.iter().filter(|n| n.report.is_some()).count()
                == usize::from(self.config.nodes) =>
            {
                self.founding_record()
            }
            None => return,
        };
        let number = RingNumber { epoch: self.epoch, counter: 0 };
        self.go_on_with_changes(now, &record);
        let changes = self.carried(&record);
        let record = Arc::new(RingRecord { number, changes, ..record });
        self.ring = Some(Arc::new(ring_of(&record)));
        let members = || record.members.iter().map(|member| member.id);
        self.lease = Some(Lease::new(members(), self.config.lease_ms));
        let out = record.outgoing.as_ref().map(|member| member.id);
        let stays = members().filter(|id| Some(*id) != record.incoming);
        let changes = out.is_some() || record.incoming.is_some();
        let old = stays.chain(out).collect::<Vec<MemberId>>();
        self.joint = changes.then(|| Lease::new(old, self.config.lease_ms));
        self.record = Some(record.clone());
        self.phase = Phase::Installing { founding, claimed: now };
        self.take_numbers();
        self.note(Note::Phase("fencing", self.epoch));
        for place in 0..self.nodes.len() {
            self.install(now, place);
        }
    }

    /// The first ring: points as equal as can be, members in the order of their names.
    fn founding_record(&self) -> RingRecord {
        let mut founders: Vec<&super::members::Node> = self.nodes.iter().collect();
        founders.sort_by_key(|node| natural_order(node.name.as_str()));
        let points = ring::propose(self.config.nodes, self.config.tokens);
        let members = founders.iter().zip(points).zip(0..).map(|((node, points), id)| {
            let (uuid, name) = (node.uuid, node.name.clone());
            RingMember { id: MemberId(id), uuid, name, points }
        });
        RingRecord {
            number: RingNumber::default(),
            cluster: self.config.cluster_if_founded,
            replicas: self.config.replicas,
            tokens: self.config.tokens,
            placement: self.config.placement,
            members: members.collect(),
            learning: Vec::new(),
            outgoing: None,
            incoming: None,
            departed: Vec::new(),
            changes: OpenChanges::default(),
        }
    }

    pub(super) fn majority(&self, has: impl Fn(&super::members::Node) -> bool) -> bool {
        let Some(record) = &self.record else { return false };
        self.majority_of(record, has)
    }

    fn maybe_recover(&mut self, now: Time, founding: bool, claimed: Time) {
        let Some(record) = self.record.clone() else { return };
        let has = |node: &super::members::Node| node.installed == Some(record.number);
        let all = self.nodes.iter().filter(|node| has(node)).count() == record.members.len();
        if !(founding && all || !founding && self.majority(has)) {
            return;
        }
        let no_lease_left = self.no_lease_left(founding) || planted(Bug::LeaseNotWaitedFor);
        let waited = lease::wait_until(claimed, self.config.lease_ms);
        let tell_from = if no_lease_left { now } else { waited };
        self.phase = Phase::Recovering { tell_from, marking: false };
        self.take_numbers();
        self.note(Note::Phase("recovering", self.epoch));
        self.admit_anew(now);
        (0..self.nodes.len()).for_each(|place| self.hear_losses(now, place));
        for place in 0..self.nodes.len() {
            if self.nodes[place].installed == Some(record.number) {
                self.take_report(now, place);
            }
        }
        self.claim_step(now);
    }

    /// Whether no earlier coordinator can still hold a lease: nobody ever was one, or the last
    /// one had outlived the leases before it and is known to have ended.
    fn no_lease_left(&self, founding: bool) -> bool {
        // A report that was lost on its way has taken with it what its node had promised before. A
        // majority meets every claim that ever held.
        if !self.majority(|node| node.before.is_some()) {
            return false;
        }
        let before = || self.nodes.iter().filter_map(|node| node.before.as_ref());
        let Some(highest) = before().map(|fence| fence.epoch).max() else { return false };
        if founding && highest == Epoch(0) && self.epoch == Epoch(1) {
            return true;
        }
        let ended = |instance: &Uuid| self.config.reaped.contains(instance);
        before()
            .filter(|fence| fence.epoch == highest && fence.active)
            .any(|fence| fence.released || fence.coordinator.as_ref().is_some_and(ended))
    }

    fn mark_all(&mut self, now: Time, active: bool, released: bool) {
        for place in 0..self.nodes.len() {
            self.nodes[place].marked = false;
            if self.nodes[place].link.phase == LinkPhase::Ready {
                self.send(now, place, DownBody::Mark { active, released });
            }
        }
    }

    /// Whether a majority has the mark: of the members alone, since every claimant meets one of
    /// theirs too.
    fn is_marked(&self) -> bool {
        let Some(record) = &self.record else { return false };
        let settled = RingRecord { incoming: None, outgoing: None, ..(**record).clone() };
        self.majority_of(&settled, |node| node.marked)
    }

    /// A node that came after the mark was sent is marked too: the next start may need it.
    pub(super) fn mark_late(&mut self, now: Time, place: usize) {
        if matches!(self.phase, Phase::Active | Phase::Recovering { marking: true, .. }) {
            self.send(now, place, DownBody::Mark { active: true, released: false });
        }
    }

    fn maybe_activate(&mut self, now: Time) {
        let Some(record) = self.record.clone() else { return };
        if !self.is_marked() {
            return;
        }
        self.phase = Phase::Active;
        self.active_since = now;
        for node in &mut self.nodes {
            node.silent_since = node.silent_since.max(now);
        }
        self.note(Note::Phase("active", self.epoch));
        let (epoch, cluster) = (self.epoch, record.cluster);
        self.effects.push(Effect::Active { epoch, cluster });
        self.lease_told = Time(0);
        self.renew_lease(now);
        self.tell_in_force();
        for arrival in std::mem::take(&mut self.arrivals) {
            if arrival.deadline > now {
                self.on_request(now, arrival);
            } else {
                self.too_early(&arrival);
            }
        }
    }

    /// A request before results may be told waits in line.
    pub(super) fn on_early_request(&mut self, arrival: Arrival) {
        let stopping = matches!(self.phase, Phase::Stopping { .. } | Phase::Stopped);
        if stopping {
            self.reply_error(arrival.client, ErrorReply::not_leader(None));
            return;
        }
        if self.arrivals.len() >= super::ARRIVALS_MAX {
            let error = ErrorReply::overloaded("requests", super::RETRY_AFTER_MS);
            self.reply_error(arrival.client, error);
            return;
        }
        self.arrivals.push_back(arrival);
    }

    fn too_early(&mut self, arrival: &Arrival) {
        let error = match &arrival.op {
            ClientOp::Get(_)
            | ClientOp::Mget(_)
            | ClientOp::Outcome(_)
            | ClientOp::Scan(_)
            | ClientOp::Watch(_)
            | ClientOp::Locate(_) => {
                ErrorReply::unavailable("the coordinator is still recovering", None)
            }
            ClientOp::Explain(op) if !op.is_update() => {
                ErrorReply::unavailable("the coordinator is still recovering", None)
            }
            _ => ErrorReply::timeout(super::RETRY_AFTER_MS),
        };
        self.reply_error(arrival.client, error);
    }

    /// Answers those that have waited long enough for the coordinator to become active.
    pub(super) fn watch_arrivals(&mut self, now: Time) {
        let late = |arrival: &Arrival| arrival.deadline <= now;
        if !self.arrivals.iter().any(late) {
            return;
        }
        let (late, rest) = std::mem::take(&mut self.arrivals).into_iter().partition(late);
        self.arrivals = rest;
        let late: std::collections::VecDeque<_> = late;
        for arrival in late {
            self.too_early(&arrival);
        }
    }

    pub(super) fn on_stop(&mut self, now: Time) {
        if matches!(self.phase, Phase::Stopping { .. } | Phase::Stopped) {
            return;
        }
        let was_active = self.phase == Phase::Active;
        self.phase = Phase::Stopping { until: now.plus_ms(STOP_MS), marking: false };
        if !was_active {
            self.release();
            return;
        }
        self.refuse_unsent(now, |_| true, "this coordinator is stopping");
        self.claim_step(now);
    }

    fn maybe_stop(&mut self, now: Time, until: Time, marking: bool) {
        let asking = !self.outcomes.is_empty() || !self.locates.is_empty();
        let reading = !self.reads.is_empty() || !self.scans.is_empty() || asking;
        let busy = !self.by_id.is_empty() || reading;
        if now >= until || (marking && self.is_marked()) {
            self.release();
        } else if !marking && !busy {
            // No answer may leave after the lease is given back.
            self.effects.push(Effect::Lease(Time(0)));
            self.mark_all(now, false, true);
            self.phase = Phase::Stopping { until, marking: true };
        }
    }

    fn release(&mut self) {
        self.abandon();
        self.phase = Phase::Stopped;
        self.effects.push(Effect::Released);
    }

    /// Ends every wait: what was not sent did not happen, the rest is unknown.
    fn abandon(&mut self) {
        for arrival in std::mem::take(&mut self.arrivals) {
            self.reply_error(arrival.client, ErrorReply::not_leader(None));
        }
        self.lose_watches();
        for (_, scan) in std::mem::take(&mut self.scans) {
            self.reply_error(scan.client, ErrorReply::not_leader(None));
        }
        for (_, asked) in std::mem::take(&mut self.outcomes) {
            self.reply_error(asked.client, ErrorReply::not_leader(None));
        }
        for (_, locating) in std::mem::take(&mut self.locates) {
            self.reply_error(locating.client, ErrorReply::not_leader(None));
        }
        for (_, txn) in std::mem::take(&mut self.txns) {
            let Some(client) = txn.client else { continue };
            let error = match txn.phase.id() {
                None => ErrorReply::not_leader(None),
                Some(id) => ErrorReply::unknown_outcome(Some(id)),
            };
            self.reply_error(client, error);
        }
        for (_, read) in std::mem::take(&mut self.reads) {
            if let Some(client) = read.client {
                self.reply_error(client, ErrorReply::not_leader(None));
            }
        }
        self.keys_read = 0;
        self.by_id.clear();
        self.keys.clear();
        self.cramped.clear();
        self.series.clear();
        self.leaseless.clear();
        self.work.clear();
        self.parked.clear();
        self.due_reads.clear();
        self.cuts.clear();
        self.decided.clear();
        self.in_doubt.clear();
        self.resolved.clear();
        self.onces = super::once::Onces::default();
        self.aborted = super::outcome::Aborted::default();
        self.deadlines.clear();
        self.queued = 0;
        self.queued_bytes = 0;
    }

    /// Publishes until when the cache's content may be told (R11).
    pub(super) fn renew_lease(&mut self, now: Time) {
        if self.phase != Phase::Active {
            return;
        }
        let Some(mut until) = self.leased_until() else { return };
        if planted(Bug::ToldWithoutLease) {
            until = Time::NEVER;
        }
        let lapsed = self.lease_told <= now;
        if until > self.lease_told {
            self.lease_told = until;
            self.effects.push(Effect::Lease(until));
        }
        if lapsed && until > now {
            self.on_lease(now);
        }
    }

    /// Until when results may be told: while the members change, both majorities count.
    fn leased_until(&self) -> Option<Time> {
        let until = self.lease.as_ref().and_then(Lease::valid_until)?;
        match &self.joint {
            Some(joint) => joint.valid_until().map(|other| until.min(other)),
            None => Some(until),
        }
    }

    /// Whether results that rest on reads may be told now.
    pub(super) fn may_tell(&self, now: Time) -> bool {
        let serving = matches!(self.phase, Phase::Active | Phase::Stopping { marking: false, .. });
        let holds = self.leased_until().is_some_and(|until| now < until);
        serving && (holds || planted(Bug::ToldWithoutLease))
    }
}

/// Sorts `n2` before `n10`.
fn natural_order(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(u64::MAX), name.to_owned())
}
