//! What has to be there, as clients were told.
//!
//! Holds: one client at a time changes a message, or its own keyword of one that all share; as long as a change has no answer,
//! both what was before and what is after it may be, and nobody changes that any more.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

/// A message in an account: the account's place in the list of them, and the Message-ID.
pub type Key = (usize, String);
/// A keyword of a message that all share.
pub type Mark = (usize, String, String);

/// Where a message is and what it has, in JMAP's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The mailbox's name.
    pub mailbox: String,
    pub keywords: BTreeSet<String>,
}

impl Place {
    pub fn new(mailbox: impl Into<String>) -> Place {
        Place {
            mailbox: mailbox.into(),
            keywords: BTreeSet::new(),
        }
    }

    pub fn with(mut self, keyword: &str, is_set: bool) -> Place {
        match is_set {
            true => self.keywords.insert(keyword.to_owned()),
            false => self.keywords.remove(keyword),
        };
        self
    }
}

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was said that it can't be now.
    Refused,
    /// The connection went away, or the server doesn't know itself.
    Unknown,
}

/// What a client has sent, by which it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    octets: usize,
    hash: [u8; 32],
}

impl Content {
    fn of(octets: &[u8]) -> Content {
        Content {
            octets: octets.len(),
            hash: *blake3::hash(octets).as_bytes(),
        }
    }
}

#[derive(Debug, Default)]
pub struct Model {
    /// By Message-ID.
    contents: Mutex<BTreeMap<String, Content>>,
    /// What may be; `None`: it isn't there.
    messages: Mutex<BTreeMap<Key, BTreeSet<Option<Place>>>>,
    marks: Mutex<BTreeMap<Mark, BTreeSet<bool>>>,
    violations: Mutex<Vec<String>>,
}

impl Model {
    /// A message is about to be sent.
    pub fn sends(&self, id: &str, octets: &[u8]) {
        let content = Content::of(octets);
        self.contents.lock().insert(id.to_owned(), content);
    }

    /// What is wrong with the octets of a message. Servers may put header fields in front of what was sent.
    pub fn compare_octets(&self, id: &str, octets: &[u8]) -> Option<String> {
        let Some(sent) = self.contents.lock().get(id).copied() else {
            return Some(format!("{id} was sent by nobody"));
        };
        let in_front = octets.len().checked_sub(sent.octets);
        let is_whole = in_front.is_some_and(|at| Content::of(&octets[at..]) == sent);
        let count = octets.len();
        (!is_whole).then(|| format!("{id} has {count} octets, and not those that were sent"))
    }

    /// A change begins: from now on both may be.
    pub fn begins(&self, key: &Key, before: Option<&Place>, after: Option<&Place>) {
        let may_be = [before.cloned(), after.cloned()].into_iter().collect();
        self.messages.lock().insert(key.clone(), may_be);
    }

    /// It has to be so.
    pub fn is(&self, key: &Key, place: Option<&Place>) {
        let is = [place.cloned()].into_iter().collect();
        self.messages.lock().insert(key.clone(), is);
    }

    pub fn mark_begins(&self, mark: &Mark) {
        let may_be = [false, true].into_iter().collect();
        self.marks.lock().insert(mark.clone(), may_be);
    }

    pub fn mark_is(&self, mark: &Mark, is_set: bool) {
        self.marks
            .lock()
            .insert(mark.clone(), [is_set].into_iter().collect());
    }

    /// Something that must not be was seen while it ran.
    pub fn violated(&self, what: String) {
        self.violations.lock().push(what);
    }

    pub fn seen_violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }

    pub fn count(&self) -> usize {
        self.messages.lock().len()
    }

    /// What is wrong with an account in which there is this: by Message-ID, all that have it. Messages that all share have the marks that
    /// they may have, and are told by `is_shared`.
    pub fn compare(
        &self,
        account: usize,
        found: &BTreeMap<String, Vec<Place>>,
        is_shared: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let messages = self.messages.lock();
        for (id, places) in found {
            if places.len() > 1 {
                wrong.push(format!("{id} is there {} times", places.len()));
            }
            if !is_shared(id) && !messages.contains_key(&(account, id.clone())) {
                wrong.push(format!("{id} is there, and nobody has sent it"));
            }
        }
        for ((of, id), may_be) in messages.iter().filter(|((of, _), _)| *of == account) {
            let place = found.get(id).and_then(|places| places.first()).cloned();
            if !may_be.contains(&place) {
                wrong.push(format!(
                    "{id} of account {of} is {place:?}, and not {may_be:?}"
                ));
            }
        }
        drop(messages);
        for ((of, id, keyword), may_be) in self.marks.lock().iter() {
            if *of != account {
                continue;
            }
            let Some(place) = found.get(id).and_then(|places| places.first()) else {
                wrong.push(format!("{id}, which all share, is not there"));
                continue;
            };
            let is_set = place.keywords.contains(keyword);
            if !may_be.contains(&is_set) {
                wrong.push(format!("{keyword} of {id} is {is_set}, and not {may_be:?}"));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_has_to_be_there_to_its_last_octet() {
        let model = Model::default();
        model.sends("id", b"Subject: a\r\n\r\ntext\r\n");
        let is_wrong = |octets: &[u8]| model.compare_octets("id", octets).is_some();
        assert!(!is_wrong(b"Subject: a\r\n\r\ntext\r\n"));
        assert!(!is_wrong(b"Received: x\r\nSubject: a\r\n\r\ntext\r\n"));
        assert!(is_wrong(b"Subject: a\r\n\r\ntexs\r\n"));
        assert!(is_wrong(b"Subject: a\r\n\r\ntext\r\n\r\n"));
        assert!(is_wrong(b"Subject: a\r\n\r\ntex"));
        assert!(is_wrong(b""));
        assert!(model.compare_octets("other", b"").is_some());
    }

    #[test]
    fn what_was_acknowledged_has_to_be_there_once() {
        let model = Model::default();
        let key = |id: &str| (0, id.to_owned());
        let inbox = Place::new("Inbox");
        model.is(&key("acknowledged"), Some(&inbox));
        model.is(&key("removed"), None);
        model.begins(&key("unknown"), None, Some(&inbox));
        model.mark_is(&(0, "shared".into(), "$w1".into()), true);
        let compare = |rows: &[(&str, usize, &Place)]| {
            let of = |(id, count, place): &(&str, usize, &Place)| {
                ((*id).to_owned(), vec![(*place).clone(); *count])
            };
            let found = rows.iter().map(of).collect();
            model.compare(0, &found, |id| id == "shared").len()
        };
        let marked = Place::new("Inbox").with("$w1", true);
        let good = [("acknowledged", 1, &inbox), ("shared", 1, &marked)];
        let with = |row| [&good[..], &[row]].concat();
        assert_eq!(compare(&good), 0);
        assert_eq!(compare(&with(("unknown", 1, &inbox))), 0);
        assert_eq!(compare(&with(("unknown", 2, &inbox))), 1);
        assert_eq!(compare(&with(("removed", 1, &inbox))), 1);
        assert_eq!(compare(&with(("invented", 1, &inbox))), 1);
        assert_eq!(compare(&good[1..]), 1, "lost");
        assert_eq!(compare(&good[..1]), 1, "a shared one is lost");
        let elsewhere = Place::new("Archive");
        assert_eq!(compare(&[("acknowledged", 1, &elsewhere), good[1]]), 1);
        assert_eq!(
            compare(&[good[0], ("shared", 1, &inbox)]),
            1,
            "a mark is lost"
        );
    }
}
