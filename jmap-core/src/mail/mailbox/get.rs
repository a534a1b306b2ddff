//! Mailbox/get and Mailbox/changes (RFC 8621 §2.1, §2.2).

use std::collections::BTreeSet;

use jmap_types::{
    DataType, Id, MethodError, Property, Value,
    mail::Mailbox,
    method::ChangesResponse,
    value::{Key, Map, MapExt, key, string},
};
use store::log::{self, Delta};

use crate::{
    Caller, Context,
    access::{self, MailboxRights, Standing},
    error::method_error,
    mail::{
        records::{Grant, MailboxRecord},
        view::{MailboxCounts, View},
    },
    object::{ChangesObject, GetObject, Properties},
};

/// The rights of RFC 8621 §2 by name, and which of ours each needs.
pub const RIGHTS: &[(Property, MailboxRights)] = &[
    (Property::MayReadItems, MailboxRights::READ_ITEMS),
    (Property::MayAddItems, MailboxRights::ADD_ITEMS),
    (Property::MayRemoveItems, MailboxRights::REMOVE_ITEMS),
    (Property::MaySetSeen, MailboxRights::SET_SEEN),
    (Property::MaySetKeywords, MailboxRights::SET_KEYWORDS),
    (Property::MayCreateChild, MailboxRights::CREATE_CHILD),
    (Property::MayRename, MailboxRights::RENAME),
    (Property::MayDelete, MailboxRights::DELETE),
    (Property::MaySubmit, MailboxRights::SUBMIT),
];

/// The right to give rights, which RFC 8621 doesn't have.
pub const MAY_SHARE: &str = "mayShare";

pub fn rights_value(rights: MailboxRights) -> Value {
    Value::Object(rights_map(rights))
}

fn rights_map(rights: MailboxRights) -> Map {
    let entries = RIGHTS
        .iter()
        .map(|(name, right)| (Key::Property(*name), rights.contains(*right).into()));
    entries.collect()
}

/// What the server alone sets, `id` apart.
pub fn server_set(counts: MailboxCounts, rights: MailboxRights) -> Map {
    Map::new()
        .with(Property::TotalEmails, counts.total_emails)
        .with(Property::UnreadEmails, counts.unread_emails)
        .with(Property::TotalThreads, counts.total_threads)
        .with(Property::UnreadThreads, counts.unread_threads)
        .with(Property::MyRights, rights_value(rights))
}

/// What the caller may do with a mailbox, the inbox's own rules included.
pub fn my_rights(
    who: &Caller,
    standing: Standing,
    id: u64,
    record: &MailboxRecord,
) -> MailboxRights {
    let rights = access::mailbox_rights(who, standing, record);
    if id == crate::mail::write::INBOX {
        // Mail arrives there: it must stay.
        return rights.without(MailboxRights::DELETE);
    }
    rights
}

/// Whether the mailbox is there at all for the caller.
pub fn is_visible(who: &Caller, standing: Standing, record: &MailboxRecord) -> bool {
    access::mailbox_rights(who, standing, record) != MailboxRights::default()
}

impl GetObject for Mailbox {
    const STATE: DataType = DataType::Mailbox;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "name",
        "parentId",
        "role",
        "sortOrder",
        "totalEmails",
        "unreadEmails",
        "totalThreads",
        "unreadThreads",
        "myRights",
        "isSubscribed",
    ];

    fn is_property(name: &str) -> bool {
        name == "shareWith" || Self::DEFAULT_PROPERTIES.contains(&name)
    }

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        let standing = context.standing()?;
        let view = context.account()?.view().await.map_err(method_error)?;
        let visible = view
            .mailboxes()
            .filter(|(_, row)| is_visible(&context.who, standing, &row.record));
        Ok(visible.map(|(id, _)| id).collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let standing = context.standing()?;
        let view = context.account()?.view().await.map_err(method_error)?;
        Ok(ids
            .iter()
            .map(|&id| to_value(&view, context, standing, id, properties))
            .collect())
    }
}

fn to_value(
    view: &View,
    context: &Context,
    standing: Standing,
    id: u64,
    properties: &Properties,
) -> Option<Value> {
    let record = &view.mailbox(id)?.record;
    let who = &context.who;
    if !is_visible(who, standing, record) {
        return None;
    }
    let counts = view.counts(id);
    let wire = |id: u64| Id::<Mailbox>::new(id).to_string();
    let rights = my_rights(who, standing, id, record);
    let mut map = Map::with_capacity(12).with(Property::Id, wire(id));
    for name in properties.iter() {
        let Some(property) = Property::from_name(name) else {
            continue;
        };
        let value: Value = match property {
            Property::Name => string(&record.name),
            Property::ParentId => visible_parent(view, who, standing, record).map(wire).into(),
            Property::Role => record.role.clone().into(),
            Property::SortOrder => record.sort_order.into(),
            Property::TotalEmails => counts.total_emails.into(),
            Property::UnreadEmails => counts.unread_emails.into(),
            Property::TotalThreads => counts.total_threads.into(),
            Property::UnreadThreads => counts.unread_threads.into(),
            Property::MyRights => rights_value(rights),
            Property::IsSubscribed => is_subscribed(who, standing, record).into(),
            Property::ShareWith if rights.contains(MailboxRights::SHARE) => share_with(record),
            Property::ShareWith => Value::Null,
            _ => continue,
        };
        map.insert_unchecked(Key::Property(property), value);
    }
    Some(Value::Object(map))
}

/// A guest who doesn't see the parent sees the mailbox at the top.
pub fn visible_parent(
    view: &View,
    who: &Caller,
    standing: Standing,
    record: &MailboxRecord,
) -> Option<u64> {
    let parent = record.parent?;
    let row = view.mailbox(parent)?;
    is_visible(who, standing, &row.record).then_some(parent)
}

/// A subscription is each user's own (RFC 8621 §2 `isSubscribed`).
pub fn is_subscribed(who: &Caller, standing: Standing, record: &MailboxRecord) -> bool {
    match standing {
        Standing::Owner => record.is_subscribed,
        Standing::Guest => record
            .share_with
            .iter()
            .any(|grant| grant.account == who.account.number() && grant.is_subscribed),
    }
}

fn share_with(record: &MailboxRecord) -> Value {
    let grants = granted(record);
    if grants.is_empty() {
        return Value::Null;
    }
    Value::Object(grants)
}

/// Who has which rights. A grant without rights is somebody's subscription, and nobody else's business.
pub fn granted(record: &MailboxRecord) -> Map {
    let grants = record.share_with.iter().filter(|grant| grant.rights != 0);
    let value = |rights: MailboxRights| {
        let mut value = rights_map(rights);
        value.insert(key(MAY_SHARE), rights.contains(MailboxRights::SHARE));
        Value::Object(value)
    };
    let entry = |grant: &Grant| {
        let account = jmap_types::AccountId::new(grant.account).to_string();
        (key(account), value(MailboxRights(grant.rights)))
    };
    grants.map(entry).collect()
}

/// Emails, and threads, of one answer that are looked at; with more, the answer ends earlier.
pub(super) const THREADS_MAX: usize = 10_000;

impl ChangesObject for Mailbox {
    /// `totalThreads` and `unreadThreads` of a mailbox change with emails of its threads that are elsewhere.
    async fn widen(context: &Context, since: u64, mut delta: Delta) -> Result<Delta, MethodError> {
        let account = context.account()?;
        let of = async |data_type: DataType, upto: u64, max: usize| {
            let engine = &context.core.engine;
            let changes = log::changes(engine, account.id, data_type, since, upto, max).await;
            changes.map_err(method_error)
        };
        let mut emails = of(DataType::Email, delta.upto, THREADS_MAX).await?;
        let threads = of(DataType::Thread, emails.upto, THREADS_MAX).await?;
        if threads.upto < delta.upto {
            emails = of(DataType::Email, threads.upto, usize::MAX).await?;
            delta = of(DataType::Mailbox, threads.upto, usize::MAX).await?;
        }
        let view = account.view().await.map_err(method_error)?;
        let of_emails = emails.created.iter().chain(&emails.updated);
        let of_emails = of_emails
            .filter_map(|&id| view.email(id))
            .map(|row| row.thread);
        let changed: BTreeSet<u64> = of_emails
            .chain(threads.created.iter().copied())
            .chain(threads.updated.iter().copied())
            .collect();
        let mut touched = BTreeSet::new();
        for id in changed.into_iter().flat_map(|thread| view.thread(thread)) {
            // What has changed since names its mailboxes itself, those where it was as well: they are in what follows.
            // (And some of them may be younger than `upto`.)
            let row = view.email(id).filter(|row| row.modseq <= delta.upto);
            let places = row.into_iter().flat_map(|row| row.places());
            touched.extend(places.map(|place| place.mailbox));
        }
        for ids in [&delta.created, &delta.updated, &delta.destroyed] {
            for id in ids {
                touched.remove(id);
            }
        }
        delta.updated.extend(touched);
        Ok(delta)
    }

    async fn restrict(context: &Context, mut delta: Delta) -> Result<Delta, MethodError> {
        let standing = context.standing()?;
        if standing == Standing::Owner {
            return Ok(delta);
        }
        let view = context.account()?.view().await.map_err(method_error)?;
        let visible = |id: &u64| {
            view.mailbox(*id)
                .is_some_and(|row| is_visible(&context.who, standing, &row.record))
        };
        // What can't be seen (any more) is, for this caller, gone.
        let (seen, gone): (Vec<u64>, Vec<u64>) = delta.updated.iter().partition(|id| visible(id));
        delta.updated = seen;
        delta.destroyed.extend(gone);
        delta.created.retain(visible);
        Ok(delta)
    }

    fn complete(response: &mut ChangesResponse, delta: &Delta) {
        let counts = [
            Property::TotalEmails,
            Property::UnreadEmails,
            Property::TotalThreads,
            Property::UnreadThreads,
        ];
        let only_counts = delta.counts_only && !delta.updated.is_empty();
        response.updated_properties = Some(only_counts.then(|| counts.to_vec()));
    }
}
