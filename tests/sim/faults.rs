//! What is done to the cluster, and how it is healed in the end.

use super::plan::{Fault, MS};
use super::world::{Event, Proc, World};

impl World {
    /// Something happens to somebody.
    pub(crate) fn on_fault(&mut self, fault: Fault) {
        if self.healed || !self.strikes(fault) {
            return;
        }
        let node = self.rng.below(self.nodes.len() as u64) as usize;
        let second = self.rng.below(self.nodes.len() as u64) as usize;
        let coordinator = self.reachable().filter(|c| self.coordinators[*c].paused.is_none());
        match (fault, coordinator) {
            (Fault::KillNode, _) => self.crash_soon(node, false),
            (Fault::PowerNode, _) => self.crash_soon(node, true),
            (Fault::CrashTwo, _) => {
                for node in [node, second] {
                    let power = self.rng.chance(60);
                    self.crash_soon(node, power);
                }
            }
            (Fault::StopNode, _) => self.stop_and_restart(node),
            (Fault::PauseNode, _) => self.pause_node(node),
            (Fault::CutNode, _) => self.cut(node),
            (Fault::PowerAll, _) => self.power_all(),
            (Fault::FailSync | Fault::FailWrite | Fault::FillDisk, _) => {
                self.fail_disk(node, fault);
            }
            (Fault::ClogOneWay, _) => self.clog_one_way(node),
            (Fault::Swizzle, _) => self.swizzle(),
            (Fault::WipeDisk | Fault::RollBack | Fault::RotState | Fault::RotLog, _) => {
                self.tamper(node, fault);
            }
            (Fault::Duplicate, _) => self.duplicate(node),
            (Fault::KillCoordinator, Some(coordinator)) => {
                self.coverage.met("coordinators killed");
                self.kill_coordinator(coordinator);
            }
            (Fault::StopCoordinator, Some(coordinator)) => {
                self.coverage.met("coordinators stopped");
                self.stop_coordinator(coordinator);
            }
            (Fault::PauseCoordinator, Some(coordinator)) => {
                self.coverage.met("coordinators paused");
                self.pause_coordinator(coordinator);
            }
            (Fault::Usurp, Some(coordinator)) => self.usurp(coordinator),
            (Fault::EvictNode | Fault::AddNode | Fault::RemoveNode, Some(coordinator)) => {
                self.order(coordinator, fault, node);
            }
            // No coordinator to do it to, or not one of those that are planned for a moment.
            _ => {}
        }
    }

    /// Crashes a node now or, since that is when it hurts, in the middle of its next append.
    fn crash_soon(&mut self, node: usize, power: bool) {
        if self.rng.chance(30) {
            self.crash_and_restart(node, power);
        } else {
            self.nodes[node].doom = Some(power);
        }
    }

    /// The append has begun.
    pub(crate) fn on_doom(&mut self, node: usize, life: u64, power: bool) {
        let here = self.nodes[node].process.as_ref().is_some_and(|process| process.life == life);
        if here && !self.healed {
            self.crash_and_restart(node, power);
        }
    }

    fn crash_and_restart(&mut self, node: usize, power: bool) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.coverage.met(if power { "nodes without power" } else { "nodes killed" });
        self.crash_node(node, power);
        let wait = (10 + self.rng.below(2_500)) * MS;
        self.after(wait, Event::StartNode(node));
    }

    fn stop_and_restart(&mut self, node: usize) {
        if self.nodes[node].process.as_ref().is_some_and(|process| process.paused.is_none()) {
            self.coverage.met("nodes stopped");
            self.stop_node(node);
            let wait = (10 + self.rng.below(1_000)) * MS;
            self.after(wait, Event::StartNode(node));
        }
    }

    fn pause_node(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_mut() else { return };
        if process.paused.is_none() {
            process.paused = Some(Vec::new());
            let life = process.life;
            self.coverage.met("nodes paused");
            let wait = (20 + self.rng.below(4_000)) * MS;
            self.after(wait, Event::Resume(Proc::Node(node, life)));
        }
    }

    fn pause_coordinator(&mut self, coordinator: usize) {
        self.coordinators[coordinator].paused = Some(Vec::new());
        let wait = (20 + self.rng.below(4_000)) * MS;
        self.after(wait, Event::Resume(Proc::Coordinator(coordinator)));
    }

    /// All links of a node break, and its registration.
    pub(crate) fn cut(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_ref() else { return };
        let (life, registration) = (process.life, process.registration);
        let links: Vec<u64> = process.conns.values().copied().collect();
        links.into_iter().for_each(|link| self.reset(link));
        if let Some(conn) = registration.filter(|_| self.rng.chance(50)) {
            let wait = self.rng.below(1_000) * MS;
            self.after(wait, Event::RegistrationEnd { node, life, conn });
            self.registration_lost(conn);
        }
    }

    fn power_all(&mut self) {
        self.coverage.met("everything without power");
        // Machines of one kind often fail alike: what one has lost, all have lost.
        self.power_style = self.rng.chance(60).then(|| self.rng.below(4));
        for node in 0..self.nodes.len() {
            self.crash_and_restart(node, true);
        }
        self.power_style = None;
        if let Some(coordinator) = self.reachable() {
            self.kill_coordinator(coordinator);
        }
    }

    /// Another coordinator takes over the address while this one stands still.
    fn usurp(&mut self, coordinator: usize) {
        self.coverage.met("coordinators usurped");
        self.coordinators[coordinator].paused = Some(Vec::new());
        let resumed = (10 + self.rng.below(5_000)) * MS;
        self.after(resumed, Event::Resume(Proc::Coordinator(coordinator)));
        let killed = resumed + self.rng.below(3_000) * MS;
        self.after(killed, Event::KillCoordinator(coordinator));
        self.disconnect_clients(coordinator, 50);
        self.registrations_end(coordinator);
        self.start_coordinator();
    }

    /// The nodes that are registered at a coordinator hear that it is not there any more. It may
    /// or may not hear the same of them.
    fn registrations_end(&mut self, coordinator: usize) {
        for node in 0..self.nodes.len() {
            let wait = self.delay() + self.rng.below(300) * MS;
            let told = self.rng.chance(50);
            let Some(process) = self.nodes[node].process.as_ref() else { continue };
            let (life, conn) = (process.life, process.registration);
            let Some(conn) = conn.filter(|_| process.registered_at == coordinator) else {
                continue;
            };
            self.after(wait, Event::RegistrationEnd { node, life, conn });
            if told {
                self.after(wait, Event::Unregistered(coordinator, conn));
            }
        }
    }

    /// A process goes on; what has come meanwhile comes now.
    pub(crate) fn resume(&mut self, process: Proc) {
        let waiting = match process {
            Proc::Coordinator(c) => self.coordinators[c].paused.take(),
            Proc::Node(n, life) => {
                let process = self.nodes[n].process.as_mut().filter(|p| p.life == life);
                process.and_then(|process| process.paused.take())
            }
        };
        for event in waiting.into_iter().flatten() {
            self.after(0, event);
        }
    }

    /// Kills a coordinator, if it lives; a supervisor starts another one if none has come.
    pub(crate) fn kill_coordinator(&mut self, coordinator: usize) {
        if !self.coordinators[coordinator].alive {
            return;
        }
        self.end_coordinator(coordinator);
        let wait = (10 + self.rng.below(800)) * MS;
        self.after(wait, Event::StartCoordinator);
    }

    /// A coordinator's process is no more.
    pub(crate) fn end_coordinator(&mut self, coordinator: usize) {
        let process = &mut self.coordinators[coordinator];
        process.alive = false;
        process.active = false;
        process.paused = None;
        process.conns.clear();
        process.registrations.clear();
        let links = std::mem::take(&mut process.links);
        for link in links.into_values() {
            self.links.get_mut(&link).expect("links stay known").coordinator_open = false;
            self.tell_node_end(link);
        }
        self.registrations_end(coordinator);
        self.disconnect_clients(coordinator, 100);
    }

    /// All faults end: what is down is started, what stands still goes on.
    pub(crate) fn heal(&mut self) {
        if self.plan.power_at_heal && self.strikes(Fault::PowerAtHeal) {
            self.power_all();
        }
        self.healed = true;
        for node in 0..self.nodes.len() {
            self.nodes[node].doom = None;
            self.put_back(node);
            self.free_disk(node);
            self.unclog(node);
        }
        let net = &mut self.plan.net;
        (net.lose, net.double, net.overtake, net.stall, net.reset) = (0, 0, 0, 0, 0);
        net.silent_ends = false;
        for client in &mut self.clients {
            client.rest();
        }
        for coordinator in 0..self.coordinators.len() {
            if Some(coordinator) == self.reachable() {
                self.resume(Proc::Coordinator(coordinator));
            } else {
                self.kill_coordinator(coordinator);
            }
        }
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].process.as_ref().map(|process| process.life);
            match life {
                _ if self.nodes[node].out => {}
                Some(life) => self.resume(Proc::Node(node, life)),
                None => self.after(0, Event::StartNode(node)),
            }
        }
        self.after(0, Event::StartCoordinator);
        self.begin_watch();
    }
}
