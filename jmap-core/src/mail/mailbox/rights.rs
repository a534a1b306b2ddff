//! What a caller may change of one mailbox, and with whom it is shared.
//!
//! Other half: `plan` asks before it has a change; `access` knows the rights.

use jmap_types::{AccountId, SetError};

use super::get;
use crate::{
    Context,
    access::{MailboxRights, Standing},
    mail::{
        records::{Grant, MailboxRecord},
        write,
    },
    object::Rejected,
};

/// What a caller may change of a mailbox; the inbox stays what it is.
pub(super) fn check_rights(
    context: &Context,
    id: u64,
    old: &MailboxRecord,
    new: &MailboxRecord,
) -> Result<(), Rejected> {
    let standing = context.standing()?;
    let rights = get::my_rights(&context.who, standing, id, old);
    let renamed = old.name != new.name || old.parent != new.parent;
    if renamed && !rights.contains(MailboxRights::RENAME) {
        return Err(SetError::forbidden("You may not rename or move this mailbox.").into());
    }
    let shared = old.share_with != new.share_with;
    if shared && !rights.contains(MailboxRights::SHARE) {
        return Err(SetError::forbidden("You may not share this mailbox.").into());
    }
    let owners = old.role != new.role || old.sort_order != new.sort_order;
    if owners && standing == Standing::Guest {
        return Err(SetError::forbidden("Only the owner may change this.").into());
    }
    if id == write::INBOX && new.role.as_deref() != Some("inbox") {
        return Err(SetError::invalid_property("role", "The inbox stays the inbox.").into());
    }
    Ok(())
}

/// RFC 9670 §4: those that a mailbox is newly shared with are there, and its owner isn't among them.
pub(super) async fn check_grants(
    context: &Context,
    old: &[Grant],
    new: &MailboxRecord,
) -> Result<(), Rejected> {
    let owner = context.account()?.id.number();
    let is_new = |grant: &&Grant| !old.iter().any(|known| known.account == grant.account);
    for grant in new.share_with.iter().filter(is_new) {
        let id = AccountId::new(grant.account);
        let why = match grant.account == owner {
            true => "The owner's rights are implied.",
            false if context.core.account_record(id).await?.is_none() => {
                "There is no such account."
            }
            false => continue,
        };
        return Err(SetError::invalid_property(format!("shareWith/{id}"), why).into());
    }
    Ok(())
}

/// Keeps a guest's subscription in the grant.
pub(super) fn subscribe_guest(context: &Context, record: &mut MailboxRecord) {
    let wanted = record.is_subscribed;
    let me = context.who.account.number();
    match record
        .share_with
        .iter_mut()
        .find(|grant| grant.account == me)
    {
        Some(grant) => grant.is_subscribed = wanted,
        // Shared through a group: a grant without rights holds the subscription.
        None if wanted => record.share_with.push(Grant {
            account: me,
            rights: 0,
            is_subscribed: true,
        }),
        None => {}
    }
}
