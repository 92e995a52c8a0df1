//! Hands inputs to `targets::peer_up`, which says what is checked.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piazza_fuzz::targets::peer_up(data));
