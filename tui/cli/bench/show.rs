//! What a benchmark prints: the table, the object, the line while it runs.
//!
//! Called by `bench`. Pure: the same figures give the same text.

use std::fmt::Write as _;
use std::time::Duration;

use protocol::load::{Plan, Report, Sample, Work};
use serde::Serialize;

/// The generator's share of a processor core from which on it is the limit itself.
const BUSY: f64 = 0.9;
/// Of the operations that were due, how many may be missing before it is said.
const MISSING: f64 = 0.005;

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) report: Report,
    /// Processor cores that the generator itself took.
    pub(super) generator_cpu: f64,
    pub(super) interrupted: bool,
}

/// The line while it runs.
pub(super) fn live(sample: &Sample, left: Option<Duration>) -> String {
    let latency = &sample.latency;
    let mut text = format!(
        "{:.0}/s · p50 {} · p99 {} · {} operations",
        sample.rate,
        time(latency.p50_us),
        time(latency.p99_us),
        sample.ops_total
    );
    if sample.errors_total > 0 {
        let _ = write!(text, " · {} errors", sample.errors_total);
    }
    if let Some(left) = left {
        let _ = write!(text, " · {:.0} s left", left.as_secs_f64());
    }
    text
}

/// All of it, for people.
pub(super) fn table(plan: &Plan, measured: &Measured) -> String {
    let report = &measured.report;
    let mut rows =
        vec![["OP", "COUNT", "RATE", "P50", "P90", "P99", "P99.9", "MAX"].map(String::from)];
    for (kind, of) in &report.kinds {
        let latency = &of.latency;
        let times =
            [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
        let [p50, p90, p99, p999, max] =
            times.map(|us| if latency.count > 0 { time(us) } else { "-".into() });
        let rate = format!("{:.0}/s", of.rate);
        rows.push([kind.to_string(), of.count.to_string(), rate, p50, p90, p99, p999, max]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut out = format!("{}\n\n", heading(plan, report));
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line: Vec<String> = cells.collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
    let stall = time(report.longest_stall_ms * 1000.0);
    let _ = writeln!(out, "\nlongest time without an answer: {stall}");
    for (outcome, count) in &report.errors() {
        let _ = writeln!(out, "{outcome} {count}: {}", advice(outcome));
    }
    if report.connections_lost + report.connects_failed > 0 {
        let _ = writeln!(
            out,
            "connections lost: {}; attempts to connect that failed: {} (the last: {})",
            report.connections_lost,
            report.connects_failed,
            report.last_loss.as_deref().unwrap_or("no reason is known")
        );
    }
    if let Some(note) = note(measured) {
        let _ = writeln!(out, "{note}");
    }
    out
}

fn heading(plan: &Plan, report: &Report) -> String {
    let what = match plan.work {
        Work::Drawn { mix, distribution } => format!("{mix}, {distribution}"),
        Work::EachKey(kind) => format!("one {kind} each"),
    };
    format!(
        "{what} over {} keys, values of {} bytes, {} connections, depth {}, {:.1} s",
        plan.keys, plan.value_bytes, plan.connections, plan.depth, report.seconds
    )
}

/// One sentence where the figures need one to be understood.
pub(super) fn note(measured: &Measured) -> Option<String> {
    let Measured { report, generator_cpu, .. } = measured;
    let busy = *generator_cpu > BUSY;
    let share = generator_cpu * 100.0;
    if report.connections_given_up > 0 {
        return Some(format!(
            "{} connections could not be made anew and were given up, so less was asked than \
             should have been: is the coordinator running?",
            report.connections_given_up
        ));
    }
    let due = report.ops + report.unanswered + report.unsent;
    if let Some(rate) = report.rate_asked
        && report.unsent as f64 > due as f64 * MISSING
    {
        let missing = report.unsent as f64 / due as f64 * 100.0;
        let why = if busy {
            format!("the generator was the limit, with {share:.0} % of a processor core")
        } else {
            "all connections waited for answers: choose more --connections, a larger --depth or \
             a smaller --rate"
                .into()
        };
        return Some(format!(
            "{rate}/s was not kept: {} of {due} operations ({missing:.1} %) were never sent; {why}",
            report.unsent
        ));
    }
    if busy {
        return Some(format!(
            "the generator took {share:.0} % of a processor core: the cluster may be able to do \
             more than this"
        ));
    }
    let delay = report.start_delay.p50_us;
    let answered = report.kinds.values().filter(|kind| kind.latency.count > 0);
    let shortest = answered.map(|kind| kind.latency.p50_us).fold(f64::INFINITY, f64::min);
    (report.start_delay.count > 0 && delay > shortest / 4.0).then(|| {
        format!(
            "half of the operations were sent {} late or more by the generator itself, which is \
             part of their latencies",
            time(delay)
        )
    })
}

/// What to do about an error.
pub(super) fn advice(outcome: &str) -> &'static str {
    match outcome {
        "replica_down" => "a copy of these keys is on a node that is down, see piazza status",
        "unknown_outcome" => "a node fell silent while they were under way, see piazza status",
        "unavailable" => "no node could answer, or the cluster was not complete, see piazza status",
        "timeout" => "they waited too long for their turn: ask for less at a time",
        "overloaded" => "this is more than the cluster takes at once: fewer --connections",
        "aborted" => "a node refused them, as with a full disk: see piazza status",
        "not_leader" => "the coordinator was stopping or replaced: try again",
        "connection_lost" => "the coordinator ended or closed them: see piazza logs coordinator",
        "unauthorized" | "forbidden" => "this needs a token that allows it",
        "invalid_reply" => "is this the client port of a Piazza cluster?",
        "internal" => "a defect: report it with what piazza logs says",
        _ => "see piazza status",
    }
}

/// All of it, for programs: one line.
pub(super) fn object(plan: &Plan, measured: &Measured, left: Option<u64>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Object<'a> {
        keys: u32,
        prefix: &'a str,
        value_bytes: usize,
        connections: usize,
        depth: usize,
        seed: u64,
        mix: Option<String>,
        distribution: Option<String>,
        #[serde(flatten)]
        report: &'a Report,
        errors: std::collections::BTreeMap<String, u64>,
        generator_cpu: f64,
        interrupted: bool,
        keys_left: u64,
        note: Option<String>,
    }
    let (mix, distribution) = match plan.work {
        Work::Drawn { mix, distribution } => {
            (Some(mix.to_string()), Some(distribution.to_string()))
        }
        Work::EachKey(_) => (None, None),
    };
    let object = Object {
        keys: plan.keys,
        prefix: &plan.prefix,
        value_bytes: plan.value_bytes,
        connections: plan.connections,
        depth: plan.depth,
        seed: plan.seed,
        mix,
        distribution,
        report: &measured.report,
        errors: measured.report.errors(),
        generator_cpu: (measured.generator_cpu * 1000.0).round() / 1000.0,
        interrupted: measured.interrupted,
        keys_left: left.unwrap_or_else(|| u64::from(plan.keys)),
        note: note(measured),
    };
    let mut line = serde_json::to_vec(&object).expect("texts and finite numbers");
    line.push(b'\n');
    line
}

/// Microseconds in the unit that people would choose, to three digits.
fn time(us: f64) -> String {
    let three = |number: f64| match number {
        number if number < 9.995 => format!("{number:.2}"),
        number if number < 99.95 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    };
    match us {
        us if us < 999.5 => format!("{} us", three(us)),
        us if us < 999_500.0 => format!("{} ms", three(us / 1e3)),
        us => format!("{} s", three(us / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::load::{Kind, KindReport, Latency};

    fn measured() -> Measured {
        let latency = Latency {
            count: 90,
            p50_us: 84.1,
            p90_us: 120.0,
            p99_us: 1400.0,
            ..Latency::default()
        };
        let outcomes = [("ok".to_owned(), 90), ("replica_down".to_owned(), 10)];
        let kind = KindReport { count: 100, rate: 50.0, outcomes: outcomes.into(), latency };
        let report = Report {
            seconds: 2.0,
            ops: 100,
            rate: 50.0,
            kinds: [(Kind::Put, kind)].into(),
            longest_stall_ms: 12.34,
            ..Report::default()
        };
        Measured { report, generator_cpu: 0.2, interrupted: false }
    }

    #[test]
    fn times_have_units_and_three_digits() {
        let told =
            [0.0, 1.5, 84.1, 999.4, 999.6, 1500.0, 12_340.0, 999_400.0, 2.5e6, 3.6e9].map(time);
        let right = [
            "0.00 us", "1.50 us", "84.1 us", "999 us", "1.00 ms", "1.50 ms", "12.3 ms", "999 ms",
            "2.50 s", "3600 s",
        ];
        assert_eq!(told, right);
    }

    #[test]
    fn the_table_is_readable() {
        let text = table(&Plan::default(), &measured());
        let right = "\
get=90,put=10, uniform over 10000 keys, values of 100 bytes, 16 connections, depth 1, 2.0 s

OP   COUNT  RATE  P50      P90     P99      P99.9    MAX
put  100    50/s  84.1 us  120 us  1.40 ms  0.00 us  0.00 us

longest time without an answer: 12.3 ms
replica_down 10: a copy of these keys is on a node that is down, see piazza status
";
        assert_eq!(text, right);
    }

    #[test]
    fn the_object_is_one_line_with_all_of_it() {
        let line = object(&Plan::default(), &measured(), Some(3));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let object: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(object["kinds"]["put"]["outcomes"]["replica_down"], 10);
        assert_eq!(
            (&object["errors"]["replica_down"], &object["keys_left"]),
            (&10.into(), &3.into())
        );
        assert_eq!((&object["mix"], &object["ops"]), (&"get=90,put=10".into(), &100.into()));
    }

    #[test]
    fn a_note_says_what_was_the_limit() {
        let noted = |change: fn(&mut Measured)| {
            let mut measured = measured();
            change(&mut measured);
            note(&measured).unwrap_or_default()
        };
        assert_eq!(noted(|_| {}), "");
        let text = noted(|measured| measured.generator_cpu = 0.97);
        assert!(text.contains("97 % of a processor core: the cluster may"), "{text}");
        let unsent = |measured: &mut Measured| {
            measured.report.rate_asked = Some(100);
            measured.report.unsent = 100;
        };
        let text = noted(unsent);
        assert!(text.contains("100 of 200 operations (50.0 %) were never sent"), "{text}");
        assert!(text.contains("more --connections"), "{text}");
        let text = noted(|measured| {
            measured.report.rate_asked = Some(100);
            measured.report.unsent = 100;
            measured.generator_cpu = 0.97;
        });
        assert!(text.contains("the generator was the limit"), "{text}");
        let text = noted(|measured| {
            measured.report.start_delay = Latency { count: 9, p50_us: 60.0, ..Latency::default() };
        });
        assert!(text.contains("60.0 us late"), "{text}");
        let text = noted(|measured| measured.report.connections_given_up = 2);
        assert!(text.contains("2 connections"), "{text}");
    }
}
