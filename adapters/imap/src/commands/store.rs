//! STORE and UID STORE (RFC 9051 §6.4.6; UNCHANGEDSINCE: RFC 7162 §3.1.3).
//!
//! Holds: what others changed before is told before, so that a silent STORE hides nothing but its own change.
//! Other half: `jmap_core::inproc::imap_view`, which decides by the rights.

use std::ops::Range;

use jmap_core::inproc::imap_view::{FlagChange, StoreFlags, Stored, ViewError};
use net::reader::ReadError;

use super::changes::Expunges;
use super::progress::{Progress, count};
use crate::command::{self, Command};
use crate::encode::fetch;
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::selected::number_at;
use crate::session::{Handled, Session};
use crate::translate::flags::{self, Rendered};

/// Messages that are changed in one call.
const STORE_MAX: usize = 1_024;

/// How a STORE went.
#[derive(Default)]
struct Outcome {
    /// RFC 7162 §3.1.3: numbers or UIDs of those that had changed.
    modified: Vec<u32>,
    gone: bool,
}

pub async fn store(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Store { uid, set, store } = command else {
        return session.bad(out, tag, "That is no STORE");
    };
    if session.refuses_numbers(out, tag, uid) {
        return Ok(crate::session::Flow::Continue);
    }
    let expunges = Expunges::of(uid);
    let asked = match flags::asked(&store.flags) {
        Ok(asked) => asked,
        Err(error) => {
            let end = (Status::No, Some(Code::Cannot), &*error.to_string());
            return session.end(out, tag, expunges, end).await;
        }
    };
    if store.unchanged_since.is_some() {
        session.enable_condstore(out);
    }
    if store.silent {
        session.tell_changes(out, Expunges::Kept).await;
    }
    let Some(selected) = &session.selected else {
        return session.bad(out, tag, "Select a mailbox first");
    };
    if selected.is_read_only {
        let end = (Status::No, Some(Code::NoPerm), "The mailbox is read-only");
        return session.end(out, tag, expunges, end).await;
    }
    let places = match uid {
        true => selected.by_uids(&set),
        false => match selected.by_numbers(&set) {
            Ok(places) => places,
            Err(_) => return session.bad(out, tag, "There is no message with this number"),
        },
    };
    let work = Work { store, asked, uid };
    let outcome = match work.run(session, out, tag, &places).await? {
        Ok(outcome) => outcome,
        Err(error) => return session.fail(out, tag, expunges, &error).await,
    };
    let end = match outcome {
        Outcome { modified, .. } if !modified.is_empty() => (
            Status::Ok,
            Some(Code::Modified(modified)),
            "Some had changed",
        ),
        // RFC 2180 §4.2.1, §4.2.2
        Outcome { gone: true, .. } if !work.store.silent && !uid => (
            Status::No,
            Some(Code::ExpungeIssued),
            "Some messages are gone",
        ),
        Outcome { .. } => (Status::Ok, None, "STORE done"),
    };
    session.end(out, tag, expunges, end).await
}

struct Work {
    store: command::Store,
    asked: flags::Asked,
    uid: bool,
}

impl Work {
    async fn run(
        &self,
        session: &mut Session,
        out: &mut Out,
        tag: &str,
        places: &[Range<usize>],
    ) -> Result<Result<Outcome, ViewError>, ReadError> {
        let mut outcome = Outcome::default();
        let mut rendered = Rendered::default();
        let mut progress = Progress::new(session, tag);
        let (mut done, all) = (0, places.iter().map(Range::len).sum());
        for place in places {
            for start in place.clone().step_by(STORE_MAX) {
                let some = start..(start + STORE_MAX).min(place.end);
                progress.count = Some((count(done), count(all)));
                done += some.len();
                let stored = self.some(session, some.clone());
                let stored = match progress.wait(out, stored).await? {
                    Ok(stored) => stored,
                    Err(error) => return Ok(Err(error)),
                };
                self.tell(session, out, some, stored, &mut rendered, &mut outcome);
                out.settle().await?;
            }
        }
        Ok(Ok(outcome))
    }

    async fn some(&self, session: &Session, places: Range<usize>) -> Result<Stored, ViewError> {
        let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
            return Err(ViewError::NoSuchMailbox);
        };
        let store = StoreFlags {
            mailbox: selected.key,
            emails: selected.emails(places),
            change: match self.store.change {
                command::FlagChange::Replace => FlagChange::Replace,
                command::FlagChange::Add => FlagChange::Add,
                command::FlagChange::Remove => FlagChange::Remove,
            },
            keywords: self.asked.keywords.clone(),
            deleted: self.asked.deleted,
            unchanged_since: self.store.unchanged_since,
        };
        session.server.core.view_store(caller, store).await
    }

    /// Says how the messages are now.
    fn tell(
        &self,
        session: &mut Session,
        out: &mut Out,
        places: Range<usize>,
        stored: Stored,
        rendered: &mut Rendered,
        outcome: &mut Outcome,
    ) {
        let manner = session.manner();
        let Some(selected) = &mut session.selected else {
            return;
        };
        // Rows and modified ones are in the order of the messages.
        let mut rows = stored.rows.into_iter().peekable();
        let mut modified = stored.modified.into_iter().peekable();
        for at in places {
            let Some((uid, email)) = selected.messages().get(at) else {
                continue;
            };
            let row = rows
                .next_if(|row| row.email == email)
                .filter(|row| row.uid == uid);
            if modified.next_if(|other| *other == email).is_some() {
                let number = if self.uid { uid } else { number_at(at) };
                outcome.modified.push(number);
                continue;
            }
            let Some(row) = row else {
                outcome.gone = true;
                continue;
            };
            selected.tell(row.email, row.modseq);
            if !self.store.silent {
                selected.write_change(at, &row, manner, rendered, out.buffer());
            } else if manner.modseq {
                // RFC 7162 §3.1.3: the new MODSEQ is told though the flags aren't.
                let message = match manner.uid_only {
                    true => fetch::Message::Uid(uid),
                    false => fetch::Message::Sequence(number_at(at)),
                };
                let mut response = fetch::Fetch::begin(out.buffer(), message);
                if !manner.uid_only {
                    response.uid(out.buffer(), uid);
                }
                response.modseq(out.buffer(), row.modseq);
                response.end(out.buffer());
            }
        }
    }
}
