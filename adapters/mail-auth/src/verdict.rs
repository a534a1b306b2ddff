//! What was found out about a message, as values.
//!
//! Holds: the names of results are those of RFC 8601 §2.7.
//! Other half: `field`, which writes them down.

use std::net::IpAddr;

/// The result of one method (RFC 8601 §2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    None,
    Pass,
    Fail,
    SoftFail,
    Neutral,
    /// There is a signature, and it is of a kind that isn't believed here.
    Policy,
    /// It could be another one later: the DNS did not answer.
    TempError,
    PermError,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Outcome::None => "none",
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::SoftFail => "softfail",
            Outcome::Neutral => "neutral",
            Outcome::Policy => "policy",
            Outcome::TempError => "temperror",
            Outcome::PermError => "permerror",
        }
    }
}

/// A result, and why it isn't a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub outcome: Outcome,
    /// Printable ASCII.
    pub reason: Option<&'static str>,
}

impl Finding {
    pub(crate) fn of(outcome: Outcome) -> Finding {
        Finding {
            outcome,
            reason: None,
        }
    }

    pub(crate) fn because(outcome: Outcome, reason: &'static str) -> Finding {
        Finding {
            outcome,
            reason: Some(reason),
        }
    }

    pub(crate) fn no_answer() -> Finding {
        Finding::because(Outcome::TempError, "the DNS did not answer")
    }
}

/// Whose SPF record was asked for (RFC 7208 §2.3, §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    MailFrom,
    Helo,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spf {
    pub finding: Finding,
    pub identity: Identity,
    /// The address of MAIL FROM, or the name of EHLO.
    pub value: String,
}

/// A DKIM signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    pub finding: Finding,
    /// `d=`, `s=`, `i=`, `a=`; empty where they are missing or could not be read.
    pub domain: String,
    pub selector: String,
    pub identity: String,
    pub algorithm: &'static str,
    /// The first eight characters of `b=` (RFC 6008).
    pub signature: String,
}

/// The chain of ARC sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arc {
    pub finding: Finding,
    pub sets: usize,
    /// Who has sealed last; empty if unknown.
    pub sealer: String,
}

/// Whether the client's address and its name belong together (RFC 8601 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iprev {
    pub finding: Finding,
    /// The first name that the address has.
    pub name: Option<String>,
}

/// What a domain wants done with mail that fails (RFC 7489 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    None,
    Quarantine,
    Reject,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Policy::None => "none",
            Policy::Quarantine => "quarantine",
            Policy::Reject => "reject",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dmarc {
    pub finding: Finding,
    /// Of the From field; empty if there is none.
    pub domain: String,
    /// `None`: the domain has no DMARC record, or it could not be had.
    pub policy: Option<Policy>,
    /// Whether a signature, or SPF, passes for the domain.
    pub dkim_aligned: bool,
    pub spf_aligned: bool,
}

/// What the author's domain asks for, this message being what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    None,
    Quarantine,
    Reject,
}

/// What was found out about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub peer: IpAddr,
    pub iprev: Iprev,
    /// Of MAIL FROM, if it isn't the null reverse-path, and of EHLO, if it is a domain name.
    pub spf: Vec<Spf>,
    pub dkim: Vec<Dkim>,
    /// `None`: no ARC field.
    pub arc: Option<Arc>,
    pub dmarc: Dmarc,
    pub disposition: Disposition,
}
