//! Hands inputs to `targets::log_records`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::log_records(data));
