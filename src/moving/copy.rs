//! Copies everything from one database to another, record by record, while no server runs.
//!
//! Holds: until the copy is whole and compared, a mark in the target keeps every server from opening it; a copy that was cut goes on where
//! it was, and what has changed in the source meanwhile is found by the comparison and copied again. The source isn't written.
//! Other half: `store::format` refuses what has the mark.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use minicbor::{Decode, Encode};
use store::{
    Head, Record,
    engine::{Assertion, Batch, Engine, EngineError, KeyRange, Page},
    format, keys,
    keys::Subspace,
    numbers,
};

use super::{MoveError, Progress};
use jmap_types::DataType;

/// Rows that are read at once.
const ROWS_PER_PAGE: usize = 500;
const BLOBS_PER_PAGE: usize = 16;
/// Octets of one commit.
const BATCH_OCTETS: usize = 8 << 20;
/// How often nodes that may still be alive are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// What the mark of a target says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CopyMark {
    /// A hash of what tells the source from other stores.
    #[cbor(n(0), with = "minicbor::bytes")]
    source: Vec<u8>,
    /// Everything before this key has been copied.
    #[cbor(n(1), with = "minicbor::bytes")]
    next: Vec<u8>,
}

impl Record for CopyMark {
    const KIND: &'static str = "mark of a copy";
}

/// What a copy came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub records: u64,
    pub octets: u64,
    /// Of all keys and values, on both sides.
    pub hash: String,
}

fn engine_error(error: EngineError) -> MoveError {
    MoveError::Refused(error.to_string())
}

fn commit_error(error: store::engine::CommitError) -> MoveError {
    match error {
        store::engine::CommitError::Engine(error) => engine_error(error),
        store::engine::CommitError::Conflict(_) => MoveError::Refused(
            "somebody else writes into the target at the same time; let nothing else run on it"
                .to_owned(),
        ),
    }
}

/// Subspaces that are about the machine that a store was on: its index for search, its processes.
const LEFT_OUT: &[Subspace] = &[
    Subspace::SearchPending,
    Subspace::SearchCursor,
    Subspace::SearchShard,
    Subspace::SearchIndexed,
    Subspace::Node,
    Subspace::Lease,
    Subspace::Turn,
];

/// All keys that are copied, in order: one range a subspace.
fn ranges() -> impl Iterator<Item = KeyRange> {
    let is_copied = |first: &u8| !LEFT_OUT.iter().any(|subspace| *subspace as u8 == *first);
    (0..u8::MAX)
        .filter(is_copied)
        .map(|first| vec![first]..vec![first + 1])
}

/// How many rows are read at once: messages may be large.
fn rows_per_page(range: &KeyRange) -> usize {
    match range.start.first() {
        Some(&first) if first == Subspace::Blob as u8 => BLOBS_PER_PAGE,
        _ => ROWS_PER_PAGE,
    }
}

/// Marks an empty target, as it is without anything over it; finds the mark in one that was begun from the same source.
pub async fn begin(
    source: &Arc<dyn Engine>,
    target: &Arc<dyn Engine>,
) -> Result<CopyMark, MoveError> {
    let mark_key = keys::meta(format::COPY_MARK);
    if source.get(&mark_key).await.map_err(engine_error)?.is_some() {
        return Err(MoveError::Refused(
            "the source is itself a copy that was not finished".to_owned(),
        ));
    }
    let identity = identity(source).await?;
    mark_target(target, &mark_key, &identity).await
}

/// Copies, or goes on with a copy. Both engines give octets of blobs as they are, so where each keeps them is its own matter.
pub async fn copy(
    source: &Arc<dyn Engine>,
    target: &Arc<dyn Engine>,
    mut mark: CopyMark,
    progress: &Progress,
) -> Result<Copied, MoveError> {
    let mark_key = keys::meta(format::COPY_MARK);
    let mut total = count(target, &mark.next).await?;
    for range in ranges() {
        if range.end <= mark.next {
            continue;
        }
        let mut rest = range.start.max(mark.next.clone())..range.end;
        loop {
            let (rows, next) = page(source, &rest).await?;
            rest.start = next;
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let mut batch = Batch::new();
                let mut octets = 0;
                while let Some((key, value)) = rows.next_if(|_| octets < BATCH_OCTETS) {
                    octets += key.len() + value.len();
                    total += 1;
                    mark.next = after(&key);
                    batch.put(key.to_vec(), value);
                }
                batch.put(mark_key.clone(), mark.to_bytes());
                target.commit(batch).await.map_err(commit_error)?;
            }
            progress(&format!("{total} records copied"));
            if rest.start >= rest.end {
                break;
            }
        }
    }
    compare(source, target, progress).await?;
    mark_searches(target).await?;
    // A second look, with nothing left to write: this is what is told.
    let copied = hash_of(source, progress).await?;
    let there = hash_of(target, progress).await?;
    if copied != there {
        return Err(MoveError::Refused(
            "the source changes while it is copied; stop what runs on it, and give the command again"
                .to_owned(),
        ));
    }
    let mut batch = Batch::new();
    batch.delete(mark_key);
    target.commit(batch).await.map_err(commit_error)?;
    Ok(copied)
}

fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The first rows of a range that are copied, and where those begin that weren't looked at: its end, if all were.
async fn page(
    engine: &Arc<dyn Engine>,
    range: &KeyRange,
) -> Result<(Vec<(Bytes, Bytes)>, Vec<u8>), MoveError> {
    let limit = rows_per_page(range);
    let page = Page::first(range.clone(), limit);
    let mut rows = engine.scan(page).await.map_err(engine_error)?;
    let next = match rows.last() {
        Some((last, _)) if rows.len() == limit => after(last),
        _ => range.end.clone(),
    };
    let mark_key = keys::meta(format::COPY_MARK);
    rows.retain(|(key, _)| key[..] != mark_key[..] && !store::blob::is_of_place(key));
    Ok((rows, next))
}

async fn mark_target(
    target: &Arc<dyn Engine>,
    mark_key: &[u8],
    identity: &[u8],
) -> Result<CopyMark, MoveError> {
    if let Some(bytes) = target.get(mark_key).await.map_err(engine_error)? {
        let mark = CopyMark::from_bytes(mark_key, &bytes)
            .map_err(|error| MoveError::Refused(error.to_string()))?;
        return match mark.source == identity {
            true => Ok(mark),
            false => Err(MoveError::Refused(
                "the target has a copy that was begun from another source; take an empty one"
                    .to_owned(),
            )),
        };
    }
    let all = vec![0]..vec![0xff; 64];
    let first = Page::first(all.clone(), 1).keys_only();
    if !target.scan(first).await.map_err(engine_error)?.is_empty() {
        return Err(MoveError::Refused(
            "the target isn't empty, and isn't a copy that was broken off".to_owned(),
        ));
    }
    let mark = CopyMark {
        source: identity.to_vec(),
        next: Vec::new(),
    };
    let mut batch = Batch::new();
    batch.assert(Assertion::RangeEmpty(all));
    batch.put(mark_key.to_vec(), mark.to_bytes());
    target.commit(batch).await.map_err(commit_error)?;
    Ok(mark)
}

/// What tells a store from others: the secrets that each makes for itself, which nobody learns from their hash.
async fn identity(source: &Arc<dyn Engine>) -> Result<Vec<u8>, MoveError> {
    let mut octets = Vec::new();
    for name in IDENTITY {
        if let Some(value) = source.get(&keys::meta(name)).await.map_err(engine_error)? {
            octets.extend_from_slice(&value);
        }
    }
    if octets.is_empty() {
        return Err(MoveError::Refused(
            "the source has nothing in it: no server has ever run over it".to_owned(),
        ));
    }
    Ok(store::blob::hash(&octets).to_vec())
}

const IDENTITY: &[&str] = &[jmap_core::auth::scram::SECRET_ROW];

/// Compares both sides, and makes the target what the source is.
async fn compare(
    source: &Arc<dyn Engine>,
    target: &Arc<dyn Engine>,
    progress: &Progress,
) -> Result<(), MoveError> {
    let mut compared = 0u64;
    for range in ranges() {
        let mut rest = range;
        while rest.start < rest.end {
            let (rows, end) = page(source, &rest).await?;
            let mut batch = Batch::new();
            let mut wanted = rows.iter().peekable();
            let mut there = rest.start.clone()..end.clone();
            while there.start < there.end {
                let (found, next) = page(target, &there).await?;
                for (key, value) in &found {
                    while let Some((missing, value)) = wanted.next_if(|(other, _)| other < key) {
                        batch.put(missing.to_vec(), value.clone());
                    }
                    match wanted.next_if(|(other, _)| other == key) {
                        Some((_, same)) if same == value => {}
                        Some((_, other)) => {
                            batch.put(key.to_vec(), other.clone());
                        }
                        None => {
                            batch.delete(key.to_vec());
                        }
                    }
                }
                there.start = next;
            }
            for (missing, value) in wanted {
                batch.put(missing.to_vec(), value.clone());
            }
            if !batch.is_empty() {
                target.commit(batch).await.map_err(commit_error)?;
            }
            compared += rows.len() as u64;
            progress(&format!("{compared} records compared"));
            rest.start = end;
        }
    }
    Ok(())
}

/// How many records before a key are copied already.
async fn count(target: &Arc<dyn Engine>, next: &[u8]) -> Result<u64, MoveError> {
    let mut sum = 0;
    let mut rest = vec![0]..next.to_vec();
    while rest.start < rest.end {
        let page = Page::first(rest.clone(), ROWS_PER_PAGE).keys_only();
        let rows = target.scan(page).await.map_err(engine_error)?;
        sum += rows.len() as u64;
        match rows.last() {
            Some((last, _)) if rows.len() == ROWS_PER_PAGE => rest.start = after(last),
            _ => break,
        }
    }
    Ok(sum.saturating_sub(u64::from(!next.is_empty())))
}

async fn hash_of(engine: &Arc<dyn Engine>, progress: &Progress) -> Result<Copied, MoveError> {
    let mut copied = Copied::default();
    let mut sum = [0u8; 32];
    for range in ranges() {
        let mut rest = range;
        while rest.start < rest.end {
            let (rows, next) = page(engine, &rest).await?;
            let mut octets = sum.to_vec();
            for (key, value) in &rows {
                copied.records += 1;
                copied.octets += (key.len() + value.len()) as u64;
                octets.extend_from_slice(&(key.len() as u64).to_be_bytes());
                octets.extend_from_slice(key);
                octets.extend_from_slice(&store::blob::hash(value));
                // One after the other, so that it doesn't depend on how many came at once.
                sum = store::blob::hash(&octets);
                octets = sum.to_vec();
            }
            progress(&format!("{} records hashed", copied.records));
            rest.start = next;
        }
    }
    copied.hash = crate::hex::hex(&sum);
    Ok(copied)
}

/// The target's machine has no index of any account yet.
async fn mark_searches(target: &Arc<dyn Engine>) -> Result<(), MoveError> {
    let mut rest = keys::all(Subspace::Head);
    while rest.start < rest.end {
        let (rows, next) = page(target, &rest).await?;
        let mut batch = Batch::new();
        for (key, value) in &rows {
            let account = keys::decode_head(key);
            if let (Some(account), Ok(head)) = (account, Head::from_bytes(key, value)) {
                let state = head.state(DataType::Email);
                batch.put(keys::search_pending(account), numbers(&[state]));
            }
        }
        if !batch.is_empty() {
            target.commit(batch).await.map_err(commit_error)?;
        }
        rest.start = next;
    }
    Ok(())
}

/// Whether a server works on a database that several may share: then a node's record moves.
pub async fn find_live_node(
    engine: &Arc<dyn Engine>,
    watch_for: Duration,
) -> Result<bool, MoveError> {
    if engine.is_exclusive() {
        return Ok(false);
    }
    let nodes = || page_of_nodes(engine);
    let first = nodes().await?;
    if first.is_empty() {
        return Ok(false);
    }
    let end = tokio::time::Instant::now() + watch_for;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(WATCH_EVERY).await;
        if nodes().await? != first {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn page_of_nodes(engine: &Arc<dyn Engine>) -> Result<Vec<(Bytes, Bytes)>, MoveError> {
    Ok(page(engine, &keys::all(Subspace::Node)).await?.0)
}

#[cfg(test)]
mod tests;
