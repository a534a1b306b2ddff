//! JMAP Mail (RFC 8621).

pub mod records;
pub mod view;
