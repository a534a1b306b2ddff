//! Backups that nobody has to ask for: one node of a cluster makes them, as often as the configuration says.
//!
//! Holds: what matters is when the last one worked, by what the store says of the repository, so a server that starts again, or another
//! node that takes over, goes on as it was. One that failed is tried again after a while, and told of in log, metric and status.
//! Other half: `run` makes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use backup::{Encryption, Keep, Key, Repository, place::S3Settings, prune};
use jmap_core::{Caller, Core, inproc::backup::OutcomeRecord};
use zeroize::Zeroizing;

use super::{BackupError, Target, Tools, lock, run};
use crate::{
    config::{self, Config, values::Span},
    delivery,
};

/// How often it is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);
/// After one that failed; shorter where backups are made more often.
const RETRY_AFTER: Duration = Duration::from_secs(900);

/// What `/metrics` says of backups.
#[derive(Debug, Default)]
pub struct Counters {
    /// Seconds since 1970 of the last one that worked; 0: none has.
    pub last_success: AtomicI64,
    pub failures: AtomicU64,
}

/// Makes backups until the future is dropped. Does nothing without a place to make them to.
pub async fn run_schedule(
    core: Core,
    config: Arc<ArcSwap<Config>>,
    tools: Tools,
    counters: Arc<Counters>,
) {
    let who = Caller::server();
    let mut failed_at: Option<std::time::Instant> = None;
    loop {
        let every = config.load().backup.every.0;
        tokio::time::sleep(LOOK_EVERY.min(every).max(LOOK_EVERY_MIN)).await;
        let config = config.load().backup.clone();
        let retry = RETRY_AFTER.min(config.every.0);
        let now = tools.clock.monotonic();
        let waits = |at: std::time::Instant| now.saturating_duration_since(at) < retry;
        if failed_at.is_some_and(waits) {
            continue;
        }
        match once(&core, &who, &config, &tools, &counters).await {
            Ok(()) => failed_at = None,
            Err(error) => {
                counters.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a backup failed, and is tried again");
                failed_at = Some(tools.clock.monotonic());
            }
        }
    }
}

/// Makes one if it is due and this node's work.
async fn once(
    core: &Core,
    who: &Caller,
    config: &config::Backup,
    tools: &Tools,
    counters: &Counters,
) -> Result<(), BackupError> {
    let Some(place) = config.to.as_ref().map(ToString::to_string) else {
        return Ok(());
    };
    let now = tools.clock.now().seconds();
    let last = last_success(core, who, &place, now).await?;
    counters
        .last_success
        .store(last.unwrap_or(0), Ordering::Relaxed);
    if !is_due(last, config.every, now) || !core.leads_backup().await? {
        return Ok(());
    }
    let quiet = |_: &str| {};
    let (target, repository) = match open(core, who, config, tools).await {
        Ok(opened) => opened,
        Err(error) => {
            // Of those that fail later, the run itself makes a note.
            let failure = OutcomeRecord {
                at: tools.clock.now().seconds(),
                sentence: error.to_string(),
                ..OutcomeRecord::default()
            };
            core.note_unopened_backup(who, &place, failure).await?;
            return Err(error);
        }
    };
    let done = run::run_in(core, who, (&target, repository), tools, &quiet).await?;
    let at = tools.clock.now().seconds();
    counters.last_success.store(at, Ordering::Relaxed);
    tracing::info!(
        snapshot = done.snapshot.short(),
        new_blobs = done.new_blobs,
        added_octets = done.record.added_octets,
        "a backup was made"
    );
    let keep = keep(config);
    if !keep.is_nothing() {
        let repository = target.open().await?;
        clear_away(&repository, keep, &core.hostname(), tools).await?;
    }
    Ok(())
}

async fn open(
    core: &Core,
    who: &Caller,
    config: &config::Backup,
    tools: &Tools,
) -> Result<(Target, Repository), BackupError> {
    let target = target(config)?.ok_or_else(|| BackupError::Refused("there is no place".into()))?;
    let repository = run::open(core, who, &target, tools).await?;
    Ok((target, repository))
}

fn is_due(last: Option<i64>, every: Span, now: i64) -> bool {
    let every = i64::try_from(every.0.as_secs()).unwrap_or(i64::MAX);
    last.is_none_or(|last| now >= last.saturating_add(every))
}

/// When the last backup worked. One of a time that is still to come counts as none: the clock was ahead then.
pub(super) async fn last_success(
    core: &Core,
    who: &Caller,
    place: &str,
    now: i64,
) -> Result<Option<i64>, BackupError> {
    let known = core.backup_repositories(who).await?.into_iter();
    let of_place = known.filter(|record| record.place == place);
    let successes = of_place.filter_map(|record| record.success);
    let times = successes.map(|success| success.at);
    Ok(times.filter(|at| *at <= now).max())
}

async fn clear_away(
    repository: &Repository,
    keep: Keep,
    hostname: &str,
    tools: &Tools,
) -> Result<(), BackupError> {
    let quiet = |_: &str| {};
    let lock = lock(repository, "pruning", hostname, &*tools.rng, &quiet).await?;
    let pruned = prune(repository, &lock, keep, &quiet).await;
    lock.release().await?;
    let pruned = pruned?;
    if !pruned.removed.is_empty() {
        tracing::info!(
            snapshots = pruned.removed.len(),
            octets = pruned.octets,
            "old backups were removed"
        );
    }
    Ok(())
}

fn keep(config: &config::Backup) -> Keep {
    Keep {
        last: config.keep_last,
        daily: config.keep_daily,
        weekly: config.keep_weekly,
        monthly: config.keep_monthly,
    }
}

/// Where to, if anywhere. The environment says of S3 what the configuration doesn't.
pub fn target(config: &config::Backup) -> Result<Option<Target>, BackupError> {
    let Some(place) = &config.to else {
        return Ok(None);
    };
    let read = |file: &config::NamedFile| {
        let text = delivery::password_of(file);
        text.map_err(|error| BackupError::File(file.path().to_owned(), error))
    };
    let passphrase = config.passphrase_file.as_ref().map(read).transpose()?;
    let passphrase = passphrase.map(|text| Zeroizing::new(text.expose().clone()));
    let secret = config.s3_secret_access_key_file.as_ref().map(read);
    let secret = secret.transpose()?.map(|text| text.expose().clone());
    let environment = std::env::vars();
    let mut s3: std::collections::BTreeMap<String, String> = environment
        .filter(|(name, _)| name.starts_with(backup::place::S3_PREFIX))
        .collect();
    let configured = [
        ("AWS_ENDPOINT_URL", config.s3_endpoint.clone()),
        ("AWS_REGION", config.s3_region.clone()),
        ("AWS_ACCESS_KEY_ID", config.s3_access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ];
    for (name, value) in configured {
        s3.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(Some(Target {
        place: place.0.clone(),
        s3: S3Settings(s3),
        encryption: match &passphrase {
            Some(passphrase) => Encryption::Passphrase(passphrase.clone()),
            None if config.encrypt_to.is_empty() => Encryption::None,
            None => Encryption::Recipients(config.encrypt_to.clone()),
        },
        key: passphrase.map_or(Key::None, Key::Passphrase),
        begins_anew: false,
    }))
}
