//! The mailbox that a command names.

use jmap_core::inproc::imap_view::{ViewError, ViewMailbox};

use super::No;
use crate::encode::Code;
use crate::session::Session;
use crate::translate::names;

/// Finds it among those that the caller sees.
pub async fn find(session: &Session, name: &str) -> Result<ViewMailbox, No> {
    if name.eq_ignore_ascii_case(names::INBOX)
        && let Some(inbox) = inbox(session).await?
    {
        return Ok(inbox);
    }
    let tree = session.tree().await?;
    super::existing(&tree, name).cloned()
}

/// INBOX is of one's own account, and has its name whatever else there is: the others needn't be named for it.
async fn inbox(session: &Session) -> Result<Option<ViewMailbox>, No> {
    let who = session.who()?;
    let core = &session.server.core;
    let mailboxes = core.view_mailboxes(who, who.account).await?;
    Ok(mailboxes.into_iter().find(names::is_inbox))
}

/// The mailbox that messages are to be filed in. RFC 9051 §6.3.12: one that could be made is asked for.
pub async fn find_to_file(session: &Session, name: &str) -> Result<ViewMailbox, No> {
    let tree = session.tree().await?;
    if tree.get(name).is_none() {
        let text = ViewError::NoSuchMailbox.to_string();
        return Err(No::Because(Some(Code::TryCreate), text));
    }
    super::existing(&tree, name).cloned()
}
