//! USER and PASS (RFC 1939 §7), and what every login ends in: the maildrop.

use jmap_core::auth::Credentials;
use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::maildrop::Maildrop;
use crate::parse::Command;
use crate::session::{Flow, Handled, Open, Session};
use crate::translate;

pub fn capabilities<B: Backend>(session: &Session<B>) -> Vec<String> {
    let offered = session.may_show_secrets().then(|| "USER".to_owned());
    offered.into_iter().collect()
}

/// RFC 1939 §13: whether there is such an account is not told.
pub async fn user<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::User(name) = command else {
        return Ok(Flow::Continue);
    };
    if !session.may_show_secrets() {
        return session.reply_bad(wire, Reply::err("Say STLS first")).await;
    }
    session.user = Some(name);
    session.reply(wire, Reply::ok("Now the password")).await
}

pub async fn pass<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Pass(password) = command else {
        return Ok(Flow::Continue);
    };
    let Some(user) = session.user.take() else {
        return session.reply_bad(wire, Reply::err("Say USER first")).await;
    };
    let credentials = translate::password_of(user, &password);
    match check(session, credentials).await {
        Ok(caller) => enter(session, wire, caller).await,
        Err(reply) => refuse(session, wire, reply).await,
    }
}

/// Asks the core who it is.
pub async fn check<B: Backend>(
    session: &Session<B>,
    credentials: Credentials,
) -> Result<B::Caller, Reply> {
    let origin = translate::origin(session.peer_ip(), session.tls.is_some());
    let login = session.server.backend.login(credentials, origin);
    login.await.map_err(|error| translate::auth_error(&error))
}

/// Takes the maildrop, if nobody else has it.
pub async fn enter<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    caller: B::Caller,
) -> Handled {
    let server = session.server.clone();
    let account = server.backend.account(&caller);
    let lock = match server.config.locks.take(account) {
        Ok(lock) => lock,
        Err(error) => return session.reply(wire, translate::lock_error(error)).await,
    };
    let opened = match server.backend.open(&caller).await {
        Ok(opened) => opened,
        Err(error) => return session.reply(wire, translate::view_error(&error)).await,
    };
    let maildrop = Maildrop::new(opened);
    let (count, octets) = maildrop.totals();
    let who = server.backend.name(&caller);
    tracing::debug!(peer = %session.peer_name(), who, count, "logged in");
    if let Some(place) = &session.place {
        server.backend.enter(place, &caller).await;
    }
    session.open = Some(Open {
        caller,
        maildrop,
        _lock: lock,
    });
    let text = format!("{count} messages ({octets} octets)");
    session.reply(wire, Reply::ok(text)).await
}

/// Answers a failed login; too many are the end.
pub async fn refuse<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    reply: Reply,
) -> Handled {
    session.log_refusal(&reply);
    session.counts.auth_failures += 1;
    let flow = session.reply(wire, reply).await?;
    if session.counts.auth_failures < session.server.config.limits.auth_failures_max {
        return Ok(flow);
    }
    // A line of its own would be the answer to a command that was not said.
    Ok(Flow::Close)
}
