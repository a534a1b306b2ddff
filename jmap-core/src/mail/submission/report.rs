//! The report of a delivery that worked, to a sender elsewhere who has asked for it (RFC 3461 §5.2.1).
//!
//! Holds: it is in the queue in the transaction that delivers the message, so it is sent once, or not at all; it counts for the
//! account's limits on sending, so that nobody can be made to write to strangers without end.
//! Other half: `inproc::deliver`; `bounce` writes the text.

use bytes::Bytes;

use super::{
    bounce,
    envelope::Envelope,
    is_address, new_record, parameters,
    records::{Delivered, EnvelopeAddress, UndoStatus},
    stage,
};
use crate::{
    Core,
    mail::{sieve::Incoming, write::MailTxn},
};

/// What is said of each recipient.
pub(crate) const DELIVERED: &str = "250 2.1.5 Delivered to the mailbox";

/// Stages the report. `false`: there is nobody to tell, or it can't be sent.
pub(crate) async fn stage_success(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
    addresses: &[EnvelopeAddress],
) -> Result<bool, store::Error> {
    // What is taken for junk has perhaps been sent in somebody else's name.
    let sender = incoming.mail_from.filter(|sender| is_address(sender));
    let Some(sender) = sender.filter(|_| !incoming.is_junk) else {
        return Ok(false);
    };
    let account = txn.account();
    if core.take_sending(account, 1).await?.is_err() {
        return Ok(false);
    }
    let envelope = Envelope {
        mail_from: parameters::with(sender, incoming.mail_parameters.to_vec()),
        recipients: addresses.to_vec(),
    };
    let octets = &incoming.message.octets;
    let mut record = new_record(core, envelope, octets, None);
    record.undo_status = UndoStatus::Final;
    for recipient in &mut record.recipients {
        recipient.delivered = Delivered::Yes;
        recipient.smtp_reply = DELIVERED.to_owned();
    }
    let mut random = [0; 32];
    core.rng.fill(&mut random);
    let seconds = core.clock.now().seconds();
    let report = bounce::Report {
        hostname: &core.hostname,
        action: bounce::Action::Delivered,
        record: &record,
        recipients: &record.recipients,
        message: octets,
        now: seconds,
        retry_until: seconds,
        random,
    };
    let built = report.build();
    let envelope = report.envelope(sender, &built);
    let is_staged = stage::automatic(core, txn, envelope, Bytes::from(built)).await?;
    if !is_staged {
        core.sending.give_back(account, 1);
    }
    Ok(is_staged)
}
