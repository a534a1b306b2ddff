//! A snapshot that is read: rows by key, and objects by name.
//!
//! Holds: what it gives is what its name says; packs that were read lately are kept, up to [`CACHE_OCTETS_MAX`].

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::{
    Error, Index, Name, Repository,
    pack::Pack,
    records::{Child, Framed as _, NodeRecord, SnapshotRecord},
    tree::{self, Row},
};

/// Octets of packs that are remembered.
pub const CACHE_OCTETS_MAX: usize = 64 << 20;

/// A snapshot of a repository. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    pub id: Name,
    pub record: Arc<SnapshotRecord>,
    repository: Repository,
    index: Arc<Index>,
    cache: Arc<Mutex<Cache>>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Cache {
    /// The one used last is the last.
    packs: VecDeque<(Name, Arc<Pack>)>,
    octets: usize,
    /// Why packs can't be read: each of their objects would have them read again.
    damaged: HashMap<Name, (String, String)>,
}

impl Cache {
    fn get(&mut self, name: &Name) -> Option<Arc<Pack>> {
        let at = self.packs.iter().position(|(of, _)| of == name)?;
        let entry = self.packs.remove(at)?;
        let pack = entry.1.clone();
        self.packs.push_back(entry);
        Some(pack)
    }

    fn put(&mut self, name: Name, pack: Arc<Pack>) {
        self.octets += pack.octets();
        self.packs.push_back((name, pack));
        while self.octets > CACHE_OCTETS_MAX && self.packs.len() > 1 {
            if let Some((_, oldest)) = self.packs.pop_front() {
                self.octets -= oldest.octets();
            }
        }
    }
}

impl Snapshot {
    pub(crate) fn new(
        repository: Repository,
        index: Arc<Index>,
        id: Name,
        record: SnapshotRecord,
    ) -> Self {
        Self {
            id,
            record: Arc::new(record),
            repository,
            index,
            cache: Arc::default(),
        }
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// An object, by its name.
    pub async fn object(&self, name: &Name) -> Result<Bytes, Error> {
        let gone = || Error::Gone {
            path: format!("object {name}"),
        };
        let pack = self.index.pack_of(name).ok_or_else(gone)?;
        let mut cache = self.cache.lock().await;
        if let Some((path, why)) = cache.damaged.get(&pack) {
            return Err(Error::damaged(path, why));
        }
        let pack = match cache.get(&pack) {
            Some(pack) => pack,
            None => {
                let read = self.repository.pack(&pack).await;
                if let Err(Error::Damaged { path, why }) = &read {
                    cache.damaged.insert(pack, (path.clone(), why.clone()));
                }
                let read = Arc::new(read?);
                cache.put(pack, read.clone());
                read
            }
        };
        pack.get(name).ok_or_else(gone)
    }

    /// The octets of a blob, as the server had them. `None`: it had none.
    pub async fn blob(&self, name: &Name) -> Result<Option<Bytes>, Error> {
        match self.object_of(name) {
            Some(object) => self.object(&object).await.map(Some),
            None => Ok(None),
        }
    }

    /// The object that has the octets of a blob; `None`: the server had none.
    pub fn object_of(&self, blob: &Name) -> Option<Name> {
        let mut substitutes = self.record.substitutes.iter();
        match substitutes.find(|substitute| substitute.blob == *blob) {
            Some(substitute) => substitute.object,
            None => Some(*blob),
        }
    }

    async fn leaves(&self, node: &Child) -> Result<Vec<Child>, Error> {
        let frame = self.object(&node.name).await?;
        Ok(NodeRecord::from_frame(&format!("node {}", node.name), &frame)?.leaves)
    }

    async fn rows_of(&self, leaf: &Child) -> Result<Vec<Row>, Error> {
        tree::rows(&leaf.name, &self.object(&leaf.name).await?)
    }

    /// The value under a key.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let mut end = key.to_vec();
        end.push(0);
        let rows = self.scan(key, &end, 1).await?;
        Ok(rows.into_iter().next().map(|(_, value)| value))
    }

    /// The first `limit` rows whose keys are at `start` or after it, and before `end`.
    pub async fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        for node in &self.record.nodes[first_part(&self.record.nodes, start)..] {
            if node.first_key.as_slice() >= end || rows.len() >= limit {
                break;
            }
            let leaves = self.leaves(node).await?;
            for leaf in &leaves[first_part(&leaves, start)..] {
                if leaf.first_key.as_slice() >= end || rows.len() >= limit {
                    break;
                }
                let of_leaf = self.rows_of(leaf).await?;
                let wanted = of_leaf
                    .into_iter()
                    .filter(|(key, _)| &key[..] >= start && &key[..] < end);
                rows.extend(wanted.take(limit - rows.len()));
            }
        }
        Ok(rows)
    }

    /// All rows between two keys, a leaf at a time.
    pub fn walk(&self, start: &[u8], end: &[u8]) -> Walk {
        let nodes = &self.record.nodes;
        let from = first_part(nodes, start);
        let until = nodes.partition_point(|node| node.first_key.as_slice() < end);
        Walk {
            snapshot: self.clone(),
            nodes: from..until.max(from),
            leaves: VecDeque::new(),
            start: start.to_vec(),
            end: end.to_vec(),
        }
    }
}

/// The first part that may have `key`.
fn first_part(parts: &[Child], key: &[u8]) -> usize {
    parts
        .partition_point(|part| part.first_key.as_slice() <= key)
        .saturating_sub(1)
}

/// Goes through the rows of a snapshot in the order of their keys.
#[derive(Debug)]
pub struct Walk {
    snapshot: Snapshot,
    nodes: std::ops::Range<usize>,
    leaves: VecDeque<Child>,
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Walk {
    /// The next rows; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            if let Some(leaf) = self.leaves.pop_front() {
                let mut rows = self.snapshot.rows_of(&leaf).await?;
                if rows.len() as u64 != leaf.rows {
                    return Err(Error::damaged(
                        format!("leaf {}", leaf.name),
                        "it hasn't got all its rows",
                    ));
                }
                rows.retain(|(key, _)| key[..] >= self.start[..] && key[..] < self.end[..]);
                if rows.is_empty() {
                    continue;
                }
                return Ok(Some(rows));
            }
            let Some(node) = self.nodes.next() else {
                return Ok(None);
            };
            let node = self.snapshot.record.nodes[node].clone();
            let leaves = self.snapshot.leaves(&node).await?;
            let from = first_part(&leaves, &self.start);
            let end = &self.end;
            let wanted = leaves.into_iter().skip(from);
            self.leaves = wanted
                .take_while(|leaf| leaf.first_key.as_slice() < end.as_slice())
                .collect();
        }
    }
}
