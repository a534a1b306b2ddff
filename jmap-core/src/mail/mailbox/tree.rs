//! All mailboxes of an account as a transaction sees them, and what concerns several of them.
//!
//! Holds: a mailbox is looked at as to what it changes alone: what was there before a rule, or before a limit was lowered, stays.
//! Other half: `plan` puts changes in, and takes those out again that don't fit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use jmap_types::{DataType, Id, SetError, SetErrorKind, mail::Mailbox};
use store::{Record as _, keys};
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    Limits,
    mail::{message::fold, records::MailboxRecord, write::MailTxn},
};

/// What the inbox is called in a path, in any letter case (RFC 9051 §5.1).
pub(super) const INBOX_NAME: &str = "INBOX";

/// A name as it is kept and compared: RFC 8621 §2 wants Net-Unicode (RFC 5198 §3: Normalization Form C).
pub(super) fn normal(name: &str) -> String {
    name.nfc().collect()
}

/// A name that is new to its mailbox, in its normal form.
pub(super) fn check_name(limits: &Limits, name: &str) -> Result<(), SetError> {
    // RFC 8621 §2, RFC 5198 §2: one line, without control characters.
    let is_wrong = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if name.trim().is_empty() || name.chars().any(is_wrong) {
        return Err(SetError::invalid_property(
            "name",
            "It must not be empty or have control characters or line separators.",
        ));
    }
    if name.len() as u64 > limits.max_size_mailbox_name {
        return Err(SetError::invalid_property("name", "It is too long."));
    }
    Ok(())
}

pub(super) fn no_parent() -> SetError {
    SetError::invalid_property("parentId", "There is no such mailbox.")
}

/// Mailboxes by number, and who is where.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    records: BTreeMap<u64, MailboxRecord>,
    /// By parent and name in its normal form. Old names may be the same in it.
    names: HashMap<(Option<u64>, String), BTreeSet<u64>>,
    roles: HashMap<String, BTreeSet<u64>>,
    children: HashMap<u64, BTreeSet<u64>>,
}

/// A place among the others that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'s> {
    pub id: u64,
    /// `None`: it is a new mailbox.
    pub before: Option<&'s MailboxRecord>,
    pub after: &'s MailboxRecord,
}

/// All mailboxes, by their numbers.
pub(super) async fn records(txn: &MailTxn) -> Result<Vec<(u64, MailboxRecord)>, store::Error> {
    let rows = txn
        .scan(keys::objects(txn.account(), DataType::Mailbox))
        .await?;
    let read = |(key, bytes): &(Bytes, Bytes)| {
        let (_, _, id) =
            keys::decode_object(key).ok_or_else(|| store::Error::bad_key("mailbox", key))?;
        Ok((id, MailboxRecord::from_bytes(key, bytes)?))
    };
    rows.iter().map(read).collect()
}

impl Tree {
    pub async fn read(txn: &MailTxn) -> Result<Self, store::Error> {
        let mut tree = Self::default();
        for (id, record) in records(txn).await? {
            tree.put(id, Some(record));
        }
        Ok(tree)
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn get(&self, id: u64) -> Option<&MailboxRecord> {
        self.records.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &MailboxRecord)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    /// Gives a mailbox another record; `None` takes it away.
    pub fn put(&mut self, id: u64, record: Option<MailboxRecord>) {
        if let Some(old) = self.records.remove(&id) {
            remove_from(&mut self.names, &(old.parent, normal(&old.name)), id);
            if let Some(role) = &old.role {
                remove_from(&mut self.roles, role, id);
            }
            if let Some(parent) = &old.parent {
                remove_from(&mut self.children, parent, id);
            }
        }
        let Some(record) = record else { return };
        let name = (record.parent, normal(&record.name));
        self.names.entry(name).or_default().insert(id);
        if let Some(role) = &record.role {
            self.roles.entry(role.clone()).or_default().insert(id);
        }
        if let Some(parent) = record.parent {
            self.children.entry(parent).or_default().insert(id);
        }
        self.records.insert(id, record);
    }

    pub fn with_role(&self, role: &str) -> impl Iterator<Item = u64> {
        self.roles.get(role).into_iter().flatten().copied()
    }

    /// Those with this name below a parent; INBOX is the inbox in any letter case (RFC 9051 §5.1).
    pub fn named(&self, parent: Option<u64>, name: &str) -> impl Iterator<Item = u64> {
        let known = self.names.get(&(parent, normal(name)));
        let is_inbox = parent.is_none() && name.eq_ignore_ascii_case(INBOX_NAME);
        let inbox = self.inbox_at_top().filter(move |_| is_inbox);
        known.into_iter().flatten().copied().chain(inbox)
    }

    fn inbox_at_top(&self) -> impl Iterator<Item = u64> {
        let is_at_top = move |id: &u64| self.get(*id).is_some_and(|record| record.parent.is_none());
        self.with_role("inbox").filter(is_at_top)
    }

    pub fn children(&self, id: u64) -> impl Iterator<Item = u64> {
        self.children.get(&id).into_iter().flatten().copied()
    }

    pub fn has_child(&self, id: u64) -> bool {
        self.children.contains_key(&id)
    }

    /// `parent`, its parent, and so on; bounded, should records be damaged.
    pub fn ancestors(&self, parent: Option<u64>) -> impl Iterator<Item = u64> {
        let up = move |id: &u64| self.get(*id).and_then(|record| record.parent);
        std::iter::successors(parent, up).take(self.records.len() + 1)
    }

    /// Whether it would be below itself with this parent.
    pub fn is_loop(&self, id: u64, parent: Option<u64>) -> bool {
        self.ancestors(parent).any(|above| above == id)
    }

    /// The levels below `id`, itself included; not counted past `max`.
    fn height(&self, id: u64, max: u64) -> u64 {
        let mut level = vec![id];
        let mut height = 0;
        while !level.is_empty() && height <= max {
            height += 1;
            let below = level.iter().filter_map(|id| self.children.get(id));
            level = below.flatten().copied().collect();
        }
        height
    }

    /// Name, parent and role, as seen by the other mailboxes. `sees`: which of those the caller does.
    pub fn check_place(
        &self,
        limits: &Limits,
        wanted: Wanted<'_>,
        sees: impl Fn(&MailboxRecord) -> bool,
    ) -> Result<(), SetError> {
        let Wanted { id, before, after } = wanted;
        let is_moved = before.is_none_or(|before| before.parent != after.parent);
        if is_moved {
            self.check_parent(limits, id, after.parent)?;
        }
        if is_moved || before.is_none_or(|before| before.name != after.name) {
            // Nor anything that reads like it.
            let is_inbox = after.parent.is_none() && fold(&after.name) == "inbox";
            let inbox = self.inbox_at_top().filter(|_| is_inbox);
            let mut others = self.named(after.parent, &after.name).chain(inbox);
            if let Some(existing) = others.find(|&other| other != id) {
                return Err(match self.get(existing).is_some_and(sees) {
                    true => SetError::already_exists(Id::<Mailbox>::new(existing).to_wire()),
                    false => SetError::new(SetErrorKind::AlreadyExists),
                });
            }
        }
        let role = after.role.as_deref();
        if let Some(role) = role
            && before.is_none_or(|before| before.role.as_deref() != Some(role))
            && self.with_role(role).any(|other| other != id)
        {
            return Err(SetError::invalid_property(
                "role",
                "Another mailbox has this role.",
            ));
        }
        Ok(())
    }

    fn check_parent(&self, limits: &Limits, id: u64, parent: Option<u64>) -> Result<(), SetError> {
        if parent.is_some_and(|parent| self.get(parent).is_none()) {
            return Err(no_parent());
        }
        if self.is_loop(id, parent) {
            return Err(SetError::invalid_property(
                "parentId",
                "A mailbox can't be below itself.",
            ));
        }
        let max = limits.max_mailbox_depth;
        let above = self.ancestors(parent).count() as u64;
        if above + self.height(id, max) > max {
            return Err(SetError::invalid_property(
                "parentId",
                "The mailboxes would be too deep.",
            ));
        }
        Ok(())
    }
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
