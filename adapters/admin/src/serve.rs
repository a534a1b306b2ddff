//! From a request to its answer: login, limits, the body, the route, and what all answers have.
//!
//! Holds: nothing is read of a body before it is known whose it is; what has been begun is done to its end, also when the client goes
//! away; a refusal of a change is noted.

use std::{panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body;
use jmap_core::{
    Caller,
    admin::Deed,
    auth::{Credentials, Origin, Protocol},
};

use crate::{
    Admin, BASE, Client, DOCS_PATH, DOCUMENT_PATH, docs, openapi,
    problem::{Kind, PROBLEM_JSON, Problem, unauthorized},
    request::{self, Request, Visit},
    sign_in,
    table::{self, Answer, Found, Route, Run},
};

/// Octets of a body: a list with all its members.
pub const BODY_OCTETS_MAX: usize = 1 << 20;
/// Octets of a path and a query.
pub const URI_OCTETS_MAX: usize = 8 << 10;
/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits for others of its account.
pub const SLOT_WAIT: Duration = Duration::from_secs(10);

impl Admin {
    /// Answers a request for one of our addresses.
    pub async fn answer<B>(&self, request: HttpRequest<B>, client: Client) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let origin = own_origin(request.headers());
        let allowed = self.0.config.allowed_origin.clone();
        let admin = self.clone();
        // A task of its own: what has been begun is done to its end.
        let answered = tokio::spawn(async move {
            let answer = AssertUnwindSafe(admin.respond(request, &client)).catch_unwind();
            answer.await.unwrap_or_else(|_| {
                tracing::error!("answering an administrator's request panicked");
                Err(Problem::of(Kind::ServerFailed))
            })
        });
        let answered = answered
            .await
            .unwrap_or_else(|_| Err(Problem::of(Kind::ServerFailed)));
        let mut response = answered.unwrap_or_else(problem_response);
        finish(
            &mut response,
            origin.filter(|origin| Some(origin) == allowed.as_ref()),
        );
        response
    }

    async fn respond<B>(
        &self,
        http: HttpRequest<B>,
        client: &Client,
    ) -> Result<Response<Bytes>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = http.into_parts();
        let path = head.uri.path();
        if path.len() + head.uri.query().map_or(0, str::len) > URI_OCTETS_MAX {
            return Err(Problem::of(Kind::AddressTooLong));
        }
        if let Some(page) = page(&head.method, path)? {
            return Ok(page);
        }
        let below = path.strip_prefix(BASE).ok_or_else(Problem::not_found)?;
        let (route, values) = match table::find(&head.method, below) {
            Found::Route(route, values) => (route, values),
            Found::Other(methods) if head.method == Method::OPTIONS => {
                return Ok(options(&methods, self.allowed(&head.headers)));
            }
            Found::Other(methods) => return Err(not_allowed(&methods)),
            Found::Nothing => return Err(Problem::not_found()),
        };
        let run = match route.run {
            Run::LoggedIn(run) => run,
            Run::Open(run) => {
                let visit = Visit {
                    core: self.0.core.clone(),
                    origin: origin_of(client),
                    query: request::query(head.uri.query(), route)?,
                };
                return Ok(response(run(&visit).await?, false));
            }
        };
        let who = self.login(client, &head.headers).await?;
        self.check_site(route, client, &head.headers)?;
        let slot = self.0.requests.enter(who.account).await;
        let _slot = slot.map_err(|_| Problem::busy())?;
        let mut parameters = Vec::new();
        for (name, value) in values {
            let value = request::decoded(value).ok_or_else(Problem::not_found)?;
            parameters.push((name, value));
        }
        let query = request::query(head.uri.query(), route)?;
        let body = match route.body {
            Some(_) => receive(&head.headers, body).await?,
            None => Bytes::new(),
        };
        let request = Request {
            core: self.0.core.clone(),
            site: self.0.site.clone(),
            who,
            origin: origin_of(client),
            route,
            path: parameters,
            query,
            headers: head.headers,
            body,
        };
        let done = run(&request).await;
        if let Err(problem) = &done {
            self.note_refusal(&request, problem).await;
        }
        let answer = done?;
        let tag = answer.tag.as_deref();
        let is_known = route.method == Method::GET && tag.is_some_and(|tag| request.has(tag));
        Ok(response(answer, is_known))
    }

    async fn login(&self, client: &Client, fields: &HeaderMap) -> Result<Caller, Problem> {
        let is_safe = client.tls || client.ip.is_loopback();
        if !is_safe && !self.0.config.plaintext_logins {
            return Err(Problem::of(Kind::NotEncrypted));
        }
        let Some(field) = fields.get(header::AUTHORIZATION) else {
            return Err(unauthorized("A login is needed.", false));
        };
        let text = field.to_str().unwrap_or_default();
        let credentials = match Credentials::from_authorization(text) {
            Some(credentials) => Some(crate::factors::with_code(credentials, fields)),
            None => self.passkey(client, text, fields),
        };
        let Some(credentials) = credentials else {
            let why = "The Authorization field has to be of the Basic or Bearer scheme, or of the Passkey scheme from a page of this server.";
            return Err(unauthorized(why, false));
        };
        Ok(self.0.core.login(credentials, origin_of(client)).await?)
    }

    fn passkey(&self, client: &Client, field: &str, fields: &HeaderMap) -> Option<Credentials> {
        let page = own_origin(fields)?;
        let allowed = self.0.config.allowed_origin.as_deref();
        let is_ours = sign_in::is_page_of_ours(&page, client, allowed);
        sign_in::from_authorization(field, &page).filter(|_| is_ours)
    }

    fn allowed(&self, fields: &HeaderMap) -> bool {
        let origin = own_origin(fields);
        origin.is_some() && origin == self.0.config.allowed_origin
    }

    /// A browser may send a login along with what a page of another site asks for: nothing is changed then. Browsers say so.
    fn check_site(
        &self,
        route: &Route,
        client: &Client,
        fields: &HeaderMap,
    ) -> Result<(), Problem> {
        if !route.is_change() || self.allowed(fields) {
            return Ok(());
        }
        let site = fields.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_ours = matches!(site, None | Some(b"same-origin" | b"none"));
        let host = own_origin(fields);
        let host = host
            .as_deref()
            .map(|origin| origin.split_once("://").map(|(_, host)| host));
        let is_from_here = host.is_none_or(|host| host == Some(client.host.as_str()));
        match is_ours && is_from_here {
            true => Ok(()),
            false => Err(Problem::of(Kind::CrossSite)),
        }
    }

    /// Who may not do something and tries to, is noted.
    async fn note_refusal(&self, request: &Request, problem: &Problem) {
        let Some(operation) = request.route.operation else {
            return;
        };
        if problem.kind != Kind::Forbidden || !request.route.is_change() {
            return;
        }
        let object: Vec<&str> = request
            .path
            .iter()
            .map(|(_, value)| value.as_str())
            .collect();
        let deed = Deed::new(operation, object.join(" "));
        let noted = self
            .0
            .core
            .note_refusal(&request.who, deed, problem.kind.name());
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a refusal could not be noted");
        }
    }
}

/// What is public: the document and its pages.
fn page(method: &Method, path: &str) -> Result<Option<Response<Bytes>>, Problem> {
    let (text, content_type) = match path {
        DOCUMENT_PATH => (openapi::text(), "application/json"),
        DOCS_PATH => (docs::html(), "text/html; charset=utf-8"),
        _ => return Ok(None),
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(not_allowed(&[&Method::GET]));
    }
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Nothing is loaded from anywhere, and nothing runs.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    Ok(Some(response))
}

fn origin_of(client: &Client) -> Origin {
    Origin {
        ip: client.ip,
        protocol: Protocol::Admin,
        tls: client.tls,
    }
}

fn own_origin(fields: &HeaderMap) -> Option<String> {
    let origin = fields.get(header::ORIGIN)?.to_str().ok()?;
    Some(origin.to_owned())
}

fn allow(methods: &[&Method]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn not_allowed(methods: &[&Method]) -> Problem {
    Problem::of(Kind::MethodNotAllowed).with(header::ALLOW, allow(methods))
}

fn options(methods: &[&Method], is_allowed: bool) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, allow(methods));
    if is_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow(methods));
        let fields = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match";
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(fields),
        );
    }
    response
}

async fn receive<B>(fields: &HeaderMap, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let content_type = fields.get(header::CONTENT_TYPE);
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    // RFC 7396 §4: what a PATCH is; a browser can't send either for another site without asking.
    if !matches!(
        essence.as_deref(),
        Some("application/json" | "application/merge-patch+json")
    ) {
        return Err(Problem::of(Kind::UnsupportedMediaType));
    }
    if fields.contains_key(header::CONTENT_ENCODING) {
        let why = "A body is taken as it is, without a Content-Encoding.";
        return Err(Problem::new(Kind::UnsupportedMediaType, why));
    }
    let read = Limited::new(body, BODY_OCTETS_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::of(Kind::TooLarge)),
        Ok(Err(_)) => {
            let why = "The body of the request is broken.";
            Err(Problem::new(Kind::InvalidRequest, why))
        }
        Err(_) => Err(Problem::of(Kind::TooSlow)),
    }
}

/// `is_known`: the client has this version already.
fn response(answer: Answer, is_known: bool) -> Response<Bytes> {
    let mut response = match (&answer.body, is_known) {
        (Some(body), false) => Response::new(Bytes::from(body.to_string())),
        (None, _) | (_, true) => Response::new(Bytes::new()),
    };
    if let Some(events) = answer.events {
        events.put(&mut response);
    }
    *response.status_mut() = match is_known {
        true => StatusCode::NOT_MODIFIED,
        false => answer.status,
    };
    let headers = response.headers_mut();
    if answer.body.is_some() && !is_known {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    let fields = [
        (header::ETAG, answer.tag.clone()),
        (
            header::LOCATION,
            answer.location.map(|below| format!("{BASE}{below}")),
        ),
    ];
    for (name, value) in fields {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    response
}

fn problem_response(problem: Problem) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem.to_json().to_string()));
    *response.status_mut() = problem.kind.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    for (name, value) in problem.headers {
        headers.append(name, value);
    }
    response
}

/// What all responses have.
fn finish(response: &mut Response<Bytes>, allowed: Option<String>) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(Ok(origin)) = allowed.map(HeaderValue::try_from) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("ETag, Location, Retry-After");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}
