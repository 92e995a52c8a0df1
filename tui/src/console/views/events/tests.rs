//! Tests of the view Events.
