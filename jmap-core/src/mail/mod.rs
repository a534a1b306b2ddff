//! JMAP Mail (RFC 8621).

pub mod message;
pub mod records;
pub mod view;
pub mod write;
