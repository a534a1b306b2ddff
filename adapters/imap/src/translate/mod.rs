//! The core's words <-> IMAP's.
//!
//! Holds: nothing here decides; the maps of errors are exhaustive.

pub mod errors;
pub mod flags;
pub mod names;
pub mod rights;
pub mod search;
pub mod url;
