//! COPY, UID COPY (RFC 9051 §6.4.7) and MOVE, UID MOVE (§6.4.8).
//!
//! Holds: all or nothing; COPYUID names what was really copied.
//! Other half: `jmap_core::inproc::imap_view`.

use std::ops::Range;

use jmap_core::inproc::imap_view::{Copied, MailboxKey, ViewError};

use super::No;
use super::changes::Expunges;
use super::progress::Progress;
use super::select::may_expunge;
use crate::command::{Command, SequenceSet};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::selected::NoSuchNumber;
use crate::session::{Flow, Handled, Session};

pub async fn copy(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Copy { uid, set, mailbox } = command else {
        return session.bad(out, tag, "That is no COPY");
    };
    if session.refuses_numbers(out, tag, uid) {
        return Ok(Flow::Continue);
    }
    let Ok(emails) = emails(session, uid, &set) else {
        return session.bad(out, tag, "There is no message with this number");
    };
    match transfer(session, out, tag, &emails, &mailbox, false).await {
        Ok((to, copied)) => {
            let made: Vec<u32> = copied.pairs.iter().map(|(_, uid)| *uid).collect();
            session.has_made(to, &made);
            let code = copy_uid(copied);
            // RFC 9051 §7.5.1 keeps EXPUNGE from FETCH, STORE and SEARCH alone.
            session
                .end(out, tag, Expunges::Told, (Status::Ok, code, "COPY done"))
                .await
        }
        Err(why) => session.refuse_because(out, tag, Expunges::Told, why).await,
    }
}

pub fn move_capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["MOVE"])
}

pub async fn r#move(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Move { uid, set, mailbox } = command else {
        return session.bad(out, tag, "That is no MOVE");
    };
    if session.refuses_numbers(out, tag, uid) {
        return Ok(Flow::Continue);
    }
    let Ok(emails) = emails(session, uid, &set) else {
        return session.bad(out, tag, "There is no message with this number");
    };
    if !session.selected.as_ref().is_some_and(may_expunge) {
        let end = (
            Status::No,
            Some(Code::NoPerm),
            "You can't remove messages here",
        );
        return session.end(out, tag, Expunges::Told, end).await;
    }
    match transfer(session, out, tag, &emails, &mailbox, true).await {
        Ok((_, copied)) => {
            // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses.
            if let Some(code) = copy_uid(copied) {
                out.untagged(Status::Ok, Some(&code), "Moved");
            }
            session.tell_all_changes(out, Expunges::Told).await;
            // RFC 7162 §3.2.9
            let selected = session
                .selected
                .as_ref()
                .filter(|_| session.enabled.qresync);
            let code = selected.map(|selected| Code::HighestModseq(selected.highest_modseq()));
            out.tagged(tag, Status::Ok, code.as_ref(), "MOVE done");
            Ok(Flow::Continue)
        }
        Err(why) => session.refuse_because(out, tag, Expunges::Told, why).await,
    }
}

fn emails(session: &Session, uid: bool, set: &SequenceSet) -> Result<Vec<u64>, NoSuchNumber> {
    let selected = session.selected.as_ref().ok_or(NoSuchNumber)?;
    let places: Vec<Range<usize>> = match uid {
        true => selected.by_uids(set),
        false => selected.by_numbers(set)?,
    };
    let emails = places.into_iter().flat_map(|place| selected.emails(place));
    Ok(emails.collect())
}

async fn transfer(
    session: &Session,
    out: &mut Out,
    tag: &str,
    emails: &[u64],
    name: &str,
    moves: bool,
) -> Result<(MailboxKey, Copied), No> {
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let to = super::target::find_to_file(session, name).await?.key;
    let core = &session.server.core;
    let work = async {
        match moves {
            true => core.view_move(caller, selected.key, emails, to).await,
            false => core.view_copy(caller, selected.key, emails, to).await,
        }
    };
    let copied = Progress::new(session, tag).wait(out, work).await??;
    Ok((to, copied))
}

/// RFC 9051 §7.1: there is no COPYUID for nothing.
fn copy_uid(copied: Copied) -> Option<Code> {
    let (from, to): (Vec<u32>, Vec<u32>) = copied.pairs.into_iter().unzip();
    (!from.is_empty()).then_some(Code::CopyUid {
        uid_validity: copied.uid_validity,
        from,
        to,
    })
}
