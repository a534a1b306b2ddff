//! Identity/get and Identity/changes (RFC 8621 §6.1, §6.2).

use jmap_types::{
    DataType, MethodError, Value,
    mail::Identity,
    value::{Map, key, string},
};
use store::log::Delta;

use super::{IdentityRecord, NamedAddress};
use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{ChangesObject, GetObject, Properties},
};

/// The identities that the caller may use: guests of an account don't send in its name.
async fn visible(context: &Context) -> Result<Vec<(u64, IdentityRecord)>, MethodError> {
    match context.standing()? {
        Standing::Guest => Ok(Vec::new()),
        Standing::Owner => super::all(&context.core, context.account()?.id)
            .await
            .map_err(method_error),
    }
}

impl GetObject for Identity {
    const STATE: DataType = DataType::Identity;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "name",
        "email",
        "replyTo",
        "bcc",
        "textSignature",
        "htmlSignature",
        "mayDelete",
    ];

    async fn prepare(context: &Context) -> Result<(), MethodError> {
        match context.standing()? {
            Standing::Guest => Ok(()),
            Standing::Owner => super::ensure(&context.core, context.account()?)
                .await
                .map_err(method_error),
        }
    }

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        Ok(visible(context)
            .await?
            .into_iter()
            .map(|(id, _)| id)
            .collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let identities = visible(context).await?;
        let account = context.account()?.id;
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            let found = identities.binary_search_by_key(id, |(id, _)| *id).ok();
            let Some((_, record)) = found.and_then(|at| identities.get(at)) else {
                values.push(None);
                continue;
            };
            let may_delete = super::may_delete(&context.core, account, record)
                .await
                .map_err(method_error)?;
            let map = to_map(*id, record, may_delete, |name| properties.has(name));
            values.push(Some(Value::Object(map)));
        }
        Ok(values)
    }
}

pub(super) fn to_map(
    id: u64,
    record: &IdentityRecord,
    may_delete: bool,
    has: impl Fn(&str) -> bool,
) -> Map {
    let addresses = |list: &Option<Vec<NamedAddress>>| match list {
        None => Value::Null,
        Some(list) => Value::Array(list.iter().map(NamedAddress::to_value).collect()),
    };
    let values: [(&str, Value); 7] = [
        ("name", string(record.name.clone())),
        ("email", string(record.email.clone())),
        ("replyTo", addresses(&record.reply_to)),
        ("bcc", addresses(&record.bcc)),
        ("textSignature", string(record.text_signature.clone())),
        ("htmlSignature", string(record.html_signature.clone())),
        ("mayDelete", may_delete.into()),
    ];
    let mut map = Map::with_capacity(8);
    map.insert(key("id"), string(Identity::wire_id(id).as_str()));
    for (name, value) in values.into_iter().filter(|(name, _)| has(name)) {
        map.insert(key(name), value);
    }
    map
}

impl ChangesObject for Identity {
    async fn restrict(context: &Context, delta: Delta) -> Result<Delta, MethodError> {
        match context.standing()? {
            Standing::Owner => Ok(delta),
            Standing::Guest => Ok(Delta {
                created: Vec::new(),
                updated: Vec::new(),
                destroyed: Vec::new(),
                ..delta
            }),
        }
    }
}
