//! EmailSubmission (RFC 8621 §7).
//! Holds: what is sent are the octets as they were when the submission was made; a message that has no row in the
//! queue is done with.
//! Other half: `inproc::queue` sends, `inproc::submit` takes messages that come by SMTP.

pub mod bounce;
pub mod envelope;
mod get;
pub mod parameters;
mod query;
mod rate;
pub mod records;
pub(crate) mod report;
mod set;
pub(crate) mod stage;
#[cfg(test)]
pub(crate) mod tests;

use jmap_types::{AccountId, DataType};
use store::{Record as _, engine::Page, keys};

pub use envelope::is_address;
pub(crate) use rate::{Budget, SendingRate, SentTooMuch};
use records::SubmissionRecord;
pub(crate) use set::new_record;

use crate::Core;

/// Days that the record of a submission stays after the queue is done with it.
pub const KEPT_DAYS: u64 = 30;

pub(crate) async fn record(
    core: &Core,
    account: AccountId,
    id: u64,
) -> Result<Option<SubmissionRecord>, store::Error> {
    let key = keys::object(account, DataType::EmailSubmission, id);
    let bytes = core.engine.get(&key).await?;
    bytes
        .map(|bytes| SubmissionRecord::from_bytes(&key, &bytes))
        .transpose()
}

/// The submissions of an account that clients see, by id.
async fn visible(
    core: &Core,
    account: AccountId,
) -> Result<Vec<(u64, SubmissionRecord)>, store::Error> {
    const ROWS_PER_PAGE: usize = 1000;
    let mut range = keys::objects(account, DataType::EmailSubmission);
    let mut submissions = Vec::new();
    loop {
        let rows = core
            .engine
            .scan(Page::first(range.clone(), ROWS_PER_PAGE))
            .await?;
        for (key, bytes) in &rows {
            let (_, _, id) =
                keys::decode_object(key).ok_or_else(|| store::Error::bad_key("submission", key))?;
            match SubmissionRecord::from_bytes(key, bytes) {
                Ok(record) if record.is_hidden => {}
                Ok(record) => submissions.push((id, record)),
                // Invariant 5: the others are still shown.
                Err(error) => tracing::error!(%error, "a submission is left out"),
            }
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
            return Ok(submissions);
        };
        range.start = [last, &[0u8][..]].concat();
    }
}
