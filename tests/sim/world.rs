//! A cluster in one process: virtual time, one queue of events, and everything that takes part.
//!
//! Everything follows from the seed: events run in the order of their time, then of their making;
//! nothing here iterates a hash map or reads a clock. The same seed gives the same trace, whose hash
//! the tests compare. `node`, `coordinator`, `clients`, `network` and `faults` add what each part
//! does; `finish` judges.
//!
//! Processes have clocks of their own, with an offset and a rate within what leases allow for. A
//! paused process gets nothing; what came meanwhile it gets in order when it goes on.

use std::collections::{BTreeMap, BTreeSet};

use cluster::core::time::Time;
use protocol::ids::{GroupSeq, MemberId, Version};
use protocol::peer::Placement;

use super::clients::Client;
use super::clogs::Ways;
use super::coordinator::Process as CoordinatorProcess;
use super::coverage::Coverage;
use super::incidents::{Incident, Incidents, Kept};
use super::network::Link;
use super::node::Machine;
use super::plan::{Fault, MS, Plan};
use super::rot::Rotten;
use crate::check::seeded::Seeded;
use crate::check::{History, ValueId};

/// Virtual time at the start, microseconds.
const START: u64 = 1_000 * MS;
/// Events in a run; more means that something goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// A process of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proc {
    Coordinator(usize),
    /// A node in one of its lives.
    Node(usize, u64),
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A dial reaches a node's machine; its answer comes back.
    Dialled(u64),
    DialRefused(u64),
    LinkUp(u64),
    /// A message on a link, as its text.
    Down(u64, String),
    Up(u64, String),
    /// A link breaks; its ends hear of it.
    Reset(u64),
    CoordinatorEnd(u64),
    NodeEnd(u64),
    /// Registrations: a node tries, arrives, is answered; either side hears of the end.
    RegisterNow(usize, u64),
    Register {
        coordinator: usize,
        conn: u64,
        node: usize,
        life: u64,
        text: String,
    },
    Registered {
        node: usize,
        life: u64,
        conn: u64,
        text: String,
    },
    Unregistered(usize, u64),
    RegistrationEnd {
        node: usize,
        life: u64,
        conn: u64,
    },
    Heartbeat(usize, String),
    /// A node's own doings.
    Beat(usize, u64),
    WakeNode(usize, u64),
    FlushNode(usize, u64),
    LogDone(usize, u64),
    SegmentMade(usize, u64),
    KeysDone(usize, u64),
    CheckpointWritten(usize, u64),
    StartNode(usize),
    /// A coordinator's own doings.
    Wake(usize),
    Flush(usize),
    StartCoordinator,
    /// Clients.
    Step(usize),
    Request {
        coordinator: usize,
        conn: u64,
        op: usize,
    },
    ClientGone(usize, u64),
    Reply {
        client: usize,
        conn: u64,
        op: usize,
        line: Vec<u8>,
        ok: bool,
    },
    WatchLine {
        client: usize,
        conn: u64,
        line: Vec<u8>,
    },
    Disconnected {
        client: usize,
        conn: u64,
    },
    /// Faults.
    Fault(Fault),
    Doom(usize, u64, bool),
    FreeDisk(usize),
    Clog(usize, Ways, u64),
    RollBack(usize),
    PutBack(usize),
    Resume(Proc),
    KillCoordinator(usize),
    Heal,
    Watch,
}

/// What a process reads as its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    offset: u64,
    /// Parts per million that it runs fast or slow.
    ppm: i64,
}

impl Clock {
    /// A clock somewhere in its life, that may drift by 0.4 %: two of them by 0.8 %, which is less
    /// than the 1 % that leases allow for.
    pub(crate) fn draw(rng: &mut Seeded, drift: bool) -> Self {
        let ppm = if drift { rng.below(8_001) as i64 - 4_000 } else { 0 };
        Self { offset: rng.below(1_000_000 * MS), ppm }
    }

    /// The reading at the world's time.
    pub(crate) fn read(self, now: u64) -> Time {
        Time(self.offset + (now as i64 + now as i64 * self.ppm / 1_000_000) as u64)
    }

    /// A time of the world at which it reads at least `at`.
    pub(crate) fn when(self, at: Time) -> u64 {
        let local = at.0.saturating_sub(self.offset).min(1 << 50) as i64;
        (local * 1_000_000 / (1_000_000 + self.ppm)) as u64 + 2
    }
}

/// A hash, FNV-1a.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// How a run went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An acknowledged write is not there at the end.
    LostWrite(String),
    /// No order of the operations explains the answers.
    NotLinear(String),
    /// What was read together cannot have been there at one moment.
    TornRead(String),
    /// A watch was told too little, too much, or in a wrong order.
    Watch(String),
    /// A connection's answers are not in the order of its requests.
    ProgramOrder(String),
    /// So many updates were undecided where only one may be.
    AtATime(usize),
    /// Replicas hold different things at the end.
    Diverged(String),
    /// A node's cache has what its keystore does not have.
    StaleCache(String),
    /// Something does not come to its end though all faults are over.
    Stuck(String),
    /// A server has not stood by what it said.
    Promise(String),
    /// A store that lost nothing was refused or refuses to start, or a rule is said to be broken.
    Refused(String),
    /// What subscribers were told is not what `status` says.
    Untold(String),
    /// A panic.
    Panicked(String),
    /// The same seed did not give the same run.
    Unrepeatable(String),
}

/// Everything.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Seeded,
    /// Virtual microseconds.
    pub(crate) now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    made: u64,
    ran: u64,
    /// The moment of what clients do: rises with each thing, so that no two are at once.
    moment: u64,
    trace: u64,
    verbose: bool,
    /// What the numbers of all events follow from.
    seed: u64,
    /// How many events of each kind there were for each that takes part.
    drawn: BTreeMap<u64, u64>,
    incidents: Incidents,
    pub(crate) nodes: Vec<Machine>,
    /// All there ever were; the last one has the address that everybody connects to.
    pub(crate) coordinators: Vec<CoordinatorProcess>,
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) last_registration: u64,
    /// Registrations of strangers that say they are one of the nodes.
    pub(crate) duplicates: BTreeSet<u64>,
    pub(crate) last_client_conn: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) history: History,
    /// What each operation of the history asks for.
    pub(crate) asked: Vec<super::asked::Asked>,
    /// What was to be written, by the number of the value.
    pub(crate) written: BTreeMap<ValueId, String>,
    /// The value of each version of a key, as far as clients have been told.
    pub(crate) values: BTreeMap<(u64, Version), ValueId>,
    /// Operations that were refused for a version: they have read its value.
    pub(crate) seen: Vec<(usize, u64, Version)>,
    /// Whether each has a name, and how often it was sent.
    pub(crate) tries: Vec<(bool, u32)>,
    /// Key and version of what was written by updates whose end is known, by the value's number.
    pub(crate) versions: BTreeMap<usize, (u64, Version)>,
    /// Watches by their connection.
    pub(crate) watching: BTreeMap<u64, super::watchers::Watching>,
    /// What servers have said and must stand by.
    pub(crate) promises: super::promises::Promises,
    /// Versions told of each key on each connection.
    pub(crate) told: BTreeMap<(u64, u64), Version>,
    pub(crate) healed: bool,
    pub(crate) over: bool,
    /// A record that was changed when all was at rest.
    pub(crate) rotten: Option<Rotten>,
    /// A store is lost for good: nothing is asked of the end.
    pub(crate) abandoned: bool,
    /// The one node of the run whose directory is tampered with.
    pub(crate) victim: Option<usize>,
    /// What the names of changes stand for, whichever coordinator told them.
    pub(crate) changes: BTreeMap<String, super::seen::Known>,
    /// By node and member: the mark that the node holds, durably.
    pub(crate) marks: BTreeMap<(usize, MemberId), GroupSeq>,
    /// What a power loss does to all machines alike, while one that hits them all is under way.
    pub(crate) power_style: Option<u64>,
    pub(crate) finals: BTreeMap<u64, usize>,
    /// The last update of each key, made when all faults are over.
    pub(crate) last_puts: BTreeMap<u64, usize>,
    pub(crate) coverage: Coverage,
    pub(crate) failures: Vec<Failure>,
}

impl World {
    /// The world of a seed, about to begin.
    pub(crate) fn new(seed: u64, kept: Kept, verbose: bool) -> Self {
        let mut rng = Seeded::new(seed);
        let plan = Plan::draw(&mut rng);
        if verbose {
            eprintln!("seed {seed}: {plan:#?}");
        }
        let mut world = Self {
            rng,
            now: START,
            queue: BTreeMap::new(),
            made: 0,
            ran: 0,
            moment: 0,
            trace: Fnv::default().0,
            verbose,
            seed,
            drawn: BTreeMap::new(),
            incidents: Incidents::new(kept),
            nodes: Vec::new(),
            coordinators: Vec::new(),
            links: BTreeMap::new(),
            last_registration: 0,
            duplicates: BTreeSet::new(),
            last_client_conn: 0,
            clients: Vec::new(),
            history: Vec::new(),
            asked: Vec::new(),
            written: BTreeMap::new(),
            values: BTreeMap::new(),
            seen: Vec::new(),
            tries: Vec::new(),
            versions: BTreeMap::new(),
            watching: BTreeMap::new(),
            promises: super::promises::Promises::default(),
            told: BTreeMap::new(),
            healed: false,
            over: false,
            rotten: None,
            abandoned: false,
            victim: None,
            changes: BTreeMap::new(),
            marks: BTreeMap::new(),
            power_style: None,
            finals: BTreeMap::new(),
            last_puts: BTreeMap::new(),
            coverage: Coverage::default(),
            failures: Vec::new(),
            plan,
        };
        let plan = (world.plan.drift, world.plan.net.silent_ends);
        world.plan.drift = plan.0 && world.strikes(Fault::Drift);
        world.plan.net.silent_ends = plan.1 && world.strikes(Fault::SilentEnds);
        world.populate();
        world
    }

    fn populate(&mut self) {
        if self.plan.placement == Placement::AsciiSum {
            self.coverage.met("clusters by ascii-sum");
        }
        if self.plan.serial {
            self.coverage.met("clusters with serial updates");
        }
        for node in 0..usize::from(self.plan.nodes) {
            let machine = Machine::blank(node, &mut self.rng, self.plan.drift);
            self.nodes.push(machine);
            let at = self.rng.below(100 * MS);
            self.after(at, Event::StartNode(node));
        }
        self.make_spares();
        self.after(0, Event::StartCoordinator);
        for client in 0..self.plan.clients as usize {
            let client_plan = Client::new(client, self.plan.requests);
            self.clients.push(client_plan);
            let at = self.rng.below(50 * MS);
            self.after(at, Event::Step(client));
        }
        for (at, fault) in self.plan.faults.clone() {
            self.after(at, Event::Fault(fault));
        }
        self.after(self.plan.heal_at, Event::Heal);
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) {
        while !self.over
            && let Some(((at, _), event)) = self.queue.pop_first()
        {
            assert!(at >= self.now, "time goes forward");
            self.now = at;
            self.ran += 1;
            if self.ran > EVENTS_MAX {
                self.fail(Failure::Stuck("too many events".into()));
                return;
            }
            self.dispatch(event);
        }
        self.judge();
    }

    /// Lets `event` happen after so many microseconds.
    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.at(self.now + us, event);
    }

    /// Lets `event` happen then.
    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.made += 1;
        self.queue.insert((at.max(self.now), self.made), event);
    }

    /// A moment later than all before.
    pub(crate) fn moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// Notes a failure.
    pub(crate) fn fail(&mut self, failure: Failure) {
        if self.verbose {
            eprintln!("{:>10} FAILURE {failure:?}", self.now);
        }
        // An alarm is repeated for as long as its cause lasts; once is enough.
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }

    /// Whether events are shown.
    pub(crate) fn shows(&self) -> bool {
        self.verbose
    }

    /// The hash of all that has happened.
    pub(crate) fn trace(&self) -> u64 {
        self.trace
    }

    /// How many events there were, and how much virtual time has gone by.
    pub(crate) fn length(&self) -> (u64, u64) {
        (self.ran, self.now - START)
    }

    /// An incident of this kind is due: whether it strikes, which is up to what the run keeps.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        self.incidents.strikes(self.now, fault)
    }

    /// What has gone wrong so far, and when.
    pub(crate) fn struck(&self) -> &[(u64, Incident)] {
        &self.incidents.struck
    }

    /// Notes something in the trace.
    pub(crate) fn trace_text(&mut self, text: &str) {
        let mut hash = Fnv(self.trace);
        hash.add(&self.now.to_le_bytes());
        hash.add(text.as_bytes());
        self.trace = hash.0;
    }

    /// Gives an event random numbers of its own, that follow from the seed, from its kind, from
    /// whom it is for, and from how many such there were: a fault that is taken out leaves the
    /// numbers of all others as they were.
    fn draw_for(&mut self, event: &Event, text: &str) {
        let kind = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let whom = match (self.target(event), event) {
            (Some(Proc::Coordinator(number)), _) => [1, number],
            (Some(Proc::Node(number, _)), _) => [2, number],
            (
                None,
                Event::Step(client)
                | Event::Reply { client, .. }
                | Event::Disconnected { client, .. },
            ) => [3, *client],
            (None, Event::StartNode(number)) => [2, *number],
            _ => [0, 0],
        };
        let mut hash = Fnv::default();
        hash.add(kind.as_bytes());
        whom.iter().for_each(|part| hash.add(&(*part as u64).to_le_bytes()));
        let count = self.drawn.entry(hash.0).or_default();
        *count += 1;
        hash.add(&count.to_le_bytes());
        hash.add(&self.seed.to_le_bytes());
        self.rng = Seeded::new(hash.0);
    }

    fn trace_event(&mut self, event: &Event, text: &str) {
        self.trace_text(text);
        let now = self.now;
        let dull = matches!(event, Event::Wake(_) | Event::Flush(_) | Event::FlushNode(..));
        let dull = dull || matches!(event, Event::Reply { .. });
        if self.verbose && !dull {
            eprintln!("{now:>10} {text}");
        }
    }

    /// The process that an event is for; `None` for what belongs to the world.
    fn target(&self, event: &Event) -> Option<Proc> {
        let link = |number: &u64| &self.links[number];
        match event {
            Event::Down(number, _) | Event::NodeEnd(number) => {
                Some(Proc::Node(link(number).node, link(number).life))
            }
            Event::DialRefused(number)
            | Event::LinkUp(number)
            | Event::Up(number, _)
            | Event::CoordinatorEnd(number) => Some(Proc::Coordinator(link(number).coordinator)),
            Event::RegisterNow(node, life)
            | Event::Registered { node, life, .. }
            | Event::RegistrationEnd { node, life, .. }
            | Event::Beat(node, life)
            | Event::WakeNode(node, life)
            | Event::FlushNode(node, life)
            | Event::LogDone(node, life)
            | Event::SegmentMade(node, life)
            | Event::KeysDone(node, life)
            | Event::CheckpointWritten(node, life) => Some(Proc::Node(*node, *life)),
            Event::Register { coordinator, .. }
            | Event::Unregistered(coordinator, _)
            | Event::Heartbeat(coordinator, _)
            | Event::Wake(coordinator)
            | Event::Flush(coordinator)
            | Event::Request { coordinator, .. }
            | Event::ClientGone(coordinator, _) => Some(Proc::Coordinator(*coordinator)),
            _ => None,
        }
    }

    fn dispatch(&mut self, event: Event) {
        if let Some(target) = self.target(&event) {
            let inbox = match target {
                Proc::Coordinator(c) => self.coordinators[c].inbox_if_paused(),
                Proc::Node(n, life) => match self.nodes[n].process.as_mut() {
                    Some(process) if process.life == life => process.inbox_if_paused(),
                    _ => return,
                },
            };
            if let Some(inbox) = inbox {
                inbox.push(event);
                return;
            }
            if let Proc::Coordinator(c) = target
                && !self.coordinators[c].alive
            {
                return;
            }
        }
        let text = super::brief(&event);
        self.trace_event(&event, &text);
        self.draw_for(&event, &text);
        self.perform(event);
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Dialled(link) => self.on_dialled(link),
            Event::DialRefused(link) => self.on_dial_refused(link),
            Event::LinkUp(link) => self.on_link_up(link),
            Event::Down(link, text) => self.on_down(link, &text),
            Event::Up(link, text) => self.on_up(link, &text),
            Event::Reset(link) => self.reset(link),
            Event::CoordinatorEnd(link) => self.on_coordinator_end(link),
            Event::NodeEnd(link) => self.on_node_end(link),
            Event::RegisterNow(node, _) => self.register_now(node),
            Event::Register { coordinator, conn, node, life, text } => {
                self.on_register(coordinator, conn, node, life, &text);
            }
            Event::Registered { node, conn, text, .. } => self.on_registered(node, conn, &text),
            Event::Unregistered(coordinator, conn) => self.on_unregistered(coordinator, conn),
            Event::RegistrationEnd { node, conn, .. } => self.on_registration_end(node, conn),
            Event::Heartbeat(coordinator, text) => self.on_heartbeat(coordinator, &text),
            Event::Beat(node, _) => self.beat(node),
            Event::WakeNode(node, _) => self.wake_node(node),
            Event::FlushNode(node, _) => self.flush_node(node),
            Event::LogDone(node, _) => self.log_done(node),
            Event::SegmentMade(node, _) => self.segment_made(node),
            Event::KeysDone(node, _) => self.keys_done(node),
            Event::CheckpointWritten(node, _) => self.checkpoint_written(node),
            Event::StartNode(node) => self.start_node(node),
            Event::Wake(coordinator) => self.wake(coordinator),
            Event::Flush(coordinator) => self.flush(coordinator),
            Event::StartCoordinator => self.start_coordinator(),
            Event::Step(client) => self.step(client),
            Event::Request { coordinator, conn, op } => self.on_request(coordinator, conn, op),
            Event::ClientGone(coordinator, conn) => self.on_client_gone(coordinator, conn),
            Event::Reply { client, conn, op, line, ok } => {
                self.on_reply(client, conn, op, &line, ok);
            }
            Event::WatchLine { client, conn, line } => self.on_watch_line(client, conn, &line),
            Event::Disconnected { client, conn } => self.on_disconnected(client, conn),
            Event::Fault(fault) => self.on_fault(fault),
            Event::FreeDisk(node) => self.free_disk(node),
            Event::RollBack(node) => self.roll_back(node),
            Event::PutBack(node) => self.put_back(node),
            Event::Clog(node, ways, until) => self.clog(node, ways, until),
            Event::Doom(node, life, power) => self.on_doom(node, life, power),
            Event::Resume(process) => self.resume(process),
            Event::KillCoordinator(coordinator) => self.kill_coordinator(coordinator),
            Event::Heal => self.heal(),
            Event::Watch => self.watch(),
        }
    }
}
