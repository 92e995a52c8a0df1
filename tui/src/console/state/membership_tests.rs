//! Tests of changes of the membership that a person asks for.

use protocol::reply::Role;
use serde_json::json;

use super::*;
use crate::console::effect::Done;
use crate::console::model::feed::{Fed, FeedName};
use crate::console::state::Input;
use crate::console::testing::{frame, played, press};

/// What was asked of the coordinator.
fn pressed(console: &mut Console, key: char) -> Vec<MemberOrder> {
    let key = Input::Key(crate::prompt::Key::Char(key));
    let effects = console.handle(console.model.now, key);
    let orders = effects.into_iter().filter_map(|effect| match effect {
        Effect::Member(order) => Some(order),
        _ => None,
    });
    orders.collect()
}

fn answer(
    console: &mut Console,
    order: &MemberOrder,
    result: Result<Option<Box<ChangePreview>>, String>,
) {
    let done = Done::Member(order.clone(), result);
    console.handle(console.model.now, Input::Done(done));
}

fn preview() -> ChangePreview {
    serde_json::from_value(json!({"action": "remove", "node": "n3", "arcs": 2,
        "moves": [
            {"from": "0000000000000000", "to": "1000000000000000", "gain": "n4", "lose": "n3",
                "keys": 1_200},
            {"from": "2000000000000000", "to": "3000000000000000", "gain": "n5", "lose": "n3",
                "keys": 34}],
        "keys": 1_234, "primaries_moved": 0.2, "one_copy": 0.125,
        "shares_before": {"n3": 0.2, "n4": 0.2}, "shares_after": {"n4": 0.4},
        "max_over_mean": 1.6,
        "compared": [{"placement": "ascii-sum", "primaries_moved": 0.83, "max_over_mean": 1.0}]}))
    .expect("a preview")
}

#[test]
fn what_a_change_would_do_is_said_before_it_is_done() {
    let mut console = played("calm", 2_000);
    console.selected = "n3".into();
    let asked = pressed(&mut console, 'D');
    assert_eq!(asked.len(), 1);
    assert!(asked[0].dry_run && asked[0].ring.is_some(), "{asked:?}");
    assert_eq!(asked[0].change, MemberChange::Remove("n3".into()));
    assert!(pressed(&mut console, 'D').is_empty(), "it is asked once");
    assert!(console.overlay.is_none());
    answer(&mut console, &asked[0], Ok(Some(Box::new(preview()))));
    assert!(frame(&console, 120, 36).contains("Remove n3 for good?"));
    let Some(Overlay::Ask(question)) = &console.overlay else { panic!("nothing is asked") };
    let text = question.said.join(" ");
    for words in [
        "To copy: about 1,234 keys, in 2 stretches; 20 % of the keys get another primary.",
        "Who gets them: n4 about 1,200, n5 about 34.",
        "12 % of the keys have one complete copy only",
        "Shares: n3 20 to 0 %, n4 20 to 40 %.",
        "largest share is 1.60 of the mean",
        "With ascii-sum: 83 % get another primary",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Cancel is what Enter takes.
    assert!(pressed(&mut console, '\n').is_empty());
    press(&mut console, "\n");
    assert!(console.overlay.is_none());
    let asked = pressed(&mut console, 'D');
    answer(&mut console, &asked[0], Ok(Some(Box::new(preview()))));
    let ordered = pressed(&mut console, 'y');
    assert_eq!(ordered, [MemberOrder { dry_run: false, ..asked[0].clone() }]);
}

#[test]
fn a_refusal_is_said_and_nothing_is_asked() {
    let mut console = played("calm", 2_000);
    console.selected = "n3".into();
    let why = "refused: n3 has the only complete copy of some keys";
    let asked = pressed(&mut console, 'E');
    answer(&mut console, &asked[0], Err(why.into()));
    assert!(console.overlay.is_none());
    assert!(frame(&console, 120, 36).contains(why));
    let asked = pressed(&mut console, 'A');
    assert_eq!(asked[0].change, MemberChange::Add);
    answer(&mut console, &asked[0], Ok(None));
    assert!(frame(&console, 120, 36).contains("Add a node?"), "whatever is in the answer");
    let ordered = pressed(&mut console, 'y');
    answer(&mut console, &ordered[0], Err("conflict: the ring in force is 3.2".into()));
    assert!(frame(&console, 120, 36).contains("the ring in force is 3.2"));
}

#[test]
fn who_does_not_want_to_be_asked_is_not() {
    let mut console = played("calm", 2_000);
    (console.selected, console.confirm) = ("n3".into(), false);
    let ordered = pressed(&mut console, 'E');
    assert_eq!(ordered.len(), 1);
    assert!(!ordered[0].dry_run && ordered[0].ring.is_none());
}

#[test]
fn who_may_not_change_members_is_told_so() {
    for (role, may) in [(Role::Viewer, false), (Role::Client, false), (Role::Admin, true)] {
        let mut console = played("calm", 2_000);
        console.selected = "n3".into();
        let role = Fed::Role(FeedName::Coordinator, role);
        console.handle(console.model.now, Input::Fed(role));
        for key in ['A', 'D', 'E'] {
            assert_eq!(!pressed(&mut console, key).is_empty(), may, "{key}");
        }
        assert_eq!(frame(&console, 120, 36).contains(" E evict"), may);
    }
    let mut console = played("calm", 2_000);
    console.read_only = Some("you asked for it".into());
    assert!(pressed(&mut console, 'A').is_empty() && console.overlay.is_none());
    console.read_only = None;
    console.selected = COORDINATOR.into();
    assert!(pressed(&mut console, 'E').is_empty());
    assert!(frame(&console, 120, 36).contains("no place on the ring"));
}

/// When a silent node is evicted is told in a snapshot: whoever changes that changes what is shown.
#[test]
fn a_setting_that_is_changed_is_asked_for() {
    let mut console = played("calm", 2_000);
    let mut told = |seq: u64, source: &str, action: &str, result: &str| {
        let event = json!({"event": "admin", "seq": seq, "source": source, "id": seq,
            "action": action, "target": "evict_after_ms", "by": "ada", "result": result});
        let event = protocol::event::decode(event.to_string().as_bytes()).expect("an event");
        let feed = match source {
            "coordinator" => FeedName::Coordinator,
            _ => FeedName::Supervisor,
        };
        let fed = Fed::Event(feed, Box::new(event));
        let effects = console.handle(console.model.now, Input::Fed(fed));
        effects.iter().filter(|effect| matches!(effect, Effect::Subscribe(_))).count()
    };
    assert_eq!(told(90_000, "coordinator", "set", "ok"), 1);
    assert_eq!(told(90_001, "coordinator", "set", "forbidden"), 0);
    assert_eq!(told(90_002, "coordinator", "evict", "ok"), 0);
    assert_eq!(told(90_003, "supervisor", "set", "ok"), 0);
}
