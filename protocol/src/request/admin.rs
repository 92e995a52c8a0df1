//! `admin` at the coordinator: what changes the membership, and the cluster's settings.
//!
//! Called by `request::take`, and by clients to write it. What is done to processes is asked of
//! their supervisor, see [`crate::supervisor`]. Decides nothing.

use std::borrow::Cow;

use bytes::BufMut;

use super::fields::{self, Name};
use super::take::{Object, Taken};
use super::write::{write_flag, write_name, write_text};
use crate::ids::RingNumber;
use crate::json;

/// Every action, for the sentence about unknown ones.
const ACTIONS: &str = "evict, remove, add, rebalance, repair, scrub, cancel, set";
/// What the supervisor does, for the sentence about those.
const AT_SUPERVISOR: [&str; 10] =
    ["list", "start", "stop", "restart", "kill", "pause", "resume", "logs", "inject", "shutdown"];

/// A change of the cluster that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin<'a> {
    /// Which.
    pub action: AdminAction<'a>,
    /// Only tell what it would do.
    pub dry_run: bool,
    /// Only under this ring.
    pub if_ring_epoch: Option<RingNumber>,
}

/// What an [`Admin`] changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAction<'a> {
    /// A node that is silent loses its place at once.
    Evict {
        /// Its name.
        node: Cow<'a, str>,
    },
    /// A node gives away what it has, and leaves.
    Remove {
        /// Its name.
        node: Cow<'a, str>,
    },
    /// One more node.
    Add,
    /// Shares as equal as they can be.
    Rebalance,
    /// The same as a scrub, and damaged records are replaced by the copies of other nodes.
    Repair,
    /// All records are read anew, and all copies compared.
    Scrub,
    /// A change that is under way ends, and what was done of it is taken back.
    Cancel {
        /// Its name, as in `c7`.
        change: Cow<'a, str>,
    },
    /// A setting.
    Set {
        /// Which.
        setting: Setting,
        /// What it is from now on.
        value: u64,
    },
}

/// A setting of a running cluster. It holds until the coordinator ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// How long a silent node keeps its place, milliseconds; 0: for ever.
    EvictAfterMs,
    /// How fast nodes learn what they shall hold, bytes a second; at least 1.
    CopyBytesPerS,
}

impl Setting {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::EvictAfterMs, Self::CopyBytesPerS];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::EvictAfterMs => "evict_after_ms",
            Self::CopyBytesPerS => "copy_bytes_per_s",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }
}

impl AdminAction<'_> {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Evict { .. } => "evict",
            Self::Remove { .. } => "remove",
            Self::Add => "add",
            Self::Rebalance => "rebalance",
            Self::Repair => "repair",
            Self::Scrub => "scrub",
            Self::Cancel { .. } => "cancel",
            Self::Set { .. } => "set",
        }
    }
}

/// The fields of an `admin`.
pub(super) fn take<'a>(line: &mut Object<'a, '_>) -> Taken<Admin<'a>> {
    let Some(action) = line.text(Name::Action)? else {
        let what = format!("is missing: say what to do, one of {ACTIONS}");
        return Err(line.wrong(Name::Action, what));
    };
    let action = match &*action {
        "evict" => AdminAction::Evict { node: required(line, Name::Node, "say which node")? },
        "remove" => AdminAction::Remove { node: required(line, Name::Node, "say which node")? },
        "add" => AdminAction::Add,
        "rebalance" => AdminAction::Rebalance,
        "repair" => AdminAction::Repair,
        "scrub" => AdminAction::Scrub,
        "cancel" => {
            let what = "say which change, as `status` names it";
            AdminAction::Cancel { change: required(line, Name::Change, what)? }
        }
        "set" => {
            let name = required(line, Name::Setting, "say which setting")?;
            let value = line.amount(Name::Value)?;
            let Some(setting) = Setting::named(&name) else {
                let [one, other] = Setting::ALL.map(Setting::name);
                let shown = fields::shown(&name);
                let what = format!("{shown:?} is no setting: there are {one} and {other}");
                return Err(line.wrong(Name::Setting, what));
            };
            if setting == Setting::CopyBytesPerS && value == 0 {
                let what = "is 0: nothing would ever be copied, give bytes a second";
                return Err(line.wrong(Name::Value, what));
            }
            AdminAction::Set { setting, value }
        }
        known if AT_SUPERVISOR.contains(&known) => {
            let what = "is the supervisor's: ask it, at the address that status names";
            return Err(line.wrong(Name::Action, what));
        }
        other => {
            let what = format!("{:?} is not known: use one of {ACTIONS}", fields::shown(other));
            return Err(line.wrong(Name::Action, what));
        }
    };
    let dry_run = line.flag(Name::DryRun)?;
    let if_ring_epoch = match line.text(Name::IfRingEpoch)? {
        None => None,
        Some(text) => Some(ring_number(&text).ok_or_else(|| {
            let what = "is not the number of a ring: give EPOCH.COUNTER, like \"3.1\"";
            line.wrong(Name::IfRingEpoch, what)
        })?),
    };
    Ok(Admin { action, dry_run, if_ring_epoch })
}

fn required<'a>(line: &mut Object<'a, '_>, name: Name, what: &str) -> Taken<Cow<'a, str>> {
    let text = line.text(name)?;
    text.ok_or_else(|| line.wrong(name, format_args!("is missing: {what}")))
}

fn ring_number(text: &str) -> Option<RingNumber> {
    let (epoch, counter) = text.split_once('.')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|_| digits)
    };
    Some(RingNumber { epoch: crate::ids::Epoch(number(epoch)?), counter: number(counter)? })
}

/// Appends the fields.
pub(super) fn write(out: &mut impl BufMut, admin: &Admin<'_>) {
    write_text(out, "action", admin.action.name());
    match &admin.action {
        AdminAction::Evict { node } | AdminAction::Remove { node } => write_text(out, "node", node),
        AdminAction::Cancel { change } => write_text(out, "change", change),
        AdminAction::Set { setting, value } => {
            write_text(out, "name", setting.name());
            write_name(out, "value");
            json::write_number(out, *value);
        }
        AdminAction::Add | AdminAction::Rebalance | AdminAction::Repair | AdminAction::Scrub => {}
    }
    write_flag(out, "dry_run", admin.dry_run);
    if let Some(RingNumber { epoch, counter }) = admin.if_ring_epoch {
        write_text(out, "if_ring_epoch", &format!("{epoch}.{counter}"));
    }
}
