//! What is indexed: documents, their texts, and the changes to an index.
//!
//! Holds: index and matcher see the texts of a document through `each_text`, and so within the same limits.
//! Other half: `shard` writes documents, `matcher` looks at those not written yet.

use super::token::header_name;

/// Octets of body text of one document that are searchable; the rest is left out.
pub const BODY_OCTETS_MAX: usize = 1 << 20;
/// The same for all its other texts together.
pub const HEADER_OCTETS_MAX: usize = 256 << 10;
/// The same for the texts in which only pieces are looked for: of the body, and of headers.
pub const REST_OCTETS_MAX: usize = 1 << 20;
/// Texts of one document beyond this number are left out.
pub const TEXTS_MAX: usize = 4096;

/// A searchable field. The names are those of the conditions of RFC 8621 §4.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    From,
    To,
    Cc,
    Bcc,
    Subject,
    Body,
    /// Names of attachments.
    Attachment,
}

impl Field {
    /// All of them: what a `text` condition looks at.
    pub const ALL: [Field; 7] = [
        Field::From,
        Field::To,
        Field::Cc,
        Field::Bcc,
        Field::Subject,
        Field::Body,
        Field::Attachment,
    ];
}

/// Which document it is. The id is the caller's, unique among those of its account and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey {
    pub account: u64,
    /// What sort of document: mail, events and contacts are searched separately.
    pub kind: u8,
    pub id: u64,
}

/// The texts of a document. Phrases don't reach from one text into the next: give each address, body
/// part and attachment name as a text of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentText {
    pub texts: Vec<(Field, String)>,
    /// Names and values of those header fields that can be searched by name.
    pub headers: Vec<(String, String)>,
    /// Texts that no query finds, but `SearchIndex::containing`: what else there is of the body, ...
    pub rest_body: Vec<String>,
    /// ... and of the headers whose values are among `texts`.
    pub rest_header: Vec<String>,
    /// All other headers, line by line: no part of the index, but kept beside it and read through. That costs a look at
    /// each document, for the few who ask, and spares everybody the many words that are in one message alone.
    pub lines: Vec<String>,
    /// There is more text than was given: only reading it tells what is in it.
    pub is_cut: bool,
}

impl DocumentText {
    /// Adds one text.
    pub fn push(&mut self, field: Field, text: impl Into<String>) {
        self.texts.push((field, text.into()));
    }

    /// Octets of all texts.
    pub fn octets(&self) -> usize {
        let texts = self.texts.iter().map(|(_, text)| text.len());
        let headers = self
            .headers
            .iter()
            .map(|(name, text)| name.len() + text.len());
        let rest = self.rest_body.iter().chain(&self.rest_header);
        let rest = rest.chain(&self.lines);
        texts.chain(headers).chain(rest.map(String::len)).sum()
    }

    /// Adds one header field.
    pub fn push_header(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.headers.push((name.into(), value.into()));
    }
}

/// A document to index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub key: DocumentKey,
    pub text: DocumentText,
}

/// One change to the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// Indexes a document; a former one with the same key is replaced.
    Upsert(Document),
    /// Removes a document, if it's there.
    Delete(DocumentKey),
    /// Removes all documents of an account, of all kinds.
    DeleteAccount(u64),
}

impl Change {
    /// The account it's about.
    pub fn account(&self) -> u64 {
        match self {
            Change::Upsert(document) => document.key.account,
            Change::Delete(key) => key.account,
            Change::DeleteAccount(account) => *account,
        }
    }
}

/// A field of the index: one of ours, or the one that holds all header fields by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum IndexField {
    Text(Field),
    Header,
}

/// Gives all texts within the limits to `take`; header fields as `name:value`.
pub(super) fn each_text(document: &DocumentText, mut take: impl FnMut(IndexField, &str)) {
    let mut left = TEXTS_MAX;
    let mut body = BODY_OCTETS_MAX;
    let mut other = HEADER_OCTETS_MAX;
    for (field, text) in &document.texts {
        let budget = match field {
            Field::Body => &mut body,
            _ => &mut other,
        };
        let text = &text[..text.floor_char_boundary(*budget)];
        if text.is_empty() || left == 0 {
            continue;
        }
        *budget -= text.len();
        left -= 1;
        take(IndexField::Text(*field), text);
    }
    for (name, value) in &document.headers {
        let mut text = header_name(name);
        text.push_str(value);
        text.truncate(text.floor_char_boundary(other));
        if text.is_empty() || left == 0 {
            break;
        }
        other -= text.len();
        left -= 1;
        take(IndexField::Header, &text);
    }
}
