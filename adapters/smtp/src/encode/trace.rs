//! Trace header fields (RFC 5321 §4.4): Return-Path and Received.
//!
//! Holds: what the client has said is written only as `parse` has let it through, so that it can't end a line.
//! Other half: `message`, whose count of Received fields ends loops.

use std::fmt::Write;
use std::net::IpAddr;

use jmap_core::clock::UtcMillis;

use super::date::date_time;

/// How a message was transmitted: the WITH clause (RFC 3848; RFC 6531 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub lmtp: bool,
    /// EHLO or LHLO, not HELO.
    pub extended: bool,
    pub smtputf8: bool,
    pub tls: bool,
    pub authenticated: bool,
}

impl Protocol {
    pub fn name(self) -> String {
        if !self.extended {
            return "SMTP".to_owned();
        }
        let base = match (self.lmtp, self.smtputf8) {
            (false, false) => "ESMTP",
            (false, true) => "UTF8SMTP",
            (true, false) => "LMTP",
            (true, true) => "UTF8LMTP",
        };
        let tls = if self.tls { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        format!("{base}{tls}{authenticated}")
    }
}

/// What a Received field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The client's EHLO.
    pub from: &'a str,
    /// `None`: a process of this machine.
    pub peer: Option<IpAddr>,
    pub by: &'a str,
    pub with: Protocol,
    /// Version and cipher.
    pub tls: Option<(&'a str, &'a str)>,
    pub id: &'a str,
    /// The recipient, when there is exactly one: to name more would tell them of each other (RFC 5321 §7.6).
    pub recipient: Option<&'a str>,
    /// RFC 6710 §3.7
    pub priority: Option<&'a str>,
    pub at: UtcMillis,
}

impl Received<'_> {
    /// The field with its CRLF.
    pub fn encode(&self) -> String {
        let mut field = format!("Received: from {}", self.from);
        // Writing to a String can't fail.
        let _ = match self.peer.map(|peer| peer.to_canonical()) {
            Some(IpAddr::V4(peer)) => write!(field, " ([{peer}])"),
            Some(IpAddr::V6(peer)) => write!(field, " ([IPv6:{peer}])"),
            None => Ok(()),
        };
        let _ = write!(field, "\r\n\tby {} with {}", self.by, self.with.name());
        if let Some((version, cipher)) = self.tls {
            let _ = write!(field, " ({version} {cipher})");
        }
        let _ = write!(field, "\r\n\tid {}", self.id);
        if let Some(recipient) = self.recipient {
            let _ = write!(field, " for <{recipient}>");
        }
        if let Some(priority) = self.priority {
            let _ = write!(field, " PRIORITY {priority}");
        }
        let _ = write!(field, ";\r\n\t{}\r\n", date_time(self.at));
        field
    }
}

/// The field with its CRLF. `None` is the null reverse-path.
pub fn return_path(mail_from: Option<&str>) -> String {
    format!("Return-Path: <{}>\r\n", mail_from.unwrap_or_default())
}
