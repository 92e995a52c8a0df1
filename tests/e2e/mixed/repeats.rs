//! Clients that lose their connections on purpose and repeat updates under the same name (`once`).
//!
//! Raw lines, so that the name, the moment of the loss and every answer are in the test's hands.
//! Each update is repeated until its answer is final; then often once more, which must be told the
//! very same. Counters of these clients count exactly what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use protocol::error::ErrorReply;
use protocol::ids::Version;
use protocol::reply::Versioned;
use serde_json::{Value, json};

use super::book::{Asked, Book, Closing, Held, Told};
use crate::check::Action;
use crate::check::seeded::Seeded;
use crate::e2e::wire::Conn;

/// Servers remember a name for 60 s from the commit on; nothing is repeated for so long.
const REPEAT_MAX: Duration = Duration::from_secs(50);
/// Attempts in a hundred whose connection is lost.
const LOSS_PERCENT: u64 = 35;
/// Final answers in a hundred that are asked for once more.
const ONCE_MORE_PERCENT: u64 = 30;
const KEYS: u64 = 3;
const THINK: Duration = Duration::from_millis(5);

/// One such client.
pub(super) struct Repeater {
    number: u32,
    addr: SocketAddr,
    book: Arc<Book>,
    random: Seeded,
    conn: Option<Conn>,
    named: u64,
}

impl Repeater {
    pub(super) fn new(number: u32, addr: SocketAddr, book: Arc<Book>, random: Seeded) -> Self {
        Self { number, addr, book, random, conn: None, named: 0 }
    }

    /// Works until the book is closed.
    pub(super) fn run(mut self) {
        let _closing = Closing(self.book.clone());
        while self.book.is_open() {
            if self.random.chance(50) {
                self.count_one();
            } else {
                let key = format!("repeat/put/{}", self.random.below(KEYS));
                let (id, text) = self.book.value(&key, |_| self.number.to_string());
                let asked = self.book.ask("repeated put", self.number);
                let request = json!({"op": "put", "key": key, "value": text});
                self.settle(asked, &key, Action::Put(id), request);
            }
            thread::sleep(THINK);
        }
    }

    fn count_one(&mut self) {
        let key = format!("repeat/count/{}", self.random.below(KEYS));
        let Some(found) = self.get(&key) else { return };
        let next = found.as_ref().map_or(1, |held| super::clients::number(held) + 1);
        let (id, text) = self.book.value(&key, |_| next.to_string());
        let asked = self.book.ask("repeated cas", self.number);
        let request = match &found {
            Some(held) => {
                json!({"op": "cas", "key": key, "value": text, "version": held.version.to_string()})
            }
            None => json!({"op": "put", "key": key, "value": text, "if_absent": true}),
        };
        let action = Action::Swap { from: found.map(|held| held.id), to: Some(id) };
        self.settle(asked, &key, action, request);
    }

    /// Repeats `request` under one name until its answer is final.
    fn settle(&mut self, asked: Asked, key: &str, action: Action, mut request: Value) {
        self.named += 1;
        let first = action.effect().flatten().unwrap_or_default();
        request["once"] = json!(format!("repeater-{}-{}-{first}", self.number, self.named));
        let begin = Instant::now();
        let told = loop {
            match self.attempt(&request) {
                Some(told @ (Told::Done(_) | Told::Unmet(_))) => break told,
                _ if begin.elapsed() > REPEAT_MAX => break Told::Unknown,
                _ => {
                    self.book.count(asked.kind, "attempts lost");
                    thread::sleep(THINK);
                }
            }
        };
        if let Told::Done(version) = told
            && self.random.chance(ONCE_MORE_PERCENT)
        {
            self.once_more(key, version, &request);
        }
        self.book.wrote(asked, &[(key, action)], &told);
    }

    /// A repetition of what was acknowledged is told the same, and changes nothing.
    fn once_more(&mut self, key: &str, version: Version, request: &Value) {
        match self.attempt(request) {
            Some(Told::Done(again)) if again == version => self.book.count_ok("once more"),
            Some(Told::Done(again)) => {
                let sentence = format!("{request} was {version}, and repeated it is {again}");
                self.book.fail(key, &sentence);
            }
            Some(Told::Unmet(reply)) => {
                let sentence = format!("{request} was {version}, and repeated {reply:?}");
                self.book.fail(key, &sentence);
            }
            _ => {}
        }
    }

    /// One attempt, which may lose its connection; `None` where nothing was told.
    fn attempt(&mut self, request: &Value) -> Option<Told> {
        let mut conn = self.conn.take().or_else(|| Conn::open(self.addr).ok())?;
        let line = format!("{request}\n");
        if self.random.chance(LOSS_PERCENT) {
            self.book.count("connections", "dropped");
            // A part of the line, or all of it.
            let sent = match self.random.below(3) {
                0 => self.random.below(line.len() as u64) as usize,
                _ => line.len(),
            };
            let _ = conn.send(&line[..sent]);
            return None;
        }
        let answer = conn.call(request).ok()?;
        let told = told(request, &answer);
        self.conn = Some(conn).filter(|conn| !conn.broken);
        Some(told)
    }

    fn get(&mut self, key: &str) -> Option<Option<Held>> {
        let mut conn = self.conn.take().or_else(|| Conn::open(self.addr).ok())?;
        let asked = self.book.ask("get", self.number);
        let answer = conn.call(&json!({"op": "get", "key": key})).ok()?;
        self.conn = Some(conn).filter(|conn| !conn.broken);
        let found = match answer["value"].as_str() {
            Some(text) => Some(Versioned { value: text.into(), version: version(&answer)? }),
            None if answer["code"] == "not_found" => None,
            None => return None,
        };
        self.book.count_ok("get");
        Some(self.book.read(asked, key, found.as_ref()))
    }
}

fn version(answer: &Value) -> Option<Version> {
    answer["version"].as_str()?.parse().ok()
}

fn told(request: &Value, answer: &Value) -> Told {
    if answer["ok"] == true {
        let version = version(answer);
        return Told::Done(version.unwrap_or_else(|| panic!("no version: {answer}")));
    }
    match answer["code"].as_str().unwrap_or_default() {
        "exists" | "not_found" | "version_mismatch" => {
            let reply: Result<ErrorReply, _> = serde_json::from_value(answer.clone());
            Told::Unmet(Box::new(reply.unwrap_or_else(|error| panic!("{error}: {answer}"))))
        }
        "replica_down" | "aborted" | "overloaded" | "timeout" | "unavailable" | "not_leader" => {
            Told::Refused
        }
        "unknown_outcome" => Told::Unknown,
        _ => panic!("{request} was answered with {answer}"),
    }
}
