//! Lists: who may write to one, how a member leaves, and the header fields of what it sends (RFC 2369, RFC 2919).
//!
//! Holds: who writes, or leaves, is believed to be who the From field says only if somebody vouches for it; a list never sends on what it
//! has sent, nor what was sent automatically in answer to something. The list's own fields are the only ones of their names; the body and
//! all other fields stay as they are. There is no Sender field: the author is the author.
//! Other half: `super` sends on; `directory::forwards` keeps the members.

use bytes::Bytes;
use jmap_types::AccountId;

use super::{Forwarded, submission};
use crate::{
    Core,
    directory::{AccountRecord, OWNER_SUFFIX, Posters, UNSUBSCRIBE_SUFFIX, names},
    inproc::{deliver::DeliverError, origin::Author},
    mail::{
        message::{SentAt, address},
        sieve::Incoming,
        submission::{
            envelope::Envelope, parameters, records::EnvelopeAddress, report::Success, stage,
        },
        write::{MailTxn, Message},
    },
};

const NOT_YOU: &str = "You may not write to this list";
const AUTOMATIC: &str = "This list takes no automatic replies and no reports";
const NOT_PROVEN: &str = "Nothing shows that the author has sent this: neither DKIM nor SPF passes for the one domain in From, which this list asks for";
const NOT_FOR_THIS: &str =
    "To leave the list, send a message that has this address, and no other, in its To field";

/// Fields that a list before this one may have written (RFC 2919 §8).
const FIELDS: &[&str] = &[
    "list-id",
    "list-post",
    "list-owner",
    "list-help",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-archive",
];
/// Octets of the header section that is looked through for them.
const HEADER_OCTETS_MAX: usize = 1 << 20;

/// The reverse-path of what a list sends.
pub(super) fn owner_address(own: &str) -> String {
    match own.rsplit_once('@') {
        Some((local, domain)) => format!("{local}{OWNER_SUFFIX}@{domain}"),
        None => String::new(),
    }
}

/// The address by which members leave a list.
fn unsubscribe_address(own: &str) -> String {
    match own.rsplit_once('@') {
        Some((local, domain)) => format!("{local}{UNSUBSCRIBE_SUFFIX}@{domain}"),
        None => String::new(),
    }
}

/// What becomes of a message to a list.
pub(super) enum Judged {
    /// It goes to the members.
    Goes,
    Refused(DeliverError),
    /// The author, with this address, leaves the list.
    Leaves(String),
}

pub(super) async fn judge(
    core: &Core,
    incoming: &Incoming<'_>,
    record: &AccountRecord,
    own: &str,
) -> Result<Judged, store::Error> {
    let refused = |why: &str| Ok(Judged::Refused(DeliverError::Refused(why.to_owned())));
    let message = incoming.message;
    // RFC 2919 §3: who sends on what has this list's identifier makes a loop, whoever it came from.
    let id = format!("<{}>", identifier(own));
    if values(message, b"list-id").any(|value| ends_with(value, id.as_bytes())) {
        return Ok(Judged::Refused(DeliverError::Loop));
    }
    // RFC 3834 §4: a list is no address for answers.
    let is_answer = values(message, b"auto-submitted").any(|value| {
        let word = value.trim_ascii().get(.."auto-replied".len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"auto-replied"))
    });
    if incoming.mail_from.is_none() || is_answer {
        return refused(AUTOMATIC);
    }
    if incoming.is_junk {
        return refused(NOT_YOU);
    }
    let recipient = incoming.recipient.unwrap_or(own);
    let local = recipient
        .rsplit_once('@')
        .map_or(recipient, |(local, _)| local);
    if ends_with(local.as_bytes(), UNSUBSCRIBE_SUFFIX.as_bytes()) {
        return judge_leaving(message, incoming.author, recipient, incoming.may_refuse);
    }
    let posters = record.list.map_or(Posters::Anyone, |list| list.posters);
    if posters == Posters::Anyone {
        return Ok(Judged::Goes);
    }
    let from = address::flatten(message.summary.from.as_deref().unwrap_or_default());
    // RFC 5322 §3.6.2: there may be several; each of them has written it.
    for author in &from {
        let email = as_kept(&author.email);
        if may_post(core, &email, record, own, posters).await? {
            return Ok(match vouched(incoming.author, &author.email, from.len()) {
                Some(true) => Judged::Goes,
                vouched => not_proven(vouched, incoming.may_refuse),
            });
        }
    }
    refused(NOT_YOU)
}

/// A signature is good for as long as the message is kept: only one that says whom it was for is believed to ask for this.
fn judge_leaving(
    message: &Message,
    author: &Author,
    recipient: &str,
    may_refuse: bool,
) -> Result<Judged, store::Error> {
    let from = address::flatten(message.summary.from.as_deref().unwrap_or_default());
    let to = address::flatten(message.summary.to.as_deref().unwrap_or_default());
    let is_for_this = values(message, b"to").count() == 1
        && to.len() == 1
        && to.iter().all(|to| to.email.eq_ignore_ascii_case(recipient));
    let [only] = &from[..] else {
        return Ok(not_proven(Some(false), may_refuse));
    };
    Ok(match vouched(author, &only.email, 1) {
        Some(true) if is_for_this => Judged::Leaves(as_kept(&only.email)),
        Some(true) => Judged::Refused(DeliverError::Refused(NOT_FOR_THIS.to_owned())),
        vouched => not_proven(vouched, may_refuse),
    })
}

/// Whether somebody vouches for an address of the From field, which has so many. `None`: that could not be found out.
fn vouched(author: &Author, email: &str, authors: usize) -> Option<bool> {
    match author {
        Author::Here | Author::Trusted => Some(true),
        // A domain vouches for its own addresses, and for nobody who is named beside them.
        Author::Domain(domain) => {
            let of_author = email
                .rsplit_once('@')
                .map(|(_, domain)| names::domain(domain));
            Some(authors == 1 && matches!(of_author, Some(Ok(of_author)) if of_author == *domain))
        }
        Author::Unknown => Some(false),
        Author::Unanswered => None,
    }
}

fn not_proven(vouched: Option<bool>, may_refuse: bool) -> Judged {
    // Only who is asked again can get another answer.
    Judged::Refused(match vouched {
        None if may_refuse => DeliverError::Temporary,
        _ => DeliverError::Refused(NOT_PROVEN.to_owned()),
    })
}

fn ends_with(value: &[u8], end: &[u8]) -> bool {
    let value = value.trim_ascii();
    let start = value.len().checked_sub(end.len());
    start.is_some_and(|start| value[start..].eq_ignore_ascii_case(end))
}

/// The values of the fields of a name, which is in lower case.
fn values<'m>(message: &'m Message, name: &'static [u8]) -> impl Iterator<Item = &'m [u8]> {
    let octets = &message.octets;
    let fields = message.summary.fields.iter();
    let fields = fields.filter(move |field| field.name(octets).eq_ignore_ascii_case(name));
    fields.map(move |field| field.value(octets))
}

/// An address with its domain as members' are kept: in lower case, A-labels.
fn as_kept(email: &str) -> String {
    let parts = email.rsplit_once('@');
    let parts = parts.and_then(|(local, domain)| Some((local, names::domain(domain).ok()?)));
    parts.map_or_else(
        || email.to_owned(),
        |(local, domain)| format!("{local}@{domain}"),
    )
}

/// Whether an author may write to a list.
async fn may_post(
    core: &Core,
    author: &str,
    record: &AccountRecord,
    own: &str,
    posters: Posters,
) -> Result<bool, store::Error> {
    let domain = |address: &str| {
        let domain = address
            .rsplit_once('@')
            .map(|(_, domain)| names::domain(domain));
        domain.and_then(Result::ok)
    };
    match posters {
        Posters::Anyone => Ok(true),
        Posters::Domain => Ok(domain(own).is_some() && domain(author) == domain(own)),
        Posters::Members => {
            let members = record.forward.iter().flat_map(|forward| &forward.to);
            let is_member = members
                .clone()
                .any(|member| member.eq_ignore_ascii_case(author));
            Ok(is_member || core.is_same_mailbox(members, author).await?)
        }
    }
}

/// Takes a member off the list, and says so to them.
pub(super) async fn unsubscribe(
    core: &Core,
    txn: &mut MailTxn,
    record: &AccountRecord,
    own: &str,
    member: &str,
) -> Result<Forwarded, store::Error> {
    let account = txn.account();
    match core.unsubscribe(account, member).await {
        Ok(was_member) => {
            tracing::info!(list = own, member, was_member, "a member leaves a list");
        }
        Err(error) => {
            tracing::error!(list = own, member, %error, "a member can't leave a list");
            // Nothing was written: whoever sends it tries again.
            return Ok(Forwarded::Refused(DeliverError::Temporary));
        }
    }
    if submission::is_address(member) && core.take_sending(account, 1).await?.is_ok() {
        let octets = goodbye(core, record, own, member);
        let never = parameters::of_rcpt("NOTIFY", Some("NEVER"));
        let envelope = Envelope {
            // RFC 3834 §3.3
            mail_from: EnvelopeAddress::default(),
            recipients: vec![parameters::with(member, never.into_iter().collect())],
        };
        if !stage::automatic(core, txn, envelope, octets).await? {
            core.sending.give_back(account, 1);
        }
    }
    Ok(Forwarded::Alone(Success::Delivered))
}

/// It is sent to those alone whose From field somebody vouched for, so that nobody is written to in their name.
fn goodbye(core: &Core, record: &AccountRecord, own: &str, member: &str) -> Bytes {
    let mut random = [0; 16];
    core.rng.fill(&mut random);
    let id: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    let (owner, hostname) = (owner_address(own), &core.hostname());
    let date = SentAt::utc(core.clock.now().seconds()).to_rfc5322();
    let name = phrase(record);
    let text = format!(
        "From: {name}<{owner}>\r\n\
         To: <{member}>\r\n\
         Subject: You are not on the list {own} any more\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{hostname}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         {member} gets no mail of the list {own} any more,\r\n\
         as a message from this address has asked for.\r\n\
         \r\n\
         If that was a mistake, write to {owner}.\r\n"
    );
    text.into()
}

/// What a list is called, for people, with a space after it.
fn phrase(record: &AccountRecord) -> String {
    let phrase: String = record
        .description
        .chars()
        .filter(|c| c.is_ascii() && !c.is_ascii_control() && !"\"\\<>".contains(*c))
        .collect();
    match phrase.trim() {
        "" => String::new(),
        phrase => format!("\"{phrase}\" "),
    }
}

/// RFC 2919 §2: a label of its own in the domain.
fn identifier(own: &str) -> String {
    let (local, domain) = own.rsplit_once('@').unwrap_or((own, ""));
    let label: String = local
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    format!("{label}.{domain}")
}

/// A message as the list sends it.
pub(super) async fn with_fields(
    core: &Core,
    account: AccountId,
    octets: &Bytes,
    own: &str,
    record: &AccountRecord,
) -> Result<Bytes, store::Error> {
    let mut fields = format!(
        "List-Id: {}<{}>\r\n\
         List-Post: <mailto:{}>\r\n\
         List-Owner: <mailto:{}>\r\n",
        phrase(record),
        identifier(own),
        uri(own),
        uri(&owner_address(own)),
    );
    // The address may be somebody else's. There is no List-Unsubscribe-Post, as RFC 8058 has it for https alone.
    let leave = unsubscribe_address(own);
    if core.is_only_for(&leave, account).await? {
        let leave = uri(&leave);
        fields.push_str(&format!(
            "List-Unsubscribe: <mailto:{leave}?subject=unsubscribe>\r\n"
        ));
    }
    Ok([fields.as_bytes(), &without_fields(octets)].concat().into())
}

/// RFC 6068 §2: what may not be in a `mailto` as it is.
fn uri(address: &str) -> String {
    let mut text = String::with_capacity(address.len());
    for octet in address.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(octet)),
            b'.' | b'-' | b'_' | b'@' | b'+' | b'~' | b'!' | b'$' | b'\'' | b'*' => {
                text.push(char::from(octet));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

/// The message without fields that say of another list what these say of this one.
fn without_fields(octets: &[u8]) -> Vec<u8> {
    let end = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 2);
    let (header, rest) = octets.split_at(end);
    if header.len() > HEADER_OCTETS_MAX {
        return octets.to_vec();
    }
    let mut kept = Vec::with_capacity(octets.len());
    let mut is_dropped = false;
    for line in header.split_inclusive(|octet| *octet == b'\n') {
        let is_continued = line.first().is_some_and(|first| b" \t".contains(first));
        if !is_continued {
            let name = line.split(|octet| *octet == b':').next();
            let name = name.unwrap_or_default().trim_ascii();
            is_dropped = FIELDS
                .iter()
                .any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        }
        if !is_dropped {
            kept.extend_from_slice(line);
        }
    }
    kept.extend_from_slice(rest);
    kept
}
