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

const DELIVERED: &str = "250 2.1.5 Delivered to the mailbox";
const EXPANDED: &str = "250 2.1.5 Passed on to the addresses behind this one";

/// What has come of a message that was taken for an address here, for a sender who wants to hear of success (RFC 3461 §5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    /// It is in a mailbox, or a list has it: it goes no further in the sender's name.
    Delivered,
    /// It went on to several addresses, without the wish to hear of success.
    Expanded,
    /// There is nothing to tell: it went on with all that was asked for, or it is nowhere.
    Silent,
}

impl Success {
    /// Of what a report tells; `None`: there is none.
    pub fn action(self) -> Option<bounce::Action> {
        match self {
            Self::Delivered => Some(bounce::Action::Delivered),
            Self::Expanded => Some(bounce::Action::Expanded),
            Self::Silent => None,
        }
    }

    /// What is said of each recipient.
    pub fn reply(self) -> &'static str {
        match self {
            Self::Delivered | Self::Silent => DELIVERED,
            Self::Expanded => EXPANDED,
        }
    }

    /// As an account notes it with the number of a delivery.
    pub fn to_bytes(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Delivered => b"",
            Self::Expanded => b"expanded",
            Self::Silent => b"silent",
        })
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            b"expanded" => Self::Expanded,
            b"silent" => Self::Silent,
            _ => Self::Delivered,
        }
    }
}

/// Stages the report. `false`: there is nobody to tell, or it can't be sent.
pub(crate) async fn stage_success(
    core: &Core,
    txn: &mut MailTxn,
    incoming: &Incoming<'_>,
    addresses: &[EnvelopeAddress],
    success: Success,
) -> Result<bool, store::Error> {
    let Some(action) = success.action() else {
        return Ok(false);
    };
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
        recipient.smtp_reply = success.reply().to_owned();
    }
    let mut random = [0; 32];
    core.rng.fill(&mut random);
    let seconds = core.clock.now().seconds();
    let report = bounce::Report {
        hostname: &core.hostname(),
        action,
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
