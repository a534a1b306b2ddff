//! STARTTLS, LOGIN, AUTHENTICATE, UNAUTHENTICATE (RFC 9051 §6.2, RFC 4959, RFC 7677, RFC 8437).
//!
//! Holds: no password is taken over a connection that others can read, unless that is configured; how often a login may fail is for the core
//! to say, for all protocols together, and here for one connection.
//! Other half: `net::sasl`, and `Core::login`.

use jmap_core::Caller;
use jmap_core::auth::{AuthError, Credentials, Origin, Protocol, Secret};
use net::reader::ReadError;
use net::sasl::{self, Exchange, Mechanism, SaslError, Step};

use super::{No, answer};
use crate::command::Command;
use crate::encode::{self, Code, Status};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::errors;

pub fn start_tls_capabilities(session: &Session) -> &'static [&'static str] {
    match session.can_start_tls && session.caller.is_none() {
        true => &["STARTTLS"],
        false => &[],
    }
}

pub fn login_capabilities(session: &Session) -> &'static [&'static str] {
    match session.caller.is_none() && !session.may_log_in() {
        true => &["LOGINDISABLED"],
        false => &[],
    }
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    if session.caller.is_some() || !session.may_log_in() {
        return &[];
    }
    // RFC 5802 §6: with PLUS where there is something to bind to.
    match session.channel.can_bind() {
        true => MECHANISMS,
        false => MECHANISMS.get(1..).unwrap_or_default(),
    }
}

/// As `Mechanism::offered` has them.
const MECHANISMS: &[&str] = &[
    "AUTH=SCRAM-SHA-256-PLUS",
    "AUTH=SCRAM-SHA-256",
    "AUTH=PLAIN",
    "AUTH=LOGIN",
    "AUTH=OAUTHBEARER",
    "AUTH=XOAUTH2",
    "SASL-IR",
];

pub async fn start_tls(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    if session.tls.is_some() {
        return session.bad(out, tag, "TLS is active already");
    }
    if !session.can_start_tls {
        return session.bad(out, tag, "STARTTLS is not offered");
    }
    // Commands that somebody else has put there would be taken for the client's (CVE-2011-0411).
    if out.has_buffered() {
        let text = "Nothing may follow STARTTLS before the handshake";
        return Ok(session.bye(out, None, text));
    }
    out.tagged(tag, Status::Ok, None, "Go on with the handshake");
    Ok(Flow::StartTls)
}

fn privacy_required() -> No {
    let text = "Encrypt the connection first: say STARTTLS, or use the port of IMAP over TLS";
    No::Because(Some(Code::PrivacyRequired), text.to_owned())
}

pub async fn login(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Login { name, password } = command else {
        return Ok(Flow::Continue);
    };
    if !session.may_log_in() {
        return answer(session, out, tag, Err(privacy_required()), "").await;
    }
    let credentials = Credentials::Password {
        login: name,
        password: Secret::new(password.expose().clone()),
    };
    match check(session, credentials).await {
        Ok(caller) => welcome(session, out, tag, caller).await,
        Err(error) => {
            let (code, text) = errors::auth_error(&error);
            refuse(session, out, tag, No::Because(Some(code), text))
        }
    }
}

async fn check(session: &Session, credentials: Credentials) -> Result<Caller, AuthError> {
    let core = &session.server.core;
    core.login(credentials, origin(session)).await
}

/// A process of this machine counts as its loopback address.
fn origin(session: &Session) -> Origin {
    Origin {
        ip: session
            .peer_ip()
            .unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
        protocol: Protocol::Imap,
        tls: session.tls.is_some(),
    }
}

async fn welcome(session: &mut Session, out: &mut Out, tag: &str, caller: Caller) -> Handled {
    tracing::debug!(peer = %session.peer_name(), who = caller.name, "logged in");
    let core = &session.server.core;
    core.open_session(&session.place, &caller).await;
    session.caller = Some(caller);
    let code = Code::Capability(super::capabilities(session));
    out.tagged(tag, Status::Ok, Some(&code), "Welcome");
    Ok(Flow::Continue)
}

fn refuse(session: &mut Session, out: &mut Out, tag: &str, no: No) -> Handled {
    let (code, text) = match no {
        No::Because(code, text) => (code, text),
        No::Lost(error) => return Err(error),
    };
    tracing::info!(listener = "imap", peer = %session.peer_name(), reason = text, "refused");
    out.tagged(tag, Status::No, code.as_ref(), &text);
    session.counts.auth_failures += 1;
    if session.counts.auth_failures < session.server.config.limits.auth_failures_max {
        return Ok(Flow::Continue);
    }
    Ok(session.bye(out, Some(Code::Limit), "Too many failed logins"))
}

/// How an exchange ended.
enum Outcome {
    In(Caller),
    No(No),
    Bad(&'static str),
}

pub async fn authenticate(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let Command::Authenticate { mechanism, initial } = command else {
        return Ok(Flow::Continue);
    };
    let Some(mechanism) = Mechanism::named(mechanism.as_bytes()) else {
        return session
            .no(out, tag, Some(Code::Cannot), "There is no such mechanism")
            .await;
    };
    // What follows the login is no less secret than the password.
    if !session.may_log_in() {
        return answer(session, out, tag, Err(privacy_required()), "").await;
    }
    let initial = initial.as_ref().map(|initial| initial.expose().as_slice());
    match exchange(session, out, mechanism, initial).await? {
        Outcome::In(caller) => welcome(session, out, tag, caller).await,
        Outcome::No(no) => refuse(session, out, tag, no),
        Outcome::Bad(text) => session.bad(out, tag, text),
    }
}

/// Has the exchange, and asks the core.
async fn exchange(
    session: &Session,
    out: &mut Out,
    mechanism: Mechanism,
    initial: Option<&[u8]>,
) -> Result<Outcome, ReadError> {
    let started = Exchange::start_over(mechanism, initial, session.channel.clone());
    let (mut exchange, mut step) = match started {
        Ok(started) => started,
        Err(error) => return Ok(sasl_error(error)),
    };
    let credentials = loop {
        let challenge = match step {
            Step::Done(credentials) => break credentials,
            Step::Challenge(challenge) => challenge,
            Step::Identify { authzid, login } => {
                if !is_same(authzid.as_deref(), &login) {
                    return Ok(sasl_error(SaslError::Refused));
                }
                return match prove(session, out, &mut exchange, &login).await? {
                    Ok(caller) => Ok(Outcome::In(caller)),
                    Err(outcome) => Ok(outcome),
                };
            }
            // A step that only other mechanisms have.
            _ => return Ok(sasl_error(SaslError::Over)),
        };
        step = match respond(session, out, &mut exchange, &challenge).await? {
            Ok(next) => next,
            Err(error) => return Ok(sasl_error(error)),
        };
    };
    let Some(credentials) = credentials_of(credentials) else {
        return Ok(sasl_error(SaslError::Refused));
    };
    let error = match check(session, credentials).await {
        Ok(caller) => return Ok(Outcome::In(caller)),
        Err(error) => error,
    };
    // RFC 7628 §3.2.3: the client is told why in a challenge, which it answers with nothing.
    if error.is_refusal()
        && let Some(challenge) = exchange.refuse()
    {
        let _ = respond(session, out, &mut exchange, &challenge).await?;
    }
    Ok(auth_error(&error))
}

/// The rest of SCRAM: terms, proof, signature.
async fn prove(
    session: &Session,
    out: &mut Out,
    exchange: &mut Exchange,
    login: &str,
) -> Result<Result<Caller, Outcome>, ReadError> {
    let core = &session.server.core;
    let attempt = match core.scram_begin(login, origin(session)).await {
        Ok(attempt) => attempt,
        Err(error) => return Ok(Err(auth_error(&error))),
    };
    let step = exchange.identified(attempt.salt(), attempt.iterations(), attempt.nonce());
    let proof = match answered(session, out, exchange, step).await? {
        Ok(Step::Prove(proof)) => proof,
        Ok(_) => return Ok(Err(sasl_error(SaslError::Over))),
        Err(error) => return Ok(Err(sasl_error(error))),
    };
    let finished = core.scram_finish(attempt, &proof.signed, &proof.proof);
    let (caller, signature) = match finished.await {
        Ok(finished) => finished,
        Err(error) => return Ok(Err(auth_error(&error))),
    };
    let step = exchange.proved(&signature);
    match answered(session, out, exchange, step).await? {
        Ok(Step::Proved) => Ok(Ok(caller)),
        Ok(_) => Ok(Err(sasl_error(SaslError::Over))),
        Err(error) => Ok(Err(sasl_error(error))),
    }
}

/// Sends the challenge of a step, and reads the response.
async fn answered(
    session: &Session,
    out: &mut Out,
    exchange: &mut Exchange,
    step: Result<Step, SaslError>,
) -> Result<Result<Step, SaslError>, ReadError> {
    match step {
        Ok(Step::Challenge(challenge)) => respond(session, out, exchange, &challenge).await,
        Ok(_) => Ok(Err(SaslError::Over)),
        Err(error) => Ok(Err(error)),
    }
}

/// Sends a challenge, and reads the response.
async fn respond(
    session: &Session,
    out: &mut Out,
    exchange: &mut Exchange,
    challenge: &str,
) -> Result<Result<Step, SaslError>, ReadError> {
    encode::challenge(out.buffer(), challenge);
    out.flush().await?;
    let pace = session.server.config.timeouts.stranger;
    let line = match out.read_line(sasl::RESPONSE_OCTETS_MAX + 2, pace).await {
        Ok(line) => line,
        Err(ReadError::LineTooLong(_)) => return Ok(Err(SaslError::TooLong)),
        Err(error) => return Err(error),
    };
    let octets = net::Secret::new(line.octets);
    // A CR or LF of its own is no base64.
    let response = match line.form.is_strict() {
        true => octets.expose().as_slice(),
        false => b"\n",
    };
    Ok(exchange.respond(response))
}

/// RFC 9051 §6.2.2: what is no response, and a cancelled exchange, are BAD.
fn sasl_error(error: SaslError) -> Outcome {
    match error {
        SaslError::Cancelled => Outcome::Bad("Authentication cancelled"),
        SaslError::Base64 => Outcome::Bad("The response is not base64"),
        SaslError::TooLong => Outcome::Bad("The response is too long"),
        SaslError::Malformed => Outcome::Bad("The response is not what the mechanism asks for"),
        SaslError::Refused | SaslError::Over => auth_error(&AuthError::Invalid),
    }
}

fn auth_error(error: &AuthError) -> Outcome {
    let (code, text) = errors::auth_error(error);
    Outcome::No(No::Because(Some(code), text))
}

/// Nobody may act as somebody else.
fn is_same(authzid: Option<&str>, login: &str) -> bool {
    authzid.is_none_or(|authzid| authzid.eq_ignore_ascii_case(login))
}

/// `None`: somebody wants to act as somebody else, which nobody may.
fn credentials_of(credentials: sasl::Credentials) -> Option<Credentials> {
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

/// RFC 8437: the connection is a stranger's again, and stays encrypted and compressed as it is.
pub async fn unauthenticate(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    _: Command,
) -> Handled {
    session.reset();
    let code = Code::Capability(super::capabilities(session));
    session.ok(out, tag, Some(code), "Logged out").await
}

pub fn unauthenticate_capabilities(session: &Session) -> &'static [&'static str] {
    match session.caller {
        Some(_) => &["UNAUTHENTICATE"],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use net::sasl::Channel;

    use super::*;

    #[test]
    fn all_mechanisms_are_announced() {
        let bound = Channel {
            tls_exporter: Some([0; 32]),
            tls_server_end_point: None,
        };
        for (channel, from) in [(bound, 0), (Channel::default(), 1)] {
            let offered = Mechanism::offered(&channel).into_iter();
            let mut names: Vec<String> =
                offered.map(|one| format!("AUTH={}", one.name())).collect();
            names.push("SASL-IR".to_owned());
            assert_eq!(names, &MECHANISMS[from..]);
        }
    }
}
