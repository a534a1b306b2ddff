//! What the store keeps of domains, accounts, addresses and credentials.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; no secret is in
//! here, only what recognises one.
//! Other half: `tests::golden` has the bytes of every version.

use minicbor::{Decode, Encode};
use store::Record;

use crate::{
    auth::{
        Scopes, oauth::records::Grant, scram::ScramVerifier, token::TOKEN_HASH_OCTETS, totp::Totp,
        webauthn::Passkey,
    },
    caller::Role,
};

/// A domain whose mail is served here. Its name is in its key: lower-case A-labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DomainRecord {
    /// The account that gets mail for local parts that nobody has.
    #[n(0)]
    pub catch_all: Option<u64>,
    /// Its addresses are those of this domain.
    #[n(1)]
    pub alias_of: Option<String>,
    /// Seconds since 1970.
    #[n(2)]
    pub created: i64,
    /// The domain of the reverse-path of mail that its addresses forward (SRS). `None`: itself.
    #[n(8)]
    pub srs_domain: Option<String>,
    /// Accounts and groups that it may have. `None`: no limit.
    #[n(9)]
    pub accounts_max: Option<u64>,
    /// Octets that its accounts may use together. `None`: no limit.
    #[n(10)]
    pub octets_max: Option<u64>,
    /// Recipients that its accounts may send to together. `None`: no limit but their own.
    #[n(11)]
    pub recipients_per_hour: Option<u64>,
    #[n(12)]
    pub recipients_per_day: Option<u64>,
}

impl Record for DomainRecord {
    const KIND: &'static str = "domain";
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum AccountKind {
    #[n(0)]
    Person,
    /// Nobody logs in as a group: its members see its account.
    #[n(1)]
    Group,
    /// Each of its members gets a copy of what comes to it.
    #[n(2)]
    List,
    /// An address alone: what comes to it goes on.
    #[n(3)]
    Alias,
    /// The server's own, for mail that is nobody's: one of each server.
    #[n(4)]
    Service,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountRecord {
    /// The login name: the first address, or a word without a domain.
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub kind: AccountKind,
    #[n(2)]
    pub description: String,
    /// `None`: the server's default. 0: no limit.
    #[n(3)]
    pub quota_octets: Option<u64>,
    #[n(4)]
    pub disabled: bool,
    #[n(5)]
    pub role: Role,
    /// Counted up whenever something that logging in depends on changes.
    #[n(6)]
    pub generation: u64,
    /// Seconds since 1970.
    #[n(7)]
    pub created: i64,
    #[n(8)]
    pub addresses: Vec<String>,
    /// The number that was last given to a credential.
    #[n(9)]
    pub last_credential: u64,
    /// It was removed: what is left of it goes in the background.
    #[n(10)]
    pub removed: bool,
    /// Where its mail goes on to. `None`: nowhere.
    #[n(11)]
    pub forward: Option<Forward>,
    /// Of a list.
    #[n(12)]
    pub list: Option<ListRecord>,
    /// Recipients that it may send to. `None`: the server's default. 0: no limit.
    #[n(13)]
    pub recipients_per_hour: Option<u64>,
    #[n(14)]
    pub recipients_per_day: Option<u64>,
    /// Of a domain administrator: the domains that it looks after.
    #[n(15)]
    pub administers: Option<Vec<String>>,
    /// Whether the role is what a directory elsewhere has said. `None`: of the time before this was kept, or there is none.
    #[n(16)]
    pub role_from_outside: Option<bool>,
}

impl AccountRecord {
    /// The domains of its name and of its addresses.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let names = std::iter::once(&self.name).chain(&self.addresses);
        names.filter_map(|name| name.rsplit_once('@').map(|(_, domain)| domain))
    }
}

/// Where the mail of an account, an alias or a list goes on to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Forward {
    /// Addresses, here or elsewhere.
    #[n(0)]
    pub to: Vec<String>,
    /// The account keeps a copy.
    #[n(1)]
    pub keep: bool,
}

/// Who may write to a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Posters {
    #[n(0)]
    Anyone,
    #[default]
    #[n(1)]
    Members,
    /// Authors with an address in the list's domain.
    #[n(2)]
    Domain,
}

/// What a list has beside its members, which are where it forwards to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ListRecord {
    #[n(0)]
    pub posters: Posters,
    /// The account that gets what comes to the list's owner address.
    #[n(1)]
    pub owner: u64,
}

impl Record for AccountRecord {
    const KIND: &'static str = "account";
}

/// Who gets mail for an address.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AddressRecord {
    #[n(0)]
    pub targets: Vec<u64>,
}

impl Record for AddressRecord {
    const KIND: &'static str = "address";
}

/// The password of an account is its credential number 1.
pub const PASSWORD: u64 = 1;

#[derive(Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct CredentialRecord {
    /// What the user calls it.
    #[n(0)]
    pub description: String,
    #[n(1)]
    pub kind: CredentialKind,
    /// Seconds since 1970.
    #[n(2)]
    pub created: i64,
    /// Milliseconds since 1970.
    #[n(3)]
    pub expires: Option<i64>,
    /// Of a password: its PHC string.
    #[n(4)]
    pub password_hash: Option<String>,
    /// Of an app password or token: its id.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub lookup: Vec<u8>,
    /// Of an app password or token.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub token_hash: [u8; TOKEN_HASH_OCTETS],
    /// Of a password: what checks a proof of it. `None` until it is set, or shown, for the first time since this is kept.
    #[n(7)]
    pub scram: Option<ScramVerifier>,
    /// What it is good for. `None`: whatever there is.
    #[n(8)]
    pub scopes: Option<Scopes>,
    /// Of what was granted to a client of OAuth.
    #[n(9)]
    pub grant: Option<Box<Grant>>,
    /// Of a second factor by codes.
    #[n(10)]
    pub totp: Option<Box<Totp>>,
    #[n(11)]
    pub passkey: Option<Box<Passkey>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum CredentialKind {
    #[default]
    #[n(0)]
    Password,
    #[n(1)]
    AppPassword,
    #[n(2)]
    Token,
    /// What a program was granted (RFC 6749): tokens come and go.
    #[n(3)]
    Grant,
    /// A second factor: codes that a device makes (RFC 6238). Alone it opens nothing.
    #[n(4)]
    Totp,
    /// A key of a device that verifies the person (WebAuthn): for signing in on pages.
    #[n(5)]
    Passkey,
}

impl Record for CredentialRecord {
    const KIND: &'static str = "credential";
}

// A hash is no secret, and no business of a log either.
impl std::fmt::Debug for CredentialRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRecord")
            .field("kind", &self.kind)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
