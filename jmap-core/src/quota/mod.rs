//! Quota (RFC 9425): one an account, of octets, where there is a limit.
//!
//! Holds: the number is the account's `used_octets`, which each transaction on emails keeps.
//! Other half: `mail::write` counts and logs the changes, `directory` has the limit, `default` tells of another one for all.

mod default;
#[cfg(test)]
mod tests;

pub(crate) use default::DEFAULT;

use jmap_types::{
    DataType, MethodError, Value,
    mail::{Quota, QuotaCondition},
    method::{ChangesResponse, Filter},
    value::{Map, key, string},
};
use store::log::Delta;

use crate::{
    Context,
    access::Standing,
    error::method_error,
    object::{ChangesObject, GetObject, Properties, QueryObject, Results, Search, Window},
};

/// The number of every account's quota: its id is `q0`.
pub const QUOTA: u64 = 0;

const RESOURCE_TYPE: &str = "octets";
const SCOPE: &str = "account";
const TYPE: &str = "Email";
const NAME: &str = "Mail";

/// The limit, in octets; `None`: there is none, or the caller is a guest, whom it doesn't concern.
async fn hard_limit(context: &Context) -> Result<Option<u64>, MethodError> {
    if context.standing()? != Standing::Owner {
        return Ok(None);
    }
    let limit = context
        .core
        .own_quota_octets(context.account()?.id)
        .await
        .map_err(method_error)?;
    Ok((limit != 0).then_some(limit))
}

impl GetObject for Quota {
    const STATE: DataType = DataType::Quota;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &[
        "id",
        "resourceType",
        "used",
        "hardLimit",
        "scope",
        "name",
        "types",
        "warnLimit",
        "softLimit",
        "description",
    ];

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        Ok(hard_limit(context)
            .await?
            .map(|_| QUOTA)
            .into_iter()
            .collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let limit = hard_limit(context).await?;
        let used = context
            .account()?
            .head()
            .await
            .map_err(method_error)?
            .used_octets;
        let quota = |limit: u64| {
            let values: [(&str, Value); 9] = [
                ("resourceType", string(RESOURCE_TYPE)),
                ("used", used.into()),
                ("hardLimit", limit.into()),
                ("scope", string(SCOPE)),
                ("name", string(NAME)),
                ("types", Value::Array(vec![string(TYPE)])),
                ("warnLimit", Value::Null),
                ("softLimit", Value::Null),
                ("description", Value::Null),
            ];
            let mut map = Map::with_capacity(10);
            map.insert(key("id"), string(Self::wire_id(QUOTA).as_str()));
            for (name, value) in values.into_iter().filter(|(name, _)| properties.has(name)) {
                map.insert(key(name), value);
            }
            Value::Object(map)
        };
        Ok(ids
            .iter()
            .map(|&id| limit.filter(|_| id == QUOTA).map(quota))
            .collect())
    }
}

impl ChangesObject for Quota {
    async fn restrict(context: &Context, delta: Delta) -> Result<Delta, MethodError> {
        if hard_limit(context).await?.is_some() {
            return Ok(delta);
        }
        Ok(Delta {
            created: Vec::new(),
            updated: Vec::new(),
            destroyed: Vec::new(),
            ..delta
        })
    }

    /// RFC 9425 §4.2: null, since the log doesn't tell a new limit from other numbers.
    fn complete(response: &mut ChangesResponse, _delta: &Delta) {
        response.updated_properties = Some(None);
    }
}

impl QueryObject for Quota {
    async fn search(
        context: &Context,
        search: Search<'_, Self>,
        _window: Option<&Window>,
    ) -> Result<Results, MethodError> {
        let is_match = search.filter.is_none_or(matches);
        let found = hard_limit(context).await?.filter(|_| is_match);
        Ok(Results::All(found.map(|_| QUOTA).into_iter().collect()))
    }
}

fn matches(filter: &Filter<QuotaCondition>) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(matches),
        Filter::Or(filters) => filters.iter().any(matches),
        Filter::Not(filters) => !filters.iter().any(matches),
        Filter::Condition(condition) => {
            let is = |asked: &Option<String>, value: &str| {
                asked.as_deref().is_none_or(|asked| asked == value)
            };
            condition
                .name
                .as_deref()
                .is_none_or(|asked| NAME.contains(asked))
                && is(&condition.scope, SCOPE)
                && is(&condition.resource_type, RESOURCE_TYPE)
                && is(&condition.data_type, TYPE)
        }
    }
}
