//! How far the index of each account is.
//!
//! Holds: a cursor is written after what it says is in the index. A process that has the database alone keeps its cursors there; a node of
//! a cluster has an index of its own, and keeps them beside it: what is lost of the last ones in a crash is indexed again. Where shards are
//! published, they are in the engine with what is published, and in memory with what isn't yet.
//! Other half: `worker` moves them.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use jmap_types::AccountId;
use parking_lot::Mutex;
use store::{
    decode_numbers,
    engine::{Engine, EngineError},
    keys,
    shards::Shards,
};

use super::shared::Shared;
use crate::cluster::Cluster;

const FILE: &str = "search-cursors";
/// Account, cursor, check.
const ROW_OCTETS: usize = 24;
/// The file is written anew when it has this many rows more than there are accounts.
const OLD_ROWS_MAX: usize = 100_000;

#[derive(Debug)]
pub enum Cursors {
    Store(Arc<dyn Engine>),
    Node(Mutex<Local>),
    Shared(Shared),
}

/// A file to which each cursor is appended.
#[derive(Debug)]
pub struct Local {
    path: PathBuf,
    file: File,
    rows: usize,
    /// Accounts that aren't in here are not indexed, or nobody knows what of them is.
    cursors: HashMap<AccountId, u64>,
}

fn failed(path: &Path, error: &io::Error) -> store::Error {
    EngineError::Io(format!("{}: {error}", path.display()).into()).into()
}

impl Cursors {
    pub fn of_store(engine: Arc<dyn Engine>) -> Self {
        Self::Store(engine)
    }

    /// Those of the node whose folder this is.
    pub fn of_node(folder: &Path) -> Result<Self, store::Error> {
        let path = folder.join(FILE);
        let local = Local::open(&path).map_err(|error| failed(&path, &error))?;
        Ok(Self::Node(Mutex::new(local)))
    }

    /// Those of published shards. What is in the folder says nothing of them.
    pub(crate) async fn of_shards(
        folder: &Path,
        shards: Shards,
        cluster: Arc<Cluster>,
    ) -> Result<Self, store::Error> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path, &error));
            }
            _ => {}
        }
        Ok(Self::Shared(Shared::open(shards, cluster).await))
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// The last transaction that the index has. `None`: it may have anything of the account.
    pub(super) async fn get(&self, account: AccountId) -> Result<Option<u64>, store::Error> {
        match self {
            Self::Store(engine) => {
                let key = keys::search_cursor(account);
                match engine.get(&key).await? {
                    Some(bytes) => Ok(Some(decode_numbers::<1>(&key, &bytes)?[0])),
                    None => Ok(Some(0)),
                }
            }
            Self::Node(local) => Ok(local.lock().cursors.get(&account).copied()),
            Self::Shared(shared) => Ok(Some(shared.cursor(account).await?)),
        }
    }

    /// Of a node: what `get` says, at once. Of a published shard: what isn't published.
    pub(super) fn known(&self, account: AccountId) -> Option<u64> {
        match self {
            Self::Store(_) => None,
            Self::Node(local) => local.lock().cursors.get(&account).copied(),
            Self::Shared(shared) => shared.known(account),
        }
    }

    /// Of a node: notes cursors, or with `None` that there are none.
    pub(super) fn put(&self, cursors: &[(AccountId, Option<u64>)]) -> Result<(), store::Error> {
        let Self::Node(local) = self else {
            return Ok(());
        };
        let mut local = local.lock();
        local
            .put(cursors)
            .map_err(|error| failed(&local.path, &error))
    }
}

/// No cursor is as high; it stands for none.
const NONE: u64 = u64::MAX;

fn row(account: AccountId, cursor: Option<u64>) -> [u8; ROW_OCTETS] {
    let mut row = [0; ROW_OCTETS];
    row[..8].copy_from_slice(&account.number().to_be_bytes());
    row[8..16].copy_from_slice(&cursor.unwrap_or(NONE).to_be_bytes());
    let check = blake3::hash(&row[..16]);
    row[16..].copy_from_slice(&check.as_bytes()[..8]);
    row
}

/// `None`: it was not written whole.
fn decode(row: &[u8; ROW_OCTETS]) -> Option<(AccountId, u64)> {
    let check = blake3::hash(&row[..16]);
    if row[16..] != check.as_bytes()[..8] {
        return None;
    }
    let (account, rest) = row.split_first_chunk::<8>()?;
    let (cursor, _) = rest.split_first_chunk::<8>()?;
    Some((
        AccountId::new(u64::from_be_bytes(*account)),
        u64::from_be_bytes(*cursor),
    ))
}

impl Local {
    fn open(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut cursors = HashMap::new();
        let (rows, _) = bytes.as_chunks::<ROW_OCTETS>();
        // What comes behind a row that was torn can't be trusted.
        for (account, cursor) in rows.iter().map_while(decode) {
            match cursor {
                NONE => cursors.remove(&account),
                cursor => cursors.insert(account, cursor),
            };
        }
        Self::write_anew(path, cursors)
    }

    fn write_anew(path: &Path, cursors: HashMap<AccountId, u64>) -> io::Result<Self> {
        let draft = path.with_extension("new");
        let rows = cursors.iter();
        let bytes: Vec<u8> = rows
            .flat_map(|(account, cursor)| row(*account, Some(*cursor)))
            .collect();
        let mut file = File::create(&draft)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&draft, path)?;
        Ok(Self {
            file: OpenOptions::new().append(true).open(path)?,
            path: path.to_owned(),
            rows: cursors.len(),
            cursors,
        })
    }

    fn put(&mut self, cursors: &[(AccountId, Option<u64>)]) -> io::Result<()> {
        let rows = cursors.iter();
        let bytes: Vec<u8> = rows
            .flat_map(|(account, cursor)| row(*account, *cursor))
            .collect();
        self.file.write_all(&bytes)?;
        self.rows += cursors.len();
        for &(account, cursor) in cursors {
            match cursor {
                Some(cursor) => self.cursors.insert(account, cursor),
                None => self.cursors.remove(&account),
            };
        }
        if self.rows > self.cursors.len() + OLD_ROWS_MAX {
            *self = Self::write_anew(&self.path.clone(), std::mem::take(&mut self.cursors))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cursors_outlive_the_process_and_a_torn_row_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (AccountId::new(1), AccountId::new(2));
        let cursors = Cursors::of_node(folder.path()).unwrap();
        assert_eq!(cursors.get(a).await.unwrap(), None);
        cursors.put(&[(a, Some(5)), (b, Some(6))]).unwrap();
        cursors.put(&[(a, Some(7)), (b, None)]).unwrap();
        drop(cursors);
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        let mut torn = row(a, Some(9));
        torn[12] ^= 1;
        bytes.extend(torn);
        bytes.extend(row(b, Some(10)));
        bytes.extend([1, 2, 3]);
        fs::write(&path, bytes).unwrap();
        let cursors = Cursors::of_node(folder.path()).unwrap();
        assert_eq!(cursors.get(a).await.unwrap(), Some(7));
        assert_eq!(cursors.get(b).await.unwrap(), None);
        cursors.put(&[(b, Some(11))]).unwrap();
        drop(cursors);
        let cursors = Cursors::of_node(folder.path()).unwrap();
        assert_eq!(cursors.get(b).await.unwrap(), Some(11));
    }
}
