//! The connection of a shell, and what is asked over it.
//!
//! Used by `interactive` and `script`. A lost connection is made anew by the client; where the
//! cluster is found again, if it does not answer at its old address, is looked up anew.

use std::time::Duration;

use protocol::client::Client;
use protocol::status::{CoordinatorState, NodeState, Status};
use tokio::time::timeout;

use crate::args::Common;
use crate::asked::Asked;
use crate::print::{self, Exit, Failure};

/// How long the prompt may wait for the state of the cluster.
const STATE_WAIT: Duration = Duration::from_millis(300);
/// How long a completion may wait for keys, and how many are offered.
const KEYS_WAIT: Duration = Duration::from_millis(500);
const KEYS_MAX: usize = 100;
/// Of a cluster's name that is longer the beginning is shown.
const NAME_CHARS_MAX: usize = 24;

/// A connection that is kept.
pub(crate) struct Session {
    common: Common,
    /// None once the cluster could not be reached.
    client: Option<Client>,
    /// As it was last told.
    name: String,
    /// Whether its connections are promised to change nothing.
    read_only: bool,
}

impl Session {
    /// A first connection: a cluster that is not there is told at once.
    pub(super) async fn connect(common: Common) -> Result<Self, Failure> {
        let client = print::connect(&common).await?;
        Ok(Self { client: Some(client), ..Self::later(common, false) })
    }

    /// A connection that is made when something is asked; with `read_only` its server refuses
    /// whatever would change something.
    pub(crate) fn later(common: Common, read_only: bool) -> Self {
        Self { common, client: None, name: "piazza".into(), read_only }
    }

    /// Whether answers are JSON.
    pub(super) fn json(&self) -> bool {
        self.common.json
    }

    /// Asks, and prints the answer.
    pub(crate) async fn carry_out(
        &mut self,
        mut asked: Asked,
        input: Vec<u8>,
    ) -> Result<Exit, Failure> {
        asked.common().json |= self.common.json;
        let client = match &self.client {
            Some(client) => client,
            None => {
                let client = self.open().await?;
                self.client.insert(client)
            }
        };
        let result = asked.carry_out(client, input).await;
        let gone = |failure: &Failure| failure.code == "not_connected";
        if result.as_ref().is_err_and(gone) {
            self.client = None;
        }
        result
    }

    async fn open(&self) -> Result<Client, Failure> {
        if !self.read_only {
            return print::connect(&self.common).await;
        }
        let client = print::connect_once(&self.common).await?;
        client.hello("piazza console, read-only", true).await?;
        Ok(client)
    }

    /// What stands in front of what is typed: the cluster, and how it is.
    pub(super) async fn prompt(&mut self) -> String {
        let status = match &self.client {
            Some(client) => timeout(STATE_WAIT, client.status()).await.ok().and_then(Result::ok),
            None => None,
        };
        if let Some(told) = status.as_ref().map(|status| &status.cluster.name)
            && !told.is_empty()
        {
            self.name = told.chars().take(NAME_CHARS_MAX).collect();
        }
        let state = status.as_ref().map_or("no answer".into(), state);
        format!("{} ({state})> ", self.name)
    }

    /// Keys that begin with `prefix`, and whether there are more; `None` where nobody says in time.
    pub(super) async fn keys(&self, prefix: &str) -> Option<(Vec<String>, bool)> {
        let client = self.client.as_ref()?.with_timeout(KEYS_WAIT);
        let mut scan = client.scan(prefix).limit(KEYS_MAX as u32 + 1);
        let page = timeout(KEYS_WAIT, scan.next()).await.ok()?.ok()?;
        let items = page.map(|page| page.items).unwrap_or_default();
        let more = items.len() > KEYS_MAX;
        let keys = items.into_iter().take(KEYS_MAX).map(|item| item.key.as_str().to_owned());
        Some((keys.collect(), more))
    }
}

/// How the cluster is, in a few words.
fn state(status: &Status) -> String {
    if status.coordinator.state != CoordinatorState::Active {
        return status.coordinator.state.to_string();
    }
    let members = || status.nodes.iter().filter(|node| node.state != NodeState::Evicted);
    let up = members().filter(|node| node.state == NodeState::Up && !node.paused).count();
    let all = members().count().max(status.cluster.nodes as usize);
    format!("{up}/{all} up")
}
