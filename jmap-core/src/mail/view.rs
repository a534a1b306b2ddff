//! An account's mail in memory: what lists, counts and most filters need.
//!
//! Emails with `\Deleted` in all their mailboxes are there for IMAP and POP3 alone (RFC 8621 §4.1.1): what JMAP reads is `email`,
//! `emails`, `by_received`, `thread`, `counts` and `EmailRow::places`; what has "all" in its name, and `by_uid`, has them as well.
//!
//! Holds: the view is what the store has as of `head.sequence`; it is loaded by one scan and
//! kept current by each committed transaction, so counts are always a recount. What other nodes have
//! committed, it reads from the change log (`catch_up`).
//! Other half: transactions emit [`ViewEvent`]s; `accounts::AccountHandle` applies them.

mod blocks;
mod catch_up;
mod row;
#[cfg(test)]
mod tests;
mod uids;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jmap_types::DataType;
use store::{
    Head, Record, decode_numbers,
    engine::{KeyRange, Page, Snapshot},
    keys,
};

pub use self::catch_up::CatchUp;
pub use self::row::{EmailRow, KeywordSet, Places};
pub use self::uids::{Difference, Messages, UidList};
use self::{blocks::Blocks, row::Keywords};
use super::records::{EmailRecord, InMailbox, MailboxRecord};

/// What a transaction does to the view.
#[derive(Debug)]
pub enum ViewEvent {
    Email {
        id: u64,
        record: Arc<EmailRecord>,
    },
    EmailGone {
        id: u64,
    },
    Mailbox {
        id: u64,
        record: Arc<MailboxRecord>,
    },
    MailboxGone {
        id: u64,
    },
    /// Annotations of a mailbox have changed, or with 0 those of the server.
    Metadata {
        mailbox: u64,
    },
}

#[derive(Debug, Default)]
pub struct View {
    pub head: Head,
    emails: Blocks<u64, EmailRow>,
    mailboxes: BTreeMap<u64, MailboxRow>,
    /// (thread, email), of the emails that JMAP sees.
    threads: Blocks<(u64, u64), ()>,
    /// The emails that JMAP sees, by (received, id).
    by_received: Vec<(i64, u64)>,
    keywords: Keywords,
    trash: Option<u64>,
    /// As [`MailboxRow::metadata_at`], of the server's annotations that are the account's own.
    pub metadata_at: u64,
    /// The last emails that changed, with the transaction that did it.
    recent: VecDeque<(u64, u64)>,
    /// All that changed after this sequence is in `recent`.
    recent_since: u64,
    /// The transaction that is being applied.
    applying: u64,
    /// While an account is loaded: by mailbox.
    uids_next: BTreeMap<u64, u32>,
    /// While an account is loaded, threads are counted once, at the end.
    is_loading: bool,
}

#[derive(Debug)]
pub struct MailboxRow {
    pub record: Arc<MailboxRecord>,
    /// (received, email), in order, without `\Deleted`.
    pub by_received: Vec<(i64, u64)>,
    by_uid: UidList,
    /// UIDs of what is not `$seen`.
    unseen: Blocks<u32, ()>,
    /// Keywords by number, and how many messages have each.
    keywords: BTreeMap<u32, u32>,
    /// IMAP's UIDNEXT: what the next message gets.
    pub uid_next: u32,
    /// IMAP's counts.
    pub all: PlaceCounts,
    /// The last transaction that changed a message in it, added one or took one away; just after loading, the
    /// last of the account. It is IMAP's HIGHESTMODSEQ (RFC 7162 §3.1.2.1).
    pub changed_at: u64,
    /// No annotation of it has changed after this transaction (RFC 5464).
    pub metadata_at: u64,
    /// Kept as emails change.
    unread_emails: u64,
    total_threads: u64,
    unread_threads: u64,
}

/// Of all messages of a mailbox, those with `\Deleted` among them.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct PlaceCounts {
    pub messages: u32,
    /// Without `$seen`.
    pub unseen: u32,
    /// With `\Deleted`.
    pub deleted: u32,
    /// Octets of all.
    pub size: u64,
    /// Octets of those with `\Deleted`.
    pub deleted_size: u64,
}

/// RFC 8621 §2 `totalEmails` and its sisters.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct MailboxCounts {
    pub total_emails: u64,
    pub unread_emails: u64,
    pub total_threads: u64,
    pub unread_threads: u64,
}

/// Changes of emails that a view remembers, for sessions that follow it.
const RECENT_MAX: usize = 4096;
/// Rows that one page of loading reads.
const ROWS_PER_PAGE: usize = 2000;

impl View {
    pub fn empty(head: Head) -> Self {
        Self {
            recent_since: head.sequence,
            applying: head.sequence,
            metadata_at: head.sequence,
            head,
            keywords: Keywords::new(),
            ..Self::default()
        }
    }

    /// Reads an account's mail, all of it as of one moment. The caller sees to it that this process commits nothing meanwhile.
    pub async fn load(
        engine: &dyn Snapshot,
        account: jmap_types::AccountId,
    ) -> Result<Self, store::Error> {
        let key = keys::head(account);
        // Invariant 5: without its head an account can't be written to, and still be read.
        let (head, is_stand_in) = match engine.get(&key).await?.map(|b| Head::from_bytes(&key, &b))
        {
            Some(Ok(head)) => (head, false),
            Some(Err(error)) => {
                tracing::error!(%account, %error, "the account can be read alone, until it is repaired");
                (Head::default(), true)
            }
            None => (Head::default(), false),
        };
        let mut view = Self::empty(head);
        view.is_loading = true;
        let uids = keys::mailbox_uids(account);
        each_row(engine, uids, |key, bytes| {
            let (_, id) = keys::decode_mailbox_uid(key)
                .ok_or_else(|| store::Error::bad_key("mailbox UID", key))?;
            let next = match decode_numbers::<2>(key, bytes) {
                Ok([_, next]) => next,
                // The UIDs of the emails tell it; nothing comes in.
                Err(error) => {
                    tracing::error!(%error, "a mailbox takes no mail, until it is repaired");
                    return Ok(());
                }
            };
            view.uids_next
                .insert(id, u32::try_from(next).unwrap_or(u32::MAX));
            Ok(())
        })
        .await?;
        each(engine, account, DataType::Mailbox, |key, id, bytes| {
            match MailboxRecord::from_bytes(key, bytes) {
                Ok(record) => view.put_mailbox(id, Arc::new(record)),
                Err(error) => tracing::error!(%error, "a mailbox is left out of the view"),
            }
            Ok(())
        })
        .await?;
        each(engine, account, DataType::Email, |key, id, bytes| {
            match EmailRecord::from_bytes(key, bytes) {
                Ok(record) => view.put_email(id, &record),
                // Invariant 5: a bad record is reported, and the rest of the account goes on.
                Err(error) => tracing::error!(%error, "an email record is left out of the view"),
            }
            Ok(())
        })
        .await?;
        view.is_loading = false;
        view.uids_next = BTreeMap::new();
        view.shrink_to_fit();
        view.count_all_threads();
        if is_stand_in {
            let newest = view.emails.iter().map(|(_, row)| row.modseq).max();
            view.head.sequence = newest.unwrap_or(0);
            let states = DataType::ALL.iter().map(|_| view.head.sequence);
            view.head.states = states.collect();
        }
        if view.head.revision.is_some() {
            let (changes, first) = catch_up::last_changes(engine, account, &view.head).await?;
            view.date_back(&changes, first);
        }
        Ok(view)
    }

    /// What a loaded view has room for beyond its rows is rarely needed.
    fn shrink_to_fit(&mut self) {
        self.emails.shrink_to_fit();
        self.threads.shrink_to_fit();
        self.by_received.shrink_to_fit();
        for mailbox in self.mailboxes.values_mut() {
            mailbox.by_received.shrink_to_fit();
            mailbox.by_uid.shrink_to_fit();
            mailbox.unseen.shrink_to_fit();
        }
    }

    /// The emails that changed after `since`, each once; `None` when that is longer ago than is remembered.
    pub fn changed_emails(&self, since: u64) -> Option<BTreeSet<u64>> {
        if since < self.recent_since {
            return None;
        }
        let changed = self.recent.iter().rev();
        let changed = changed.take_while(|(sequence, _)| *sequence > since);
        Some(changed.map(|(_, email)| *email).collect())
    }

    fn remember(&mut self, email: u64) {
        self.recent.push_back((self.applying, email));
        if self.recent.len() > RECENT_MAX
            && let Some((oldest, _)) = self.recent.pop_front()
        {
            self.recent_since = oldest;
        }
    }

    /// Does what a transaction did.
    pub fn apply(&mut self, sequence: u64, event: ViewEvent) {
        self.applying = sequence;
        match &event {
            ViewEvent::Email { id, .. } | ViewEvent::EmailGone { id } => self.remember(*id),
            ViewEvent::Mailbox { .. }
            | ViewEvent::MailboxGone { .. }
            | ViewEvent::Metadata { .. } => {}
        }
        match event {
            ViewEvent::Email { id, record } => self.put_email(id, &record),
            ViewEvent::EmailGone { id } => self.remove_email(id),
            ViewEvent::Mailbox { id, record } => self.put_mailbox(id, record),
            ViewEvent::MailboxGone { id } => {
                self.mailboxes.remove(&id);
                self.find_trash();
            }
            ViewEvent::Metadata { mailbox: 0 } => self.metadata_at = sequence,
            ViewEvent::Metadata { mailbox } => {
                if let Some(row) = self.mailboxes.get_mut(&mailbox) {
                    row.metadata_at = sequence;
                }
            }
        }
    }

    /// `unreadThreads` depends on which mailbox is the trash.
    fn find_trash(&mut self) {
        let trash = self.mailbox_by_role("trash");
        if trash != self.trash {
            self.trash = trash;
            self.count_all_threads();
        }
    }

    fn put_mailbox(&mut self, id: u64, record: Arc<MailboxRecord>) {
        match self.mailboxes.get_mut(&id) {
            Some(row) => row.record = record,
            None => {
                let row = MailboxRow {
                    record,
                    by_received: Vec::new(),
                    by_uid: UidList::default(),
                    unseen: Blocks::default(),
                    keywords: BTreeMap::new(),
                    uid_next: self.uids_next.get(&id).copied().unwrap_or(1),
                    all: PlaceCounts::default(),
                    changed_at: self.applying,
                    metadata_at: self.applying,
                    unread_emails: 0,
                    total_threads: 0,
                    unread_threads: 0,
                };
                self.mailboxes.insert(id, row);
            }
        }
        self.find_trash();
    }

    fn put_email(&mut self, id: u64, record: &EmailRecord) {
        let row = EmailRow::new(record, self.keywords.set(&record.keywords));
        if self
            .emails
            .get(id)
            .is_some_and(|old| is_in_place(old, &row))
        {
            return self.change_email(id, row);
        }
        self.remove_email(id);
        let at = (row.received_at, id);
        let thread = row.thread;
        self.count_thread(thread, Count::Off);
        for place in row.all_places.iter() {
            if let Some(mailbox) = self.mailboxes.get_mut(&place.mailbox) {
                mailbox.changed_at = self.applying;
                mailbox.by_uid.insert(place.uid, id);
                mailbox.uid_next = mailbox.uid_next.max(place.uid.saturating_add(1));
                mailbox.count(&row, place, Count::On);
                if !place.is_deleted {
                    insert_sorted(&mut mailbox.by_received, at);
                    mailbox.unread_emails += u64::from(row.keywords.is_unread());
                }
            }
        }
        if row.is_visible() {
            insert_sorted(&mut self.by_received, at);
            self.threads.insert((row.thread, id), ());
        }
        self.emails.insert(id, row);
        self.count_thread(thread, Count::On);
    }

    /// Puts a row in that is where the old one is in all lists: a keyword was set, most likely.
    fn change_email(&mut self, id: u64, row: EmailRow) {
        let Some(old) = self.emails.get_mut(id) else {
            return;
        };
        for place in row.all_places.iter() {
            if let Some(mailbox) = self.mailboxes.get_mut(&place.mailbox) {
                mailbox.changed_at = self.applying;
                mailbox.count(old, place, Count::Off);
                mailbox.count(&row, place, Count::On);
            }
        }
        let is_unread = row.keywords.is_unread();
        if old.keywords.is_unread() == is_unread {
            *old = row;
            return;
        }
        let thread = row.thread;
        self.count_thread(thread, Count::Off);
        for place in row.places() {
            if let Some(mailbox) = self.mailboxes.get_mut(&place.mailbox) {
                match is_unread {
                    true => mailbox.unread_emails += 1,
                    false => mailbox.unread_emails -= 1,
                }
            }
        }
        self.emails.insert(id, row);
        self.count_thread(thread, Count::On);
    }

    fn remove_email(&mut self, id: u64) {
        let Some(thread) = self.emails.get(id).map(|row| row.thread) else {
            return;
        };
        self.count_thread(thread, Count::Off);
        self.take_email(id);
        self.count_thread(thread, Count::On);
    }

    fn take_email(&mut self, id: u64) {
        let Some(row) = self.emails.remove(id) else {
            return;
        };
        let at = (row.received_at, id);
        for place in row.all_places.iter() {
            if let Some(mailbox) = self.mailboxes.get_mut(&place.mailbox) {
                mailbox.changed_at = self.applying;
                mailbox.by_uid.remove(place.uid);
                mailbox.count(&row, place, Count::Off);
                if !place.is_deleted {
                    remove_sorted(&mut mailbox.by_received, at);
                    mailbox.unread_emails -= u64::from(row.keywords.is_unread());
                }
            }
        }
        if row.is_visible() {
            remove_sorted(&mut self.by_received, at);
            self.threads.remove((row.thread, id));
        }
    }

    /// An email that JMAP sees.
    pub fn email(&self, id: u64) -> Option<&EmailRow> {
        self.emails.get(id).filter(|row| row.is_visible())
    }

    /// An email, with `\Deleted` or without.
    pub fn any_email(&self, id: u64) -> Option<&EmailRow> {
        self.emails.get(id)
    }

    /// The emails that JMAP sees, by id.
    pub fn emails(&self) -> impl Iterator<Item = (u64, &EmailRow)> {
        self.emails.iter().filter(|(_, row)| row.is_visible())
    }

    /// All emails, with `\Deleted` or without, by id.
    pub fn all_emails(&self) -> impl ExactSizeIterator<Item = (u64, &EmailRow)> {
        self.emails.iter()
    }

    /// The emails that JMAP sees by (received, id).
    pub fn by_received(&self) -> &[(i64, u64)] {
        &self.by_received
    }

    pub fn mailbox(&self, id: u64) -> Option<&MailboxRow> {
        self.mailboxes.get(&id)
    }

    /// All mailboxes, by id.
    pub fn mailboxes(&self) -> impl ExactSizeIterator<Item = (u64, &MailboxRow)> {
        self.mailboxes.iter().map(|(&id, row)| (id, row))
    }

    pub fn mailbox_by_role(&self, role: &str) -> Option<u64> {
        let mut rows = self.mailboxes.iter();
        rows.find(|(_, row)| row.record.role.as_deref() == Some(role))
            .map(|(&id, _)| id)
    }

    /// The emails of a thread, oldest first (RFC 8621 §3 `emailIds`).
    pub fn thread(&self, thread: u64) -> Vec<u64> {
        let ids = self.threads.range((thread, 0)..=(thread, u64::MAX));
        let mut emails: Vec<(i64, u64)> = ids
            .filter_map(|((_, id), ())| Some((self.emails.get(id)?.received_at, id)))
            .collect();
        emails.sort_unstable();
        emails.into_iter().map(|(_, id)| id).collect()
    }

    pub fn thread_exists(&self, thread: u64) -> bool {
        self.threads
            .range((thread, 0)..=(thread, u64::MAX))
            .next()
            .is_some()
    }

    pub fn has_keyword(&self, row: &EmailRow, keyword: &str) -> bool {
        let number = self.keywords.number(keyword);
        number.is_some_and(|number| row.keywords.contains(number))
    }

    /// The keywords of an email, in no order.
    pub fn keywords<'v>(&'v self, row: &'v EmailRow) -> impl Iterator<Item = &'v Arc<str>> {
        self.keywords.names(row.keywords.numbers())
    }

    /// The keywords that messages of a mailbox have, in no order.
    pub fn keywords_in<'v>(&'v self, row: &'v MailboxRow) -> impl Iterator<Item = &'v Arc<str>> {
        self.keywords.names(row.keywords.keys().copied())
    }

    pub fn counts(&self, id: u64) -> MailboxCounts {
        let Some(mailbox) = self.mailboxes.get(&id) else {
            return MailboxCounts::default();
        };
        MailboxCounts {
            total_emails: mailbox.by_received.len() as u64,
            unread_emails: mailbox.unread_emails,
            total_threads: mailbox.total_threads,
            unread_threads: mailbox.unread_threads,
        }
    }

    /// Takes a thread off the counts of its mailboxes, or puts it on them.
    ///
    /// RFC 8621 §2 `unreadThreads`: a thread is unread in each of its mailboxes when some email of
    /// it is, but emails that are in the trash alone count only there, and the others not there.
    fn count_thread(&mut self, thread: u64, count: Count) {
        if self.is_loading {
            return;
        }
        let mut present = BTreeSet::new();
        let (mut unread_in_trash, mut unread_elsewhere) = (false, false);
        for ((_, id), ()) in self.threads.range((thread, 0)..=(thread, u64::MAX)) {
            let Some(row) = self.emails.get(id) else {
                continue;
            };
            let unread = row.keywords.is_unread();
            for place in row.places() {
                present.insert(place.mailbox);
                let in_trash = Some(place.mailbox) == self.trash;
                unread_in_trash |= unread && in_trash;
                unread_elsewhere |= unread && !in_trash;
            }
        }
        for id in present {
            let in_trash = Some(id) == self.trash;
            let unread = if in_trash {
                unread_in_trash
            } else {
                unread_elsewhere
            };
            if let Some(mailbox) = self.mailboxes.get_mut(&id) {
                count.apply(&mut mailbox.total_threads, true);
                count.apply(&mut mailbox.unread_threads, unread);
            }
        }
    }

    fn count_all_threads(&mut self) {
        if self.is_loading {
            return;
        }
        for mailbox in self.mailboxes.values_mut() {
            (mailbox.total_threads, mailbox.unread_threads) = (0, 0);
        }
        let mut threads: Vec<u64> = self
            .threads
            .iter()
            .map(|((thread, _), ())| thread)
            .collect();
        threads.dedup();
        for thread in threads {
            self.count_thread(thread, Count::On);
        }
    }

    /// An estimate of the memory that the view takes.
    pub fn octets(&self) -> usize {
        // The row, its thread, its place in the order of all and in those of a mailbox: by date and by UID.
        const PER_EMAIL: usize = size_of::<(u64, EmailRow)>() + 5 * size_of::<(i64, u64)>();
        const PER_MAILBOX: usize = 400;
        self.emails.len() * PER_EMAIL + self.mailboxes.len() * PER_MAILBOX + 4096
    }
}

/// Whether a row takes the place of another one in all lists.
fn is_in_place(old: &EmailRow, new: &EmailRow) -> bool {
    old.thread == new.thread
        && old.received_at == new.received_at
        && old.all_places == new.all_places
}

impl MailboxRow {
    /// All messages, with `\Deleted` or without: UID and email, in UID order.
    pub fn by_uid(&self) -> &UidList {
        &self.by_uid
    }

    /// The first message that is not `$seen`.
    pub fn first_unseen_uid(&self) -> Option<u32> {
        self.unseen.iter().next().map(|(uid, ())| uid)
    }

    fn count(&mut self, row: &EmailRow, place: &InMailbox, count: Count) {
        self.all.count(row, place, count);
        if !row.keywords.is_seen() {
            match count {
                Count::On => self.unseen.insert(place.uid, ()),
                Count::Off => self.unseen.remove(place.uid),
            };
        }
        for number in row.keywords.numbers() {
            match count {
                Count::On => *self.keywords.entry(number).or_default() += 1,
                Count::Off => {
                    let left = self.keywords.get_mut(&number).map_or(1, |messages| {
                        *messages = messages.saturating_sub(1);
                        *messages
                    });
                    if left == 0 {
                        self.keywords.remove(&number);
                    }
                }
            }
        }
    }
}

impl PlaceCounts {
    fn count(&mut self, row: &EmailRow, place: &InMailbox, count: Count) {
        let size = u64::from(row.size);
        let add = |number: &mut u32, counted: bool| match count {
            Count::On => *number += u32::from(counted),
            Count::Off => *number = number.saturating_sub(u32::from(counted)),
        };
        let add_size = |number: &mut u64, counted: bool| match count {
            Count::On => *number += size * u64::from(counted),
            Count::Off => *number = number.saturating_sub(size * u64::from(counted)),
        };
        add(&mut self.messages, true);
        add(&mut self.unseen, !row.keywords.is_seen());
        add(&mut self.deleted, place.is_deleted);
        add_size(&mut self.size, true);
        add_size(&mut self.deleted_size, place.is_deleted);
    }
}

#[derive(Clone, Copy)]
enum Count {
    On,
    Off,
}

impl Count {
    fn apply(self, number: &mut u64, counted: bool) {
        match self {
            Count::On => *number += u64::from(counted),
            Count::Off => *number = number.saturating_sub(u64::from(counted)),
        }
    }
}

/// Almost always at the end: mail arrives in order.
fn insert_sorted(list: &mut Vec<(i64, u64)>, item: (i64, u64)) {
    match list.last() {
        Some(last) if *last >= item => {
            if let Err(at) = list.binary_search(&item) {
                list.insert(at, item);
            }
        }
        _ => list.push(item),
    }
}

fn remove_sorted(list: &mut Vec<(i64, u64)>, item: (i64, u64)) {
    if let Ok(at) = list.binary_search(&item) {
        list.remove(at);
    }
}

/// Calls `visit` with each object of a type: key, id, record.
async fn each(
    engine: &dyn Snapshot,
    account: jmap_types::AccountId,
    data_type: DataType,
    mut visit: impl FnMut(&[u8], u64, &[u8]) -> Result<(), store::Error>,
) -> Result<(), store::Error> {
    each_row(engine, keys::objects(account, data_type), |key, bytes| {
        let (_, _, id) =
            keys::decode_object(key).ok_or_else(|| store::Error::bad_key("object", key))?;
        visit(key, id, bytes)
    })
    .await
}

async fn each_row(
    engine: &dyn Snapshot,
    mut range: KeyRange,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), store::Error>,
) -> Result<(), store::Error> {
    loop {
        let rows = engine
            .scan(Page::first(range.clone(), ROWS_PER_PAGE))
            .await?;
        for (key, bytes) in &rows {
            visit(key, bytes)?;
        }
        let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS_PER_PAGE) else {
            return Ok(());
        };
        range.start = [last, &[0u8][..]].concat();
    }
}
