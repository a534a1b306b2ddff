//! What was found -> SEARCH, SORT and ESEARCH (RFC 9051 §7.3.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 9394).
//!
//! Holds: sync and pure.
//! Other half: `encode::search` writes it; `commands::search` asks the core.

pub mod contexts;
#[cfg(test)]
mod tests;

use crate::command::SearchReturn;
use crate::encode::search::{self, ESearch};

/// A message that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    pub uid: u32,
    /// Its sequence number, or its UID if that is what was asked for.
    pub shown: u32,
    pub modseq: u64,
}

/// RETURN, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
    pub update: bool,
    pub partial: Option<(i64, i64)>,
    /// RETURN was given, or is the only way of this version: the answer is ESEARCH.
    pub is_extended: bool,
}

impl Returns {
    /// RFC 9051 §6.4.4: with IMAP4rev2, nothing said is ALL.
    pub fn new(returns: Option<&[SearchReturn]>, rev2: bool) -> Returns {
        let mut all = Returns {
            all: returns.is_none() || returns == Some(&[]),
            is_extended: returns.is_some() || rev2,
            ..Returns::default()
        };
        for one in returns.unwrap_or_default() {
            match one {
                SearchReturn::Min => all.min = true,
                SearchReturn::Max => all.max = true,
                SearchReturn::All => all.all = true,
                SearchReturn::Count => all.count = true,
                SearchReturn::Save => all.save = true,
                SearchReturn::Update => all.update = true,
                SearchReturn::Partial(first, last) => all.partial = Some((*first, *last)),
                // RFC 5267 §4.2: a hint.
                SearchReturn::Context => {}
            }
        }
        all
    }

    /// RFC 5182 §2.1: SAVE alone has no untagged answer.
    pub fn is_silent(&self) -> bool {
        let asked = self.min || self.max || self.all || self.count || self.partial.is_some();
        self.save && !asked
    }

    /// The messages that an item names: those that are in the answer, and that SAVE keeps (RFC 5182 §2.4, RFC 9394 §3.2).
    fn named<'h>(&self, hits: &'h [Hit]) -> Vec<&'h Hit> {
        let asked = self.min || self.max || self.partial.is_some();
        if self.all || self.count || !asked {
            return hits.iter().collect();
        }
        let mut named: Vec<&Hit> = Vec::new();
        named.extend(hits.first().filter(|_| self.min));
        if let Some(range) = self.partial {
            named.extend(within(range, hits));
        }
        named.extend(hits.last().filter(|_| self.max));
        named
    }

    /// What `$` is after it: UIDs, ascending.
    pub fn saved(&self, hits: &[Hit]) -> Vec<u32> {
        let mut uids: Vec<u32> = self.named(hits).into_iter().map(|hit| hit.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        uids
    }

    /// RFC 4731 §3.2: the highest of the messages that are named.
    fn modseq(&self, hits: &[Hit]) -> Option<u64> {
        self.named(hits).into_iter().map(|hit| hit.modseq).max()
    }
}

/// The hits in a range of RFC 9394 §3.1: 1 is the first, -1 the last.
fn within((a, b): (i64, i64), hits: &[Hit]) -> &[Hit] {
    let count = i64::try_from(hits.len()).unwrap_or(i64::MAX);
    let place = |at: i64| match at < 0 {
        true => count.saturating_add(at),
        false => at - 1,
    };
    let (first, last) = (place(a).min(place(b)), place(a).max(place(b)));
    let start = usize::try_from(first.clamp(0, count)).unwrap_or(0);
    let end = usize::try_from(last.saturating_add(1).clamp(0, count)).unwrap_or(0);
    hits.get(start..end.max(start)).unwrap_or_default()
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    pub tag: &'a str,
    pub uid: bool,
    pub returns: &'a Returns,
    /// In the order of the answer.
    pub hits: &'a [Hit],
    /// MODSEQ was among the keys.
    pub has_modseq: bool,
    /// RFC 7377 §2.1
    pub mailbox: Option<(&'a str, u32)>,
    pub utf8: bool,
}

/// Which response an answer without RETURN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    Search,
    Sort,
}

impl Answer<'_> {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>, plain: Plain) {
        let shown: Vec<u32> = self.hits.iter().map(|hit| hit.shown).collect();
        let returns = self.returns;
        let modseq = self.has_modseq.then(|| returns.modseq(self.hits)).flatten();
        if !returns.is_extended {
            match plain {
                Plain::Search => search::search(out, &shown, modseq),
                Plain::Sort => search::sort(out, &shown, modseq),
            }
            return;
        }
        if returns.is_silent() {
            return;
        }
        let partial: Option<((i64, i64), Vec<u32>)> = returns.partial.map(|range| {
            let hits = within(range, self.hits);
            (range, hits.iter().map(|hit| hit.shown).collect())
        });
        let data = ESearch {
            tag: Some(self.tag),
            mailbox: self.mailbox,
            uid: self.uid,
            min: shown.first().copied().filter(|_| returns.min),
            max: shown.last().copied().filter(|_| returns.max),
            count: returns
                .count
                .then(|| u32::try_from(shown.len()).unwrap_or(u32::MAX)),
            all: if returns.all { &shown } else { &[] },
            partial: partial
                .as_ref()
                .map(|(range, numbers)| (*range, numbers.as_slice())),
            modseq,
            ..ESearch::default()
        };
        search::esearch(out, &data, self.utf8);
    }
}
