//! Where mail from other servers comes from: looked at between the end of the message and its delivery.
//!
//! Holds: a message that others could take for verified by us never reaches a mailbox with their words in our name (RFC 8601
//! §5); a DNS that does not answer loses no mail; SPF alone refuses none.
//! Other half: `mail-auth-adapter`, which finds out; the operator, who says what follows.

use jmap_core::directory::names;
use jmap_core::inproc::origin::Author;
use mail_auth_adapter::{Disposition, Envelope, Identity, Outcome, Verdict, field};

use super::body::{Body, FRONT_OCTETS};
use super::reported;
use super::session::Session;
use super::transaction::Transaction;
use crate::backend::Backend;
use crate::config::{Treatment, Verification};
use crate::encode::Reply;
use crate::message;
use crate::translate;

/// What is to be done with a message.
#[derive(Debug, Default)]
pub struct Origin {
    /// The Authentication-Results field; empty if nothing is verified here.
    pub field: String,
    /// For the junk mailbox.
    pub is_junk: bool,
    pub refusal: Option<Reply>,
    /// Who vouches for the From field.
    pub author: Author,
}

impl<B: Backend> Session<B> {
    /// Verifies the message, and takes out of it what pretends to be our verdict.
    pub async fn authenticate(&self, transaction: &Transaction, body: &mut Body) -> Origin {
        let origin = match &self.server.config.verification {
            None => Origin::default(),
            Some(verification) => self.verify(verification, transaction, body).await,
        };
        let hostname = &self.server.config.hostname;
        if !body.content().is_empty() {
            message::remove_if(body.octets_mut(), FRONT_OCTETS, |name, value| {
                name.eq_ignore_ascii_case(b"Authentication-Results")
                    && field::claims(value, hostname)
            });
        }
        origin
    }

    async fn verify(
        &self,
        verification: &Verification,
        transaction: &Transaction,
        body: &mut Body,
    ) -> Origin {
        let hostname = &self.server.config.hostname;
        let stranger = self.peer_ip().filter(|&ip| {
            let ip = ip.to_canonical();
            !verification
                .trusted
                .iter()
                .any(|network| network.contains(ip))
        });
        let Some(peer) = stranger else {
            return Origin {
                field: field::not_verified(hostname),
                author: Author::Trusted,
                ..Origin::default()
            };
        };
        let envelope = Envelope {
            peer,
            helo: self.hello.as_ref().map_or("", |hello| &hello.name),
            mail_from: transaction.mail_from.as_deref(),
        };
        let content = body.take_content();
        let verdict = verification.verifier.verify(&envelope, &content).await;
        body.put_back(content);
        tracing::debug!(id = transaction.id, ?verdict, "message verified");
        let origin = judge(verification, &verdict, hostname);
        if let Some(row) = reported::row(&verdict, &envelope, &origin) {
            self.server.backend.note_dmarc(&verdict.dmarc.domain, row);
        }
        origin
    }
}

fn judge(verification: &Verification, verdict: &Verdict, hostname: &str) -> Origin {
    let dmarc = &verdict.dmarc;
    let treatment = match verdict.disposition {
        Disposition::None => Treatment::Mark,
        Disposition::Quarantine => verification.on_quarantine,
        Disposition::Reject => verification.on_reject,
    };
    let refusal = match treatment {
        Treatment::Reject => Some(translate::dmarc_refusal(&dmarc.domain)),
        _ if verification.defers && dmarc.finding.outcome == Outcome::TempError => {
            Some(translate::dmarc_unknown(&dmarc.domain))
        }
        Treatment::Quarantine | Treatment::Mark => None,
    };
    Origin {
        field: verdict.field(hostname),
        is_junk: treatment == Treatment::Quarantine,
        refusal,
        author: author(verdict),
    }
}

/// Whether the domain of From vouches for the message: by DMARC, where it has a record, else by the same rule, but for the search of the
/// organisation's domain: a signature, or SPF, that passes for this domain or one above it.
fn author(verdict: &Verdict) -> Author {
    let dmarc = &verdict.dmarc;
    let domain = names::domain(&dmarc.domain);
    let (Ok(domain), outcome) = (domain, dmarc.finding.outcome) else {
        return Author::Unknown;
    };
    let is_aligned = |of: &str| {
        names::domain(of).is_ok_and(|of| {
            let rest = domain.strip_suffix(&*of);
            // A name of one label is a registry's.
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && of.contains('.')
        })
    };
    let (mut passes, mut is_open) = (false, outcome == Outcome::TempError);
    let signatures = verdict
        .dkim
        .iter()
        .map(|dkim| (&dkim.finding, &*dkim.domain));
    let spf = verdict.spf.iter();
    let spf = spf
        .filter(|spf| spf.identity == Identity::MailFrom)
        .map(|spf| {
            let domain = spf.value.rsplit_once('@').map_or("", |(_, domain)| domain);
            (&spf.finding, domain)
        });
    for (finding, _) in signatures.chain(spf).filter(|(_, of)| is_aligned(of)) {
        passes |= finding.outcome == Outcome::Pass;
        is_open |= finding.outcome == Outcome::TempError;
    }
    match outcome {
        Outcome::Pass => Author::Domain(domain),
        Outcome::None if passes => Author::Domain(domain),
        _ if is_open => Author::Unanswered,
        _ => Author::Unknown,
    }
}

#[cfg(test)]
mod tests;
