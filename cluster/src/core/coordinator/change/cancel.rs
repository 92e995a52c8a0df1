//! A change that has begun is cancelled by another one that leads back: by the same steps, through
//! the same barriers, and never by undoing one (R10, R15).
//!
//! While somebody learns a stretch, those who held it before keep it; so the way back is short: the
//! points are where they were, and nobody has to learn what is not given away yet. What has been
//! switched in already is learned again by whoever held it, from those who have it now. A step that
//! is on its way into force comes into force first. Should the coordinator end meanwhile, its
//! successor goes on from whichever ring it finds: forth, or back once a ring says so.
//!
//! Whoever is to stay and is silent meanwhile is a member again first, and then evicted like any
//! other: it comes back by itself. An eviction is not taken back: what was decided without its
//! member rests on it.

use protocol::error::{ErrorCode, ErrorReply};
use protocol::ids::{MemberId, Point};
use protocol::peer::RingRecord;
use protocol::reply::{AdminReply, ChangePreview};

use super::super::super::ring::next::{self, Refused};
use super::super::super::ring::{propose_join, ring_of};
use super::super::super::time::Time;
use super::super::Coordinator;
use super::{Change, Kind, Places, State, of, refused};

type Refusal = Box<ErrorReply>;

impl Coordinator {
    pub(super) fn cancel(
        &mut self,
        now: Time,
        name: &str,
        dry_run: bool,
    ) -> Result<AdminReply, Refusal> {
        let named = |change: &Change| format!("c{}", change.number) == name;
        let Some(place) = self.changes.open.iter().position(named) else {
            let sentence = format!("no change called {name} is under way: see the status");
            return Err(Box::new(refused(ErrorCode::Already, "not under way", sentence)));
        };
        let change = &self.changes.open[place];
        let (waits, scrubs) = (matches!(change.state, State::Waiting(_)), change.kind.is_scrub());
        let (note, preview) = match waits {
            true => (change.kind.left_undone().to_owned(), None),
            false => self.what_cancelling_means(name, change)?,
        };
        let note = Some(note);
        if dry_run {
            return Ok(AdminReply { note, preview, change: None });
        }
        if scrubs {
            self.stop_scrub();
        }
        if waits || scrubs {
            let mut change = self.changes.open.remove(place);
            change.state = State::Cancelled;
            self.end_change(change);
        } else {
            self.changes.open[place].state = State::GoingBack { made: false };
            self.heal(now);
        }
        Ok(AdminReply { change: Some(name.to_owned()), note, preview: None })
    }

    /// What comes of cancelling a change that has begun, or why that cannot be.
    fn what_cancelling_means(
        &self,
        name: &str,
        change: &Change,
    ) -> Result<(String, Option<ChangePreview>), Refusal> {
        let refuse = |code, reason: &str, sentence| Box::new(refused(code, reason, sentence));
        if change.state != State::Running {
            let sentence = format!("{name} is being taken back already: see the status");
            return Err(refuse(ErrorCode::Already, "going back", sentence));
        }
        let begun = |why| refuse(ErrorCode::Refused, "begun", why);
        let note = change.kind.once_cancelled().map_err(begun)?;
        let newest = self.newest().filter(|_| !change.kind.is_scrub());
        let Some((record, _)) = newest else { return Ok((note, None)) };
        match self.way_back(record, change) {
            Ok(Some(next)) => {
                let preview = self.preview(record, &next, &change.kind);
                Ok((note, Some(ChangePreview { action: "cancel".to_owned(), ..preview })))
            }
            Ok(None) => {
                let sentence = format!("{name} is at its last step: see the status");
                Err(refuse(ErrorCode::Already, "at its end", sentence))
            }
            Err(why) => Err(refuse(ErrorCode::Refused, "no way back", why)),
        }
    }

    /// The ring that a change has come from, made of the present one; `None` if this is it.
    fn way_back(&self, record: &RingRecord, change: &Change) -> Result<Option<RingRecord>, String> {
        let member = |name: &str| record.members.iter().find(|m| m.name.as_str() == name);
        let next = match &change.kind {
            Kind::Evict(_) | Kind::Return(_) | Kind::Scrub | Kind::Repair => return Ok(None),
            Kind::Add(name) => match member(name).filter(|member| !member.points.is_empty()) {
                Some(member) => next::leaving(record, member.id),
                None => return Ok(None),
            },
            Kind::Remove(name) => match member(name).filter(|member| member.points.is_empty()) {
                Some(member) => {
                    let old = of(&change.before, member.id).cloned().unwrap_or_default();
                    let free = !old.is_empty() && are_free(record, &old);
                    let own = || propose_join(&ring_of(record), record.tokens);
                    with_places(record, &[(member.id, if free { old } else { own() })])
                }
                None => return Ok(None),
            },
            Kind::Rebalance => {
                let is_as_before = |member: &protocol::peer::RingMember| {
                    of(&change.before, member.id).is_none_or(|old| *old == member.points)
                };
                if record.members.iter().all(is_as_before) {
                    return Ok(None);
                }
                let new: Places = record
                    .members
                    .iter()
                    .map(|m| (m.id, of(&change.before, m.id).unwrap_or(&m.points).clone()))
                    .collect();
                let mut all: Vec<Point> = new.iter().flat_map(|(_, at)| at.clone()).collect();
                all.sort_unstable();
                if all.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err("another node has some of the points by now: wait for the end, \
                                and remove or add nodes instead"
                        .to_owned());
                }
                with_places(record, &new)
            }
        };
        let name = change.kind.node().unwrap_or("a node");
        next.map(Some).map_err(|why| self.told(why, name))
    }

    /// The first step of the way back of a change that is to be cancelled.
    pub(in super::super) fn due_way_back(
        &mut self,
        now: Time,
        record: &RingRecord,
    ) -> Option<RingRecord> {
        let goes_back = |change: &Change| change.state == State::GoingBack { made: false };
        let place = self.changes.open.iter().position(goes_back)?;
        let next = match self.way_back(record, &self.changes.open[place]) {
            Ok(Some(next)) if self.why_not(record, &next, None).is_some() => return None,
            Ok(next) => next,
            // Looked at again with each tick: a node that is in the way may go.
            Err(_) => return None,
        };
        self.changes.open[place].state = State::GoingBack { made: true };
        if next.is_none() {
            self.end_changes(now);
        }
        next
    }

    /// Whether a member that has given everything away is to stay all the same.
    pub(in super::super) fn stays_after_all(&self, member: MemberId) -> bool {
        let name = self.name_of(member);
        let stays = |change: &Change| {
            change.kind == Kind::Remove(name.clone())
                && change.state == State::GoingBack { made: false }
        };
        self.changes.open.iter().any(stays)
    }
}

impl Kind {
    /// What comes of it when it is cancelled before it has begun.
    fn left_undone(&self) -> &'static str {
        match self {
            Self::Add(_) => {
                "nobody has a place by it yet; a node that was started for it waits to be added"
            }
            _ => "nothing of it was done",
        }
    }

    /// What comes of it when it is cancelled once it has begun, or why that cannot be.
    pub(super) fn once_cancelled(&self) -> Result<String, String> {
        match self {
            Self::Evict(node) => Err(format!(
                "{node}'s place goes to others, and updates may rest on that: it cannot be taken \
                 back; once {node} is there again it gets its place again by itself"
            )),
            Self::Return(node) => Err(format!(
                "{node} has its place again: to take it away once more use `evict` or `remove`"
            )),
            Self::Scrub | Self::Repair => Ok("nothing more is read".to_owned()),
            Self::Add(node) => Ok(format!(
                "{node} gives back what it was to hold and leaves; its process is then stopped \
                 and not restarted"
            )),
            Self::Remove(node) => Ok(format!(
                "{node} stays and gets its part back: what others hold by now it copies from them"
            )),
            Self::Rebalance => Ok("every node gets the part back that it had: what has moved \
                                   already is copied back"
                .to_owned()),
        }
    }
}

/// Whether nobody has any of these points.
fn are_free(record: &RingRecord, points: &[Point]) -> bool {
    let mut taken = record.members.iter().flat_map(|member| &member.points);
    !taken.any(|point| points.contains(point))
}

/// The next record when these members get these points.
fn with_places(
    record: &RingRecord,
    places: &[(MemberId, Vec<Point>)],
) -> Result<RingRecord, Refused> {
    let new = |id: MemberId| places.iter().find(|(other, _)| *other == id);
    let all = record.members.iter().map(|member| {
        new(member.id).map_or_else(|| member.points.clone(), |(_, points)| points.clone())
    });
    next::with_points(record, all.collect())
}
