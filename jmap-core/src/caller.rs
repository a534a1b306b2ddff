//! Who is asking, once they have proved it.

use std::sync::Arc;

use jmap_types::AccountId;

/// What somebody may do beyond their own accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Role {
    #[n(0)]
    User,
    #[n(1)]
    Administrator,
}

/// An authenticated caller. Only `Core::login` makes one, and the core itself for its own work.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Identity>);

#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: AccountId,
    /// The login name: the account's first address.
    pub name: String,
    pub role: Role,
    /// The credential that was used; push subscriptions belong to it (RFC 8620 §7.2).
    pub credential: u64,
    /// Groups that the account is a member of.
    pub groups: Vec<AccountId>,
    /// Accounts that share something with this one, or with one of its groups.
    pub shares: Vec<AccountId>,
}

impl Caller {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(Arc::new(identity))
    }

    /// The server itself: an administrator without an account.
    pub fn server() -> Self {
        Self::new(Identity {
            account: AccountId::new(0),
            name: "server".to_owned(),
            role: Role::Administrator,
            credential: 0,
            groups: Vec::new(),
            shares: Vec::new(),
        })
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
        &self.0
    }
}
