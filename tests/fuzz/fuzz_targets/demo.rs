//! Hands inputs to `targets::demo`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::demo(data));
