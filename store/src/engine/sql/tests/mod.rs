//! The SQL engines: the conformance suite, several nodes at once, and what happens when a database fails.

mod faults;
mod history;
mod nodes;
mod settings;
mod sqlite;
mod tls;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    SqlOptions, open_sql,
    servers::{DatabaseServer, ServerKind, TestDatabase},
};
use crate::engine::{Batch, Engine, MemoryEngine, Page, conformance};

/// An empty engine, and what goes with it.
pub(crate) struct FreshEngine {
    pub(crate) engine: Arc<dyn Engine>,
    _database: Option<TestDatabase<'static>>,
    _folder: Option<TempDir>,
}

impl FreshEngine {
    /// One in memory, and one of each SQL database.
    pub(crate) async fn of_all_kinds() -> Vec<FreshEngine> {
        let folder = TempDir::new().expect("a folder");
        let options = SqlOptions::new("sqlite:mail.db");
        let sqlite = open_sql(&options, folder.path());
        let mut fresh = vec![
            FreshEngine {
                engine: MemoryEngine::new(),
                _database: None,
                _folder: None,
            },
            FreshEngine {
                engine: sqlite.await.expect("opens"),
                _database: None,
                _folder: Some(folder),
            },
        ];
        for kind in KINDS {
            let database = DatabaseServer::shared(kind).database();
            fresh.push(FreshEngine {
                engine: open(&database).await,
                _database: Some(database),
                _folder: None,
            });
        }
        fresh
    }
}

const KINDS: [ServerKind; 2] = [ServerKind::Postgres, ServerKind::MariaDb];

/// For a server that loses everything when its machine fails.
fn options(url: impl Into<String>) -> SqlOptions {
    SqlOptions {
        durable: false,
        ..SqlOptions::new(url)
    }
}

async fn open(database: &TestDatabase<'_>) -> Arc<dyn Engine> {
    open_with(&options(database.url())).await
}

async fn open_with(options: &SqlOptions) -> Arc<dyn Engine> {
    open_sql(options, Path::new("/nonexistent"))
        .await
        .expect("opens")
}

async fn put(engine: &Arc<dyn Engine>, key: &str, value: impl Into<Bytes>) {
    let mut batch = Batch::new();
    batch.put(key.into(), value);
    engine.commit(batch).await.expect("a commit");
}

async fn keys(engine: &Arc<dyn Engine>) -> Vec<String> {
    let page = Page::first(Vec::new()..vec![0xff], 1_000_000).keys_only();
    let pairs = engine.scan(page).await.expect("a scan");
    pairs
        .iter()
        .map(|(key, _)| key.escape_ascii().to_string())
        .collect()
}

async fn conform(kind: ServerKind) {
    let databases = Mutex::new(Vec::new());
    conformance::run(|| async {
        let database = DatabaseServer::shared(kind).database();
        let engine = open(&database).await;
        databases.lock().push(database);
        engine
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    conform(ServerKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_conforms() {
    conform(ServerKind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let folder = TempDir::new().expect("a folder");
    let count = std::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        let options = options(format!("sqlite:{}", count.get()));
        open_sql(&options, folder.path()).await.expect("opens")
    })
    .await;
}

#[tokio::test]
async fn what_is_committed_is_there_for_the_next_one() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engine = open(&database).await;
        put(&engine, "a", "1").await;
        put(&engine, "b", vec![7; 3_000_000]).await;
        assert!(engine.disk_octets().await.expect("octets") > 0);
        assert!(engine.is_writable() && !engine.is_exclusive());
        drop(engine);
        let engine = open(&database).await;
        assert_eq!(keys(&engine).await, ["a", "b"], "{kind:?}");
        let value = engine.get(b"b").await.expect("a get").expect("a value");
        assert!(value == vec![7; 3_000_000]);
    }
}

/// As large as a message may be, and larger than what the servers take by default.
#[tokio::test]
async fn the_largest_value_comes_back() {
    let octets = 50 << 20;
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engine = open(&database).await;
        let value: Bytes = (0..octets)
            .map(|at| (at * 31 + at / 251) as u8)
            .collect::<Vec<_>>()
            .into();
        put(&engine, "large", value.clone()).await;
        let found = engine.get(b"large").await.expect("a get");
        assert!(found == Some(value), "{kind:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_too_long_disturbs_nobody() {
    for kind in KINDS {
        let database = DatabaseServer::shared(kind).database();
        let engine = open(&database).await;
        let longest = "k".repeat(super::KEY_OCTETS_MAX);
        put(&engine, &longest, "1").await;
        let mut batch = Batch::new();
        batch.put(vec![b'k'; super::KEY_OCTETS_MAX + 1], "1");
        let (refused, ()) = tokio::join!(engine.commit(batch), put(&engine, "b", "1"));
        assert!(refused.is_err());
        assert_eq!(engine.get(&vec![b'k'; 9000]).await.expect("a get"), None);
        assert_eq!(keys(&engine).await, ["b", &longest], "{kind:?}");
    }
}

/// A snapshot holds back what the server tidies up: there are a few, for a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_bounded_in_number_and_age() {
    use super::{SNAPSHOTS_MAX, postgres::PostgresDialect, start};
    let database = DatabaseServer::shared(ServerKind::Postgres).database();
    let options = SqlOptions {
        timeout: Duration::from_secs(2),
        ..options(database.url())
    };
    let dialect = PostgresDialect::open(&options).await.expect("opens");
    let mut engine = start(dialect, &options);
    engine.snapshot_age_max = Duration::from_secs(4);
    let mut snapshots = Vec::new();
    for _ in 0..SNAPSHOTS_MAX {
        snapshots.push(engine.snapshot().await.expect("a snapshot"));
    }
    let error = engine.snapshot().await.err().expect("there are too many");
    assert!(error.to_string().contains("snapshots"), "{error}");
    snapshots.pop();
    let last = engine.snapshot().await.expect("there is room again");
    assert_eq!(last.get(b"a").await.expect("a get"), None);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let error = last.get(b"a").await.expect_err("it has ended");
    assert!(error.to_string().contains("has ended"), "{error}");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert_eq!(database.ask(open), "0");
}
