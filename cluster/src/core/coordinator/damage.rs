//! What is known to be wrong with copies: damaged records, and stretches in which nodes differ.
//!
//! What is found (`reads`, `scan`, `audit`, `scrub`) is told here: as an event, in the log, and
//! once a stretch and kind among the incidents of `status`, until it is found to be right again.
//! That is an event, too: whoever follows the events knows what `status` says. A damaged record
//! is not asked for again as long as somebody else has the key: its node says so instead of
//! serving it. Of a node that cannot read its keystore on nothing is asked but single keys.
//!
//! Never: says which of two whole copies is right.

use std::collections::{BTreeMap, BTreeSet};

use protocol::event::{Body, Divergence, DivergenceKind, Topic};
use protocol::ids::{Key, MemberId, NodeName, Point};
use protocol::peer::Span;
use protocol::status::IncidentStatus;

use super::super::ring::next::spans_in_sync;
use super::super::ring::{Range, Ring};
use super::super::time::Time;
use super::{Coordinator, Note};

/// Damaged records that are remembered; of more only the first are told.
const RECORDS_MAX: usize = 4_096;
/// Incidents that are shown.
const INCIDENTS_MAX: usize = 64;
/// Keys that are named at a time.
pub(super) const NAMED_MAX: usize = 16;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Who has a damaged record of a key.
    records: BTreeMap<Key, BTreeSet<MemberId>>,
    /// Who cannot read all of its keystore.
    unreadable: BTreeSet<MemberId>,
    incidents: BTreeMap<(Span, DivergenceKind), Incident>,
    last: u64,
}

#[derive(Debug)]
struct Incident {
    number: u64,
    what: String,
    at: Time,
    /// All nodes, and the keys that are wrong still, at most [`NAMED_MAX`].
    found: Divergence,
}

impl Incident {
    /// Its name, as `status` says it.
    fn id(&self) -> String {
        format!("d{}", self.number)
    }

    /// More of it was found.
    fn add(&mut self, more: &Divergence) {
        let Divergence { nodes, keys, .. } = &mut self.found;
        for node in &more.nodes {
            if !nodes.contains(node) {
                nodes.push(node.clone());
            }
        }
        for key in &more.keys {
            if keys.len() < NAMED_MAX && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
    }
}

/// Something found.
pub(super) struct Finding {
    pub(super) span: Span,
    pub(super) nodes: Vec<MemberId>,
    pub(super) kind: DivergenceKind,
    pub(super) keys: Vec<Key>,
    pub(super) repaired: u64,
}

impl Damage {
    /// The damaged records of a member.
    pub(super) fn of(&self, member: MemberId) -> impl Iterator<Item = &Key> {
        self.records.iter().filter(move |(_, who)| who.contains(&member)).map(|(key, _)| key)
    }

    /// Whoever has damaged records.
    pub(super) fn members(&self) -> BTreeSet<MemberId> {
        self.records.values().flatten().copied().collect()
    }

    /// Whether a member's record of a key is not known to be damaged.
    pub(super) fn is_whole(&self, member: MemberId, key: &Key) -> bool {
        self.records.get(key).is_none_or(|who| !who.contains(&member))
    }

    /// The same of all keys of a stretch.
    pub(super) fn is_whole_in(&self, ring: &Ring, member: MemberId, range: Range) -> bool {
        !self.unreadable.contains(&member)
            && !self.of(member).any(|key| range.contains(ring.point_of(key)))
    }

    /// Whoever cannot read all of its keystore.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = MemberId> {
        self.unreadable.iter().copied()
    }

    /// A write has taken the place of whatever was there.
    pub(super) fn overwritten<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        if !self.records.is_empty() {
            keys.for_each(|key| {
                self.records.remove(key);
            });
        }
    }

    /// A member's record is whole again.
    pub(super) fn mended(&mut self, member: MemberId, key: &Key) {
        if let Some(who) = self.records.get_mut(key) {
            who.remove(&member);
            if who.is_empty() {
                self.records.remove(key);
                for ((_, kind), incident) in &mut self.incidents {
                    if *kind == DivergenceKind::Checksum {
                        incident.found.keys.retain(|named| named != key);
                    }
                }
            }
        }
    }

    pub(super) fn is_known(&self, span: Span, kind: DivergenceKind) -> bool {
        self.incidents.contains_key(&(span, kind))
    }

    /// Something is wrong, or more of it than was known.
    fn found(&mut self, now: Time, span: Span, what: &str, found: &Divergence) {
        let place = (span, found.kind);
        if let Some(incident) = self.incidents.get_mut(&place) {
            incident.add(found);
        } else if self.incidents.len() < INCIDENTS_MAX {
            self.last += 1;
            let (number, what, found) = (self.last, what.to_owned(), found.clone());
            self.incidents.insert(place, Incident { number, what, at: now, found });
        }
    }

    /// What is shown of it; moments are of the coordinator's own clock, milliseconds.
    pub(super) fn incidents(&self) -> Vec<IncidentStatus> {
        let mut shown: Vec<&Incident> = self.incidents.values().collect();
        shown.sort_by_key(|incident| incident.number);
        let status = |incident: &Incident| IncidentStatus {
            id: incident.id(),
            what: incident.what.clone(),
            wall_ms: incident.at.0 / 1_000,
            divergence: Some(incident.found.clone()),
        };
        shown.into_iter().map(status).collect()
    }
}

impl Coordinator {
    /// Damaged records of a member were met: those that are news are told.
    pub(super) fn found_damaged(&mut self, now: Time, member: MemberId, keys: Vec<Key>) {
        let Some(ring) = self.ring.clone() else { return };
        let mut by_arc: BTreeMap<usize, Vec<Key>> = BTreeMap::new();
        for key in keys {
            if !self.damage.records.contains_key(&key) && self.damage.records.len() >= RECORDS_MAX {
                continue;
            }
            if self.damage.records.entry(key.clone()).or_default().insert(member) {
                by_arc.entry(ring.arc_of(&key)).or_default().push(key);
            }
        }
        let arcs: Vec<Range> = ring.arcs().map(|arc| arc.range).collect();
        for (arc, keys) in by_arc {
            let (nodes, kind) = (vec![member], DivergenceKind::Checksum);
            let span = (arcs[arc].first, arcs[arc].last);
            self.tell_divergence(now, Finding { span, nodes, kind, keys, repaired: 0 });
        }
    }

    /// A member has read all that it has, or cannot: nothing more than up to the key `through`.
    pub(super) fn found_readable(
        &mut self,
        now: Time,
        member: MemberId,
        unreadable: Option<Option<Key>>,
    ) {
        let kind = DivergenceKind::Unreadable;
        let points = self.ring.as_ref().map_or(&[][..], |ring| ring.points());
        let own = points.iter().find(|(_, other)| *other == member).map(|(point, _)| *point);
        let Some(span) = own.map(|point| self.span_of(point)) else { return };
        if let Some(through) = unreadable {
            self.damage.unreadable.insert(member);
            let (nodes, keys) = (vec![member], through.into_iter().collect());
            self.tell_divergence(now, Finding { span, nodes, kind, keys, repaired: 0 });
        } else if self.damage.unreadable.remove(&member) {
            self.found_right(span, kind);
        }
    }

    /// The stretch in which a point lies.
    pub(super) fn span_of(&self, point: Point) -> Span {
        let arcs = self.ring.as_ref().and_then(|ring| ring.arcs().nth(ring.arc_at(point)));
        arcs.map_or((point, point), |arc| (arc.range.first, arc.range.last))
    }

    /// Something is wrong, or was put right.
    pub(super) fn tell_divergence(&mut self, now: Time, finding: Finding) {
        let what = self.words_of(&finding);
        let told = self.divergence(&finding);
        if told.repaired == 0 {
            self.damage.found(now, finding.span, &what, &told);
            self.note(Note::Alarm(what));
        } else {
            self.note(Note::Change(what));
        }
        if self.events.on(Topic::Member) {
            let incident = self.damage.incidents.get(&(finding.span, finding.kind));
            self.tell_of_incident(incident.map(Incident::id), Body::Divergence(told));
        }
    }

    /// A stretch is found to be right: news where it was known not to be.
    pub(super) fn found_right(&mut self, span: Span, kind: DivergenceKind) {
        let Some(incident) = self.damage.incidents.remove(&(span, kind)) else { return };
        let id = incident.id();
        let Divergence { range, nodes, keys, .. } = incident.found;
        let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
        let ((first, last), names) = (span, names.join(", "));
        let stretch = format!("range {:016x}-{:016x}", first.0, last.0);
        self.note(Note::Change(format!("what was wrong in {stretch} at {names} is right again")));
        if self.events.on(Topic::Member) {
            let (repaired, keys) = (keys.len().max(1) as u64, Vec::new());
            let body = Divergence { range, nodes, kind, keys, repaired };
            self.tell_of_incident(Some(id), Body::Divergence(body));
        }
    }

    /// What is told of it.
    fn divergence(&self, finding: &Finding) -> Divergence {
        let Finding { span, nodes, kind, keys, repaired } = finding;
        let (range, keys) = match (&self.ring, kind) {
            // Its records lie in the order of their keys: what is lost may be of any stretch.
            (Some(ring), DivergenceKind::Unreadable) => {
                let spans = nodes.iter().flat_map(|member| spans_in_sync(ring, *member));
                (spans.collect(), Vec::new())
            }
            _ => (vec![*span], keys.iter().take(NAMED_MAX).cloned().collect()),
        };
        let nodes = nodes.iter().map(|member| self.node_name(*member)).collect();
        Divergence { range, nodes, kind: *kind, keys, repaired: *repaired }
    }

    /// What was found, and what to do.
    fn words_of(&self, finding: &Finding) -> String {
        let Finding { span, nodes, kind, keys, repaired } = finding;
        let count = keys.len();
        let keys = &keys[..count.min(NAMED_MAX)];
        let names: Vec<String> = nodes.iter().map(|member| self.name_of(*member)).collect();
        let names = names.join(", ");
        let named: Vec<String> = keys.iter().map(|key| format!("{:?}", key.as_str())).collect();
        let more = if count > keys.len() { ", ..." } else { "" };
        let named = format!("{}{more}", named.join(", "));
        let (first, last) = (span.0.0, span.1.0);
        let range = format!("range {first:016x}-{last:016x}");
        match kind {
            _ if *repaired > 0 => format!("{repaired} damaged records of {names} were replaced"),
            DivergenceKind::Checksum => format!(
                "{count} records of {names} in {range} are damaged ({named}): other copies are \
                 served; run `piazza admin repair`"
            ),
            DivergenceKind::Unreadable => format!(
                "{names} cannot read its keystore{}, which `piazza admin repair` cannot mend: \
                 check its disk, then stop it, evict it (`piazza admin evict`) and start it with \
                 an empty directory",
                keys.first().map_or_else(String::new, |key| format!(" behind {:?}", key.as_str())),
            ),
            _ => format!(
                "the copies of {names} in {range} differ ({named}): nothing says which is right; \
                 compare them with `piazza locate --copies`, and write the keys again"
            ),
        }
    }

    /// Another ring is in force: what is known of other stretches or former members is void.
    pub(super) fn damage_follows_ring(&mut self) {
        let Some(ring) = self.ring.clone() else { return };
        let spans: BTreeSet<Span> =
            ring.arcs().map(|arc| (arc.range.first, arc.range.last)).collect();
        self.damage.incidents.retain(|(span, _), _| spans.contains(span));
        let members = ring.members();
        self.damage.unreadable.retain(|member| members.contains(member));
        self.damage.records.retain(|key, who| {
            who.retain(|member| ring.in_sync_at(ring.point_of(key)).contains(member));
            !who.is_empty()
        });
        self.close_incidents();
    }

    /// Incidents about damaged records end with the last of them.
    pub(super) fn close_incidents(&mut self) {
        let Some(ring) = &self.ring else { return };
        let keys: Vec<_> = self.damage.records.keys().map(|key| ring.point_of(key)).collect();
        let is_over = |((first, last), kind): &(Span, DivergenceKind)| {
            let range = Range { first: *first, last: *last };
            *kind == DivergenceKind::Checksum && !keys.iter().any(|point| range.contains(*point))
        };
        let over = self.damage.incidents.keys().filter(|one| is_over(one));
        let over: Vec<_> = over.copied().collect();
        over.into_iter().for_each(|(span, kind)| self.found_right(span, kind));
    }
}
