//! The keystore on disk: killed, without space, damaged, a stranger's.

use super::*;

fn halves() -> By {
    By { placement: Placement::Ring, points: vec![u64::MAX / 2, u64::MAX] }
}

fn filled(directory: &Directory, seed: u64, checkpoints: usize) -> (FjallKeystore, Model) {
    let mut keystore = directory.open().unwrap();
    count_by(&mut keystore, &halves());
    let mut model = Model::default();
    let mut source = Source(seed);
    for _ in 0..checkpoints {
        let mut writes = batch(&mut source);
        settle(&mut writes);
        let through = model.through.next();
        keystore.apply(&writes, through).unwrap();
        model.apply(&writes, through);
        keystore.checkpoint().unwrap();
    }
    (keystore, model)
}

#[test]
fn a_checkpoint_without_space_changes_nothing_and_the_next_one_makes_up_for_it() {
    let directory = Directory::new();
    let points = halves();
    let (mut keystore, mut model) = filled(&directory, 5, 3);
    for number in 0..3 {
        let mut writes = batch(&mut Source(90 + number));
        settle(&mut writes);
        let through = model.through.next();
        keystore.apply(&writes, through).unwrap();
        model.apply(&writes, through);
        // What it was to write is there a second time once it is written.
        let work = keystore.begin_checkpoint().expect("none is under way");
        if number == 1 {
            let Checkpointed(done) = work.run();
            done.unwrap();
        }
        let ended = keystore.end_checkpoint(Checkpointed::no_space());
        assert!(matches!(ended, Err(KeystoreError::NoSpace(_))));
        assert_eq!(keystore.checkpointed(), GroupSeq(3));
        check(&keystore, &model, &points);
    }
    let first = keystore.checkpoint().unwrap();
    assert_eq!(first, GroupSeq(4), "what the first one had frozen");
    assert_eq!(keystore.checkpoint().unwrap(), model.through);
    check(&keystore, &model, &points);
    drop(keystore);
    check(&directory.open().unwrap(), &model, &points);
}

#[test]
fn a_killed_fjall_is_exactly_its_last_checkpoint() {
    let directory = Directory::new();
    let (mut keystore, before) = filled(&directory, 1, 6);
    let mut writes: Vec<_> = batch(&mut Source(77));
    writes.push(committed(Key::new("new").unwrap(), Version::new(Epoch(2), 1), None));
    settle(&mut writes);
    let mut after = before.clone();
    after.apply(&writes, GroupSeq(7));
    keystore.apply(&writes, GroupSeq(7)).unwrap();
    let points = halves();
    let expect = |model: &Model| {
        let copy = directory.copy();
        check(&copy.open().unwrap(), model, &points);
    };
    expect(&before);
    let work = keystore.begin_checkpoint().unwrap();
    expect(&before);
    let done = work.run();
    expect(&after);
    keystore.end_checkpoint(done).unwrap();
    expect(&after);
    check(&keystore, &after, &points);
}

#[test]
fn damage_to_the_journal_does_not_matter() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 2, 3);
    drop(keystore);
    let journals: Vec<_> = directory
        .files()
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "jnl"))
        .collect();
    assert!(!journals.is_empty());
    let mut source = Source(5);
    for tag in 0..6 {
        let mut garbage = source.bytes(10_000);
        garbage[0] = tag;
        fs::write(&journals[0], &garbage).unwrap();
        check(&directory.open().unwrap(), &model, &halves());
    }
}

#[test]
fn damage_to_any_file_is_an_error_or_harmless() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 3, 5);
    drop(keystore);
    let mut outcomes = [0; 3];
    let mut source = Source(6);
    for (at, file) in directory.files().iter().enumerate() {
        let length = fs::metadata(file).unwrap().len();
        for _ in 0..if length == 0 { 0 } else { 40 } {
            let damaged = directory.copy();
            let copy = &damaged.files()[at];
            let mut bytes = fs::read(copy).unwrap();
            let byte = source.below(bytes.len() as u64) as usize;
            bytes[byte] ^= 1 << source.below(8);
            fs::write(copy, bytes).unwrap();
            let Ok(keystore) = damaged.open() else {
                outcomes[0] += 1;
                continue;
            };
            let mut failed = keystore.scan(&everything()).is_err();
            for (key, (version, value)) in &model.keys {
                match keystore.get(key) {
                    Ok(Some(stored)) => {
                        assert_eq!((stored.version, &stored.value), (*version, value));
                    }
                    Ok(None) => panic!("{key:?} vanished with {}", file.display()),
                    Err(_) => failed = true,
                }
            }
            outcomes[1 + usize::from(failed)] += 1;
        }
    }
    let [not_opened, harmless, noticed_by_a_read] = outcomes;
    assert!(not_opened + noticed_by_a_read > 100 && harmless > 0, "{outcomes:?}");
}

#[test]
fn a_missing_manifest_is_an_error_and_nothing_is_deleted() {
    let directory = Directory::new();
    let (keystore, model) = filled(&directory, 4, 3);
    drop(keystore);
    for tree in ["0", "1"] {
        let damaged = directory.copy();
        let current = damaged.keystore().join("keyspaces").join(tree).join("current");
        let bytes = fs::read(&current).unwrap();
        fs::remove_file(&current).unwrap();
        assert!(matches!(damaged.open(), Err(KeystoreError::Corrupt(_))));
        fs::write(&current, bytes).unwrap();
        check(&damaged.open().unwrap(), &model, &halves());
    }
}

#[test]
fn a_half_made_keystore_is_made_anew() {
    let directory = Directory::new();
    drop(directory.open().unwrap());
    fs::rename(directory.keystore(), directory.0.join("keystore.new")).unwrap();
    let journal = directory.0.join("keystore.new").join("0.jnl");
    fs::remove_file(journal).unwrap();
    check(&directory.open().unwrap(), &Model::default(), &By::default());
}

/// Contract: "Every data file begins with a magic, a format number, cluster and store uuid"
#[test]
fn a_strangers_keystore_is_refused() {
    let directory = Directory::new();
    drop(directory.open().unwrap());
    let other = Identity { store: Uuid(9), ..STORE };
    let opened = FjallKeystore::open(&directory.keystore(), other, 1 << 20);
    assert!(matches!(opened, Err(KeystoreError::Foreign { store: Uuid(0x57), .. })));
    let unfounded = Identity { cluster: Uuid(0), ..STORE };
    assert!(FjallKeystore::open(&directory.keystore(), unfounded, 1 << 20).is_ok());
}

#[test]
fn overwritten_versions_do_not_pile_up() {
    let directory = Directory::new();
    let mut keystore = directory.open().unwrap();
    let value = Value::from(vec![7; 2000]);
    for round in 1..=60 {
        let writes: Vec<_> = (0..100)
            .map(|key| {
                let key = Key::new(&format!("key {key}")).unwrap();
                committed(key, Version::new(Epoch(1), round), Some(value.clone()))
            })
            .collect();
        keystore.apply(&writes, GroupSeq(round)).unwrap();
        keystore.checkpoint().unwrap();
    }
    // 12 MB were written, 200 kB are live; merging goes on in the background.
    drop(keystore);
    let keystore = directory.open().unwrap();
    assert_eq!(keystore.scan(&everything()).unwrap().items.len(), 100);
    assert!(keystore.disk_bytes().unwrap() < 6_000_000, "{}", keystore.disk_bytes().unwrap());
}
