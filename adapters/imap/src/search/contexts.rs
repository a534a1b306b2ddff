//! Searches that the client is kept up to date about (RFC 5267 §4.3).
//!
//! Holds: a client that puts ADDTO and REMOVEFROM into its result has what the search would find now. What is expunged is taken out of it
//! before EXPUNGE, while its number is that of the message still (§4.3.4).
//! Other half: `commands::changes` says what has happened.

use jmap_core::inproc::imap_view::{SortKey, UidList};

use crate::command::{FetchItem, SearchKey};
use crate::encode::search::{ESearch, esearch};
use crate::selected::{Ranges, Selected, number_at};

/// Searches of one session that are kept up to date.
pub const CONTEXTS_MAX: usize = 8;
/// Messages of a sorted one.
pub const SORTED_MESSAGES_MAX: usize = 100_000;

/// Of a selected mailbox.
#[derive(Clone, Debug, Default)]
pub struct Contexts(Vec<Context>);

#[derive(Clone, Debug)]
pub struct Context {
    pub tag: String,
    /// Told in UIDs.
    pub uid: bool,
    /// Without sequence numbers.
    pub key: SearchKey,
    /// UIDs of what the client knows to be found.
    pub found: Ranges,
    /// Of a SORT.
    pub sorted: Option<Sorted>,
    /// What is shown of a message that comes and is found (RFC 5465 §7).
    pub items: Vec<FetchItem>,
}

/// The result of a SORT: all of `found`, in its order.
#[derive(Clone, Debug)]
pub struct Sorted {
    pub keys: Vec<SortKey>,
    pub uids: Vec<u32>,
}

/// What becomes different in a result.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// UIDs, each with its place in a sorted result when those before it have been put in: 1 is the first. 0: it isn't sorted.
    pub added: Vec<(u32, u32)>,
    pub removed: Vec<u32>,
}

impl Contexts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|context| context.tag == tag)
    }

    /// Whether there is room for one more, of a search that finds so many messages.
    pub fn has_room(&self, is_sorted: bool, messages: usize) -> bool {
        self.0.len() < CONTEXTS_MAX && !(is_sorted && messages > SORTED_MESSAGES_MAX)
    }

    pub fn add(&mut self, context: Context) {
        self.0.push(context);
    }

    pub fn cancel(&mut self, tags: &[String]) {
        self.0.retain(|context| !tags.contains(&context.tag));
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Context> {
        self.0.iter_mut()
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|context| context.tag.as_str())
    }

    /// Messages are gone: REMOVEFROM. `before`: the messages of the mailbox before they went.
    pub fn vanished(&mut self, uids: &[u32], before: &UidList, out: &mut Vec<u8>) {
        for context in &mut self.0 {
            let mut gone: Vec<u32> = uids.to_vec();
            gone.retain(|uid| context.found.contains(*uid));
            if gone.is_empty() {
                continue;
            }
            let number = |uid: u32| before.position(uid).map(number_at);
            context.remove(gone, number, out);
        }
    }
}

impl Context {
    /// Messages came or changed: ADDTO, REMOVEFROM.
    pub fn change(&mut self, change: Change, selected: &Selected, out: &mut Vec<u8>) {
        let number = |uid: u32| selected.number(uid);
        if !change.removed.is_empty() {
            self.remove(change.removed, number, out);
        }
        if change.added.is_empty() {
            return;
        }
        let added = change.added.iter().map(|(_, uid)| *uid);
        self.found = self.found.iter().chain(added.clone()).collect();
        match &mut self.sorted {
            Some(sorted) => {
                for (position, uid) in &change.added {
                    let at = (*position as usize).saturating_sub(1);
                    sorted.uids.insert(at.min(sorted.uids.len()), *uid);
                }
                let places = change.added.iter().filter_map(|(position, uid)| {
                    let shown = if self.uid { *uid } else { number(*uid)? };
                    Some((*position, [shown]))
                });
                let places: Vec<(u32, [u32; 1])> = places.collect();
                self.tell(&lists(&places), &[], out);
            }
            None => {
                let shown = self.shown(&added.collect::<Vec<_>>(), number);
                self.tell(&[(0, &shown)], &[], out);
            }
        }
    }

    fn remove(
        &mut self,
        mut gone: Vec<u32>,
        number: impl Fn(u32) -> Option<u32>,
        out: &mut Vec<u8>,
    ) {
        gone.sort_unstable();
        self.found = self.found.without(gone.iter().copied());
        let Some(sorted) = &mut self.sorted else {
            let shown = self.shown(&gone, number);
            return self.tell(&[], &[(0, &shown)], out);
        };
        let is_gone = |uid: &u32| gone.binary_search(uid).is_ok();
        // From the end, so that none changes the place of the next one.
        let places = sorted.uids.iter().enumerate().rev();
        let places = places.filter(|(_, uid)| is_gone(uid));
        let places = places.filter_map(|(at, uid)| {
            let shown = if self.uid { *uid } else { number(*uid)? };
            Some((number_at(at), [shown]))
        });
        let places: Vec<(u32, [u32; 1])> = places.collect();
        sorted.uids.retain(|uid| !is_gone(uid));
        self.tell(&[], &lists(&places), out);
    }

    fn shown(&self, uids: &[u32], number: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
        match self.uid {
            true => uids.to_vec(),
            false => uids.iter().filter_map(|uid| number(*uid)).collect(),
        }
    }

    /// §4.3.3: the position 0 leaves the place to the client, whose list is in mailbox order.
    fn tell(&self, added: &[(u32, &[u32])], removed: &[(u32, &[u32])], out: &mut Vec<u8>) {
        let data = ESearch {
            tag: Some(&self.tag),
            uid: self.uid,
            add_to: added,
            remove_from: removed,
            ..ESearch::default()
        };
        esearch(out, &data, false);
    }
}

fn lists(places: &[(u32, [u32; 1])]) -> Vec<(u32, &[u32])> {
    places
        .iter()
        .map(|(at, numbers)| (*at, numbers.as_slice()))
        .collect()
}
