//! Makes a backup: all rows of one moment, then the blobs that they refer to.
//!
//! Holds: the small rows are read first, in one go, since a database keeps a snapshot for an hour at the most; blobs don't change, and are kept
//! from being collected until they are read.

use backup::{
    Kind, Name, Progress, Reference, Repository, SnapshotRecord, Substitute, TreeWriter, Writer,
};
use futures_util::{StreamExt as _, stream};
use jmap_core::{
    Caller, Core,
    inproc::backup::{OutcomeRecord, References, Source},
};
use store::{engine::EngineError, format::FORMAT};

use super::{BackupError, Target, Tools, lock};

/// About how large leaves are: of rows that come one after the other, and of those that come in between others.
const LEAF_OCTETS: usize = 16 << 10;
const LEAF_OCTETS_AT_RANDOM: usize = 4 << 10;
/// Blobs that are read at the same time.
const BLOBS_AT_ONCE: usize = 4;
/// Rows and blobs between two sentences of progress.
const PROGRESS_EVERY: u64 = 1000;

/// What a backup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub snapshot: Name,
    pub record: SnapshotRecord,
    /// Blobs that were not in the repository before.
    pub new_blobs: u64,
    /// Octets that were stored, before they were compressed.
    pub new_octets: u64,
}

/// Makes a backup of a server, and notes how it ended.
pub async fn run(
    core: &Core,
    who: &Caller,
    target: &Target,
    tools: &Tools,
    progress: Progress<'_>,
) -> Result<Done, BackupError> {
    let repository = open(core, who, target, tools).await?;
    run_in(core, who, (target, repository), tools, progress).await
}

/// The repository that a backup goes into.
pub async fn open(
    core: &Core,
    who: &Caller,
    target: &Target,
    tools: &Tools,
) -> Result<Repository, BackupError> {
    let repository = find_or_make(core, who, target, tools).await?;
    with_naming_key(core, who, repository).await
}

/// The same, into a repository that is open.
pub async fn run_in(
    core: &Core,
    who: &Caller,
    (target, repository): (&Target, Repository),
    tools: &Tools,
    progress: Progress<'_>,
) -> Result<Done, BackupError> {
    let began = tools.clock.monotonic();
    let made = make(core, who, &repository, tools, progress).await;
    let outcome = OutcomeRecord {
        at: tools.clock.now().seconds(),
        seconds: tools
            .clock
            .monotonic()
            .saturating_duration_since(began)
            .as_secs(),
        sentence: match &made {
            Ok(done) => format!("snapshot {}", done.snapshot.short()),
            Err(error) => error.to_string(),
        },
        added_octets: made.as_ref().map_or(0, |done| done.record.added_octets),
    };
    let (place, naming) = (target.place.to_string(), repository.naming_key());
    let is_made = made.is_ok();
    let note = |record: &mut jmap_core::inproc::backup::RepositoryRecord| {
        record.place.clone_from(&place);
        if let Some(naming) = &naming {
            record.naming_key = Some(**naming);
        }
        match is_made {
            true => (record.success, record.failure) = (Some(outcome.clone()), None),
            false => record.failure = Some(outcome.clone()),
        }
    };
    let noted = core.note_backup(who, &repository.id(), note).await;
    let done = made?;
    noted?;
    core.forget_unopened_backup(who, &place).await?;
    Ok(done)
}

/// The repository of the place, or a new one. Where this server has made backups before, nothing else takes their place by itself: a
/// disk that isn't mounted looks like an empty folder.
async fn find_or_make(
    core: &Core,
    who: &Caller,
    target: &Target,
    tools: &Tools,
) -> Result<Repository, BackupError> {
    let place = target.place.to_string();
    let known = core.backup_repositories(who).await?.into_iter();
    let mut of_place = known.filter(|record| record.place == place);
    let is_known = of_place.any(|record| record.success.is_some()) && !target.begins_anew;
    match target.find().await? {
        Some(repository) => {
            repository.check_encryption(&target.encryption)?;
            let record = core.backup_repository(who, &repository.id()).await?;
            match is_known && record.is_none() {
                true => Err(BackupError::OtherBackup(place)),
                false => Ok(repository),
            }
        }
        None if is_known => Err(BackupError::NotMounted(place)),
        None => target.make(&*tools.clock, &*tools.rng).await,
    }
}

/// Who can't read an encrypted repository still has to know what is in it: the server keeps the key for that.
async fn with_naming_key(
    core: &Core,
    who: &Caller,
    repository: Repository,
) -> Result<Repository, BackupError> {
    let known = core.backup_repository(who, &repository.id()).await?;
    let known = known.and_then(|record| record.naming_key);
    if known.is_none()
        && let Some(naming) = repository.naming_key()
    {
        // Before anything is stored: a run that is killed must be gone on with.
        let note = |record: &mut jmap_core::inproc::backup::RepositoryRecord| {
            record.naming_key = Some(*naming);
        };
        core.note_backup(who, &repository.id(), note).await?;
    }
    Ok(match known {
        Some(key) => repository.with_naming_key(key),
        None => repository,
    })
}

async fn make(
    core: &Core,
    who: &Caller,
    repository: &Repository,
    tools: &Tools,
    progress: Progress<'_>,
) -> Result<Done, BackupError> {
    let lock = lock(
        repository,
        "a backup",
        &core.hostname(),
        &*tools.rng,
        progress,
    )
    .await?;
    progress("reading the index");
    let mut writer = Writer::new(repository).await?;
    let mut source = core.begin_backup(who).await?;
    let nodes = rows(&mut source, &mut writer, progress).await?;
    let hashes: Vec<Name> = source.take_blobs().into_iter().map(Name).collect();
    let before = writer.counts();
    let substitutes = blobs(&source, &mut writer, &hashes, progress).await?;
    if !source.check_hold().await? {
        return Err(BackupError::HoldLost);
    }
    let record = SnapshotRecord {
        time: source.time,
        hostname: source.hostname.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store_format: FORMAT,
        nodes,
        references: vec![Reference {
            prefix: vec![References::FIRST_OCTET],
        }],
        blobs: hashes.len() as u64,
        substitutes,
        accounts: source.accounts,
        emails: source.emails,
        added_octets: 0,
    };
    writer.flush().await?;
    let counts = writer.counts();
    let (snapshot, record) = writer.finish(&lock, record).await?;
    source.end().await?;
    lock.release().await?;
    Ok(Done {
        snapshot,
        record,
        new_blobs: counts.objects - before.objects,
        new_octets: counts.octets,
    })
}

async fn rows(
    source: &mut Source,
    writer: &mut Writer,
    progress: Progress<'_>,
) -> Result<Vec<backup::Child>, BackupError> {
    let mut tree = TreeWriter::default();
    let (mut count, mut told) = (0, 0);
    while let Some(rows) = source
        .next_rows()
        .await
        .map_err(BackupError::SnapshotEnded)?
    {
        for (key, value) in &rows {
            let octets = match Source::is_at_random(key) {
                true => LEAF_OCTETS_AT_RANDOM,
                false => LEAF_OCTETS,
            };
            tree.add(writer, key, value, octets).await?;
        }
        count += rows.len() as u64;
        if count >= told + PROGRESS_EVERY {
            told = count;
            progress(&format!("rows: {count}"));
        }
        tokio::task::yield_now().await;
    }
    Ok(tree.finish(writer).await?)
}

/// Stores the blobs that are not there. Returns those that the server hasn't got as their names say.
async fn blobs(
    source: &Source,
    writer: &mut Writer,
    hashes: &[Name],
    progress: Progress<'_>,
) -> Result<Vec<Substitute>, BackupError> {
    let missing: Vec<Name> = hashes
        .iter()
        .filter(|name| !writer.uses(name))
        .copied()
        .collect();
    let mut substitutes = Vec::new();
    let read = |name: Name| async move { (name, source.blob(&name.0).await) };
    let mut reading = stream::iter(missing.iter().copied())
        .map(read)
        .buffered(BLOBS_AT_ONCE);
    let mut count = 0;
    while let Some((blob, octets)) = reading.next().await {
        count += 1;
        if count % PROGRESS_EVERY == 0 {
            progress(&format!("blobs: {count} of {}", missing.len()));
        }
        let octets = match octets {
            // Its octets can't be had any more: it is as good as missing.
            Err(error @ store::Error::Engine(EngineError::Corrupt(_))) => {
                tracing::error!(%blob, %error, "a blob is damaged in the store, and not in the backup");
                substitutes.push(Substitute { blob, object: None });
                continue;
            }
            octets => octets?,
        };
        let Some(octets) = octets else {
            tracing::error!(%blob, "a blob is missing in the store, and in the backup");
            substitutes.push(Substitute { blob, object: None });
            continue;
        };
        let name = Name::of(&octets);
        if name != blob {
            tracing::error!(%blob, "a blob is damaged in the store, and in the backup");
            substitutes.push(Substitute {
                blob,
                object: Some(name),
            });
        }
        writer.put(Kind::Data, name, &octets).await?;
    }
    Ok(substitutes)
}
