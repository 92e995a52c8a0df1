//! What a simulated node's two lanes do: log with state file, and keystore; and what it says of
//! itself when it registers and when its heart beats.
//!
//! Used by `node` of the simulator and of the golden scripts, which decide when a job is done. Nothing
//! here knows of time or of other servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cluster::core::node::{AskToken, Found, Input, Meta, NodeCore, ReadToken, Scanned};
use cluster::core::record::LogRecord;
use cluster::storage::keystore::memory::MemoryKeystore;
use cluster::storage::keystore::{CopyScan, Keystore, KeystoreError, Scan, Stored};
use cluster::storage::log::{Log, LogError, ReadySegment};
use cluster::storage::small_file::SmallFile;
use protocol::ids::{GroupSeq, Key, Version};
use protocol::peer::{Extent, Greeting, Heartbeat, Portion, Register, Span};
use protocol::status::NodeFigures;

use super::recover::save;

/// A job of the log's lane.
pub(crate) enum LogJob {
    Append(GroupSeq, Vec<LogRecord>),
    Save(u64, Box<Meta>),
    Free(GroupSeq),
    Made(ReadySegment),
    Want(u64),
}

/// What a job of the log's lane has done.
pub(crate) enum LogDone {
    Synced(GroupSeq),
    Saved(u64),
    Freed(usize),
    Made,
    Wanted,
    /// There is no space for it: it is still to be done.
    NoSpace(LogJob),
}

impl LogJob {
    /// The records that it is to log.
    pub(crate) fn logged(&self) -> Vec<LogRecord> {
        match self {
            Self::Append(_, records) => records.clone(),
            _ => Vec::new(),
        }
    }

    /// All that it is to write, as text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Append(seq, records) => format!("append {seq:?} {records:?}"),
            Self::Save(number, meta) => format!("save {number} {meta:?}"),
            Self::Free(through) => format!("free {through:?}"),
            Self::Made(_) => "made".into(),
            Self::Want(bytes) => format!("want {bytes}"),
        }
    }

    /// Does the job, whole, unless the disk stops.
    pub(crate) fn run(self, log: &mut Log, state: &mut SmallFile) -> Result<LogDone, String> {
        let text = |error: LogError| error.to_string();
        match self {
            Self::Append(seq, records) => match log.append(seq, &records) {
                Ok(()) => Ok(LogDone::Synced(seq)),
                Err(LogError::DiskFull) => Ok(LogDone::NoSpace(Self::Append(seq, records))),
                Err(error) => Err(text(error)),
            },
            Self::Save(number, meta) => {
                if let Some(ring) = &meta.ring {
                    log.set_cluster(ring.cluster);
                }
                save(state, &meta)?;
                Ok(LogDone::Saved(number))
            }
            Self::Free(through) => log.free_through(through).map(LogDone::Freed).map_err(text),
            Self::Made(made) => log.accept_next(made).map(|()| LogDone::Made).map_err(text),
            Self::Want(bytes) => {
                log.want(bytes);
                Ok(LogDone::Wanted)
            }
        }
    }
}

/// The answer to a look into the keystore.
pub(crate) fn look_up(keystore: &MemoryKeystore, token: ReadToken, key: &Key) -> Input {
    let stored = match keystore.get(key) {
        Err(KeystoreError::Damaged(_)) => return Input::ReadDamaged(token),
        stored => stored.expect("memory does not fail"),
    };
    let nothing = Found { version: Version::ZERO, value: None };
    let found = stored.map_or(nothing, |s| Found { version: s.version, value: s.value });
    Input::ReadDone { token, found }
}

/// The answer to a question for named updates.
pub(crate) fn read_onces(
    keystore: &MemoryKeystore,
    token: AskToken,
    after: Version,
    limit: usize,
) -> Input {
    let entries = keystore.onces(after, limit).expect("memory does not fail");
    Input::OncesRead { token, entries }
}

/// The answer to a question for a page of keys.
pub(crate) fn read_page(keystore: &MemoryKeystore, token: AskToken, scan: &Scan) -> Input {
    let page = match keystore.scan(scan) {
        Err(KeystoreError::Damaged(key)) => return Input::PageDamaged { token, key },
        page => page.expect("memory does not fail"),
    };
    let item = |(key, stored): (Key, Stored)| {
        let (version, value) = (stored.version, stored.value.expect("live"));
        Scanned { key, version, value }
    };
    let (through, items) = (page.through, page.items);
    Input::Scanned { token, page: items.into_iter().map(item).collect(), through }
}

/// The answer to a question for a portion of what there is.
pub(crate) fn read_copy(keystore: &MemoryKeystore, token: AskToken, copy: &CopyScan) -> Input {
    let page = match keystore.copy(copy) {
        Err(KeystoreError::Damaged(key)) => return Input::PageDamaged { token, key },
        page => page.expect("memory does not fail"),
    };
    let items = page.items.into_iter().map(|(key, stored)| stored.into_item(key));
    let portion = Portion::of(&items.collect::<Vec<_>>());
    Input::Copied { token, portion, through: page.through }
}

/// Drops some of what lies outside of these stretches.
pub(crate) fn retain(
    keystore: &mut MemoryKeystore,
    spans: &[Span],
    after: Option<&Key>,
    looks_max: usize,
) -> Input {
    Input::Retained(keystore.retain(spans, after, looks_max).expect("memory does not fail"))
}

/// Drops what a whole portion does not have.
pub(crate) fn drop_others(
    keystore: &mut MemoryKeystore,
    whole: &Extent,
    keep: &BTreeSet<Key>,
    looks_max: usize,
) -> Input {
    let (dropped, through) =
        keystore.drop_others(whole, keep, looks_max).expect("memory does not fail");
    Input::OthersDropped { dropped, through }
}

/// Drops some tombstones.
pub(crate) fn sweep(
    keystore: &mut MemoryKeystore,
    below: Version,
    after: Option<&Key>,
    looks_max: usize,
) -> Input {
    let (dropped, through) = keystore.sweep(below, after, looks_max).expect("memory does not fail");
    Input::Swept { dropped, through }
}

/// How a node announces itself.
pub(crate) fn register(meta: &Meta, addr: SocketAddr) -> Register {
    Register {
        greeting: Greeting::new(meta.ring.as_ref().map(|ring| ring.cluster)),
        name: meta.name.clone(),
        uuid: meta.store,
        incarnation: meta.incarnation,
        addr,
        pid: 1,
        supervisor: None,
        durable: true,
        fence: meta.fence.epoch,
        ring: meta.ring.clone(),
    }
}

/// A node's heartbeat.
pub(crate) fn heartbeat(core: &NodeCore, seq: u64, interval_ms: u64, log_bytes: u64) -> Heartbeat {
    let meta = core.meta();
    Heartbeat {
        cluster: meta.ring.as_ref().map(|ring| ring.cluster),
        uuid: meta.store,
        incarnation: meta.incarnation,
        seq,
        ring: meta.ring.as_ref().map(|ring| ring.number),
        figures: NodeFigures {
            interval_ms,
            undecided: core.undecided().0,
            log_bytes,
            cache: core.cache().stats().status(core.cache().shape()),
            ..NodeFigures::default()
        },
    }
}
