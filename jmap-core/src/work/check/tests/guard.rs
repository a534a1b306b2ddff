//! What keeps mail from being lost before a repair: numbers that would be given again take the place of nothing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Head, Record as _,
    engine::{Batch, CommitError, Engine, EngineError, Key, MemoryEngine, Page, Snapshot, Write},
    keys, numbers,
    search::{SearchIndex, SearchOptions},
};

use super::{super::RepairError, Code, Fixture, fixture};
use crate::{
    Core, Limits, Parts,
    clock::{TestClock, UtcMillis},
    cluster::{NodeRecord, Settings},
    mail::write,
    rng::SeededRng,
};

/// Another node, which writes some rows just before somebody else's commit writes to one of them.
#[derive(Debug)]
struct Rival {
    engine: Arc<dyn Engine>,
    rows: Mutex<Option<(Key, Bytes)>>,
}

impl Rival {
    fn takes(&self, batch: &Batch) -> Option<(Key, Bytes)> {
        let mut rows = self.rows.lock();
        let (wanted, _) = rows.as_ref()?;
        let is_it = |write: &Write| match write {
            Write::Put(key, _) | Write::Delete(key) => key == wanted,
            Write::DeleteRange(_) | Write::Add(..) => false,
        };
        batch.writes.iter().any(is_it).then(|| rows.take())?
    }
}

#[async_trait]
impl Engine for Rival {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(key).await
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.engine.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.engine.scan(page).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.engine.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if let Some((key, value)) = self.takes(&batch) {
            let mut rivals = Batch::new();
            rivals.put(key, value);
            self.engine.commit(rivals).await?;
        }
        self.engine.commit(batch).await
    }

    async fn disk_octets(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

/// Repairs a store in which `key` has `bad`, while another node writes `good`. Returns what is there in the end.
async fn repaired(mut fixture: Fixture, key: Key, bad: Bytes, good: Bytes) -> Bytes {
    fixture
        .write(|batch| drop(batch.put(key.clone(), bad)))
        .await;
    let rival = Arc::new(Rival {
        engine: fixture.engine.clone(),
        rows: Mutex::new(Some((key.clone(), good))),
    });
    fixture.engine = rival.clone();
    let core = fixture.anew().await;
    let repair = core.repair(super::CheckOptions::default(), &|_| ()).await;
    assert_eq!(repair.unwrap().remaining, []);
    assert!(rival.rows.lock().is_none(), "nothing was repaired");
    fixture.engine.get(&key).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_was_written_meanwhile_is_not_repaired_over() {
    let key = keys::queue_pause("far.example");
    let good = numbers(&[5]);
    let found = repaired(fixture().await, key, "bad".into(), good.clone()).await;
    assert_eq!(found, good);
    // A head: of a transaction that came in between, nothing is taken back.
    let fixture = fixture().await;
    let (key, right) = (keys::head(fixture.alice), fixture.head().await);
    let wrong = Head {
        used_octets: right.used_octets + 7,
        ..right.clone()
    };
    let later = Head {
        last_id: right.last_id + 100,
        ..wrong.clone()
    };
    let found = repaired(fixture, key.clone(), wrong.to_bytes(), later.to_bytes()).await;
    let found = Head::from_bytes(&key, &found).unwrap();
    assert_eq!(
        (found.last_id, found.used_octets),
        (right.last_id + 100, right.used_octets)
    );
}

#[tokio::test]
async fn a_head_that_went_back_has_no_email_written_over() {
    let fixture = fixture().await;
    let (key, record) = fixture.email().await;
    let mut head = fixture.head().await;
    // As if the first email came next.
    let (_, _, id) = keys::decode_object(&key).unwrap();
    head.last_id = id - 1;
    fixture
        .write(|batch| drop(batch.put(keys::head(fixture.alice), head.to_bytes())))
        .await;
    // A server that has just been started: nothing is remembered of the head.
    let core = fixture.anew().await;
    let recipient = core.resolve_recipient("alice@example.org").await.unwrap();
    let inbound = super::inbound(super::MAIL, vec![recipient]);
    let refused = core.deliver(inbound).await;
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(fixture.email().await, (key, record));
    let repair = core
        .repair(super::CheckOptions::default(), &|_| ())
        .await
        .unwrap();
    assert!(repair.problems.iter().any(|p| p.code == Code::EmailId));
    let recipient = core.resolve_recipient("alice@example.org").await.unwrap();
    let inbound = super::inbound(super::MAIL, vec![recipient]);
    assert!(core.deliver(inbound).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_account_that_has_lost_its_head_doesnt_begin_again() {
    let fixture = fixture().await;
    fixture
        .write(|batch| drop(batch.delete(keys::head(fixture.alice))))
        .await;
    let core = fixture.anew().await;
    let handle = core.accounts.handle(fixture.alice);
    assert!(matches!(
        handle.writer.begin().await.map(drop),
        Err(store::Error::Corrupt { .. })
    ));
    // What there is can be read.
    let view = handle.view().await.unwrap();
    assert_eq!(view.all_emails().len(), 2);
    assert!(view.mailbox(write::INBOX).is_some());
}

#[tokio::test]
async fn nodes_of_another_version_keep_it_from_repairing() {
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let folder = tempfile::tempdir().unwrap();
    let search = SearchIndex::open(&folder.path().join("search"), &SearchOptions::default());
    let parts = Parts {
        engine: engine.clone(),
        search: Arc::new(search.unwrap()),
        push: Default::default(),
        clock: Arc::new(TestClock::new(UtcMillis(1_700_000_000_000))),
        rng: Arc::new(SeededRng::new(1)),
        limits: Limits::default(),
        hostname: "mail.example.org".into(),
    };
    let settings = Settings::new(folder.path().to_owned(), "one");
    let core = Core::open_node(parts, settings).await.unwrap();
    // What this version doesn't know: the other one may.
    let unknown = vec![0xee, 1];
    let newer = NodeRecord {
        session: 77,
        name: "two".to_owned(),
        version: "99.0.0".to_owned(),
        ..NodeRecord::default()
    };
    let mut batch = Batch::new();
    batch.put(keys::node(7), newer.to_bytes());
    batch.put(unknown.clone(), "x");
    engine.commit(batch).await.unwrap();
    let refused = core.repair(Default::default(), &|_| ()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, RepairError::OtherVersion { .. }),
        "{refused}"
    );
    assert!(engine.contains(&unknown).await.unwrap());
    let mut batch = Batch::new();
    batch.delete(keys::node(7));
    engine.commit(batch).await.unwrap();
    core.repair(Default::default(), &|_| ()).await.unwrap();
    assert!(!engine.contains(&unknown).await.unwrap());
}
