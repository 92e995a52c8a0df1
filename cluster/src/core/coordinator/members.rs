//! The nodes as the coordinator sees them: registration, heartbeats, verdicts, links to open.
//!
//! A registration grants nothing (R15): it only says where to dial. What a node is worth is shown
//! by its report (`resolve`). Who is a member, the ring in force says (`rings`).

use protocol::event::RecoveryPhase;
use protocol::ids::{Incarnation, MemberId, NodeName, Uuid};
use protocol::peer::{
    CopyProgress, Down, DownBody, Greeting, Heartbeat, Open, Register, Registered, Report,
    RingRecord,
};
use protocol::status::NodeState;

use super::super::detector::{self, Observed, Verdict};
use super::super::ring::number_in;
use super::super::time::Time;
use super::admission::Unwelcome;
use super::census::Counted;
use super::links::{Link, LinkPhase};
use super::{Coordinator, Effect, Note, Phase, RegistrationId};

/// First wait before a lost link is dialled again, milliseconds; doubles up to the last.
const REDIAL_MS: u64 = 20;
const REDIAL_MS_MAX: u64 = 500;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) uuid: Uuid,
    pub(super) name: NodeName,
    /// Its number, once the ring is known.
    pub(super) id: Option<MemberId>,
    pub(super) register: Option<Register>,
    pub(super) registered_on: Option<RegistrationId>,
    pub(super) registered_at: Time,
    pub(super) link: Link,
    pub(super) last_heard: Time,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) heartbeat_at: Option<Time>,
    pub(super) heartbeats: u64,
    /// What it counted last by the ring before that of its newest heartbeat.
    pub(super) counted_before: Option<Counted>,
    pub(super) state: NodeState,
    /// Why it is seen so, as the event `member_state` says it.
    pub(super) reason: &'static str,
    /// It has learned what it missed in its present incarnation.
    pub(super) caught_up: bool,
    /// What it said when this epoch was claimed, until it is made use of.
    pub(super) report: Option<Box<Report>>,
    /// How far it had come with what it is learning when it reported last.
    pub(super) copied: Vec<CopyProgress>,
    /// What it said first about the promise before this epoch.
    pub(super) before: Option<protocol::peer::Fence>,
    /// Its state as a witness for R6, once it has reported under this epoch.
    pub(super) witness: Option<super::resolve::Witness>,
    /// The newest ring that it holds durably.
    pub(super) installed: Option<protocol::ids::RingNumber>,
    pub(super) marked: bool,
    /// The end of its log, as last told.
    pub(super) end: protocol::ids::GroupSeq,
    /// Its disk is full, as last told: it refuses what is handed over to it.
    pub(super) full: bool,
    /// It has no space for what is copied to it, as last told.
    pub(super) no_space: bool,
    /// When it last had no link, or lost the one it had.
    link_lost: Time,
    /// Since when it is not up.
    pub(super) silent_since: Time,
    pub(super) redial_at: Option<Time>,
    pub(super) redial_ms: u64,
}

impl Node {
    fn new(register: &Register, now: Time) -> Self {
        Self {
            uuid: register.uuid,
            name: register.name.clone(),
            id: None,
            register: None,
            registered_on: None,
            registered_at: now,
            link: Link::default(),
            last_heard: now,
            heartbeat: None,
            heartbeat_at: None,
            heartbeats: 0,
            counted_before: None,
            state: NodeState::Suspect,
            reason: "registered",
            caught_up: false,
            report: None,
            copied: Vec::new(),
            before: None,
            witness: None,
            installed: None,
            marked: false,
            end: protocol::ids::GroupSeq(0),
            full: false,
            no_space: false,
            link_lost: now,
            silent_since: now,
            redial_at: None,
            redial_ms: REDIAL_MS,
        }
    }

    pub(super) fn incarnation(&self) -> Option<Incarnation> {
        self.register.as_ref().map(|register| register.incarnation)
    }

    /// Whether its disk can take what is copied to it.
    pub(super) fn has_room(&self) -> bool {
        !self.full && !self.no_space
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == NodeState::Up
    }

    /// Whether updates in which it takes part are not refused because of it.
    pub(super) fn takes_writes(&self) -> bool {
        self.is_up() && !self.full
    }
}

impl Coordinator {
    pub(super) fn on_register(&mut self, now: Time, conn: RegistrationId, register: Register) {
        if let Err(Unwelcome { reason, later }) = self.admit(&register) {
            // Who was removed is as it was ordered; who asks again and again says so itself.
            if !self.tell_removed_again(&register) && !later {
                self.note(Note::Alarm(format!("{} may not register: {reason}", register.name)));
            }
            let answer = Registered::Refused { reason, later };
            self.effects.push(Effect::Registered { conn, answer });
            return;
        }
        let place = self.nodes.iter().position(|node| node.uuid == register.uuid);
        let place = place.unwrap_or_else(|| {
            // Who waited to be added and has gone leaves its place to the next one.
            let free = self.nodes.iter().position(|node| self.is_forgotten(node));
            let node = Node::new(&register, now);
            match free {
                Some(place) => self.nodes[place] = node,
                None => self.nodes.push(node),
            }
            free.unwrap_or(self.nodes.len() - 1)
        });
        self.events.states_may_differ();
        let welcome = Registered::Welcome(Greeting::new(self.known_cluster()));
        self.effects.push(Effect::Registered { conn, answer: welcome });
        let node = &mut self.nodes[place];
        let restarted = node.incarnation() != Some(register.incarnation);
        if !restarted && node.registered_on > Some(conn) {
            // Held up on its way, and given up: the node waits for the end of a newer connection.
            return;
        }
        node.last_heard = now;
        node.registered_on = Some(conn);
        node.registered_at = now;
        node.register = Some(register);
        node.redial_ms = REDIAL_MS;
        node.redial_at = None;
        if restarted {
            node.caught_up = false;
            (node.heartbeat, node.counted_before) = (None, None);
            self.end_link(now, place, false);
            self.void_votes(place);
            if let Some(member) = self.nodes[place].id {
                self.transfers_void(now, member);
            }
            // It is there now: no need to wait as after an attempt that failed.
            self.nodes[place].redial_at = None;
            self.tell_recovery(now, place, RecoveryPhase::Log, (0, 0));
            self.watch_members(now);
        }
        self.take_numbers();
        self.dial(now, place);
        self.claim_step(now);
    }

    /// Whether a node that never was a member has gone: nobody waits for it.
    pub(super) fn is_forgotten(&self, node: &Node) -> bool {
        let Some((record, _)) = self.newest() else { return false };
        let gone = node.registered_on.is_none() && node.link.phase == LinkPhase::Closed;
        let mut known = record.departed.iter().chain(&record.outgoing);
        gone && node.id.is_none() && !known.any(|departed| departed.uuid == node.uuid)
    }

    pub(super) fn known_cluster(&self) -> Option<Uuid> {
        let ours = self.record.as_ref().map(|record| record.cluster);
        let told = || self.nodes.iter().filter_map(|node| node.register.as_ref()?.ring.as_ref());
        ours.or_else(|| told().next().map(|ring| ring.cluster))
    }

    pub(super) fn on_unregistered(&mut self, now: Time, conn: RegistrationId) {
        let place = self.nodes.iter().position(|node| node.registered_on == Some(conn));
        let Some(place) = place else { return };
        self.nodes[place].registered_on = None;
        self.events.states_may_differ();
        self.watch_members(now);
    }

    pub(super) fn on_heartbeat(&mut self, now: Time, heartbeat: &Heartbeat) {
        let node = self.nodes.iter_mut().find(|node| node.uuid == heartbeat.uuid);
        let Some(node) = node else { return };
        let registered = node.incarnation();
        let cluster = self.record.as_ref().map(|record| record.cluster);
        let foreign = heartbeat.cluster.is_some() && cluster.is_some();
        if registered != Some(heartbeat.incarnation) || (foreign && heartbeat.cluster != cluster) {
            return;
        }
        let stale = node.heartbeat.as_ref().is_some_and(|newest| newest.seq >= heartbeat.seq);
        if stale {
            return;
        }
        node.last_heard = now;
        let before = node.heartbeat_at.replace(now);
        node.heartbeats += 1;
        node.counted_before = Counted::before(node, heartbeat);
        node.heartbeat = Some(heartbeat.clone());
        self.tell_heartbeat(now, heartbeat, before);
        self.watch_members(now);
    }

    /// Numbers the nodes once a ring names them.
    pub(super) fn take_numbers(&mut self) {
        let ids: Vec<Option<MemberId>> =
            self.nodes.iter().map(|node| self.number_of(node.uuid)).collect();
        self.number_nodes(ids);
    }

    /// The same by a ring that is being claimed.
    pub(super) fn take_numbers_of(&mut self, record: &RingRecord) {
        let ids = self.nodes.iter().map(|node| number_in(record, node.uuid)).collect();
        self.number_nodes(ids);
    }

    fn number_nodes(&mut self, ids: Vec<Option<MemberId>>) {
        self.by_member.clear();
        self.events.states_may_differ();
        let active = self.phase == Phase::Active;
        for (place, (node, id)) in self.nodes.iter_mut().zip(ids).enumerate() {
            if active && node.id.is_none() && id.is_some() {
                // It waits here, and nobody has looked at it since it had a number: why it was not
                // up then says nothing.
                node.reason = "registered";
            }
            node.id = id;
            self.by_member.extend(id.map(|id| (id, place)));
        }
    }

    pub(super) fn node_of(&self, member: MemberId) -> Option<&Node> {
        self.by_member.get(&member).map(|place| &self.nodes[*place])
    }

    /// The name of a member of the ring in force.
    pub(super) fn node_name(&self, member: MemberId) -> NodeName {
        let record = self.newest().map(|(record, _)| record);
        let member = record.and_then(|r| r.members.iter().find(|other| other.id == member));
        let unknown = || NodeName::new("unknown").expect("a valid name");
        member.map_or_else(unknown, |member| member.name.clone())
    }

    /// The name by which people know a member.
    pub(super) fn name_of(&self, member: MemberId) -> String {
        let newest = self.newest().map(|(record, _)| (**record).clone());
        let record = newest.or_else(|| self.newest_ring());
        let named = |record: RingRecord| {
            let present = record.members.into_iter().map(|member| (member.id, member.name));
            let gone = record.departed.into_iter().chain(record.outgoing);
            let mut all = present.chain(gone.map(|departed| (departed.id, departed.name)));
            all.find(|(id, _)| *id == member).map(|(_, name)| name.to_string())
        };
        record.and_then(named).unwrap_or_else(|| "a node".to_owned())
    }

    /// Begins a link to a node where one is wanted and none is.
    pub(super) fn dial(&mut self, now: Time, place: usize) {
        let claiming = !matches!(self.phase, Phase::Gathering { .. } | Phase::Stopped);
        let node = &mut self.nodes[place];
        // Who is no member is asked for nothing once it has gone.
        let there = node.id.is_some() || node.registered_on.is_some() || self.record.is_none();
        let wanted = claiming && there && node.link.phase == LinkPhase::Closed;
        let due = node.redial_at.is_none_or(|at| at <= now);
        let Some(register) = node.register.as_ref().filter(|_| wanted && due) else { return };
        self.last_session += 1;
        let session = self.last_session;
        node.redial_at = None;
        node.link = Link::dialing(session, node.link.refused);
        self.by_session.insert(session, place);
        self.effects.push(Effect::Dial { session, addr: register.addr });
    }

    pub(super) fn on_link_up(&mut self, now: Time, session: u64) {
        let Some(place) = self.by_session.get(&session).copied() else { return };
        let cluster = self.known_cluster();
        let node = &mut self.nodes[place];
        let (store, Some(incarnation)) = (node.uuid, node.incarnation()) else { return };
        node.link.phase = LinkPhase::Opening;
        self.events.states_may_differ();
        let open = Open {
            greeting: Greeting::new(cluster),
            coordinator: self.config.instance,
            store,
            incarnation,
        };
        self.send(now, place, DownBody::Open(open));
        self.tell_link(now, place, true);
    }

    /// Sends one message on a node's link.
    pub(super) fn send(&mut self, now: Time, place: usize, body: DownBody) -> u64 {
        let epoch = self.epoch;
        let link = &mut self.nodes[place].link;
        let n = link.number(now);
        let session = link.session;
        let down = Box::new(Down { session, n, epoch, body });
        self.effects.push(Effect::Send { session, down });
        n
    }

    pub(super) fn on_link_lost(&mut self, now: Time, session: u64, refused: bool) {
        let Some(place) = self.by_session.get(&session).copied() else { return };
        self.end_link(now, place, refused);
        self.watch_members(now);
    }

    /// Ends a node's link, if it has one, and plans the next attempt.
    pub(super) fn end_link(&mut self, now: Time, place: usize, refused: bool) {
        if self.nodes[place].link.phase == LinkPhase::Closed {
            return;
        }
        self.trace_link_ended(place);
        self.events.states_may_differ();
        let node = &mut self.nodes[place];
        let session = node.link.session;
        if node.link.phase == LinkPhase::Ready {
            node.link_lost = now;
        }
        let reads = std::mem::take(&mut node.link.reads);
        let scans = std::mem::take(&mut node.link.scans);
        // A report makes the link ready that it came on, and no other: the next one brings its own.
        node.report = None;
        node.link = Link::closed(refused);
        node.redial_at = Some(now.plus_ms(node.redial_ms));
        node.redial_ms = (node.redial_ms * 2).min(REDIAL_MS_MAX);
        self.by_session.remove(&session);
        self.effects.push(Effect::HangUp { session });
        self.tell_link(now, place, false);
        if let Some(member) = self.nodes[place].id {
            self.transfers_lost(now, member);
            self.audits_lost(member);
            self.onces_lost(member);
        }
        self.reads_lost(now, reads);
        self.scans_lost(now, scans);
    }

    /// After a pause of this process all silence is its own (H43), whatever it hears of first.
    pub(super) fn watch_clock(&mut self, now: Time) {
        let Some(gap) = self.clock.tick(now, super::TICK_MS * 1000) else { return };
        self.events.awake(now);
        let moved = |time: Time| time.max(time.plus_us(gap).min(now));
        for node in &mut self.nodes {
            node.last_heard = moved(node.last_heard);
            node.link_lost = moved(node.link_lost);
            node.silent_since = moved(node.silent_since);
            node.link.excuse(moved);
        }
    }

    /// Gives each node its verdict, and dials those that are due.
    pub(super) fn watch_members(&mut self, now: Time) {
        for place in 0..self.nodes.len() {
            self.dial(now, place);
            self.ask_now_and_then(now, place);
            if self.nodes[place].id.is_none() && self.record.is_some() {
                continue;
            }
            let (state, reason) = self.verdict(now, place);
            let node = &mut self.nodes[place];
            if node.reason != reason {
                node.reason = reason;
                self.events.states_may_differ();
            }
            if node.state != state {
                let was_up = node.is_up();
                if was_up {
                    node.silent_since = now;
                }
                node.state = state;
                let note = Note::Member { node: node.name.clone(), state, reason };
                self.note(note);
                self.tell_states(now);
                if was_up {
                    self.on_member_silent(now, place);
                } else if state == NodeState::Up {
                    self.on_member_up(now);
                }
            }
        }
    }

    fn verdict(&self, now: Time, place: usize) -> (NodeState, &'static str) {
        let node = &self.nodes[place];
        if node.id.is_some_and(|member| self.has_lost(member)) {
            return (NodeState::Down, "lost");
        }
        let link = match node.link.phase {
            LinkPhase::Closed | LinkPhase::Dialing if node.link.refused => detector::Link::Refused,
            LinkPhase::Closed | LinkPhase::Dialing | LinkPhase::Opening => {
                detector::Link::Lost { since: node.link_lost }
            }
            LinkPhase::Ready => detector::Link::Up,
        };
        let observed = Observed {
            registered: node.register.is_some(),
            link,
            last_heard: node.last_heard,
            asked_oldest: node.link.asked_oldest(),
        };
        match observed.verdict(self.config.heartbeat_ms, now) {
            Verdict::Up if node.caught_up => (NodeState::Up, "caught_up"),
            Verdict::Up => (NodeState::Suspect, "registered"),
            Verdict::Suspect(reason) => (NodeState::Suspect, reason.name()),
            Verdict::Down(reason) => (NodeState::Down, reason.name()),
        }
    }
}
