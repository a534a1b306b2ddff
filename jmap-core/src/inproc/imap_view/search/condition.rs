//! What is looked for, as data, and made ready.
//!
//! Holds: a leaf is asked of the cheapest thing that can tell: the view, the index, the summary, the message.
//! Other half: `run` asks; `adapters/imap` makes conditions of SEARCH keys.

use store::search::{Field, Needle, Place};

use crate::mail::{
    message::{
        EmailAddressGroup, Summary,
        everything::{field_texts, mailbox_text},
    },
    view::{EmailRow, View},
};

const DAY: i64 = 86_400;

/// What messages have to be (RFC 9051 §6.4.4).
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// One of these emails, sorted.
    OneOf(Vec<u64>),
    /// In lower case.
    Keyword(String),
    /// `\Deleted`
    Deleted,
    /// Seconds since 1970.
    Received(Span),
    /// When it came into the mailbox, in seconds since 1970 (RFC 8514).
    Saved(Span),
    /// Days since 1970 of the Date field, in the zone that it names. A message without one is in no span.
    Sent(Span),
    /// More octets, or fewer.
    Larger(u64),
    Smaller(u64),
    /// Its MODSEQ is this one or a later one (RFC 7162 §3.1.5).
    ChangedSince(u64),
    Thread(u64),
    Address(AddressField, String),
    Subject(String),
    /// A header field with this name has the text.
    Header {
        name: String,
        text: String,
    },
    Body(String),
    /// In the header or the body.
    Text(String),
}

/// From the first up to, and without, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub before: i64,
}

impl Span {
    fn contains(self, at: i64) -> bool {
        (self.from..self.before).contains(&at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressField {
    From,
    To,
    Cc,
    Bcc,
}

impl AddressField {
    fn name(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Bcc => "bcc",
        }
    }

    fn index_field(self) -> Field {
        match self {
            Self::From => Field::From,
            Self::To => Field::To,
            Self::Cc => Field::Cc,
            Self::Bcc => Field::Bcc,
        }
    }

    fn of(self, summary: &Summary) -> &Option<Vec<EmailAddressGroup>> {
        match self {
            Self::From => &summary.from,
            Self::To => &summary.to,
            Self::Cc => &summary.cc,
            Self::Bcc => &summary.bcc,
        }
    }
}

/// The tree of a condition, its leaves numbered.
#[derive(Debug)]
pub(super) enum Tree {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Leaf(usize),
}

/// What is known of each leaf, for one message.
pub(super) type Known = Option<bool>;

impl Tree {
    /// Whether the whole is true; `None` while that depends on what isn't known.
    pub fn value(&self, leaf: &mut impl FnMut(usize) -> Known) -> Known {
        match self {
            Tree::Leaf(at) => leaf(*at),
            Tree::Not(tree) => tree.value(leaf).map(|is| !is),
            Tree::And(trees) => decide(trees, false, leaf),
            Tree::Or(trees) => decide(trees, true, leaf),
        }
    }
}

/// One that is `decisive` decides; all that are known and aren't decide the other way.
fn decide(trees: &[Tree], decisive: bool, leaf: &mut impl FnMut(usize) -> Known) -> Known {
    let mut all_known = true;
    for tree in trees {
        match tree.value(leaf) {
            Some(is) if is == decisive => return Some(decisive),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!decisive)
}

/// A condition that is no combination of others.
#[derive(Debug)]
pub(super) enum Leaf {
    OneOf(Vec<u64>),
    Keyword(String),
    Deleted,
    Received(Span),
    Saved(Span),
    Sent(Span),
    Larger(u64),
    Smaller(u64),
    ChangedSince(u64),
    Thread(u64),
    Address(AddressField, Needle),
    Subject(Needle),
    Header(Box<HeaderNeedle>),
    Body(Needle),
    Text(Needle),
}

/// Fields of one name with a text.
#[derive(Debug)]
pub(super) struct HeaderNeedle {
    name: String,
    text: Needle,
    /// What the index knows such a field by.
    start: Needle,
}

impl HeaderNeedle {
    fn new(name: &str, text: &str) -> Box<Self> {
        Box::new(Self {
            name: name.to_owned(),
            text: Needle::new(text),
            start: Needle::new(&format!("{name}:")),
        })
    }
}

/// Makes a condition ready.
pub(super) fn compile(condition: Condition, leaves: &mut Vec<Leaf>) -> Tree {
    let mut all = |conditions: Vec<Condition>| {
        let trees = conditions.into_iter();
        trees.map(|one| compile(one, leaves)).collect()
    };
    let leaf = match condition {
        Condition::And(conditions) => return Tree::And(all(conditions)),
        Condition::Or(conditions) => return Tree::Or(all(conditions)),
        Condition::Not(condition) => return Tree::Not(Box::new(compile(*condition, leaves))),
        Condition::OneOf(emails) => Leaf::OneOf(emails),
        Condition::Keyword(keyword) => Leaf::Keyword(keyword),
        Condition::Deleted => Leaf::Deleted,
        Condition::Received(span) => Leaf::Received(span),
        Condition::Saved(span) => Leaf::Saved(span),
        Condition::Sent(span) => Leaf::Sent(span),
        Condition::Larger(octets) => Leaf::Larger(octets),
        Condition::Smaller(octets) => Leaf::Smaller(octets),
        Condition::ChangedSince(modseq) => Leaf::ChangedSince(modseq),
        Condition::Thread(thread) => Leaf::Thread(thread),
        Condition::Address(field, text) => match is_as_written(&text) {
            true => Leaf::Header(HeaderNeedle::new(field.name(), &text)),
            false => Leaf::Address(field, Needle::new(&text)),
        },
        Condition::Subject(text) => Leaf::Subject(Needle::new(&text)),
        Condition::Header { name, text } => Leaf::Header(HeaderNeedle::new(&name, &text)),
        Condition::Body(text) => Leaf::Body(Needle::new(&text)),
        Condition::Text(text) => Leaf::Text(Needle::new(&text)),
    };
    leaves.push(leaf);
    Tree::Leaf(leaves.len() - 1)
}

/// Whether a text looks for how addresses are written rather than for what they are.
fn is_as_written(text: &str) -> bool {
    text.is_empty() || text.contains(['"', '(', ')', '<', '>', ',', ';', ':', '\\', '[', ']'])
}

/// An email in the view.
#[derive(Clone, Copy)]
pub(super) struct Seen<'v> {
    pub view: &'v View,
    pub email: u64,
    pub row: &'v EmailRow,
    pub saved_at: i64,
    pub is_deleted: bool,
}

impl Leaf {
    /// What the view knows.
    pub fn by_view(&self, seen: &Seen<'_>) -> Known {
        Some(match self {
            Leaf::OneOf(emails) => emails.binary_search(&seen.email).is_ok(),
            Leaf::Keyword(keyword) => seen.view.has_keyword(seen.row, keyword),
            Leaf::Deleted => seen.is_deleted,
            Leaf::Received(span) => span.contains(seen.row.received_at),
            Leaf::Saved(span) => span.contains(seen.saved_at),
            Leaf::Sent(span) => return sent_by_view(*span, seen.row.sent_at()),
            Leaf::Larger(octets) => u64::from(seen.row.size) > *octets,
            Leaf::Smaller(octets) => u64::from(seen.row.size) < *octets,
            Leaf::ChangedSince(modseq) => seen.row.modseq >= *modseq,
            Leaf::Thread(thread) => seen.row.thread == *thread,
            // Every message has a text.
            Leaf::Body(needle) | Leaf::Text(needle) if needle.is_empty() => true,
            Leaf::Address(..)
            | Leaf::Subject(_)
            | Leaf::Header(_)
            | Leaf::Body(_)
            | Leaf::Text(_) => return None,
        })
    }

    /// What the index is asked: all of these have to be there.
    pub fn index_questions(&self) -> Vec<(&Needle, Place)> {
        match self {
            Leaf::Address(field, needle) => {
                vec![(needle, Place::Field(field.index_field()))]
            }
            Leaf::Subject(needle) => vec![(needle, Place::Field(Field::Subject))],
            Leaf::Body(needle) => vec![(needle, Place::Body)],
            Leaf::Text(needle) => vec![(needle, Place::Anywhere)],
            Leaf::Header(header) => vec![
                (&header.start, Place::Anywhere),
                (&header.text, Place::Anywhere),
            ],
            _ => Vec::new(),
        }
    }

    /// Whether what the index is certain of is what is asked.
    pub fn trusts_index(&self) -> bool {
        matches!(self, Leaf::Body(_) | Leaf::Text(_))
    }

    /// What the summary knows.
    pub fn by_summary(&self, summary: &Summary) -> Known {
        match self {
            Leaf::Address(field, needle) => {
                let groups = field.of(summary).iter().flatten();
                Some(groups.into_iter().any(|group| is_in_group(needle, group)))
            }
            Leaf::Subject(needle) => Some(
                summary
                    .subject
                    .as_ref()
                    .is_some_and(|text| needle.is_in(text)),
            ),
            Leaf::Sent(span) => Some(summary.sent_at.is_some_and(|at| {
                let local = at.timestamp + i64::from(at.offset_minutes) * 60;
                span.contains(local.div_euclid(DAY))
            })),
            _ => None,
        }
    }

    /// What the header section of the message knows.
    pub fn by_header(&self, raw: &[u8], summary: &Summary) -> Known {
        let Leaf::Header(header) = self else {
            return None;
        };
        Some(summary.fields.iter().any(|field| {
            field.name(raw).eq_ignore_ascii_case(header.name.as_bytes())
                && (header.text.is_empty()
                    || field_texts(raw, field)
                        .iter()
                        .any(|text| header.text.is_in(text)))
        }))
    }
}

fn is_in_group(needle: &Needle, group: &EmailAddressGroup) -> bool {
    group.name.as_ref().is_some_and(|name| needle.is_in(name))
        || group
            .addresses
            .iter()
            .any(|address| needle.is_in(&mailbox_text(address)))
}

/// The zone is not in the view: a day to either side is open.
fn sent_by_view(span: Span, sent_at: Option<i64>) -> Known {
    let Some(at) = sent_at else {
        return Some(false);
    };
    let (from, before) = (
        span.from.saturating_mul(DAY),
        span.before.saturating_mul(DAY),
    );
    let (earliest, latest) = (at.saturating_sub(DAY), at.saturating_add(DAY));
    if latest < from || earliest >= before {
        return Some(false);
    }
    (earliest >= from && latest < before).then_some(true)
}
