//! What needs an administrator, and who is told.
//!
//! Other half: `crate::alerts`.

use std::net::IpAddr;

use jmap_core::alert::{AlertSettings, Thresholds};
use serde::{Deserialize, Serialize};

use super::values::{Hostname, Span};

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alerts {
    pub mail: bool,
    /// Addresses; empty: the inboxes of all administrators.
    pub to: Vec<String>,
    pub every: Span,
    pub calm: Span,
    pub remind: Span,
    /// Percent; 0: never.
    pub disk: u8,
    pub queue_length: u64,
    pub queue_age: Span,
    /// Before the end of a certificate.
    pub certificate: Span,
    /// After a backup was due.
    pub backup: Span,
    pub blocklists: Vec<Hostname>,
    pub blocklist_every: Span,
    /// Empty: those of the server's name.
    pub addresses: Vec<IpAddr>,
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts {
            mail: true,
            to: Vec::new(),
            every: Span::seconds(60),
            calm: Span::seconds(300),
            remind: Span::seconds(86_400),
            disk: 90,
            queue_length: 5000,
            queue_age: Span::seconds(6 * 3600),
            certificate: Span::seconds(14 * 86_400),
            backup: Span::seconds(86_400),
            blocklists: Vec::new(),
            blocklist_every: Span::seconds(3600),
            addresses: Vec::new(),
        }
    }
}

fn ms(span: Span) -> i64 {
    i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX)
}

impl Alerts {
    /// As the core has it.
    pub fn core(&self) -> AlertSettings {
        AlertSettings {
            is_mailed: self.mail,
            to: self.to.clone(),
            remind_ms: ms(self.remind),
            calm_ms: ms(self.calm),
        }
    }

    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            queue_length: self.queue_length,
            queue_age: ms(self.queue_age) / 1000,
        }
    }
}
