//! Strangers that say they are a node which is there: a process on a copy of its directory, of now or
//! of before, and one on an empty directory that was given its name.
//!
//! They only register and beat, since whoever is refused ends. None may be taken, and none may do
//! the true one any harm.

use std::net::SocketAddr;

use protocol::ids::{Incarnation, Uuid};
use protocol::peer::Registered;

use super::lanes::heartbeat;
use super::plan::{HEARTBEAT_MS, MS};
use super::world::{Event, Failure, World};

impl World {
    /// Somebody says he is a node that the coordinator knows.
    pub(crate) fn duplicate(&mut self, node: usize) {
        let Some(coordinator) = self.reachable() else { return };
        let machine = &self.nodes[node];
        let Some(process) = machine.process.as_ref() else { return };
        let known = self.coordinators[coordinator].registrations.values();
        let known = known.copied().any(|of| of == (node, process.life));
        if !known || process.core.meta().ring.is_none() || self.has_impostor(node) {
            return;
        }
        let (life, mut register) = (process.life, process.register.clone());
        // Nobody listens there.
        register.addr = SocketAddr::from(([127, 0, 0, 1], u16::MAX));
        let mut beat = heartbeat(&process.core, process.beats, HEARTBEAT_MS, 0);
        match self.rng.below(3) {
            0 => {}
            1 if register.incarnation > Incarnation(1) => register.incarnation.0 -= 1,
            _ => {
                register.uuid = Uuid(u128::from(self.rng.bits()));
                register.ring = None;
            }
        }
        (beat.uuid, beat.incarnation) = (register.uuid, register.incarnation);
        self.last_registration += 1;
        let conn = self.last_registration;
        self.duplicates.insert(conn);
        let text = serde_json::to_string(&register).expect("messages serialize");
        let wait = self.delay();
        self.after(wait, Event::Register { coordinator, conn, node, life, text });
        for _ in 0..self.rng.below(4) {
            beat.seq += self.rng.below(3);
            let text = serde_json::to_string(&beat).expect("messages serialize");
            let wait = self.rng.below(2_000) * MS;
            self.after(wait, Event::Heartbeat(coordinator, text));
        }
    }

    /// Whether a registration is a duplicate's; then its answer must be no.
    pub(crate) fn is_duplicates(&mut self, conn: u64, answer: &Registered) -> bool {
        if !self.duplicates.contains(&conn) {
            return false;
        }
        match answer {
            Registered::Refused { .. } => self.coverage.met("duplicates refused"),
            Registered::Welcome { .. } => {
                self.fail(Failure::Promise("a duplicate is taken for a node".into()));
            }
        }
        true
    }
}
