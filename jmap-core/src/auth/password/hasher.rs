//! The gate before password hashing.
//! Holds: no more than [`HASHES_AT_ONCE`] hashes run, whatever the clients do, so a storm of logins takes neither
//! the memory nor the runtime; no more than [`HASHES_WAITING_MAX`] wait, and whoever comes after that is told so.
//! Other half: [`super::hash`] does the work; the core's `login` asks here, after the limits of [`crate::auth::rate`].

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hash::{self, StoredHashError, Verdict};
use crate::auth::scram::{self, ScramVerifier};
use crate::auth::secret::Secret;
use crate::rng::Rng;

/// Hashes that run at the same time; each takes [`hash::HASH_MEMORY_KIB`] and a processor.
pub const HASHES_AT_ONCE: usize = 2;
/// Hashes that may wait for their turn: a few seconds' worth.
pub const HASHES_WAITING_MAX: usize = 128;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting already.
    #[error("too many passwords are being checked")]
    TooBusy,
    /// The account's stored hash is of no use: for the log, and for quarantine.
    #[error(transparent)]
    Stored(StoredHashError),
    /// Out of memory, or the server is stopping.
    #[error("the password could not be checked")]
    Unavailable,
}

/// Hashes and checks passwords, off the runtime's threads and a few at a time.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    rng: Arc<dyn Rng>,
    /// A permit for each hash that runs or waits.
    admitted: Arc<Semaphore>,
    /// A permit for each hash that runs.
    running: Arc<Semaphore>,
}

/// Held by the work itself, not by who waits for it: a client that hangs up doesn't make room for another hash.
struct Turn {
    _admitted: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl PasswordHasher {
    pub fn new(rng: Arc<dyn Rng>) -> PasswordHasher {
        PasswordHasher::with_limits(rng, HASHES_AT_ONCE, HASHES_WAITING_MAX)
    }

    /// A hasher with other limits; at least one hash runs at a time.
    pub fn with_limits(rng: Arc<dyn Rng>, at_once: usize, waiting_max: usize) -> PasswordHasher {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS / 2);
        let waiting_max = waiting_max.min(Semaphore::MAX_PERMITS / 2);
        PasswordHasher {
            rng,
            admitted: Arc::new(Semaphore::new(at_once + waiting_max)),
            running: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// The form in which `password` is stored.
    pub async fn hash(&self, password: &Secret<String>) -> Result<String, PasswordError> {
        let rng = Arc::clone(&self.rng);
        let password = password.clone();
        self.run(move || hash::hash(password.expose(), &*rng)).await
    }

    /// What is kept of `password` for logins by proof.
    pub async fn scram(&self, password: &Secret<String>) -> Result<ScramVerifier, PasswordError> {
        let rng = Arc::clone(&self.rng);
        let password = password.clone();
        self.run(move || Ok(scram::make(&password, &*rng))).await
    }

    /// Compares `password` with the stored form, or with nothing for an account that doesn't exist or has none:
    /// that is wrong, and takes as long.
    pub async fn verify(
        &self,
        stored: Option<&str>,
        password: &Secret<String>,
    ) -> Result<Verdict, PasswordError> {
        let stored = stored.map(str::to_owned);
        let password = password.clone();
        self.run(move || match stored {
            Some(stored) => hash::verify(&stored, password.expose()),
            None => {
                hash::waste_time();
                Ok(Verdict::Wrong)
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoredHashError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = self.turn().await?;
        let outcome = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        });
        match outcome.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(StoredHashError::Failed)) | Err(_) => Err(PasswordError::Unavailable),
            Ok(Err(error)) => Err(PasswordError::Stored(error)),
        }
    }

    async fn turn(&self) -> Result<Turn, PasswordError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| PasswordError::TooBusy)?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Unavailable)?;
        Ok(Turn {
            _admitted: admitted,
            _running: running,
        })
    }
}
