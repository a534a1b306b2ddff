//! Repositories in memory: written, stopped at each write, damaged, pruned, and read again.

mod damage;
mod faults;
mod golden;
mod locks;
mod places;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::{
    Encryption, Error, Keep, Key, Kind, Lock, LockOwner, LockTimes, Name, NewRepository, Reference,
    Report, Repository, Snapshot, SnapshotRecord, Storage, Substitute, TreeWriter, VerifyOptions,
    Writer, prune, verify,
};

/// Files in memory. After so many writes, nothing works any more.
#[derive(Debug)]
struct Memory {
    files: Mutex<BTreeMap<String, Bytes>>,
    writes_left: AtomicUsize,
}

impl Memory {
    fn new() -> Arc<Self> {
        Self::with(BTreeMap::new(), usize::MAX)
    }

    fn with(files: BTreeMap<String, Bytes>, writes: usize) -> Arc<Self> {
        Arc::new(Self {
            files: Mutex::new(files),
            writes_left: AtomicUsize::new(writes),
        })
    }

    fn files(&self) -> BTreeMap<String, Bytes> {
        self.files.lock().clone()
    }

    fn paths(&self, folder: &str) -> Vec<String> {
        let files = self.files.lock();
        let paths = files.keys().filter(|path| path.starts_with(folder));
        paths.cloned().collect()
    }

    /// The process was killed in the middle of it.
    fn write(&self) -> Result<(), Error> {
        let left = |left: usize| Some(left.saturating_sub(1));
        let before = self
            .writes_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        match before {
            Ok(0) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Storage for Memory {
    async fn put(&self, path: &str, octets: Bytes) -> Result<(), Error> {
        self.write()?;
        self.files.lock().insert(path.to_owned(), octets);
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.files.lock().get(path).cloned())
    }

    async fn list(&self, under: &str) -> Result<Vec<(String, u64)>, Error> {
        let files = self.files.lock();
        let of = |path: &&String| under.is_empty() || path.starts_with(&format!("{under}/"));
        let files = files.iter().filter(|(path, _)| of(path));
        Ok(files
            .map(|(path, file)| (path.clone(), file.len() as u64))
            .collect())
    }

    async fn delete(&self, path: &str) -> Result<(), Error> {
        self.write()?;
        self.files.lock().remove(path);
        Ok(())
    }
}

fn quiet(_: &str) {}

fn new(encryption: Encryption) -> NewRepository {
    NewRepository {
        encryption,
        id: [7; 16],
        naming: Zeroizing::new([8; 32]),
        created: 1000,
    }
}

async fn plain() -> (Arc<Memory>, Repository) {
    let memory = Memory::new();
    let repository = Repository::create(memory.clone(), new(Encryption::None)).await;
    (memory, repository.unwrap())
}

async fn lock(repository: &Repository) -> Result<Lock, Error> {
    let owner = LockOwner {
        id: 1,
        hostname: "mx.example.org".to_owned(),
        purpose: "a backup".to_owned(),
    };
    repository.lock(owner, LockTimes::default(), &quiet).await
}

/// A server: rows, and blobs that keys which begin with 0x21 name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Server {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    blobs: BTreeMap<Name, Vec<u8>>,
}

impl Server {
    /// With mails by number.
    fn with_mails(mails: std::ops::Range<u64>) -> Self {
        let mut server = Self::default();
        for mail in mails {
            server.add(mail);
        }
        server
    }

    fn add(&mut self, mail: u64) {
        let octets = noise(mail, 3000);
        let name = Name::of(&octets);
        let number = mail.to_be_bytes();
        self.rows
            .insert([&[0x11][..], &number].concat(), noise(mail + 1, 120));
        self.rows
            .insert([&[0x21][..], &name.0, &number].concat(), Vec::new());
        self.rows
            .insert([&[0x22][..], &name.0].concat(), noise(mail + 2, 600));
        self.blobs.insert(name, octets);
    }
}

/// Octets that can't be compressed, the same for the same seed.
fn noise(seed: u64, octets: usize) -> Vec<u8> {
    let mut noise = vec![0; octets];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut noise);
    noise
}

async fn back_up(
    repository: &Repository,
    server: &Server,
    time: i64,
) -> Result<(Name, SnapshotRecord), Error> {
    let lock = lock(repository).await?;
    let mut writer = Writer::new(repository).await?;
    let mut tree = TreeWriter::default();
    for (key, value) in &server.rows {
        let size = if key[0] == 0x11 { 64 << 10 } else { 8 << 10 };
        tree.add(&mut writer, key, value, size).await?;
    }
    let nodes = tree.finish(&mut writer).await?;
    let mut substitutes = Vec::new();
    for (name, octets) in &server.blobs {
        let real = Name::of(octets);
        if real != *name {
            substitutes.push(Substitute {
                blob: *name,
                object: Some(real),
            });
        }
        if !writer.uses(&real) {
            writer.put(Kind::Data, real, octets).await?;
        }
    }
    let record = SnapshotRecord {
        time,
        nodes,
        references: vec![Reference { prefix: vec![0x21] }],
        blobs: server.blobs.len() as u64,
        substitutes,
        ..SnapshotRecord::default()
    };
    let finished = writer.finish(&lock, record).await?;
    lock.release().await?;
    Ok(finished)
}

async fn restore(snapshot: &Snapshot) -> Result<Server, Error> {
    let mut server = Server::default();
    let mut walk = snapshot.walk(&[], &[0xff; 64]);
    while let Some(rows) = walk.next().await? {
        for (key, value) in rows {
            let mut references = snapshot.record.references.iter();
            if let Some(blob) = references.find_map(|reference| reference.blob(&key))
                && let Some(octets) = snapshot.blob(&blob).await?
            {
                server.blobs.insert(blob, octets.to_vec());
            }
            server.rows.insert(key.to_vec(), value.to_vec());
        }
    }
    Ok(server)
}

async fn check(repository: &Repository) -> Report {
    let options = VerifyOptions { read_all: true };
    verify(repository, options, &quiet).await.unwrap()
}

#[track_caller]
fn assert_sound(report: &Report) {
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_backed_up_is_read_again() {
    let (_, repository) = plain().await;
    let mut server = Server::with_mails(0..300);
    let (first, _) = back_up(&repository, &server, 1).await.unwrap();
    let before = server.clone();
    server.add(1000);
    let gone = server.rows.keys().next().unwrap().clone();
    server.rows.remove(&gone);
    let (second, _) = back_up(&repository, &server, 2).await.unwrap();
    for (id, want) in [(first, &before), (second, &server)] {
        let snapshot = repository.snapshot(&id).await.unwrap();
        assert_eq!(restore(&snapshot).await.unwrap(), *want);
        assert_eq!(snapshot.record.rows(), want.rows.len() as u64);
    }
    let report = check(&repository).await;
    assert_sound(&report);
    assert_eq!((report.snapshots, report.unused), (2, 0));
    let entries = repository.snapshots().await.unwrap();
    assert_eq!(
        entries.iter().map(|e| e.id).collect::<Vec<_>>(),
        [first, second]
    );
    assert_eq!(repository.find(None).await.unwrap(), second);
    assert_eq!(repository.find_at(1).await.unwrap(), first);
    assert_eq!(repository.find(Some(&first.short())).await.unwrap(), first);
    assert!(matches!(
        repository.find_at(0).await,
        Err(Error::NoSnapshot(_))
    ));
    assert!(matches!(
        repository.find(Some("")).await,
        Err(Error::NoSnapshot(_))
    ));
}

#[tokio::test]
async fn the_last_of_two_of_one_second_is_the_last() {
    let (_, repository) = plain().await;
    for mails in 1..9 {
        let (id, _) = back_up(&repository, &Server::with_mails(0..mails), 1)
            .await
            .unwrap();
        assert_eq!(repository.find(None).await.unwrap(), id);
    }
}

/// What a clock that was ahead has said doesn't count: the last one is the last, and stays.
#[tokio::test]
async fn the_last_is_the_last_whatever_the_clock_has_said() {
    let (_, repository) = plain().await;
    let mut last = None;
    for time in [1, 2_200_000_000, 2] {
        let server = Server::with_mails(0..5);
        last = Some(back_up(&repository, &server, time).await.unwrap().0);
    }
    let last = last.unwrap();
    assert_eq!(repository.find(None).await.unwrap(), last);
    assert_eq!(repository.find_at(2).await.unwrap(), last);
    let lock = lock(&repository).await.unwrap();
    let keep = Keep {
        last: 1,
        ..Keep::default()
    };
    let pruned = prune(&repository, &lock, keep, &quiet).await.unwrap();
    assert_eq!((pruned.kept, pruned.removed.len()), (vec![last], 2));
}

#[tokio::test]
async fn rows_are_found_by_key() {
    let (_, repository) = plain().await;
    let server = Server::with_mails(0..2000);
    let (id, _) = back_up(&repository, &server, 1).await.unwrap();
    let snapshot = repository.snapshot(&id).await.unwrap();
    for (key, value) in server.rows.iter().step_by(97) {
        assert_eq!(snapshot.get(key).await.unwrap().unwrap(), value);
        let mut absent = key.clone();
        absent.push(0);
        assert_eq!(snapshot.get(&absent).await.unwrap(), None);
    }
    let keys: Vec<&Vec<u8>> = server.rows.keys().collect();
    for (from, to, limit) in [
        (0, 10, 100),
        (5, 3000, 70),
        (1990, 4100, 5000),
        (0, 5999, 1),
    ] {
        let rows = snapshot.scan(keys[from], keys[to], limit).await.unwrap();
        let want: Vec<&Vec<u8>> = keys[from..to].iter().take(limit).copied().collect();
        let found: Vec<Vec<u8>> = rows.iter().map(|(key, _)| key.to_vec()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), want);
    }
    assert!(snapshot.scan(b"", b"\x11", 9).await.unwrap().is_empty());
    assert!(snapshot.scan(b"\x30", b"\x40", 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_has_not_changed_is_not_stored_again() {
    let (_, repository) = plain().await;
    let mut server = Server::with_mails(0..3000);
    let (_, first) = back_up(&repository, &server, 1).await.unwrap();
    let (_, same) = back_up(&repository, &server, 2).await.unwrap();
    assert_eq!(same.added_octets, 0);
    assert_eq!(same.nodes, first.nodes);
    for mail in 5000..5020 {
        server.add(mail);
    }
    let (_, second) = back_up(&repository, &server, 3).await.unwrap();
    // 20 mails of 3 KB, and the leaves that they came into.
    assert!(
        second.added_octets < first.added_octets / 20,
        "{} of {}",
        second.added_octets,
        first.added_octets
    );
}

#[tokio::test]
async fn a_blob_that_is_damaged_is_kept_as_it_is() {
    let (_, repository) = plain().await;
    let mut server = Server::with_mails(0..3);
    server.blobs.values_mut().next().unwrap()[0] ^= 1;
    let (id, record) = back_up(&repository, &server, 1).await.unwrap();
    assert_eq!(record.substitutes.len(), 1);
    let snapshot = repository.snapshot(&id).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), server);
    assert_sound(&check(&repository).await);
}

#[tokio::test]
async fn packs_that_nothing_needs_any_more_go() {
    let (memory, repository) = plain().await;
    let old = Server::with_mails(0..500);
    let new = Server::with_mails(1000..1400);
    back_up(&repository, &old, 1).await.unwrap();
    let (kept, _) = back_up(&repository, &new, 2).await.unwrap();
    let before = memory.files();
    let lock = lock(&repository).await.unwrap();
    let nothing = prune(&repository, &lock, Keep::default(), &quiet).await;
    assert!(matches!(nothing, Err(Error::Keep(_))));
    let keep = Keep {
        last: 1,
        ..Keep::default()
    };
    let pruned = prune(&repository, &lock, keep, &quiet).await.unwrap();
    lock.release().await.unwrap();
    assert_eq!((pruned.kept, pruned.removed.len()), (vec![kept], 1));
    assert!(pruned.octets > 0 && memory.files().len() < before.len());
    let snapshot = repository.snapshot(&kept).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), new);
    let report = check(&repository).await;
    assert_sound(&report);
    assert_eq!((report.snapshots, report.unused), (1, 0));
    // What was removed is stored again when it is there again.
    let (again, _) = back_up(&repository, &old, 3).await.unwrap();
    let snapshot = repository.snapshot(&again).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), old);
}

const IDENTITY: &str = "AGE-SECRET-KEY-1SPCF27QNRZSSRK5EMNNALMU8QHZHVAJL55HYWHAAHV402WW6Y8WS9F44U0";
const RECIPIENT: &str = "age140nc9f0caqtkvlxe3xkkczmpgr6c7ufe3jnwqwer5ad36q2hpf0qraxp39";

#[tokio::test]
async fn who_has_no_identity_adds_and_prunes_but_cannot_read() {
    let memory = Memory::new();
    let encryption = Encryption::Recipients(vec![RECIPIENT.to_owned()]);
    let repository = Repository::create(memory.clone(), new(encryption.clone()))
        .await
        .unwrap();
    let naming = *repository.naming_key().unwrap();
    let server = Server::with_mails(0..200);
    let (id, first) = back_up(&repository, &server, 1).await.unwrap();
    let closed = || async {
        Repository::open(memory.clone(), &Key::None)
            .await
            .unwrap()
            .unwrap()
    };
    assert!(matches!(
        closed().await.index().await,
        Err(Error::NeedsNamingKey)
    ));
    let adding = closed().await.with_naming_key(naming);
    adding.check_encryption(&encryption).unwrap();
    let (_, second) = back_up(&adding, &server, 2).await.unwrap();
    assert!(first.added_octets > 0 && second.added_octets == 0);
    assert!(matches!(adding.snapshot(&id).await, Err(Error::NeedsKey)));
    assert!(check(&closed().await).await.is_closed);
    let lock = lock(&adding).await.unwrap();
    let keep = Keep {
        daily: 7,
        ..Keep::default()
    };
    assert_eq!(
        prune(&adding, &lock, keep, &quiet).await.unwrap().removed,
        [id]
    );
    drop(lock);
    // No name of a blob and nothing that is in one can be seen.
    let blob = server.blobs.keys().next().unwrap();
    for (path, file) in memory.files() {
        assert!(!path.contains(&blob.to_string()), "{path}");
        assert!(!file.windows(32).any(|octets| octets == blob.0), "{path}");
    }
    let key = Key::Identity(Zeroizing::new(format!("# mine\n{IDENTITY}\n")));
    let open = Repository::open(memory.clone(), &key)
        .await
        .unwrap()
        .unwrap();
    let last = open.find(None).await.unwrap();
    let snapshot = open.snapshot(&last).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), server);
    assert_sound(&check(&open).await);
    let others = Encryption::Recipients(Vec::new());
    assert!(matches!(
        open.check_encryption(&others),
        Err(Error::OtherRecipients)
    ));
}

#[tokio::test]
async fn a_passphrase_opens_what_it_closed() {
    let memory = Memory::new();
    let passphrase = |text: &str| Zeroizing::new(text.to_owned());
    let encryption = Encryption::Passphrase(passphrase("correct horse"));
    let repository = Repository::create(memory.clone(), new(encryption))
        .await
        .unwrap();
    let server = Server::with_mails(0..20);
    let (id, _) = back_up(&repository, &server, 1).await.unwrap();
    let key = Key::Passphrase(passphrase("correct horse"));
    let open = Repository::open(memory.clone(), &key)
        .await
        .unwrap()
        .unwrap();
    let snapshot = open.snapshot(&id).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), server);
    let wrong = Key::Passphrase(passphrase("wrong horse"));
    let refused = Repository::open(memory.clone(), &wrong).await;
    assert!(matches!(refused, Err(Error::WrongKey)));
}

#[tokio::test]
async fn a_place_with_other_files_is_left_alone() {
    let memory = Memory::with([("mail.txt".to_owned(), Bytes::new())].into(), usize::MAX);
    let made = Repository::create(memory.clone(), new(Encryption::None)).await;
    assert!(matches!(made, Err(Error::NotEmpty)));
    let (memory, _) = plain().await;
    let made = Repository::create(memory, new(Encryption::None)).await;
    assert!(matches!(made, Err(Error::Exists)));
    assert!(
        Repository::open(Memory::new(), &Key::None)
            .await
            .unwrap()
            .is_none()
    );
}
