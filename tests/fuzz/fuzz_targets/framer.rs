//! Hands inputs to `targets::framer`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::framer(data));
