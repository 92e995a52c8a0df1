//! The way of watch lines from the loop to a connection's task.
//!
//! A line waits here until the connection can write it, behind the reply to its `watch`; there is
//! one of it, however many watch. What waits is bounded in bytes, for each reader and by the budget
//! of all clients: a reader that is further behind has lost its watch, and is told so after what
//! was promised before. Never makes the loop wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use protocol::reply::WATCH_LOST_LINE;
use tokio::sync::mpsc;

use super::budget::{Budget, Share};

/// Bytes of lines that a connection may be behind.
const BEHIND_MAX: usize = 4 << 20;
/// Who is no further behind holds nothing of the budget: the connections bound those.
const FREE_BEHIND_BYTES: usize = 64 << 10;

/// A line, the same for all who watch.
struct Line {
    text: Bytes,
    budget: Arc<Budget>,
    /// What it holds of the budget, from the time that somebody is behind; none where there was
    /// nothing left.
    share: OnceLock<Option<Share>>,
}

impl Line {
    /// Whether it is counted, once, from now on.
    fn is_counted(&self) -> bool {
        self.share.get_or_init(|| self.budget.take(self.text.len())).is_some()
    }
}

/// Tells a line to all of `readers`, each with the slot of the request that it answers to.
pub(super) fn tell<'a>(
    text: Bytes,
    budget: &Arc<Budget>,
    readers: impl Iterator<Item = (u64, &'a Feed)>,
) {
    let line = Arc::new(Line { text, budget: Arc::clone(budget), share: OnceLock::new() });
    readers.for_each(|(slot, feed)| feed.push(slot, &line));
}

/// Something for a connection that watches.
enum Fed {
    /// A line, and the request that it answers to.
    Line(u64, Arc<Line>),
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
    fn push(&self, slot: u64, line: &Arc<Line>) {
        if self.lost.load(Ordering::Relaxed) {
            return;
        }
        let bytes = line.text.len();
        let behind = self.behind.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if behind > BEHIND_MAX || (behind > FREE_BEHIND_BYTES && !line.is_counted()) {
            self.lose();
            return;
        }
        let _ = self.lines.send(Fed::Line(slot, Arc::clone(line)));
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
                    self.behind.fetch_sub(line.text.len(), Ordering::Relaxed);
                    out.extend_from_slice(&line.text);
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

    fn push(feed: &Feed, slot: u64, text: impl Into<Bytes>) {
        tell(text.into(), &Budget::new(usize::MAX), [(slot, feed)].into_iter());
    }

    #[test]
    fn lines_wait_for_the_reply_to_their_request_and_keep_their_order() {
        let (feed, mut reader) = feed();
        let mut out = Vec::new();
        push(&feed, 0, "a");
        push(&feed, 3, "b");
        push(&feed, 0, "c");
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
            push(&feed, 0, line.clone());
        }
        let mut out = Vec::new();
        assert!(!reader.write(&mut out, usize::MAX, 1));
        assert_eq!(out.len(), BEHIND_MAX + WATCH_LOST_LINE.len());
        assert!(out.ends_with(WATCH_LOST_LINE));
        // One that keeps up never loses anything.
        let (feed, mut reader) = super::feed();
        for _ in 0..9 {
            push(&feed, 0, line.clone());
            out.clear();
            assert!(reader.write(&mut out, usize::MAX, 1));
            assert_eq!(out.len(), line.len());
        }
    }

    #[test]
    fn who_is_behind_holds_each_line_once_and_loses_the_watch_where_there_is_no_room() {
        let budget = Budget::new(1 << 20);
        let (readers, mut ends): (Vec<Feed>, Vec<FeedReader>) = (0..3).map(|_| feed()).unzip();
        let all = || readers.iter().map(|feed| (0, feed));
        // What is short is free, for all who read it.
        tell(vec![b'a'; FREE_BEHIND_BYTES].into(), &budget, all());
        assert!(budget.take(1 << 20).is_some());
        // One line for three readers, which one of them has taken.
        tell(vec![b'b'; 1 << 19].into(), &budget, all());
        let mut out = Vec::new();
        assert!(ends[0].write(&mut out, usize::MAX, 1));
        assert!(budget.take((1 << 19) + 1).is_none());
        let rest = budget.take(1 << 19).expect("it is counted once");
        // There is no room for another one, but for who has kept up.
        tell(vec![b'c'; 1 << 10].into(), &budget, all());
        assert!(ends[0].write(&mut out, usize::MAX, 1) && out.ends_with(b"c"));
        for end in &mut ends[1..] {
            out.clear();
            assert!(!end.write(&mut out, usize::MAX, 1));
            assert_eq!(out.len(), FREE_BEHIND_BYTES + (1 << 19) + WATCH_LOST_LINE.len());
        }
        drop(rest);
        assert!(budget.take(1 << 20).is_some(), "nothing is held any more");
    }
}
