//! The fuzz targets as a library, for the thin programs of `fuzz_targets/`. The test suite includes
//! the same module, so that it needs nothing of cargo-fuzz.

pub mod targets;
