//! The tree of mailboxes that a caller sees.

use jmap_types::AccountId;

use super::{MailboxKey, ViewAccount, ViewError, ViewMailbox};
use crate::{Caller, Core, access, mail::mailbox};

impl Core {
    /// The accounts that the caller sees, their own first.
    pub async fn view_accounts(&self, who: &Caller) -> Result<Vec<ViewAccount>, ViewError> {
        let mut accounts = Vec::new();
        for id in who.accounts() {
            if let Some(info) = self.account_info(who, id).await? {
                accounts.push(ViewAccount {
                    id,
                    name: info.name,
                    is_own: info.is_personal,
                });
            }
        }
        Ok(accounts)
    }

    /// The mailboxes of an account that the caller sees, in no order.
    pub async fn view_mailboxes(
        &self,
        who: &Caller,
        account: AccountId,
    ) -> Result<Vec<ViewMailbox>, ViewError> {
        let standing = access::standing(who, account).map_err(|_| ViewError::NoSuchMailbox)?;
        let handle = self.accounts.handle(account);
        let view = handle.view().await?;
        let visible = view
            .mailboxes()
            .filter(|(_, row)| mailbox::is_visible(who, standing, &row.record));
        Ok(visible
            .map(|(id, row)| ViewMailbox {
                key: MailboxKey {
                    account,
                    mailbox: id,
                },
                name: row.record.name.clone(),
                parent: mailbox::visible_parent(&view, who, standing, &row.record),
                role: row.record.role.clone(),
                sort_order: row.record.sort_order,
                is_subscribed: mailbox::is_subscribed(who, standing, &row.record),
                rights: mailbox::my_rights(who, standing, id, &row.record),
                uid_validity: row.record.uid_validity,
            })
            .collect())
    }
}
