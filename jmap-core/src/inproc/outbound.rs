//! Mail for other servers: what the queue asks of whoever speaks SMTP to them.
//!
//! Holds: one call is at most one mail transaction (RFC 5321 §3.3), and it returns as soon as the last reply of that
//! transaction is there, before the connection is used for anything else: what was accepted is recorded first.
//! Other half: `queue`, which calls; `adapters/smtp/client`, which sends.

use std::{fmt, net::IpAddr};

use async_trait::async_trait;
use bytes::Bytes;
use jmap_types::AccountId;

use crate::mail::submission::records::EnvelopeAddress;

/// Sends mail to other servers.
#[async_trait]
pub trait Outbound: Send + Sync + fmt::Debug {
    /// Tries to send a message to recipients of one domain. Recipients that no outcome names were not tried, since the
    /// transaction had no room for them (RFC 9422 RCPTMAX, or 452 4.5.3 after some were taken): they are sent at once in another call.
    /// When nobody at all was tried, each recipient has an outcome that says why.
    ///
    /// Dropping the future cuts the connection: nobody knows then what the peer has taken.
    async fn send(&self, job: &Job) -> Attempt;
}

/// A message on its way to one domain.
#[derive(Clone, Debug)]
pub struct Job {
    pub account: AccountId,
    pub submission: u64,
    /// Where the recipients are: in lower case, A-labels (RFC 5890); or an address literal with its brackets.
    pub domain: String,
    /// The reverse-path with its ESMTP parameters, as submitted (RET, ENVID, SMTPUTF8, BODY, REQUIRETLS, MT-PRIORITY,
    /// BY ...); an empty address is the null reverse-path. HOLDFOR and HOLDUNTIL are the queue's own and not passed on.
    pub mail_from: EnvelopeAddress,
    pub recipients: Vec<JobRecipient>,
    /// With CRLF line ends; neither dot-stuffed nor signed.
    pub message: Bytes,
}

/// A recipient with its ESMTP parameters (NOTIFY, ORCPT).
#[derive(Clone, Debug)]
pub struct JobRecipient {
    /// The index that its outcome has.
    pub at: usize,
    pub address: EnvelopeAddress,
}

/// What came of one call.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub outcomes: Vec<Outcome>,
    /// The hosts that were tried, in order; for people who ask what happened.
    pub hosts: Vec<HostTried>,
}

/// A host that was connected to, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTried {
    /// Milliseconds since 1970.
    pub when: i64,
    /// Name of the mail exchanger.
    pub host: String,
    pub address: Option<IpAddr>,
    /// In what way the connection was encrypted, in words: "TLSv1.3, verified by DANE"; `None`: it was not.
    pub tls: Option<String>,
    /// What ended it: the peer's reply, or what went wrong.
    pub result: String,
    /// What a TLS report (RFC 8460) says of it; `None` when no connection was made, and nothing can be said of TLS.
    pub evaluation: Option<TlsEvaluation>,
}

/// Whether a session kept to what its domain asks for (RFC 8460 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsEvaluation {
    pub policy: TlsPolicyKind,
    /// The lines of the policy: TLSA records, or those of the MTA-STS policy file; empty without a policy.
    pub policy_lines: Vec<String>,
    pub policy_domain: String,
    /// `mx` of an MTA-STS policy.
    pub mx_patterns: Vec<String>,
    /// `None`: as asked for. Otherwise a result type of RFC 8460 §4.3, such as `certificate-host-mismatch`.
    pub failure: Option<TlsFailure>,
}

/// The policy that a session was evaluated by (RFC 8460 §4.2, `policy-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPolicyKind {
    Tlsa,
    Sts,
    NoPolicyFound,
}

/// A failed session (RFC 8460 §4.3, §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    pub result_type: &'static str,
    /// What the library says, for people.
    pub reason: String,
    /// Our end of the connection.
    pub sending_address: Option<IpAddr>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// [`JobRecipient::at`].
    pub at: usize,
    pub fate: Fate,
    /// The reply as the peer gave it, lines joined by a space, or one of ours in the same shape:
    /// code, enhanced code (RFC 3463), text: `450 4.7.1 Try again later`.
    pub reply: String,
    /// The name of the host that gave the reply; `None`: it is ours.
    pub remote: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The peer has taken it.
    Accepted {
        /// It knows DSN (RFC 3461) and was told what the sender wants to know: reports of success are its part now.
        tells_success: bool,
    },
    /// It will never be taken.
    Refused,
    /// It may be taken later.
    Later,
}
