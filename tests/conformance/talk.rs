//! One raw connection: bytes out, lines in, and what every line must be whatever it says.
//!
//! Used by all checks. Written from the contract alone and on `std::net`: it shares no code with the
//! project's client, so neither its mistakes. Never retries anything.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Far beyond the longest deadline of a request that a check leaves to the server.
const ANSWER_MAX: Duration = Duration::from_secs(40);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longest reply line, its newline aside.
const REPLY_BYTES_MAX: usize = 4 << 20;
/// How much of a line a failure shows, characters.
const SHOWN_CHARS_MAX: usize = 300;

/// Every code of the contract, with the details that come with it always.
const CODES: &[(&str, &[&str])] = &[
    ("bad_request", &[]),
    ("too_large", &["what", "limit", "actual"]),
    ("not_found", &[]),
    ("exists", &["version"]),
    ("version_mismatch", &["key"]),
    ("replica_down", &["node"]),
    ("aborted", &["reason"]),
    ("unknown_outcome", &[]),
    ("unavailable", &["reason"]),
    ("not_leader", &["leader"]),
    ("overloaded", &["retry_after_ms"]),
    ("timeout", &["retry_after_ms"]),
    ("unauthorized", &[]),
    ("forbidden", &[]),
    ("no_such_node", &[]),
    ("already", &[]),
    ("refused", &[]),
    ("conflict", &[]),
    ("busy", &["change"]),
];

/// A text short enough to be shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    short
}

/// One connection.
pub(super) struct Talk {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// What was sent last, for those who read of a failure.
    sent: Vec<u8>,
}

impl Talk {
    pub(super) fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_MAX)
            .unwrap_or_else(|error| panic!("cannot connect to {addr}: {error}"));
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
        stream.set_write_timeout(Some(ANSWER_MAX)).expect("a socket");
        let reader = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, reader, sent: Vec::new() }
    }

    /// A second handle for sending, so that another thread can fill the connection.
    pub(super) fn sender(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    /// The port at this end, which no other connection of this machine has meanwhile.
    pub(super) fn own_port(&self) -> u16 {
        self.stream.local_addr().expect("it is connected").port()
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let end = bytes.len().min(4 * SHOWN_CHARS_MAX);
        self.sent = bytes[..end].to_vec();
        let written = self.stream.write_all(bytes);
        written.unwrap_or_else(|error| panic!("cannot send {:?}: {error}", shown(bytes)));
    }

    /// Says that nothing more will be sent.
    pub(super) fn end_input(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// The next line without its newline, of whatever form.
    fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        match line.pop() {
            Some(b'\n') => Ok(line),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The next line without its newline, held to what holds of every line.
    pub(super) fn line(&mut self) -> String {
        let line = self.raw_line().unwrap_or_else(|error| {
            panic!("no line came after {:?} was sent: {error}", shown(&self.sent))
        });
        assert!(line.len() <= REPLY_BYTES_MAX, "a line of {} bytes", line.len());
        let text = String::from_utf8(line).expect("a line that is UTF-8");
        assert_eq!(blank_outside_strings(&text), None, "blanks in {:?}", shown(text.as_bytes()));
        text
    }

    /// The next line, which must be no answer but a line of a `watch`.
    pub(super) fn watched(&mut self) -> Value {
        let line = self.line();
        let value: Value = serde_json::from_str(&line).expect("a line that is JSON");
        assert!(value["watch"].is_string() && value.get("ok").is_none(), "{line}");
        value
    }

    /// The next answer, held to the form of answers.
    pub(super) fn answer(&mut self) -> Value {
        let line = self.line();
        let value: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error} in {:?}", shown(line.as_bytes())));
        check_form(&value, &line);
        value
    }

    /// Sends a line, and gives its answer.
    pub(super) fn ask(&mut self, line: impl AsRef<[u8]>) -> Value {
        self.send([line.as_ref(), b"\n"].concat());
        self.answer()
    }

    /// Sends a line that must be answered `ok`.
    pub(super) fn ok(&mut self, request: &Value) -> Value {
        let answer = self.ask(request.to_string());
        let text = request.to_string();
        assert_eq!(answer["ok"], true, "{}: {answer}", shown(text.as_bytes()));
        answer
    }

    /// Sends a line that must be refused with `code`.
    pub(super) fn refused(&mut self, line: impl AsRef<[u8]>, code: &str) -> Value {
        let answer = self.ask(&line);
        assert_eq!(answer["code"], code, "{}: {answer}", shown(line.as_ref()));
        answer
    }

    /// Sends a line that must be a `bad_request` because of `field`.
    pub(super) fn bad(&mut self, line: impl AsRef<[u8]>, field: &str) {
        let answer = self.refused(&line, "bad_request");
        assert_eq!(answer["field"], field, "{}: {answer}", shown(line.as_ref()));
    }

    /// Sends lines together, and gives their answers.
    pub(super) fn ask_all(&mut self, requests: &[Value]) -> Vec<Value> {
        let text: String = requests.iter().map(|request| format!("{request}\n")).collect();
        self.send(text);
        requests.iter().map(|_| self.answer()).collect()
    }

    /// The connection lives: it answers the next request, and nothing else came before.
    pub(super) fn lives(&mut self) {
        let after = self.sent.clone();
        let answer = self.ask(r#"{"op":"hello","id":"alive"}"#);
        let lives = answer["ok"] == true && answer["id"] == "alive";
        assert!(lives, "after {:?} came {answer}", shown(&after));
    }

    /// All that still comes until the server closes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let end = self.reader.read_to_end(&mut rest);
        end.unwrap_or_else(|error| panic!("no clean end, but {error}, after {:?}", shown(&rest)));
        rest
    }

    /// The server closes, and says nothing more before.
    pub(super) fn closes(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "before the end came {:?}", shown(&rest));
    }
}

/// Where there is a blank that is part of no string.
fn blank_outside_strings(text: &str) -> Option<usize> {
    let (mut inside, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b' ' | b'\t' | b'\r' if !inside => return Some(at),
            _ => {}
        }
    }
    None
}

/// What holds of every answer.
fn check_form(answer: &Value, line: &str) {
    let line = shown(line.as_bytes());
    assert!(answer.is_object(), "no object: {line}");
    match answer["ok"].as_bool() {
        Some(true) => assert!(answer.get("code").is_none(), "ok, with a code: {line}"),
        Some(false) => {
            let sentence = answer["error"].as_str().unwrap_or_default();
            assert!(sentence.contains(' '), "no sentence in error: {line}");
            let code = CODES.iter().find(|(code, _)| answer["code"] == *code);
            let (code, details) = code.unwrap_or_else(|| panic!("unexpected code: {line}"));
            for detail in *details {
                assert!(answer.get(detail).is_some(), "{code} without {detail}: {line}");
            }
        }
        None => panic!("no ok: {line}"),
    }
}

/// The base64 of RFC 4648 with padding; the test's own.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(*group.get(at).unwrap_or(&0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[test]
fn a_blank_counts_only_outside_strings() {
    assert_eq!(blank_outside_strings(r#"{"a b":"c\" d\\"}"#), None);
    assert_eq!(blank_outside_strings(r#"{"a":"\\" ,"b":1}"#), Some(9));
}

/// The vectors of RFC 4648.
#[test]
fn base64_is_that_of_the_standard() {
    let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
    for (bytes, text) in pairs {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
    assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
}
