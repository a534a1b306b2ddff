//! MailboxName and SubscriptionChange (RFC 5465 §5.4, §5.5).
//!
//! Holds: a mailbox whose name changes by that of one above it is not told of; nor is what the client itself has done.
//! Other half: `notify`, which knows what the client was told.

use std::collections::{BTreeSet, HashMap};

use jmap_core::inproc::imap_view::MailboxKey;

use super::{Known, tell_list, told_attributes};
use crate::encode::mailbox::Attribute;
use crate::out::Out;
use crate::translate::names::{Node, Tree};

/// What becomes of names and subscriptions.
pub struct Lists<'a> {
    pub before: &'a HashMap<MailboxKey, Known>,
    pub now: &'a HashMap<MailboxKey, Known>,
    /// What the client itself has changed.
    pub own: &'a [String],
}

impl Lists<'_> {
    pub fn tell(&self, out: &mut Out, tree: &Tree, utf8: bool) {
        let mut parents: BTreeSet<MailboxKey> = BTreeSet::new();
        let parent_of = |key: &MailboxKey, known: &Known| {
            let mailbox = known.place.0?;
            Some(MailboxKey { mailbox, ..*key })
        };
        let mut gone: Vec<&Known> = Vec::new();
        for (key, before) in self.before {
            if !self.now.contains_key(key) && !self.is_own(&before.name) {
                parents.extend(parent_of(key, before));
                gone.push(before);
            }
        }
        gone.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        for known in gone.into_iter().filter(|known| known.events.names) {
            tell_list(out, &known.name, &[Attribute::NonExistent], None, utf8);
        }
        let mut told: BTreeSet<MailboxKey> = BTreeSet::new();
        for node in tree.nodes() {
            let Some((key, now)) = self.of(node) else {
                continue;
            };
            let before = self.before.get(&key);
            if before.is_none() && !self.is_own(&now.name) {
                parents.extend(parent_of(&key, now));
            }
            if let Some(old_name) = self.is_told(before, now) {
                told.insert(key);
                tell_list(out, &now.name, &told_attributes(node), old_name, utf8);
            }
        }
        // §5.4: a mailbox that has got its first one below it, or lost its last one, is affected as well.
        for node in tree.nodes() {
            if let Some((key, now)) = self.of(node)
                && parents.contains(&key)
                && !told.contains(&key)
                && now.events.names
            {
                tell_list(out, &now.name, &told_attributes(node), None, utf8);
            }
        }
    }

    fn of(&self, node: &Node) -> Option<(MailboxKey, &Known)> {
        let key = node.mailbox.as_ref()?.key;
        Some((key, self.now.get(&key)?))
    }

    /// `Some`: it is told, with a former name if it has one.
    fn is_told<'k>(&self, before: Option<&'k Known>, now: &Known) -> Option<Option<&'k str>> {
        if self.is_own(&now.name) {
            return None;
        }
        let Some(before) = before else {
            let is_new = now.events.names || (now.is_subscribed && now.events.subscriptions);
            return is_new.then_some(None);
        };
        let events = before.events.and(now.events);
        if before.place != now.place && before.name != now.name && events.names {
            return Some(Some(&before.name));
        }
        let is_changed = before.is_subscribed != now.is_subscribed && events.subscriptions;
        is_changed.then_some(None)
    }

    /// Whether it is one of the client's own changes, or a level above.
    fn is_own(&self, name: &str) -> bool {
        self.own.iter().any(|own| {
            let rest = own.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}
