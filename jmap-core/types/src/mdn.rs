//! MDN/send and MDN/parse (RFC 9007 §2.1, §2.2).

use crate::{
    AccountId, Arguments, MethodError, MethodErrorKind, Property, SetError, Value, WireId,
    email::{by_name, ids_or_null},
    method::{Access, MethodCall, MethodResponse},
    value::{Map, MapExt},
};

/// RFC 9007 §2.1, §2.2: an account that can't be found makes the arguments invalid.
fn account_id(arguments: &mut Arguments) -> Result<AccountId, MethodError> {
    let id = arguments.account_id();
    id.map_err(|_| MethodError::invalid_arguments("There is no such account."))
}

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
    const NO_ACCOUNT: MethodErrorKind = MethodErrorKind::InvalidArguments;
    type Response = MdnParseResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: account_id(&mut arguments)?,
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

/// MDN/send (RFC 9007 §2.1).
#[derive(Debug)]
pub struct MdnSend {
    pub account_id: AccountId,
    pub identity_id: WireId,
    /// MDN objects by creation id.
    pub send: Vec<(String, Map)>,
    /// Patches by the id of the email, or by creation id behind `#`.
    pub on_success_update_email: Vec<(String, Map)>,
}

#[derive(Debug)]
pub struct MdnSendResponse {
    pub account_id: AccountId,
    pub sent: Vec<(String, Map)>,
    pub not_sent: Vec<(String, SetError)>,
    pub implicit: Vec<(&'static str, Result<Map, MethodError>)>,
}

impl MethodCall for MdnSend {
    const NAME: &'static str = "MDN/send";
    const ACCESS: Access = Access::Write;
    const NO_ACCOUNT: MethodErrorKind = MethodErrorKind::InvalidArguments;
    type Response = MdnSendResponse;

    fn account_id(&self) -> Option<AccountId> {
        Some(self.account_id)
    }

    fn from_arguments(mut arguments: Arguments) -> Result<Self, MethodError> {
        let call = Self {
            account_id: account_id(&mut arguments)?,
            identity_id: arguments.required(Property::IdentityId)?,
            send: arguments.required_creations(Property::Send)?,
            on_success_update_email: arguments.patches(Property::OnSuccessUpdateEmail)?,
        };
        arguments.finish()?;
        Ok(call)
    }
}

impl MethodResponse for MdnSendResponse {
    fn into_map(self) -> Map {
        Map::with_capacity(3)
            .with(Property::AccountId, self.account_id.to_string())
            .with(Property::Sent, by_name(self.sent, Value::Object))
            .with(
                Property::NotSent,
                by_name(self.not_sent, |error| Value::Object(error.into_map())),
            )
    }

    fn take_implicit(&mut self) -> Vec<(&'static str, Result<Map, MethodError>)> {
        std::mem::take(&mut self.implicit)
    }
}
