//! Does a server keep the contract of the client protocol? Numbered checks over raw sockets, each
//! with the sentence of the contract that it holds.
//!
//! ```sh
//! cargo test conformance -- --nocapture                # against a cluster of its own; lists them
//! PIAZZA_CONFORMANCE_ADDR=127.0.0.1:8080 cargo test conformance -- --nocapture  # or any other
//! PIAZZA_CONFORMANCE=421,801 cargo test conformance -- --nocapture              # these checks only
//! ```
//!
//! The other one must be well and have the limits of the contract; keys beginning with
//! `conformance-` are written there and removed again. What needs a cluster that may be broken is
//! then skipped, and said so.
//!
//! * `talk`: one raw connection, and what every line must be;
//! * `framing` (1xx): lines, order, pipelining, `id`, `timeout_ms`;
//! * `bad_lines` (2xx): what is refused, by name, while the connection lives;
//! * `values` (3xx): keys, values, versions and their limits;
//! * `updates` (4xx): `put`, `update`, `cas`, `del`, `txn`; `once` (45x): `once` and `outcome`;
//! * `reads` (5xx): `get`, `mget`, `scan`; `explain` (54x); `watch` (6xx); `events` (65x): `subscribe`;
//! * `servers` (7xx): `hello`, `status`, limits, the guard against HTTP; `supervisor` (74x on): its
//!   port, and what administrators do; `admin` (77x): `admin` at the coordinator, and `locate`;
//!   `sessions` (79x): how a node's session begins;
//! * `malformed` (8xx): hundreds of bad inputs on every port;
//! * `broken` (9xx): a node is down;
//! * `tokens` (10xx): a cluster with tokens; `limits` (11xx): one with small limits; `changes` (12xx):
//!   one whose membership changes; `alone` (13xx): another, with one copy of each key. All of them
//!   are always of one's own.
//!
//! The contract is the judge: a check is changed only with it.

use std::cell::Cell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use self::talk::Talk;
use super::e2e::cluster::Cluster;
use super::e2e::procs::TempDir;

mod admin;
mod alone;
mod bad_lines;
mod broken;
mod changes;
mod events;
mod explain;
mod framing;
mod limits;
mod malformed;
mod once;
mod reads;
mod servers;
mod sessions;
mod supervisor;
mod talk;
mod tokens;
mod updates;
mod values;
mod watch;

/// One check.
struct Check {
    /// For ever the same: what is taken out is not given again.
    number: u32,
    name: &'static str,
    /// What it holds, word by word as the contract has it.
    holds: &'static [&'static str],
    /// Panics if it does not hold.
    run: fn(&Site),
    /// It breaks things: for a cluster of its own only.
    breaks: bool,
}

/// The checks of a file: number, function and what it holds, each a piece of the contract, or
/// pieces of one sentence, item or row joined by " ... ".
macro_rules! checks {
    ($($number:literal $name:ident $($holds:literal),+)*) => {
        pub(super) const CHECKS: &[super::Check] = &[$(super::Check {
            number: $number,
            name: stringify!($name),
            holds: &[$($holds),+],
            run: $name,
            breaks: $number >= 900,
        },)*];
    };
}
use checks;

/// All of them, those that break things last.
const ALL: &[&[Check]] = &[
    framing::CHECKS,
    bad_lines::CHECKS,
    values::CHECKS,
    updates::CHECKS,
    once::CHECKS,
    reads::CHECKS,
    explain::CHECKS,
    watch::CHECKS,
    events::CHECKS,
    servers::CHECKS,
    supervisor::CHECKS,
    admin::CHECKS,
    sessions::CHECKS,
    malformed::CHECKS,
    broken::CHECKS,
];

/// Those that always have a cluster of their own.
const OWN: &[&[Check]] = &[tokens::CHECKS, limits::CHECKS, changes::CHECKS, alone::CHECKS];

/// Who quotes which piece of the contract.
pub(super) fn quotes() -> impl Iterator<Item = (String, &'static str)> {
    let quotes = |check: &'static Check| {
        let by = format!("conformance {} {}", check.number, check.name);
        check.holds.iter().map(move |quote| (by.clone(), *quote))
    };
    ALL.iter().chain(OWN).copied().flatten().flat_map(quotes)
}

/// What is checked.
struct Site {
    addr: SocketAddr,
    own: Option<Cluster>,
    /// What all keys of this run begin with.
    prefix: String,
    keys: Cell<u32>,
}

impl Site {
    fn find() -> Self {
        let (addr, own) = match std::env::var("PIAZZA_CONFORMANCE_ADDR") {
            Ok(text) => {
                let mut found = text.to_socket_addrs().unwrap_or_else(|error| {
                    panic!("PIAZZA_CONFORMANCE_ADDR={text} is no HOST:PORT: {error}")
                });
                (found.next().expect("an address at least"), None)
            }
            Err(_) => {
                let cluster = Cluster::start("conformance", 3, 2, &[]);
                cluster.wait_healthy(None);
                (cluster.addr(), Some(cluster))
            }
        };
        Self::at(addr, own)
    }

    fn at(addr: SocketAddr, own: Option<Cluster>) -> Self {
        let port = Talk::open(addr).own_port();
        let prefix = format!("conformance-{}-{port}/", std::process::id());
        Self { addr, own, prefix, keys: Cell::new(0) }
    }

    fn open(&self) -> Talk {
        Talk::open(self.addr)
    }

    /// A key that nobody has used before.
    fn key(&self) -> String {
        self.keys.set(self.keys.get() + 1);
        format!("{}{}/", self.prefix, self.keys.get())
    }

    fn status(&self) -> Value {
        self.open().ok(&json!({"op": "status"}))
    }

    /// Removes what was written.
    fn clean(&self) {
        let mut talk = self.open();
        loop {
            let page = talk.ok(&json!({"op": "scan", "prefix": self.prefix, "limit": 200}));
            let items = page["items"].as_array().expect("a list");
            let del = |item: &Value| json!({"op": "del", "key": item["key"]});
            let dels: Vec<Value> = items.iter().map(del).collect();
            talk.ask_all(&dels);
            if page["next"].is_null() {
                return;
            }
        }
    }
}

/// Runs one check; what it says if it fails.
fn run(check: &Check, site: &Site) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (check.run)(site))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Those of `lists` that are wanted.
fn wanted(lists: &[&'static [Check]]) -> Vec<&'static Check> {
    let wanted = std::env::var("PIAZZA_CONFORMANCE").ok();
    let is_wanted = |check: &&Check| {
        let number = check.number.to_string();
        wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|one| one == number))
    };
    lists.iter().copied().flatten().filter(is_wanted).collect()
}

/// Keeps those checks of `lists` that are wanted, at the site that is made for them.
fn keep_wanted(lists: &[&'static [Check]], site: impl FnOnce() -> Site) {
    let checks = wanted(lists);
    if checks.is_empty() {
        return;
    }
    let site = site();
    keep(&checks, &site);
    if site.own.is_none() {
        site.clean();
    }
}

/// A cluster of a list's own.
fn own(name: &str, nodes: usize, replicas: usize, flags: &[&str]) -> Site {
    let cluster = Cluster::start(&format!("conformance-{name}"), nodes, replicas, flags);
    Site::at(cluster.addr(), Some(cluster))
}

#[test]
fn the_contract_is_kept() {
    keep_wanted(ALL, Site::find);
}

#[test]
fn the_contract_is_kept_with_tokens() {
    let dir = TempDir::new("conformance-tokens");
    let flags = tokens::flags(&dir);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    keep_wanted(&[tokens::CHECKS], || own("tokens", 2, 2, &flags));
}

#[test]
fn the_contract_is_kept_with_small_limits() {
    keep_wanted(&[limits::CHECKS], || own("limits", 2, 2, limits::FLAGS));
}

#[test]
fn the_contract_is_kept_while_the_membership_changes() {
    keep_wanted(&[changes::CHECKS], || own("changes", 4, 2, changes::FLAGS));
}

#[test]
fn the_contract_is_kept_with_one_copy() {
    keep_wanted(&[alone::CHECKS], || own("alone", 3, 1, changes::FLAGS));
}

/// Runs them all, then says which ones failed.
fn keep(checks: &[&Check], site: &Site) {
    let mut failures = Vec::new();
    for check in checks {
        let Check { number, name, .. } = check;
        let holds = check.holds.join("\"\n        \"");
        if check.breaks && site.own.is_none() {
            println!("{number} SKIPPED {name}: needs a cluster of its own\n        \"{holds}\"");
            continue;
        }
        let result = run(check, site);
        let told = if result.is_ok() { "ok     " } else { "FAILED " };
        println!("{number} {told} {name}\n        \"{holds}\"");
        if let Err(message) = result {
            failures.push(format!("{number} {name}\n  holds: \"{holds}\"\n  {message}"));
        }
    }
    let (failed, all) = (failures.len(), checks.len());
    assert!(failures.is_empty(), "{failed} of {all} checks failed\n\n{}", failures.join("\n\n"));
    println!("{all} checks at {}", site.addr);
}

#[test]
fn numbers_rise_and_quotes_are_there() {
    let all: Vec<&Check> = ALL.iter().chain(OWN).copied().flatten().collect();
    assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert!(all.iter().all(|check| !check.holds.is_empty()));
    let wanted = std::env::var("PIAZZA_CONFORMANCE").unwrap_or_default();
    for number in wanted.split(',').filter(|number| !number.is_empty()) {
        let known = all.iter().any(|check| check.number.to_string() == number);
        assert!(known, "PIAZZA_CONFORMANCE names no check: {number}");
    }
}
