//! The filter of an Email/query, made ready: names are numbers, texts are lists of what was found.

use std::{collections::HashSet, sync::Arc};

use jmap_types::{
    MethodError, WireId,
    mail::{EmailCondition, Mailbox},
    method::Filter,
};
use store::{
    keys::BlobHash,
    search::{Field, Query, Scope},
};

use super::{search_error, threads::Threads};
use crate::{
    Context,
    access::{MailboxRights, Standing, mailbox_rights},
    error::method_error,
    mail::{
        access::is_email_visible,
        email::read,
        view::{EmailRow, View},
    },
};

/// A filter that the view alone can answer.
#[derive(Debug)]
pub struct Plan {
    root: Node,
    pub seen: Arc<Seen>,
}

/// What of the account a query looks at: a guest's looks at nothing that they don't see.
#[derive(Debug, Default)]
pub struct Seen {
    /// The mailboxes that may be read; `None`: all of them.
    mailboxes: Option<HashSet<u64>>,
}

impl Seen {
    async fn of(context: &Context) -> Result<Self, MethodError> {
        let standing = context.standing()?;
        if standing == Standing::Owner {
            return Ok(Self::default());
        }
        let view = context.account()?.view().await.map_err(method_error)?;
        let readable = view.mailboxes().filter(|(_, row)| {
            let rights = mailbox_rights(&context.who, standing, &row.record);
            rights.contains(MailboxRights::READ_ITEMS)
        });
        Ok(Self {
            mailboxes: Some(readable.map(|(id, _)| id).collect()),
        })
    }

    fn has_mailbox(&self, id: u64) -> bool {
        self.mailboxes.as_ref().is_none_or(|ids| ids.contains(&id))
    }

    pub fn has(&self, row: &EmailRow) -> bool {
        self.mailboxes.is_none() || row.places().any(|place| self.has_mailbox(place.mailbox))
    }
}

#[derive(Debug)]
enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Vec<Node>),
    InMailbox(u64),
    /// In some mailbox that is none of these.
    InOtherThan(Vec<u64>),
    Before(i64),
    After(i64),
    MinSize(u64),
    MaxSize(u64),
    HasKeyword(String),
    AllInThread(String),
    SomeInThread(String),
    HasAttachment(bool),
    /// One of these emails, in order.
    OneOf(Vec<u64>),
}

/// A mailbox id that isn't one names nothing.
pub fn mailbox_number(id: &WireId) -> u64 {
    id.as_id::<Mailbox>().map_or(0, |id| id.number())
}

pub fn depends_on_threads(filter: &Filter<EmailCondition>) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) | Filter::Not(filters) => {
            filters.iter().any(depends_on_threads)
        }
        Filter::Condition(condition) => {
            condition.all_in_thread_have_keyword.is_some()
                || condition.some_in_thread_have_keyword.is_some()
                || condition.none_in_thread_have_keyword.is_some()
        }
    }
}

impl Plan {
    pub async fn make(
        context: &Context,
        filter: Option<&Filter<EmailCondition>>,
    ) -> Result<Self, MethodError> {
        let root = match filter {
            Some(filter) => node(context, filter).await?,
            None => Node::And(Vec::new()),
        };
        let seen = Arc::new(Seen::of(context).await?);
        Ok(Self { root, seen })
    }

    /// The emails that match, in order of (received, id), oldest first.
    pub fn run(&self, view: &View, context: &Context) -> Result<Vec<u64>, MethodError> {
        let standing = context.standing()?;
        let mut keywords = Vec::new();
        self.root.keywords_of_threads(&mut keywords);
        let threads = Threads::count(view, &self.seen, keywords);
        let matches = |id: u64| {
            view.email(id).is_some_and(|row| {
                self.root.matches(view, &threads, &self.seen, id, row)
                    && (standing == Standing::Owner
                        || is_email_visible(view, &context.who, standing, row))
            })
        };
        if let Some(found) = self.root.smallest_list(view) {
            let mut ids: Vec<(i64, u64)> = found
                .iter()
                .filter(|&&id| matches(id))
                .filter_map(|&id| Some((view.email(id)?.received_at, id)))
                .collect();
            ids.sort_unstable();
            return Ok(ids.into_iter().map(|(_, id)| id).collect());
        }
        let list = match self.root.mailbox() {
            Some(id) => view
                .mailbox(id)
                .map(|row| row.by_received.as_slice())
                .unwrap_or_default(),
            None => view.by_received(),
        };
        Ok(list
            .iter()
            .map(|(_, id)| *id)
            .filter(|&id| matches(id))
            .collect())
    }

    /// The emails that match now, with their messages; for keys that have to be read before the list
    /// is sorted.
    pub async fn candidates(&self, context: &Context) -> Result<Vec<(u64, BlobHash)>, MethodError> {
        let view = context.account()?.view().await.map_err(method_error)?;
        let ids = self.run(&view, context)?.into_iter();
        Ok(ids
            .filter_map(|id| Some((id, view.email(id)?.blob)))
            .collect())
    }
}

impl Node {
    fn matches(
        &self,
        view: &View,
        threads: &Threads,
        seen: &Seen,
        id: u64,
        row: &EmailRow,
    ) -> bool {
        let is_match = |node: &Node| node.matches(view, threads, seen, id, row);
        match self {
            Node::And(nodes) => nodes.iter().all(is_match),
            Node::Or(nodes) => nodes.iter().any(is_match),
            Node::Not(nodes) => !nodes.iter().any(is_match),
            Node::InMailbox(mailbox) => {
                seen.has_mailbox(*mailbox) && row.places().any(|place| place.mailbox == *mailbox)
            }
            Node::InOtherThan(others) => row
                .places()
                .any(|place| seen.has_mailbox(place.mailbox) && !others.contains(&place.mailbox)),
            Node::Before(time) => row.received_at < *time,
            Node::After(time) => row.received_at >= *time,
            Node::MinSize(size) => u64::from(row.size) >= *size,
            Node::MaxSize(size) => u64::from(row.size) < *size,
            Node::HasKeyword(keyword) => view.has_keyword(row, keyword),
            Node::AllInThread(keyword) => threads.all_have(row.thread, keyword),
            Node::SomeInThread(keyword) => threads.some_have(row.thread, keyword),
            Node::HasAttachment(has) => row.has_attachment == *has,
            Node::OneOf(ids) => ids.binary_search(&id).is_ok(),
        }
    }

    /// The keywords that threads are asked for.
    fn keywords_of_threads(&self, found: &mut Vec<String>) {
        match self {
            Node::And(nodes) | Node::Or(nodes) | Node::Not(nodes) => {
                nodes
                    .iter()
                    .for_each(|node| node.keywords_of_threads(found));
            }
            Node::AllInThread(keyword) | Node::SomeInThread(keyword) => {
                found.push(keyword.clone());
            }
            _ => {}
        }
    }

    /// The shortest list that holds all matches, where text or a mailbox bounds them.
    fn smallest_list<'n>(&'n self, view: &View) -> Option<&'n [u64]> {
        let lists: Vec<&[u64]> = match self {
            Node::OneOf(ids) => vec![ids.as_slice()],
            Node::And(nodes) => nodes
                .iter()
                .filter_map(|node| node.smallest_list(view))
                .collect(),
            _ => Vec::new(),
        };
        let list = lists.into_iter().min_by_key(|ids| ids.len())?;
        let mailbox = self.mailbox().and_then(|id| view.mailbox(id));
        mailbox
            .is_none_or(|row| list.len() <= row.by_received.len())
            .then_some(list)
    }

    /// The mailbox that all matches are in.
    fn mailbox(&self) -> Option<u64> {
        match self {
            Node::InMailbox(id) => Some(*id),
            Node::And(nodes) => nodes.iter().find_map(Node::mailbox),
            _ => None,
        }
    }
}

/// Boxed, since a filter is as deep as the client likes (within `FILTER_DEPTH_MAX`).
fn node<'f>(
    context: &'f Context,
    filter: &'f Filter<EmailCondition>,
) -> futures_util::future::BoxFuture<'f, Result<Node, MethodError>> {
    Box::pin(async move {
        let all = async |filters: &'f [Filter<EmailCondition>]| {
            let mut nodes = Vec::with_capacity(filters.len());
            for filter in filters {
                nodes.push(node(context, filter).await?);
            }
            Ok::<_, MethodError>(nodes)
        };
        match filter {
            Filter::And(filters) => all(filters).await.map(Node::And),
            Filter::Or(filters) => all(filters).await.map(Node::Or),
            Filter::Not(filters) => all(filters).await.map(Node::Not),
            Filter::Condition(condition) => condition_node(context, condition).await,
        }
    })
}

async fn condition_node(
    context: &Context,
    condition: &EmailCondition,
) -> Result<Node, MethodError> {
    let mut nodes = Vec::new();
    if let Some(id) = &condition.in_mailbox {
        nodes.push(Node::InMailbox(mailbox_number(id)));
    }
    if let Some(ids) = &condition.in_mailbox_other_than {
        nodes.push(Node::InOtherThan(ids.iter().map(mailbox_number).collect()));
    }
    nodes.extend(condition.before.map(|date| Node::Before(date.0)));
    nodes.extend(condition.after.map(|date| Node::After(date.0)));
    nodes.extend(condition.min_size.map(Node::MinSize));
    nodes.extend(condition.max_size.map(Node::MaxSize));
    nodes.extend(condition.has_keyword.clone().map(Node::HasKeyword));
    nodes.extend(
        condition
            .not_keyword
            .clone()
            .map(|k| Node::Not(vec![Node::HasKeyword(k)])),
    );
    nodes.extend(
        condition
            .all_in_thread_have_keyword
            .clone()
            .map(Node::AllInThread),
    );
    nodes.extend(
        condition
            .some_in_thread_have_keyword
            .clone()
            .map(Node::SomeInThread),
    );
    let none = condition.none_in_thread_have_keyword.clone();
    nodes.extend(none.map(|k| Node::Not(vec![Node::SomeInThread(k)])));
    nodes.extend(condition.has_attachment.map(Node::HasAttachment));
    if let Some(query) = text_query(condition) {
        let account = context.account()?;
        let head = account.head().await.map_err(method_error)?;
        let found = context
            .core
            .search
            .search(account.id, query, &head)
            .await
            .map_err(search_error)?;
        nodes.push(Node::OneOf(found));
    }
    if let Some((name, text)) = &condition.header {
        nodes.push(Node::OneOf(
            with_header(context, name, text.as_deref()).await?,
        ));
    }
    Ok(match nodes.len() {
        1 => nodes.remove(0),
        _ => Node::And(nodes),
    })
}

/// All text conditions of one FilterCondition as one query.
pub fn text_query(condition: &EmailCondition) -> Option<Query> {
    let fields = [
        (Scope::Any, &condition.text),
        (Scope::Field(Field::From), &condition.from),
        (Scope::Field(Field::To), &condition.to),
        (Scope::Field(Field::Cc), &condition.cc),
        (Scope::Field(Field::Bcc), &condition.bcc),
        (Scope::Field(Field::Subject), &condition.subject),
        (Scope::Field(Field::Body), &condition.body),
    ];
    let mut queries: Vec<Query> = fields
        .into_iter()
        .filter_map(|(scope, text)| Some(Query::text(scope, text.as_ref()?)))
        .collect();
    match queries.len() {
        0 => None,
        1 => queries.pop(),
        _ => Some(Query::And(queries)),
    }
}

/// Emails with a header field of this name, and with `text` in its value (RFC 8621 §4.4.1 `header`).
///
/// Header fields aren't indexed: the messages themselves are read, in batches.
async fn with_header(
    context: &Context,
    name: &str,
    text: Option<&str>,
) -> Result<Vec<u64>, MethodError> {
    use crate::mail::message;

    let emails: Vec<(u64, BlobHash, u32)> = {
        let view = context.account()?.view().await.map_err(method_error)?;
        let rows = view.emails().map(|(id, row)| (id, row.blob, row.size));
        rows.collect()
    };
    let wanted: Option<Arc<str>> = text.map(|text| message::fold(text).into());
    let mut found = Vec::new();
    let mut rest = emails.as_slice();
    while !rest.is_empty() {
        let count = read::batch_len(rest.iter().map(|(_, _, size)| *size));
        let (batch, others) = rest.split_at(count.min(rest.len()));
        rest = others;
        let hashes: Vec<_> = batch.iter().map(|(_, blob, _)| *blob).collect();
        let blobs = read::blobs(&context.core, &hashes)
            .await
            .map_err(method_error)?;
        for ((id, ..), octets) in batch.iter().zip(blobs) {
            if octets.is_some_and(|octets| has_header(&octets, name, wanted.as_deref())) {
                found.push(*id);
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(found)
}

fn has_header(octets: &[u8], name: &str, wanted: Option<&str>) -> bool {
    use crate::mail::message::{Form, HeaderValue, fold, headers};
    let end = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
    headers::fields_of(octets, 0..end).iter().any(|field| {
        let named = octets.get(field.name_start as usize..field.name_end as usize);
        if !named.is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes())) {
            return false;
        }
        let Some(wanted) = wanted else {
            return true;
        };
        let raw = octets
            .get(field.value_start as usize..field.value_end as usize)
            .unwrap_or_default();
        match Form::Text.parse(raw) {
            HeaderValue::Text(text) => fold(&text).contains(wanted),
            _ => false,
        }
    })
}
