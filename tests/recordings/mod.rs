//! What a console is fed by a real cluster, kept in `*.ndjson` here, one scenario a file: what the
//! console is tested with. Are they whole, and is all in them that the contract names?
//!
//! * `schema`: kinds and fields of events, as the contract names them
//! * `recorder`, `scenarios`, `clients`: how they were made, and are made anew:
//!
//! ```sh
//! cargo test --test main record_scenarios -- --ignored --nocapture
//! PIAZZA_RECORD=kill,doubt cargo test --test main record_scenarios -- --ignored --nocapture
//! ```

mod clients;
mod recorder;
mod scenarios;
