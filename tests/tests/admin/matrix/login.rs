//! Second factors, passkeys, and programs that log in for people.

use serde_json::json;

use super::{May::Yes, Row, SERVER, row};

pub fn rows() -> Vec<Row> {
    vec![
        row("getSecondFactor", "/me/totp", None, [Yes; 6]),
        row("enrolDevice", "/me/totp", None, [Yes; 6]),
        // The code is wrong: everybody is told so.
        row(
            "confirmDevice",
            "/me/totp/confirmation",
            Some(json!({"code": "no code"})),
            [Yes; 6],
        ),
        // Nobody has a second factor yet.
        row(
            "renewRecoveryCodes",
            "/me/totp/recovery-codes",
            None,
            [Yes; 6],
        ),
        row("removeDevice", "/me/totp", None, [Yes; 6]),
        row("listPasskeys", "/me/passkeys", None, [Yes; 6]),
        // A browser says on which page it is: everybody is told so.
        row("beginPasskey", "/me/passkey-options", None, [Yes; 6]),
        row(
            "addPasskey",
            "/me/passkeys",
            Some(json!({"clientData": "", "attestationObject": ""})),
            [Yes; 6],
        ),
        row("removePasskey", "/me/passkeys/99", None, [Yes; 6]),
        // For nobody in particular.
        row("beginSignIn", "/sign-in/passkey-options", None, [Yes; 6]),
        row("listClients", "/oauth-clients", None, SERVER),
        row(
            "addClient",
            "/oauth-clients",
            Some(json!({"name": "a program", "redirectUris": []})),
            SERVER,
        ),
        row("removeClient", "/oauth-clients/none", None, SERVER),
    ]
}

/// Routes whose object isn't there, of which who may is told.
pub const NOT_THERE: &[&str] = &[
    "renewRecoveryCodes",
    "removeDevice",
    "removeClient",
    "removePasskey",
];
