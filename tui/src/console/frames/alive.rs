//! That frames show what was told: constants in place of figures make other frames.

use protocol::event::{Body, Event};

use crate::console::action::{Action, ViewName};
use crate::console::model::COORDINATOR;
use crate::console::model::clock::At;
use crate::console::model::feed::{Fed, FeedName};
use crate::console::state::Console;
use crate::console::testing::{frame, play, press, recorded};

/// Changes an event.
type Spoil<'a> = &'a dyn Fn(&mut Event);

/// A view of a recording, in which `spoil` changed events.
fn shown(name: &str, view: ViewName, keys: &str, spoil: Spoil<'_>) -> Vec<String> {
    let mut fed: Vec<(At, Fed)> = recorded(name);
    for (_, one) in &mut fed {
        if let Fed::Event(FeedName::Coordinator, event) = one {
            spoil(event);
        }
    }
    let mut console = Console::new(crate::console::state::Settings::default());
    let (middle, end) = (4_900, 5_800);
    play(&mut console, &fed, 0, middle);
    console.size = (120, 36);
    console.selected = COORDINATOR.into();
    console.act_now(Action::Go(view));
    press(&mut console, keys);
    let before = frame(&console, 120, 36);
    play(&mut console, &fed, middle, end);
    vec![before, frame(&console, 120, 36)]
}

#[test]
fn constants_in_place_of_figures_make_other_frames() {
    let delays = |event: &mut Event| {
        if let Body::Heartbeat(beat) = &mut event.body {
            beat.delay_us = 200;
        }
    };
    let votes = |event: &mut Event| {
        if let Body::Txn(txn) = &mut event.body {
            txn.votes.iter_mut().for_each(|vote| vote.recv_us = Some(1_500));
        }
    };
    let steps = |event: &mut Event| {
        if let Body::Txn(txn) = &mut event.body {
            txn.us.last_vote = Some(1_500);
        }
    };
    let hands = |event: &mut Event| match &mut event.body {
        Body::CacheSets(sets) => sets.sets.iter_mut().for_each(|row| row.hand = 0),
        Body::CacheSet(set) => set.hand = 0,
        _ => {}
    };
    let transfers = |event: &mut Event| {
        if let Body::Transfer(told) = &mut event.body {
            (told.keys_done, told.keys_total, told.bytes_per_s) = (50, Some(100), 1_000);
            told.eta_ms = Some(1_000);
        }
    };
    let spoils: [(&str, &str, ViewName, &str, Spoil<'_>); 6] = [
        ("delays of heartbeats", "doubt", ViewName::Overview, "", &delays),
        ("times of votes", "calm", ViewName::Txns, "\n", &votes),
        ("times of steps", "calm", ViewName::Txns, "\nw", &steps),
        ("hands", "cache", ViewName::Cache, "jj", &hands),
        ("progress of transfers", "evict", ViewName::Ring, "", &transfers),
        ("progress of transfers", "evict", ViewName::Overview, "", &transfers),
    ];
    for (what, name, view, keys, spoil) in spoils {
        let as_told = shown(name, view, keys, &|_| {});
        assert_ne!(shown(name, view, keys, spoil), as_told, "{what} are not shown");
        assert_eq!(shown(name, view, keys, &|_| {}), as_told, "{what}: the same is drawn the same");
    }
}

#[test]
fn hands_of_sets_move() {
    let mut hands = std::collections::BTreeMap::<(String, u32), Vec<u16>>::new();
    for (_, one) in recorded("cache") {
        let Fed::Event(_, event) = one else { continue };
        let Body::CacheSets(told) = &event.body else { continue };
        for row in &told.sets {
            hands.entry((told.server.to_string(), row.set)).or_default().push(row.hand);
        }
    }
    let moved = hands.values().filter(|seen| seen.windows(2).any(|pair| pair[0] != pair[1]));
    let moved = moved.count();
    assert!(moved > 3, "the hands of {moved} sets of {} move", hands.len());
}
