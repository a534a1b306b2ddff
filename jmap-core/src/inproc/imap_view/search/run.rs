//! Searches: which of some messages meet a condition.
//!
//! Holds: the index and the view are asked of all messages, the summaries of those that are left open, and the messages
//! themselves last, some at a time; the future may be dropped between any two of them.
//! Other half: `condition`.

use std::sync::Arc;

use bytes::Bytes;
use store::{keys::BlobHash, search::Containing};

use super::condition::{Condition, Known, Leaf, Seen, Tree, compile};
use crate::{
    Caller, Core,
    inproc::imap_view::{
        MailboxKey, ViewError,
        read::{Target, readable},
    },
    mail::{
        email::read as emails,
        message::{
            Summary,
            everything::{Texts, each_text},
        },
        records::InMailbox,
        search,
        view::EmailRow,
    },
};

/// Messages that are looked at together.
const MESSAGES_PER_STEP: usize = 4096;
/// Summaries that are in memory together.
const SUMMARIES_PER_STEP: usize = 256;

/// A message that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub email: u64,
    pub modseq: u64,
}

/// A search, made ready.
struct Search {
    tree: Tree,
    leaves: Vec<Leaf>,
}

/// A message that nobody could tell of yet.
struct Open {
    /// Where it is among those of the step.
    at: usize,
    blob: BlobHash,
    size: u32,
    /// Of each leaf.
    known: Vec<Known>,
}

impl Core {
    /// The messages among `emails` that meet the condition, in their order. What isn't in the mailbox isn't found.
    pub async fn view_search(
        &self,
        who: &Caller,
        key: MailboxKey,
        emails: &[u64],
        condition: Condition,
    ) -> Result<Vec<Found>, ViewError> {
        let target = self.view_target(who, key)?;
        let mut leaves = Vec::new();
        let tree = compile(condition, &mut leaves);
        let search = Arc::new(Search { tree, leaves });
        let (answers, indexed) = self.ask_index(&target, &search).await?;
        let mut found = Vec::new();
        for emails in emails.chunks(MESSAGES_PER_STEP) {
            let mut step = vec![None; emails.len()];
            let asked = Asked {
                who,
                target: &target,
                key,
                search: &search,
                answers: &answers,
                indexed,
            };
            let mut open = asked.ask_view(emails, &mut step).await?;
            self.ask_summaries(&search, &mut open, &mut step).await?;
            self.ask_messages(&search, open, &mut step).await?;
            found.extend(
                step.into_iter()
                    .flatten()
                    .filter(|(_, is)| *is)
                    .map(|(f, _)| f),
            );
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    /// What the index knows of each leaf, as of which sequence of the account. `None`: nothing.
    async fn ask_index(
        &self,
        target: &Target,
        search: &Search,
    ) -> Result<(Vec<Option<Containing>>, u64), ViewError> {
        let account = target.account.id;
        let mut head = None;
        let mut answers = Vec::with_capacity(search.leaves.len());
        for leaf in &search.leaves {
            let mut answer: Option<Containing> = None;
            for (needle, place) in leaf.index_questions() {
                let head = match &head {
                    Some(head) => head,
                    None => head.insert(target.account.head().await?),
                };
                let asked = self.search.containing(account, needle, place, head).await;
                let Some(mut next) = asked.map_err(search_error)? else {
                    continue;
                };
                if !leaf.trusts_index() {
                    next.possible.append(&mut next.certain);
                    next.possible.sort_unstable();
                }
                if let Some(former) = &answer {
                    next.possible
                        .retain(|id| former.possible.binary_search(id).is_ok());
                }
                answer = Some(next);
            }
            answers.push(answer);
        }
        let indexed = head.map_or(0, |head| head.sequence);
        Ok((answers, indexed))
    }

    async fn ask_summaries(
        &self,
        search: &Search,
        open: &mut Vec<Open>,
        step: &mut [Option<(Found, bool)>],
    ) -> Result<(), ViewError> {
        let is_asked =
            |leaf: &Leaf| matches!(leaf, Leaf::Address(..) | Leaf::Subject(_) | Leaf::Sent(_));
        if open.is_empty() || !search.leaves.iter().any(is_asked) {
            return Ok(());
        }
        for some in open.chunks_mut(SUMMARIES_PER_STEP) {
            let hashes: Vec<BlobHash> = some.iter().map(|open| open.blob).collect();
            let summaries = emails::summaries_in_passing(self, &hashes).await?;
            for (open, summary) in some.iter_mut().zip(summaries) {
                let Some(summary) = summary else {
                    continue;
                };
                for (known, leaf) in open.known.iter_mut().zip(&search.leaves) {
                    *known = known.or_else(|| leaf.by_summary(&summary));
                }
            }
        }
        settle(search, open, step);
        Ok(())
    }

    async fn ask_messages(
        &self,
        search: &Arc<Search>,
        open: Vec<Open>,
        step: &mut [Option<(Found, bool)>],
    ) -> Result<(), ViewError> {
        let mut rest = open;
        while !rest.is_empty() {
            let count = emails::batch_len(rest.iter().map(|open| open.size));
            let others = rest.split_off(count.min(rest.len()));
            let batch = std::mem::replace(&mut rest, others);
            let hashes: Vec<BlobHash> = batch.iter().map(|open| open.blob).collect();
            let summaries = emails::summaries_in_passing(self, &hashes).await?;
            let octets = emails::blobs(self, &hashes).await?;
            let search = search.clone();
            let work = move || {
                let messages = summaries.into_iter().zip(octets);
                let found = batch
                    .into_iter()
                    .zip(messages)
                    .map(|(open, (summary, octets))| {
                        let is = match (summary, octets) {
                            (Some(summary), Some(octets)) => {
                                by_message(&search, &open, &summary, &octets)
                            }
                            _ => false,
                        };
                        (open.at, is)
                    });
                found.collect::<Vec<_>>()
            };
            // Many messages are much work: the network's threads are left alone.
            let found = tokio::task::spawn_blocking(work).await;
            for (at, is) in found.map_err(|_| ViewError::Unavailable)? {
                if let Some(Some((_, outcome))) = step.get_mut(at) {
                    *outcome = is;
                }
            }
        }
        Ok(())
    }
}

/// What the view and the index are asked.
struct Asked<'a> {
    who: &'a Caller,
    target: &'a Target,
    key: MailboxKey,
    search: &'a Search,
    /// Of the index, for each leaf. `None`: it can't tell.
    answers: &'a [Option<Containing>],
    /// The account's sequence that they are of.
    indexed: u64,
}

impl Asked<'_> {
    /// What is known of messages without reading any; returns those that are left open.
    async fn ask_view(
        &self,
        emails: &[u64],
        step: &mut [Option<(Found, bool)>],
    ) -> Result<Vec<Open>, ViewError> {
        let view = self.target.account.view().await?;
        readable(&view, self.who, self.target.standing, self.key)?;
        let mut open = Vec::new();
        for (at, (&email, outcome)) in emails.iter().zip(step).enumerate() {
            let Some(row) = view.any_email(email) else {
                continue;
            };
            let Some(place) = place_in(row, self.key.mailbox) else {
                continue;
            };
            let seen = Seen {
                view: &view,
                email,
                row,
                saved_at: place.saved_at,
                is_deleted: place.is_deleted,
            };
            let modseq = row.modseq;
            let value = self.search.tree.value(&mut |leaf| self.known(leaf, &seen));
            *outcome = Some((Found { email, modseq }, value == Some(true)));
            if value.is_none() {
                let leaves = 0..self.search.leaves.len();
                open.push(Open {
                    at,
                    blob: row.blob,
                    size: row.size,
                    known: leaves.map(|leaf| self.known(leaf, &seen)).collect(),
                });
            }
        }
        Ok(open)
    }

    fn known(&self, leaf: usize, seen: &Seen<'_>) -> Known {
        let of = self.search.leaves.get(leaf)?;
        of.by_view(seen).or_else(|| {
            // What JMAP doesn't see isn't indexed; what changed since the index was asked may have come back.
            if !seen.row.is_visible() || seen.row.modseq > self.indexed {
                return None;
            }
            let answer = self.answers.get(leaf)?.as_ref()?;
            if of.trusts_index() && answer.certain.binary_search(&seen.email).is_ok() {
                return Some(true);
            }
            answer
                .possible
                .binary_search(&seen.email)
                .is_err()
                .then_some(false)
        })
    }
}

/// Notes what became known, and keeps what is open still.
fn settle(search: &Search, open: &mut Vec<Open>, step: &mut [Option<(Found, bool)>]) {
    open.retain(|open| {
        let value = search
            .tree
            .value(&mut |at| open.known.get(at).copied().flatten());
        if let Some(is) = value
            && let Some(Some((_, outcome))) = step.get_mut(open.at)
        {
            *outcome = is;
        }
        value.is_none()
    });
}

fn by_message(search: &Search, open: &Open, summary: &Summary, octets: &Bytes) -> bool {
    let mut known = open.known.clone();
    for (known, leaf) in known.iter_mut().zip(&search.leaves) {
        *known = known
            .or_else(|| leaf.by_summary(summary))
            .or_else(|| leaf.by_header(octets, summary));
    }
    let mut texts = Reading { search, known };
    each_text(octets, summary, &mut texts);
    // What was not found in any text isn't there.
    let known = texts.known;
    let value = search
        .tree
        .value(&mut |at| Some(known.get(at).copied().flatten() == Some(true)));
    value == Some(true)
}

/// Looks for what is still open in the texts of a message.
struct Reading<'s> {
    search: &'s Search,
    known: Vec<Known>,
}

impl Reading<'_> {
    fn look(&mut self, text: &str, is_header: bool) {
        let mut folded = None;
        for (known, leaf) in self.known.iter_mut().zip(&self.search.leaves) {
            let needle = match leaf {
                Leaf::Text(needle) => needle,
                Leaf::Body(needle) if !is_header => needle,
                _ => continue,
            };
            if known.is_none() {
                let text = folded.get_or_insert_with(|| store::search::casemap(text));
                *known = needle.is_in_folded(text).then_some(true);
            }
        }
    }
}

impl Texts for Reading<'_> {
    fn header(&mut self, _name: &[u8], line: &str) {
        self.look(line, true);
    }

    fn body(&mut self, text: &str) {
        self.look(text, false);
    }

    fn wants(&self) -> (bool, bool) {
        let mut open = self.known.iter().zip(&self.search.leaves);
        let is_text = |leaf: &Leaf| matches!(leaf, Leaf::Text(_));
        let is_any = |leaf: &Leaf| matches!(leaf, Leaf::Text(_) | Leaf::Body(_));
        let header = open
            .clone()
            .any(|(known, leaf)| known.is_none() && is_text(leaf));
        let body = open.any(|(known, leaf)| known.is_none() && is_any(leaf));
        (header, body)
    }
}

/// Where an email is in a mailbox.
pub(super) fn place_in(row: &EmailRow, mailbox: u64) -> Option<&InMailbox> {
    row.all_places.iter().find(|place| place.mailbox == mailbox)
}

fn search_error(error: search::Error) -> ViewError {
    match error {
        search::Error::Store(error) => error.into(),
        search::Error::Index(error) => {
            tracing::error!(%error, "a search failed");
            ViewError::Failed
        }
        search::Error::Shared(error) => {
            tracing::error!(%error, "a search failed");
            ViewError::Unavailable
        }
        search::Error::Interrupted => ViewError::Unavailable,
    }
}
