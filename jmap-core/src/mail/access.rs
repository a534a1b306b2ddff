//! Which emails a caller sees, and what they may do with them: by the mailboxes that they are in.
//! Other half: `crate::access` decides on mailboxes.

use jmap_types::{DataType, MethodError, MethodErrorKind};
use store::log;

use crate::{
    Caller, Context,
    access::{MailboxRights, Standing, mailbox_rights},
    error::method_error,
    mail::view::{EmailRow, View},
};

/// Mailboxes changed since a guest's state that are looked at.
const MAILBOX_CHANGES_MAX: usize = 10_000;

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
    let each = row.places().filter_map(|place| rights(place.mailbox));
    each.fold(MailboxRights::default(), MailboxRights::union)
}

/// RFC 8621 §4: an email is there for those who may read one of its mailboxes.
pub fn is_email_visible(view: &View, who: &Caller, standing: Standing, row: &EmailRow) -> bool {
    email_rights(view, who, standing, row).contains(MailboxRights::READ_ITEMS)
}

/// What a guest sees of emails follows from mailboxes too, and the log doesn't tell a mailbox that was shared from one
/// that was renamed: after either, a guest begins anew (RFC 8620 §5.2 `cannotCalculateChanges`).
pub async fn check_guest_state(
    context: &Context,
    since: u64,
    upto: u64,
) -> Result<(), MethodError> {
    if context.standing()? == Standing::Owner {
        return Ok(());
    }
    let (engine, account) = (&context.core.engine, context.account()?.id);
    let changes = log::changes(
        engine,
        account,
        DataType::Mailbox,
        since,
        upto,
        MAILBOX_CHANGES_MAX,
    );
    let changes = changes.await.map_err(method_error)?;
    if changes.has_more || !(changes.updated.is_empty() || changes.counts_only) {
        return Err(MethodErrorKind::CannotCalculateChanges.into());
    }
    Ok(())
}
