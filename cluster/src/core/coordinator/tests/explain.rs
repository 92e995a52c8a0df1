//! `explain`: the way that a request would take, and the one that it took.

use protocol::reply::{ExplainReply, Refusal, Step, StepName, decode_explained, write_reply};

use super::*;
use crate::core::coordinator::{CacheLook, ExplainOp, Explainable, Seen};

/// How long the connection took to understand a request, microseconds.
const PARSE_US: u64 = 7;
/// How long a reply takes.
const REPLY_US: u64 = 3;

impl World {
    fn explain_as(&mut self, of: Explainable, run: bool, look: CacheLook) -> ClientId {
        let began = Time(self.now.0 - PARSE_US);
        let seen = Seen { began, parsed: self.now, look };
        self.request(0, 1, ClientOp::Explain(Box::new(ExplainOp { of, run, seen })), 5_000)
    }

    fn explain(&mut self, of: Explainable, run: bool) -> ClientId {
        self.explain_as(of, run, CacheLook::None)
    }

    fn explain_put(&mut self, at: &Key, run: bool) -> ClientId {
        self.explain(put(at), run)
    }

    /// What a client was told, its reply made a little later.
    fn explained(&self, client: ClientId) -> Result<ExplainReply, Refusal> {
        let Some(Answer::Explained(explained)) = self.answer(client) else {
            panic!("{:?}", self.answer(client));
        };
        let (code, tail) = explained.clone().finish(self.now.plus_us(REPLY_US));
        let mut line = Vec::new();
        write_reply(&mut line, None, code.is_none(), &tail);
        decode_explained(&line).expect("a reply")
    }

    /// The steps of a request that is not carried out.
    fn plan(&mut self, of: Explainable) -> Vec<Step> {
        let client = self.explain(of, false);
        let explained = self.explained(client).expect("a plan is never refused");
        assert_eq!((explained.total_us, explained.version), (None, None));
        assert!(explained.steps.iter().all(|step| step.us.is_none()));
        explained.steps
    }

    fn name_at(&self, node: usize) -> String {
        format!("n{}", node + 1)
    }
}

fn get(at: &Key) -> Explainable {
    Explainable::Get(at.clone())
}

fn put(at: &Key) -> Explainable {
    Explainable::Update(Update::put(at.clone(), Value::from("v")))
}

fn update(at: &Key) -> Explainable {
    Explainable::Update(Update::put_existing(at.clone(), Value::from("v")))
}

/// Names and places, each name as it stands on the wire.
fn shape(steps: &[Step]) -> Vec<String> {
    let name = |name: StepName| serde_json::to_string(&name).expect("a name").replace('"', "");
    steps.iter().map(|step| format!("{}@{}", name(step.name), step.place)).collect()
}

fn note(steps: &[Step], name: StepName) -> &str {
    steps.iter().find(|step| step.name == name).map_or("no such step", |step| &step.note)
}

fn us_of(steps: &[Step], name: StepName, place: &str) -> Option<u64> {
    let step = steps.iter().find(|step| step.name == name && step.place == place);
    step.unwrap_or_else(|| panic!("no {name:?} at {place} in {steps:?}")).us
}

/// The coordinator's times, with the slowest node's of those that go on together, are the whole.
fn adds_up(explained: &ExplainReply) {
    let mut sum = 0;
    for run in
        explained.steps.chunk_by(|a, b| (a.place == "coordinator") == (b.place == "coordinator"))
    {
        let branches = run.chunk_by(|a, b| a.place == b.place || a.place == "coordinator");
        let us = |steps: &[Step]| steps.iter().filter_map(|step| step.us).sum::<u64>();
        sum += branches.map(us).max().unwrap_or(0);
    }
    assert_eq!(Some(sum), explained.total_us, "{explained:?}");
}

#[test]
fn a_plan_of_a_get_says_whether_and_which_node_is_asked() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(2, &at, "v1");
    world.advance(200);
    let steps = world.plan(get(&at));
    assert_eq!(
        shape(&steps),
        ["parse", "cache_lookup", "reply"].map(|s| format!("{s}@coordinator"))
    );
    let (set, way) = world.sides[0].core.cache.place(at.as_str());
    let place = format!("set {set}, way {}", way.expect("it is cached"));
    assert!(note(&steps, StepName::CacheLookup).contains(&place), "{steps:?}");
    world.forget(&at);
    let [first, second] = [0, 1].map(|place| world.holders(&at)[place]);
    let steps = world.plan(get(&at));
    let read = format!("node_read@{}", world.name_at(first));
    assert_eq!(shape(&steps)[3], read, "{steps:?}");
    assert_eq!(note(&steps, StepName::NodeRead), "the primary, and up");
    let stats = world.sides[0].core.cache.stats();
    world.crash(first);
    world.run();
    let steps = world.plan(get(&at));
    assert_eq!(shape(&steps)[3], format!("node_read@{}", world.name_at(second)));
    assert!(note(&steps, StepName::NodeRead).contains("the primary, is "), "{steps:?}");
    assert_eq!(world.sides[0].core.cache.stats(), stats, "nothing is looked at for good");
    world.crash(second);
    world.run();
    let steps = world.plan(get(&at));
    assert!(note(&steps, StepName::Reply).contains("`unavailable`"), "{steps:?}");
}

#[test]
fn a_plan_of_an_update_names_all_who_take_part() {
    let mut world = World::founded();
    let at = world.some_key();
    let [first, second] = [0, 1].map(|place| world.name_at(world.holders(&at)[place]));
    let votes = |node: &str| {
        ["prepare", "append", "sync", "vote"].map(|name| format!("{name}@{node}")).to_vec()
    };
    let here =
        |names: &[&str]| names.iter().map(|name| format!("{name}@coordinator")).collect::<Vec<_>>();
    let plan = world.plan(put(&at));
    let rest = [votes(&first), votes(&second), here(&["cache_update", "reply"])].concat();
    assert_eq!(shape(&plan), [here(&["parse", "queue", "batch"]), rest.clone()].concat());
    assert!(note(&plan, StepName::Prepare).contains("K=2"));
    let plan = world.plan(update(&at));
    let tested = [here(&["parse", "cache_lookup"]), vec![format!("node_read@{first}")]].concat();
    assert_eq!(shape(&plan), [tested, here(&["queue", "batch"]), rest].concat());
    world.run();
    assert_eq!(world.value(world.holders(&at)[0], &at), None, "nothing was done");
    let node = world.holders(&at)[1];
    world.crash(node);
    world.run();
    let plan = world.plan(put(&at));
    assert_eq!(shape(&plan), here(&["parse", "reply"]));
    let why = note(&plan, StepName::Reply);
    assert!(why.starts_with(&second) && why.contains("`replica_down`"), "{why}");
}

#[test]
fn a_plan_shows_what_is_before_it() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.extend(0..3);
    world.put(2, &at, "v1");
    world.put(3, &at, "v2");
    world.run();
    let plan = world.plan(update(&at));
    assert!(note(&plan, StepName::Queue).contains("2 updates"), "{plan:?}");
    assert!(note(&plan, StepName::Batch).contains("the batch before"), "{plan:?}");
    assert!(!plan.iter().any(|step| step.name == StepName::NodeRead), "{plan:?}");
    world.put(1, &at, "v3");
    let plan = world.plan(get(&at));
    assert!(note(&plan, StepName::Queue).contains("earlier requests"), "{plan:?}");
    world.put_once(0, 1, &at, "v4", "first");
    world.mute.clear();
    world.run();
    let op = ExplainOp {
        of: put(&at),
        run: false,
        seen: Seen { began: world.now, parsed: world.now, look: CacheLook::None },
    };
    for (value, told) in [("v4", "nothing is done"), ("v5", "`bad_request`")] {
        world.slots += 1;
        let client = ClientId { conn: 5, slot: world.slots };
        let (op, once) = (ClientOp::Explain(Box::new(op.clone())), Some(name("first", value)));
        world.tell(0, Input::Request { client, op, once, timeout_ms: 5_000 });
        let steps = world.explained(client).expect("a plan").steps;
        assert!(note(&steps, StepName::Reply).contains(told), "{value}: {steps:?}");
    }
}

#[test]
fn an_update_is_carried_out_and_its_times_add_up() {
    let mut world = World::founded();
    let at = world.some_key();
    let id = world.next_id();
    world.slow.extend(0..3);
    let client = world.explain_put(&at, true);
    world.run();
    world.now = world.now.plus_us(500);
    world.slow.clear();
    world.run();
    let explained = world.explained(client).expect("it is committed");
    assert_eq!(explained.version, Some(id));
    assert_eq!(explained.total_us, Some(PARSE_US + 500 + REPLY_US));
    adds_up(&explained);
    let steps = &explained.steps;
    assert_eq!(us_of(steps, StepName::Parse, "coordinator"), Some(PARSE_US));
    assert_eq!(us_of(steps, StepName::Batch, "coordinator"), Some(0));
    for node in world.holders(&at).into_iter().map(|node| world.name_at(node)) {
        let names = [StepName::Prepare, StepName::Append, StepName::Sync, StepName::Vote];
        let us = names.map(|name| us_of(steps, name, &node));
        assert_eq!(us, [Some(490), Some(3), Some(7), Some(0)], "{node}");
    }
    let nodes: Vec<&str> = explained.nodes.iter().map(|node| node.as_str()).collect();
    let holders = world.holders(&at);
    assert_eq!(nodes, [world.name_at(holders[0]), world.name_at(holders[1])]);
    world.advance(200);
    assert_eq!(world.value(holders[0], &at), Some(Value::from("v")));
}

#[test]
fn only_what_is_explained_is_timed_and_followed() {
    let mut world = World::founded();
    let at = world.some_key();
    let timed = |world: &World| {
        let cores = world.nodes.iter().filter_map(|node| node.core.as_ref());
        cores.filter(|core| core.is_timed()).count()
    };
    world.put(2, &at, "v1");
    world.run();
    assert_eq!(timed(&world), 0);
    world.mute.extend(0..3);
    world.explain_put(&at, true);
    let other = world.some_other_key(&at);
    world.put(3, &other, "v1");
    world.run();
    assert_eq!(timed(&world), 2);
    let traced = world.sides[0].core.txns.values().filter(|txn| txn.trace.is_some()).count();
    assert_eq!(traced, 1);
    world.mute.clear();
    world.run();
    world.put(2, &at, "v2");
    world.run();
    assert_eq!(timed(&world), 0);
    assert!(world.sides[0].core.explains.is_empty() && world.heard().is_empty());
}

#[test]
fn a_get_is_carried_out_and_says_who_has_answered() {
    let mut world = World::founded();
    let at = world.some_key();
    let put = world.put(2, &at, "v1");
    world.advance(200);
    assert!(is_ok(world.answer(put)));
    world.forget(&at);
    let first = world.holders(&at)[0];
    for from in ["its keystore", "its cache"] {
        let miss = CacheLook::Miss(world.now);
        let client = world.explain_as(get(&at), true, miss);
        world.now = world.now.plus_us(100);
        world.run();
        let explained = world.explained(client).expect("it is there");
        adds_up(&explained);
        assert_eq!(us_of(&explained.steps, StepName::NodeRead, &world.name_at(first)), Some(100));
        assert!(note(&explained.steps, StepName::NodeRead).ends_with(from), "{explained:?}");
        assert!(note(&explained.steps, StepName::CacheUpdate).contains("has it"));
        assert!(explained.version.is_some());
        world.sides[0].core.cache.remove(at.as_str());
    }
    let absent = world.some_other_key(&at);
    let client = world.explain(get(&absent), true);
    world.run();
    let refusal = world.explained(client).expect_err("there is no such key");
    assert_eq!(refusal.error.code, ErrorCode::NotFound);
    let explained = refusal.explained.expect("the way that it took");
    adds_up(&explained);
    let steps = shape(&explained.steps);
    assert!(!steps.contains(&"cache_update@coordinator".into()), "{steps:?}");
}

#[test]
fn a_hit_of_the_connection_is_told_as_it_was() {
    let mut world = World::founded();
    let at = world.some_key();
    world.put(2, &at, "v1");
    world.run();
    let version = world.sides[0].core.cached_version(&at).expect("it is cached");
    let (at_us, replied) = (world.now.plus_us(2), world.now.plus_us(5));
    let look = CacheLook::Hit { at: at_us, version, replied };
    let client = world.explain_as(get(&at), true, look);
    let explained = world.explained(client).expect("a hit");
    let us: Vec<_> = explained.steps.iter().map(|step| step.us).collect();
    assert_eq!(us, [Some(PARSE_US), Some(2), Some(3)]);
    assert_eq!((explained.total_us, explained.version), (Some(PARSE_US + 5), Some(version)));
}

#[test]
fn what_is_refused_tells_how_far_it_came() {
    let mut world = World::founded();
    let at = world.some_key();
    let client = world.explain(update(&at), true);
    world.run();
    let refusal = world.explained(client).expect_err("there is no such key");
    assert_eq!(refusal.error.code, ErrorCode::NotFound);
    let explained = refusal.explained.expect("the way that it took");
    adds_up(&explained);
    let steps = shape(&explained.steps);
    assert!(steps.iter().any(|step| step.starts_with("node_read@n")), "{steps:?}");
    assert!(!steps.contains(&"batch@coordinator".into()), "{steps:?}");

    world.mute.insert(1);
    world.slow.insert(0);
    let client = world.explain_put(&at, true);
    world.run();
    world.now = world.now.plus_us(500);
    world.slow.clear();
    world.advance(5_100);
    let refusal = world.explained(client).expect_err("one has not voted");
    assert_eq!(refusal.error.code, ErrorCode::UnknownOutcome);
    let explained = refusal.explained.expect("the way that it took");
    adds_up(&explained);
    assert_eq!(us_of(&explained.steps, StepName::Vote, "n2"), None);
    assert!(us_of(&explained.steps, StepName::Vote, "n1").is_some());
    assert!(explained.total_us >= Some(5_000_000));

    let client = world.explain_put(&at, true);
    let refusal = world.explained(client).expect_err("n2 is away");
    assert_eq!(refusal.error.code, ErrorCode::ReplicaDown);
    let explained = refusal.explained.expect("the way that it took");
    assert_eq!(
        shape(&explained.steps),
        ["parse", "queue", "reply"].map(|s| format!("{s}@coordinator"))
    );
    assert!(world.sides[0].core.explains.is_empty());
}

#[test]
fn a_repetition_is_explained_as_one() {
    let mut world = World::founded();
    let at = world.some_key();
    let first = world.next_id();
    world.put_once(0, 2, &at, "v", "first");
    world.run();
    world.slots += 1;
    let client = ClientId { conn: 3, slot: world.slots };
    let seen = Seen { began: world.now, parsed: world.now, look: CacheLook::None };
    let op = ClientOp::Explain(Box::new(ExplainOp { of: put(&at), run: true, seen }));
    let once = Some(name("first", "v"));
    world.tell(0, Input::Request { client, op, once, timeout_ms: 5_000 });
    let explained = world.explained(client).expect("the first one's result");
    assert_eq!(explained.version, Some(first));
    assert!(note(&explained.steps, StepName::Queue).contains("nothing is done again"));
}

#[test]
fn nothing_is_kept_for_a_connection_that_has_ended() {
    let mut world = World::founded();
    let at = world.some_key();
    world.mute.extend(0..3);
    world.explain_put(&at, true);
    world.run();
    assert_eq!(world.sides[0].core.explains.len(), 1);
    world.tell(0, Input::ClientGone(1));
    assert!(world.sides[0].core.explains.is_empty());
}
