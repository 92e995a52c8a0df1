//! From where the copy of a stretch is gone on with, when the coordinator that began it has ended.
//!
//! With each portion a learner is told how far its copy is ([`CopyProgress`]). It keeps that in
//! memory, beside what it has taken in, which is no more durable than that, and says it in its
//! report. A start of the learner thus loses both, and a successor that is told of a key may ask
//! for what is behind it, if nothing up to that key can be missing at the learner. Of everything
//! that was ever committed there, one of these holds:
//!
//! * *The learner took part in it.* That is so of all versions from [`Learning::from`] on, as long
//!   as the stretch is being learned. A learning that ended, and one that began later, differ in
//!   `from` unless no update at all was handed over between them. The learner forgets the progress
//!   when it takes in a ring in which the learning is not, so before it drops anything; this
//!   coordinator forgets it when such a ring is in force.
//! * *It was decided before the portion was read, and told to the source before the question.* Then
//!   it is in the portion; or its tombstone was swept, and what is told of that (`swept`) goes on
//!   with the progress; or it was not wanted: what is older than `since` the learner has had, if
//!   this copy asks for no more than that one did. What the learner held beside the portion of a
//!   copy of all has gone before the progress was noted.
//! * *It was open then.* The source is in sync, so it took part in it, or was fenced without it.
//!   Had it been prepared there, the coordinator of that time would have known, and not asked
//!   (R10). So it was missing there, and can never be committed while the source counts, whatever
//!   other participants show (R6). If the source had lost something or were gone it could be: so
//!   the copy is only gone on with from that very source, still in sync. What several sources gave
//!   is begun anew.
//!
//! So nothing else is compared than whether it is the same copy: learner, source, stretch, `since`
//! and `from`. The worst that a wrong no costs is that keys are copied again.
//!
//! Called by `copying`. Never: takes a learner's word for what is durable; the last portion of the
//! copy is answered when everything is.

use protocol::ids::MemberId;
use protocol::peer::{CopyProgress, Learning, Span};

use super::super::planted::{Bug, planted};
use super::super::time::Time;
use super::{Coordinator, Phase};

/// A source from which a copy could be gone on with is waited for so long after the beginning of
/// this coordinator's service, milliseconds.
const AWAITED_MS: u64 = 2_000;

/// Whether this is the progress of the very copy that is to be made.
pub(super) fn is_of(progress: &CopyProgress, learning: &Learning) -> bool {
    let same = (progress.since, progress.from) == (learning.since, learning.from);
    progress.spans.contains(&learning.span) && same || planted(Bug::GoneOnFromAnother)
}

impl Coordinator {
    /// From whom a stretch is copied, if it can be now, and which of the progresses that its
    /// learner has told of is gone on from.
    pub(super) fn begins(
        &self,
        now: Time,
        learning: &Learning,
    ) -> Option<(MemberId, Option<usize>)> {
        let able = self.sources_of(learning.learner, learning.span);
        let told = self.node_of(learning.learner).map_or(&[][..], |node| &node.copied);
        let known = told.iter().position(|progress| is_of(progress, learning));
        let source = known.map(|place| told[place].source);
        match source {
            Some(source) if able.contains(&source) => Some((source, known)),
            Some(source) if self.is_awaited(now, source, learning.span) => None,
            _ => self.least_asked(&able).map(|source| (source, None)),
        }
    }

    /// Whether a member in sync may yet come that cannot be asked now.
    fn is_awaited(&self, now: Time, source: MemberId, span: Span) -> bool {
        let begins = self.phase != Phase::Active || now < self.active_since.plus_ms(AWAITED_MS);
        begins && self.counts_in(source, span)
    }

    /// Whether a member is in sync in a stretch and has lost nothing.
    pub(super) fn counts_in(&self, member: MemberId, span: Span) -> bool {
        let in_sync = self.ring.as_ref().map_or(&[][..], |ring| ring.in_sync_at(span.1));
        in_sync.contains(&member) && !self.has_lost(member)
    }

    /// Another ring is in force: progress in what is not learned any more is void.
    pub(super) fn progress_follows_ring(&mut self) {
        let learning = self.record.as_ref().map_or(&[][..], |record| &record.learning);
        for node in &mut self.nodes {
            let id = node.id;
            let learned = |span: &Span, progress: &CopyProgress| {
                learning.iter().any(|one| {
                    Some(one.learner) == id && one.span == *span && one.from == progress.from
                })
            };
            node.copied
                .retain(|progress| progress.spans.iter().all(|span| learned(span, progress)));
        }
    }
}
