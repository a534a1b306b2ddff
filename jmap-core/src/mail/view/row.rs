//! One email in a view, as small as it can be: an account has a hundred thousand of them.

use std::{collections::HashMap, ops::Deref, sync::Arc};

use store::keys::BlobHash;

use crate::mail::records::{EmailRecord, InMailbox};

/// What is kept of one email.
#[derive(Debug, Clone, PartialEq)]
pub struct EmailRow {
    /// Where its message and its summary are.
    pub blob: BlobHash,
    pub thread: u64,
    pub received_at: i64,
    /// [`NO_DATE`] for none.
    sent_at: i64,
    pub size: u32,
    pub has_attachment: bool,
    pub keywords: KeywordSet,
    /// Where it is, with `\Deleted` or without; what JMAP shows is [`EmailRow::places`].
    pub all_places: Places,
    pub modseq: u64,
}

const NO_DATE: i64 = i64::MIN;

impl EmailRow {
    pub(super) fn new(record: &EmailRecord, keywords: KeywordSet) -> Self {
        Self {
            blob: record.blob,
            thread: record.thread,
            received_at: record.received_at,
            sent_at: record.sent_at.unwrap_or(NO_DATE),
            size: u32::try_from(record.size).unwrap_or(u32::MAX),
            has_attachment: record.has_attachment,
            keywords,
            all_places: Places::new(&record.all_places),
            modseq: record.modseq,
        }
    }

    /// RFC 8621 §4.1.1: where the email is for JMAP, which doesn't see what has `\Deleted`.
    pub fn places(&self) -> impl Iterator<Item = &InMailbox> {
        self.all_places.iter().filter(|place| !place.is_deleted)
    }

    /// An email that has `\Deleted` in all its mailboxes is not there for JMAP.
    pub fn is_visible(&self) -> bool {
        self.places().next().is_some()
    }

    /// Seconds since 1970, by the Date field.
    pub fn sent_at(&self) -> Option<i64> {
        (self.sent_at != NO_DATE).then_some(self.sent_at)
    }
}

/// The mailboxes of an email: almost always one.
#[derive(Debug, Clone, PartialEq)]
pub struct Places(Kept);

#[derive(Debug, Clone, PartialEq)]
enum Kept {
    One(InMailbox),
    Many(Box<[InMailbox]>),
}

impl Places {
    fn new(places: &[InMailbox]) -> Self {
        Self(match places {
            [one] => Kept::One(*one),
            many => Kept::Many(many.into()),
        })
    }
}

impl Deref for Places {
    type Target = [InMailbox];

    fn deref(&self) -> &[InMailbox] {
        match &self.0 {
            Kept::One(place) => std::slice::from_ref(place),
            Kept::Many(places) => places,
        }
    }
}

/// Keywords by number: the first 64 of an account are bits, the others a list.
#[derive(Debug, Default)]
pub(super) struct Keywords {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

/// The keywords of an email.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct KeywordSet {
    bits: u64,
    /// Boxed twice: few emails have one, and all have room for it.
    #[allow(clippy::box_collection)]
    more: Option<Box<Vec<u32>>>,
}

const SEEN: u32 = 0;
const DRAFT: u32 = 1;

impl Keywords {
    pub fn new() -> Self {
        let mut keywords = Self::default();
        for name in [
            "$seen",
            "$draft",
            "$flagged",
            "$answered",
            "$forwarded",
            "$recent",
            "$junk",
            "$notjunk",
        ] {
            keywords.assign(name);
        }
        keywords
    }

    /// The number of a keyword that some email has, or has had.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    fn assign(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    pub fn set(&mut self, names: &[String]) -> KeywordSet {
        let mut set = KeywordSet::default();
        let mut more = Vec::new();
        for name in names {
            match self.assign(name) {
                bit @ 0..64 => set.bits |= 1 << bit,
                number => more.push(number),
            }
        }
        if !more.is_empty() {
            more.sort_unstable();
            more.shrink_to_fit();
            set.more = Some(Box::new(more));
        }
        set
    }

    /// The names of numbers.
    pub fn names(&self, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = &Arc<str>> {
        numbers.filter_map(|number| self.names.get(number as usize))
    }
}

impl KeywordSet {
    /// By number, ascending.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let mut bits = self.bits;
        let bits = std::iter::from_fn(move || {
            let bit = bits.trailing_zeros();
            bits &= bits.checked_sub(1)?;
            Some(bit)
        });
        let more = self.more.iter().flat_map(|more| more.iter().copied());
        bits.chain(more)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        match number {
            bit @ 0..64 => self.bits & 1 << bit != 0,
            number => self
                .more
                .as_ref()
                .is_some_and(|more| more.binary_search(&number).is_ok()),
        }
    }

    pub fn is_seen(&self) -> bool {
        self.contains(SEEN)
    }

    /// RFC 8621 §2: neither `$seen` nor `$draft`.
    pub fn is_unread(&self) -> bool {
        !self.contains(SEEN) && !self.contains(DRAFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `View::octets` counts on it.
    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<(u64, EmailRow)>(), 120);
    }

    #[test]
    fn keywords_past_the_64th_are_kept_too() {
        let mut keywords = Keywords::new();
        let all: Vec<String> = (0..100).map(|n| format!("k{n:02}")).collect();
        let set = keywords.set(&all);
        let some = keywords.set(&all[70..72]);
        let mut names: Vec<&str> = keywords.names(set.numbers()).map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, all);
        let some_names: Vec<&str> = keywords.names(some.numbers()).map(|name| &**name).collect();
        assert_eq!(some_names, ["k70", "k71"]);
        assert!(some.contains(keywords.number("k70").unwrap()));
        assert!(!some.contains(keywords.number("k69").unwrap()));
        assert!(!some.contains(keywords.number("k01").unwrap()));
        assert_eq!(keywords.number("unheard"), None);
    }
}
