//! What one seed does: the cluster's shape, which faults it may have and how often, how slow
//! network and disks are.
//!
//! Swarm style: each seed draws a subset of the faults, since one that has everything at once never
//! gets far enough for the rare ones. All is drawn before anything runs, so that a printed plan
//! says what a seed is about.

use protocol::peer::Placement;

use super::recover::Sizes;
use crate::check::seeded::Seeded;

/// Virtual microseconds in a millisecond.
pub(crate) const MS: u64 = 1_000;
/// Leases, milliseconds.
pub(crate) const LEASE_MS: u64 = 2_000;
/// Heartbeats, milliseconds.
pub(crate) const HEARTBEAT_MS: u64 = 500;

/// Keys beside `Plan::keys` that only transfers write: what they hold together stays the same.
pub(crate) const ACCOUNTS: u64 = 3;
/// What an account holds that was never written.
pub(crate) const OPENING: i64 = 100;

/// How the network misbehaves, in parts of 10,000 per message unless said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetPlan {
    /// One way, microseconds: at least this.
    pub(crate) delay_us: u64,
    /// And up to this much more.
    pub(crate) jitter_us: u64,
    /// A message is lost; the link breaks some time later, as TCP has it.
    pub(crate) lose: u64,
    /// A message comes twice.
    pub(crate) double: u64,
    /// A message overtakes those before it.
    pub(crate) overtake: u64,
    /// A message, and all behind it, is held up for up to two seconds.
    pub(crate) stall: u64,
    /// The link breaks after a message.
    pub(crate) reset: u64,
    /// Percent of datagrams and registrations that are lost.
    pub(crate) lose_datagrams: u64,
    /// An end learns late, up to seconds, that the other has gone.
    pub(crate) silent_ends: bool,
}

/// How the disks behave.
#[derive(Debug, Clone)]
pub(crate) struct DiskPlan {
    /// A sync takes up to this, microseconds.
    pub(crate) sync_us: u64,
    /// In 10,000 jobs so many take up to two seconds.
    pub(crate) stall: u64,
    /// A job of the keystore takes up to this, microseconds.
    pub(crate) keys_us: u64,
    /// Those of the log.
    pub(crate) sizes: Sizes,
}

/// Something that is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A node's process is killed.
    KillNode,
    /// A node's machine loses power.
    PowerNode,
    /// A node stops gracefully.
    StopNode,
    /// A node stands still, then goes on.
    PauseNode,
    /// The coordinator is killed.
    KillCoordinator,
    /// The coordinator stops gracefully.
    StopCoordinator,
    /// The coordinator stands still, then goes on.
    PauseCoordinator,
    /// The coordinator stands still while another one takes over; then it goes on for a while.
    Usurp,
    /// All links of one node break.
    CutNode,
    /// Everything loses power at the same moment.
    PowerAll,
    /// Two nodes lose power or are killed at the same moment.
    CrashTwo,
    /// A sync of a node's disk fails, one of the next.
    FailSync,
    /// A write to a node's disk fails, one of the next.
    FailWrite,
    /// A node's disk has no more space, soon and for a while.
    FillDisk,
    /// What goes one way between a node and all others is held up for a while.
    ClogOneWay,
    /// Some nodes are clogged, one after another; they come free in another order.
    Swizzle,
    /// A node's directory is emptied while it is down; later it comes back.
    WipeDisk,
    /// A node's directory is replaced by an older copy; later it comes back.
    RollBack,
    /// Bits of one copy of a node's state file flip while it is down.
    RotState,
    /// A node's log is damaged while it is down: bits flip, or a write has gone astray.
    RotLog,
    /// Somebody says he is a node that is there.
    Duplicate,
    /// What follows is not planned for a moment but strikes by chance: `NetPlan`, `DiskPlan` and the
    /// last of `Plan` say how often.
    LoseMessage,
    DoubleMessage,
    OvertakingMessage,
    StallMessage,
    ResetLink,
    LoseDatagram,
    SilentEnds,
    StallDisk,
    CrashInStart,
    PowerAtHeal,
    Drift,
    SpoilPrepare,
    /// Orders to change the membership, at moments of their own: this node is evicted.
    EvictNode,
    /// One more node is added, while there are machines.
    AddNode,
    /// This node is removed.
    RemoveNode,
}

/// Everything that may go wrong; those that are planned for a moment come first.
pub(crate) const ALL_FAULTS: [Fault; PLANNED + 15] = [
    Fault::KillNode,
    Fault::PowerNode,
    Fault::StopNode,
    Fault::PauseNode,
    Fault::KillCoordinator,
    Fault::StopCoordinator,
    Fault::PauseCoordinator,
    Fault::Usurp,
    Fault::CutNode,
    Fault::PowerAll,
    Fault::CrashTwo,
    Fault::FailSync,
    Fault::FailWrite,
    Fault::FillDisk,
    Fault::ClogOneWay,
    Fault::Swizzle,
    Fault::WipeDisk,
    Fault::RollBack,
    Fault::RotState,
    Fault::RotLog,
    Fault::Duplicate,
    Fault::LoseMessage,
    Fault::DoubleMessage,
    Fault::OvertakingMessage,
    Fault::StallMessage,
    Fault::ResetLink,
    Fault::LoseDatagram,
    Fault::SilentEnds,
    Fault::StallDisk,
    Fault::CrashInStart,
    Fault::PowerAtHeal,
    Fault::Drift,
    Fault::SpoilPrepare,
    Fault::EvictNode,
    Fault::AddNode,
    Fault::RemoveNode,
];

/// Those that spoil a directory, or pretend to have one.
const TAMPERING: [Fault; 5] =
    [Fault::WipeDisk, Fault::RollBack, Fault::RotState, Fault::RotLog, Fault::Duplicate];

/// How many of them are planned for a moment.
const PLANNED: usize = 21;

/// One seed's run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) nodes: u16,
    pub(crate) replicas: u16,
    pub(crate) tokens: u16,
    pub(crate) placement: Placement,
    /// One update at a time.
    pub(crate) serial: bool,
    pub(crate) clients: u32,
    pub(crate) keys: u64,
    /// Requests of each client.
    pub(crate) requests: u32,
    /// Most requests that a client has open at a time.
    pub(crate) pipeline: u64,
    /// Between two rounds of a client, microseconds at most.
    pub(crate) think_us: u64,
    /// How long requests wait, milliseconds.
    pub(crate) timeout_ms: u64,
    /// Percent of a client's rounds after which it hangs up without waiting.
    pub(crate) impatient: u64,
    /// Percent of requests that read, and that delete; the others put.
    pub(crate) gets: u64,
    pub(crate) dels: u64,
    /// Percent of requests that are conditional, or of several keys; the rest is as above.
    pub(crate) conditions: u64,
    /// Percent of requests that scan.
    pub(crate) scans: u64,
    /// Percent of rounds in which a client begins to watch.
    pub(crate) watches: u64,
    /// Percent of updates that have a name, by which they may be repeated.
    pub(crate) named: u64,
    /// Named updates that a coordinator remembers.
    pub(crate) once_entries_max: usize,
    /// Longest value, bytes.
    pub(crate) value_bytes: u64,
    pub(crate) cache_sets: u32,
    pub(crate) cache_ways: u16,
    /// Sets and ways of each node's cache.
    pub(crate) node_cache: (u32, u16),
    pub(crate) net: NetPlan,
    pub(crate) disk: DiskPlan,
    /// What happens when; sorted, virtual microseconds from the start.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When all faults end.
    pub(crate) heal_at: u64,
    /// Whether everything loses power once more at that moment.
    pub(crate) power_at_heal: bool,
    /// Whether clocks run at different rates, within what a lease allows for.
    pub(crate) drift: bool,
    /// Percent of starts of a node that a crash interrupts.
    pub(crate) crash_in_start: u64,
    /// In 10,000 prepares so many name a ring that the node does not have: it refuses them.
    pub(crate) refuse: u64,
    /// The membership lives: who is silent for so long is evicted, milliseconds.
    pub(crate) evict_after_ms: Option<u64>,
    /// Machines beside those that found the cluster.
    pub(crate) spares: u16,
    /// At the end one record becomes another one; whether its checksum fits.
    pub(crate) rot: Option<bool>,
}

impl Plan {
    /// Numbers of all keys, accounts last.
    pub(crate) fn all_keys(&self) -> std::ops::Range<u64> {
        0..self.keys + ACCOUNTS
    }

    /// Numbers of the accounts.
    pub(crate) fn accounts(&self) -> std::ops::Range<u64> {
        self.keys..self.keys + ACCOUNTS
    }

    /// The plan of a seed.
    pub(crate) fn draw(rng: &mut Seeded) -> Self {
        let nodes = *rng.one_of(&[2, 3, 3, 3, 3, 4, 5]);
        let replicas = 1 + rng.below(u64::from(nodes.min(3))) as u16;
        let heal_at = (3_000 + rng.below(6_000)) * MS;
        let net = net(rng);
        let disk = disk(rng);
        let faults = faults(rng, heal_at);
        // Of a generator of its own, so that each seed is otherwise what it was without.
        let mut modes = Seeded::new(rng.clone().bits());
        let mut plan = Self {
            nodes,
            // A key with one copy has little to go wrong.
            replicas: if rng.chance(60) { replicas.max(2) } else { replicas },
            tokens: 1 + rng.below(3) as u16,
            serial: modes.chance(12),
            placement: Placement::Ring,
            clients: 2 + rng.below(5) as u32,
            keys: 4 + rng.below(5),
            requests: 30 + rng.below(90) as u32,
            pipeline: *rng.one_of(&[1, 2, 4, 8]),
            think_us: *rng.one_of(&[2, 20, 60, 150]) * MS,
            timeout_ms: *rng.one_of(&[300, 1_000, 5_000]),
            impatient: *rng.one_of(&[0, 0, 3, 10]),
            gets: *rng.one_of(&[20, 40, 60]),
            dels: *rng.one_of(&[0, 10, 25]),
            conditions: *rng.one_of(&[0, 0, 25, 50]),
            scans: *rng.one_of(&[0, 5, 20]),
            watches: *rng.one_of(&[0, 5]),
            named: *rng.one_of(&[0, 50, 100]),
            once_entries_max: *rng.one_of(&[200, 100_000]),
            value_bytes: *rng.one_of(&[16, 100, 1_500]),
            cache_sets: 1 << rng.below(4),
            cache_ways: 1 + rng.below(4) as u16,
            net,
            disk,
            faults,
            heal_at,
            power_at_heal: rng.chance(40),
            drift: rng.chance(50),
            crash_in_start: *rng.one_of(&[0, 0, 20]),
            refuse: *rng.one_of(&[0, 0, 100, 500]),
            node_cache: *rng.one_of(&[(1, 1), (2, 2), (64, 4)]),
            evict_after_ms: None,
            spares: 0,
            rot: None,
        };
        if rng.chance(40) {
            plan.live(rng);
        } else if modes.chance(33) {
            // Its members stay as they were founded, with one point each.
            (plan.placement, plan.tokens) = (Placement::AsciiSum, 1);
        }
        if rng.chance(20) {
            plan.rot = Some(rng.chance(50));
        }
        plan
    }

    /// Members come and go. Whose directory is tampered with is looked at while they stay.
    fn live(&mut self, rng: &mut Seeded) {
        self.evict_after_ms = Some(*rng.one_of(&[1_600, 2_500, 6_000]));
        self.spares = rng.below(3) as u16;
        self.faults.retain(|(_, fault)| !TAMPERING.contains(fault));
        let orders = [Fault::EvictNode, Fault::AddNode, Fault::AddNode, Fault::RemoveNode];
        for _ in 0..rng.below(6) {
            let at = 300 * MS + rng.below(self.heal_at - 300 * MS);
            self.faults.push((at, *rng.one_of(&orders)));
        }
        self.faults.sort_by_key(|(at, _)| *at);
    }

    /// Whether members come and go.
    pub(crate) fn is_living(&self) -> bool {
        self.evict_after_ms.is_some()
    }
}

fn net(rng: &mut Seeded) -> NetPlan {
    let rare = |rng: &mut Seeded, choices: &[u64]| {
        if rng.chance(30) { *rng.one_of(choices) } else { 0 }
    };
    NetPlan {
        delay_us: *rng.one_of(&[30, 200]),
        jitter_us: *rng.one_of(&[100, 1_000, 10_000]),
        lose: rare(rng, &[10, 50, 200]),
        double: rare(rng, &[50, 500]),
        overtake: rare(rng, &[20, 200]),
        stall: rare(rng, &[10, 50]),
        reset: rare(rng, &[10, 50, 200]),
        lose_datagrams: rare(rng, &[5, 30]),
        silent_ends: rng.chance(30),
    }
}

fn disk(rng: &mut Seeded) -> DiskPlan {
    DiskPlan {
        sync_us: *rng.one_of(&[200, 2_000, 10_000, 40_000]),
        stall: if rng.chance(25) { *rng.one_of(&[20, 100]) } else { 0 },
        keys_us: *rng.one_of(&[20, 500, 5_000]),
        sizes: Sizes {
            segment_bytes: *rng.one_of(&[16 << 10, 16 << 10, 64 << 10]),
            checkpoint_bytes: *rng.one_of(&[2 << 10, 8 << 10]),
            // With more, few prepares fit into a log that has all the segments made ahead.
            reserve_bytes: *rng.one_of(&[8 << 10, 8 << 10, 24 << 10]),
        },
    }
}

fn faults(rng: &mut Seeded, heal_at: u64) -> Vec<(u64, Fault)> {
    let allowed: Vec<Fault> =
        ALL_FAULTS[..PLANNED].iter().filter(|_| rng.chance(35)).copied().collect();
    let mut faults = Vec::new();
    if !allowed.is_empty() {
        for _ in 0..rng.below(16) {
            faults.push((300 * MS + rng.below(heal_at - 300 * MS), *rng.one_of(&allowed)));
        }
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}
