//! The async client: one pipelined connection behind a handle that is cheap to clone.
//!
//! The command line and the demos use it, and so may any program. Calls of all clones share the
//! connection: they are written in batches and answered in the order sent. Every update carries a
//! name of its own (`once`), so that it may be repeated until its outcome is known and still
//! happens at most once. What a failed call means for the caller is the kind of [`ClientError`].
//!
//! - this file: options, connecting, the calls
//! - `error`: what can go wrong, by who must act
//! - `repeat`: updates, again and again until they are settled
//! - `txn`, `scan`, `watch`, `events`: the calls that take more than one line to make
//! - `lines`: a connection of its own for what comes unasked
//! - `supervisor`: the one that owns the servers' processes
//! - `auth`: the token that a connection begins with
//! - `connection`: one connection and the deadlines of its calls; `link`: the task that owns it

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::ErrorCode;
use crate::ids::{Key, Version};
use crate::reply::{self, AdminReply, HelloReply, LocateReply, Role, UpdateState, Versioned};
use crate::request::{Admin, Op, Request, TIMEOUT_MS_MAX, UpdateName};
use crate::status::Status;
use crate::token::Token;

mod auth;
pub(crate) mod connection;
mod error;
mod events;
mod lines;
mod link;
pub(crate) mod repeat;
mod scan;
mod supervisor;
mod txn;
mod watch;

use connection::Connection;
pub use error::{ClientError, UnknownCause};
pub use events::Events;
use link::{Command, Loss};
pub use repeat::Explanation;
pub use scan::Scan;
pub use supervisor::Supervisor;
pub use txn::Txn;
pub use watch::Watch;

/// How a [`Client`] behaves. Every wait has an end and every queue a bound.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long connecting to one address may take.
    pub connect_timeout: Duration,
    /// The deadline that requests ask the server to keep, 1 ms to 60 s.
    pub timeout: Duration,
    /// How much longer than that a call waits for its answer to arrive.
    pub margin: Duration,
    /// Requests in flight, of all clones together; further callers wait.
    pub in_flight_requests: usize,
    /// Bytes of requests in flight; a single larger request goes alone.
    pub in_flight_bytes: usize,
    /// How long an update is repeated that was refused for now or whose outcome is not known, at
    /// most 30 s: servers remember the names of updates for 60 s. A lost connection is made anew.
    ///
    /// Zero: nothing is repeated, updates carry no name, and a client is one connection.
    pub repeat_for: Duration,
    /// Whether that holds for what was certainly refused for now too, such as an update of a key of
    /// which a replica is down. If not, only an update is repeated whose outcome is not known.
    pub repeat_refused: bool,
    /// The token that every connection begins with, where the cluster wants one.
    pub token: Option<Token>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            margin: Duration::from_secs(2),
            in_flight_requests: 512,
            in_flight_bytes: 2 << 20,
            repeat_for: repeat::REPEAT_MAX,
            repeat_refused: true,
            token: None,
        }
    }
}

/// What became of a `del`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The key is gone; the version is that of its removal.
    Done(Version),
    /// There was no such key.
    NotFound,
}

/// A connection to a cluster. Clones share it; it closes when the last one is dropped.
///
/// When the connection is lost, the next call makes a new one; with [`Options::repeat_for`] zero
/// every later call fails with [`ClientError::NotConnected`] instead.
///
/// ```no_run
/// use protocol::client::{Client, ClientError, Options};
/// use protocol::ids::Key;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("127.0.0.1:8080", Options::default()).await?;
/// let key = Key::new("greeting")?;
/// match client.put(&key, b"hello").await {
///     Ok(version) => println!("written as {version}"),
///     Err(error) if error.is_safe_to_repeat() => println!("nothing happened: {error}"),
///     Err(ClientError::Unknown { .. }) => println!("perhaps written: read it and see"),
///     Err(error) => return Err(error.into()),
/// }
/// if let Some(found) = client.get(&key).await? {
///     println!("{} bytes, version {}", found.value.len(), found.version);
///     // Only if nobody else has written it since.
///     match client.cas(&key, b"bye", found.version).await {
///         Ok(version) => println!("now {version}"),
///         Err(ClientError::Condition(reply)) => println!("too late: {reply}"),
///         Err(error) => return Err(error.into()),
///     }
/// }
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    /// The deadline that this handle's requests ask for.
    timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    /// Where to connect anew.
    addresses: String,
    options: Options,
    current: Mutex<Arc<Connection>>,
    /// Held by whoever connects anew; the last attempt that failed.
    connecting: tokio::sync::Mutex<Option<(Instant, Loss)>>,
    closed: AtomicBool,
    /// What the names of this client's updates begin with: 128 random bits.
    name: String,
    named: AtomicU64,
}

impl Client {
    /// Connects to the first of `addresses` (`host:port`, or several with commas between them)
    /// that accepts, and shows it [`Options::token`]. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::NotConnected`], naming every address and what was wrong with it;
    /// [`ClientError::Fix`] where the token is wrong.
    pub async fn connect(addresses: &str, options: Options) -> Result<Self, ClientError> {
        let options = Options {
            in_flight_requests: options.in_flight_requests.max(1),
            in_flight_bytes: options.in_flight_bytes.clamp(1, u32::MAX as usize),
            repeat_for: options.repeat_for.min(repeat::REPEAT_MAX),
            ..options
        };
        let connection = Connection::open(addresses, &options).await?;
        let timeout = options.timeout;
        let shared = Shared {
            addresses: addresses.to_owned(),
            options,
            current: Mutex::new(Arc::new(connection)),
            connecting: tokio::sync::Mutex::new(None),
            closed: AtomicBool::new(false),
            name: repeat::random_name().map_err(ClientError::NotConnected)?,
            named: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), timeout })
    }

    /// The same client, whose requests ask the server to keep this deadline, 1 ms to 60 s.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { shared: self.shared.clone(), timeout }
    }

    /// The address that accepted the connection.
    pub fn address(&self) -> String {
        self.current().address.clone()
    }

    /// What the token allows; none: none was shown.
    pub fn role(&self) -> Option<Role> {
        self.current().role
    }

    /// Whether the connection is lost, and not made anew yet.
    pub fn is_lost(&self) -> bool {
        self.current().is_lost()
    }

    /// The value and version of `key`, or `None` where there is no such key.
    ///
    /// # Errors
    /// Any kind but [`ClientError::Unknown`]: a read is always safe to repeat.
    pub async fn get(&self, key: &Key) -> Result<Option<Versioned>, ClientError> {
        let line = self.ask(Op::Get { key: key.as_str().into() }).await?;
        match reply::decode_value(&line).map_err(ClientError::Protocol)? {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(ClientError::from_read(error)),
        }
    }

    /// Sets `key` to `value`, whether it exists or not.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] where it may or may not have happened, or may happen yet.
    pub async fn put(&self, key: &Key, value: &[u8]) -> Result<Version, ClientError> {
        let (key, value) = (key.as_str().into(), Cow::Borrowed(value));
        self.carry_out(Op::Put { key, value, if_absent: false }).await
    }

    /// Sets `key` to `value` where there is no such key.
    ///
    /// # Errors
    /// As for [`Client::put`]; [`ClientError::Condition`] where the key exists.
    pub async fn put_if_absent(&self, key: &Key, value: &[u8]) -> Result<Version, ClientError> {
        let (key, value) = (key.as_str().into(), Cow::Borrowed(value));
        self.carry_out(Op::Put { key, value, if_absent: true }).await
    }

    /// Sets `key` to `value` where the key exists.
    ///
    /// # Errors
    /// As for [`Client::put`]; [`ClientError::Condition`] where there is no such key.
    pub async fn update(&self, key: &Key, value: &[u8]) -> Result<Version, ClientError> {
        self.carry_out(Op::Update { key: key.as_str().into(), value: Cow::Borrowed(value) }).await
    }

    /// Sets `key` to `value` where the key has this version.
    ///
    /// # Errors
    /// As for [`Client::put`]; [`ClientError::Condition`] where the key does not exist or has
    /// another version, which the error tells.
    pub async fn cas(
        &self,
        key: &Key,
        value: &[u8],
        version: Version,
    ) -> Result<Version, ClientError> {
        let (key, value) = (key.as_str().into(), Cow::Borrowed(value));
        self.carry_out(Op::Cas { key, value, version }).await
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As for [`Client::put`].
    pub async fn del(&self, key: &Key) -> Result<Deleted, ClientError> {
        match self.carry_out(Op::Del { key: key.as_str().into(), version: None }).await {
            Ok(version) => Ok(Deleted::Done(version)),
            Err(ClientError::Condition(reply)) if reply.code == ErrorCode::NotFound => {
                Ok(Deleted::NotFound)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes `key` where it has this version.
    ///
    /// # Errors
    /// As for [`Client::cas`].
    pub async fn del_if(&self, key: &Key, version: Version) -> Result<Version, ClientError> {
        self.carry_out(Op::Del { key: key.as_str().into(), version: Some(version) }).await
    }

    /// The values and versions of 1 to 128 keys, in order, all as of one moment.
    ///
    /// # Errors
    /// As for [`Client::get`]; [`ClientError::Fix`] where they are too large together.
    pub async fn mget(&self, keys: &[Key]) -> Result<Vec<Option<Versioned>>, ClientError> {
        let keys = keys.iter().map(|key| key.as_str().into()).collect();
        let line = self.ask(Op::Mget { keys }).await?;
        reply::decode_values(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// What became of an update; [`ClientError::Unknown`] tells its version where the server did.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn outcome(&self, of: UpdateName<'_>) -> Result<UpdateState, ClientError> {
        let line = self.ask(Op::Outcome { of }).await?;
        reply::decode_outcome(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// The state of the cluster.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        let line = self.ask(Op::Status).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// Where `key` lies, and which nodes hold it; with `copies`, what each of them holds.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn locate(&self, key: &Key, copies: bool) -> Result<LocateReply, ClientError> {
        let line = self.ask(Op::Locate { key: key.as_str().into(), copies }).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// Asks for a change of the cluster; how far it is, `status` tells.
    ///
    /// # Errors
    /// As for [`Client::get`]; [`ClientError::Fix`] with the code `refused` where it may not be.
    pub async fn admin(&self, admin: Admin<'_>) -> Result<AdminReply, ClientError> {
        let line = self.ask(Op::Admin(admin)).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// What the server is, and the limits it holds this connection to.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn hello(&self, client: &str, read_only: bool) -> Result<HelloReply, ClientError> {
        let line = self.ask(Op::Hello { client: Some(client.into()), read_only }).await?;
        reply::decode(&line).map_err(ClientError::Protocol)?.map_err(ClientError::from_read)
    }

    /// Waits for the answers of all calls under way, then closes the connection, for all clones.
    /// Later calls fail with [`ClientError::NotConnected`].
    pub async fn close(self) {
        self.shared.closed.store(true, Ordering::Release);
        let (done, closed) = oneshot::channel();
        if self.current().queue.send(Command::Close(done)).await.is_ok() {
            // An error means that the link has ended, which is what is waited for.
            let _ = closed.await;
        }
    }

    /// Sends one request, once, and returns its reply, a JSON line without its newline, not yet
    /// looked at: for programs that show replies as they are. Not for `watch`.
    ///
    /// # Errors
    /// Those of the connection; an error reply is a reply here.
    pub async fn ask(&self, op: Op<'_>) -> Result<Vec<u8>, ClientError> {
        let is_update = op.is_update();
        self.attempt(self.line(op, None), is_update).await
    }

    fn line(&self, op: Op<'_>, once: Option<String>) -> Bytes {
        let mut line = Vec::with_capacity(128);
        let once = once.map(Cow::Owned);
        Request { id: None, timeout_ms: Some(self.timeout_ms()), once, op }.write(&mut line);
        line.into()
    }

    fn timeout_ms(&self) -> u32 {
        self.timeout.as_millis().clamp(1, u128::from(TIMEOUT_MS_MAX)) as u32
    }

    /// How long a call waits for its answer.
    fn wait(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms())) + self.shared.options.margin
    }

    async fn attempt(&self, line: Bytes, is_update: bool) -> Result<Vec<u8>, ClientError> {
        let connection = self.connection().await?;
        connection.call(line, is_update, self.wait(), self.shared.options.margin).await
    }

    fn current(&self) -> Arc<Connection> {
        // Whoever held the lock only cloned or replaced what is in it.
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection; a new one, where the present one is lost and that is wanted.
    async fn connection(&self) -> Result<Arc<Connection>, ClientError> {
        let shared = &*self.shared;
        let usable = |connection: &Connection| {
            let is_final = shared.closed.load(Ordering::Acquire);
            !connection.is_lost() || is_final || shared.options.repeat_for.is_zero()
        };
        let current = self.current();
        if usable(&current) {
            return Ok(current);
        }
        let asked_at = Instant::now();
        let mut failed = shared.connecting.lock().await;
        let current = self.current();
        if usable(&current) {
            return Ok(current);
        }
        // All calls under way come here at once: one attempt counts for all that waited for it.
        if let Some((at, loss)) = &*failed
            && *at >= asked_at
        {
            return Err(ClientError::NotConnected(loss.error()));
        }
        match Connection::open(&shared.addresses, &shared.options).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *shared.current.lock().unwrap_or_else(PoisonError::into_inner) = connection.clone();
                Ok(connection)
            }
            Err(ClientError::NotConnected(error)) => {
                *failed = Some((Instant::now(), Loss::new(&error)));
                Err(ClientError::NotConnected(error))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
