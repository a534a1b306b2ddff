//! The quarantine: records that were put aside, as they could not stay where they were.

use http::Method;
use jmap_core::{
    access::{self, Operation},
    admin::Deed,
    directory::DirectoryError,
    work::quarantine::{QuarantineError, Quarantined, ROWS_MAX},
};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::object,
    page::{self, Page},
    problem::Problem,
    request::Request,
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A record that was put aside. Its octets are for the command line alone: there may be a secret among them.
    QuarantinedRecord {
        /// The key that it had, in hexadecimal.
        key: String,
        /// The key in words.
        record: String,
        /// Which of those from under the key, from 1.
        entry: u64,
        /// The code of the check's finding.
        reason: String,
        at: Option<String> = {"format": "date-time"},
        octets: u64,
    }
}

const TAG: &str = "Store";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/quarantine",
            (TAG, "listQuarantine"),
            "Lists records that were put aside: the first 1000",
            Operation::Repair,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<QuarantinedRecord>(schemas, true)),
        Route::new(
            Method::DELETE,
            "/quarantine/{key}",
            (TAG, "forgetQuarantined"),
            "Removes for good what was put aside from under a key",
            Operation::Repair,
            handler!(forget),
        ),
    ]
}

impl From<QuarantineError> for Problem {
    fn from(error: QuarantineError) -> Problem {
        match error {
            QuarantineError::NotFound => Problem::not_found(),
            QuarantineError::Store(error) => DirectoryError::Store(error).into(),
        }
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

async fn list(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::Repair)?;
    let (rows, _) = request.core.quarantined(ROWS_MAX).await?;
    let page = Page::of(request, rows, |row| {
        (hex(&row.key), format!("{:020}", row.entry))
    })?;
    let row = |of: &Quarantined| QuarantinedRecord {
        key: hex(&of.key),
        record: of.key_words(),
        entry: of.entry as u64,
        reason: of.reason.clone(),
        at: (of.at != 0).then(|| super::date_text(of.at.div_euclid(1000))),
        octets: of.octets,
    };
    let items = page.items.iter().map(|of| json!(row(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn forget(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::Repair)?;
    let key = unhex(request.text("key")?).ok_or_else(Problem::not_found)?;
    // What isn't there leaves no row.
    request.core.quarantined_at(&key).await?;
    let deed = Deed::new(Operation::Repair, format!("quarantine {}", hex(&key)));
    let noted = request.core.note_deed(&request.who, deed).await;
    noted.map_err(DirectoryError::from)?;
    request.core.forget_quarantined(&key).await?;
    Ok(Answer::nothing())
}
