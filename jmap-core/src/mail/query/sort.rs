//! The order of an Email/query (RFC 8621 §4.4.2).

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use jmap_types::{MethodError, mail::EmailSortKey, method::Comparator};

use super::{
    filter::{Plan, Seen},
    threads::Threads,
};
use crate::{
    Context,
    error::method_error,
    mail::{
        email::read,
        message::{EmailAddressGroup, Summary, subject},
        view::{EmailRow, View},
    },
};

/// What the view doesn't have of the emails that are to be sorted.
#[derive(Debug, Default)]
pub struct Keys {
    texts: HashMap<u64, TextKeys>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct TextKeys {
    from: String,
    to: String,
    subject: String,
}

pub fn depends_on_threads(key: &EmailSortKey) -> bool {
    keyword_of_threads(key).is_some()
}

fn keyword_of_threads(key: &EmailSortKey) -> Option<&String> {
    match key {
        EmailSortKey::AllInThreadHaveKeyword(keyword)
        | EmailSortKey::SomeInThreadHaveKeyword(keyword) => Some(keyword),
        _ => None,
    }
}

fn needs_summary(key: &EmailSortKey) -> bool {
    matches!(
        key,
        EmailSortKey::From | EmailSortKey::To | EmailSortKey::Subject
    )
}

impl Keys {
    /// Reads what the comparators need, for all emails that match.
    pub async fn gather(
        context: &Context,
        sort: &[Comparator<EmailSortKey>],
        plan: &Plan,
    ) -> Result<Self, MethodError> {
        const AT_ONCE: usize = 500;
        if !sort.iter().any(|comparator| needs_summary(&comparator.key)) {
            return Ok(Self {
                seen: plan.seen.clone(),
                ..Self::default()
            });
        }
        let emails = plan.candidates(context).await?;
        let mut texts = HashMap::with_capacity(emails.len());
        for chunk in emails.chunks(AT_ONCE) {
            let hashes: Vec<_> = chunk.iter().map(|(_, blob)| *blob).collect();
            let summaries = read::summaries_in_passing(&context.core, &hashes)
                .await
                .map_err(method_error)?;
            for ((id, _), summary) in chunk.iter().zip(summaries) {
                texts.insert(
                    *id,
                    summary.as_deref().map(TextKeys::of).unwrap_or_default(),
                );
            }
            tokio::task::yield_now().await;
        }
        let seen = plan.seen.clone();
        Ok(Self { texts, seen })
    }

    /// `ids` come in the order of (received, id).
    pub fn sort(&self, view: &View, sort: &[Comparator<EmailSortKey>], ids: &mut Vec<u64>) {
        match sort {
            [] => ids.reverse(),
            [one] if one.key == EmailSortKey::ReceivedAt => {
                if !one.is_ascending {
                    ids.reverse();
                }
            }
            _ => {
                let mut rows: Vec<(u64, &EmailRow)> = ids
                    .iter()
                    .filter_map(|&id| Some((id, view.email(id)?)))
                    .collect();
                let keywords = sort.iter().filter_map(|c| keyword_of_threads(&c.key));
                let threads = Threads::count(view, &self.seen, keywords.cloned());
                rows.sort_by(|a, b| self.compare(view, &threads, sort, *a, *b));
                *ids = rows.into_iter().map(|(id, _)| id).collect();
            }
        }
    }

    fn compare(
        &self,
        view: &View,
        threads: &Threads,
        sort: &[Comparator<EmailSortKey>],
        a: (u64, &EmailRow),
        b: (u64, &EmailRow),
    ) -> Ordering {
        for comparator in sort {
            let ordering = self.compare_by(view, threads, comparator, a, b);
            if ordering != Ordering::Equal {
                return if comparator.is_ascending {
                    ordering
                } else {
                    ordering.reverse()
                };
            }
        }
        (b.1.received_at, b.0).cmp(&(a.1.received_at, a.0))
    }

    fn compare_by(
        &self,
        view: &View,
        threads: &Threads,
        comparator: &Comparator<EmailSortKey>,
        (id_a, a): (u64, &EmailRow),
        (id_b, b): (u64, &EmailRow),
    ) -> Ordering {
        let collation = comparator.collation.as_deref();
        let text = |of: fn(&TextKeys) -> &str| {
            let key = |id: u64| self.texts.get(&id).map(of).unwrap_or_default();
            crate::mail::mailbox::collate(collation, key(id_a), key(id_b))
        };
        // RFC 8621 §4.4.2: what has the keyword is greater than what hasn't.
        match &comparator.key {
            EmailSortKey::ReceivedAt => a.received_at.cmp(&b.received_at),
            EmailSortKey::Size => a.size.cmp(&b.size),
            // §4.4.2: without a Date field, the time of arrival stands in.
            EmailSortKey::SentAt => a
                .sent_at()
                .unwrap_or(a.received_at)
                .cmp(&b.sent_at().unwrap_or(b.received_at)),
            EmailSortKey::From => text(|keys| &keys.from),
            EmailSortKey::To => text(|keys| &keys.to),
            EmailSortKey::Subject => text(|keys| &keys.subject),
            EmailSortKey::HasKeyword(keyword) => view
                .has_keyword(a, keyword)
                .cmp(&view.has_keyword(b, keyword)),
            EmailSortKey::AllInThreadHaveKeyword(keyword) => threads
                .all_have(a.thread, keyword)
                .cmp(&threads.all_have(b.thread, keyword)),
            EmailSortKey::SomeInThreadHaveKeyword(keyword) => threads
                .some_have(a.thread, keyword)
                .cmp(&threads.some_have(b.thread, keyword)),
        }
    }
}

impl TextKeys {
    fn of(summary: &Summary) -> Self {
        Self {
            from: first_address(&summary.from),
            to: first_address(&summary.to),
            // RFC 8621 §4.4.2: the base subject.
            subject: summary
                .subject
                .as_deref()
                .map(subject::base_subject)
                .unwrap_or_default(),
        }
    }
}

/// RFC 8621 §4.4.2: the name of the first address, or else the address itself.
fn first_address(list: &Option<Vec<EmailAddressGroup>>) -> String {
    let first = Summary::addresses(list).into_iter().flatten().next();
    first
        .map(|address| {
            address
                .name
                .filter(|name| !name.is_empty())
                .unwrap_or(address.email)
        })
        .unwrap_or_default()
}
