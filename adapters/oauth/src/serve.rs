//! From a request to its answer: which address is whose, the body, and what all answers have.
//!
//! Holds: a body is read only at an address that wants one; what has been begun is done to its end; nothing is kept by caches; pages
//! of other hosts may use what programs use, and no more.
//! Other half: `token`, `register` and `pages` answer.

use std::{panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use jmap_core::auth::oauth::ErrorCode;
use serde_json::Value;

use crate::{
    Client, Provider,
    error::Refusal,
    form::{BODY_OCTETS_MAX, Form},
    html,
    metadata::{
        self, AUTHORIZE_PATH, DEVICE_AUTHORIZATION_PATH, DEVICE_PATH, INTROSPECT_PATH, JWKS_PATH,
        OPENID_PATH, REGISTER_PATH, RESOURCE_PATH, REVOKE_PATH, SCRIPT_PATH, SERVER_PATH,
        STYLE_PATH, TOKEN_PATH, USERINFO_PATH,
    },
};

/// Octets of a path and a query.
pub const URI_OCTETS_MAX: usize = 16 << 10;
/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Server,
    Resource,
    Jwks,
    Style,
    Script,
    Authorize,
    Device,
    Token,
    BeginDevice,
    Register,
    Introspect,
    Revoke,
    Userinfo,
}

impl Place {
    fn find(path: &str) -> Option<Place> {
        Some(match path {
            SERVER_PATH | OPENID_PATH => Place::Server,
            JWKS_PATH => Place::Jwks,
            STYLE_PATH => Place::Style,
            SCRIPT_PATH => Place::Script,
            AUTHORIZE_PATH => Place::Authorize,
            DEVICE_PATH => Place::Device,
            TOKEN_PATH => Place::Token,
            DEVICE_AUTHORIZATION_PATH => Place::BeginDevice,
            REGISTER_PATH => Place::Register,
            INTROSPECT_PATH => Place::Introspect,
            REVOKE_PATH => Place::Revoke,
            USERINFO_PATH => Place::Userinfo,
            // RFC 9728 §3.1: the path of the resource follows.
            _ if below_resource(path).is_some() => Place::Resource,
            _ => return None,
        })
    }

    /// Those that people see.
    fn is_page(self) -> bool {
        matches!(self, Place::Authorize | Place::Device)
    }

    fn methods(self) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET, Method::HEAD];
        const POST: &[Method] = &[Method::POST];
        const BOTH: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
        match self {
            Place::Server | Place::Resource | Place::Jwks | Place::Style | Place::Script => GET,
            Place::Authorize | Place::Device | Place::Userinfo => BOTH,
            Place::Token
            | Place::BeginDevice
            | Place::Register
            | Place::Introspect
            | Place::Revoke => POST,
        }
    }
}

fn below_resource(path: &str) -> Option<&str> {
    let below = path.strip_prefix(RESOURCE_PATH)?;
    (below.is_empty() || below.starts_with('/')).then_some(below)
}

/// Whether a path is one of ours.
pub fn is_ours(path: &str) -> bool {
    Place::find(path).is_some()
}

impl Provider {
    /// Answers a request for one of our addresses.
    pub async fn answer<B>(&self, request: Request<B>, client: Client) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let place = Place::find(request.uri().path());
        let is_page = place.is_some_and(Place::is_page);
        let provider = self.clone();
        // A task of its own: what has been begun is done to its end.
        let answered = tokio::spawn(async move {
            let answer = AssertUnwindSafe(provider.respond(place, request, &client)).catch_unwind();
            answer.await.unwrap_or_else(|_| {
                tracing::error!("answering a request of OAuth panicked");
                Err(Refusal::new(ErrorCode::ServerError, "the server failed"))
            })
        });
        let failed = || Err(Refusal::new(ErrorCode::ServerError, "the server failed"));
        let answered = answered.await.unwrap_or_else(|_| failed());
        let mut response = answered.unwrap_or_else(|refusal| match is_page {
            true => html::refusal(refusal.status(), &refusal.why),
            false => refusal.into_response(),
        });
        finish(&mut response, is_page);
        response
    }

    async fn respond<B>(
        &self,
        place: Option<Place>,
        request: Request<B>,
        client: &Client,
    ) -> Result<Response<Bytes>, Refusal>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let place = place.ok_or_else(|| Refusal::invalid("there is nothing here"))?;
        let query = head.uri.query().unwrap_or_default();
        if head.uri.path().len() + query.len() > URI_OCTETS_MAX {
            return Err(Refusal::invalid("the address is too long"));
        }
        if head.method == Method::OPTIONS && !place.is_page() {
            return Ok(preflight(place));
        }
        if !place.methods().contains(&head.method) {
            return Ok(not_allowed(place));
        }
        let is_safe = client.tls || client.ip.is_loopback() || self.0.config.plaintext_logins;
        if !is_safe {
            let why = "this is possible over an encrypted connection (HTTPS) only";
            return Err(Refusal::invalid(why));
        }
        match place {
            Place::Server => {
                let document = metadata::server(client, &self.0.config);
                return Ok(json(StatusCode::OK, &document));
            }
            Place::Resource => {
                let below = below_resource(head.uri.path()).unwrap_or_default();
                let document = metadata::resource(client, below);
                return Ok(json(StatusCode::OK, &document));
            }
            Place::Jwks => return Ok(json(StatusCode::OK, &self.0.core.jwks().await?)),
            Place::Style => return Ok(html::style()),
            Place::Script => return Ok(html::script()),
            Place::Userinfo => return self.userinfo(&head.headers).await,
            _ => {}
        }
        let text = match head.method {
            Method::POST => receive(&head, body, place).await?,
            _ => Bytes::copy_from_slice(query.as_bytes()),
        };
        if place == Place::Register {
            return self.register(client, &text).await;
        }
        let form = std::str::from_utf8(&text).ok().and_then(Form::parse);
        let why = "the request is no form, or a parameter comes twice";
        let form = form.ok_or_else(|| Refusal::invalid(why))?;
        match place {
            Place::Authorize => self.authorize_page(client, &head, &form).await,
            Place::Device => self.device_page(client, &head, &form).await,
            Place::Token => self.token(client, &head.headers, &form).await,
            Place::BeginDevice => self.begin_device(client, &head.headers, &form).await,
            Place::Introspect => self.introspect(client, &head.headers, &form).await,
            _ => self.revoke(&head.headers, &form).await,
        }
    }
}

async fn receive<B>(head: &Parts, body: B, place: Place) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let wanted = match place {
        Place::Register => JSON,
        _ => FORM,
    };
    if !is_of_type(&head.headers, wanted) {
        let why = format!("the body has to be of the type {wanted}");
        return Err(Refusal::invalid(&why));
    }
    let read = Limited::new(body, BODY_OCTETS_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::invalid("the body is too large, or broken")),
        Err(_) => Err(Refusal::invalid("the body came too slowly")),
    }
}

fn is_of_type(fields: &HeaderMap, wanted: &str) -> bool {
    let field = fields.get(header::CONTENT_TYPE);
    let text = field.and_then(|field| field.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

pub fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(JSON);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn allow(place: Place) -> HeaderValue {
    let names: Vec<&str> = place.methods().iter().map(Method::as_str).collect();
    let text = format!("{}, OPTIONS", names.join(", "));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

fn not_allowed(place: Place) -> Response<Bytes> {
    let refusal = Refusal::invalid("this address doesn't know the method");
    let mut response = refusal.into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, allow(place));
    response
}

/// What a browser asks before a page of another host makes a request (Fetch standard, CORS).
fn preflight(place: Place) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, allow(place));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allow(place));
    let fields = HeaderValue::from_static("Authorization, Content-Type");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("86400"),
    );
    response
}

/// What all responses have.
fn finish(response: &mut Response<Bytes>, is_page: bool) {
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // RFC 6749 §5.1.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if is_page {
        // Forms say where they are from; other hosts learn nothing.
        let own = HeaderValue::from_static("same-origin");
        headers.insert(header::REFERRER_POLICY, own);
        return;
    }
    // No cookie counts at these.
    let anybody = HeaderValue::from_static("*");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (path, want) in [
            ("/oauth/token", Some(Place::Token)),
            ("/oauth/token/", None),
            ("/oauth/", None),
            ("/.well-known/openid-configuration", Some(Place::Server)),
            (
                "/.well-known/oauth-authorization-server",
                Some(Place::Server),
            ),
            (
                "/.well-known/oauth-protected-resource",
                Some(Place::Resource),
            ),
            (
                "/.well-known/oauth-protected-resource/jmap/session",
                Some(Place::Resource),
            ),
            ("/.well-known/oauth-protected-resourceful", None),
            ("/.well-known/jmap", None),
        ] {
            assert_eq!(Place::find(path), want, "{path}");
        }
    }
}
