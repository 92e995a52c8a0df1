//! Hands inputs to `targets::settings`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::settings(data));
