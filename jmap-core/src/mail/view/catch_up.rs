//! What other nodes have done to an account, from the change log.
//!
//! Holds: a view that has caught up is the one that loading would give, except that what is remembered of single changes (`changed_emails`,
//! `changed_at`) reaches further back; it is read as of one moment.
//! Other half: `accounts::AccountHandle` says when.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _, decode_numbers,
    engine::{Key, Page, Snapshot},
    keys,
    log::LogRow,
};

use super::{View, ViewEvent};
use crate::mail::records::{EmailRecord, MailboxRecord};

/// Transactions and emails that are read one by one; with more, loading anew costs less.
const ROWS_MAX: u64 = 2000;
const EMAILS_MAX: usize = 5000;
/// Records that are read at once.
const RECORDS_PER_READ: usize = 500;

/// What has happened since a view was current.
#[derive(Debug)]
pub struct CatchUp {
    pub head: Head,
    /// By the last transaction that touched it.
    events: Vec<(u64, ViewEvent)>,
    /// Mailboxes, the last transaction that touched each or what is in it, and its UIDNEXT.
    mailboxes: Vec<(u64, u64, Option<u32>)>,
    /// The last transaction that may have changed annotations of the server.
    metadata_at: Option<u64>,
}

/// Objects by number, with the last transaction that touched each.
#[derive(Default)]
struct Touched {
    emails: BTreeMap<u64, u64>,
    /// The record itself, not counts alone.
    records: BTreeSet<u64>,
    mailboxes: BTreeMap<u64, u64>,
    metadata_at: Option<u64>,
}

impl CatchUp {
    /// Reads what came after `since`. `None`: the log doesn't reach back so far, or it is too much.
    pub async fn read(
        engine: &dyn Snapshot,
        account: AccountId,
        since: &Head,
    ) -> Result<Option<Self>, store::Error> {
        let key = keys::head(account);
        let head = match engine.get(&key).await? {
            Some(bytes) => Head::from_bytes(&key, &bytes)?,
            None => Head::default(),
        };
        let missed = head.sequence.checked_sub(since.sequence);
        if missed.is_none_or(|rows| rows > ROWS_MAX) || since.sequence < head.log_trimmed {
            return Ok(None);
        }
        let Some(touched) = Touched::read(engine, account, since.sequence..head.sequence).await?
        else {
            return Ok(None);
        };
        let mut events = Vec::with_capacity(touched.emails.len());
        let mailboxes: Vec<u64> = touched.records.iter().copied().collect();
        // Mailboxes come first, in whichever transaction they were made: the emails go into them.
        for (id, key, bytes) in records(engine, account, DataType::Mailbox, &mailboxes).await? {
            let record = bytes.map(|bytes| MailboxRecord::from_bytes(&key, &bytes));
            let event = match record {
                Some(Ok(record)) => ViewEvent::Mailbox {
                    id,
                    record: Arc::new(record),
                },
                Some(Err(error)) => {
                    tracing::error!(%error, "a mailbox is left out of the view");
                    ViewEvent::MailboxGone { id }
                }
                None => ViewEvent::MailboxGone { id },
            };
            let at = touched.mailboxes.get(&id).copied();
            events.push((at.unwrap_or(head.sequence), event));
        }
        let mut emails: Vec<(u64, u64)> =
            touched.emails.iter().map(|(&id, &at)| (at, id)).collect();
        emails.sort_unstable();
        let ids: Vec<u64> = emails.iter().map(|(_, id)| *id).collect();
        let read = records(engine, account, DataType::Email, &ids).await?;
        for ((at, _), (id, key, bytes)) in emails.into_iter().zip(read) {
            let record = bytes.map(|bytes| EmailRecord::from_bytes(&key, &bytes));
            let event = match record {
                Some(Ok(record)) => ViewEvent::Email {
                    id,
                    record: Arc::new(record),
                },
                // Invariant 5: a bad record is reported, and the rest of the account goes on.
                Some(Err(error)) => {
                    tracing::error!(%error, "an email record is left out of the view");
                    ViewEvent::EmailGone { id }
                }
                None => ViewEvent::EmailGone { id },
            };
            events.push((at, event));
        }
        let ids: Vec<u64> = touched.mailboxes.keys().copied().collect();
        let uids: Vec<Key> = ids
            .iter()
            .map(|&id| keys::mailbox_uid(account, id))
            .collect();
        let mut next = Vec::with_capacity(ids.len());
        for (key, bytes) in uids.iter().zip(engine.multi_get(&uids).await?) {
            next.push(match bytes {
                Some(bytes) => {
                    let next = decode_numbers::<2>(key, &bytes).ok();
                    next.map(|[_, next]| u32::try_from(next).unwrap_or(u32::MAX))
                }
                None => None,
            });
        }
        let mailboxes = touched.mailboxes.into_iter().zip(next);
        Ok(Some(Self {
            head,
            events,
            mailboxes: mailboxes.map(|((id, at), next)| (id, at, next)).collect(),
            metadata_at: touched.metadata_at,
        }))
    }
}

impl Touched {
    async fn read(
        engine: &dyn Snapshot,
        account: AccountId,
        sequences: std::ops::Range<u64>,
    ) -> Result<Option<Self>, store::Error> {
        let mut touched = Self::default();
        let range = keys::log_range(account, sequences.start + 1..sequences.end + 1);
        let max = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
        for (key, bytes) in engine.scan(Page::first(range, max)).await? {
            let (_, at) =
                keys::decode_log(&key).ok_or_else(|| store::Error::bad_key("log row", &key))?;
            let Ok(row) = LogRow::from_bytes(&key, &bytes) else {
                // Nobody knows what it was about: all is read anew.
                return Ok(None);
            };
            for change in &row.changes {
                match change.data_type() {
                    Some(DataType::Email) => drop(touched.emails.insert(change.id, at)),
                    Some(DataType::Mailbox) => {
                        touched.mailboxes.insert(change.id, at);
                        if change.kind != store::ChangeKind::Counts {
                            touched.records.insert(change.id);
                        }
                    }
                    // With it, annotations of the server are told.
                    Some(DataType::Quota) => touched.metadata_at = Some(at),
                    _ => {}
                }
            }
            for email in row.unseen.into_iter().flatten() {
                touched.emails.insert(email, at);
            }
            if touched.emails.len() > EMAILS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(touched))
    }
}

/// The records of some objects, in their order.
async fn records(
    engine: &dyn Snapshot,
    account: AccountId,
    data_type: DataType,
    ids: &[u64],
) -> Result<Vec<(u64, Key, Option<bytes::Bytes>)>, store::Error> {
    let mut records = Vec::with_capacity(ids.len());
    for ids in ids.chunks(RECORDS_PER_READ) {
        let object = |&id: &u64| keys::object(account, data_type, id);
        let keys: Vec<Key> = ids.iter().map(object).collect();
        let values = engine.multi_get(&keys).await?;
        let rows = ids.iter().copied().zip(keys).zip(values);
        records.extend(rows.map(|((id, key), value)| (id, key, value)));
    }
    Ok(records)
}

/// By mailbox: the last transaction that changed something in it, and the first sequence of which that is known.
pub(super) async fn last_changes(
    engine: &dyn Snapshot,
    account: AccountId,
    head: &Head,
) -> Result<(BTreeMap<u64, u64>, u64), store::Error> {
    let max = usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
    let range = keys::log_range(account, head.log_trimmed + 1..head.sequence + 1);
    let rows = engine.scan(Page::last(range, max)).await?;
    let mut changes = BTreeMap::new();
    let mut first = head.log_trimmed + 1;
    let is_part = rows.len() == max;
    for (key, bytes) in rows {
        let (_, at) =
            keys::decode_log(&key).ok_or_else(|| store::Error::bad_key("log row", &key))?;
        let Ok(row) = LogRow::from_bytes(&key, &bytes) else {
            first = at + 1;
            break;
        };
        let of_mailboxes = row
            .changes
            .iter()
            .filter(|change| change.data_type() == Some(DataType::Mailbox));
        for change in of_mailboxes {
            // The last row comes first.
            changes.entry(change.id).or_insert(at);
        }
        if is_part {
            first = at;
        }
    }
    Ok((changes, first))
}

impl View {
    /// A view that was just loaded says of its mailboxes, as far as the log tells, what one says that was there all the time: a client that
    /// goes from node to node doesn't see HIGHESTMODSEQ go back.
    pub(super) fn date_back(&mut self, changes: &BTreeMap<u64, u64>, first: u64) {
        for (id, row) in &mut self.mailboxes {
            let at = changes.get(id).copied().unwrap_or(first.saturating_sub(1));
            row.changed_at = row.changed_at.min(at);
        }
    }

    /// Does what other nodes have done.
    pub fn catch_up(&mut self, news: CatchUp) {
        for (id, _, next) in &news.mailboxes {
            // A mailbox that is new takes it from here.
            if let Some(next) = next {
                self.uids_next.insert(*id, *next);
            }
        }
        for (at, event) in news.events {
            self.apply(at, event);
        }
        self.uids_next = BTreeMap::new();
        for (id, at, next) in news.mailboxes {
            let Some(row) = self.mailboxes.get_mut(&id) else {
                continue;
            };
            // Also what came and went again has used UIDs, and counts as a change.
            row.uid_next = row.uid_next.max(next.unwrap_or(1));
            row.changed_at = row.changed_at.max(at);
            // The log doesn't tell counts from annotations.
            row.metadata_at = row.metadata_at.max(at);
        }
        self.metadata_at = self.metadata_at.max(news.metadata_at.unwrap_or(0));
        self.head = news.head;
    }
}
