//! SieveScript/query (RFC 9661 §2.3). The RFC has no /queryChanges and no /changes.

use std::cmp::Ordering;

use jmap_types::{
    MethodError,
    method::Filter,
    sieve::{SieveScript, SieveScriptCondition, SieveScriptSortKey},
};

use super::ScriptRecord;
use crate::{
    Context,
    error::method_error,
    mail::message::fold,
    object::{ChangesObject, GetObject as _, QueryObject, Results, Search, Window},
};

impl ChangesObject for SieveScript {}

impl QueryObject for SieveScript {
    async fn search(
        context: &Context,
        search: Search<'_, Self>,
        _: Option<&Window>,
    ) -> Result<Results, MethodError> {
        Self::prepare(context).await?;
        let account = context.account()?.id;
        let scripts = super::all(&context.core, account)
            .await
            .map_err(method_error)?;
        let active = super::active(&context.core, account)
            .await
            .map_err(method_error)?;
        let is_found = |(id, record): &(u64, ScriptRecord)| {
            let is_active = active == Some(*id);
            search
                .filter
                .is_none_or(|filter| matches(filter, record, is_active))
        };
        let mut found: Vec<_> = scripts.into_iter().filter(is_found).collect();
        found.sort_by(|(a, left), (b, right)| {
            for comparator in search.sort {
                let order = match comparator.key {
                    SieveScriptSortKey::Name => fold(&left.name).cmp(&fold(&right.name)),
                    SieveScriptSortKey::IsActive => (active == Some(*a)).cmp(&(active == Some(*b))),
                };
                let order = match comparator.is_ascending {
                    true => order,
                    false => order.reverse(),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            a.cmp(b)
        });
        Ok(Results::All(found.into_iter().map(|(id, _)| id).collect()))
    }

    fn can_calculate_changes(_: &Search<'_, Self>) -> bool {
        false
    }
}

fn matches(filter: &Filter<SieveScriptCondition>, record: &ScriptRecord, is_active: bool) -> bool {
    let each = |filter: &Filter<_>| matches(filter, record, is_active);
    match filter {
        Filter::And(filters) => filters.iter().all(each),
        Filter::Or(filters) => filters.iter().any(each),
        Filter::Not(filters) => !filters.iter().any(each),
        Filter::Condition(condition) => {
            let text = condition.name.as_deref();
            text.is_none_or(|text| fold(&record.name).contains(&*fold(text)))
                && condition.is_active.is_none_or(|asked| asked == is_active)
        }
    }
}
