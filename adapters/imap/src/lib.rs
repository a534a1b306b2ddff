//! IMAP4rev2 (RFC 9051) and IMAP4rev1 (RFC 3501), as a translation to the core.
//!
//! Holds: nothing is decided here that the core decides; no capability is announced that does not work.
//! Other half: `jmap_core::inproc::imap_view`, and the clients.

pub mod command;
pub mod parse;
