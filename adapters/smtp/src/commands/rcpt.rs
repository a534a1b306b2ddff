//! RCPT (RFC 5321 §4.1.1.3).

use jmap_core::bans::BanRule;
use jmap_core::inproc::deliver::{Recipient, RecipientError};
use net::{Stream, Wire};

use crate::backend::Backend;
use crate::config::Mode;
use crate::encode::Reply;
use crate::parse::{Command, Rcpt};
use crate::server::session::{Flow, Handled, Session};
use crate::translate;

/// What a recipient takes beside its address.
const RECIPIENT_OCTETS: u64 = 128;

/// RFC 3461 §3, RFC 9422 §4.2: NOTIFY and ORCPT belong to this command; how many of it there may be.
pub fn keywords<B: Backend>(session: &Session<B>) -> Vec<String> {
    let limits = &session.server.config.limits;
    // RFC 9422 §2: at most six digits.
    let recipients = limits.recipients_max.clamp(1, 999_999);
    let messages = limits.transactions_max.clamp(1, 999_999);
    vec![
        "DSN".to_owned(),
        format!("LIMITS MAILMAX={messages} RCPTMAX={recipients}"),
    ]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Rcpt(rcpt) = command else {
        return Ok(Flow::Continue);
    };
    let address = rcpt.to.clone();
    let reply = match accept(session, rcpt).await {
        Ok(()) => {
            return session
                .reply(wire, Reply::new(250, "2.1.5", "Recipient accepted"))
                .await;
        }
        Err(reply) => reply,
    };
    tracing::debug!(peer = %session.peer_name(), recipient = address.as_str(), "refused recipient");
    session.log_refusal(&reply);
    session.trace_refusal(&reply, Some(address.as_str()), None);
    session.counts.refused_recipients += 1;
    let limits = &session.server.config.limits;
    if session.counts.refused_recipients > limits.refused_recipients_max {
        return session
            .hang_up(wire, "Too many recipients that can't be delivered to")
            .await;
    }
    session.reply(wire, reply).await
}

async fn accept<B: Backend>(session: &mut Session<B>, rcpt: Rcpt) -> Result<(), Reply> {
    let address = &rcpt.to;
    let out_of_sequence = || Reply::new(503, "5.5.1", "Say MAIL first");
    let transaction = session.transaction.as_ref().ok_or_else(out_of_sequence)?;
    let limits = &session.server.config.limits;
    // RFC 5321 §4.5.3.1.10: the client sends the rest later.
    if transaction.recipients.len() >= limits.recipients_max {
        return Err(Reply::new(452, "4.5.3", "Too many recipients"));
    }
    if !transaction.smtputf8 && !address.is_ascii() {
        let text = "Addresses that are not ASCII need SMTPUTF8";
        return Err(Reply::new(553, "5.6.7", text));
    }
    let recipient = resolve(session, address.as_str()).await?;
    // Refused now, as after the message there may be one answer for all.
    if session.mode() != Mode::Submission
        && let Some(error) = recipient.refuses(transaction.mail_from.as_deref())
    {
        return Err(translate::deliver_error(&error));
    }
    let targets = std::mem::size_of_val(&recipient.targets[..]) as u64;
    let parameters = rcpt.parameters.iter().filter_map(|p| p.value.as_ref());
    let parameters: usize = parameters.map(|value| value.len() + 64).sum();
    let octets = (address.as_str().len() + parameters) as u64 + targets + RECIPIENT_OCTETS;
    let transaction = session.transaction.as_mut().ok_or_else(out_of_sequence)?;
    let grown = transaction.share.grow(octets).await;
    grown.map_err(|_| translate::no_room_in_flight())?;
    transaction.recipients.push(recipient);
    transaction.recipient_parameters.push(rcpt.parameters);
    Ok(())
}

/// Who has logged in may send to anybody, save to local addresses of which it is known that nobody has them.
async fn resolve<B: Backend>(session: &Session<B>, address: &str) -> Result<Recipient, Reply> {
    let resolved = session.server.backend.resolve_recipient(address).await;
    match (session.mode(), resolved) {
        (_, Ok(recipient)) => Ok(recipient),
        // A full mailbox may have room again when the queue gets there.
        (Mode::Submission, Err(RecipientError::NotLocal | RecipientError::OverQuota)) => {
            Ok(Recipient {
                address: address.to_owned(),
                targets: Vec::new(),
            })
        }
        (mode, Err(error)) => {
            let is_nobody = matches!(
                error,
                RecipientError::NoSuchMailbox | RecipientError::NotLocal
            );
            if let (Mode::Receive, true, Some(ip)) = (mode, is_nobody, session.peer_ip()) {
                let detail = format!("the last {}", address.escape_debug());
                let backend = &session.server.backend;
                backend.note_offence(ip, BanRule::UnknownRecipients, &detail);
            }
            Err(translate::recipient_error(error))
        }
    }
}
