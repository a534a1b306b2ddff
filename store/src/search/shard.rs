//! One shard: a tantivy index in a folder of its own.
//!
//! Holds: a batch is written by one commit and is on disk when `apply` returns; applying it again
//! changes nothing. A writer, with its memory and threads, exists only during `apply`. Whatever is wrong
//! with the files ends in `NeedsRebuild`, also when tantivy panics over it.
//! Other half: `plan` has the schema and makes the queries.

mod copied;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tantivy::directory::error::{OpenDirectoryError, OpenReadError};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::store::Compressor;
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyDocument,
    TantivyError, Term,
};

use super::containing::{Asked, Containing, Dictionaries};
use super::document::{Change, Document, DocumentKey, each_text};
use super::error::SearchError;
use super::folder::{META_FILE, ShardFolder, remove_leftovers};
use super::plan::{
    Fields, HEADER_TOKENIZER, IdCollector, Planner, TEXT_TOKENIZER, VOCABULARY_TOKENIZER,
    account_octets, key_octets, schema,
};
use super::query::Node;
use super::token::{HeaderTokenizer, TextTokenizer};
use super::vocabulary::{self, VocabularyTokenizer};

/// Version of the folder's layout, the schema and the tokens. Any change of them takes a new one.
const FORMAT_VERSION: u32 = 3;
/// Name of the file that holds it. It's written before the index is, and carries the number of shards.
const FORMAT_FILE: &str = "format";

/// So many segments of one size are merged into one.
const SEGMENTS_PER_MERGE: usize = 10;
/// Segments with no more documents than this count as being of one size.
const SMALL_SEGMENT_DOCUMENTS: u32 = 48;
/// Segments are of one size when the largest has up to this power of two more documents than the smallest.
const SIZE_LOG2: f64 = 2.0;
/// Larger segments are left as they are, so that no single merge takes long.
const MERGED_DOCUMENTS_MAX: usize = 200_000;
/// A segment with a larger share of deleted documents is written anew.
const DELETED_SHARE_MAX: f32 = 0.4;

/// What a shard is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardStatus {
    /// Nothing was ever written to it: all accounts of this shard have to be indexed from the start.
    Empty,
    Ready,
    /// It can't be used before `SearchIndex::reset`.
    NeedsRebuild(String),
}

/// Numbers of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    pub documents: u64,
    pub segments: usize,
    /// Octets of the shard's files.
    pub disk_octets: u64,
}

pub(super) struct Shard {
    number: u16,
    shards: u16,
    folder: PathBuf,
    /// The open index, or what is wrong with it.
    state: RwLock<Result<Arc<Open>, String>>,
    writing: Mutex<()>,
}

struct Open {
    index: Index,
    /// None after `Shard::close_reader`: who reads next opens it again.
    reader: Mutex<Option<IndexReader>>,
    fields: Fields,
    folder: PathBuf,
}

impl Shard {
    /// Opens the shard in `folder`, or makes it. Damage isn't an error here; see `status`.
    pub fn open(folder: PathBuf, number: u16, shards: u16) -> io::Result<Shard> {
        fs::create_dir_all(&folder)?;
        let state = open_or_create(&folder, shards);
        Ok(Shard {
            number,
            shards,
            folder,
            state: RwLock::new(state),
            writing: Mutex::new(()),
        })
    }

    pub fn status(&self) -> ShardStatus {
        match &*self.state.read() {
            Err(reason) => ShardStatus::NeedsRebuild(reason.clone()),
            Ok(open) => match open.index.load_metas() {
                Ok(metas) if metas.opstamp == 0 => ShardStatus::Empty,
                Ok(_) => ShardStatus::Ready,
                Err(error) => ShardStatus::NeedsRebuild(error.to_string()),
            },
        }
    }

    pub fn stats(&self) -> ShardStats {
        let Ok(searcher) = self.with_open(Open::searcher) else {
            return ShardStats::default();
        };
        ShardStats {
            documents: searcher.num_docs(),
            segments: searcher.segment_readers().len(),
            disk_octets: folder_octets(&self.folder).unwrap_or(0),
        }
    }

    /// Writes a batch. Errors: `NeedsRebuild`, `Failed`.
    pub fn apply(&self, changes: Vec<Change>, memory_octets: usize) -> Result<(), SearchError> {
        let _writing = self.writing.lock();
        let open = self.ready()?;
        self.guarded(&open, || open.apply(Batch::of(changes), memory_octets))
    }

    /// The ids of all matches, in no order. Errors: `NeedsRebuild`, `Failed`.
    pub fn search(&self, account: u64, kind: u8, node: &Node) -> Result<Vec<u64>, SearchError> {
        self.with_open(|open| {
            let query = Planner::new(open.fields, account, kind).plan(node);
            open.searcher()?.search(&query, &IdCollector)
        })
    }

    /// The documents that a needle may be in. Errors: `NeedsRebuild`, `Failed`.
    pub fn containing(
        &self,
        asked: &Asked<'_>,
        dictionaries: &Dictionaries,
    ) -> Result<Containing, SearchError> {
        self.with_open(|open| {
            let searcher = open.searcher()?;
            asked.answer(&searcher, open.fields, dictionaries)
        })
    }

    /// Closes the files of the segments, once the searches that run have ended: what they have read of them is
    /// memory of this process. The next one opens them again, which takes a millisecond.
    pub fn close_reader(&self) {
        if let Ok(open) = self.ready() {
            open.reader.lock().take();
        }
    }

    /// Compares all files with their checksums. Errors: `NeedsRebuild`, `Failed`.
    pub fn verify(&self) -> Result<(), SearchError> {
        let _writing = self.writing.lock();
        let open = self.ready()?;
        let damaged = self.guarded(&open, || open.index.validate_checksum())?;
        match damaged.into_iter().next() {
            Some(file) => Err(self.damaged(&open, format!("checksum of {}", file.display()))),
            None => Ok(()),
        }
    }

    /// Throws the index away and makes an empty one. Errors: `Failed`.
    pub fn reset(&self) -> Result<(), SearchError> {
        let _writing = self.writing.lock();
        let mut state = self.state.write();
        *state = Err("being reset".to_owned());
        let emptied = empty_folder(&self.folder).map_err(|error| error.to_string());
        *state = emptied.and_then(|()| open_or_create(&self.folder, self.shards));
        match &*state {
            Ok(_) => Ok(()),
            Err(reason) => Err(SearchError::Failed {
                shard: self.number,
                reason: reason.clone(),
            }),
        }
    }

    fn ready(&self) -> Result<Arc<Open>, SearchError> {
        self.state
            .read()
            .clone()
            .map_err(|reason| SearchError::NeedsRebuild {
                shard: self.number,
                reason,
            })
    }

    /// Runs tantivy on the index as it is. Where another copy was put in meanwhile, files may have gone under it: then once more.
    fn with_open<T>(&self, run: impl Fn(&Open) -> tantivy::Result<T>) -> Result<T, SearchError> {
        loop {
            let open = self.ready()?;
            let outcome = self.guarded(&open, || run(&open));
            if outcome.is_ok() || self.is_current(&open) {
                return outcome;
            }
        }
    }

    /// Whether this is the index as it is, or the last one there was.
    fn is_current(&self, open: &Arc<Open>) -> bool {
        match &*self.state.read() {
            Ok(now) => Arc::ptr_eq(now, open),
            Err(_) => true,
        }
    }

    /// Runs tantivy; what goes wrong because of the files marks the shard as damaged.
    fn guarded<T>(
        &self,
        open: &Arc<Open>,
        run: impl FnOnce() -> tantivy::Result<T>,
    ) -> Result<T, SearchError> {
        // tantivy trusts its files and may panic over damaged ones. What it works on is either dropped
        // afterwards (a writer) or immutable (a searcher).
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_damage(&error) => Err(self.damaged(open, error.to_string())),
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.panicked(open)),
        }
    }

    /// After a panic: the files are to blame only if their checksums say so. Otherwise one odd query could
    /// have a shard rebuilt.
    fn panicked(&self, open: &Arc<Open>) -> SearchError {
        let checked = catch_unwind(AssertUnwindSafe(|| open.index.validate_checksum()));
        if !checked.is_ok_and(|found| found.is_ok_and(|damaged| damaged.is_empty())) {
            return self.damaged(open, "panic over damaged files".to_owned());
        }
        self.failed("panic, though the files are whole".to_owned())
    }

    fn failed(&self, reason: String) -> SearchError {
        SearchError::Failed {
            shard: self.number,
            reason,
        }
    }

    fn damaged(&self, open: &Arc<Open>, reason: String) -> SearchError {
        let mut state = self.state.write();
        match &*state {
            Ok(now) if Arc::ptr_eq(now, open) => {}
            _ => return self.failed(reason),
        }
        tracing::error!(shard = self.number, reason, "search shard is damaged");
        *state = Err(reason.clone());
        SearchError::NeedsRebuild {
            shard: self.number,
            reason,
        }
    }
}

/// The outcome of a list of changes: what goes, and what is there in the end.
#[derive(Default)]
struct Batch {
    accounts: BTreeSet<u64>,
    /// The last word on each document; none: deleted.
    documents: BTreeMap<DocumentKey, Option<Document>>,
}

impl Batch {
    fn of(changes: Vec<Change>) -> Batch {
        let mut batch = Batch::default();
        for change in changes {
            match change {
                Change::Upsert(document) => {
                    batch.documents.insert(document.key, Some(document));
                }
                Change::Delete(key) => {
                    batch.documents.insert(key, None);
                }
                Change::DeleteAccount(account) => {
                    batch.documents.retain(|key, _| key.account != account);
                    batch.accounts.insert(account);
                }
            }
        }
        batch
    }
}

impl Open {
    /// The segments as they are now, opened where they aren't.
    fn searcher(&self) -> tantivy::Result<Searcher> {
        let mut reader = self.reader.lock();
        if let Some(reader) = &*reader {
            return Ok(reader.searcher());
        }
        let opened = open_reader(&self.index)?;
        let searcher = opened.searcher();
        *reader = Some(opened);
        Ok(searcher)
    }

    fn apply(&self, batch: Batch, memory_octets: usize) -> tantivy::Result<()> {
        let searcher = self.searcher()?;
        let mut deletions = Vec::new();
        for account in &batch.accounts {
            let octets = account_octets(*account);
            if self.is_known(&searcher, &octets)? {
                deletions.push(Term::from_field_bytes(self.fields.key, &octets));
            }
        }
        for key in batch.documents.keys() {
            let octets = key_octets(*key);
            if self.is_known(&searcher, &octets)? {
                deletions.push(Term::from_field_bytes(self.fields.key, &octets));
            }
        }
        drop(searcher);
        let documents: Vec<Document> = batch.documents.into_values().flatten().collect();
        if deletions.is_empty() && documents.is_empty() {
            return Ok(());
        }
        self.write(deletions, documents, memory_octets)?;
        // The list of segments was renamed into place; the folder has to remember that too.
        fs::File::open(&self.folder)?.sync_all()?;
        // Who searches meanwhile does so in the segments of before. A reader that is opened later sees the new ones anyway.
        let reader = self.reader.lock().clone();
        reader.map_or(Ok(()), |reader| reader.reload())
    }

    fn write(
        &self,
        deletions: Vec<Term>,
        documents: Vec<Document>,
        memory_octets: usize,
    ) -> tantivy::Result<()> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(memory_octets)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let mut writer: IndexWriter = self.index.writer_with_options(options)?;
        writer.set_merge_policy(Box::new(merge_policy()));
        for term in deletions {
            writer.delete_term(term);
        }
        for document in documents {
            writer.add_document(self.document(&document))?;
        }
        writer.commit()?;
        // Merges are part of the batch: none goes on with the writer's memory after it.
        writer.wait_merging_threads()
    }

    fn document(&self, document: &Document) -> TantivyDocument {
        let key = document.key;
        let octets = key_octets(key);
        let mut out = TantivyDocument::default();
        for length in [8, 9, 17] {
            out.add_bytes(self.fields.key, &octets[..length]);
        }
        out.add_u64(self.fields.id, key.id);
        each_text(&document.text, |field, text| {
            out.add_text(self.fields.of(field), text);
        });
        let rest = vocabulary::of(&document.text);
        out.add_text(self.fields.rest_body, rest.body);
        out.add_text(self.fields.rest_header, rest.header);
        out.add_text(self.fields.lines, rest.lines);
        out
    }

    /// Whether a term of the key field is in some segment, if only in that of a deleted document.
    fn is_known(&self, searcher: &Searcher, octets: &[u8]) -> tantivy::Result<bool> {
        for segment in searcher.segment_readers() {
            let index = segment.inverted_index(self.fields.key)?;
            if index.terms().get(octets)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn merge_policy() -> LogMergePolicy {
    let mut policy = LogMergePolicy::default();
    policy.set_min_num_segments(SEGMENTS_PER_MERGE);
    policy.set_min_layer_size(SMALL_SEGMENT_DOCUMENTS);
    policy.set_level_log_size(SIZE_LOG2);
    policy.set_max_docs_before_merge(MERGED_DOCUMENTS_MAX);
    policy.set_del_docs_ratio_before_merge(DELETED_SHARE_MAX);
    policy
}

fn open_or_create(folder: &Path, shards: u16) -> Result<Arc<Open>, String> {
    let format = format_text(shards);
    let opened = catch_unwind(|| {
        let file = folder.join(FORMAT_FILE);
        match fs::read_to_string(&file) {
            Ok(found) if found == format => {}
            Ok(found) => return Err(format!("format is {:?}", found.trim_end())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_unused(folder)? => {
                write_synced(&file, &format).map_err(|error| error.to_string())?;
            }
            Err(error) => return Err(format!("format file: {error}")),
        }
        open_index(folder)
    });
    opened.unwrap_or_else(|_| Err("panic over damaged files".to_owned()))
}

fn format_text(shards: u16) -> String {
    format!("posthorn search index {FORMAT_VERSION}, {shards} shards\n")
}

fn open_index(folder: &Path) -> Result<Arc<Open>, String> {
    let (schema, fields) = schema();
    let index = if folder.join(META_FILE).exists() {
        // Without the list of segments there is no index.
        Index::open(ShardFolder::open(folder)?).map_err(|error| error.to_string())?
    } else if is_unused(folder)? {
        let settings = IndexSettings {
            docstore_compression: Compressor::Lz4,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        Index::builder()
            .schema(schema.clone())
            .settings(settings)
            .open_or_create(ShardFolder::open(folder)?)
            .map_err(|error| error.to_string())?
    } else {
        return Err(format!("{META_FILE} is missing"));
    };
    if index.schema() != schema {
        return Err("schema is another one".to_owned());
    }
    index
        .tokenizers()
        .register(TEXT_TOKENIZER, TextAnalyzer::from(TextTokenizer));
    index
        .tokenizers()
        .register(HEADER_TOKENIZER, TextAnalyzer::from(HeaderTokenizer));
    index.tokenizers().register(
        VOCABULARY_TOKENIZER,
        TextAnalyzer::from(VocabularyTokenizer),
    );
    remove_leftovers(folder, &index)?;
    // Damage is found now, not by the first who searches.
    let reader = open_reader(&index).map_err(|error| error.to_string())?;
    Ok(Arc::new(Open {
        index,
        reader: Mutex::new(Some(reader)),
        fields,
        folder: folder.to_owned(),
    }))
}

fn open_reader(index: &Index) -> tantivy::Result<IndexReader> {
    index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .doc_store_cache_num_blocks(0)
        .try_into()
}

/// Whether there are no segments in the folder: it's new, or making it was interrupted.
fn is_unused(folder: &Path) -> Result<bool, String> {
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let name = entry.map_err(|error| error.to_string())?.file_name();
        let name = name.to_string_lossy();
        // Hidden files are tantivy's lists and locks, and what it had not yet renamed.
        if name != FORMAT_FILE && !name.starts_with('.') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_synced(file: &Path, text: &str) -> io::Result<()> {
    let partial = file.with_extension("new");
    let hidden = partial.with_file_name(".format.new");
    let mut out = fs::File::create(&hidden)?;
    io::Write::write_all(&mut out, text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&hidden, file)?;
    match file.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn empty_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder)
}

fn folder_octets(folder: &Path) -> io::Result<u64> {
    let mut octets = 0;
    for entry in fs::read_dir(folder)? {
        octets += entry?.metadata()?.len();
    }
    Ok(octets)
}

/// Whether an error speaks of what is in the files, not of the machine.
fn is_damage(error: &TantivyError) -> bool {
    let bad_octets = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    };
    match error {
        TantivyError::OpenReadError(OpenReadError::IoError { io_error, .. }) => {
            bad_octets(io_error)
        }
        TantivyError::IoError(error) => bad_octets(error),
        TantivyError::OpenDirectoryError(error) => {
            !matches!(error, OpenDirectoryError::IoError { .. })
        }
        TantivyError::OpenReadError(_)
        | TantivyError::DataCorruption(_)
        | TantivyError::SchemaError(_)
        | TantivyError::FieldNotFound(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::InternalError(_) => true,
        _ => false,
    }
}
