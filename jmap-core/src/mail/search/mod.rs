//! Full-text search of mail: what is indexed, and what isn't yet.
//!
//! Holds: a message is found as soon as it was acknowledged. The index is behind the change log by
//! the rows after an account's cursor; a query looks at those emails themselves. Each node of a cluster has an index of its own, or, with
//! an object store, one builds each shard for all.
//! Other half: `worker` brings the index up to date, `shared` is what nodes share of it.

mod arrivals;
mod cursors;
mod shared;
mod worker;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use jmap_types::{AccountId, DataType, data_type::DataTypes};
use parking_lot::Mutex;
use store::{
    Head, Record, decode_numbers,
    engine::{Engine, Page},
    keys, log,
    search::{
        Containing, DocumentText, Field, Matcher, Needle, Place, Query, SearchError, SearchIndex,
    },
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use self::{arrivals::Arrivals, shared::Shared};
use super::{
    message::{SearchText, Summary, search_text},
    records::EmailRecord,
    write::Message,
};
use crate::bus::Watcher;

pub use cursors::Cursors;
pub use shared::SharedCounts;
pub use worker::{run, run_indexing};

/// Documents of mail in the index.
pub const KIND: u8 = 0;
/// Emails that a query looks at itself; with more, the index is brought up to date first.
const TAIL_EMAILS_MAX: usize = 400;
/// Hits that one condition may have.
const HITS_MAX: usize = 1_000_000;
/// Octets of text of messages not indexed yet that are remembered between queries.
const TEXT_CACHE_OCTETS: u64 = 4 << 20;

/// The search of one server.
pub struct Search {
    index: Arc<SearchIndex>,
    engine: Arc<dyn Engine>,
    cursors: Cursors,
    /// Accounts whose index is behind, and the last transaction that touched an email.
    pending: Mutex<HashMap<AccountId, u64>>,
    wake: Notify,
    waiting: AtomicU64,
    /// One batch is written at a time.
    indexing: AsyncMutex<()>,
    texts: quick_cache::sync::Cache<[u8; 32], Arc<DocumentText>, TextWeight>,
    arrivals: Arrivals,
    /// Documents that went into the index.
    indexed: AtomicU64,
}

#[derive(Clone)]
struct TextWeight;

impl quick_cache::Weighter<[u8; 32], Arc<DocumentText>> for TextWeight {
    fn weight(&self, _: &[u8; 32], text: &Arc<DocumentText>) -> u64 {
        const EACH: u64 = 48;
        let texts = text.texts.len() + text.rest_body.len() + text.rest_header.len();
        let texts = texts + text.lines.len();
        text.octets() as u64 + texts as u64 * EACH + 64
    }
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search")
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// Why a search could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Index(#[from] SearchError),
    #[error("the search was interrupted")]
    Interrupted,
    /// What nodes share of the index can't be written or read. A sentence for the log.
    #[error("{0}")]
    Shared(String),
}

impl From<store::engine::EngineError> for Error {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl Watcher for Search {
    fn changed(&self, account: AccountId, types: DataTypes, head: &Head) {
        if types.contains(DataType::Email) {
            if self.shared().is_some_and(|shared| !shared.builds(account)) {
                return;
            }
            // Another node tells of what is known here.
            let known = self.cursors.known(account);
            if known.is_some_and(|cursor| cursor >= head.state(DataType::Email)) {
                return;
            }
            self.pending
                .lock()
                .insert(account, head.state(DataType::Email));
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }
}

impl Search {
    /// Takes up the accounts whose index was behind when the server stopped.
    pub async fn open(
        index: Arc<SearchIndex>,
        engine: Arc<dyn Engine>,
        cursors: Cursors,
    ) -> Result<Arc<Self>, store::Error> {
        let search = Self {
            index,
            engine,
            cursors,
            pending: Mutex::default(),
            wake: Notify::new(),
            waiting: AtomicU64::new(0),
            indexing: AsyncMutex::new(()),
            texts: quick_cache::sync::Cache::with_weighter(1024, TEXT_CACHE_OCTETS, TextWeight),
            arrivals: Arrivals::default(),
            indexed: AtomicU64::new(0),
        };
        if search.shared().is_some() {
            return Ok(Arc::new(search));
        }
        if search.cursors.is_local() {
            search.find_pending().await?;
            search.wake.notify_one();
            return Ok(Arc::new(search));
        }
        let mut range = keys::all(keys::Subspace::SearchPending);
        loop {
            const ROWS: usize = 1000;
            let rows = search.engine.scan(Page::first(range.clone(), ROWS)).await?;
            for (key, value) in &rows {
                let account = keys::decode_search_pending(key)
                    .ok_or_else(|| store::Error::bad_key("search pending", key))?;
                match decode_numbers::<1>(key, value) {
                    Ok([sequence]) => drop(search.pending.lock().insert(account, sequence)),
                    // Invariant 5: the server starts, and the others are indexed.
                    Err(error) => tracing::error!(%error, "an account is not indexed"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                break;
            };
            range.start = [last, &[0u8][..]].concat();
        }
        search.wake.notify_one();
        Ok(Arc::new(search))
    }

    /// A message has come in, and is to be indexed soon: it needn't be read again for that.
    pub fn has_arrived(&self, account: AccountId, message: &Message) {
        // Another node indexes it.
        if self.shared().is_none_or(|shared| shared.builds(account)) {
            self.arrivals.note(message);
        }
    }

    /// Accounts whose index is behind: a metric.
    pub fn pending_accounts(&self) -> usize {
        self.pending.lock().len()
    }

    /// What nodes share of the index, where they do.
    fn shared(&self) -> Option<&Shared> {
        match &self.cursors {
            Cursors::Shared(shared) => Some(shared),
            Cursors::Store(_) | Cursors::Node(_) => None,
        }
    }

    /// Whether one node builds each shard for all.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    /// Whether the index here has all emails of an account, as of `head`.
    pub(crate) async fn is_whole(
        &self,
        account: AccountId,
        head: &Head,
    ) -> Result<bool, store::Error> {
        let cursor = self.cursors.get(account).await?;
        Ok(cursor.is_some_and(|cursor| cursor >= head.state(DataType::Email)))
    }

    /// What was done about published shards; `None`: there are none.
    pub fn shared_counts(&self) -> Option<SharedCounts> {
        self.shared().map(Shared::counts)
    }

    /// Documents that this process has written into the index.
    pub fn indexed_documents(&self) -> u64 {
        self.indexed.load(Ordering::Relaxed)
    }

    /// Another node has published something, or wants something published.
    pub(crate) fn look_at_shards(&self) {
        if let Some(shared) = self.shared() {
            shared.wake();
        }
    }

    /// Somebody at another node waits for an account to be indexed.
    pub(crate) fn hurry(&self, account: AccountId) {
        if self.shared().is_some_and(|shared| shared.builds(account)) {
            self.pending.lock().entry(account).or_default();
            self.waiting
                .fetch_add(worker::WAITING_MAX, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    /// Forgets the texts, and the words of the index, that are remembered between queries.
    pub fn forget_texts(&self) {
        self.texts.clear();
        self.arrivals.forget();
        self.index.trim_memory();
    }

    /// The emails of an account that the index has; `None`: it can't tell.
    pub(crate) async fn indexed(&self, account: AccountId) -> Option<Vec<u64>> {
        let everything = Query::And(Vec::new());
        let index = &self.index;
        let hits = index.search(account.number(), KIND, &everything, HITS_MAX);
        hits.ok()
            .filter(|hits| !hits.truncated)
            .map(|hits| hits.ids)
    }

    /// The accounts whose logs have more than the index of this node.
    async fn find_pending(&self) -> Result<(), store::Error> {
        let mut range = keys::all(keys::Subspace::Head);
        loop {
            const ROWS: usize = 1000;
            let rows = self.engine.scan(Page::first(range.clone(), ROWS)).await?;
            for (key, value) in &rows {
                let account =
                    keys::decode_head(key).ok_or_else(|| store::Error::bad_key("head", key))?;
                match Head::from_bytes(key, value) {
                    Ok(head) => drop(self.is_behind(account, &head)),
                    // Invariant 5: the others are indexed.
                    Err(error) => tracing::error!(%error, "an account is not indexed"),
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == ROWS) else {
                return Ok(());
            };
            range.start = [last, &[0u8][..]].concat();
        }
    }

    /// Whether emails have changed that the index doesn't know of, as of `head`.
    fn is_behind(&self, account: AccountId, head: &Head) -> bool {
        let state = head.state(DataType::Email);
        let mut pending = self.pending.lock();
        if self.cursors.is_local() && state > self.cursors.known(account).unwrap_or(0) {
            let newest = pending.entry(account).or_default();
            *newest = (*newest).max(state);
        }
        pending.contains_key(&account)
    }

    /// The emails of an account that match, in order of their ids, as of `head` or later.
    pub async fn search(
        self: &Arc<Self>,
        account: AccountId,
        query: Query,
        head: &Head,
    ) -> Result<Vec<u64>, Error> {
        if self.shared().is_some() {
            return self.search_shared(account, query, head).await;
        }
        if !self.is_behind(account, head) {
            return self.search_index(account, query).await;
        }
        let mut tail = self.tail(account, head).await?;
        if tail.is_none() {
            self.index_account(account).await?;
            tail = self.tail(account, head).await?;
        }
        let mut found: BTreeSet<u64> = self
            .search_index(account, query.clone())
            .await?
            .into_iter()
            .collect();
        let matcher = Matcher::new(&query)?;
        for (id, text) in tail.unwrap_or_default() {
            if matcher.matches(&text) {
                found.insert(id);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// The emails of an account in which a needle is or may be, as of `head` or later; in all others it isn't.
    /// `None`: the index can't tell. It has what is not hidden from JMAP.
    pub async fn containing(
        self: &Arc<Self>,
        account: AccountId,
        needle: &Needle,
        place: Place,
        head: &Head,
    ) -> Result<Option<Containing>, Error> {
        if self.shared().is_some() {
            return self.containing_shared(account, needle, place, head).await;
        }
        let behind = self.is_behind(account, head);
        let mut tail = Vec::new();
        if behind {
            let mut found = self.tail_ids(account, head).await?;
            if found.is_none() {
                self.index_account(account).await?;
                found = self.tail_ids(account, head).await?;
            }
            let Some(found) = found else {
                return Ok(None);
            };
            tail = found;
        }
        let answer = match self.ask_containing(account, needle, place).await? {
            Err(SearchError::NeedsRebuild { shard, reason }) => {
                tracing::warn!(shard, reason, "a search shard is rebuilt");
                self.rebuild(shard).await?;
                self.ask_containing(account, needle, place).await??
            }
            answer => answer?,
        };
        Ok(answer.map(|mut answer| {
            if !tail.is_empty() {
                answer.possible.extend(tail);
                answer.possible.sort_unstable();
            }
            answer
        }))
    }

    async fn ask_containing(
        self: &Arc<Self>,
        account: AccountId,
        needle: &Needle,
        place: Place,
    ) -> Result<Result<Option<Containing>, SearchError>, Error> {
        if place != Place::Anywhere {
            let index = &self.index;
            return Ok(index.containing(account.number(), KIND, needle, place));
        }
        // It may read a line or two of every message: a large mailbox would keep others waiting.
        let search = self.clone();
        let needle = needle.clone();
        tokio::task::spawn_blocking(move || {
            let index = &search.index;
            index.containing(account.number(), KIND, &needle, place)
        })
        .await
        .map_err(|_| Error::Interrupted)
    }

    async fn search_index(
        self: &Arc<Self>,
        account: AccountId,
        query: Query,
    ) -> Result<Vec<u64>, Error> {
        // A search takes some 100 µs of CPU and reads mapped files: not worth a thread's hop.
        let hits = self.index.search(account.number(), KIND, &query, HITS_MAX);
        match hits {
            Ok(hits) => Ok(hits.ids),
            Err(SearchError::NeedsRebuild { shard, reason }) => {
                tracing::warn!(shard, reason, "a search shard is rebuilt");
                self.rebuild(shard).await?;
                Ok(self
                    .index
                    .search(account.number(), KIND, &query, HITS_MAX)?
                    .ids)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The emails that came after the cursor, with their texts; `None` when there are too many.
    async fn tail(
        &self,
        account: AccountId,
        head: &Head,
    ) -> Result<Option<Vec<(u64, Arc<DocumentText>)>>, Error> {
        let Some(ids) = self.tail_ids(account, head).await? else {
            return Ok(None);
        };
        let mut tail = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(text) = self.text_of(account, id).await? {
                tail.push((id, text));
            }
        }
        Ok(Some(tail))
    }

    async fn tail_ids(&self, account: AccountId, head: &Head) -> Result<Option<Vec<u64>>, Error> {
        match self.cursors.get(account).await? {
            Some(cursor) => self.behind(account, cursor, head).await,
            None => Ok(None),
        }
    }

    /// The emails that came after a cursor; `None`: too many, or nobody knows which.
    async fn behind(
        &self,
        account: AccountId,
        cursor: u64,
        head: &Head,
    ) -> Result<Option<Vec<u64>>, Error> {
        if cursor < head.log_trimmed {
            return Ok(None);
        }
        let now = head.sequence;
        let delta = log::changes(
            &self.engine,
            account,
            DataType::Email,
            cursor,
            now,
            TAIL_EMAILS_MAX,
        )
        .await;
        let delta = match delta {
            // Where the log is damaged, all emails are looked at.
            Err(store::Error::Corrupt { .. }) => return Ok(None),
            delta => delta?,
        };
        Ok((!delta.has_more).then_some(delta.created))
    }

    /// What is searched of an email; `None` when it is gone or damaged.
    async fn text_of(
        &self,
        account: AccountId,
        id: u64,
    ) -> Result<Option<Arc<DocumentText>>, Error> {
        match self.record_of(account, id).await? {
            Some(record) => self.text_of_record(&record).await,
            None => Ok(None),
        }
    }

    /// An email that is searched; `None` when it is gone or damaged.
    async fn record_of(&self, account: AccountId, id: u64) -> Result<Option<EmailRecord>, Error> {
        let key = keys::object(account, DataType::Email, id);
        let Some(bytes) = self.engine.get(&key).await? else {
            return Ok(None);
        };
        match EmailRecord::from_bytes(&key, &bytes) {
            Ok(record) if record.is_visible() => Ok(Some(record)),
            // RFC 8621 §4.1.1: JMAP doesn't see it. It comes in when it is taken back.
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::error!(%error, "an email is not searched");
                Ok(None)
            }
        }
    }

    async fn text_of_record(
        &self,
        record: &EmailRecord,
    ) -> Result<Option<Arc<DocumentText>>, Error> {
        if let Some(text) = self.texts.get(&record.blob) {
            return Ok(Some(text));
        }
        let text = self.read_text(record).await?.map(Arc::new);
        if let Some(text) = &text {
            self.texts.insert(record.blob, text.clone());
        }
        Ok(text)
    }

    async fn read_text(&self, record: &EmailRecord) -> Result<Option<DocumentText>, Error> {
        let keys = [keys::blob(&record.blob), keys::summary(&record.blob)];
        let mut values = self.engine.multi_get(&keys).await?.into_iter();
        let (Some(Some(octets)), Some(summary)) = (values.next(), values.next()) else {
            tracing::error!(blob = ?record.blob, "an email has no blob and is not searched");
            return Ok(None);
        };
        let extract = move || document_text(&octets, summary.as_ref());
        // One message in a thousand is large enough to be worth a thread's hop.
        if record.size > 256 << 10 {
            return tokio::task::spawn_blocking(extract)
                .await
                .map(Some)
                .map_err(|_| Error::Interrupted);
        }
        Ok(Some(extract()))
    }
}

fn document_text(octets: &Bytes, summary: Option<&Bytes>) -> DocumentText {
    let summary = summary.and_then(|bytes| Summary::decode(bytes).ok());
    let summary = summary.unwrap_or_else(|| Summary::parse(octets));
    words_of(octets, &summary)
}

fn words_of(octets: &[u8], summary: &Summary) -> DocumentText {
    to_document(search_text(octets, summary))
}

/// The texts of a message as the index takes them.
fn to_document(text: SearchText) -> DocumentText {
    let mut document = DocumentText::default();
    let addresses = [
        (Field::From, text.from),
        (Field::To, text.to),
        (Field::Cc, text.cc),
        (Field::Bcc, text.bcc),
    ];
    for (field, lines) in addresses {
        for line in lines.lines() {
            document.push(field, line);
        }
    }
    document.push(Field::Subject, text.subject);
    document.push(Field::Body, text.body);
    for name in text.attachment_names {
        document.push(Field::Attachment, name);
    }
    document.rest_body = text.rest_body;
    document.rest_header = text.rest_header;
    document.lines = text.lines;
    document.is_cut = text.is_cut;
    document
}
