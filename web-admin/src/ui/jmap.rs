//! Calls of JMAP (RFC 8620), for what a user's own account has: mail that was deleted, scripts, the vacation, storage.

use serde_json::{Value, json};

use super::api::{self, Call};
use crate::{json as read, messages::t, problem::Problem};

pub const MAIL: &str = "urn:ietf:params:jmap:mail";
pub const SUBMISSION: &str = "urn:ietf:params:jmap:submission";
pub const VACATION: &str = "urn:ietf:params:jmap:vacationresponse";
pub const SIEVE: &str = "urn:ietf:params:jmap:sieve";
pub const BLOB: &str = "urn:ietf:params:jmap:blob";
pub const UNDELETE: &str = "urn:posthorn:params:jmap:undelete";
const CORE: &str = "urn:ietf:params:jmap:core";

/// The account of whoever has signed in.
pub async fn account() -> Result<String, Problem> {
    let session = api::get("/jmap/session").await?.body;
    let accounts = session.get("primaryAccounts").and_then(Value::as_object);
    let first = accounts.and_then(|accounts| accounts.values().find_map(Value::as_str));
    first
        .map(str::to_owned)
        .ok_or_else(|| Problem::of(404, t().no_mailbox))
}

/// Makes calls in one request, and returns the arguments of their responses. `accountId` is put into each.
pub async fn calls(using: &[&str], calls: Vec<(&str, Value)>) -> Result<Vec<Value>, Problem> {
    let account = account().await?;
    let calls: Vec<Value> = calls
        .into_iter()
        .enumerate()
        .map(|(number, (name, mut arguments))| {
            read::put(&mut arguments, "/accountId", json!(account));
            json!([name, arguments, number.to_string()])
        })
        .collect();
    let using: Vec<&str> = std::iter::once(CORE).chain(using.iter().copied()).collect();
    let request = json!({"using": using, "methodCalls": calls});
    let answer = Call::new("POST", "/jmap/api")
        .json(&request)
        .send()
        .await?
        .body;
    let responses = read::items(&answer, "/methodResponses")
        .iter()
        .map(|response| {
            let arguments = response.get(1).cloned().unwrap_or_default();
            match read::text(response, "/0") {
                "error" => Err(problem_of(&arguments)),
                _ => Ok(arguments),
            }
        });
    responses.collect()
}

pub async fn call(using: &[&str], name: &str, arguments: Value) -> Result<Value, Problem> {
    let responses = calls(using, vec![(name, arguments)]).await?;
    Ok(responses.into_iter().next().unwrap_or_default())
}

/// A /set with one thing to do, and what it says of that.
pub async fn set(using: &[&str], name: &str, arguments: Value) -> Result<Value, Problem> {
    refused(call(using, name, arguments).await?)
}

/// What a /set has refused is a problem.
pub fn refused(response: Value) -> Result<Value, Problem> {
    for name in ["notCreated", "notUpdated", "notDestroyed", "notRestored"] {
        let errors = response.get(name).and_then(Value::as_object);
        if let Some(error) = errors.and_then(|errors| errors.values().next()) {
            return Err(problem_of(error));
        }
    }
    Ok(response)
}

/// RFC 8620 §3.6.2 and §5.3.
pub fn problem_of(error: &Value) -> Problem {
    let kind = read::text(error, "/type");
    let detail = match read::text(error, "/description") {
        "" => format!("{} ({kind})", t().server_failed),
        description => description.to_owned(),
    };
    let fields = read::texts(error, "/properties").into_iter();
    Problem {
        status: 400,
        kind: kind.to_owned(),
        fields: fields
            .map(|name| (format!("/{name}"), detail.clone()))
            .collect(),
        detail,
    }
}
