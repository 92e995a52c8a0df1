//! Links between coordinator and nodes, registrations and heartbeats: what is sent comes late,
//! twice, out of order, or not at all, as the seed's plan has it.
//!
//! A link behaves as TCP does as long as nothing breaks it: in order, nothing lost. Each end learns
//! of its end by itself, so what was on its way may come after the other end has begun anew.
//! Overtaking, doubling and losing single messages are worse than TCP; the session numbers must
//! notice them. What TCP does promise is kept: after a loss the link breaks some time later. Every
//! message goes through its text on the wire.

use std::sync::Arc;

use cluster::core::coordinator::Input;
use cluster::core::node::{ConnId, Input as NodeInput};
use protocol::peer::{Down, DownBody, Up};

use super::plan::{Fault, MS};
use super::world::{Event, World};

/// One connection that a coordinator has dialled.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) coordinator: usize,
    pub(crate) session: u64,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) conn: ConnId,
    /// Each end as that end sees it.
    pub(crate) coordinator_open: bool,
    pub(crate) node_open: bool,
    /// When the last message so far arrives, each way.
    down_at: u64,
    up_at: u64,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Down,
    Up,
}

impl World {
    /// One way's delay.
    pub(crate) fn delay(&mut self) -> u64 {
        let net = &self.plan.net;
        let (least, more) = (net.delay_us, net.jitter_us);
        least + self.rng.below(more + 1)
    }

    /// Whether a fault strikes that is due `parts` times in 10,000.
    pub(crate) fn rarely(&mut self, fault: Fault, parts: u64) -> bool {
        parts > 0 && self.rng.below(10_000) < parts && self.strikes(fault)
    }

    /// After how long an end learns that the other one has gone.
    fn notice_delay(&mut self) -> u64 {
        let late = self.plan.net.silent_ends && self.rng.chance(30);
        self.delay() + if late { self.rng.below(4_000) * MS } else { 0 }
    }

    /// A coordinator dials; the answer comes later.
    pub(crate) fn dial(&mut self, coordinator: usize, session: u64, addr: std::net::SocketAddr) {
        let number = self.links.len() as u64;
        let node = usize::from(addr.port()) / 1_000;
        let life = u64::from(addr.port()) % 1_000;
        self.links.insert(
            number,
            Link {
                coordinator,
                session,
                node,
                life,
                conn: ConnId(0),
                coordinator_open: true,
                node_open: false,
                down_at: 0,
                up_at: 0,
            },
        );
        self.coordinators[coordinator].links.insert(session, number);
        let after = self.passes(node, Way::Down) + self.delay();
        self.after(after, Event::Dialled(number));
    }

    /// A dial arrives at the node's machine, which accepts it even while the process is paused.
    pub(crate) fn on_dialled(&mut self, number: u64) {
        let Some(link) = self.links.get(&number) else { return };
        let (node, life) = (link.node, link.life);
        let back = self.passes(node, Way::Up) + self.delay();
        let Some(process) = self.nodes[node].process.as_mut().filter(|p| p.life == life) else {
            self.coverage.met("dials refused");
            self.after(back, Event::DialRefused(number));
            return;
        };
        process.last_conn += 1;
        let conn = ConnId(process.last_conn);
        process.conns.insert(conn, number);
        let link = self.links.get_mut(&number).expect("it was there");
        link.conn = conn;
        link.node_open = true;
        self.after(back, Event::LinkUp(number));
    }

    /// The coordinator hears that its dial met nobody.
    pub(crate) fn on_dial_refused(&mut self, number: u64) {
        let Some((coordinator, session)) = self.close_at_coordinator(number) else { return };
        self.hand_in(coordinator, Input::LinkLost { session, refused: true });
    }

    /// The coordinator hears that its dial was accepted.
    pub(crate) fn on_link_up(&mut self, number: u64) {
        let link = &self.links[&number];
        let (coordinator, session, open) = (link.coordinator, link.session, link.coordinator_open);
        if open {
            self.hand_in(coordinator, Input::LinkUp { session });
        }
    }

    /// A message to a node.
    pub(crate) fn send_down(&mut self, number: u64, down: &Down) {
        if let DownBody::Batch(batch) = &down.body {
            self.note_sent(batch);
        }
        let text = serde_json::to_string(down).expect("messages serialize");
        self.carry(number, Way::Down, text);
    }

    /// A message to a coordinator.
    pub(crate) fn send_up(&mut self, number: u64, up: &Up) {
        let link = &self.links[&number];
        if !self.nodes[link.node].tampered.is_impostor(link.life) {
            self.note_said(link.node, link.coordinator, up);
        }
        let text = serde_json::to_string(up).expect("messages serialize");
        self.carry(number, Way::Up, text);
    }

    fn carry(&mut self, number: u64, way: Way, text: String) {
        let net = self.plan.net.clone();
        let event = |text: String| match way {
            Way::Down => Event::Down(number, text),
            Way::Up => Event::Up(number, text),
        };
        if self.rarely(Fault::LoseMessage, net.lose) {
            self.coverage.met("messages lost");
            // The sender's retransmissions end: both ends hear of it, each in its time.
            let patience = 50 * MS + self.rng.below(3_000) * MS;
            self.after(patience, Event::Reset(number));
            return;
        }
        let node = self.links[&number].node;
        let clogged = self.passes(node, way);
        let mut wait = clogged + self.delay();
        if self.rarely(Fault::StallMessage, net.stall) {
            wait += self.rng.below(2_000) * MS;
        }
        let link = self.links.get_mut(&number).expect("a link that is sent on");
        let last = if way == Way::Down { &mut link.down_at } else { &mut link.up_at };
        let fifo = (self.now + wait).max(*last + 1);
        *last = fifo;
        let mut at = fifo;
        if clogged == 0 && self.rarely(Fault::OvertakingMessage, net.overtake) {
            self.coverage.met("messages overtaking");
            at = self.now + 1;
        }
        if self.rarely(Fault::DoubleMessage, net.double) {
            self.coverage.met("messages doubled");
            let later = at + self.rng.below(20 * MS);
            self.at(later, event(text.clone()));
        }
        self.at(at, event(text));
        if self.rarely(Fault::ResetLink, net.reset) {
            let after = self.rng.below(5 * MS);
            self.after(after, Event::Reset(number));
        }
    }

    /// A message arrives at a node.
    pub(crate) fn on_down(&mut self, number: u64, text: &str) {
        let link = &self.links[&number];
        if !link.node_open {
            return;
        }
        let (node, conn) = (link.node, link.conn);
        let mut down: Box<Down> = serde_json::from_str(text).expect("messages read back");
        self.cover_down(node, &down);
        self.make_refuse(&mut down);
        self.hand_in_node(node, NodeInput::Down { conn, down });
    }

    /// A message arrives at a coordinator.
    pub(crate) fn on_up(&mut self, number: u64, text: &str) {
        let link = &self.links[&number];
        if !link.coordinator_open {
            return;
        }
        let (coordinator, session) = (link.coordinator, link.session);
        let (node, life) = (link.node, link.life);
        let up: Box<Up> = serde_json::from_str(text).expect("messages read back");
        if !self.nodes[node].tampered.is_impostor(life) {
            self.note_heard(coordinator, node, life, &up);
        }
        if up.fenced.is_some() {
            self.coverage.met("claims fenced");
        }
        self.coverage.add("votes no", up.no.len() as u64);
        self.hand_in(coordinator, Input::Up { session, up });
    }

    /// With its membership fixed a sound cluster gives a node next to no reason for a no: so here
    /// and there a prepare names another ring. Asked again, the node may well say yes, unless it
    /// remembers.
    fn make_refuse(&mut self, down: &mut Down) {
        let DownBody::Batch(batch) = &mut down.body else { return };
        for prepare in &mut batch.prepare {
            if !self.healed && self.rarely(Fault::SpoilPrepare, self.plan.refuse) {
                Arc::make_mut(prepare).ring.counter += 1;
                self.coverage.met("prepares spoilt");
            }
        }
    }

    fn cover_down(&mut self, node: usize, down: &Down) {
        let DownBody::Batch(batch) = &down.body else { return };
        self.coverage.add("adopted", batch.adopt.len() as u64);
        let Some(process) = &self.nodes[node].process else { return };
        if down.epoch < process.core.meta().fence.epoch {
            self.coverage.add("late prepares", batch.prepare.len() as u64);
        }
    }

    /// The link breaks: both ends learn of it, each in its time.
    pub(crate) fn reset(&mut self, number: u64) {
        let link = &self.links[&number];
        if link.coordinator_open || link.node_open {
            self.coverage.met("links reset");
            self.tell_coordinator_end(number);
            self.tell_node_end(number);
        }
    }

    /// The coordinator's end will hear of the link's end; what is on its way may come before.
    pub(crate) fn tell_coordinator_end(&mut self, number: u64) {
        let wait = self.passes(self.links[&number].node, Way::Up) + self.notice_delay();
        let behind = if self.rng.chance(70) { self.links[&number].up_at + 1 } else { 0 };
        self.at((self.now + wait).max(behind), Event::CoordinatorEnd(number));
    }

    /// The node's end will hear of the link's end; what is on its way may come before.
    pub(crate) fn tell_node_end(&mut self, number: u64) {
        let wait = self.passes(self.links[&number].node, Way::Down) + self.notice_delay();
        let behind = if self.rng.chance(70) { self.links[&number].down_at + 1 } else { 0 };
        self.at((self.now + wait).max(behind), Event::NodeEnd(number));
    }

    /// The coordinator hears that a link has ended.
    pub(crate) fn on_coordinator_end(&mut self, number: u64) {
        let Some((coordinator, session)) = self.close_at_coordinator(number) else { return };
        self.tell_node_end(number);
        self.hand_in(coordinator, Input::LinkLost { session, refused: false });
    }

    /// The node hears that a link has ended.
    pub(crate) fn on_node_end(&mut self, number: u64) {
        let link = self.links.get_mut(&number).expect("links stay known");
        if !std::mem::take(&mut link.node_open) {
            return;
        }
        let (node, conn) = (link.node, link.conn);
        self.tell_coordinator_end(number);
        if let Some(process) = &mut self.nodes[node].process {
            process.conns.remove(&conn);
        }
        self.hand_in_node(node, NodeInput::Disconnected(conn));
    }

    /// Closes the coordinator's end; whose it was, if it was open.
    pub(crate) fn close_at_coordinator(&mut self, number: u64) -> Option<(usize, u64)> {
        let link = self.links.get_mut(&number)?;
        if !std::mem::take(&mut link.coordinator_open) {
            return None;
        }
        let (coordinator, session) = (link.coordinator, link.session);
        self.coordinators[coordinator].links.remove(&session);
        Some((coordinator, session))
    }
}
