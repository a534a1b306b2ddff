//! The mailbox that a command names.

use jmap_core::inproc::imap_view::{ViewError, ViewMailbox};

use crate::session::Session;

/// Finds it among those that the caller sees.
pub async fn find(session: &Session, name: &str) -> Result<ViewMailbox, ViewError> {
    let caller = session.caller.as_ref().ok_or(ViewError::NoSuchMailbox)?;
    let mailboxes = session.server.core.view_mailboxes(caller, caller.account).await?;
    let full_name = |mailbox: &ViewMailbox| {
        let mut name = mailbox.name.clone();
        let mut above = mailbox.parent;
        while let Some(parent) = above {
            let Some(parent) = mailboxes.iter().find(|other| other.key.mailbox == parent) else {
                break;
            };
            name = [parent.name.as_str(), &name].join("/");
            above = parent.parent;
        }
        name
    };
    let found = mailboxes.iter().find(|mailbox| match name {
        "INBOX" => mailbox.role.as_deref() == Some("inbox"),
        _ => full_name(mailbox) == name,
    });
    found.cloned().ok_or(ViewError::NoSuchMailbox)
}
