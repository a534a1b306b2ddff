//! Identity/set (RFC 8621 §6.3).

use jmap_types::{
    DataType, SetError, SetErrorKind, Value,
    arguments::FromValue,
    mail::Identity,
    patch,
    value::{Map, key, string},
};
use store::{Change, ChangeKind, keys};

use super::{
    ADDRESSES_MAX, EMAIL_OCTETS_MAX, IDENTITIES_MAX, IdentityRecord, NAME_OCTETS_MAX, NamedAddress,
    SIGNATURE_OCTETS_MAX, get, put,
};
use crate::{
    Context,
    access::Standing,
    object::{Rejected, SetObject, Staged},
};

fn check_owner(context: &Context) -> Result<(), Rejected> {
    match context.standing()? {
        Standing::Owner => Ok(()),
        Standing::Guest => Err(SetError::forbidden("These are not your identities.").into()),
    }
}

impl SetObject for Identity {
    async fn create(context: &Context, (): &(), properties: Map) -> Staged<(u64, Map)> {
        check_owner(context)?;
        let account = context.account()?.clone();
        let mut record = IdentityRecord::default();
        let given: Vec<String> = properties
            .keys()
            .map(|key| key.to_string().into_owned())
            .collect();
        for (key, value) in properties.into_vec() {
            read_property(&mut record, &key.to_string(), value)?;
        }
        if !given.iter().any(|name| name == "email") {
            return Err(
                SetError::invalid_property("email", "An identity has an email address.").into(),
            );
        }
        if !context.core.owns_address(account.id, &record.email).await? {
            let why = "You may not send from this address.";
            return Err(SetError::describe(SetErrorKind::ForbiddenFrom, why).into());
        }
        let mut txn = account.writer.begin().await?;
        let own = super::all_in(&txn)
            .await?
            .iter()
            .filter(|(_, record)| !record.is_default)
            .count();
        if own >= IDENTITIES_MAX {
            return Err(SetError::describe(
                SetErrorKind::OverQuota,
                "There are too many identities.",
            )
            .into());
        }
        let id = txn.new_id();
        put(&mut txn, id, &record, ChangeKind::Created);
        let mut server_set = Map::new();
        server_set.insert(key("mayDelete"), true);
        // What the client left out has its default now (RFC 8620 §5.3).
        let defaults = [
            ("name", string("")),
            ("replyTo", Value::Null),
            ("bcc", Value::Null),
            ("textSignature", string("")),
            ("htmlSignature", string("")),
        ];
        for (name, value) in defaults
            .into_iter()
            .filter(|(name, _)| !given.iter().any(|g| g == name))
        {
            server_set.insert(key(name), value);
        }
        Ok(((id, server_set), Some(txn.stage())))
    }

    async fn update(context: &Context, (): &(), id: u64, patch: Map) -> Staged<Option<Map>> {
        check_owner(context)?;
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let Some(old) = txn
            .record::<IdentityRecord>(&keys::object(account.id, DataType::Identity, id))
            .await?
        else {
            return Err(SetError::not_found().into());
        };
        let may_delete = super::may_delete(&context.core, account.id, &old).await?;
        let shown = || get::to_map(id, &old, may_delete, |_| true);
        let patch = patch::whole_properties(patch, shown).map_err(SetError::from)?;
        let mut record = old.clone();
        for (key, value) in patch.into_vec() {
            let name = key.to_string().into_owned();
            match (name.as_str(), &value) {
                // What can't change may be given as it is (RFC 8620 §5.3).
                ("id", Value::Str(text))
                    if **text == *jmap_types::mail::IdentityId::new(id).to_string() => {}
                ("mayDelete", Value::Bool(given)) if *given == may_delete => {}
                ("email", Value::Str(text)) if **text == *old.email => {}
                ("email", _) => {
                    return Err(SetError::invalid_property(
                        "email",
                        "The address of an identity can't change.",
                    )
                    .into());
                }
                _ => read_property(&mut record, &name, value)?,
            }
        }
        if record == old {
            return Ok((None, txn.stage_or_seen()));
        }
        put(&mut txn, id, &record, ChangeKind::Updated);
        Ok((None, Some(txn.stage())))
    }

    async fn destroy(context: &Context, (): &(), id: u64) -> Staged<()> {
        check_owner(context)?;
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let key = keys::object(account.id, DataType::Identity, id);
        let Some(record) = txn.record::<IdentityRecord>(&key).await? else {
            return Err(SetError::not_found().into());
        };
        if !super::may_delete(&context.core, account.id, &record).await? {
            let why = "This identity belongs to one of your addresses and can't be deleted.";
            return Err(SetError::forbidden(why).into());
        }
        txn.delete(key);
        txn.changed(Change::new(DataType::Identity, id, ChangeKind::Destroyed));
        Ok(((), Some(txn.stage())))
    }
}

/// Reads one property; null gives one that has a default its default again.
fn read_property(record: &mut IdentityRecord, name: &str, value: Value) -> Result<(), SetError> {
    let text = |value: Value, octets_max: usize| match value {
        Value::Str(text) if text.len() <= octets_max => Ok(text.into_owned()),
        Value::Str(_) => Err(SetError::invalid_property(
            name,
            format!("It has at most {octets_max} octets."),
        )),
        _ => Err(SetError::invalid_property(name, "It must be a String.")),
    };
    let or_default = |value: Value, octets_max: usize| match value {
        Value::Null => Ok(String::new()),
        value => text(value, octets_max),
    };
    match name {
        "name" => {
            record.name = or_default(value, NAME_OCTETS_MAX)?;
            if record.name.chars().any(char::is_control) {
                return Err(SetError::invalid_property(
                    name,
                    "A name is one line of text.",
                ));
            }
        }
        "email" => record.email = text(value, EMAIL_OCTETS_MAX)?,
        "replyTo" => record.reply_to = addresses(name, value)?,
        "bcc" => record.bcc = addresses(name, value)?,
        "textSignature" => record.text_signature = or_default(value, SIGNATURE_OCTETS_MAX)?,
        "htmlSignature" => record.html_signature = or_default(value, SIGNATURE_OCTETS_MAX)?,
        "id" | "mayDelete" => {
            return Err(SetError::invalid_property(
                name,
                "The server sets this property.",
            ));
        }
        _ => {
            return Err(SetError::invalid_property(
                name,
                "There is no such property.",
            ));
        }
    }
    Ok(())
}

/// `EmailAddress[]|null`
fn addresses(name: &str, value: Value) -> Result<Option<Vec<NamedAddress>>, SetError> {
    let wrong =
        || SetError::invalid_property(name, "It must be a list of EmailAddresses, or null.");
    let Some(list) = Option::<Vec<Map>>::from_value(value).ok_or_else(wrong)? else {
        return Ok(None);
    };
    if list.len() > ADDRESSES_MAX {
        return Err(SetError::invalid_property(
            name,
            format!("It has at most {ADDRESSES_MAX} addresses."),
        ));
    }
    let mut addresses = Vec::with_capacity(list.len());
    for map in list {
        let mut address = NamedAddress::default();
        for (key, value) in map.into_vec() {
            match (&*key.to_string(), value) {
                ("name", Value::Null) => {}
                ("name", Value::Str(text)) if text.len() <= NAME_OCTETS_MAX => {
                    address.name = Some(text.into_owned())
                }
                ("email", Value::Str(text)) if text.len() <= EMAIL_OCTETS_MAX => {
                    address.email = text.into_owned()
                }
                _ => return Err(wrong()),
            }
        }
        if address.email.is_empty() {
            return Err(wrong());
        }
        addresses.push(address);
    }
    Ok(Some(addresses))
}
