//! How much of everything one client may use: the limits of the client protocol, with defaults.
//!
//! The servers hold clients to them, `hello` and `status` tell them. Plain data: nothing here
//! enforces a limit, and no limit may be infinite.

use serde::{Deserialize, Serialize};

use crate::ids::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Every limit a client can meet. A breach is always answered with a clear error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Longest key, bytes of UTF-8; never more than [`KEY_BYTES_MAX`].
    pub key_bytes: usize,
    /// Longest value, bytes before any escaping.
    pub value_bytes: usize,
    /// Longest request line, bytes without its newline.
    pub line_bytes: usize,
    /// Deepest nesting of objects and lists in a request, the request itself counted.
    pub nesting: usize,
    /// Requests of one connection that may wait for their answer before the server stops reading.
    pub in_flight_requests: usize,
    /// Bytes of such requests before the server stops reading.
    pub in_flight_bytes: usize,
    /// Connections on the client port.
    pub connections: usize,
    /// Connections that subscribed to events.
    pub subscribers: usize,
    /// A connection with nothing in flight is closed after this many milliseconds.
    pub idle_ms: u64,
    /// A line must have arrived whole this many milliseconds after its first byte.
    pub line_ms: u64,
    /// A socket that takes nothing for this many milliseconds is closed.
    pub stalled_ms: u64,
    /// The deadline of an operation that names none, milliseconds.
    pub op_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: KEY_BYTES_MAX,
            value_bytes: VALUE_BYTES_MAX,
            line_bytes: 3 << 19,
            nesting: 8,
            in_flight_requests: 1024,
            in_flight_bytes: 4 << 20,
            connections: 4096,
            subscribers: 16,
            idle_ms: 300_000,
            line_ms: 30_000,
            stalled_ms: 30_000,
            op_ms: 5_000,
        }
    }
}
