//! Watches: every committed change, in order per key, once a connection, until they are lost.

use super::super::WatchOp;
use super::*;

impl World {
    fn watch(&mut self, conn: u64, op: WatchOp) -> ClientId {
        self.request(0, conn, ClientOp::Watch(op), 5_000)
    }

    fn told(&mut self, conn: u64) -> Vec<String> {
        let lines = self.sides[0].lines.iter().filter(|(to, _)| *to == conn);
        lines.map(|(_, line)| line.clone()).collect()
    }
}

#[test]
fn a_watch_is_told_of_every_change_in_the_order_of_commits() {
    let mut world = World::founded();
    let (one, two) = (key("one"), key("two"));
    world.put(1, &one, "before");
    world.run();
    let first = world.watch(5, WatchOp::Key(one.clone()));
    let second = world.watch(6, WatchOp::Prefix("t".into()));
    let both = world.watch(7, WatchOp::Prefix("".into()));
    world.watch(7, WatchOp::Key(one.clone()));
    assert!(is_ok(world.answer(first)) && is_ok(world.answer(second)) && is_ok(world.answer(both)));
    // Together, so that they are out at the same time.
    for n in 0..5 {
        world.put(1, &one, &format!("v{n}"));
    }
    world.del(1, &one);
    world.put(2, &two, "w");
    world.run();
    let told = world.told(5);
    assert_eq!(told.len(), 6);
    for (n, line) in told[..5].iter().enumerate() {
        assert!(line.contains("\"watch\":\"put\"") && line.contains(&format!("v{n}")), "{line}");
    }
    assert!(told[5].contains("\"watch\":\"del\""));
    assert_eq!(world.told(6).len(), 1);
    assert_eq!(world.told(7).len(), 7, "one line a change");
    world.tell(0, Input::ClientGone(7));
    world.put(1, &one, "after");
    world.run();
    assert_eq!((world.told(5).len(), world.told(7).len()), (7, 7));
}

/// Contract: "or a change of coordinator, gets `{"watch":"lost"}`"
#[test]
fn what_is_aborted_is_not_told_and_a_new_epoch_ends_the_watch() {
    let mut world = World::founded();
    let at = world.some_key();
    world.watch(5, WatchOp::Key(at.clone()));
    let node = world.holders(&at)[0];
    world.mute.insert(node);
    let id = world.next_id();
    let put = world.put(1, &at, "v1");
    world.run();
    world.say(node, |up| up.no = vec![Refusal { c: id.counter(), reason: "test".into() }]);
    world.mute.clear();
    world.run();
    assert_eq!(code(world.answer(put)), Some(ErrorCode::Aborted));
    assert!(world.told(5).is_empty());
    world.say(node, |up| up.fenced = Some(Epoch(2)));
    assert_eq!(world.told(5), ["lost"]);
}

#[test]
fn without_the_lease_no_watch_begins() {
    let mut world = World::founded();
    world.mute.extend(0..3);
    world.advance(3_000);
    let watch = world.watch(5, WatchOp::Prefix("".into()));
    assert_eq!(code(world.answer(watch)), Some(ErrorCode::Unavailable));
}
