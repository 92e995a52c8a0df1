//! Hands inputs to `targets::cluster_file`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::cluster_file(data));
