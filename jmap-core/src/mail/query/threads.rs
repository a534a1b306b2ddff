//! Which threads have keywords in all, or in some, of their emails (RFC 8621 §4.4.1, §4.4.2).
//! Holds: a view's emails are gone through once a call, however long its threads are and however many emails ask.
//! Other half: `filter` and `sort` ask.

use std::collections::HashMap;

use super::filter::Seen;
use crate::mail::view::View;

/// By thread: a number of emails.
type Counts = HashMap<u64, u32>;

#[derive(Debug, Default)]
pub struct Threads {
    emails: Counts,
    /// By keyword: the emails that have it.
    with: HashMap<String, Counts>,
}

impl Threads {
    /// Counts the emails that have these keywords, of those that are seen.
    pub fn count(view: &View, seen: &Seen, keywords: impl IntoIterator<Item = String>) -> Self {
        let mut threads = Self {
            emails: Counts::new(),
            with: keywords.into_iter().map(|k| (k, Counts::new())).collect(),
        };
        if threads.with.is_empty() {
            return threads;
        }
        for (_, row) in view.emails().filter(|(_, row)| seen.has(row)) {
            *threads.emails.entry(row.thread).or_default() += 1;
            for keyword in view.keywords(row) {
                if let Some(with) = threads.with.get_mut(&**keyword) {
                    *with.entry(row.thread).or_default() += 1;
                }
            }
        }
        threads
    }

    pub fn all_have(&self, thread: u64, keyword: &str) -> bool {
        self.emails.get(&thread).copied().unwrap_or(0) == self.emails_with(thread, keyword)
    }

    pub fn some_have(&self, thread: u64, keyword: &str) -> bool {
        self.emails_with(thread, keyword) > 0
    }

    fn emails_with(&self, thread: u64, keyword: &str) -> u32 {
        let with = self.with.get(keyword);
        with.and_then(|with| with.get(&thread))
            .copied()
            .unwrap_or(0)
    }
}
