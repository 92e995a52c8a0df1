//! An input as a row of decisions, for targets whose inputs have to be built.
//!
//! When the input is used up every further decision is the first one: so each input ends, and a
//! shorter one is a simpler case.

/// What is left of an input.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether everything was decided.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which is at most 2^16.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let high = if end > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % end
    }

    /// Any number, often small or the largest.
    pub(super) fn number(&mut self) -> u64 {
        match self.byte() {
            0xff => u64::MAX,
            0xfe => u64::MAX - u64::from(self.byte()),
            byte @ 0xf0.. => (0..=byte & 7).fold(0, |n, _| n << 8 | u64::from(self.byte())),
            byte => byte.into(),
        }
    }

    /// At most `most` bytes.
    pub(super) fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.byte()).collect()
    }

    /// At least one character, at most `most` bytes.
    pub(super) fn text(&mut self, most: usize) -> String {
        let mut text: String = String::from_utf8_lossy(&self.bytes(most / 3)).into_owned();
        if text.is_empty() {
            text.push('k');
        }
        text
    }
}
