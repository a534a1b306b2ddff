//! Directories beside the internal one, as they are configured.
//!
//! Other half: the crate `directory`, which asks them.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use directory::{Attributes, Introspection, Ldap, LdapConfig, Oidc, OidcConfig, Template};
use jmap_core::{
    auth::Secret,
    directory::{
        external::{Away, Chosen, ExternalDirectory, GoodToken, Person},
        names::{self, Address},
    },
};

use crate::{
    config::{Config, Directory, DirectoryKind, NamedFile},
    delivery,
    wire::clock,
};

/// Those that are configured. Errors: a sentence for the operator.
pub fn chosen(config: &Config) -> Result<Vec<Chosen>, String> {
    let of = |of: &Directory| {
        let directory =
            of_kind(of).map_err(|why| format!("login.directory \"{}\": {why}", of.name))?;
        Ok(at_its_domains(of, directory))
    };
    config.login.directory.iter().map(of).collect()
}

/// The same. One whose files can't be read is away until they can: without it, its people would be unknown here.
pub fn chosen_or_away(config: &Config) -> Vec<Chosen> {
    let of = |of: &Directory| {
        let directory = of_kind(of).unwrap_or_else(|why| {
            tracing::error!(directory = of.name, %why, "a directory can't be asked until this is mended");
            Arc::new(Waiting {
                of: of.clone(),
                made: OnceLock::new(),
            })
        });
        at_its_domains(of, directory)
    };
    config.login.directory.iter().map(of).collect()
}

fn at_its_domains(of: &Directory, directory: Arc<dyn ExternalDirectory>) -> Chosen {
    let domains = of.domains.iter();
    Chosen {
        directory,
        domains: domains
            .filter_map(|name| names::domain(name).ok())
            .collect(),
    }
}

/// A directory whose files could not be read. Whoever asks it has them looked at again.
#[derive(Debug)]
struct Waiting {
    of: Directory,
    made: OnceLock<Arc<dyn ExternalDirectory>>,
}

impl Waiting {
    fn directory(&self) -> Result<&Arc<dyn ExternalDirectory>, Away> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = of_kind(&self.of).map_err(Away)?;
        Ok(self.made.get_or_init(|| made))
    }
}

#[async_trait]
impl ExternalDirectory for Waiting {
    fn name(&self) -> &str {
        &self.of.name
    }

    async fn check_password(
        &self,
        login: &Address,
        password: &Secret<String>,
    ) -> Result<Option<Person>, Away> {
        self.directory()?.check_password(login, password).await
    }

    async fn find(&self, address: &Address) -> Result<Option<Person>, Away> {
        self.directory()?.find(address).await
    }

    fn tells_roles(&self) -> bool {
        match self.directory() {
            Ok(directory) => directory.tells_roles(),
            // It may: who is asked about is away.
            Err(_) => true,
        }
    }

    async fn check_token(&self, token: &Secret<String>) -> Result<Option<GoodToken>, Away> {
        self.directory()?.check_token(token).await
    }
}

fn of_kind(of: &Directory) -> Result<Arc<dyn ExternalDirectory>, String> {
    let unread =
        |file: &NamedFile, error: std::io::Error| format!("{}: {error}", file.path().display());
    let ca_file = match &of.ca_file {
        Some(file) => Some(file.to_read().map_err(|error| unread(file, error))?),
        None => None,
    };
    let tls = directory::tls(ca_file).map_err(|error| error.to_string())?;
    let secret = |file: &NamedFile| {
        delivery::password_of(file)
            .map(|secret| Secret::new(secret.expose().clone()))
            .map_err(|error| unread(file, error))
    };
    let template = |text: &str| -> Result<Template, String> {
        text.parse()
            .map_err(|error: directory::TemplateError| error.to_string())
    };
    match of.kind {
        DirectoryKind::Ldap => {
            let bind = match (&of.bind_dn, &of.bind_password_file) {
                (Some(name), Some(file)) => Some((name.clone(), secret(file)?)),
                _ => None,
            };
            let user_dn = of.user_dn.as_deref().map(template).transpose()?;
            // Without a search its filter is never used.
            let filter = of.filter.as_deref().unwrap_or("(mail={address})");
            let config = LdapConfig {
                name: of.name.clone(),
                url: of.url.clone().unwrap_or_default(),
                start_tls: of.start_tls,
                tls,
                bind,
                user_dn,
                base: of.base.clone().unwrap_or_default(),
                filter: template(filter)?,
                attributes: Attributes {
                    address: of.address_attribute.clone(),
                    description: of.name_attribute.clone(),
                    aliases: of.alias_attribute.clone(),
                    quota: of.quota_attribute.clone(),
                    groups: of.group_attribute.clone(),
                },
                roles: of.roles().map_err(|(_, why)| why)?,
                timeout: of.timeout.0,
                connections: of.connections,
            };
            Ok(Arc::new(Ldap::new(config)))
        }
        DirectoryKind::Oidc => {
            let issuer = of.issuer.clone().unwrap_or_default();
            directory::check_address(&issuer).map_err(|error| error.to_string())?;
            let introspection = match (&of.client_id, &of.client_secret_file) {
                (Some(client), Some(file)) => Some(Introspection {
                    client: client.clone(),
                    secret: secret(file)?,
                }),
                _ => None,
            };
            let config = OidcConfig {
                name: of.name.clone(),
                issuer,
                audience: of.audience.clone().unwrap_or_default(),
                introspection,
                address_claim: of.address_claim.clone(),
                description_claim: of.name_claim.clone(),
                tls,
                timeout: of.timeout.0,
            };
            Ok(Arc::new(Oidc::new(config, clock())))
        }
    }
}
