//! Sessions, and who is kept out.

use serde_json::json;

use super::{
    LISTED_TO_HELP,
    May::{Hidden, No, Yes},
    Row, SERVER, row,
};

/// `alice`: the id of her account, which is of `example.org`.
pub fn rows(alice: &str) -> Vec<Row> {
    vec![
        row("listSessions", "/sessions", None, LISTED_TO_HELP),
        row(
            "endSession",
            "/sessions/0",
            None,
            [Yes, Yes, Yes, Yes, No, No],
        ),
        row(
            "endSessions",
            format!("/accounts/{alice}/sessions"),
            None,
            [Yes, Yes, Hidden, Yes, Yes, No],
        ),
        row("listBans", "/bans", None, [Yes, No, No, Yes, No, No]),
        row(
            "addBan",
            "/bans",
            Some(json!({"network": "192.0.2.7", "reason": "A test"})),
            SERVER,
        ),
        row("liftBan", "/bans/192.0.2.7%2F32", None, SERVER),
        row("listOwnSessions", "/me/sessions", None, [Yes; 6]),
        row("endOwnSession", "/me/sessions/0", None, [Yes; 6]),
    ]
}

/// Routes whose object isn't there, of which who may is told.
pub const NOT_THERE: &[&str] = &["endSession", "endOwnSession"];
