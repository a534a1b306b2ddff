//! The mail that a report is sent in (RFC 7489 §7.2.1.1, RFC 8460 §5.3).
//!
//! Holds: ASCII lines of at most 76 octets in the body, CRLF; what others say can't end a line.
//! Other half: `outgoing` hands it to the queue.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::mail::message::SentAt;

/// What such a mail is made of.
pub(super) struct Letter<'a> {
    pub hostname: &'a str,
    pub from: &'a str,
    pub to: &'a [String],
    /// Whose mail it is about.
    pub domain: &'a str,
    pub report_id: &'a str,
    /// What the first line of the text says that this is.
    pub title: &'a str,
    /// More header fields, each with its line end.
    pub fields: String,
    /// `mixed`, or `report` with its parameter.
    pub multipart: &'a str,
    pub file_type: &'a str,
    pub file_name: String,
    pub file: &'a [u8],
    /// Seconds since 1970.
    pub now: i64,
    pub random: [u8; 16],
}

impl Letter<'_> {
    pub fn build(&self) -> Bytes {
        const LINE: usize = 76;
        let number = self.random.iter().fold(String::new(), |mut text, octet| {
            let _ = write!(text, "{octet:02x}");
            text
        });
        let Self {
            hostname,
            from,
            domain,
            report_id,
            title,
            fields,
            multipart,
            file_type,
            file_name,
            ..
        } = self;
        let to: Vec<String> = self.to.iter().map(|to| format!("<{to}>")).collect();
        let to = to.join(",\r\n ");
        let date = SentAt::utc(self.now).to_rfc5322();
        let mut text = format!(
            "From: <{from}>\r\n\
             To: {to}\r\n\
             Subject: Report Domain: {domain}\r\n Submitter: {hostname}\r\n Report-ID: <{report_id}>\r\n\
             Date: {date}\r\n\
             Message-ID: <{number}@{hostname}>\r\n\
             Auto-Submitted: auto-generated\r\n\
             {fields}\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/{multipart};\r\n boundary=\"=_{number}\"\r\n\
             \r\n\
             --=_{number}\r\n\
             Content-Type: text/plain; charset=us-ascii\r\n\
             \r\n\
             {title}\r\n\
             \r\n\
             Report Domain: {domain}\r\n\
             Submitter: {hostname}\r\n\
             Report-ID: <{report_id}>\r\n\
             \r\n\
             --=_{number}\r\n\
             Content-Type: {file_type}\r\n\
             Content-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n filename=\"{file_name}\"\r\n\
             \r\n"
        );
        let encoded = STANDARD.encode(self.file);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push_str("\r\n");
            rest = after;
        }
        let _ = write!(text, "--=_{number}--\r\n");
        text.into()
    }
}
