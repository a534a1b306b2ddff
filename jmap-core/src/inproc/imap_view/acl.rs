//! Who has which rights on a mailbox, by login name (RFC 4314).
//!
//! Holds: only who may share a mailbox sees whom it is shared with (RFC 9670 §4), and may ask whether a login name is somebody's.
//! Other half: `mail::mailbox` changes them, by `shareWith`.

use jmap_types::AccountId;

use super::{MailboxKey, ViewError};
use crate::{Caller, Core, access::MailboxRights, directory::DirectoryError, mail::mailbox};

/// One line of an access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    pub account: AccountId,
    /// The login name.
    pub name: String,
    pub rights: MailboxRights,
    /// Whose the mailbox is.
    pub is_owner: bool,
}

impl Core {
    /// The owner, then all others that have rights.
    pub async fn view_acl(
        &self,
        who: &Caller,
        key: MailboxKey,
    ) -> Result<Vec<AclEntry>, ViewError> {
        let target = self.view_target(who, key)?;
        let grants: Vec<(u64, MailboxRights)> = {
            let view = target.account.view().await?;
            let row = view.mailbox(key.mailbox).ok_or(ViewError::NoSuchMailbox)?;
            let rights = mailbox::my_rights(who, target.standing, key.mailbox, &row.record);
            may_share(rights)?;
            let grants = row.record.share_with.iter();
            grants
                .filter(|grant| grant.rights != 0)
                .map(|grant| (grant.account, MailboxRights(grant.rights)))
                .collect()
        };
        let owner = (key.account.number(), MailboxRights::ALL);
        let mut entries = Vec::with_capacity(grants.len() + 1);
        for (account, rights) in std::iter::once(owner).chain(grants) {
            let account = AccountId::new(account);
            // A grant to an account that is gone is nobody's.
            if let Some(record) = self.account_record(account).await? {
                entries.push(AclEntry {
                    account,
                    name: record.name.clone(),
                    rights,
                    is_owner: account == key.account,
                });
            }
        }
        Ok(entries)
    }

    /// The account of a login name, for who may share a mailbox with it.
    pub async fn view_acl_account(
        &self,
        who: &Caller,
        key: MailboxKey,
        name: &str,
    ) -> Result<AccountId, ViewError> {
        let target = self.view_target(who, key)?;
        {
            let view = target.account.view().await?;
            let row = view.mailbox(key.mailbox).ok_or(ViewError::NoSuchMailbox)?;
            may_share(mailbox::my_rights(
                who,
                target.standing,
                key.mailbox,
                &row.record,
            ))?;
        }
        match self.account_named(name).await {
            Ok(account) => Ok(account.id),
            Err(DirectoryError::Store(error)) => Err(error.into()),
            Err(_) => Err(ViewError::Invalid("There is no such account".to_owned())),
        }
    }
}

fn may_share(rights: MailboxRights) -> Result<(), ViewError> {
    if rights == MailboxRights::default() {
        return Err(ViewError::NoSuchMailbox);
    }
    if !rights.contains(MailboxRights::SHARE) {
        let why = "You may not see whom this mailbox is shared with";
        return Err(ViewError::Forbidden(why.to_owned()));
    }
    Ok(())
}
