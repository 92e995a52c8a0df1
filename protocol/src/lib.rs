//! What is said between any two parties of Piazza, and the client library.
//!
//! Everyone imports this crate; it imports nothing of ours. All of it is pure but [`client`] and
//! [`load`].
//! A dialogue on the client port, one JSON object a line (`>` to the server, `<` from it):
//!
//! ```text
//! > {"op":"put","key":"a","value":"hello","id":7}
//! < {"ok":true,"id":7,"version":"3.17"}
//! > {"op":"get","key":"a"}
//! < {"ok":true,"value":"hello","version":"3.17"}
//! > {"op":"cas","key":"a","value":"bye","version":"3.16"}
//! < {"ok":false,"code":"version_mismatch","error":"...","version":"3.17","key":"a"}
//! > {"op":"get","kee":"a"}
//! < {"ok":false,"code":"bad_request","error":"unknown field \"kee\": ...","field":"kee"}
//! ```
//!
//! Requests are strict, so that a mistake is never half understood; receivers of replies ignore
//! unknown fields, so that servers can say more later. In reading order:
//! [`ids`] and [`limits`], then [`frame`] (bytes to lines), [`request`], [`reply`] and [`error`]
//! (lines to meaning, and back), [`status`], [`event`] (what subscribers are told), [`supervisor`],
//! [`client`] and, for measurements, [`load`].

pub mod client;
pub mod error;
pub mod event;
pub mod frame;
pub mod ids;
pub mod json;
pub mod limits;
pub mod load;
pub mod peer;
pub mod proof;
pub mod reply;
pub mod request;
pub mod status;
pub mod supervisor;
pub mod token;

#[cfg(test)]
mod testing;
