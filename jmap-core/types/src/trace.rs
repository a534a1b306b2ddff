//! MessageTrace: what happened to a message (`urn:posthorn:params:jmap:trace`, described in `adapters/jmap/README.md`).

use crate::{
    Arguments, Id, MethodError, MethodErrorKind, ObjectKind, UtcDate,
    method::{Condition, Object, SortKey, condition_value},
    object_names,
    value::Map,
};

/// An event in the life of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTrace {}

impl ObjectKind for MessageTrace {
    const PREFIX: char = 'x';
}

pub type MessageTraceId = Id<MessageTrace>;

impl Object for MessageTrace {
    object_names!("MessageTrace", None);
    type GetArguments = ();
    type SetArguments = ();
    type QueryArguments = ();
    type Condition = MessageTraceCondition;
    type SortKey = MessageTraceSortKey;
}

/// All of those given must be true.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct MessageTraceCondition {
    pub message_id: Option<String>,
    /// One of the names of events.
    pub event: Option<String>,
    /// Of the reverse-path or a recipient; `@` and a domain: any of it.
    pub address: Option<String>,
    pub after: Option<UtcDate>,
    pub before: Option<UtcDate>,
}

impl Condition for MessageTraceCondition {
    fn from_map(map: Map) -> Result<Self, MethodError> {
        let mut condition = Self::default();
        for (key, value) in map.into_vec() {
            let name = key.into_string();
            match name.as_str() {
                "messageId" => condition.message_id = Some(condition_value(&name, value)?),
                "event" => condition.event = Some(condition_value(&name, value)?),
                "address" => condition.address = Some(condition_value(&name, value)?),
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
pub enum MessageTraceSortKey {
    At,
}

impl SortKey for MessageTraceSortKey {
    fn from_property(property: &str, _: &mut Arguments) -> Result<Self, MethodError> {
        match property {
            "at" => Ok(Self::At),
            other => Err(MethodError::describe(
                MethodErrorKind::UnsupportedSort,
                format!("There is no sorting by \"{other}\"."),
            )),
        }
    }
}
