//! `explain`, as far as the connection goes: what it does itself with a request, and how long that
//! took. The core tells the rest.
//!
//! The clock is read for requests that are explained only: when their bytes came is known anyway,
//! since idle connections are closed.

use std::sync::atomic::Ordering;

use protocol::reply;
use protocol::request::{Explain, Op, Request};

use super::super::coordinator::Event;
use super::super::{clock, ops};
use super::{Connection, KeyHashes};
use crate::core::coordinator::{CacheLook, ClientOp, ExplainOp, Explainable, Input, Seen};
use crate::core::time::Time;

impl Connection {
    /// Makes a request that is to be explained the loop's, with what is seen of it here.
    pub(super) fn explain(
        &mut self,
        request: &Request<'_>,
        explain: &Explain<'_>,
        bytes: usize,
    ) -> Option<Event> {
        let parsed = clock::now();
        let ago = u64::try_from(self.last_active.elapsed().as_micros()).unwrap_or(u64::MAX);
        let began = Time(parsed.0.saturating_sub(ago));
        let of = match ops::for_core(&explain.request.op)? {
            ClientOp::Get(key) => Explainable::Get(key),
            ClientOp::Update(update) => Explainable::Update(update),
            _ => return None,
        };
        let look = match &explain.request.op {
            Op::Get { key } if explain.run => self.look(key),
            _ => CacheLook::None,
        };
        let keys = if explain.run { KeyHashes::of(&explain.request.op) } else { KeyHashes::None };
        let client = self.take_slot(request, bytes, keys);
        let once = ops::once_of(&explain.request);
        let timeout_ms = explain.request.timeout_ms.or(request.timeout_ms);
        let timeout_ms = timeout_ms.map_or(self.shared.limits.op_ms, u64::from);
        let seen = Seen { began, parsed, look };
        let op = ClientOp::Explain(Box::new(ExplainOp { of, run: explain.run, seen }));
        Some(Event::Core(Input::Request { client, op, once, timeout_ms }))
    }

    /// As a `get` is answered from the cache; its reply is made, but told only in the steps.
    fn look(&self, key: &str) -> CacheLook {
        if self.slots.is_in_core(ops::hash(key)) {
            return CacheLook::None;
        }
        let found = self.shared.cache.hit(key);
        let at = clock::now();
        match found {
            Some((version, tail)) if at < Time(self.shared.lease_until.load(Ordering::Acquire)) => {
                let mut out = Vec::with_capacity(reply::reply_bytes(None, &tail));
                reply::write_reply(&mut out, None, true, &tail);
                CacheLook::Hit { at, version, replied: clock::now() }
            }
            _ => CacheLook::Miss(at),
        }
    }
}
