//! Transactions of which nobody can say at present what becomes of them: those of this epoch that a
//! participant which is not there has not voted on, and those of earlier epochs whose witnesses are
//! not all there (R6). Each is told once.

use protocol::event::{Body, TxnInDoubt, Vote, VoteState};
use protocol::ids::{Key, MemberId, NodeName, Version};

use super::super::Coordinator;
use super::super::resolve::{InDoubt, Seen};
use super::super::updates::TxnPhase;

/// Told at a time.
const DOUBTS_MAX: usize = 64;

impl Coordinator {
    /// Tells those that are not told yet.
    pub(super) fn tell_doubts(&mut self) {
        let (by_id, in_doubt) = (&self.by_id, &self.in_doubt);
        self.events.doubts.retain(|id| by_id.contains_key(id) || in_doubt.contains_key(id));
        let mut news = self.old_doubts();
        if self.nodes.iter().any(|node| !node.is_up()) {
            news.extend(self.new_doubts());
        }
        for doubt in news.into_iter().take(DOUBTS_MAX) {
            self.events.doubts.extend(doubt.tx);
            self.tell_event_as(None, true, None, Body::TxnInDoubt(doubt));
        }
    }

    /// Those of earlier epochs.
    fn old_doubts(&self) -> Vec<TxnInDoubt> {
        let untold = self.in_doubt.iter().filter(|(id, _)| !self.events.doubts.contains(id));
        let doubt = |(id, doubt): (&Version, &InDoubt)| {
            let key = doubt.first_written();
            let vote = |member: &MemberId| Vote {
                node: self.node_name(*member),
                role: self.role_of(*member, key),
                vote: match doubt.seen.get(member) {
                    Some(Seen::Prepared | Seen::Committed) => VoteState::Yes,
                    Some(Seen::Closed | Seen::Never | Seen::Settled) => VoteState::No,
                    Some(Seen::LostHere) => VoteState::Lost,
                    None => self.vote_missing(*member),
                },
                sent_us: None,
                recv_us: None,
                node_us: None,
            };
            let votes = doubt.participants.iter().map(vote).collect();
            let silent = |member: &&MemberId| !doubt.seen.contains_key(member);
            let missing = doubt.participants.iter().filter(silent);
            let missing = missing.map(|member| self.node_name(*member)).collect();
            let meaning = "An earlier coordinator left it open. It is committed if all its nodes \
                           hold it; its keys are neither read nor written until that is known.";
            in_doubt(*id, key.cloned(), votes, missing, meaning)
        };
        untold.take(DOUBTS_MAX).map(doubt).collect()
    }

    /// Those of this one.
    fn new_doubts(&self) -> Vec<TxnInDoubt> {
        let doubt = |(id, seq)| {
            let txn = self.txns.get(seq).filter(|_| !self.events.doubts.contains(id))?;
            let TxnPhase::Sent { yes, .. } = &txn.phase else { return None };
            let silent = |member: &&MemberId| {
                let up = self.node_of(**member).is_some_and(|node| node.is_up());
                !up && !yes.contains(member)
            };
            let missing = txn.participants.iter().filter(silent);
            let missing: Vec<_> = missing.map(|member| self.node_name(*member)).collect();
            let meaning = "It is committed if the missing nodes hold it, and may be aborted if \
                           they do not. Its keys are read as they were before, and not written.";
            let (key, votes) = (txn.first_written().cloned(), self.votes_of(txn));
            (!missing.is_empty()).then(|| in_doubt(*id, key, votes, missing, meaning))
        };
        self.by_id.iter().filter_map(doubt).take(DOUBTS_MAX).collect()
    }
}

fn in_doubt(
    id: Version,
    key: Option<Key>,
    votes: Vec<Vote>,
    missing: Vec<NodeName>,
    meaning: &str,
) -> TxnInDoubt {
    let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
    let safe_action = format!(
        "Bring {} back (start it, or resume it if it is paused): what it holds decides. To learn \
         the outcome ask for {id}, or repeat the update with the same once.",
        names.join(", ")
    );
    TxnInDoubt { tx: Some(id), key, votes, missing, meaning: meaning.to_owned(), safe_action }
}
