//! SEARCH, SORT, THREAD, and UID with each (RFC 9051 §6.4.4, RFC 5256, RFC 5267).
//!
//! Holds: only messages that the client has been told of are found; nothing is expunged before the answer to a command without UID
//! (RFC 9051 §7.5.1).
//! Other half: `jmap_core::inproc::imap_view` finds, sorts and threads; `search` makes the answer.

use std::collections::HashMap;

use jmap_core::inproc::imap_view::{Condition, Found, SortBy, SortKey, ThreadAlgorithm, ViewError};

use super::after_login;
use super::changes::Expunges;
use crate::command::{self, Command, Search, SearchKey};
use crate::encode::thread::{self, Node};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::search::contexts::Context;
use crate::search::{Answer, Hit, Plain, Returns};
use crate::selected::{Applied, Selected, number_at};
use crate::session::{Flow, Handled, Session};
use crate::translate::search::{Mentions, Messages, frozen};

pub fn search_capabilities(session: &Session) -> &'static [&'static str] {
    after_login(
        session,
        &[
            "ESEARCH",
            "SEARCHRES",
            "PARTIAL",
            "WITHIN",
            "SAVEDATE",
            "I18NLEVEL=1",
            "CONTEXT=SEARCH",
        ],
    )
}

pub fn sort_capabilities(session: &Session) -> &'static [&'static str] {
    after_login(session, &["SORT", "SORT=DISPLAY", "ESORT"])
}

pub fn thread_capabilities(session: &Session) -> &'static [&'static str] {
    after_login(session, &["THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"])
}

/// How a search went.
struct Searched {
    found: Vec<Found>,
    mentions: Mentions,
}

pub async fn search(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Search { uid, search } = command else {
        return session.bad(out, tag, "That is no SEARCH");
    };
    let returns = Returns::new(search.returns.as_deref(), session.enabled.rev2);
    if let Some(flow) = refused(session, out, tag, uid, &returns, &search) {
        return flow;
    }
    match find(session, out, &search.key).await {
        Ok(searched) => {
            let hits = hits(session, searched.found.iter().copied(), uid);
            answer(
                session,
                out,
                (tag, uid),
                &returns,
                &hits,
                searched.mentions,
                Plain::Search,
            );
            session.keep_result(out, tag, uid, &returns, &search.key, &hits);
            done(session, out, tag, uid, "SEARCH done").await
        }
        Err(error) => failed(session, out, tag, uid, &returns, &error).await,
    }
}

pub async fn sort(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Sort { uid, keys, search } = command else {
        return session.bad(out, tag, "That is no SORT");
    };
    // RFC 5267 §3: without RETURN it is a SORT response, in any version.
    let returns = Returns::new(search.returns.as_deref(), false);
    if let Some(flow) = refused(session, out, tag, uid, &returns, &search) {
        return flow;
    }
    let keys: Vec<SortKey> = keys.iter().map(sort_key).collect();
    match find_sorted(session, out, &search.key, &keys).await {
        Ok(searched) => {
            let hits = hits(session, searched.found.iter().copied(), uid);
            answer(
                session,
                out,
                (tag, uid),
                &returns,
                &hits,
                searched.mentions,
                Plain::Sort,
            );
            session.save(&returns, &hits);
            // RFC 5267 §4.3.1: places in an order of their own are not followed.
            if returns.update {
                no_update(out, tag);
            }
            done(session, out, tag, uid, "SORT done").await
        }
        Err(error) => failed(session, out, tag, uid, &returns, &error).await,
    }
}

pub async fn thread(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Thread {
        uid,
        algorithm,
        search,
    } = command
    else {
        return session.bad(out, tag, "That is no THREAD");
    };
    let returns = Returns::default();
    if let Some(flow) = refused(session, out, tag, uid, &returns, &search) {
        return flow;
    }
    match find_threads(session, out, &search.key, algorithm, uid).await {
        Ok(nodes) => {
            thread::thread(out.buffer(), &nodes);
            done(session, out, tag, uid, "THREAD done").await
        }
        Err(error) => failed(session, out, tag, uid, &returns, &error).await,
    }
}

/// What is refused before anything is searched.
pub fn refused(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    uid: bool,
    returns: &Returns,
    search: &Search,
) -> Option<Handled> {
    if session.refuses_numbers(out, tag, uid) {
        return Some(Ok(Flow::Continue));
    }
    // RFC 9586 §3.4
    if session.enabled.uidonly && Mentions::of(&search.key).numbers {
        let text = "UIDONLY is enabled: search for UIDs";
        out.tagged(tag, Status::Bad, Some(&Code::UidRequired), text);
        return Some(Ok(Flow::Continue));
    }
    let contexts = session.selected.as_ref().map(|selected| &selected.contexts);
    // RFC 5267 §4.3
    if returns.update && contexts.is_some_and(|contexts| contexts.has(tag)) {
        return Some(session.bad(out, tag, "A search with this tag is kept up to date"));
    }
    // RFC 9394 §3.1
    if returns.partial.is_some() && returns.all {
        let text = "PARTIAL and ALL exclude each other";
        return Some(session.bad(out, tag, text));
    }
    None
}

/// The messages that a key finds, in mailbox order.
async fn find(
    session: &mut Session,
    out: &mut Out,
    key: &SearchKey,
) -> Result<Searched, ViewError> {
    let mentions = Mentions::of(key);
    if mentions.modseq {
        session.enable_condstore(out);
    }
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox);
    };
    let condition = condition(session, selected, key);
    let core = &session.server.core;
    let found = core
        .view_search(caller, selected.key, selected.emails(), condition)
        .await?;
    Ok(Searched { found, mentions })
}

fn condition(session: &Session, selected: &Selected, key: &SearchKey) -> Condition {
    let messages = Messages {
        account: selected.key.account,
        uids: selected.uids(),
        emails: selected.emails(),
        selected: Some(selected),
        now: session.server.config.clock.now().seconds(),
    };
    messages.condition(key)
}

async fn find_sorted(
    session: &mut Session,
    out: &mut Out,
    key: &SearchKey,
    keys: &[SortKey],
) -> Result<Searched, ViewError> {
    let mut searched = find(session, out, key).await?;
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox);
    };
    let emails: Vec<u64> = searched.found.iter().map(|found| found.email).collect();
    let core = &session.server.core;
    let sorted = core.view_sort(caller, selected.key, &emails, keys).await?;
    let by_email: HashMap<u64, Found> = searched
        .found
        .iter()
        .map(|found| (found.email, *found))
        .collect();
    let sorted = sorted.into_iter();
    searched.found = sorted
        .filter_map(|email| by_email.get(&email).copied())
        .collect();
    Ok(searched)
}

async fn find_threads(
    session: &mut Session,
    out: &mut Out,
    key: &SearchKey,
    algorithm: command::ThreadAlgorithm,
    uid: bool,
) -> Result<Vec<Node>, ViewError> {
    let searched = find(session, out, key).await?;
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox);
    };
    let algorithm = match algorithm {
        command::ThreadAlgorithm::OrderedSubject => ThreadAlgorithm::OrderedSubject,
        command::ThreadAlgorithm::References => ThreadAlgorithm::References,
    };
    let emails: Vec<u64> = searched.found.iter().map(|found| found.email).collect();
    let core = &session.server.core;
    let nodes = core
        .view_thread(caller, selected.key, &emails, algorithm)
        .await?;
    let shown: HashMap<u64, u32> = hits(session, searched.found.iter().copied(), uid)
        .into_iter()
        .zip(&emails)
        .map(|(hit, email)| (*email, hit.shown))
        .collect();
    let node = |node: &jmap_core::inproc::imap_view::ThreadNode| Node {
        depth: node.depth,
        number: node.email.and_then(|email| shown.get(&email).copied()),
    };
    Ok(nodes.iter().map(node).collect())
}

impl Session {
    /// Tells what has come to the searches that are kept up to date, and what has gone (RFC 5267 §4.3). `before`: the UIDs
    /// before the changes were applied; `place`: where in the buffer the client is told of them.
    pub async fn update_contexts(
        &mut self,
        out: &mut Out,
        applied: &Applied,
        before: &[u32],
        place: usize,
    ) {
        let (Some(selected), Some(caller)) = (&self.selected, &self.caller) else {
            return;
        };
        let mut rows: Vec<(u32, u64)> = applied
            .new
            .iter()
            .chain(&applied.changed)
            .map(|row| (row.uid, row.email))
            .collect();
        rows.sort_unstable();
        let (uids, emails): (Vec<u32>, Vec<u64>) = rows.into_iter().unzip();
        let mut matching = Vec::new();
        let mut is_known = true;
        for key in selected.contexts.keys().filter(|_| !uids.is_empty()) {
            let condition = condition(self, selected, key);
            let core = &self.server.core;
            let found = core
                .view_search(caller, selected.key, &emails, condition)
                .await;
            let Ok(found) = found else {
                is_known = false;
                break;
            };
            let mut found = found.into_iter().peekable();
            let rows = uids.iter().zip(&emails);
            let is_found =
                |(_, email): &(&u32, &u64)| found.next_if(|f| f.email == **email).is_some();
            matching.push(
                rows.filter(is_found)
                    .map(|(uid, _)| *uid)
                    .collect::<Vec<u32>>(),
            );
        }
        // What can't be told now would be missing for ever.
        if !is_known {
            return self.end_contexts(out);
        }
        let Some(selected) = &mut self.selected else {
            return;
        };
        let mut contexts = std::mem::take(&mut selected.contexts);
        let mut removed = Vec::new();
        contexts.vanished(&applied.vanished, before, &mut removed);
        out.buffer().splice(place..place, removed);
        contexts.changed(&uids, &matching, selected, out.buffer());
        selected.contexts = contexts;
    }

    fn end_contexts(&mut self, out: &mut Out) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        for tag in std::mem::take(&mut selected.contexts).tags() {
            no_update(out, tag);
        }
    }

    fn save(&mut self, returns: &Returns, hits: &[Hit]) {
        if let Some(selected) = self.selected.as_mut().filter(|_| returns.save) {
            selected.saved = returns.saved(hits).into_iter().collect();
        }
    }

    /// RFC 5182 §2.1: a SAVE that is answered with NO leaves nothing saved.
    pub fn forget_saved(&mut self, returns: &Returns) {
        self.save(returns, &[]);
    }

    /// What SAVE and UPDATE ask for.
    pub fn keep_result(
        &mut self,
        out: &mut Out,
        tag: &str,
        uid: bool,
        returns: &Returns,
        key: &SearchKey,
        hits: &[Hit],
    ) {
        self.save(returns, hits);
        if returns.update {
            self.keep_up_to_date(out, tag, uid, key, hits);
        }
    }

    /// Keeps a search up to date from here on, or says that it isn't.
    fn keep_up_to_date(
        &mut self,
        out: &mut Out,
        tag: &str,
        uid: bool,
        key: &SearchKey,
        hits: &[Hit],
    ) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        if selected.contexts.is_full() {
            return no_update(out, tag);
        }
        let context = Context {
            tag: tag.to_owned(),
            uid,
            key: frozen(key, selected),
            found: hits.iter().map(|hit| hit.uid).collect(),
        };
        selected.contexts.add(context);
    }
}

/// RFC 5267 §4.3.1
fn no_update(out: &mut Out, tag: &str) {
    let code = Code::NoUpdate(tag.to_owned());
    out.untagged(Status::No, Some(&code), "It will not be kept up to date");
}

pub async fn cancel_update(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let Command::CancelUpdate(tags) = command else {
        return session.bad(out, tag, "That is no CANCELUPDATE");
    };
    if let Some(selected) = &mut session.selected {
        selected.contexts.cancel(&tags);
    }
    let end = (Status::Ok, None, "No further updates");
    session.end(out, tag, Expunges::Told, end).await
}

/// What was found, in its order, as the client knows it.
fn hits(session: &Session, found: impl Iterator<Item = Found>, uid: bool) -> Vec<Hit> {
    let Some(selected) = &session.selected else {
        return Vec::new();
    };
    let (uids, emails) = (selected.uids(), selected.emails());
    // Where what comes in mailbox order is next; SORT has its own order.
    let mut next = 0;
    let mut places: Option<HashMap<u64, usize>> = None;
    let mut place = |email: u64| {
        if places.is_none() {
            while let Some(other) = emails.get(next) {
                next += 1;
                if *other == email {
                    return Some(next - 1);
                }
            }
        }
        let all = || {
            emails
                .iter()
                .enumerate()
                .map(|(at, email)| (*email, at))
                .collect()
        };
        places.get_or_insert_with(all).get(&email).copied()
    };
    let hit = |found: Found| {
        let at = place(found.email)?;
        let own = uids.get(at).copied()?;
        Some(Hit {
            uid: own,
            shown: if uid { own } else { number_at(at) },
            modseq: found.modseq,
        })
    };
    found.filter_map(hit).collect()
}

fn answer(
    session: &Session,
    out: &mut Out,
    (tag, uid): (&str, bool),
    returns: &Returns,
    hits: &[Hit],
    mentions: Mentions,
    plain: Plain,
) {
    let utf8 = session.mode().utf8;
    let answer = Answer {
        tag,
        uid,
        returns,
        hits,
        has_modseq: mentions.modseq,
        mailbox: None,
        utf8,
    };
    answer.encode(out.buffer(), plain);
}

async fn done(session: &mut Session, out: &mut Out, tag: &str, uid: bool, text: &str) -> Handled {
    session
        .end(out, tag, Expunges::of(uid), (Status::Ok, None, text))
        .await
}

async fn failed(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    uid: bool,
    returns: &Returns,
    error: &ViewError,
) -> Handled {
    session.forget_saved(returns);
    session.fail(out, tag, Expunges::of(uid), error).await
}

fn sort_key(key: &command::SortKey) -> SortKey {
    let by = match key.by {
        command::SortBy::Arrival => SortBy::Arrival,
        command::SortBy::Cc => SortBy::Cc,
        command::SortBy::Date => SortBy::Date,
        command::SortBy::From => SortBy::From,
        command::SortBy::Size => SortBy::Size,
        command::SortBy::Subject => SortBy::Subject,
        command::SortBy::To => SortBy::To,
        command::SortBy::DisplayFrom => SortBy::DisplayFrom,
        command::SortBy::DisplayTo => SortBy::DisplayTo,
    };
    SortKey {
        by,
        is_reverse: key.reverse,
    }
}
