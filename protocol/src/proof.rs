//! How two servers prove to each other that they have the same peer token, without saying it: the
//! first lines of a connection between servers where there is one.
//!
//! Whoever dialled sends a [`Challenge`], whoever listens a [`Proven`], whoever dialled a
//! [`Proof`]; then the connection goes on as it does without. Plain data: the shell makes proofs.

use serde::{Deserialize, Serialize};

use crate::ids::Uuid;
use crate::peer::Message;

/// Longest of these lines, bytes.
pub const PROOF_LINE_BYTES_MAX: usize = 512;

/// From whoever dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// 128 random bits, never used twice.
    pub challenge: Uuid,
}

/// From whoever listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// 128 random bits of its own.
    pub challenge: Uuid,
    /// What only the token makes of both challenges, in hex.
    pub proof: String,
}

/// From whoever dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// As above, for this end.
    pub proof: String,
}

impl Message for Challenge {}
impl Message for Proven {}
impl Message for Proof {}
