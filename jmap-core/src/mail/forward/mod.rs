//! Mail that goes on: accounts and aliases that forward, and lists, whose members each get a copy.
//!
//! Holds: what goes on is in the queue in the transaction of the delivery that it comes from, one copy of the octets for all; the body and the
//! signed fields stay as they are, so that signatures verify. A message that was here before goes round in circles, and its sender is
//! told (RFC 3463 X.4.6). What can't go on is kept, refused or tried again, never dropped.
//! Other half: `inproc::deliver` asks in its transaction; `inproc::queue` sends; `directory::forwards` says where to.

mod list;
mod service;
mod srs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use jmap_types::AccountId;

pub use self::service::ServiceError;
pub(crate) use self::service::{Once, REPORTS_ALONE};
pub(crate) use self::srs::{Srs, is_srs};
use super::{
    sieve::{Incoming, RECEIVED_MAX},
    submission::{
        self, bounce,
        envelope::Envelope,
        parameters,
        records::{Delivered, EnvelopeAddress, RecipientRecord, UndoStatus},
        report::Success,
        stage,
    },
    write::{MailTxn, Message},
};
use crate::{
    Core,
    directory::{AccountKind, AccountRecord},
    inproc::deliver::DeliverError,
};

/// Recipients of one submission; more are several.
const RECIPIENTS_AT_ONCE: usize = 100;
/// The first reply code and text of a message that goes round in circles.
pub(crate) const LOOP: &str = "554 5.4.6 The message goes round in circles";

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Forwarded {
    /// It doesn't go on: as if there was no forwarding.
    No,
    /// It goes on, and the account gets it too.
    AndKept,
    /// It goes on, and that is all; or it was for the list itself. With what a sender is told who wants to hear of success.
    Alone(Success),
    /// Nothing was written: the sender is to be told.
    Refused(DeliverError),
}

/// Sends a message on, if that is what its account does.
pub(crate) async fn carry_out(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
) -> Result<Forwarded, store::Error> {
    let Some(record) = core.account_record(txn.account()).await? else {
        return Ok(Forwarded::No);
    };
    let Some(forward) = &record.forward else {
        return Ok(Forwarded::No);
    };
    let own = record.addresses.first().map_or("", String::as_str);
    let has_inbox = matches!(record.kind, AccountKind::Person | AccountKind::Group);
    if is_looping(incoming.message, own) {
        if has_inbox && (forward.keep || !incoming.may_refuse) {
            tracing::warn!(account = %txn.account(), "a message goes round in circles, and is not forwarded again");
            return Ok(Forwarded::No);
        }
        return refuse(core, txn, incoming, own, DeliverError::Loop).await;
    }
    if record.list.is_some() {
        match list::judge(core, incoming, &record, own).await? {
            list::Judged::Goes => {}
            list::Judged::Refused(error) => {
                return refuse(core, txn, incoming, own, error).await;
            }
            list::Judged::Leaves(member) => {
                return list::unsubscribe(core, txn, &record, own, &member).await;
            }
        }
    }
    // Somebody else's junk in our name would be held against us; a list would be its amplifier.
    if incoming.is_junk && has_inbox {
        return Ok(Forwarded::No);
    }
    let octets = match &record.list {
        None => trace(&incoming.message.octets, own),
        Some(_) => {
            let octets = trace(&incoming.message.octets, own);
            list::with_fields(core, txn.account(), &octets, own, &record).await?
        }
    };
    // By reverse-path: those here and those elsewhere may have another one.
    let mut by_path: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for to in &forward.to {
        let path = match (incoming.mail_from, &record.list) {
            // RFC 5321 §4.5.5: reports about reports don't exist, so nothing comes of one that can't go on.
            (None, _) => String::new(),
            (Some(_), Some(_)) => list::owner_address(own),
            (Some(sender), None) => reverse_path(core, sender, to, own, has_inbox).await?,
        };
        by_path.entry(path).or_default().push(to);
    }
    let success = match (&record.list, forward.to.len()) {
        (Some(_), _) => Success::Delivered,
        (None, 1) => Success::Silent,
        (None, _) => Success::Expanded,
    };
    let is_kept = has_inbox && forward.keep;
    let is_reported = is_kept || success != Success::Silent;
    let mut envelopes = Vec::new();
    for (mail_from, to) in by_path {
        for recipients in to.chunks(RECIPIENTS_AT_ONCE) {
            // RFC 3461 §5.2.7.2, §5.2.7.3 (c), RFC 8689 §4.2: what was asked for with the message is asked for further on, but for
            // reports of success, where they come from here. A list answers for itself (RFC 3461 §5.2.7.1).
            let given = |to: &&str| match &record.list {
                Some(_) => EnvelopeAddress::plain(*to),
                None => {
                    let came_to = incoming.recipient.unwrap_or(own);
                    let given = incoming.parameters;
                    let handed_on = parameters::handed_on_to(came_to, given, is_reported);
                    parameters::with(*to, handed_on)
                }
            };
            let of_mail = match &record.list {
                Some(_) => parameters::needed_by_list(incoming.mail_parameters),
                None => parameters::handed_on(incoming.mail_parameters),
            };
            envelopes.push(Envelope {
                mail_from: parameters::with(mail_from.clone(), of_mail),
                recipients: recipients.iter().map(given).collect(),
            });
        }
    }
    for (at, envelope) in envelopes.into_iter().enumerate() {
        if stage::passed_on(core, txn, envelope, octets.clone(), incoming.author).await? {
            continue;
        }
        // Nothing is staged yet, and an account of its own can keep the message.
        if has_inbox && at == 0 {
            return Ok(Forwarded::No);
        }
        return Ok(Forwarded::Refused(DeliverError::Temporary));
    }
    Ok(match is_kept {
        true => Forwarded::AndKept,
        false => Forwarded::Alone(success),
    })
}

/// Tells the sender: at once where that can be done, else by a report.
async fn refuse(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
    own: &str,
    error: DeliverError,
) -> Result<Forwarded, store::Error> {
    if incoming.may_refuse {
        return Ok(Forwarded::Refused(error));
    }
    let reply = match &error {
        DeliverError::Loop => LOOP.to_owned(),
        error => format!("550 5.7.1 {error}"),
    };
    let recipient = incoming.recipient.unwrap_or(own).to_owned();
    let recipients = [EnvelopeAddress::plain(recipient)];
    let is_told = tell_sender(core, txn, incoming, &recipients, &reply).await?;
    if !is_told {
        tracing::warn!(account = %txn.account(), reply, "a message was refused, and there is nobody to tell");
    }
    Ok(Forwarded::Alone(Success::Silent))
}

/// Whether an account that only sends mail on can't do so now: too much of what it has sent waits in the queue.
pub(crate) async fn is_held_up(
    core: &Core,
    account: AccountId,
    record: &AccountRecord,
) -> Result<bool, store::Error> {
    // Those with an inbox keep what can't go on.
    let has_inbox = matches!(record.kind, AccountKind::Person | AccountKind::Group);
    Ok(!has_inbox && stage::is_full(core, account).await?)
}

/// Stages a report to the sender that a message was refused. `false`: there is nobody to tell, or no room.
pub(crate) async fn tell_sender(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
    recipients: &[EnvelopeAddress],
    reply: &str,
) -> Result<bool, store::Error> {
    let (sender, octets) = (incoming.mail_from, &incoming.message.octets);
    match report(core, sender, octets, recipients, reply) {
        Some((envelope, report)) => stage::automatic(core, txn, envelope, report).await,
        None => Ok(false),
    }
}

/// A report to the sender of a message that it was refused for these recipients. `None`: there is nobody to tell.
pub(crate) fn report(
    core: &Core,
    sender: Option<&str>,
    octets: &Bytes,
    recipients: &[EnvelopeAddress],
    reply: &str,
) -> Option<(Envelope, Bytes)> {
    let sender = sender.filter(|sender| submission::is_address(sender))?;
    let envelope = Envelope {
        mail_from: EnvelopeAddress::plain(sender),
        recipients: recipients.to_vec(),
    };
    let mut record = submission::new_record(core, envelope, octets, None);
    record.undo_status = UndoStatus::Final;
    for recipient in &mut record.recipients {
        recipient.delivered = Delivered::No;
        recipient.smtp_reply = reply.to_owned();
    }
    let failed: Vec<RecipientRecord> = record.recipients.clone();
    let mut random = [0; 32];
    core.rng.fill(&mut random);
    let now = core.clock.now().seconds();
    let report = bounce::Report {
        hostname: &core.hostname(),
        action: bounce::Action::Failed,
        record: &record,
        recipients: &failed,
        message: octets,
        now,
        retry_until: now,
        random,
    };
    let built = report.build();
    Some((report.envelope(sender, &built), built.into()))
}

/// Whether a message was here before, or has come too far.
pub(crate) fn is_looping(message: &Message, own: &str) -> bool {
    let octets = &message.octets;
    let mut received = 0;
    message.summary.fields.iter().any(|field| {
        let name = field.name(octets);
        if name.eq_ignore_ascii_case(b"received") {
            received += 1;
        }
        let is_ours = name.eq_ignore_ascii_case(b"delivered-to")
            && field
                .value(octets)
                .trim_ascii()
                .eq_ignore_ascii_case(own.as_bytes());
        is_ours || received > RECEIVED_MAX
    })
}

/// A message as it goes on: without the reverse-path of this delivery (RFC 5321 §4.4), with a trace of where it was.
pub(crate) fn trace(octets: &Bytes, own: &str) -> Bytes {
    const RETURN_PATH: &[u8] = b"return-path:";
    let mut rest = &octets[..];
    let is_first = rest
        .get(..RETURN_PATH.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RETURN_PATH));
    if is_first && let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        rest = &rest[end + 2..];
    }
    [format!("Delivered-To: {own}\r\n").as_bytes(), rest]
        .concat()
        .into()
}

/// The reverse-path of what `own` sends on to `to` for `sender`: the sender's, where it or the recipient is at this server, else one of ours
/// that stands for it. Where there is none, failures are told to whoever forwards, or the postmaster.
pub(crate) async fn reverse_path(
    core: &Core,
    sender: &str,
    to: &str,
    own: &str,
    has_inbox: bool,
) -> Result<String, store::Error> {
    let Some((_, sender_domain)) = sender.rsplit_once('@') else {
        return Ok(own.to_owned());
    };
    let to_domain = to.rsplit_once('@').map_or("", |(_, domain)| domain);
    // Nobody but us looks at what doesn't leave.
    if core.is_local_domain(sender_domain).await? || core.is_local_domain(to_domain).await? {
        return Ok(sender.to_owned());
    }
    let own_domain = own.rsplit_once('@').map_or("", |(_, domain)| domain);
    let domain = core.srs_domain(own_domain).await?;
    let rewritten = core
        .srs
        .local_part(sender, day(core))
        .map(|local| format!("{local}@{domain}"))
        .filter(|address| submission::is_address(address));
    Ok(match rewritten {
        Some(address) => address,
        None if has_inbox => own.to_owned(),
        None => format!("postmaster@{own_domain}"),
    })
}

/// Days since 1970.
fn day(core: &Core) -> u64 {
    u64::try_from(core.clock.now().seconds() / 86_400).unwrap_or(0)
}

/// Whom a report on a message goes to that has this reverse-path: the sender that an address of ours stands for, or the address itself.
pub(crate) async fn original_sender(core: &Core, mail_from: &str) -> Result<String, store::Error> {
    if let Some((local, domain)) = mail_from.rsplit_once('@')
        && is_srs(local)
        && core.is_local_domain(domain).await?
        && let Ok(sender) = core.srs.sender(local, day(core))
    {
        return Ok(sender);
    }
    Ok(mail_from.to_owned())
}
