//! What a coordinator is told, and what it wants done.

use std::net::SocketAddr;

use bytes::Bytes;
use protocol::error::ErrorReply;
use protocol::ids::{Epoch, Key, Once, OnceName, Uuid, Version};
use protocol::peer::{Down, Heartbeat, Register, Registered, Up};
use protocol::status::Status;

use super::super::subscription::Event;
use super::super::time::Time;
use super::change::AdminOp;
use super::conditions::Update;
use super::events::Interest;
use super::explain::{ExplainOp, Explained};
use super::locate::LocateOp;
use super::scan::ScanOp;
use super::watch::WatchOp;

/// One request of one client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId {
    /// The connection.
    pub conn: u64,
    /// The request's place on it.
    pub slot: u64,
}

/// A registration connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationId(pub u64);

/// What a client wants.
#[derive(Debug, Clone)]
pub enum ClientOp {
    /// The value of a key.
    Get(Key),
    /// The values of several keys, one or more, at one moment. A key may be there twice.
    Mget(Vec<Key>),
    /// Writes of one key or several, and what must hold for them.
    Update(Update),
    /// What became of an update.
    Outcome(UpdateName),
    /// A page of keys.
    Scan(ScanOp),
    /// Every committed change from now on.
    Watch(WatchOp),
    /// Where a key lies, and who holds it.
    Locate(LocateOp),
    /// Which way a request takes, or this one has taken.
    Explain(Box<ExplainOp>),
    /// The picture of it all.
    Status,
    /// A change of membership, or of a setting.
    Admin(AdminOp),
}

/// How an update is named that a client asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateName {
    /// By the version that it was given.
    Version(Version),
    /// By the client's own name for it.
    Once(OnceName),
}

/// What a client is told.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Yes, with this encoded rest of the reply line.
    Ok(Bytes),
    /// No.
    Error(Box<ErrorReply>),
    /// The answer to `status`.
    Status(Box<Status>),
    /// The answer to `explain`, whose last times are measured on its way out.
    Explained(Box<Explained>),
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A client asks.
    Request {
        /// Who, and which request of it.
        client: ClientId,
        /// What.
        op: ClientOp,
        /// The client's name for it, if it is an update that has one (R16).
        once: Option<Once>,
        /// How long it waits.
        timeout_ms: u64,
    },
    /// A client connection has ended: nobody waits for its answers.
    ClientGone(u64),
    /// A node announces itself.
    Register {
        /// On this connection.
        conn: RegistrationId,
        /// Who it is.
        register: Box<Register>,
    },
    /// A registration connection has ended.
    Unregistered(RegistrationId),
    /// A dialled link is up.
    LinkUp {
        /// Its session.
        session: u64,
    },
    /// A link has ended or could not be made.
    LinkLost {
        /// Its session.
        session: u64,
        /// Nobody listens there.
        refused: bool,
    },
    /// A message from a node.
    Up {
        /// The session that it came on.
        session: u64,
        /// The message.
        up: Box<Up>,
    },
    /// A heartbeat, already known to be newer than the ones before.
    Heartbeat(Box<Heartbeat>),
    /// Subscribers want this to be told, and nothing else.
    Interest(Box<Interest>),
    /// Time has passed.
    Tick,
    /// All that had arrived is handed in: send what is due.
    Flush,
    /// Stop for good, gracefully.
    Stop,
}

/// What is to be done, in list order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answer a client.
    Reply {
        /// Whom.
        client: ClientId,
        /// What.
        answer: Answer,
    },
    /// Tell a client of a committed change, behind the answer to its request to watch.
    Watched {
        /// Whom, and by which of their requests: a connection once.
        clients: Vec<ClientId>,
        /// The whole line.
        line: Bytes,
    },
    /// A connection's watches are over: it is told so and closed.
    WatchLost(u64),
    /// Answer a registration.
    Registered {
        /// On this connection, which is closed after a refusal.
        conn: RegistrationId,
        /// The answer.
        answer: Registered,
    },
    /// End the connection of a registration that was welcome: its node registers again.
    RegistrationOver(RegistrationId),
    /// Connect to a node.
    Dial {
        /// The session of the new link.
        session: u64,
        /// Where.
        addr: SocketAddr,
    },
    /// End a link.
    HangUp {
        /// Its session.
        session: u64,
    },
    /// Send on a link.
    Send {
        /// Its session.
        session: u64,
        /// The message.
        down: Box<Down>,
    },
    /// What the cache holds may be told until this moment.
    Lease(Time),
    /// Something for the log.
    Note(Note),
    /// Something for those who subscribed to it.
    Event(Box<Event>),
    /// From now on results may be told.
    Active {
        /// The epoch.
        epoch: Epoch,
        /// The cluster.
        cluster: Uuid,
    },
    /// A node is wanted that is no member yet.
    WantNode,
    /// This node was removed by order, and is a member no more: it need not run.
    NodeRemoved(String),
    /// Everything is handed back: the process may end.
    Released,
}

/// A change worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A node is seen in another state.
    Member {
        /// Its name.
        node: protocol::ids::NodeName,
        /// The new state.
        state: protocol::status::NodeState,
        /// Why.
        reason: &'static str,
    },
    /// The coordinator has come one step further.
    Phase(&'static str, Epoch),
    /// A transaction of an earlier epoch is decided.
    Resolved(Version, bool),
    /// The disk of a node is full, or is not any more.
    Space {
        /// Its name.
        node: protocol::ids::NodeName,
        /// Whether it refuses updates.
        full: bool,
    },
    /// A ring is on its way, or in force.
    Ring {
        /// Its number.
        number: protocol::ids::RingNumber,
        /// Which of both.
        what: &'static str,
    },
    /// A change of membership has come to its end, or goes on after another coordinator.
    Change(String),
    /// Something that an operator should look at.
    Alarm(String),
}
