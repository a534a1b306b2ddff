//! MAIL (RFC 5321 §4.1.1.2, RFC 1870, RFC 6152, RFC 6531, RFC 6409 §4.3).

use net::{ClientKey, Stream, Wire};

use crate::backend::Backend;
use crate::config::Mode;
use crate::encode::Reply;
use crate::parse::{Command, Mail, ParseError};
use crate::server::session::{Flow, Handled, Session};
use crate::server::transaction::Transaction;
use crate::translate;

pub fn keywords<B: Backend>(session: &Session<B>) -> Vec<String> {
    let size_max = session.server.config.limits.size_max;
    vec![
        format!("SIZE {size_max}"),
        "8BITMIME".to_owned(),
        "SMTPUTF8".to_owned(),
    ]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Mail(mail) = command else {
        return Ok(Flow::Continue);
    };
    if let Some(reply) = refusal(session, &mail) {
        session.log_refusal(&reply);
        return session.reply(wire, reply).await;
    }
    let mut share = session.server.config.budget.share();
    let octets = mail.from.as_ref().map_or(0, |from| from.as_str().len());
    if share.grow(octets as u64).await.is_err() {
        return session.reply(wire, translate::no_room_in_flight()).await;
    }
    session.transaction = Some(Transaction {
        id: session.new_id(),
        mail_from: mail.from.map(|from| from.into_string()),
        smtputf8: mail.smtputf8,
        recipients: Vec::new(),
        share,
        body: None,
    });
    session
        .reply(wire, Reply::new(250, "2.1.0", "Sender accepted"))
        .await
}

fn refusal<B: Backend>(session: &Session<B>, mail: &Mail) -> Option<Reply> {
    let limits = &session.server.config.limits;
    if session.mode() == Mode::Submission && session.caller.is_none() {
        return Some(Reply::new(530, "5.7.0", "Log in first"));
    }
    // RFC 4954 §5: AUTH= belongs to AUTH, which only submission has.
    if mail.auth && session.caller.is_none() {
        return Some(translate::parse_error(ParseError::UnknownParameter));
    }
    if !mail.smtputf8 && mail.from.as_ref().is_some_and(|from| !from.is_ascii()) {
        let text = "Addresses that are not ASCII need SMTPUTF8";
        return Some(Reply::new(553, "5.6.7", text));
    }
    if mail.size.is_some_and(|size| size > limits.size_max) {
        return Some(translate::too_large());
    }
    if session.counts.transactions >= limits.transactions_max {
        return Some(Reply::new(
            421,
            "4.7.0",
            "Enough for one connection; connect again",
        ));
    }
    if is_too_often(session) {
        let text = "Too many messages from your address; try again later";
        return Some(Reply::new(451, "4.7.1", text));
    }
    None
}

/// What users send is counted by the core.
fn is_too_often<B: Backend>(session: &Session<B>) -> bool {
    let (Mode::Receive, Some(ip)) = (session.mode(), session.peer_ip()) else {
        return false;
    };
    let now = session.server.config.clock.monotonic();
    let rates = &session.server.client_rates;
    rates.take(&ClientKey::of(ip), now).is_err()
}
