//! AUTHENTICATE (RFC 5804 §2.1).

use jmap_core::Caller;
use net::reader::ReadError;
use net::sasl::{Exchange, Mechanism, SaslError, Step};
use net::{Secret, Stream, Wire};

use crate::encode::{self, Code, Reply};
use crate::parse::{self, Command};
use crate::session::{Flow, Handled, Read, Session};
use crate::translate;

/// Somebody who has logged in, and what the server says last in SASL.
type LoggedIn = (Caller, Option<String>);

pub async fn run(session: &mut Session, wire: &mut Wire<Stream>, command: Command) -> Handled {
    let Command::Authenticate { mechanism, initial } = command else {
        return Ok(Flow::Continue);
    };
    let Some(mechanism) = Mechanism::named(mechanism.as_bytes()) else {
        return session
            .reply_bad(wire, Reply::no("There is no such mechanism"))
            .await;
    };
    // What follows the login is no less secret than the password.
    if !session.may_show_secrets() {
        let reply = Reply::no("Say STARTTLS first").coded(Code::EncryptNeeded);
        return session.reply_bad(wire, reply).await;
    }
    match authenticate(session, wire, mechanism, initial).await? {
        Ok((caller, last)) => {
            tracing::debug!(peer = %session.peer_name(), who = caller.name, "logged in");
            let core = &session.server.core;
            core.open_session(&session.place, &caller).await;
            session.caller = Some(caller);
            let reply = Reply::ok("");
            let reply = match last {
                Some(last) => reply.coded(Code::Sasl(last)),
                None => reply,
            };
            session.reply(wire, reply).await
        }
        Err(reply) => refuse(session, wire, reply).await,
    }
}

/// Answers a failed login; too many are the end.
async fn refuse(session: &mut Session, wire: &mut Wire<Stream>, reply: Reply) -> Handled {
    session.log_refusal(&reply);
    session.counts.auth_failures += 1;
    let flow = session.reply(wire, reply).await?;
    if session.counts.auth_failures < session.server.config.limits.auth_failures_max {
        return Ok(flow);
    }
    let reply = Reply::bye("Too many failed logins");
    session.hang_up(wire, reply).await
}

/// Has the exchange, and asks the core.
async fn authenticate(
    session: &mut Session,
    wire: &mut Wire<Stream>,
    mechanism: Mechanism,
    initial: Option<Secret<Vec<u8>>>,
) -> Result<Result<LoggedIn, Reply>, ReadError> {
    // RFC 5804 §2.1: an empty initial response is the empty string.
    let initial = initial
        .as_ref()
        .map(|initial| match initial.expose().as_slice() {
            [] => b"=".as_slice(),
            initial => initial,
        });
    let started = Exchange::start_over(mechanism, initial, session.channel.clone());
    let (mut exchange, mut step) = match started {
        Ok(started) => started,
        Err(error) => return Ok(Err(translate::sasl_error(error))),
    };
    let credentials = loop {
        let challenge = match step {
            Step::Done(credentials) => break credentials,
            Step::Challenge(challenge) => challenge,
            Step::Identify { authzid, login } => {
                if !translate::is_same(authzid.as_deref(), &login) {
                    return Ok(Err(translate::invalid_credentials()));
                }
                return prove(session, wire, &mut exchange, &login).await;
            }
            // A step that only other mechanisms have.
            _ => return Ok(Err(translate::sasl_error(SaslError::Over))),
        };
        step = match respond(session, wire, &mut exchange, &challenge).await? {
            Ok(next) => next,
            Err(reply) => return Ok(Err(reply)),
        };
    };
    let Some(credentials) = translate::credentials(credentials) else {
        return Ok(Err(translate::invalid_credentials()));
    };
    let origin = translate::origin(session.peer_ip(), session.tls.is_some());
    let error = match session.server.core.login(credentials, origin).await {
        Ok(caller) => return Ok(Ok((caller, None))),
        Err(error) => error,
    };
    // RFC 7628 §3.2.3: the client is told why in a challenge, which it answers with nothing.
    if let Some(challenge) = exchange.refuse() {
        let _ = respond(session, wire, &mut exchange, &challenge).await?;
    }
    Ok(Err(translate::auth_error(&error)))
}

/// The rest of SCRAM: terms, proof, signature.
async fn prove(
    session: &mut Session,
    wire: &mut Wire<Stream>,
    exchange: &mut Exchange,
    login: &str,
) -> Result<Result<LoggedIn, Reply>, ReadError> {
    let server = session.server.clone();
    let origin = translate::origin(session.peer_ip(), session.tls.is_some());
    let attempt = match server.core.scram_begin(login, origin).await {
        Ok(attempt) => attempt,
        Err(error) => return Ok(Err(translate::auth_error(&error))),
    };
    let step = exchange.identified(attempt.salt(), attempt.iterations(), attempt.nonce());
    let challenge = match step {
        Ok(Step::Challenge(challenge)) => challenge,
        Ok(_) => return Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(error) => return Ok(Err(translate::sasl_error(error))),
    };
    let proof = match respond(session, wire, exchange, &challenge).await? {
        Ok(Step::Prove(proof)) => proof,
        Ok(_) => return Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(reply) => return Ok(Err(reply)),
    };
    let finished = server
        .core
        .scram_finish(attempt, &proof.signed, &proof.proof)
        .await;
    let (caller, signature) = match finished {
        Ok(finished) => finished,
        Err(error) => return Ok(Err(translate::auth_error(&error))),
    };
    // RFC 5804 §2.1: what is said last goes with the OK.
    match exchange.proved(&signature) {
        Ok(Step::Challenge(last)) => Ok(Ok((caller, Some(last)))),
        Ok(_) => Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(error) => Ok(Err(translate::sasl_error(error))),
    }
}

/// Sends a challenge, and reads the response.
async fn respond(
    session: &mut Session,
    wire: &mut Wire<Stream>,
    exchange: &mut Exchange,
    challenge: &str,
) -> Result<Result<Step, Reply>, ReadError> {
    let mut octets = Vec::new();
    encode::line(&[challenge], &mut octets);
    wire.send(&octets).await?;
    let octets = match session.read_response(wire).await? {
        Read::Whole(octets) => octets,
        Read::TooLarge => return Ok(Err(translate::sasl_error(SaslError::TooLong))),
        Read::Lost(reply) => return Ok(Err(reply)),
    };
    let response = match parse::response(octets.expose()) {
        Ok(response) => Secret::new(response),
        // A line without quotes is put up with where it cancels.
        Err(_) if octets.expose().as_slice() == b"*" => Secret::new(b"*".to_vec()),
        Err(_) => return Ok(Err(translate::sasl_error(SaslError::Malformed))),
    };
    Ok(exchange
        .respond(response.expose())
        .map_err(translate::sasl_error))
}
