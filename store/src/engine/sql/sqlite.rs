//! SQLite: a file, for one process.
//!
//! Holds: the file belongs to one process, which has the lock on the file beside it; a commit is in the log (WAL) and the
//! log is synced before it is acknowledged.
//! Other half: `Dialect`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Error, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use tokio::time::sleep;

use super::{
    dialect::{
        Cause, Changes, Dialect, Pairs, Purpose, Query, Row, Wanted, common_cause, engine_error,
    },
    options::SqlOptions,
    postgres::check_version,
    rows::{key_parts, places, row_parts, row_places},
};
use crate::engine::{Direction, EngineError};

/// Values are large: with larger pages fewer of them have to be chained.
const PAGE_OCTETS: u32 = 8192;
/// Memory for pages, of each connection: KiB, negative as SQLite has it.
const CACHE: &str = "-4096";
/// How often a file that is locked is tried, and the wait between: the process before this one may be closing.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

pub(super) struct SqliteDialect {
    options: SqliteConnectOptions,
    path: PathBuf,
    name: String,
    /// Held as long as there is a connection.
    _lock: File,
}

impl SqliteDialect {
    /// Opens the file, which is made when it isn't there, for its owner alone.
    pub(super) async fn open(path: &Path, options: &SqlOptions) -> Result<Self, EngineError> {
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            let text = format!("{name}: {error}").into();
            match error.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::StorageFull => EngineError::Full(text),
                _ => EngineError::Io(text),
            }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.mode(0o600).open(path)
        };
        let lock = open(&beside(path, "-lock")).map_err(failed)?;
        take(&lock, &name).await?;
        drop(open(path).map_err(failed)?);
        let synchronous = match options.durable {
            true => SqliteSynchronous::Full,
            false => SqliteSynchronous::Off,
        };
        let dialect = Self {
            options: SqliteConnectOptions::new()
                .filename(path)
                .page_size(PAGE_OCTETS)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .foreign_keys(false)
                .pragma("cache_size", CACHE)
                .pragma("temp_store", "memory")
                .busy_timeout(options.timeout)
                .thread_name(|number| format!("sqlite-{number}"))
                .disable_statement_logging(),
            path: path.to_owned(),
            name: name.clone(),
            _lock: lock,
        };
        dialect
            .prepare()
            .await
            .map_err(|error| engine_error(&dialect, &error))?;
        Ok(dialect)
    }

    async fn prepare(&self) -> Result<(), Error> {
        let mut connection = self.connect(Purpose::Commit).await?;
        let tables = "
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS kv_schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, probe INTEGER NOT NULL);
            INSERT OR IGNORE INTO kv_schema VALUES (1, 1, 0);
            COMMIT";
        sqlx::raw_sql(tables).execute(&mut connection).await?;
        let version = sqlx::query("SELECT version FROM kv_schema WHERE id = 1");
        let version: i64 = version.fetch_one(&mut connection).await?.try_get(0)?;
        check_version(version)
    }
}

async fn take(lock: &File, name: &str) -> Result<(), EngineError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => sleep(LOCK_WAIT).await,
            Err(TryLockError::WouldBlock) => return Err(EngineError::Locked(name.into())),
            Err(TryLockError::Error(error)) => {
                return Err(EngineError::Io(format!("{name}: {error}").into()));
            }
        }
    }
}

/// `FILE-lock`, as SQLite has `FILE-wal`.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

impl Dialect for SqliteDialect {
    type Connection = SqliteConnection;

    async fn connect(&self, purpose: Purpose) -> Result<SqliteConnection, Error> {
        let _ = purpose;
        self.options.connect().await
    }

    async fn read(
        &self,
        connection: &mut SqliteConnection,
        query: Query<'_>,
    ) -> Result<Pairs, Error> {
        let mut pairs = Pairs::new();
        match query {
            Query::Value(key) => {
                let query = sqlx::query("SELECT k, v FROM kv WHERE k = ?").bind(key);
                take_pairs(&mut pairs, query.fetch_all(connection).await?)?;
            }
            Query::Values(keys) => {
                for part in key_parts(keys) {
                    let text = format!("SELECT k, v FROM kv WHERE k IN ({})", places(part.len()));
                    let mut query = sqlx::query(AssertSqlSafe(text));
                    for key in part {
                        query = query.bind(key);
                    }
                    take_pairs(&mut pairs, query.fetch_all(&mut *connection).await?)?;
                }
            }
            Query::Page(page) => {
                let text = match (page.direction, page.keys_only) {
                    (Direction::Ascending, false) => {
                        "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
                    }
                    (Direction::Ascending, true) => {
                        "SELECT k FROM kv WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
                    }
                    (Direction::Descending, false) => {
                        "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
                    }
                    (Direction::Descending, true) => {
                        "SELECT k FROM kv WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
                    }
                };
                let query = sqlx::query(text)
                    .bind(&page.range.start[..])
                    .bind(&page.range.end[..])
                    .bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                take_pairs(&mut pairs, query.fetch_all(connection).await?)?;
            }
        }
        Ok(pairs)
    }

    async fn begin_snapshot(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        // The first query is what fixes the moment.
        let begin = "BEGIN DEFERRED; SELECT version FROM kv_schema";
        sqlx::raw_sql(begin).execute(connection).await?;
        Ok(())
    }

    /// Nobody else writes in any case.
    async fn begin(
        &self,
        connection: &mut SqliteConnection,
        _exclusive: bool,
    ) -> Result<(), Error> {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(connection).await?;
        Ok(())
    }

    async fn lock(
        &self,
        connection: &mut SqliteConnection,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        let lists = [
            ("k, v", &wanted.values),
            ("k", &wanted.writes),
            ("k", &wanted.stays),
        ];
        for (columns, keys) in lists {
            for part in key_parts(keys) {
                let places = places(part.len());
                let text = format!("SELECT {columns} FROM kv WHERE k IN ({places})");
                let mut query = sqlx::query(AssertSqlSafe(text));
                for key in part {
                    query = query.bind(key);
                }
                for row in query.fetch_all(&mut *connection).await? {
                    let value = match row.len() {
                        1 => None,
                        _ => Some(Bytes::from(row.try_get::<Vec<u8>, _>(1)?)),
                    };
                    rows.push((row.try_get(0)?, value));
                }
            }
        }
        Ok(rows)
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        changes: &Changes<'_>,
    ) -> Result<bool, Error> {
        for range in &changes.ranges {
            let query = sqlx::query("DELETE FROM kv WHERE k >= ? AND k < ?");
            let query = query.bind(&range.start[..]).bind(&range.end[..]);
            query.execute(&mut *connection).await?;
        }
        for part in key_parts(&changes.deletes) {
            let text = format!("DELETE FROM kv WHERE k IN ({})", places(part.len()));
            let mut query = sqlx::query(AssertSqlSafe(text));
            for key in part {
                query = query.bind(key);
            }
            query.execute(&mut *connection).await?;
        }
        for part in [&changes.inserts, &changes.updates]
            .into_iter()
            .flat_map(|rows| row_parts(rows))
        {
            let places = row_places(part.len());
            let text = format!("INSERT OR REPLACE INTO kv (k, v) VALUES {places}");
            let mut query = sqlx::query(AssertSqlSafe(text));
            for (key, value) in part {
                query = query.bind(*key).bind(&value[..]);
            }
            query.execute(&mut *connection).await?;
        }
        Ok(true)
    }

    async fn touch(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        sqlx::query("UPDATE kv_schema SET probe = probe + 1")
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn commit(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        sqlx::raw_sql("COMMIT").execute(connection).await?;
        Ok(())
    }

    async fn rollback(&self, connection: &mut SqliteConnection) -> Result<(), Error> {
        sqlx::raw_sql("ROLLBACK").execute(connection).await?;
        Ok(())
    }

    async fn disk_octets(&self, _: &mut SqliteConnection) -> Result<u64, Error> {
        let mut octets = 0;
        for path in [self.path.clone(), beside(&self.path, "-wal")] {
            match fs::metadata(&path) {
                Ok(metadata) => octets += metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::Io(error)),
            }
        }
        Ok(octets)
    }

    /// The log goes into the file.
    async fn trim(&self, connection: &mut SqliteConnection) {
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
        if let Err(error) = checkpoint.execute(connection).await {
            tracing::debug!(%error, "the log of SQLite stays");
        }
    }

    /// The primary result codes of SQLite's documentation.
    fn cause(error: &Error) -> Cause {
        const SQLITE_BUSY: i32 = 5;
        const SQLITE_LOCKED: i32 = 6;
        const SQLITE_READONLY: i32 = 8;
        const SQLITE_CORRUPT: i32 = 11;
        const SQLITE_FULL: i32 = 13;
        const SQLITE_NOTADB: i32 = 26;
        if let Some(cause) = common_cause(error) {
            return cause;
        }
        let code = error.as_database_error().and_then(|error| error.code());
        let code = code.and_then(|code| code.parse::<i32>().ok()).unwrap_or(0);
        match code & 0xff {
            SQLITE_BUSY | SQLITE_LOCKED => Cause::Again,
            SQLITE_FULL | SQLITE_READONLY => Cause::Full,
            SQLITE_CORRUPT | SQLITE_NOTADB => Cause::Damaged,
            _ => Cause::Other,
        }
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for SqliteDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteDialect").field(&self.path).finish()
    }
}

/// The value is missing where it wasn't asked for.
fn take_pairs(pairs: &mut Pairs, rows: Vec<SqliteRow>) -> Result<(), Error> {
    for row in rows {
        let value = match row.len() {
            1 => Bytes::new(),
            _ => Bytes::from(row.try_get::<Vec<u8>, _>(1)?),
        };
        pairs.push((Bytes::from(row.try_get::<Vec<u8>, _>(0)?), value));
    }
    Ok(())
}
