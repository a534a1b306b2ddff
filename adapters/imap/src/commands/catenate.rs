//! CATENATE (RFC 4469): a message of texts, and of parts of messages that are here already.
//!
//! Holds: a message that becomes too large is refused before it is put together, and one that there is no memory for; only what the caller may read is read.
//! Other half: `translate::url`.

use bytes::Bytes;
use jmap_core::inproc::imap_view::{MailboxKey, UidList, ViewError, Want};
use net::budget::Share;

use super::No;
use super::append::Refusal;
use crate::command::{CatenatePart, Section};
use crate::encode::Code;
use crate::fetch::section::{Message, Octets};
use crate::session::Session;
use crate::translate::url::{self, MessageUrl};

/// A mailbox that URLs point into, opened once for those that follow each other.
type Opened = Option<(String, MailboxKey, u32, UidList)>;

/// `share`: of the memory of messages on their way in. Texts have one already, as they came in literals.
pub async fn join(
    session: &Session,
    parts: Vec<CatenatePart>,
    share: &mut Share,
) -> Result<Vec<u8>, Refusal> {
    let octets_max = session.server.config.limits.message_octets_max;
    let mut octets = Vec::new();
    let mut opened: Opened = None;
    for part in parts {
        let part = match part {
            CatenatePart::Text(text) => Bytes::from(text),
            CatenatePart::Url(text) => {
                let read = read(session, &text, &mut opened).await?;
                read.ok_or_else(|| Refusal::no(Code::BadUrl(text), "There is nothing there"))?
            }
        };
        if octets.len() as u64 + part.len() as u64 > octets_max {
            return Err(Refusal::no(Code::TooBig, "The message becomes too large"));
        }
        // It is there twice while it is taken apart.
        let grown = share.grow(part.len() as u64 * 2).await;
        grown.map_err(|_| ViewError::Unavailable)?;
        octets.extend_from_slice(&part);
    }
    Ok(octets)
}

/// What a URL points to.
async fn read(
    session: &Session,
    text: &str,
    opened: &mut Opened,
) -> Result<Option<Bytes>, Refusal> {
    let Some(url) = url::parse(text, &session.server.config.hostname) else {
        return Ok(None);
    };
    let Some((key, email)) = find(session, &url, opened).await? else {
        return Ok(None);
    };
    let Some(caller) = &session.caller else {
        return Ok(None);
    };
    let want = Want {
        summary: url.section != Section::default(),
        octets: true,
        ..Want::default()
    };
    let messages = session
        .server
        .core
        .view_messages(caller, key, &[email], want)
        .await?;
    let Some(message) = messages.into_iter().flatten().next() else {
        return Ok(None);
    };
    let Some(whole) = message.octets else {
        return Ok(None);
    };
    let octets = match message.summary {
        Some(summary) => match Message::new(whole.clone(), summary).section(&url.section) {
            Some(Octets::Range(range)) => whole.slice(range),
            Some(Octets::Made(octets)) => Bytes::from(octets),
            None => return Ok(None),
        },
        None => whole,
    };
    let (origin, count) = url.partial.unwrap_or((0, u32::MAX));
    let start = (origin as usize).min(octets.len());
    let end = start.saturating_add(count as usize).min(octets.len());
    Ok(Some(octets.slice(start..end)))
}

async fn find(
    session: &Session,
    url: &MessageUrl,
    opened: &mut Opened,
) -> Result<Option<(MailboxKey, u64)>, Refusal> {
    let is_valid = |uid_validity| url.uid_validity.is_none_or(|wanted| wanted == uid_validity);
    let Some(name) = &url.mailbox else {
        // RFC 5092 §7.1: relative to the selected mailbox.
        let selected = session.selected.as_ref();
        let selected = selected.filter(|selected| is_valid(selected.uid_validity));
        return Ok(selected.and_then(|selected| {
            let at = selected.position(url.uid)?;
            Some((selected.key, selected.messages().get(at)?.1))
        }));
    };
    let Some(caller) = &session.caller else {
        return Ok(None);
    };
    if opened.as_ref().is_none_or(|(known, ..)| known != name) {
        let key = match super::target::find(session, name).await {
            Ok(mailbox) => mailbox.key,
            Err(No::Because(Some(Code::NonExistent), _)) => return Ok(None),
            Err(why) => return Err(why.into()),
        };
        let view = session.server.core.view_open(caller, key).await?;
        *opened = Some((name.clone(), key, view.status.uid_validity, view.messages));
    }
    let Some((_, key, uid_validity, messages)) = opened else {
        return Ok(None);
    };
    if !is_valid(*uid_validity) {
        return Ok(None);
    }
    let at = messages.position(url.uid);
    Ok(at
        .and_then(|at| messages.get(at))
        .map(|(_, email)| (*key, email)))
}
