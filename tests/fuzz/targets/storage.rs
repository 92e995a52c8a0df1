//! What a node finds on its disk. Checksums keep nearly all that is random from ever being looked
//! at, so an input is a row of decisions: what was written, what was changed afterwards, and
//! whether the checksums were made right again, as in a file that is forged. Checksums are made
//! here from the documented tables, not by the code that is tested.

use std::sync::Arc;

use cluster::core::record::{LogRecord, Prepared, Previous, Write};
use cluster::storage::codec;
use cluster::storage::crash_disk::CrashDisk;
use cluster::storage::disk::{Disk, SECTOR};
use cluster::storage::identity::Identity;
use cluster::storage::keystore::entry::{self, Whole};
use cluster::storage::log::{Found, Log, LogConfig, Tail, inspect};
use cluster::storage::small_file::{self, SmallFile};
use protocol::ids::{Epoch, GroupSeq, Key, MemberId, Once, RingNumber, Uuid, Value, Version};

use super::choices::Choices;

const IDENTITY: Identity = Identity { cluster: Uuid(0), store: Uuid(7) };

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Records: of any bytes those that are records are exactly the encoding of what is read, and
/// records that are built are read back.
pub fn log_records(data: &[u8]) {
    assert_canonical(data);
    let mut mended = data.to_vec();
    mend_writes(&mut mended);
    assert_canonical(&mended);
    let mut choices = Choices::new(data);
    let built: Vec<LogRecord> = (0..1 + choices.below(3)).map(|_| record(&mut choices)).collect();
    let mut bytes = Vec::new();
    built.iter().for_each(|record| codec::encode(record, &mut bytes));
    let read: Result<Vec<LogRecord>, _> = codec::decode(&bytes).collect();
    assert_eq!(read.as_ref(), Ok(&built), "the same when read");
    let at = choices.below(bytes.len());
    bytes[at] ^= choices.byte();
    mend_writes(&mut bytes);
    assert_canonical(&bytes);
}

fn assert_canonical(bytes: &[u8]) {
    let mut again = Vec::new();
    let mut whole = true;
    for record in codec::decode(bytes) {
        assert!(whole, "nothing follows an error");
        match record {
            Ok(record) => {
                let begin = again.len();
                codec::encode(&record, &mut again);
                let length = (again.len() - begin) as u64;
                assert!(length <= record.bytes_max(), "{length} bytes: {record:?}");
            }
            Err(bad) => {
                assert!(bad.at <= bytes.len());
                whole = false;
            }
        }
    }
    assert!(bytes.starts_with(&again), "a record is exactly its encoding");
    assert!(!whole || again.len() == bytes.len());
}

/// Makes the checksums of writes right, as far as the bytes are records.
fn mend_writes(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(next) = mend_record(bytes, at) {
        at = next;
    }
}

fn mend_record(bytes: &mut [u8], at: usize) -> Option<usize> {
    let number = |bytes: &[u8], at: usize, width: usize| {
        let part = bytes.get(at..at.checked_add(width)?)?;
        Some(part.iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte)))
    };
    let kind = number(bytes, at, 1)?;
    let id = at + 5;
    match kind {
        1 => {}
        3 => return Some(id + 8),
        2 | 4 | 7 => return Some(id + 10 + 2 * number(bytes, id + 8, 2)?),
        5 => return Some(id + 20 + 8 * number(bytes, id + 16, 4)?),
        6 => return Some(id + 2 + 10 * number(bytes, id, 2)?),
        _ => return None,
    }
    let mut at = id + 16;
    let once = number(bytes, at, 1)?;
    at += if once == 0 { 1 } else { 9 + once };
    at += 2 + 2 * number(bytes, at, 2)?;
    at += 4 + 8 * number(bytes, at, 4)?;
    let writes = number(bytes, at, 4)?;
    at += 4;
    for _ in 0..writes {
        let key = at..at + 2 + number(bytes, at, 2)?;
        let length = key.end + 21;
        let count = number(bytes, length, 4)?;
        let absent = count == u32::MAX as usize;
        let value = length + 4..length + 4 + if absent { 0 } else { count };
        let head = [bytes.get(key.clone())?, bytes.get(id..id + 8)?].concat();
        let sum = crc(&[&head, &[u8::from(!absent)], bytes.get(value.clone())?]);
        bytes.get(value.end..value.end + 4)?;
        put(bytes, value.end, sum);
        at = value.end + 4;
    }
    Some(at)
}

fn record(choices: &mut Choices<'_>) -> LogRecord {
    let id = Version::from_number(choices.number());
    match choices.below(8) {
        0 => LogRecord::Commit { id },
        1 => LogRecord::Refuse { id, participants: members(choices) },
        2 => LogRecord::Abort { id, participants: members(choices) },
        3 => LogRecord::Committed { id, participants: members(choices) },
        4 => {
            let below = Version::from_number(choices.number());
            LogRecord::Settled { from: id, below, except: versions(choices) }
        }
        5 => {
            let mark = |member| (member, GroupSeq(choices.number()));
            LogRecord::Marks([MemberId(1), MemberId(2)].map(mark).to_vec())
        }
        _ => LogRecord::Prepare(Arc::new(prepared(id, choices))),
    }
}

fn prepared(id: Version, choices: &mut Choices<'_>) -> Prepared {
    let epoch = Epoch(choices.number().min(Epoch::MAX.0.into()) as u32);
    let ring = RingNumber { epoch, counter: choices.number() as u32 };
    let once = (choices.below(2) == 1).then(|| Once {
        name: format!("sixteen bytes of it {}", choices.text(40)).parse().expect("a name"),
        request_hash: choices.number(),
    });
    let mut participants = members(choices);
    participants.push(MemberId(u16::MAX));
    let rests_on = versions(choices);
    let writes = (0..1 + choices.below(3)).map(|_| write(choices)).collect();
    Prepared { id, ring, participants, rests_on, writes, once }
}

fn write(choices: &mut Choices<'_>) -> Write {
    let previous = match choices.below(2) {
        0 => Previous::Any,
        _ => Previous::Is(Version::from_number(choices.number())),
    };
    Write {
        key: Key::new(&choices.text(60)).expect("a key"),
        value: (choices.below(4) > 0).then(|| Value::from(choices.bytes(900))),
        previous,
        flags: choices.number() as u32,
        expires_ms: choices.number(),
        holders: Vec::new(),
    }
}

fn members(choices: &mut Choices<'_>) -> Vec<MemberId> {
    let mut members: Vec<u16> = (0..choices.below(4)).map(|_| choices.byte().into()).collect();
    members.sort_unstable();
    members.dedup();
    members.into_iter().map(MemberId).collect()
}

fn versions(choices: &mut Choices<'_>) -> Vec<Version> {
    let mut numbers: Vec<u64> = (0..choices.below(4)).map(|_| choices.number()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(Version::from_number).collect()
}

type Records = Vec<(GroupSeq, LogRecord)>;

/// A log whose files were changed: what is still shown was once written, nothing that was written
/// and not changed goes unnoticed, and looking changes nothing. A forged one is refused or read.
pub fn log_files(data: &[u8]) {
    let mut choices = Choices::new(data);
    let disk = CrashDisk::new();
    let config = LogConfig { segment_bytes: 2048, ..LogConfig::new(IDENTITY) };
    let mut written: Records = Vec::new();
    let mut log = Log::open(Arc::new(disk.clone()), config, &mut |_, _| {}).expect("a new log").log;
    for seq in 1..=choices.below(6) as u64 {
        let records: Vec<LogRecord> =
            (0..1 + choices.below(3)).map(|_| record(&mut choices)).collect();
        log.append(GroupSeq(seq), &records).expect("the disk is well");
        written.extend(records.into_iter().map(|record| (GroupSeq(seq), record)));
    }
    let end = log.end();
    drop(log);
    let groups = groups(&disk);
    let mut changed: Vec<GroupSeq> = Vec::new();
    let mut forged = false;
    let mut touched = false;
    for _ in 0..8 {
        if choices.is_over() {
            break;
        }
        touched = true;
        let number = 1 + choices.below(groups.last().map_or(1, |last| last.0 as usize)) as u64;
        let name = format!("log-{number:020}");
        let length = disk.read(&name).expect("a segment").len();
        if choices.below(2) == 0 {
            let at = choices.below(length);
            let bits = choices.byte() | 1;
            disk.rot(&name, |bytes| bytes[at] ^= bits);
            let hit = |(in_file, from, to, _): &&(u64, u64, u64, GroupSeq)| {
                *in_file == number && (*from..*to).contains(&(at as u64))
            };
            changed.extend(groups.iter().find(hit).map(|group| group.3));
        } else {
            forged = true;
            let at = choices.below(length / SECTOR) * SECTOR + 8 * choices.below(16);
            let new = choices.number().to_le_bytes();
            disk.rot(&name, |bytes| {
                bytes[at..at + 8].copy_from_slice(&new);
                mend_segment(bytes);
            });
        }
    }
    looking_changes_nothing(&disk);
    let Some((shown, tail)) = opened(&disk, config) else {
        assert!(touched, "an untouched log opens");
        return;
    };
    if !forged {
        assert!(written.starts_with(&shown), "what is shown was written");
        let last = shown.last().map_or(GroupSeq(0), |(seq, _)| *seq);
        let gone = (last.0 + 1..=end.0).all(|seq| changed.contains(&GroupSeq(seq)));
        assert!(gone, "what was not changed is shown: ends at {last:?} of {end:?}");
        if last < end {
            assert_eq!(tail, Tail::Cut { after: last }, "a cut is told");
        }
        assert!(touched || tail == Tail::Clean);
    }
    let (again, _) = opened(&disk, config).expect("what was opened opens again");
    assert_eq!(again, shown, "the same at the next start");
    looking_changes_nothing(&disk);
}

/// Every group: its segment, where it begins and ends there, and its number.
fn groups(disk: &CrashDisk) -> Vec<(u64, u64, u64, GroupSeq)> {
    let (mut groups, mut segment) = (Vec::new(), 0);
    inspect(disk, IDENTITY, &mut |found| match found {
        Found::Segment { number, .. } => segment = number,
        Found::Group { seq, offset, bytes, .. } => {
            groups.push((segment, offset, offset + bytes, seq));
        }
        _ => {}
    })
    .expect("the disk can be listed");
    groups
}

fn looking_changes_nothing(disk: &CrashDisk) {
    let before = disk.operations();
    inspect(disk, IDENTITY, &mut |_| {}).expect("the disk can be listed");
    assert_eq!(disk.operations(), before, "looking changes nothing");
}

/// All records and how the log ended; `None` where it does not open, which changes nothing.
fn opened(disk: &CrashDisk, config: LogConfig) -> Option<(Records, Tail)> {
    let before: Vec<_> = segments(disk);
    let mut records = Vec::new();
    let visit = &mut |seq, record| records.push((seq, record));
    match Log::open(Arc::new(disk.clone()), config, visit) {
        Ok(opened) => Some((records, opened.tail)),
        Err(_) => {
            assert_eq!(segments(disk), before, "what does not open stays as it is");
            None
        }
    }
}

fn segments(disk: &CrashDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let mut names = disk.list().expect("the disk can be listed");
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), disk.read(&name))).collect()
}

/// Makes the checksums of a segment right: those of its header, of bodies, then of sectors.
fn mend_segment(bytes: &mut [u8]) {
    let store = IDENTITY.store.0.to_le_bytes();
    let sum = crc(&[&bytes[..12], &bytes[16..SECTOR]]);
    put(bytes, 12, sum);
    for at in (SECTOR..bytes.len()).step_by(SECTOR) {
        if bytes[at] != b'G' {
            continue;
        }
        let field = |from: usize, to: usize| &bytes[at + from..at + to];
        let length = field(16, 20).iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let mut body = field(40, SECTOR).to_vec();
        let further = bytes[at + SECTOR..].chunks_exact(SECTOR);
        further.for_each(|sector| body.extend_from_slice(&sector[16..]));
        let Some(body) = body.get(..length) else { continue };
        let sum = crc(&[&store, field(8, 16), field(24, 32), body]);
        put(bytes, at + 32, sum);
    }
    for sector in bytes.chunks_exact_mut(SECTOR).skip(1) {
        if sector[1..4] == *b"pz1" {
            let sum = crc(&[&store, &sector[..4], &sector[8..]]);
            put(sector, 4, sum);
        }
    }
}

/// The small state file: with one copy whole it is what was saved last, and looking changes
/// nothing. A forged one is refused or read.
pub fn small_file(data: &[u8]) {
    let mut choices = Choices::new(data);
    let disk = CrashDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let open = || SmallFile::open(Arc::clone(&shared), "state", IDENTITY);
    let (mut file, _) = open().expect("a new file");
    let mut saved = Vec::new();
    for _ in 0..1 + choices.below(3) {
        saved = choices.bytes(300);
        file.save(&saved).expect("the disk is well");
    }
    let (mut hit, mut forged) = ([false; 2], false);
    for _ in 0..6 {
        if choices.is_over() {
            break;
        }
        let copy = choices.below(2);
        hit[copy] = true;
        let (at, new) = (choices.below(120), choices.number().to_le_bytes());
        let forges = choices.below(2) == 1;
        forged |= forges;
        disk.rot(["state.a", "state.b"][copy], |bytes| {
            bytes[at..at + 8].copy_from_slice(&new);
            let length = bytes[88..92].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
            if let Some(content) = bytes.get(16..92 + length).filter(|_| forges) {
                let sum = crc(&[&bytes[..12], content]);
                put(bytes, 12, sum);
            }
        });
    }
    let before = disk.operations();
    let seen = small_file::peek(&shared, "state", IDENTITY);
    assert_eq!(disk.operations(), before, "looking changes nothing");
    let Ok((_, found)) = open() else {
        assert!(forged || hit == [true; 2], "one whole copy is enough");
        return;
    };
    if let Ok(seen) = &seen {
        assert_eq!(seen.content, found, "looking finds what opening finds");
    }
    assert!(forged || found.as_ref() == Some(&saved), "what was saved last is found");
    let (mut file, again) = open().expect("what was opened opens again");
    assert_eq!(again, found, "the same at the next start");
    let healed = small_file::peek(&shared, "state", IDENTITY).expect("it was opened");
    assert_eq!(healed.damage, Vec::<String>::new(), "opening heals");
    file.save(b"more").expect("the disk is well");
    assert_eq!(open().expect("it was saved").1.as_deref(), Some(&b"more"[..]));
}

/// Entries of the keystore: what is read is the same when it is written.
pub fn keystore_entry(data: &[u8]) {
    if let Some(stored) = entry::decode(data) {
        assert_eq!(entry::encode(&stored), data, "an entry is exactly its encoding");
    }
    if let Some((number, rest)) = data.split_first_chunk::<8>()
        && rest.len() >= 4
    {
        let mut bytes = rest.to_vec();
        put(&mut bytes, 0, crc(&[number, &rest[4..]]));
        let version = Version::from_number(u64::from_le_bytes(*number));
        assert_eq!(entry::decode_once(version, rest).is_some(), {
            entry::decode_once(version, &bytes).is_some() && rest == bytes
        });
        if let Some(once) = entry::decode_once(version, &bytes) {
            assert_eq!(entry::encode_once(&once), bytes, "an entry is exactly its encoding");
        }
    }
    let mut bytes = data.to_vec();
    if let Some(rest) = bytes.get(16..) {
        let sum = crc(&[&bytes[..12], rest]);
        put(&mut bytes, 12, sum);
    }
    if let Ok(whole) = Whole::read(&bytes, &IDENTITY) {
        let again = Whole::read(&whole.encode(), &IDENTITY).expect("what was written can be read");
        assert_eq!((again.through, &again.ranges), (whole.through, &whole.ranges));
        assert_eq!(again.ranges.points().len(), again.ranges.counts().len());
        assert_eq!(whole.encode().len(), bytes.len(), "it is exactly its encoding");
    }
}
