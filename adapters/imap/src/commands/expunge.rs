//! EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (§6.4.9).
//!
//! Holds: only messages that this client has been told of go.
//! Other half: `jmap_core::inproc::imap_view`, which looks at `\Deleted` once more.

use std::ops::Range;

use super::No;
use super::changes::Expunges;
use super::progress::{Progress, count};
use super::select::may_expunge;
use crate::command::{Command, SequenceSet};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};

/// Rows that are looked at in one call.
const ROWS_MAX: usize = 4_096;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["UIDPLUS"])
}

pub async fn expunge(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Expunge { uids } = command else {
        return session.bad(out, tag, "That is no EXPUNGE");
    };
    let Some(selected) = &session.selected else {
        return session.bad(out, tag, "Select a mailbox first");
    };
    if !may_expunge(selected) {
        let end = (
            Status::No,
            Some(Code::NoPerm),
            "You can't remove messages here",
        );
        return session.end(out, tag, Expunges::Told, end).await;
    }
    if let Err(why) = expunge_deleted(session, out, tag, uids.as_ref()).await {
        return session.refuse_because(out, tag, Expunges::Told, why).await;
    }
    session.tell_all_changes(out, Expunges::Told).await;
    // RFC 7162 §3.2.7
    let selected = session
        .selected
        .as_ref()
        .filter(|_| session.enabled.qresync);
    let code = selected.map(|selected| Code::HighestModseq(selected.highest_modseq()));
    out.tagged(tag, Status::Ok, code.as_ref(), "EXPUNGE done");
    Ok(Flow::Continue)
}

/// Takes out what has `\Deleted`, of all messages or of these.
pub async fn expunge_deleted(
    session: &Session,
    out: &mut Out,
    tag: &str,
    uids: Option<&SequenceSet>,
) -> Result<(), No> {
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Ok(());
    };
    let core = &session.server.core;
    let places: Vec<Range<usize>> = match uids {
        Some(set) => selected.by_uids(set),
        None => std::iter::once(0..selected.len()).collect(),
    };
    let mut progress = Progress::new(session, tag);
    let (mut done, all) = (0, places.iter().map(Range::len).sum());
    for place in places {
        let emails = selected.emails(place);
        for emails in emails.chunks(ROWS_MAX) {
            progress.count = Some((count(done), count(all)));
            done += emails.len();
            let rows = core.view_rows(caller, selected.key, emails).await?;
            let deleted = rows.iter().flatten().filter(|row| row.is_deleted);
            let deleted: Vec<u64> = deleted.map(|row| row.email).collect();
            if !deleted.is_empty() {
                let expunge = core.view_expunge(caller, selected.key, &deleted);
                progress.wait(out, expunge).await??;
            }
        }
    }
    Ok(())
}
