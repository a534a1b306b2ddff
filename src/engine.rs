//! Opens the database that the configuration names.
//!
//! Holds: the format of what is in it was looked at before anybody else reads or writes; a password is in no error.
//! Other half: `config::Store`; `wire::open`, which makes the core over it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use store::{
    blob::Seal,
    engine::{
        Engine, EngineError, RocksEngine, RocksOptions,
        sql::{SqlKind, SqlOptions, open_sql},
    },
    format::{Formats, Plan},
};

use crate::{
    blobs,
    config::{self, Config, DatabaseUrl},
    delivery,
    folder::{Folder, FolderError},
};

/// Has the password of the database, where no file has.
const PASSWORD_VARIABLE: &str = "POSTHORN_STORE_PASSWORD";

/// Blocks while the database recovers. An older format is brought up to date, a newer one is an error, and so is a database that something is
/// being restored into.
pub async fn open(config: &Config, folder: &Folder) -> Result<Arc<dyn Engine>, FolderError> {
    let engine = open_restoring(config, folder).await?;
    let is_unfinished = jmap_core::inproc::backup::is_unfinished(&engine).await;
    match is_unfinished.map_err(|error| folder.store_error(error))? {
        false => Ok(engine),
        true => Err(FolderError::Restoring),
    }
}

/// The same for who restores.
pub async fn open_restoring(
    config: &Config,
    folder: &Folder,
) -> Result<Arc<dyn Engine>, FolderError> {
    let engine = open_any(config, folder).await?;
    let formats = Formats::of_this_version();
    let progress = |sentence: &str| tracing::warn!("{sentence}");
    store::format::open_with(&engine, &formats, &progress)
        .await
        .map_err(|error| folder.store_error(error))?;
    blobs::over(engine, config, folder).await
}

/// The same, whatever is in it: for who copies.
pub async fn open_any(config: &Config, folder: &Folder) -> Result<Arc<dyn Engine>, FolderError> {
    match &config.store.url {
        Some(url) => sql(config, url, folder).await,
        None => rocks(config, folder),
    }
}

/// What an upgrade of the data would do.
pub async fn plan(config: &Config, folder: &Folder) -> Result<Plan, FolderError> {
    let engine = open_any(config, folder).await?;
    let planned = store::format::plan(&engine, &Formats::of_this_version(), &now_ms).await;
    planned.map_err(|error| folder.store_error(error))
}

/// Upgrades the data. Returns what there was to do.
pub async fn upgrade(
    config: &Config,
    folder: &Folder,
    progress: store::format::Progress<'_>,
) -> Result<Plan, FolderError> {
    let engine = open_any(config, folder).await?;
    let formats = Formats::of_this_version();
    let work = async {
        let planned = store::format::plan(&engine, &formats, &now_ms).await?;
        store::format::open_with(&engine, &formats, progress).await?;
        Ok(planned)
    };
    work.await.map_err(|error| folder.store_error(error))
}

fn now_ms() -> i64 {
    crate::wire::clock().now().0
}

/// Puts aside those of the server's own values without which none starts, if they are damaged: their names.
pub async fn mend(config: &Config, folder: &Folder) -> Result<Vec<&'static str>, FolderError> {
    let engine = open_any(config, folder).await?;
    let now = now_ms();
    let work = async {
        let mut mended = Vec::new();
        if store::format::mend(&engine, now).await? {
            mended.push("format");
        }
        mended.extend(jmap_core::work::check::mend_before_open(&engine, now).await?);
        Ok(mended)
    };
    work.await.map_err(|error| folder.store_error(error))
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

/// Octets of the largest value that is kept.
fn value_octets_max(config: &Config) -> u64 {
    let limits = &config.limits;
    Seal::octets_max(limits.max_size_message.0.max(limits.max_size_upload.0))
}

/// Whether a database that was opened by one configuration takes the values of another. Its server may have settings for that, which were
/// looked at when it was opened.
pub fn takes_values(opened: &Config, other: &Config) -> bool {
    let url = opened.store.url.as_ref();
    let kind = url.map(|url| SqlKind::of(&url.0, Path::new("")));
    !matches!(kind, Some(Ok(SqlKind::MySql))) || value_octets_max(other) <= value_octets_max(opened)
}

async fn sql(
    config: &Config,
    url: &DatabaseUrl,
    folder: &Folder,
) -> Result<Arc<dyn Engine>, FolderError> {
    let of = &config.store;
    let password =
        password(of).map_err(|(file, error)| FolderError::DatabasePassword(file, error))?;
    let options = SqlOptions {
        password,
        connections: of.connections,
        timeout: of.timeout.0,
        start_timeout: of.start_timeout.0,
        value_octets_max: value_octets_max(config),
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
