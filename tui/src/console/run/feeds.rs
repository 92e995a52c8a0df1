//! The console's own connections: one task each for the coordinator and the supervisor.
//!
//! Started by the loop. A task owns its connection and its back-off, tells events in the order in
//! which they came, and never waits for the screen: when the loop is behind, figures and samples
//! are left out and counted; changes are waited for, which the server notices.

use std::time::Duration;

use protocol::client::{Client, ClientError, Events, Options, Supervisor};
use protocol::event::{self, Class, Event, Subscribe};
use protocol::reply::Role;
use protocol::token::Token;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::console::model::feed::{Fed, FeedName, FeedState};

/// What waits for the loop, for both feeds together.
pub(super) const QUEUE: usize = 4_096;
/// The first wait before a connection is tried again, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a connection and a subscription may take to be made.
const BEGIN: Duration = Duration::from_secs(3);
/// A supervisor's own answers may take so long.
const SUPERVISOR: Duration = Duration::from_secs(2);

/// What a feed tells, with an event's line where somebody records.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) fed: Fed,
    pub(super) line: Option<Vec<u8>>,
}

/// How a feed is told what to do.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    /// Where the server is; none: not known yet.
    pub(super) address: watch::Receiver<Option<String>>,
    /// What the coordinator shall tell.
    pub(super) wants: watch::Receiver<Subscribe>,
    /// Changes when a connection shall be tried at once.
    pub(super) hurry: watch::Receiver<u64>,
}

/// One feed.
#[derive(Debug)]
pub(super) struct Feeder {
    pub(super) name: FeedName,
    pub(super) orders: Orders,
    pub(super) token: Option<Token>,
    pub(super) to: mpsc::Sender<Told>,
    /// Whether lines are kept.
    pub(super) records: bool,
    /// Events left out since that was told last.
    pub(super) dropped: u64,
}

/// The loop has ended.
#[derive(Debug)]
pub(super) struct Over;

impl Feeder {
    /// Connects again and again, and tells what comes, until the loop ends.
    pub(super) async fn run(mut self) {
        let mut wait = WAIT_FIRST;
        loop {
            let Some(address) = self.orders.address.borrow_and_update().clone() else {
                if self.orders.address.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let ended = match timeout(BEGIN, self.begin(&address)).await {
                Ok(Ok((role, events))) => {
                    wait = WAIT_FIRST;
                    match self.follow(&address, role, events).await {
                        Ok(why) => why,
                        Err(Over) => return,
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("{address} does not answer"),
            };
            if self.link(FeedState::Lost(ended)).await.is_err() || !self.pause(wait).await {
                return;
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
    }

    /// Waits, but no longer than somebody is patient. False: the loop has ended.
    async fn pause(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => true,
            hurried = self.orders.hurry.changed() => hurried.is_ok(),
            moved = self.orders.address.changed() => moved.is_ok(),
        }
    }

    /// Subscribes; what the token allows there, and what is told.
    async fn begin(&mut self, address: &str) -> Result<(Option<Role>, Events), ClientError> {
        match self.name {
            FeedName::Coordinator => {
                let wants = self.orders.wants.borrow_and_update().clone();
                let token = self.token.clone();
                let options = Options { repeat_for: Duration::ZERO, token, ..Options::default() };
                let client = Client::connect(address, options).await?;
                Ok((client.role(), client.subscribe(wants).await?))
            }
            FeedName::Supervisor => {
                let supervisor =
                    Supervisor::connect(address, SUPERVISOR, self.token.clone()).await?;
                Ok((supervisor.role(), supervisor.subscribe().await?))
            }
        }
    }

    /// Tells what comes until the connection is lost; why it was.
    async fn follow(
        &mut self,
        address: &str,
        role: Option<Role>,
        mut events: Events,
    ) -> Result<String, Over> {
        self.link(FeedState::Live).await?;
        if let Some(role) = role {
            let told = Told { fed: Fed::Role(self.name, role), line: None };
            self.to.send(told).await.map_err(|_| Over)?;
        }
        let is_told_wants = self.name == FeedName::Coordinator;
        loop {
            tokio::select! {
                line = events.next_line() => match line {
                    Ok(line) => self.tell(line).await?,
                    Err(ClientError::Lost(error)) => return Ok(error.to_string()),
                    Err(error) => return Ok(error.to_string()),
                },
                changed = self.orders.wants.changed(), if is_told_wants => {
                    if changed.is_err() {
                        return Err(Over);
                    }
                    // The old one goes on until the new one has begun, with a snapshot.
                    match timeout(BEGIN, self.begin(address)).await {
                        Ok(Ok((_, fresh))) => events = fresh,
                        Ok(Err(error)) => return Ok(error.to_string()),
                        Err(_) => return Ok(format!("{address} does not answer")),
                    }
                }
            }
        }
    }

    async fn link(&mut self, state: FeedState) -> Result<(), Over> {
        let told = Told { fed: Fed::Link(self.name, state), line: None };
        self.to.send(told).await.map_err(|_| Over)
    }

    async fn tell(&mut self, line: Vec<u8>) -> Result<(), Over> {
        // A line that is no event of this protocol is a newer server's: it is left out.
        let Ok(event) = event::decode(&line) else { return Ok(()) };
        let line = self.records.then_some(line);
        tell_or_count(&self.to, self.name, Box::new(event), line, &mut self.dropped).await
    }
}

/// Tells an event; figures and samples that do not fit are left out and counted in `dropped`, which
/// is told before the next thing that fits.
pub(super) async fn tell_or_count(
    to: &mpsc::Sender<Told>,
    name: FeedName,
    event: Box<Event>,
    line: Option<Vec<u8>>,
    dropped: &mut u64,
) -> Result<(), Over> {
    // The count goes first, and needs a place too.
    let is_control = event.body.class() == Class::Control;
    if !is_control && to.capacity() < 2 {
        *dropped += 1;
        return Ok(());
    }
    if *dropped > 0 {
        let fed = Fed::Dropped(name, std::mem::take(dropped));
        to.send(Told { fed, line: None }).await.map_err(|_| Over)?;
    }
    to.send(Told { fed: Fed::Event(name, event), line }).await.map_err(|_| Over)
}
