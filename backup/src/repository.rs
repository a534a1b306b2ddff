//! A repository: made, opened, and what is in it.
//!
//! Holds: the file `repository` is put last, so what isn't made whole isn't there.

use std::sync::Arc;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    Error, Index, Name, Snapshot, Storage,
    index::check_name,
    pack::Pack,
    records::{FORMAT, Framed as _, RefsRecord, RepositoryRecord, SnapshotRecord},
    seal::{self, Encryption, Key, Opener, Seal},
};

const RECORD: &str = "repository";
const NAMING: &str = "keys/naming.age";
const IDENTITY: &str = "keys/identity.age";
pub(crate) const PACKS: &str = "packs";
pub(crate) const SNAPSHOTS: &str = "snapshots";
pub(crate) const REFS: &str = "refs";

/// What a new repository is to be.
#[derive(Clone, Debug)]
pub struct NewRepository {
    pub encryption: Encryption,
    /// At random.
    pub id: [u8; 16],
    /// At random, and a secret.
    pub naming: Zeroizing<[u8; 32]>,
    /// Seconds since 1970.
    pub created: i64,
}

/// A repository that is open. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) record: Arc<RepositoryRecord>,
    pub(crate) seal: Seal,
    pub(crate) opener: Opener,
    /// What names of objects in the index are keyed with; `None`: nothing is encrypted, or the key isn't known.
    pub(crate) naming: Option<[u8; 32]>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

/// A snapshot, as far as it is known without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: Name,
    /// Seconds since 1970.
    pub time: i64,
    /// Octets of the packs that it needs.
    pub pack_octets: u64,
    pub(crate) number: u64,
    pub(crate) packs: Vec<Name>,
}

impl Repository {
    /// Makes a repository where there is nothing.
    pub async fn create(storage: Arc<dyn Storage>, new: NewRepository) -> Result<Self, Error> {
        let files = storage.list("").await?;
        if files.iter().any(|(path, _)| path == RECORD) {
            return Err(Error::Exists);
        }
        // What was left by one who was killed while it was made has no worth yet.
        if files.iter().any(|(path, _)| !path.starts_with("keys/")) {
            return Err(Error::NotEmpty);
        }
        let (recipients, opener) = match &new.encryption {
            Encryption::None => (Vec::new(), Opener::default()),
            Encryption::Recipients(recipients) => (recipients.clone(), Opener::default()),
            Encryption::Passphrase(passphrase) => {
                let (recipient, opener, file) = seal::new_identity(passphrase)?;
                storage.put(IDENTITY, file.into()).await?;
                (vec![recipient], opener)
            }
        };
        let seal = Seal::new(&recipients)?;
        let naming = seal.is_encrypted().then_some(*new.naming);
        if let Some(naming) = &naming {
            storage
                .put(NAMING, seal.seal(naming.to_vec())?.into())
                .await?;
        }
        let record = RepositoryRecord {
            format: FORMAT,
            id: new.id,
            recipients,
            has_passphrase: matches!(new.encryption, Encryption::Passphrase(_)),
            created: new.created,
        };
        storage.put(RECORD, record.to_frame().into()).await?;
        Ok(Self {
            storage,
            record: Arc::new(record),
            seal,
            opener,
            naming,
        })
    }

    /// Opens a repository. With no key, or not the right kind, what is encrypted stays closed. `None`: there is no repository.
    pub async fn open(storage: Arc<dyn Storage>, key: &Key) -> Result<Option<Self>, Error> {
        let Some(frame) = storage.get(RECORD).await? else {
            return Ok(None);
        };
        let record = RepositoryRecord::from_frame(RECORD, &frame)?;
        if record.format > FORMAT {
            return Err(Error::Newer {
                found: record.format,
                known: FORMAT,
            });
        }
        let seal = Seal::new(&record.recipients)?;
        let mut repository = Self {
            storage,
            seal,
            record: Arc::new(record),
            opener: Opener::default(),
            naming: None,
        };
        if repository.seal.is_encrypted() {
            repository.unlock(key).await?;
        }
        Ok(Some(repository))
    }

    async fn unlock(&mut self, key: &Key) -> Result<(), Error> {
        self.opener = match key {
            Key::None => return Ok(()),
            Key::Identity(text) => Opener::of_identities(text)?,
            Key::Passphrase(_) if !self.record.has_passphrase => return Err(Error::WrongKey),
            Key::Passphrase(passphrase) => {
                let file = self.must_get(IDENTITY).await?;
                let passphrase = passphrase.clone();
                let opened = tokio::task::spawn_blocking(move || {
                    seal::open_identity(IDENTITY, &file, &passphrase)
                });
                opened.await.map_err(|_| Error::Interrupted)??
            }
        };
        let naming = self.opener.open(NAMING, &self.must_get(NAMING).await?)?;
        let naming = Zeroizing::new(naming);
        let naming = <[u8; 32]>::try_from(naming.as_slice());
        self.naming = Some(naming.map_err(|_| Error::damaged(NAMING, "it is no key"))?);
        Ok(())
    }

    pub fn id(&self) -> [u8; 16] {
        self.record.id
    }

    pub fn is_encrypted(&self) -> bool {
        self.seal.is_encrypted()
    }

    /// Whether what is in it can be read.
    pub fn is_open(&self) -> bool {
        !self.is_encrypted() || !self.opener.is_empty()
    }

    /// Of an encrypted repository: what lets a server add to it without being able to read it.
    pub fn naming_key(&self) -> Option<Zeroizing<[u8; 32]>> {
        self.naming.map(Zeroizing::new)
    }

    /// The naming key, as the server has kept it.
    pub fn with_naming_key(mut self, key: [u8; 32]) -> Self {
        if self.is_encrypted() && self.naming.is_none() {
            self.naming = Some(key);
        }
        self
    }

    /// Whether it is encrypted in the way that is wanted.
    pub fn check_encryption(&self, wanted: &Encryption) -> Result<(), Error> {
        let of = |recipients: &[String]| {
            let mut recipients = recipients.to_vec();
            recipients.sort_unstable();
            recipients
        };
        match wanted {
            Encryption::None => Ok(()),
            _ if !self.is_encrypted() => Err(Error::NotEncrypted),
            Encryption::Passphrase(_) if self.record.has_passphrase => Ok(()),
            Encryption::Recipients(to) if of(to) == of(&self.record.recipients) => Ok(()),
            Encryption::Recipients(_) | Encryption::Passphrase(_) => Err(Error::OtherRecipients),
        }
    }

    /// The index, for who knows the names in it.
    pub async fn index(&self) -> Result<Index, Error> {
        if self.is_encrypted() && self.naming.is_none() {
            return Err(Error::NeedsNamingKey);
        }
        Index::read(self).await
    }

    /// Packs that are there, and their sizes.
    pub(crate) async fn packs(&self) -> Result<Vec<(Name, u64)>, Error> {
        let files = self.storage.list(PACKS).await?;
        let pack =
            |(path, octets): (String, u64)| Some((Name::parse(path.rsplit('/').next()?)?, octets));
        Ok(files.into_iter().filter_map(pack).collect())
    }

    /// All snapshots, oldest first. One of which it can't be read when it was taken is an error.
    pub async fn snapshots(&self) -> Result<Vec<Entry>, Error> {
        let (entries, damaged) = self.entries().await?;
        match damaged.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(entries),
        }
    }

    /// All snapshots of which it can be read when they were taken, oldest first; and the others.
    pub async fn entries(&self) -> Result<(Vec<Entry>, Vec<(Name, Error)>), Error> {
        let sizes: std::collections::HashMap<Name, u64> = self.packs().await?.into_iter().collect();
        let (mut entries, mut damaged) = (Vec::new(), Vec::new());
        for (path, _) in self.storage.list(SNAPSHOTS).await? {
            let Some(id) = path.rsplit('/').next().and_then(Name::parse) else {
                continue;
            };
            let refs = match self.refs(&id).await {
                Ok(refs) => refs,
                Err(error) if error.is_loss() => {
                    damaged.push((id, error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let octets = refs.packs.iter().filter_map(|pack| sizes.get(pack));
            entries.push(Entry {
                id,
                time: refs.time,
                number: refs.number,
                pack_octets: octets.sum(),
                packs: refs.packs,
            });
        }
        // By number: the clock of a server may have been ahead once.
        entries.sort_by_key(|entry| (entry.number, entry.time, entry.id));
        Ok((entries, damaged))
    }

    pub(crate) async fn refs(&self, id: &Name) -> Result<RefsRecord, Error> {
        let path = format!("{REFS}/{id}");
        RefsRecord::from_frame(&path, &self.must_get(&path).await?)
    }

    /// The snapshot whose id begins with `text`; with none, the last one.
    pub async fn find(&self, text: Option<&str>) -> Result<Name, Error> {
        let Some(text) = text else {
            let last = self.snapshots().await?.into_iter().next_back();
            let last = last.map(|entry| entry.id);
            return last.ok_or_else(|| Error::NoSnapshot("there is none at all".to_owned()));
        };
        let (entries, damaged) = self.entries().await?;
        let ids = entries.into_iter().map(|entry| entry.id);
        let ids = ids.chain(damaged.into_iter().map(|(id, _)| id));
        let mut found = ids.filter(|id| id.to_string().starts_with(text));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(Error::NoSnapshot(format!(
                "{text} is the beginning of several"
            ))),
            (None, _) => Err(Error::NoSnapshot(text.to_owned())),
        }
    }

    /// The last snapshot that was taken at that time or before, in seconds since 1970.
    pub async fn find_at(&self, time: i64) -> Result<Name, Error> {
        let entries = self.snapshots().await?;
        let last = entries.into_iter().rfind(|entry| entry.time <= time);
        let last = last.map(|entry| entry.id);
        last.ok_or_else(|| Error::NoSnapshot("none is as old".to_owned()))
    }

    /// What a snapshot says of itself.
    pub async fn record(&self, id: &Name) -> Result<SnapshotRecord, Error> {
        let path = format!("{SNAPSHOTS}/{id}");
        let file = self.must_get(&path).await?;
        check_name(&path, &file)?;
        let content = self.unseal(&path, file).await?;
        SnapshotRecord::from_frame(&path, &content)
    }

    /// Opens a snapshot.
    pub async fn snapshot(&self, id: &Name) -> Result<Snapshot, Error> {
        let record = self.record(id).await?;
        let mut index = self.index().await?;
        let packs = match self.refs(id).await {
            Ok(refs) => refs.packs,
            Err(error) if error.is_loss() => {
                let packs = self.packs().await?.into_iter();
                packs.map(|(name, _)| name).collect()
            }
            Err(error) => return Err(error),
        };
        index.fill(self, packs).await?;
        Ok(Snapshot::new(self.clone(), Arc::new(index), *id, record))
    }

    pub(crate) async fn must_get(&self, path: &str) -> Result<Bytes, Error> {
        let file = self.storage.get(path).await?;
        file.ok_or_else(|| Error::Gone {
            path: path.to_owned(),
        })
    }

    /// The content of a file, in a thread of its own.
    pub(crate) async fn unseal(&self, path: &str, file: Bytes) -> Result<Bytes, Error> {
        if !self.is_encrypted() {
            return Ok(file);
        }
        let (opener, path) = (self.opener.clone(), path.to_owned());
        let opened = tokio::task::spawn_blocking(move || opener.open(&path, &file));
        Ok(opened.await.map_err(|_| Error::Interrupted)??.into())
    }

    pub(crate) async fn pack(&self, name: &Name) -> Result<Pack, Error> {
        let path = pack_path(name);
        let file = self.must_get(&path).await?;
        let (opener, is_encrypted) = (self.opener.clone(), self.is_encrypted());
        let read = move || {
            check_name(&path, &file)?;
            match is_encrypted {
                true => Pack::parse(&path, &opener.open(&path, &file)?),
                false => Pack::parse(&path, &file),
            }
        };
        let read = tokio::task::spawn_blocking(read);
        read.await.map_err(|_| Error::Interrupted)?
    }
}

pub(crate) fn pack_path(name: &Name) -> String {
    let name = name.to_string();
    format!("{PACKS}/{}/{name}", &name[..2])
}
