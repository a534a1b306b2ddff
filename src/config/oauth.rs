//! How other programs get at accounts without their passwords.
//!
//! Other half: `oauth::Provider`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OAuth {
    /// People can let programs in, on pages of this server (OAuth 2.0, OpenID Connect).
    pub provider: bool,
    /// Programs may register themselves (RFC 7591).
    pub registration: bool,
}
