//! Blobs over engines without a disk, folders, and a server of S3.

mod between;
mod cache;
mod collect;
mod faults;
mod places;
mod rewrite;
mod seal;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{
    BlobEngine, BlobSettings, OpenError, OutsidePlace, OutsideSettings, Source,
    keyring::{Keyring, MasterKey},
    s3_server::S3Server,
};
use crate::{
    engine::{Batch, Engine},
    keys::{self, BlobHash},
};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands still, and octets that are never the same.
#[derive(Debug, Default)]
pub struct TestSource {
    now: AtomicU64,
    drawn: AtomicU64,
}

impl TestSource {
    fn new() -> Arc<TestSource> {
        let source = TestSource::default();
        source.advance(Duration::from_secs(1_800_000_000));
        Arc::new(source)
    }

    fn advance(&self, by: Duration) {
        self.now.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Source for TestSource {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn fill(&self, out: &mut [u8]) {
        // Another run over the same store draws others.
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let own = self.drawn.fetch_add(1, Ordering::Relaxed);
        let all = DRAWN.fetch_add(1, Ordering::Relaxed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&own.to_le_bytes()).update(&all.to_le_bytes());
        hasher.finalize_xof().fill(out);
    }
}

fn master(octet: u8) -> MasterKey {
    MasterKey::new([octet; 32])
}

/// Keys by id and octet; the last one encrypts.
fn keyring(keys: &[(&str, u8)]) -> Keyring {
    let mut keyring = Keyring::none();
    for (id, octet) in keys {
        keyring.add(id, master(*octet)).unwrap();
    }
    keyring
}

/// All in the engine, not encrypted.
fn settings() -> BlobSettings {
    BlobSettings {
        outside: None,
        writes_outside: true,
        threshold: 0,
        cache: None,
        keyring: Keyring::none(),
        source: TestSource::new(),
    }
}

fn in_folder(folder: &Path) -> BlobSettings {
    BlobSettings {
        outside: Some(OutsideSettings {
            place: OutsidePlace::Folder(folder.to_owned()),
            timeout: PATIENCE,
        }),
        ..settings()
    }
}

fn in_s3(server: &S3Server, timeout: Duration) -> BlobSettings {
    BlobSettings {
        outside: Some(server.settings(timeout, "")),
        ..settings()
    }
}

async fn open(inner: &Arc<dyn Engine>, settings: &BlobSettings) -> Arc<BlobEngine> {
    try_open(inner, settings).await.unwrap()
}

async fn try_open(
    inner: &Arc<dyn Engine>,
    settings: &BlobSettings,
) -> Result<Arc<BlobEngine>, OpenError> {
    BlobEngine::open(inner.clone(), settings.clone()).await
}

/// A blob with something that refers to it.
fn put_batch(octets: &Bytes) -> Batch {
    let hash = super::hash(octets);
    let mut batch = Batch::new();
    batch.put(keys::blob(&hash), octets.clone());
    let account = jmap_types::AccountId::new(7);
    let reference = keys::blob_ref(&hash, account, jmap_types::DataType::Email, 1);
    batch.put(reference, Bytes::new());
    batch
}

async fn put(engine: &Arc<BlobEngine>, octets: impl Into<Bytes>) -> BlobHash {
    let octets = octets.into();
    engine.commit(put_batch(&octets)).await.unwrap();
    super::hash(&octets)
}

async fn get(engine: &Arc<BlobEngine>, hash: &BlobHash) -> Option<Bytes> {
    engine.get(&keys::blob(hash)).await.unwrap()
}

/// A mail of `octets` octets, another one for each seed.
fn mail(seed: u64, octets: usize) -> Bytes {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut text = vec![0; octets];
    hasher.finalize_xof().fill(&mut text);
    text.iter_mut()
        .for_each(|octet| *octet = b'a' + *octet % 26);
    text.into()
}
