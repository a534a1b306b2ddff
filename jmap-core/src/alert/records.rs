//! What the store keeps of alerts.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

use super::AlertKind;

/// Something that needs an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AlertRecord {
    #[n(0)]
    pub kind: AlertKind,
    /// The node that it is about; empty: all of them.
    #[n(1)]
    pub node: String,
    /// What it is about, where there may be several of a kind.
    #[n(2)]
    pub subject: String,
    /// For people: what is wrong, and what to do.
    #[n(3)]
    pub sentence: String,
    /// When it began, in milliseconds since 1970.
    #[n(4)]
    pub since: i64,
    /// When it was mailed last, in milliseconds since 1970.
    #[n(5)]
    pub mailed: Option<i64>,
    /// When it was over, in milliseconds since 1970; what is left to do is a mail.
    #[n(6)]
    pub over: Option<i64>,
}

impl Record for AlertRecord {
    const KIND: &'static str = "alert";
}
