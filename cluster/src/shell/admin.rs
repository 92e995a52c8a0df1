//! What the client port answers to `admin`, and how it tells of that.
//!
//! Called by `connection`; `coordinator` keeps what was asked lately, for those who subscribe.
//! Membership is fixed at the founding, so every change of it is refused.

use std::collections::VecDeque;

use protocol::error::{ErrorCode, ErrorReply};
use protocol::event;
use protocol::request::{Admin, AdminAction, Op};

use super::coordinator::Event;

/// Longest name of a client that is told, characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest target that is told, characters.
const TARGET_CHARS_MAX: usize = 256;
/// Requests that are remembered.
const RECENT_MAX: usize = 32;

/// Why no change is made.
const FIXED: &str = "fixed membership";

/// The answer to a change that is asked for.
pub(super) fn refuse(admin: &Admin<'_>) -> ErrorReply {
    let action = admin.action.name();
    let instead = match admin.action {
        AdminAction::Evict { .. } | AdminAction::Repair => {
            "start a node that is down again, its keys are updated again when it is back"
        }
        AdminAction::Remove { .. } | AdminAction::Add | AdminAction::Rebalance => {
            "found a new cluster with the nodes that you want, and copy the keys with `piazza \
             export` and `piazza import`"
        }
        AdminAction::Scrub => "stop two nodes and compare them with `piazza inspect --compare`",
        AdminAction::Cancel { .. } => "no change is under way",
        AdminAction::Set { .. } => "settings are flags of `piazza up`",
    };
    let sentence =
        format!("{action} is refused, because membership is fixed at the founding: {instead}");
    ErrorReply { reason: Some(FIXED.into()), ..ErrorReply::new(ErrorCode::Refused, sentence) }
}

/// The name that a client gives itself, as far as it is told.
pub(crate) fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// What the loop is told of a request that `who` made, if it is one of administrators.
pub(super) fn asked(op: &Op<'_>, who: &str, refused: Option<ErrorCode>) -> Option<Event> {
    let Op::Admin(admin) = op else { return None };
    let target = match &admin.action {
        AdminAction::Evict { node } | AdminAction::Remove { node } => Some(node),
        AdminAction::Cancel { change } => Some(change),
        AdminAction::Set { name, .. } => Some(name),
        AdminAction::Add | AdminAction::Rebalance | AdminAction::Repair | AdminAction::Scrub => {
            None
        }
    };
    Some(Event::Administered(Box::new(event::Admin {
        id: 0,
        action: admin.action.name().to_owned(),
        target: target.map(|target| target.chars().take(TARGET_CHARS_MAX).collect()),
        by: who.to_owned(),
        result: refused.map_or("ok", ErrorCode::as_str).to_owned(),
    })))
}

/// What administrators asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    number: u64,
    all: VecDeque<event::Admin>,
}

impl Recent {
    /// Numbers a request, and keeps it.
    pub(crate) fn keep(&mut self, admin: event::Admin) -> event::Admin {
        self.number += 1;
        let admin = event::Admin { id: self.number, ..admin };
        if self.all.len() == RECENT_MAX {
            self.all.pop_front();
        }
        self.all.push_back(admin.clone());
        admin
    }

    /// All of them, the newest last.
    pub(crate) fn all(&self) -> Vec<event::Admin> {
        self.all.iter().cloned().collect()
    }
}
