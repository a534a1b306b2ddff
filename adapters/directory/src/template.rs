//! Names and filters with places for what a client has said.
//!
//! Holds: what is filled in is escaped for where it goes (RFC 4514 §2.4, RFC 4515 §3); a place that is unknown is an error.

use jmap_core::directory::names::Address;
use ldap3::{dn_escape, ldap_escape};

/// Text with `{address}`, `{user}` and `{domain}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Address,
    User,
    Domain,
}

/// Why a text is no template: a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error(
        "\"{{{0}}}\" is no place of a template: there are {{address}}, {{user}} and {{domain}}"
    )]
    Unknown(String),
    #[error("a brace is not closed")]
    Open,
    #[error("there has to be {{address}} or {{user}} in it")]
    Nobody,
}

impl std::str::FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (place, after) = after.split_once('}').ok_or(TemplateError::Open)?;
            parts.push(match place {
                "address" => Part::Address,
                "user" => Part::User,
                "domain" => Part::Domain,
                other => return Err(TemplateError::Unknown(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let names_somebody = parts
            .iter()
            .any(|part| matches!(part, Part::Address | Part::User));
        match names_somebody {
            true => Ok(Template(parts)),
            false => Err(TemplateError::Nobody),
        }
    }
}

impl Template {
    /// As a search filter.
    pub fn filter(&self, address: &Address) -> String {
        self.fill(address, |text| ldap_escape(text).into_owned())
    }

    /// As a distinguished name.
    pub fn name(&self, address: &Address) -> String {
        self.fill(address, |text| dn_escape(text).into_owned())
    }

    fn fill(&self, address: &Address, escape: impl Fn(&str) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Address => escape(&address.to_string()),
            Part::User => escape(&address.local),
            Part::Domain => escape(&address.domain),
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(local: &str) -> Address {
        Address {
            local: local.to_owned(),
            domain: "example.org".to_owned(),
        }
    }

    #[test]
    fn nothing_is_said_beside_its_place() {
        let filter: Template = "(&(objectClass=person)(mail={address}))".parse().unwrap();
        for (local, want) in [
            ("ann", "(&(objectClass=person)(mail=ann@example.org))"),
            (
                "*)(uid=*",
                "(&(objectClass=person)(mail=\\2a\\29\\28uid=\\2a@example.org))",
            ),
            (
                "a\\b\0",
                "(&(objectClass=person)(mail=a\\5cb\\00@example.org))",
            ),
        ] {
            assert_eq!(filter.filter(&address(local)), want);
        }
        let name: Template = "uid={user},ou={domain},dc=org".parse().unwrap();
        for (local, want) in [
            ("ann", "uid=ann,ou=example.org,dc=org"),
            ("x,ou=admins", "uid=x\\2cou\\3dadmins,ou=example.org,dc=org"),
        ] {
            assert_eq!(name.name(&address(local)), want);
        }
    }

    #[test]
    fn what_is_no_template() {
        for (text, want) in [
            ("(mail={mail})", TemplateError::Unknown("mail".to_owned())),
            ("(mail={address)", TemplateError::Open),
            ("(mail=x)", TemplateError::Nobody),
            ("ou={domain}", TemplateError::Nobody),
        ] {
            assert_eq!(text.parse::<Template>(), Err(want), "{text}");
        }
    }
}
