//! Hands inputs to `targets::supervisor_request`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::supervisor_request(data));
