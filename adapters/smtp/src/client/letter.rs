//! The message as a peer can take it: as it is, or converted, and signed.
//!
//! Holds: what is signed is what is sent; each form is made once for a job, however many hosts are tried.
//! Other half: `content` converts, [`Signer`] signs, `transaction` sends.

use bytes::Bytes;
use jmap_core::inproc::outbound::{Fate, Job};

use super::Signer;
use super::content::{self, Facts};
use super::envelope::About;
use super::extensions::Extensions;
use super::hosts::NoHost;
use super::transaction::Letter;

/// Makes letters for one job.
pub struct Letters<'j> {
    job: &'j Job,
    signer: Option<&'j dyn Signer>,
    pub facts: Facts,
    is_flagged_binary: bool,
    is_flagged_utf8: bool,
    made: Vec<(Form, Made)>,
}

/// What goes in front, and the message.
type Made = Result<(Bytes, Bytes), NoHost>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Octet by octet; only by BDAT.
    Binary,
    /// Lines that end with CRLF.
    Lines,
    SevenBit,
}

impl<'j> Letters<'j> {
    pub fn new(job: &'j Job, signer: Option<&'j dyn Signer>) -> Letters<'j> {
        let body = job
            .mail_from
            .parameter("BODY")
            .and_then(|body| body.value.as_deref());
        Letters {
            job,
            signer,
            facts: Facts::of(&job.message),
            is_flagged_binary: body.is_some_and(|body| body.eq_ignore_ascii_case("BINARYMIME")),
            is_flagged_utf8: job.mail_from.parameter("SMTPUTF8").is_some(),
            made: Vec::new(),
        }
    }

    /// The letter for a peer. `Err`: it can't have one.
    pub async fn letter(&mut self, peer: &Extensions, requiretls: bool) -> Result<Letter, NoHost> {
        let facts = self.facts;
        let is_binary = self.is_flagged_binary && (facts.nul || facts.bare || facts.long);
        let form = if is_binary && peer.binarymime && peer.chunking {
            Form::Binary
        } else if is_binary
            || facts.nul
            || facts.long
            || (facts.is_eight_bit() && !peer.eight_bit_mime)
        {
            Form::SevenBit
        } else {
            Form::Lines
        };
        // RFC 6531 §3.4: the addresses or the header of the message. A header that nobody has said to be UTF-8 goes as it
        // is where it always went.
        let addresses = !self.job.mail_from.email.is_ascii()
            || self
                .job
                .recipients
                .iter()
                .any(|recipient| !recipient.address.email.is_ascii());
        let header = facts.eight_bit_header && (self.is_flagged_utf8 || peer.smtputf8);
        if header && !peer.smtputf8 {
            return Err(NoHost::refused(super::envelope::NO_SMTPUTF8.0));
        }
        let (front, body) = match self.form(form).await {
            // Long lines are not what SMTP has, and yet most servers take them.
            Err(error) if form == Form::SevenBit && error.fate == Fate::Refused => {
                let only_long =
                    !facts.nul && !is_binary && (!facts.is_eight_bit() || peer.eight_bit_mime);
                match only_long {
                    true => self.form(Form::Lines).await?,
                    false => return Err(error),
                }
            }
            result => result?,
        };
        let is_eight_bit = form != Form::SevenBit && facts.is_eight_bit() || !body.is_ascii();
        let about = About {
            size: (front.len() + body.len()) as u64,
            body: match form {
                Form::Binary => Some("BINARYMIME"),
                Form::Lines | Form::SevenBit if is_eight_bit && peer.eight_bit_mime => {
                    Some("8BITMIME")
                }
                Form::Lines | Form::SevenBit => None,
            },
            smtputf8: peer.smtputf8 && (addresses || header),
            requiretls,
        };
        // RFC 1870 §6.1: told before it is sent.
        if let Some(max) = peer.size.filter(|max| *max > 0)
            && about.size > max
        {
            return Err(NoHost::refused(format!(
                "552 5.3.4 The message has {} octets, and the next server takes {max} at most",
                about.size
            )));
        }
        Ok(Letter { front, body, about })
    }

    async fn form(&mut self, form: Form) -> Made {
        if let Some((_, made)) = self.made.iter().find(|(other, _)| *other == form) {
            return made.clone();
        }
        let made = self.make(form).await;
        self.made.push((form, made.clone()));
        made
    }

    async fn make(&self, form: Form) -> Made {
        let message = &self.job.message;
        let lines = || match self.facts.bare {
            true => content::with_crlf(message),
            false => message.clone(),
        };
        let body = match form {
            Form::Binary => message.clone(),
            Form::Lines => lines(),
            Form::SevenBit => {
                let source = if self.is_flagged_binary {
                    message.clone()
                } else {
                    lines()
                };
                // It takes its time with a large message.
                let converted =
                    tokio::task::spawn_blocking(move || content::to_seven_bit(&source)).await;
                converted.ok().flatten().ok_or_else(|| {
                    NoHost::refused(
                        "554 5.6.3 The next server does not take the message as it is, and it can't be converted",
                    )
                })?
            }
        };
        let front = match self.signer {
            None => Bytes::new(),
            Some(signer) => signer.sign(self.job, &body).await.map_err(|why| {
                tracing::warn!(%why, "a message can't be signed, and waits");
                NoHost::later("451 4.3.0 The message can't be signed now")
            })?,
        };
        Ok((front, body))
    }
}
