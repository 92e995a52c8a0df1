//! What the client port answers to `admin`.
//!
//! Called by `connection`. Membership is fixed at the founding, so every change of it is refused.
//! Holds no state.

use protocol::error::{ErrorCode, ErrorReply};
use protocol::request::{Admin, AdminAction};

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
