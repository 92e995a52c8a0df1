//! Calls that are repeated for as long as that can help: what a correct client does with each kind
//! of error. Used by everything here that talks to the store.
//!
//! - refused for now (`replica_down`, `overloaded`, no connection): again, after a pause that grows
//! - a condition that is not met: that is an answer; the caller reads again and decides anew
//! - an outcome that is not known: the same update again *under the same name*, until the store
//!   says what became of it. It is never taken for done, and never for not done.
//!
//! The client library does the same by itself in its plain calls (`cas`, `txn`); it is spelled out
//! here because it is what this program shows, and to count it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use protocol::client::{Client, ClientError};
use protocol::error::ErrorReply;
use protocol::ids::{OnceName, Version};
use protocol::load::Random;
use protocol::request::Op;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::report::Figures;

/// How long a call is repeated. Servers remember the names of updates for 60 s: the last repetition
/// must come before that.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(45);
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Pauses between repetitions: each about twice the last one, and no two callers alike, so that
/// they do not all come back at once.
#[derive(Debug)]
struct Pauses(Duration);

impl Pauses {
    /// The next one; at least as long as the server asked for, within bounds.
    fn next(&mut self, asked_ms: Option<u64>, random: &mut Random) -> Duration {
        let half = self.0 / 2;
        // Half of a second at most.
        let part = random.below(half.as_micros() as u32 + 1).into();
        let asked = Duration::from_millis(asked_ms.unwrap_or(0)).min(PAUSE_MAX);
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        (half + Duration::from_micros(part)).max(asked)
    }
}

/// Why a call came to nothing in the end.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A condition was not met. Nothing happened, and nothing will.
    Condition(Box<ErrorReply>),
    /// Refused for as long as there was patience. Nothing happened, and nothing will.
    Refused,
    /// Something that must not be; of an update that it may or may not have happened.
    Wrong(String),
}

/// How calls went.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Counts {
    /// Attempts that were refused for now, by code, and calls without a connection.
    pub refused: BTreeMap<&'static str, u64>,
    /// Of the updates of which it was not known at first whether they happened: they had, or did
    /// when they were repeated.
    pub unknown_happened: u64,
    /// Of those: they had not, and never will.
    pub unknown_did_not: u64,
    /// Calls that were given up: still refused when patience, or the shopping, was over.
    pub given_up: u64,
    /// The call that took longest, with all its repetitions, milliseconds.
    pub longest_ms: u64,
}

/// The store, as it is talked to here.
#[derive(Debug)]
pub(crate) struct Store {
    /// For what needs no patience of ours: the client has its own.
    pub(crate) client: Client,
    /// What the names of this run's updates begin with: of no other run, whatever its seed.
    run: String,
    named: Cell<u64>,
    random: RefCell<Random>,
    counts: RefCell<Counts>,
    figures: watch::Sender<Figures>,
    stopped: watch::Sender<bool>,
}

impl Store {
    /// With `run` as the beginning of all names.
    pub(crate) fn new(
        client: Client,
        run: String,
        seed: u64,
        figures: watch::Sender<Figures>,
    ) -> Self {
        let random = RefCell::new(Random::one_of_many(seed, u32::MAX));
        let (named, counts, stopped) = Default::default();
        Self { client, run, named, random, counts, figures, stopped }
    }

    /// From now on what is refused is not repeated. What may have happened still is.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Patience again, for what comes after the shopping.
    pub(crate) fn resume(&self) {
        self.stopped.send_replace(false);
    }

    /// Whether it is over.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until it is over.
    pub(crate) async fn stopped(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    /// How it went so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// A read, which is always safe to repeat.
    pub(crate) async fn read<T>(
        &self,
        mut ask: impl AsyncFnMut() -> Result<T, ClientError>,
    ) -> Result<T, Failed> {
        let (begun, mut pauses) = (Instant::now(), Pauses(PAUSE_MIN));
        loop {
            let error = match ask().await {
                Ok(found) => {
                    self.took(begun);
                    return Ok(found);
                }
                Err(error) => error,
            };
            if !error.is_safe_to_repeat() {
                return Err(Failed::Wrong(error.to_string()));
            }
            self.refused(&error);
            if self.is_stopped() || !self.pause(begun, &mut pauses, &error).await {
                return Err(self.give_up());
            }
        }
    }

    /// An update whose conditions name versions, which never come back: one lost on its way
    /// cannot happen any more once its conditions have failed.
    pub(crate) async fn update(&self, op: &Op<'_>) -> Result<Version, Failed> {
        // One name for all repetitions, by which the store knows them for the same update.
        let number = self.named.replace(self.named.get() + 1);
        let name = format!("{}.{number:x}", self.run);
        let name: OnceName = name.parse().map_err(|_| Failed::Wrong(format!("name {name}")))?;
        let (begun, mut pauses) = (Instant::now(), Pauses(PAUSE_MIN));
        // Whether an earlier attempt may have happened; then a refusal of this one ends nothing.
        let mut unknown = false;
        loop {
            let error = match self.client.carry_out_as(&name, op.clone()).await {
                Ok(version) => {
                    self.took(begun);
                    self.counts.borrow_mut().unknown_happened += u64::from(unknown);
                    return Ok(version);
                }
                Err(error) => error,
            };
            match error {
                ClientError::Condition(reply) => {
                    self.took(begun);
                    self.counts.borrow_mut().unknown_did_not += u64::from(unknown);
                    return Err(Failed::Condition(reply));
                }
                ClientError::Unknown { .. } | ClientError::Report(_) => {
                    self.figures.send_modify(|figures| figures.unknown += u64::from(!unknown));
                    unknown = true;
                }
                _ if error.is_safe_to_repeat() => self.refused(&error),
                _ => return Err(Failed::Wrong(error.to_string())),
            }
            let over = self.is_stopped() && !unknown;
            if over || !self.pause(begun, &mut pauses, &error).await {
                if unknown {
                    let what = format!(
                        "what became of the update {name} was not known after {} s: {error}",
                        PATIENCE_MAX.as_secs()
                    );
                    return Err(Failed::Wrong(what));
                }
                return Err(self.give_up());
            }
        }
    }

    /// Waits before the next attempt; false: there is no more patience.
    async fn pause(&self, begun: Instant, pauses: &mut Pauses, error: &ClientError) -> bool {
        let asked = error.reply().and_then(|reply| reply.retry_after_ms);
        let pause = pauses.next(asked, &mut self.random.borrow_mut());
        if begun.elapsed() + pause > PATIENCE_MAX {
            return false;
        }
        sleep(pause).await;
        true
    }

    fn refused(&self, error: &ClientError) {
        let code = error.reply().map_or("no_connection", |reply| reply.code.as_str());
        *self.counts.borrow_mut().refused.entry(code).or_default() += 1;
        self.figures.send_modify(|figures| figures.refused += 1);
    }

    fn give_up(&self) -> Failed {
        self.counts.borrow_mut().given_up += 1;
        Failed::Refused
    }

    fn took(&self, begun: Instant) {
        let mut counts = self.counts.borrow_mut();
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        counts.longest_ms = counts.longest_ms.max(ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_bounds() {
        let (mut pauses, mut random) = (Pauses(PAUSE_MIN), Random::new(1));
        let drawn: Vec<Duration> = (0..20).map(|_| pauses.next(None, &mut random)).collect();
        assert!(drawn[0] <= PAUSE_MIN && drawn[0] >= PAUSE_MIN / 2, "{drawn:?}");
        assert!(drawn[19] >= PAUSE_MAX / 2, "{drawn:?}");
        assert!(drawn.iter().all(|pause| *pause <= PAUSE_MAX), "{drawn:?}");
        assert!(drawn[10..].windows(2).any(|two| two[0] != two[1]), "not alike: {drawn:?}");
    }

    #[test]
    fn a_server_is_given_the_time_it_asks_for() {
        let (mut pauses, mut random) = (Pauses(PAUSE_MIN), Random::new(1));
        assert_eq!(pauses.next(Some(500), &mut random), Duration::from_millis(500));
        assert_eq!(pauses.next(Some(u64::MAX), &mut random), PAUSE_MAX);
    }
}
