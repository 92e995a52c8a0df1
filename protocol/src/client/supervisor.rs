//! A connection to the supervisor of `piazza up`, for what is done to processes.
//!
//! Used by `piazza admin`, and by any program. One connection, never made anew: a restart that was
//! asked for twice would be two.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::events::Events;
use super::lines::Lines;
use super::{ClientError, Options};
use crate::event::{Subscribe, Topics};
use crate::reply::{self, Role};
use crate::request::{Op, Request, TIMEOUT_MS_MAX};
use crate::supervisor::{ListReply, LogsReply, ProcAction, ProcReply, SupervisorHello};
use crate::token::Token;

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Supervisor {
    connection: Connection,
    timeout: Duration,
    margin: Duration,
    /// For connections that are made later.
    token: Option<Token>,
}

impl Supervisor {
    /// Connects to the supervisor at `address`. `timeout` is how long a process may take to be
    /// ready, 1 ms to 60 s; `token` is shown first. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`]; [`ClientError::Fix`] where the token is wrong.
    pub async fn connect(
        address: &str,
        timeout: Duration,
        token: Option<Token>,
    ) -> Result<Self, ClientError> {
        let options = Options { in_flight_requests: 1, token, ..Options::default() };
        let connection = Connection::open(address, &options).await?;
        Ok(Self { connection, timeout, margin: options.margin, token: options.token })
    }

    /// What the token allows; none: none was shown.
    pub fn role(&self) -> Option<Role> {
        self.connection.role
    }

    /// Whose supervisor it is.
    ///
    /// # Errors
    /// Those of the connection; [`ClientError::Protocol`] where it is no supervisor.
    pub async fn hello(&self, client: &str) -> Result<SupervisorHello, ClientError> {
        let mut line = b"{\"op\":\"hello\",\"client\":".to_vec();
        crate::json::write_string(&mut line, client);
        line.extend_from_slice(b"}\n");
        self.call(line.into(), self.timeout).await.and_then(|line| decoded(&line))
    }

    /// All processes.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn list(&self) -> Result<ListReply, ClientError> {
        self.ask(&ProcAction::List, self.timeout).await.and_then(|line| decoded(&line))
    }

    /// The last `lines` of the log of `proc`.
    ///
    /// # Errors
    /// Those of the connection; [`ClientError::Fix`] where there is none.
    pub async fn logs(&self, proc: &str, lines: u32) -> Result<LogsReply, ClientError> {
        let action = ProcAction::Logs(proc.into(), lines);
        self.ask(&action, self.timeout).await.and_then(|line| decoded(&line))
    }

    /// Does `action`, which waits for readiness no longer than `wait`.
    ///
    /// # Errors
    /// [`ClientError::Condition`] where it is so already, [`ClientError::Fix`] where there is no
    /// such process, [`ClientError::Retry`] where it is not ready in time.
    pub async fn act(&self, action: &ProcAction, wait: Duration) -> Result<ProcReply, ClientError> {
        self.ask(action, wait).await.and_then(|line| decoded(&line))
    }

    /// Events of its processes, and of what is asked of it, from now on; the first one is a
    /// [`crate::event::ProcsSnapshot`]. They have a connection of their own.
    ///
    /// # Errors
    /// Those of the connection; [`ClientError::Retry`] where too many have subscribed.
    pub async fn subscribe(&self) -> Result<Events, ClientError> {
        let wants = Subscribe { topics: Topics::of_supervisor(), ..Subscribe::default() };
        let op = Op::Subscribe(Box::new(wants));
        let mut line = Vec::with_capacity(96);
        Request { id: None, timeout_ms: None, once: None, op }.write(&mut line);
        let wait = self.timeout + self.margin;
        let options = Options { token: self.token.clone(), ..Options::default() };
        let (lines, reply) = Lines::open(&self.connection.address, &options, &line, wait).await?;
        Events::begin(lines, &reply)
    }

    async fn ask(&self, action: &ProcAction, wait: Duration) -> Result<Vec<u8>, ClientError> {
        let timeout_ms = wait.as_millis().clamp(1, u128::from(TIMEOUT_MS_MAX)) as u32;
        let mut line = Vec::with_capacity(96);
        action.write(timeout_ms, &mut line);
        self.call(line.into(), Duration::from_millis(timeout_ms.into())).await
    }

    async fn call(&self, line: Bytes, wait: Duration) -> Result<Vec<u8>, ClientError> {
        self.connection.call(line, false, wait + self.margin, self.margin).await
    }
}

fn decoded<T: DeserializeOwned>(line: &[u8]) -> Result<T, ClientError> {
    reply::decode(line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
}
