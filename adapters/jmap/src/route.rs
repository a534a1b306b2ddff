//! Which request is whose: addresses, methods, and what is the same for all of them.
//!
//! Holds: every request gets a response, also when answering it panics; every error is a problem object (RFC 7807).

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use jmap_core::bans::BanRule;

use crate::{
    api,
    auth::{self, Login},
    blob::{self, Download},
    client::Client,
    connection::{Exchange, Shared},
    encode::{body::Body, problem::Problem},
    incoming::{Incoming, Reading},
    parse::{headers::accepted_coding, url},
    push::{event_source, websocket},
    receive, session,
};

/// Octets of a request's path and query.
pub const URI_OCTETS_MAX: usize = 8 << 10;
/// Seconds that a browser may keep what a preflight said.
const PREFLIGHT_SECONDS: &str = "86400";

/// What is at an address.
#[derive(Debug, PartialEq, Eq)]
enum Route<'p> {
    Session,
    Api,
    Upload {
        account: &'p str,
    },
    Download {
        account: &'p str,
        blob: &'p str,
        name: &'p str,
    },
    EventSource,
    WebSocket,
    Health,
    Metrics,
}

/// Where the session resource is, besides `/.well-known/jmap` (RFC 8620 §2).
pub const SESSION_PATH: &str = "/jmap/session";

impl<'p> Route<'p> {
    fn find(path: &'p str) -> Option<Route<'p>> {
        match path {
            "/healthz" => return Some(Route::Health),
            "/metrics" => return Some(Route::Metrics),
            "/.well-known/jmap" => return Some(Route::Session),
            _ => {}
        }
        let path = path.strip_prefix("/jmap/")?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.splitn(4, '/');
        let parts: [Option<&str>; 4] = std::array::from_fn(|_| parts.next());
        match parts {
            [Some("session"), None, ..] => Some(Route::Session),
            [Some("api"), None, ..] => Some(Route::Api),
            [Some("eventsource"), None, ..] => Some(Route::EventSource),
            [Some("ws"), None, ..] => Some(Route::WebSocket),
            [Some("upload"), Some(account), None, _] => Some(Route::Upload { account }),
            // A name that was not encoded may have slashes.
            [Some("download"), Some(account), Some(blob), name] => Some(Route::Download {
                account,
                blob,
                name: name.unwrap_or_default(),
            }),
            _ => None,
        }
    }

    fn allowed(&self) -> &'static str {
        match self {
            Route::Api | Route::Upload { .. } => "POST, OPTIONS",
            Route::EventSource | Route::WebSocket => "GET, OPTIONS",
            Route::Session | Route::Download { .. } | Route::Health | Route::Metrics => {
                "GET, HEAD, OPTIONS"
            }
        }
    }

    fn allows(&self, method: &Method) -> bool {
        let mut allowed = self.allowed().split(", ");
        allowed.any(|allowed| allowed == method.as_str())
    }
}

/// Answers one request.
pub async fn respond(
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
    request: Request<hyper::body::Incoming>,
) -> Response<Body> {
    let busy = exchange.begin();
    let version = request.version();
    let (request, reading) = Incoming::of(request);
    let answer = AssertUnwindSafe(answer(&shared, &exchange, request)).catch_unwind();
    let mut response = answer.await.unwrap_or_else(|_| {
        tracing::error!("answering a request panicked");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The server failed.").into_response()
    });
    say_close(version, &reading, &mut response);
    busy.until_sent(response.body_mut());
    response
}

/// RFC 9112 §9.6: what is left of a request's body is in the way of the next request, so the connection ends. The client
/// is told in the last response, or it would send another one in vain. HTTP/2 ends the stream alone.
fn say_close(version: Version, reading: &Reading, response: &mut Response<Body>) {
    let goes_on = reading.is_done() || response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if version < Version::HTTP_2 && !goes_on {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
}

async fn answer(
    shared: &Arc<Shared>,
    exchange: &Arc<Exchange>,
    request: Request<Incoming>,
) -> Response<Body> {
    let client = Client::new(
        &exchange.transport,
        &shared.config,
        request.uri(),
        request.headers(),
    );
    // The connection may be a proxy's, which is never banned.
    if shared.core.is_banned(client.ip) {
        let detail = "Your address is banned for now.";
        return finish(
            shared,
            Problem::new(StatusCode::FORBIDDEN, detail).into_response(),
        );
    }
    if !has_host(request.version(), request.headers()) {
        let detail = "A request needs one Host field, with the name of a host.";
        let problem = Problem::new(StatusCode::BAD_REQUEST, detail);
        return finish(shared, problem.into_response());
    }
    let path = request.uri().path().to_owned();
    let Some(route) = Route::find(&path) else {
        let is_stranger = !request.headers().contains_key(header::AUTHORIZATION)
            && !is_of_another_site(request.headers());
        let ip = client.ip;
        let response = match &shared.config.fallback {
            Some(fallback) => fallback(request, client).await,
            None => finish(shared, Problem::not_found().into_response()),
        };
        if is_stranger && response.status() == StatusCode::NOT_FOUND && !is_harmless(&path) {
            let detail = format!("the last {}", path.escape_debug());
            shared.core.note_offence(ip, BanRule::Probing, &detail);
        }
        return response;
    };
    let query_octets = request.uri().query().map_or(0, str::len);
    let response = if path.len() + query_octets > URI_OCTETS_MAX {
        Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "The address is too long.",
        ))
    } else if !route.allows(request.method()) {
        let detail = "This address doesn't know the method.";
        let allow = HeaderValue::from_static(route.allowed());
        Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with(header::ALLOW, allow))
    } else if request.method() == Method::OPTIONS {
        Ok(preflight(&route))
    } else {
        dispatch(shared, exchange, &client, route, request).await
    };
    finish(shared, response.unwrap_or_else(Problem::into_response))
}

/// RFC 9112 §3.2: a request of HTTP/1.1 says once for which host it is; one of HTTP/1.0 needn't, yet not twice.
/// HTTP/2 has `:authority` for that.
fn has_host(version: Version, fields: &HeaderMap) -> bool {
    let mut hosts = fields.get_all(header::HOST).iter();
    let is_good = |field: &HeaderValue| field.to_str().ok().and_then(url::host).is_some();
    match (hosts.next(), hosts.next()) {
        _ if version >= Version::HTTP_2 => true,
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_good(host),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a browser says that a page of another site has asked for it: no page can have those banned who look at it.
fn is_of_another_site(fields: &HeaderMap) -> bool {
    let site = fields.get("sec-fetch-site").map(HeaderValue::as_bytes);
    !matches!(site, None | Some(b"same-origin" | b"none"))
}

/// What browsers, mail programs and certificate authorities look for by themselves, whether it is there or not.
fn is_harmless(path: &str) -> bool {
    const KNOWN: [&str; 5] = [
        "/.well-known/",
        "/favicon",
        "/apple-touch-icon",
        "/robots.txt",
        "/principals",
    ];
    KNOWN.iter().any(|known| path.starts_with(known))
}

async fn dispatch(
    shared: &Arc<Shared>,
    exchange: &Arc<Exchange>,
    client: &Client,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    match route {
        Route::Health => return Ok(health(shared, exchange)),
        Route::Metrics => return metrics(shared, client),
        _ => {}
    }
    let login = auth::login(&shared.core, &shared.config, client, request.headers()).await;
    let login = match login {
        Ok(login) => login,
        Err(problem) => {
            receive::discard(request.into_body()).await;
            return Err(problem);
        }
    };
    match route {
        Route::Session => get_session(shared, &login, client, request.headers()).await,
        Route::Api => api::post(shared, login, &client.base_url, request).await,
        Route::Upload { account } => blob::upload(shared, login, account, request).await,
        Route::Download {
            account,
            blob,
            name,
        } => {
            let what = Download::parse(account, blob, name, request.uri().query())?;
            blob::download(shared, login, what, request.headers()).await
        }
        Route::EventSource => event_source::get(shared, exchange, login, &request).await,
        Route::WebSocket => websocket::upgrade(shared, exchange, login, client, request).await,
        Route::Health | Route::Metrics => Err(Problem::not_found()),
    }
}

async fn get_session(
    shared: &Shared,
    login: &Login,
    client: &Client,
    fields: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let (core, config) = (&shared.core, &shared.config);
    let session = session::session(core, config, &login.who, &client.base_url).await?;
    let octets = session.json.to_string().into_bytes();
    Ok(api::json_response(octets, accepted_coding(fields)).await)
}

/// Whether the server takes requests: for load balancers.
fn health(shared: &Shared, exchange: &Exchange) -> Response<Body> {
    if exchange.shutdown.is_requested() {
        let detail = "The server is being stopped.";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    }
    if !shared.core.is_writable() {
        let detail = "The database can't be written at the moment; reading goes on.";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    }
    match &shared.core.supervisor.failing()[..] {
        [] => plain_text("ok\n"),
        // Mail is kept all the same. What fails here may fail on all nodes, and a balancer would leave none.
        failing => plain_text(format!("ok, but this fails: {}\n", failing.join(", "))),
    }
}

fn metrics(shared: &Shared, client: &Client) -> Result<Response<Body>, Problem> {
    let networks = &shared.config.metrics_networks;
    let may = networks.iter().any(|network| network.contains(client.ip));
    match &shared.config.metrics {
        Some(metrics) if may => Ok(plain_text(metrics())),
        Some(_) | None => Err(Problem::not_found()),
    }
}

fn plain_text(text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a browser asks before a page of another host makes a request (Fetch standard, CORS).
fn preflight(route: &Route<'_>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields: [(HeaderName, &'static str); 4] = [
        (header::ALLOW, route.allowed()),
        (header::ACCESS_CONTROL_ALLOW_METHODS, route.allowed()),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Accept, Cache-Control, If-None-Match, Last-Event-ID, Range",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    for (name, value) in fields {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What all responses have.
fn finish(shared: &Shared, mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let origin = &shared.config.allowed_origin;
    if let Ok(value) = HeaderValue::from_str(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        let exposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, Retry-After, WWW-Authenticate";
        let exposed = HeaderValue::from_static(exposed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use hyper::{server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn addresses() {
        let download = |account, blob, name| {
            Some(Route::Download {
                account,
                blob,
                name,
            })
        };
        let rows = [
            ("/.well-known/jmap", Some(Route::Session)),
            (SESSION_PATH, Some(Route::Session)),
            ("/jmap/api", Some(Route::Api)),
            ("/jmap/api/", Some(Route::Api)),
            ("/jmap/upload/a1", Some(Route::Upload { account: "a1" })),
            ("/jmap/upload/a1/", Some(Route::Upload { account: "a1" })),
            ("/jmap/upload", None),
            ("/jmap/upload/a1/x", None),
            ("/jmap/download/a1/b2/x.txt", download("a1", "b2", "x.txt")),
            (
                "/jmap/download/a1/b2/x/y.txt",
                download("a1", "b2", "x/y.txt"),
            ),
            ("/jmap/download/a1/b2/", download("a1", "b2", "")),
            ("/jmap/download/a1", None),
            ("/jmap/eventsource", Some(Route::EventSource)),
            ("/jmap/eventsource/", Some(Route::EventSource)),
            ("/jmap/ws", Some(Route::WebSocket)),
            ("/healthz", Some(Route::Health)),
            ("/metrics", Some(Route::Metrics)),
            ("/jmap", None),
            ("/jmap/", None),
            ("/jmap/api/x", None),
            ("/", None),
            ("", None),
        ];
        for (path, expected) in rows {
            assert_eq!(Route::find(path), expected, "{path}");
        }
        assert!(Route::Api.allows(&Method::POST) && !Route::Api.allows(&Method::GET));
        assert!(Route::Session.allows(&Method::HEAD) && !Route::Session.allows(&Method::POST));
    }

    #[test]
    fn hosts() {
        let rows: [(&[&str], bool, bool); 8] = [
            // The fields; whether HTTP/1.0 and HTTP/1.1 take them.
            (&[], true, false),
            (&[""], false, false),
            (&["mail.example.org"], true, true),
            (&["mail.example.org:8080"], true, true),
            (&["[::1]:8080"], true, true),
            (&["a", "a"], false, false),
            (&["a/b"], false, false),
            (&["a b"], false, false),
        ];
        for (hosts, old, new) in rows {
            let mut fields = HeaderMap::new();
            for host in hosts {
                fields.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            let has = |version| has_host(version, &fields);
            assert_eq!(has(Version::HTTP_10), old, "{hosts:?}");
            assert_eq!(has(Version::HTTP_11), new, "{hosts:?}");
            assert!(has(Version::HTTP_2), "{hosts:?}");
        }
    }

    /// Answers one request of HTTP/1.1, whose body is read or isn't, and gives the head of the answer.
    async fn head_of_answer(request: &str, is_read: bool) -> String {
        let (mut client, server) = duplex(4096);
        let service = service_fn(move |request: Request<hyper::body::Incoming>| async move {
            let version = request.version();
            let (request, reading) = Incoming::of(request);
            if is_read {
                request.into_body().collect().await.unwrap();
            }
            let mut response = Response::new(Body::empty());
            say_close(version, &reading, &mut response);
            Ok::<_, Infallible>(response)
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::spawn(serving);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    }

    #[tokio::test]
    async fn a_body_that_was_not_read_closes_and_says_so() {
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let rows = [
            // The rest of a request; whether its body is read; whether the connection ends.
            ("\r\n", false, false),
            ("Content-Length: 0\r\n\r\n", false, false),
            ("Content-Length: 3\r\n\r\nabc", true, false),
            ("Content-Length: 3\r\n\r\nabc", false, true),
            ("Content-Length: 3\r\n\r\n", false, true),
            (chunked, true, false),
            (chunked, false, true),
        ];
        for (rest, is_read, closes) in rows {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}");
            let head = head_of_answer(&request, is_read).await;
            let says = head.contains("\r\nconnection: close\r\n");
            assert_eq!(says, closes, "{request:?}, read: {is_read}: {head}");
        }
    }
}
