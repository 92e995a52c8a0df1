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
use crate::console::testing::{drawn, frame};

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
        fixture.console.model.nodes.entry("n1".into()).or_default();
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
        fixture.press("jjjjjj");
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
            at_us: self.now().us(),
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

    fn press(&mut self, keys: &str) {
        for c in keys.chars() {
            self.key(match c {
                '\n' => Key::Enter,
                '\u{1b}' => Key::Escape,
                c => Key::Char(c),
            });
        }
    }

    fn state(&self) -> &State {
        &self.console.views.cache
    }

    fn full(&self) -> String {
        frame(&self.console, 120, 36)
    }

    /// As rows of words, so that a sentence may be broken anywhere.
    fn flat(&self) -> String {
        let text = self.full();
        let across = text.lines().find_map(|line| line.chars().position(|c| c == '┐'));
        let half = |right: bool| {
            let lines = text.lines().flat_map(|line| {
                let (left, rest): (Vec<_>, Vec<_>) =
                    line.chars().enumerate().partition(|(at, _)| Some(*at) <= across);
                if right { rest } else { left }.into_iter().map(|(_, c)| c).chain([' '])
            });
            lines.filter(|c| *c != '│').collect::<String>()
        };
        let halves = half(false) + &half(true);
        halves.split_whitespace().collect::<Vec<_>>().join(" ")
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
fn the_page_and_the_set_are_asked_for_no_more_often_than_needed() {
    let mut fixture = Fixture::new(128);
    let asked = |fixture: &Fixture| {
        fixture.wanted.iter().map(|one| (one.sets, one.set)).collect::<Vec<_>>()
    };
    assert_eq!(asked(&fixture), [(Some((0, 64)), Some(0))]);
    fixture.ticks(8);
    assert_eq!(asked(&fixture).len(), 1, "nothing was scrolled");
    for _ in 0..5 {
        fixture.key(Key::Down);
    }
    assert_eq!(asked(&fixture)[1..], [(Some((0, 64)), Some(1))], "the first one at once");
    fixture.ticks(8);
    assert_eq!(asked(&fixture)[2..], [(Some((0, 64)), Some(5))], "then where it came to rest");
    fixture.key(Key::PageDown);
    assert_eq!(asked(&fixture)[3..], [(Some((64, 64)), Some(69))]);
    fixture.ticks(2);
    fixture.key(Key::End);
    assert_eq!(asked(&fixture)[4..], [(Some((64, 64)), Some(127))], "the last set");
    fixture.key(Key::Down);
    fixture.ticks(8);
    assert_eq!(asked(&fixture).len(), 5, "there is none below");
}

#[test]
fn the_server_is_the_selected_one_until_another_is_chosen() {
    let mut fixture = Fixture::usual();
    let server = |fixture: &Fixture| fixture.wanted.last().and_then(|one| one.server.clone());
    assert_eq!(server(&fixture), None, "the coordinator was selected");
    fixture.tell(Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets: vec![] }));
    fixture.console.selected = "n1".into();
    fixture.act(Action::Go(ViewName::Overview));
    fixture.act(Action::Go(ViewName::Cache));
    assert_eq!(server(&fixture).as_deref(), Some("n1"));
    let text = fixture.full();
    assert!(text.contains("Cache of n1  16 sets × 8 ways"), "{text}");
    assert!(fixture.flat().contains("the coordinator asks n1 for them"), "{text}");
    assert!(!text.contains("cart:19"), "that was the coordinator's: {text}");
    fixture.press("[");
    fixture.ticks(4);
    assert_eq!(server(&fixture), None);
    fixture.press("s");
    fixture.ticks(4);
    assert_eq!(server(&fixture).as_deref(), Some("n1"));
    fixture.press("s");
    assert_eq!(fixture.state().server(), COORDINATOR);
    // Chosen here: it is kept while nothing else is selected for all views.
    fixture.act(Action::Go(ViewName::Overview));
    fixture.act(Action::Go(ViewName::Cache));
    assert_eq!(fixture.state().server(), COORDINATOR);
}

#[test]
fn who_wrote_an_entry_is_shown_by_its_transaction() {
    let mut fixture = Fixture::usual();
    fixture.press("ll");
    fixture.key(Key::Right);
    fixture.key(Key::Right);
    assert_eq!(fixture.state().way, 3, "there are four");
    fixture.key(Key::Enter);
    assert_eq!(fixture.console.view, ViewName::Txns);
    fixture.act(Action::Go(ViewName::Cache));
    fixture.tell(Body::CacheSet(CacheSet { ways: vec![], ..four(6) }));
    fixture.key(Key::Enter);
    assert_eq!(fixture.console.view, ViewName::Cache);
    let (_, remark) = fixture.console.remarks.back().unwrap();
    assert!(remark.contains("way 3 holds nothing"), "{remark}");
}

#[test]
fn a_key_is_found_at_the_coordinator() {
    let mut fixture = Fixture::usual();
    fixture.press("s/cart:q1");
    assert_eq!((fixture.console.view, fixture.state().server()), (ViewName::Cache, "n1"));
    assert!(fixture.full().contains("find key: cart:q1"));
    let effects = fixture.key(Key::Enter);
    assert!(effects.contains(&Effect::Locate("cart:q1".into())), "{effects:?}");
    let located = |set, way| {
        let reply = protocol::reply::LocateReply {
            hash: protocol::ids::Point(7),
            byte_sum: None,
            nodes: vec![],
            set,
            way,
            copies: None,
        };
        Ok(Box::new(reply))
    };
    // Another view's question.
    fixture.input(Input::Done(Done::Located("other".into(), located(9, None))));
    assert_eq!(fixture.state().server(), "n1");
    fixture.input(Input::Done(Done::Located("cart:q1".into(), located(77, Some(2)))));
    assert_eq!((fixture.state().set, fixture.state().way), (77, 2));
    assert_eq!(fixture.state().server(), COORDINATOR);
    let (_, remark) = fixture.console.remarks.back().unwrap();
    assert!(remark.contains("n1 chooses sets by a number of its own"), "{remark}");
    assert!(fixture.full().contains("cart:q1: set 77, was in way 2"));
    fixture.press("\u{1b}/x\u{1b}");
    assert_eq!(fixture.state().find, Find::Nothing);
    fixture.press("/y\n");
    fixture.input(Input::Done(Done::Located("y".into(), Err("no coordinator".into()))));
    assert_eq!(fixture.state().find, Find::Nothing);
    assert_eq!(fixture.console.remarks.back().unwrap().1, "no coordinator");
}

#[test]
fn what_is_typed_is_a_key_and_no_more_than_a_key() {
    let mut fixture = Fixture::usual();
    fixture.press("/");
    fixture.key(Key::Paste(format!("\u{202e}\x1b[31m{}", "漢".repeat(500))));
    fixture.key(Key::Char('é'));
    let typed = fixture.state().find.typed().unwrap();
    assert!(typed.len() <= 256 && typed.len() > 250, "{}", typed.len());
    let drawn = drawn(&fixture.console, 120, 36);
    assert!(drawn.content.iter().all(|cell| !cell.symbol().contains(char::is_control)));
    fixture.key(Key::Ctrl('u'));
    fixture.key(Key::Backspace);
    fixture.key(Key::Enter);
    assert_eq!(fixture.state().find, Find::Nothing, "an empty key is none");
}

#[test]
fn the_next_set_in_use_is_looked_for_on_all_pages() {
    let mut fixture = Fixture::new(256);
    let page = |first: u32, used: Option<u32>| {
        let one = |set| row(set, if Some(set) == used { "4" } else { "0" }, "0", 0);
        let sets = (first..first + 64).map(one).collect();
        Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets })
    };
    fixture.tell(page(0, Some(9)));
    fixture.press("g");
    assert_eq!(fixture.state().set, 9, "on this page");
    fixture.press("g");
    fixture.ticks(4);
    assert!(fixture.full().contains("64 to 127"), "{}", fixture.full());
    assert_eq!(fixture.wanted.last().unwrap().sets, Some((64, 64)));
    fixture.tell(page(64, None));
    fixture.ticks(4);
    assert_eq!(fixture.wanted.last().unwrap().sets, Some((128, 64)));
    fixture.tell(page(128, Some(130)));
    fixture.ticks(1);
    assert_eq!((fixture.state().set, &fixture.state().find), (130, &Find::Nothing));
    // Nothing anywhere: once round, and it ends.
    fixture.press("g");
    for first in [192, 0, 64, 128, 192, 0] {
        fixture.ticks(4);
        fixture.tell(page(first, None));
    }
    fixture.ticks(1);
    assert_eq!(fixture.state().find, Find::Nothing);
    let (_, remark) = fixture.console.remarks.back().unwrap();
    assert!(remark.contains("no set of the coordinator's cache holds anything"), "{remark}");
}

#[test]
fn older_sweeps_stay_chosen_while_new_ones_come() {
    let mut fixture = Fixture::usual();
    for trigger in ["a", "b", "c"] {
        fixture.tell(Body::CacheEvict(sweep(6, trigger)));
    }
    fixture.tell(Body::CacheEvict(sweep(7, "other")));
    assert!(fixture.flat().contains("Last sweep 3 of 3"));
    assert!(fixture.flat().contains("MISS: c was read"));
    fixture.press("<");
    assert!(fixture.flat().contains("MISS: b was read"), "told in the same moment as the others");
    fixture.tell(Body::CacheEvict(sweep(6, "d")));
    assert!(fixture.flat().contains("Sweep 2 of 4"), "{}", fixture.full());
    fixture.press("<<<<");
    assert!(fixture.flat().contains("MISS: a was read"));
    fixture.press(">>>>");
    fixture.tell(Body::CacheEvict(sweep(6, "e")));
    assert!(fixture.flat().contains("MISS: e was read"), "the newest one is followed");
}

#[test]
fn a_sweep_is_played_step_by_step() {
    let mut fixture = Fixture::usual();
    fixture.tell(Body::CacheEvict(sweep(6, "user:9")));
    fixture.press("p");
    let picture = |fixture: &Fixture| {
        let (slots, hand) = fixture.state().film.as_ref().unwrap().picture();
        (slots.iter().map(|slot| slot.bit).collect::<Vec<_>>(), hand)
    };
    use crate::console::widgets::grid::Way::{Clear, Empty, Referenced};
    assert_eq!(picture(&fixture), (vec![Clear, Referenced, Referenced, Referenced], 3));
    assert!(!fixture.full().contains("PRETEND"));
    fixture.ticks(4);
    assert_eq!(picture(&fixture), (vec![Clear, Referenced, Referenced, Clear], 3));
    fixture.press("p");
    fixture.ticks(20);
    assert_eq!(picture(&fixture).1, 3, "it stands still");
    fixture.press(".");
    assert_eq!(picture(&fixture), (vec![Empty, Referenced, Referenced, Clear], 0));
    let row = fixture.full().lines().find(|line| line.contains("slow motion  ")).map(str::to_owned);
    let row =
        row.or_else(|| fixture.full().lines().find(|l| l.contains("▶  6")).map(str::to_owned));
    assert!(row.unwrap().contains("▸·   ●   ●   ○"), "{}", fixture.full());
    fixture.press(",,p");
    fixture.ticks(100);
    assert_eq!(picture(&fixture), (vec![Clear, Referenced, Referenced, Clear], 1), "to its end");
    assert!(fixture.flat().contains("step 3 of 3, the end"));
    assert!(fixture.flat().contains("Why way 0: way 3 had been used"), "{}", fixture.full());
    fixture.press("p");
    assert_eq!(fixture.state().film.as_ref().unwrap().at(), 0, "once more");
    fixture.press("\u{1b}");
    assert_eq!(fixture.state().film, None);
    fixture.press("pj");
    assert_eq!(fixture.state().film, None, "another set has sweeps of its own");
}

#[test]
fn what_would_happen_is_told_apart_from_what_did() {
    let mut fixture = Fixture::usual();
    fixture.press("p");
    let text = fixture.flat();
    assert!(text.contains("PRETEND") && text.contains("pretend"), "{text}");
    fixture.ticks(20);
    let text = fixture.flat();
    let outcome = "way 3 ← the new key, its bit clear; the hand stops at way 0";
    assert!(text.contains(outcome), "{text}");
    assert!(text.contains("Why way 3: ways 1 and 2 had been used"), "{text}");
    fixture.tell(Body::CacheEvict(sweep(6, "user:9")));
    fixture.press("i");
    assert!(fixture.flat().contains("PRETEND"), "also where a sweep is known");
}

#[test]
fn the_next_sweep_is_played_when_it_comes() {
    let mut fixture = Fixture::usual();
    fixture.tell(Body::CacheEvict(sweep(6, "before")));
    fixture.press("w");
    fixture.ticks(4);
    assert_eq!(fixture.state().film, None);
    fixture.tell(Body::CacheEvict(sweep(7, "elsewhere")));
    fixture.ticks(1);
    assert_eq!(fixture.state().film, None);
    fixture.tell(Body::CacheEvict(sweep(6, "after")));
    fixture.ticks(1);
    let cause = fixture.state().film.as_ref().map(|film| film.sweep.cause.clone());
    assert_eq!(cause, Some(Some((Trigger::Miss, "after".into()))));
    fixture.press("\u{1b}w\u{1b}");
    fixture.tell(Body::CacheEvict(sweep(6, "later")));
    fixture.ticks(1);
    assert_eq!(fixture.state().film, None, "it was not waited for any more");
}

mod shown;
