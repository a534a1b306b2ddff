//! DeletedEmail: emails that were deleted and can be brought back (`urn:posthorn:params:jmap:undelete`, described in `adapters/jmap/README.md`).

use crate::{
    AccountId, Arguments, MethodError, MethodErrorKind, Property, SetError, UtcDate, WireId,
    method::{Access, Condition, MethodCall, MethodResponse, Object, SortKey, condition_value},
    object_names,
    value::{Map, MapExt, Value, key},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedEmail {}

impl Object for DeletedEmail {
    object_names!("DeletedEmail", None);
    type GetArguments = ();
    type SetArguments = ();
    type QueryArguments = ();
    type Condition = DeletedEmailCondition;
    type SortKey = DeletedEmailSortKey;
}

/// All of those given must be true.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct DeletedEmailCondition {
    pub subject: Option<String>,
    pub from: Option<String>,
    /// In the subject or the From field.
    pub text: Option<String>,
    /// When it was deleted.
    pub after: Option<UtcDate>,
    pub before: Option<UtcDate>,
}

impl Condition for DeletedEmailCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "subject" => condition.subject = Some(condition_value(&name, value)?),
                "from" => condition.from = Some(condition_value(&name, value)?),
                "text" => condition.text = Some(condition_value(&name, value)?),
                "after" => condition.after = Some(condition_value(&name, value)?),
                "before" => condition.before = Some(condition_value(&name, value)?),
                _ => {
                    let why = format!("The filter knows no \"{name}\".");
                    return Err(MethodError::describe(
                        MethodErrorKind::UnsupportedFilter,
                        why,
                    ));
                }
            }
        }
        Ok(condition)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedEmailSortKey {
    DeletedAt,
}

impl SortKey for DeletedEmailSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "deletedAt" => Ok(Self::DeletedAt),
            other => Err(MethodError::describe(
                MethodErrorKind::UnsupportedSort,
                format!("There is no sorting by \"{other}\"."),
            )),
        }
    }
}

/// DeletedEmail/restore.
#[derive(Debug)]
pub struct DeletedEmailRestore {
    pub account_id: AccountId,
    pub ids: Vec<WireId>,
    /// Where they go, in place of where they were.
    pub mailbox_id: Option<WireId>,
}

#[derive(Debug)]
pub struct DeletedEmailRestoreResponse {
    pub account_id: AccountId,
    /// By the id of what was deleted: the id of the email, and its mailboxes.
    pub restored: Vec<(WireId, Map)>,
    pub not_restored: Vec<(WireId, SetError)>,
}

impl MethodCall for DeletedEmailRestore {
    const NAME: &'static str = "DeletedEmail/restore";
    const ACCESS: Access = Access::Write;
    type Response = DeletedEmailRestoreResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            ids: arguments.required(Property::Ids)?,
            mailbox_id: arguments.optional(Property::MailboxId)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodResponse for DeletedEmailRestoreResponse {
    fn into_map(self) -> Map {
        let by_id = |rows: Vec<(WireId, Map)>| {
            let mut map = Map::with_capacity(rows.len());
            for (id, value) in rows {
                map.insert(key(id.to_string()), Value::Object(value));
            }
            match map.is_empty() {
                true => Value::Null,
                false => Value::Object(map),
            }
        };
        let not_restored = self.not_restored.into_iter();
        let not_restored = not_restored.map(|(id, error)| (id, error.into_map()));
        let mut map = Map::with_capacity(3).with(Property::AccountId, self.account_id.to_string());
        map.insert(key("restored"), by_id(self.restored));
        map.insert(key("notRestored"), by_id(not_restored.collect()));
        map
    }
}
