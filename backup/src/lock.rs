//! The lock: who changes a repository has it alone.
//!
//! Holds: it can't stay behind. A process of this machine that is no more has none; the lock of another machine that doesn't move for
//! [`LockTimes::dead_after`], by the clock of who watches, is taken away. Its owner, should it live after all, sees that before what it has
//! done counts: two machines' clocks are never compared.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    Error, Repository, Storage,
    records::{Framed as _, LockRecord},
};

const FOLDER: &str = "locks";

/// Whose lock it is.
#[derive(Clone, Debug)]
pub struct LockOwner {
    /// At random.
    pub id: u64,
    /// The name of the server or machine, for people.
    pub hostname: String,
    /// What it does, such as "a backup".
    pub purpose: String,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct LockTimes {
    pub beat_every: Duration,
    pub dead_after: Duration,
}

impl Default for LockTimes {
    fn default() -> Self {
        Self {
            beat_every: Duration::from_secs(10),
            dead_after: Duration::from_secs(60),
        }
    }
}

/// A lock that is held until it is released or dropped.
#[derive(Debug)]
pub struct Lock {
    storage: Arc<dyn Storage>,
    path: String,
    is_lost: Arc<AtomicBool>,
    beating: JoinHandle<()>,
    is_released: bool,
}

impl Repository {
    /// Takes the lock. Somebody else who has it and lives is an error; whether they live may take [`LockTimes::dead_after`] to find out.
    pub async fn lock(
        &self,
        owner: LockOwner,
        times: LockTimes,
        tell: crate::Progress<'_>,
    ) -> Result<Lock, Error> {
        let here = Here::read();
        let record = LockRecord {
            purpose: owner.purpose,
            hostname: owner.hostname,
            machine: here.machine.clone(),
            process: std::process::id(),
            started: here.started(std::process::id()).unwrap_or(0),
            beat: 0,
        };
        let path = format!("{FOLDER}/{:016x}", owner.id);
        let storage = self.storage.clone();
        storage.put(&path, record.to_frame().into()).await?;
        let is_lost = Arc::new(AtomicBool::new(false));
        let beating = tokio::spawn(beat(
            storage.clone(),
            path.clone(),
            record,
            times,
            is_lost.clone(),
        ));
        let lock = Lock {
            storage,
            path,
            is_lost,
            beating,
            is_released: false,
        };
        match others_go(self, &lock.path, &here, times, tell).await {
            Ok(()) => Ok(lock),
            Err(error) => {
                lock.release().await?;
                Err(error)
            }
        }
    }
}

/// Waits until no other lock is left. Two that come at the same moment may both go away again.
async fn others_go(
    repository: &Repository,
    own: &str,
    here: &Here,
    times: LockTimes,
    tell: crate::Progress<'_>,
) -> Result<(), Error> {
    let storage = &repository.storage;
    for (path, _) in storage.list(FOLDER).await? {
        if path == own {
            continue;
        }
        let mut waited = Duration::ZERO;
        let Some(first) = storage.get(&path).await? else {
            continue;
        };
        // One that can't be read is watched as well: it may be of a newer version.
        let record = LockRecord::from_frame(&path, &first).ok();
        while !record.as_ref().is_some_and(|record| here.is_dead(record))
            && waited < times.dead_after
        {
            tell("somebody else has the backup, or had it when they died: waiting to see");
            tokio::time::sleep(times.beat_every / 2).await;
            waited += times.beat_every / 2;
            match storage.get(&path).await? {
                None => break,
                Some(now) if now != first => {
                    let (whose, what) = record.map_or_else(
                        || ("another process".to_owned(), "something".to_owned()),
                        |record| (record.hostname, record.purpose),
                    );
                    return Err(Error::Locked(format!("{whose} is busy with {what}")));
                }
                Some(_) => {}
            }
        }
        storage.delete(&path).await?;
    }
    Ok(())
}

async fn beat(
    storage: Arc<dyn Storage>,
    path: String,
    mut record: LockRecord,
    times: LockTimes,
    is_lost: Arc<AtomicBool>,
) {
    loop {
        tokio::time::sleep(times.beat_every).await;
        match storage.get(&path).await {
            Ok(Some(_)) => {}
            Ok(None) => return is_lost.store(true, Ordering::Release),
            // Who watches waits for several beats.
            Err(_) => continue,
        }
        record.beat += 1;
        if let Err(error) = storage.put(&path, record.to_frame().into()).await {
            tracing::warn!(%error, "the lock of a backup could not be kept up");
        }
    }
}

impl Lock {
    /// Whether it is still held: looks at the repository.
    pub async fn check(&self) -> Result<(), Error> {
        if self.is_lost.load(Ordering::Acquire) || self.storage.get(&self.path).await?.is_none() {
            return Err(Error::LockLost);
        }
        Ok(())
    }

    pub async fn release(mut self) -> Result<(), Error> {
        self.is_released = true;
        self.beating.abort();
        // A beat that is under way would bring it back.
        let _ = (&mut self.beating).await;
        self.storage.delete(&self.path).await
    }
}

impl Drop for Lock {
    /// Who was stopped half-way lets others go on at once.
    fn drop(&mut self) {
        self.beating.abort();
        if self.is_released {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (storage, path) = (self.storage.clone(), std::mem::take(&mut self.path));
            runtime.spawn(async move {
                let _ = storage.delete(&path).await;
            });
        }
    }
}

/// This machine, as far as processes of it can be told apart.
#[derive(Debug, Default)]
struct Here {
    /// Empty: it isn't known.
    machine: String,
}

impl Here {
    fn read() -> Self {
        let read = || -> io::Result<String> {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
            let namespace = fs::read_link("/proc/self/ns/pid")?;
            Ok(format!("{} {}", boot.trim(), namespace.display()))
        };
        Self {
            machine: read().unwrap_or_default(),
        }
    }

    /// When a process of this machine began; `None`: there is no such process.
    fn started(&self, process: u32) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // proc(5): field 22; the second, in parentheses, may have spaces.
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(19)?.parse().ok()
    }

    /// Whether the owner is certainly no more.
    fn is_dead(&self, record: &LockRecord) -> bool {
        let is_here = !self.machine.is_empty() && self.machine == record.machine;
        is_here && self.started(record.process) != Some(record.started)
    }
}
