//! What servers say to each other. The hot part of it is read and written by hand, and must mean
//! to `serde` what it means to the hand.

use std::fmt::Debug;

use cluster::core::ring::{is_ring, ring_of};
use protocol::ids::{Key, NodeName, Uuid};
use protocol::peer::{
    Down, DownBody, Heartbeat, Message, Portion, Register, Registered, RingRecord, Up,
};
use protocol::proof::{Challenge, Proof, Proven};

use super::any_json;

/// Longest datagram that a coordinator takes, bytes.
const DATAGRAM_BYTES_MAX: usize = 2048;

/// By hand and by `serde` a line is the same message, or none; so is what is written.
fn both<M: Message + PartialEq + Debug>(data: &[u8]) -> Option<M> {
    // What comes from a connection is cut at newlines.
    let line = std::str::from_utf8(data).ok().filter(|line| !line.contains('\n'))?;
    let by_hand = M::read(line);
    let by_serde = serde_json::from_str::<M>(line);
    assert_eq!(by_hand.as_ref().ok(), by_serde.as_ref().ok(), "read by hand, and by serde");
    let message = by_hand.ok()?;
    let mut written = Vec::new();
    message.write(&mut written);
    assert!(!written.contains(&b'\n'), "a message is one line");
    let text = serde_json::to_string(&message).expect("plain data always serializes");
    // The same but for how a control character is escaped.
    assert_eq!(any_json(&written), any_json(text.as_bytes()), "written by hand, and by serde");
    let text = String::from_utf8(written).expect("text");
    let by_serde = serde_json::from_str::<M>(&text).expect("what was written can be read");
    assert_eq!(by_serde, message, "the same when written by hand");
    let again = M::read(&text).expect("what was written can be read");
    assert_eq!(again, message, "the same when written");
    Some(message)
}

/// From a coordinator.
pub fn peer_down(data: &[u8]) {
    let Some(Down { body: DownBody::Batch(batch), .. }) = both::<Down>(data) else { return };
    batch.put.iter().filter_map(|put| put.portion.as_ref()).for_each(unpacked);
}

/// From a node.
pub fn peer_up(data: &[u8]) {
    let Some(up) = both::<Up>(data) else { return };
    up.copy.iter().filter_map(|answer| answer.portion.as_ref()).for_each(unpacked);
}

/// A portion that is handed on unread has items in it, or is refused where it is read.
fn unpacked(portion: &Portion) {
    let Ok(items) = portion.items() else { return };
    let again = Portion::of(&items).items().expect("what was written can be read");
    assert_eq!(again, items, "the same when written");
}

/// A node's first line and its answer; a ring in it is a ring, or refused.
pub fn registration(data: &[u8]) {
    both::<Registered>(data);
    both::<Challenge>(data);
    both::<Proven>(data);
    both::<Proof>(data);
    let registered = both::<Register>(data).and_then(|register| register.ring);
    let Some(record) = registered.or_else(|| serde_json::from_slice::<RingRecord>(data).ok())
    else {
        return;
    };
    if !is_ring(&record) {
        return;
    }
    let ring = ring_of(&record);
    let key = Key::new("a").expect("a key");
    let holders = ring.replicas_of(&key);
    let with_points = record.members.iter().filter(|member| !member.points.is_empty()).count();
    assert!(holders.len() >= usize::from(record.replicas).min(with_points));
    assert!(holders.iter().all(|holder| record.members.iter().any(|one| one.id == *holder)));
    let mut names: Vec<&NodeName> = record.members.iter().map(|member| &member.name).collect();
    let mut stores: Vec<Uuid> = record.members.iter().map(|member| member.uuid).collect();
    names.sort_unstable();
    stores.sort_unstable();
    names.dedup();
    stores.dedup();
    assert_eq!((names.len(), stores.len()), (record.members.len(), record.members.len()));
}

/// A datagram: what is read fits one again.
pub fn heartbeat(data: &[u8]) {
    if data.len() > DATAGRAM_BYTES_MAX {
        return;
    }
    let Ok(heartbeat) = serde_json::from_slice::<Box<Heartbeat>>(data) else { return };
    let written = serde_json::to_vec(&heartbeat).expect("plain data always serializes");
    assert!(written.len() <= DATAGRAM_BYTES_MAX, "{} bytes", written.len());
    let again: Box<Heartbeat> = serde_json::from_slice(&written).expect("a heartbeat");
    assert_eq!(again, heartbeat);
}
