//! Which database, and how it is used.
//!
//! Holds: a password is in no `Debug` and in no name.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::engine::EngineError;

/// A database and how it is used.
#[derive(Clone)]
pub struct SqlOptions {
    /// `postgres://USER@HOST:PORT/DATABASE`, `mysql://...` (MariaDB as well), or `sqlite:FILE`. What follows a `?` is the
    /// driver's: `sslmode` and `sslrootcert`, `ssl-mode` and `ssl-ca`.
    pub url: String,
    /// In place of the URL's.
    pub password: Option<String>,
    /// Connections for reads. One more writes, and each snapshot has its own.
    pub connections: u32,
    /// For one call, waiting for a connection included.
    pub timeout: Duration,
    /// How long a server that isn't there yet is waited for when the database is opened.
    pub start_timeout: Duration,
    /// The largest value that is to be kept: MySQL and MariaDB have settings that have to be larger.
    pub value_octets_max: u64,
    /// A database that acknowledges what it may lose is refused.
    pub durable: bool,
}

/// The kinds of database that a URL can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlKind {
    Postgres,
    MySql,
    Sqlite(PathBuf),
}

impl SqlOptions {
    /// The defaults, for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            connections: 16,
            timeout: Duration::from_secs(20),
            start_timeout: Duration::ZERO,
            value_octets_max: 64 * 1024 * 1024,
            durable: true,
        }
    }
}

impl SqlKind {
    /// Of a URL; the file of SQLite is meant from `folder`.
    pub fn of(url: &str, folder: &Path) -> Result<Self, EngineError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        match scheme {
            "postgres" | "postgresql" if rest.starts_with("//") => Ok(Self::Postgres),
            "mysql" | "mariadb" if rest.starts_with("//") => Ok(Self::MySql),
            "sqlite" => {
                let file = rest.strip_prefix("//").unwrap_or(rest);
                match file {
                    "" => Err(wrong("it names no file")),
                    _ if file.contains(['?', '#', '%']) => {
                        Err(wrong("a file of SQLite is a path, without parameters"))
                    }
                    _ => Ok(Self::Sqlite(folder.join(file))),
                }
            }
            _ => Err(wrong("it begins with postgres://, mysql:// or sqlite:")),
        }
    }
}

fn wrong(why: &str) -> EngineError {
    EngineError::Io(format!("the URL of the database is wrong: {why}").into())
}

impl fmt::Debug for SqlOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlOptions")
            .field("url", &without_password(&self.url))
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("start_timeout", &self.start_timeout)
            .field("value_octets_max", &self.value_octets_max)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

/// A URL as it may be shown: `scheme://user@host/database`.
pub fn without_password(url: &str) -> String {
    // The driver's parameters may have a password as well.
    let url = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let Some((login, place)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{place}")
}
