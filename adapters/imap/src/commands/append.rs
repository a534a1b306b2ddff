//! APPEND (RFC 9051 §6.3.12; MULTIAPPEND: RFC 3502; CATENATE: RFC 4469; BINARY: RFC 3516; UTF8: RFC 6855) and REPLACE (RFC 8508).
//!
//! Holds: all messages are filed, or none; what was answered with APPENDUID is on disk.
//! Other half: `jmap_core::inproc::imap_view`; `commands::catenate` puts messages together.

use bytes::Bytes;
use jmap_core::inproc::imap_view::{Appended, MailboxKey, NewMessage, ViewError};
use net::budget::Share;

use super::No;
use super::catenate;
use super::changes::Expunges;
use super::select::may_expunge;
use super::target::find_to_file;
use crate::command::{AppendMessage, AppendSource, Command, SequenceSet};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};
use crate::translate::errors::view_error;
use crate::translate::flags;

/// Why nothing is filed: what the command ends with.
pub struct Refusal {
    pub status: Status,
    pub code: Option<Code>,
    pub text: String,
}

impl Refusal {
    pub fn no(code: Code, text: &str) -> Refusal {
        Refusal {
            status: Status::No,
            code: Some(code),
            text: text.to_owned(),
        }
    }
}

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Refusal {
        let (code, text) = view_error(&error);
        Refusal {
            status: Status::No,
            code,
            text,
        }
    }
}

impl From<No> for Refusal {
    fn from(why: No) -> Refusal {
        match why {
            No::Because(code, text) => Refusal {
                status: Status::No,
                code,
                text,
            },
            // A lost connection is noticed by the answer.
            No::Lost(_) => ViewError::Unavailable.into(),
        }
    }
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["MULTIAPPEND", "CATENATE"])
}

pub async fn append(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Append { mailbox, messages } = command else {
        return session.bad(out, tag, "That is no APPEND");
    };
    match file(session, &mailbox, messages).await {
        Ok((to, appended)) => {
            session.has_made(to, &appended.uids);
            let code = Code::AppendUid {
                uid_validity: appended.uid_validity,
                uids: appended.uids,
            };
            let end = (Status::Ok, Some(code), "APPEND done");
            session.end(out, tag, Expunges::Told, end).await
        }
        Err(refusal) => refuse(session, out, tag, refusal).await,
    }
}

async fn refuse(session: &mut Session, out: &mut Out, tag: &str, refusal: Refusal) -> Handled {
    let Refusal { status, code, text } = refusal;
    session
        .end(out, tag, Expunges::Told, (status, code, &text))
        .await
}

async fn file(
    session: &Session,
    name: &str,
    messages: Vec<AppendMessage>,
) -> Result<(MailboxKey, Appended), Refusal> {
    let Some(caller) = &session.caller else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let to = find_to_file(session, name).await?.key;
    let mut made = Vec::with_capacity(messages.len());
    let mut share = session.server.config.budget.share();
    let mut octets = 0u64;
    for message in messages {
        let message = new_message(session, message, &mut share).await?;
        octets = octets.saturating_add(message.octets.len() as u64);
        if octets > session.server.config.limits.append_octets_max {
            return Err(Refusal::no(
                Code::TooBig,
                "The messages are too large together",
            ));
        }
        made.push(message);
    }
    let appended = session.server.core.view_append(caller, to, made).await?;
    Ok((to, appended))
}

async fn new_message(
    session: &Session,
    message: AppendMessage,
    share: &mut Share,
) -> Result<NewMessage, Refusal> {
    let asked = match flags::asked(&message.flags) {
        Ok(asked) => asked,
        Err(error) => return Err(Refusal::no(Code::Cannot, &error.to_string())),
    };
    let octets = match message.source {
        AppendSource::Message {
            octets,
            is_binary,
            is_utf8,
        } => {
            if is_utf8 && !session.mode().utf8 {
                let text = "ENABLE UTF8=ACCEPT first";
                return Err(Refusal {
                    status: Status::Bad,
                    code: None,
                    text: text.to_owned(),
                });
            }
            let has_nul = memchr::memchr(0, &octets).is_some();
            // RFC 3516 §4.4: what has NULs can't be kept, since a literal can't give it back.
            if has_nul && is_binary {
                let text = "Messages with NULs are not kept";
                return Err(Refusal::no(Code::UnknownCte, text));
            }
            // RFC 9051 §4.3: there are none in a literal.
            if has_nul {
                return Err(Refusal {
                    status: Status::Bad,
                    code: None,
                    text: "A literal has no NULs".to_owned(),
                });
            }
            octets
        }
        AppendSource::Catenate(parts) => catenate::join(session, parts, share).await?,
    };
    if octets.is_empty() {
        return Err(Refusal::no(Code::Cannot, "An empty message is none"));
    }
    Ok(NewMessage {
        octets: Bytes::from(octets),
        keywords: asked.keywords,
        deleted: asked.deleted,
        received_at: message.date,
    })
}

pub fn replace_capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["REPLACE"])
}

/// RFC 8508: a message in the place of another one.
pub async fn replace(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Replace {
        uid,
        number,
        mailbox,
        message,
    } = command
    else {
        return session.bad(out, tag, "That is no REPLACE");
    };
    if session.refuses_numbers(out, tag, uid) {
        return Ok(Flow::Continue);
    }
    let Some(selected) = &session.selected else {
        return session.bad(out, tag, "Select a mailbox first");
    };
    let set = SequenceSet::Ranges(vec![(number, number)]);
    let place = match uid {
        true => selected.by_uids(&set),
        false => selected.by_numbers(&set).unwrap_or_default(),
    };
    let at = place.first().map(|place| place.start);
    let (from, email) = match at.and_then(|at| selected.messages().get(at)) {
        Some((_, email)) => (selected.key, email),
        // §3.4: nothing is appended then.
        None => {
            let end = (
                Status::No,
                Some(Code::NonExistent),
                "There is no such message",
            );
            return session.end(out, tag, Expunges::Told, end).await;
        }
    };
    if !may_expunge(selected) {
        let end = (
            Status::No,
            Some(Code::NoPerm),
            "You can't remove messages here",
        );
        return session.end(out, tag, Expunges::Told, end).await;
    }
    match exchange(session, from, email, &mailbox, message).await {
        Ok(appended) => {
            // §4.3: before the EXPUNGE, so that the client knows what has become of it.
            let code = Code::AppendUid {
                uid_validity: appended.uid_validity,
                uids: appended.uids,
            };
            out.untagged(Status::Ok, Some(&code), "Replaced");
            session.tell_all_changes(out, Expunges::Told).await;
            // §4.5: as UID EXPUNGE does it (RFC 7162 §3.2.9).
            let selected = session
                .selected
                .as_ref()
                .filter(|_| session.enabled.qresync);
            let code = selected.map(|selected| Code::HighestModseq(selected.highest_modseq()));
            out.tagged(tag, Status::Ok, code.as_ref(), "REPLACE done");
            Ok(Flow::Continue)
        }
        Err(refusal) => refuse(session, out, tag, refusal).await,
    }
}

async fn exchange(
    session: &Session,
    from: MailboxKey,
    email: u64,
    name: &str,
    message: AppendMessage,
) -> Result<Appended, Refusal> {
    let Some(caller) = &session.caller else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let to = find_to_file(session, name).await?.key;
    let mut share = session.server.config.budget.share();
    let message = new_message(session, message, &mut share).await?;
    let core = &session.server.core;
    Ok(core.view_replace(caller, from, email, to, message).await?)
}
