//! What a client says of a mailbox: all of it in a create, a patch in an update.
//!
//! Holds: what the server sets may be in a patch, if it is as it was (RFC 8620 §5.3).
//! Other half: `get` shows what is compared with here; `set` looks at what it comes to among the other mailboxes.

use jmap_types::{
    AccountId, Id, Property, SetError, Value,
    mail::Mailbox,
    patch,
    value::{Key, Map, MapExt, as_text, string},
};

use super::get::{self, RIGHTS};
use crate::{
    access::MailboxRights,
    mail::records::{Grant, MailboxRecord},
    object::is_same,
};

/// Roles of the IANA registry "IMAP Mailbox Name Attributes" that a mailbox can have (RFC 8621 §2).
pub(super) const ROLES: &[&str] = &[
    "all",
    "archive",
    "drafts",
    "flagged",
    "important",
    "inbox",
    "junk",
    "memos",
    "scheduled",
    "sent",
    "snoozed",
    "subscribed",
    "templates",
    "trash",
];

/// `sortOrder` is below 2^31 (RFC 8621 §2).
const SORT_ORDER_MAX: u64 = (1 << 31) - 1;
/// Accounts and groups that one mailbox may be shared with.
const GRANTS_MAX: usize = 1000;

/// Which properties a client gave, of those that have defaults.
#[derive(Default)]
pub(super) struct Given {
    pub name: bool,
    pub parent: bool,
    pub role: bool,
    pub sort_order: bool,
    pub is_subscribed: bool,
    pub share_with: bool,
}

impl Given {
    /// Reads the properties of a whole object into `record`.
    pub fn read(properties: Map, record: &mut MailboxRecord) -> Result<Self, SetError> {
        let mut given = Self::default();
        for (key, value) in properties.into_vec() {
            let name = key.to_string().into_owned();
            match key.as_property() {
                Some(Property::Name) => {
                    record.name = as_text(&value)
                        .ok_or_else(|| wrong(&name, "a String"))?
                        .to_owned();
                    given.name = true;
                }
                Some(Property::ParentId) => {
                    record.parent = parent(value)?;
                    given.parent = true;
                }
                Some(Property::Role) => {
                    record.role = role(value)?;
                    given.role = true;
                }
                Some(Property::SortOrder) => {
                    let order = value.as_u64().filter(|&order| order <= SORT_ORDER_MAX);
                    record.sort_order =
                        order.ok_or_else(|| wrong(&name, "an UnsignedInt below 2^31"))? as u32;
                    given.sort_order = true;
                }
                Some(Property::IsSubscribed) => {
                    record.is_subscribed =
                        value.as_bool().ok_or_else(|| wrong(&name, "a Boolean"))?;
                    given.is_subscribed = true;
                }
                Some(Property::ShareWith) => {
                    record.share_with = grants(value, &record.share_with)?;
                    given.share_with = true;
                }
                _ => {
                    return Err(SetError::invalid_property(
                        name,
                        "It can't be set, or is unknown.",
                    ));
                }
            }
        }
        Ok(given)
    }
}

fn wrong(property: &str, expected: &str) -> SetError {
    SetError::invalid_property(property, format!("It must be {expected}."))
}

fn parent(value: Value) -> Result<Option<u64>, SetError> {
    match value {
        Value::Null => Ok(None),
        Value::Str(id) => match Id::<Mailbox>::parse(&id) {
            Some(id) => Ok(Some(id.number())),
            None => Err(SetError::invalid_property(
                "parentId",
                "There is no such mailbox.",
            )),
        },
        _ => Err(wrong("parentId", "an Id or null")),
    }
}

fn role(value: Value) -> Result<Option<String>, SetError> {
    match value {
        Value::Null => Ok(None),
        Value::Str(role) if ROLES.contains(&role.as_ref()) => Ok(Some(role.into_owned())),
        _ => Err(SetError::invalid_property(
            "role",
            "It must be a registered role in lower case, or null.",
        )),
    }
}

fn grants(value: Value, old: &[Grant]) -> Result<Vec<Grant>, SetError> {
    let map = match value {
        Value::Null => Map::new(),
        Value::Object(map) if map.len() <= GRANTS_MAX => map,
        _ => return Err(wrong("shareWith", "an object of rights by account")),
    };
    let mut grants = Vec::with_capacity(map.len());
    for (account, rights) in map.into_vec() {
        let account = AccountId::parse(&account.to_string())
            .ok_or_else(|| SetError::invalid_property("shareWith", "There is no such account."))?;
        let known = old.iter().find(|grant| grant.account == account.number());
        let rights = granted_rights(rights)?;
        if rights != MailboxRights::default() {
            let is_subscribed = known.is_some_and(|grant| grant.is_subscribed);
            grants.push(Grant {
                account: account.number(),
                rights: rights.0,
                is_subscribed,
            });
        }
    }
    // Members of a group subscribe for themselves, whomever it is shared with.
    let has_grant = |account: u64| grants.iter().any(|grant: &Grant| grant.account == account);
    let subscriptions = old.iter().filter(|grant| grant.rights == 0);
    let subscriptions = subscriptions.filter(|grant| !has_grant(grant.account));
    let subscriptions: Vec<Grant> = subscriptions.cloned().collect();
    grants.extend(subscriptions);
    grants.sort_unstable_by_key(|grant| grant.account);
    Ok(grants)
}

fn granted_rights(value: Value) -> Result<MailboxRights, SetError> {
    let map = value
        .into_object()
        .ok_or_else(|| wrong("shareWith", "an object of rights by account"))?;
    map.into_vec()
        .into_iter()
        .try_fold(MailboxRights::default(), |rights, (name, value)| {
            let name = name.to_string().into_owned();
            let right = match name.as_str() {
                get::MAY_SHARE | "mayAdmin" => Some(MailboxRights::SHARE),
                name => RIGHTS
                    .iter()
                    .find(|(property, _)| property.name() == name)
                    .map(|(_, right)| *right),
            };
            match (right, value) {
                (Some(right), Value::Bool(true)) => Ok(rights.union(right)),
                (Some(_), Value::Bool(false)) => Ok(rights),
                _ => Err(SetError::invalid_property(
                    format!("shareWith/{name}"),
                    "It is no right, or no Boolean.",
                )),
            }
        })
}

/// Whether a patch has something that the server alone sets.
pub(super) fn has_server_set(patch: &Map) -> bool {
    patch.keys().any(is_server_set)
}

fn is_server_set(path: &Key) -> bool {
    const NAMES: &[&str] = &[
        "id",
        "totalEmails",
        "unreadEmails",
        "totalThreads",
        "unreadThreads",
        "myRights",
    ];
    let path = path.to_string();
    NAMES.contains(&path.split('/').next().unwrap_or_default())
}

/// Takes what the server alone sets out of a patch; it has to be as it is `shown` (RFC 8620 §5.3).
pub(super) fn take_server_set(patch: Map, shown: Map) -> Result<Map, SetError> {
    let (given, rest): (Vec<_>, Vec<_>) = patch
        .into_vec()
        .into_iter()
        .partition(|(path, _)| is_server_set(path));
    let mut patched = shown.clone();
    apply(&mut patched, given.into_iter().collect())?;
    let is_changed = |(name, value): &(&Key, &Value)| {
        !patched.get(name).is_some_and(|given| is_same(value, given))
    };
    let changed = shown.iter().filter(is_changed);
    let changed: Vec<String> = changed
        .map(|(name, _)| name.to_string().into_owned())
        .collect();
    if changed.is_empty() {
        return Ok(rest.into_iter().collect());
    }
    Err(SetError {
        properties: changed,
        ..SetError::invalid_property("", "The server sets it, and it is another one.")
    })
}

/// What a caller is shown of a mailbox in another way than its record has it.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// `parentId`.
    pub parent: Option<u64>,
    /// Without this right, `shareWith` is null.
    pub may_share: bool,
}

/// Applies a PatchObject to the properties that a client sets. What is given as it is `shown` stays as it is. Returns whether
/// another place is asked for.
pub(super) fn apply_patch(
    record: &mut MailboxRecord,
    shown: Shown,
    mut patch: Map,
) -> Result<bool, SetError> {
    if !shown.may_share && patch.find(Property::ShareWith) == Some(&Value::Null) {
        patch.take(Property::ShareWith);
    }
    let mut whole = Map::new()
        .with(Property::Name, string(&record.name))
        .with(
            Property::ParentId,
            shown.parent.map(|id| Id::<Mailbox>::new(id).to_string()),
        )
        .with(Property::Role, record.role.clone())
        .with(Property::SortOrder, record.sort_order)
        .with(Property::IsSubscribed, record.is_subscribed);
    let touches_shares = patch
        .keys()
        .any(|key| key.to_string().starts_with("shareWith"));
    if touches_shares {
        whole.set(Property::ShareWith, Value::Object(get::granted(record)));
    }
    apply(&mut whole, patch)?;
    let parent = record.parent;
    // What the patch took away goes back to its default; shares that it doesn't touch stay.
    record.parent = None;
    record.role = None;
    record.sort_order = 0;
    record.is_subscribed = false;
    let given = Given::read(whole, record)?;
    let is_moved = record.parent != shown.parent;
    if !is_moved {
        record.parent = parent;
    }
    if touches_shares && !given.share_with {
        record.share_with = grants(Value::Null, &record.share_with)?;
    }
    if given.name {
        Ok(is_moved)
    } else {
        Err(SetError::invalid_property("name", "A mailbox has a name."))
    }
}

fn apply(whole: &mut Map, patch: Map) -> Result<(), SetError> {
    patch::apply(whole, patch).map_err(SetError::from)
}
