//! Tests of the view 2PC.
