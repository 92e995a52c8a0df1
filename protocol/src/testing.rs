//! A small deterministic generator for this crate's property tests.
//!
//! Compiled for tests only. The same seed gives the same inputs for ever, so that a failure can be
//! repeated; it is not a source of randomness for anything else.

/// A stream of numbers from a seed (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Text of 1 to `chars_max` characters, rich in those that need care.
    pub(crate) fn text(&mut self, chars_max: usize) -> String {
        let count = 1 + self.below(chars_max);
        let odd =
            ['"', '\\', '\n', '\0', '\u{7f}', '\u{85}', 'é', '\u{2028}', '😀', '{', '\u{feff}'];
        (0..count)
            .map(|_| match self.below(4) {
                0 => odd[self.below(odd.len())],
                1 => char::from_u32(self.next() as u32 % 0x11_0000).unwrap_or('?'),
                _ => char::from(b'a' + self.below(26) as u8),
            })
            .collect()
    }
}
