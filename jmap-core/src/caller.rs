//! Who is asking, once they have proved it.

use std::{net::IpAddr, sync::Arc};

use jmap_types::AccountId;

use crate::{
    auth::{Origin, Protocol, Scopes, token::TokenId},
    directory::CredentialKind,
};

/// What somebody may do beyond their own accounts. `access` says what that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Role {
    #[n(0)]
    User,
    #[n(1)]
    Administrator,
    /// Of the domains that the account's record names.
    #[n(2)]
    DomainAdministrator,
    #[n(3)]
    HelpDesk,
}

impl Role {
    pub const ALL: [Self; 4] = [
        Self::User,
        Self::Administrator,
        Self::DomainAdministrator,
        Self::HelpDesk,
    ];

    /// As the API and the command line have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Administrator => "administrator",
            Self::DomainAdministrator => "domain-administrator",
            Self::HelpDesk => "help-desk",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// By which way somebody asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The server does it by itself.
    Server,
    /// Whoever may open the socket of a running server.
    ControlSocket,
    /// Whoever may open the store, while no server runs.
    CommandLine,
    Protocol(Protocol),
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ControlSocket => "control-socket",
            Self::CommandLine => "command-line",
            Self::Protocol(protocol) => protocol.name(),
        }
    }
}

/// An authenticated caller. Only `Core::login` makes one, and the core itself for its own work.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    way: Way,
    address: Option<IpAddr>,
    /// Of the account's record, as it was when the caller was found in it.
    generation: u64,
    scopes: Scopes,
    /// When the credential that was used is over, in milliseconds since 1970.
    expires: Option<i64>,
    /// The token that was used, of the credential's.
    token: Option<TokenId>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: AccountId,
    /// The login name: the account's first address.
    pub name: String,
    pub role: Role,
    /// Those that a domain administrator looks after.
    pub domains: Vec<String>,
    /// The credential that was used; push subscriptions belong to it (RFC 8620 §7.2).
    pub credential: u64,
    /// Of that one. `None`: it is no row of the directory.
    pub kind: Option<CredentialKind>,
    /// Groups that the account is a member of.
    pub groups: Vec<AccountId>,
    /// Accounts that share something with this one, or with one of its groups.
    pub shares: Vec<AccountId>,
}

impl Caller {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
            way: Way::Server,
            address: None,
            generation: 0,
            scopes: Scopes::ALL,
            expires: None,
            token: None,
        }
    }

    /// The same caller, found in a record of this generation.
    pub(crate) fn of_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The server itself: an administrator without an account.
    pub fn server() -> Self {
        Self::new(Identity {
            account: AccountId::new(0),
            name: "server".to_owned(),
            role: Role::Administrator,
            domains: Vec::new(),
            credential: 0,
            kind: None,
            groups: Vec::new(),
            shares: Vec::new(),
        })
    }

    /// Whoever owns the store, and so may do everything: at the control socket, or while no server runs.
    pub fn operator(way: Way) -> Self {
        let mut operator = Self::server();
        operator.way = way;
        operator
    }

    /// The same caller, coming from there.
    pub(crate) fn coming_from(mut self, origin: &Origin) -> Self {
        self.way = Way::Protocol(origin.protocol);
        self.address = Some(origin.ip);
        self
    }

    /// The same caller, coming by the way of another one.
    pub(crate) fn coming_as(mut self, other: &Self) -> Self {
        self.way = other.way;
        self.address = other.address;
        self.scopes = other.scopes;
        self.expires = other.expires;
        self.token = other.token;
        self
    }

    /// The same caller, by a credential that is good for this alone.
    pub(crate) fn within(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// The same caller, by a credential that is over then.
    pub(crate) fn until(mut self, expires: Option<i64>) -> Self {
        self.expires = expires;
        self
    }

    /// The same caller, by this token.
    pub(crate) fn by_token(mut self, token: TokenId) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) fn token(&self) -> Option<TokenId> {
        self.token
    }

    /// When the credential, or its token, that was used is over, in milliseconds since 1970. `None`: it has no end.
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// What the credential that was used is good for.
    pub fn scopes(&self) -> Scopes {
        self.scopes
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// Where they ask from; `None`: on this machine.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// All accounts that the caller can see, their own first.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        let others = self.groups.iter().chain(&self.shares);
        std::iter::once(self.account).chain(others.copied())
    }
}

impl std::ops::Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}
