//! The node's cache: what the coordinator is told from it is what the keystore would have told.

use super::*;

fn reads(keys: &[(u64, &str)]) -> Batch {
    let ask = |(r, at): &(u64, &str)| ReadAsk { r: *r, k: key(at) };
    Batch { read: keys.iter().map(ask).collect(), ..Batch::default() }
}

/// A value or its absence, with its version.
type Told = (u64, Version, Option<String>);

impl Rig {
    /// What was answered since the last call.
    fn told(&mut self) -> Vec<Told> {
        let answers = std::mem::take(&mut self.up).into_iter().flat_map(|up| up.read);
        let text = |value: WireValue| String::from_utf8_lossy(value.0.as_bytes()).into_owned();
        answers.map(|answer| (answer.r, answer.at, answer.v.map(text))).collect()
    }

    /// A founded node on whose keystore `keys` have this version and value, and which has read them.
    fn warm(keys: &[&str], version: Version, value: &str) -> Self {
        let mut rig = Self::ready();
        for at in keys {
            rig.batch(reads(&[(1, at)]));
            rig.found_there(version, Some(value));
        }
        rig.told();
        rig
    }

    /// Reads a key that must be cached.
    fn cached(&mut self, at: &str) -> (Version, Option<String>) {
        self.batch(reads(&[(900, at)]));
        assert!(self.looks.is_empty(), "the keystore was asked for {at}");
        let mut told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        let (r, version, value) = told.remove(0);
        assert_eq!(r, 900);
        (version, value)
    }

    /// Reads a key that must not be cached, which the keystore then says is there.
    fn looked_up(&mut self, at: &str, version: Version, value: Option<&str>) {
        self.batch(reads(&[(901, at)]));
        assert_eq!(self.told(), [], "the keystore was not asked for {at}");
        assert_eq!(self.looks.last().map(|(_, at)| at.clone()), Some(key(at)));
        self.found_there(version, value);
        assert_eq!(self.told(), [(901, version, value.map(String::from))]);
    }
}

fn some(version: Version, value: &str) -> (Version, Option<String>) {
    (version, Some(value.to_owned()))
}

#[test]
fn a_key_that_is_read_again_is_told_without_the_keystore() {
    let mut rig = Rig::ready();
    rig.looked_up("k", id(1, 1), Some("a"));
    for _ in 0..3 {
        assert_eq!(rig.cached("k"), some(id(1, 1), "a"));
    }
    let stats = rig.node.cache().stats();
    assert_eq!((stats.hits, stats.misses, stats.entries, stats.bytes), (3, 1, 1, 2));
    rig.node.cache().check();
}

#[test]
fn that_a_key_is_not_there_is_not_cached() {
    let mut rig = Rig::ready();
    rig.looked_up("k", Version::ZERO, None);
    rig.looked_up("k", id(1, 1), None);
}

#[test]
fn what_is_only_written_is_not_cached() {
    let mut rig = Rig::ready();
    rig.batch(prepares([put(id(1, 1), "k")]));
    rig.settle();
    rig.batch(commits(id(1, 1)));
    rig.told();
    rig.looked_up("k", id(1, 1), Some("v"));
}

#[test]
fn a_write_that_is_decided_in_the_same_message_is_told_by_the_read_behind_it() {
    let mut rig = Rig::warm(&["k"], id(1, 1), "a");
    rig.batch(prepares([put(id(1, 2), "k")]));
    rig.settle();
    rig.told();
    assert_eq!(rig.cached("k"), some(id(1, 1), "a"), "it is not decided");
    rig.batch(Batch { commit: vec![id(1, 2)], ..reads(&[(5, "k")]) });
    assert_eq!(rig.told(), [(5, id(1, 2), Some("v".into()))]);
    assert!(rig.looks.is_empty());
    assert_eq!(rig.applied, [(key("k"), id(1, 2))]);
}

#[test]
fn h23_h24_an_answer_that_was_overtaken_by_a_write_is_told_and_not_cached() {
    for write in [Some("new"), None] {
        let mut rig = Rig::ready();
        rig.batch(prepares([prepare(id(1, 2), "k", write, None, &[])]));
        rig.settle();
        rig.told();
        // The keystore is asked; then the write is decided and handed over behind the question.
        rig.batch(reads(&[(1, "k")]));
        rig.batch(Batch { commit: vec![id(1, 2)], ..reads(&[(2, "other")]) });
        assert_eq!(rig.applied, [(key("k"), id(1, 2))]);
        rig.found_there(id(1, 1), Some("old"));
        assert_eq!(rig.told(), [(1, id(1, 1), Some("old".into()))], "as of its place");
        rig.found(Version::ZERO);
        rig.told();
        rig.looked_up("k", id(1, 2), write);
    }
}

#[test]
fn h23_a_write_that_is_decided_and_not_handed_over_replaces_what_is_filled_in_before_it() {
    for write in [Some("new"), None] {
        let mut rig = Rig::ready();
        rig.batch(prepares([prepare(id(1, 2), "k", write, None, &[])]));
        rig.settle();
        rig.batch(reads(&[(1, "k")]));
        rig.batch(commits(id(1, 2)));
        assert_eq!(rig.applied, [], "it waits for company");
        rig.found_there(id(1, 1), Some("old"));
        rig.told();
        match write {
            Some(value) => assert_eq!(rig.cached("k"), some(id(1, 2), value)),
            None => rig.looked_up("k", id(1, 2), None),
        }
    }
}

#[test]
fn an_abort_leaves_no_trace() {
    let mut rig = Rig::warm(&["k"], id(1, 1), "a");
    for counter in [2, 3] {
        let write = (counter == 2).then_some("b");
        rig.batch(prepares([prepare(id(1, counter), "k", write, None, &[])]));
        rig.settle();
        rig.batch(aborts(id(1, counter)));
        rig.settle();
        rig.told();
        assert_eq!(rig.cached("k"), some(id(1, 1), "a"));
    }
}

#[test]
fn a_commit_of_several_keys_is_told_whole() {
    let mut rig = Rig::warm(&["a", "b", "c"], id(1, 1), "old");
    let write = |at, value: Option<&str>| {
        let value = value.map(|value| WireValue(Value::from(value)));
        WireWrite { key: key(at), value, previous: None, holders: Vec::new() }
    };
    let writes = vec![write("a", Some("new")), write("b", None), write("d", Some("new"))];
    rig.batch(prepares([Prepare { writes, ..put(id(1, 2), "a") }]));
    rig.settle();
    rig.told();
    let all = [(1, "a"), (2, "b"), (3, "c"), (4, "d")];
    rig.batch(Batch { commit: vec![id(1, 2)], ..reads(&all) });
    let told = [(1, id(1, 2), Some("new".into())), (3, id(1, 1), Some("old".into()))];
    assert_eq!(rig.told(), told);
    let looks: Vec<Key> = rig.looks.iter().map(|(_, at)| at.clone()).collect();
    assert_eq!(looks, [key("b"), key("d")], "a deletion is taken out, a new key is not taken in");
    rig.node.cache().check();
}

#[test]
fn r6_what_is_adopted_reaches_the_cache() {
    let mut rig = Rig::warm(&["k"], id(1, 1), "a");
    let adopt = vec![Arc::new(put(id(1, 2), "k"))];
    rig.batch(Batch { adopt, ..Batch::default() });
    rig.settle();
    rig.told();
    assert_eq!(rig.cached("k"), some(id(1, 2), "v"));
}

#[test]
fn an_older_write_that_is_told_late_does_not_replace_a_newer_one() {
    let mut rig = Rig::warm(&["k"], id(1, 5), "newer");
    let adopt = vec![Arc::new(put(id(1, 2), "k"))];
    rig.batch(Batch { adopt, ..Batch::default() });
    rig.settle();
    rig.told();
    assert_eq!(rig.cached("k"), some(id(1, 5), "newer"), "as the keystore has it");
}

#[test]
fn a_restarted_node_has_an_empty_cache() {
    let mut rig = Rig::warm(&["k"], id(1, 1), "a");
    rig.settle();
    let mut again = rig.restart(usize::MAX);
    again.open(2, Uuid(12), 1);
    again.settle();
    again.told();
    again.looked_up("k", id(1, 1), Some("a"));
}

#[test]
fn an_answer_to_a_session_that_has_ended_is_neither_told_nor_cached() {
    let mut rig = Rig::ready();
    rig.batch(reads(&[(1, "k")]));
    rig.open(2, Uuid(12), 1);
    rig.settle();
    // The same number, on the new session: the late answer is not for it.
    rig.batch(reads(&[(1, "k")]));
    rig.told();
    rig.found_there(id(1, 1), Some("old"));
    assert_eq!(rig.told(), []);
    rig.found_there(id(1, 2), Some("new"));
    assert_eq!(rig.told(), [(1, id(1, 2), Some("new".into()))]);
    assert_eq!(rig.cached("k"), some(id(1, 2), "new"));
}

#[test]
fn a_message_is_not_filled_with_cached_answers_without_end() {
    let value = "x".repeat(16 << 10);
    let mut rig = Rig::warm(&["k"], id(1, 1), &value);
    let asks: Vec<(u64, &str)> = (1..=1_000).map(|r| (r, "k")).collect();
    rig.batch(reads(&asks));
    let told = rig.told().len();
    assert!((200..=260).contains(&told), "{told} of 16 KiB each at once");
    assert_eq!(told + rig.looks.len(), 1_000, "the keystore is asked for the rest");
    while !rig.looks.is_empty() {
        rig.found_there(id(1, 1), Some(&value));
    }
    assert_eq!(rig.told().len(), 1_000 - told);
}

#[test]
fn many_long_answers_at_once_make_messages_that_a_link_takes() {
    const KEYS: u64 = 100;
    let mut rig = Rig::ready();
    rig.up.clear();
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let asks: Vec<(u64, &str)> = (0..).zip(keys.iter().map(String::as_str)).collect();
    rig.batch(reads(&asks));
    // Each byte of such a value takes six on the wire.
    let long = "\u{1}".repeat(1 << 20);
    for (token, _) in std::mem::take(&mut rig.looks) {
        let found = Found { version: id(1, 1), value: Some(Value::from(long.as_str())) };
        rig.hand(Input::ReadDone { token, found });
    }
    rig.flush();
    for up in &rig.up {
        let mut line = Vec::new();
        protocol::peer::Message::write(up, &mut line);
        assert!(line.len() < protocol::peer::PEER_LINE_BYTES_MAX, "{} bytes", line.len());
    }
    assert_eq!(rig.told().len() as u64, KEYS);
}
