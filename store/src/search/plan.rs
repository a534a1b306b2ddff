//! The schema of the index, and compiled queries as tantivy runs them.
//!
//! Holds: every query asks for one account and one kind. No scores are computed.
//! Other half: `matcher` gives the same answers for texts that aren't indexed.

use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::query::{
    BitSetDocSet, BooleanQuery, ConstScorer, EmptyQuery, EnableScoring, Explanation, Occur,
    PhrasePrefixQuery, PhraseQuery, Scorer, TermQuery, Weight,
};
use tantivy::schema::{
    BytesOptions, Field as SchemaField, IndexRecordOption, NumericOptions, Schema,
    TextFieldIndexing, TextOptions,
};
use tantivy::{BitSet, DocId, Score, SegmentOrdinal, SegmentReader, Term};

use super::document::{DocumentKey, Field, IndexField};
use super::query::{Leaf, Node};

/// Words of the dictionary of one segment that a prefix at the end of a phrase may stand for.
const PREFIX_EXPANSIONS_MAX: u32 = 16_384;

/// Names under which the tokenizers are known to the index.
pub(super) const TEXT_TOKENIZER: &str = "text";
pub(super) const HEADER_TOKENIZER: &str = "header";
pub(super) const VOCABULARY_TOKENIZER: &str = "vocabulary";
/// Name of the column that holds the caller's id.
pub(super) const ID: &str = "id";

type BoxQuery = Box<dyn tantivy::query::Query>;

/// The fields of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Three terms a document: account; account and kind; account, kind and id.
    pub key: SchemaField,
    pub id: SchemaField,
    texts: [SchemaField; Field::ALL.len()],
    header: SchemaField,
    /// Words that are in no other field: see `vocabulary`.
    pub rest_body: SchemaField,
    pub rest_header: SchemaField,
    /// A text that is kept, not indexed.
    pub lines: SchemaField,
}

impl Fields {
    pub fn of(self, field: IndexField) -> SchemaField {
        match field {
            IndexField::Text(field) => self.texts[field as usize],
            IndexField::Header => self.header,
        }
    }

    /// All fields with words of texts, each of them once.
    pub fn everywhere(self) -> Vec<SchemaField> {
        let rest = [self.rest_body, self.rest_header];
        self.texts.into_iter().chain(rest).collect()
    }
}

/// The schema. A change of it takes a new `FORMAT_VERSION`.
pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let key = builder.add_bytes_field("key", BytesOptions::default().set_indexed());
    let id = builder.add_u64_field(ID, NumericOptions::default().set_fast());
    let text = |tokenizer| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_fieldnorms(false)
                .set_index_option(IndexRecordOption::WithFreqsAndPositions),
        )
    };
    let texts = Field::ALL.map(|field| {
        let name = match field {
            Field::From => "from",
            Field::To => "to",
            Field::Cc => "cc",
            Field::Bcc => "bcc",
            Field::Subject => "subject",
            Field::Body => "body",
            Field::Attachment => "attachment",
        };
        builder.add_text_field(name, text(TEXT_TOKENIZER))
    });
    let header = builder.add_text_field("header", text(HEADER_TOKENIZER));
    // Words alone: where they are isn't asked.
    let words = TextOptions::default().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(VOCABULARY_TOKENIZER)
            .set_fieldnorms(false)
            .set_index_option(IndexRecordOption::Basic),
    );
    let fields = Fields {
        key,
        id,
        texts,
        header,
        rest_body: builder.add_text_field("rest_body", words.clone()),
        rest_header: builder.add_text_field("rest_header", words),
        lines: builder.add_text_field("lines", TextOptions::default().set_stored()),
    };
    (builder.build(), fields)
}

/// The term all documents of an account have.
pub(super) fn account_octets(account: u64) -> [u8; 8] {
    account.to_be_bytes()
}

/// The term all documents of an account and kind have.
pub(super) fn scope_octets(account: u64, kind: u8) -> [u8; 9] {
    let mut octets = [kind; 9];
    octets[..8].copy_from_slice(&account.to_be_bytes());
    octets
}

/// The term only this document has.
pub(super) fn key_octets(key: DocumentKey) -> [u8; 17] {
    let mut octets = [0; 17];
    octets[..9].copy_from_slice(&scope_octets(key.account, key.kind));
    octets[9..].copy_from_slice(&key.id.to_be_bytes());
    octets
}

/// Makes tantivy queries of compiled ones, for one account and kind.
pub(super) struct Planner {
    fields: Fields,
    scope: Term,
}

impl Planner {
    pub fn new(fields: Fields, account: u64, kind: u8) -> Planner {
        let scope = Term::from_field_bytes(fields.key, &scope_octets(account, kind));
        Planner { fields, scope }
    }

    /// The query for all documents of the account that match.
    pub fn plan(&self, node: &Node) -> BoxQuery {
        let mut clauses = vec![(Occur::Must, self.everything())];
        self.require(node, &mut clauses);
        boolean(clauses)
    }

    fn everything(&self) -> BoxQuery {
        Box::new(TermQuery::new(self.scope.clone(), IndexRecordOption::Basic))
    }

    /// Adds what makes `node` true to a conjunction.
    fn require(&self, node: &Node, clauses: &mut Vec<(Occur, BoxQuery)>) {
        match node {
            Node::And(children) => children
                .iter()
                .for_each(|child| self.require(child, clauses)),
            Node::Not(child) => clauses.push((Occur::MustNot, self.excluded(child))),
            other => clauses.push((Occur::Must, self.any(other))),
        }
    }

    /// The account's documents that match, as a set to exclude.
    fn excluded(&self, node: &Node) -> BoxQuery {
        let inner = Arc::from(self.plan(node));
        Box::new(Excluded { inner })
    }

    /// A query by itself; it may also match documents of other accounts.
    fn any(&self, node: &Node) -> BoxQuery {
        match node {
            Node::Or(children) => union(children.iter().map(|child| self.any(child)).collect()),
            Node::Leaf(leaf) => union(
                leaf.fields
                    .iter()
                    .map(|field| self.leaf(leaf, *field))
                    .collect(),
            ),
            Node::And(_) | Node::Not(_) => {
                let mut clauses = Vec::new();
                self.require(node, &mut clauses);
                // Nothing but exclusions: tantivy needs something to exclude from.
                if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
                    clauses.push((Occur::Must, self.everything()));
                }
                boolean(clauses)
            }
        }
    }

    fn leaf(&self, leaf: &Leaf, field: IndexField) -> BoxQuery {
        let field = self.fields.of(field);
        let mut terms: Vec<(usize, Term)> = leaf
            .tokens
            .iter()
            .map(|(offset, token)| (*offset as usize, Term::from_field_text(field, token)))
            .collect();
        if leaf.prefix {
            let mut query = PhrasePrefixQuery::new_with_offset(terms);
            query.set_max_expansions(PREFIX_EXPANSIONS_MAX);
            return Box::new(query);
        }
        if terms.len() > 1 {
            return Box::new(PhraseQuery::new_with_offset(terms));
        }
        match terms.pop() {
            Some((_, term)) => Box::new(TermQuery::new(term, IndexRecordOption::Basic)),
            None => Box::new(EmptyQuery),
        }
    }
}

fn union(mut queries: Vec<BoxQuery>) -> BoxQuery {
    match queries.len() {
        0 => Box::new(EmptyQuery),
        1 => queries.remove(0),
        _ => Box::new(BooleanQuery::union(queries)),
    }
}

fn boolean(mut clauses: Vec<(Occur, BoxQuery)>) -> BoxQuery {
    match clauses.as_slice() {
        [(Occur::Must, _)] => clauses.remove(0).1,
        _ => Box::new(BooleanQuery::new(clauses)),
    }
}

/// A query run to its end at once. tantivy asks what it excludes about documents it's already past, which its
/// phrases don't allow for; a set of bits doesn't mind.
#[derive(Clone, Debug)]
struct Excluded {
    inner: Arc<dyn tantivy::query::Query>,
}

impl tantivy::query::Query for Excluded {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let inner = self.inner.weight(scoring)?;
        Ok(Box::new(ExcludedWeight { inner }))
    }
}

struct ExcludedWeight {
    inner: Box<dyn Weight>,
}

impl Weight for ExcludedWeight {
    fn scorer(&self, reader: &SegmentReader, _: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut found = BitSet::with_max_value(reader.max_doc());
        self.inner.for_each_no_score(reader, &mut |docs| {
            for doc in docs {
                found.insert(*doc);
            }
        })?;
        Ok(Box::new(ConstScorer::from(BitSetDocSet::from(found))))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        self.inner.explain(reader, doc)
    }
}

/// Collects the caller's ids of all matches, in no order.
pub(super) struct IdCollector;

/// The part of `IdCollector` for one segment.
pub(super) struct SegmentIds {
    column: Column<u64>,
    ids: Vec<u64>,
}

impl Collector for IdCollector {
    type Fruit = Vec<u64>;
    type Child = SegmentIds;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentIds> {
        Ok(SegmentIds {
            column: segment.fast_fields().u64(ID)?,
            ids: Vec::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<Vec<u64>>) -> tantivy::Result<Vec<u64>> {
        Ok(fruits.concat())
    }
}

impl SegmentCollector for SegmentIds {
    type Fruit = Vec<u64>;

    fn collect(&mut self, doc: DocId, _: Score) {
        self.ids.extend(self.column.first(doc));
    }

    fn harvest(self) -> Vec<u64> {
        self.ids
    }
}
