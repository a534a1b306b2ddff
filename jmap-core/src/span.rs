//! Spans of what the server does, for those who follow it from outside.
//!
//! Holds: a span names no person and no message; where nobody gathers spans, making one costs next to nothing.
//! Other half: the binary gathers those of [`TARGET`] and sends them on.

/// What spans are told apart from events by.
pub const TARGET: &str = "posthorn_span";
