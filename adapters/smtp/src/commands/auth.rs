//! AUTH (RFC 4954), on submission listeners, under TLS.

use net::reader::ReadError;
use net::sasl::{self, Exchange, Mechanism, SaslError, Step};
use net::{Secret, Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::server::session::{Flow, Handled, Session};
use crate::translate;

pub fn keywords<B: Backend>(session: &Session<B>) -> Vec<String> {
    if session.tls.is_none() || session.caller.is_some() {
        return Vec::new();
    }
    let offered = Mechanism::offered(&session.channel).into_iter();
    let names: Vec<&str> = offered.map(Mechanism::name).collect();
    vec![format!("AUTH {}", names.join(" "))]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Auth { mechanism, initial } = command else {
        return Ok(Flow::Continue);
    };
    if session.caller.is_some() {
        return session
            .reply(wire, Reply::new(503, "5.5.1", "You are logged in already"))
            .await;
    }
    let Some(mechanism) = Mechanism::named(mechanism.as_bytes()) else {
        return session
            .reply(wire, Reply::new(504, "5.5.4", "There is no such mechanism"))
            .await;
    };
    // What follows the login is no less secret than the password.
    if session.tls.is_none() {
        return session
            .reply(wire, Reply::new(538, "5.7.11", "Say STARTTLS first"))
            .await;
    }
    match authenticate(session, wire, mechanism, initial).await? {
        Ok(caller) => {
            let who = session.server.backend.name(&caller);
            tracing::debug!(peer = %session.peer_name(), who, "logged in");
            if let Some(place) = &session.place {
                session.server.backend.enter(place, &caller).await;
            }
            session.caller = Some(caller);
            session
                .reply(wire, Reply::new(235, "2.7.0", "Welcome"))
                .await
        }
        Err(reply) => refuse(session, wire, reply).await,
    }
}

async fn refuse<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    reply: Reply,
) -> Handled {
    session.log_refusal(&reply);
    session.counts.auth_failures += 1;
    if session.counts.auth_failures < session.server.config.limits.auth_failures_max {
        return session.reply(wire, reply).await;
    }
    wire.send(&reply.encode()).await?;
    session.hang_up(wire, "Too many failed logins").await
}

/// Has the exchange, and asks the core.
async fn authenticate<B: Backend>(
    session: &Session<B>,
    wire: &mut Wire<Stream>,
    mechanism: Mechanism,
    initial: Option<Secret<Vec<u8>>>,
) -> Result<Result<B::Caller, Reply>, ReadError> {
    let initial = initial.as_ref().map(|initial| initial.expose().as_slice());
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
        step = match respond(session, wire, &mut exchange, challenge).await? {
            Ok(next) => next,
            Err(reply) => return Ok(Err(reply)),
        };
    };
    let Some(credentials) = translate::credentials(credentials) else {
        return Ok(Err(translate::invalid_credentials()));
    };
    let origin = translate::origin(session.peer_ip(), session.tls.is_some());
    let error = match session.server.backend.login(credentials, origin).await {
        Ok(caller) => return Ok(Ok(caller)),
        Err(error) => error,
    };
    // RFC 7628 §3.2.3: the client is told why in a challenge, which it answers with nothing.
    if error.is_refusal()
        && let Some(challenge) = exchange.refuse()
    {
        let _ = respond(session, wire, &mut exchange, challenge).await?;
    }
    Ok(Err(translate::auth_error(&error)))
}

/// The rest of SCRAM: terms, proof, signature.
async fn prove<B: Backend>(
    session: &Session<B>,
    wire: &mut Wire<Stream>,
    exchange: &mut Exchange,
    login: &str,
) -> Result<Result<B::Caller, Reply>, ReadError> {
    let backend = &session.server.backend;
    let origin = translate::origin(session.peer_ip(), session.tls.is_some());
    let attempt = match backend.scram_begin(login, origin).await {
        Ok(attempt) => attempt,
        Err(error) => return Ok(Err(translate::auth_error(&error))),
    };
    let (salt, iterations, nonce) = backend.scram_terms(&attempt);
    let step = exchange.identified(salt, iterations, nonce);
    let proof = match answer(session, wire, exchange, step).await? {
        Ok(Step::Prove(proof)) => proof,
        Ok(_) => return Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(reply) => return Ok(Err(reply)),
    };
    let (caller, signature) = match backend.scram_finish(attempt, &proof).await {
        Ok(finished) => finished,
        Err(error) => return Ok(Err(translate::auth_error(&error))),
    };
    let step = exchange.proved(&signature);
    match answer(session, wire, exchange, step).await? {
        Ok(Step::Proved) => Ok(Ok(caller)),
        Ok(_) => Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(reply) => Ok(Err(reply)),
    }
}

/// Sends the challenge of a step, and reads the response.
async fn answer<B: Backend>(
    session: &Session<B>,
    wire: &mut Wire<Stream>,
    exchange: &mut Exchange,
    step: Result<Step, SaslError>,
) -> Result<Result<Step, Reply>, ReadError> {
    match step {
        Ok(Step::Challenge(challenge)) => respond(session, wire, exchange, challenge).await,
        Ok(_) => Ok(Err(translate::sasl_error(SaslError::Over))),
        Err(error) => Ok(Err(translate::sasl_error(error))),
    }
}

/// Sends a challenge, and reads the response.
async fn respond<B: Backend>(
    session: &Session<B>,
    wire: &mut Wire<Stream>,
    exchange: &mut Exchange,
    challenge: String,
) -> Result<Result<Step, Reply>, ReadError> {
    wire.send(&Reply::plain(334, challenge).encode()).await?;
    let pace = session.server.config.timeouts.command;
    let line = match wire.read_line(sasl::RESPONSE_OCTETS_MAX + 2, pace).await {
        Ok(line) => line,
        Err(ReadError::LineTooLong(_)) => {
            return Ok(Err(translate::sasl_error(SaslError::TooLong)));
        }
        Err(error) => return Err(error),
    };
    let octets = Secret::new(line.octets);
    // A CR or LF of its own is no base64.
    let response = if line.form.is_strict() {
        octets.expose().as_slice()
    } else {
        b"\n"
    };
    Ok(exchange.respond(response).map_err(translate::sasl_error))
}
