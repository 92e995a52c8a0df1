//! What a client connection may do: by the token that it has shown, by its own wish to only read,
//! and by the place that it has.
//!
//! Asked by `connection` before every request, also before one that the cache could answer. The
//! supervisor's port has rules of its own (`supervisor::endpoint`).

use std::sync::Arc;

use protocol::error::ErrorReply;
use protocol::reply::Role;
use protocol::request::Op;

use super::places::Place;
use crate::tokens::{Tokens, Visitor};

/// How long a connection without a place is asked to wait.
const RETRY_AFTER_MS: u64 = 1_000;

/// One connection's rights.
pub(super) struct Access {
    visitor: Visitor,
    read_only: bool,
    place: Place,
}

impl Access {
    pub(super) fn new(tokens: &Arc<Tokens>, place: Place) -> Self {
        Self { visitor: Visitor::new(Arc::clone(tokens)), read_only: false, place }
    }

    /// Updates and changes of the cluster are refused from now on.
    pub(super) fn only_read(&mut self) {
        self.read_only = true;
    }

    /// The connection shows a token: what that allows, if it is one.
    pub(super) fn show(&mut self, token: &str) -> Option<Role> {
        self.visitor.show(token)
    }

    /// Whether it has shown too many wrong ones.
    pub(super) fn is_to_go(&self) -> bool {
        self.visitor.is_to_go()
    }

    /// Why `op` is not carried out, if it is not.
    pub(super) fn refusal(&mut self, op: &Op<'_>) -> Option<ErrorReply> {
        if matches!(op, Op::Hello { .. } | Op::Auth { .. }) {
            return None;
        }
        let Some(role) = self.visitor.role() else {
            return Some(ErrorReply::no_token());
        };
        let administers = matches!(op, Op::Status | Op::Subscribe(_) | Op::Admin(_));
        if !administers && !self.place.is_common() {
            return Some(ErrorReply::overloaded("connections", RETRY_AFTER_MS));
        }
        if !may(role, op) {
            return Some(ErrorReply::not_allowed(role_name(role), op.name()));
        }
        let changes = op.is_update() || matches!(op, Op::Admin(_));
        (self.read_only && changes).then(|| ErrorReply::read_only(op.name()))
    }
}

/// What each role may do, of what needs one at all.
fn may(role: Role, op: &Op<'_>) -> bool {
    match role {
        Role::Admin => true,
        Role::Client => !matches!(op, Op::Admin(_)),
        Role::Viewer => !matches!(op, Op::Admin(_)) && !op.is_update(),
        Role::Other => false,
    }
}

/// The role as it stands on the wire.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Viewer => "viewer",
        Role::Admin => "admin",
        Role::Other => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use protocol::error::ErrorCode;
    use protocol::limits::Limits;
    use protocol::request;

    use super::super::places::Places;
    use super::*;
    use crate::tokens::tests::{text, tokens};

    const READS: &[&str] = &[
        r#"{"op":"get","key":"a"}"#,
        r#"{"op":"mget","keys":["a"]}"#,
        r#"{"op":"scan"}"#,
        r#"{"op":"watch","key":"a"}"#,
        r#"{"op":"locate","key":"a"}"#,
        r#"{"op":"outcome","version":"1.1"}"#,
        r#"{"op":"explain","request":{"op":"put","key":"a","value":"b"}}"#,
    ];
    const UPDATES: &[&str] = &[
        r#"{"op":"put","key":"a","value":"b"}"#,
        r#"{"op":"update","key":"a","value":"b"}"#,
        r#"{"op":"cas","key":"a","value":"b","version":"1.1"}"#,
        r#"{"op":"del","key":"a"}"#,
        r#"{"op":"txn","if":[],"then":[{"op":"del","key":"a"}]}"#,
        r#"{"op":"explain","run":true,"request":{"op":"del","key":"a"}}"#,
    ];
    const LOOKS: &[&str] = &[r#"{"op":"status"}"#, r#"{"op":"subscribe","topics":["txn"]}"#];
    const ADMIN: &[&str] = &[r#"{"op":"admin","action":"add"}"#];
    const FREE: &[&str] = &[r#"{"op":"hello"}"#, r#"{"op":"auth","token":"x"}"#];

    fn places(common: usize) -> Places {
        let limits = Limits { connections: common, connections_reserved: 1, ..Limits::default() };
        Places::new(&limits)
    }

    /// Whether each of `lines` is refused with `code`.
    fn all(access: &mut Access, lines: &[&str], code: Option<ErrorCode>) {
        for line in lines {
            let request = request::parse(line.as_bytes(), &Limits::default()).expect("a request");
            assert_eq!(access.refusal(&request.op).map(|error| error.code), code, "{line}");
        }
    }

    #[test]
    fn each_role_may_do_what_it_is_for() {
        let tokens = tokens(&[(Role::Client, 'c'), (Role::Viewer, 'v'), (Role::Admin, 'a')]);
        let mut access = Access::new(&tokens, places(1).take().unwrap());
        let forbidden = Some(ErrorCode::Forbidden);
        for lines in [READS, UPDATES, LOOKS, ADMIN] {
            all(&mut access, lines, Some(ErrorCode::Unauthorized));
        }
        all(&mut access, FREE, None);
        for (letter, role, updates, admin) in [
            ('c', Role::Client, None, forbidden),
            ('v', Role::Viewer, forbidden, forbidden),
            ('a', Role::Admin, None, None),
        ] {
            assert_eq!(access.show(&text(letter)), Some(role));
            all(&mut access, UPDATES, updates);
            all(&mut access, ADMIN, admin);
            for lines in [FREE, READS, LOOKS] {
                all(&mut access, lines, None);
            }
        }
        access.only_read();
        all(&mut access, UPDATES, forbidden);
        all(&mut access, ADMIN, forbidden);
        all(&mut access, READS, None);
    }

    #[test]
    fn the_reserve_is_for_looking_after_the_cluster() {
        let places = places(1);
        let common = places.take().unwrap();
        let mut access = Access::new(&tokens(&[]), places.take().unwrap());
        for lines in [READS, UPDATES] {
            all(&mut access, lines, Some(ErrorCode::Overloaded));
        }
        for lines in [FREE, LOOKS, ADMIN] {
            all(&mut access, lines, None);
        }
        drop(common);
        all(&mut access, READS, None);
    }
}
