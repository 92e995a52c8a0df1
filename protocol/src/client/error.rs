//! What can go wrong with a call, by who must act.
//!
//! Returned by every call of [`super::Client`]. The kinds are what a program decides by; the
//! sentences are for people and say what to do. Nothing is ever called safe to repeat that is not.

use std::io;
use std::time::Duration;

use crate::error::{ErrorReply, Remedy};
use crate::ids::Version;
use crate::reply::InvalidReply;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request is wrong or not allowed; the same again can only fail again.
    #[error("{}", .0.error)]
    Fix(Box<ErrorReply>),
    /// A condition of the request does not hold: nothing of it happened, and nothing will.
    #[error("{}", .0.error)]
    Condition(Box<ErrorReply>),
    /// Refused: nothing happened and nothing will; the same again is safe.
    #[error("{}", .0.error)]
    Retry(Box<ErrorReply>),
    /// An update that may or may not have happened, or may happen yet.
    #[error("{cause}")]
    Unknown {
        /// The update's own id, if the server told it.
        version: Option<Version>,
        /// How it came to that.
        cause: UnknownCause,
    },
    /// There is no connection, and the request was not sent: safe to repeat on a new one.
    #[error("not connected ({0}): check the address, and whether the cluster runs (piazza status)")]
    NotConnected(io::Error),
    /// The connection was lost while a read waited for its answer: safe to repeat on a new one.
    #[error("the connection was lost before the answer came ({0}): try again")]
    Lost(io::Error),
    /// No answer to a read, or no room to send an update at all, in this time: safe to repeat.
    #[error("no answer within {} ms, and nothing was changed: try again", .0.as_millis())]
    Late(Duration),
    /// A watch is over: its reader was too slow, or the coordinator has changed. What is watched
    /// must be read again before it is watched again.
    #[error(
        "the watch is lost, and changes may have been missed: read the keys again, then watch anew"
    )]
    WatchLost,
    /// A read was answered with something that is no reply of this protocol.
    #[error("{0}")]
    Protocol(InvalidReply),
    /// The server met a defect of its own. An update may or may not have happened.
    #[error("{}", .0.error)]
    Report(Box<ErrorReply>),
}

/// Why it is not known what became of an update.
#[derive(Debug, thiserror::Error)]
pub enum UnknownCause {
    /// The server says so.
    #[error("{}", .0.error)]
    Server(Box<ErrorReply>),
    /// The connection was lost after the update was sent.
    #[error(
        "the connection was lost after the update was sent ({0}), so it may or may not have \
             happened: read the key, then decide whether to repeat it"
    )]
    Lost(io::Error),
    /// No answer came in this time.
    #[error("no answer within {} ms, so the update may or may not have happened, or may happen \
             yet: read the key, then decide whether to repeat it", .0.as_millis())]
    Late(Duration),
    /// The answer is no reply of this protocol.
    #[error("{0}; the update may or may not have happened")]
    Protocol(InvalidReply),
}

impl UnknownCause {
    /// Whether the server is known to have read the request: then it is not on its way any more.
    pub(super) fn was_read(&self) -> bool {
        match self {
            Self::Server(_) | Self::Protocol(_) => true,
            Self::Lost(_) | Self::Late(_) => false,
        }
    }
}

impl ClientError {
    /// Whether the same call again cannot do anything twice.
    pub fn is_safe_to_repeat(&self) -> bool {
        match self {
            Self::Retry(_)
            | Self::NotConnected(_)
            | Self::Lost(_)
            | Self::Late(_)
            | Self::WatchLost => true,
            Self::Fix(_)
            | Self::Condition(_)
            | Self::Unknown { .. }
            | Self::Protocol(_)
            | Self::Report(_) => false,
        }
    }

    /// The server's own words, where the error is its answer.
    pub fn reply(&self) -> Option<&ErrorReply> {
        match self {
            Self::Fix(reply)
            | Self::Condition(reply)
            | Self::Retry(reply)
            | Self::Report(reply)
            | Self::Unknown { cause: UnknownCause::Server(reply), .. } => Some(reply),
            _ => None,
        }
    }

    /// What the error reply to a read means; for programs that use [`super::Client::ask`].
    pub fn from_read(reply: Box<ErrorReply>) -> Self {
        match reply.code.remedy() {
            Remedy::Fix => Self::Fix(reply),
            Remedy::Condition => Self::Condition(reply),
            Remedy::Retry | Remedy::Unknown => Self::Retry(reply),
            Remedy::Report => Self::Report(reply),
        }
    }

    /// What the error reply to an update means; for programs that use [`super::Client::ask`].
    pub fn from_update(reply: Box<ErrorReply>) -> Self {
        match reply.code.remedy() {
            Remedy::Unknown => {
                Self::Unknown { version: reply.version, cause: UnknownCause::Server(reply) }
            }
            _ => Self::from_read(reply),
        }
    }
}
