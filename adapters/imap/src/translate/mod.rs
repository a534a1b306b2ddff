//! What IMAP says <-> what the core says.

pub mod flags;
