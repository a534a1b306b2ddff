//! The one place that answers "may they?".
//!
//! Holds: no other module, and no other crate, decides access (invariant 2 of ARCHITECTURE.md).

use jmap_types::{AccountId, MethodError, MethodErrorKind, method::Access};

use crate::{
    caller::{Caller, Role},
    directory::DirectoryError,
    mail::records::MailboxRecord,
    settings::SettingsError,
};

/// What a caller is to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Their own account, or that of a group they are a member of.
    Owner,
    /// Somebody granted them rights on mailboxes of the account.
    Guest,
}

/// The rights of RFC 8621 §2 `myRights`, and `mayShare` and `mayAdmin` for those that may give rights on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailboxRights(pub u16);

impl MailboxRights {
    pub const READ_ITEMS: Self = Self(1);
    pub const ADD_ITEMS: Self = Self(1 << 1);
    pub const REMOVE_ITEMS: Self = Self(1 << 2);
    pub const SET_SEEN: Self = Self(1 << 3);
    pub const SET_KEYWORDS: Self = Self(1 << 4);
    pub const CREATE_CHILD: Self = Self(1 << 5);
    pub const RENAME: Self = Self(1 << 6);
    pub const DELETE: Self = Self(1 << 7);
    pub const SUBMIT: Self = Self(1 << 8);
    /// To see and change whom the mailbox is shared with.
    pub const SHARE: Self = Self(1 << 9);
    pub const ALL: Self = Self((1 << 10) - 1);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What `who` is to `account`, or the error that the RFC has for strangers.
pub fn standing(who: &Caller, account: AccountId) -> Result<Standing, MethodError> {
    if who.account == account || who.groups.contains(&account) {
        return Ok(Standing::Owner);
    }
    if who.shares.contains(&account) {
        return Ok(Standing::Guest);
    }
    // RFC 8620 §3.6.2: to a stranger, an account that exists is one that doesn't.
    Err(MethodErrorKind::AccountNotFound.into())
}

/// Whether a call of this kind may begin at all; single objects are checked by their handlers.
pub fn may_call(
    who: &Caller,
    account: AccountId,
    _needed: Access,
) -> Result<Standing, MethodError> {
    standing(who, account)
}

/// Whether `who` may change the directory.
pub fn may_administer(who: &Caller) -> Result<(), DirectoryError> {
    match who.role {
        Role::Administrator => Ok(()),
        Role::User => Err(DirectoryError::Forbidden),
    }
}

/// Whether `who` may change what `account` logs in with: administrators, and the account itself.
pub fn may_manage_account(who: &Caller, account: AccountId) -> Result<(), DirectoryError> {
    if who.account == account {
        return Ok(());
    }
    may_administer(who)
}

/// Whether `who` may see and change the settings of the server.
pub fn may_manage_settings(who: &Caller) -> Result<(), SettingsError> {
    match who.role {
        Role::Administrator => Ok(()),
        Role::User => Err(SettingsError::Forbidden),
    }
}

/// What `who` may do with a mailbox.
pub fn mailbox_rights(who: &Caller, standing: Standing, mailbox: &MailboxRecord) -> MailboxRights {
    match standing {
        Standing::Owner => MailboxRights::ALL,
        Standing::Guest => mailbox
            .share_with
            .iter()
            .filter(|grant| {
                who.account.number() == grant.account
                    || who.groups.iter().any(|g| g.number() == grant.account)
            })
            .fold(MailboxRights::default(), |rights, grant| {
                rights.union(MailboxRights(grant.rights))
            }),
    }
}
