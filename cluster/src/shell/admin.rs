//! What administrators ask for at the client port: how it is told.
//!
//! Called by `connection` and `coordinator`; the latter keeps what was asked lately, for those who
//! subscribe. What becomes of a request is the core's business.

use std::collections::{BTreeMap, VecDeque};

use protocol::error::ErrorCode;
use protocol::event;
use protocol::request::{Admin, AdminAction};

use crate::core::coordinator::{Answer, ClientId};

/// Longest name of a client that is told, characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest target that is told, characters.
const TARGET_CHARS_MAX: usize = 256;
/// Requests that are remembered.
const RECENT_MAX: usize = 32;

/// The name that a client gives itself, as far as it is told.
pub(crate) fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// A request that `who` made, as it is told; its result is open.
pub(super) fn told(admin: &Admin<'_>, who: &str) -> event::Admin {
    let target = match &admin.action {
        AdminAction::Evict { node } | AdminAction::Remove { node } => Some(&**node),
        AdminAction::Cancel { change } => Some(&**change),
        AdminAction::Set { setting, .. } => Some(setting.name()),
        AdminAction::Add | AdminAction::Rebalance | AdminAction::Repair | AdminAction::Scrub => {
            None
        }
    };
    event::Admin {
        id: 0,
        action: admin.action.name().to_owned(),
        target: target.map(|target| target.chars().take(TARGET_CHARS_MAX).collect()),
        by: who.to_owned(),
        result: String::new(),
    }
}

/// The same with its result: the code of its refusal, or that there is none.
pub(super) fn answered(admin: event::Admin, refused: Option<ErrorCode>) -> event::Admin {
    event::Admin { result: refused.map_or("ok", ErrorCode::as_str).to_owned(), ..admin }
}

/// What the core is to answer, and what it has lately.
#[derive(Debug, Default)]
pub(super) struct Administered {
    /// Each with whether only its consequence is asked for. Bounded: each has a slot of its
    /// connection.
    open: BTreeMap<ClientId, (event::Admin, bool)>,
    pub(super) recent: Recent,
}

impl Administered {
    /// The core is asked, perhaps only what would be.
    pub(super) fn asks(&mut self, client: ClientId, admin: event::Admin, dry_run: bool) {
        self.open.insert(client, (admin, dry_run));
    }

    /// A connection is gone: nobody answers it any more.
    pub(super) fn gone(&mut self, conn: u64) {
        self.open.retain(|client, _| client.conn != conn);
    }

    /// The core answers somebody: what is to be told, if it is one of these requests. That somebody
    /// looked at what would be is not: nothing was done.
    pub(super) fn answers(&mut self, client: ClientId, answer: &Answer) -> Option<event::Admin> {
        let (admin, dry_run) = self.open.remove(&client)?;
        let refused = match answer {
            Answer::Error(error) => Some(error.code),
            _ => None,
        };
        (!dry_run).then(|| self.recent.keep(answered(admin, refused)))
    }
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
