//! Bytes of a connection into lines: incremental, bounded, without copying a line.
//!
//! Used by both ends of every line protocol. Does no I/O: its owner reads into
//! [`Framer::read_space`] and takes [`Frame`]s until there are none. It never holds more than one
//! line's limit and one read, and looks at every byte once.

use memchr::memchr;

/// How much room a read is given, bytes.
pub const READ_BYTES: usize = 16 << 10;

/// The answer to a first line that starts with an HTTP method; the connection is closed after it.
pub const HTTP_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 151\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks JSON lines, not HTTP. To look at the cluster run: piazza console\n\
    To talk to it by hand: printf '{\"op\":\"status\"}\\n' | nc -q1 HOST PORT\n";

/// How a first line begins that was meant for a web server.
const HTTP_METHODS: [&[u8]; 10] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PRI ",
];

/// What the bytes of a connection turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A line that is not blank, without its line end.
    Line(&'a [u8]),
    /// A line of so many bytes, over the limit; it was skipped up to its newline.
    TooLong(usize),
    /// The first line starts with an HTTP method: answer [`HTTP_RESPONSE`] and close. Nothing
    /// more comes.
    Http,
}

/// Cuts a stream of bytes into lines.
///
/// Invariants: `start <= scanned <= buffer.len()`; no newline in `buffer[start..scanned]`.
#[derive(Debug)]
pub struct Framer {
    line_bytes_max: usize,
    buffer: Vec<u8>,
    /// Where the line begins that is not yet complete.
    start: usize,
    /// Up to where there is no newline.
    scanned: usize,
    /// How much of an over-long line has been skipped, bytes.
    skipped: usize,
    first_line_seen: bool,
    http: bool,
}

impl Framer {
    /// A framer for lines of at most `line_bytes_max` bytes, line end not counted. It allocates
    /// nothing before its first read.
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            skipped: 0,
            first_line_seen: false,
            http: false,
        }
    }

    /// Lines may have so many bytes from now on.
    pub fn allow(&mut self, line_bytes_max: usize) {
        self.line_bytes_max = line_bytes_max;
    }

    /// The buffer to append what was read to, with spare capacity for a read. To be called when
    /// [`Framer::next_frame`] has returned `None`.
    pub fn read_space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        let held = self.buffer.len();
        let spare = self.buffer.capacity() - held;
        if held == 0 && self.buffer.capacity() > 4 * READ_BYTES {
            // A large line has passed: an idle connection must not keep its memory.
            self.buffer = Vec::with_capacity(READ_BYTES);
        } else if spare < READ_BYTES / 4 {
            // Grows by doubling, so that a long line is moved only a few times, but never past
            // what one line and one read can need.
            let most = self.line_bytes_max.saturating_add(2 + READ_BYTES).saturating_sub(held);
            self.buffer.reserve_exact(held.max(READ_BYTES).min(most).max(READ_BYTES / 4));
        }
        &mut self.buffer
    }

    /// The next line, or `None` when more bytes are needed.
    pub fn next_frame(&mut self) -> Option<Frame<'_>> {
        loop {
            if self.http {
                self.discard();
                return None;
            }
            let Some(length) = memchr(b'\n', &self.buffer[self.scanned..]) else {
                return self.without_newline();
            };
            let newline = self.scanned + length;
            let (begin, end) = (self.start, newline - self.has_return(newline));
            self.start = newline + 1;
            self.scanned = newline + 1;
            if self.is_blank(begin, end) {
                continue;
            }
            return Some(self.judge(begin, end));
        }
    }

    /// The last line, if the input ended without a newline. To be called once, at end of input.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        let end = self.buffer.len();
        let (begin, end) = (self.start, end - self.has_return(end));
        self.start = self.buffer.len();
        self.scanned = self.start;
        if self.http || self.is_blank(begin, end) {
            return None;
        }
        Some(self.judge(begin, end))
    }

    /// Whether a line has begun and not ended.
    pub fn is_mid_line(&self) -> bool {
        self.skipped > 0 || self.start < self.buffer.len()
    }

    /// Whether the line that has begun is over the limit already, for those who do not wait for its
    /// end to say so.
    pub fn is_over_long(&self) -> bool {
        self.skipped > 0
    }

    /// Bytes held now.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    fn judge(&mut self, begin: usize, end: usize) -> Frame<'_> {
        if self.is_http(begin, end) {
            return Frame::Http;
        }
        let line = &self.buffer[begin..end];
        let length = std::mem::take(&mut self.skipped) + line.len();
        if length > self.line_bytes_max { Frame::TooLong(length) } else { Frame::Line(line) }
    }

    fn is_http(&mut self, begin: usize, end: usize) -> bool {
        let first = !std::mem::replace(&mut self.first_line_seen, true);
        self.http |= first && is_http(&self.buffer[begin..end]);
        self.http
    }

    /// All bytes held are of one unfinished line: gives them up when it is surely too long. What
    /// speaks HTTP is told at once: its line may have no end, since no request of ours begins so.
    fn without_newline(&mut self) -> Option<Frame<'_>> {
        let (begin, end) = (self.start, self.buffer.len());
        self.scanned = end;
        if !self.first_line_seen && is_http(&self.buffer[begin..end]) {
            self.http = true;
            return Some(Frame::Http);
        }
        // One byte more may still be the carriage return of a line that just fits; of one that does
        // not, it is still to be told from the line's end.
        let kept = if self.skipped > 0 {
            self.has_return(end)
        } else {
            self.line_bytes_max.saturating_add(1)
        };
        if end - begin <= kept {
            return None;
        }
        self.first_line_seen = true;
        self.start = end - self.has_return(end);
        self.skipped += self.start - begin;
        None
    }

    fn discard(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.scanned = 0;
    }

    fn has_return(&self, end: usize) -> usize {
        usize::from(end > self.start && self.buffer[end - 1] == b'\r')
    }

    /// An over-long line counts as such whatever it is made of: how much of it has arrived when
    /// that is noticed must make no difference.
    fn is_blank(&self, begin: usize, end: usize) -> bool {
        let fits = self.skipped + (end - begin) <= self.line_bytes_max;
        fits && self.buffer[begin..end].trim_ascii_start().is_empty()
    }
}

/// Whether a first line was meant for a web server: answer [`HTTP_RESPONSE`] and close.
pub fn is_http(line: &[u8]) -> bool {
    HTTP_METHODS.iter().any(|method| line.starts_with(method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    /// Everything that comes out when `input` arrives in pieces of `sizes`.
    fn frames(input: &[u8], limit: usize, mut size: impl FnMut() -> usize) -> Vec<String> {
        let mut framer = Framer::new(limit);
        let mut seen = Vec::new();
        let show = |frame: Frame<'_>| match frame {
            Frame::Line(line) => String::from_utf8_lossy(line).into_owned(),
            other => format!("{other:?}"),
        };
        let mut rest = input;
        while !rest.is_empty() {
            let space = framer.read_space();
            let spare = space.capacity() - space.len();
            assert!(spare > 0 && space.capacity() <= limit + 2 + 2 * READ_BYTES);
            let (now, later) = rest.split_at(size().clamp(1, rest.len()));
            space.extend_from_slice(now);
            rest = later;
            while let Some(frame) = framer.next_frame() {
                seen.push(show(frame));
            }
            assert!(framer.held_bytes() <= limit + 1);
        }
        seen.extend(framer.finish().map(show));
        seen
    }

    #[test]
    fn lines_are_cut_and_blank_ones_skipped() {
        let input = b"\r\n \n{\"a\":1}\r\nb\n\n\t\r\nc\r\r\nlast";
        assert_eq!(frames(input, 100, || 1000), ["{\"a\":1}", "b", "c\r", "last"]);
        assert_eq!(frames(b"a\nlast\r", 100, || 1000), ["a", "last"]);
        assert_eq!(frames(b"\n", 100, || 1), [""; 0]);
    }

    #[test]
    fn a_long_line_is_told_of_once_and_the_next_is_fine() {
        let input = b"12345\r\n123456\n12345678901\r\n12345\nab\n1234\r67\n123456";
        let expected =
            ["12345", "TooLong(6)", "TooLong(11)", "12345", "ab", "TooLong(7)", "TooLong(6)"];
        for size in 1..50 {
            assert_eq!(frames(input, 5, || size), expected, "size {size}");
        }
    }

    #[test]
    fn a_browser_is_recognised_on_the_first_line_only() {
        assert_eq!(frames(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 99, || 3), ["Http"]);
        assert_eq!(frames(b"PRI * HTTP/2.0", 99, || 3), ["Http"]);
        assert_eq!(frames(b"POST /aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 9, || 3), ["Http"]);
        assert_eq!(frames(b"x\nGET / HTTP/1.1\n", 99, || 3), ["x", "GET / HTTP/1.1"]);
        assert_eq!(frames(b"GETTING\n", 99, || 3), ["GETTING"]);
    }

    #[test]
    fn a_browser_is_recognised_before_its_line_ends() {
        let mut framer = Framer::new(99);
        framer.read_space().extend_from_slice(b"\r\nGET");
        assert_eq!(framer.next_frame(), None);
        framer.read_space().extend_from_slice(b" ");
        assert_eq!(framer.next_frame(), Some(Frame::Http));
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.finish(), None);
    }

    #[test]
    fn one_byte_at_a_time_is_the_same_as_all_at_once() {
        let mut numbers = Numbers::new(4);
        for _ in 0..2000 {
            let length = numbers.below(80);
            let input: Vec<u8> = (0..length).map(|_| b"ab \r\n\nGET "[numbers.below(10)]).collect();
            let limit = 8 + numbers.below(12);
            let whole = frames(&input, limit, || length);
            assert_eq!(frames(&input, limit, || 1), whole, "{:?}", String::from_utf8(input));
            assert_eq!(frames(&input, limit, || 1 + numbers.below(9)), whole);
        }
    }

    #[test]
    fn the_buffer_of_a_large_line_is_given_back() {
        let limit = 1 << 20;
        let mut framer = Framer::new(limit);
        let mut line = vec![b'a'; limit];
        line.push(b'\n');
        for piece in line.chunks(5000) {
            framer.read_space().extend_from_slice(piece);
            while framer.next_frame().is_some() {}
        }
        assert!(framer.read_space().capacity() <= 4 * READ_BYTES);
        assert!(!framer.is_mid_line());
    }

    #[test]
    fn the_http_answer_states_its_length() {
        let (head, body) = HTTP_RESPONSE.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
        assert!(body.contains("piazza console"));
    }
}
