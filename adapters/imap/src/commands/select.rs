//! SELECT, EXAMINE (RFC 9051 §6.3.2, §6.3.3; CONDSTORE and QRESYNC: RFC 7162), CLOSE, UNSELECT, CHECK.
//!
//! Holds: whatever comes of SELECT, the mailbox that was selected before isn't any more.
//! Other half: `selected`.

use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{MailboxKey, Opened};

use super::No;
use super::changes::Expunges;
use super::expunge::expunge_deleted;
use crate::command::{Command, Qresync, SelectParameters, SequenceNumber, SequenceSet};
use crate::encode::mailbox::{ListData, list};
use crate::encode::{self, Code, Status, set};
use crate::out::Out;
use crate::selected::{Ranges, Selected};
use crate::session::{Flow, Handled, Session};
use crate::translate::flags::Rendered;
use crate::translate::names;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["CONDSTORE", "QRESYNC", "OBJECTID"])
}

pub async fn select(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Select {
        mailbox,
        read_only,
        parameters,
    } = command
    else {
        return session.bad(out, tag, "That is no SELECT");
    };
    if parameters.qresync.is_some() && !session.enabled.qresync {
        return session.bad(out, tag, "ENABLE QRESYNC first");
    }
    let known = parameters.qresync.as_ref();
    if session.enabled.uidonly && known.is_some_and(|known| known.matching.is_some()) {
        let text = "UIDONLY is enabled: name messages by their UIDs";
        out.tagged(tag, Status::Bad, Some(&Code::UidRequired), text);
        return Ok(Flow::Continue);
    }
    if session.selected.take().is_some() {
        out.untagged(Status::Ok, Some(&Code::Closed), "Closed");
    }
    match open(session, &mailbox).await {
        Ok((key, opened)) => {
            session.enabled.condstore |= parameters.condstore || session.enabled.qresync;
            let is_read_only = begin(session, out, key, opened, read_only);
            if session.enabled.rev2 {
                let utf8 = session.mode().utf8;
                let name = names::canonical(&mailbox).unwrap_or(mailbox);
                list(out.buffer(), &name, &ListData::default(), utf8);
            }
            if let SelectParameters {
                qresync: Some(known),
                ..
            } = &parameters
            {
                resynchronize(session, out, known).await;
            }
            let code = match is_read_only {
                true => Code::ReadOnly,
                false => Code::ReadWrite,
            };
            out.tagged(tag, Status::Ok, Some(&code), "Selected");
            Ok(Flow::Continue)
        }
        Err(why) => session.refuse_because(out, tag, Expunges::Told, why).await,
    }
}

async fn open(session: &Session, name: &str) -> Result<(MailboxKey, Opened), No> {
    let mailbox = super::target::find(session, name).await?;
    let core = &session.server.core;
    let opened = core.view_open(session.who()?, mailbox.key).await?;
    Ok((mailbox.key, opened))
}

/// Whether somebody with these rights can change anything (RFC 4314 §5.2).
fn can_change(rights: MailboxRights) -> bool {
    let changing = [
        MailboxRights::ADD_ITEMS,
        MailboxRights::REMOVE_ITEMS,
        MailboxRights::SET_SEEN,
        MailboxRights::SET_KEYWORDS,
    ];
    changing.iter().any(|right| rights.contains(*right))
}

/// Selects, and says what there is; whether it is read-only.
fn begin(
    session: &mut Session,
    out: &mut Out,
    key: MailboxKey,
    opened: Opened,
    asked_read_only: bool,
) -> bool {
    let status = opened.status;
    let mailbox_id = match &session.caller {
        Some(caller) => names::mailbox_id(caller, key),
        None => String::new(),
    };
    let first_unseen = opened.first_unseen_uid;
    let is_read_only = asked_read_only || !can_change(opened.rights);
    let recents = &session.server.config.recents;
    let recent_from = match is_read_only {
        true => recents.peek(key, status.uid_next),
        false => recents.claim(key, status.uid_next),
    };
    let selected = Selected::new(key, opened, is_read_only, recent_from);
    selected.write_flags(out.buffer());
    encode::exists(out.buffer(), selected.exists());
    if !session.enabled.rev2 {
        encode::recent(out.buffer(), selected.recent_count());
        // It is a sequence number, which UIDONLY forbids.
        let first_unseen = first_unseen.filter(|_| !session.enabled.uidonly);
        if let Some(number) = first_unseen.and_then(|uid| selected.number(uid)) {
            out.untagged(Status::Ok, Some(&Code::Unseen(number)), "The first unseen");
        }
    }
    selected.write_permanent_flags(out.buffer());
    let codes = [
        Code::UidValidity(status.uid_validity),
        Code::UidNext(selected.uid_next()),
        Code::HighestModseq(selected.highest_modseq()),
        Code::MailboxId(mailbox_id),
    ];
    for code in &codes {
        out.untagged(Status::Ok, Some(code), "So it is");
    }
    session.selected = Some(selected);
    is_read_only
}

/// RFC 7162 §3.2.5: what has vanished and changed since the client was here.
async fn resynchronize(session: &mut Session, out: &mut Out, known: &Qresync) {
    let manner = session.manner();
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return;
    };
    // §3.2.5.1: another UIDVALIDITY, and nothing that the client knows is of use.
    if known.uid_validity != selected.uid_validity || known.modseq >= selected.highest_modseq() {
        return;
    }
    let uids = match &known.known_uids {
        Some(set) => selected.uid_ranges(set),
        None => Ranges::of([(1, selected.uid_next().saturating_sub(1).max(1))]),
    };
    let from = known
        .matching
        .as_ref()
        .map_or(1, |pairs| first_unsure(selected, pairs));
    write_vanished(out.buffer(), &vanished(selected, &uids, from));
    let core = &session.server.core;
    let Ok(delta) = core.view_changes(caller, selected.key, known.modseq).await else {
        return;
    };
    let mut rendered = Rendered::default();
    for row in delta.rows.iter().filter(|row| uids.contains(row.uid)) {
        if let Some(at) = selected.position(row.uid) {
            selected.write_change(at, row, manner, &mut rendered, out.buffer());
        }
    }
}

/// UIDs that are not there, from one on. It may be that they never were, or went before (RFC 7162 §3.2.6, §5.3).
pub fn vanished(selected: &Selected, of: &Ranges, from: u32) -> Ranges {
    let list = selected.messages();
    let there = list.range(list.count_before(from)..list.len());
    // What is to come can't have vanished.
    let last = selected.uid_next().saturating_sub(1);
    let of = of.ranges().iter().filter_map(|&(start, end)| {
        let (start, end) = (start.max(from), end.min(last));
        (start <= end).then_some((start, end))
    });
    Ranges::of(of).without(there.map(|(uid, _)| uid))
}

/// `* VANISHED (EARLIER) 41,43:116`
pub fn write_vanished(out: &mut Vec<u8>, uids: &Ranges) {
    if uids.is_empty() {
        return;
    }
    out.extend_from_slice(b"* VANISHED (EARLIER) ");
    set::ranges(out, uids.ranges());
    out.extend_from_slice(b"\r\n");
}

/// RFC 7162 §3.2.5.2: as far as the client's numbers are still those of its UIDs, nothing has vanished. The first UID after that.
fn first_unsure(selected: &Selected, (numbers, uids): &(SequenceSet, SequenceSet)) -> u32 {
    let (SequenceSet::Ranges(numbers), SequenceSet::Ranges(uids)) = (numbers, uids) else {
        return 1;
    };
    let mut sure = 0;
    for (number, uid) in each(numbers).zip(each(uids)) {
        let index = number
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        let here = index.and_then(|at| selected.messages().get(at));
        if here.map(|(uid, _)| uid) != Some(uid) {
            break;
        }
        sure = uid;
    }
    sure.saturating_add(1)
}

fn each(ranges: &[(SequenceNumber, SequenceNumber)]) -> impl Iterator<Item = u32> {
    ranges.iter().flat_map(|range| match *range {
        (SequenceNumber::Number(first), SequenceNumber::Number(last)) => {
            first.min(last)..=first.max(last)
        }
        // The grammar has no `*` here: it ends the sets.
        _ => 0..=0,
    })
}

pub async fn check(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let end = (Status::Ok, None, "CHECK done");
    session.end(out, tag, Expunges::Told, end).await
}

/// RFC 9051 §6.4.1: what has `\Deleted` goes, without EXPUNGE responses.
pub async fn close(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let outcome = match &session.selected {
        Some(selected) if may_expunge(selected) => expunge_deleted(session, out, tag, None).await,
        _ => Ok(()),
    };
    session.selected = None;
    match outcome {
        // RFC 7162 §3.2.8: no HIGHESTMODSEQ, since the client was not told of all that happened before it.
        Ok(()) => out.tagged(tag, Status::Ok, None, "Closed"),
        Err(why) => return session.refuse_because(out, tag, Expunges::Told, why).await,
    }
    Ok(Flow::Continue)
}

pub fn may_expunge(selected: &Selected) -> bool {
    !selected.is_read_only && selected.rights.contains(MailboxRights::REMOVE_ITEMS)
}

pub fn unselect_capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["UNSELECT"])
}

pub async fn unselect(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    session.selected = None;
    out.tagged(tag, Status::Ok, None, "Unselected");
    Ok(Flow::Continue)
}

#[cfg(test)]
mod tests;
