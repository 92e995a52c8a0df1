//! Updates, repeated until they are settled: each under a name of its own, by which servers
//! recognize it, so that it happens at most once however often it is sent.
//!
//! Used by every call of [`super::Client`] that changes something. Without names (see
//! [`super::Options::repeat_for`]) an update is sent once, and its error says what that means.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Client, ClientError, UnknownCause};
use crate::error::ErrorReply;
use crate::ids::Version;
use crate::reply;
use crate::request::Op;

/// How long an update is repeated at most. The last repetition must reach a server that still
/// remembers the first, and they remember for 60 s.
pub(super) const REPEAT_MAX: Duration = Duration::from_secs(30);
/// Pauses between repetitions grow from this to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// 128 bits from the system's source of randomness, in hex.
pub(crate) fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The keys of which an update demands a version. One that a key no longer has never comes back.
enum Pinned<'a> {
    /// The only key there is.
    Only,
    /// Some of those of a transaction.
    Some(Vec<Cow<'a, str>>),
}

impl<'a> Pinned<'a> {
    fn by(op: &Op<'a>) -> Self {
        match op {
            Op::Cas { .. } | Op::Del { version: Some(_), .. } => Self::Only,
            Op::Txn { conditions, .. } => {
                let pinned = conditions.iter().filter(|condition| condition.version.is_some());
                Self::Some(pinned.map(|condition| condition.key.clone()).collect())
            }
            _ => Self::Some(Vec::new()),
        }
    }

    /// Whether the condition that this refusal is about can never be met again.
    fn is_over(&self, refusal: &ErrorReply) -> bool {
        match self {
            Self::Only => true,
            Self::Some(keys) => keys.iter().any(|key| refusal.key.as_deref() == Some(&**key)),
        }
    }
}

impl Client {
    /// Carries out `op`, which must be an update (see [`Op::is_update`]): for programs that get
    /// updates as requests. The others have a call each.
    ///
    /// # Errors
    /// As for [`Client::put`] and, by kind of update, [`Client::cas`].
    pub async fn carry_out(&self, op: Op<'_>) -> Result<Version, ClientError> {
        let shared = &*self.shared;
        let patience = shared.options.repeat_for;
        if patience.is_zero() {
            return self.attempt_update(self.line(op, None)).await;
        }
        let number = shared.named.fetch_add(1, Ordering::Relaxed);
        let pinned = Pinned::by(&op);
        let line = self.line(op, Some(format!("{}.{number:x}", shared.name)));
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut unknown = None;
        // Whether an attempt was lost before the server is known to have read it.
        let mut adrift = false;
        loop {
            let error = match self.attempt_update(line.clone()).await {
                Ok(version) => return Ok(version),
                // Servers look the name up before they look at a condition: one that is not met
                // says that no earlier attempt has happened. One that is still on its way could
                // happen yet, should the condition be met again.
                Err(ClientError::Condition(reply)) => {
                    let never = !adrift || pinned.is_over(&reply);
                    let error = ClientError::Condition(reply);
                    return Err(if never { error } else { unknown.unwrap_or(error) });
                }
                Err(error) => error,
            };
            let asked = error.reply().and_then(|reply| reply.retry_after_ms).unwrap_or_default();
            let wait = pause.max(Duration::from_millis(asked).min(PAUSE_MAX));
            let is_unknown = matches!(error, ClientError::Unknown { .. });
            let in_time = begun.elapsed() + wait < patience;
            let closed = shared.closed.load(Ordering::Acquire);
            let refused = shared.options.repeat_refused || unknown.is_some();
            let again = is_unknown || (refused && error.is_safe_to_repeat());
            let again = again && in_time && !closed;
            if !again {
                // A refusal of this attempt says nothing about an earlier one.
                return Err(if is_unknown { error } else { unknown.unwrap_or(error) });
            }
            if is_unknown {
                adrift |= !matches!(&error, ClientError::Unknown { cause, .. } if cause.was_read());
                unknown = Some(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt_update(&self, line: Bytes) -> Result<Version, ClientError> {
        let reply = self.attempt(line, true).await?;
        match reply::decode_version(&reply) {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(error)) => Err(ClientError::from_update(error)),
            // What is answered with garbage may well have happened.
            Err(invalid) => {
                Err(ClientError::Unknown { version: None, cause: UnknownCause::Protocol(invalid) })
            }
        }
    }
}
