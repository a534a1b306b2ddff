//! SEARCH, SORT, THREAD, and UID with each (RFC 9051 §6.4.4, RFC 5256, RFC 5267).
//!
//! Holds: only messages that the client has been told of are found; nothing is expunged before the answer to a command without UID
//! (RFC 9051 §7.5.1).
//! Other half: `jmap_core::inproc::imap_view` finds, sorts and threads; `search` makes the answer.

use std::collections::HashMap;

use jmap_core::inproc::imap_view::{
    Condition, Found, SortBy, SortKey, ThreadAlgorithm, UidList, ViewError,
};

use super::No;
use super::after_login;
use super::changes::Expunges;
use super::progress::Progress;
use crate::command::{self, Command, FetchItem, Search, SearchKey};
use crate::encode::thread::{self, Node};
use crate::encode::{Code, Status};
use crate::out::Out;
use crate::search::contexts::{Change, Context, SORTED_MESSAGES_MAX, Sorted};
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
            "INPROGRESS",
        ],
    )
}

pub fn sort_capabilities(session: &Session) -> &'static [&'static str] {
    after_login(session, &["SORT", "SORT=DISPLAY", "ESORT", "CONTEXT=SORT"])
}

pub fn thread_capabilities(session: &Session) -> &'static [&'static str] {
    after_login(session, &["THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"])
}

/// Messages that another one is compared with at once, to find its place.
const PIVOTS: usize = 64;

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
    if let Some(flow) = refuses_charset(session, out, tag, &search) {
        return flow;
    }
    match find(session, out, tag, &search.key).await {
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
            session.keep_result(out, (tag, uid), &returns, &search, None, &hits);
            done(session, out, tag, uid, "SEARCH done").await
        }
        Err(why) => failed(session, out, tag, uid, &returns, why).await,
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
    match find_sorted(session, out, tag, &search.key, &keys).await {
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
            let sorted = Some(keys);
            session.keep_result(out, (tag, uid), &returns, &search, sorted, &hits);
            done(session, out, tag, uid, "SORT done").await
        }
        Err(why) => failed(session, out, tag, uid, &returns, why).await,
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
    match find_threads(session, out, (tag, uid), &search.key, algorithm).await {
        Ok(nodes) => {
            thread::thread(out.buffer(), &nodes);
            done(session, out, tag, uid, "THREAD done").await
        }
        Err(why) => failed(session, out, tag, uid, &returns, why).await,
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

/// RFC 6855 §3: with UTF8=ACCEPT there is one charset alone.
pub fn refuses_charset(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    search: &Search,
) -> Option<Handled> {
    let is_named = search.charset.is_some() && session.enabled.utf8;
    is_named.then(|| session.bad(out, tag, "UTF8=ACCEPT is enabled: no charset is named"))
}

/// The messages that a key finds, in mailbox order.
async fn find(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    key: &SearchKey,
) -> Result<Searched, No> {
    let mentions = Mentions::of(key);
    if mentions.modseq {
        session.enable_condstore(out);
    }
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let condition = condition(session, selected, key);
    let core = &session.server.core;
    let emails = selected.emails(0..selected.len());
    let search = core.view_search(caller, selected.key, &emails, condition);
    let found = Progress::new(session, tag).wait(out, search).await??;
    Ok(Searched { found, mentions })
}

fn condition(session: &Session, selected: &Selected, key: &SearchKey) -> Condition {
    let messages = Messages {
        account: selected.key.account,
        list: selected.messages(),
        selected: Some(selected),
        now: session.server.config.clock.now().seconds(),
    };
    messages.condition(key)
}

async fn find_sorted(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    key: &SearchKey,
    keys: &[SortKey],
) -> Result<Searched, No> {
    let mut searched = find(session, out, tag, key).await?;
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let emails: Vec<u64> = searched.found.iter().map(|found| found.email).collect();
    let core = &session.server.core;
    let sort = core.view_sort(caller, selected.key, &emails, keys);
    let sorted = Progress::new(session, tag).wait(out, sort).await??;
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
    (tag, uid): (&str, bool),
    key: &SearchKey,
    algorithm: command::ThreadAlgorithm,
) -> Result<Vec<Node>, No> {
    let searched = find(session, out, tag, key).await?;
    let (Some(selected), Some(caller)) = (&session.selected, &session.caller) else {
        return Err(ViewError::NoSuchMailbox.into());
    };
    let algorithm = match algorithm {
        command::ThreadAlgorithm::OrderedSubject => ThreadAlgorithm::OrderedSubject,
        command::ThreadAlgorithm::References => ThreadAlgorithm::References,
    };
    let emails: Vec<u64> = searched.found.iter().map(|found| found.email).collect();
    let core = &session.server.core;
    let thread = core.view_thread(caller, selected.key, &emails, algorithm);
    let nodes = Progress::new(session, tag).wait(out, thread).await??;
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
    /// Tells what has come to the searches that are kept up to date, and what has gone (RFC 5267 §4.3). `before`: the messages
    /// before the changes were applied; `place`: where in the buffer the client is told of them. Which messages, by UID, are to
    /// be shown with what when they are new.
    pub async fn update_contexts(
        &mut self,
        out: &mut Out,
        applied: &Applied,
        before: &UidList,
        place: usize,
    ) -> Vec<(u32, Vec<FetchItem>)> {
        let mut wanted = Vec::new();
        let Some(selected) = &mut self.selected else {
            return wanted;
        };
        let mut contexts = std::mem::take(&mut selected.contexts);
        let mut removed = Vec::new();
        contexts.vanished(&applied.vanished, before, &mut removed);
        out.buffer().splice(place..place, removed);
        let rows = applied.new.iter().chain(&applied.changed);
        let mut rows: Vec<(u32, u64)> = rows.map(|row| (row.uid, row.email)).collect();
        rows.sort_unstable();
        let mut is_known = true;
        for context in contexts.iter_mut().filter(|_| !rows.is_empty()) {
            let Ok(change) = self.change_of(context, &rows).await else {
                is_known = false;
                break;
            };
            if !context.items.is_empty() {
                let added = change.added.iter().map(|(_, uid)| *uid);
                wanted.extend(added.map(|uid| (uid, context.items.clone())));
            }
            if let Some(selected) = &self.selected {
                context.change(change, selected, out.buffer());
            }
        }
        if !is_known {
            // What can't be told now would be missing for ever.
            contexts.tags().for_each(|tag| no_update(out, tag));
        } else if let Some(selected) = &mut self.selected {
            selected.contexts = contexts;
        }
        wanted
    }

    /// What has become of a search by these messages, which are new or changed: UID and email, in UID order.
    async fn change_of(&self, context: &Context, rows: &[(u32, u64)]) -> Result<Change, ViewError> {
        let (Some(selected), Some(caller)) = (&self.selected, &self.caller) else {
            return Err(ViewError::NoSuchMailbox);
        };
        let condition = condition(self, selected, &context.key);
        let emails: Vec<u64> = rows.iter().map(|(_, email)| *email).collect();
        let core = &self.server.core;
        let found = core.view_search(caller, selected.key, &emails, condition);
        let mut found = found.await?.into_iter().peekable();
        let mut change = Change::default();
        for (uid, email) in rows {
            let matches = found.next_if(|found| found.email == *email).is_some();
            match (matches, context.found.contains(*uid)) {
                (true, false) => change.added.push((0, *uid)),
                (false, true) => change.removed.push(*uid),
                _ => {}
            }
        }
        let Some(sorted) = &context.sorted else {
            return Ok(change);
        };
        let mut uids = sorted.uids.clone();
        uids.retain(|uid| !change.removed.contains(uid));
        for (position, uid) in &mut change.added {
            let at = self.place(&uids, *uid, &sorted.keys).await?;
            uids.insert(at, *uid);
            *position = number_at(at);
        }
        match uids.len() > SORTED_MESSAGES_MAX {
            true => Err(ViewError::Limit("too many messages to keep sorted")),
            false => Ok(change),
        }
    }

    /// Where a message goes in a sorted list: among some of them first, then among those between two of these, and so on.
    async fn place(&self, uids: &[u32], uid: u32, keys: &[SortKey]) -> Result<usize, ViewError> {
        let (Some(selected), Some(caller)) = (&self.selected, &self.caller) else {
            return Err(ViewError::NoSuchMailbox);
        };
        let list = selected.messages();
        let email_of = |uid: u32| list.position(uid).and_then(|at| list.get(at));
        let (_, email) = email_of(uid).ok_or(ViewError::NoSuchMailbox)?;
        let (mut start, mut end) = (0, uids.len());
        while start < end {
            let step = (end - start).div_ceil(PIVOTS);
            let pivots = (start..end).step_by(step);
            let pivots: HashMap<u64, usize> = pivots
                .filter_map(|at| Some((email_of(*uids.get(at)?)?.1, at)))
                .collect();
            // What is equal stays in the order of the mailbox (RFC 5256 §3).
            let mut some: Vec<(u32, u64)> = pivots
                .iter()
                .filter_map(|(email, at)| Some((*uids.get(*at)?, *email)))
                .chain([(uid, email)])
                .collect();
            some.sort_unstable();
            let some: Vec<u64> = some.into_iter().map(|(_, email)| email).collect();
            let core = &self.server.core;
            let sorted = core.view_sort(caller, selected.key, &some, keys).await?;
            let mine = sorted.iter().position(|other| *other == email);
            let mine = mine.ok_or(ViewError::NoSuchMailbox)?;
            let (before, after) = (sorted.iter().take(mine), sorted.iter().skip(mine + 1));
            let last = before.filter_map(|email| pivots.get(email)).max();
            let next = after.filter_map(|email| pivots.get(email)).min();
            let former = (start, end);
            start = last.map_or(start, |at| at + 1);
            end = next.copied().unwrap_or(end).max(start);
            // All that were asked about are gone, and not told of yet.
            if (start, end) == former {
                break;
            }
        }
        Ok(start)
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
        (tag, uid): (&str, bool),
        returns: &Returns,
        search: &Search,
        sorted: Option<Vec<SortKey>>,
        hits: &[Hit],
    ) {
        self.save(returns, hits);
        if returns.update {
            self.keep_up_to_date(out, (tag, uid), search, sorted, hits);
        }
    }

    /// Keeps a search up to date from here on, or says that it isn't.
    fn keep_up_to_date(
        &mut self,
        out: &mut Out,
        (tag, uid): (&str, bool),
        search: &Search,
        sorted: Option<Vec<SortKey>>,
        hits: &[Hit],
    ) {
        let Some(selected) = &mut self.selected else {
            return;
        };
        if !selected.contexts.has_room(sorted.is_some(), hits.len()) {
            return no_update(out, tag);
        }
        let uids = hits.iter().map(|hit| hit.uid);
        let context = Context {
            tag: tag.to_owned(),
            uid,
            key: frozen(&search.key, selected),
            found: uids.clone().collect(),
            sorted: sorted.map(|keys| Sorted {
                keys,
                uids: uids.collect(),
            }),
            items: search.update_items.clone(),
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
    let list = selected.messages();
    let all = || {
        list.iter()
            .enumerate()
            .map(|(at, (uid, email))| (at, uid, email))
    };
    // Where what comes in mailbox order is next; SORT has its own order.
    let mut next = all();
    let mut places: Option<HashMap<u64, (usize, u32)>> = None;
    let mut place = |email: u64| {
        if places.is_none()
            && let Some((at, uid, _)) = next.find(|(_, _, other)| *other == email)
        {
            return Some((at, uid));
        }
        let by_email = || all().map(|(at, uid, email)| (email, (at, uid))).collect();
        places.get_or_insert_with(by_email).get(&email).copied()
    };
    let hit = |found: Found| {
        let (at, own) = place(found.email)?;
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
    why: No,
) -> Handled {
    session.forget_saved(returns);
    let expunges = Expunges::of(uid);
    session.refuse_because(out, tag, expunges, why).await
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
