//! What is said between any two parties of Piazza.

pub mod ids;
