//! Directories beside the internal one.
//!
//! Holds: each has what its kind needs, and nothing of another kind; no password goes out unencrypted, but on this machine.
//! Other half: `crate::directories`, which asks them.

use std::{collections::BTreeMap, net::IpAddr};

use jmap_core::{
    Role,
    directory::{external::DIRECTORIES_MAX, names},
};
use serde::{Deserialize, Serialize};

use super::{named_file::NamedFile, values::Span};

/// The name of the setting in errors.
pub const DIRECTORY: &str = "login.directory";

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Login {
    pub directory: Vec<Directory>,
}

/// A directory, and the domains that it is asked about.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Directory {
    /// For logs.
    pub name: String,
    pub kind: DirectoryKind,
    pub domains: Vec<String>,
    /// Certificates that it is trusted by, in place of the system's.
    pub ca_file: Option<NamedFile>,
    #[serde(default = "Directory::default_timeout")]
    pub timeout: Span,
    /// LDAP: `ldap://HOST:PORT` or `ldaps://HOST:PORT`.
    pub url: Option<String>,
    #[serde(default)]
    pub start_tls: bool,
    pub bind_dn: Option<String>,
    pub bind_password_file: Option<NamedFile>,
    pub user_dn: Option<String>,
    pub base: Option<String>,
    pub filter: Option<String>,
    #[serde(default = "Directory::default_address")]
    pub address_attribute: String,
    pub name_attribute: Option<String>,
    pub alias_attribute: Option<String>,
    pub quota_attribute: Option<String>,
    pub group_attribute: Option<String>,
    /// Roles by the names of groups.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    #[serde(default = "Directory::default_connections")]
    pub connections: usize,
    /// OpenID Connect: as the provider calls itself.
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// Who asks about tokens; without, they are looked at here.
    pub client_id: Option<String>,
    pub client_secret_file: Option<NamedFile>,
    #[serde(default = "Directory::default_address_claim")]
    pub address_claim: String,
    pub name_claim: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectoryKind {
    Ldap,
    Oidc,
}

type Fault = (&'static str, String);

impl Directory {
    fn default_timeout() -> Span {
        Span::seconds(5)
    }

    fn default_address() -> String {
        "mail".to_owned()
    }

    fn default_address_claim() -> String {
        "email".to_owned()
    }

    fn default_connections() -> usize {
        4
    }

    /// Roles by the names of groups, in lower case.
    pub fn roles(&self) -> Result<BTreeMap<String, Role>, Fault> {
        let role = |(group, name): (&String, &String)| {
            let role = Role::from_name(name).filter(|role| *role != Role::DomainAdministrator);
            let role = role.ok_or_else(|| {
                self.fault(&format!(
                    "\"{name}\" is no role that a directory gives: there are administrator, help-desk and user"
                ))
            })?;
            Ok((group.to_lowercase(), role))
        };
        self.roles.iter().map(role).collect()
    }

    pub fn fault(&self, why: &str) -> Fault {
        (DIRECTORY, format!("\"{}\": {why}", self.name))
    }

    fn check(&self) -> Result<(), Fault> {
        if self.domains.is_empty() {
            return Err(self.fault("it has to be asked about some domain"));
        }
        for domain in &self.domains {
            let stored = names::domain(domain);
            if stored.is_err() {
                return Err(self.fault(&format!("\"{domain}\" is no domain")));
            }
        }
        if self.timeout.0.is_zero() || !(1..=1000).contains(&self.connections) {
            return Err(self.fault(
                "timeout and connections can't be 0, and there are at most 1000 connections",
            ));
        }
        self.roles()?;
        match self.kind {
            DirectoryKind::Ldap => self.check_ldap(),
            DirectoryKind::Oidc => self.check_oidc(),
        }
    }

    fn check_ldap(&self) -> Result<(), Fault> {
        let of_others = [
            ("issuer", self.issuer.is_some()),
            ("audience", self.audience.is_some()),
            ("client-id", self.client_id.is_some()),
            ("client-secret-file", self.client_secret_file.is_some()),
            ("name-claim", self.name_claim.is_some()),
        ];
        self.check_others(&of_others)?;
        let Some(url) = &self.url else {
            return Err(self.fault("it needs a url"));
        };
        let (is_tls, place) = match (url.strip_prefix("ldaps://"), url.strip_prefix("ldap://")) {
            (Some(place), _) => (true, place),
            (_, Some(place)) => (self.start_tls, place),
            _ => return Err(self.fault("the url begins with ldap:// or ldaps://")),
        };
        let place = place.split('/').next().unwrap_or_default();
        let host = match place.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => place.split(':').next().unwrap_or_default(),
        };
        let address = host.parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if host.is_empty() {
            return Err(self.fault("the url has no host"));
        }
        if !is_tls && !is_here {
            return Err(
                self.fault("passwords would go out unencrypted: use ldaps://, or start-tls = true")
            );
        }
        if self.start_tls && url.starts_with("ldaps://") {
            return Err(self.fault("start-tls is for ldap://"));
        }
        if self.user_dn.is_none() && (self.base.is_none() || self.filter.is_none()) {
            return Err(self.fault("it needs base and filter, or user-dn"));
        }
        if self.bind_dn.is_some() != self.bind_password_file.is_some() {
            return Err(self.fault("bind-dn and bind-password-file belong together"));
        }
        if !self.roles.is_empty() && self.group_attribute.is_none() {
            return Err(self.fault("roles need group-attribute"));
        }
        Ok(())
    }

    fn check_oidc(&self) -> Result<(), Fault> {
        let of_others = [
            ("url", self.url.is_some()),
            ("start-tls", self.start_tls),
            ("bind-dn", self.bind_dn.is_some()),
            ("bind-password-file", self.bind_password_file.is_some()),
            ("user-dn", self.user_dn.is_some()),
            ("base", self.base.is_some()),
            ("filter", self.filter.is_some()),
            ("roles", !self.roles.is_empty()),
        ];
        self.check_others(&of_others)?;
        if self.issuer.is_none() || self.audience.is_none() {
            return Err(self.fault("it needs issuer and audience"));
        }
        if self.client_id.is_some() != self.client_secret_file.is_some() {
            return Err(self.fault("client-id and client-secret-file belong together"));
        }
        Ok(())
    }

    fn check_others(&self, keys: &[(&str, bool)]) -> Result<(), Fault> {
        match keys.iter().find(|(_, is_there)| *is_there) {
            Some((key, _)) => {
                Err(self.fault(&format!("{key} is not for a directory of this kind")))
            }
            None => Ok(()),
        }
    }
}

impl Login {
    /// The first key that doesn't fit, and why.
    pub fn check(&self) -> Result<(), Fault> {
        if self.directory.len() > DIRECTORIES_MAX {
            return Err((DIRECTORY, format!("there are more than {DIRECTORIES_MAX}")));
        }
        let mut seen = std::collections::BTreeSet::new();
        for directory in &self.directory {
            directory.check()?;
            for domain in &directory.domains {
                let stored = names::domain(domain).unwrap_or_default();
                // One for passwords and one for tokens may go together.
                if !seen.insert((stored, directory.kind == DirectoryKind::Ldap)) {
                    return Err(
                        directory.fault(&format!("{domain} has a directory of this kind already"))
                    );
                }
            }
        }
        Ok(())
    }

    /// The files that it names, with their key.
    pub(super) fn files_mut(&mut self) -> Vec<(&'static str, &mut NamedFile)> {
        let files = self.directory.iter_mut().flat_map(|of| {
            [
                &mut of.ca_file,
                &mut of.bind_password_file,
                &mut of.client_secret_file,
            ]
        });
        files
            .filter_map(|file| Some((DIRECTORY, file.as_mut()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const LDAP: &str =
        "[[login.directory]]\nname = \"corp\"\nkind = \"ldap\"\ndomains = [\"example.org\"]\n";
    const SEARCH: &str = "base = \"dc=example\"\nfilter = \"(mail={address})\"\n";
    const OIDC: &str =
        "[[login.directory]]\nname = \"id\"\nkind = \"oidc\"\ndomains = [\"example.org\"]\n";

    fn check(text: &str) -> Result<Login, String> {
        let config = Config::parse(text, Path::new("p.toml"));
        config
            .map(|config| config.login)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_right() {
        for rest in [
            format!("url = \"ldaps://ldap.example.org\"\n{SEARCH}"),
            format!("url = \"ldap://ldap.example.org:389\"\nstart-tls = true\n{SEARCH}"),
            format!("url = \"ldap://127.0.0.1:389\"\n{SEARCH}"),
            format!("url = \"ldap://[::1]:389\"\n{SEARCH}"),
            "url = \"ldaps://h\"\nuser-dn = \"uid={user},dc=example\"\n".to_owned(),
        ] {
            let login = check(&format!("{LDAP}{rest}")).unwrap();
            assert_eq!(login.directory[0].address_attribute, "mail");
        }
        let both = format!(
            "{LDAP}url = \"ldaps://h\"\n{SEARCH}{OIDC}issuer = \"https://id.example.org\"\naudience = \"mail\"\n"
        );
        assert_eq!(check(&both).unwrap().directory.len(), 2);
    }

    #[test]
    fn what_is_wrong() {
        for (text, want) in [
            (format!("{LDAP}{SEARCH}"), "it needs a url"),
            (
                format!("{LDAP}url = \"ldap://ldap.example.org\"\n{SEARCH}"),
                "unencrypted",
            ),
            (
                format!("{LDAP}url = \"ldap://localhost.example.org\"\n{SEARCH}"),
                "unencrypted",
            ),
            (format!("{LDAP}url = \"ldaps://h\"\n"), "base and filter"),
            (
                format!("{LDAP}url = \"ldaps://h\"\nissuer = \"x\"\n{SEARCH}"),
                "issuer is not for",
            ),
            (
                format!("{LDAP}url = \"ldaps://h\"\nbind-dn = \"x\"\n{SEARCH}"),
                "belong together",
            ),
            (
                format!(
                    "{LDAP}url = \"ldaps://h\"\ngroup-attribute = \"memberOf\"\nroles = {{ \"cn=x\" = \"king\" }}\n{SEARCH}"
                ),
                "is no role",
            ),
            (
                format!("{OIDC}issuer = \"https://h\"\n"),
                "issuer and audience",
            ),
            (
                format!("{LDAP}url = \"ldaps://h\"\n{SEARCH}{LDAP}url = \"ldaps://h\"\n{SEARCH}"),
                "has a directory of this kind already",
            ),
        ] {
            let error = check(&text).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
