//! A maildrop (RFC 1939): the inbox as a list of messages that stays as it was when it was opened.
//!
//! Holds: only what was named is removed, and only while it is the message that it was when it was listed: one that was
//! moved away and came back is another one. A removal of many messages is some transactions, each of them whole.
//! Other half: `adapters/pop3`; octets come from [`Core::view_messages`].

use super::{
    MailboxKey, Maildrop, MaildropMessage, ViewError,
    read::{places, readable},
    turn::{MESSAGES_PER_TRANSACTION, durable, need, rights, take_out},
};
use crate::{Caller, Core, access::MailboxRights};

impl Core {
    /// The caller's own inbox, as it is now. [`ViewError::NoSuchMailbox`]: there is none.
    pub async fn maildrop_open(&self, who: &Caller) -> Result<Maildrop, ViewError> {
        let account = self.accounts.handle(who.account);
        // What an earlier session removed, at another node perhaps, must not be listed again.
        account.look().await?;
        let view = account.view().await?;
        let mailbox = view
            .mailbox_by_role("inbox")
            .ok_or(ViewError::NoSuchMailbox)?;
        let key = MailboxKey {
            account: who.account,
            mailbox,
        };
        let target = self.view_target(who, key)?;
        readable(&view, who, target.standing, key)?;
        let messages = places(&view, mailbox).map(|(uid, email, row)| MaildropMessage {
            uid,
            email,
            size: row.size,
        });
        let messages = messages.collect();
        let row = view.mailbox(mailbox).ok_or(ViewError::NoSuchMailbox)?;
        Ok(Maildrop {
            key,
            uid_validity: row.record.uid_validity,
            messages,
        })
    }

    /// Takes messages, by UID and email, out of the maildrop. Those that are gone already are passed over.
    pub async fn maildrop_remove(
        &self,
        who: &Caller,
        key: MailboxKey,
        messages: &[(u32, u64)],
    ) -> Result<(), ViewError> {
        let target = self.view_target(who, key)?;
        for messages in messages.chunks(MESSAGES_PER_TRANSACTION) {
            durable(&target.account, || async {
                let mut txn = target.account.writer.begin().await?;
                let rights = rights(&txn, who, target.standing, key.mailbox).await?;
                let why = "You may not remove messages here.";
                need(rights, MailboxRights::REMOVE_ITEMS, why)?;
                for &(uid, email) in messages {
                    take_out(self.removal(), &mut txn, email, key.mailbox, |place| {
                        place.uid == uid
                    })
                    .await?;
                }
                Ok(((), txn.stage_or_seen()))
            })
            .await?;
        }
        Ok(())
    }
}
