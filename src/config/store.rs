//! Where everything is kept, and how it is searched.
//!
//! Holds: the defaults are those of the crate `store`.
//! Other half: `engine::open` and `wire::open`.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    blobs::{Blobs, Encryption},
    values::{Octets, Span},
};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    /// An SQL database, in place of the one in the data folder.
    pub url: Option<DatabaseUrl>,
    /// A file with the password of the database in its first line.
    pub password_file: Option<PathBuf>,
    pub connections: u32,
    pub timeout: Span,
    /// How long a database that isn't there yet is waited for when the server starts.
    pub start_timeout: Span,
    pub durable: bool,
    pub block_cache: Octets,
    pub write_buffer: Octets,
    pub blobs: Blobs,
    pub encryption: Encryption,
}

/// The URL of a database. It may have a password in it, which `Debug` doesn't show.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct DatabaseUrl(pub String);

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&store::engine::sql::without_password(&self.0))
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Search {
    pub shards: u16,
    pub writer_memory: Octets,
}

impl Default for Store {
    fn default() -> Store {
        let options = store::engine::RocksOptions::default();
        let sql = store::engine::sql::SqlOptions::new("");
        Store {
            url: None,
            password_file: None,
            connections: sql.connections,
            timeout: Span(sql.timeout),
            start_timeout: Span::seconds(60),
            durable: sql.durable,
            block_cache: Octets(options.block_cache_octets as u64),
            write_buffer: Octets(options.write_buffer_octets as u64),
            blobs: Blobs::default(),
            encryption: Encryption::default(),
        }
    }
}

impl Default for Search {
    fn default() -> Search {
        let options = store::search::SearchOptions::default();
        Search {
            shards: options.shards,
            writer_memory: Octets(options.writer_memory_octets as u64),
        }
    }
}
