//! Events about caches: the coordinator's own, and those of nodes, which are asked.

use protocol::event::{Body, CacheEvict, StepAction, Subscribe, Topic, Trigger};

use super::events::{names, pick};
use super::*;

fn looking(server: Option<&str>, sets: Option<(u32, u32)>, set: Option<u32>) -> Subscribe {
    let topics = [Topic::Cache].into_iter().collect();
    Subscribe { topics, server: server.map(str::to_owned), sets, set, ..Subscribe::default() }
}

fn sweeps(events: &[Event]) -> Vec<CacheEvict> {
    pick(events, |body| match body {
        Body::CacheEvict(sweep) => Some(sweep.clone()),
        _ => None,
    })
}

/// So many keys of the coordinator's set `set`.
fn keys_in(world: &World, set: u32, count: usize) -> Vec<Key> {
    let keys = (0..10_000).map(|n| key(&format!("k{n}")));
    let there = |key: &Key| world.sides[0].core.cache.place(key.as_str()).0 == set;
    keys.filter(there).take(count).collect()
}

#[test]
fn the_counters_of_all_caches_are_told_once_a_second() {
    let mut world = World::founded();
    world.listen(&[Topic::Cache]);
    world.advance(2_500);
    let heard = world.heard();
    assert!(names(&heard).iter().all(|name| *name == "cache_totals"), "nobody looks at a set");
    let totals = pick(&heard, |body| match body {
        Body::CacheTotals(totals) => Some(totals.clone()),
        _ => None,
    });
    assert_eq!(totals.len(), 3);
    let servers: Vec<&str> = totals[2].servers.iter().map(|s| s.server.as_str()).collect();
    assert_eq!(servers, ["coordinator", "n1", "n2", "n3"]);
    assert_eq!((totals[0].servers[0].cache.sets, totals[0].servers[0].cache.ways), (16, 4));
}

#[test]
fn what_is_looked_at_is_told_four_times_a_second_and_its_sweeps_at_once() {
    let mut world = World::founded();
    world.subscribe(0, looking(None, Some((2, 3)), Some(3)));
    world.advance(1_000);
    let heard = world.heard();
    let rows = pick(&heard, |body| match body {
        Body::CacheSets(sets) => Some(sets.sets.iter().map(|row| row.set).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(rows, vec![vec![2, 3, 4]; 4]);
    let windows: Vec<_> = heard.iter().filter_map(|event| event.window).collect();
    assert_eq!(windows, [(2, 3); 4]);
    let keys = keys_in(&world, 3, 5);
    for key in &keys[..4] {
        world.put(1, key, "v");
        world.run();
    }
    assert!(world.sides[0].core.cache.get(keys[0].as_str()).is_some());
    world.heard();
    world.put(1, &keys[4], "v");
    world.run();
    let heard = sweeps(&world.heard());
    let [sweep] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((sweep.server.as_str(), sweep.set), ("coordinator", 3));
    assert_eq!((&sweep.trigger_key, sweep.trigger), (&keys[4], Trigger::Write));
    let steps: Vec<_> = sweep.steps.iter().map(|step| (step.key.clone(), step.action)).collect();
    let (spared, gone) = (keys[0].clone(), keys[1].clone());
    let expected = [(Some(spared), StepAction::SecondChance), (Some(gone), StepAction::Evict)];
    assert_eq!(steps, expected);
    world.advance(300);
    let closely = pick(&world.heard(), |body| match body {
        Body::CacheSet(set) => Some(set.clone()),
        _ => None,
    });
    let set = closely.last().expect("it is looked at");
    assert_eq!((set.ways.len(), set.hand, set.next_victim), (4, 2, Some(2)));
    // Nobody looks any more: nothing is kept.
    world.subscribe(0, looking(None, None, None));
    world.put(1, &keys[1], "w");
    world.run();
    assert!(world.sides[0].core.cache.sweeps(3).is_empty() && sweeps(&world.heard()).is_empty());
}

#[test]
fn a_nodes_cache_is_shown_by_the_node() {
    let mut world = World::founded();
    let at = world.some_key();
    let node = world.holders(&at)[0];
    let name = format!("n{}", node + 1);
    let cached = |world: &World, key: &Key| {
        let core = world.nodes[node].core.as_ref().expect("it runs");
        core.cache().place(key.as_str()).0
    };
    let set = cached(&world, &at);
    let mut others = (0..1_000).map(|n| key(&format!("other-{n}")));
    let same = |key: &Key| world.holders(key)[0] == node && cached(&world, key) == set;
    let other = others.find(same).expect("another key of its set");
    for key in [&at, &other] {
        world.put(1, key, "v");
        world.run();
    }
    world.subscribe(0, looking(Some(&name), Some((0, 64)), Some(set)));
    world.advance(20);
    world.heard();
    for key in [&at, &other] {
        world.sides[0].core.cache.remove(key.as_str());
        world.get(1, key);
        world.run();
    }
    world.advance(600);
    let heard = world.heard();
    let rows = pick(&heard, |body| match body {
        Body::CacheSets(sets) => Some((sets.server.clone(), sets.sets.len())),
        _ => None,
    });
    assert!(rows.len() >= 2 && rows.iter().all(|row| *row == (name.clone(), 2)), "{rows:?}");
    let closely = pick(&heard, |body| match body {
        Body::CacheSet(set) => Some(set.clone()),
        _ => None,
    });
    let last = closely.last().expect("it is looked at");
    assert_eq!((last.server.as_str(), last.ways[0].key.as_str()), (&*name, other.as_str()));
    let told = sweeps(&heard);
    let [sweep] = &told[..] else { panic!("{told:?}") };
    assert_eq!((sweep.server.as_str(), sweep.trigger), (&*name, Trigger::Miss));
    assert_eq!((&sweep.trigger_key, sweep.filled_way), (&other, Some(0)));
    // When nobody looks any more the node is told so, once.
    world.listen(&[]);
    world.run();
    world.sides[0].core.cache.remove(at.as_str());
    world.get(1, &at);
    world.run();
    let core = world.nodes[node].core.as_ref().expect("it runs");
    assert!(core.cache().sweeps(set).is_empty());
}
