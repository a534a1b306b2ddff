//! The directory: domains, accounts, groups, addresses and credentials.
//!
//! Holds: a name belongs to one account, whatever nodes do at the same time: each change asserts that the
//! directory is the one that it has read. What is cached counts only as long as nothing has changed, so a
//! revoked credential counts for nothing at once.
//! Other half: `auth` has the parts of logging in, `access` decides, adapters and the command line call.

mod accounts;
mod allowance;
mod bring_back;
mod change;
mod credentials;
pub mod dkim;
mod domains;
pub mod external;
mod factors;
mod forwards;
mod grants;
mod members;
pub mod names;
mod passkeys;
mod read;
pub mod records;
mod remove;
pub(crate) mod resolve;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use jmap_types::AccountId;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use store::{
    decode_numbers,
    engine::{Assertion, Batch, Key},
    keys, numbers,
};

pub(crate) use accounts::NEXT_ACCOUNT;
pub use accounts::NewAccount;
pub use change::{AccountChange, Grant};
pub use credentials::{Credential, Issued, NewCredential};
pub use domains::{Domain, DomainChange};
pub use factors::{Enrolment, TotpState};
pub use forwards::{ListChange, NewAlias, NewList, OWNER_SUFFIX, UNSUBSCRIBE_SUFFIX};
pub(crate) use grants::{Granted, NewGrant, Refreshed, Spend};
pub use passkeys::{CHALLENGE_KEEP, PASSKEYS_MAX, PasskeyOptions};
pub use read::{Account, AccountInfo};
pub use records::{AccountKind, AccountRecord, CredentialKind, Forward, ListRecord, Posters};

use crate::{
    Core,
    auth::{
        LoginLimits, LoginRate, PasswordHasher, Scopes, Secret, VerifiedCache,
        password::PolicyError, scram::KEY_OCTETS, token::TokenId, webauthn::PasskeyError,
    },
    caller::Caller,
    clock::Clock,
    rng::Rng,
};

/// Domains of one server.
pub const DOMAINS_MAX: usize = 10_000;
/// Addresses of one account.
pub const ADDRESSES_PER_ACCOUNT_MAX: usize = 1000;
/// Credentials of one account.
pub const CREDENTIALS_PER_ACCOUNT_MAX: usize = 100;
/// Groups that one account is a member of.
pub const GROUPS_PER_ACCOUNT_MAX: usize = 1000;
/// Addresses that one account or alias forwards to.
pub const FORWARDS_MAX: usize = 20;
/// Members of one list.
pub const LIST_MEMBERS_MAX: usize = 1000;
/// Characters of a description.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 500;
/// Domains that one domain administrator looks after.
pub const ADMINISTERED_DOMAINS_MAX: usize = 1000;
/// How often a change is tried when concurrent ones win.
const TRIES: usize = 10;
/// Accounts, names and addresses that are remembered: so many of each.
const CACHE_ENTRIES_MAX: usize = 10_000;

/// Why a change of the directory was refused.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("\"{0}\" exists already")]
    AlreadyExists(String),
    #[error("\"{0}\" does not exist")]
    NotFound(String),
    #[error("the name is not valid: {why}")]
    InvalidName { why: &'static str },
    /// The sentence says what uses it.
    #[error("{0}")]
    InUse(String),
    #[error("the code is wrong, or its time is over")]
    WrongCode,
    #[error(
        "who you are has to be shown once more: by a code of the second factor in the field One-Time-Code, or by the password"
    )]
    ConfirmationNeeded,
    #[error("the passkey can't be taken: {0}")]
    Passkey(#[from] PasskeyError),
    #[error(transparent)]
    WeakPassword(#[from] PolicyError),
    /// A named limit of this module is reached.
    #[error("there are too many: {0}")]
    TooMany(&'static str),
    #[error("only an administrator may do this")]
    Forbidden,
    /// Somebody else was faster: it is not what the caller has seen.
    #[error("it was changed meanwhile")]
    Changed,
    /// Of a request that is made once.
    #[error("this was done before")]
    DoneBefore,
    #[error("the idempotency key was used for another request")]
    AnotherRequest,
    /// The password could not be hashed at the moment.
    #[error("the server is busy; try again shortly")]
    Busy,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<store::engine::EngineError> for DirectoryError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

/// What the core remembers of the directory, and what logins are checked with.
#[derive(Debug)]
pub struct Directory {
    /// Counted up with every change of the directory, or of what is shared.
    generation: AtomicU64,
    /// Changes of this process wait for each other here, so that they don't run into conflicts.
    turn: tokio::sync::Mutex<()>,
    /// Salts of accounts that don't exist come from it.
    pub(crate) scram_key: Secret<[u8; KEY_OCTETS]>,
    pub(crate) hasher: PasswordHasher,
    pub(crate) rate: LoginRate,
    pub(crate) verified: VerifiedCache<Verified>,
    pub(crate) callers: Remembered<(AccountId, u64), Caller>,
    pub(crate) tokens: Remembered<TokenId, Option<Arc<read::Token>>>,
    accounts: Remembered<AccountId, Option<Arc<AccountRecord>>>,
    listed: Mutex<read::Listed>,
    logins: Remembered<String, Option<AccountId>>,
    recipients: Remembered<String, Arc<resolve::Resolved>>,
    domains: Remembered<String, Option<Arc<records::DomainRecord>>>,
    usage: allowance::Usage,
    pub(crate) externals: external::Externals,
}

/// Which credential a password turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub credential: u64,
    /// Milliseconds since 1970.
    pub expires: Option<i64>,
    pub scopes: Scopes,
    /// The password alone is not enough.
    pub has_second_factor: bool,
}

impl Directory {
    pub(crate) fn new(
        rng: &Arc<dyn Rng>,
        clock: &Arc<dyn Clock>,
        scram_key: Secret<[u8; KEY_OCTETS]>,
    ) -> Self {
        Self {
            generation: AtomicU64::new(0),
            turn: tokio::sync::Mutex::new(()),
            scram_key,
            hasher: PasswordHasher::new(rng.clone()),
            rate: LoginRate::new(LoginLimits::default(), clock.clone()),
            verified: VerifiedCache::new(&**rng, clock.clone()),
            callers: Remembered::new(),
            tokens: Remembered::new(),
            accounts: Remembered::new(),
            listed: Mutex::default(),
            logins: Remembered::new(),
            recipients: Remembered::new(),
            domains: Remembered::new(),
            usage: allowance::Usage::default(),
            externals: external::Externals::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Gives back what it takes to list all accounts.
    pub(crate) fn forget_list(&self) {
        *self.listed.lock() = None;
    }

    /// What is remembered counts no more.
    pub(crate) fn count_up(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// A bounded cache whose entries count while the directory's generation is the one they were made with.
pub(crate) struct Remembered<K, V>(Cache<K, (u64, V)>);

impl<K: Eq + std::hash::Hash, V: Clone> Remembered<K, V> {
    fn new() -> Self {
        Self(Cache::new(CACHE_ENTRIES_MAX))
    }

    pub(crate) fn get<Q>(&self, key: &Q, generation: u64) -> Option<V>
    where
        Q: std::hash::Hash + quick_cache::Equivalent<K> + ?Sized,
    {
        self.0
            .get(key)
            .filter(|(of, _)| *of == generation)
            .map(|(_, value)| value)
    }

    /// `generation`: as it was before what led to `value` was read.
    pub(crate) fn put(&self, key: K, generation: u64, value: V) {
        self.0.insert(key, (generation, value));
    }
}

impl<K, V> std::fmt::Debug for Remembered<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered(..)")
    }
}

/// The key of the counter that every change of the directory asserts and counts up.
pub(crate) const COUNTER: &str = "directory";

/// What the directory was when a change began to read it.
#[derive(Debug)]
struct Fence {
    key: Key,
    found: Option<bytes::Bytes>,
    next: u64,
}

impl Fence {
    fn assertion(&self) -> Assertion {
        match &self.found {
            Some(found) => Assertion::Equals(self.key.clone(), found.clone()),
            None => Assertion::Absent(self.key.clone()),
        }
    }
}

impl Core {
    /// Something that callers are made of has changed: the directory, or what is shared with whom.
    pub fn directory_changed(&self) {
        self.directory.count_up();
        if let Some(cluster) = &self.cluster {
            cluster.tell_directory();
        }
    }

    /// Other nodes find out by it that somebody sees more or less than before.
    pub(crate) fn count_sharing(&self, batch: &mut Batch) {
        batch.add(keys::meta(crate::cluster::SHARING), 1);
    }

    /// These accounts, or members of these groups, see more or less of others than before.
    pub(crate) fn sharing_changed(&self, concerned: &[AccountId]) {
        self.directory_changed();
        concerned
            .iter()
            .for_each(|account| self.bus.look_again(*account));
    }

    /// Counted up with whatever changes what callers may see.
    pub fn generation(&self) -> u64 {
        self.directory.generation()
    }

    /// Does a change again while concurrent ones win. `change` reads what it needs after its [`Fence`].
    async fn change_directory<T, F>(&self, change: impl Fn() -> F) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, DirectoryError>>,
    {
        let _turn = self.directory.turn.lock().await;
        for _ in 0..TRIES {
            let result = change().await;
            // Also after an error: with a database behind a network it may have happened.
            self.directory_changed();
            match result {
                Err(DirectoryError::Store(store::Error::Conflict)) => {}
                result => return result,
            }
        }
        Err(store::Error::Conflict.into())
    }

    async fn fence(&self) -> Result<Fence, store::Error> {
        let key = keys::meta(COUNTER);
        let found = self.engine.get(&key).await?;
        let next = match &found {
            Some(bytes) => decode_numbers::<1>(&key, bytes)?[0] + 1,
            None => 1,
        };
        Ok(Fence { key, found, next })
    }

    /// Makes `batch` a change of the directory: whoever read it before begins again.
    pub(crate) async fn count_directory(&self, batch: &mut Batch) -> Result<(), store::Error> {
        let fence = self.fence().await?;
        batch.assert(fence.assertion());
        batch.put(fence.key, numbers(&[fence.next]));
        Ok(())
    }

    /// Commits `batch` if nobody else has changed the directory since `fence`.
    async fn commit_directory(&self, fence: Fence, mut batch: Batch) -> Result<(), store::Error> {
        batch.assert(fence.assertion());
        batch.put(fence.key, numbers(&[fence.next]));
        Ok(self.engine.commit(batch).await?)
    }
}

fn check_description(description: &str) -> Result<(), DirectoryError> {
    let valid = description.chars().count() <= DESCRIPTION_CHARACTERS_MAX
        && !description.chars().any(char::is_control);
    valid.then_some(()).ok_or(DirectoryError::InvalidName {
        why: "a description is one line of at most 500 characters",
    })
}
