//! The mails of alerts.
//!
//! Holds: what others say can't end a line or begin a field; the null reverse-path and Auto-Submitted (RFC 3834 §5) keep anything from answering.

use bytes::Bytes;
use store::{engine::Assertion, keys};

use super::{AlertRecord, AlertSettings, Stored};
use crate::{
    Caller, Core, Role,
    directory::AccountKind,
    inproc::deliver::{Arrival, Inbound, Recipient, RecipientError},
    mail::message::SentAt,
};

/// Administrators who get a mail.
const RECIPIENTS_MAX: usize = 50;

/// Who is told.
struct To {
    here: Vec<Recipient>,
    elsewhere: Vec<String>,
    /// Of some, it can't be found out at the moment who they are.
    is_unknown: bool,
}

impl Core {
    /// Sends a mail about an alert as it is. Whether it is where it is to go, at least for one.
    pub(super) async fn mail(&self, of: &Stored, settings: &AlertSettings) -> bool {
        match self.try_mail(of, settings).await {
            Ok(is_there) => is_there,
            Err(error) => {
                tracing::error!(kind = %of.record.kind, %error, "an alert could not be mailed, and is tried again");
                false
            }
        }
    }

    async fn try_mail(
        &self,
        of: &Stored,
        settings: &AlertSettings,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let To {
            here,
            elsewhere,
            is_unknown,
        } = self.alert_recipients(settings).await?;
        if here.is_empty() && elsewhere.is_empty() {
            // Nobody is there to be told: that stays so for a while, unless it could not be found out.
            return Ok(!is_unknown);
        }
        let addresses = here.iter().map(|of| of.address.clone());
        let to: Vec<String> = addresses.chain(elsewhere.iter().cloned()).collect();
        let mut random = [0; 16];
        self.rng.fill(&mut random);
        let now = self.clock.now().seconds();
        let letter = letter(&of.record, &self.hostname(), &to, now, &random);
        let mut is_there = false;
        if !here.is_empty() {
            let inbound = Inbound {
                mail_from: None,
                recipients: here,
                message: letter.clone(),
                peer: None,
                is_junk: false,
                // One of them who can't have it now keeps it from no other.
                answers_each: true,
                arrival: Arrival::default(),
            };
            let results = self.deliver(inbound).await;
            is_there |= results.iter().any(Result::is_ok);
        }
        if !elsewhere.is_empty() {
            let fence = Assertion::Equals(keys::alert(of.number), of.bytes.clone());
            let sent = self.send_and_delete("", Some((elsewhere, letter)), fence, &[]);
            match sent.await {
                Ok(()) => is_there = true,
                // Those here aren't told over and over.
                Err(error) if is_there => {
                    tracing::error!(kind = %of.record.kind, %error, "an alert could not be mailed to addresses elsewhere");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(is_there)
    }

    /// Accounts here, and addresses elsewhere.
    async fn alert_recipients(
        &self,
        settings: &AlertSettings,
    ) -> Result<To, crate::directory::DirectoryError> {
        let (mut here, mut elsewhere, mut is_unknown) = (Vec::new(), Vec::new(), false);
        if settings.to.is_empty() {
            for account in self.accounts(&Caller::server()).await? {
                let record = &account.record;
                let is_meant = record.role == Role::Administrator
                    && record.kind == AccountKind::Person
                    && !record.disabled;
                if is_meant && here.len() < RECIPIENTS_MAX {
                    let address = record.addresses.first().unwrap_or(&record.name);
                    here.push(Recipient {
                        address: address.clone(),
                        targets: vec![account.id],
                    });
                }
            }
        }
        for address in settings.to.iter().take(RECIPIENTS_MAX) {
            match self.resolve_recipient(address).await {
                Ok(recipient) => here.push(recipient),
                Err(RecipientError::NotLocal) => elsewhere.push(address.clone()),
                Err(error) => {
                    is_unknown |= error == RecipientError::Temporary;
                    tracing::warn!(address, %error, "alerts are not mailed to an address")
                }
            }
        }
        Ok(To {
            here,
            elsewhere,
            is_unknown,
        })
    }
}

/// RFC 5322; ASCII, but for what a sentence quotes, which is UTF-8 (RFC 2045 §6.2: 8bit).
fn letter(
    record: &AlertRecord,
    hostname: &str,
    to: &[String],
    now: i64,
    random: &[u8; 16],
) -> Bytes {
    let number = random.iter().fold(String::new(), |mut text, octet| {
        use std::fmt::Write as _;
        let _ = write!(text, "{octet:02x}");
        text
    });
    let is_over = record.over.is_some();
    let about = match (record.subject.as_str(), record.node.as_str()) {
        ("", "") => String::new(),
        ("", node) => format!(" ({node})"),
        (subject, "") => format!(" ({subject})"),
        (subject, node) => format!(" ({subject}, {node})"),
    };
    let state = if is_over { "over" } else { "alert" };
    let subject: String = format!("[{hostname}] {state}: {}{about}", record.kind)
        .chars()
        .filter(|c| c.is_ascii() && !c.is_ascii_control())
        .take(200)
        .collect();
    let to: Vec<String> = to
        .iter()
        .filter(|to| to.is_ascii() && to.contains('@'))
        .map(|to| format!("<{to}>"))
        .collect();
    let to = match to.is_empty() {
        // RFC 5322 §3.4: a group without members.
        true => "administrators:;".to_owned(),
        false => to.join(",\r\n "),
    };
    let date = |seconds: i64| SentAt::utc(seconds).to_rfc5322();
    let sentence: String = record
        .sentence
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut text = format!("{sentence}\r\n\r\nSince: {}\r\n", date(record.since / 1000));
    match record.over {
        Some(over) => text.push_str(&format!("Over:  {}\r\n", date(over / 1000))),
        None => {
            text.push_str("It is mailed once a day as long as it goes on, and when it is over.\r\n")
        }
    }
    format!(
        "From: Posthorn <postmaster@{hostname}>\r\n\
         To: {to}\r\n\
         Subject: {subject}\r\n\
         Date: {}\r\n\
         Message-ID: <{number}@{hostname}>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         {text}",
        date(now)
    )
    .into()
}
