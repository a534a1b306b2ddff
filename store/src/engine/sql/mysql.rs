//! MySQL, 8.0 and later, and MariaDB, 10.11 and later.
//!
//! Holds: settings of the server with which mail would be lost, or could not be stored, are an error at the start that says
//! what to set; rows are only looked for by their keys, so that nothing else is locked.
//! Other half: `Dialect`.

use std::{str::FromStr, time::Duration};

use bytes::Bytes;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Error, MySqlConnection, Row as _,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow},
};

use super::{
    dialect::{
        Cause, Changes, Dialect, KEY_OCTETS_MAX, Pairs, Purpose, Query, Remote, Row, Wanted,
        common_cause, prepared,
    },
    options::{SqlOptions, without_password},
    postgres::{check_version, refused},
    rows::{key_parts, places, row_parts, row_places},
    snapshot,
};
use crate::engine::{Direction, EngineError};

/// What a statement has beside the value, generously.
const STATEMENT_OCTETS: u64 = 1024 * 1024;
/// The packets of a connection that is used for small things alone.
const PACKET_MIN: u64 = 4 * 1024 * 1024;
/// So long the server keeps a connection for reads that nobody uses.
const READ_IDLE: Duration = Duration::from_secs(600);
/// And one that writes: a server that has vanished holds its locks for so long.
const COMMIT_IDLE: Duration = Duration::from_secs(90);

const ER_DUP_ENTRY: u16 = 1062;

pub(super) struct MySqlDialect {
    options: MySqlConnectOptions,
    timeout: Duration,
    name: String,
    is_mariadb: bool,
}

impl MySqlDialect {
    pub(super) async fn open(options: &SqlOptions) -> Result<Self, EngineError> {
        let name = without_password(&options.url);
        let parsed = MySqlConnectOptions::from_str(&options.url);
        let mut parsed = parsed
            .map_err(|error| EngineError::Io(format!("{name}: {error}").into()))?
            .pipes_as_concat(false)
            .timezone(None)
            .statement_cache_capacity(256)
            .disable_statement_logging();
        if let Some(password) = &options.password {
            parsed = parsed.password(password);
        }
        let dialect = Self {
            options: parsed,
            timeout: options.timeout,
            name,
            is_mariadb: false,
        };
        prepared(dialect, options).await
    }

    /// Looks at the server's settings and makes what is missing.
    async fn look_and_make(&mut self, options: &SqlOptions) -> Result<(), Error> {
        let mut connection = self.options.connect().await?;
        let version = sqlx::query("SELECT VERSION()").fetch_one(&mut connection);
        let version: String = version.await?.try_get(0)?;
        self.is_mariadb = version.contains("MariaDB");
        check_server_version(&version)?;
        if options.durable {
            check_durable(&mut connection).await?;
        }
        self.check_packet(&mut connection, options.value_octets_max)
            .await?;
        self.check_log(&mut connection, options.value_octets_max)
            .await?;
        // Two servers may start at once. The lock ends with the connection.
        let lock = sqlx::query("SELECT CAST(GET_LOCK('posthorn', ?) AS SIGNED)");
        let lock = lock.bind(self.timeout.as_secs()).fetch_one(&mut connection);
        if lock.await?.try_get::<Option<i64>, _>(0)? != Some(1) {
            return Err(refused(
                "another server is setting the tables up; try again",
            ));
        }
        let tables = format!(
            "CREATE TABLE IF NOT EXISTS kv (k VARBINARY({KEY_OCTETS_MAX}) NOT NULL PRIMARY KEY, v LONGBLOB NOT NULL)
                 ENGINE=InnoDB ROW_FORMAT=DYNAMIC;
             CREATE TABLE IF NOT EXISTS kv_schema (id TINYINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL,
                 probe BIGINT NOT NULL) ENGINE=InnoDB;
             INSERT IGNORE INTO kv_schema VALUES (1, 1, 0), (2, 0, 0)"
        );
        sqlx::raw_sql(AssertSqlSafe(tables))
            .execute(&mut connection)
            .await?;
        let version = sqlx::query("SELECT version FROM kv_schema WHERE id = 1");
        let version: i64 = version.fetch_one(&mut connection).await?.try_get(0)?;
        connection.close().await?;
        check_version(version)
    }

    /// A statement, and a row that is read, have to fit into a packet.
    async fn check_packet(
        &self,
        connection: &mut MySqlConnection,
        value_octets_max: u64,
    ) -> Result<(), Error> {
        let needed = (value_octets_max + STATEMENT_OCTETS).max(PACKET_MIN);
        let global = "SELECT CAST(@@global.max_allowed_packet AS SIGNED)";
        let have = number(connection, global).await?;
        if have >= needed {
            return Ok(());
        }
        let raise = format!(
            "SET GLOBAL max_allowed_packet = {}",
            needed.next_multiple_of(1024)
        );
        let raised = sqlx::raw_sql(AssertSqlSafe(raise)).execute(&mut *connection);
        if raised.await.is_ok() && number(connection, global).await? >= needed {
            tracing::info!(
                database = self.name,
                octets = needed,
                "max_allowed_packet was raised until the database server starts again"
            );
            return Ok(());
        }
        Err(refused(&format!(
            "max_allowed_packet is {have}, and a message needs up to {needed}: set it to {}M in the server's configuration \
             ([mysqld]), or lower max-size-message and max-size-upload",
            needed.div_ceil(1024 * 1024)
        )))
    }

    /// MySQL refuses a value that is larger than a tenth of its redo log.
    async fn check_log(
        &self,
        connection: &mut MySqlConnection,
        value_octets_max: u64,
    ) -> Result<(), Error> {
        if self.is_mariadb {
            return Ok(());
        }
        let capacity = "SELECT CAST(@@innodb_redo_log_capacity AS SIGNED)";
        let files = "SELECT CAST(@@innodb_log_file_size * @@innodb_log_files_in_group AS SIGNED)";
        let have = match number(connection, capacity).await {
            Ok(octets) => octets,
            // Before 8.0.30 it was said in files.
            Err(_) => number(connection, files).await?,
        };
        let needed = value_octets_max.saturating_mul(10);
        if have < needed {
            return Err(refused(&format!(
                "the redo log has {have} octets, and a message needs one of up to {needed}: set innodb_redo_log_capacity to \
                 {}M in the server's configuration ([mysqld]), or lower max-size-message and max-size-upload",
                needed.div_ceil(1024 * 1024)
            )));
        }
        Ok(())
    }
}

fn check_server_version(version: &str) -> Result<(), Error> {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (name, oldest) = match version.contains("MariaDB") {
        true => ("MariaDB", (10, 11)),
        false => ("MySQL", (8, 0)),
    };
    if found < oldest {
        return Err(refused(&format!(
            "it is {name} {version}; {}.{} is the oldest version that will do",
            oldest.0, oldest.1
        )));
    }
    Ok(())
}

async fn check_durable(connection: &mut MySqlConnection) -> Result<(), Error> {
    let flush = "SELECT CAST(@@global.innodb_flush_log_at_trx_commit AS SIGNED)";
    if number(connection, flush).await? != 1 {
        return Err(refused(
            "innodb_flush_log_at_trx_commit is not 1, so the server loses mail when its machine fails: set it to 1",
        ));
    }
    // With a binary log, a transaction counts after a crash when it is in there.
    let binary_log = "SELECT CAST(IF(@@global.log_bin, @@global.sync_binlog, 1) AS SIGNED)";
    if number(connection, binary_log).await? != 1 {
        return Err(refused(
            "the server has a binary log and sync_binlog is not 1, so it loses mail when its machine fails: set it to 1",
        ));
    }
    Ok(())
}

async fn number(connection: &mut MySqlConnection, query: &'static str) -> Result<u64, Error> {
    let row = sqlx::query(query).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

impl Remote for MySqlDialect {
    async fn prepare(&mut self, options: &SqlOptions) -> Result<(), Error> {
        self.look_and_make(options).await
    }
}

impl Dialect for MySqlDialect {
    type Connection = MySqlConnection;

    async fn connect(&self, purpose: Purpose) -> Result<MySqlConnection, Error> {
        let mut connection = self.options.connect().await?;
        let idle = match purpose {
            Purpose::Read => READ_IDLE,
            Purpose::Commit => COMMIT_IDLE.max(2 * self.timeout),
            Purpose::Snapshot => snapshot::AGE_MAX,
        };
        let seconds = self.timeout.as_secs().max(1);
        // The client gives up by itself; what it has begun has to end on the server as well.
        let own = match self.is_mariadb {
            true => format!("max_statement_time = {seconds}"),
            false => format!(
                "max_execution_time = {}, information_schema_stats_expiry = 0",
                self.timeout.as_millis()
            ),
        };
        let settings = format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
             SET SESSION sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = {seconds}, wait_timeout = {}, {own}",
            idle.as_secs(),
        );
        sqlx::raw_sql(AssertSqlSafe(settings))
            .execute(&mut connection)
            .await?;
        Ok(connection)
    }

    async fn read(
        &self,
        connection: &mut MySqlConnection,
        query: Query<'_>,
    ) -> Result<Pairs, Error> {
        let mut pairs = Pairs::new();
        match query {
            Query::Value(key) => {
                let query = sqlx::query("SELECT k, v FROM kv WHERE k = ?").bind(key);
                take_pairs(&mut pairs, query.fetch_all(connection).await?)?;
            }
            Query::Values(keys) => {
                let head = "SELECT k, v FROM kv FORCE INDEX (PRIMARY) WHERE k IN";
                for part in key_parts(keys) {
                    let rows = by_keys(connection, head, &part, "").await?;
                    take_pairs(&mut pairs, rows)?;
                }
            }
            Query::Page(page) => {
                let text = match (page.direction, page.keys_only) {
                    (Direction::Ascending, false) => {
                        "SELECT k, v FROM kv FORCE INDEX (PRIMARY) WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
                    }
                    (Direction::Ascending, true) => {
                        "SELECT k FROM kv FORCE INDEX (PRIMARY) WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
                    }
                    (Direction::Descending, false) => {
                        "SELECT k, v FROM kv FORCE INDEX (PRIMARY) WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
                    }
                    (Direction::Descending, true) => {
                        "SELECT k FROM kv FORCE INDEX (PRIMARY) WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
                    }
                };
                let query = sqlx::query(text)
                    .bind(&page.range.start)
                    .bind(&page.range.end)
                    .bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
                take_pairs(&mut pairs, query.fetch_all(connection).await?)?;
            }
        }
        Ok(pairs)
    }

    async fn begin_snapshot(&self, connection: &mut MySqlConnection) -> Result<(), Error> {
        let begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
                     START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        sqlx::raw_sql(begin).execute(connection).await?;
        Ok(())
    }

    async fn begin(&self, connection: &mut MySqlConnection, exclusive: bool) -> Result<(), Error> {
        let begin = match exclusive {
            true => "START TRANSACTION; SELECT version FROM kv_schema WHERE id = 1 FOR UPDATE",
            false => {
                "START TRANSACTION; SELECT version FROM kv_schema WHERE id = 1 LOCK IN SHARE MODE"
            }
        };
        sqlx::raw_sql(begin).execute(connection).await?;
        Ok(())
    }

    /// With READ COMMITTED and the primary key, the rows that are there are locked, and no gaps between them.
    async fn lock(
        &self,
        connection: &mut MySqlConnection,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Row>, Error> {
        let mut found = Vec::new();
        let with_value = "SELECT k, v FROM kv FORCE INDEX (PRIMARY) WHERE k IN";
        let without = "SELECT k FROM kv FORCE INDEX (PRIMARY) WHERE k IN";
        let lists = [
            (with_value, &wanted.values, "ORDER BY k FOR UPDATE"),
            (without, &wanted.writes, "ORDER BY k FOR UPDATE"),
            (without, &wanted.stays, "ORDER BY k LOCK IN SHARE MODE"),
        ];
        for (head, keys, tail) in lists {
            for part in key_parts(keys) {
                for row in by_keys(connection, head, &part, tail).await? {
                    let value = match row.len() {
                        1 => None,
                        _ => Some(Bytes::from(row.try_get::<Vec<u8>, _>(1)?)),
                    };
                    found.push((row.try_get(0)?, value));
                }
            }
        }
        Ok(found)
    }

    async fn write(
        &self,
        connection: &mut MySqlConnection,
        changes: &Changes<'_>,
    ) -> Result<bool, Error> {
        for part in key_parts(&changes.absent) {
            let head = "SELECT k FROM kv FORCE INDEX (PRIMARY) WHERE k IN";
            if !by_keys(connection, head, &part, "").await?.is_empty() {
                return Ok(false);
            }
        }
        for range in &changes.ranges {
            let query = sqlx::query("DELETE FROM kv WHERE k >= ? AND k < ?");
            let query = query.bind(&range.start).bind(&range.end);
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
        // It waits for whoever inserts the same key, and then finds it there.
        match put(connection, &changes.inserts, "").await {
            Err(error) if error_number(&error) == Some(ER_DUP_ENTRY) => return Ok(false),
            done => done?,
        }
        put(
            connection,
            &changes.updates,
            "ON DUPLICATE KEY UPDATE v = VALUES(v)",
        )
        .await?;
        Ok(true)
    }

    async fn touch(&self, connection: &mut MySqlConnection) -> Result<(), Error> {
        sqlx::query("UPDATE kv_schema SET probe = probe + 1 WHERE id = 2")
            .execute(connection)
            .await?;
        Ok(())
    }

    async fn commit(&self, connection: &mut MySqlConnection) -> Result<(), Error> {
        sqlx::raw_sql("COMMIT").execute(connection).await?;
        Ok(())
    }

    async fn rollback(&self, connection: &mut MySqlConnection) -> Result<(), Error> {
        sqlx::raw_sql("ROLLBACK").execute(connection).await?;
        Ok(())
    }

    async fn disk_octets(&self, connection: &mut MySqlConnection) -> Result<u64, Error> {
        let query = "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
                     WHERE table_schema = DATABASE() AND table_name = 'kv'";
        let row = sqlx::query(query).fetch_one(connection).await?;
        let octets: Option<i64> = row.try_get(0)?;
        Ok(octets.unwrap_or(0).unsigned_abs())
    }

    async fn trim(&self, _: &mut MySqlConnection) {}

    /// Numbers of the error references of MySQL and MariaDB.
    fn cause(error: &Error) -> Cause {
        if let Some(cause) = common_cause(error) {
            return cause;
        }
        match error_number(error).unwrap_or(0) {
            // Lock wait timeout, deadlock, record changed, query interrupted, statement timeouts of MariaDB and MySQL
            1205 | 1213 | 1020 | 1317 | 1969 | 3024 => Cause::Again,
            // Shutdown, killed, packets, too many connections, idle for too long, server not ready (of Galera and groups)
            1053 | 1927 | 1158..=1161 | 1184 | 1040 | 1203 | 2006 | 2013 | 4031 | 1047 | 3032 => {
                Cause::Lost
            }
            // --read-only, read-only transaction, read-only mode
            1290 | 1792 | 1836 => Cause::ReadOnly,
            // Disk full, error writing file, table full
            1021 | 1026 | 1114 => Cause::Full,
            // Not a table, crashed table, page corrupted
            1034 | 1194 | 1195 | 1712 | 1877 => Cause::Damaged,
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

impl std::fmt::Debug for MySqlDialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MySqlDialect").field(&self.name).finish()
    }
}

async fn by_keys(
    connection: &mut MySqlConnection,
    head: &str,
    keys: &[&[u8]],
    tail: &str,
) -> Result<Vec<MySqlRow>, Error> {
    let text = format!("{head} ({}) {tail}", places(keys.len()));
    let mut query = sqlx::query(AssertSqlSafe(text));
    for key in keys {
        query = query.bind(*key);
    }
    query.fetch_all(connection).await
}

async fn put(
    connection: &mut MySqlConnection,
    rows: &[(&[u8], Bytes)],
    tail: &str,
) -> Result<(), Error> {
    for part in row_parts(rows) {
        let text = format!(
            "INSERT INTO kv (k, v) VALUES {} {tail}",
            row_places(part.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (key, value) in part {
            query = query.bind(*key).bind(&value[..]);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

fn error_number(error: &Error) -> Option<u16> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// The value is missing where it wasn't asked for.
fn take_pairs(pairs: &mut Pairs, rows: Vec<MySqlRow>) -> Result<(), Error> {
    for row in rows {
        let value = match row.len() {
            1 => Bytes::new(),
            _ => Bytes::from(row.try_get::<Vec<u8>, _>(1)?),
        };
        pairs.push((Bytes::from(row.try_get::<Vec<u8>, _>(0)?), value));
    }
    Ok(())
}
