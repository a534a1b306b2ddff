//! Which emails a caller sees, and what they may do with them: by the mailboxes that they are in.
//! Other half: `crate::access` decides on mailboxes.

use crate::{
    Caller,
    access::{MailboxRights, Standing, mailbox_rights},
    mail::view::{EmailRow, View},
};

/// The union of the caller's rights on the mailboxes of an email.
pub fn email_rights(
    view: &View,
    who: &Caller,
    standing: Standing,
    row: &EmailRow,
) -> MailboxRights {
    if standing == Standing::Owner {
        return MailboxRights::ALL;
    }
    let rights = |mailbox: u64| {
        view.mailbox(mailbox)
            .map(|m| mailbox_rights(who, standing, &m.record))
    };
    let each = row
        .mailboxes
        .iter()
        .filter_map(|place| rights(place.mailbox));
    each.fold(MailboxRights::default(), MailboxRights::union)
}

/// RFC 8621 §4: an email is there for those who may read one of its mailboxes.
pub fn is_email_visible(view: &View, who: &Caller, standing: Standing, row: &EmailRow) -> bool {
    email_rights(view, who, standing, row).contains(MailboxRights::READ_ITEMS)
}
