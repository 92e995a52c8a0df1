//! Piazza against Redis, side by side in alternating slices of one run.
//!
//! Run by hand: `cargo bench --bench versus -- --help`. Prints ratios and CPU time an operation:
//! absolute rates say more about the machine and its neighbours than about the servers. A program
//! of its own, no part of `cargo test`. Never leaves a server or a file behind.

use std::process::ExitCode;
use std::time::Duration;

#[path = "../e2e"]
#[allow(dead_code, reason = "the tests' tools; the benchmark needs a part of them")]
mod e2e {
    pub(crate) mod cluster;
    pub(crate) mod procs;
    pub(crate) mod wire;
}
#[path = "../check/seeded.rs"]
#[allow(dead_code, reason = "the tests' tools; the benchmark needs a part of them")]
mod seeded;

mod load;
mod servers;

use load::{Dialect, Load, Shape, Slice, Work};
use servers::{Redis, Server};

const HELP: &str = "\
cargo bench --bench versus -- [OPTIONS] [SCENARIO ...]

  --seconds N      for each scenario and server (default 8)
  --slice-ms N     the servers take turns that long (default 500)
  --only NAME      redis or piazza alone
  PIAZZA_BIN=PATH  measures another binary

scenarios: ";

const SCENARIOS: [(&str, Shape); 5] = [
    ("get-50", Shape { work: Work::Get, connections: 50, depth: 1, keys: 1000 }),
    ("get-50x16", Shape { work: Work::Get, connections: 50, depth: 16, keys: 1000 }),
    ("put-1", Shape { work: Work::Put, connections: 1, depth: 1, keys: 10_000 }),
    ("put-64", Shape { work: Work::Put, connections: 64, depth: 1, keys: 10_000 }),
    ("put-256", Shape { work: Work::Put, connections: 256, depth: 1, keys: 10_000 }),
];

struct Options {
    seconds: f64,
    slice: Duration,
    only: Option<String>,
    scenarios: Vec<String>,
}

/// One server, and what its slices gave.
struct Side {
    name: &'static str,
    dialect: Dialect,
    server: Box<dyn Server>,
}

#[derive(Default)]
struct Results {
    slices: Vec<Slice>,
    cpu_us: u64,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}{}", SCENARIOS.map(|scenario| scenario.0).join(" "));
            return ExitCode::SUCCESS;
        }
        Err(sentence) => {
            eprintln!("versus: {sentence}; see --help");
            return ExitCode::from(2);
        }
    };
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("versus: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        seconds: 8.0,
        slice: Duration::from_millis(500),
        only: None,
        scenarios: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let text = arguments.next().unwrap_or_default();
            text.parse::<u32>().map_err(|_| format!("{argument} needs a number, not {text:?}"))
        };
        match argument.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            "--help" | "-h" => return Ok(None),
            "--seconds" => options.seconds = f64::from(number()?),
            "--slice-ms" => options.slice = Duration::from_millis(u64::from(number()?.max(1))),
            "--only" => {
                options.only = arguments.next();
                if !matches!(options.only.as_deref(), Some("redis" | "piazza")) {
                    return Err("--only needs redis or piazza".into());
                }
            }
            name if SCENARIOS.iter().any(|scenario| scenario.0 == name) => {
                options.scenarios.push(argument);
            }
            _ => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(Some(options))
}

fn compare(options: &Options) -> Result<(), String> {
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut sides = Vec::new();
    if wanted("redis") {
        let server = Box::new(Redis::start()?);
        sides.push(Side { name: "redis", dialect: Dialect::Resp, server });
    }
    if wanted("piazza") {
        let server = Box::new(servers::piazza());
        sides.push(Side { name: "piazza", dialect: Dialect::Json, server });
    }
    println!(
        "{:<10} {:<7} {:>10} {:>8} {:>9} {:>9} {:>10}",
        "scenario", "server", "ops/s", "x redis", "p50 us", "p99 us", "CPU us/op"
    );
    for (name, shape) in SCENARIOS {
        if options.scenarios.is_empty() || options.scenarios.iter().any(|one| one == name) {
            let results = measure(&sides, shape, options)?;
            print(name, &sides, results);
        }
    }
    Ok(())
}

/// Slices of each side in turn; the first of each warms up and does not count.
fn measure(sides: &[Side], shape: Shape, options: &Options) -> Result<Vec<Results>, String> {
    let mut loads = Vec::new();
    for side in sides {
        let failed = |error| format!("{}: {error}", side.name);
        if shape.work == Work::Get {
            Load::fill(side.server.addr(), side.dialect, shape.keys).map_err(failed)?;
        }
        let mut load = Load::connect(side.server.addr(), side.dialect, shape).map_err(failed)?;
        load.run(options.slice).map_err(failed)?;
        loads.push(load);
    }
    let rounds = (options.seconds / options.slice.as_secs_f64()).ceil() as usize;
    // From here to the end, also while the other has its turn: what a server puts off counts too.
    let cpu_before: Vec<u64> = sides.iter().map(|side| side.server.cpu_us()).collect();
    let mut results: Vec<Results> = sides.iter().map(|_| Results::default()).collect();
    for _ in 0..rounds.max(1) {
        for ((side, load), result) in sides.iter().zip(&mut loads).zip(&mut results) {
            let slice = load.run(options.slice);
            result.slices.push(slice.map_err(|error| format!("{}: {error}", side.name))?);
        }
    }
    for ((side, before), result) in sides.iter().zip(cpu_before).zip(&mut results) {
        result.cpu_us = side.server.cpu_us() - before;
    }
    Ok(results)
}

fn print(name: &str, sides: &[Side], mut results: Vec<Results>) {
    let rates: Vec<Vec<f64>> =
        results.iter().map(|result| result.slices.iter().map(Slice::rate).collect()).collect();
    for (side, (result, own)) in sides.iter().zip(results.iter_mut().zip(&rates)) {
        // Of neighbours in time: what disturbs the machine disturbs both.
        let ratio = rates
            .first()
            .filter(|_| sides.len() > 1)
            .map(|first| median(own.iter().zip(first).map(|(own, first)| own / first).collect()));
        let ops: u64 = result.slices.iter().map(|slice| slice.ops).sum();
        let mut latencies: Vec<u32> =
            result.slices.iter_mut().flat_map(|slice| slice.latencies_us.drain(..)).collect();
        latencies.sort_unstable();
        let at = |part: f64| latencies.get((latencies.len() as f64 * part) as usize).copied();
        println!(
            "{:<10} {:<7} {:>10.0} {:>8} {:>9} {:>9} {:>10.1}",
            name,
            side.name,
            median(own.clone()),
            ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            at(0.5).unwrap_or(0),
            at(0.99).unwrap_or(0),
            result.cpu_us as f64 / ops.max(1) as f64,
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}
