//! Tests of what the caches' view draws, and of its sentences.

use std::collections::BTreeSet;

use super::*;
use crate::console::look::Look;
use crate::console::testing::{play, played, press, recorded};
use crate::console::views::cache::known::Bits;
use crate::console::views::cache::words;
use crate::console::widgets::grid::Way as Bit;

/// Keys that a terminal would obey, that are wide, or that cannot be seen.
const HOSTILE: [&str; 6] = [
    "\u{1b}[2J\u{7}",
    "\u{202e}drow",
    "漢字漢字漢字漢字",
    "a\u{200b}\u{301}\u{301}",
    "\r\n\t",
    "👩‍👩‍👧",
];

fn assert_safe(console: &Console, columns: u16, rows: u16) {
    let buffer = drawn(console, columns, rows);
    for cell in &buffer.content {
        let symbol = cell.symbol();
        let hidden = symbol.chars().any(|c| c.is_control() || "\u{202e}\u{200e}".contains(c));
        assert!(!hidden, "{symbol:?} at {columns}x{rows}");
        assert!(!console.settings.look.glyphs.ascii || symbol.is_ascii(), "{symbol:?}");
    }
}

fn all_sizes(console: &Console) {
    for columns in (1..=130).step_by(3) {
        for rows in [1, 12, 24, 40] {
            assert_safe(console, columns, rows);
        }
    }
    for rows in (1..=40).step_by(2) {
        for columns in [80, 110, 120] {
            assert_safe(console, columns, rows);
        }
    }
    assert_safe(console, 250, 90);
    view_alone(console);
}

/// The view itself in areas that no screen gives it.
fn view_alone(console: &Console) {
    for compact in [false, true] {
        let seen = Seen {
            model: &console.model,
            look: &console.settings.look,
            selected: "n1",
            compact,
            read_only: false,
        };
        let widths = [0, 1, 2, 3, 4, 20, 34, 35, 36, 37, 38, 50, 69];
        let heights = [0, 1, 2, 3, 7, 8, 9, 10, 11, 23];
        let sizes = widths.iter().flat_map(|width| heights.iter().map(move |rows| (*width, *rows)));
        for (width, height) in sizes {
            let area = Rect::new(3, 2, width, height);
            let mut buf = Buffer::empty(Rect::new(0, 0, 80, 30));
            console.views.cache.draw(&seen, area, &mut buf);
            for (x, y) in (0..80).flat_map(|x| (0..30).map(move |y| (x, y))) {
                let inside = area.contains((x, y).into());
                assert!(inside || buf[(x, y)].symbol() == " ", "{width}x{height} at {x} {y}");
            }
            let mut state = console.views.cache.clone();
            for at in [Pointed::Click(5, 6), Pointed::Wheel(4, 7, true)] {
                state.pointed(at, area, &seen, &mut Out::default());
            }
        }
    }
}

#[test]
fn nothing_known_is_said_at_any_size() {
    let mut console = Console::new(Settings::default());
    console.act_now(Action::Go(ViewName::Cache));
    all_sizes(&console);
    let text = frame(&console, 120, 36);
    assert!(text.contains("The coordinator is not connected"), "{text}");
    let keys = "jjkhl[]s<>gpiw.,/x\u{1b}g";
    press(&mut console, keys);
    all_sizes(&console);
}

#[test]
fn hostile_keys_are_shown_and_obeyed_by_nobody() {
    let mut fixture = Fixture::usual();
    let ways = HOSTILE.iter().zip(0..).map(|(text, number)| way(number % 4, text, number % 2 == 0));
    fixture.tell(Body::CacheSet(CacheSet { ways: ways.collect(), ..four(6) }));
    let mut hostile = sweep(6, HOSTILE[1]);
    for (step, text) in hostile.steps.iter_mut().zip(HOSTILE) {
        step.key = Some(key(text));
    }
    fixture.tell(Body::CacheEvict(hostile));
    fixture.ticks(1);
    all_sizes(&fixture.console);
    fixture.press("p..");
    all_sizes(&fixture.console);
    fixture.console.settings.look = Look::choose(None, false, None, true);
    all_sizes(&fixture.console);
    fixture.press("/\u{202e}漢");
    all_sizes(&fixture.console);
}

#[test]
fn what_cannot_be_is_drawn_all_the_same() {
    let mut fixture = Fixture::new(u64::MAX);
    let mut rows: Vec<SetRow> = (0..64).map(|set| row(set, "ffffffffffffffff", "zz", 9)).collect();
    rows.push(row(u32::MAX, "-1", "", u16::MAX));
    fixture.tell(Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets: rows }));
    let ways = vec![way(u16::MAX, "far", true), way(63, "k", true), way(63, "k", false)];
    fixture.tell(Body::CacheSet(CacheSet { ways, hand: u16::MAX, ..four(0) }));
    let mut odd = sweep(0, "k");
    odd.steps.iter_mut().for_each(|step| step.way = u16::MAX);
    odd.filled_way = None;
    fixture.tell(Body::CacheEvict(odd.clone()));
    fixture.press("p.....");
    all_sizes(&fixture.console);
    odd.steps.clear();
    fixture.tell(Body::CacheEvict(odd));
    fixture.press("\u{1b}p.....");
    fixture.key(Key::End);
    fixture.tell(totals(&[(COORDINATOR, 1, 64)]));
    all_sizes(&fixture.console);
}

#[test]
fn many_ways_are_shown_in_part() {
    let mut fixture = Fixture::new(16);
    fixture.tell(totals(&[(COORDINATOR, 16, 64)]));
    let sets = (0..16).map(|set| row(set, "ffffffffffffffff", "f0", 63)).collect();
    fixture.tell(Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets }));
    let ways = (0..64).map(|number| way(number, &format!("k{number}"), true)).collect();
    fixture.tell(Body::CacheSet(CacheSet { ways, hand: 63, ..four(0) }));
    for _ in 0..63 {
        fixture.key(Key::Right);
    }
    let text = fixture.flat();
    assert!(text.contains("k63"), "{text}");
    assert!(text.contains("evicts way 63 (k63): all bits are set"), "{text}");
    fixture.press("p");
    fixture.ticks(4 * 66);
    assert!(
        fixture.flat().contains("The hand cleared all bits in one round"),
        "{}",
        fixture.full()
    );
    all_sizes(&fixture.console);
}

#[test]
fn what_is_old_says_so() {
    let mut fixture = Fixture::usual();
    assert!(!fixture.full().contains("as it was"));
    fixture.ticks(20);
    let text = fixture.full();
    assert!(text.contains("as it was 5.0 s ago"), "{text}");
    let text = frame(&fixture.console, 80, 24);
    assert!(text.contains("as it was 5.0 s ago"), "{text}");
    fixture.input(Input::Fed(Fed::Link(FeedName::Coordinator, FeedState::Lost("x".into()))));
    all_sizes(&fixture.console);
    fixture.press("]");
    assert!(fixture.flat().contains("not connected"), "{}", fixture.full());
}

#[test]
fn a_click_selects_what_is_seen_there() {
    let mut fixture = Fixture::usual();
    for size in [(120, 36), (110, 32), (80, 24), (100, 30)] {
        fixture.input(Input::Resize(size.0, size.1));
        fixture.key(Key::Home);
        fixture.ticks(3);
        let text = frame(&fixture.console, size.0, size.1);
        for set in [3_u32, 11, 14] {
            let (column, row) = place(&text, &format!("{set:>4}  "));
            fixture.input(Input::Pointed(Pointed::Click(column + 8, row)));
            assert_eq!(fixture.state().set, set, "{size:?}\n{text}");
        }
        fixture.key(Key::Home);
        fixture.press("jjjjjj");
        let text = frame(&fixture.console, size.0, size.1);
        let (column, row) = place(&text, "user:42");
        fixture.input(Input::Pointed(Pointed::Click(column, row)));
        assert_eq!(fixture.state().way, 2, "{size:?}\n{text}");
        fixture.input(Input::Pointed(Pointed::Wheel(4, 9, true)));
        assert_eq!(fixture.state().set, 7, "{size:?}");
    }
}

/// The column and row of a text.
fn place(text: &str, what: &str) -> (u16, u16) {
    let found = text.lines().enumerate().find_map(|(row, line)| {
        let at = line.find(what)?;
        Some((line[..at].chars().count() as u16, row as u16))
    });
    found.unwrap_or_else(|| panic!("no {what:?} in\n{text}"))
}

#[test]
fn hits_are_counted_from_when_somebody_looks() {
    let mut fixture = Fixture::usual();
    fixture.ticks(1);
    let tell = |fixture: &mut Fixture, hits, misses| {
        let sets = vec![SetRow { hits, misses, ..row(0, "f", "0", 0) }];
        fixture.tell(Body::CacheSets(CacheSets { server: COORDINATOR.into(), sets }));
        fixture.ticks(4);
        fixture.state().watch.of(COORDINATOR, 0).and_then(watch::Watched::ratio)
    };
    assert_eq!(tell(&mut fixture, 30, 10), None, "nothing was read since");
    assert_eq!(tell(&mut fixture, 33, 11), Some(0.75));
    assert_eq!(tell(&mut fixture, 1, 1), Some(0.5), "the server has started anew");
    let lately = fixture.state().watch.of(COORDINATOR, 0).unwrap().lately();
    assert_eq!(lately[lately.len() - 2..], [Some(0.75), Some(0.5)]);
    for _ in 0..100 {
        tell(&mut fixture, 1, 1);
    }
    assert!(fixture.state().watch.of(COORDINATOR, 0).unwrap().lately().len() <= 16);
    assert!(fixture.state().watch.of(COORDINATOR, 1).is_none(), "it is not looked at any more");
}

/// The rule of second chance, word by word.
fn naive(valid: &[bool], bits: &[bool], hand: usize) -> (usize, usize) {
    let (mut bits, mut at, mut steps) = (bits.to_vec(), hand, 0);
    loop {
        steps += 1;
        if valid[at] && !std::mem::take(&mut bits[at]) {
            return (at, steps);
        }
        at = (at + 1) % bits.len();
    }
}

#[test]
fn what_would_happen_is_what_the_rule_says() {
    let mut seen = BTreeSet::new();
    for (ways, bits, hand) in (1..=4_u16)
        .flat_map(|ways| (0..1_u64 << ways).map(move |bits| (ways, bits)))
        .flat_map(|(ways, bits)| (0..ways).map(move |hand| (ways, bits, hand)))
    {
        let number = |way: u16| bits >> way & 1 == 1;
        let held = (0..ways).map(|one| way(one, &format!("k{one}"), number(one))).collect();
        let set = CacheSet { hand, ways: held, ..four(0) };
        let referenced: Vec<bool> = (0..ways).map(number).collect();
        let (victim, steps) = naive(&vec![true; ways.into()], &referenced, usize::from(hand));
        let sweep = Sweep::pretend(&set, ways);
        assert_eq!(sweep.victim, Some(victim as u16), "{ways} {bits:b} {hand}");
        assert_eq!(sweep.steps.len(), steps);
        assert_eq!(sweep.hand.1, (victim as u16 + 1) % ways);
        assert_eq!(Bits::of_set(&set, ways).victim(), sweep.victim);
        let told = row(0, "f", &format!("{bits:x}"), hand);
        assert_eq!(Bits::of_row(&told, ways).and_then(|bits| bits.victim()), sweep.victim);
        // In slow motion it ends as the rule does.
        let mut film = Film::new(0, sweep.clone(), Some(&set), ways);
        (0..film.last()).for_each(|_| film.step(true));
        let (slots, stopped) = film.picture();
        assert_eq!((slots[victim].bit, stopped), (Bit::Clear, sweep.hand.1));
        seen.insert(words::why(&sweep));
    }
    assert!(seen.iter().any(|why| why.contains("every entry had been used")));
    assert!(seen.iter().any(|why| why.contains("the first that the hand met")));
    assert!(seen.iter().any(|why| why.contains("ways 0, 1 and 2 had been used")), "{seen:?}");
}

#[test]
fn the_sentence_says_what_comes_next() {
    let fixture = Fixture::usual();
    let known = Known::of(&fixture.console.model, COORDINATOR);
    let next = |set: &CacheSet| words::next(&known, set, 4);
    assert_eq!(
        next(&CacheSet { hand: 3, ..four(6) }),
        "The next new key here evicts way 3 (cart:3): the hand stands there and its bit is clear."
    );
    assert_eq!(
        next(&CacheSet { hand: 2, ..four(6) }),
        "Way 2 has its bit set: the hand clears it and passes by; the next new key here evicts \
         way 3 (cart:3)."
    );
    let mut three = four(6);
    three.ways.remove(2);
    assert!(next(&three).contains("evicts nothing: way 2 is empty"), "{}", next(&three));
    let empty = CacheSet { ways: vec![], ..four(6) };
    assert!(next(&empty).contains("the set is empty, so way 0 is filled"), "{}", next(&empty));
    let known = Known::of(&fixture.console.model, "n1");
    let next = words::next(&known, &four(6), 4);
    assert!(next.contains("the next miss here"), "a node caches what is read: {next}");
}

#[test]
fn recordings_are_drawn() {
    for name in ["calm", "kill", "coordinator-killed"] {
        let mut console = played(name, 2_000);
        console.selected = COORDINATOR.into();
        console.act_now(Action::Go(ViewName::Cache));
        let fed = recorded(name);
        play(&mut console, &fed, 2_000, 4_000);
        all_sizes(&console);
        let text = frame(&console, 120, 36);
        assert!(text.contains("Cache of the coordinator"), "{text}");
    }
    let console = {
        let mut console = played("calm", 4_000);
        console.selected = COORDINATOR.into();
        console.act_now(Action::Go(ViewName::Cache));
        console
    };
    let text = frame(&console, 120, 36);
    assert!(text.contains("4,096 sets × 8 ways") && text.contains("w7"), "{text}");
}

#[test]
fn sweeps_of_a_real_cluster_are_drawn() {
    let fed = recorded("cache");
    let mut console = played("cache", 2_000);
    let (at, set) = fed
        .iter()
        .find_map(|(at, one)| match one {
            Fed::Event(_, event) => match &event.body {
                Body::CacheEvict(sweep) if at.0 > 2_500_000 => Some((*at, sweep.clone())),
                _ => None,
            },
            _ => None,
        })
        .expect("a sweep");
    console.selected = set.server.clone();
    console.act_now(Action::Go(ViewName::Cache));
    console.views.cache.set = set.set;
    play(&mut console, &fed, 2_000, at.us() / 1_000 + 1);
    let text = frame(&console, 120, 36);
    println!("{text}\n{}", frame(&console, 80, 24));
    assert!(text.contains("Why way"), "{text}");
    // What the console would have foretold of each set is what the server says of it.
    for (_, one) in &fed {
        let Fed::Event(_, event) = one else { continue };
        match &event.body {
            Body::CacheSet(told) => {
                let ways = console.model.caches.servers[&told.server].counters.ways as u16;
                let victim = Bits::of_set(told, ways).victim();
                assert!(victim.is_none_or(|victim| told.next_victim == Some(victim)), "{told:?}");
            }
            Body::CacheEvict(told) => {
                let sweep = Sweep::from(told);
                let last = sweep.steps.last().map(|step| step.way);
                assert_eq!(last, sweep.victim);
                let mut film = Film::new(told.set, sweep.clone(), None, 8);
                (0..film.last()).for_each(|_| film.step(true));
                assert_eq!(film.picture().1, told.hand_after);
            }
            _ => {}
        }
    }
}
