//! Clients that take an error for an answer.
//!
//! Holds: nothing is sent twice by itself.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{model::Outcome, site::Ports};
use crate::{PASSWORD, http::Http, jmap};

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The request as a whole was refused, with this status.
    Status(u16),
    /// The method was refused, with this type.
    Method(String),
    Lost,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Failure {
        Failure::Lost
    }
}

/// An account as a JMAP client knows it.
#[derive(Clone, Debug)]
pub struct Jmap {
    authorization: String,
    pub account: String,
}

impl Jmap {
    /// `name@example.org`, at a server that runs.
    pub fn of(name: &str, ports: &Ports) -> Jmap {
        let login = address(name);
        let session = jmap::Jmap::login(ports.http, &login, PASSWORD);
        Jmap {
            authorization: format!("Basic {}", STANDARD.encode(format!("{login}:{PASSWORD}"))),
            account: session.account,
        }
    }

    fn post(
        &self,
        ports: &Ports,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Value, Failure> {
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("Content-Type", content_type),
        ];
        // A new connection: over one that was lost a request would be sent again.
        let answer = Http::new(ports.http).request("POST", path, &headers, body)?;
        match answer.status {
            200 | 201 => serde_json::from_slice(&answer.body).map_err(|_| Failure::Lost),
            status => Err(Failure::Status(status)),
        }
    }

    /// One call, with the account in its arguments: the arguments of its response.
    pub fn call(&self, ports: &Ports, name: &str, mut arguments: Value) -> Result<Value, Failure> {
        arguments["accountId"] = json!(self.account);
        let using = [
            "urn:ietf:params:jmap:core",
            "urn:ietf:params:jmap:mail",
            "urn:ietf:params:jmap:submission",
        ];
        let request = json!({"using": using, "methodCalls": [[name, arguments, "0"]]});
        let text = request.to_string();
        let mut answer = self.post(ports, "/jmap/api", "application/json", text.as_bytes())?;
        let mut response = answer["methodResponses"][0].take();
        let arguments = response[1].take();
        match response[0].as_str() {
            Some("error") => Err(Failure::Method(
                arguments["type"].as_str().unwrap_or_default().to_owned(),
            )),
            Some(_) => Ok(arguments),
            None => Err(Failure::Lost),
        }
    }

    /// The blob of an upload.
    pub fn upload(&self, ports: &Ports, octets: &[u8]) -> Result<String, Failure> {
        let path = format!("/jmap/upload/{}", self.account);
        let answer = self.post(ports, &path, "message/rfc822", octets)?;
        Ok(answer["blobId"].as_str().unwrap_or_default().to_owned())
    }
}

/// Of an account's name.
pub fn address(name: &str) -> String {
    format!("{name}@{}", crate::home::DOMAIN)
}

/// What became of one object of a /set or /import; and the error, if it isn't one to try again after.
pub fn outcome_of(
    answer: &Result<Value, Failure>,
    done: &str,
    not: &str,
    id: &str,
) -> (Outcome, Option<String>) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failure::Lost) => return (Outcome::Unknown, None),
        Err(Failure::Status(_) | Failure::Method(_)) => return (Outcome::Refused, None),
    };
    let is_done = answer[done].get(id).is_some()
        || answer[done]
            .as_array()
            .is_some_and(|ids| ids.contains(&json!(id)));
    if is_done {
        return (Outcome::Done, None);
    }
    let error = answer[not][id]["type"].as_str().unwrap_or_default();
    let is_for_now = ["serverFail", "serverUnavailable", "serverPartialFail"].contains(&error);
    (
        Outcome::Refused,
        (!is_for_now).then(|| answer[not][id].to_string()),
    )
}
