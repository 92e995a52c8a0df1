//! Lines from a byte stream, bounded: what servers announce.
//!
//! Used by `child`. An over-long line is skipped to its newline and reported, it
//! never fills memory. Knows nothing of what the lines say.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line, bytes, without its newline.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;
const CHUNK: usize = 4 << 10;

/// One step of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its `\n` and a `\r` before it.
    Whole(Vec<u8>),
    /// A line of so many bytes was skipped.
    TooLong(usize),
    /// The stream has ended; a last line without newline was given before.
    End,
}

/// Reads lines of `R`. Cancelling [`Lines::next`] loses nothing.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// How much of `buffer` has been searched for a newline.
    searched: usize,
    /// Bytes of the over-long line that is being skipped.
    skipped: usize,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), searched: 0, skipped: 0, ended: false }
    }

    /// Whether a line has begun to arrive.
    pub(super) fn begun(&self) -> bool {
        !self.buffer.is_empty() || self.skipped > 0
    }

    /// Reads once more from the source: true if anything came. What came is taken out by
    /// [`Lines::take`].
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(CHUNK);
        let count = self.source.read_buf(&mut self.buffer).await?;
        self.ended |= count == 0;
        Ok(count > 0)
    }

    /// The next line that is whole already, if any.
    pub(super) fn take(&mut self) -> Option<Line> {
        let newline = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
        match newline.map(|at| at + self.searched) {
            Some(at) => {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                self.searched = 0;
                line.pop();
                Some(self.finish(line))
            }
            None if self.ended && !self.begun() => Some(Line::End),
            None if self.ended => {
                let line = std::mem::take(&mut self.buffer);
                self.searched = 0;
                Some(self.finish(line))
            }
            None => {
                self.searched = self.buffer.len();
                if self.searched > LINE_BYTES_MAX {
                    self.skipped += self.searched;
                    self.searched = 0;
                    self.buffer.clear();
                }
                None
            }
        }
    }

    /// The next line.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            if let Some(line) = self.take() {
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    fn finish(&mut self, mut line: Vec<u8>) -> Line {
        let length = std::mem::take(&mut self.skipped) + line.len();
        if length > LINE_BYTES_MAX {
            return Line::TooLong(length);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Line::Whole(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut lines = Lines::new(input);
            let mut out = Vec::new();
            loop {
                match lines.next().await.unwrap() {
                    Line::End => return out,
                    line => out.push(line),
                }
            }
        })
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn lines_end_with_newline_or_input() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"a\r\n\nb"), [whole("a"), whole(""), whole("b")]);
    }

    #[test]
    fn an_over_long_line_is_skipped_and_counted() {
        let fits = "x".repeat(LINE_BYTES_MAX);
        for extra in [1, 5_000, 200_000] {
            let long = "y".repeat(LINE_BYTES_MAX + extra);
            let input = format!("{fits}\n{long}\nz\n");
            let expected = [whole(&fits), Line::TooLong(long.len()), whole("z")];
            assert_eq!(all(input.as_bytes()), expected);
        }
    }
}
