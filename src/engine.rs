//! Opens the database that the configuration names.
//!
//! Holds: the format of what is in it was looked at before anybody else reads or writes.
//! Other half: `config::Store`; `wire::open`, which makes the core over it.

use std::sync::Arc;

use store::engine::{Engine, RocksEngine, RocksOptions};

use crate::{
    config::Config,
    folder::{Folder, FolderError},
};

/// Blocks while the database recovers. An older format is brought up to date, a newer one is an error.
pub async fn open(config: &Config, folder: &Folder) -> Result<Arc<dyn Engine>, FolderError> {
    let options = RocksOptions {
        block_cache_octets: config.store.block_cache.as_usize(),
        write_buffer_octets: config.store.write_buffer.as_usize(),
        ..RocksOptions::default()
    };
    let engine: Arc<dyn Engine> = RocksEngine::open(folder.database(), &options)
        .map_err(|error| folder.engine_error(error))?;
    store::format::open(&engine)
        .await
        .map_err(|error| folder.store_error(error))?;
    Ok(engine)
}
