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
use crate::ids::{OnceName, Version};
use crate::reply::{self, ExplainReply, InvalidReply, Refusal};
use crate::request::{Explain, Op, Request};

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

/// What the server says of a request's way.
#[derive(Debug)]
pub struct Explanation {
    /// As it said it: a JSON line without its newline.
    pub line: Vec<u8>,
    /// The same, read; a refusal, with how far the request came.
    pub answer: Result<ExplainReply, Refusal>,
}

/// An attempt at an explained update that did not succeed.
struct Unexplained {
    error: ClientError,
    /// What the server said, if that is what failed.
    told: Option<Box<Explanation>>,
}

impl From<ClientError> for Unexplained {
    fn from(error: ClientError) -> Self {
        Self { error, told: None }
    }
}

impl AsRef<ClientError> for Unexplained {
    fn as_ref(&self) -> &ClientError {
        &self.error
    }
}

impl AsRef<Self> for ClientError {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Client {
    /// Carries out `op`, which must be an update (see [`Op::is_update`]): for programs that get
    /// updates as requests. The others have a call each.
    ///
    /// # Errors
    /// As for [`Client::put`] and, by kind of update, [`Client::cas`].
    pub async fn carry_out(&self, op: Op<'_>) -> Result<Version, ClientError> {
        let pinned = Pinned::by(&op);
        let line = self.line(op, self.new_name());
        self.settle(&pinned, line, version_of).await
    }

    /// Sends `op`, which must be an update, once, under a name of the caller's own: for programs
    /// that decide themselves what is repeated, and when. The same `op` under the same name again
    /// is answered as the first one was, for as long as servers remember it (60 s), and
    /// [`Client::outcome`] tells what became of it.
    ///
    /// # Errors
    /// As for [`Client::put`] and, by kind of update, [`Client::cas`]. After
    /// [`ClientError::Unknown`], a refusal of a repetition says nothing about the first attempt.
    pub async fn carry_out_as(&self, name: &OnceName, op: Op<'_>) -> Result<Version, ClientError> {
        self.attempt(self.line(op, Some(name.to_string())), true).await.and_then(version_of)
    }

    /// Has a request explained: with `run` it is carried out too, and an update then repeated,
    /// under a name of its own, as by [`Client::carry_out`].
    ///
    /// # Errors
    /// Those of the connection; [`ClientError::Unknown`] where an update may or may not have
    /// happened. A refusal that the server explains is an [`Explanation`].
    pub async fn explain(&self, op: Op<'_>, run: bool) -> Result<Explanation, ClientError> {
        let explain = |once: Option<String>, op| {
            let once = once.map(Cow::Owned);
            let request = Request { id: None, timeout_ms: None, once, op };
            self.line(Op::Explain(Box::new(Explain { request, run })), None)
        };
        if !run || !op.is_update() {
            let line = self.attempt(explain(None, op), false).await?;
            let answer = reply::decode_explained(&line).map_err(ClientError::Protocol)?;
            return Ok(Explanation { line, answer });
        }
        let pinned = Pinned::by(&op);
        let line = explain(self.new_name(), op);
        let settled = self.settle(&pinned, line, explanation_of).await;
        settled.or_else(|refused: Unexplained| refused.told.map(|told| *told).ok_or(refused.error))
    }

    /// A name for an update; none where updates are not repeated.
    fn new_name(&self) -> Option<String> {
        let shared = &*self.shared;
        let number = shared.named.fetch_add(1, Ordering::Relaxed);
        (!shared.options.repeat_for.is_zero()).then(|| format!("{}.{number:x}", shared.name))
    }

    /// Makes attempts at one update until its outcome is known, or patience ends; `read` makes what
    /// each means of its reply. Without names there is one attempt.
    async fn settle<T, E: AsRef<ClientError> + From<ClientError>>(
        &self,
        pinned: &Pinned<'_>,
        line: Bytes,
        read: fn(Vec<u8>) -> Result<T, E>,
    ) -> Result<T, E> {
        let shared = &*self.shared;
        let patience = shared.options.repeat_for;
        if patience.is_zero() {
            return self.attempt(line, true).await.map_err(E::from).and_then(read);
        }
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut unknown = None;
        // Whether an attempt was lost before the server is known to have read it.
        let mut adrift = false;
        loop {
            let reply = self.attempt(line.clone(), true).await;
            let failure = match reply.map_err(E::from).and_then(read) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let error = failure.as_ref();
            // Servers look the name up before they look at a condition: one that is not met says
            // that no earlier attempt has happened. One that is still on its way could happen yet,
            // should the condition be met again.
            if let ClientError::Condition(reply) = error {
                let never = !adrift || pinned.is_over(reply);
                return Err(if never { failure } else { unknown.unwrap_or(failure) });
            }
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
                return Err(if is_unknown { failure } else { unknown.unwrap_or(failure) });
            }
            if is_unknown {
                adrift |= !matches!(error, ClientError::Unknown { cause, .. } if cause.was_read());
                unknown = Some(failure);
            }
            sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// The version of an update that was answered.
fn version_of(line: Vec<u8>) -> Result<Version, ClientError> {
    match reply::decode_version(&line) {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(error)) => Err(ClientError::from_update(error)),
        Err(invalid) => Err(garbage(invalid)),
    }
}

/// The explanation of an update that was answered.
fn explanation_of(line: Vec<u8>) -> Result<Explanation, Unexplained> {
    match reply::decode_explained(&line) {
        Ok(Err(refusal)) => Err(Unexplained {
            error: ClientError::from_update(refusal.error.clone()),
            told: Some(Box::new(Explanation { line, answer: Err(refusal) })),
        }),
        Ok(answer) => Ok(Explanation { line, answer }),
        Err(invalid) => Err(garbage(invalid).into()),
    }
}

/// What is answered with garbage may well have happened.
fn garbage(invalid: InvalidReply) -> ClientError {
    ClientError::Unknown { version: None, cause: UnknownCause::Protocol(invalid) }
}
