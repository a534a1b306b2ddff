//! What a session knows of its selected mailbox: which message has which sequence number.
//!
//! Holds: a number is the message's place in UID order; numbers change only when EXPUNGE or VANISHED is sent (RFC 9051 §2.3.1.2, §7.5.1); a message
//! is announced by EXISTS before anything else is said of it; what a session changed itself it isn't told again.
//! Other half: the client, which has the same picture; the core, whose changes are applied.

use std::{collections::HashMap, ops::Range, sync::Arc};

use jmap_core::{
    access::MailboxRights,
    inproc::imap_view::{MailboxDelta, MailboxKey, Opened, UidList, ViewRow},
};

use crate::command::{SequenceNumber, SequenceSet};
use crate::encode::{self, Code, Status, fetch};
use crate::search::contexts::Contexts;
use crate::translate::flags::{self, Rendered};

mod ranges;
mod recent;
#[cfg(test)]
mod tests;

pub use self::ranges::Ranges;
pub use self::recent::Recents;

/// Keywords that FLAGS lists. More can be in use; they are only not listed.
pub const KEYWORDS_LISTED_MAX: usize = 1_000;

/// How this client is told of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// CONDSTORE was enabled (RFC 7162 §3.1): MODSEQ in each FETCH.
    pub modseq: bool,
    /// QRESYNC was enabled (RFC 7162 §3.2.10): VANISHED in place of EXPUNGE.
    pub vanished: bool,
    /// UIDONLY (RFC 9586 §3): UIDFETCH and VANISHED.
    pub uid_only: bool,
    /// IMAP4rev1: RECENT, `\Recent`.
    pub recent: bool,
    /// Not told of flags that others have changed (RFC 5465).
    pub no_flags: bool,
}

/// What has been applied, for searches that are kept up to date (RFC 5267).
#[derive(Debug, Default)]
pub struct Applied {
    /// UIDs whose numbers are gone now.
    pub vanished: Vec<u32>,
    /// Messages that are there now.
    pub new: Vec<ViewRow>,
    /// Messages that had been there, and have changed.
    pub changed: Vec<ViewRow>,
}

/// A sequence number that no message has (RFC 9051 §9, `seq-number`): BAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchNumber;

/// The selected mailbox.
#[derive(Debug)]
pub struct Selected {
    pub key: MailboxKey,
    pub uid_validity: u32,
    pub rights: MailboxRights,
    /// EXAMINE, or no right to change anything.
    pub is_read_only: bool,
    /// The result of the last SEARCH RETURN (SAVE), by UID (RFC 5182).
    pub saved: Ranges,
    /// Searches that the client is kept up to date about.
    pub contexts: Contexts,
    /// UIDs that this session has filed, and wasn't told of yet.
    pub made: Ranges,
    /// Those that have a number: as long as none of them is gone, the core's own list, which costs a session nothing.
    messages: UidList,
    /// The account's sequence that this is a picture of.
    sequence: u64,
    highest_modseq: u64,
    /// Up to here the client was told everything, EXPUNGE too.
    told_modseq: u64,
    /// No message has come with this UID or a larger one.
    uid_next: u32,
    /// Messages that are gone, and still have their numbers.
    gone: Ranges,
    /// MODSEQ of messages, by email, that the client has been told of since `sequence`.
    told: HashMap<u64, u64>,
    recent: Ranges,
    /// Keywords that FLAGS has listed, sorted.
    keywords: Vec<Arc<str>>,
}

impl Selected {
    /// `recent_from`: see [`Recents`].
    pub fn new(key: MailboxKey, opened: Opened, is_read_only: bool, recent_from: u32) -> Selected {
        let messages = opened.messages;
        let last = messages.last().map_or(0, |(uid, _)| uid);
        let mut keywords = opened.keywords;
        keywords.retain(|keyword| !flags::is_system(keyword));
        keywords.truncate(KEYWORDS_LISTED_MAX);
        keywords.shrink_to_fit();
        let new = messages.count_before(recent_from);
        let recent = messages.range(new..messages.len());
        Selected {
            key,
            uid_validity: opened.status.uid_validity,
            rights: opened.rights,
            is_read_only,
            saved: Ranges::default(),
            contexts: Contexts::default(),
            made: Ranges::default(),
            recent: recent.map(|(uid, _)| uid).collect(),
            messages,
            sequence: opened.sequence,
            highest_modseq: opened.status.highest_modseq,
            told_modseq: opened.status.highest_modseq,
            uid_next: opened.status.uid_next.max(last.saturating_add(1)),
            gone: Ranges::default(),
            told: HashMap::new(),
            keywords,
        }
    }

    /// What the client has been told with EXISTS, less what it has been told with EXPUNGE.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn exists(&self) -> u32 {
        u32::try_from(self.messages.len()).unwrap_or(u32::MAX)
    }

    /// The sequence that [`jmap_core::Core::view_changes`] is to be asked from.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn highest_modseq(&self) -> u64 {
        self.highest_modseq
    }

    pub fn uid_next(&self) -> u32 {
        self.uid_next
    }

    /// In UID order: the n-th has the sequence number n + 1.
    pub fn messages(&self) -> &UidList {
        &self.messages
    }

    /// The emails in some places.
    pub fn emails(&self, places: Range<usize>) -> Vec<u64> {
        let messages = self.messages.range(places);
        messages.map(|(_, email)| email).collect()
    }

    /// Where a UID is in the list: its sequence number less 1.
    pub fn position(&self, uid: u32) -> Option<usize> {
        self.messages.position(uid)
    }

    /// The sequence number of a UID.
    pub fn number(&self, uid: u32) -> Option<u32> {
        self.position(uid).map(number_at)
    }

    pub fn is_recent(&self, uid: u32) -> bool {
        self.recent.contains(uid)
    }

    /// How many messages are recent.
    pub fn recent_count(&self) -> u32 {
        let ranges = self.recent.ranges().iter();
        let count: usize = ranges.map(|range| self.places_of(range).len()).sum();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The client has been told of this change, or has asked not to be.
    pub fn tell(&mut self, email: u64, modseq: u64) {
        self.told.insert(email, modseq);
    }

    /// Places of the messages with these sequence numbers, in their order, none twice.
    pub fn by_numbers(&self, set: &SequenceSet) -> Result<Vec<Range<usize>>, NoSuchNumber> {
        let SequenceSet::Ranges(ranges) = set else {
            return Ok(self.by_uid_ranges(self.saved.ranges()));
        };
        let last = self.exists();
        let number = |number: SequenceNumber| {
            let number = match number {
                SequenceNumber::Number(number) => number,
                SequenceNumber::Star => last,
            };
            (1..=last).contains(&number).then_some(number)
        };
        let ranges: Option<Vec<(u32, u32)>> = ranges
            .iter()
            .map(|&(first, last)| Some((number(first)?, number(last)?)))
            .collect();
        let ranges = Ranges::of(ranges.ok_or(NoSuchNumber)?);
        let place = |&(first, last): &(u32, u32)| first as usize - 1..last as usize;
        Ok(ranges.ranges().iter().map(place).collect())
    }

    /// Places of the messages with these UIDs, in their order, none twice. UIDs that aren't there are no error.
    pub fn by_uids(&self, set: &SequenceSet) -> Vec<Range<usize>> {
        match set {
            SequenceSet::Ranges(_) => self.by_uid_ranges(self.uid_ranges(set).ranges()),
            SequenceSet::Saved => self.by_uid_ranges(self.saved.ranges()),
        }
    }

    /// The UIDs that are meant, whether they are there or not. RFC 9051 §9: `*` is the last one that is there.
    pub fn uid_ranges(&self, set: &SequenceSet) -> Ranges {
        let SequenceSet::Ranges(ranges) = set else {
            return self.saved.clone();
        };
        let last = self.messages.last().map(|(uid, _)| uid);
        let uid = |number: SequenceNumber| match number {
            SequenceNumber::Number(number) => Some(number),
            SequenceNumber::Star => last,
        };
        let ranges = ranges.iter();
        Ranges::of(ranges.filter_map(|&(first, last)| Some((uid(first)?, uid(last)?))))
    }

    fn by_uid_ranges(&self, ranges: &[(u32, u32)]) -> Vec<Range<usize>> {
        let places = ranges.iter().map(|range| self.places_of(range));
        places.filter(|place| !place.is_empty()).collect()
    }

    fn places_of(&self, &(first, last): &(u32, u32)) -> Range<usize> {
        let end = match last.checked_add(1) {
            Some(after) => self.messages.count_before(after),
            None => self.messages.len(),
        };
        self.messages.count_before(first)..end
    }

    /// Makes it the picture of what is there now, and tells the client. Without `may_expunge`, messages that are gone keep their numbers until the
    /// next time.
    pub fn apply(
        &mut self,
        delta: MailboxDelta,
        manner: Manner,
        may_expunge: bool,
        recents: &Recents,
        out: &mut Vec<u8>,
    ) -> Applied {
        let mut applied = Applied::default();
        let difference = self.messages.difference(&delta.messages);
        for (uid, _) in difference.gone {
            self.gone.insert(uid);
        }
        let mut known = self.messages.len();
        if may_expunge {
            applied.vanished = self.expunge(manner, out);
            known = known.saturating_sub(applied.vanished.len());
        }
        if self.gone.is_empty() {
            self.messages = delta.messages;
        } else {
            for (uid, email) in difference.new {
                self.messages.insert(uid, email);
            }
        }
        let new_keywords = self.add_keywords(&delta.rows);
        let rights_changed = self.rights != delta.rights;
        self.rights = delta.rights;
        if self.messages.len() > known {
            encode::exists(out, self.exists());
        }
        if !self.is_read_only && delta.uid_next > self.uid_next {
            let first = recents.claim(self.key, delta.uid_next);
            let new = self.messages.range(known..self.messages.len());
            for (uid, _) in new.filter(|(uid, _)| *uid >= first) {
                self.recent.insert(uid);
            }
        }
        if self.messages.len() > known && manner.recent {
            encode::recent(out, self.recent_count());
        }
        if new_keywords {
            self.write_flags(out);
        }
        if new_keywords || rights_changed {
            self.write_permanent_flags(out);
        }
        self.sequence = delta.sequence;
        self.highest_modseq = self.highest_modseq.max(delta.highest_modseq);
        self.uid_next = self.uid_next.max(delta.uid_next);
        let mut rendered = Rendered::default();
        for row in delta.rows {
            match self.position(row.uid) {
                Some(at) if at >= known => applied.new.push(row),
                Some(at) => {
                    if !manner.no_flags && self.told.get(&row.email) != Some(&row.modseq) {
                        self.write_change(at, &row, manner, &mut rendered, out);
                    }
                    applied.changed.push(row);
                }
                None => {}
            }
        }
        self.told = HashMap::new();
        if self.gone.is_empty() {
            self.told_modseq = self.highest_modseq;
        } else if manner.vanished {
            // RFC 7162 §3.2: the MODSEQs that were just told are beyond what is not told yet; a client that begins from
            // them the next time would miss it.
            let code = Code::HighestModseq(self.told_modseq);
            encode::untagged(out, Status::Ok, Some(&code), "Some messages are gone");
        }
        applied
    }

    /// Says what is gone, whose numbers go with that: the list without it is to follow.
    fn expunge(&mut self, manner: Manner, out: &mut Vec<u8>) -> Vec<u32> {
        if self.gone.is_empty() {
            return Vec::new();
        }
        let vanished: Vec<u32> = std::mem::take(&mut self.gone).iter().collect();
        if manner.vanished || manner.uid_only {
            encode::vanished(out, false, vanished.iter().copied());
        } else {
            // From the end, so that no EXPUNGE changes the number of the next one.
            for number in vanished.iter().rev().filter_map(|&uid| self.number(uid)) {
                encode::expunge(out, number);
            }
        }
        // RFC 5182 §2.1: what is expunged is not in the saved result any more.
        if !self.saved.is_empty() {
            self.saved = self.saved.without(vanished.iter().copied());
        }
        vanished
    }

    /// Whether there are keywords that FLAGS hasn't listed.
    fn add_keywords(&mut self, rows: &[ViewRow]) -> bool {
        let mut changed = false;
        let mut last: Option<&Arc<[Arc<str>]>> = None;
        for row in rows {
            if last.is_some_and(|last| Arc::ptr_eq(last, &row.keywords)) {
                continue;
            }
            last = Some(&row.keywords);
            for keyword in row.keywords.iter().filter(|name| !flags::is_system(name)) {
                if self.keywords.len() >= KEYWORDS_LISTED_MAX {
                    return changed;
                }
                if let Err(at) = self.keywords.binary_search(keyword) {
                    self.keywords.insert(at, keyword.clone());
                    changed = true;
                }
            }
        }
        changed
    }

    /// `* 12 FETCH (FLAGS (\Seen) UID 4827 MODSEQ (624140003))`
    pub fn write_change(
        &self,
        at: usize,
        row: &ViewRow,
        manner: Manner,
        rendered: &mut Rendered,
        out: &mut Vec<u8>,
    ) {
        let message = match manner.uid_only {
            true => fetch::Message::Uid(row.uid),
            false => fetch::Message::Sequence(number_at(at)),
        };
        let mut response = fetch::Fetch::begin(out, message);
        // RFC 7162 §3.2.4: with QRESYNC, unasked for FETCH responses have the UID; to others it does no harm.
        if !manner.uid_only {
            response.uid(out, row.uid);
        }
        let is_recent = manner.recent && self.is_recent(row.uid);
        response.ready_flags(out, rendered.of(row, is_recent));
        if manner.modseq {
            response.modseq(out, row.modseq);
        }
        response.end(out);
    }

    /// `* FLAGS (...)`
    pub fn write_flags(&self, out: &mut Vec<u8>) {
        let keywords = self.keywords.iter().map(|name| flags::shown(name));
        encode::flags(out, flags::SYSTEM.iter().copied().chain(keywords));
    }

    /// `* OK [PERMANENTFLAGS (...)]`: what this client may change (RFC 4314 §5.1.1).
    pub fn write_permanent_flags(&self, out: &mut Vec<u8>) {
        let mut names: Vec<String> = Vec::new();
        if !self.is_read_only {
            let may = |right| self.rights.contains(right);
            let may_change = |flag: &&&str| match **flag {
                "\\Seen" => may(MailboxRights::SET_SEEN),
                "\\Deleted" => may(MailboxRights::REMOVE_ITEMS),
                _ => may(MailboxRights::SET_KEYWORDS),
            };
            names.extend(
                flags::SYSTEM
                    .iter()
                    .filter(may_change)
                    .map(|name| (*name).to_owned()),
            );
            if may(MailboxRights::SET_KEYWORDS) {
                names.extend(
                    self.keywords
                        .iter()
                        .map(|name| flags::shown(name).to_owned()),
                );
                names.push("\\*".to_owned());
            }
        }
        let code = Code::PermanentFlags(names);
        encode::untagged(out, Status::Ok, Some(&code), "What you can change");
    }
}

/// The sequence number of a place.
pub fn number_at(position: usize) -> u32 {
    u32::try_from(position).map_or(u32::MAX, |at| at.saturating_add(1))
}
