//! SORT (RFC 5256 §3, RFC 5957): messages in another order.
//!
//! Holds: what is equal by all keys stays in the order in which it was given, whichever way the keys go.
//! Other half: `keys`.

use std::cmp::Ordering;

use store::search::casemap;

use super::keys::Message;
use crate::{
    Caller, Core,
    inproc::imap_view::{MailboxKey, ViewError},
    mail::message::{EmailAddressGroup, Summary, subject},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub by: SortBy,
    pub is_reverse: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    Arrival,
    Date,
    Size,
    /// The base subject.
    Subject,
    /// The part before the `@` of the first address.
    From,
    To,
    Cc,
    /// The name of the first address, or the address (RFC 5957).
    DisplayFrom,
    DisplayTo,
}

impl SortBy {
    fn is_text(self) -> bool {
        !matches!(self, SortBy::Arrival | SortBy::Date | SortBy::Size)
    }
}

impl Core {
    /// The emails that are in the mailbox, sorted.
    pub async fn view_sort(
        &self,
        who: &Caller,
        key: MailboxKey,
        emails: &[u64],
        keys: &[SortKey],
    ) -> Result<Vec<u64>, ViewError> {
        let messages = self.view_sortable(who, key, emails).await?;
        let by_text: Vec<SortBy> = keys
            .iter()
            .map(|k| k.by)
            .filter(|by| by.is_text())
            .collect();
        let texts: Vec<Vec<String>> = match by_text.is_empty() {
            true => Vec::new(),
            false => {
                let read = |summary: Option<std::sync::Arc<Summary>>| {
                    let texts = by_text.iter().map(|by| match &summary {
                        Some(summary) => text_of(*by, summary),
                        None => String::new(),
                    });
                    texts.collect()
                };
                self.each_summary(&messages, read).await?
            }
        };
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_by(|&a, &b| compare(keys, &messages, &texts, a, b));
        let sorted = order.into_iter().filter_map(|at| messages.get(at));
        Ok(sorted.map(|message| message.email).collect())
    }
}

fn compare(
    keys: &[SortKey],
    messages: &[Message],
    texts: &[Vec<String>],
    a: usize,
    b: usize,
) -> Ordering {
    let (Some(left), Some(right)) = (messages.get(a), messages.get(b)) else {
        return Ordering::Equal;
    };
    let mut text_at = 0;
    for key in keys {
        let order = match key.by {
            SortBy::Arrival => left.received_at.cmp(&right.received_at),
            SortBy::Date => left.sent_at.cmp(&right.sent_at),
            SortBy::Size => left.size.cmp(&right.size),
            _ => {
                let text = |at: usize| texts.get(at).and_then(|texts| texts.get(text_at));
                let order = text(a).cmp(&text(b));
                text_at += 1;
                order
            }
        };
        let order = match key.is_reverse {
            true => order.reverse(),
            false => order,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn text_of(by: SortBy, summary: &Summary) -> String {
    match by {
        SortBy::Arrival | SortBy::Date | SortBy::Size => String::new(),
        SortBy::Subject => {
            let subject = summary.subject.as_deref().unwrap_or_default();
            casemap(&subject::base_subject(subject))
        }
        SortBy::From => casemap(&first_mailbox(&summary.from)),
        SortBy::To => casemap(&first_mailbox(&summary.to)),
        SortBy::Cc => casemap(&first_mailbox(&summary.cc)),
        SortBy::DisplayFrom => casemap(&first_display(&summary.from)),
        SortBy::DisplayTo => casemap(&first_display(&summary.to)),
    }
}

/// addr-mailbox of the first address structure of the ENVELOPE: of a group, that is its name (RFC 9051 §7.5.2).
fn first_mailbox(groups: &Option<Vec<EmailAddressGroup>>) -> String {
    let Some(group) = groups.iter().flatten().next() else {
        return String::new();
    };
    if let Some(name) = &group.name {
        return name.clone();
    }
    let email = group
        .addresses
        .first()
        .map(|address| address.email.as_str());
    let email = email.unwrap_or_default();
    email
        .rsplit_once('@')
        .map_or(email, |(mailbox, _)| mailbox)
        .to_owned()
}

/// RFC 5957 §3.
fn first_display(groups: &Option<Vec<EmailAddressGroup>>) -> String {
    let Some(group) = groups.iter().flatten().next() else {
        return String::new();
    };
    if let Some(name) = &group.name {
        return name.clone();
    }
    let Some(address) = group.addresses.first() else {
        return String::new();
    };
    let name = address.name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| address.email.clone())
}
