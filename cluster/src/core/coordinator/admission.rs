//! Who may register: a sentence for each who may not, and whether to ask again.
//!
//! Asked by `members` for each registration, and by `rings` and `claim` about those who are
//! registered when a ring comes into force: who came before it was known may have no place in it.
//! Never makes anybody a member.

use protocol::ids::{Epoch, MemberId, Uuid};
use protocol::peer::{Departed, Greeting, Register, RingRecord, too_far_apart};

use super::super::ring::{is_ring, number_in};
use super::super::time::Time;
use super::heal::as_founded;
use super::members::Node;
use super::{Coordinator, Effect, Phase};

/// Nodes that are no members and may wait to become some.
const STRANGERS_MAX: usize = 64;

/// Why a node may not register.
pub(super) struct Unwelcome {
    pub(super) reason: String,
    /// It may once something has changed that is no business of its own.
    pub(super) later: bool,
}

impl Unwelcome {
    fn for_ever(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), later: false }
    }

    fn for_now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), later: true }
    }
}

impl Coordinator {
    /// Whether the node may take part, or the sentence that says why not.
    pub(super) fn admit(&self, register: &Register) -> Result<(), Unwelcome> {
        let cluster = self.known_cluster();
        let far = too_far_apart(&register.greeting, &Greeting::new(cluster));
        if let Some(reason) = far {
            return Err(Unwelcome::for_ever(reason));
        }
        let theirs = register.greeting.cluster;
        let in_ring = register.ring.as_ref().map(|ring| ring.cluster);
        let sound = register.ring.as_ref().is_none_or(is_ring)
            && (theirs.is_none() || in_ring.is_none() || theirs == in_ring);
        if !sound || register.fence > Epoch::MAX {
            return Err(Unwelcome::for_ever(
                "what it says of its ring or epoch cannot be: its directory is damaged, \
                        or it is no node of piazza",
            ));
        }
        if let (Some(ours), Some(theirs)) = (cluster, theirs.or(in_ring))
            && ours != theirs
        {
            return Err(Unwelcome::for_ever(format!(
                "its directory belongs to cluster {theirs}, not to {ours}"
            )));
        }
        let ours = self.record.as_deref().cloned();
        let told = self.newest_ring().into_iter().chain(register.ring.clone()).chain(ours);
        let ring = told.max_by_key(|ring| ring.number);
        let id = ring.as_ref().and_then(|ring| self.counts_as(ring, register.uuid));
        if id.is_some_and(|id| self.is_expelled(id)) {
            let reason = "its store has lost data that other nodes rely on: its directory must \
                          not be used again";
            return Err(Unwelcome::for_ever(reason));
        }
        if let Some(record) = &ring
            && id.is_none()
        {
            self.admit_stranger(record, register)?;
        }
        for node in &self.nodes {
            // Members' names differ: another store under one came before any ring was known, and
            // is in nobody's way.
            if ring.is_none() && node.uuid != register.uuid && node.name == register.name {
                let reason = format!("another store registered under the name {}", node.name);
                // Where that one has gone, its disk may be what was wiped: a ring will tell.
                return Err(match node.registered_on {
                    Some(_) => Unwelcome::for_ever(reason),
                    None => Unwelcome::for_now(reason),
                });
            }
            let known = node.register.as_ref().filter(|_| node.uuid == register.uuid);
            if let Some(known) = known {
                let older = register.incarnation < known.incarnation;
                let twin = register.incarnation == known.incarnation && register.addr != known.addr;
                if older || twin {
                    return Err(Unwelcome::for_ever(
                        "another process runs on a copy of its directory",
                    ));
                }
            }
        }
        let full = ring.is_none() && self.nodes.len() >= usize::from(self.config.nodes);
        if full && !self.nodes.iter().any(|node| node.uuid == register.uuid) {
            return Err(Unwelcome::for_ever(format!(
                "{} nodes have registered already",
                self.nodes.len()
            )));
        }
        Ok(())
    }

    /// The number by which a store counts in the claim of this ring, or is a member of it. Until it
    /// is in force the one before it may be, in which whoever it leaves out still counts.
    fn counts_as(&self, ring: &RingRecord, store: Uuid) -> Option<MemberId> {
        let in_force = match self.phase {
            Phase::Gathering { .. } | Phase::Claiming { .. } | Phase::Installing { .. } => false,
            Phase::Recovering { .. } | Phase::Active => true,
            Phase::Stopping { .. } | Phase::Stopped => true,
        };
        let is_it = |out: &&Departed| out.uuid == store && (in_force || out.lost);
        match ring.outgoing.iter().find(is_it) {
            Some(_) => None,
            None => number_in(ring, store),
        }
    }

    /// Whether a store that is no member may wait to become one.
    fn admit_stranger(&self, record: &RingRecord, register: &Register) -> Result<(), Unwelcome> {
        let name = &register.name;
        let gone = record.departed.iter().rev().chain(&record.outgoing);
        let own = gone.clone().find(|departed| departed.uuid == register.uuid);
        if own.is_some_and(|own| own.lost) {
            return Err(Unwelcome::for_ever(
                "its store has lost data that other nodes rely on: its directory must \
                        not be used again",
            ));
        }
        if own.is_some_and(|own| own.removed) {
            return Err(Unwelcome::for_ever(format!(
                "{name} was removed from the cluster: start a node with an empty directory and \
                 another name, and add it"
            )));
        }
        if own.is_none() && register.ring.is_some() {
            return Err(Unwelcome::for_ever(format!(
                "its directory belongs to this cluster, but {name} is no member of it: it is a \
                 copy, or was removed long ago; use an empty directory"
            )));
        }
        if record.members.iter().any(|member| member.name == *name) {
            if as_founded(record).is_some() {
                return Err(Unwelcome::for_ever(format!(
                    "{name} is a member with another directory, and this cluster's members stay as \
                     they were founded: start it with the directory that it had"
                )));
            }
            return Err(Unwelcome::for_now(format!(
                "{name} is a member with another directory: one that was wiped can only come back \
                 when {name} has been evicted, or under another name"
            )));
        }
        let known = self.nodes.iter().any(|node| node.uuid == register.uuid);
        let waits = |node: &&Node| node.id.is_none() && !self.is_forgotten(node);
        let strangers = self.nodes.iter().filter(waits).count();
        if !known && strangers >= STRANGERS_MAX {
            return Err(Unwelcome::for_now(format!("{strangers} nodes wait to be added already")));
        }
        Ok(())
    }

    /// Whoever registered under another ring, or none, and would be refused by the one that is in
    /// force now, is to ask again, and is told why then; so is whoever runs it.
    pub(super) fn admit_anew(&mut self, now: Time) {
        // Who is about to be out is told when it is.
        let Some(record) = self.record.clone().filter(|record| record.outgoing.is_none()) else {
            return;
        };
        for place in 0..self.nodes.len() {
            let node = &self.nodes[place];
            let (Some(conn), Some(register)) = (node.registered_on, &node.register) else {
                continue;
            };
            if node.id.is_none() && self.admit_stranger(&record, register).is_err() {
                self.end_link(now, place, false);
                self.effects.push(Effect::RegistrationOver(conn));
            }
        }
    }

    /// Whoever runs a removed node may have missed that it is one, and is told. Returns whether
    /// this is one.
    pub(super) fn tell_removed_again(&mut self, register: &Register) -> bool {
        let Some(record) = self.record.as_deref() else { return false };
        let (uuid, name) = (register.uuid, &register.name);
        let is_it = |departed: &Departed| departed.uuid == uuid && departed.removed;
        // Another store may bear its name by now.
        let is_other = |node: &Node| node.uuid != uuid && node.name == *name;
        let taken = record.members.iter().any(|member| member.name == *name)
            || self.nodes.iter().any(is_other);
        let removed = record.departed.iter().any(is_it) && !taken;
        if removed {
            self.effects.push(Effect::NodeRemoved(name.to_string()));
        }
        removed
    }
}
