//! Calls of the server.
//!
//! Holds: each goes to this server alone, with the token of the session and without cookies; an answer that says the token is no
//! longer good ends the session.

use std::cell::RefCell;

use leptos::prelude::*;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, Headers, Request, RequestCache, RequestCredentials, RequestInit, Response,
};

use super::session;
use crate::{messages::t, problem::Problem};

/// Where the admin API is.
pub const API: &str = "/api/v1";

pub type Answer<T = Reply> = Result<T, Problem>;

/// What the server has answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// `null` if there was none.
    pub body: Value,
    /// The version of the object (RFC 9110 §8.8.3).
    pub etag: String,
    /// Where what was made is.
    pub location: String,
}

/// A call that is made.
pub struct Call<'c> {
    method: &'c str,
    address: String,
    /// Text, and what it is.
    body: Option<(String, &'static str)>,
    fields: Vec<(&'c str, String)>,
    authorization: Option<String>,
    until: Option<AbortSignal>,
}

impl<'c> Call<'c> {
    /// `address`: below the API, or from the root if it begins with `/jmap/`.
    pub fn new(method: &'c str, address: &str) -> Self {
        let address = match address.starts_with("/jmap/") {
            true => address.to_owned(),
            false => format!("{API}{address}"),
        };
        Self {
            method,
            address,
            body: None,
            fields: Vec::new(),
            authorization: session::token().map(|token| format!("Bearer {token}")),
            until: None,
        }
    }

    pub fn json(mut self, body: &Value) -> Self {
        let kind = match self.method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.body = Some((body.to_string(), kind));
        self
    }

    /// With this login in place of the session's.
    pub fn authorized(mut self, authorization: String) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// Until somebody has enough of it.
    pub fn until(mut self, signal: AbortSignal) -> Self {
        self.until = Some(signal);
        self
    }

    /// With one more field.
    pub fn field(mut self, name: &'c str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// Only if nobody has changed it since (RFC 9110 §13.1.1).
    pub fn if_match(mut self, etag: &str) -> Self {
        if !etag.is_empty() {
            self.fields.push(("if-match", etag.to_owned()));
        }
        self
    }

    /// The answer as text, and its fields.
    async fn fetch(self) -> Result<(Response, String), JsValue> {
        let response = self.begin().await?;
        let text = JsFuture::from(response.text()?).await?;
        Ok((response, text.as_string().unwrap_or_default()))
    }

    async fn begin(self) -> Result<Response, JsValue> {
        let init = RequestInit::new();
        init.set_method(self.method);
        init.set_cache(RequestCache::NoStore);
        init.set_credentials(RequestCredentials::Omit);
        let headers = Headers::new()?;
        headers.set("accept", self.accept())?;
        if let Some(authorization) = &self.authorization {
            headers.set("authorization", authorization)?;
        }
        for (name, value) in &self.fields {
            headers.set(name, value)?;
        }
        if let Some((text, kind)) = &self.body {
            headers.set("content-type", kind)?;
            init.set_body(&JsValue::from_str(text));
        }
        init.set_headers(&headers);
        init.set_signal(self.until.as_ref());
        let request = Request::new_with_str_and_init(&self.address, &init)?;
        let response = JsFuture::from(window().fetch_with_request(&request)).await?;
        response.dyn_into()
    }

    /// What goes on is no JSON.
    fn accept(&self) -> &'static str {
        match self.until {
            Some(_) => "text/event-stream, application/problem+json",
            None => "application/json, application/problem+json",
        }
    }

    /// An answer that goes on: its body is yet to be read.
    pub async fn stream(self) -> Answer<Response> {
        let Ok(response) = self.begin().await else {
            return Err(Problem::of(0, t().no_connection));
        };
        if response.ok() {
            return Ok(response);
        }
        let text = match response.text() {
            Ok(text) => JsFuture::from(text).await.ok(),
            Err(_) => None,
        };
        let text = text.and_then(|text| text.as_string()).unwrap_or_default();
        Err(Problem::parse(response.status(), &text, t().server_failed))
    }

    pub async fn send(self) -> Answer {
        let is_session = self
            .authorization
            .as_deref()
            .is_some_and(|value| value.starts_with("Bearer "));
        let Ok((response, text)) = self.fetch().await else {
            return Err(Problem::of(0, t().no_connection));
        };
        if !response.ok() {
            if response.status() == 401 && is_session {
                session::expired();
            }
            return Err(Problem::parse(response.status(), &text, t().server_failed));
        }
        let field = |name: &str| {
            response
                .headers()
                .get(name)
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        Ok(Reply {
            body: serde_json::from_str(&text).unwrap_or_default(),
            etag: field("etag"),
            location: field("location"),
        })
    }
}

pub async fn get(address: &str) -> Answer {
    Call::new("GET", address).send().await
}

thread_local! {
    /// A request that was sent and not answered, and the key it had.
    static UNANSWERED: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Makes something. Whoever tries again because there was no answer makes it once all the same: the key says that it is the same
/// request.
pub async fn post(address: &str, body: &Value) -> Answer {
    let request = format!("{address} {body}");
    let known = UNANSWERED.take().filter(|(of, _)| *of == request);
    let key = known.map_or_else(new_key, |(_, key)| key);
    let mut call = Call::new("POST", address).json(body);
    call.fields.push(("idempotency-key", key.clone()));
    let answer = call.send().await;
    if answer.as_ref().is_err_and(|problem| problem.status == 0) {
        UNANSWERED.set(Some((request, key)));
    }
    answer
}

/// It tells requests apart and keeps no secret, so the browser's plain dice will do.
fn new_key() -> String {
    let dice = || (js_sys::Math::random() * f64::from(u32::MAX)) as u32;
    format!(
        "{:x}-{:08x}{:08x}",
        js_sys::Date::now() as u64,
        dice(),
        dice()
    )
}

pub async fn delete(address: &str) -> Answer {
    Call::new("DELETE", address).send().await
}

/// Changes an object, if it is still the one that was seen.
pub async fn patch(address: &str, etag: &str, body: &Value) -> Answer {
    Call::new("PATCH", address)
        .if_match(etag)
        .json(body)
        .send()
        .await
}
