//! What the store keeps of a setting. Its key is in the row's key.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SettingRecord {
    /// The value, as TOML.
    #[n(0)]
    pub text: String,
    /// The login name of who has set it.
    #[n(1)]
    pub who: String,
    /// Seconds since 1970.
    #[n(2)]
    pub at: i64,
}

impl Record for SettingRecord {
    const KIND: &'static str = "setting";
}
