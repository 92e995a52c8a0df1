//! Connections between coordinators and nodes: in order, nothing lost, unless a script holds, drops,
//! doubles or breaks.
//!
//! Each end hears of the other's end behind all that was sent before, so that a message of a dead
//! coordinator may still arrive. Every message goes through its text on the wire.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use cluster::core::coordinator::Input;
use cluster::core::node::{ConnId, Input as NodeInput};
use protocol::ids::{Key, Version};
use protocol::peer::{Down, DownBody, Up};

use super::script::Held;
use super::words;
use super::world::World;

/// One connection that a coordinator has dialled.
pub(super) struct Wire {
    pub(super) coordinator: usize,
    pub(super) session: u64,
    pub(super) node: usize,
    pub(super) conn: ConnId,
    /// Each end as that end sees it.
    pub(super) coordinator_open: bool,
    pub(super) node_open: bool,
    pub(super) down: VecDeque<Carried<Down>>,
    pub(super) up: VecDeque<Carried<Up>>,
    /// The keys of the questions asked on it.
    asked: BTreeMap<u64, Key>,
    /// Decisions sent on it, by the number of their message.
    deciding: VecDeque<(u64, Vec<Version>)>,
}

/// What is on its way.
pub(super) enum Carried<M> {
    /// A message; how it is told, if it is.
    Message { message: Box<M>, told: Option<String> },
    /// The other end has gone.
    End,
}

impl<M> Carried<M> {
    /// Whether a reader of the trace knows of it.
    fn is_told(&self) -> bool {
        matches!(self, Self::Message { told: Some(_), .. } | Self::End)
    }
}

impl World {
    /// A coordinator dials; a process that listens there accepts at once.
    pub(super) fn dial(&mut self, coordinator: usize, session: u64, addr: SocketAddr) {
        let node = usize::from(addr.port()) / 1_000;
        let machine = self.machines.get_mut(node);
        let there = machine.is_some_and(|machine| machine.listens_on(addr));
        if !there {
            self.coordinators[coordinator]
                .inbox
                .push_back(Input::LinkLost { session, refused: true });
            return;
        }
        self.last_conn += 1;
        self.wires.push(Wire {
            coordinator,
            session,
            node,
            conn: ConnId(self.last_conn),
            coordinator_open: true,
            node_open: true,
            down: VecDeque::new(),
            up: VecDeque::new(),
            asked: BTreeMap::new(),
            deciding: VecDeque::new(),
        });
        self.coordinators[coordinator].inbox.push_back(Input::LinkUp { session });
    }

    pub(super) fn wire_of_session(&mut self, coordinator: usize, session: u64) -> Option<usize> {
        let own = |w: &Wire| w.coordinator == coordinator && w.session == session;
        self.wires.iter().position(|wire| own(wire) && wire.coordinator_open)
    }

    pub(super) fn wire_of_conn(&self, node: usize, conn: ConnId) -> Option<usize> {
        self.wires.iter().position(|w| w.node == node && w.conn == conn && w.node_open)
    }

    /// A message to a node.
    pub(super) fn send_down(&mut self, at: usize, down: &Down) {
        let text = serde_json::to_string(down).expect("messages serialize");
        let message: Box<Down> = serde_json::from_str(&text).expect("messages read back");
        let told = words::down(&message, self.watches_settled);
        let wire = &mut self.wires[at];
        if let DownBody::Batch(batch) = &message.body {
            wire.asked.extend(batch.read.iter().map(|ask| (ask.r, ask.k.clone())));
            let ids = batch.commit.iter().copied().chain(batch.adopt.iter().map(|p| p.id));
            let ids: Vec<Version> = ids.chain(batch.abort.iter().map(|abort| abort.id)).collect();
            wire.deciding.push_back((message.n, ids));
        }
        let (coordinator, node) = (wire.coordinator, wire.node);
        wire.down.push_back(Carried::Message { message, told: told.clone() });
        if self.is_held(Held::Down(Some(coordinator), node))
            && let Some(told) = told
        {
            self.event(format!("c{} -> n{}: {told} (held)", coordinator + 1, node + 1));
        }
    }

    /// A message to a coordinator.
    pub(super) fn send_up(&mut self, at: usize, up: &Up) {
        let text = serde_json::to_string(up).expect("messages serialize");
        let message: Box<Up> = serde_json::from_str(&text).expect("messages read back");
        let wire = &mut self.wires[at];
        let mut confirmed = Vec::new();
        while wire.deciding.front().is_some_and(|(n, _)| *n <= message.durable) {
            confirmed.extend(wire.deciding.pop_front().into_iter().flat_map(|(_, ids)| ids));
        }
        let told = words::up(&message, &wire.asked, &confirmed);
        let (coordinator, node) = (wire.coordinator, wire.node);
        wire.up.push_back(Carried::Message { message, told: told.clone() });
        let held = self.is_held(Held::Up(Some(coordinator), node));
        if (held || self.coordinators[coordinator].paused)
            && let Some(told) = told
        {
            self.event(format!("n{} -> c{}: {told} (held)", node + 1, coordinator + 1));
        }
    }

    /// Delivers to the nodes.
    pub(super) fn carry_down(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.wires.len() {
            let way = Held::Down(Some(self.wires[at].coordinator), self.wires[at].node);
            while !self.is_held(way) && self.deliver_down(at) {
                any = true;
            }
        }
        any
    }

    /// Delivers to the coordinators.
    pub(super) fn carry_up(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.wires.len() {
            let coordinator = self.wires[at].coordinator;
            let way = Held::Up(Some(coordinator), self.wires[at].node);
            while !self.coordinators[coordinator].paused
                && !self.is_held(way)
                && self.deliver_up(at)
            {
                any = true;
            }
        }
        any
    }

    fn deliver_down(&mut self, at: usize) -> bool {
        let wire = &mut self.wires[at];
        let Some(carried) = wire.down.pop_front() else { return false };
        let (coordinator, node, conn) = (wire.coordinator, wire.node, wire.conn);
        match carried {
            Carried::Message { message, told } => {
                let nobody = if wire.node_open { "" } else { " (link closed)" };
                let open = wire.node_open;
                if let Some(told) = told {
                    self.event(format!("c{} -> n{}: {told}{nobody}", coordinator + 1, node + 1));
                }
                if open {
                    let down = self.tampered(node, message);
                    self.hand_in_node(node, NodeInput::Down { conn, down });
                }
            }
            Carried::End if wire.node_open => {
                wire.node_open = false;
                self.hand_in_node(node, NodeInput::Disconnected(conn));
            }
            Carried::End => {}
        }
        true
    }

    fn deliver_up(&mut self, at: usize) -> bool {
        let wire = &mut self.wires[at];
        let Some(carried) = wire.up.pop_front() else { return false };
        let (coordinator, node, session) = (wire.coordinator, wire.node, wire.session);
        match carried {
            Carried::Message { message, told } => {
                let open = wire.coordinator_open;
                let nobody = if open { "" } else { " (link closed)" };
                if let Some(told) = told {
                    self.event(format!("n{} -> c{}: {told}{nobody}", node + 1, coordinator + 1));
                }
                if open {
                    self.hand_in(coordinator, Input::Up { session, up: message });
                }
            }
            Carried::End if wire.coordinator_open => {
                wire.coordinator_open = false;
                self.event(format!("c{}: the link to n{} has ended", coordinator + 1, node + 1));
                self.hand_in(coordinator, Input::LinkLost { session, refused: false });
            }
            Carried::End => {}
        }
        true
    }

    /// The wire that has the oldest thing worth telling on a way, and its place in the queue.
    fn oldest(&self, way: Held) -> Result<(usize, usize), String> {
        for (at, wire) in self.wires.iter().enumerate() {
            let place = match way {
                Held::Down(Some(c), n) if (c, n) == (wire.coordinator, wire.node) => {
                    wire.down.iter().position(Carried::is_told)
                }
                Held::Up(Some(c), n) if (c, n) == (wire.coordinator, wire.node) => {
                    wire.up.iter().position(Carried::is_told)
                }
                _ => None,
            };
            if let Some(place) = place {
                return Ok((at, place));
            }
        }
        Err("nothing is held there".into())
    }

    /// Delivers the oldest held message of a way, and what came before it.
    pub(super) fn deliver(&mut self, way: Held) -> Result<(), String> {
        let (at, place) = self.oldest(way)?;
        for _ in 0..=place {
            match way {
                Held::Down(..) => self.deliver_down(at),
                _ => self.deliver_up(at),
            };
        }
        self.run();
        Ok(())
    }

    /// The oldest held message of a way is lost.
    pub(super) fn drop_held(&mut self, way: Held) -> Result<(), String> {
        let (at, place) = self.oldest(way)?;
        let wire = &mut self.wires[at];
        match way {
            Held::Down(..) => drop(wire.down.remove(place)),
            _ => drop(wire.up.remove(place)),
        }
        Ok(())
    }

    /// The oldest held message of a way will come twice.
    pub(super) fn dup_held(&mut self, way: Held) -> Result<(), String> {
        fn double<M: Clone>(queue: &mut VecDeque<Carried<M>>, place: usize) {
            if let Some(Carried::Message { message, told }) = queue.get(place) {
                let told = told.as_ref().map(|told| format!("{told} (again)"));
                let twin = Carried::Message { message: message.clone(), told };
                queue.insert(place + 1, twin);
            }
        }
        let (at, place) = self.oldest(way)?;
        let wire = &mut self.wires[at];
        match way {
            Held::Down(..) => double(&mut wire.down, place),
            _ => double(&mut wire.up, place),
        }
        Ok(())
    }

    /// The node's end of a wire is closed: nothing more arrives there.
    pub(super) fn close_node_end(&mut self, at: usize) {
        let wire = &mut self.wires[at];
        wire.node_open = false;
        wire.up.push_back(Carried::End);
    }

    /// The coordinator's end of a wire is closed: nothing more arrives there.
    pub(super) fn close_coordinator_end(&mut self, at: usize) {
        let wire = &mut self.wires[at];
        wire.coordinator_open = false;
        wire.down.push_back(Carried::End);
    }

    /// A connection breaks: what is on its way is lost, and both ends hear of it.
    pub(super) fn break_wires(&mut self, coordinator: Option<usize>, node: usize) {
        for wire in &mut self.wires {
            if wire.node == node && coordinator.is_none_or(|c| c == wire.coordinator) {
                wire.down.clear();
                wire.up.clear();
                wire.down.push_back(Carried::End);
                wire.up.push_back(Carried::End);
            }
        }
    }
}
