//! Directories beside the internal one, chosen by domain: who people are is asked there, what they have is kept here.
//!
//! Holds: a directory that doesn't answer refuses nobody and loses no mail: logins and recipients are put off. Its people have accounts here
//! like all others, made when they first log in or first get mail; what an account has of its own here (a password, app passwords, tokens)
//! goes on to count. A directory says nothing about domains that aren't its own. A token of others' opens mail, and nothing of administration.
//! Other half: `adapters/directory` asks; `auth::login` and `resolve` come here when nobody is found inside.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jmap_types::AccountId;
use quick_cache::sync::Cache;

use super::{
    AccountChange, AccountRecord, DESCRIPTION_CHARACTERS_MAX, DirectoryError, Grant, NewAccount,
    Verified,
    names::{self, AccountName, Address},
    records::{AccountKind, PASSWORD},
};
use crate::{
    Caller, Core, Role,
    admin::Terms,
    auth::{AuthError, Scopes, Secret, admission::has_second_factor, login::unavailable},
    clock::UtcMillis,
    inproc::deliver::RecipientError,
};

/// The number of the credential that a login has which an external directory has found right.
pub const EXTERNAL: u64 = 0;
/// What a token of others' opens: mail. The API and the pages ask for what is known here, and for the second factor of here.
pub(crate) const TOKEN_SCOPES: Scopes = Scopes::IMAP
    .union(Scopes::POP3)
    .union(Scopes::SUBMISSION)
    .union(Scopes::JMAP)
    .union(Scopes::SIEVE)
    .union(Scopes::VACATION);
/// Directories that are asked.
pub const DIRECTORIES_MAX: usize = 100;
/// How long it is remembered that a directory knows nobody by an address, and how many such addresses.
pub const NOBODY_FOR: Duration = Duration::from_secs(60);
const NOBODIES_MAX: usize = 10_000;
/// How long a token of others' that was good is taken without asking again, if it doesn't expire before that.
pub const TOKEN_FOR: Duration = Duration::from_secs(60);
const TOKENS_MAX: usize = 10_000;
/// How long a role is taken for what its directory says, without asking again.
pub const ROLE_FOR: Duration = Duration::from_secs(300);
const ROLES_MAX: usize = 10_000;
/// Octets of a token that is looked at.
pub const TOKEN_OCTETS_MAX: usize = 16 << 10;
/// Further addresses of one person.
pub const ALIASES_MAX: usize = 100;

/// Somebody, as a directory tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The address that the account is called by.
    pub address: String,
    /// What people call them. `None`: it isn't told.
    pub description: Option<String>,
    /// Further addresses. Those that somebody else has here are left to them.
    pub aliases: Vec<String>,
    /// Octets; 0: no limit. `None`: it isn't told.
    pub quota_octets: Option<u64>,
    /// `None`: it isn't told, and stays as it is here.
    pub role: Option<Role>,
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodToken {
    pub person: Person,
    /// `None`: it isn't told.
    pub expires: Option<UtcMillis>,
}

/// The directory can't be asked at the moment. The sentence is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Away(pub String);

/// A directory beside the internal one.
#[async_trait]
pub trait ExternalDirectory: Send + Sync + fmt::Debug + 'static {
    /// For logs.
    fn name(&self) -> &str;

    /// Who logs in so. `login`: an address of one of its domains. `None`: nobody, or the password is wrong.
    async fn check_password(
        &self,
        login: &Address,
        password: &Secret<String>,
    ) -> Result<Option<Person>, Away>;

    /// Whose address it is.
    async fn find(&self, address: &Address) -> Result<Option<Person>, Away>;

    /// Whether it says what roles its people have.
    fn tells_roles(&self) -> bool {
        false
    }

    /// Whose token it is. `None`: it is no good, or none of this directory's.
    async fn check_token(&self, token: &Secret<String>) -> Result<Option<GoodToken>, Away>;
}

/// A directory, and the domains that it is asked about: lower-case A-labels.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub directory: Arc<dyn ExternalDirectory>,
    pub domains: Vec<String>,
}

/// What a core has of external directories.
pub(crate) struct Externals {
    chosen: ArcSwap<Vec<Chosen>>,
    nobody: Cache<String, Instant>,
    /// By hash: whose it is, and until when that counts.
    tokens: Cache<[u8; 32], (AccountId, i64)>,
    /// Whose role was asked about, and until when that counts.
    roles: Cache<AccountId, Instant>,
}

impl Default for Externals {
    fn default() -> Self {
        Self {
            chosen: ArcSwap::default(),
            nobody: Cache::new(NOBODIES_MAX),
            tokens: Cache::new(TOKENS_MAX),
            roles: Cache::new(ROLES_MAX),
        }
    }
}

impl fmt::Debug for Externals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Externals")
            .field("chosen", &self.chosen.load())
            .finish_non_exhaustive()
    }
}

/// Somebody who was found outside, with the account that they have here.
pub(crate) struct Admitted {
    pub id: AccountId,
    pub record: Arc<AccountRecord>,
}

impl Core {
    /// The directories that are asked, from now on.
    pub fn use_directories(&self, chosen: Vec<Chosen>) {
        let externals = &self.directory.externals;
        externals.nobody.clear();
        externals.tokens.clear();
        externals.roles.clear();
        externals.chosen.store(Arc::new(chosen));
        self.directory.count_up();
    }

    fn directory_of(&self, domain: &str) -> Option<Chosen> {
        let chosen = self.directory.externals.chosen.load();
        let mut all = chosen.iter();
        all.find(|of| of.domains.iter().any(|of| of == domain))
            .cloned()
    }

    /// Whether somebody of this name may be known outside.
    pub(crate) fn may_be_outside(&self, name: &str) -> bool {
        let domain = name.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| self.directory_of(domain).is_some())
    }

    /// Asks the directory of the login's domain, if it has one, and nobody inside has a password by this name.
    pub(crate) async fn password_outside(
        &self,
        login: &str,
        password: &Secret<String>,
        inside: Option<AccountId>,
    ) -> Result<Option<(Admitted, Verified)>, AuthError> {
        let Ok(AccountName::Address(address)) = names::account(login) else {
            return Ok(None);
        };
        let Some(chosen) = self.directory_of(&address.domain) else {
            return Ok(None);
        };
        if let Some(id) = inside
            && self.has_password(id).await?
        {
            return Ok(None);
        }
        // RFC 4513 §5.1.2: a bind without a password proves nothing, and succeeds.
        if password.expose().is_empty() {
            return Ok(None);
        }
        let found = chosen.directory.check_password(&address, password).await;
        let Some(person) = found.map_err(|away| is_away(&chosen, &away))? else {
            return Ok(None);
        };
        let admitted = self.admit_person(&chosen, person).await?;
        let Some(admitted) = admitted else {
            return Ok(None);
        };
        // By another address than it is called.
        if self.has_password(admitted.id).await? {
            return Ok(None);
        }
        let own = self.credential_records(admitted.id).await;
        let verified = Verified {
            credential: EXTERNAL,
            expires: None,
            scopes: Scopes::ALL,
            has_second_factor: has_second_factor(&own.map_err(unavailable)?),
        };
        let generation = admitted.record.generation;
        if admitted.record.name == login {
            let cache = &self.directory.verified;
            cache.put(login, password, generation, verified);
        }
        Ok(Some((admitted, verified)))
    }

    /// Whether a password was set here, which is what counts then.
    async fn has_password(&self, id: AccountId) -> Result<bool, AuthError> {
        let own = self.credential_records(id).await.map_err(unavailable)?;
        Ok(own.iter().any(|(number, _)| *number == PASSWORD))
    }

    /// Whether a token of others' is good for an account: one that logs in with a password and a code of here has more to show.
    pub(crate) async fn takes_tokens_of_others(&self, id: AccountId) -> Result<bool, AuthError> {
        let own = self.credential_records(id).await.map_err(unavailable)?;
        let has_password = own.iter().any(|(number, _)| *number == PASSWORD);
        Ok(!(has_password && has_second_factor(&own)))
    }

    /// Asks all directories whose token it is.
    pub(crate) async fn token_outside(
        &self,
        token: &Secret<String>,
    ) -> Result<Option<Admitted>, AuthError> {
        let chosen = self.directory.externals.chosen.load_full();
        if chosen.is_empty() || token.expose().len() > TOKEN_OCTETS_MAX {
            return Ok(None);
        }
        let hash = *blake3::hash(token.expose().as_bytes()).as_bytes();
        let now = self.clock.now().0;
        if let Some((id, until)) = self.directory.externals.tokens.get(&hash)
            && now < until
            && let Some(record) = self.account_record(id).await.map_err(unavailable)?
        {
            return Ok(Some(Admitted { id, record }));
        }
        let mut away = None;
        for of in chosen.iter() {
            let good = match of.directory.check_token(token).await {
                Ok(Some(good)) => good,
                Ok(None) => continue,
                Err(error) => {
                    away = Some(is_away(of, &error));
                    continue;
                }
            };
            let expires = good.expires.map_or(i64::MAX, |expires| expires.0);
            if now >= expires {
                return Ok(None);
            }
            let admitted = self.admit_person(of, good.person).await?;
            if let Some(admitted) = &admitted {
                let most = i64::try_from(TOKEN_FOR.as_millis()).unwrap_or(i64::MAX);
                let until = expires.min(now.saturating_add(most));
                let tokens = &self.directory.externals.tokens;
                tokens.insert(hash, (admitted.id, until));
            }
            return Ok(admitted);
        }
        // Another one might have known it.
        away.map_or(Ok(None), Err)
    }

    /// The record of somebody who comes with what they have here. A role that the directory of their domain gave them is theirs as long as
    /// that says so: it isn't asked for app passwords and tokens, and who has gone there would keep it.
    pub(crate) async fn with_role_of_now(
        &self,
        id: AccountId,
        record: Arc<AccountRecord>,
    ) -> Result<Arc<AccountRecord>, AuthError> {
        // Which domains somebody looks after is said here alone.
        if matches!(record.role, Role::User | Role::DomainAdministrator) {
            return Ok(record);
        }
        let Ok(AccountName::Address(address)) = names::account(&record.name) else {
            return Ok(record);
        };
        let chosen = self.directory_of(&address.domain);
        let Some(chosen) = chosen.filter(|of| of.directory.tells_roles()) else {
            return Ok(record);
        };
        let is_theirs = match record.role_from_outside {
            Some(is) => is,
            // Of the time before it was kept: whoever has a password here is known here.
            None => !self.has_password(id).await?,
        };
        let now = self.clock.monotonic();
        let roles = &self.directory.externals.roles;
        if !is_theirs || roles.get(&id).is_some_and(|until| now < until) {
            return Ok(record);
        }
        let found = chosen.directory.find(&address).await;
        let found = found.map_err(|away| is_away(&chosen, &away))?;
        let role = found.map_or(Role::User, |person| person.role.unwrap_or(record.role));
        if role != record.role {
            tracing::warn!(
                directory = chosen.directory.name(),
                account = record.name,
                role = role.name(),
                "a role is not what its directory says any more"
            );
        }
        let person = Person {
            role: Some(role),
            ..Person::default()
        };
        let changed = self.bring_up_to_date(&chosen, id, &record, &person).await;
        changed.map_err(|error| {
            tracing::error!(account = record.name, %error, "a role can't be changed to what its directory says");
            AuthError::Unavailable
        })?;
        roles.insert(id, now + ROLE_FOR);
        let record = self.account_record(id).await.map_err(unavailable)?;
        record.ok_or(AuthError::Invalid)
    }

    /// Makes sure that whoever gets mail by this address has an account, if the directory of its domain knows them.
    pub(crate) async fn recipient_outside(&self, address: &str) -> Result<(), RecipientError> {
        if self.directory.externals.chosen.load().is_empty() {
            return Ok(());
        }
        let failed = |error: store::Error| {
            tracing::error!(%error, "a recipient could not be looked up");
            RecipientError::Temporary
        };
        let Some((local, domain)) = address.rsplit_once('@') else {
            return Ok(());
        };
        let (Ok(local), Ok(domain)) = (names::local_part(local), names::domain(domain)) else {
            return Ok(());
        };
        let canonical = self.canonical_domain(domain).await.map_err(failed)?;
        let Some((domain, _)) = canonical else {
            return Ok(());
        };
        let Some(chosen) = self.directory_of(&domain) else {
            return Ok(());
        };
        let base = super::resolve::without_detail(&local);
        let locals: Vec<&str> = std::iter::once(&*local).chain(base).collect();
        let addresses: Vec<Address> = locals
            .into_iter()
            .map(|local| Address {
                local: local.to_owned(),
                domain: domain.clone(),
            })
            .collect();
        for address in &addresses {
            let inside = self.address_record(&address.to_string()).await;
            if inside.map_err(failed)?.is_some() {
                return Ok(());
            }
        }
        let now = self.clock.monotonic();
        for address in addresses {
            let key = address.to_string();
            let nobody = &self.directory.externals.nobody;
            if nobody.get(&key).is_some_and(|until| now < until) {
                continue;
            }
            let found = chosen.directory.find(&address).await.map_err(|away| {
                is_away(&chosen, &away);
                RecipientError::Temporary
            })?;
            match found {
                Some(person) => {
                    let admitted = self.admit_person(&chosen, person).await;
                    let admitted = admitted.map_err(|_| RecipientError::Temporary)?;
                    if admitted.is_some() {
                        return Ok(());
                    }
                }
                None => nobody.insert(key, now + NOBODY_FOR),
            }
        }
        Ok(())
    }

    /// The account of somebody who is known outside, with what is told of them; it is made if it isn't there. `None`: they may have none here.
    async fn admit_person(
        &self,
        chosen: &Chosen,
        person: Person,
    ) -> Result<Option<Admitted>, AuthError> {
        let directory = chosen.directory.name();
        let Ok(address) = names::address(&person.address) else {
            tracing::warn!(directory, address = ?person.address, "a directory has somebody whose address is none");
            return Ok(None);
        };
        if !chosen.domains.contains(&address.domain) {
            tracing::warn!(directory, %address, "a directory has somebody of a domain that isn't its own");
            return Ok(None);
        }
        let name = address.to_string();
        let id = match self.account_of_login(&name).await.map_err(unavailable)? {
            Some(id) => id,
            None if self.has_address(&name).await.map_err(unavailable)? => {
                match self.called_otherwise(&name, &person).await {
                    Ok(Some(id)) => id,
                    // Whoever has the address here is somebody else.
                    Ok(None) => {
                        tracing::warn!(directory, %address, "somebody of a directory has an address that is another account's here");
                        return Ok(None);
                    }
                    Err(error) => return Err(unavailable(error)),
                }
            }
            None => match self.make_account(&name, &person).await {
                Ok(id) => id,
                Err(error) => {
                    tracing::warn!(directory, %address, %error, "somebody of a directory gets no account");
                    return match error {
                        DirectoryError::Store(_) | DirectoryError::Busy => {
                            Err(AuthError::Unavailable)
                        }
                        _ => Ok(None),
                    };
                }
            },
        };
        let record = self.account_record(id).await.map_err(unavailable)?;
        let Some(record) = record.filter(|record| record.kind == AccountKind::Person) else {
            return Ok(None);
        };
        if let Err(error) = self.bring_up_to_date(chosen, id, &record, &person).await {
            // Whoever was found has what they had.
            tracing::warn!(directory, %address, %error, "an account is not what its directory says");
        }
        let record = self.account_record(id).await.map_err(unavailable)?;
        Ok(record.map(|record| Admitted { id, record }))
    }

    /// The account that has an address, if it is called by another one of the same person. RFC 4511 §4.1.7: values have no order, so the
    /// first one may be another one each time.
    async fn called_otherwise(
        &self,
        address: &str,
        person: &Person,
    ) -> Result<Option<AccountId>, store::Error> {
        let Some(known) = self.address_record(address).await? else {
            return Ok(None);
        };
        let [target] = known.targets[..] else {
            return Ok(None);
        };
        let id = AccountId::new(target);
        let Some(record) = self.account_record(id).await? else {
            return Ok(None);
        };
        let mut told = person.aliases.iter().take(ALIASES_MAX);
        let is_told = told.any(|told| {
            let told = names::address(told).map(|of| of.to_string());
            told.is_ok_and(|told| told == record.name)
        });
        Ok(is_told.then_some(id))
    }

    async fn has_address(&self, address: &str) -> Result<bool, store::Error> {
        Ok(self.address_record(address).await?.is_some())
    }

    async fn make_account(&self, name: &str, person: &Person) -> Result<AccountId, DirectoryError> {
        let new = NewAccount {
            description: described(person).unwrap_or_default(),
            quota_octets: person.quota_octets,
            ..NewAccount::person(name, None)
        };
        match self.add_account(&Caller::server(), new).await {
            Ok(account) => {
                tracing::info!(account = name, "account made, as its directory knows it");
                Ok(account.id)
            }
            // Somebody has logged in at the same time.
            Err(error @ DirectoryError::AlreadyExists(_)) => {
                let there = self.account_of_login(name).await?;
                there.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn bring_up_to_date(
        &self,
        chosen: &Chosen,
        id: AccountId,
        record: &AccountRecord,
        person: &Person,
    ) -> Result<(), DirectoryError> {
        let server = &Caller::server();
        let mut change = AccountChange::default();
        let description = described(person).filter(|of| *of != record.description);
        let quota = person
            .quota_octets
            .filter(|of| Some(*of) != record.quota_octets);
        // Which domains somebody looks after is said here alone.
        let is_noted = record.role_from_outside == Some(true);
        let role = person.role.filter(|role| match role {
            Role::DomainAdministrator => false,
            // Who looks after domains here is a plain user there.
            Role::User => !matches!(record.role, Role::User | Role::DomainAdministrator),
            Role::Administrator | Role::HelpDesk => *role != record.role || !is_noted,
        });
        let is_other = description.is_some() || quota.is_some() || role.is_some();
        change.description = description;
        change.quota_octets = quota.map(Some);
        change.grant_from_outside = true;
        change.grant = role.map(|role| Grant {
            role,
            domains: Vec::new(),
        });
        if is_other {
            self.change_account_on(server, id, change, &Terms::default())
                .await?;
        }
        for alias in person.aliases.iter().take(ALIASES_MAX) {
            let Ok(address) = names::address(alias) else {
                continue;
            };
            let text = address.to_string();
            let is_ours = chosen.domains.contains(&address.domain);
            if !is_ours || record.addresses.contains(&text) {
                continue;
            }
            match self.add_alias(server, id, &text).await {
                Ok(_) => {}
                Err(DirectoryError::AlreadyExists(_)) => {
                    tracing::debug!(alias = text, "an alias of a directory is somebody else's");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One line, as long as one may be.
fn described(person: &Person) -> Option<String> {
    let text = person.description.as_ref()?;
    let plain = text.chars().filter(|of| !of.is_control());
    Some(plain.take(DESCRIPTION_CHARACTERS_MAX).collect())
}

fn is_away(chosen: &Chosen, away: &Away) -> AuthError {
    tracing::error!(directory = chosen.directory.name(), error = %away, "a directory can't be asked");
    AuthError::Unavailable
}
