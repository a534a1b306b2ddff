//! Search keys (RFC 9051 §6.4.4) -> what the core is asked.
//!
//! Holds: sequence numbers, UIDs and `\Recent` are known here alone, and are emails to the core. A number that no message has is no error
//! (RFC 7377 §2). Dates are those of UTC, as INTERNALDATE shows them.
//! Other half: `jmap_core::inproc::imap_view::Condition`.

use std::ops::Range;

use jmap_core::inproc::imap_view::{AddressField, Condition, Span, UidList};
use jmap_types::AccountId;
use jmap_types::mail::{EmailId, ThreadId};

use crate::command::{SearchKey, SequenceNumber, SequenceSet};
use crate::selected::Selected;

const DAY: i64 = 86_400;

/// The messages that a search is of.
pub struct Messages<'s> {
    pub account: AccountId,
    pub list: &'s UidList,
    /// `None`: a mailbox that isn't selected, whose messages have no numbers that the client knows.
    pub selected: Option<&'s Selected>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What a search is about, beyond its condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// MODSEQ: the answer has one, too (RFC 7162 §3.1.5).
    pub modseq: bool,
    /// Sequence numbers, which UIDONLY forbids (RFC 9586 §3.4).
    pub numbers: bool,
}

impl Mentions {
    pub fn of(key: &SearchKey) -> Mentions {
        match key {
            SearchKey::And(keys) => keys
                .iter()
                .map(Mentions::of)
                .fold(Mentions::default(), Mentions::and),
            SearchKey::Or(a, b) => Mentions::of(a).and(Mentions::of(b)),
            SearchKey::Not(key) | SearchKey::Fuzzy(key) => Mentions::of(key),
            SearchKey::Modseq(_) => Mentions {
                modseq: true,
                numbers: false,
            },
            SearchKey::Sequence(SequenceSet::Ranges(_)) => Mentions {
                modseq: false,
                numbers: true,
            },
            _ => Mentions::default(),
        }
    }

    fn and(self, other: Mentions) -> Mentions {
        Mentions {
            modseq: self.modseq || other.modseq,
            numbers: self.numbers || other.numbers,
        }
    }
}

impl Messages<'_> {
    /// What the core is asked for a key.
    pub fn condition(&self, key: &SearchKey) -> Condition {
        let not = |condition| Condition::Not(Box::new(condition));
        let keyword = |name: &str| Condition::Keyword(name.to_ascii_lowercase());
        match key {
            SearchKey::And(keys) => {
                Condition::And(keys.iter().map(|key| self.condition(key)).collect())
            }
            SearchKey::Or(a, b) => Condition::Or(vec![self.condition(a), self.condition(b)]),
            SearchKey::Not(key) => not(self.condition(key)),
            // RFC 6203 §3: no other messages are found than without it.
            SearchKey::Fuzzy(key) => self.condition(key),
            SearchKey::All | SearchKey::SaveDateSupported => Condition::And(Vec::new()),
            SearchKey::Answered => keyword("$answered"),
            SearchKey::Draft => keyword("$draft"),
            SearchKey::Flagged => keyword("$flagged"),
            SearchKey::Seen => keyword("$seen"),
            SearchKey::Unanswered => not(keyword("$answered")),
            SearchKey::Undraft => not(keyword("$draft")),
            SearchKey::Unflagged => not(keyword("$flagged")),
            SearchKey::Unseen => not(keyword("$seen")),
            SearchKey::Deleted => Condition::Deleted,
            SearchKey::Undeleted => not(Condition::Deleted),
            SearchKey::Recent => self.recent(),
            SearchKey::Old => not(self.recent()),
            SearchKey::New => Condition::And(vec![self.recent(), not(keyword("$seen"))]),
            SearchKey::Keyword(name) => keyword(name),
            SearchKey::Unkeyword(name) => not(keyword(name)),
            SearchKey::Larger(octets) => Condition::Larger(*octets),
            SearchKey::Smaller(octets) => Condition::Smaller(*octets),
            SearchKey::Bcc(text) => Condition::Address(AddressField::Bcc, text.clone()),
            SearchKey::Cc(text) => Condition::Address(AddressField::Cc, text.clone()),
            SearchKey::From(text) => Condition::Address(AddressField::From, text.clone()),
            SearchKey::To(text) => Condition::Address(AddressField::To, text.clone()),
            SearchKey::Subject(text) => Condition::Subject(text.clone()),
            SearchKey::Body(text) => Condition::Body(text.clone()),
            SearchKey::Text(text) => Condition::Text(text.clone()),
            SearchKey::Header(name, text) => Condition::Header {
                name: name.clone(),
                text: text.clone(),
            },
            SearchKey::Sequence(set) => self.numbered(set),
            SearchKey::Uid(set) => self.with_uids(set),
            SearchKey::Modseq(modseq) => Condition::ChangedSince(*modseq),
            SearchKey::EmailId(id) => self.email_id(id),
            SearchKey::ThreadId(id) => self.thread_id(id),
            SearchKey::Before(_)
            | SearchKey::On(_)
            | SearchKey::Since(_)
            | SearchKey::SentBefore(_)
            | SearchKey::SentOn(_)
            | SearchKey::SentSince(_)
            | SearchKey::SavedBefore(_)
            | SearchKey::SavedOn(_)
            | SearchKey::SavedSince(_)
            | SearchKey::Older(_)
            | SearchKey::Younger(_) => self.dated(key),
        }
    }

    fn dated(&self, key: &SearchKey) -> Condition {
        let seconds = |span: Span| Span {
            from: span.from.saturating_mul(DAY),
            before: span.before.saturating_mul(DAY),
        };
        match key {
            SearchKey::Before(day) => Condition::Received(seconds(before(*day))),
            SearchKey::On(day) => Condition::Received(seconds(on(*day))),
            SearchKey::Since(day) => Condition::Received(seconds(since(*day))),
            SearchKey::SavedBefore(day) => Condition::Saved(seconds(before(*day))),
            SearchKey::SavedOn(day) => Condition::Saved(seconds(on(*day))),
            SearchKey::SavedSince(day) => Condition::Saved(seconds(since(*day))),
            SearchKey::SentBefore(day) => Condition::Sent(before(*day)),
            SearchKey::SentOn(day) => Condition::Sent(on(*day)),
            SearchKey::SentSince(day) => Condition::Sent(since(*day)),
            // RFC 5032 §1
            SearchKey::Older(seconds) => {
                let at = self.now.saturating_sub(i64::from(*seconds));
                Condition::Received(before(at.saturating_add(1)))
            }
            SearchKey::Younger(seconds) => {
                Condition::Received(since(self.now.saturating_sub(i64::from(*seconds))))
            }
            _ => Condition::And(Vec::new()),
        }
    }

    fn recent(&self) -> Condition {
        let Some(selected) = self.selected else {
            return Condition::OneOf(Vec::new());
        };
        let recent = self.list.iter();
        let recent = recent.filter(|(uid, _)| selected.is_recent(*uid));
        one_of(recent.map(|(_, email)| email).collect())
    }

    fn numbered(&self, set: &SequenceSet) -> Condition {
        match self.selected {
            Some(selected) => self.at(places(set, selected)),
            // RFC 7377 §2.2: they have no numbers that the client knows.
            None => Condition::OneOf(Vec::new()),
        }
    }

    fn with_uids(&self, set: &SequenceSet) -> Condition {
        if let Some(selected) = self.selected {
            return self.at(selected.by_uids(set).into_iter());
        }
        let SequenceSet::Ranges(ranges) = set else {
            return Condition::OneOf(Vec::new());
        };
        let last = self.list.last().map_or(0, |(uid, _)| uid);
        let uid = |number: SequenceNumber| match number {
            SequenceNumber::Number(number) => number,
            SequenceNumber::Star => last,
        };
        let places = ranges.iter().map(|&(first, last)| {
            let (first, last) = (uid(first), uid(last));
            let (first, last) = (first.min(last), first.max(last));
            let end = match last.checked_add(1) {
                Some(after) => self.list.count_before(after),
                None => self.list.len(),
            };
            self.list.count_before(first)..end
        });
        self.at(places)
    }

    /// One of the messages in these places.
    fn at(&self, places: impl Iterator<Item = Range<usize>>) -> Condition {
        let mut emails = Vec::new();
        for place in places {
            emails.extend(self.list.range(place).map(|(_, email)| email));
        }
        one_of(emails)
    }

    /// RFC 8474 §6. What is no id of this server's is that of no message.
    fn email_id(&self, id: &str) -> Condition {
        let id = EmailId::parse(self.own_id(id));
        one_of(id.map(|id| id.number()).into_iter().collect())
    }

    fn thread_id(&self, id: &str) -> Condition {
        match ThreadId::parse(self.own_id(id)) {
            Some(id) => Condition::Thread(id.number()),
            None => one_of(Vec::new()),
        }
    }

    /// Ids of other accounts have the account's in front.
    fn own_id<'i>(&self, id: &'i str) -> &'i str {
        let rest = id.strip_prefix(&self.account.to_string());
        rest.and_then(|rest| rest.strip_prefix('-')).unwrap_or(id)
    }
}

/// The key with its numbers made UIDs: what they are now is what they stand for from now on (RFC 5267 §4.3).
pub fn frozen(key: &SearchKey, selected: &Selected) -> SearchKey {
    let all = |keys: &[SearchKey]| keys.iter().map(|key| frozen(key, selected)).collect();
    let inner = |key: &SearchKey| Box::new(frozen(key, selected));
    match key {
        SearchKey::And(keys) => SearchKey::And(all(keys)),
        SearchKey::Or(a, b) => SearchKey::Or(inner(a), inner(b)),
        SearchKey::Not(key) => SearchKey::Not(inner(key)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(inner(key)),
        SearchKey::Sequence(set) => SearchKey::Uid(uids_of(places(set, selected), selected)),
        SearchKey::Uid(SequenceSet::Saved) => {
            let places = selected.by_uids(&SequenceSet::Saved).into_iter();
            SearchKey::Uid(uids_of(places, selected))
        }
        key => key.clone(),
    }
}

fn uids_of(places: impl Iterator<Item = Range<usize>>, selected: &Selected) -> SequenceSet {
    let list = selected.messages();
    let range = |place: Range<usize>| {
        let last = place.end.min(list.len()).checked_sub(1)?;
        let uid = |at: usize| Some(SequenceNumber::Number(list.get(at)?.0));
        (place.start <= last).then_some((uid(place.start)?, uid(last)?))
    };
    SequenceSet::Ranges(places.filter_map(range).collect())
}

/// Where the messages with these numbers are. Numbers that no message has are nowhere.
fn places<'s>(
    set: &'s SequenceSet,
    selected: &Selected,
) -> Box<dyn Iterator<Item = Range<usize>> + 's> {
    let SequenceSet::Ranges(ranges) = set else {
        return Box::new(selected.by_uids(set).into_iter());
    };
    let last = selected.exists();
    let number = move |number: SequenceNumber| match number {
        SequenceNumber::Number(number) => number,
        SequenceNumber::Star => last,
    };
    Box::new(ranges.iter().map(move |&(first, last)| {
        let (first, last) = (number(first), number(last));
        let (first, last) = (first.min(last), first.max(last));
        (first.max(1) as usize - 1)..last as usize
    }))
}

fn one_of(mut emails: Vec<u64>) -> Condition {
    emails.sort_unstable();
    emails.dedup();
    Condition::OneOf(emails)
}

fn before(at: i64) -> Span {
    Span {
        from: i64::MIN,
        before: at,
    }
}

fn on(at: i64) -> Span {
    Span {
        from: at,
        before: at.saturating_add(1),
    }
}

fn since(at: i64) -> Span {
    Span {
        from: at,
        before: i64::MAX,
    }
}

#[cfg(test)]
mod tests;
