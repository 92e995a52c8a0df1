//! What each command of a script does to its cluster.
//!
//! Called by the runner in `mod.rs`, line by line; a command that cannot be done says why.

use protocol::ids::Key;

use super::script::{Command, Expected, Setting};
use super::world::World;

/// How long a new cluster gets to come to rest, microseconds.
const FOUNDING_US: u64 = 1_000_000;

impl World {
    /// A cluster that serves and has come to rest, if it is not to be blank.
    pub(super) fn found(setting: Setting, line: &str) -> Self {
        let blank = setting.blank;
        let mut world = Self::new(setting);
        world.repeat(line, true);
        if blank {
            return world;
        }
        world.quiet = true;
        for node in 0..usize::from(world.setting.nodes) {
            world.start_node(node).expect("a blank directory starts");
        }
        world.start_coordinator(&[]);
        world.pass(FOUNDING_US);
        assert!(world.serves(), "a founded cluster serves");
        world.quiet = false;
        world.begin();
        world.event(format!("c1 serves, epoch 1; n1 to n{} are up", world.setting.nodes));
        world
    }

    /// Does one command, and lets all that may move move.
    pub(super) fn act(&mut self, command: &Command) -> Result<(), String> {
        if command.node().is_some_and(|node| node >= self.machines.len()) {
            return Err("there is no such node".into());
        }
        match command {
            Command::Cluster(_) => return Err("`cluster` comes once".into()),
            Command::Client { name, at, requests, timeout_ms } => {
                let number = self.coordinator_or_newest(*at)?;
                self.ask(name, number, requests, *timeout_ms)?;
            }
            Command::Hold(held) => self.held.extend(held),
            Command::Release(held) => {
                let before = self.held.len();
                self.held.retain(|one| !held.contains(one));
                if self.held.len() == before {
                    return Err("that is not held".into());
                }
            }
            Command::Deliver(way) => self.deliver(*way)?,
            Command::Drop(way) => self.drop_held(*way)?,
            Command::Dup(way) => self.dup_held(*way)?,
            Command::Break(coordinator, node) => self.break_wires(*coordinator, *node),
            Command::Sync(node) => {
                if !self.sync(*node) {
                    return Err("its disk has nothing to do".into());
                }
            }
            Command::Crash { node, power, moment } => self.crash_node(*node, *power, *moment)?,
            Command::Restart(node) => self.start_node(*node)?,
            Command::Wipe(node) => self.wipe(*node)?,
            Command::Save(node) => self.save_directory(*node)?,
            Command::Revert(node) => self.revert_directory(*node)?,
            Command::Lose(node) => self.lose_keystore(*node),
            Command::Refuse(node, place) => self.machines[*node].refuses = *place,
            Command::WatchSettled => self.watches_settled = true,
            Command::Tick(us) => self.pass(*us),
            Command::Show => self.show(),
            Command::Expect(expected) => return self.expect(expected),
            other => self.act_on_coordinator(other)?,
        }
        self.run();
        Ok(())
    }

    fn coordinator_or_newest(&self, named: Option<usize>) -> Result<usize, String> {
        let number = named.map_or_else(|| self.newest(), Ok)?;
        if number < self.coordinators.len() { Ok(number) } else { Err("it never started".into()) }
    }

    fn act_on_coordinator(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::StartCoordinator { reaped } => {
                self.start_coordinator(reaped);
                Ok(())
            }
            Command::CrashCoordinator(number) => {
                let number = self.coordinator_or_newest(*number)?;
                self.crash_coordinator(number)
            }
            Command::StopCoordinator(number) => {
                let number = self.coordinator_or_newest(*number)?;
                let input = cluster::core::coordinator::Input::Stop;
                self.coordinators[number].inbox.push_back(input);
                Ok(())
            }
            Command::PauseCoordinator(number) => {
                let number = self.coordinator_or_newest(*number)?;
                self.coordinators[number].paused = true;
                Ok(())
            }
            Command::ResumeCoordinator(number) => {
                let number = self.coordinator_or_newest(*number)?;
                self.coordinators[number].paused = false;
                Ok(())
            }
            _ => Err("that is no command for a coordinator".into()),
        }
    }

    /// What every node holds of the keys that clients have named.
    fn show(&mut self) {
        let keys: Vec<Key> = self.named.iter().cloned().collect();
        for node in 0..self.machines.len() {
            let machine = &self.machines[node];
            let held = keys.iter().filter_map(|key| {
                let stored = machine.stored(key)?;
                let value = stored.value.map_or_else(
                    || "(gone)".into(),
                    |value| String::from_utf8_lossy(value.as_bytes()).into_owned(),
                );
                Some(format!("{}={value} @{}", key.as_str(), stored.version))
            });
            let held: Vec<String> = held.collect();
            let held = if held.is_empty() { "nothing".into() } else { held.join(", ") };
            let undecided = machine.process.as_ref().map(|p| p.core.undecided().0);
            let undecided = match undecided {
                None => " (down)".into(),
                Some(0) => String::new(),
                Some(count) => format!(", {count} undecided"),
            };
            self.event(format!("n{} holds {held}{undecided}", node + 1));
        }
    }

    fn expect(&mut self, expected: &Expected) -> Result<(), String> {
        let (holds, found) = match expected {
            Expected::Answer { client, begins } => {
                let client = self.clients.get(client).ok_or("that client has asked nothing")?;
                let newest = client.newest().to_owned();
                (newest.starts_with(begins), newest)
            }
            Expected::Stored { node, key, value } => {
                let stored = self.machines[*node].stored(key).and_then(|stored| stored.value);
                (stored == *value, format!("{stored:?}"))
            }
            Expected::Runs(node, runs) => {
                let found = self.machines[*node].process.is_some();
                (found == *runs, if found { "running".into() } else { "down".into() })
            }
            Expected::Undecided(node, count) => {
                let process = self.machines[*node].process.as_ref().ok_or("it is down")?;
                let found = process.core.undecided().0;
                (found == *count, found.to_string())
            }
            Expected::Phase(number, phase) => {
                let number = self.coordinator_or_newest(Some(*number))?;
                let found = self.coordinators[number].phase;
                (found == phase, found.to_owned())
            }
        };
        if holds { Ok(()) } else { Err(format!("it is not so: {found}")) }
    }
}
