//! SQLite: a file of one process, and what a full disk and a damaged file are.

use std::fs;

use super::*;
use crate::engine::EngineError;

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
