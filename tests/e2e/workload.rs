//! Clients that put, get and delete while things break, and write down what they were told.
//!
//! Used by the tests that kill servers; `check` judges the result. Each client is a thread with one
//! connection, opened anew when lost. A seed repeats what each client asks, not how the clients
//! interleave. Never retries an operation: the history says what was told the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wire::{Conn, Reply};
use crate::check::durable::Finals;
use crate::check::seeded::Seeded;
use crate::check::{Action, History, Op, Outcome, ValueId};

/// Keys that all clients use.
const SHARED_KEYS: u64 = 32;
/// Keys that only one client uses.
const PRIVATE_KEYS: u64 = 64;
/// After a refusal or a failed connection: what is refused at once would else be asked again
/// thousands of times a second.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(5);
/// The client number of final reads, in explanations.
const FINAL_READER: u32 = 999;

/// The clock and the counters of one test, kept over all its rounds.
#[derive(Debug)]
pub(crate) struct Recorder {
    begin: Instant,
    next_value: AtomicU64,
    ok: AtomicU64,
}

impl Recorder {
    /// A clock that starts now.
    pub(crate) fn new() -> Arc<Self> {
        let begin = Instant::now();
        Arc::new(Self { begin, next_value: AtomicU64::new(1), ok: AtomicU64::new(0) })
    }

    /// Microseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }

    /// How many operations were successful so far.
    pub(crate) fn ok_count(&self) -> u64 {
        self.ok.load(Relaxed)
    }

    fn new_value(&self) -> ValueId {
        self.next_value.fetch_add(1, Relaxed)
    }
}

/// What the clients shall do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Repeats what is asked.
    pub(crate) seed: u64,
    /// How many clients use shared and private keys.
    pub(crate) clients: u32,
    /// Between two operations of a client.
    pub(crate) think: Duration,
    /// For each group of keys, one more client that uses only these: its stalls are the group's.
    pub(crate) groups: Vec<Vec<String>>,
}

/// One successful operation: when it ended, and of which group its client was.
pub(crate) type OkTime = (u64, Option<usize>);

/// What was asked and told.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// For the checkers.
    pub(crate) history: History,
    /// How many operations ended how.
    pub(crate) counts: BTreeMap<String, u64>,
    /// For stalls.
    pub(crate) ok_times: Vec<OkTime>,
}

impl Record {
    /// Adds what `other` says.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.history.append(&mut other.history);
        self.ok_times.append(&mut other.ok_times);
        for (outcome, count) in other.counts {
            *self.counts.entry(outcome).or_default() += count;
        }
    }

    /// The longest time between `from` and `until` in which no operation of `group` (`None`: of
    /// anybody) ended well.
    pub(crate) fn longest_stall(&self, group: Option<usize>, from: u64, until: u64) -> Duration {
        let counts = |time: &&OkTime| group.is_none() || time.1 == group;
        let mut times: Vec<u64> = self.ok_times.iter().filter(counts).map(|time| time.0).collect();
        times.retain(|time| (from..=until).contains(time));
        times.extend([from, until]);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        Duration::from_micros(gaps.max().unwrap_or(0))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> =
            self.counts.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// Clients at work.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Record>>,
}

/// Sets the clients of `plan` to work at `addr`.
pub(crate) fn start(addr: SocketAddr, recorder: &Arc<Recorder>, plan: &Plan) -> Running {
    let stop = Arc::new(AtomicBool::new(false));
    let everybody = plan.clients + plan.groups.len() as u32;
    let threads = (0..everybody).map(|number| {
        let group = number.checked_sub(plan.clients).map(|group| group as usize);
        let mut client = Client {
            number,
            addr,
            random: Seeded::new(plan.seed ^ (u64::from(number) << 32)),
            think: plan.think,
            group: group.map(|group| (group, plan.groups[group].clone())),
            recorder: recorder.clone(),
            conn: None,
            record: Record::default(),
        };
        let stop = stop.clone();
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                client.step();
            }
            client.record
        })
    });
    Running { threads: threads.collect(), stop }
}

impl Running {
    /// Ends the work after the operations under way, and gives what was recorded.
    ///
    /// # Panics
    /// If a client did, because it was told something senseless.
    pub(crate) fn stop(mut self) -> Record {
        self.stop.store(true, Relaxed);
        let mut all = Record::default();
        for thread in self.threads.drain(..) {
            all.append(thread.join().unwrap_or_else(|_| panic!("a client of the workload failed")));
        }
        all
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed test still ends its threads.
        self.stop.store(true, Relaxed);
    }
}

struct Client {
    number: u32,
    addr: SocketAddr,
    random: Seeded,
    think: Duration,
    group: Option<(usize, Vec<String>)>,
    recorder: Arc<Recorder>,
    conn: Option<Conn>,
    record: Record,
}

impl Client {
    /// One operation, on a connection that is opened first if there is none.
    fn step(&mut self) {
        let Some(mut conn) = self.conn.take().or_else(|| Conn::open(self.addr).ok()) else {
            self.count("not connected");
            thread::sleep(PAUSE_AFTER_REFUSAL);
            return;
        };
        let key = self.choose_key();
        let draw = self.random.below(100);
        let invoke = self.recorder.now();
        let (asked, reply) = match draw {
            0..45 => {
                let value = self.recorder.new_value();
                (Action::Put(value), conn.put(&key, &text_of(value)))
            }
            45..85 => (Action::Get(None), conn.get(&key)),
            _ => (Action::Del { found: false }, conn.del(&key)),
        };
        self.write_down(key, asked, &reply, invoke);
        if matches!(reply, Reply::Refused(_) | Reply::Unknown(_)) {
            thread::sleep(PAUSE_AFTER_REFUSAL);
        }
        if !self.think.is_zero() {
            thread::sleep(self.think);
        }
        self.conn = Some(conn).filter(|conn| !conn.broken);
    }

    fn choose_key(&mut self) -> String {
        if let Some((_, keys)) = &self.group {
            return self.random.one_of(keys).clone();
        }
        if self.random.chance(50) {
            return format!("shared-{}", self.random.below(SHARED_KEYS));
        }
        format!("own-{}-{}", self.number, self.random.below(PRIVATE_KEYS))
    }

    fn write_down(&mut self, key: String, asked: Action, reply: &Reply, invoke: u64) {
        let complete = self.recorder.now();
        let is_read = matches!(asked, Action::Get(_));
        let (outcome, action) = match reply {
            Reply::Ok(answer) => (Outcome::Ok, answered(asked, answer)),
            Reply::NotThere => (Outcome::Ok, asked),
            Reply::Refused(_) => (Outcome::Failed, asked),
            Reply::Unknown(_) => (Outcome::Unknown, asked),
        };
        match reply {
            Reply::Ok(_) | Reply::NotThere => {
                self.recorder.ok.fetch_add(1, Relaxed);
                self.record.ok_times.push((complete, self.group.as_ref().map(|group| group.0)));
                self.count(if is_read { "reads ok" } else { "updates ok" });
            }
            Reply::Refused(code) => self.count(&format!("refused: {code}")),
            Reply::Unknown(code) => self.count(&format!("unknown: {code}")),
        }
        // A read without an answer says nothing.
        if !is_read || outcome == Outcome::Ok {
            let key = key.into();
            let client = self.number;
            self.record.history.push(Op { key, client, action, outcome, invoke, complete });
        }
    }

    fn count(&mut self, outcome: &str) {
        match self.record.counts.get_mut(outcome) {
            Some(count) => *count += 1,
            None => drop(self.record.counts.insert(outcome.into(), 1)),
        }
    }
}

fn answered(asked: Action, answer: &Value) -> Action {
    match asked {
        Action::Get(_) => Action::Get(Some(value_of(answer))),
        Action::Del { .. } => Action::Del { found: true },
        other => other,
    }
}

/// What is written for a value: its number, and a tail so that a mixture of two is noticed. Tails
/// have 80 to 2,560 digits: records are small and large, and logs fill soon.
fn text_of(value: ValueId) -> String {
    let digits = 80 << (value % 6);
    format!("{value}:{value:0>digits$}")
}

fn value_of(answer: &Value) -> ValueId {
    let text = answer["value"].as_str().unwrap_or_default();
    let number = text.split(':').next().and_then(|number| number.parse().ok());
    number
        .filter(|number| text_of(*number) == text)
        .unwrap_or_else(|| panic!("nobody ever wrote such a value: {answer}"))
}

/// Reads every key of `history` over one pipelined connection. The reads are added to `history`.
pub(crate) fn read_all(addr: SocketAddr, recorder: &Recorder, history: &mut History) -> Finals {
    let keys: BTreeSet<Arc<str>> = history.iter().map(|op| op.key.clone()).collect();
    let names: Vec<&str> = keys.iter().map(|key| &**key).collect();
    let invoke = recorder.now();
    let answers = pipelined_gets(addr, &names);
    let complete = recorder.now();
    let mut finals = Finals::new();
    for (key, answer) in keys.iter().zip(answers) {
        let missing = answer["code"] == "not_found";
        assert!(missing || answer["ok"] == true, "the last read of {key:?}: {answer}");
        let value = (!missing).then(|| value_of(&answer));
        finals.insert(key.clone(), value);
        history.push(Op {
            key: key.clone(),
            client: FINAL_READER,
            action: Action::Get(value),
            outcome: Outcome::Ok,
            invoke,
            complete,
        });
    }
    finals
}

/// The answers to a `get` of each of `keys`, all sent without waiting, over one connection.
pub(crate) fn pipelined_gets(addr: SocketAddr, keys: &[&str]) -> Vec<Value> {
    use std::io::Write;
    let mut conn = Conn::open(addr).unwrap_or_else(|error| panic!("{addr}: {error}"));
    let mut sender = conn.sender().expect("a second handle of a socket");
    thread::scope(|scope| {
        // Of its own thread: past its limits the server reads only while somebody takes answers.
        scope.spawn(move || {
            let mut lines = Vec::new();
            for (number, key) in keys.iter().enumerate() {
                let get = serde_json::json!({"op": "get", "key": key, "id": number});
                lines.extend_from_slice(get.to_string().as_bytes());
                lines.push(b'\n');
            }
            // If it fails, the reader finds out.
            let _ = sender.write_all(&lines);
        });
        let answers = keys.iter().enumerate().map(|(number, key)| {
            let answer = conn.receive().unwrap_or_else(|error| panic!("get {key:?}: {error}"));
            assert_eq!(answer["id"], number, "answers in the order of requests, at {key:?}");
            answer
        });
        answers.collect()
    })
}
