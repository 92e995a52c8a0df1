//! What an audit finds, held against what is there; drawn.

use protocol::peer::{Audit, Audited, Digest, RangeHash, Scrubbed};

use super::*;

fn write(name: u64, version: u64, value: Option<&str>) -> Committed {
    let key = Key::new(&format!("key-{name}")).unwrap();
    let value = value.map(Value::from);
    let write =
        Write { key, value, previous: Previous::Any, flags: 0, expires_ms: 0, holders: Vec::new() };
    Committed { version: Version::new(Epoch(1), version), write, once: None }
}

fn key(name: u64) -> Key {
    Key::new(&format!("key-{name}")).unwrap()
}

/// Scrubs all of it in small portions; writes come between them.
fn scrub(keystore: &mut dyn Keystore, mut between: impl FnMut(&mut dyn Keystore)) -> Vec<Key> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        match keystore.audit(&Audit::Scrub { after }, 3).unwrap() {
            Audited::Scrubbed(Scrubbed { damaged, unreadable: false, through, .. }) => {
                found.extend(damaged);
                after = through;
            }
            other => panic!("{other:?}"),
        }
        if after.is_none() {
            return found;
        }
        between(keystore);
    }
}

fn hash(keystore: &mut dyn Keystore, span: Span) -> Option<RangeHash> {
    match keystore.audit(&Audit::Hashes(vec![span]), 1).unwrap() {
        Audited::Hashes(hashes) => hashes[0],
        other => panic!("{other:?}"),
    }
}

fn stores(directory: &Directory) -> [Box<dyn Keystore>; 2] {
    [Box::new(MemoryKeystore::new()), Box::new(directory.open().unwrap())]
}

const ENDS: [u64; 3] = [1 << 62, 2 << 62, 3 << 62];

fn spans() -> Vec<Span> {
    let begins = [ENDS[2], ENDS[0], ENDS[1]].map(|end| end.wrapping_add(1));
    let each = begins.iter().zip(ENDS).map(|(begin, end)| (Point(*begin), Point(end)));
    each.chain([(Point(ENDS[0] + 1), Point(ENDS[0])), (Point(ENDS[0] + 1), Point(ENDS[2]))])
        .collect()
}

/// Two stores with the same writes in another order have the same hashes, and a scrub between
/// them changes none; a changed value is found after a scrub, by its key.
#[test]
fn hashes_are_of_what_is_there_and_a_scrub_counts_it() {
    let mut source = Source(11);
    for _ in 0..60 {
        let directory = Directory::new();
        let [mut one, mut other] = stores(&directory);
        for store in [&mut one, &mut other] {
            store.set_ranges(Placement::Ring, &ENDS);
            while store.recount_step(100).unwrap() {}
        }
        let mut writes: Vec<Committed> = (1..60)
            .map(|version| {
                let value = format!("value-{version}");
                write(source.below(12), version, (source.below(4) > 0).then_some(&value))
            })
            .collect();
        one.apply(&writes, GroupSeq(1)).unwrap();
        writes.reverse();
        other.apply(&writes, GroupSeq(1)).unwrap();
        let later = write(source.below(12), 100, Some("later"));
        let mut put = |store: &mut dyn Keystore| {
            store.apply(std::slice::from_ref(&later), GroupSeq(2)).unwrap();
        };
        put(&mut *one);
        assert_eq!(scrub(&mut *other, &mut put), []);
        put(&mut *other);
        for span in spans() {
            let (one, other) = (hash(&mut *one, span), hash(&mut *other, span));
            assert!(one.is_some() && one == other, "{span:?}: {one:?} {other:?}");
        }
        assert_eq!(hash(&mut *one, (Point(5), Point(ENDS[0]))), None, "not a range");
    }
}

/// A damaged record is refused, found and mended, and nothing else is.
#[test]
fn a_damaged_record_is_never_shown_and_only_it_is_mended() {
    let directory = Directory::new();
    for mut store in stores(&directory) {
        store.set_ranges(Placement::Ring, &ENDS);
        while store.recount_step(100).unwrap() {}
        let writes: Vec<Committed> =
            (0..10).map(|name| write(name, name + 1, Some("right"))).collect();
        store.apply(&writes, GroupSeq(1)).unwrap();
        let all = (Point(ENDS[0] + 1), Point(ENDS[0]));
        let before = hash(&mut *store, all);
        let right = store.get(&key(3)).unwrap().unwrap();
        let bad = Stored { value: Some(Value::from("wrong")), ..right.clone() };
        store.replace(&key(3), bad).unwrap();
        assert!(matches!(store.get(&key(3)), Err(KeystoreError::Damaged(at)) if at == key(3)));
        let page = Scan { prefix: "".into(), after: None, looks_max: 99, bytes_max: 1 << 20 };
        assert!(matches!(store.scan(&page), Err(KeystoreError::Damaged(at)) if at == key(3)));
        assert_eq!(scrub(&mut *store, |_| {}), [key(3)]);
        match store.audit(&Audit::Digests { span: all, after: None }, 99).unwrap() {
            Audited::Digests { items, through: None } => {
                let bad = |digest: &&Digest| digest.damaged;
                let bad: Vec<&Key> = items.iter().filter(bad).map(|digest| &digest.key).collect();
                assert_eq!((items.len(), bad), (10, vec![&key(3)]));
            }
            other => panic!("{other:?}"),
        }
        let copies = [key(2), key(3), key(4)];
        let Audited::Copies(found) = store.audit(&Audit::Copies(copies.to_vec()), 9).unwrap()
        else {
            panic!("no copies")
        };
        assert_eq!(found.iter().map(|item| &item.key).collect::<Vec<_>>(), [&key(2), &key(4)]);

        let other = |name: u64| right.clone().into_item(key(name));
        let mend = Audit::Mend(vec![other(2), other(3), other(77)]);
        assert_eq!(store.audit(&mend, 9).unwrap(), Audited::Mended(vec![key(3)]));
        assert_eq!(store.get(&key(3)).unwrap(), Some(right));
        assert_eq!(store.get(&key(2)).unwrap().unwrap().version.counter(), 3);
        assert_eq!(store.get(&key(77)).unwrap(), None);
        assert_eq!(scrub(&mut *store, |_| {}), []);
        assert_eq!(hash(&mut *store, all), before);
    }
}
