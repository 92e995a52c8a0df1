//! The way of watch lines from the loop to a connection's task.
//!
//! A line waits here until the connection can write it, behind the reply to its `watch`. What waits
//! is bounded in bytes: a reader that is further behind has lost its watch, and is told so after
//! what was promised before. Never makes the loop wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use protocol::reply::WATCH_LOST_LINE;
use tokio::sync::mpsc;

/// Bytes of lines that a connection may be behind.
const BEHIND_MAX: usize = 4 << 20;

/// Something for a connection that watches.
enum Fed {
    /// A line, and the request that it answers to.
    Line(u64, Bytes),
    /// The watches are over.
    Lost,
}

/// The loop's end.
pub(super) struct Feed {
    lines: mpsc::UnboundedSender<Fed>,
    behind: Arc<AtomicUsize>,
    lost: AtomicBool,
}

/// The connection's end.
pub(super) struct FeedReader {
    lines: mpsc::UnboundedReceiver<Fed>,
    behind: Arc<AtomicUsize>,
    /// Taken out, and not to be written yet.
    held: Option<Fed>,
}

/// Both ends of a connection's feed.
pub(super) fn feed() -> (Feed, FeedReader) {
    let (sender, lines) = mpsc::unbounded_channel();
    let behind = Arc::new(AtomicUsize::new(0));
    let feed = Feed { lines: sender, behind: Arc::clone(&behind), lost: AtomicBool::new(false) };
    (feed, FeedReader { lines, behind, held: None })
}

impl Feed {
    /// A line of the watch that the request in `slot` began.
    pub(super) fn push(&self, slot: u64, line: Bytes) {
        if self.lost.load(Ordering::Relaxed) {
            return;
        }
        if self.behind.fetch_add(line.len(), Ordering::Relaxed) + line.len() > BEHIND_MAX {
            self.lose();
            return;
        }
        let _ = self.lines.send(Fed::Line(slot, line));
    }

    /// There will be no further lines.
    pub(super) fn lose(&self) {
        if !self.lost.swap(true, Ordering::Relaxed) {
            let _ = self.lines.send(Fed::Lost);
        }
    }
}

impl FeedReader {
    /// Waits until there is something to write, or for ever. Nothing is lost if the wait is given
    /// up.
    pub(super) async fn wait(&mut self) {
        if self.held.is_none() {
            self.held = self.lines.recv().await;
        }
        if self.held.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether what comes next waits for a reply.
    pub(super) fn is_held(&self, first_slot: u64) -> bool {
        matches!(&self.held, Some(Fed::Line(slot, _)) if *slot >= first_slot)
    }

    /// Writes what there is, up to `bytes_max`, of requests whose replies are written: those before
    /// `first_slot`. False once the watches are over: the connection is to be closed.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, bytes_max: usize, first_slot: u64) -> bool {
        while out.len() < bytes_max {
            let Some(fed) = self.held.take().or_else(|| self.lines.try_recv().ok()) else {
                return true;
            };
            match fed {
                Fed::Line(slot, line) if slot < first_slot => {
                    self.behind.fetch_sub(line.len(), Ordering::Relaxed);
                    out.extend_from_slice(&line);
                }
                Fed::Line(..) => {
                    self.held = Some(fed);
                    return true;
                }
                Fed::Lost => {
                    out.extend_from_slice(WATCH_LOST_LINE);
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_the_reply_to_their_request_and_keep_their_order() {
        let (feed, mut reader) = feed();
        let mut out = Vec::new();
        feed.push(0, "a".into());
        feed.push(3, "b".into());
        feed.push(0, "c".into());
        assert!(reader.write(&mut out, 100, 0));
        assert!(out.is_empty() && reader.is_held(0) && !reader.is_held(1));
        assert!(reader.write(&mut out, 100, 1));
        assert_eq!(out, b"a");
        assert!(reader.write(&mut out, 100, 4));
        assert_eq!(out, b"abc");
    }

    #[test]
    fn a_reader_too_far_behind_gets_what_it_was_promised_and_is_told_that_the_rest_is_lost() {
        let (feed, mut reader) = feed();
        let line = Bytes::from(vec![b'x'; 1 << 20]);
        for _ in 0..9 {
            feed.push(0, line.clone());
        }
        let mut out = Vec::new();
        assert!(!reader.write(&mut out, usize::MAX, 1));
        assert_eq!(out.len(), BEHIND_MAX + WATCH_LOST_LINE.len());
        assert!(out.ends_with(WATCH_LOST_LINE));
        // One that keeps up never loses anything.
        let (feed, mut reader) = super::feed();
        for _ in 0..9 {
            feed.push(0, line.clone());
            out.clear();
            assert!(reader.write(&mut out, usize::MAX, 1));
            assert_eq!(out.len(), line.len());
        }
    }
}
