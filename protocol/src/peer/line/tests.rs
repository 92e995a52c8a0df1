//! What is written by hand means to `serde` what was meant, and what is read by hand is what
//! `serde` would have read.

use super::*;
use crate::peer::{Abort, Greeting, Open, Refusal, Settled};
use crate::testing::Numbers;

fn some<T>(numbers: &mut Numbers, mut item: impl FnMut(&mut Numbers) -> T) -> Vec<T> {
    (0..[0, 1, 1, 3][numbers.below(4)]).map(|_| item(numbers)).collect()
}

fn number(numbers: &mut Numbers) -> u64 {
    match numbers.below(8) {
        0 => 0,
        1 => u64::MAX,
        2..5 => numbers.next() % 100,
        _ => numbers.next(),
    }
}

fn version(numbers: &mut Numbers) -> Version {
    Version::from_number(number(numbers))
}

fn member(numbers: &mut Numbers) -> MemberId {
    MemberId(numbers.next() as u16)
}

fn key(numbers: &mut Numbers) -> Key {
    let plain = numbers.below(2) == 0;
    Key::new(&if plain { "plain".to_owned() } else { numbers.text(20) }).unwrap()
}

fn value(numbers: &mut Numbers) -> Option<WireValue> {
    let length = numbers.below(40);
    Some(WireValue(match numbers.below(4) {
        0 => return None,
        1 => Value::from("plain text"),
        2 => Value::from(numbers.text(40).as_str()),
        _ => Value::from(numbers.bytes(length)),
    }))
}

fn once(numbers: &mut Numbers) -> Option<Once> {
    // Of text that needs escapes, and of text that does not.
    let rest = if numbers.below(2) == 0 { "plain" } else { "\"\n\u{e9}" };
    let name = format!("a name of 16 bytes or more {rest}").parse::<OnceName>().unwrap();
    let request_hash = number(numbers);
    (numbers.below(2) == 0).then_some(Once { name, request_hash })
}

fn due(numbers: &mut Numbers) -> Due {
    Due { id: version(numbers), at: some(numbers, member) }
}

fn prepare(numbers: &mut Numbers) -> Arc<Prepare> {
    let write = |numbers: &mut Numbers| WireWrite {
        key: key(numbers),
        value: value(numbers),
        previous: (numbers.below(2) == 0).then(|| version(numbers)),
        holders: some(numbers, member),
    };
    let ring = RingNumber { epoch: Epoch(numbers.next() as u32), counter: numbers.next() as u32 };
    Arc::new(Prepare {
        id: version(numbers),
        ring,
        participants: some(numbers, member),
        rests_on: some(numbers, version),
        due: some(numbers, due),
        writes: some(numbers, write),
        once: once(numbers),
    })
}

fn down(numbers: &mut Numbers) -> Down {
    let rarely = |numbers: &mut Numbers| numbers.below(12) == 0;
    let mut batch = Batch {
        ask: rarely(numbers),
        commit: some(numbers, version),
        sync: rarely(numbers),
        read: some(numbers, |numbers| ReadAsk { r: number(numbers), k: key(numbers) }),
        prepare: some(numbers, prepare),
        timed: numbers.below(2) == 0,
        marks: some(numbers, |numbers| (member(numbers), GroupSeq(number(numbers)))),
        caught_up: rarely(numbers),
        once_from: rarely(numbers).then(|| version(numbers)),
        ..Batch::default()
    };
    if rarely(numbers) {
        batch.adopt = some(numbers, prepare);
        batch.in_force = Some(RingNumber::default());
        batch.settled = Some(Settled {
            from: version(numbers),
            below: version(numbers),
            except: some(numbers, version),
        });
        let abort = |numbers: &mut Numbers| {
            let (id, participants) = (version(numbers), some(numbers, member));
            Abort { id, participants }
        };
        batch.abort = some(numbers, abort);
    }
    let reason = "lost".to_owned();
    let body = match numbers.below(24) {
        0 => DownBody::Lost { reason },
        1 => DownBody::Losses(some(numbers, member)),
        _ => DownBody::Batch(batch),
    };
    let epoch = Epoch(numbers.next() as u32);
    Down { session: number(numbers), n: number(numbers), epoch, body }
}

fn timed(numbers: &mut Numbers) -> Timed {
    let [from, votes] = [0; 2].map(|_| numbers.next() as u32);
    let [queue_us, append_us, sync_us] = [0; 3].map(|_| number(numbers));
    Timed { from, votes, queue_us, append_us, sync_us }
}

fn up(numbers: &mut Numbers) -> Up {
    let rarely = |numbers: &mut Numbers| numbers.below(12) == 0;
    let refusal = |numbers: &mut Numbers| Refusal { c: number(numbers), reason: numbers.text(9) };
    let answer = |numbers: &mut Numbers| {
        let (r, v, at) = (number(numbers), value(numbers), version(numbers));
        ReadAnswer { r, v, at, c: numbers.below(2) == 0, damaged: rarely(numbers) }
    };
    Up {
        session: number(numbers),
        n: number(numbers),
        epoch: Epoch(numbers.next() as u32),
        ack: number(numbers),
        durable: number(numbers),
        end: GroupSeq(number(numbers)),
        yes: some(numbers, number),
        timed: some(numbers, timed),
        no: if rarely(numbers) { some(numbers, refusal) } else { Vec::new() },
        read: some(numbers, answer),
        fenced: rarely(numbers).then_some(Epoch(7)),
        installed: rarely(numbers).then_some(RingNumber { epoch: Epoch(7), counter: 1 }),
        marked: rarely(numbers),
        lost: if rarely(numbers) { some(numbers, member) } else { Vec::new() },
        caught_up: rarely(numbers),
        full: rarely(numbers),
        ..Up::default()
    }
}

fn line(message: &impl Message) -> String {
    let mut out = Vec::new();
    message.write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn messages_come_back_as_they_were_whoever_reads_them() {
    for seed in 0..5_000 {
        let numbers = &mut Numbers::new(seed);
        let (down, up) = (down(numbers), up(numbers));
        for line in [line(&down), serde_json::to_string(&down).unwrap()] {
            assert_eq!(Down::read(&line).unwrap(), down, "seed {seed}: {line}");
            assert_eq!(serde_json::from_str::<Down>(&line).unwrap(), down, "seed {seed}: {line}");
        }
        for line in [line(&up), serde_json::to_string(&up).unwrap()] {
            assert_eq!(Up::read(&line).unwrap(), up, "seed {seed}: {line}");
            assert_eq!(serde_json::from_str::<Up>(&line).unwrap(), up, "seed {seed}: {line}");
        }
    }
}

/// Damaged lines are read as `serde` reads them, or refused as it does.
#[test]
fn what_is_read_by_hand_is_what_serde_reads() {
    let tokens =
        ["", "0", "1", ",", "]", "[", "{", "}", "\"", "\\", "\\n", "-", ".", " ", "\n", "é"];
    for seed in 0..20_000 {
        let numbers = &mut Numbers::new(seed);
        let (mut down, mut up) = (line(&down(numbers)), line(&up(numbers)));
        for line in [&mut down, &mut up] {
            let chars: Vec<(usize, char)> = line.char_indices().collect();
            let (at, char) = chars[numbers.below(chars.len())];
            let keep = numbers.below(2);
            let end = at + keep * char.len_utf8();
            line.replace_range(at..end, tokens[numbers.below(tokens.len())]);
        }
        let read = (Down::read(&down).ok(), Up::read(&up).ok());
        let expected = (serde_json::from_str(&down).ok(), serde_json::from_str(&up).ok());
        assert_eq!(read, expected, "seed {seed}: {down} {up}");
    }
}

/// The lines of everyday updates are of the form that is read by hand.
#[test]
fn everyday_lines_are_read_by_hand() {
    for seed in 0..2_000 {
        let numbers = &mut Numbers::new(seed);
        let write = WireWrite {
            key: Key::new("key").unwrap(),
            value: Some(WireValue(Value::from("value"))),
            previous: (seed % 2 == 0).then(|| version(numbers)),
            holders: Vec::new(),
        };
        let prepare = Prepare {
            id: version(numbers),
            ring: RingNumber::default(),
            participants: vec![member(numbers), member(numbers)],
            rests_on: some(numbers, version),
            due: some(numbers, |numbers| Due { at: vec![member(numbers)], ..due(numbers) }),
            writes: vec![write],
            once: once(numbers).filter(|once| once.name.as_str().ends_with("plain")),
        };
        let batch = Batch {
            commit: some(numbers, version),
            prepare: vec![Arc::new(prepare)],
            marks: some(numbers, |numbers| (member(numbers), GroupSeq(number(numbers)))),
            ..Batch::default()
        };
        let body = DownBody::Batch(batch);
        let down = Down { session: 1, n: number(numbers), epoch: Epoch(1), body };
        assert_eq!(read_down(&mut Cursor::new(&line(&down))), Some(down), "seed {seed}");
        let up = Up { no: Vec::new(), read: Vec::new(), ..up(numbers) };
        let plain = Up { fenced: None, installed: None, marked: false, ..up };
        let up = Up { lost: Vec::new(), caught_up: false, full: false, ..plain };
        assert_eq!(read_up(&mut Cursor::new(&line(&up))), Some(up), "seed {seed}");
    }
}

#[test]
fn other_messages_are_left_to_serde() {
    let open = Open {
        greeting: Greeting::new(None),
        coordinator: crate::ids::Uuid(1),
        store: crate::ids::Uuid(2),
        incarnation: crate::ids::Incarnation(1),
    };
    let down = Down { session: 1, n: 1, epoch: Epoch(1), body: DownBody::Open(open) };
    assert_eq!(line(&down), serde_json::to_string(&down).unwrap());
    assert_eq!(Down::read(&line(&down)).unwrap(), down);
}
