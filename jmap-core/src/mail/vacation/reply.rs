//! Automatic replies at delivery (RFC 3834).
//!
//! Holds: a reply is staged in the transaction of the delivery that causes it, so there is one for each delivery
//! that is on disk, or none; machines, lists and nobody get none, and no sender two within a week.
//! Other half: `inproc::queue` sends what is staged here.

use std::collections::BTreeMap;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};

use super::{REPLY_EVERY_SECONDS, RepliedRecord, RepliedTo, SENDERS_MAX, VacationRecord};
use crate::{
    Core,
    mail::{
        identity::{self, IdentityRecord},
        message::{
            BuildContext, EmailAddress, MESSAGE_ID_OCTETS_MAX, NewBodyValue, NewHeader,
            NewHeaderValue, NewMessage, NewPart, SentAt, Summary, address,
        },
        sieve::{self, NoPlan},
        submission::{self, envelope::Envelope, records::EnvelopeAddress, stage},
        write::{MailTxn, Message},
    },
};

/// Addresses of the header fields that are looked at for one of the account's own.
const ADDRESSES_MAX: usize = 200;
/// Message ids of a reply's References (RFC 5322 §3.6.4 sets no limit).
const REFERENCES_MAX: usize = 50;
/// Characters of a subject that a script gives.
const SUBJECT_CHARS_MAX: usize = 300;
/// Octets of the plain text that is made of an HTML body.
const TEXT_OCTETS_MAX: usize = 64 << 10;
/// What a reply says when the user has written nothing.
const DEFAULT_BODY: &str = "I am away at the moment and will read your message later.";

/// Stages the reply to a message that this transaction delivers, if one is due. Whether one is.
pub(crate) async fn reply(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &sieve::Incoming<'_>,
) -> Result<bool, NoPlan> {
    // An account that never had a vacation response ends here.
    if incoming.is_junk || txn.head.state(DataType::VacationResponse) == 0 {
        return Ok(false);
    }
    match try_reply(core, txn, incoming).await {
        // Invariant 5: a damaged record is no reason to refuse mail.
        Err(NoPlan::Store(error @ store::Error::Corrupt { .. })) => {
            tracing::error!(%error, account = %txn.account(), "a vacation response could not be read");
            Ok(false)
        }
        result => result,
    }
}

/// The response is the action `vacation` of Sieve (RFC 5230), with the user's texts, and senders that are remembered until it is
/// enabled anew.
async fn try_reply(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &sieve::Incoming<'_>,
) -> Result<bool, NoPlan> {
    let account = txn.account();
    let now = core.clock.now().seconds();
    let (Some(sender), message) = (incoming.mail_from, incoming.message) else {
        return Ok(false);
    };
    let Some(vacation) = txn.record::<VacationRecord>(&super::key(account)).await? else {
        return Ok(false);
    };
    if !vacation.is_active(now) {
        return Ok(false);
    }
    let Some(own) = own_address(core, account, message).await? else {
        return Ok(false);
    };
    if !sieve::answers(core, txn, incoming, &own).await? {
        return Ok(false);
    }
    if !note_sender(txn, sender, now).await? {
        return Ok(false);
    }
    let from = identity_of(core, account, own).await?;
    let Some(octets) = build(core, &vacation, &from, sender, &message.summary, now) else {
        tracing::warn!(%account, "a vacation response could not be written");
        return Ok(false);
    };
    // RFC 3834 §3.3: the null reverse-path, so that nothing answers it.
    let envelope = Envelope {
        mail_from: EnvelopeAddress::default(),
        recipients: vec![EnvelopeAddress::plain(sender)],
    };
    Ok(stage::automatic(core, txn, envelope, octets).await?)
}

/// The reply that a script's `vacation` wants, as our own message. `None`: it can't be written.
pub(crate) async fn as_written(
    core: &Core,
    txn: &MailTxn,
    message: &Message,
    sender: &str,
    written: &sieve::Vacation,
) -> Result<Option<Bytes>, store::Error> {
    let account = txn.account();
    let header = [&written.header[..], b"\r\n"].concat();
    let header = Summary::parse(&header);
    // RFC 5230 §4.3: `:from`, if it is the account's own.
    let given = address::flatten(header.from.as_deref().unwrap_or_default());
    let mut from = None;
    for address in given.into_iter().take(1) {
        if core.owns_address(account, &address.email).await? {
            from = Some(address);
        }
    }
    let mut identity = match from {
        Some(given) => {
            let identity = identity_of(core, account, given.email).await?;
            IdentityRecord {
                name: given.name.unwrap_or(identity.name),
                ..identity
            }
        }
        None => match own_address(core, account, message).await? {
            Some(own) => identity_of(core, account, own).await?,
            None => return Ok(None),
        },
    };
    if identity.name.chars().any(char::is_control) {
        identity.name.clear();
    }
    const PLAIN: &[u8] = b"Content-type: text/plain; charset=utf-8\r\n\r\n";
    let text = written.entity.strip_prefix(PLAIN);
    let subject = header.subject.map(|subject| {
        let line = subject.chars().filter(|c| !c.is_control());
        line.take(SUBJECT_CHARS_MAX).collect()
    });
    let vacation = VacationRecord {
        subject,
        text_body: Some(String::from_utf8_lossy(text.unwrap_or_default()).into_owned()),
        ..VacationRecord::default()
    };
    let now = core.clock.now().seconds();
    let octets = build(core, &vacation, &identity, sender, &message.summary, now);
    Ok(match text {
        Some(_) => octets,
        // RFC 5230 §4.4 `:mime`
        None => octets.map(|octets| with_entity(&octets, &written.entity)),
    })
}

/// The message with another MIME entity for its own.
fn with_entity(octets: &[u8], entity: &[u8]) -> Bytes {
    let end = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 2);
    let mut message = Vec::with_capacity(end + entity.len() + 32);
    copy_fields(&octets[..end], false, &mut message);
    message.extend_from_slice(b"MIME-Version: 1.0\r\n");
    let end = memchr::memmem::find(entity, b"\r\n\r\n").map(|at| at + 2);
    if let Some(end) = end {
        copy_fields(&entity[..end], true, &mut message);
    }
    message.extend_from_slice(&entity[end.unwrap_or(0)..]);
    message.into()
}

/// Copies the header fields that say what the body is, or all others.
fn copy_fields(header: &[u8], of_body: bool, to: &mut Vec<u8>) {
    let mut is_copied = false;
    for line in header.split_inclusive(|octet| *octet == b'\n') {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let starts = |name: &[u8]| {
                line.get(..name.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(name))
            };
            let is_content = starts(b"content-");
            is_copied = match of_body {
                true => is_content,
                false => !is_content && !starts(b"mime-version:"),
            };
        }
        if is_copied {
            to.extend_from_slice(line);
        }
    }
}

/// The account's identity of this address, or one that is as good.
async fn identity_of(
    core: &Core,
    account: AccountId,
    own: String,
) -> Result<IdentityRecord, store::Error> {
    let identities = identity::all(core, account).await?;
    let canonical = identity::canonical(&own);
    let known = identities
        .into_iter()
        .map(|(_, record)| record)
        .find(|record| identity::canonical(&record.email) == canonical);
    Ok(known.unwrap_or_else(|| IdentityRecord {
        email: own,
        ..IdentityRecord::default()
    }))
}

/// Whether an automatic reply to the sender of the message is allowed at all (RFC 3834 §2, RFC 5230 §4.6).
pub(crate) async fn is_answerable(
    core: &Core,
    account: AccountId,
    message: &Message,
    sender: &str,
) -> Result<bool, store::Error> {
    Ok(submission::is_address(sender)
        && is_person(sender)
        && !is_automatic(&message.octets, &message.summary)
        && !core.owns_address(account, sender).await?)
}

/// RFC 3834 §2, §3.1.1: addresses behind which there is a machine.
fn is_person(sender: &str) -> bool {
    const MACHINES: &[&str] = &[
        "mailer-daemon",
        "postmaster",
        "majordomo",
        "listserv",
        "noreply",
        "no-reply",
    ];
    let local = sender
        .rsplit_once('@')
        .map_or(sender, |(local, _)| local)
        .to_lowercase();
    !MACHINES.contains(&local.as_str())
        && !local.starts_with("owner-")
        && !local.ends_with("-owner")
        && !local.ends_with("-request")
        && !local.contains("-bounces")
}

/// RFC 3834 §2: what its header section says not to answer.
fn is_automatic(octets: &[u8], summary: &Summary) -> bool {
    summary.fields.iter().any(|field| {
        let name = field.name(octets);
        let value = field.value(octets).trim_ascii();
        // The first word, without parameters and comments.
        let end = value
            .iter()
            .position(|b| matches!(b, b';' | b' ' | b'\t' | b'(' | b'\r'))
            .unwrap_or(value.len());
        let word = &value[..end];
        if name.eq_ignore_ascii_case(b"auto-submitted") {
            return !word.eq_ignore_ascii_case(b"no");
        }
        if name.eq_ignore_ascii_case(b"precedence") {
            return [&b"bulk"[..], b"list", b"junk"]
                .iter()
                .any(|kind| word.eq_ignore_ascii_case(kind));
        }
        // RFC 2369, RFC 2919
        name.get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"list-"))
    })
}

/// RFC 3834 §2: the account's address that the message names; `None`: it is not addressed to the account.
async fn own_address(
    core: &Core,
    account: AccountId,
    message: &Message,
) -> Result<Option<String>, store::Error> {
    const FIELDS: &[&str] = &["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];
    let named = message.summary.fields.iter().filter(|field| {
        let name = field.name(&message.octets);
        FIELDS
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    });
    let addresses = named.flat_map(|field| {
        let value = field.value(&message.octets);
        let value = &value[..value
            .len()
            .min(crate::mail::message::HEADER_VALUE_OCTETS_MAX)];
        address::flatten(&address::parse(value))
    });
    for address in addresses.take(ADDRESSES_MAX).collect::<Vec<_>>() {
        if core.owns_address(account, &address.email).await? {
            return Ok(Some(address.email));
        }
    }
    Ok(None)
}

/// Notes that the sender gets a reply now; `false`: they had one not long ago.
async fn note_sender(txn: &mut MailTxn, sender: &str, now: i64) -> Result<bool, store::Error> {
    let key = super::replied_key(txn.account());
    let mut replied = txn.record::<RepliedRecord>(&key).await?.unwrap_or_default();
    let hash = blake3::hash(identity::canonical(sender).as_bytes());
    let hash = hash
        .as_bytes()
        .first_chunk::<8>()
        .map_or(0, |octets| u64::from_be_bytes(*octets));
    let limit = now.saturating_sub(REPLY_EVERY_SECONDS);
    replied.senders.retain(|one| one.at > limit);
    if replied.senders.iter().any(|one| one.hash == hash) {
        return Ok(false);
    }
    if replied.senders.len() >= SENDERS_MAX {
        replied.senders.remove(0);
    }
    replied.senders.push(RepliedTo { hash, at: now });
    txn.put_record(key, &replied);
    Ok(true)
}

fn build(
    core: &Core,
    vacation: &VacationRecord,
    from: &IdentityRecord,
    to: &str,
    original: &Summary,
    now: i64,
) -> Option<Bytes> {
    let mut random = [0; 32];
    core.rng.fill(&mut random);
    let mut parts = BTreeMap::new();
    let value = |text: &str| NewBodyValue {
        value: text.to_owned(),
        ..NewBodyValue::default()
    };
    let part = |id: &str| {
        vec![NewPart {
            part_id: Some(id.to_owned()),
            ..NewPart::default()
        }]
    };
    // RFC 8621 §8: a text for those whose program shows no HTML.
    let text = match (&vacation.text_body, &vacation.html_body) {
        (Some(text), _) => text.clone(),
        (None, Some(html)) => crate::mail::message::html::to_text(html, TEXT_OCTETS_MAX),
        (None, None) => DEFAULT_BODY.to_owned(),
    };
    parts.insert("t".to_owned(), value(&text));
    let html_body = vacation.html_body.as_ref().map(|html| {
        parts.insert("h".to_owned(), value(html));
        part("h")
    });
    let message = NewMessage {
        headers: headers(vacation, from, to, original)?,
        text_body: Some(part("t")),
        html_body,
        body_values: parts,
        ..NewMessage::default()
    };
    let context = BuildContext {
        now: SentAt::utc(now),
        random,
        domain: &core.hostname(),
        blob: &|_| None,
    };
    message.build(&context).ok().map(Bytes::from)
}

fn headers(
    vacation: &VacationRecord,
    from: &IdentityRecord,
    to: &str,
    original: &Summary,
) -> Option<Vec<NewHeader>> {
    let address = |name: Option<String>, email: &str| {
        NewHeaderValue::Addresses(vec![EmailAddress {
            email: email.to_owned(),
            name,
        }])
    };
    let name = Some(from.name.clone()).filter(|name| !name.is_empty());
    let subject = vacation.subject.clone().unwrap_or_else(|| {
        // RFC 3834 §3.1.5
        let original = original.subject.as_deref().unwrap_or_default();
        let one_line: String = original
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        format!("Auto: {one_line}").trim_end().to_owned()
    });
    let mut headers = vec![
        ("from", address(name, &from.email)),
        ("to", address(None, to)),
        ("subject", NewHeaderValue::Text(subject)),
        (
            "header:Auto-Submitted:asText",
            NewHeaderValue::Text("auto-replied".to_owned()),
        ),
    ];
    // RFC 3834 §3.1.6, RFC 5322 §3.6.4
    if let Some(ids) = &original.message_id {
        // A reply without one of them is better than none.
        let fits = |id: &&String| id.len() <= MESSAGE_ID_OCTETS_MAX;
        let ids: Vec<String> = ids.iter().filter(fits).cloned().collect();
        headers.push(("inReplyTo", NewHeaderValue::MessageIds(ids.clone())));
        let former = original.references.iter().flatten().filter(fits).cloned();
        let mut references: Vec<String> = former.chain(ids).collect();
        let surplus = references.len().saturating_sub(REFERENCES_MAX);
        references.drain(..surplus);
        headers.push(("references", NewHeaderValue::MessageIds(references)));
    }
    headers
        .into_iter()
        .map(|(property, value)| NewHeader::new(property, vec![value]).ok())
        .collect()
}
