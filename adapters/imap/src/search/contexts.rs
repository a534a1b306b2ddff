//! Searches that the client is kept up to date about (RFC 5267 §4.3).
//!
//! Holds: a client that puts ADDTO and REMOVEFROM into its result has what the search would find now. What is expunged is taken out of it
//! before EXPUNGE, while its number is that of the message still (§4.3.4).
//! Other half: `commands::changes` says what has happened.

use crate::command::SearchKey;
use crate::encode::search::{ESearch, esearch};
use crate::selected::{Ranges, Selected, number_at};

/// Searches of one session that are kept up to date.
pub const CONTEXTS_MAX: usize = 8;

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
}

impl Contexts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, tag: &str) -> bool {
        self.0.iter().any(|context| context.tag == tag)
    }

    pub fn is_full(&self) -> bool {
        self.0.len() >= CONTEXTS_MAX
    }

    pub fn add(&mut self, context: Context) {
        self.0.push(context);
    }

    pub fn cancel(&mut self, tags: &[String]) {
        self.0.retain(|context| !tags.contains(&context.tag));
    }

    pub fn keys(&self) -> impl Iterator<Item = &SearchKey> {
        self.0.iter().map(|context| &context.key)
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|context| context.tag.as_str())
    }

    /// Messages are gone: REMOVEFROM. `before`: the UIDs of the mailbox before they went.
    pub fn vanished(&mut self, uids: &[u32], before: &[u32], out: &mut Vec<u8>) {
        for context in &mut self.0 {
            let mut gone: Vec<u32> = uids.to_vec();
            gone.retain(|uid| context.found.contains(*uid));
            if gone.is_empty() {
                continue;
            }
            gone.sort_unstable();
            context.found = context.found.without(gone.iter().copied());
            let number = |uid: u32| before.binary_search(&uid).ok().map(number_at);
            let shown = context.shown(&gone, number);
            context.tell(&[], &shown, out);
        }
    }

    /// Messages came or changed: ADDTO, REMOVEFROM. `matching`: of each context, those among `uids` that it finds now; ascending, both.
    pub fn changed(
        &mut self,
        uids: &[u32],
        matching: &[Vec<u32>],
        selected: &Selected,
        out: &mut Vec<u8>,
    ) {
        for (context, matching) in self.0.iter_mut().zip(matching) {
            let is_in = |uid: &u32| matching.binary_search(uid).is_ok();
            let known = |uid: &u32| context.found.contains(*uid);
            let added: Vec<u32> = uids
                .iter()
                .copied()
                .filter(|u| is_in(u) && !known(u))
                .collect();
            let removed: Vec<u32> = uids
                .iter()
                .copied()
                .filter(|u| !is_in(u) && known(u))
                .collect();
            if added.is_empty() && removed.is_empty() {
                continue;
            }
            let left = context.found.without(removed.iter().copied());
            context.found = left.iter().chain(added.iter().copied()).collect();
            let number = |uid| selected.number(uid);
            let (added, removed) = (
                context.shown(&added, number),
                context.shown(&removed, number),
            );
            context.tell(&added, &removed, out);
        }
    }
}

impl Context {
    fn shown(&self, uids: &[u32], number: impl Fn(u32) -> Option<u32>) -> Vec<u32> {
        match self.uid {
            true => uids.to_vec(),
            false => uids.iter().filter_map(|uid| number(*uid)).collect(),
        }
    }

    /// §4.3.3: the position 0 leaves the place to the client, whose list is in mailbox order.
    fn tell(&self, added: &[u32], removed: &[u32], out: &mut Vec<u8>) {
        let data = ESearch {
            tag: Some(&self.tag),
            uid: self.uid,
            add_to: &[(0, added)],
            remove_from: &[(0, removed)],
            ..ESearch::default()
        };
        esearch(out, &data, false);
    }
}
