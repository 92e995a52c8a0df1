//! What must hold of every parser, whatever it is given: one function a target, over any bytes.
//!
//! Run by the programs of cargo-fuzz (`../fuzz_targets/`) and, over the inputs that are kept and
//! changes of them, by the test suite (`..`). A target panics where something does not hold. None
//! reads a clock, a file or a socket: an input does the same every time.
//!
//! * `client`: what clients and servers say to each other
//! * `peer`: what servers say to each other
//! * `supervisor`: its port, its children's announcements, its file
//! * `storage`: what a node finds on its disk
//! * `typed`: what a person types or imports; `settings`: files of settings
//! * `console`: what the console is fed, and draws; `demo`: scripts of demos
//! * `choices`: an input as a row of decisions

mod choices;
mod client;
mod console;
mod demo;
mod peer;
mod settings;
mod storage;
mod supervisor;
mod typed;

pub use client::{event, framer, json, reply, request};
pub use console::recording;
pub use demo::demo;
pub use peer::{heartbeat, peer_down, peer_up, registration};
pub use settings::settings;
pub use storage::{keystore_entry, log_files, log_records, small_file};
pub use supervisor::{announcement, cluster_file, supervisor_request};
pub use typed::{import_csv, import_json, values};

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, the riskiest first.
pub const ALL: &[Target] = &[
    ("request", request),
    ("peer_down", peer_down),
    ("peer_up", peer_up),
    ("log_files", log_files),
    ("log_records", log_records),
    ("framer", framer),
    ("registration", registration),
    ("supervisor_request", supervisor_request),
    ("reply", reply),
    ("event", event),
    ("recording", recording),
    ("small_file", small_file),
    ("keystore_entry", keystore_entry),
    ("import_csv", import_csv),
    ("import_json", import_json),
    ("heartbeat", heartbeat),
    ("json", json),
    ("values", values),
    ("settings", settings),
    ("demo", demo),
    ("cluster_file", cluster_file),
    ("announcement", announcement),
];

/// `text` as any JSON value, by a reader that knows nothing of the protocol.
fn any_json(text: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice(text).ok()
}

/// Checks that `line` is one line of JSON, newline included.
fn assert_is_line(line: &[u8]) {
    let (last, rest) = line.split_last().expect("a line has its newline");
    assert_eq!(*last, b'\n', "a line ends with its newline");
    assert!(!rest.contains(&b'\n'), "a line is one line");
    assert!(any_json(rest).is_some_and(|line| line.is_object()), "a line is one object");
}
