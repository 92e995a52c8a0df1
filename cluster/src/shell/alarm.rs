//! A loop's alarm clock: wakes it at its next deadline, or shortly after.
//!
//! Used by the loops of both servers. A deadline that moves away is let come: the loop then finds
//! nothing to do and asks again. For each earlier one the runtime needs a system call, and most
//! operations bring a deadline and take it away again.

use std::pin::Pin;

use tokio::time::Sleep;

use super::clock;
use crate::core::time::Time;

/// One loop's alarm.
pub(super) struct Alarm {
    /// When it goes off; never while `None`.
    at: Option<Time>,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { at: None, sleep: Box::pin(tokio::time::sleep_until(clock::instant_of(Time(0)))) }
    }

    /// Waits until `deadline` at the earliest is near, and at the latest 5 ms past it; may return
    /// before.
    pub(super) async fn wait(&mut self, deadline: Option<Time>) {
        if let Some(deadline) = deadline
            && self.at.is_none_or(|at| deadline < at)
        {
            let at = clock::on_grid(deadline);
            if self.at.is_none_or(|old| at < old) {
                self.sleep.as_mut().reset(clock::instant_of(at));
                self.at = Some(at);
            }
        }
        if self.at.is_none() {
            return std::future::pending().await;
        }
        self.sleep.as_mut().await;
        self.at = None;
    }
}
