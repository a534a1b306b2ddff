//! What there should be: a mailbox by its id, an email by its Message-ID.
//!
//! Holds: what had an answer is in one state; what had none may be in several, until it is looked at.

use std::collections::{BTreeMap, BTreeSet};

/// An email as far as the model goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Email {
    /// Where JMAP sees it.
    pub mailboxes: BTreeSet<String>,
    /// Where it has `\Deleted`.
    pub deleted: BTreeSet<String>,
    pub keywords: BTreeSet<String>,
}

impl Email {
    /// Whether JMAP sees the same.
    pub fn is_as(&self, other: &Self) -> bool {
        self.mailboxes == other.mailboxes && self.keywords == other.keywords
    }

    /// Without a place there is no email.
    pub fn if_somewhere(self) -> Option<Self> {
        let is_somewhere = !self.mailboxes.is_empty() || !self.deleted.is_empty();
        is_somewhere.then_some(self)
    }
}

/// The states that something may be in; `None`: it isn't there.
pub type Possible<T> = BTreeSet<Option<T>>;

#[derive(Debug, Default)]
pub struct Model {
    /// By Message-ID, without brackets.
    pub emails: BTreeMap<String, Possible<Email>>,
    /// Names by id.
    pub mailboxes: BTreeMap<String, Possible<String>>,
    /// Names of mailboxes whose creation had no answer.
    pub unanswered_mailboxes: BTreeSet<String>,
}

/// What a call has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The server said no, for a reason that has nothing to do with faults.
    Refused(String),
    /// It may have been done or not.
    Unknown,
}

impl Model {
    pub fn email_is(&mut self, message_id: &str, state: Option<Email>) {
        self.emails
            .insert(message_id.to_owned(), BTreeSet::from([state]));
    }

    pub fn email_may_be(&mut self, message_id: &str, state: Option<Email>) {
        let possible = self.emails.entry(message_id.to_owned());
        possible
            .or_insert_with(|| BTreeSet::from([None]))
            .insert(state);
    }

    /// The emails that are there for sure.
    pub fn known_emails(&self) -> Vec<(String, Email)> {
        let sure = |(id, possible): (&String, &Possible<Email>)| match possible.first() {
            Some(Some(email)) if possible.len() == 1 => Some((id.clone(), email.clone())),
            _ => None,
        };
        self.emails.iter().filter_map(sure).collect()
    }

    /// The mailboxes that are there for sure, with their names.
    pub fn known_mailboxes(&self) -> Vec<(String, String)> {
        let sure = |(id, possible): (&String, &Possible<String>)| match possible.first() {
            Some(Some(name)) if possible.len() == 1 => Some((id.clone(), name.clone())),
            _ => None,
        };
        self.mailboxes.iter().filter_map(sure).collect()
    }
}
