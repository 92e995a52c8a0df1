//! Kills and pauses servers at random while the workload goes on.
//!
//! A kill is SIGKILL, behind the supervisor's back or by its port; a pause is SIGSTOP and SIGCONT.
//! Often the next one comes before the last victim is back, so that several may be down; now and
//! then it waits until the cluster is whole and enough was done.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::book::Book;
use crate::check::seeded::Seeded;
use crate::e2e::cluster::Cluster;
use crate::e2e::procs::{sigkill, wait_for};

/// Strikes in a hundred that are pauses; they do not count as kills.
const PAUSE_PERCENT: u64 = 20;
/// Strikes in a hundred at the coordinator.
const COORDINATOR_PERCENT: u64 = 30;
/// After which the next strike waits for the cluster to be whole.
const WHOLE_PERCENT: u64 = 40;
/// Else it comes so soon, milliseconds at most.
const SOON_MS: u64 = 1_200;
/// A pause, milliseconds at most: longer than the lease and than what makes a node suspect.
const PAUSE_MS: u64 = 2_500;
/// A server that was killed by request stays down so long, milliseconds at most.
const DOWN_MS: u64 = 600;
/// Operations that must succeed while the cluster is whole.
const OK_MIN: u64 = 100;
/// For a machine that stalls.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// The nemesis.
pub(super) struct Nemesis<'a> {
    cluster: &'a Cluster,
    book: &'a Book,
    random: Seeded,
    /// Servers whose last death nobody asked for: a few more in a row, and the supervisor would
    /// make them wait longer and longer.
    unasked: BTreeSet<String>,
    last_pid: Option<i32>,
    /// How often it has done what.
    deeds: BTreeMap<&'static str, u64>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(cluster: &'a Cluster, book: &'a Book, random: Seeded) -> Self {
        let (unasked, deeds) = (BTreeSet::new(), BTreeMap::new());
        Self { cluster, book, random, unasked, last_pid: None, deeds }
    }

    /// So many kills, unless a client fails before. The cluster is whole at the end.
    pub(super) fn run(mut self, kills: u64) -> BTreeMap<&'static str, u64> {
        self.be_whole();
        let mut done = 0;
        while done < kills && self.book.is_open() {
            let Some((proc, pid)) = self.choose() else {
                self.be_whole();
                continue;
            };
            if self.random.chance(PAUSE_PERCENT) {
                self.pause(&proc);
            } else {
                done += u64::from(self.kill(&proc, pid));
            }
            if self.random.chance(WHOLE_PERCENT) {
                self.be_whole();
            } else {
                // Not a wait for anything: this is the draw of the moment.
                thread::sleep(Duration::from_millis(self.random.below(SOON_MS)));
            }
        }
        self.be_whole();
        self.deeds
    }

    /// A server that runs.
    fn choose(&mut self) -> Option<(String, i32)> {
        let running: Vec<(String, i32)> = procs(self.cluster)
            .iter()
            .filter(|proc| proc["state"] == "running")
            .filter_map(|proc| {
                let pid = proc["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
                Some((proc["name"].as_str()?.to_owned(), pid?))
            })
            .collect();
        let wants_coordinator = self.random.chance(COORDINATOR_PERCENT);
        let (coordinator, nodes): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|(name, _)| name == "coordinator");
        let choices = if wants_coordinator { coordinator } else { nodes };
        (!choices.is_empty()).then(|| self.random.one_of(&choices).clone())
    }

    /// False if it had just died of the strike before.
    fn kill(&mut self, proc: &str, pid: i32) -> bool {
        let is_first = self.unasked.insert(proc.to_owned());
        let asked = !is_first || self.random.chance(40);
        let killed = if asked { self.ask("kill", proc) } else { sigkill(pid).is_ok() };
        if killed {
            self.last_pid = Some(pid);
            let is_coordinator = proc == "coordinator";
            self.note(if is_coordinator { "coordinator killed" } else { "nodes killed" });
        }
        if asked {
            self.unasked.remove(proc);
            thread::sleep(Duration::from_millis(self.random.below(DOWN_MS)));
            self.cluster.restart(proc);
        } else {
            self.note("restarted unasked");
        }
        killed
    }

    fn pause(&mut self, proc: &str) {
        if self.ask("pause", proc) {
            self.note("paused");
            thread::sleep(Duration::from_millis(self.random.below(PAUSE_MS)));
            self.ask("resume", proc);
        }
    }

    /// Whether the supervisor did it; it does not to what has just died.
    fn ask(&self, action: &str, proc: &str) -> bool {
        let answer = self.cluster.admin(action, proc);
        let dead = answer["code"] == "already";
        assert!(dead || answer["ok"] == true, "{action} {proc}: {answer}");
        !dead
    }

    /// Waits until every server is there and serves, and something was done.
    fn be_whole(&mut self) {
        let running = || {
            let procs = procs(self.cluster);
            let whole = |proc: &Value| proc["state"] == "running" && proc["paused"] == false;
            let gave_up = procs.iter().find(|proc| proc["state"] == "gave_up");
            assert!(gave_up.is_none(), "a server does not start any more: {gave_up:?}");
            procs.iter().all(whole).then_some(())
        };
        wait_for("all servers running", WAIT_MAX, running);
        self.cluster.wait_healthy(self.last_pid.take());
        let before = self.book.ok_count();
        let what = format!("{OK_MIN} successful operations");
        wait_for(&what, WAIT_MAX, || {
            (self.book.ok_count() - before >= OK_MIN || !self.book.is_open()).then_some(())
        });
    }

    fn note(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }
}

/// The servers, as the supervisor lists them.
fn procs(cluster: &Cluster) -> Vec<Value> {
    let list = cluster.supervised();
    list["procs"].as_array().cloned().unwrap_or_else(|| panic!("no list of servers: {list}"))
}
