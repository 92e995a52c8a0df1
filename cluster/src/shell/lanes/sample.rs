//! About how many bytes a key of this node takes: so that a change can say beforehand what it will
//! copy.
//!
//! Called by the keystore's lane whenever it counts. Looks at a few keys each time, in their order
//! and round and round, and forgets by and by what it saw. What cannot be read is somebody else's
//! to find out: here it is passed over.

use std::ops::Bound;

use protocol::ids::Key;
use protocol::peer::item_bytes;

use crate::storage::keystore::{Keystore, Stored};

/// Keys that are looked at each time.
const KEYS: u64 = 64;
/// Bytes of values after which it is enough.
const BYTES_MAX: u64 = 256 << 10;
/// What is kept in mind is halved from so many keys on.
const KEPT_MAX: u64 = 4096;

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Sample {
    after: Option<Key>,
    keys: u64,
    bytes: u64,
}

impl Sample {
    /// Looks at the next keys.
    pub(super) fn look(&mut self, keystore: &dyn Keystore) {
        let (mut looked, mut bytes) = (0, 0);
        let (mut last, mut live) = (None, 0);
        let start = self.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let walked = keystore.walk(start, &mut |key, stored: Stored| {
            if let Some(value) = &stored.value {
                live += 1;
                bytes += item_bytes(&key, value.len());
            }
            looked += 1;
            let more = looked < KEYS && bytes < BYTES_MAX;
            last = (!more).then_some(key);
            Ok(more)
        });
        self.after = last.filter(|_| walked.is_ok());
        (self.keys, self.bytes) = (self.keys + live, self.bytes + bytes);
        if self.keys >= KEPT_MAX {
            (self.keys, self.bytes) = (self.keys / 2, self.bytes / 2);
        }
    }

    /// The mean of a key; none: no key was seen.
    pub(super) fn key_bytes(&self) -> Option<u64> {
        self.bytes.checked_div(self.keys)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::{Epoch, GroupSeq, Value, Version};

    use super::*;
    use crate::core::record::{Committed, Previous, Write};
    use crate::storage::keystore::memory::MemoryKeystore;

    fn write(number: u64, value: Option<usize>) -> Committed {
        let key = Key::new(&format!("key-{number:06}")).expect("a key");
        let value = value.map(|length| Value::from("v".repeat(length).as_str()));
        let previous = Previous::Any;
        let write = Write { key, value, previous, flags: 0, expires_ms: 0, holders: Vec::new() };
        Committed { version: Version::new(Epoch(1), number + 1), write, once: None }
    }

    #[test]
    fn the_mean_is_that_of_all_keys_after_a_while_and_of_what_is_there_now() {
        let mut keystore = MemoryKeystore::new();
        let mut sample = Sample::default();
        sample.look(&keystore);
        assert_eq!(sample.key_bytes(), None, "nothing is there");
        // A key in two is gone, the others have values of 100 and 300 bytes.
        let value = |n: u64| [Some(100), None, Some(300), None][(n & 3) as usize];
        let writes: Vec<_> = (0..400).map(|n| write(n, value(n))).collect();
        keystore.apply(&writes, GroupSeq(1)).expect("memory");
        (0..20).for_each(|_| sample.look(&keystore));
        let of = |value_bytes| item_bytes(&write(0, None).write.key, value_bytes);
        assert_eq!(sample.key_bytes(), Some(of(200)));
        // All are short now: that is known in the end.
        let writes: Vec<_> = (1_000..1_400).map(|n| (n, write(n - 1_000, Some(0)))).collect();
        let newer =
            |(n, one): (u64, Committed)| Committed { version: Version::new(Epoch(2), n), ..one };
        keystore.apply(&writes.into_iter().map(newer).collect::<Vec<_>>(), GroupSeq(2)).unwrap();
        (0..2_000).for_each(|_| sample.look(&keystore));
        let mean = sample.key_bytes().expect("keys were seen");
        assert!((of(0)..of(5)).contains(&mean), "{mean}");
    }

    #[test]
    fn long_values_are_few_at_a_time() {
        let mut keystore = MemoryKeystore::new();
        let writes: Vec<_> = (0..20).map(|n| write(n, Some(1 << 20))).collect();
        keystore.apply(&writes, GroupSeq(1)).expect("memory");
        let mut sample = Sample::default();
        sample.look(&keystore);
        assert_eq!(sample.keys, 1);
        assert_eq!(sample.key_bytes(), Some(item_bytes(&write(0, None).write.key, 1 << 20)));
    }
}
