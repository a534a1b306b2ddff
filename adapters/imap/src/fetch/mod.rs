//! FETCH: from items and messages to octets.
//!
//! Holds: no I/O. What is kept of messages while they are sent is bounded by `commands::fetch`, which asks for them in batches.
//! Other half: `commands::fetch`; the core's view, which has rows, structures and octets.

pub mod pieces;
pub mod plan;
pub mod render;
pub mod section;
#[cfg(test)]
mod tests;
