//! Where a transaction's time went: the steps that its client waited for, one after the other.
//!
//! Of participants that worked at the same time the last one counts. Pure.

use protocol::event::{NodeUs, Txn, Vote};
use protocol::ids::Version;

use crate::console::look::Tone;
use crate::console::model::Model;
use crate::console::model::clock::micros;
use crate::console::widgets::table::Column;
use crate::console::widgets::text::{Span, span};
use crate::console::widgets::waterfall::{Party, Segment};

use super::rows::{Fate, Row, hindrance, node_tone};
use super::words;

/// What a piece of the time was.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// It waited in the queues of its keys, perhaps for that one.
    Turn(Option<Version>),
    /// Something else, as it is said after "was".
    Was(String),
}

/// A piece of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    us: u64,
    what: What,
}

/// How long all of it took, or has taken so far: until the answer and the last vote.
pub(super) fn whole_us(row: &Row<'_>, model: &Model) -> u64 {
    let Some(txn) = row.txn() else { return 0 };
    let ends = [txn.us.answered, txn.us.last_vote, row.took_us(model)];
    ends.into_iter().flatten().max().unwrap_or(0)
}

/// The participant that was waited for longest.
fn slowest(txn: &Txn) -> Option<&Vote> {
    txn.votes.iter().max_by_key(|vote| vote.recv_us.unwrap_or(u64::MAX))
}

fn was(us: u64, what: impl Into<String>) -> Piece {
    Piece { us, what: What::Was(what.into()) }
}

fn pieces(row: &Row<'_>, txn: &Txn, model: &Model) -> Vec<Piece> {
    let whole = whole_us(row, model);
    let us = txn.us;
    let formed = us.batch_formed.unwrap_or(whole);
    let turn = formed.saturating_sub(us.queued.unwrap_or(0));
    let mut pieces = vec![Piece { us: turn, what: What::Turn(txn.waited_for) }];
    let vote = slowest(txn).filter(|_| us.batch_formed.is_some());
    if let Some(vote) = vote {
        let node = vote.node.as_str();
        let open = matches!(row.fate, Fate::InFlight | Fate::InDoubt);
        let end = vote.recv_us.unwrap_or(if open { whole } else { formed });
        let why = hindrance(model, node).filter(|_| open);
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        let sent = vote.sent_us.unwrap_or(end);
        let link = if open { why.as_str() } else { ", whose link was gone or full" };
        let to_send = format!("waiting until it could be sent to {node}{link}");
        pieces.push(was(sent.saturating_sub(formed), to_send));
        pieces.extend(trip(vote, end.saturating_sub(sent), &why));
    }
    if let (Some(last), Some(answered)) = (us.last_vote, us.answered) {
        let us = answered.saturating_sub(last);
        let what = match row.fate {
            Fate::Aborted => "waiting until no node holds it any more: only then is it told",
            _ => "deciding it and updating the cache",
        };
        pieces.push(was(us, what));
    }
    pieces
}

/// From the prepare to the vote.
fn trip(vote: &Vote, trip: u64, why: &str) -> Vec<Piece> {
    let node = vote.node.as_str();
    match (vote.recv_us, vote.node_us) {
        (None, _) => vec![was(trip, format!("waiting in vain for the vote of {node}{why}"))],
        (Some(_), None) => vec![was(trip, format!("the way to {node}, its work, and back"))],
        (Some(_), Some(NodeUs { queue, append, sync })) => {
            let rest = trip.saturating_sub(queue.saturating_add(append).saturating_add(sync));
            vec![
                was(queue, format!("waiting for the log of {node}")),
                was(append, format!("writing the log of {node}")),
                was(sync, format!("the sync at {node}")),
                was(rest, format!("the way to {node} and back, and standing in line")),
            ]
        }
    }
}

/// Where the time went, in one sentence.
pub(super) fn sentence(row: &Row<'_>, model: &Model) -> String {
    let Some(txn) = row.txn() else { return "when what happened was not told".into() };
    let whole = whole_us(row, model);
    if whole == 0 {
        return match row.fate {
            Fate::Refused => "it was refused at once: nothing was sent to any node".into(),
            _ => "it took less than the coordinator's clock tells".into(),
        };
    }
    let all = pieces(row, txn, model);
    // Of equal ones the first: what came later waited for it.
    let Some(longest) = all.iter().rev().max_by_key(|piece| piece.us) else {
        return format!("{} in all", micros(whole));
    };
    let (part, total) = (micros(longest.us), micros(whole));
    let of_all = || format!("{part} of {total}");
    let percent = u128::from(longest.us) * 100 / u128::from(whole);
    match &longest.what {
        What::Turn(Some(other)) => {
            format!("it waited {} for {other}, the transaction of the same key before it", of_all())
        }
        What::Turn(None) if row.fate == Fate::Refused => {
            format!("{} went by until it was refused; nothing was sent to any node", of_all())
        }
        What::Turn(None) => format!("{percent} % of {total} was waiting for its turn"),
        What::Was(what) => format!("{percent} % of {total} was {what}"),
    }
}

/// The same as bars: the client, the coordinator, each node.
pub(super) fn parties(row: &Row<'_>, model: &Model) -> Vec<Party> {
    let Some(txn) = row.txn() else { return Vec::new() };
    let whole = whole_us(row, model);
    let segment = |from_us, to_us: u64, tone, waiting, text: &str| Segment {
        from_us,
        to_us: to_us.max(from_us),
        tone,
        waiting,
        text: text.into(),
    };
    let us = txn.us;
    let answer = us.answered.unwrap_or(whole);
    let told = match (us.answered, txn.reason.as_deref(), txn.outcome) {
        (None, _, _) => "waits",
        (_, Some(code), _) => code,
        _ => "waits until its answer",
    };
    let client = Party {
        label: "client".into(),
        tone: Tone::Text,
        segments: vec![segment(0, answer, Tone::Text, true, told)],
    };
    let mut own = Vec::new();
    let formed = us.batch_formed.unwrap_or(answer);
    if formed > 0 {
        own.push(segment(us.queued.unwrap_or(0), formed, Tone::Warn, true, "queue"));
    }
    if let Some(sent) = us.prepare_sent.filter(|sent| *sent > formed) {
        own.push(segment(formed, sent, Tone::Info, true, "sending"));
    }
    if let (Some(last), Some(answered)) = (us.last_vote, us.answered)
        && answered >= last
    {
        own.push(segment(last, answered, Tone::Good, false, "decide"));
    }
    let coordinator = Party { label: "coordinator".into(), tone: Tone::Bright, segments: own };
    let mut parties = vec![client, coordinator];
    let handed_over = us.batch_formed.is_some();
    let nodes = txn.votes.iter().filter(|_| handed_over);
    parties.extend(nodes.map(|vote| of_node(row, vote, (formed, whole), model)));
    parties
}

/// The same as figures: of each node when it was sent what, and what took how long.
pub(super) fn table(row: &Row<'_>, model: &Model) -> (Vec<Column<'static>>, Vec<Vec<Vec<Span>>>) {
    let columns = vec![
        Column::new("node", 12),
        Column::new("sent", 8).right(),
        Column::new("queue", 8).right().priority(4),
        Column::new("append", 8).right().priority(4),
        Column::new("sync", 8).right().priority(5),
        Column::new("on the way, in line", 19).right().priority(3),
        Column::new("vote", 5).right(),
        Column::new("at", 8).right(),
        Column::new("told", 8).right().priority(1),
        Column::new("confirmed", 9).right().priority(2),
    ];
    let Some(txn) = row.txn() else { return (columns, Vec::new()) };
    let time = |us: Option<u64>| us.map_or("-".to_owned(), micros);
    let of = |vote: &Vote| {
        let name = vote.node.as_str();
        let trip = vote.recv_us.zip(vote.sent_us).map(|(recv, sent)| recv.saturating_sub(sent));
        let work = vote.node_us.unwrap_or_default();
        let work = work.queue.saturating_add(work.append).saturating_add(work.sync);
        let rest = trip.filter(|_| vote.node_us.is_some()).map(|us| us.saturating_sub(work));
        let decide = txn.decides.iter().find(|decide| decide.node == vote.node);
        let worked = |part: fn(&NodeUs) -> u64| time(vote.node_us.as_ref().map(part));
        vec![
            vec![span(format!("{name} {}", words::role(vote.role)), node_tone(model, name))],
            vec![span(time(vote.sent_us), Tone::Text)],
            vec![span(worked(|us| us.queue), Tone::Warn)],
            vec![span(worked(|us| us.append), Tone::Info)],
            vec![span(worked(|us| us.sync), Tone::Accent)],
            vec![span(time(rest), Tone::Dim)],
            vec![span(words::vote(vote.vote), Tone::Text)],
            vec![span(time(vote.recv_us), Tone::Text)],
            vec![span(time(decide.and_then(|decide| decide.sent_us)), Tone::Dim)],
            vec![span(time(decide.and_then(|decide| decide.confirmed_us)), Tone::Dim)],
        ]
    };
    (columns, txn.votes.iter().map(of).collect())
}

/// A node: until it was sent to it, the way, and in its middle what the node says that it did.
fn of_node(row: &Row<'_>, vote: &Vote, (formed, whole): (u64, u64), model: &Model) -> Party {
    let name = vote.node.as_str();
    let open = matches!(row.fate, Fate::InFlight | Fate::InDoubt);
    let mut segments = Vec::new();
    let mut push = |from_us: u64, to_us: u64, tone, waiting, text: &str| {
        let (from_us, to_us) = (from_us.min(whole), to_us.clamp(from_us, whole.max(from_us)));
        segments.push(Segment { from_us, to_us, tone, waiting, text: text.into() });
    };
    let end = vote.recv_us.unwrap_or(if open { whole } else { formed });
    let sent = vote.sent_us.unwrap_or(end);
    if sent > formed {
        push(formed, sent, Tone::Warn, true, "not sent yet");
    }
    match (vote.recv_us, vote.node_us) {
        (None, _) if vote.sent_us.is_some() && open => {
            push(sent, end, Tone::Bad, true, "no vote yet");
        }
        (Some(recv), Some(NodeUs { queue, append, sync })) => {
            push(sent, recv, Tone::Dim, true, "");
            let work = queue.saturating_add(append).saturating_add(sync);
            let rest = recv.saturating_sub(sent).saturating_sub(work);
            let mut at = sent.saturating_add(rest / 2);
            let text = format!("queue {queue}, append {append}, sync {sync} us");
            let parts =
                [(queue, Tone::Warn, ""), (append, Tone::Info, ""), (sync, Tone::Accent, &*text)];
            for (us, tone, text) in parts {
                push(at, at.saturating_add(us), tone, false, text);
                at = at.saturating_add(us);
            }
        }
        (Some(recv), None) => push(sent, recv, Tone::Dim, true, "its vote"),
        (None, _) => {}
    }
    Party { label: name.to_owned(), tone: node_tone(model, name), segments }
}
