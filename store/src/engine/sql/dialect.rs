//! What the engine asks of a database, in the words of each.
//!
//! Holds: a connection on which a call has failed, or was given up, is not used again without a rollback.
//! Other half: `postgres`, `mysql` and `sqlite` say it in SQL; `committer` and `pool` don't know which of them they talk to.

use std::{fmt, time::Duration};

use bytes::Bytes;
use sqlx::Error;
use tokio::time::{Instant, sleep, timeout};

use super::options::SqlOptions;
use crate::engine::{EngineError, KeyRange, Page};

pub(super) type Pairs = Vec<(Bytes, Bytes)>;

/// The longest key, in octets. An index of PostgreSQL takes up to 2704, one of InnoDB up to 3072.
pub const KEY_OCTETS_MAX: usize = 2000;

/// The version of the tables that this engine makes. What is in them has a version of its own: `crate::format`.
pub(super) const SCHEMA_VERSION: i64 = 1;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Commit,
    /// A transaction that only reads, and stays open for longer.
    Snapshot,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Query<'q> {
    /// The pair of a key.
    Value(&'q [u8]),
    /// The pairs of these keys, in any order; each key once.
    Values(&'q [&'q [u8]]),
    Page(&'q Page),
}

/// The keys that a group needs to know of, each in one list, each list in key order.
#[derive(Debug, Default)]
pub(super) struct Wanted<'g> {
    /// With their values, locked for writing.
    pub values: Vec<&'g [u8]>,
    /// Whether they are there, locked for writing.
    pub writes: Vec<&'g [u8]>,
    /// Whether they are there, locked so that they stay so.
    pub stays: Vec<&'g [u8]>,
}

/// A key that is there; its value if that was wanted.
pub(super) type Row = (Vec<u8>, Option<Bytes>);

/// What a group does to the table; each list in key order.
#[derive(Debug, Default)]
pub(super) struct Changes<'g> {
    /// They go before anything else.
    pub ranges: Vec<&'g KeyRange>,
    /// Their keys were not there.
    pub inserts: Vec<(&'g [u8], Bytes)>,
    /// Their keys were there.
    pub updates: Vec<(&'g [u8], Bytes)>,
    /// They were there.
    pub deletes: Vec<&'g [u8]>,
    /// They were not there, and have to go if that has changed.
    pub absent: Vec<&'g [u8]>,
}

impl Changes<'_> {
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
            && self.inserts.is_empty()
            && self.updates.is_empty()
            && self.deletes.is_empty()
            && self.absent.is_empty()
    }
}

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The connection is of no use any more, or there is none: another one may do.
    Lost,
    /// Somebody was in the way, or it took too long: the same may work in a moment.
    Again,
    /// The database takes no writes: it is a standby, or set so.
    ReadOnly,
    /// There is no room.
    Full,
    Damaged,
    /// The statement, the login, the rights: it won't get better by itself.
    Other,
}

/// A kind of database.
pub(super) trait Dialect: fmt::Debug + Send + Sync + Sized + 'static {
    type Connection: Send;

    /// A connection, set up for its purpose.
    fn connect(
        &self,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    fn read(
        &self,
        connection: &mut Self::Connection,
        query: Query<'_>,
    ) -> impl Future<Output = Result<Pairs, Error>> + Send;

    /// Begins a transaction that sees the database as of now.
    fn begin_snapshot(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Begins a transaction that writes. All of them share one lock; `exclusive`: nobody else has it.
    fn begin(
        &self,
        connection: &mut Self::Connection,
        exclusive: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Locks those of the keys that are there, in key order.
    fn lock(
        &self,
        connection: &mut Self::Connection,
        wanted: &Wanted<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Writes. `false`: a key that was not there is there now, and the transaction has to be rolled back.
    fn write(
        &self,
        connection: &mut Self::Connection,
        changes: &Changes<'_>,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Writes something that means nothing, to see whether that works.
    fn touch(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn commit(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn rollback(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Octets that the table takes on disk.
    fn disk_octets(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Gives memory and files back, beyond those of connections.
    fn trim(&self, connection: &mut Self::Connection) -> impl Future<Output = ()> + Send;

    fn cause(error: &Error) -> Cause;

    /// Whether no other process can have the database.
    fn is_exclusive(&self) -> bool;

    /// What the database is called in errors and logs. No password is in it.
    fn name(&self) -> &str;
}

/// A database that is a server of its own.
pub(super) trait Remote: Dialect {
    /// Looks at the server's settings and makes what is missing. May be called again after it has failed.
    fn prepare(&mut self, options: &SqlOptions) -> impl Future<Output = Result<(), Error>> + Send;
}

/// What is the matter whatever the database is; `None` if it has answered with an error of its own.
pub(super) fn common_cause(error: &Error) -> Option<Cause> {
    match error {
        Error::Database(_) => None,
        Error::Configuration(_)
        | Error::InvalidArgument(_)
        | Error::ColumnDecode { .. }
        | Error::Decode(_)
        | Error::Encode(_)
        | Error::TypeNotFound { .. } => Some(Cause::Other),
        _ => Some(Cause::Lost),
    }
}

/// As the rest of the store sees it.
pub(super) fn engine_error<D: Dialect>(dialect: &D, error: &Error) -> EngineError {
    let text = format!("{}: {error}", dialect.name()).into();
    match D::cause(error) {
        Cause::ReadOnly | Cause::Full => EngineError::Full(text),
        Cause::Damaged => EngineError::Corrupt(text),
        Cause::Lost | Cause::Again | Cause::Other => EngineError::Io(text),
    }
}

/// Between tries to reach a server that isn't there yet.
const START_WAIT: Duration = Duration::from_millis(200);
const START_WAIT_MAX: Duration = Duration::from_secs(2);

/// Prepares a database. A server that isn't there yet, as after the start of a machine that has both, is waited for.
pub(super) async fn prepared<D: Remote>(
    mut dialect: D,
    options: &SqlOptions,
) -> Result<D, EngineError> {
    let end = Instant::now() + options.start_timeout;
    let mut wait = START_WAIT;
    let mut was_told = false;
    loop {
        let tried = timeout(options.timeout, dialect.prepare(options)).await;
        let (error, may_come) = match tried {
            Ok(Ok(())) => return Ok(dialect),
            Ok(Err(error)) => {
                let may_come = matches!(D::cause(&error), Cause::Lost | Cause::Again);
                (engine_error(&dialect, &error), may_come)
            }
            Err(_) => (no_answer(&dialect, options.timeout), true),
        };
        if !may_come || Instant::now() + wait > end {
            return Err(error);
        }
        if !was_told {
            let at_most = options.start_timeout;
            tracing::warn!(%error, ?at_most, "the database isn't there yet, and is waited for");
            was_told = true;
        }
        sleep(wait).await;
        wait = START_WAIT_MAX.min(wait * 2);
    }
}

pub(super) fn no_answer<D: Dialect>(dialect: &D, time: Duration) -> EngineError {
    EngineError::Io(format!("{}: no answer within {time:?}", dialect.name()).into())
}
