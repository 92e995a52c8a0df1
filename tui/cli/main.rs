//! Piazza's one binary.

fn main() {}
