//! MAIL (RFC 5321 §4.1.1.2, RFC 1870, RFC 6152, RFC 6531, RFC 6409 §4.3), and what can be asked for with it (RFC 3461, RFC 2852,
//! RFC 4865, RFC 6710, RFC 8689).

use jmap_core::mail::submission::{envelope, parameters};
use jmap_types::UtcDate;
use net::{ClientKey, Stream, Wire};

use crate::backend::Backend;
use crate::config::Mode;
use crate::encode::Reply;
use crate::parse::{Body, Command, Mail, ParseError};
use crate::server::session::{Flow, Handled, Session};
use crate::server::transaction::Transaction;
use crate::translate;

pub fn keywords<B: Backend>(session: &Session<B>) -> Vec<String> {
    let size_max = session.server.config.limits.size_max;
    let mut keywords = vec![
        format!("SIZE {size_max}"),
        "8BITMIME".to_owned(),
        "SMTPUTF8".to_owned(),
    ];
    let offered = Session::<B>::EXTENSIONS
        .iter()
        .filter(|extension| (extension.is_offered)(session));
    keywords.extend(offered.map(|extension| (extension.keyword)(session)));
    keywords
}

/// An extension that is offered to some.
struct Extension<B: Backend> {
    parameters: &'static [&'static str],
    is_offered: fn(&Session<B>) -> bool,
    keyword: fn(&Session<B>) -> String,
}

impl<B: Backend> Session<B> {
    const EXTENSIONS: &'static [Extension<B>] = &[
        Extension {
            parameters: &["REQUIRETLS"],
            // RFC 8689 §2: over TLS alone.
            is_offered: |session| session.tls.is_some(),
            keyword: |_| "REQUIRETLS".to_owned(),
        },
        Extension {
            parameters: &["HOLDFOR", "HOLDUNTIL"],
            is_offered: |session| {
                session.mode() == Mode::Submission && hold_seconds_max(session) != 0
            },
            keyword: future_release,
        },
        Extension {
            parameters: &["BY"],
            // What arrives for mailboxes here is delivered at once; only the queue has something to hurry.
            is_offered: |session| session.mode() == Mode::Submission,
            keyword: |_| "DELIVERBY".to_owned(),
        },
        Extension {
            parameters: &["MT-PRIORITY"],
            is_offered: |session| session.mode() == Mode::Submission || session.is_trusted(),
            keyword: |_| "MT-PRIORITY".to_owned(),
        },
    ];
}

/// RFC 4865 §4.2: digits of the longest interval are at most nine.
fn hold_seconds_max<B: Backend>(session: &Session<B>) -> u64 {
    session
        .server
        .config
        .limits
        .hold_seconds_max
        .min(999_999_999)
}

/// RFC 4865 §3: the longest interval, and the moment that it leads to.
fn future_release<B: Backend>(session: &Session<B>) -> String {
    let seconds = hold_seconds_max(session);
    let now = session.server.config.clock.now().seconds();
    let until = now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
    format!("FUTURERELEASE {seconds} {}", UtcDate(until))
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
        if session.caller.is_some() || session.mode() != Mode::Submission {
            let from = mail.from.as_ref().map_or("", |from| from.as_str());
            session.trace_refusal(&reply, None, Some(from));
        }
        return session.reply(wire, reply).await;
    }
    let mut share = session.share();
    let octets = mail.from.as_ref().map_or(0, |from| from.as_str().len());
    let parameters = mail.parameters.iter().filter_map(|p| p.value.as_ref());
    let octets = octets + parameters.map(|value| value.len() + 64).sum::<usize>();
    if share.grow(octets as u64).await.is_err() {
        return session.reply(wire, translate::no_room_in_flight()).await;
    }
    session.transaction = Some(Transaction {
        id: session.new_id(),
        mail_from: mail.from.map(|from| from.into_string()),
        smtputf8: mail.smtputf8,
        is_binary: mail.body == Some(Body::BinaryMime),
        parameters: mail.parameters,
        recipients: Vec::new(),
        recipient_parameters: Vec::new(),
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
    let is_refused = |extension: &&Extension<B>| {
        let mut given = mail.parameters.iter();
        given.any(|p| extension.parameters.contains(&p.name.as_str()))
            && !(extension.is_offered)(session)
    };
    if Session::<B>::EXTENSIONS
        .iter()
        .any(|extension| is_refused(&extension))
    {
        return Some(translate::parse_error(ParseError::UnknownParameter));
    }
    if let Some(reply) = unholdable(session, mail) {
        return Some(reply);
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

/// RFC 4865 §4.2: a hold that is longer than what was announced.
fn unholdable<B: Backend>(session: &Session<B>, mail: &Mail) -> Option<Reply> {
    let address = parameters::with("", mail.parameters.clone());
    let limits = jmap_core::Limits {
        max_delayed_send: hold_seconds_max(session),
        ..jmap_core::Limits::default()
    };
    let now = session.server.config.clock.now().seconds();
    let error = envelope::hold_until(&address, now, &limits).err()?;
    let why = error.description.unwrap_or_default();
    Some(Reply::new(501, "5.5.4", why))
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
