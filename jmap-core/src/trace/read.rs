//! The trace as people ask for it: by message, by address, by account, by time.
//!
//! Holds: one question reads at most [`SCANNED_MAX`] records; whoever is no administrator sees their own accounts alone.
//! Other half: `write`.

use jmap_types::{AccountId, DataType};
use store::{
    Record as _,
    engine::{Direction, Key, KeyRange, Page},
    keys::{self, Subspace, TraceIndex},
};

use super::{
    TraceKind, TraceRecord,
    write::{first_id, message_hash, when},
};
use crate::{
    Caller, Core,
    access::{self, Object, Operation},
    directory::DirectoryError,
    mail::records::MailboxRecord,
};

/// Records that one question looks at.
pub const SCANNED_MAX: usize = 200_000;
/// Rows that one page of reading takes.
const ROWS_PER_PAGE: usize = 500;

/// What is asked for: all of those given must be true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// With angle brackets or without.
    pub message_id: Option<String>,
    pub account: Option<AccountId>,
    /// An address, or `@` and a domain: of the reverse-path.
    pub from: Option<String>,
    /// The same of a recipient.
    pub to: Option<String>,
    /// The same of either.
    pub address: Option<String>,
    pub kind: Option<TraceKind>,
    /// Milliseconds since 1970; from then on.
    pub since: Option<i64>,
    /// Before then.
    pub until: Option<i64>,
    /// Before this event.
    pub before: Option<u64>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    pub id: u64,
    /// Milliseconds since 1970.
    pub when: i64,
    pub record: TraceRecord,
}

#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error(transparent)]
    Forbidden(#[from] DirectoryError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl TraceFilter {
    /// The rows in which what is asked for must be: the index that leaves the fewest.
    fn range(&self) -> KeyRange {
        let ms = |moment: i64| first_id(u64::try_from(moment).unwrap_or(0));
        let start = self.since.map_or(0, ms);
        let end = self.until.map_or(u64::MAX, ms);
        let end = end.min(self.before.unwrap_or(u64::MAX));
        let row: &dyn Fn(u64) -> Key = match (&self.message_id, self.account) {
            (Some(id), _) => {
                let hash = message_hash(id);
                &move |id| keys::trace_index(TraceIndex::Message(hash), id)
            }
            (None, Some(account)) => &move |id| keys::trace_index(TraceIndex::Account(account), id),
            (None, None) => &keys::trace,
        };
        row(start)..row(end)
    }

    /// Whether the record is one of those, as far as its row doesn't say.
    fn matches(&self, record: &TraceRecord) -> bool {
        let is = |asked: &str, address: &str| {
            let address = address.to_lowercase();
            let asked = asked.to_lowercase();
            match asked.starts_with('@') {
                true => address.ends_with(&asked),
                false => address == asked,
            }
        };
        let is_from = |asked: &str| {
            record
                .mail_from
                .as_deref()
                .is_some_and(|from| is(asked, from))
        };
        let is_to = |asked: &str| record.recipients.iter().any(|to| is(asked, &to.address));
        let id = |text: &str| text.trim_matches(['<', '>', ' ']).to_owned();
        let asked_id = self.message_id.as_deref().map(id);
        let is_message = asked_id.is_none() || asked_id == record.message_id.as_deref().map(id);
        is_message
            && self.kind.is_none_or(|kind| kind == record.kind)
            && self
                .account
                .is_none_or(|account| record.accounts().contains(&account))
            && self.from.as_deref().is_none_or(is_from)
            && self.to.as_deref().is_none_or(is_to)
            && self
                .address
                .as_deref()
                .is_none_or(|asked| is_from(asked) || is_to(asked))
    }
}

impl Core {
    /// What happened, for administrators: the last `limit` events that match, oldest first.
    pub async fn trace(
        &self,
        who: &Caller,
        filter: &TraceFilter,
        limit: usize,
    ) -> Result<Vec<Traced>, TraceError> {
        access::may_begin(who, Operation::SeeTraces, None)?;
        let mut found = match access::may_everywhere(who, Operation::SeeTraces) {
            true => self.search_traces(filter, limit).await?,
            false => self.search_traces_for(who, filter, limit).await?,
        };
        found.reverse();
        Ok(found)
    }

    /// The name of a mailbox, for administrators; `None`: it is no more.
    pub async fn trace_mailbox(
        &self,
        who: &Caller,
        account: AccountId,
        mailbox: u64,
    ) -> Result<Option<String>, TraceError> {
        // The account may be gone.
        if !access::may_everywhere(who, Operation::SeeTraces) {
            self.account_for(who, Operation::SeeTraces, account).await?;
        }
        let key = keys::object(account, DataType::Mailbox, mailbox);
        let bytes = self.engine.get(&key).await.map_err(store::Error::from)?;
        let record = bytes.map(|bytes| MailboxRecord::from_bytes(&key, &bytes));
        Ok(record.transpose()?.map(|record| record.name))
    }

    /// Events of the accounts that the caller looks after, as the people of these may see them; newest first.
    async fn search_traces_for(
        &self,
        who: &Caller,
        filter: &TraceFilter,
        limit: usize,
    ) -> Result<Vec<Traced>, TraceError> {
        let mut seen = Vec::new();
        for traced in self.search_traces(filter, SCANNED_MAX).await? {
            let mut mine = None;
            for account in traced.record.accounts() {
                let Some(record) = self.account_record(account).await? else {
                    continue;
                };
                let object = Object::Account(account, &record);
                if access::may(who, Operation::SeeTraces, object).is_ok() {
                    mine = traced.record.clone().seen_by(account);
                    break;
                }
            }
            // What is asked for must be in what may be seen.
            if let Some(record) = mine
                && filter.matches(&record)
            {
                seen.push(Traced { record, ..traced });
            }
            if seen.len() >= limit {
                break;
            }
        }
        Ok(seen)
    }

    /// The last events of an account, newest first, as its people may see them.
    pub(super) async fn traces_of(
        &self,
        account: AccountId,
        filter: &TraceFilter,
    ) -> Result<Vec<Traced>, store::Error> {
        let filter = TraceFilter {
            account: Some(account),
            ..filter.clone()
        };
        let found = self.search_traces(&filter, SCANNED_MAX).await?;
        let seen = found.into_iter().filter_map(|traced| {
            let record = traced.record.seen_by(account)?;
            // What is asked for must be in what may be seen.
            filter
                .matches(&record)
                .then_some(Traced { record, ..traced })
        });
        Ok(seen.collect())
    }

    /// An event of an account, as its people may see it.
    pub(super) async fn trace_of(
        &self,
        account: AccountId,
        id: u64,
    ) -> Result<Option<Traced>, store::Error> {
        let record = self.trace_record(id).await?;
        Ok(record
            .and_then(|record| record.seen_by(account))
            .map(|record| Traced {
                id,
                when: when(id),
                record,
            }))
    }

    /// The id of an account's last event; 0: it has none.
    pub(super) async fn last_trace_of(&self, account: AccountId) -> Result<u64, store::Error> {
        let row = |id| keys::trace_index(TraceIndex::Account(account), id);
        let page = Page {
            direction: Direction::Descending,
            ..Page::first(row(0)..row(u64::MAX), 1).keys_only()
        };
        let rows = self.engine.scan(page).await?;
        let last = rows
            .first()
            .and_then(|(key, _)| keys::decode_trace_index(key));
        Ok(last.map_or(0, |(_, id)| id))
    }

    async fn trace_record(&self, id: u64) -> Result<Option<TraceRecord>, store::Error> {
        let key = keys::trace(id);
        let bytes = self.engine.get(&key).await?;
        bytes
            .map(|bytes| TraceRecord::from_bytes(&key, &bytes))
            .transpose()
    }

    /// Newest first.
    async fn search_traces(
        &self,
        filter: &TraceFilter,
        limit: usize,
    ) -> Result<Vec<Traced>, store::Error> {
        self.flush_traces().await?;
        let mut range = filter.range();
        let (mut found, mut scanned) = (Vec::new(), 0);
        while found.len() < limit && scanned < SCANNED_MAX && range.start < range.end {
            let page = Page {
                direction: Direction::Descending,
                ..Page::first(range.clone(), ROWS_PER_PAGE)
            };
            let rows = self.engine.scan(page).await?;
            let Some((last, _)) = rows.last() else {
                break;
            };
            range.end = last.to_vec();
            scanned += rows.len();
            let is_short = rows.len() < ROWS_PER_PAGE;
            for (id, bytes) in self.records_of(rows).await? {
                // Invariant 5: a bad one is left out, and the check reports it.
                let Ok(record) = TraceRecord::from_bytes(&keys::trace(id), &bytes) else {
                    continue;
                };
                if filter.matches(&record) && found.len() < limit {
                    found.push(Traced {
                        id,
                        when: when(id),
                        record,
                    });
                }
            }
            if is_short {
                break;
            }
        }
        Ok(found)
    }

    /// The records that rows, of an index or of their own, stand for.
    async fn records_of(
        &self,
        rows: Vec<(bytes::Bytes, bytes::Bytes)>,
    ) -> Result<Vec<(u64, bytes::Bytes)>, store::Error> {
        let is_own = rows
            .first()
            .is_some_and(|(key, _)| key.first() == Some(&(Subspace::Trace as u8)));
        if is_own {
            let own = rows.into_iter();
            return Ok(own
                .filter_map(|(key, bytes)| Some((keys::decode_trace(&key)?, bytes)))
                .collect());
        }
        let ids: Vec<u64> = rows
            .iter()
            .filter_map(|(key, _)| keys::decode_trace_index(key))
            .map(|(_, id)| id)
            .collect();
        let wanted: Vec<Key> = ids.iter().map(|&id| keys::trace(id)).collect();
        let bytes = self.engine.multi_get(&wanted).await?;
        let pairs = ids.into_iter().zip(bytes);
        Ok(pairs.filter_map(|(id, bytes)| Some((id, bytes?))).collect())
    }
}
