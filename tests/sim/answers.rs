//! What simulated clients are told, and what it means for the history.

use protocol::error::{ErrorCode, ErrorReply, Remedy};
use protocol::ids::{Value, Version};
use protocol::peer::DISK_FULL;
use protocol::reply::{self, Versioned};

use super::asked::Asked;
use super::clients::Account;
use super::coordinator::key_of;
use super::plan::OPENING;
use super::world::{Event, Failure, World};
use crate::check::{Action, Outcome, ValueId};

impl World {
    /// An answer arrives.
    pub(crate) fn on_reply(&mut self, client: usize, conn: u64, op: usize, line: &[u8], ok: bool) {
        let here = self.clients[client].conn.is_some_and(|(_, own)| own == conn);
        if !here || !self.clients[client].open.remove(&op) {
            return;
        }
        let moment = self.moment();
        let asked = self.asked[op].clone();
        for entry in self.entries(op) {
            self.history[entry].complete = moment;
        }
        match &asked {
            Asked::Outcome(of, version) => self.outcome_told(client, *of, *version, line),
            Asked::Scan(scan) => self.on_page(client, op, scan, line),
            Asked::Watch => self.on_watching(conn, line),
            Asked::Get(_) | Asked::Mget(_) => self.read_told(client, conn, op, &asked, line),
            _ => match reply::decode_version(line).expect("replies read back") {
                Ok(version) => self.written_told(conn, op, &asked, version),
                Err(error) => {
                    if error.reason.as_deref() == Some(DISK_FULL) {
                        self.coverage.met("updates refused by a full disk");
                    }
                    self.refusal_told(conn, op, &asked, &error);
                    if self.history[op].outcome != Outcome::Ok {
                        // Else it is the version that the key has.
                        let own = error.code == ErrorCode::UnknownOutcome;
                        self.may_follow_up(client, op, error.version.filter(|_| own));
                    }
                }
            },
        }
        if self.shows() {
            let text: String = format!("{asked:?}").chars().take(60).collect();
            let line = String::from_utf8_lossy(&line[..line.len().min(90)]).into_owned();
            eprintln!("{:>10}   client {client} op {op} {text}: {ok} {line}", self.now);
        }
        let keys = asked.keys();
        if !keys.is_empty() {
            self.coverage.met(match self.history[op].outcome {
                Outcome::Ok => "ops ok",
                Outcome::Failed => "ops refused",
                Outcome::Unknown => "ops unknown",
            });
        }
        if let Asked::Get(key) = asked
            && client == self.plan.clients as usize
        {
            self.finals.insert(key, op);
        }
        if self.clients[client].open.is_empty() {
            let wait = self.rng.below(self.plan.think_us + 1);
            self.after(wait, Event::Step(client));
        }
    }

    fn read_told(&mut self, client: usize, conn: u64, op: usize, asked: &Asked, line: &[u8]) {
        let values = match asked {
            Asked::Mget(_) => reply::decode_values(line).expect("replies read back"),
            _ => reply::decode_value(line).expect("replies read back").map(|v| vec![Some(v)]),
        };
        let values = match values {
            Ok(values) => values,
            Err(error) if error.code == ErrorCode::NotFound => vec![None],
            Err(error) => return self.not_done(op, asked, &error),
        };
        let keys = asked.keys();
        assert_eq!(values.len(), keys.len(), "a value a key");
        let mut found = Vec::new();
        for (part, (key, value)) in keys.iter().zip(&values).enumerate() {
            let value = value.as_ref().map(|value| self.value_told(conn, op, *key, value));
            let entry = &mut self.history[op + part];
            (entry.action, entry.outcome) = (Action::Get(value), Outcome::Ok);
            found.push(value);
        }
        if let Asked::Mget(_) = asked {
            self.coverage.met("mgets ok");
            if keys[0] >= self.plan.keys {
                self.check_sum(&format!("op {op}"), &found);
                let versions = values.iter().map(|value| value.as_ref().map(|v| v.version));
                let account = |(version, value): (Option<Version>, &Option<ValueId>)| Account {
                    version,
                    value: *value,
                    balance: self.balance(*value),
                };
                let accounts = versions.zip(&found).map(account).collect();
                self.clients[client].accounts = Some(accounts);
            }
        }
    }

    /// A value was read, whole.
    fn value_told(&mut self, conn: u64, op: usize, key: u64, found: &Versioned) -> ValueId {
        let value = self.learn_value(key, found.version, &found.value);
        self.check_program_order(conn, op, key, found.version, true);
        value
    }

    /// Whoever is told a value, and its version, knows who wrote it.
    pub(crate) fn learn_value(&mut self, key: u64, version: Version, bytes: &Value) -> ValueId {
        let text = std::str::from_utf8(bytes.as_bytes()).expect("text");
        let number = text.split(':').next().and_then(|n| n.parse().ok());
        let value: ValueId = number.expect("values begin with a number");
        assert!(
            self.written.get(&value).is_some_and(|written| written == text),
            "a value that nobody wrote: {text:?}"
        );
        self.learn(key, version, value);
        value
    }

    fn learn(&mut self, key: u64, version: Version, value: ValueId) {
        let before = self.values.insert((key, version), value);
        assert!(before.is_none_or(|before| before == value), "{version} of {key} is two values");
    }

    fn written_told(&mut self, conn: u64, op: usize, asked: &Asked, version: Version) {
        // A repetition is told the version of what may be long past.
        let repeated = self.tries[op].1 > 1;
        if repeated {
            self.coverage.met("repetitions answered");
        }
        for (part, key) in asked.keys().into_iter().enumerate() {
            let entry = &mut self.history[op + part];
            entry.outcome = Outcome::Ok;
            if let Action::Del { found } = &mut entry.action {
                *found = true;
            }
            let effect = entry.action.effect();
            if let Some(Some(value)) = effect {
                self.learn(key, version, value);
            }
            if effect.is_some() {
                self.versions.insert(op + part, (key, version));
            }
            if effect.is_some() && !repeated {
                self.check_program_order(conn, op, key, version, false);
            }
        }
        match asked {
            Asked::Txn(_) => self.coverage.met("txns ok"),
            Asked::Put(..) | Asked::Del(_, None) => {}
            _ => self.coverage.met("conditions met"),
        }
    }

    fn refusal_told(&mut self, conn: u64, op: usize, asked: &Asked, error: &ErrorReply) {
        let by_condition = matches!(
            error.code,
            ErrorCode::NotFound | ErrorCode::Exists | ErrorCode::VersionMismatch
        );
        if !by_condition || self.tries[op].1 > 1 {
            return self.not_done(op, asked, error);
        }
        if !matches!(asked, Asked::Del(_, None)) {
            self.coverage.met("conditions refused");
        }
        // It has read the key that it is refused for, and says nothing of others.
        for (part, key) in asked.keys().into_iter().enumerate() {
            let named = error.key.as_deref().is_none_or(|name| name == key_of(key).as_str());
            let entry = &mut self.history[op + part];
            entry.action = Action::Get(None);
            entry.outcome = if named { Outcome::Ok } else { Outcome::Failed };
            if let Some(version) = error.version.filter(|_| named) {
                self.seen.push((op + part, key, version));
                self.check_program_order(conn, op, key, version, true);
            }
        }
    }

    /// It was not carried out, or nobody knows.
    fn not_done(&mut self, op: usize, asked: &Asked, error: &ErrorReply) {
        let outcome = match error.code.remedy() {
            // The first one may still be on its way, and is not denied by a repetition's refusal.
            _ if self.tries[op].1 > 1 => Outcome::Unknown,
            Remedy::Unknown => Outcome::Unknown,
            Remedy::Retry => Outcome::Failed,
            other => panic!("{error:?} was answered, which is a case of {other:?}"),
        };
        for part in 0..asked.keys().len() {
            self.history[op + part].outcome = outcome;
        }
    }

    /// On one connection the versions told of a key never fall, and each update's is new: replies
    /// come in the order of requests, so program order shows in them.
    fn check_program_order(
        &mut self,
        conn: u64,
        op: usize,
        key: u64,
        version: Version,
        read: bool,
    ) {
        let before = self.told.insert((conn, key), version).unwrap_or(Version::ZERO);
        if version < before || (version == before && !read) {
            let text = format!("op {op} on key {key}: version {version} was told after {before}");
            self.fail(Failure::ProgramOrder(text));
        }
    }

    /// Names the values of the versions for which operations were refused. One that nobody was
    /// told of otherwise says only that the key was there, which the checkers have no word for.
    pub(crate) fn name_what_was_seen(&mut self) {
        for (op, key, version) in std::mem::take(&mut self.seen) {
            match self.values.get(&(key, version)) {
                Some(value) => self.history[op].action = Action::Get(Some(*value)),
                None => {
                    self.coverage.met("versions without a value");
                    self.history[op].outcome = Outcome::Failed;
                }
            }
        }
    }

    fn balance(&self, value: Option<ValueId>) -> i64 {
        let Some(value) = value else { return OPENING };
        let text = &self.written[&value];
        text.split(':').nth(1).and_then(|n| n.parse().ok()).expect("accounts hold balances")
    }

    /// What all accounts hold together never changes.
    pub(crate) fn check_sum(&mut self, when: &str, values: &[Option<ValueId>]) {
        let balances: Vec<i64> = values.iter().map(|value| self.balance(*value)).collect();
        if balances.iter().sum::<i64>() != OPENING * balances.len() as i64 {
            self.fail(Failure::TornRead(format!("{when}: accounts {values:?} hold {balances:?}")));
        }
    }
}
