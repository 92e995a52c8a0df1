//! Plays a recording: tells what it holds at the times at which that came.
//!
//! A task in place of the feeds.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::feeds::Told;
use crate::console::model::clock::At;
use crate::console::model::feed::Fed;
use crate::console::recording::Record;

/// Tells all of it, then stands still until the loop ends.
pub(super) async fn play(records: Vec<Record>, to: mpsc::Sender<Told>) {
    let begun = Instant::now();
    for record in records {
        let (at, fed): (At, Fed) = record.into();
        sleep_until(begun + Duration::from_micros(at.us())).await;
        if to.send(Told { fed, line: None }).await.is_err() {
            return;
        }
    }
    let _ = to.send(Told { fed: Fed::Ended, line: None }).await;
    // The last picture stays.
    to.closed().await;
}
