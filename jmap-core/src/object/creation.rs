//! Creation ids in place of ids (RFC 8620 §5.3): `#k` is the id of what `k` created.

use jmap_types::{
    Property, SetError, Value,
    method::CreatedIds,
    value::{Key, Map, key, string},
};

/// Properties whose value is an id, or a list of ids.
const ID_VALUES: &[Property] = &[
    Property::ParentId,
    Property::EmailId,
    Property::IdentityId,
    Property::ThreadId,
    Property::BlobId,
    Property::ForEmailId,
    Property::Id,
];

/// Properties whose keys are ids.
const ID_KEYS: &[Property] = &[Property::MailboxIds];

/// Puts ids in place of creation ids. An unknown one is an error that names its property.
pub fn resolve_creation_ids(map: &mut Map, created: &CreatedIds) -> Result<(), SetError> {
    for (name, value) in map.as_mut_vec() {
        let property = name.as_property().copied();
        if property.is_some_and(|p| ID_VALUES.contains(&p)) {
            resolve_value(name, value, created)?;
        } else if property.is_some_and(|p| ID_KEYS.contains(&p)) {
            if let Value::Object(ids) = value {
                resolve_keys(ids, created)?;
            }
        } else if let Some(id) = name.to_string().strip_prefix("mailboxIds/#") {
            // A patch that adds a mailbox by its creation id.
            let id = created.get(id).ok_or_else(|| unknown("mailboxIds"))?;
            *name = key(format!("mailboxIds/{id}"));
        }
        resolve_inner(value, created)?;
    }
    Ok(())
}

fn resolve_inner(value: &mut Value, created: &CreatedIds) -> Result<(), SetError> {
    match value {
        Value::Object(map) => resolve_creation_ids(map, created),
        Value::Array(values) => values
            .iter_mut()
            .try_for_each(|v| resolve_inner(v, created)),
        _ => Ok(()),
    }
}

fn resolve_value(name: &Key, value: &mut Value, created: &CreatedIds) -> Result<(), SetError> {
    if let Value::Str(text) = value
        && let Some(creation_id) = text.strip_prefix('#')
    {
        let id = created
            .get(creation_id)
            .ok_or_else(|| unknown(&name.to_string()))?;
        *value = string(id.as_str());
    }
    Ok(())
}

fn resolve_keys(ids: &mut Map, created: &CreatedIds) -> Result<(), SetError> {
    for (name, _) in ids.as_mut_vec() {
        if let Some(creation_id) = name.to_string().strip_prefix('#') {
            let id = created
                .get(creation_id)
                .ok_or_else(|| unknown("mailboxIds"))?;
            *name = key(id.as_str());
        }
    }
    Ok(())
}

fn unknown(property: &str) -> SetError {
    SetError::invalid_property(property, "The creation id names nothing that was created.")
}
