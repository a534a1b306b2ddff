//! SearchSnippet/get (RFC 8621 §5.1).

use crate::{
    AccountId, Arguments, MethodError, Property, Value, WireId,
    mail::EmailCondition,
    method::{Access, Filter, MethodCall, MethodResponse, take_filter},
    value::{Map, MapExt, string},
};

#[derive(Debug)]
pub struct SearchSnippetGet {
    pub account_id: AccountId,
    pub filter: Option<Filter<EmailCondition>>,
    pub email_ids: Vec<WireId>,
}

#[derive(Debug)]
pub struct SearchSnippetGetResponse {
    pub account_id: AccountId,
    pub list: Vec<SearchSnippet>,
    pub not_found: Vec<WireId>,
}

/// HTML with `<mark>` around what was found; `None` where nothing was.
#[derive(Debug)]
pub struct SearchSnippet {
    pub email_id: WireId,
    pub subject: Option<String>,
    pub preview: Option<String>,
}

impl MethodCall for SearchSnippetGet {
    const NAME: &'static str = "SearchSnippet/get";
    const ACCESS: Access = Access::Read;
    type Response = SearchSnippetGetResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            filter: take_filter(&mut arguments)?,
            email_ids: arguments.required(Property::EmailIds)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodResponse for SearchSnippetGetResponse {
    fn into_map(self) -> Map {
        let list: Vec<Value> = self
            .list
            .into_iter()
            .map(|snippet| {
                let map = Map::with_capacity(3)
                    .with(Property::EmailId, string(snippet.email_id.as_str()))
                    .with(Property::Subject, snippet.subject)
                    .with(Property::Preview, snippet.preview);
                Value::Object(map)
            })
            .collect();
        let not_found: Vec<Value> = self
            .not_found
            .iter()
            .map(|id| string(id.as_str()))
            .collect();
        Map::with_capacity(3)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::List, list)
            .with(
                Property::NotFound,
                if not_found.is_empty() {
                    Value::Null
                } else {
                    not_found.into()
                },
            )
    }
}
