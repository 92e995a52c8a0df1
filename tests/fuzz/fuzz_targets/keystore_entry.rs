//! Hands inputs to `targets::keystore_entry`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::keystore_entry(data));
