//! People of an LDAP server (RFC 4511): found by a search or by a name that is made of their address; a password is right if a bind with
//! it works (RFC 4513 §5.1.3).
//!
//! Holds: no bind goes out without a password, which would succeed (RFC 4513 §5.1.2); a connection over which somebody has bound is
//! searched by nobody else; two entries for one address are nobody.
//! Other half: `template`, which fills in what a client has said.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jmap_core::{
    Role,
    auth::Secret,
    directory::{
        external::{Away, ExternalDirectory, GoodToken, Person},
        names::Address,
    },
};
use ldap3::{LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::Semaphore;

use crate::template::Template;

/// Values of one attribute that are looked at.
const VALUES_MAX: usize = 1000;

/// How a server is asked.
#[derive(Clone)]
pub struct LdapConfig {
    /// For logs.
    pub name: String,
    /// `ldap://host:port` or `ldaps://host:port`.
    pub url: String,
    pub start_tls: bool,
    pub tls: Arc<ClientConfig>,
    /// Who searches, and with which password. `None`: anonymous.
    pub bind: Option<(String, Secret<String>)>,
    /// The name of a person's entry. `None`: it is searched for.
    pub user_dn: Option<Template>,
    /// Where it is searched, and for what.
    pub base: String,
    pub filter: Template,
    pub attributes: Attributes,
    /// Roles by the names of groups, in lower case. Empty: the directory doesn't tell roles.
    pub roles: BTreeMap<String, Role>,
    pub timeout: Duration,
    /// Connections at a time, for searches and for logins each.
    pub connections: usize,
}

impl std::fmt::Debug for LdapConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LdapConfig")
            .field("name", &self.name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What attributes are called there. `None`: there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Addresses: the first is what the account is called.
    pub address: String,
    pub description: Option<String>,
    /// Further addresses.
    pub aliases: Option<String>,
    /// Octets.
    pub quota: Option<String>,
    /// The names of groups.
    pub groups: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Ldap {
    config: LdapConfig,
    searching: Pool,
    logging_in: Pool,
}

/// Connections that are open.
#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<ldap3::Ldap>>,
    places: Semaphore,
}

impl Pool {
    fn new(places: usize) -> Pool {
        Pool {
            idle: Mutex::default(),
            places: Semaphore::new(places.max(1)),
        }
    }
}

/// An entry that was found.
struct Found {
    dn: String,
    entry: SearchEntry,
}

impl Ldap {
    pub fn new(config: LdapConfig) -> Ldap {
        Ldap {
            searching: Pool::new(config.connections),
            logging_in: Pool::new(config.connections),
            config,
        }
    }

    async fn connect(&self) -> Result<ldap3::Ldap, Away> {
        let config = &self.config;
        let settings = LdapConnSettings::new()
            .set_conn_timeout(config.timeout)
            .set_starttls(config.start_tls)
            .set_config(config.tls.clone());
        let connecting = LdapConnAsync::with_settings(settings, &config.url);
        let connected = tokio::time::timeout(config.timeout, connecting).await;
        let (connection, ldap) = connected
            .map_err(|_| Away("no connection in time".to_owned()))?
            .map_err(away)?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to a directory has ended");
            }
        });
        Ok(ldap)
    }

    /// Does something over a connection of the pool; over a new one, if the one that was open has died.
    async fn over<T, F>(&self, pool: &Pool, work: impl Fn(ldap3::Ldap) -> F) -> Result<T, Away>
    where
        F: Future<Output = Result<T, LdapError>>,
    {
        let waiting = tokio::time::timeout(self.config.timeout, pool.places.acquire());
        let _place = waiting
            .await
            .map_err(|_| Away("too many ask at the same time".to_owned()))?
            .map_err(|error| Away(error.to_string()))?;
        let kept = pool.idle.lock().pop();
        if let Some(mut ldap) = kept
            && !ldap.is_closed()
            && let Ok(done) = work(ldap.clone()).await
        {
            pool.idle.lock().push(ldap);
            return Ok(done);
        }
        let ldap = self.connect().await?;
        let done = work(ldap.clone()).await.map_err(away)?;
        pool.idle.lock().push(ldap);
        Ok(done)
    }

    /// Reads the entry of somebody, as whoever searches.
    async fn look_up(&self, address: &Address) -> Result<Option<Found>, Away> {
        let config = &self.config;
        let (base, scope, filter) = match &config.user_dn {
            Some(name) => (
                name.name(address),
                Scope::Base,
                "(objectClass=*)".to_owned(),
            ),
            None => (
                config.base.clone(),
                Scope::Subtree,
                config.filter.filter(address),
            ),
        };
        let (base, filter) = (&base, &filter);
        let found = self.over(&self.searching, |mut ldap| async move {
            if let Some((name, password)) = &config.bind {
                ldap.with_timeout(config.timeout);
                ldap.simple_bind(name, password.expose()).await?.success()?;
            }
            self.search(&mut ldap, base, scope, filter).await
        });
        found.await
    }

    async fn search(
        &self,
        ldap: &mut ldap3::Ldap,
        base: &str,
        scope: Scope,
        filter: &str,
    ) -> Result<Option<Found>, LdapError> {
        const NO_SUCH_OBJECT: u32 = 32;
        const SIZE_LIMIT_EXCEEDED: u32 = 4;
        let options = SearchOptions::new().sizelimit(2);
        let wanted = self.config.attributes.names();
        ldap.with_timeout(self.config.timeout)
            .with_search_options(options);
        let result = ldap.search(base, scope, filter, wanted).await?;
        let entries: Vec<_> = result
            .0
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate())
            .collect();
        match result.1.rc {
            0 | SIZE_LIMIT_EXCEEDED => {}
            NO_SUCH_OBJECT if scope == Scope::Base => return Ok(None),
            _ => return Err(LdapError::from(result.1)),
        }
        let directory = &self.config.name;
        let mut entries = entries.into_iter();
        let Some(entry) = entries.next() else {
            return Ok(None);
        };
        if entries.next().is_some() {
            tracing::warn!(%directory, filter, "there are several entries for one address, and none counts");
            return Ok(None);
        }
        let entry = SearchEntry::construct(entry);
        Ok(Some(Found {
            dn: entry.dn.clone(),
            entry,
        }))
    }

    /// Whether somebody can bind so.
    async fn bind(&self, dn: &str, password: &Secret<String>) -> Result<bool, Away> {
        // RFC 4511 §4.1.9: inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform, and what a
        // name that isn't there, or none, is answered with.
        const REFUSED: [u32; 6] = [32, 34, 48, 49, 50, 53];
        if password.expose().is_empty() || dn.is_empty() {
            return Ok(false);
        }
        let timeout = self.config.timeout;
        let bound = self.over(&self.logging_in, |mut ldap| async move {
            ldap.with_timeout(timeout);
            let result = ldap.simple_bind(dn, password.expose()).await?;
            match result.rc {
                0 => Ok(true),
                rc if REFUSED.contains(&rc) => Ok(false),
                _ => Err(LdapError::from(result)),
            }
        });
        bound.await
    }

    fn person(&self, address: &Address, found: &Found) -> Person {
        let attributes = &self.config.attributes;
        let values = |name: &str| -> Vec<String> {
            let of = found.entry.attrs.iter();
            let mut of = of.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let values = of.next().map(|(_, values)| values.as_slice());
            let values = values.unwrap_or_default().iter();
            values.take(VALUES_MAX).cloned().collect()
        };
        let of = |name: &Option<String>| name.as_deref().map(values).unwrap_or_default();
        let mut addresses = values(&attributes.address).into_iter();
        let first = addresses.next().unwrap_or_else(|| address.to_string());
        let mut aliases: Vec<String> = addresses.collect();
        aliases.extend(of(&attributes.aliases));
        // Some servers say what kind of address it is.
        for alias in &mut aliases {
            let plain = alias.strip_prefix("smtp:").or(alias.strip_prefix("SMTP:"));
            if let Some(plain) = plain {
                *alias = plain.to_owned();
            }
        }
        Person {
            address: first,
            description: of(&attributes.description).into_iter().next(),
            aliases,
            quota_octets: of(&attributes.quota)
                .first()
                .and_then(|text| text.trim().parse().ok()),
            role: self.role(&of(&attributes.groups)),
        }
    }

    /// The one that may most, of the groups that somebody is in; a plain user, if they are in none.
    fn role(&self, groups: &[String]) -> Option<Role> {
        let roles = &self.config.roles;
        if roles.is_empty() {
            return None;
        }
        let mut found = groups
            .iter()
            .filter_map(|group| roles.get(&group.to_lowercase()).copied());
        let rank = |role: &Role| match role {
            Role::Administrator => 2,
            Role::HelpDesk => 1,
            Role::DomainAdministrator | Role::User => 0,
        };
        let first = found.next().unwrap_or(Role::User);
        let best = found.fold(first, |best, role| {
            if rank(&role) > rank(&best) {
                role
            } else {
                best
            }
        });
        Some(best)
    }
}

impl Attributes {
    fn names(&self) -> Vec<&str> {
        let others = [&self.description, &self.aliases, &self.quota, &self.groups];
        let others = others.into_iter().filter_map(|of| of.as_deref());
        std::iter::once(&*self.address).chain(others).collect()
    }
}

fn away(error: LdapError) -> Away {
    Away(error.to_string())
}

#[async_trait]
impl ExternalDirectory for Ldap {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn check_password(
        &self,
        login: &Address,
        password: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        // Where the name of the entry is known, the bind tells whether there is one; who searches may see less than that.
        if let Some(name) = &self.config.user_dn {
            let dn = name.name(login);
            if !self.bind(&dn, password).await? {
                return Ok(None);
            }
            let found = self.look_up(login).await?;
            return Ok(Some(match found {
                Some(found) => self.person(login, &found),
                None => Person {
                    address: login.to_string(),
                    ..Person::default()
                },
            }));
        }
        let Some(found) = self.look_up(login).await? else {
            return Ok(None);
        };
        let is_right = self.bind(&found.dn, password).await?;
        Ok(is_right.then(|| self.person(login, &found)))
    }

    async fn find(&self, address: &Address) -> Result<Option<Person>, Away> {
        let found = self.look_up(address).await?;
        Ok(found.map(|found| self.person(address, &found)))
    }

    fn tells_roles(&self) -> bool {
        !self.config.roles.is_empty()
    }

    async fn check_token(&self, _token: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        Ok(None)
    }
}
