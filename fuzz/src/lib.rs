//! The entry functions of the targets: those of the end-to-end crate, compiled here again.
//!
//! Why not that crate itself: its clients and its harness would be compiled with instrumentation too, and none of them
//! is fuzzed.

#[path = "../../tests/src/dice.rs"]
pub mod dice;
#[path = "../../tests/src/fuzzing.rs"]
pub mod fuzzing;

pub use dice::Dice;
