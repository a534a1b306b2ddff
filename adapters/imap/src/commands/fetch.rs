//! FETCH and UID FETCH (RFC 9051 §6.4.5; CHANGEDSINCE and VANISHED: RFC 7162; PARTIAL: RFC 9394).
//!
//! Holds: answers are sent as they are made, in batches that are bounded by messages and by octets, whatever is asked for; `\Seen` is
//! set, and on disk, before the message that it is set for is sent. A message that has gone meanwhile is passed over (RFC 2180 §4.1.2).
//! Other half: `fetch`.

use std::ops::Range;

use jmap_core::Caller;
use jmap_core::access::MailboxRights;
use jmap_core::inproc::imap_view::{FlagChange, StoreFlags, ViewError, ViewMessage, ViewRow};
use net::budget::Share;
use net::reader::ReadError;

use super::changes::Expunges;
use super::select::{vanished, write_vanished};
use crate::command::{Command, Fetch, FetchItem};
use crate::config::SENDING_OCTETS_MAX;
use crate::encode::{Code, Status};
use crate::fetch::pieces::Pieces;
use crate::fetch::plan::Plan;
use crate::fetch::render::{Renderer, Trouble};
use crate::out::Out;
use crate::selected::Selected;
use crate::session::{Handled, Session};
use crate::translate::flags::Rendered;

/// Messages whose rows are asked for at once.
const ROWS_MAX: usize = 1_024;
/// Messages whose structures or summaries are asked for at once.
const SUMMARIES_MAX: usize = 256;
/// Messages whose octets are asked for at once, and how many octets these may have together, unless it is one.
const BODIES_MAX: usize = 64;
const BODY_OCTETS_MAX: usize = 1 << 20;
/// What is written before it is sent.
const PIECES_OCTETS_MAX: usize = 64 << 10;
/// What is read at once without a share of the memory for what is on its way out.
const UNCOUNTED_OCTETS_MAX: u64 = 64 << 10;

/// How the messages of a FETCH went.
#[derive(Default)]
struct Outcome {
    gone: bool,
    trouble: Option<Trouble>,
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["BINARY", "PREVIEW"])
}

pub async fn fetch(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Fetch { uid, set, fetch } = command else {
        return session.bad(out, tag, "That is no FETCH");
    };
    if session.refuses_numbers(out, tag, uid) {
        return Ok(crate::session::Flow::Continue);
    }
    if fetch.vanished && !(uid && session.enabled.qresync && fetch.changed_since.is_some()) {
        let text = "VANISHED is for UID FETCH with CHANGEDSINCE, after ENABLE QRESYNC";
        return session.bad(out, tag, text);
    }
    let Some(selected) = &session.selected else {
        return session.bad(out, tag, "Select a mailbox first");
    };
    let places = match uid {
        true => selected.by_uids(&set),
        false => match selected.by_numbers(&set) {
            Ok(places) => places,
            Err(_) => return session.bad(out, tag, "There is no message with this number"),
        },
    };
    let places = match fetch.partial {
        Some(range) => partial(&places, range),
        None => places,
    };
    if fetch.vanished {
        let of = selected.uid_ranges(&set);
        write_vanished(out.buffer(), &vanished(selected, &of, 1));
    }
    let plan = Plan::new(&fetch.items, uid);
    if plan.asks_modseq || fetch.changed_since.is_some() {
        session.enable_condstore(out);
    }
    let expunges = Expunges::of(uid);
    match answer(session, out, &plan, &fetch, &places).await? {
        Err(error) => session.fail(out, tag, expunges, &error).await,
        Ok(outcome) => {
            let end = match outcome {
                Outcome {
                    trouble: Some(Trouble::Damaged),
                    ..
                } => (
                    Status::No,
                    Some(Code::Corruption),
                    "Some messages can't be read",
                ),
                Outcome {
                    trouble: Some(Trouble::UnknownCte),
                    ..
                } => (
                    Status::No,
                    Some(Code::UnknownCte),
                    "A transfer encoding isn't known",
                ),
                Outcome { gone: true, .. } if !uid => (
                    Status::Ok,
                    Some(Code::ExpungeIssued),
                    "Some messages are gone",
                ),
                Outcome { .. } => (Status::Ok, None, "FETCH done"),
            };
            session.end(out, tag, expunges, end).await
        }
    }
}

/// RFC 9394 §3.3: some of the places, counted from the start or, by negative numbers, from the end.
fn partial(places: &[Range<usize>], (first, last): (i64, i64)) -> Vec<Range<usize>> {
    let total: usize = places.iter().map(Range::len).sum();
    let index = |number: i64| {
        let back = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        match number < 0 {
            true => total.checked_sub(back),
            false => back.checked_sub(1),
        }
    };
    let (low, high) = (first.min(last), first.max(last));
    // From the end, the lower number is further away, and may be beyond the start.
    let start = index(low).unwrap_or(0);
    let Some(end) = index(high).map(|at| at.saturating_add(1)) else {
        return Vec::new();
    };
    let mut skipped = 0;
    let mut chosen = Vec::new();
    for place in places {
        let within = |at: usize| place.start + at.saturating_sub(skipped).min(place.len());
        let part = within(start)..within(end);
        skipped += place.len();
        if !part.is_empty() {
            chosen.push(part);
        }
    }
    chosen
}

/// Shows messages without being asked (RFC 5465 §5.2): by UID, what of each. None of it sets `\Seen`. What can't be read is left out.
pub async fn show(session: &mut Session, out: &mut Out, uid: u32, items: &[FetchItem]) {
    let mut plan = Plan::new(items, true);
    plan.sets_seen = false;
    let place = session.selected.as_ref().and_then(|s| s.position(uid));
    let Some(at) = place else {
        return;
    };
    let fetch = Fetch {
        items: Vec::new(),
        changed_since: None,
        vanished: false,
        partial: None,
    };
    let places = std::iter::once(at..at + 1).collect::<Vec<_>>();
    // A lost connection is noticed by what is sent next.
    let _ = answer(session, out, &plan, &fetch, &places).await;
}

type Answered = Result<Result<Outcome, ViewError>, ReadError>;

async fn answer(
    session: &mut Session,
    out: &mut Out,
    plan: &Plan,
    fetch: &Fetch,
    places: &[Range<usize>],
) -> Answered {
    let mut outcome = Outcome::default();
    let manner = session.manner();
    let server = session.server.clone();
    let (Some(selected), Some(caller)) = (&mut session.selected, &session.caller) else {
        return Ok(Err(ViewError::NoSuchMailbox));
    };
    let mut work = Work {
        core: &server.core,
        caller,
        plan,
        since: fetch.changed_since,
        sets_seen: plan.sets_seen
            && !selected.is_read_only
            && selected.rights.contains(MailboxRights::SET_SEEN),
        renderer: Renderer {
            caller,
            plan,
            manner,
            rendered: Rendered::default(),
        },
        pieces: Pieces::default(),
        share: server.config.sending.share(),
        is_counted: false,
    };
    for place in places {
        for start in place.clone().step_by(ROWS_MAX) {
            let end = (start + ROWS_MAX).min(place.end);
            if let Err(error) = work.batch(selected, start..end, out, &mut outcome).await? {
                return Ok(Err(error));
            }
        }
    }
    work.send(out).await?;
    Ok(Ok(outcome))
}

struct Work<'a> {
    core: &'a jmap_core::Core,
    caller: &'a Caller,
    plan: &'a Plan,
    since: Option<u64>,
    sets_seen: bool,
    renderer: Renderer<'a>,
    pieces: Pieces,
    /// Of the messages that are read.
    share: Share,
    is_counted: bool,
}

/// A message that is to be answered.
struct Asked {
    at: usize,
    row: ViewRow,
    /// `\Seen` has been set by this.
    shows_seen: bool,
}

impl Work<'_> {
    /// Answers a row of messages.
    async fn batch(
        &mut self,
        selected: &mut Selected,
        places: Range<usize>,
        out: &mut Out,
        outcome: &mut Outcome,
    ) -> Result<Result<(), ViewError>, ReadError> {
        let emails = selected.emails(places.clone());
        let rows = self.core.view_rows(self.caller, selected.key, &emails);
        let rows = match rows.await {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        let mut asked = Vec::with_capacity(rows.len());
        let uids = selected.messages().range(places.clone());
        for ((at, row), (uid, _)) in places.zip(rows).zip(uids) {
            match row {
                // What came back under another UID is another message.
                Some(row) if row.uid == uid => {
                    if self.since.is_none_or(|since| row.modseq > since) {
                        asked.push(Asked {
                            at,
                            row,
                            shows_seen: false,
                        });
                    }
                }
                _ => outcome.gone = true,
            }
        }
        let mut rest = asked.as_mut_slice();
        while !rest.is_empty() {
            let count = self.count_of(rest);
            let (some, after) = rest.split_at_mut(count);
            rest = after;
            if let Err(error) = self.some(selected, some, out, outcome).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// How many of these are read at once.
    fn count_of(&self, asked: &[Asked]) -> usize {
        if self.plan.is_of_rows() {
            return asked.len();
        }
        if !self.plan.want.octets {
            return asked.len().min(SUMMARIES_MAX);
        }
        let mut octets = 0usize;
        let fits = asked.iter().take(BODIES_MAX).take_while(|asked| {
            octets = octets.saturating_add(asked.row.size as usize);
            octets <= BODY_OCTETS_MAX
        });
        fits.count().max(1)
    }

    async fn some(
        &mut self,
        selected: &mut Selected,
        asked: &mut [Asked],
        out: &mut Out,
        outcome: &mut Outcome,
    ) -> Result<Result<(), ViewError>, ReadError> {
        if let Err(error) = self.make_room(asked).await {
            return Ok(Err(error));
        }
        let mut messages = match self.read(selected, asked).await {
            Ok(messages) => messages.into_iter(),
            Err(error) => return Ok(Err(error)),
        };
        if self.sets_seen
            && let Err(error) = self.set_seen(selected, asked).await
        {
            return Ok(Err(error));
        }
        for asked in asked.iter() {
            let message = messages.next().flatten();
            let Asked {
                at,
                row,
                shows_seen,
            } = asked;
            let done =
                self.renderer
                    .message(selected, *at, row, message, *shows_seen, &mut self.pieces);
            match done {
                Ok(()) => {}
                Err(Trouble::Damaged) => match self.is_there(selected, row).await {
                    true => outcome.trouble = Some(Trouble::Damaged),
                    false => outcome.gone = true,
                },
                Err(trouble) => outcome.trouble = outcome.trouble.or(Some(trouble)),
            }
            if self.pieces.len() >= PIECES_OCTETS_MAX {
                self.send(out).await?;
            }
        }
        if self.is_counted {
            self.send(out).await?;
            self.share.clear();
        }
        Ok(Ok(()))
    }

    /// Waits until what is read next has room beside what other sessions read: a client may be slow to take it.
    async fn make_room(&mut self, asked: &[Asked]) -> Result<(), ViewError> {
        let octets: u64 = asked.iter().map(|asked| u64::from(asked.row.size)).sum();
        self.is_counted = self.plan.want.octets && octets > UNCOUNTED_OCTETS_MAX;
        if !self.is_counted {
            return Ok(());
        }
        // A message that is larger than all room has it alone.
        let grown = self.share.grow(octets.min(SENDING_OCTETS_MAX)).await;
        grown.map_err(|_| ViewError::Unavailable)
    }

    async fn read(
        &self,
        selected: &Selected,
        asked: &[Asked],
    ) -> Result<Vec<Option<ViewMessage>>, ViewError> {
        if self.plan.is_of_rows() {
            return Ok(Vec::new());
        }
        let emails: Vec<u64> = asked.iter().map(|asked| asked.row.email).collect();
        self.core
            .view_messages(self.caller, selected.key, &emails, self.plan.want)
            .await
    }

    /// What is not `\Seen` becomes it; the rows are then as they are afterwards.
    async fn set_seen(
        &self,
        selected: &mut Selected,
        asked: &mut [Asked],
    ) -> Result<(), ViewError> {
        let is_seen = |row: &ViewRow| row.keywords.iter().any(|keyword| &**keyword == "$seen");
        let unseen = asked.iter().filter(|asked| !is_seen(&asked.row));
        let emails: Vec<u64> = unseen.map(|asked| asked.row.email).collect();
        if emails.is_empty() {
            return Ok(());
        }
        let stored = self.core.view_store(
            self.caller,
            StoreFlags {
                mailbox: selected.key,
                emails,
                change: FlagChange::Add,
                keywords: vec!["$seen".to_owned()],
                deleted: false,
                unchanged_since: None,
            },
        );
        let stored = stored.await?;
        // Both are in the order of the messages.
        let mut rows = stored.rows.into_iter().peekable();
        for asked in asked.iter_mut() {
            if let Some(row) = rows.next_if(|row| row.email == asked.row.email) {
                selected.tell(row.email, row.modseq);
                asked.row = row;
                asked.shows_seen = true;
            }
        }
        Ok(())
    }

    async fn is_there(&self, selected: &Selected, row: &ViewRow) -> bool {
        let rows = self
            .core
            .view_rows(self.caller, selected.key, &[row.email])
            .await;
        let there = rows.ok().into_iter().flatten().flatten();
        there.into_iter().any(|there| there.uid == row.uid)
    }

    async fn send(&mut self, out: &mut Out) -> Result<(), ReadError> {
        for piece in self.pieces.take() {
            out.send(&piece).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_counts_from_either_end() {
        let places = [2..4, 6..9];
        let rows: [((i64, i64), &[usize]); 9] = [
            ((1, 2), &[2, 3]),
            ((2, 3), &[3, 6]),
            ((3, 1), &[2, 3, 6]),
            ((1, 100), &[2, 3, 6, 7, 8]),
            ((6, 9), &[]),
            ((-1, -2), &[7, 8]),
            ((-2, -100), &[2, 3, 6, 7]),
            ((-6, -9), &[]),
            ((-5, -5), &[2]),
        ];
        for (range, want) in rows {
            let got: Vec<usize> = partial(&places, range).into_iter().flatten().collect();
            assert_eq!(got, want, "{range:?}");
        }
    }
}
