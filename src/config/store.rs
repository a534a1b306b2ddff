//! Where everything is kept, and how it is searched.
//!
//! Holds: the defaults are those of the crate `store`.
//! Other half: `engine::open` and `wire::open`.

use serde::{Deserialize, Serialize};

use super::values::Octets;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    pub block_cache: Octets,
    pub write_buffer: Octets,
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
        Store {
            block_cache: Octets(options.block_cache_octets as u64),
            write_buffer: Octets(options.write_buffer_octets as u64),
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
