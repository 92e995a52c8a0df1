//! Named updates (R16): their names are kept, and told to a new coordinator.

use super::*;

#[test]
fn r16_a_name_goes_with_the_first_write_and_survives_a_restart() {
    let once = || Once { name: "0123456789abcdef".parse().expect("16 bytes"), request_hash: 7 };
    let mut rig = Rig::ready();
    let mut named = put(id(1, 1), "a");
    named.writes.extend(put(id(1, 1), "b").writes);
    named.once = Some(once());
    rig.batch(prepares([named]));
    rig.settle();
    assert_eq!(rig.report().txns[0].prepared.as_ref().and_then(|p| p.once.clone()), Some(once()));
    rig.batch(commits(id(1, 1)));
    rig.hand(Input::Stop);
    rig.settle();
    assert_eq!(rig.applied, [(key("a"), id(1, 1)), (key("b"), id(1, 1))]);
    assert_eq!(rig.named, [(id(1, 1), once())]);
    let mut replayed = Vec::new();
    let mut restart = Restart::new(rig.meta.clone(), GroupSeq(0), 1 << 30, small_cache());
    for (seq, records) in &rig.logged {
        for record in records {
            restart.replay(*seq, record.clone(), &mut replayed);
        }
    }
    let named: Vec<Option<Once>> = replayed.into_iter().map(|write| write.once).collect();
    assert_eq!(named, [Some(once()), None]);
}

#[test]
fn r16_named_updates_are_told_in_portions_of_the_ranges_asked_for() {
    use protocol::peer::{OnceAsk, OnceEntry};
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "a")]));
    rig.settle();
    rig.batch(commits(id(1, 1)));
    let ask = OnceAsk { r: 5, after: Version::ZERO, ranges: vec![(Point(10), Point(19))] };
    rig.batch(Batch { once: vec![ask], once_from: Some(id(1, 0)), ..Batch::default() });
    assert_eq!((rig.applied.len(), &rig.dropped[..]), (1, &[id(1, 0)][..]), "applied before");
    let entry = |counter: u64| OnceEntry {
        version: id(1, counter),
        hash: Point(counter % 20),
        sum: 0,
        once: Once { name: "0123456789abcdef".parse().expect("16 bytes"), request_hash: 7 },
    };
    let full: Vec<OnceEntry> = (1..=super::super::once::PORTION as u64).map(entry).collect();
    rig.up.clear();
    let token = rig.asked[0];
    rig.hand(Input::OncesRead { token, entries: full.clone() });
    rig.flush();
    let answer = rig.up[0].once[0].clone();
    assert_eq!((answer.r, answer.through), (5, full.last().map(|entry| entry.version)));
    let wanted = full.iter().filter(|entry| (10..20).contains(&entry.hash.0));
    assert!(answer.entries.iter().eq(wanted) && !answer.entries.is_empty());
    // The last portion says so, also when nothing of it was asked for.
    let ask = OnceAsk { r: 6, after: Version::ZERO, ranges: vec![(Point(10), Point(19))] };
    rig.batch(Batch { once: vec![ask], ..Batch::default() });
    rig.up.clear();
    rig.hand(Input::OncesRead { token: rig.asked[1], entries: vec![entry(3)] });
    rig.flush();
    assert_eq!((rig.up[0].once[0].entries.len(), rig.up[0].once[0].through), (0, None));
}
