//! Reports of failed delivery (RFC 3464), as the sender gets them.
//!
//! Holds: a report quotes at most [`HEADER_OCTETS_MAX`] of the message's header section, and nothing of its body.
//! Other half: `inproc::queue` decides that a delivery has failed.

use std::fmt::Write as _;

use super::records::{EnvelopeAddress, RecipientRecord, SubmissionRecord};
use crate::mail::message::SentAt;

/// Octets of the header section that a report quotes.
pub const HEADER_OCTETS_MAX: usize = 32 << 10;

/// RFC 3461 §4.1: a sender may want no report of failures.
pub fn is_wanted(recipient: &EnvelopeAddress) -> bool {
    let Some(notify) = recipient
        .parameter("NOTIFY")
        .and_then(|parameter| parameter.value.as_deref())
    else {
        return true;
    };
    notify
        .split(',')
        .any(|word| word.trim().eq_ignore_ascii_case("FAILURE"))
}

/// The report, whole. `now`: seconds since 1970.
pub fn build(
    hostname: &str,
    record: &SubmissionRecord,
    failed: &[RecipientRecord],
    message: &[u8],
    now: i64,
    random: [u8; 32],
) -> Vec<u8> {
    let number = random.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    });
    let (boundary, id) = number.split_at(32);
    let date = SentAt::utc(now).to_rfc5322();
    let to = &record.mail_from.email;
    let mut report = format!(
        "From: Mail Delivery System <MAILER-DAEMON@{hostname}>\r\n\
         To: <{to}>\r\n\
         Subject: Your message could not be delivered\r\n\
         Date: {date}\r\n\
         Message-ID: <{id}@{hostname}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"=_{boundary}\"\r\n\
         \r\n\
         --=_{boundary}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\
         \r\n\
         Your message could not be delivered to:\r\n\r\n"
    );
    for recipient in failed {
        let _ = write!(
            report,
            "  {}\r\n    {}\r\n",
            recipient.address.email, recipient.smtp_reply
        );
    }
    let _ = write!(
        report,
        "\r\nNothing more will be tried for these recipients.\r\n\
         --=_{boundary}\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; {hostname}\r\n"
    );
    if let Some(id) = record
        .mail_from
        .parameter("ENVID")
        .and_then(|parameter| parameter.value.as_deref())
    {
        let _ = write!(report, "Original-Envelope-Id: {id}\r\n");
    }
    let _ = write!(
        report,
        "Arrival-Date: {}\r\n",
        SentAt::utc(record.send_at).to_rfc5322()
    );
    for recipient in failed {
        let email = &recipient.address.email;
        // RFC 6533 §3
        let kind = if email.is_ascii() { "rfc822" } else { "utf-8" };
        let status = recipient.smtp_reply.split(' ').nth(1).unwrap_or("5.0.0");
        let _ = write!(
            report,
            "\r\nFinal-Recipient: {kind}; {email}\r\nAction: failed\r\nStatus: {status}\r\n\
             Diagnostic-Code: smtp; {}\r\n",
            recipient.smtp_reply
        );
    }
    let _ = write!(
        report,
        "\r\n--=_{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n"
    );
    let mut report = report.into_bytes();
    report.extend_from_slice(header_section(message));
    report.extend_from_slice(format!("\r\n--=_{boundary}--\r\n").as_bytes());
    report
}

/// The header section without its empty line; whole lines, at most [`HEADER_OCTETS_MAX`].
fn header_section(message: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(message, b"\r\n\r\n").map_or(message.len(), |at| at + 2);
    let section = &message[..end];
    if section.len() <= HEADER_OCTETS_MAX {
        return section;
    }
    let cut = &section[..HEADER_OCTETS_MAX];
    &cut[..memchr::memrchr(b'\n', cut).map_or(0, |at| at + 1)]
}
