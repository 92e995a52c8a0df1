//! `status`: how the cluster is, as a table, and one line of advice.
//!
//! Called by `asked`; `wait` shares its judgement of what is missing. Rendering is pure: the same
//! status gives the same text. Names come from outside and are escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use protocol::client::{Client, ClientError};
use protocol::peer::Placement;
use protocol::request::Op;
use protocol::status::{
    CacheStatus, ChangeStatus, CoordinatorState, LabStatus, NodeState, NodeStatus, Status,
};
use protocol::supervisor::Injected;
use tui::text::plural;

use crate::admin::change;
use crate::args::{Goal, StatusArgs};
use crate::print::{self, Exit, Failure};

/// `status`.
pub(crate) async fn run(client: &Client, args: &StatusArgs) -> Result<Exit, Failure> {
    if args.common.json {
        // As the server said it, so that fields of a newer one are not lost.
        let mut line = client.ask(Op::Status).await?;
        protocol::reply::decode::<serde::de::IgnoredAny>(&line)
            .map_err(|error| Failure::new(Exit::Other, "protocol", error.to_string()))?
            .map_err(|error| Failure::from(ClientError::from_read(error)))?;
        line.push(b'\n');
        print::output(&line)?;
    } else {
        let status = client.status().await?;
        print::output(render(&status, print::in_colour()).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// What is missing for `goal`, in words, or `None` if nothing is.
pub(crate) fn missing(status: &Status, goal: Goal) -> Option<String> {
    let coordinator = &status.coordinator;
    if coordinator.state != CoordinatorState::Active {
        return Some(format!("the coordinator is {}", coordinator.state));
    }
    if goal == Goal::Ready {
        return None;
    }
    let members = || status.nodes.iter().filter(|node| is_counted_on(node));
    let ill: Vec<String> = members()
        .filter(|node| node.state != NodeState::Up || node.paused)
        .map(|node| format!("{} is {}", node.name, state_text(node)))
        .collect();
    if !ill.is_empty() {
        return Some(format!("node {}", ill.join(", ")));
    }
    let (here, wanted) = (members().count(), status.cluster.nodes as usize);
    if here < wanted {
        return Some(format!("{here} of {wanted} nodes are here"));
    }
    let few = keys_below(&status.copies, status.cluster.replicas);
    if few > 0 {
        let least = if status.copies_uncounted.is_empty() { "" } else { "at least " };
        let have = if few == 1 { "has" } else { "have" };
        return Some(format!("{least}{few} {} {have} too few live copies", plural(few, "key")));
    }
    if status.keys_in_doubt > 0 {
        let doubt = status.keys_in_doubt;
        let are = if doubt == 1 { "is" } else { "are" };
        return Some(format!("{doubt} {} {are} in doubt", plural(doubt, "key")));
    }
    let running = status
        .changes
        .iter()
        .find(|change| matches!(change.state.as_str(), "running" | "waiting"))?;
    let (action, name) = (&running.action, &running.change);
    Some(print::escaped(format!("{action} ({name}) is under way").as_bytes(), false))
}

/// Whether the cluster lacks something while this node is not up: not of one whose place others
/// have, nor of one that has never had a place.
fn is_counted_on(node: &NodeStatus) -> bool {
    let waits = node.state == NodeState::Joining && node.id.is_none();
    node.state != NodeState::Evicted && !waits
}

/// One line: what to do now.
fn advice(status: &Status) -> String {
    let coordinator = &status.coordinator;
    match coordinator.state {
        CoordinatorState::Active => {}
        CoordinatorState::Standby => {
            return "this coordinator is a standby: ask the active one (--addr)".into();
        }
        CoordinatorState::Other => {
            return "the coordinator is newer than this command: update it to read on".into();
        }
        state => {
            return format!(
                "the coordinator is {state} and does not serve yet: it needs its nodes; wait with \
                 `piazza wait ready`, and if that does not end look for nodes that are not up"
            );
        }
    }
    if let Some(incident) = status.incidents.last() {
        let id = print::escaped(incident.id.as_bytes(), false);
        return format!("a server met a defect: please report the log lines of incident {id}");
    }
    match missing(status, Goal::Healthy) {
        None => spare(status),
        Some(missing) => {
            let then = held_up(status).or_else(|| to_bring_back(status));
            format!("{missing}: {}", then.unwrap_or_else(|| while_it_lasts(status).to_owned()))
        }
    }
}

/// The names of the nodes of which something holds, with commas.
fn named(status: &Status, of: impl Fn(&NodeStatus) -> bool) -> Option<String> {
    let names = status.nodes.iter().filter(|node| of(node)).map(|node| node.name.to_string());
    let names: Vec<String> = names.collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// What an operator can do about members that do not answer, and what that costs meanwhile.
fn to_bring_back(status: &Status) -> Option<String> {
    let of = |wanted: &dyn Fn(&NodeStatus) -> bool| {
        named(status, |node| is_counted_on(node) && wanted(node))
    };
    let stopped = of(&|node| node.state == NodeState::Down && !node.paused);
    let paused = of(&|node| node.paused);
    let ways: Vec<String> = [
        stopped.map(|names| format!("start {names} again")),
        paused.map(|names| format!("let {names} go on with `piazza admin resume`")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let ways = (!ways.is_empty()).then(|| ways.join(", and "))?;
    let up = status.nodes.iter().filter(|node| node.state == NodeState::Up && !node.paused);
    let cluster = &status.cluster;
    // Whether the others can do without: they have its keys, and are a majority.
    let heals = cluster.evict_after_ms.is_some()
        && cluster.replicas > 1
        && up.count() > cluster.nodes as usize / 2;
    let or = if heals { ", or wait until others have copied the keys" } else { "" };
    let meanwhile = match cluster.replicas {
        1 => "keys that only it has are neither read nor updated",
        _ => "updates of keys that it holds are refused",
    };
    Some(format!("{ways}{or}; until then {meanwhile}"))
}

/// What goes on while nobody needs to do anything.
fn while_it_lasts(status: &Status) -> &'static str {
    let is = |state| status.nodes.iter().any(|node| is_counted_on(node) && node.state == state);
    if is(NodeState::Suspect) {
        "it is silent, or back and learning what it missed; wait with `piazza wait healthy`, and \
         see `piazza logs` if that does not end; until then updates of its keys are refused"
    } else if is(NodeState::Leaving) {
        "it gives away what it has, and keys are read and updated meanwhile; wait with `piazza \
         wait healthy`"
    } else if is(NodeState::Joining) {
        "it learns what it shall hold, and keys are read and updated meanwhile; wait with `piazza \
         wait healthy`"
    } else {
        "wait with `piazza wait healthy`"
    }
}

/// Nothing is missing; whoever is there and has no place could have one.
fn spare(status: &Status) -> String {
    let evicted =
        |paused| named(status, |node| node.state == NodeState::Evicted && node.paused == paused);
    let waits = named(status, |node| node.state == NodeState::Joining && node.id.is_none());
    let mut text = "all is well".to_owned();
    let ways = [(false, "starting it again"), (true, "`piazza admin resume`")];
    for (paused, way) in ways {
        if let Some(names) = evicted(paused) {
            let _ = write!(text, "; others have the place of {names}, to be had back by {way}");
        }
    }
    if let Some(names) = waits {
        let _ = write!(text, "; {names} can be added: piazza admin add");
    }
    text
}

/// Why a change waits that could begin, if no node is to blame.
fn held_up(status: &Status) -> Option<String> {
    let blamed = |node: &NodeStatus| matches!(node.state, NodeState::Suspect | NodeState::Down);
    if status.nodes.iter().any(blamed) || status.changes.iter().any(|c| c.state == "running") {
        return None;
    }
    let waits = status.changes.iter().find(|change| change.state == "waiting")?;
    let why = print::escaped(waits.reason.as_deref()?.as_bytes(), false);
    let name = print::escaped(waits.change.as_bytes(), false);
    Some(format!("{why}; take it back with `piazza admin cancel {name}` if that does not end"))
}

/// The changes of the membership that are under way, and the last one if it failed.
fn changes(out: &mut String, status: &Status) {
    let ended = |change: &&ChangeStatus| !matches!(change.state.as_str(), "running" | "waiting");
    let last = status.changes.iter().rfind(ended).map(|change| change.change.clone());
    for change in &status.changes {
        let what = match change.state.as_str() {
            "running" => change::under_way(change),
            "waiting" => change::waits(change),
            "failed" if last.as_ref() == Some(&change.change) => change::failed(change),
            _ => continue,
        };
        let _ = writeln!(out, "change {}: {what}", change::title(change));
        for transfer in &change.transfers {
            let _ = writeln!(out, "  {}", change::transferred(transfer));
        }
    }
}

fn keys_below(copies: &BTreeMap<u32, u64>, replicas: u32) -> u64 {
    copies.range(..replicas).map(|(_, keys)| keys).sum()
}

fn render(status: &Status, colour: bool) -> String {
    let mut out = String::new();
    let cluster = &status.cluster;
    let coordinator = &status.coordinator;
    let name = if cluster.name.is_empty() { "piazza" } else { &cluster.name };
    let mut facts = vec![
        format!("cluster {}", print::escaped(name.as_bytes(), false)),
        format!(
            "{} {}, {} {} of each key",
            cluster.nodes,
            plural(cluster.nodes.into(), "node"),
            cluster.replicas,
            plural(cluster.replicas.into(), "copy")
        ),
    ];
    if cluster.placement != Placement::Ring {
        facts.push(format!("placed by {}", cluster.placement));
    }
    if cluster.serial_updates {
        facts.push("one update at a time".into());
    }
    if let Some(uuid) = cluster.uuid {
        facts.push(uuid.to_string());
    }
    line(&mut out, &facts);
    let state = paint(coordinator.state.to_string(), state_colour(coordinator.state), colour);
    line(
        &mut out,
        &[
            format!("coordinator {state}"),
            format!("epoch {}", coordinator.epoch),
            format!("up {}", time(coordinator.uptime_ms)),
            format!("ring {}.{}", status.ring.epoch.epoch, status.ring.epoch.counter),
        ],
    );
    out.push('\n');
    table(&mut out, &status.nodes, colour);
    out.push('\n');
    changes(&mut out, status);
    let cache = &status.cache;
    line(
        &mut out,
        &[format!(
            "cache {} sets x {} ways: {} hits, {} misses, {} evictions",
            cache.sets, cache.ways, cache.hits, cache.misses, cache.evictions
        )],
    );
    let totals: Vec<String> = status
        .ops
        .total
        .iter()
        .map(|(op, outcomes)| {
            format!("{} {}", print::escaped(op.as_bytes(), false), outcomes.values().sum::<u64>())
        })
        .collect();
    if !totals.is_empty() {
        line(&mut out, &[format!("requests: {}", totals.join(", "))]);
    }
    if status.keys_in_doubt > 0 {
        line(&mut out, &[format!("keys in doubt: {}", status.keys_in_doubt)]);
    }
    if let Some(lab) = &status.lab {
        line(&mut out, &[format!("faults on order: {}", faults(lab))]);
    }
    let advice = advice(status);
    let tint = if advice.starts_with("all is well") { GREEN } else { YELLOW };
    let _ = writeln!(out, "{}", paint(advice, tint, colour));
    out
}

/// What is injected for teaching.
fn faults(lab: &LabStatus) -> String {
    let one = |(node, fault): (&String, &Injected)| {
        let value = fault.value.as_ref().map(|value| match value {
            serde_json::Value::String(text) => format!(" {text}"),
            other => format!(" {other}"),
        });
        let text = format!("{node} {}{}", fault.fault, value.unwrap_or_default());
        format!("{} ({} of {})", print::escaped(text.as_bytes(), false), fault.left, fault.count)
    };
    let all = lab.injected.iter().flat_map(|(node, faults)| faults.iter().map(move |f| (node, f)));
    let all: Vec<String> = all.map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn table(out: &mut String, nodes: &[NodeStatus], colour: bool) {
    let heads = [
        "NODE",
        "STATE",
        "ADDRESS",
        "PID",
        "HEARTBEAT",
        "KEYS",
        "CACHE",
        "LOG",
        "SYNC",
        "UNDECIDED",
    ];
    let rows: Vec<[String; 10]> = nodes.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or_default()
    };
    let widths: [usize; 10] = std::array::from_fn(width);
    let mut write = |cells: &[String; 10], tint: Option<&'static str>| {
        let mut text = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let padded = format!("{cell:width$}", width = widths[column]);
            match tint.filter(|_| column == 1) {
                Some(tint) => text.push_str(&paint(padded, tint, colour)),
                None => text.push_str(&padded),
            }
            text.push_str("  ");
        }
        let _ = writeln!(out, "{}", text.trim_end());
    };
    write(&heads.map(String::from), None);
    for (row, node) in rows.iter().zip(nodes) {
        let tint = match node.state {
            NodeState::Up if !node.paused => GREEN,
            NodeState::Down | NodeState::Evicted => RED,
            _ => YELLOW,
        };
        write(row, Some(tint));
    }
}

fn row(node: &NodeStatus) -> [String; 10] {
    let dash = || "-".to_owned();
    let keys = match (node.keys_primary, node.keys_replica) {
        // It tells of itself, but of its keys it cannot yet.
        (None, None) if node.state == NodeState::Up => "counting".to_owned(),
        (None, None) => dash(),
        (primary, replica) => {
            format!("{}+{}", primary.unwrap_or_default(), replica.unwrap_or_default())
        }
    };
    [
        node.name.to_string(),
        state_text(node),
        node.addr.as_ref().map_or_else(dash, |addr| print::escaped(addr.as_bytes(), false)),
        node.pid.map_or_else(dash, |pid| pid.to_string()),
        node.heartbeat_age_ms.map_or_else(dash, |ms| format!("{} ago", time(ms))),
        keys,
        node.cache.as_ref().map_or_else(dash, answered),
        node.log_bytes.map_or_else(dash, size),
        node.fsync_us.map_or_else(dash, |us| format!("{us} us")),
        node.undecided.to_string(),
    ]
}

/// How many of its reads a cache has answered.
fn answered(cache: &CacheStatus) -> String {
    format!("{}/{}", cache.hits, cache.hits.saturating_add(cache.misses))
}

fn state_text(node: &NodeStatus) -> String {
    if node.paused { format!("{} (paused)", node.state) } else { node.state.to_string() }
}

fn state_colour(state: CoordinatorState) -> &'static str {
    if state == CoordinatorState::Active { GREEN } else { YELLOW }
}

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";

fn paint(text: String, tint: &str, colour: bool) -> String {
    if colour { format!("{tint}{text}\x1b[0m") } else { text }
}

fn line(out: &mut String, facts: &[String]) {
    let _ = writeln!(out, "{}", facts.join(" · "));
}

pub(crate) fn time(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Status {
        serde_json::from_str(text).unwrap()
    }

    fn healthy() -> Status {
        status(
            r#"{"cluster":{"nodes":2,"replicas":2,"name":"shop\u001b","evict_after_ms":10000},
            "coordinator":{"state":"active","epoch":3,"uptime_ms":61000},
            "nodes":[{"name":"n1","state":"up","addr":"127.0.0.1:4001","pid":12,"keys_primary":7,
                      "keys_replica":3,"heartbeat_age_ms":120,"log_bytes":20480,"fsync_us":90,
                      "cache":{"hits":3,"misses":2}},
                     {"name":"node-2","state":"up"}],
            "cache":{"sets":4096,"ways":8,"hits":5},"copies":{"2":10},
            "ops":{"total":{"get":{"ok":5,"not_found":1}}}}"#,
        )
    }

    #[test]
    fn a_healthy_cluster_is_shown_at_a_glance() {
        let expected = "\
cluster shop\\u{1b} · 2 nodes, 2 copies of each key
coordinator active · epoch 3 · up 61 s · ring 0.0

NODE    STATE  ADDRESS         PID  HEARTBEAT   KEYS      CACHE  LOG     SYNC   UNDECIDED
n1      up     127.0.0.1:4001  12   120 ms ago  7+3       3/5    20 KiB  90 us  0
node-2  up     -               -    -           counting  -      -       -      0

cache 4096 sets x 8 ways: 5 hits, 0 misses, 0 evictions
requests: get 6
all is well
";
        assert_eq!(render(&healthy(), false), expected);
        let mut summed = healthy();
        summed.cluster.placement = Placement::AsciiSum;
        summed.cluster.serial_updates = true;
        let shown = render(&summed, false);
        let words = "each key · placed by ascii-sum · one update at a time\ncoordinator active";
        assert!(shown.contains(words), "{shown}");
        let coloured = render(&healthy(), true);
        assert!(coloured.contains("\x1b[32mall is well\x1b[0m"));
        assert!(coloured.contains("n1      \x1b[32mup   \x1b[0m  127.0.0.1:4001"));
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        assert_eq!(missing(&healthy(), Goal::Healthy), None);
        let mut ill = healthy();
        ill.nodes[0].state = NodeState::Down;
        assert_eq!(missing(&ill, Goal::Ready), None);
        assert_eq!(missing(&ill, Goal::Healthy).as_deref(), Some("node n1 is down"));
        // The other one of two is no majority.
        assert!(advice(&ill).starts_with("node n1 is down: start n1 again; until then updates"));
        let third = r#"{"name":"n3","state":"up"}"#;
        ill.nodes.push(serde_json::from_str(third).unwrap());
        ill.cluster.nodes = 3;
        assert!(advice(&ill).starts_with("node n1 is down: start n1 again, or wait until others"));
        ill.nodes[2].state = NodeState::Joining;
        ill.nodes[2].id = Some(protocol::ids::Point(1));
        let mixed = "node n1 is down, n3 is joining: start n1 again; until then updates";
        assert!(advice(&ill).starts_with(mixed), "{}", advice(&ill));
        ill.nodes.truncate(2);
        ill.cluster.nodes = 2;
        ill.cluster.evict_after_ms = None;
        ill.nodes[0].paused = true;
        let paused = "node n1 is down (paused): let n1 go on with `piazza admin resume`; until";
        assert!(advice(&ill).starts_with(paused), "{}", advice(&ill));
        ill.nodes[0].paused = false;
        ill.cluster.replicas = 1;
        let alone = "start n1 again; until then keys that only it has are neither read nor";
        assert!(advice(&ill).contains(alone), "{}", advice(&ill));
        ill.cluster.replicas = 2;
        ill.nodes[0].state = NodeState::Suspect;
        assert!(advice(&ill).starts_with("node n1 is suspect: it is silent, or back and"));
        ill.nodes.remove(0);
        assert_eq!(missing(&ill, Goal::Healthy).as_deref(), Some("1 of 2 nodes are here"));
        let mut few = healthy();
        few.copies.insert(1, 4);
        few.copies.insert(0, 1);
        assert_eq!(
            missing(&few, Goal::Healthy).as_deref(),
            Some("5 keys have too few live copies")
        );
        few.copies_uncounted.push(few.nodes[1].name.clone());
        assert_eq!(
            missing(&few, Goal::Healthy).as_deref(),
            Some("at least 5 keys have too few live copies")
        );
        let mut starting = healthy();
        starting.coordinator.state = CoordinatorState::Recovering;
        assert_eq!(
            missing(&starting, Goal::Ready).as_deref(),
            Some("the coordinator is recovering")
        );
        assert!(advice(&starting).contains("piazza wait ready"));
    }

    #[test]
    fn changes_are_shown_and_who_has_no_place_is_no_trouble() {
        let mut moving = healthy();
        let changes = r#"[{"change":"c1","action":"evict","node":"n9","state":"done"},
            {"change":"c2","action":"remove","node":"node-2","state":"running","keys_done":3,
             "keys_total":9,"bytes_done":70},
            {"change":"c3","action":"add","state":"waiting","reason":"none is there"}]"#;
        moving.changes = serde_json::from_str(changes).unwrap();
        moving.nodes[1].state = NodeState::Leaving;
        let text = render(&moving, false);
        assert!(
            text.contains("change c2 (remove node-2): 3 of 9 keys copied, 70 B, 6 left\n"),
            "{text}"
        );
        assert!(text.contains("change c3 (add): waits: none is there\n"), "{text}");
        assert!(!text.contains("c1"), "{text}");
        assert!(text.contains("node node-2 is leaving: it gives away what it has"), "{text}");
        moving.nodes[1].state = NodeState::Joining;
        moving.nodes[1].id = Some(protocol::ids::Point(1));
        assert!(advice(&moving).starts_with("node node-2 is joining: it learns"));
        moving.nodes[1].state = NodeState::Up;
        assert_eq!(advice(&moving), "remove (c2) is under way: wait with `piazza wait healthy`");
        moving.changes.remove(1);
        let waits = "add (c3) is under way: none is there; take it back with `piazza admin cancel";
        assert!(advice(&moving).starts_with(waits), "{}", advice(&moving));

        let mut spare = healthy();
        let more = r#"[{"name":"n3","state":"evicted"},{"name":"n4","state":"joining"}]"#;
        let more: Vec<NodeStatus> = serde_json::from_str(more).unwrap();
        spare.nodes.extend(more);
        assert_eq!(missing(&spare, Goal::Healthy), None);
        let expected = "all is well; others have the place of n3, to be had back by starting \
                        it again; n4 can be added: piazza admin add";
        assert_eq!(advice(&spare), expected);
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!([9_999, 10_000, 7_200_000].map(time), ["9999 ms", "10 s", "2 h"]);
        assert_eq!([10, 10_240, 1 << 30].map(size), ["10 B", "10 KiB", "1024 MiB"]);
    }
}
