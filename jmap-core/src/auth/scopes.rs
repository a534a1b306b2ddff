//! What a credential is good for: the protocols that an app password, an API key or a token opens.
//!
//! Holds: a scope is one bit whose number is never reused; a record without scopes is of the time before there were any, and
//! opens everything; nobody gives a credential a scope that their own has not.
//! Other half: `auth::login` refuses what is out of scope, `access::may_use` what is within JMAP.

use std::fmt;

use minicbor::{Decode, Encode};

use super::Protocol;

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Scopes(#[n(0)] pub u32);

impl Scopes {
    pub const NONE: Self = Self(0);
    pub const IMAP: Self = Self(1);
    pub const POP3: Self = Self(1 << 1);
    /// Sending: by SMTP submission, and in JMAP.
    pub const SUBMISSION: Self = Self(1 << 2);
    pub const JMAP: Self = Self(1 << 3);
    /// Sieve scripts: by ManageSieve, and in JMAP.
    pub const SIEVE: Self = Self(1 << 4);
    /// The API for administrators and for the account's own page.
    pub const API: Self = Self(1 << 5);
    /// The vacation response, within JMAP; who may send may set it too.
    pub const VACATION: Self = Self(1 << 6);
    /// Whatever there is, and will be.
    pub const ALL: Self = Self(u32::MAX);

    /// Those that can be chosen, by the names that the API and the command line have.
    pub const NAMES: &[(&str, Self)] = &[
        ("imap", Self::IMAP),
        ("pop3", Self::POP3),
        ("submission", Self::SUBMISSION),
        ("jmap", Self::JMAP),
        ("sieve", Self::SIEVE),
        ("vacation", Self::VACATION),
        ("api", Self::API),
    ];

    /// What a login by this protocol needs.
    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Imap => Self::IMAP,
            Protocol::Pop3 => Self::POP3,
            Protocol::Smtp | Protocol::Submission => Self::SUBMISSION,
            Protocol::Jmap => Self::JMAP,
            Protocol::ManageSieve => Self::SIEVE,
            Protocol::Admin => Self::API,
            // Nothing that can be chosen opens these.
            Protocol::Dav | Protocol::OAuth => Self(1 << 31),
        }
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn named(name: &str) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, scope)| *scope)
    }

    /// The names of a set; `None`: it is all there is.
    pub fn names(self) -> Option<Vec<&'static str>> {
        if self == Self::ALL {
            return None;
        }
        let named = Self::NAMES
            .iter()
            .filter(|(_, scope)| self.contains(*scope));
        Some(named.map(|(name, _)| *name).collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            Some(names) => f.write_str(&names.join(" ")),
            None => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sets() {
        for (name, scope) in Scopes::NAMES {
            assert_eq!(Scopes::named(name), Some(*scope));
            assert_eq!(scope.to_string(), *name);
            assert!(Scopes::ALL.contains(*scope) && !Scopes::NONE.contains(*scope));
        }
        assert_eq!(Scopes::named("all"), None);
        assert_eq!(Scopes::ALL.names(), None);
        let mail = Scopes::IMAP.union(Scopes::SUBMISSION);
        assert_eq!(mail.to_string(), "imap submission");
        assert!(!mail.contains(Scopes::of(Protocol::Pop3)));
        assert!(mail.contains(Scopes::of(Protocol::Submission)));
    }

    #[test]
    fn nothing_that_can_be_chosen_opens_the_login_page() {
        let chosen = Scopes::NAMES
            .iter()
            .fold(Scopes::NONE, |all, (_, scope)| all.union(*scope));
        assert!(!chosen.contains(Scopes::of(Protocol::OAuth)));
        assert!(!chosen.contains(Scopes::of(Protocol::Dav)));
        assert_ne!(chosen, Scopes::ALL);
    }
}
