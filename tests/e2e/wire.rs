//! A raw client: lines over a blocking socket, and what an answer says about the operation.
//!
//! Used by everything that talks to a real cluster here. Written from the protocol document alone,
//! on purpose: it shares nothing with the project's own client. Never retries anything.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Far beyond every deadline of the server: an answer that takes longer is lost.
const ANSWER_MAX: Duration = Duration::from_secs(90);
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What the client knows after an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// It happened; the whole answer.
    Ok(Value),
    /// The key is not there: a result like any other.
    NotThere,
    /// It certainly did not happen and never will; why, as an error code. A read has no effect, so
    /// every read that was not answered is one of these.
    Refused(String),
    /// It may have happened, or may still; why, as an error code, or `lost`.
    Unknown(String),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// Set once reading or writing failed; nothing more comes out of this connection.
    pub(crate) broken: bool,
}

impl Conn {
    /// Connects.
    pub(crate) fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, CONNECT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, reader, broken: false })
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).inspect_err(|_| self.broken = true)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_of_input(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// A second handle for sending, so that another thread can fill the connection.
    pub(crate) fn sender(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// The next line, as it was sent, without its end.
    pub(crate) fn receive_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        let got = self.reader.read_line(&mut line).inspect_err(|_| self.broken = true)?;
        if !line.ends_with('\n') {
            self.broken = true;
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("ended after {got} bytes"),
            ));
        }
        line.pop();
        Ok(line)
    }

    /// The next answer.
    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        let line = self.receive_line()?;
        serde_json::from_str(&line).map_err(|error| {
            self.broken = true;
            io::Error::new(ErrorKind::InvalidData, format!("{error} in the answer {line:?}"))
        })
    }

    /// All that is still sent until the server closes.
    pub(crate) fn receive_rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest)?;
        Ok(rest)
    }

    /// One request and its answer.
    pub(crate) fn call(&mut self, request: &Value) -> io::Result<Value> {
        self.send(format!("{request}\n"))?;
        self.receive()
    }

    /// Reads `key`.
    pub(crate) fn get(&mut self, key: &str) -> Reply {
        let answer = self.call(&json!({"op": "get", "key": key}));
        match classify(answer) {
            Reply::Unknown(code) => Reply::Refused(code),
            reply => reply,
        }
    }

    /// Writes `key`.
    pub(crate) fn put(&mut self, key: &str, value: &str) -> Reply {
        classify(self.call(&json!({"op": "put", "key": key, "value": value})))
    }

    /// Deletes `key`.
    pub(crate) fn del(&mut self, key: &str) -> Reply {
        classify(self.call(&json!({"op": "del", "key": key})))
    }
}

/// What the answer to an update says about it.
///
/// # Panics
/// If the server calls the request wrong: a mistake of the test or of the server, never of the
/// circumstances.
fn classify(answer: io::Result<Value>) -> Reply {
    // Lost: perhaps nothing was sent; but perhaps all of it.
    let Ok(answer) = answer else { return Reply::Unknown("lost".into()) };
    if answer["ok"] == true {
        return Reply::Ok(answer);
    }
    let code = answer["code"].as_str().unwrap_or("no code");
    match code {
        "not_found" => Reply::NotThere,
        "replica_down" | "aborted" | "overloaded" | "timeout" | "unavailable" | "not_leader" => {
            Reply::Refused(code.into())
        }
        "unknown_outcome" | "internal" => Reply::Unknown(code.into()),
        _ => panic!("unexpected answer: {answer}"),
    }
}

/// One request on a connection of its own; `None` if it cannot be had now.
pub(crate) fn ask(addr: SocketAddr, request: &Value) -> Option<Value> {
    Conn::open(addr).ok()?.call(request).ok()
}

#[test]
fn answers_are_classified_by_what_the_protocol_promises() {
    let error = |code: &str| Ok(json!({"ok": false, "code": code, "error": "."}));
    assert!(matches!(classify(Ok(json!({"ok": true, "version": "1.2"}))), Reply::Ok(_)));
    assert_eq!(classify(error("not_found")), Reply::NotThere);
    for code in ["replica_down", "aborted", "overloaded", "timeout", "unavailable"] {
        assert_eq!(classify(error(code)), Reply::Refused(code.into()));
    }
    assert_eq!(classify(error("unknown_outcome")), Reply::Unknown("unknown_outcome".into()));
    let lost = Err(io::Error::from(ErrorKind::ConnectionReset));
    assert_eq!(classify(lost), Reply::Unknown("lost".into()));
}
