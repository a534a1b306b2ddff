//! Reading emails' summaries and octets from the store, in batches: for lists, sorts and filters alike.
//! Holds: a damaged record, summary or blob costs its own email at most (invariant 5); what one batch
//! of octets takes in memory is bounded.
//! Other half: `write` puts them there, `view` says which they are.

use std::sync::Arc;

use bytes::Bytes;
use jmap_types::DataType;
use store::{
    Record,
    engine::{Engine, EngineError},
    keys::{self, BlobHash},
};

use super::with_octets;
use crate::{
    Core,
    accounts::AccountHandle,
    mail::{message::Summary, records::EmailRecord},
};

/// Octets of messages that are in memory for one call at a time, if no single one is larger.
const OCTETS_PER_BATCH: u64 = 16 << 20;
/// Emails that are read together.
pub(in crate::mail) const EMAILS_PER_BATCH: usize = 250;

/// An email with its message.
#[derive(Debug, Clone)]
pub struct Original {
    pub record: EmailRecord,
    pub summary: Arc<Summary>,
    pub octets: Bytes,
}

/// Reads an email with its message. `None`: there is none that JMAP sees, or it is damaged; rights are not checked.
pub async fn message_octets(
    core: &Core,
    account: &AccountHandle,
    email: u64,
) -> Result<Option<Original>, store::Error> {
    let key = keys::object(account.id, DataType::Email, email);
    let Some(bytes) = core.engine.get(&key).await? else {
        return Ok(None);
    };
    let record = match EmailRecord::from_bytes(&key, &bytes) {
        Ok(record) if record.is_visible() => record,
        Ok(_) => return Ok(None),
        Err(error) => {
            tracing::error!(%error, "an email is left out: its record is damaged");
            return Ok(None);
        }
    };
    let mut summary = summaries(core, &[record.blob]).await?;
    let Some(summary) = summary.pop().flatten() else {
        return Ok(None);
    };
    let octets = store::blob::get(&core.engine, &record.blob).await?;
    Ok(octets.map(|octets| Original {
        record,
        summary,
        octets,
    }))
}

/// How many messages of these sizes are read together; at least one.
pub(crate) fn batch_len(sizes: impl Iterator<Item = u32>) -> usize {
    let mut octets = 0u64;
    let fits = sizes.take(EMAILS_PER_BATCH).take_while(|size| {
        octets += u64::from(*size);
        octets <= OCTETS_PER_BATCH
    });
    fits.count().max(1)
}

/// The summaries of messages, in their order. One that is missing or damaged is made again from
/// the message; `None` where the message is missing as well.
pub(crate) async fn summaries(
    core: &Core,
    hashes: &[BlobHash],
) -> Result<Vec<Option<Arc<Summary>>>, store::Error> {
    let keep = |hash, summary: &Arc<Summary>| core.summaries.put(hash, summary);
    summaries_with(core, hashes, keep).await
}

/// The same for many messages of which each is looked at once: they take nobody's place in memory.
pub(crate) async fn summaries_in_passing(
    core: &Core,
    hashes: &[BlobHash],
) -> Result<Vec<Option<Arc<Summary>>>, store::Error> {
    summaries_with(core, hashes, |_, _| {}).await
}

async fn summaries_with(
    core: &Core,
    hashes: &[BlobHash],
    keep: impl Fn(BlobHash, &Arc<Summary>),
) -> Result<Vec<Option<Arc<Summary>>>, store::Error> {
    let mut found: Vec<_> = hashes.iter().map(|hash| core.summaries.get(hash)).collect();
    let is_missing = |(summary, _): &(&mut Option<_>, _)| summary.is_none();
    let missing: Vec<_> = found.iter_mut().zip(hashes).filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let keys: Vec<_> = missing
        .iter()
        .map(|(_, hash)| keys::summary(hash))
        .collect();
    let rows = core.engine.multi_get(&keys).await?;
    for (bytes, (summary, hash)) in rows.into_iter().zip(missing) {
        let decoded = bytes.and_then(|bytes| Summary::decode(&bytes).ok());
        let read = match decoded {
            Some(summary) => Some(summary),
            None => parse_again(&core.engine, hash).await?,
        };
        *summary = read.map(Arc::new);
        if let Some(summary) = summary {
            keep(*hash, summary);
        }
    }
    Ok(found)
}

async fn parse_again(
    engine: &Arc<dyn Engine>,
    hash: &BlobHash,
) -> Result<Option<Summary>, store::Error> {
    let blob = jmap_types::BlobId::whole(*hash);
    let octets = match store::blob::get(engine, hash).await {
        Err(error @ store::Error::Engine(EngineError::Corrupt(_))) => {
            tracing::error!(%blob, %error, "an email is left out: its message is damaged");
            return Ok(None);
        }
        result => result?,
    };
    let Some(octets) = octets else {
        tracing::error!(%blob, "an email is left out: its message is missing");
        return Ok(None);
    };
    tracing::warn!(%blob, "a summary is missing or damaged: it is made again");
    Ok(with_octets(octets.len(), move || Summary::parse(&octets)).await)
}

/// Messages, in the order of `hashes`; `None` for those that are missing.
pub(crate) async fn blobs(
    core: &Core,
    hashes: &[BlobHash],
) -> Result<Vec<Option<Bytes>>, store::Error> {
    let keys: Vec<_> = hashes.iter().map(keys::blob).collect();
    let rows = core.engine.multi_get(&keys).await?;
    for (row, hash) in rows.iter().zip(hashes) {
        if row.is_none() {
            let blob = jmap_types::BlobId::whole(*hash);
            tracing::error!(%blob, "an email is left out: its message is missing");
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[u32], want: usize) {
        assert_eq!(batch_len(sizes.iter().copied()), want, "{}", sizes.len());
    }

    #[test]
    fn a_batch_is_bounded_by_its_octets_and_its_number() {
        check(&[], 1);
        check(&[u32::MAX, 1], 1);
        check(&[8 << 20, 8 << 20, 1], 2);
        check(&[(8 << 20) + 1, 8 << 20, 1], 1);
        check(&[1; EMAILS_PER_BATCH + 1], EMAILS_PER_BATCH);
    }
}
