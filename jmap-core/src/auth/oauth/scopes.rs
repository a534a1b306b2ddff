//! The scopes that clients ask for (RFC 6749 §3.3), by their names on the wire.
//!
//! Holds: a scope is one bit whose number is never reused; what isn't known is left out, and the client is told what it got.
//! Other half: `auth::scopes` has what they open.

use minicbor::{Decode, Encode};

use crate::auth::Scopes;

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct OAuthScopes(#[n(0)] pub u32);

impl OAuthScopes {
    pub const OPENID: Self = Self(1);
    pub const EMAIL: Self = Self(1 << 1);
    pub const PROFILE: Self = Self(1 << 2);
    /// A refresh token (OpenID Connect Core §11).
    pub const OFFLINE_ACCESS: Self = Self(1 << 3);
    pub const CORE: Self = Self(1 << 4);
    pub const MAIL: Self = Self(1 << 5);
    pub const SUBMISSION: Self = Self(1 << 6);
    pub const VACATION: Self = Self(1 << 7);
    pub const SIEVE: Self = Self(1 << 8);

    /// By the names that clients use, and with a sentence for people. Without one, there is nothing to tell.
    const KNOWN: &[(&str, Self, Option<&str>)] = &[
        (
            "openid",
            Self::OPENID,
            Some("Know who you are on this server"),
        ),
        ("email", Self::EMAIL, Some("See your mail address")),
        ("profile", Self::PROFILE, Some("See your name")),
        (
            "offline_access",
            Self::OFFLINE_ACCESS,
            Some("Stay signed in until you take the access away"),
        ),
        ("urn:ietf:params:jmap:core", Self::CORE, None),
        (
            "urn:ietf:params:jmap:mail",
            Self::MAIL,
            Some("Read, change and delete your mail"),
        ),
        (
            "urn:ietf:params:jmap:submission",
            Self::SUBMISSION,
            Some("Send mail as you"),
        ),
        (
            "urn:ietf:params:jmap:vacationresponse",
            Self::VACATION,
            Some("See and set your vacation response"),
        ),
        (
            "urn:ietf:params:jmap:sieve",
            Self::SIEVE,
            Some("See and change your filters"),
        ),
    ];

    /// RFC 6749 §3.3. What isn't known is left out.
    pub fn parse(text: &str) -> Self {
        text.split(' ').fold(Self::default(), |all, name| {
            let known = Self::KNOWN.iter().find(|(known, ..)| *known == name);
            known.map_or(all, |(_, scope, _)| all.union(*scope))
        })
    }

    pub fn text(self) -> String {
        self.names().collect::<Vec<_>>().join(" ")
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let of = Self::KNOWN
            .iter()
            .filter(move |(_, scope, _)| self.contains(*scope));
        of.map(|(name, ..)| *name)
    }

    /// What people are asked.
    pub fn sentences(self) -> impl Iterator<Item = &'static str> {
        let of = Self::KNOWN
            .iter()
            .filter(move |(_, scope, _)| self.contains(*scope));
        of.filter_map(|(.., sentence)| *sentence)
    }

    /// All names, for whoever asks what there is.
    pub fn supported() -> impl Iterator<Item = &'static str> {
        Self::KNOWN.iter().map(|(name, ..)| *name)
    }

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What tokens of these scopes open.
    pub fn opens(self) -> Scopes {
        let mut opens = Scopes::NONE;
        if self.contains(Self::MAIL) {
            opens = opens
                .union(Scopes::IMAP)
                .union(Scopes::POP3)
                .union(Scopes::JMAP);
        }
        if self.contains(Self::SUBMISSION) {
            opens = opens.union(Scopes::SUBMISSION);
        }
        if self.contains(Self::SIEVE) {
            opens = opens.union(Scopes::SIEVE);
        }
        if self.contains(Self::VACATION) {
            opens = opens.union(Scopes::VACATION);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_they_open() {
        let mail = Scopes::IMAP.union(Scopes::POP3).union(Scopes::JMAP);
        for (text, want) in [
            ("openid email profile offline_access", Scopes::NONE),
            ("urn:ietf:params:jmap:core", Scopes::NONE),
            ("urn:ietf:params:jmap:mail", mail),
            ("urn:ietf:params:jmap:submission", Scopes::SUBMISSION),
            ("urn:ietf:params:jmap:sieve", Scopes::SIEVE),
            ("urn:ietf:params:jmap:vacationresponse", Scopes::VACATION),
        ] {
            assert_eq!(OAuthScopes::parse(text).opens(), want, "{text}");
        }
    }
}
