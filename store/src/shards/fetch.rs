//! Making a shard of this node what was published.
//!
//! Holds: files that are here are not fetched, those that come are compared with their hashes; searches go on in what was here until all is
//! there. What was fetched before an interruption isn't fetched again.
//! Other half: `publish`.

use std::{collections::VecDeque, ops::Range};

use super::{Manifest, PackedFile, Shards};
use crate::{
    blob::packs::{PackError, PackRecord},
    search::{CopyFile, Incoming, SearchError},
};

/// Octets that are fetched by one request. Encryption has chunks of which this is a multiple.
const PART_OCTETS: u64 = 8 << 20;
/// How often files are fetched, if what comes isn't what was published.
const FETCHES: usize = 2;

/// Why a shard could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// What is published is missing or is something else. Another manifest may be there by now.
    #[error("what was published of search shard {shard} can't be read: {reason}")]
    Damaged { shard: u16, reason: String },
    #[error(transparent)]
    Pack(PackError),
    #[error(transparent)]
    Index(#[from] SearchError),
    #[error("the server is stopping")]
    Stopping,
}

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    pub files: u64,
    pub octets: u64,
}

/// Files that follow each other in a pack.
struct Run<'m> {
    pack: &'m PackRecord,
    range: Range<u64>,
    files: VecDeque<CopyFile>,
}

impl Shards {
    /// Fetches what isn't here. Searches don't see it yet.
    pub async fn gather(&self, shard: u16, manifest: &Manifest) -> Result<Fetched, FetchError> {
        let copy = manifest.copy(self.layout);
        let mut fetched = Fetched::default();
        let mut rest = 0;
        for _ in 0..FETCHES {
            let (index, of) = (self.index.clone(), copy.clone());
            let missing = blocking(move || index.missing(shard, &of)).await?;
            rest = missing.len();
            if rest == 0 {
                break;
            }
            for run in runs(manifest, &missing) {
                self.fetch_run(shard, run, &mut fetched).await?;
            }
        }
        if rest > 0 {
            let (index, of) = (self.index.clone(), copy.clone());
            let missing = blocking(move || index.missing(shard, &of)).await?;
            if let Some(file) = missing.first() {
                return Err(FetchError::Damaged {
                    shard,
                    reason: format!("{} is another file", file.name),
                });
            }
        }
        Ok(fetched)
    }

    /// Goes over to what was gathered.
    pub async fn put_in(&self, shard: u16, manifest: &Manifest) -> Result<(), FetchError> {
        let (index, copy) = (self.index.clone(), manifest.copy(self.layout));
        match blocking(move || index.put_in(shard, &copy)).await {
            Err(FetchError::Index(SearchError::NeedsRebuild { shard, reason })) => {
                Err(FetchError::Damaged { shard, reason })
            }
            done => done,
        }
    }

    async fn fetch_run(
        &self,
        shard: u16,
        mut run: Run<'_>,
        fetched: &mut Fetched,
    ) -> Result<(), FetchError> {
        let blobs = self.engine.blobs();
        let blobs = blobs.ok_or(FetchError::Pack(PackError::NoPlace))?;
        let folder = Self::folder(self.layout, shard.into());
        let mut open: Option<(Incoming, u64)> = None;
        let mut start = run.range.start;
        while start < run.range.end {
            let end = run.range.end.min(start + PART_OCTETS);
            let octets = match blobs.read_pack(&folder, run.pack, start..end).await {
                Ok(octets) => octets,
                Err(error) if error.is_damage() => {
                    let reason = error.to_string();
                    return Err(FetchError::Damaged { shard, reason });
                }
                Err(error) => return Err(FetchError::Pack(error)),
            };
            fetched.octets += octets.len() as u64;
            let index = self.index.clone();
            let (mut files, mut current) = (std::mem::take(&mut run.files), open.take());
            let work = move || {
                let mut rest = &octets[..];
                let mut count = 0;
                loop {
                    let (file, left) = match current.take() {
                        Some(current) => current,
                        None => match files.pop_front() {
                            Some(file) => (index.take_in(shard, &file)?, file.octets),
                            None => break,
                        },
                    };
                    let mut file = file;
                    let part = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (own, others) = rest.split_at(part);
                    file.write(own)?;
                    rest = others;
                    let left = left - part as u64;
                    if left > 0 {
                        current = Some((file, left));
                        break;
                    }
                    count += u64::from(file.finish()?);
                    if rest.is_empty() {
                        break;
                    }
                }
                Ok((files, current, count))
            };
            let count;
            (run.files, open, count) = blocking(work).await?;
            fetched.files += count;
            start = end;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SearchError> + Send + 'static,
) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| FetchError::Stopping)??)
}

/// What is missing, as few ranges.
fn runs<'m>(manifest: &'m Manifest, missing: &[CopyFile]) -> Vec<Run<'m>> {
    let by_name = manifest.by_name();
    let mut wanted: Vec<&PackedFile> = missing
        .iter()
        .filter_map(|file| by_name.get(&*file.name).copied())
        .collect();
    wanted.sort_by_key(|of| (of.pack, of.offset));
    let mut runs: Vec<(u64, Run<'m>)> = Vec::new();
    for of in wanted {
        let Some(pack) = manifest.pack_of(of) else {
            continue;
        };
        let range = of.offset..of.offset + of.file.octets;
        match runs.last_mut() {
            Some((number, run)) if *number == of.pack && run.range.end == range.start => {
                run.range.end = range.end;
                run.files.push_back(of.file.clone());
            }
            _ => {
                let files = VecDeque::from([of.file.clone()]);
                runs.push((of.pack, Run { pack, range, files }));
            }
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}
