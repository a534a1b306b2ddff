//! MDN/parse (RFC 9007 §2.2).

use crate::{
    AccountId, Arguments, MethodError, Property, Value, WireId,
    email::{by_name, ids_or_null},
    method::{Access, MethodCall, MethodResponse},
    value::{Map, MapExt},
};

/// MDN/parse (RFC 9007 §2.2).
#[derive(Debug)]
pub struct MdnParse {
    pub account_id: AccountId,
    pub blob_ids: Vec<WireId>,
}

#[derive(Debug)]
pub struct MdnParseResponse {
    pub account_id: AccountId,
    pub parsed: Vec<(WireId, Map)>,
    pub not_parsable: Vec<WireId>,
    pub not_found: Vec<WireId>,
}

impl MethodCall for MdnParse {
    const NAME: &'static str = "MDN/parse";
    const ACCESS: Access = Access::Read;
    type Response = MdnParseResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: arguments.account_id()?,
            blob_ids: arguments.required(Property::BlobIds)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodResponse for MdnParseResponse {
    fn into_map(self) -> Map {
        let parsed = self.parsed.into_iter();
        let parsed = parsed.map(|(id, mdn)| (id.to_string(), mdn)).collect();
        Map::with_capacity(4)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Parsed, by_name(parsed, Value::Object))
            .with(Property::NotParsable, ids_or_null(self.not_parsable))
            .with(Property::NotFound, ids_or_null(self.not_found))
    }
}
