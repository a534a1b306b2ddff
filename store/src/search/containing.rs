//! Which documents may have a text somewhere in them: those with a word that contains each word of it.
//!
//! Holds: a document that is not in the answer doesn't have the text; one that is `certain` has it. The words of a
//! segment, which never change, are kept in memory one after the other, so that looking through all of them is one scan.
//! A document's lines are read only where its words don't have the needle.
//! Other half: `vocabulary` sees to it that all words are there, `needle` says which ones are looked for.

use std::sync::Arc;

use memchr::memmem::Finder;
use quick_cache::{Weighter, sync::Cache};
use tantivy::index::SegmentId;
use tantivy::schema::{Field as SchemaField, IndexRecordOption, Value};
use tantivy::{BitSet, DocSet, Searcher, SegmentReader, TERMINATED, TantivyDocument};

use super::document::{Field, IndexField};
use super::needle::{Needle, NeedleWord};
use super::plan::{Fields, ID, scope_octets};
use super::vocabulary::{IS_INCOMPLETE, IS_ODD, NO_WORD};

/// Octets of words that are kept in memory.
const DICTIONARY_OCTETS_MAX: u64 = 8 << 20;
/// How many dictionaries that is, about.
const DICTIONARIES: usize = 256;
/// Before and after each word.
const SEPARATOR: u8 = b'\n';

/// Where a needle is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In all texts of a document.
    Anywhere,
    /// In `Field::Body` and the rest of the body.
    Body,
    Field(Field),
}

/// Ids of documents, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containing {
    /// The needle is in these.
    pub certain: Vec<u64>,
    /// It may be in these.
    pub possible: Vec<u64>,
}

/// The words of segments' fields.
pub(super) struct Dictionaries(Cache<(SegmentId, u32), Arc<Vec<u8>>, Octets>);

#[derive(Clone)]
struct Octets;

impl Weighter<(SegmentId, u32), Arc<Vec<u8>>> for Octets {
    fn weight(&self, _: &(SegmentId, u32), words: &Arc<Vec<u8>>) -> u64 {
        words.len() as u64 + 96
    }
}

impl Default for Dictionaries {
    fn default() -> Self {
        Self(Cache::with_weighter(
            DICTIONARIES,
            DICTIONARY_OCTETS_MAX,
            Octets,
        ))
    }
}

impl Dictionaries {
    /// They are made again when they are needed.
    pub fn forget(&self) {
        self.0.clear();
    }

    fn of(&self, segment: &SegmentReader, field: SchemaField) -> tantivy::Result<Arc<Vec<u8>>> {
        let key = (segment.segment_id(), field.field_id());
        if let Some(words) = self.0.get(&key) {
            return Ok(words);
        }
        let index = segment.inverted_index(field)?;
        let mut words = vec![SEPARATOR];
        let mut stream = index.terms().stream()?;
        while stream.advance() {
            if stream.key().starts_with(NO_WORD) {
                continue;
            }
            words.extend_from_slice(stream.key());
            words.push(SEPARATOR);
        }
        words.shrink_to_fit();
        let words = Arc::new(words);
        self.0.insert(key, words.clone());
        Ok(words)
    }
}

/// What is asked of a shard.
pub(super) struct Asked<'n> {
    scope: [u8; 9],
    place: Place,
    words: &'n [NeedleWord],
    is_one_ascii_word: bool,
}

impl<'n> Asked<'n> {
    /// `None`: there is no word to look for.
    pub fn new(account: u64, kind: u8, needle: &'n Needle, place: Place) -> Option<Self> {
        (!needle.words.is_empty()).then(|| Self {
            scope: scope_octets(account, kind),
            place,
            words: &needle.words,
            is_one_ascii_word: needle.is_one_ascii_word,
        })
    }

    pub fn answer(
        &self,
        searcher: &Searcher,
        fields: Fields,
        dictionaries: &Dictionaries,
    ) -> tantivy::Result<Containing> {
        let mut found = Containing::default();
        for segment in searcher.segment_readers() {
            self.answer_of(segment, fields, dictionaries, &mut found)?;
        }
        for ids in [&mut found.certain, &mut found.possible] {
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(found)
    }

    fn answer_of(
        &self,
        segment: &SegmentReader,
        fields: Fields,
        dictionaries: &Dictionaries,
        found: &mut Containing,
    ) -> tantivy::Result<()> {
        let mut here = documents(segment, fields.key, &self.scope)?;
        if here.is_empty() {
            return Ok(());
        }
        if let Some(alive) = segment.alive_bitset() {
            here.retain(|doc| alive.is_alive(*doc));
        }
        let incomplete = set(segment, fields.rest_header, IS_INCOMPLETE)?;
        let odd = set(segment, fields.rest_header, IS_ODD)?;
        let mut having = Vec::with_capacity(self.words.len());
        for word in self.words {
            having.push(self.having(word, segment, fields, dictionaries)?);
        }
        if self.place == Place::Anywhere {
            self.read_lines(segment, fields, &here, &mut having)?;
        }
        let ids = segment.fast_fields().u64(ID)?;
        for doc in here {
            let has_all = having.iter().all(|having| having.contains(doc));
            let may_hide = incomplete.contains(doc);
            if !has_all && !may_hide {
                continue;
            }
            // An incomplete document that has the word has it; one that is odd may have it with an accent.
            let is_certain = self.is_one_ascii_word && has_all && !odd.contains(doc);
            let list = match is_certain && !matches!(self.place, Place::Field(_)) {
                true => &mut found.certain,
                false => &mut found.possible,
            };
            list.extend(ids.first(doc));
        }
        Ok(())
    }

    /// The documents of a segment that have a word of the needle.
    fn having(
        &self,
        word: &NeedleWord,
        segment: &SegmentReader,
        fields: Fields,
        dictionaries: &Dictionaries,
    ) -> tantivy::Result<BitSet> {
        let places = match self.place {
            Place::Anywhere => fields.everywhere(),
            Place::Body => vec![fields.of(IndexField::Text(Field::Body)), fields.rest_body],
            // What doesn't fit into a token of a field is in the rest.
            Place::Field(field) => vec![fields.of(IndexField::Text(field)), fields.rest_header],
        };
        let mut having = BitSet::with_max_value(segment.max_doc());
        for field in places {
            let index = segment.inverted_index(field)?;
            let words = dictionaries.of(segment, field)?;
            for term in matching(&words, word) {
                let Some(info) = index.terms().get(term)? else {
                    continue;
                };
                let mut block =
                    index.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
                while !block.docs().is_empty() {
                    for &doc in block.docs() {
                        having.insert(doc);
                    }
                    block.advance();
                }
            }
        }
        Ok(having)
    }
}

impl Asked<'_> {
    /// Adds the documents that have words of the needle in their lines.
    fn read_lines(
        &self,
        segment: &SegmentReader,
        fields: Fields,
        here: &[u32],
        having: &mut [BitSet],
    ) -> tantivy::Result<()> {
        // Documents next to each other are in one block of the file.
        const BLOCKS: usize = 1;
        let store = segment.get_store_reader(BLOCKS)?;
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| Finder::new(&word.text))
            .collect();
        for &doc in here {
            if having.iter().all(|having| having.contains(doc)) {
                continue;
            }
            let document: TantivyDocument = store.get(doc)?;
            let lines = document.get_first(fields.lines);
            let Some(lines) = lines.as_ref().and_then(|lines| lines.as_str()) else {
                continue;
            };
            for (word, having) in words.iter().zip(having.iter_mut()) {
                if word.find(lines.as_bytes()).is_some() {
                    having.insert(doc);
                }
            }
        }
        Ok(())
    }
}

/// The words of a dictionary that a word of a needle is in, each once.
fn matching<'d>(dictionary: &'d [u8], word: &NeedleWord) -> impl Iterator<Item = &'d [u8]> {
    let edge = |is: bool| if is { "\n" } else { "" };
    let pattern = format!("{}{}{}", edge(word.starts), word.text, edge(word.ends));
    let finder = Finder::new(pattern.as_bytes()).into_owned();
    let lead = usize::from(word.starts);
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(dictionary.get(from..)?)? + lead;
        let start = memchr::memrchr(SEPARATOR, dictionary.get(..at)?).map_or(0, |at| at + 1);
        let end = at + memchr::memchr(SEPARATOR, dictionary.get(at..)?)?;
        // The separator is the one before the next word as well.
        from = end;
        dictionary.get(start..end)
    })
}

/// The documents of a segment with a term, in order.
fn documents(
    segment: &SegmentReader,
    field: SchemaField,
    term: &[u8],
) -> tantivy::Result<Vec<u32>> {
    let index = segment.inverted_index(field)?;
    let Some(info) = index.terms().get(term)? else {
        return Ok(Vec::new());
    };
    let mut postings = index.read_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
    let mut documents = Vec::with_capacity(info.doc_freq as usize);
    while postings.doc() != TERMINATED {
        documents.push(postings.doc());
        postings.advance();
    }
    Ok(documents)
}

fn set(segment: &SegmentReader, field: SchemaField, term: &str) -> tantivy::Result<BitSet> {
    let mut set = BitSet::with_max_value(segment.max_doc());
    for doc in documents(segment, field, term.as_bytes())? {
        set.insert(doc);
    }
    Ok(set)
}
