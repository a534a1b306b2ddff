//! VacationResponse/get and VacationResponse/set (RFC 8621 §8.1, §8.2).

use jmap_types::{
    DataType, MethodError, MethodErrorKind, SetError, SetErrorKind, UtcDate, Value, WireId,
    arguments::FromValue,
    mail::VacationResponse,
    patch,
    value::{Map, key, string},
};
use store::{Change, ChangeKind, Record as _};

use super::{BODY_OCTETS_MAX, SINGLETON, SUBJECT_OCTETS_MAX, VACATION, VacationRecord};
use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{GetObject, Properties, SetObject, Staged},
};

impl GetObject for VacationResponse {
    const STATE: DataType = DataType::VacationResponse;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "isEnabled",
        "fromDate",
        "toDate",
        "subject",
        "textBody",
        "htmlBody",
    ];

    async fn prepare(context: &Context) -> Result<(), MethodError> {
        match context.standing()? {
            Standing::Owner => Ok(()),
            Standing::Guest => Err(MethodErrorKind::Forbidden.into()),
        }
    }

    async fn all(_: &Context) -> Result<Vec<u64>, MethodError> {
        Ok(vec![VACATION])
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let key = super::key(context.account()?.id);
        let bytes = context
            .core
            .engine
            .get(&key)
            .await
            .map_err(|error| method_error(error.into()))?;
        let record = bytes
            .map(|bytes| VacationRecord::from_bytes(&key, &bytes))
            .transpose();
        let record = record.map_err(method_error)?.unwrap_or_default();
        let value = |id: &u64| {
            (*id == VACATION).then(|| Value::Object(to_map(&record, |name| properties.has(name))))
        };
        Ok(ids.iter().map(value).collect())
    }

    fn wire_id(_: u64) -> WireId {
        // The text is an Id: the other branch is never taken.
        WireId::parse(SINGLETON).unwrap_or_else(|| jmap_types::Id::<Self>::new(VACATION).to_wire())
    }

    fn parse_id(id: &WireId) -> Option<u64> {
        (id.as_str() == SINGLETON).then_some(VACATION)
    }
}

fn to_map(record: &VacationRecord, has: impl Fn(&str) -> bool) -> Map {
    let date =
        |date: Option<i64>| date.map_or(Value::Null, |date| string(UtcDate(date).to_string()));
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, string);
    let values: [(&str, Value); 6] = [
        ("isEnabled", record.is_enabled.into()),
        ("fromDate", date(record.from_date)),
        ("toDate", date(record.to_date)),
        ("subject", text(&record.subject)),
        ("textBody", text(&record.text_body)),
        ("htmlBody", text(&record.html_body)),
    ];
    let mut map = Map::with_capacity(7);
    map.insert(key("id"), string(SINGLETON));
    for (name, value) in values.into_iter().filter(|(name, _)| has(name)) {
        map.insert(key(name), value);
    }
    map
}

impl SetObject for VacationResponse {
    async fn create(_: &Context, (): &(), _: Map) -> Staged<(u64, Map)> {
        Err(SetError::new(SetErrorKind::Singleton).into())
    }

    async fn update(context: &Context, (): &(), _: u64, patch: Map) -> Staged<Option<Map>> {
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let key = super::key(account.id);
        let old = txn
            .record::<VacationRecord>(&key)
            .await?
            .unwrap_or_default();
        let patch = patch::whole_properties(patch, || to_map(&old, |_| true));
        let patch = patch.map_err(SetError::from)?;
        let mut record = old.clone();
        for (name, value) in patch.into_vec() {
            read_property(&mut record, &name.to_string(), value)?;
        }
        if record == old {
            return Ok((None, txn.stage_or_seen()));
        }
        if !old.is_enabled && record.is_enabled {
            // A new absence: everybody may hear of it.
            txn.delete(super::replied_key(account.id));
        }
        txn.put_record(key, &record);
        txn.changed(Change::new(
            DataType::VacationResponse,
            VACATION,
            ChangeKind::Updated,
        ));
        Ok((None, Some(txn.stage())))
    }

    async fn destroy(_: &Context, (): &(), _: u64) -> Staged<()> {
        Err(SetError::new(SetErrorKind::Singleton).into())
    }
}

fn read_property(record: &mut VacationRecord, name: &str, value: Value) -> Result<(), SetError> {
    let text = |value: Value, octets_max: usize| {
        let text = Option::<String>::from_value(value)
            .ok_or_else(|| SetError::invalid_property(name, "It must be a String or null."))?;
        match text.as_ref().is_some_and(|text| text.len() > octets_max) {
            true => Err(SetError::invalid_property(
                name,
                format!("It has at most {octets_max} octets."),
            )),
            false => Ok(text),
        }
    };
    let date = |value: Value| {
        let date = Option::<UtcDate>::from_value(value);
        let date =
            date.ok_or_else(|| SetError::invalid_property(name, "It must be a UTCDate or null."))?;
        Ok::<_, SetError>(date.map(|date| date.0))
    };
    match (name, value) {
        ("id", Value::Str(id)) if *id == *SINGLETON => {}
        ("isEnabled", Value::Bool(is_enabled)) => record.is_enabled = is_enabled,
        ("isEnabled", Value::Null) => record.is_enabled = false,
        ("isEnabled", _) => return Err(SetError::invalid_property(name, "It must be a Boolean.")),
        ("fromDate", value) => record.from_date = date(value)?,
        ("toDate", value) => record.to_date = date(value)?,
        ("subject", value) => {
            record.subject = text(value, SUBJECT_OCTETS_MAX)?;
            if record
                .subject
                .iter()
                .any(|subject| subject.chars().any(char::is_control))
            {
                return Err(SetError::invalid_property(
                    name,
                    "A subject is one line of text.",
                ));
            }
        }
        ("textBody", value) => record.text_body = text(value, BODY_OCTETS_MAX)?,
        ("htmlBody", value) => record.html_body = text(value, BODY_OCTETS_MAX)?,
        ("id", _) => return Err(SetError::invalid_property(name, "The id can't change.")),
        _ => {
            return Err(SetError::invalid_property(
                name,
                "There is no such property.",
            ));
        }
    }
    Ok(())
}
