//! Durable state of a node.
