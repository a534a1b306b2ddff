//! Problem details (RFC 7807), and the request-level errors of JMAP (RFC 8620 §3.6.1).
//!
//! Holds: no path, host or key of the server is in what a client is told.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderValue, Response, StatusCode,
    header::{self, HeaderName},
};
use serde_json::json;

use super::body::Body;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// An HTTP error.
#[derive(Debug)]
pub struct Problem {
    pub status: StatusCode,
    kind: Cow<'static, str>,
    detail: String,
    limit: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a request as a whole is refused (RFC 8620 §3.6.1), over HTTP or WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestError {
    UnknownCapability(String),
    NotJson(String),
    NotRequest(String),
    Limit { limit: &'static str, detail: String },
}

impl RequestError {
    pub fn urn(&self) -> &'static str {
        match self {
            RequestError::UnknownCapability(_) => "urn:ietf:params:jmap:error:unknownCapability",
            RequestError::NotJson(_) => "urn:ietf:params:jmap:error:notJSON",
            RequestError::NotRequest(_) => "urn:ietf:params:jmap:error:notRequest",
            RequestError::Limit { .. } => "urn:ietf:params:jmap:error:limit",
        }
    }

    fn detail(&self) -> &str {
        match self {
            RequestError::UnknownCapability(detail)
            | RequestError::NotJson(detail)
            | RequestError::NotRequest(detail)
            | RequestError::Limit { detail, .. } => detail,
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Problem {
        let limit = match &error {
            RequestError::Limit { limit, .. } => Some(*limit),
            RequestError::UnknownCapability(_)
            | RequestError::NotJson(_)
            | RequestError::NotRequest(_) => None,
        };
        Problem {
            kind: error.urn().into(),
            limit,
            ..Problem::new(StatusCode::BAD_REQUEST, error.detail())
        }
    }
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            kind: "about:blank".into(),
            detail: detail.into(),
            limit: None,
            headers: Vec::new(),
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
    }

    /// A limit of the core capability was reached: its name is told.
    pub fn limit(status: StatusCode, limit: &'static str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem {
            status,
            ..RequestError::Limit { limit, detail }.into()
        }
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// RFC 9728 §5.1: where a client finds out who gives tokens.
    pub fn pointing_to(mut self, url: &str) -> Problem {
        for (_, value) in &mut self.headers {
            let bearer = value.to_str().ok();
            let bearer = bearer.filter(|text| text.starts_with("Bearer "));
            let more = bearer.map(|text| format!("{text}, resource_metadata=\"{url}\""));
            if let Some(Ok(more)) = more.map(HeaderValue::try_from) {
                *value = more;
            }
        }
        self
    }

    /// RFC 9110 §10.2.3, in whole seconds and at least one.
    pub fn retry_after(self, wait: Duration) -> Problem {
        let seconds = wait.as_millis().div_ceil(1000).clamp(1, 86_400);
        self.with(header::RETRY_AFTER, HeaderValue::from(seconds as u64))
    }

    /// The members of the JSON object.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut members = serde_json::Map::new();
        members.insert("type".into(), json!(self.kind));
        members.insert("status".into(), json!(self.status.as_u16()));
        if let (true, Some(title)) = (self.kind == "about:blank", self.status.canonical_reason()) {
            members.insert("title".into(), json!(title));
        }
        members.insert("detail".into(), json!(self.detail));
        if let Some(limit) = self.limit {
            members.insert("limit".into(), json!(limit));
        }
        members
    }

    pub fn into_response(self) -> Response<Body> {
        let text = serde_json::Value::Object(self.to_json()).to_string();
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}
