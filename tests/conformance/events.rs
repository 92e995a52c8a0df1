//! `subscribe` while all is well: what comes first, what comes when, and with which fields.

use serde_json::{Value, json};

use super::servers::{counts, has};
use super::talk::Talk;
use super::{Site, checks};

checks! {
    651 the_first_event_is_how_things_are
        "`subscribe` | section 6 | then events; other ops stay allowed",
        "Envelope: `event`, `seq` (per source; a gap is a loss), `source` (`coordinator`/",
        "`epoch`, `at_us` (the source's monotonic clock), `wall_ms`",
        "First comes `snapshot {status, txns_open, transfers, incidents_open, admin_recent}`"
    652 topics_are_chosen
        "topics `member heartbeat coordinator ring txn stats cache admin`"
    653 what_is_asked_wrongly_is_refused
        "`subscribe {topics, max_per_s (default 1000), server, sets:[first,count<=64], set, tx, only:{node,key_prefix,outcome,slower_us}}`"
    654 a_second_subscribe_replaces_the_first
        "A second `subscribe` on a connection replaces the first"
    655 heartbeats_tell_how_nodes_are
        "heartbeat: `heartbeat {node,incarnation,hb_seq,interval_ms,delay_us,uptime_ms,fsync_us,undecided,undecided_oldest_ms,keys_primary,keys_replica,log_bytes,reads,writes,cache:{hits,misses,evictions,second_chances},rss_bytes,cpu_us}`"
    656 figures_come_twice_a_second
        "stats, every 500 ms: `stats {ops,latency_us,phases_us,in_flight,oldest_ms,batches,batch_txns_p50,per_node,conns,subscribers,dropped}`"
    657 a_finished_transaction_is_told
        "txn: one event per finished transaction",
        "`txn {tx,op,keys,key,conn,outcome,reason,waited_for,us_total,us:{queued,batch_formed,prepare_sent,last_vote,cache,answered},batch_txns,votes:[{node,role,vote:yes|no|none|lost,sent_us,recv_us,node_us:{queue,append,sync}}],decides:[{node,sent_us,confirmed_us}]}`",
        "Times at nodes are durations, the coordinator's are offsets: no shared clock",
        "Events carry keys, never values"
    658 transactions_are_sampled
        "(sampled to `max_per_s`"
    659 conditions_leave_out_the_others
        "only:{node,key_prefix,outcome,slower_us}"
    660 caches_are_counted
        "cache: `cache_totals` for all servers, 1/s"
    661 a_window_of_sets_is_shown
        "for the watched window only, 4/s: `cache_sets {server,sets:[{set,valid,ref,hand,hits,misses,evictions,second_chances}]}` (bitmaps in hex)",
        "for the watched set `cache_set {server,set,ways:[{way,key,version,age_ms,hits,ref,bytes}],hand,next_victim}`"
    662 there_are_16_subscribers
        "subscribers 16",
        "`subscribe` | section 6 | then events; other ops stay allowed | `overloaded`",
        "`overloaded`, `timeout` | `retry_after_ms` | refused before anything was written | safe, later"
}

/// Lines to read until the one that is waited for, at most.
const LINES_MAX: usize = 20_000;
/// How long an event is waited for, by the server's clock.
const WAIT_US_MAX: u64 = 60_000_000;

/// A connection that has subscribed.
pub(super) struct Events {
    pub(super) talk: Talk,
    seq: u64,
    at_us: u64,
    /// All that came since [`Events::forget`].
    pub(super) heard: Vec<Value>,
}

impl Events {
    /// Subscribes; the first event, which is held to what it must be.
    pub(super) fn open(site: &Site, request: &Value) -> (Self, Value) {
        let mut request = request.clone();
        request["op"] = json!("subscribe");
        let mut talk = site.open();
        talk.ok(&request);
        let mut events = Self { talk, seq: 0, at_us: 0, heard: Vec::new() };
        let first = events.next();
        assert_eq!((&first["event"], events.seq), (&json!("snapshot"), 1), "{first}");
        (events, first)
    }

    /// The next event, held to what all of them must be.
    pub(super) fn next(&mut self) -> Value {
        let line = self.talk.line();
        let event: Value = serde_json::from_str(&line).expect("a line that is JSON");
        assert!(event["event"].is_string() && event.get("ok").is_none(), "{line}");
        assert_eq!(event["source"], "coordinator", "{line}");
        counts(&event, "seq epoch at_us wall_ms");
        let number = |name: &str| event[name].as_u64().unwrap_or_default();
        assert_eq!(number("seq"), self.seq + 1, "nothing is lost by who keeps up: {line}");
        assert!(number("at_us") >= self.at_us, "a monotonic clock: {line}");
        assert!(event["cause"].as_u64().is_none_or(|cause| cause < number("seq")), "{line}");
        (self.seq, self.at_us) = (number("seq"), number("at_us"));
        self.heard.push(event.clone());
        event
    }

    /// The first that `is` so, of what was heard or is yet to come.
    pub(super) fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(event) = self.heard.iter().find(|event| is(event)) {
            return event.clone();
        }
        let begin_us = self.at_us;
        while self.at_us < begin_us + WAIT_US_MAX {
            let event = self.next();
            if is(&event) {
                return event;
            }
        }
        panic!(
            "{what} did not come; the last: {:?}",
            self.heard.iter().rev().take(9).collect::<Vec<_>>()
        );
    }

    /// The next of its kind; what came before it is kept.
    fn of_kind_kept(&mut self, kind: &str) {
        while self.next()["event"] != kind {}
    }

    fn of_kind(&mut self, kind: &str) -> Value {
        self.heard.clear();
        self.until(kind, |event| event["event"] == kind)
    }
}

fn the_first_event_is_how_things_are(site: &Site) {
    let (mut events, first) = Events::open(site, &json!({"id": "s"}));
    has(&first["status"], "cluster coordinator ring nodes cache ops txns copies keys_in_doubt");
    for list in ["txns_open", "transfers", "incidents_open", "admin_recent"] {
        assert!(first[list].is_array(), "{list}: {first}");
    }
    for _ in 0..20 {
        events.next();
    }
    // The answers to other requests come among the events.
    events.talk.send("{\"op\":\"get\",\"key\":\"conformance\",\"id\":\"among\"}\n");
    for _ in 0..LINES_MAX {
        let line = events.talk.line();
        if line.contains("\"id\":\"among\"") {
            return;
        }
        assert!(line.starts_with("{\"event\":"), "{line}");
    }
    panic!("other requests are not answered");
}

fn topics_are_chosen(site: &Site) {
    for topic in "member heartbeat coordinator ring txn stats cache admin".split(' ') {
        let answer = site.open().ok(&json!({"op": "subscribe", "topics": [topic]}));
        assert_eq!(answer["topics"], json!([topic]));
    }
    let key = site.key();
    let (mut events, _) = Events::open(site, &json!({"topics": ["heartbeat", "txn"]}));
    site.open().ok(&json!({"op": "put", "key": key, "value": "1"}));
    events.until("the update", |event| event["event"] == "txn" && event["key"] == key);
    for _ in 0..6 {
        events.next();
    }
    let other = events.heard.iter().skip(1).find(|event| {
        let kind = event["event"].as_str().unwrap_or_default();
        !["heartbeat", "heartbeat_missed", "txn", "txn_open"].contains(&kind)
    });
    assert_eq!(other, None, "of a topic that was not asked for");
}

fn what_is_asked_wrongly_is_refused(site: &Site) {
    let mut talk = site.open();
    let all = r#"{"op":"subscribe","topics":["admin"],"max_per_s":5,"server":"n1","sets":[0,64],"set":3,"tx":"1.1","only":{"node":"n1","key_prefix":"a","outcome":"aborted","slower_us":9}}"#;
    assert_eq!(talk.ask(all)["max_per_s"], 5);
    let quiet = json!({"op": "subscribe", "topics": ["admin"]});
    assert_eq!(site.open().ok(&quiet)["max_per_s"], 1_000);
    let mut talk = site.open();
    for (wrong, field) in [
        (r#""topics":["dance"]"#, "topics[0]"),
        (r#""topics":"txn""#, "topics"),
        (r#""max_per_s":"5""#, "max_per_s"),
        (r#""sets":[0,65]"#, "sets"),
        (r#""sets":[0,0]"#, "sets"),
        (r#""sets":[0]"#, "sets"),
        (r#""set":-1"#, "set"),
        (r#""tx":"x""#, "tx"),
        (r#""only":[]"#, "only"),
        (r#""colour":1"#, "colour"),
    ] {
        talk.bad(format!(r#"{{"op":"subscribe",{wrong}}}"#), field);
        talk.lives();
    }
    let answer = talk.refused(r#"{"op":"subscribe","only":{"colour":1}}"#, "bad_request");
    assert!(answer["field"].as_str().is_some_and(|field| field.contains("colour")), "{answer}");
}

fn a_second_subscribe_replaces_the_first(site: &Site) {
    let (mut events, _) = Events::open(site, &json!({"topics": ["stats"]}));
    events.until("figures", |event| event["event"] == "stats");
    events.talk.send("{\"op\":\"subscribe\",\"topics\":[\"heartbeat\"],\"id\":\"second\"}\n");
    while !events.talk.line().contains("\"id\":\"second\"") {}
    for at in 0..8 {
        let line = events.talk.line();
        let kind = if at == 0 { "{\"event\":\"snapshot\"" } else { "{\"event\":\"heartbeat" };
        assert!(line.starts_with(kind), "{line}");
    }
}

fn heartbeats_tell_how_nodes_are(site: &Site) {
    let (mut events, _) = Events::open(site, &json!({"topics": ["heartbeat"]}));
    let first = events.of_kind("heartbeat");
    counts(&first, "incarnation hb_seq interval_ms delay_us uptime_ms fsync_us undecided");
    counts(&first, "undecided_oldest_ms keys_primary keys_replica log_bytes reads writes");
    counts(&first, "rss_bytes cpu_us");
    counts(&first["cache"], "hits misses evictions second_chances");
    let next = events.next_of(&first);
    let number = |event: &Value, name: &str| event[name].as_u64().expect("a number");
    assert_eq!(number(&next, "hb_seq"), number(&first, "hb_seq") + 1, "{next}");
    assert!(number(&next, "uptime_ms") > number(&first, "uptime_ms"), "{next}");
    assert!(number(&first, "rss_bytes") > 1 << 20 && number(&first, "cpu_us") > 0, "{first}");
    let status = site.status();
    let mut nodes = status["nodes"].as_array().expect("a list").iter();
    let node = nodes.find(|node| node["name"] == first["node"]).expect("a node of the cluster");
    assert_eq!(node["incarnation"], first["incarnation"]);
    assert_eq!(status["cluster"]["heartbeat_ms"], first["interval_ms"]);
}

impl Events {
    /// The next heartbeat of the same node.
    fn next_of(&mut self, heartbeat: &Value) -> Value {
        self.heard.clear();
        self.until("its next", |event| event["node"] == heartbeat["node"])
    }
}

fn figures_come_twice_a_second(site: &Site) {
    let (mut events, _) = Events::open(site, &json!({"topics": ["stats"]}));
    let (mut talk, key) = (site.open(), site.key());
    let mut figures = || {
        talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
        events.of_kind("stats")
    };
    let stats: Vec<Value> = (0..6).map(|_| figures()).collect();
    let at_us = |event: &Value| event["at_us"].as_u64().expect("a number");
    let mut gaps: Vec<u64> = stats.windows(2).map(|two| at_us(&two[1]) - at_us(&two[0])).collect();
    gaps.sort_unstable();
    assert!((250_000..900_000).contains(&gaps[2]), "gaps of {gaps:?} us");
    let last = &stats[5];
    counts(last, "in_flight oldest_ms batches batch_txns_p50 conns subscribers dropped");
    assert!(last["ops"]["put"]["ok"].as_u64() > Some(0), "{last}");
    let update = stats.iter().find(|event| event["latency_us"]["update"].is_object());
    let update = update.unwrap_or_else(|| panic!("no figures of the update: {stats:?}"));
    counts(&update["latency_us"]["update"], "count p50 p99 max");
    assert!(update["phases_us"].is_object(), "{update}");
    assert!(last["conns"].as_u64() > Some(0) && last["subscribers"].as_u64() > Some(0), "{last}");
    let status = site.status();
    for node in status["nodes"].as_array().expect("a list") {
        let name = node["name"].as_str().expect("a name");
        assert!(last["per_node"][name].is_object(), "{name}: {last}");
    }
}

fn a_finished_transaction_is_told(site: &Site) {
    let key = site.key();
    let (mut events, _) =
        Events::open(site, &json!({"topics": ["txn", "stats"], "only": {"key_prefix": key}}));
    let (mut talk, value) = (site.open(), "never-to-be-seen-in-an-event");
    let version = talk.ok(&json!({"op": "put", "key": key, "value": value}))["version"].clone();
    let txn = events.until("the update", |event| event["tx"] == version);
    assert_eq!(
        (&txn["event"], &txn["op"], &txn["key"]),
        (&json!("txn"), &json!("put"), &json!(key))
    );
    assert_eq!((&txn["keys"], &txn["outcome"]), (&json!(1), &json!("committed")), "{txn}");
    counts(&txn, "conn us_total batch_txns");
    let us = |name: &str| txn["us"][name].as_u64().unwrap_or_else(|| panic!("{name}: {txn}"));
    let phases = "queued batch_formed prepare_sent last_vote cache answered";
    assert!(phases.split(' ').map(us).is_sorted(), "{txn}");
    let votes = txn["votes"].as_array().expect("a list");
    assert_eq!(votes.len() as u64, site.status()["cluster"]["replicas"].as_u64().expect("some"));
    assert_eq!(votes.iter().filter(|vote| vote["role"] == "primary").count(), 1, "{txn}");
    for vote in votes {
        assert!(vote["node"].is_string() && vote["vote"] == "yes", "{txn}");
        counts(vote, "sent_us recv_us");
        counts(&vote["node_us"], "queue append sync");
        let node_us: u64 =
            ["queue", "append", "sync"].iter().filter_map(|d| vote["node_us"][d].as_u64()).sum();
        let away_us = vote["recv_us"].as_u64().zip(vote["sent_us"].as_u64()).map(|(r, s)| r - s);
        // Each clock has microseconds of its own.
        assert!(Some(node_us) <= away_us.map(|us| us + 1_000), "durations within offsets: {txn}");
    }
    let decides = txn["decides"].as_array().expect("a list");
    assert_eq!(decides.len(), votes.len(), "{txn}");
    decides.iter().for_each(|decide| counts(decide, "sent_us"));

    // One behind another names it; one that is refused says why.
    let put = |at| json!({"op": "put", "key": key, "value": format!("{value}{at}")});
    for round in 0.. {
        let answers = talk.ask_all(&(0..50).map(put).collect::<Vec<_>>());
        let versions: Vec<&Value> = answers.iter().map(|answer| &answer["version"]).collect();
        let last = versions[49];
        events.until("the last of many", |event| event["tx"] == *last);
        if events.heard.iter().any(|event| versions.contains(&&event["waited_for"])) {
            break;
        }
        assert!(round < 20, "none of many updates of a key waited for another");
    }
    let absent = json!({"op": "put", "key": key, "value": value, "if_absent": true});
    talk.refused(absent.to_string(), "exists");
    let refused = events.until("the refusal", |event| event["outcome"] == "refused");
    assert_eq!((&refused["reason"], &refused["tx"]), (&json!("exists"), &Value::Null), "{refused}");
    let all = format!("{:?}", events.heard);
    assert!(all.contains(&key) && !all.contains(value), "a value is in an event");
}

fn transactions_are_sampled(site: &Site) {
    let key = site.key();
    let few = json!({"topics": ["txn", "stats"], "max_per_s": 10, "only": {"key_prefix": key}});
    let (mut events, first) = Events::open(site, &few);
    let mut talk = site.open();
    // One after the other: what has to wait is slow, and told always.
    let puts: Vec<Value> = (0..120)
        .map(|at| json!({"op": "put", "key": format!("{key}{at}"), "value": "1"}))
        .collect();
    puts.iter().for_each(|put| drop(talk.ok(put)));
    for at in 0..3 {
        let del = json!({"op": "del", "key": format!("{key}none{at}")});
        talk.refused(del.to_string(), "not_found");
    }
    // Those that are committed are told within a quarter of a second; longer than that.
    for _ in 0..4 {
        events.of_kind_kept("stats");
    }
    let us = |event: &Value| event["at_us"].as_u64().expect("a number");
    let seconds = 1 + (us(events.heard.last().expect("some")) - us(&first)) / 1_000_000;
    let told: Vec<&Value> =
        events.heard.iter().filter(|event| event["outcome"] == "committed").collect();
    let quick =
        told.iter().filter(|event| event["us_total"].as_u64() < Some(20_000)).count() as u64;
    assert!(!told.is_empty() && quick <= 20 * seconds, "{quick} of 120 in {seconds} s");
}

fn conditions_leave_out_the_others(site: &Site) {
    let key = site.key();
    let (ours, other) = (format!("{key}ours/"), format!("{key}other/"));
    let mut talk = site.open();
    let node = site.status()["nodes"][0]["name"].clone();
    let only = json!({"topics": ["heartbeat"], "only": {"node": node}});
    let (mut beats, _) = Events::open(site, &only);
    let slow = json!({"topics": ["txn"], "only": {"key_prefix": ours, "slower_us": 50_000_000}});
    let (mut slow, _) = Events::open(site, &slow);
    let refused = json!({"topics": ["txn"], "only": {"key_prefix": ours, "outcome": "refused"}});
    let (mut refused, _) = Events::open(site, &refused);
    let (mut prefix, _) =
        Events::open(site, &json!({"topics": ["txn"], "only": {"key_prefix": ours}}));
    for key in [&other, &ours, &other] {
        talk.ok(&json!({"op": "put", "key": key, "value": "1"}));
    }
    talk.refused(json!({"op": "del", "key": format!("{ours}none")}).to_string(), "not_found");
    // What is committed is told when its nodes have confirmed it, what is refused at once.
    let mut outcomes = [(); 2].map(|()| {
        let event = prefix.next();
        assert!(event["key"].as_str().is_some_and(|key| key.starts_with(&ours)), "{event}");
        event["outcome"].to_string()
    });
    outcomes.sort();
    assert_eq!(outcomes, ["\"committed\"", "\"refused\""]);
    assert_eq!(refused.next()["outcome"], "refused", "nothing of another outcome");
    for _ in 0..3 {
        assert_eq!(beats.next()["node"], node);
    }
    // Nothing at all was so slow: what is asked next is answered next.
    slow.talk.lives();
    prefix.talk.lives();
}

fn caches_are_counted(site: &Site) {
    let (mut events, _) = Events::open(site, &json!({"topics": ["cache"]}));
    let totals: Vec<Value> = (0..4).map(|_| events.of_kind("cache_totals")).collect();
    let at_us = |event: &Value| event["at_us"].as_u64().expect("a number");
    let mut gaps: Vec<u64> = totals.windows(2).map(|two| at_us(&two[1]) - at_us(&two[0])).collect();
    gaps.sort_unstable();
    assert!((600_000..1_800_000).contains(&gaps[1]), "gaps of {gaps:?} us");
    let servers = totals[3]["servers"].as_array().expect("a list");
    assert_eq!(servers.len(), 1 + site.status()["nodes"].as_array().expect("a list").len());
    for server in servers {
        assert!(server["server"].is_string(), "{server}");
        counts(server, "sets ways hits misses evictions");
    }
    assert!(events.heard.iter().all(|event| event["event"] == "cache_totals"), "nobody looks");
}

fn a_window_of_sets_is_shown(site: &Site) {
    let (mut talk, key) = (site.open(), site.key());
    let version = talk.ok(&json!({"op": "put", "key": key, "value": "1"}))["version"].clone();
    for _ in 0..3 {
        talk.ok(&json!({"op": "get", "key": key}));
    }
    let place = talk.ok(&json!({"op": "locate", "key": key}));
    let set = place["set"].as_u64().expect("a set");
    let server = site.status()["coordinator"]["name"].clone();
    let first = set.min(site.status()["cache"]["sets"].as_u64().expect("sets") - 4);
    let window = json!({"topics": ["cache"], "server": server, "sets": [first, 4], "set": set});
    let (mut events, _) = Events::open(site, &window);
    let sets = events.of_kind("cache_sets");
    assert_eq!(sets["server"], server, "{sets}");
    let rows = sets["sets"].as_array().expect("a list");
    assert!(rows.len() == 4 && rows[0]["set"] == first, "{sets}");
    for row in rows {
        counts(row, "set hand hits misses evictions second_chances");
        for bits in ["valid", "ref"] {
            let hex = row[bits].as_str().map(|hex| u64::from_str_radix(hex, 16));
            assert!(matches!(hex, Some(Ok(_))), "{bits}: {row}");
        }
    }
    let row = &rows[usize::try_from(set - first).expect("a number")];
    let valid = u64::from_str_radix(row["valid"].as_str().expect("hex"), 16).expect("hex");
    let way = place["way"].as_u64().expect("it is cached");
    assert!(valid >> way & 1 == 1, "way {way}: {row}");

    let close = events.of_kind("cache_set");
    assert_eq!((&close["server"], &close["set"]), (&server, &json!(set)), "{close}");
    counts(&close, "hand next_victim");
    let ways = close["ways"].as_array().expect("a list");
    let ours = ways.iter().find(|way| way["key"] == key).expect("our key");
    counts(ours, "way age_ms hits bytes");
    assert!(ours["ref"].is_boolean() && ours["version"] == version, "{ours}");
    assert!(ours["hits"].as_u64() >= Some(2) && ours["way"] == way, "{ours}");
    let sets: Vec<Value> = (0..4).map(|_| events.of_kind("cache_sets")).collect();
    let at_us = |event: &Value| event["at_us"].as_u64().expect("a number");
    let mut gaps: Vec<u64> = sets.windows(2).map(|two| at_us(&two[1]) - at_us(&two[0])).collect();
    gaps.sort_unstable();
    assert!((120_000..450_000).contains(&gaps[1]), "gaps of {gaps:?} us");
}

fn there_are_16_subscribers(site: &Site) {
    let quiet = json!({"op": "subscribe", "topics": ["admin"]});
    let mut held = Vec::new();
    let refused = loop {
        let mut talk = site.open();
        let answer = talk.ask(quiet.to_string());
        if answer["ok"] != true {
            talk.lives();
            break answer;
        }
        // Events come before other answers; it is held and asked nothing more.
        held.push(talk);
        assert!(held.len() <= 16, "more than 16 subscribers");
    };
    assert_eq!(refused["code"], "overloaded", "{refused}");
    assert!(refused["retry_after_ms"].as_u64() > Some(0), "{refused}");
    // Others of this machine may have some places; those that ended may still hold theirs.
    assert!(site.own.is_none() || held.len() >= 12, "{} subscribers", held.len());
}
