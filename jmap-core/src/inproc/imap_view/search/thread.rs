//! THREAD (RFC 5256 §3): ORDEREDSUBJECT and REFERENCES.
//!
//! Holds: each message is in one thread, once; no recursion, since senders choose how deep a thread is.
//! Other half: `keys`.

use std::collections::HashMap;

use store::search::casemap;

use crate::{
    Caller, Core,
    inproc::imap_view::{MailboxKey, ViewError},
    mail::message::{Summary, subject},
};

/// References of one message that are looked at: the last ones.
pub const REFERENCES_MAX: usize = 1000;
/// What is this deep gets no ancestors any more: nothing is walked without end for each message.
pub const ANCESTORS_MAX: usize = 2000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    OrderedSubject,
    References,
}

/// A message of a thread, each before its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadNode {
    /// 0 begins a thread. An answer is one deeper than what it answers.
    pub depth: u32,
    /// `None`: one that isn't there.
    pub email: Option<u64>,
}

/// What threading needs of a message. They are in the order of their sequence numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub email: u64,
    pub sent_at: i64,
    pub message_id: Option<String>,
    pub references: Vec<String>,
    /// The base subject, casemapped.
    pub subject: String,
    pub is_reply: bool,
}

impl Core {
    /// The emails that are in the mailbox, as threads.
    pub async fn view_thread(
        &self,
        who: &Caller,
        key: MailboxKey,
        emails: &[u64],
        algorithm: ThreadAlgorithm,
    ) -> Result<Vec<ThreadNode>, ViewError> {
        let messages = self.view_sortable(who, key, emails).await?;
        let read = |summary: Option<std::sync::Arc<Summary>>| {
            summary.map_or_else(Item::default, |summary| item(&summary))
        };
        let mut items = self.each_summary(&messages, read).await?;
        for (item, message) in items.iter_mut().zip(&messages) {
            item.email = message.email;
            item.sent_at = message.sent_at;
        }
        let thread = move || match algorithm {
            ThreadAlgorithm::OrderedSubject => by_subject(&items),
            ThreadAlgorithm::References => by_references(&items),
        };
        tokio::task::spawn_blocking(thread)
            .await
            .map_err(|_| ViewError::Unavailable)
    }
}

fn item(summary: &Summary) -> Item {
    let (base, is_reply) = subject::base_and_reply(summary.subject.as_deref().unwrap_or_default());
    let ids = |list: &Option<Vec<String>>| -> Vec<String> {
        let list = list.iter().flatten();
        list.filter(|id| id.contains('@'))
            .map(|id| normal_id(id))
            .collect()
    };
    let mut references = ids(&summary.references);
    if references.is_empty() {
        references = ids(&summary.in_reply_to);
        references.truncate(1);
    }
    references.drain(..references.len().saturating_sub(REFERENCES_MAX));
    Item {
        message_id: ids(&summary.message_id).into_iter().next(),
        references,
        subject: casemap(&base),
        is_reply,
        ..Item::default()
    }
}

/// Without quotes that make no difference.
fn normal_id(id: &str) -> String {
    let Some((left, right)) = id.rsplit_once('@') else {
        return id.to_owned();
    };
    let inner = left
        .strip_prefix('"')
        .and_then(|left| left.strip_suffix('"'));
    match inner {
        Some(inner) => {
            let mut plain = String::with_capacity(id.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                plain.extend(if c == '\\' { chars.next() } else { Some(c) });
            }
            format!("{plain}@{right}")
        }
        None => id.to_owned(),
    }
}

/// The first message of a subject, and below it all others.
pub(super) fn by_subject(items: &[Item]) -> Vec<ThreadNode> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&at| (items[at].sent_at, at));
    let mut threads: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for at in order {
        let thread = *known.entry(&items[at].subject).or_insert_with(|| {
            threads.push(Vec::new());
            threads.len() - 1
        });
        threads[thread].push(at);
    }
    // Threads came in the order of their first messages.
    let nodes = threads.into_iter().flat_map(|thread| {
        thread
            .into_iter()
            .enumerate()
            .map(|(place, at)| ThreadNode {
                depth: u32::from(place > 0),
                email: Some(items[at].email),
            })
    });
    nodes.collect()
}

pub(super) fn by_references(items: &[Item]) -> Vec<ThreadNode> {
    let mut forest = Forest::link(items);
    forest.prune();
    forest.sort_roots();
    forest.merge_subjects();
    forest.sort_all();
    forest.flat()
}

/// Messages, then dummies.
struct Forest<'i> {
    items: &'i [Item],
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl<'i> Forest<'i> {
    /// Steps 1 and 2.
    fn link(items: &'i [Item]) -> Self {
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        for (at, item) in items.iter().enumerate() {
            if let Some(id) = &item.message_id {
                by_id.entry(id).or_insert(at);
            }
        }
        let mut parents: Vec<Option<usize>> = vec![None; items.len()];
        for (at, item) in items.iter().enumerate() {
            let mut last: Option<usize> = None;
            for id in &item.references {
                let node = *by_id.entry(id).or_insert_with(|| {
                    parents.push(None);
                    parents.len() - 1
                });
                if let Some(parent) = last
                    && parents[node].is_none()
                    && may_link(&parents, parent, node)
                {
                    parents[node] = Some(parent);
                }
                last = Some(node);
            }
            parents[at] = None;
            if let Some(parent) = last.filter(|&parent| may_link(&parents, parent, at)) {
                parents[at] = Some(parent);
            }
        }
        let mut forest = Self {
            items,
            children: vec![Vec::new(); parents.len()],
            roots: Vec::new(),
        };
        for (node, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => forest.children[*parent].push(node),
                None => forest.roots.push(node),
            }
        }
        forest
    }

    fn is_dummy(&self, node: usize) -> bool {
        node >= self.items.len()
    }

    /// Step 3.
    fn prune(&mut self) {
        // Each node comes after its parent.
        let mut order = self.roots.clone();
        let mut next = 0;
        while let Some(&node) = order.get(next) {
            order.extend_from_slice(&self.children[node]);
            next += 1;
        }
        for &node in order.iter().rev() {
            let children = std::mem::take(&mut self.children[node]);
            for child in children {
                match self.is_dummy(child) {
                    true => {
                        let promoted = std::mem::take(&mut self.children[child]);
                        self.children[node].extend(promoted);
                    }
                    false => self.children[node].push(child),
                }
            }
        }
        let roots = std::mem::take(&mut self.roots);
        for root in roots {
            match self.children[root].as_slice() {
                [] if self.is_dummy(root) => {}
                [one] if self.is_dummy(root) => self.roots.push(*one),
                _ => self.roots.push(root),
            }
        }
    }

    /// What a node is sorted by. A dummy's children are in order.
    fn sort_key(&self, node: usize) -> (i64, usize) {
        let first = match self.is_dummy(node) {
            true => self.children[node].first().copied().unwrap_or(node),
            false => node,
        };
        (self.items.get(first).map_or(0, |item| item.sent_at), first)
    }

    fn sort_children(&mut self, node: usize) {
        let mut children = std::mem::take(&mut self.children[node]);
        children.sort_by_key(|&child| self.sort_key(child));
        self.children[node] = children;
    }

    /// Step 4.
    fn sort_roots(&mut self) {
        let mut roots = std::mem::take(&mut self.roots);
        for &root in roots.iter().filter(|&&root| self.items.len() <= root) {
            self.sort_children(root);
        }
        roots.sort_by_key(|&root| self.sort_key(root));
        self.roots = roots;
    }

    /// The message whose subject is the thread's.
    fn subject_of(&self, node: usize) -> &'i str {
        let (_, first) = self.sort_key(node);
        self.items.get(first).map_or("", |item| &item.subject)
    }

    fn is_reply(&self, node: usize) -> bool {
        self.items.get(node).is_some_and(|item| item.is_reply)
    }

    /// Step 5.
    fn merge_subjects(&mut self) {
        let mut table: HashMap<&'i str, usize> = HashMap::new();
        let roots = std::mem::take(&mut self.roots);
        // A dummy's subject is that of its first child before others come to it.
        let subjects: Vec<&'i str> = roots.iter().map(|&root| self.subject_of(root)).collect();
        for (&root, subject) in roots.iter().zip(&subjects).filter(|(_, s)| !s.is_empty()) {
            let known = table.entry(subject).or_insert(root);
            let replaces = self.is_dummy(root) || self.is_reply(*known) && !self.is_reply(root);
            if !self.is_dummy(*known) && replaces {
                *known = root;
            }
        }
        let mut is_root = vec![false; self.children.len()];
        roots.iter().for_each(|&root| is_root[root] = true);
        let mut all = roots.clone();
        for (&root, subject) in roots.iter().zip(&subjects) {
            let Some(known) = table.get_mut(subject) else {
                continue;
            };
            if *known == root || !is_root[root] {
                continue;
            }
            is_root[root] = false;
            match (self.is_dummy(*known), self.is_dummy(root)) {
                (true, true) => {
                    let children = std::mem::take(&mut self.children[root]);
                    self.children[*known].extend(children);
                }
                (true, false) => self.children[*known].push(root),
                (false, _) if self.is_reply(root) && !self.is_reply(*known) => {
                    self.children[*known].push(root);
                }
                (false, _) => {
                    is_root[*known] = false;
                    self.children.push(vec![*known, root]);
                    is_root.push(true);
                    *known = self.children.len() - 1;
                    all.push(*known);
                }
            }
        }
        self.roots = all.into_iter().filter(|&root| is_root[root]).collect();
    }

    /// Step 6.
    fn sort_all(&mut self) {
        for node in 0..self.children.len() {
            self.sort_children(node);
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_key(|&root| self.sort_key(root));
        self.roots = roots;
    }

    fn flat(&self) -> Vec<ThreadNode> {
        let mut nodes = Vec::with_capacity(self.items.len());
        let mut stack: Vec<(usize, u32)> = self.roots.iter().rev().map(|&root| (root, 0)).collect();
        while let Some((node, depth)) = stack.pop() {
            nodes.push(ThreadNode {
                depth,
                email: self.items.get(node).map(|item| item.email),
            });
            let children = self.children[node].iter().rev();
            stack.extend(children.map(|&child| (child, depth + 1)));
        }
        nodes
    }
}

/// Whether `parent` may become the parent: it is neither the child itself nor below it.
fn may_link(parents: &[Option<usize>], parent: usize, child: usize) -> bool {
    let mut at = Some(parent);
    for _ in 0..ANCESTORS_MAX {
        match at {
            None => return true,
            Some(node) if node == child => return false,
            Some(node) => at = parents[node],
        }
    }
    false
}
