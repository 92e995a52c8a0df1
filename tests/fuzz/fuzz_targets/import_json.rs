//! Hands inputs to `targets::import_json`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::import_json(data));
