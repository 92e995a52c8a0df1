//! The numbers and names that every part of Piazza uses, each a type of its own.
//!
//! Imported by everyone; imports nothing of ours. Parsing is validation: a value of one of these
//! types is always within its limits. Nothing here prints a key's value.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest key, bytes of UTF-8, unless a flag lowers it.
pub const KEY_BYTES_MAX: usize = 256;
/// Longest value, bytes, unless a flag lowers it.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Longest node name, bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Bits of a [`Version`] that hold the epoch.
pub const EPOCH_BITS: u32 = 20;
/// Bits of a [`Version`] that hold the counter.
pub const COUNTER_BITS: u32 = 44;

/// Why a text or number is not a valid id: one sentence for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub String);

/// A key: UTF-8 text of 1 to [`KEY_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key `text`, or why it cannot be one.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId("a key must have at least one byte".into()));
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(InvalidId(format!(
                "a key may have at most {KEY_BYTES_MAX} bytes, this one has {}",
                text.len()
            )));
        }
        Ok(Self(text.into()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, by which keys are hashed and sorted.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl de::Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
        Key::new(text).map_err(E::custom)
    }
}

/// A value: any bytes. Cheap to clone; never shown by `Debug`, so that no log holds one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Value(pub Bytes);

impl Value {
    /// The bytes of the value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value's length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value has no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// A coordinator's term of office; 1 to 2^20 - 1. 0 means none yet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The highest epoch that a [`Version`] can hold.
    pub const MAX: Self = Self((1 << EPOCH_BITS) - 1);

    /// The next higher epoch, or `None` when the numbers are used up.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transaction's id, which is also the version of what it writes: `(epoch, counter)`, ordered.
///
/// On the wire to clients it is the text `"EPOCH.COUNTER"`; between servers and on disk it is one
/// number, the epoch in the upper 20 bits (R1: the epoch is part of the id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// Before every transaction.
    pub const ZERO: Self = Self(0);

    /// The id number `counter` of `epoch`.
    ///
    /// # Panics
    /// If either does not fit its bits; the coordinator claims a new epoch before that.
    pub fn new(epoch: Epoch, counter: u64) -> Self {
        assert!(epoch <= Epoch::MAX, "epoch {epoch} does not fit {EPOCH_BITS} bits");
        assert!(counter < 1 << COUNTER_BITS, "counter {counter} does not fit {COUNTER_BITS} bits");
        Self((u64::from(epoch.0) << COUNTER_BITS) | counter)
    }

    /// The version that `number` stands for, as written by [`Version::number`].
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The version as one number, in order.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The coordinator's epoch.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> COUNTER_BITS) as u32)
    }

    /// The number within the epoch.
    pub fn counter(self) -> u64 {
        self.0 & ((1 << COUNTER_BITS) - 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch().0, self.counter())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Version {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            || InvalidId(format!("{text:?} is not a version; versions look like \"3.17\""));
        let (epoch, counter) = text.split_once('.').ok_or_else(invalid)?;
        // One text a version, since those who get it compare texts: no sign, no leading zero.
        let digits = |s: &str| {
            let zero = s.starts_with('0') && s.len() > 1;
            !s.is_empty() && !zero && s.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(epoch) || !digits(counter) {
            return Err(invalid());
        }
        let epoch: u32 = epoch.parse().map_err(|_| invalid())?;
        let counter: u64 = counter.parse().map_err(|_| invalid())?;
        if epoch > Epoch::MAX.0 || counter >= 1 << COUNTER_BITS {
            return Err(invalid());
        }
        Ok(Self::new(Epoch(epoch), counter))
    }
}

/// A place on the ring of 2^64 points; 16 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub u64);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Point {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex(text, 16).map(|number| Self(number as u64))
    }
}

/// 128 bits that name one store, cluster or process for ever; 32 lower-case hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub u128);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        hex(text, 32).map(Self)
    }
}

fn hex(text: &str, digits: usize) -> Result<u128, InvalidId> {
    let valid = text.len() == digits
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !valid {
        return Err(InvalidId(format!("{text:?} is not {digits} lower-case hex digits")));
    }
    u128::from_str_radix(text, 16).map_err(|error| InvalidId(error.to_string()))
}

/// A node's name: 1 to [`NAME_BYTES_MAX`] of `A-Z a-z 0-9 . _ -`, so that it is a safe file name
/// once `.` and `..` are refused too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name `text`, or why it cannot be one.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let length_fits = (1..=NAME_BYTES_MAX).contains(&text.len());
        if !length_fits || !text.bytes().all(allowed) || text == "." || text == ".." {
            return Err(InvalidId(format!(
                "a node's name is 1 to {NAME_BYTES_MAX} characters of A-Z a-z 0-9 . _ -"
            )));
        }
        Ok(Self(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

/// Shortest and longest name that a client may give to an update, bytes.
pub const ONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// A client's name for one update, never given to another one: text of 16 to 64 bytes (R16).
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OnceName(Arc<str>);

impl OnceName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OnceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for OnceName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if ONCE_BYTES.contains(&text.len()) {
            return Ok(Self(text.into()));
        }
        Err(InvalidId(format!("once must have 16 to 64 bytes, not {}", text.len())))
    }
}

/// What an update carries so that repeating it is harmless (R16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    /// The client's name for it.
    #[serde(rename = "n")]
    pub name: OnceName,
    /// `xxh3_64` of the request without its id, deadline and `once`.
    #[serde(rename = "h")]
    pub request_hash: u64,
}

/// A member's number in its cluster: given when it becomes a member, never given again. It stands
/// for the member's store UUID wherever a record or message names participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(pub u16);

/// How often a node's directory has been started; rises durably at each start (R4).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

/// The number of a group in one node's log: contiguous from 1 over the store's whole life. The
/// newest one is the node's log end, and thereby its proof of continuity (R7).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct GroupSeq(pub u64);

impl GroupSeq {
    /// The group after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of a ring: rings are ordered by the epoch of the coordinator that made them, then
/// by a counter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct RingNumber {
    /// The epoch of the coordinator that made the ring.
    pub epoch: Epoch,
    /// Counts the rings of that epoch from 0.
    pub counter: u32,
}

macro_rules! as_text {
    ($($id:ty),*) => {$(
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(Point, Uuid, NodeName, OnceName);

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: "Epoch below 2^20 and counter below 2^44, so that a version fits 64 bits"
    #[test]
    fn a_version_is_ordered_by_epoch_then_counter_and_reads_back() {
        let small = Version::new(Epoch(1), (1 << COUNTER_BITS) - 1);
        let large = Version::new(Epoch(2), 0);
        assert!(small < large);
        for version in [small, large, Version::new(Epoch::MAX, 7)] {
            assert_eq!(version.to_string().parse(), Ok(version));
            assert_eq!(Version::from_number(version.number()), version);
        }
        for wrong in
            ["", "1", "1.", ".1", "1.2.3", "-1.2", "+1.2", "01.2", "1.02", "1048576.0", "1 .2"]
        {
            assert!(wrong.parse::<Version>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn names_that_are_no_file_names_are_refused() {
        for wrong in ["", ".", "..", "a/b", "a b", "é"] {
            assert!(NodeName::new(wrong).is_err(), "{wrong:?}");
        }
        assert!(NodeName::new("n-1.A_z").is_ok());
    }

    #[test]
    fn hex_ids_are_strict() {
        assert_eq!("00000000000000ff".parse(), Ok(Point(255)));
        for wrong in ["ff", "00000000000000FF", "+000000000000000"] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong:?}");
        }
        assert_eq!(Uuid(7).to_string().parse(), Ok(Uuid(7)));
    }

    #[test]
    fn a_value_is_never_shown() {
        assert_eq!(format!("{:?}", Value::from("secret")), "<6 bytes>");
    }
}
