//! SQLite: a file of one process, and what a full disk and a damaged file are.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Error, SqliteConnection};

use super::*;
use crate::engine::{
    Assertion, EngineError,
    sql::{
        dialect::{Cause, Changes, Dialect, Pairs, Purpose, Query, Row, Wanted},
        sqlite::SqliteDialect,
        start,
    },
};

async fn open_file(folder: &TempDir) -> Result<Arc<dyn Engine>, EngineError> {
    open_sql(&SqlOptions::new("sqlite:mail.db"), folder.path()).await
}

#[tokio::test]
async fn a_file_belongs_to_one_engine() {
    let folder = TempDir::new().expect("a folder");
    let engine = open_file(&folder).await.expect("opens");
    assert!(engine.is_exclusive());
    put(&engine, "a", "1").await;
    let second = open_file(&folder).await;
    assert!(matches!(second, Err(EngineError::Locked(_))), "{second:?}");
    // A snapshot keeps the database open.
    let snapshot = engine.snapshot().await.expect("a snapshot");
    drop(engine);
    let second = open_file(&folder).await;
    assert!(matches!(second, Err(EngineError::Locked(_))), "{second:?}");
    drop(snapshot);
    assert_eq!(keys(&open_file(&folder).await.expect("opens")).await, ["a"]);
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = TempDir::new().expect("a folder");
    let mut want = Vec::new();
    for round in 0..4_u8 {
        let engine = open_file(&folder).await.expect("opens");
        assert_eq!(keys(&engine).await, want, "round {round}");
        for number in 0..50 {
            let key = format!("{round}/{number:02}");
            put(&engine, &key, vec![number; 1000 * usize::from(number)]).await;
            want.push(key);
        }
        assert!(engine.disk_octets().await.expect("octets") > 1000);
        engine.trim_memory().await;
    }
    let engine = open_file(&folder).await.expect("opens");
    let value = engine.get(b"2/49").await.expect("a get").expect("a value");
    assert_eq!(value, vec![49; 49_000]);
}

#[tokio::test]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().expect("a folder");
    let engine = open_file(&folder).await.expect("opens");
    put(&engine, "a", "1").await;
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{entry:?}");
        names.push(entry.file_name());
    }
    assert!(names.contains(&"mail.db-wal".into()), "{names:?}");
}

#[tokio::test]
async fn a_damaged_file_is_told_from_other_errors() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("mail.db"), vec![b'x'; 10_000]).expect("written");
    let error = open_file(&folder).await.expect_err("damaged");
    assert!(matches!(error, EngineError::Corrupt(_)), "{error}");
}

/// The settings that a commit's durability rests on.
#[tokio::test]
async fn the_log_is_synced() {
    use crate::engine::sql::{
        dialect::{Dialect, Purpose},
        sqlite::SqliteDialect,
    };
    use sqlx::Row as _;
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("mail.db");
    let dialect = SqliteDialect::open(&path, &SqlOptions::new("sqlite:mail.db"))
        .await
        .expect("opens");
    for purpose in [Purpose::Read, Purpose::Commit] {
        let mut connection = dialect.connect(purpose).await.expect("connected");
        for (pragma, want) in [("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2")] {
            let row = sqlx::query(pragma)
                .fetch_one(&mut connection)
                .await
                .expect("a row");
            let found = row
                .try_get::<String, _>(0)
                .or_else(|_| row.try_get::<i64, _>(0).map(|n| n.to_string()));
            assert_eq!(found.expect("a value"), want, "{pragma}");
        }
    }
}

/// SQLite whose COMMIT takes longer than anybody waits: it has worked, or is never done.
#[derive(Debug)]
struct Slow {
    sqlite: SqliteDialect,
    is_done: bool,
    is_slow: Arc<AtomicBool>,
}

impl Dialect for Slow {
    type Connection = SqliteConnection;

    async fn connect(&self, purpose: Purpose) -> Result<SqliteConnection, Error> {
        self.sqlite.connect(purpose).await
    }

    async fn read(
        &self,
        connection: &mut SqliteConnection,
        query: Query<'_>,
    ) -> Result<Pairs, Error> {
        self.sqlite.read(connection, query).await
    }

    async fn begin_snapshot(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        self.sqlite.begin_snapshot(connection).await
    }

    async fn begin(&self, connection: &mut SqliteConnection, exclusive: bool) -> Result<(), Error> {
        self.sqlite.begin(connection, exclusive).await
    }

    async fn lock(
        &self,
        connection: &mut SqliteConnection,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.sqlite.lock(connection, wanted).await
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        changes: &Changes<'_>,
    ) -> Result<bool, Error> {
        self.sqlite.write(connection, changes).await
    }

    async fn touch(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        self.sqlite.touch(connection).await
    }

    async fn commit(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        if !self.is_slow.swap(false, Ordering::SeqCst) {
            return self.sqlite.commit(connection).await;
        }
        if self.is_done {
            self.sqlite.commit(connection).await?;
        }
        std::future::pending().await
    }

    async fn rollback(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        self.sqlite.rollback(connection).await
    }

    async fn disk_octets(&self, connection: &mut SqliteConnection) -> Result<u64, Error> {
        self.sqlite.disk_octets(connection).await
    }

    async fn trim(&self, connection: &mut SqliteConnection) {
        self.sqlite.trim(connection).await;
    }

    fn cause(error: &Error) -> Cause {
        SqliteDialect::cause(error)
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        self.sqlite.name()
    }
}

#[tokio::test]
async fn what_a_slow_commit_has_come_to_is_looked_up() {
    for is_done in [true, false] {
        let folder = TempDir::new().expect("a folder");
        let options = SqlOptions {
            timeout: Duration::from_millis(500),
            ..SqlOptions::new("sqlite:mail.db")
        };
        let path = folder.path().join("mail.db");
        let sqlite = SqliteDialect::open(&path, &options).await.expect("opens");
        let is_slow = Arc::new(AtomicBool::new(false));
        let slow = Slow {
            sqlite,
            is_done,
            is_slow: is_slow.clone(),
        };
        let engine: Arc<dyn Engine> = Arc::new(start(slow, &options));
        put(&engine, "changed", "1").await;
        put(&engine, "gone", "1").await;
        put(&engine, "count", 1_i64.to_be_bytes().to_vec()).await;
        is_slow.store(true, Ordering::SeqCst);
        let mut batch = Batch::new();
        batch.assert(Assertion::Equals(b"changed".to_vec(), "1".into()));
        batch.put("changed".into(), "2");
        batch.put("new".into(), "");
        batch.delete("gone".into());
        batch.delete("never".into());
        batch.add("count".into(), 1);
        let result = engine.commit(batch).await;
        assert_eq!(result.is_ok(), is_done, "{result:?}");
        let want = match is_done {
            true => ["changed", "count", "new"],
            false => ["changed", "count", "gone"],
        };
        assert_eq!(keys(&engine).await, want);
        // It goes on.
        put(&engine, "next", "1").await;
    }
}
