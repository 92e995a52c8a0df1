//! What each kind of event is, for who meets it for the first time.
//!
//! Part of the view Events.

use protocol::event::{Body, DivergenceKind};

use crate::console::model::record::What;

/// What this is, in a sentence.
pub(super) fn about(what: &What) -> &'static str {
    let What::Event(event) = what else {
        return "The console's own connection. What is shown is only as fresh as this.";
    };
    match &event.body {
        Body::Snapshot(_) | Body::ProcsSnapshot(_) => {
            "How everything is: told first, and again after a loss; all else is a change to it."
        }
        Body::Lagged(_) => {
            "A reader that is too slow is told what it missed, so that nothing is lost silently."
        }
        Body::Heartbeat(_) => "A node tells the coordinator that it lives, and how it is.",
        Body::HeartbeatMissed(_) => {
            "An interval went by without a heartbeat. One is nothing; three make a node suspect."
        }
        Body::MemberState(_) => {
            "The coordinator sees this node otherwise than before. A node that is not up gets no \
             updates: keys that have a copy there can be read, and not written."
        }
        Body::MemberRecovery(_) => {
            "A node that was away learns what it missed, step by step, before it counts as up."
        }
        Body::Link(_) => "The coordinator's connection to a node.",
        Body::Copies(_) => {
            "How many copies of the keys are on nodes that are up. A key is written only while all \
             of its nodes are up."
        }
        Body::Divergence(told) => match told.kind {
            DivergenceKind::Unreadable => {
                "A node's disk gives back no more of its keystore. Other copies are served. \
                 Nothing mends that file: the node is to be stopped, evicted, and started with \
                 an empty directory."
            }
            DivergenceKind::Checksum => {
                "A record on a disk is not what was written. It is never served: another copy is. \
                 `piazza admin repair` puts a whole copy in its place."
            }
            _ => {
                "Copies of keys that should be alike are not, though each is whole, and nothing \
                 says which is right. `piazza locate KEY --copies` shows them; whoever knows what \
                 is right writes the key again. `piazza admin repair` leaves them alone."
            }
        },
        Body::CoordinatorState(_) => {
            "A coordinator claims an epoch, shuts out its predecessors, finds out what they left \
             undecided, and then serves."
        }
        Body::RingEpoch(_) => "The ring says which nodes hold which keys.",
        Body::Transfer(_) => "A node that is to hold keys gets them from one that has them.",
        Body::Txn(_) => "A two-phase commit that is finished. A sample: not all of them are told.",
        Body::TxnOpen(_) => "A two-phase commit that takes long.",
        Body::TxnInDoubt(_) => {
            "Nobody can say whether this update happened, until the nodes that voted are heard."
        }
        Body::TxnResolved(_) => "An update that was in doubt is decided, the same for everybody.",
        Body::Stats(_) => "Figures of the last half second.",
        Body::CacheTotals(_) => "What the caches have counted.",
        Body::CacheSets(_) => "The cache sets that the view Cache looks at.",
        Body::CacheSet(_) => "The cache set that the view Cache looks at closely.",
        Body::CacheEvict(_) => {
            "A full set needs room: its hand clears bits as it goes, and takes the first entry \
             whose bit is clear."
        }
        Body::Admin(_) => "Somebody asked a server for something.",
        Body::Inject(_) => "A fault that was ordered for teaching, or what is left of it.",
        Body::Proc(_) => "What became of a process, told by the supervisor that started it.",
        Body::Other(_) => "A newer server tells this; this console does not know it.",
    }
}
