//! Core <-> SMTP: errors as replies (RFC 5321 §4.2, RFC 3463, RFC 4954 §6), credentials.
//!
//! Holds: every variant of every error is written out, so that a new one does not compile until it has its reply. No
//! reply tells more than the client needs.
//! Other half: `encode`, which writes the replies.

use std::net::{IpAddr, Ipv4Addr};

use jmap_core::auth::{AuthError, Credentials, Origin, Protocol, Secret};
use jmap_core::inproc::deliver::{DeliverError, RecipientError};
use net::Refusal;
use net::sasl::{self, SaslError};

use crate::backend::SubmitError;
use crate::encode::Reply;
use crate::parse::ParseError;

/// Why a line was not understood.
pub fn parse_error(error: ParseError) -> Reply {
    match error {
        ParseError::UnknownCommand => Reply::new(500, "5.5.1", "There is no such command"),
        ParseError::OtherProtocol => Reply::new(421, "4.7.0", "This is a mail server"),
        ParseError::TooLong => Reply::new(500, "5.5.2", "The line is too long"),
        ParseError::Syntax(syntax) => Reply::new(501, "5.5.4", format!("Syntax: {syntax}")),
        ParseError::SenderAddress => Reply::new(
            501,
            "5.1.7",
            "The sender is not a mail address in angle brackets",
        ),
        ParseError::RecipientAddress => Reply::new(
            501,
            "5.1.3",
            "The recipient is not a mail address in angle brackets",
        ),
        ParseError::UnknownParameter => {
            Reply::new(555, "5.5.4", "There is a parameter that is not offered")
        }
        ParseError::ParameterValue => Reply::new(
            501,
            "5.5.4",
            "There is a parameter with a wrong value, or twice",
        ),
        ParseError::ChunkSize => Reply::new(421, "4.5.4", "Syntax: BDAT octets [LAST]; closing"),
    }
}

/// At RCPT.
pub fn recipient_error(error: RecipientError) -> Reply {
    match error {
        RecipientError::NotLocal => Reply::new(550, "5.7.1", "Relaying is denied"),
        RecipientError::NoSuchMailbox => Reply::new(550, "5.1.1", "There is no such mailbox"),
        RecipientError::Disabled => Reply::new(550, "5.2.1", "The mailbox is disabled"),
        RecipientError::OverQuota => Reply::new(452, "4.2.2", "The mailbox is full"),
        RecipientError::Temporary => temporary_failure(),
    }
}

/// After the message.
pub fn deliver_error(error: &DeliverError) -> Reply {
    match error {
        DeliverError::Refused(reason) => Reply::new(550, "5.7.1", reason.clone()),
        DeliverError::Loop => Reply::new(554, "5.4.6", "The message goes round in circles"),
        DeliverError::OverQuota => Reply::new(452, "4.2.2", "The mailbox is full"),
        DeliverError::NoSuchMailbox => Reply::new(550, "5.1.1", "There is no such mailbox"),
        DeliverError::NoRoom => Reply::new(452, "4.3.1", "The mail system has no room"),
        DeliverError::Temporary => temporary_failure(),
    }
}

/// After a message that was to be sent.
pub fn submit_error(error: &SubmitError) -> Reply {
    match error {
        SubmitError::ForbiddenFrom => {
            Reply::new(550, "5.7.1", "You may not send with this From address")
        }
        SubmitError::ForbiddenSender => {
            Reply::new(550, "5.7.1", "You may not send with this Sender address")
        }
        SubmitError::ForbiddenMailFrom => {
            Reply::new(550, "5.7.1", "You may not send with this MAIL FROM address")
        }
        SubmitError::InvalidRecipients(addresses) => {
            let text = format!("Can't be sent to: {}", addresses.join(", "));
            Reply::new(550, "5.1.3", text)
        }
        SubmitError::Parameter(why) => Reply::new(501, "5.5.4", why.clone()),
        SubmitError::TooLarge => too_large(),
        SubmitError::TooManyRecipients => Reply::new(452, "4.5.3", "There are too many recipients"),
        SubmitError::SentTooMuch { minutes } => {
            let text = format!(
                "You have sent to too many recipients lately; try again in {minutes} minutes"
            );
            Reply::new(450, "4.7.1", text)
        }
        SubmitError::TooManyWaiting => Reply::new(
            452,
            "4.2.2",
            "Too many of your messages still wait to be sent; try again later",
        ),
        SubmitError::Temporary => temporary_failure(),
    }
}

pub fn too_large() -> Reply {
    Reply::new(552, "5.3.4", "The message is too large")
}

pub fn temporary_failure() -> Reply {
    Reply::new(
        451,
        "4.3.0",
        "The mail system has a temporary failure; try again later",
    )
}

/// DMARC fails, and the domain of the From field asks for a refusal (RFC 7489 §10.3).
pub fn dmarc_refusal(domain: &str) -> Reply {
    let text = format!(
        "{} asks for mail like this to be refused: neither SPF nor DKIM passes for it (DMARC)",
        the_domain(domain)
    );
    Reply::new(550, "5.7.1", text)
}

/// It isn't known what the domain of the From field asks for.
pub fn dmarc_unknown(domain: &str) -> Reply {
    let text = format!(
        "The DNS does not answer about {}; try again later (DMARC)",
        the_domain(domain)
    );
    Reply::new(451, "4.4.3", text)
}

/// As it can be shown.
fn the_domain(domain: &str) -> &str {
    let proper = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    match domain.len() <= 255 && domain.bytes().all(proper) && !domain.is_empty() {
        true => domain,
        false => "The domain of the From field",
    }
}

pub fn no_room_in_flight() -> Reply {
    Reply::new(
        451,
        "4.3.2",
        "The server is busy with other messages; try again later",
    )
}

/// SMTP has one answer for all recipients. What one of them has must not be sent again, or they would have it twice: the core tells the
/// sender of the others (RFC 5321 §6.1).
///
/// `None`: the message is taken.
pub fn one_for_all(outcomes: &[Result<(), DeliverError>]) -> Option<Reply> {
    if outcomes.iter().any(Result::is_ok) {
        return None;
    }
    let errors = || outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let temporary = errors().find(|error| error.is_temporary());
    temporary.or_else(|| errors().next()).map(deliver_error)
}

/// What was wrong with an AUTH exchange (RFC 4954 §4).
pub fn sasl_error(error: SaslError) -> Reply {
    match error {
        SaslError::Cancelled => Reply::new(501, "5.7.0", "Authentication cancelled"),
        SaslError::Base64 => Reply::new(501, "5.5.2", "The response is not base64"),
        SaslError::TooLong => Reply::new(500, "5.5.6", "The response is too long"),
        SaslError::Malformed => Reply::new(
            501,
            "5.5.2",
            "The response is not what the mechanism asks for",
        ),
        SaslError::Refused | SaslError::Over => invalid_credentials(),
    }
}

pub fn auth_error(error: &AuthError) -> Reply {
    match error {
        AuthError::Invalid => invalid_credentials(),
        AuthError::TooManyAttempts { retry_after } => {
            let seconds = retry_after.as_secs().max(1);
            let text = format!("Too many failed logins; try again in {seconds} seconds");
            Reply::new(454, "4.7.0", text)
        }
        AuthError::Expired => Reply::new(535, "5.7.8", "This password or token has expired"),
        // RFC 4954 §6: the authentication went well, and isn't good for this.
        AuthError::OutOfScope => Reply::new(
            550,
            "5.7.1",
            "This password or token is not meant for sending mail",
        ),
        // RFC 4954 §6: a stronger one is needed.
        AuthError::SecondFactor => Reply::new(
            534,
            "5.7.9",
            "This account has a second factor: make an app password for this program",
        ),
        // RFC 5248 §2.4
        AuthError::Disabled => Reply::new(525, "5.7.13", "The account is disabled"),
        AuthError::TooBusy | AuthError::Unavailable => Reply::new(
            454,
            "4.7.0",
            "Logins can't be checked at the moment; try again later",
        ),
    }
}

pub fn invalid_credentials() -> Reply {
    Reply::new(535, "5.7.8", "The login name or the secret is wrong")
}

/// What a client is told that is not even let in.
pub fn refusal(why: Refusal) -> Reply {
    match why {
        Refusal::Total => Reply::new(421, "4.3.2", "Too many connections; try again later"),
        Refusal::PerClient => Reply::new(
            421,
            "4.7.0",
            "Too many connections from your address; try again later",
        ),
        // Temporary, so that whoever was banned by mistake loses no mail.
        Refusal::Banned => Reply::new(421, "4.7.1", "Your address is banned for now"),
        Refusal::Rate => Reply::new(
            421,
            "4.7.0",
            "Connections from your address come too fast; try again later",
        ),
    }
}

/// `None`: somebody wants to act as somebody else, which nobody may.
pub fn credentials(credentials: sasl::Credentials) -> Option<Credentials> {
    match credentials {
        sasl::Credentials::Password {
            authzid,
            authcid,
            password,
        } => {
            if !is_same(authzid.as_deref(), &authcid) {
                return None;
            }
            Some(Credentials::Password {
                login: authcid,
                password: Secret::new(password.expose().clone()),
            })
        }
        // The token alone says whose it is.
        sasl::Credentials::Bearer { authzid, token } => Some(Credentials::Bearer {
            authzid,
            token: Secret::new(token.expose().clone()),
        }),
    }
}

/// Whether nobody else is meant than who logs in.
pub fn is_same(authzid: Option<&str>, login: &str) -> bool {
    authzid.is_none_or(|authzid| authzid.eq_ignore_ascii_case(login))
}

/// A process of this machine counts as its loopback address.
pub fn origin(ip: Option<IpAddr>, tls: bool) -> Origin {
    Origin {
        ip: ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        protocol: Protocol::Submission,
        tls,
    }
}

#[cfg(test)]
mod tests;
