//! What a person is shown of a cache: sets in a row, one set closely, and its sweeps step by step.
//!
//! Called by the cores, for events, while somebody looks. A set whose sweeps nobody follows pays
//! for one look at an empty place a sweep.

use protocol::event::{CacheEvict, CacheSet, EvictStep, SetRow, StepAction, Trigger, Way};
use protocol::ids::Key;

use super::{Cache, Relaxed, SetView, Ways};

/// Sweeps of a set that are kept until somebody takes them; more are not.
const SWEEPS_MAX: usize = 64;

impl Cache {
    /// The sweeps of this set are kept from now on, or not any more.
    pub fn follow(&self, set: u32, on: bool) {
        if let Some(set) = self.sets.get(set as usize) {
            let mut ways = set.write();
            if ways.followed.is_some() != on {
                ways.followed = on.then(Vec::new);
            }
        }
    }

    /// Takes out the sweeps of a set that is followed.
    pub fn sweeps(&self, set: u32) -> Vec<CacheEvict> {
        let Some(found) = self.sets.get(set as usize) else { return Vec::new() };
        let mut ways = found.write();
        let mut sweeps = ways.followed.as_mut().map(std::mem::take);
        sweeps.iter_mut().flatten().for_each(|sweep| sweep.set = set);
        sweeps.unwrap_or_default()
    }

    /// These sets in a row, as far as there are so many.
    pub fn rows(&self, (first, count): (u32, u32)) -> Vec<SetRow> {
        let end = first.saturating_add(count);
        (first..end).map_while(|set| Some(row(set, &self.view(set)?))).collect()
    }

    /// One set, closely, for the server of that name.
    pub fn closely(&self, server: &str, set: u32) -> Option<CacheSet> {
        let view = self.view(set)?;
        let way = |(number, way): (u16, &Option<super::WayView>)| {
            let way = way.as_ref()?;
            Some(Way {
                way: number,
                key: way.key.clone(),
                version: Some(way.version),
                age_ms: way.age_ms,
                hits: way.hits,
                referenced: way.referenced,
                bytes: way.bytes,
            })
        };
        Some(CacheSet {
            server: server.to_owned(),
            set,
            ways: (0..).zip(&view.ways).filter_map(way).collect(),
            hand: view.hand,
            next_victim: view.next_victim,
        })
    }
}

fn row(set: u32, view: &SetView) -> SetRow {
    let bits = |is: fn(&super::WayView) -> bool| {
        let ways = view.ways.iter().enumerate();
        let bits = ways.filter(|(_, way)| way.as_ref().is_some_and(is));
        format!("{:x}", bits.fold(0_u64, |bits, (way, _)| bits | 1 << way))
    };
    SetRow {
        set,
        valid: bits(|_| true),
        referenced: bits(|way| way.referenced),
        hand: view.hand,
        hits: view.stats.hits,
        misses: view.stats.misses,
        evictions: view.stats.evictions,
        second_chances: view.stats.second_chances,
    }
}

impl Ways {
    /// The steps of the sweep that comes next, if the set is followed.
    pub(super) fn steps(&self) -> Option<Vec<EvictStep>> {
        self.followed.as_ref()?;
        let (_, passed) = self.next_victim()?;
        let count = self.entries.len();
        let step = |step: usize| {
            let way = (self.hand + step) % count;
            let entry = self.entries[way].as_ref();
            // In the second round the first one has cleared all bits.
            let referenced = entry.is_some_and(|e| step < count && e.referenced.load(Relaxed));
            let action = match entry {
                None => StepAction::Skip,
                Some(_) if referenced => StepAction::SecondChance,
                Some(_) => StepAction::Evict,
            };
            EvictStep { way: way as u16, key: entry.map(|e| e.key.clone()), referenced, action }
        };
        Some((0..=passed).map(step).collect())
    }

    /// A sweep of a followed set is done.
    pub(super) fn keep_sweep(
        &mut self,
        steps: Option<Vec<EvictStep>>,
        (key, trigger): (&Key, Trigger),
        victim: usize,
    ) {
        let hand = self.hand as u16;
        let Some((followed, steps)) = self.followed.as_mut().zip(steps) else { return };
        if followed.len() < SWEEPS_MAX {
            followed.push(CacheEvict {
                server: String::new(),
                set: 0,
                trigger_key: key.clone(),
                trigger,
                steps,
                victim: victim as u16,
                filled_way: None,
                hand_after: hand,
            });
        }
    }

    /// The way that the sweeps for this key have made room in is filled.
    pub(super) fn keep_filled(&mut self, key: &Key, way: usize) {
        let Some(followed) = &mut self.followed else { return };
        let open =
            |sweep: &&mut CacheEvict| sweep.filled_way.is_none() && sweep.trigger_key == *key;
        followed.iter_mut().rev().take_while(open).for_each(|s| s.filled_way = Some(way as u16));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::ids::{Epoch, Version};

    use super::super::CacheShape;
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("a short key")
    }

    fn fill(cache: &Cache, text: &str) {
        let version = Version::new(Epoch(1), 1);
        cache.fill(&key(text), version, Bytes::from_static(b"x"), cache.generation(text));
    }

    fn one_set(ways: u16) -> Cache {
        Cache::new(CacheShape { sets: 1, ways }, 1 << 20, 7)
    }

    #[test]
    fn a_followed_sweep_is_told_step_by_step() {
        let cache = one_set(3);
        cache.follow(0, true);
        ["a", "b", "c"].iter().for_each(|text| fill(&cache, text));
        assert_eq!(cache.sweeps(0), [], "there was room");
        cache.get("a").expect("it is there");
        fill(&cache, "d");
        let sweeps = cache.sweeps(0);
        let [sweep] = &sweeps[..] else { panic!("{sweeps:?}") };
        assert_eq!((&sweep.trigger_key, sweep.trigger), (&key("d"), Trigger::Miss));
        let steps: Vec<_> = sweep
            .steps
            .iter()
            .map(|step| (step.way, step.key.as_ref().map(Key::as_str), step.action))
            .collect();
        let expected =
            [(0, Some("a"), StepAction::SecondChance), (1, Some("b"), StepAction::Evict)];
        assert_eq!(steps, expected);
        assert_eq!((sweep.victim, sweep.filled_way, sweep.hand_after), (1, Some(1), 2));
        // What is referenced throughout gives way in the second round.
        ["a", "c", "d"].iter().for_each(|text| assert!(cache.get(text).is_some()));
        cache.write(&key("e"), Version::new(Epoch(1), 2), Bytes::from_static(b"y"));
        let sweeps = cache.sweeps(0);
        assert_eq!((sweeps.len(), sweeps[0].trigger), (1, Trigger::Write));
        let actions: Vec<StepAction> = sweeps[0].steps.iter().map(|step| step.action).collect();
        use StepAction::{Evict, SecondChance};
        assert_eq!(actions, [SecondChance, SecondChance, SecondChance, Evict]);
        assert_eq!((sweeps[0].victim, cache.view(0).expect("a set").hand), (2, 0));
        cache.follow(0, false);
        fill(&cache, "f");
        assert_eq!(cache.sweeps(0), []);
        cache.check();
    }

    #[test]
    fn sweeps_that_nobody_takes_are_not_kept_for_ever() {
        let cache = one_set(1);
        cache.follow(0, true);
        (0..1_000).for_each(|n| fill(&cache, &format!("k{n}")));
        assert_eq!(cache.sweeps(0).len(), SWEEPS_MAX);
    }

    #[test]
    fn sets_are_shown_as_they_are() {
        let cache = one_set(4);
        cache.set_time(super::super::Time(1_000));
        ["a", "b"].iter().for_each(|text| fill(&cache, text));
        cache.get("b").expect("it is there");
        assert!(cache.get("z").is_none());
        cache.set_time(super::super::Time(8_000));
        let rows = cache.rows((0, 64));
        assert_eq!(rows.len(), 1, "there is one set");
        assert_eq!((rows[0].valid.as_str(), rows[0].referenced.as_str()), ("3", "2"));
        assert_eq!((rows[0].hits, rows[0].misses, rows[0].hand), (1, 1, 0));
        assert_eq!(cache.rows((1, 4)), []);
        let set = cache.closely("n1", 0).expect("a set");
        assert_eq!((set.server.as_str(), set.ways.len(), set.next_victim), ("n1", 2, Some(0)));
        let b = &set.ways[1];
        assert_eq!((b.key.as_str(), b.hits, b.referenced, b.age_ms), ("b", 1, true, 7));
        assert_eq!(cache.closely("n1", 1), None);
    }
}
