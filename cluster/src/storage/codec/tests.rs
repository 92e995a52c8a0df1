//! Records read back as written, and no bytes make the reader panic or allocate without bound.

#![allow(clippy::unwrap_used)]

use super::*;

/// A deterministic source of test data (SplitMix64).
pub(crate) struct Source(pub(crate) u64);

impl Source {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn key(&mut self) -> Key {
        let longest = if self.below(8) == 0 { 256 } else { 6 };
        let length = 1 + self.below(longest);
        let text: String = (0..length).map(|_| (b'a' + self.below(26) as u8) as char).collect();
        Key::new(&text).unwrap()
    }

    fn version(&mut self) -> Version {
        Version::from_number(self.next())
    }

    fn versions(&mut self) -> Vec<Version> {
        let count = self.below(5);
        let mut all: Vec<_> = (0..count).map(|_| self.version()).collect();
        all.sort();
        all.dedup();
        all
    }

    fn members(&mut self) -> Vec<MemberId> {
        let mut all: Vec<_> = (0..=self.below(4)).map(|_| MemberId(self.next() as u16)).collect();
        all.sort();
        all.dedup();
        all
    }

    fn write(&mut self, value_bytes_max: u64) -> Write {
        let value = match self.below(4) {
            0 => None,
            _ => {
                let length = self.below(value_bytes_max + 1) as usize;
                Some(Value::from(self.bytes(length)))
            }
        };
        let previous = match self.below(2) {
            0 => Previous::Any,
            _ => Previous::Is(self.version()),
        };
        let (flags, expires_ms) = (self.next() as u32, self.next());
        let holders = if self.below(3) == 0 { self.members() } else { Vec::new() };
        Write { key: self.key(), value, previous, flags, expires_ms, holders }
    }

    pub(crate) fn record(&mut self, value_bytes_max: u64) -> LogRecord {
        match self.below(10) {
            0 => LogRecord::Refuse { id: self.version(), participants: self.members() },
            1 => LogRecord::Commit { id: self.version() },
            2 => LogRecord::Abort { id: self.version(), participants: self.members() },
            3 => LogRecord::Settled {
                from: self.version(),
                below: self.version(),
                except: self.versions(),
            },
            5 => LogRecord::Committed { id: self.version(), participants: self.members() },
            4 => {
                let marks = self.members().into_iter().map(|m| (m, GroupSeq(self.0 ^ 7)));
                LogRecord::Marks(marks.collect())
            }
            _ => {
                let ring = RingNumber {
                    epoch: Epoch(self.below(1 << 20) as u32),
                    counter: self.next() as u32,
                };
                let once = (self.below(2) == 0).then(|| Once {
                    name: "o".repeat(16 + self.below(49) as usize).parse().unwrap(),
                    request_hash: self.next(),
                });
                LogRecord::Prepare(Arc::new(Prepared {
                    id: self.version(),
                    ring,
                    participants: self.members(),
                    rests_on: self.versions(),
                    writes: (0..=self.below(3)).map(|_| self.write(value_bytes_max)).collect(),
                    once,
                }))
            }
        }
    }

    pub(crate) fn records(&mut self, value_bytes_max: u64) -> Vec<LogRecord> {
        (0..=self.below(3)).map(|_| self.record(value_bytes_max)).collect()
    }
}

fn encoded(records: &[LogRecord]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| encode(record, &mut bytes));
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Vec<LogRecord>, BadRecord> {
    decode(bytes).collect()
}

/// Contract: "Log and keystore records have room from the start for flags (u32), an expiry time and
/// `once`"
#[test]
fn generated_records_read_back() {
    let mut source = Source(1);
    for _ in 0..2000 {
        let records = source.records(300);
        assert_eq!(decoded(&encoded(&records)), Ok(records));
    }
    let all: Vec<_> = (0..300).map(|_| source.record(10)).collect();
    for kind in 1..=6 {
        assert!(all.iter().any(|record| encoded(std::slice::from_ref(record))[0] == kind));
    }
}

#[test]
fn the_largest_value_reads_back_and_a_larger_one_is_refused() {
    let write = Write {
        key: Key::new("k").unwrap(),
        value: Some(Value::from(vec![7; VALUE_BYTES_MAX])),
        previous: Previous::Any,
        flags: 0,
        expires_ms: 0,
        holders: Vec::new(),
    };
    let prepared = Prepared {
        id: Version::from_number(1),
        ring: RingNumber::default(),
        participants: vec![MemberId(1)],
        rests_on: vec![],
        writes: vec![write],
        once: None,
    };
    let records = [LogRecord::Prepare(Arc::new(prepared))];
    let mut bytes = encoded(&records);
    assert_eq!(decoded(&bytes).unwrap(), records);
    let at = bytes.windows(4).position(|four| four == (VALUE_BYTES_MAX as u32).to_le_bytes());
    bytes[at.unwrap()] += 1;
    assert_eq!(decoded(&bytes).unwrap_err().what, "has a value beyond the limit");
}

#[test]
fn every_truncation_is_an_error_or_a_prefix() {
    let mut source = Source(2);
    for _ in 0..200 {
        let records = source.records(40);
        let bytes = encoded(&records);
        for cut in 0..bytes.len() {
            let read: Vec<_> = decode(&bytes[..cut]).filter_map(Result::ok).collect();
            assert!(read.len() < records.len() && read == records[..read.len()]);
        }
    }
}

#[test]
fn mutations_and_garbage_never_panic_and_values_never_change_silently() {
    let mut source = Source(3);
    for _ in 0..3000 {
        let mut bytes = encoded(&source.records(40));
        for _ in 0..=source.below(4) {
            let at = source.below(bytes.len() as u64) as usize;
            bytes[at] = source.next() as u8;
        }
        decode(&bytes).for_each(drop);
        let length = source.below(200) as usize;
        let mut garbage = source.bytes(length);
        decode(&garbage).for_each(drop);
        if garbage.len() > 5 {
            garbage[0] = 1 + source.below(6) as u8;
            garbage[1..5].fill(0);
            decode(&garbage).for_each(drop);
        }
    }
}

#[test]
fn counts_are_checked_before_allocation() {
    let mut settled = encoded(&[LogRecord::Settled {
        from: Version::ZERO,
        below: Version::ZERO,
        except: vec![],
    }]);
    let at = settled.len() - 4;
    settled[at..].fill(0xff);
    assert_eq!(decoded(&settled).unwrap_err().what, "counts more than is there");
}

#[test]
fn a_write_with_a_flipped_bit_is_refused() {
    let mut source = Source(4);
    let record = std::iter::repeat_with(|| source.record(40))
        .find(|record| matches!(record, LogRecord::Prepare(_)))
        .unwrap();
    let LogRecord::Prepare(prepared) = &record else { unreachable!() };
    let bytes = encoded(std::slice::from_ref(&record));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = decoded(&flipped)
            && let [LogRecord::Prepare(read)] = &read[..]
        {
            let same = |a: &Write, b: &Write| a.key == b.key && a.value == b.value;
            assert!(read.writes.iter().zip(&prepared.writes).all(|(a, b)| same(a, b)));
        }
    }
}
