//! What a transaction's states mean, for somebody who sees them for the first time.
//!
//! Pure: a state in, words out.

use protocol::event::{Outcome, Role, VoteState};

use crate::console::look::{Glyphs, State as Glyph, Tone};

use super::rows::Fate;

/// What a node is for the keys.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Replica => "replica",
        Role::Other => "?",
    }
}

/// A vote in a word.
pub(super) fn vote(vote: VoteState) -> &'static str {
    match vote {
        VoteState::Yes => "yes",
        VoteState::No => "no",
        VoteState::None => "none",
        VoteState::Lost => "lost",
        VoteState::Other => "?",
    }
}

/// A vote as a mark.
pub(super) fn vote_glyph(vote: VoteState, glyphs: &Glyphs) -> (&'static str, Tone) {
    match vote {
        VoteState::Yes => (glyphs.done, Tone::Good),
        VoteState::No => (glyphs.failed, Tone::Bad),
        VoteState::Lost => (glyphs.lost, Tone::Bad),
        VoteState::None | VoteState::Other => (glyphs.state(Glyph::Unknown), Tone::Warn),
    }
}

/// What a vote proves: goes on a sentence that begins with the node.
pub(super) fn proves(vote: VoteState) -> &'static str {
    match vote {
        VoteState::Yes => "has it durably and will not forget it",
        VoteState::No => "has refused it durably: it can never be committed",
        VoteState::None => "may or may not have it: nothing can be concluded",
        VoteState::Lost => "cannot answer at present: nothing can be concluded",
        VoteState::Other => "has voted in a way that this console does not know",
    }
}

/// What its client was told.
pub(super) fn told(reason: Option<&str>) -> String {
    match reason {
        None => "Its client is told that it is done.".into(),
        Some("unknown_outcome") => {
            "Its client's deadline passed: it is told unknown_outcome, that \
                                    it may or may not happen. The transaction goes on."
                .into()
        }
        Some(code) => format!("Its client is told {code}: {}.", because(code)),
    }
}

/// An error code in words.
pub(super) fn because(code: &str) -> &'static str {
    match code {
        "replica_down" => "a node that must hold it is down; trying again later is safe",
        "aborted" => "it never happens; trying again is safe",
        "unknown_outcome" => "it may or may not happen",
        "overloaded" => "too much at once, and nothing was written; trying again is safe",
        "timeout" => "its turn did not come in time, and nothing was written",
        "not_leader" => "another coordinator serves now",
        "not_found" => "there is no such key",
        "exists" => "the key is there already",
        "version_mismatch" => "the key has another version",
        "too_large" => "it is too large",
        "bad_request" => "the request is not a right one",
        "unavailable" => "what it needs cannot be read at present",
        _ => "see the documentation of that code",
    }
}

/// How a transaction is, in a sentence.
pub(super) fn fate(fate: Fate, reason: Option<&str>) -> String {
    match (fate, reason) {
        (Fate::InDoubt, _) => "nobody can say at present what becomes of it".into(),
        (Fate::InFlight, Some("unknown_outcome")) => {
            "its client was told unknown_outcome at its deadline; it goes on".into()
        }
        (Fate::InFlight, _) => "not every participant has said that it has it".into(),
        (Fate::Settled, _) => "which way was not told: ask the cluster for its outcome".into(),
        (Fate::Committed, Some("unknown_outcome")) => {
            "but its client had been told unknown_outcome: its deadline was over before".into()
        }
        (Fate::Committed, _) => "every participant has it durably".into(),
        (Fate::Aborted, Some(code)) if code != "aborted" => {
            format!("it never happens; its client was told {code}")
        }
        (Fate::Aborted, _) => "it never happens: no node that could hold it has it".into(),
        (Fate::Refused, Some(code)) => format!("{code}: {}", because(code)),
        (Fate::Refused, None) => "nothing was or will be written".into(),
        (Fate::Other, _) => "it ended in a way that this console does not know".into(),
    }
}

/// Why one that was in doubt ended as it did.
pub(super) fn resolved(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "everybody who must turned out to have it",
        Outcome::Aborted => "somebody provably never had it, and never will",
        Outcome::Refused => "it was never handed over",
        Outcome::Other => "in a way that this console does not know",
    }
}
