//! Tests of the view Data.
