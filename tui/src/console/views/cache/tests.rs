//! Tests of the caches' view: with caches that are fed by hand, and with recordings.

use protocol::event::{
    Body, CacheCounters, CacheEvict, CacheSet, CacheSets, CacheTotals, Event, EvictStep, SetRow,
    StepAction, Trigger, Way,
};
use protocol::ids::{Epoch, Key as DataKey, Version};
use protocol::status::CacheStatus;

use super::*;
use crate::console::action::Action;
use crate::console::effect::Effect;
use crate::console::model::clock::At as Moment;
use crate::console::model::feed::{Fed, FeedName, FeedState};
use crate::console::state::{Console, Input, Settings};
use crate::console::testing::{drawn, frame, played, press};

/// A console with this view open, and a cache that is fed by hand.
struct Fixture {
    console: Console,
    seq: u64,
    wanted: Vec<protocol::event::Subscribe>,
}

fn key(text: &str) -> DataKey {
    DataKey::new(text).unwrap()
}

/// A way with this key and bit.
fn way(number: u16, text: &str, referenced: bool) -> Way {
    Way {
        way: number,
        key: key(text),
        version: Some(Version::new(Epoch(3), 40 + u64::from(number))),
        age_ms: 1_200 * u64::from(number),
        hits: 3 + u64::from(number),
        referenced,
        bytes: 70 + u64::from(number),
    }
}

/// A set of four: the hand at 1, all taken, way 1 and 2 used.
fn four(set: u32) -> CacheSet {
    let ways = vec![
        way(0, "cart:19", false),
        way(1, "user:7", true),
        way(2, "user:42", true),
        way(3, "cart:3", false),
    ];
    CacheSet { server: COORDINATOR.into(), set, ways, hand: 1, next_victim: Some(3) }
}

fn row(set: u32, valid: &str, referenced: &str, hand: u16) -> SetRow {
    SetRow {
        set,
        valid: valid.into(),
        referenced: referenced.into(),
        hand,
        hits: 30,
        misses: 10,
        evictions: 4,
        second_chances: 2,
    }
}

fn sweep(set: u32, trigger: &str) -> CacheEvict {
    let step = |way, text: &str, referenced, action| EvictStep {
        way,
        key: Some(key(text)),
        referenced,
        action,
    };
    CacheEvict {
        server: COORDINATOR.into(),
        set,
        trigger_key: key(trigger),
        trigger: Trigger::Miss,
        steps: vec![
            step(3, "cart:1", true, StepAction::SecondChance),
            step(0, "cart:2", false, StepAction::Evict),
        ],
        victim: 0,
        filled_way: Some(0),
        hand_after: 1,
    }
}

impl Fixture {
    /// Of a coordinator with so many sets of four ways.
    fn new(sets: u64) -> Self {
        let console = Console::new(Settings::default());
        let mut fixture = Self { console, seq: 0, wanted: Vec::new() };
        fixture.console.selected = COORDINATOR.into();
        let live = Fed::Link(FeedName::Coordinator, FeedState::Live);
        fixture.input(Input::Fed(live));
        fixture.tell(totals(&[(COORDINATOR, sets, 4), ("n1", 16, 8)]));
        fixture.act(Action::Go(ViewName::Cache));
        fixture
    }

    /// With a page of sets, and set 6 selected and told closely.
    fn usual() -> Self {
        let mut fixture = Self::new(128);
        let full = |set| row(set, "f", if set % 3 == 0 { "6" } else { "b" }, (set % 4) as u16);
        let mut sets: Vec<SetRow> = (0..64).map(full).collect();
        sets[4] = row(4, "0", "0", 0);
        sets[5] = row(5, "5", "1", 2);
        sets[6].hand = 1;
        fixture.tell(Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets }));
        press(&mut fixture.console, "jjjjjj");
        fixture.tell(Body::CacheSet(four(6)));
        fixture
    }

    fn now(&self) -> Moment {
        self.console.model.now
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.console.handle(self.now(), input);
        self.note(effects)
    }

    fn note(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &effects {
            if let Effect::Subscribe(wanted) = effect {
                self.wanted.push((**wanted).clone());
            }
        }
        effects
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        let effects = self.console.act_now(action);
        self.note(effects)
    }

    fn tell(&mut self, body: Body) {
        self.seq += 1;
        let event = Event {
            seq: self.seq,
            source: COORDINATOR.into(),
            epoch: Epoch(3),
            at_us: self.now().0,
            wall_ms: 0,
            incident: None,
            cause: None,
            body,
        };
        self.input(Input::Fed(Fed::Event(FeedName::Coordinator, Box::new(event))));
    }

    fn ticks(&mut self, count: u64) {
        for _ in 0..count {
            let at = self.now().plus_ms(250);
            let effects = self.console.handle(at, Input::Tick);
            self.note(effects);
        }
    }

    fn key(&mut self, key: Key) -> Vec<Effect> {
        self.input(Input::Key(key))
    }

    fn state(&self) -> &State {
        &self.console.views.cache
    }

    fn full(&self) -> String {
        frame(&self.console, 120, 36)
    }

    /// As rows of words, so that a sentence may be broken anywhere.
    fn flat(&self) -> String {
        let text = self.full().replace('│', " ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn totals(servers: &[(&str, u64, u64)]) -> Body {
    let one = |(server, sets, ways): &(&str, u64, u64)| CacheCounters {
        server: (*server).to_owned(),
        cache: CacheStatus { sets: *sets, ways: *ways, entries: 9, ..CacheStatus::default() },
    };
    Body::CacheTotals(CacheTotals { servers: servers.iter().map(one).collect() })
}

#[test]
fn print() {
    let mut fixture = Fixture::usual();
    println!("{}", fixture.full());
    fixture.tell(Body::CacheEvict(sweep(6, "user:9")));
    fixture.ticks(2);
    println!("{}\n{}", fixture.full(), frame(&fixture.console, 80, 24));
    press(&mut fixture.console, "p..");
    println!("{}\n{}", fixture.full(), frame(&fixture.console, 80, 24));
}
