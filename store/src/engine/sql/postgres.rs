//! PostgreSQL, 15 and later.
//!
//! Holds: reads go over the index of the keys, never through the whole table; a commit is four statements, however many
//! batches are in it.
//! Other half: `Dialect`.

use std::{str::FromStr, time::Duration};

use bytes::Bytes;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Error, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgRow},
};

use super::{
    dialect::{
        Cause, Changes, Dialect, Pairs, Purpose, Query, Remote, Row, SCHEMA_VERSION, Wanted,
        common_cause, prepared,
    },
    options::{SqlOptions, without_password},
    snapshot,
};
use crate::engine::{Direction, EngineError};

/// The oldest version, as `server_version_num` has it.
const VERSION_MIN: i32 = 150_000;
/// The number of our advisory locks in the database: "posthorn".
const LOCK: i64 = i64::from_be_bytes(*b"posthorn");

pub(super) struct PostgresDialect {
    options: PgConnectOptions,
    timeout: Duration,
    name: String,
}

impl PostgresDialect {
    pub(super) async fn open(options: &SqlOptions) -> Result<Self, EngineError> {
        let name = without_password(&options.url);
        let parsed = PgConnectOptions::from_str(&options.url);
        let mut parsed = parsed
            .map_err(|error| EngineError::Io(format!("{name}: {error}").into()))?
            .application_name("posthorn")
            .disable_statement_logging();
        if let Some(password) = &options.password {
            parsed = parsed.password(password);
        }
        let dialect = Self {
            options: parsed,
            timeout: options.timeout,
            name,
        };
        prepared(dialect, options).await
    }

    /// Looks at the server's settings and makes what is missing.
    async fn look_and_make(&self, durable: bool) -> Result<(), Error> {
        let mut connection = self.connect(Purpose::Read).await?;
        let settings = "SELECT current_setting('server_version_num')::int, current_setting('fsync'), \
                        current_setting('full_page_writes')";
        let row = sqlx::query(settings).fetch_one(&mut connection).await?;
        let (version, fsync, full_page_writes): (i32, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if version < VERSION_MIN {
            return Err(refused("PostgreSQL 15 is the oldest version that will do"));
        }
        if durable && (fsync != "on" || full_page_writes != "on") {
            return Err(refused(
                "the server has fsync or full_page_writes off, so it loses mail when its machine fails: set both to on",
            ));
        }
        // Two servers may start at once.
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(LOCK)
            .execute(&mut connection)
            .await?;
        let made = self.make_tables(&mut connection).await;
        // The lock ends with the connection.
        connection.close().await?;
        made
    }

    async fn make_tables(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let is_there = "SELECT to_regclass('kv_schema') IS NOT NULL";
        let row = sqlx::query(is_there).fetch_one(&mut *connection).await?;
        if !row.try_get::<bool, _>(0)? {
            // `probe` is what is written where it only matters whether writing works.
            let tables = "
                BEGIN;
                CREATE TABLE kv (k bytea PRIMARY KEY, v bytea NOT NULL) WITH (fillfactor = 90);
                CREATE TABLE kv_schema (version bigint NOT NULL, probe bigint NOT NULL);
                INSERT INTO kv_schema VALUES (1, 0);
                COMMIT";
            sqlx::raw_sql(tables).execute(&mut *connection).await?;
            // Faster than the default; a server may have been built without.
            let _ = sqlx::raw_sql("ALTER TABLE kv ALTER v SET COMPRESSION lz4")
                .execute(&mut *connection)
                .await;
        }
        let version = sqlx::query("SELECT version FROM kv_schema");
        let version: i64 = version.fetch_one(connection).await?.try_get(0)?;
        check_version(version)
    }
}

/// Version 1 is the first: nothing older exists.
pub(super) fn check_version(version: i64) -> Result<(), Error> {
    match version {
        SCHEMA_VERSION => Ok(()),
        _ => Err(refused(&format!(
            "its tables have version {version}, this program knows {SCHEMA_VERSION}; a newer one is needed"
        ))),
    }
}

/// The database is there and won't do.
pub(super) fn refused(why: &str) -> Error {
    Error::Configuration(why.into())
}

impl Remote for PostgresDialect {
    async fn prepare(&mut self, options: &SqlOptions) -> Result<(), Error> {
        self.look_and_make(options.durable).await
    }
}

impl Dialect for PostgresDialect {
    type Connection = PgConnection;

    async fn connect(&self, purpose: Purpose) -> Result<PgConnection, Error> {
        let mut connection = self.options.connect().await?;
        let timeout = self.timeout.as_millis();
        let idle = match purpose {
            Purpose::Read | Purpose::Commit => self.timeout,
            Purpose::Snapshot => snapshot::AGE_MAX,
        };
        // The client gives up by itself; what it has begun has to end on the server as well. Tables of keys are read
        // by key, whatever the statistics say.
        let settings = format!(
            "SET statement_timeout = {timeout}; SET lock_timeout = {timeout};
             SET idle_in_transaction_session_timeout = {};
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off; SET plan_cache_mode = force_generic_plan;
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            idle.as_millis(),
        );
        sqlx::raw_sql(AssertSqlSafe(settings))
            .execute(&mut connection)
            .await?;
        Ok(connection)
    }

    async fn read(&self, connection: &mut PgConnection, query: Query<'_>) -> Result<Pairs, Error> {
        let rows = match query {
            Query::Value(key) => {
                let query = sqlx::query("SELECT k, v FROM kv WHERE k = $1").bind(key);
                query.fetch_all(connection).await?
            }
            Query::Values(keys) => {
                let query = sqlx::query("SELECT k, v FROM kv WHERE k = ANY($1)").bind(keys);
                query.fetch_all(connection).await?
            }
            Query::Page(page) => {
                let text = match (page.direction, page.keys_only) {
                    (Direction::Ascending, false) => {
                        "SELECT k, v FROM kv WHERE k >= $1 AND k < $2 ORDER BY k LIMIT $3"
                    }
                    (Direction::Ascending, true) => {
                        "SELECT k FROM kv WHERE k >= $1 AND k < $2 ORDER BY k LIMIT $3"
                    }
                    (Direction::Descending, false) => {
                        "SELECT k, v FROM kv WHERE k >= $1 AND k < $2 ORDER BY k DESC LIMIT $3"
                    }
                    (Direction::Descending, true) => {
                        "SELECT k FROM kv WHERE k >= $1 AND k < $2 ORDER BY k DESC LIMIT $3"
                    }
                };
                let query = sqlx::query(text)
                    .bind(&page.range.start)
                    .bind(&page.range.end)
                    .bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                query.fetch_all(connection).await?
            }
        };
        rows.iter().map(pair).collect()
    }

    async fn begin_snapshot(&self, connection: &mut PgConnection) -> Result<(), Error> {
        // The first query is what fixes the moment.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1 FROM kv LIMIT 1";
        sqlx::raw_sql(begin).execute(connection).await?;
        Ok(())
    }

    async fn begin(&self, connection: &mut PgConnection, exclusive: bool) -> Result<(), Error> {
        let lock = match exclusive {
            true => "pg_advisory_xact_lock",
            false => "pg_advisory_xact_lock_shared",
        };
        let begin =
            format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT {lock}({LOCK})");
        sqlx::raw_sql(AssertSqlSafe(begin))
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn lock(
        &self,
        connection: &mut PgConnection,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Row>, Error> {
        let mut keys: Vec<(&[u8], bool)> = Vec::new();
        keys.extend(wanted.values.iter().map(|key| (*key, true)));
        keys.extend(wanted.writes.iter().map(|key| (*key, false)));
        keys.sort_unstable();
        let (keys, has_value): (Vec<&[u8]>, Vec<bool>) = keys.into_iter().unzip();
        let mut rows = Vec::new();
        if !keys.is_empty() {
            let text = "SELECT kv.k, CASE WHEN n.has_value THEN kv.v END \
                        FROM unnest($1::bytea[], $2::boolean[]) AS n(k, has_value) JOIN kv ON kv.k = n.k \
                        ORDER BY kv.k FOR UPDATE OF kv";
            let query = sqlx::query(text).bind(keys).bind(has_value);
            rows.extend(query.fetch_all(&mut *connection).await?);
        }
        if !wanted.stays.is_empty() {
            let text = "SELECT k, NULL::bytea FROM kv WHERE k = ANY($1) ORDER BY k FOR SHARE";
            let query = sqlx::query(text).bind(&wanted.stays);
            rows.extend(query.fetch_all(connection).await?);
        }
        rows.iter()
            .map(|row| {
                let value: Option<Vec<u8>> = row.try_get(1)?;
                Ok((row.try_get(0)?, value.map(Bytes::from)))
            })
            .collect()
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        changes: &Changes<'_>,
    ) -> Result<bool, Error> {
        for range in &changes.ranges {
            let query = sqlx::query("DELETE FROM kv WHERE k >= $1 AND k < $2");
            let query = query.bind(&range.start).bind(&range.end);
            query.execute(&mut *connection).await?;
        }
        // What was there is locked, and nobody is waited for. A key that wasn't is inserted, which waits for whoever
        // inserts it as well, and then finds it there.
        let text = "\
            WITH updated AS (UPDATE kv SET v = n.v FROM unnest($3::bytea[], $4::bytea[]) AS n(k, v) WHERE kv.k = n.k), \
                 deleted AS (DELETE FROM kv WHERE k = ANY($5::bytea[])), \
                 inserted AS (INSERT INTO kv (k, v) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                              ON CONFLICT (k) DO NOTHING RETURNING 1) \
            SELECT (SELECT count(*) FROM inserted), (SELECT count(*) FROM kv WHERE k = ANY($6::bytea[]))";
        let (mut inserts, mut updates) = (&changes.inserts[..], &changes.updates[..]);
        let mut merged: Vec<(&[u8], Bytes)> = Vec::new();
        if !changes.ranges.is_empty() {
            // Nobody else writes now, and what was there may just have gone with a range.
            let query = sqlx::query("DELETE FROM kv WHERE k = ANY($1)").bind(keys(updates));
            query.execute(&mut *connection).await?;
            merged.extend(inserts.iter().chain(updates).cloned());
            merged.sort_unstable_by_key(|(key, _)| *key);
            (inserts, updates) = (&merged[..], &[]);
        }
        let query = sqlx::query(text)
            .bind(keys(inserts))
            .bind(values(inserts))
            .bind(keys(updates))
            .bind(values(updates))
            .bind(&changes.deletes)
            .bind(&changes.absent);
        let row = query.fetch_one(connection).await?;
        let (inserted, appeared): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(usize::try_from(inserted) == Ok(inserts.len()) && appeared == 0)
    }

    async fn touch(&self, connection: &mut PgConnection) -> Result<(), Error> {
        sqlx::query("UPDATE kv_schema SET probe = probe + 1")
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn commit(&self, connection: &mut PgConnection) -> Result<(), Error> {
        sqlx::raw_sql("COMMIT").execute(connection).await?;
        Ok(())
    }

    async fn rollback(&self, connection: &mut PgConnection) -> Result<(), Error> {
        sqlx::raw_sql("ROLLBACK").execute(connection).await?;
        Ok(())
    }

    async fn disk_octets(&self, connection: &mut PgConnection) -> Result<u64, Error> {
        let query = sqlx::query("SELECT pg_total_relation_size('kv')");
        let octets: i64 = query.fetch_one(connection).await?.try_get(0)?;
        Ok(octets.unsigned_abs())
    }

    async fn trim(&self, _: &mut PgConnection) {}

    /// Codes of PostgreSQL's documentation, appendix A.
    fn cause(error: &Error) -> Cause {
        if let Some(cause) = common_cause(error) {
            return cause;
        }
        let code = error.as_database_error().and_then(|error| error.code());
        let code = code.as_deref().unwrap_or_default();
        match code {
            // serialization_failure, deadlock_detected, lock_not_available, query_canceled (statement_timeout)
            "40001" | "40P01" | "55P03" | "57014" => Cause::Again,
            // idle_in_transaction_session_timeout, idle_session_timeout, too_many_connections
            "25P03" | "57P05" | "53300" => Cause::Lost,
            "25006" => Cause::ReadOnly,
            "53100" => Cause::Full,
            "XX001" | "XX002" => Cause::Damaged,
            // connection_exception; admin_shutdown, crash_shutdown, cannot_connect_now
            _ if code.starts_with("08") || code.starts_with("57P0") => Cause::Lost,
            // insufficient_resources
            _ if code.starts_with("53") => Cause::Again,
            _ => Cause::Other,
        }
    }

    fn is_exclusive(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Debug for PostgresDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresDialect").field(&self.name).finish()
    }
}

fn keys<'c>(pairs: &[(&'c [u8], Bytes)]) -> Vec<&'c [u8]> {
    pairs.iter().map(|(key, _)| *key).collect()
}

fn values<'c>(pairs: &'c [(&[u8], Bytes)]) -> Vec<&'c [u8]> {
    pairs.iter().map(|(_, value)| &value[..]).collect()
}

/// The value is missing where it wasn't asked for.
fn pair(row: &PgRow) -> Result<(Bytes, Bytes), Error> {
    let value = match row.len() {
        1 => Bytes::new(),
        _ => Bytes::from(row.try_get::<Vec<u8>, _>(1)?),
    };
    Ok((Bytes::from(row.try_get::<Vec<u8>, _>(0)?), value))
}
