//! A keystore in words: its keys, those of which the node is the primary first.
//!
//! Called by `inspect`. Shows what the node would serve after a start: what its last checkpoint
//! holds, and what the log decides since.

use cluster::inspect::{Entry, NodeDirectory, Role, Snapshot};
use protocol::ids::Value;
use serde_json::json;

use super::{Out, counted, quoted, versions};
use crate::print::Failure;

/// So many entries are read at a time.
const PAGE: usize = 1024;

/// The roles in the order shown.
const ROLES: [(Role, &str); 3] =
    [(Role::Primary, "primary"), (Role::Replica, "replica"), (Role::Stray, "stray")];

/// How many keys there are.
#[derive(Default, Clone, Copy)]
struct Totals {
    live: u64,
    deleted: u64,
    bytes: u64,
}

/// Shows the keystore of `node`.
pub(super) fn show(out: &mut Out<'_>, node: &NodeDirectory) -> Result<(), Failure> {
    let Some(opened) = node.keystore() else {
        let words = "keystore: none yet, the node has never come so far";
        return out.line(words, &json!({ "kind": "keystore", "there": false }));
    };
    let mut keystore = match opened {
        Ok(keystore) => keystore,
        Err(error) => return out.damage("keystore", &error.to_string()),
    };
    let through = keystore.through();
    let decided = match node.replay(&mut keystore) {
        Ok(decided) => decided,
        Err(error) => return out.damage("keystore", &error.to_string()),
    };
    let mut totals = [Totals::default(); ROLES.len()];
    for (at, (role, name)) in ROLES.into_iter().enumerate() {
        let whole = each(&keystore, &mut |entry| {
            if node.role(&entry.key) != role {
                return Ok(());
            }
            let undecided = decided.undecided.get(&entry.key);
            let undecided = undecided.map(versions).unwrap_or_default();
            let totals = &mut totals[at];
            totals.bytes += entry.stored.value.as_ref().map_or(0, Value::len) as u64;
            *(if entry.stored.is_live() { &mut totals.live } else { &mut totals.deleted }) += 1;
            show_entry(out, name, &entry, &undecided)
        })?;
        if let Err(damage) = whole {
            out.damage("keystore", &damage)?;
            break;
        }
    }
    for what in &decided.damage {
        out.damage("log", what)?;
    }
    let [primary, replica, stray] = totals;
    let sum = |count: fn(&Totals) -> u64| totals.iter().map(count).sum::<u64>();
    let words = format!(
        "keystore: {} ({} primary, {} replica{}), {} bytes of values; {} kept; checkpoint through \
         group {}, with what the log decides through group {}; {} undecided",
        counted(sum(|t| t.live), "key"),
        primary.live,
        replica.live,
        if stray.live > 0 { format!(", {} stray", stray.live) } else { String::new() },
        sum(|t| t.bytes),
        counted(sum(|t| t.deleted), "deletion"),
        through.0,
        decided.end.max(through).0,
        counted(decided.undecided.len() as u64, "key"),
    );
    let object = json!({
        "kind": "keystore", "there": true, "keys_primary": primary.live,
        "keys_replica": replica.live, "keys_stray": stray.live, "bytes": sum(|t| t.bytes),
        "deletions": sum(|t| t.deleted), "checkpoint": through.0,
        "decided_through": decided.end.max(through).0, "keys_undecided": decided.undecided.len(),
    });
    out.line(&words, &object)
}

fn show_entry(
    out: &mut Out<'_>,
    role: &str,
    entry: &Entry,
    undecided: &[String],
) -> Result<(), Failure> {
    let Entry { key, stored, whole } = entry;
    let size = match &stored.value {
        Some(value) => counted(value.len() as u64, "byte"),
        None => "deleted".into(),
    };
    let mut words =
        format!("{role}  {}  {size}  flags {:x}  {}", stored.version, stored.flags, quoted(key));
    if !undecided.is_empty() {
        words.push_str(&format!("  undecided: {}", undecided.join(", ")));
    }
    let object = json!({
        "kind": "key", "role": role, "key": key.as_str(), "version": stored.version.to_string(),
        "deleted": !stored.is_live(), "bytes": stored.value.as_ref().map(Value::len),
        "flags": stored.flags, "expires_ms": stored.expires_ms,
        "checksum": format!("{:08x}", stored.checksum), "undecided": undecided,
    });
    out.line(&words, &object)?;
    if !whole {
        out.damage("keystore", &format!("the checksum of key {key:?} is wrong"))?;
    }
    Ok(())
}

/// Shows every entry of `keystore`; what ends it early is returned in words.
fn each(
    keystore: &Snapshot,
    visit: &mut dyn FnMut(Entry) -> Result<(), Failure>,
) -> Result<Result<(), String>, Failure> {
    let mut pages = Pages::new(keystore);
    loop {
        match pages.next() {
            Ok(Some(entry)) => visit(entry)?,
            Ok(None) => return Ok(Ok(())),
            Err(damage) => return Ok(Err(damage)),
        }
    }
}

/// The entries of a keystore, one after the other.
pub(super) struct Pages<'a> {
    keystore: &'a Snapshot,
    page: std::vec::IntoIter<Entry>,
    last: Option<protocol::ids::Key>,
    /// What the page ended with: nothing more, or why not.
    end: Option<Result<(), String>>,
}

impl<'a> Pages<'a> {
    /// From the first entry on.
    pub(super) fn new(keystore: &'a Snapshot) -> Self {
        Self { keystore, page: Vec::new().into_iter(), last: None, end: None }
    }

    /// The next entry; an error when none can be read any more.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, String> {
        loop {
            if let Some(entry) = self.page.next() {
                return Ok(Some(entry));
            }
            match &self.end {
                Some(Ok(())) => return Ok(None),
                Some(Err(damage)) => return Err(damage.clone()),
                None => {}
            }
            let (page, read) = self.keystore.entries(self.last.as_ref(), PAGE);
            if let Err(error) = read {
                self.end = Some(Err(error.to_string()));
            } else if page.len() < PAGE {
                self.end = Some(Ok(()));
            }
            self.last = page.last().map(|entry| entry.key.clone()).or(self.last.take());
            self.page = page.into_iter();
        }
    }
}
