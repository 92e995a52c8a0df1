//! How each path is read from the console.
//!
//! Part of `paths`: a function a row. None: that is not known.

use protocol::event::{StepAction, VoteState};

use super::Value;
use crate::console::model::COORDINATOR;
use crate::console::model::clock::At;
use crate::console::model::story::{Incident, Step};
use crate::console::model::txns::TxnRow;
use crate::console::shop::{Found, Shop};
use crate::console::state::{Console, Overlay};

fn number(of: impl TryInto<u64>) -> Option<Value> {
    of.try_into().ok().map(|number| Value::Number(number as f64))
}

fn real(of: Option<f64>) -> Option<Value> {
    of.map(Value::Number)
}

fn word(of: impl Into<String>) -> Option<Value> {
    Some(Value::Word(of.into()))
}

fn flag(of: bool) -> Option<Value> {
    Some(Value::Flag(of))
}

fn us(from: At, to: At) -> Option<Value> {
    number(to.us_since(from))
}

pub(super) fn ring_nodes(console: &Console, _: &str) -> Option<Value> {
    number(console.model.ring.shares().len())
}

pub(super) fn replicas(console: &Console, _: &str) -> Option<Value> {
    number(console.model.replicas())
}

pub(super) fn is_well(console: &Console, _: &str) -> Option<Value> {
    let model = &console.model;
    let whole = model.keys_one_copy() == 0 || model.copies_wanted() < 2;
    let is_whole = whole && model.counts_all();
    let calm = model.story.open().next().is_none() && !model.moving.is_under_way();
    flag(model.is_well() && calm && is_whole && model.evicted().next().is_none())
}

pub(super) fn nodes_up(console: &Console, _: &str) -> Option<Value> {
    number(console.model.nodes_up().0)
}

pub(super) fn node_state(console: &Console, node: &str) -> Option<Value> {
    word(console.model.nodes.get(node)?.word().to_lowercase())
}

pub(super) fn node_share(console: &Console, node: &str) -> Option<Value> {
    real(Some(console.model.ring.shares().get(node).copied().unwrap_or(0.0)))
}

pub(super) fn node_keys(console: &Console, node: &str) -> Option<Value> {
    let node = console.model.nodes.get(node)?;
    number(node.keys_primary()?.saturating_add(node.keys_replica()?))
}

pub(super) fn node_missed(console: &Console, node: &str) -> Option<Value> {
    number(console.model.nodes.get(node)?.missed)
}

pub(super) fn process_state(console: &Console, server: &str) -> Option<Value> {
    word(console.model.procs.get(server)?.state.clone())
}

pub(super) fn process_paused(console: &Console, server: &str) -> Option<Value> {
    flag(console.model.procs.get(server)?.paused)
}

pub(super) fn coordinator_state(console: &Console, _: &str) -> Option<Value> {
    if console.model.stale_ms().is_some() {
        return word("silent");
    }
    word(console.model.coordinator.state?.to_string())
}

pub(super) fn coordinator_epoch(console: &Console, _: &str) -> Option<Value> {
    number(console.model.coordinator.epoch)
}

pub(super) fn keys_total(console: &Console, _: &str) -> Option<Value> {
    number(console.model.keys()).filter(|_| console.model.counts_all())
}

pub(super) fn keys_one_copy(console: &Console, _: &str) -> Option<Value> {
    number(console.model.keys_one_copy())
}

pub(super) fn keys_no_copy(console: &Console, _: &str) -> Option<Value> {
    number(console.model.copies.by_live_copies.get(&0).copied().unwrap_or(0))
}

pub(super) fn keys_unwritable(console: &Console, _: &str) -> Option<Value> {
    number(console.model.copies.unwritable)
}

pub(super) fn keys_in_doubt(console: &Console, _: &str) -> Option<Value> {
    number(console.model.keys_in_doubt)
}

pub(super) fn ops_per_s(console: &Console, _: &str) -> Option<Value> {
    real(console.model.figures.ops_per_s())
}

pub(super) fn reads_per_s(console: &Console, _: &str) -> Option<Value> {
    real(console.model.figures.reads.per_s())
}

pub(super) fn writes_per_s(console: &Console, _: &str) -> Option<Value> {
    real(console.model.figures.writes.per_s())
}

pub(super) fn ops_failed(console: &Console, _: &str) -> Option<Value> {
    number(console.model.figures.failures())
}

pub(super) fn ops_ok(console: &Console, op: &str) -> Option<Value> {
    let outcomes = console.model.figures.stats.ops.get(op);
    number(outcomes.and_then(|outcomes| outcomes.get("ok")).copied().unwrap_or(0))
}

pub(super) fn updates_median(console: &Console, _: &str) -> Option<Value> {
    let told = console.model.figures.stats.latency_us.get("update")?;
    number(told.p50).filter(|_| told.count > 0)
}

pub(super) fn batch_txns(console: &Console, _: &str) -> Option<Value> {
    number(console.model.figures.stats.batch_txns_p50)
}

pub(super) fn txns_in_doubt(console: &Console, _: &str) -> Option<Value> {
    number(console.model.txns.in_doubt_now())
}

/// The newest finished transaction of a key.
fn txn<'a>(console: &'a Console, key: &str) -> Option<&'a TxnRow> {
    console.model.txns.past().find(|row| is_of(row, key))
}

fn is_of(row: &TxnRow, key: &str) -> bool {
    row.txn.key.as_ref().is_some_and(|of| of.as_str() == key)
}

pub(super) fn txn_outcome(console: &Console, key: &str) -> Option<Value> {
    word(txn(console, key)?.txn.outcome?.as_str())
}

pub(super) fn txn_reason(console: &Console, key: &str) -> Option<Value> {
    word(txn(console, key)?.txn.reason.clone()?)
}

pub(super) fn txn_took(console: &Console, key: &str) -> Option<Value> {
    number(txn(console, key)?.txn.us_total)
}

pub(super) fn txn_nodes(console: &Console, key: &str) -> Option<Value> {
    number(txn(console, key)?.txn.votes.len())
}

pub(super) fn txn_yes(console: &Console, key: &str) -> Option<Value> {
    let votes = &txn(console, key)?.txn.votes;
    number(votes.iter().filter(|vote| vote.vote == VoteState::Yes).count())
}

pub(super) fn txn_fate(console: &Console, key: &str) -> Option<Value> {
    let txns = &console.model.txns;
    let of_key = |doubt: &crate::console::model::txns::Doubt| {
        doubt.told.key.as_ref().is_some_and(|of| of.as_str() == key)
    };
    if let Some((_, doubt)) = txns.doubts().filter(|(_, doubt)| of_key(doubt)).last() {
        return match doubt.resolved {
            Some((outcome, _)) => word(outcome.as_str()),
            None => word("in doubt"),
        };
    }
    match txns.open().any(|row| is_of(row, key)) {
        true => word("open"),
        false => txn_outcome(console, key),
    }
}

fn incident(console: &Console) -> Option<&Incident> {
    console.model.story.foremost()
}

pub(super) fn incident_open(console: &Console, _: &str) -> Option<Value> {
    flag(console.model.story.open().next().is_some())
}

pub(super) fn incident_server(console: &Console, _: &str) -> Option<Value> {
    word(incident(console)?.server.clone())
}

pub(super) fn incident_lasted(console: &Console, _: &str) -> Option<Value> {
    let incident = incident(console)?;
    us(incident.began.latest(), incident.closed.unwrap_or(console.model.now))
}

/// The steps that a path may name.
pub(in crate::demo) const STEPS: &[(&str, Step)] = &[
    ("suspected", Step::Suspected),
    ("down", Step::Down),
    ("evicted", Step::Evicted),
    ("started", Step::Started),
    ("active", Step::Active),
    ("healthy", Step::Healthy),
];

pub(super) fn incident_until(console: &Console, step: &str) -> Option<Value> {
    let incident = incident(console)?;
    let step = STEPS.iter().find(|(name, _)| *name == step)?.1;
    let reached = incident.steps.iter().find(|(reached, _)| *reached == step)?;
    us(incident.began.latest(), reached.1.latest())
}

pub(super) fn incident_reads_by(console: &Console, _: &str) -> Option<Value> {
    let by = incident(console)?.impact.as_ref()?.reads_by.join(", ");
    word(by).filter(|by| *by != Value::Word(String::new()))
}

pub(super) fn ring_number(console: &Console, _: &str) -> Option<Value> {
    word(console.model.ring.number.clone())
}

pub(super) fn ring_balance(console: &Console, _: &str) -> Option<Value> {
    real(console.model.ring.balance())
}

pub(super) fn ring_moving(console: &Console, _: &str) -> Option<Value> {
    flag(console.model.moving.is_under_way())
}

pub(super) fn lookup_key(console: &Console, _: &str) -> Option<Value> {
    word(console.views.ring.located()?.0)
}

fn holder(console: &Console, nth: usize) -> Option<Value> {
    word(console.views.ring.located()?.1.nodes.get(nth)?.as_str())
}

pub(super) fn lookup_primary(console: &Console, _: &str) -> Option<Value> {
    holder(console, 0)
}

pub(super) fn lookup_second(console: &Console, _: &str) -> Option<Value> {
    holder(console, 1)
}

pub(super) fn question_open(console: &Console, _: &str) -> Option<Value> {
    flag(matches!(console.overlay, Some(Overlay::Ask(_))))
}

pub(super) fn preview_moved(console: &Console, _: &str) -> Option<Value> {
    real(Some(console.preview.as_ref()?.primaries_moved))
}

pub(super) fn preview_copied(console: &Console, _: &str) -> Option<Value> {
    number(console.preview.as_ref()?.keys?)
}

pub(super) fn preview_modulo(console: &Console, _: &str) -> Option<Value> {
    let compared = &console.preview.as_ref()?.compared;
    let modulo = compared.iter().find(|other| other.placement.contains("ascii-sum"))?;
    real(Some(modulo.primaries_moved))
}

pub(super) fn cache_hits(console: &Console, _: &str) -> Option<Value> {
    number(console.model.caches.servers.get(COORDINATOR)?.counters.hits)
}

pub(super) fn cache_misses(console: &Console, _: &str) -> Option<Value> {
    number(console.model.caches.servers.get(COORDINATOR)?.counters.misses)
}

pub(super) fn cache_evictions(console: &Console, _: &str) -> Option<Value> {
    number(console.model.caches.servers.get(COORDINATOR)?.counters.evictions)
}

pub(super) fn cache_ratio(console: &Console, _: &str) -> Option<Value> {
    real(console.model.caches.servers.get(COORDINATOR)?.ratio())
}

pub(super) fn set_filled(console: &Console, _: &str) -> Option<Value> {
    number(console.model.caches.closely.as_ref()?.1.ways.len())
}

pub(super) fn set_hand(console: &Console, _: &str) -> Option<Value> {
    number(console.model.caches.closely.as_ref()?.1.hand)
}

pub(super) fn set_next(console: &Console, _: &str) -> Option<Value> {
    let set = &console.model.caches.closely.as_ref()?.1;
    let next = set.ways.iter().find(|way| Some(way.way) == set.next_victim)?;
    word(next.key.as_str())
}

pub(super) fn set_bit(console: &Console, key: &str) -> Option<Value> {
    let set = &console.model.caches.closely.as_ref()?.1;
    let way = set.ways.iter().find(|way| way.key.as_str() == key)?;
    number(u64::from(way.referenced))
}

pub(super) fn set_there(console: &Console, key: &str) -> Option<Value> {
    let set = &console.model.caches.closely.as_ref()?.1;
    flag(set.ways.iter().any(|way| way.key.as_str() == key))
}

pub(super) fn sweep_for(console: &Console, _: &str) -> Option<Value> {
    word(console.model.caches.sweeps.back()?.1.trigger_key.as_str())
}

pub(super) fn sweep_victim(console: &Console, _: &str) -> Option<Value> {
    let sweep = &console.model.caches.sweeps.back()?.1;
    let gone = sweep.steps.iter().rev().find(|step| step.action == StepAction::Evict)?;
    word(gone.key.as_ref()?.as_str())
}

pub(super) fn sweep_spared(console: &Console, _: &str) -> Option<Value> {
    let sweep = &console.model.caches.sweeps.back()?.1;
    number(sweep.steps.iter().filter(|step| step.action == StepAction::SecondChance).count())
}

pub(super) fn prompt_busy(console: &Console, _: &str) -> Option<Value> {
    flag(console.views.data.is_busy())
}

pub(super) fn prompt_answer(console: &Console, _: &str) -> Option<Value> {
    word(console.views.data.last_printed()?)
}

fn shop(console: &Console, figure: fn(&Shop) -> u64) -> Option<Value> {
    number(figure(console.shop.as_ref()?))
}

fn found(console: &Console, figure: fn(&Found) -> u64) -> Option<Value> {
    number(figure(console.shop.as_ref()?.found.as_ref()?))
}

pub(super) fn shop_state(console: &Console, _: &str) -> Option<Value> {
    word(console.shop.as_ref()?.told())
}

pub(super) fn shop_shoppers(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.shoppers.into())
}

pub(super) fn shop_carts(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.carts_stored)
}

pub(super) fn shop_orders(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.orders)
}

pub(super) fn shop_overtaken(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.overtaken)
}

pub(super) fn shop_refused(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.refused)
}

pub(super) fn shop_unknown(console: &Console, _: &str) -> Option<Value> {
    shop(console, |shop| shop.unknown)
}

pub(super) fn shop_stock(console: &Console, _: &str) -> Option<Value> {
    found(console, |found| found.stock)
}

pub(super) fn shop_left(console: &Console, _: &str) -> Option<Value> {
    found(console, |found| found.left)
}

pub(super) fn shop_sold(console: &Console, _: &str) -> Option<Value> {
    found(console, |found| found.sold)
}

pub(super) fn shop_wrong(console: &Console, _: &str) -> Option<Value> {
    found(console, |found| found.wrong)
}

pub(super) fn faults_left(console: &Console, _: &str) -> Option<Value> {
    let faults = console.model.procs.values().flat_map(|process| &process.injected);
    number(faults.map(|fault| fault.left).fold(0_u64, u64::saturating_add))
}
