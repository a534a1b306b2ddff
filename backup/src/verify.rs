//! Reads a repository and says what is wrong with it.
//!
//! Holds: it changes nothing; a damaged file is a problem, and not the end. With `read_all`, each octet of each file is looked at.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    Error, Index, Name, Progress, Repository, Snapshot,
    index::{self, check_name},
    repository::{REFS, SNAPSHOTS, pack_path},
};

/// Problems that are listed; more are only said to be there.
pub const PROBLEMS_MAX: usize = 1000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Reads packs with blobs as well, and compares all with its hash.
    pub read_all: bool,
}

/// What was read, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub snapshots: u64,
    pub packs: u64,
    pub objects: u64,
    pub rows: u64,
    /// Files that nothing needs: of runs that were stopped, or not yet removed.
    pub unused: u64,
    /// It is encrypted and wasn't opened: what is in snapshots was not looked at.
    pub is_closed: bool,
    pub problems: Vec<String>,
    pub has_more: bool,
}

impl Report {
    fn problem(&mut self, sentence: impl Into<String>) {
        match self.problems.len() < PROBLEMS_MAX {
            true => self.problems.push(sentence.into()),
            false => self.has_more = true,
        }
    }

    /// What failed, or a problem; a place that doesn't work is the end.
    fn noted<T>(&mut self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ (Error::Damaged { .. } | Error::Gone { .. } | Error::WrongKey)) => {
                self.problem(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Verifies a repository.
pub async fn verify(
    repository: &Repository,
    options: VerifyOptions,
    progress: Progress<'_>,
) -> Result<Report, Error> {
    let mut verifier = Verifier {
        repository,
        report: Report::default(),
        packs: repository.packs().await?.into_iter().collect(),
        listed: HashMap::new(),
        kept: None,
        needed: HashSet::new(),
        progress,
    };
    let index = verifier.read_index().await?;
    verifier.read_snapshots(index).await?;
    if options.read_all {
        verifier.read_packs().await?;
    }
    let mut report = verifier.report;
    report.packs = verifier.packs.len() as u64;
    let unused = verifier
        .packs
        .keys()
        .filter(|pack| !verifier.needed.contains(*pack));
    report.unused = unused.count() as u64;
    Ok(report)
}

struct Verifier<'v> {
    repository: &'v Repository,
    report: Report,
    /// By name: octets.
    packs: BTreeMap<Name, u64>,
    /// What the index has of each pack: keyed names.
    listed: HashMap<Name, Vec<u8>>,
    /// What is in the packs of a snapshot, where the index alone doesn't say enough.
    kept: Option<(Name, HashSet<[u8; 32]>)>,
    /// Packs that snapshots need.
    needed: HashSet<Name>,
    progress: Progress<'v>,
}

impl Verifier<'_> {
    /// The index as it is used; `None`: names in it mean nothing without the key.
    async fn read_index(&mut self) -> Result<Option<Index>, Error> {
        let storage = &self.repository.storage;
        let mut is_whole = true;
        for (path, _) in storage.list(index::FOLDER).await? {
            let Some(file) = storage.get(&path).await? else {
                continue;
            };
            let read = index::read_file(&path, &file);
            let Some(packs) = self.report.noted(read)? else {
                is_whole = false;
                continue;
            };
            for row in packs {
                self.listed.insert(row.pack, row.objects);
            }
        }
        match self.repository.naming {
            None if self.repository.is_encrypted() => Ok(None),
            _ if !is_whole => Ok(None),
            _ => self.repository.index().await.map(Some),
        }
    }

    async fn read_snapshots(&mut self, index: Option<Index>) -> Result<(), Error> {
        self.report.is_closed = !self.repository.is_open();
        let index = index.map(std::sync::Arc::new);
        let mut known = HashSet::new();
        for (path, _) in self.repository.storage.list(SNAPSHOTS).await? {
            let Some(id) = path.rsplit('/').next().and_then(Name::parse) else {
                self.report.problem(format!("{path} is no snapshot"));
                continue;
            };
            self.report.snapshots += 1;
            (self.progress)(&format!("snapshot {}", id.short()));
            let refs = self.repository.refs(&id).await;
            let packs = match self.report.noted(refs)? {
                Some(refs) => refs.packs,
                None => Vec::new(),
            };
            for pack in &packs {
                if !self.packs.contains_key(pack) {
                    let path = pack_path(pack);
                    self.report.problem(format!(
                        "{path} is missing, which snapshot {} needs",
                        id.short()
                    ));
                } else if !self.listed.contains_key(pack) {
                    self.report
                        .problem(format!("{} is in no index", pack_path(pack)));
                }
            }
            let packs: HashSet<Name> = packs.into_iter().collect();
            self.needed.extend(&packs);
            if self.report.is_closed {
                let file = self.repository.must_get(&path).await;
                let checked = file.and_then(|file| check_name(&path, &file));
                self.report.noted(checked)?;
                continue;
            }
            let record = self.repository.record(&id).await;
            let (Some(record), Some(index)) = (self.report.noted(record)?, &index) else {
                continue;
            };
            let snapshot = Snapshot::new(self.repository.clone(), index.clone(), id, record);
            self.read_tree(&snapshot, &packs, &mut known).await?;
        }
        for (path, _) in self.repository.storage.list(REFS).await? {
            let id = path.rsplit('/').next().unwrap_or_default();
            let of = format!("{SNAPSHOTS}/{id}");
            let of = self.repository.storage.get(&of).await?;
            self.report.unused += u64::from(of.is_none());
        }
        Ok(())
    }

    /// The rows of a snapshot, and whether the blobs that they refer to are there. `known`: blobs of other snapshots that are.
    async fn read_tree(
        &mut self,
        snapshot: &Snapshot,
        packs: &HashSet<Name>,
        known: &mut HashSet<u64>,
    ) -> Result<(), Error> {
        let (mut rows, mut octets) = (0, 0);
        let mut last = None;
        let mut walk = snapshot.walk(&[], &[0xff; 64]);
        loop {
            let next = walk.next().await;
            let Some(next) = self.report.noted(next)? else {
                return Ok(());
            };
            let Some(next) = next else {
                break;
            };
            (self.progress)(&format!("snapshot {}: {rows} rows", snapshot.id.short()));
            for (key, value) in next {
                rows += 1;
                octets += (key.len() + value.len()) as u64;
                let references = snapshot.record.references.iter();
                let mut blobs = references.filter_map(|reference| reference.blob(&key));
                let Some(blob) = blobs
                    .next()
                    .filter(|blob| last.replace(*blob) != Some(*blob))
                else {
                    continue;
                };
                let Some(object) = snapshot.object_of(&blob) else {
                    continue;
                };
                self.check_blob(snapshot, &object, packs);
                known.insert(
                    blob.0
                        .first_chunk()
                        .map_or(0, |octets| u64::from_be_bytes(*octets)),
                );
            }
        }
        self.report.rows += rows;
        if (rows, octets) != (snapshot.record.rows(), snapshot.record.row_octets()) {
            let id = snapshot.id.short();
            self.report
                .problem(format!("snapshot {id} has other rows than it says"));
        }
        self.report.objects = known.len() as u64;
        Ok(())
    }

    fn check_blob(&mut self, snapshot: &Snapshot, object: &Name, packs: &HashSet<Name>) {
        match snapshot.index().pack_of(object) {
            None => self.report.problem(format!(
                "a blob of snapshot {} is missing: {object}",
                snapshot.id.short()
            )),
            Some(pack) if !packs.contains(&pack) && !self.is_kept(snapshot, object, packs) => {
                self.report.problem(format!(
                    "{} isn't kept for snapshot {}, which needs it",
                    pack_path(&pack),
                    snapshot.id.short()
                ));
            }
            Some(_) => {}
        }
    }

    /// Whether an object is in one of the packs of a snapshot. What was stored again, since the index was damaged, is in two, of which the
    /// index tells one.
    fn is_kept(&mut self, snapshot: &Snapshot, object: &Name, packs: &HashSet<Name>) -> bool {
        let is_gathered = |(id, _): &&(Name, _)| *id == snapshot.id;
        if self.kept.as_ref().filter(is_gathered).is_none() {
            let listed = packs.iter().filter_map(|pack| self.listed.get(pack));
            let names = listed.flat_map(|names| names.chunks_exact(32));
            let names = names.filter_map(|name| name.try_into().ok()).collect();
            self.kept = Some((snapshot.id, names));
        }
        let name = snapshot.index().name_of(object);
        let mut kept = self.kept.iter();
        kept.any(|(_, names)| names.contains(&name))
    }

    async fn read_packs(&mut self) -> Result<(), Error> {
        let packs: Vec<Name> = self.packs.keys().copied().collect();
        for (count, name) in packs.iter().enumerate() {
            (self.progress)(&format!("packs: {count} of {}", packs.len()));
            if !self.repository.is_open() {
                let path = pack_path(name);
                let file = self.repository.must_get(&path).await;
                let checked = file.and_then(|file| check_name(&path, &file));
                self.report.noted(checked)?;
                continue;
            }
            let pack = self.repository.pack(name).await;
            let Some(pack) = self.report.noted(pack)? else {
                continue;
            };
            let naming = self.repository.naming.as_ref();
            let names = pack.names.iter();
            let names: Vec<u8> = names
                .flat_map(|name| crate::seal::keyed(naming, name))
                .collect();
            // One of a run that was killed before its index was there has no row.
            if self.listed.get(name).is_some_and(|listed| *listed != names) {
                let path = pack_path(name);
                self.report
                    .problem(format!("{path} has other objects than the index says"));
            }
        }
        Ok(())
    }
}
