//! What has become of a load so far: latencies, outcomes, stalls; and the reports made of it.
//!
//! Connections' tasks write here, once for all that one read brought. Pure; times are nanoseconds
//! since the load began. Its size depends neither on how long a load runs nor on its rate.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::flight::{SECOND_NS, Sent};
use super::plan::Kind;
use crate::error::{ErrorCode, Remedy};

/// The outcome of an operation that was answered with `ok`.
pub const OK: &str = "ok";
/// The outcome of one whose connection was lost before the answer came: an update may or may not
/// have happened.
pub const CONNECTION_LOST: &str = "connection_lost";
/// The outcome of one that was answered with what is no reply of this protocol.
pub const INVALID_REPLY: &str = "invalid_reply";

/// Two digits: no latency is off by 1 %.
const DIGITS: u8 = 2;
/// What takes longer counts as this long, an hour.
const LATENCY_NS_MAX: u64 = 3600 * SECOND_NS;

/// Latencies, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Half of them took at most this long.
    pub p50_us: f64,
    /// 9 of 10.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1000.
    pub p999_us: f64,
    /// All of them.
    pub max_us: f64,
}

/// What became of the operations of one kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KindReport {
    /// How many were answered or lost.
    pub count: u64,
    /// How many of those a second.
    pub rate: f64,
    /// How many ended how: `ok`, the code of an error, [`CONNECTION_LOST`], [`INVALID_REPLY`].
    /// Their sum is `count`.
    pub outcomes: BTreeMap<String, u64>,
    /// Of those that were done, or found a condition not met; refusals are quick, and would
    /// flatter.
    pub latency: Latency,
}

/// What became of a load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// How long it ran.
    pub seconds: f64,
    /// How many operations were answered or lost.
    pub ops: u64,
    /// How many of those a second.
    pub rate: f64,
    /// How many a second there should have been, if that was given.
    pub rate_asked: Option<u64>,
    /// Operations that should have started and were never sent, since there was no room.
    pub unsent: u64,
    /// Operations in flight when the load was stopped.
    pub unanswered: u64,
    /// By kind; kinds of which there were none are left out.
    pub kinds: BTreeMap<Kind, KindReport>,
    /// With a rate: how late operations were sent though there was room: the generator's own part
    /// in their latencies.
    pub start_delay: Latency,
    /// The longest time in which nothing was done, milliseconds.
    pub longest_stall_ms: f64,
    /// Connections that were lost. Each was made anew.
    pub connections_lost: u64,
    /// Attempts to connect anew that failed.
    pub connects_failed: u64,
    /// Connections that could not be made for so long that they were given up.
    pub connections_given_up: u64,
    /// Why the last of these was lost or failed.
    pub last_loss: Option<String>,
}

impl Report {
    /// How many operations ended so.
    pub fn count(&self, outcome: &str) -> u64 {
        self.kinds.values().filter_map(|kind| kind.outcomes.get(outcome)).sum()
    }

    /// The outcomes that are errors, over all kinds.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut errors = BTreeMap::new();
        let outcomes = self.kinds.values().flat_map(|kind| &kind.outcomes);
        for (outcome, count) in outcomes.filter(|(outcome, _)| !is_answer(outcome)) {
            *errors.entry(outcome.clone()).or_default() += count;
        }
        errors
    }
}

/// What has happened since the sample before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// When it was taken, seconds since the load began.
    pub at_s: f64,
    /// How many operations were answered or lost.
    pub ops: u64,
    /// How many of those a second.
    pub rate: f64,
    /// Latencies of those that were done.
    pub latency: Latency,
    /// Errors by code.
    pub errors: BTreeMap<String, u64>,
    /// How many operations were answered or lost since the load began.
    pub ops_total: u64,
    /// How many of these were errors.
    pub errors_total: u64,
}

/// Whether an outcome is an answer to what was asked, as opposed to an error.
fn is_answer(outcome: &str) -> bool {
    let code = ErrorCode::ALL.iter().find(|code| code.as_str() == outcome);
    outcome == OK || code.is_some_and(|code| code.remedy() == Remedy::Condition)
}

/// What is counted of one kind.
#[derive(Debug, Default)]
struct KindTally {
    /// None before the first: most loads are of two kinds.
    latencies: Option<Histogram<u64>>,
    outcomes: BTreeMap<&'static str, u64>,
}

/// All that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    kinds: [KindTally; 5],
    sent: u64,
    ended: u64,
    errors: u64,
    delays: Histogram<u64>,
    last_done_ns: u64,
    longest_stall_ns: u64,
    connections_lost: u64,
    connects_failed: u64,
    given_up: u64,
    last_loss: Option<String>,
    /// Since the last sample.
    recent: Histogram<u64>,
    recent_ops: u64,
    recent_errors: BTreeMap<&'static str, u64>,
    sampled_ns: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            kinds: Default::default(),
            sent: 0,
            ended: 0,
            errors: 0,
            delays: histogram(),
            last_done_ns: 0,
            longest_stall_ns: 0,
            connections_lost: 0,
            connects_failed: 0,
            given_up: 0,
            last_loss: None,
            recent: histogram(),
            recent_ops: 0,
            recent_errors: BTreeMap::new(),
            sampled_ns: 0,
        }
    }

    /// So many were sent.
    pub(super) fn sent(&mut self, count: u64) {
        self.sent += count;
    }

    /// One was sent so late by the generator's own doing.
    pub(super) fn delayed(&mut self, delay_ns: u64) {
        self.delays.saturating_record(delay_ns);
    }

    /// `sent` was done, or found its condition not met.
    pub(super) fn answered(&mut self, sent: Sent, outcome: &'static str, now_ns: u64) {
        self.ended(sent.kind, outcome);
        let latency_ns = now_ns.saturating_sub(sent.start_ns);
        let kind = &mut self.kinds[sent.kind as usize];
        kind.latencies.get_or_insert_with(histogram).saturating_record(latency_ns);
        self.recent.saturating_record(latency_ns);
        self.longest_stall_ns = self.stall_ns(now_ns);
        self.last_done_ns = now_ns;
    }

    /// `kind` was refused, lost or answered with nonsense.
    pub(super) fn failed(&mut self, kind: Kind, outcome: &'static str) {
        self.ended(kind, outcome);
        self.errors += 1;
        *self.recent_errors.entry(outcome).or_default() += 1;
    }

    pub(super) fn lost(&mut self, why: String) {
        self.connections_lost += 1;
        self.last_loss = Some(why);
    }

    pub(super) fn connect_failed(&mut self, why: String) {
        self.connects_failed += 1;
        self.last_loss = Some(why);
    }

    pub(super) fn gave_up(&mut self) {
        self.given_up += 1;
    }

    fn ended(&mut self, kind: Kind, outcome: &'static str) {
        self.ended += 1;
        self.recent_ops += 1;
        *self.kinds[kind as usize].outcomes.entry(outcome).or_default() += 1;
    }

    /// The longest stall, if nothing is done before `now_ns`.
    fn stall_ns(&self, now_ns: u64) -> u64 {
        self.longest_stall_ns.max(now_ns.saturating_sub(self.last_done_ns))
    }

    /// What has happened since the last sample, which this one ends.
    pub(super) fn sample(&mut self, now_ns: u64) -> Sample {
        let seconds = now_ns.saturating_sub(self.sampled_ns) as f64 / SECOND_NS as f64;
        let ops = std::mem::take(&mut self.recent_ops);
        let errors = std::mem::take(&mut self.recent_errors);
        let sample = Sample {
            at_s: now_ns as f64 / SECOND_NS as f64,
            ops,
            rate: ops as f64 / seconds.max(1e-9),
            latency: latency(&self.recent),
            errors: errors.into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
            ops_total: self.ended,
            errors_total: self.errors,
        };
        self.recent.reset();
        self.sampled_ns = now_ns;
        sample
    }

    /// The report of a load that ran until `now_ns`, by when `due` operations should have started.
    pub(super) fn report(&self, now_ns: u64, due: Option<u64>) -> Report {
        let seconds = now_ns as f64 / SECOND_NS as f64;
        let per_s = |count: u64| (count as f64 / seconds.max(1e-9) * 10.0).round() / 10.0;
        let kinds = Kind::ALL.into_iter().zip(&self.kinds);
        let kinds = kinds.filter(|(_, tally)| !tally.outcomes.is_empty()).map(|(kind, tally)| {
            let outcomes = tally.outcomes.iter();
            let outcomes: BTreeMap<String, u64> =
                outcomes.map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect();
            let count = outcomes.values().sum();
            let latency = tally.latencies.as_ref().map(latency).unwrap_or_default();
            (kind, KindReport { count, rate: per_s(count), outcomes, latency })
        });
        Report {
            seconds,
            ops: self.ended,
            rate: per_s(self.ended),
            rate_asked: None,
            unsent: due.map_or(0, |due| due.saturating_sub(self.sent)),
            unanswered: self.sent.saturating_sub(self.ended),
            kinds: kinds.collect(),
            start_delay: latency(&self.delays),
            longest_stall_ms: micros(self.stall_ns(now_ns)) / 1000.0,
            connections_lost: self.connections_lost,
            connects_failed: self.connects_failed,
            connections_given_up: self.given_up,
            last_loss: self.last_loss.clone(),
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("the bounds are constants")
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    Latency {
        count: histogram.len(),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: micros(histogram.max()),
    }
}

/// Microseconds, to a tenth.
fn micros(ns: u64) -> f64 {
    (ns as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::draw::Random;

    fn sent(start_ns: u64) -> Sent {
        Sent { kind: Kind::Get, key: 0, start_ns, sent_ns: start_ns }
    }

    fn near(told: f64, right: u64) {
        let right = right as f64 / 1000.0;
        assert!((told - right).abs() <= right * 0.01 + 0.051, "{told} us, not {right} us");
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut random = Random::new(5);
        for count in [1, 2, 10, 999, 1000, 20_000] {
            let mut tally = Tally::new();
            // From 1 us to 10 minutes, as many in each octave.
            let draw = |_| (1000 << random.below(30)) + u64::from(random.below(1000));
            let mut list: Vec<u64> = (0..count).map(draw).collect();
            let mut now = 0;
            for latency in &list {
                now += latency;
                tally.sent(1);
                tally.answered(sent(now - latency), OK, now);
            }
            list.sort_unstable();
            let report = tally.report(now, None);
            let told = report.kinds[&Kind::Get].latency;
            assert_eq!(told.count, count);
            let right = |share: f64| list[((share * count as f64).ceil() as usize).max(1) - 1];
            near(told.p50_us, right(0.5));
            near(told.p90_us, right(0.9));
            near(told.p99_us, right(0.99));
            near(told.p999_us, right(0.999));
            near(told.max_us, list[list.len() - 1]);
            assert_eq!(tally.sample(now).latency, told);
        }
    }

    #[test]
    fn what_takes_for_ever_counts_as_an_hour() {
        let mut tally = Tally::new();
        tally.answered(sent(0), OK, u64::MAX);
        tally.sent(1);
        let report = tally.report(u64::MAX, None);
        near(report.kinds[&Kind::Get].latency.max_us, LATENCY_NS_MAX);
    }

    #[test]
    fn the_parts_of_a_report_add_up() {
        let mut tally = Tally::new();
        tally.sent(10);
        tally.answered(sent(0), OK, 5);
        tally.answered(sent(0), "not_found", 5);
        tally.failed(Kind::Get, "timeout");
        tally.failed(Kind::Put, CONNECTION_LOST);
        tally.failed(Kind::Put, "timeout");
        tally.lost("it closed".into());
        let report = tally.report(SECOND_NS, Some(12));
        assert_eq!((report.ops, report.unanswered, report.unsent), (5, 5, 2));
        assert_eq!((report.seconds, report.rate), (1.0, 5.0));
        for kind in report.kinds.values() {
            assert_eq!(kind.outcomes.values().sum::<u64>(), kind.count);
        }
        let get = &report.kinds[&Kind::Get];
        assert_eq!((get.count, get.latency.count), (3, 2));
        let errors = [("timeout".to_owned(), 2), (CONNECTION_LOST.to_owned(), 1)];
        assert_eq!(report.errors(), errors.into());
        assert_eq!((report.count("timeout"), report.count("not_found")), (2, 1));
        assert_eq!(report.connections_lost, 1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn a_stall_is_the_longest_time_without_an_answer_and_refusals_do_not_end_it() {
        let mut tally = Tally::new();
        let stall = |tally: &Tally, now: u64| tally.report(now * 1_000_000, None).longest_stall_ms;
        assert_eq!(stall(&tally, 3), 3.0);
        tally.answered(sent(0), OK, 4_000_000);
        tally.failed(Kind::Get, "timeout");
        assert_eq!(stall(&tally, 5), 4.0);
        assert_eq!(stall(&tally, 14), 10.0);
        tally.answered(sent(0), OK, 11_000_000);
        assert_eq!(stall(&tally, 14), 7.0);
    }

    #[test]
    fn a_sample_tells_what_is_new() {
        let mut tally = Tally::new();
        tally.answered(sent(0), OK, 50);
        tally.failed(Kind::Get, "timeout");
        let first = tally.sample(SECOND_NS / 2);
        assert_eq!((first.ops, first.rate, first.errors["timeout"]), (2, 4.0, 1));
        let second = tally.sample(SECOND_NS);
        assert_eq!((second.ops, second.latency.count, second.errors.len()), (0, 0, 0));
        assert_eq!((second.ops_total, second.errors_total), (2, 1));
    }
}
