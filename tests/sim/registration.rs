//! A simulated node's registration, held open at whoever has the coordinator's address, and its
//! heartbeats. Both may be lost; heartbeats also come twice and late.

use protocol::peer::Registered;

use super::lanes::heartbeat;
use super::network::Way;
use super::plan::{Fault, HEARTBEAT_MS, MS};
use super::world::{Event, Failure, World};

impl World {
    /// A node tries to register with whoever has the coordinator's address.
    pub(crate) fn register_now(&mut self, node: usize) {
        let lost = !self.healed && self.datagram_lost();
        let Some(coordinator) = self.reachable().filter(|_| !lost) else {
            self.register_again(node);
            return;
        };
        self.last_registration += 1;
        let conn = self.last_registration;
        let process = self.process(node);
        process.registration = Some(conn);
        process.registered_at = coordinator;
        let life = process.life;
        let text = serde_json::to_string(&process.register).expect("messages serialize");
        let wait = self.passes(node, Way::Up) + self.delay();
        self.after(wait, Event::Register { coordinator, conn, node, life, text });
    }

    fn datagram_lost(&mut self) -> bool {
        self.rarely(Fault::LoseDatagram, self.plan.net.lose_datagrams * 100)
    }

    fn register_again(&mut self, node: usize) {
        let process = self.process(node);
        let (life, wait) = (process.life, process.register_wait);
        process.register_wait = (wait * 2).min(500);
        self.after(wait * MS, Event::RegisterNow(node, life));
    }

    /// The answer to a registration arrives.
    pub(crate) fn on_registered(&mut self, node: usize, conn: u64, text: &str) {
        let answer: Registered = serde_json::from_str(text).expect("messages read back");
        let process = self.process(node);
        if process.registration != Some(conn) {
            return;
        }
        match answer {
            Registered::Welcome { .. } => process.register_wait = 20,
            Registered::Refused { .. } if self.has_impostor(node) => self.impostor_refused(node),
            Registered::Refused { reason, .. } if reason.contains("lost data") => {
                self.found_lost(node, &reason);
            }
            Registered::Refused { reason, .. } if reason.contains("was removed") => {
                self.node_left(node);
            }
            Registered::Refused { later: true, .. } => {
                self.process(node).registration = None;
                self.register_again(node);
            }
            Registered::Refused { reason, .. } => {
                self.fail(Failure::Refused(format!("node {node} may not register: {reason}")));
            }
        }
    }

    /// A node's registration connection has ended: it tries again.
    pub(crate) fn on_registration_end(&mut self, node: usize, conn: u64) {
        let process = self.process(node);
        if process.registration == Some(conn) {
            process.registration = None;
            self.register_again(node);
        }
    }

    /// A coordinator ends a registration that was welcome.
    pub(crate) fn end_registration(&mut self, coordinator: usize, conn: u64) {
        let known = &self.coordinators[coordinator].registrations;
        let Some((node, life)) = known.get(&conn).copied() else { return };
        self.coverage.met("registrations ended");
        let wait = self.delay();
        self.after(wait, Event::RegistrationEnd { node, life, conn });
        self.after(wait, Event::Unregistered(coordinator, conn));
    }

    /// The node's end of a registration is gone: the coordinator hears of it, sooner or later.
    pub(crate) fn registration_lost(&mut self, conn: u64) {
        let late = if self.plan.net.silent_ends { self.rng.below(3_000) * MS } else { 0 };
        for coordinator in 0..self.coordinators.len() {
            let wait = self.delay() + late;
            if self.coordinators[coordinator].registrations.contains_key(&conn) {
                self.after(wait, Event::Unregistered(coordinator, conn));
            }
        }
    }

    /// A node's heart beats.
    pub(crate) fn beat(&mut self, node: usize) {
        let process = self.process(node);
        process.beats += 1;
        let life = process.life;
        let bytes = process.log.bytes();
        let heartbeat = heartbeat(&process.core, process.beats, HEARTBEAT_MS, bytes);
        let text = serde_json::to_string(&heartbeat).expect("messages serialize");
        self.after(HEARTBEAT_MS * MS, Event::Beat(node, life));
        let Some(coordinator) = self.reachable() else { return };
        if self.passes(node, Way::Up) > 0 {
            return;
        }
        for _ in 0..1 + u64::from(self.rng.chance(10)) {
            let late = if self.rng.chance(5) { self.rng.below(1_500) * MS } else { 0 };
            let wait = self.delay() + late;
            if self.healed || !self.datagram_lost() {
                self.after(wait, Event::Heartbeat(coordinator, text.clone()));
            }
        }
    }
}
