//! What is seen of one transaction while somebody listens: when it came how far.
//!
//! The modules that carry it out note each time where they have it at hand, so that to listen costs
//! no look-up; `txns` tells what is worth it. Never decides anything.

use protocol::event::{NodeUs, Phases, VoteState};
use protocol::ids::{MemberId, Version};

use super::super::super::time::Time;
use super::super::decide::Ballot;
use super::super::voting::SentIn;

/// What is seen of one transaction.
#[derive(Debug, Clone)]
pub(in super::super) struct Trace {
    pub(super) conn: u64,
    /// When the request came.
    pub(super) arrived: Time,
    pub(super) waited_for: Option<Version>,
    /// It was handed to its participants' links.
    pub(in super::super) formed: Option<Time>,
    pub(super) batch_txns: u32,
    pub(super) at: Vec<At>,
    pub(super) answered: Option<Time>,
    /// The error code that its client was told.
    pub(super) reason: Option<&'static str>,
    /// How many votes it had when it was last told as open.
    pub(super) told: Option<usize>,
}

/// One participant of it.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) member: MemberId,
    pub(super) sent: Option<Time>,
    pub(super) received: Option<Time>,
    pub(super) vote: VoteState,
    pub(super) node_us: Option<NodeUs>,
    pub(super) decided: Option<Time>,
    pub(super) confirmed: Option<Time>,
}

impl Trace {
    pub(super) fn at(&mut self, member: MemberId) -> Option<&mut At> {
        self.at.iter_mut().find(|at| at.member == member)
    }

    pub(super) fn sent(&mut self, member: MemberId, sent: Option<SentIn>) {
        let Some(sent) = sent else { return };
        self.batch_txns = self.batch_txns.max(sent.txns);
        if let Some(at) = self.at(member) {
            at.sent.get_or_insert(sent.at);
        }
    }

    /// A participant has voted on what it was sent.
    pub(in super::super) fn voted(
        &mut self,
        now: Time,
        member: MemberId,
        sent: Option<SentIn>,
        ballot: &Ballot,
    ) {
        self.sent(member, sent);
        let Some(at) = self.at(member) else { return };
        at.received = Some(now);
        (at.vote, at.node_us) = match ballot {
            Ballot::Yes(took) => (VoteState::Yes, *took),
            Ballot::No(_) => (VoteState::No, None),
        };
    }

    /// A participant has the decision durably.
    pub(in super::super) fn confirmed(&mut self, now: Time, member: MemberId) {
        if let Some(at) = self.at(member) {
            at.confirmed.get_or_insert(now);
        }
    }

    pub(super) fn votes(&self) -> usize {
        self.at.iter().filter(|at| at.received.is_some()).count()
    }

    /// When it came how far.
    pub(super) fn phases(&self, committed: bool) -> Phases {
        let us = |at: Time| at.since_us(self.arrived);
        let last = |time: fn(&At) -> Option<Time>| {
            let later = |last: Time, at| Some(last.max(time(at)?));
            self.at.iter().try_fold(self.arrived, later).map(us)
        };
        let answered = self.answered.map(us);
        Phases {
            queued: Some(0),
            batch_formed: self.formed.map(us),
            prepare_sent: last(|at| at.sent),
            last_vote: last(|at| at.received),
            cache: answered.filter(|_| committed),
            answered,
        }
    }
}
