//! A simulated node's start, from its directory to a core, in the order of the shell's: state file
//! with the next incarnation, log, replay into core and keystore (R9, H34).

use std::sync::Arc;

use cluster::core::cache::Cache;
use cluster::core::node::{Effect, Meta, NodeCore, Restart};
use cluster::core::time::Time;
use cluster::storage::crash_disk::CrashDisk;
use cluster::storage::disk::Disk;
use cluster::storage::identity::Identity;
use cluster::storage::keystore::Keystore;
use cluster::storage::keystore::memory::MemoryKeystore;
use cluster::storage::log::{Log, LogConfig, Tail};
use cluster::storage::small_file::SmallFile;
use protocol::ids::{Epoch, GroupSeq, Incarnation, NodeName, Uuid, Version};
use protocol::peer::Fence;

/// Decided writes are replayed in portions of so many; small, so that there are several.
const REPLAY_PORTION: usize = 4;

/// How much a node logs until something is done about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Bytes of a segment of the log.
    pub(crate) segment_bytes: u64,
    /// Bytes between two checkpoints.
    pub(crate) checkpoint_bytes: u64,
    /// Room in the log that prepares leave.
    pub(crate) reserve_bytes: u64,
}

/// A node's directory, which no process has.
pub(crate) struct Directory<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) store: Uuid,
    pub(crate) disk: &'a CrashDisk,
    pub(crate) keystore: &'a mut MemoryKeystore,
}

/// What a start has found.
pub(crate) struct Started {
    pub(crate) core: NodeCore,
    pub(crate) effects: Vec<Effect>,
    pub(crate) log: Log,
    pub(crate) state: SmallFile,
    /// The log's last group.
    pub(crate) end: GroupSeq,
    /// An invalid tail was cut off the log.
    pub(crate) cut: bool,
}

/// The state file with the next incarnation durable in it (R4).
fn open_state(directory: &Directory<'_>) -> Result<(SmallFile, Meta, Identity), String> {
    let disk: Arc<dyn Disk> = Arc::new(directory.disk.clone());
    let mut identity = Identity { cluster: Uuid(0), store: directory.store };
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut state, saved) =
        SmallFile::open(disk, "state", identity).map_err(|error| text(&error))?;
    let mut meta = match saved {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| text(&error))?,
        None => Meta {
            store: directory.store,
            name: directory.name.clone(),
            incarnation: Incarnation(0),
            fence: Fence::default(),
            ring: None,
            cut_through: Epoch(0),
            former: Vec::new(),
            void_through: GroupSeq(0),
            swept: Version::ZERO,
            lost: Vec::new(),
        },
    };
    if let Some(ring) = &meta.ring {
        identity.cluster = ring.cluster;
    }
    meta.incarnation = Incarnation(meta.incarnation.0 + 1);
    save(&mut state, &meta)?;
    Ok((state, meta, identity))
}

/// Makes the state durable.
pub(crate) fn save(state: &mut SmallFile, meta: &Meta) -> Result<(), String> {
    if let Some(ring) = &meta.ring {
        state.set_cluster(ring.cluster);
    }
    let bytes = serde_json::to_vec(meta).expect("plain data serializes");
    state.save(&bytes).map_err(|error| error.to_string())
}

/// From the directory to a core, as the shell does it.
pub(crate) fn recover(
    directory: Directory<'_>,
    now: Time,
    sizes: Sizes,
    cache: Cache,
) -> Result<Started, String> {
    let (mut state, mut meta, identity) = open_state(&directory)?;
    let keystore = directory.keystore;
    let through = keystore.checkpointed();
    let Sizes { segment_bytes, checkpoint_bytes, reserve_bytes } = sizes;
    let mut restart = Restart::new(meta.clone(), through, checkpoint_bytes, Arc::new(cache));
    restart.reserve(reserve_bytes);
    let (mut decided, mut replayed) = (Vec::new(), GroupSeq(0));
    let config = LogConfig { identity, segment_bytes };
    let opened = Log::open(Arc::new(directory.disk.clone()), config, &mut |seq, record| {
        restart.replay(seq, record, &mut decided);
        if decided.len() >= REPLAY_PORTION {
            keystore.apply(&decided, replayed).expect("memory does not fail");
            decided.clear();
        }
        replayed = GroupSeq(seq.0 - 1).max(replayed);
    });
    let opened = opened.map_err(|error| error.to_string())?;
    keystore.apply(&decided, opened.end).expect("memory does not fail");
    if opened.first.0 > through.0 + 1 {
        return Err(format!("the keystore ends at {through:?}, the log begins after it"));
    }
    let founded = meta.ring.is_some() || through > GroupSeq(0);
    if opened.fresh && founded && meta.fence.epoch > Epoch(0) {
        return Err("the log is gone though the state file is there".into());
    }
    let cut = opened.tail != Tail::Clean;
    if cut {
        meta.cut_through = meta.fence.epoch;
        save(&mut state, &meta)?;
        restart.cut(meta.fence.epoch);
    }
    let (core, effects) = restart.finish(now, opened.end);
    Ok(Started { core, effects, log: opened.log, state, end: opened.end, cut })
}
