//! Reading emails' records, summaries and octets from the store, in batches.
//! Holds: a damaged record, summary or blob costs its own email at most (invariant 5); what one batch
//! of octets takes in memory is bounded.
//! Other half: `write` puts them there.

use std::sync::Arc;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Record,
    engine::Engine,
    keys::{self, BlobHash},
};

use super::with_octets;
use crate::{
    Core,
    accounts::AccountHandle,
    mail::{message::Summary, records::EmailRecord},
};

/// An email with its message.
#[derive(Debug, Clone)]
pub struct Original {
    pub record: EmailRecord,
    pub summary: Summary,
    pub octets: Bytes,
}

/// Reads an email with its message. `None`: there is none, or it is damaged; rights are not checked.
pub async fn message_octets(
    core: &Core,
    account: &AccountHandle,
    email: u64,
) -> Result<Option<Original>, store::Error> {
    let mut records = records(&core.engine, account.id, &[email]).await?;
    let Some(record) = records.pop().flatten() else {
        return Ok(None);
    };
    let Some(summary) = summaries(&core.engine, &[record.blob])
        .await?
        .pop()
        .flatten()
    else {
        return Ok(None);
    };
    let octets = store::blob::get(&core.engine, &record.blob).await?;
    Ok(octets.map(|octets| Original {
        record,
        summary,
        octets,
    }))
}

/// The records of emails, in their order; `None` for those that are not there, or damaged.
pub(crate) async fn records(
    engine: &Arc<dyn Engine>,
    account: AccountId,
    ids: &[u64],
) -> Result<Vec<Option<EmailRecord>>, store::Error> {
    let keys: Vec<_> = ids
        .iter()
        .map(|&id| keys::object(account, DataType::Email, id))
        .collect();
    let rows = engine.multi_get(&keys).await?;
    let decode =
        |(key, bytes): (&Vec<u8>, Option<Bytes>)| match EmailRecord::from_bytes(key, &bytes?) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::error!(%error, "an email is left out: its record is damaged");
                None
            }
        };
    Ok(keys.iter().zip(rows).map(decode).collect())
}

/// The summaries of messages, in their order. One that is missing or damaged is made again from
/// the message; `None` where the message is missing as well.
pub(crate) async fn summaries(
    engine: &Arc<dyn Engine>,
    hashes: &[BlobHash],
) -> Result<Vec<Option<Summary>>, store::Error> {
    let keys: Vec<_> = hashes.iter().map(keys::summary).collect();
    let rows = engine.multi_get(&keys).await?;
    let mut summaries = Vec::with_capacity(rows.len());
    for (bytes, hash) in rows.into_iter().zip(hashes) {
        let decoded = bytes.and_then(|bytes| Summary::decode(&bytes).ok());
        summaries.push(match decoded {
            Some(summary) => Some(summary),
            None => parse_again(engine, hash).await?,
        });
    }
    Ok(summaries)
}

async fn parse_again(
    engine: &Arc<dyn Engine>,
    hash: &BlobHash,
) -> Result<Option<Summary>, store::Error> {
    let blob = jmap_types::BlobId::whole(*hash);
    let Some(octets) = store::blob::get(engine, hash).await? else {
        tracing::error!(%blob, "an email is left out: its message is missing");
        return Ok(None);
    };
    tracing::warn!(%blob, "a summary is missing or damaged: it is made again");
    Ok(with_octets(octets.len(), move || Summary::parse(&octets)).await)
}

/// Messages, in the order of `hashes`; `None` for those that are missing.
pub(crate) async fn blobs(
    engine: &Arc<dyn Engine>,
    hashes: &[BlobHash],
) -> Result<Vec<Option<Bytes>>, store::Error> {
    let keys: Vec<_> = hashes.iter().map(keys::blob).collect();
    let rows = engine.multi_get(&keys).await?;
    for (row, hash) in rows.iter().zip(hashes) {
        if row.is_none() {
            let blob = jmap_types::BlobId::whole(*hash);
            tracing::error!(%blob, "an email is left out: its message is missing");
        }
    }
    Ok(rows)
}
