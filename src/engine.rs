//! Opens the database that the configuration names.
//!
//! Holds: the format of what is in it was looked at before anybody else reads or writes; a password is in no error.
//! Other half: `config::Store`; `wire::open`, which makes the core over it.

use std::{io, path::PathBuf, sync::Arc};

use store::engine::{
    Engine, EngineError, RocksEngine, RocksOptions,
    sql::{SqlKind, SqlOptions, open_sql},
};

use crate::{
    config::{self, Config, DatabaseUrl},
    delivery,
    folder::{Folder, FolderError},
};

/// Has the password of the database, where no file has.
const PASSWORD_VARIABLE: &str = "POSTHORN_STORE_PASSWORD";

/// Blocks while the database recovers. An older format is brought up to date, a newer one is an error.
pub async fn open(config: &Config, folder: &Folder) -> Result<Arc<dyn Engine>, FolderError> {
    let engine = match &config.store.url {
        Some(url) => sql(config, url, folder).await?,
        None => rocks(config, folder)?,
    };
    store::format::open(&engine)
        .await
        .map_err(|error| folder.store_error(error))?;
    Ok(engine)
}

fn rocks(config: &Config, folder: &Folder) -> Result<Arc<dyn Engine>, FolderError> {
    let options = RocksOptions {
        block_cache_octets: config.store.block_cache.as_usize(),
        write_buffer_octets: config.store.write_buffer.as_usize(),
        ..RocksOptions::default()
    };
    RocksEngine::open(folder.database(), &options).map_err(|error| folder.engine_error(error))
}

/// The password of the database, where it isn't in the URL; or the file that can't be read.
pub fn password(of: &config::Store) -> Result<Option<String>, (PathBuf, io::Error)> {
    let Some(file) = &of.password_file else {
        return Ok(std::env::var(PASSWORD_VARIABLE).ok());
    };
    match delivery::password(file) {
        Ok(password) => Ok(Some(password.expose().clone())),
        Err(error) => Err((file.clone(), error)),
    }
}

async fn sql(
    config: &Config,
    url: &DatabaseUrl,
    folder: &Folder,
) -> Result<Arc<dyn Engine>, FolderError> {
    let of = &config.store;
    let limits = &config.limits;
    let password =
        password(of).map_err(|(file, error)| FolderError::DatabasePassword(file, error))?;
    let options = SqlOptions {
        password,
        connections: of.connections,
        timeout: of.timeout.0,
        value_octets_max: limits.max_size_message.0.max(limits.max_size_upload.0),
        durable: of.durable,
        ..SqlOptions::new(url.0.clone())
    };
    let opened = open_sql(&options, folder.path()).await;
    opened.map_err(|error| match (SqlKind::of(&url.0, folder.path()), error) {
        (Ok(SqlKind::Sqlite(_)), error @ (EngineError::Locked(_) | EngineError::Full(_))) => {
            folder.engine_error(error)
        }
        (_, error) => FolderError::SqlDatabase(error),
    })
}
