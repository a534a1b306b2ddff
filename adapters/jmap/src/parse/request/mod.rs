//! The Request object (RFC 8620 §3.3).
//!
//! Holds: what comes out has the types that §3.3 gives it. Properties that nobody knows are left aside, as §3.3 asks.
//! Other half: `process`, which does what it says.

use jmap_types::{
    FromValue, Property, Value, WireId,
    value::{Map, MapExt},
};

use crate::{
    encode::problem::RequestError,
    parse::ijson::{self, JsonError},
};

/// What a client asks for.
#[derive(Debug)]
pub struct Request {
    pub using: Vec<String>,
    pub calls: Vec<Invocation>,
    /// As given, and to be given back.
    pub created_ids: Option<Vec<(String, WireId)>>,
}

/// RFC 8620 §3.2.
#[derive(Debug)]
pub struct Invocation {
    pub name: String,
    pub arguments: Map,
    pub call_id: String,
}

/// Reads the JSON of a request.
pub fn json(octets: &[u8]) -> Result<Value, RequestError> {
    ijson::parse(octets).map_err(|error| match error {
        JsonError::Syntax(_) | JsonError::TooDeep => RequestError::NotJson(error.to_string()),
        JsonError::TooMany => RequestError::Limit {
            limit: "maxSizeRequest",
            detail: format!("The request has {error}."),
        },
    })
}

/// Takes a Request out of a value.
pub fn request(value: Value) -> Result<Request, RequestError> {
    let Value::Object(mut object) = value else {
        return Err(not_request("a Request must be an object"));
    };
    let using = object
        .take(Property::Using)
        .and_then(Vec::<String>::from_value)
        .ok_or_else(|| not_request("\"using\" must be an array of strings"))?;
    let calls = object
        .take(Property::MethodCalls)
        .and_then(Value::into_array)
        .ok_or_else(|| not_request("\"methodCalls\" must be an array"))?;
    let calls = calls
        .into_iter()
        .map(invocation)
        .collect::<Option<Vec<Invocation>>>()
        .ok_or_else(|| not_request("a method call must be [name, arguments, method call id]"))?;
    let created_ids = match object.take(Property::CreatedIds) {
        None => None,
        Some(value) => Some(
            created_ids(value)
                .ok_or_else(|| not_request("\"createdIds\" must be a map of ids to ids"))?,
        ),
    };
    Ok(Request {
        using,
        calls,
        created_ids,
    })
}

fn not_request(why: &str) -> RequestError {
    RequestError::NotRequest(format!("Not a Request object: {why}."))
}

fn invocation(value: Value) -> Option<Invocation> {
    let parts: [Value; 3] = value.into_array()?.try_into().ok()?;
    let [
        Value::Str(name),
        Value::Object(arguments),
        Value::Str(call_id),
    ] = parts
    else {
        return None;
    };
    Some(Invocation {
        name: name.into_owned(),
        arguments,
        call_id: call_id.into_owned(),
    })
}

fn created_ids(value: Value) -> Option<Vec<(String, WireId)>> {
    let ids = Vec::<(String, WireId)>::from_value(value)?;
    let valid = ids.iter().all(|(id, _)| WireId::parse(id).is_some());
    valid.then_some(ids)
}

#[cfg(test)]
mod tests;
