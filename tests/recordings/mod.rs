//! What a console is fed by a real cluster, kept in `*.ndjson` here, one scenario a file: what the
//! console is tested with. Are they whole, and is all in them that the contract names?
//!
//! * `schema`: kinds and fields of events, as the contract names them
//! * `recorder`, `scenarios`, `membership`, `rot`, `orders`, `clients`: how they were made, and are
//!   made anew:
//!
//! ```sh
//! cargo test --test main record_scenarios -- --ignored --nocapture
//! PIAZZA_RECORD=kill,doubt cargo test --test main record_scenarios -- --ignored --nocapture
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use protocol::event::{self, Body, Event, Stamp};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tui::console::recording::{self, Feed, Record, What};

use self::scenarios::{ALL, BYTES_MAX, folder};
use self::schema::Paths;

mod clients;
mod membership;
mod orders;
mod recorder;
mod rot;
mod scenarios;
mod schema;

/// Kinds that the contract names without their fields.
const WITHOUT_FIELDS: [&str; 3] = ["txn_open", "txn_resolved", "cache_totals"];
/// What is not in the recordings, by its beginning, and why.
const NOT_RECORDED: &[(&str, &str)] = &[];
/// What section 4 lets administrators ask for, and what is answered: a quote, and what shows it.
const ORDERS: &[(&str, &str)] = &[
    ("`evict {node}`", "admin.action=evict"),
    ("`remove {node}`", "admin.action=remove"),
    ("`add {}`", "admin.action=add"),
    ("`rebalance`", "admin.action=rebalance"),
    ("`repair`", "admin.action=repair"),
    ("`scrub {}`", "admin.action=scrub"),
    ("`cancel {change}`", "admin.action=cancel"),
    ("`set {name,value}`", "admin.action=set"),
    ("(else `conflict`)", "admin.result=conflict"),
    ("`refused` says why", "admin.result=refused"),
    ("`busy` names the running change", "admin.result=busy"),
    ("start stop restart kill pause resume logs inject", "admin.action=start"),
    ("start stop restart kill pause resume logs inject", "admin.action=stop"),
    ("start stop restart kill pause resume logs inject", "admin.action=restart"),
    ("start stop restart kill pause resume logs inject", "admin.action=kill"),
    ("start stop restart kill pause resume logs inject", "admin.action=pause"),
    ("start stop restart kill pause resume logs inject", "admin.action=resume"),
    ("start stop restart kill pause resume logs inject", "admin.action=inject"),
    ("logs inject shutdown", "admin.action=shutdown"),
    ("`already` for a kill of a dead one", "admin.result=already"),
    ("`refuse_prepare`", "inject.fault=refuse_prepare"),
    ("`sync_delay_ms`", "inject.fault=sync_delay_ms"),
    ("`drop_votes`", "inject.fault=drop_votes"),
    ("`drop_heartbeats`", "inject.fault=drop_heartbeats"),
    ("`stop_after: append|sync|vote`", "inject.value=append"),
    ("`stop_after: append|sync|vote`", "inject.value=sync"),
    ("`stop_after: append|sync|vote`", "inject.value=vote"),
];
/// What each recording is about.
const ABOUT: &[(&str, &[&str])] = &[
    ("calm", &["txn.op=txn", "txn.op=del", "txn.reason=exists", "txn.waited_for"]),
    ("kill", &["proc.state=killed", "member_state.to=down", "member_recovery.phase=ready"]),
    ("crash", &["proc.state=backoff", "proc.state=spawned", "member_state.to=up"]),
    ("pause", &["proc.state=paused", "proc.state=resumed", "member_state.paused", "txn_in_doubt"]),
    ("coordinator", &["proc.name=coordinator", "proc.state=backoff"]),
    ("coordinator-killed", &["proc.name=coordinator", "proc.state=killed"]),
    ("recovering", &["coordinator_state.state=recovering", "ring_epoch.points", "txn_resolved"]),
    ("doubt", &["txn_resolved.outcome=aborted", "txn_resolved.outcome=committed", "inject"]),
    ("cache", &["cache_evict.steps.action=second_chance", "cache_evict.server=n2", "cache_set"]),
    ("lagged", &["lagged.dropped.admin", "admin.result=refused"]),
    ("gave-up", &["proc.state=gave_up", "proc.last_lines", "proc.exit_code"]),
    ("evict", &["transfer.state=copying", "transfer.state=done", "member_state.to=evicted"]),
    ("add", &["transfer.target=n6", "member_state.to=joining", "snapshot.transfers"]),
    (
        "remove",
        &["ring_epoch.moves.lose_node=n2", "proc.by=coordinator", "member_state.to=leaving"],
    ),
    ("rot", &["divergence.kind=checksum", "divergence.kind=hash", "snapshot.incidents_open"]),
    ("unreadable", &["divergence.kind=unreadable", "member_state.to=evicted"]),
    ("orders", &["admin.result=conflict", "admin.result=busy", "txn.votes.vote=lost"]),
];

/// A recording, read.
struct Recording {
    name: &'static str,
    text: String,
    records: Vec<Record>,
}

impl Recording {
    /// All of them.
    fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(name, _)| {
            let path = folder().join(format!("{name}.ndjson"));
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let (header, records) = recording::read(text.as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!header.version.is_empty() && !header.cluster.is_empty(), "{name}: {header:?}");
            Self { name, text, records }
        })
    }

    /// The lines of its events as they came, with what they were read as.
    fn events(&self) -> impl Iterator<Item = (&str, &Event)> {
        #[derive(Deserialize)]
        struct Line<'a> {
            #[serde(borrow, default)]
            line: Option<&'a RawValue>,
        }
        let lines = self.text.lines().skip(1).zip(&self.records);
        lines.filter_map(|(line, record)| match &record.what {
            What::Event(event) => {
                let line: Line<'_> = serde_json::from_str(line).expect("it was read before");
                Some((line.line.expect("an event's line").get(), &**event))
            }
            _ => None,
        })
    }

    /// What it has of what events may have.
    fn paths(&self) -> Paths {
        let mut paths = Paths::new();
        for (line, event) in self.events() {
            let value: Value = serde_json::from_str(line).expect("it was read before");
            schema::told(event.body.name(), &value, &mut paths);
            // It has the same fields, as far as it has come.
            if matches!(event.body, Body::TxnOpen(_)) {
                schema::told("txn", &value, &mut paths);
            }
            schema::told("envelope", &value, &mut paths);
        }
        paths
    }
}

#[test]
fn recordings_are_what_their_names_say() {
    let here = fs::read_dir(folder()).expect("a folder of ours");
    let here = here.map(|entry| entry.expect("a readable folder").path());
    let here = here.filter(|path| path.extension().is_some_and(|end| end == "ndjson"));
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let here: BTreeSet<String> = here.filter_map(|path| stem(&path)).collect();
    let known: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(here, known, "files, scenarios");
    for recording in Recording::all() {
        let name = recording.name;
        assert!(recording.text.len() <= BYTES_MAX, "{name} is too long");
        let about = ABOUT.iter().find(|(known, _)| *known == name);
        let (_, about) = about.unwrap_or_else(|| panic!("what is {name} about?"));
        let paths = recording.paths();
        let missing: Vec<_> = about.iter().filter(|path| !paths.contains(**path)).collect();
        assert!(missing.is_empty(), "{name} has none of {missing:?}");
        // Where it was made is nobody's business.
        for place in ["/tmp", "/home/", "/root", "/usr/", "/var/", env!("CARGO_MANIFEST_DIR")] {
            assert!(!recording.text.contains(place), "{name} names {place}");
        }
    }
}

/// What a feed was last seen to be.
#[derive(Default)]
struct Progress {
    connected: bool,
    /// What comes next must be a snapshot.
    begins: bool,
    seq: u64,
    at_us: u64,
}

impl Progress {
    fn take(&mut self, what: &What, feed: Feed, at: &str) {
        match what {
            What::Connected => *self = Self { connected: true, begins: true, ..Self::default() },
            What::Lost(why) => {
                assert!(!why.is_empty(), "{at}");
                self.connected = false;
            }
            What::Event(event) => {
                let kind = event.body.name();
                assert!(self.connected && event.source == feed.as_str(), "{at}: {kind}");
                // The first number that was left out, and the last: none, but where it is told.
                let left_out = match &event.body {
                    Body::Lagged(lagged) => (lagged.from_seq, lagged.to_seq),
                    _ => (self.seq + 1, self.seq),
                };
                assert_eq!((self.seq + 1, event.seq - 1), left_out, "{at}: {event:?}");
                assert!(event.at_us >= self.at_us, "{at}: {event:?}");
                assert!(event.cause.is_none_or(|cause| cause < event.seq), "{at}: {event:?}");
                // Telemetry that waits is replaced by a `lagged`, too.
                assert_eq!(self.begins, kind == "snapshot", "{at}: {kind}");
                (self.seq, self.at_us) = (event.seq, event.at_us);
                self.begins = kind == "lagged";
            }
        }
    }
}

#[test]
fn recordings_begin_with_snapshots_and_numbers_rise() {
    for recording in Recording::all() {
        let mut feeds = [Progress::default(), Progress::default()];
        for (at, record) in recording.records.iter().enumerate() {
            let at = format!("{}.ndjson:{}", recording.name, at + 2);
            feeds[record.feed as usize].take(&record.what, record.feed, &at);
        }
        // The last order of one stops all.
        let stops = recording.name == "orders";
        let whole = |feed: &Progress| feed.connected != stops && feed.seq > 0;
        assert!(feeds.iter().all(whole), "{}", recording.name);
    }
}

/// Every field of an event is one that `protocol::event` documents: else it would be gone.
#[test]
fn recorded_events_are_written_as_they_were_read() {
    for recording in Recording::all() {
        for (line, event) in recording.events() {
            let Event { source, epoch, at_us, wall_ms, incident, .. } = event;
            let stamp = Stamp { source, epoch: *epoch, at_us: *at_us, wall_ms: *wall_ms };
            let tail = event::tail(&stamp, incident.as_deref(), &event.body);
            let mut out = Vec::new();
            event::write_line(&mut out, event.body.name(), event.seq, event.cause, &tail);
            assert_eq!(line, String::from_utf8_lossy(&out).trim_end(), "{}", recording.name);
        }
    }
}

#[test]
fn every_field_of_the_contract_is_recorded() {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/PROTOCOL.md");
    let contract = fs::read_to_string(contract).expect("the contract");
    let mut named = schema::named(&contract);
    for kind in WITHOUT_FIELDS {
        assert!(contract.contains(&format!("`{kind}`")), "{kind}");
        named.insert(kind.to_owned());
    }
    let envelope = "event seq source epoch at_us wall_ms incident cause";
    named.extend(envelope.split(' ').map(|field| format!("envelope.{field}")));
    assert!(named.len() > 150, "the notation was not understood: {named:?}");

    let recorded: Paths = Recording::all().flat_map(|recording| recording.paths()).collect();
    let is_excused = |path: &str| {
        NOT_RECORDED.iter().any(|(excused, _)| {
            let rest = path.strip_prefix(excused);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '=']))
        })
    };
    let missing: Vec<_> =
        named.iter().filter(|path| !recorded.contains(*path) && !is_excused(path)).collect();
    assert!(missing.is_empty(), "no recording has {missing:#?}");
    for (quote, path) in ORDERS {
        assert!(contract.contains(quote), "{quote} is not in the contract");
        assert!(recorded.contains(*path), "no recording has {path}");
    }
    for (excused, why) in NOT_RECORDED {
        assert!(named.contains(*excused), "{excused} is not in the contract");
        assert!(!recorded.contains(*excused), "{excused} is recorded, though {why}");
    }
}

#[test]
fn recordings_have_keys_that_no_terminal_should_be_given() {
    let mut keys = BTreeSet::new();
    for recording in Recording::all() {
        for (line, _) in recording.events() {
            let value: Value = serde_json::from_str(line).expect("it was read before");
            keys.extend(value["key"].as_str().map(str::to_owned));
        }
    }
    let missing: Vec<_> = clients::ODD_KEYS.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(missing.is_empty(), "no event is about {missing:?}");
}
