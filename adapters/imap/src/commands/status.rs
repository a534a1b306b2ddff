//! STATUS (RFC 9051 §6.3.11, RFC 7889, RFC 8474, RFC 9208).

use jmap_core::inproc::imap_view::{MailboxKey, ViewStatus};

use super::{No, answer};
use crate::command::{Command, StatusItem};
use crate::encode::Code;
use crate::encode::mailbox::{self, StatusValue};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::names;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["STATUS=SIZE"])
}

pub async fn run(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Status { mailbox, items } = command else {
        return Ok(Flow::Continue);
    };
    let done = status(session, out, &mailbox, &items).await;
    answer(session, out, tag, done, "STATUS done").await
}

async fn status(
    session: &mut Session,
    out: &mut Out,
    name: &str,
    items: &[StatusItem],
) -> Result<Option<Code>, No> {
    let tree = session.tree().await?;
    let key = super::existing(&tree, name)?.key;
    let name = names::canonical(name).unwrap_or_default();
    tell(session, out, &name, key, items).await?;
    Ok(None)
}

/// Writes the STATUS response of a mailbox.
pub async fn tell(
    session: &mut Session,
    out: &mut Out,
    name: &str,
    key: MailboxKey,
    items: &[StatusItem],
) -> Result<(), No> {
    let status = session.server.core.view_status(session.who()?, key).await?;
    // RFC 7162 §3.1: to ask for it is to enable CONDSTORE.
    if items.contains(&StatusItem::HighestModseq) {
        session.enabled.condstore = true;
    }
    let id = names::mailbox_id(session.who()?, key);
    let append_max = session.server.config.limits.message_octets_max;
    let recent = session.recent(key, &status);
    let value = |item: &StatusItem| value(*item, &status, recent, append_max, &id);
    let values: Vec<StatusValue> = items.iter().map(value).collect();
    mailbox::status(out.buffer(), name, &values, session.mode().utf8);
    Ok(())
}

fn value(
    item: StatusItem,
    status: &ViewStatus,
    recent: u32,
    append_max: u64,
    id: &str,
) -> StatusValue {
    match item {
        StatusItem::Messages => StatusValue::Messages(status.messages),
        StatusItem::Recent => StatusValue::Recent(recent),
        StatusItem::UidNext => StatusValue::UidNext(status.uid_next),
        StatusItem::UidValidity => StatusValue::UidValidity(status.uid_validity),
        StatusItem::Unseen => StatusValue::Unseen(status.unseen),
        StatusItem::Deleted => StatusValue::Deleted(status.deleted),
        StatusItem::Size => StatusValue::Size(status.size),
        StatusItem::HighestModseq => StatusValue::HighestModseq(status.highest_modseq),
        StatusItem::AppendLimit => StatusValue::AppendLimit(Some(append_max)),
        StatusItem::MailboxId => StatusValue::MailboxId(id.to_owned()),
        // RFC 9208 §5.1: STORAGE is in units of 1024 octets.
        StatusItem::DeletedStorage => {
            StatusValue::DeletedStorage(status.deleted_size.div_ceil(1024))
        }
    }
}
