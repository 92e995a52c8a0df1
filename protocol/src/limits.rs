//! How much of everything one client may use: the limits of the client protocol, with defaults.
//!
//! The servers hold clients to them, `hello` and `status` tell them. Plain data: nothing here
//! enforces a limit, and no limit may be infinite.

use std::ops::RangeInclusive;

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
    /// Bytes that all clients together may make the server hold: long lines that have begun, and
    /// replies that nobody has taken.
    pub clients_bytes: usize,
    /// Connections on the client port.
    pub connections: usize,
    /// Connections beyond those, which only look after the cluster: `hello`, `auth`, `status`,
    /// `subscribe` and `admin`.
    pub connections_reserved: usize,
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
            clients_bytes: 512 << 20,
            connections: 4096,
            connections_reserved: 16,
            subscribers: 16,
            idle_ms: 300_000,
            line_ms: 30_000,
            stalled_ms: 30_000,
            op_ms: 5_000,
        }
    }
}

/// Why a limit cannot be set: one sentence for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLimit(String);

/// Where a limit is kept.
enum Place<'a> {
    Count(&'a mut usize),
    Ms(&'a mut u64),
}

/// A day.
const MS_MAX: u64 = 86_400_000;

impl Limits {
    /// Sets the limit `name`, which is one of its fields; those of keys and values excepted.
    ///
    /// # Errors
    /// There is no such limit, or `value` is not within its bounds.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), InvalidLimit> {
        let mut places = self.places();
        let Some((_, bounds, place)) = places.iter_mut().find(|(other, ..)| *other == name) else {
            let names: Vec<&str> = places.iter().map(|(name, ..)| *name).collect();
            let sentence = format!("there is no limit {name:?}; there are {}", names.join(", "));
            return Err(InvalidLimit(sentence));
        };
        if !bounds.contains(&value) {
            let (least, most) = (bounds.start(), bounds.end());
            return Err(InvalidLimit(format!("{name}={value}: give {least} to {most}")));
        }
        match place {
            Place::Ms(place) => **place = value,
            // All bounds of counts fit 32 bits.
            Place::Count(place) => **place = usize::try_from(value).unwrap_or(usize::MAX),
        }
        Ok(())
    }

    /// All limits that [`Limits::set`] sets, as they are now.
    pub fn settings(&self) -> Vec<(&'static str, u64)> {
        let value = |place: &Place<'_>| match place {
            Place::Ms(place) => **place,
            Place::Count(place) => **place as u64,
        };
        let mut copy = self.clone();
        copy.places().iter().map(|(name, _, place)| (*name, value(place))).collect()
    }

    fn places(&mut self) -> [(&'static str, RangeInclusive<u64>, Place<'_>); 12] {
        use Place::{Count, Ms};
        let times = || 100..=MS_MAX;
        [
            ("line_bytes", 1 << 10..=16 << 20, Count(&mut self.line_bytes)),
            // A transaction's writes are on the third level.
            ("nesting", 3..=64, Count(&mut self.nesting)),
            ("in_flight_requests", 1..=1 << 16, Count(&mut self.in_flight_requests)),
            ("in_flight_bytes", 1..=1 << 30, Count(&mut self.in_flight_bytes)),
            ("clients_bytes", 32 << 20..=1 << 40, Count(&mut self.clients_bytes)),
            ("connections", 1..=1_000_000, Count(&mut self.connections)),
            ("connections_reserved", 0..=1_000, Count(&mut self.connections_reserved)),
            ("subscribers", 0..=1_000, Count(&mut self.subscribers)),
            ("idle_ms", times(), Ms(&mut self.idle_ms)),
            ("line_ms", times(), Ms(&mut self.line_ms)),
            ("stalled_ms", times(), Ms(&mut self.stalled_ms)),
            ("op_ms", 1..=60_000, Ms(&mut self.op_ms)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_set_within_its_bounds_and_by_its_name() {
        let mut limits = Limits::default();
        limits.set("connections", 7).unwrap();
        limits.set("idle_ms", 100).unwrap();
        assert_eq!((limits.connections, limits.idle_ms), (7, 100));
        for (name, value) in [("idle_ms", 99), ("connections", 0), ("op_ms", 60_001)] {
            let error = limits.set(name, value).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}={value}: give ")), "{error}");
        }
        let error = limits.set("colour", 1).unwrap_err().to_string();
        assert!(error.contains("connections_reserved"), "{error}");
    }

    /// Each name is that of a field, and its default within its bounds.
    #[test]
    fn what_is_set_is_what_is_told() {
        let told = serde_json::to_value(Limits::default()).unwrap();
        let mut again = Limits::default();
        for (name, value) in Limits::default().settings() {
            assert_eq!(told[name], value, "{name}");
            again.set(name, value).unwrap();
        }
        assert_eq!(again, Limits::default());
    }
}
