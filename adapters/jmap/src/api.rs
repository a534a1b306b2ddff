//! The API endpoint (RFC 8620 §3.1): one Request in, one Response out.
//!
//! Holds: an account has a bounded number of requests at once, each until its response has been sent; a response that is
//! large has its room until then.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request as HttpRequest, Response as HttpResponse, StatusCode, header,
};
use jmap_types::Value;
use tokio::task;

use crate::{
    auth::Login,
    bounds::RESPONSE_FREE_OCTETS,
    connection::Shared,
    encode::{
        body::Body,
        compress::{self, BLOCKING_OCTETS_MIN, COMPRESS_OCTETS_MIN, DecompressError},
        problem::{Problem, RequestError},
        response::to_json,
    },
    incoming::Incoming,
    parse::{
        headers::{self, Coding},
        request::{self, Request},
    },
    process,
    receive::{self, ReceiveError},
    room::Held,
    session,
    translate::BUSY_WAIT,
};

/// Answers a POST.
pub async fn post(
    shared: &Arc<Shared>,
    login: Login,
    base_url: &str,
    http: HttpRequest<Incoming>,
) -> Result<HttpResponse<Body>, Problem> {
    let (head, body) = http.into_parts();
    if !headers::is_json(head.headers.get(header::CONTENT_TYPE)) {
        let detail = "The request has to be of the type application/json.";
        return Err(RequestError::NotJson(detail.into()).into());
    }
    let sent_as = content_coding(&head.headers)?;
    let slot = shared.requests.enter(login.who.account).await;
    let slot = slot.map_err(|_| too_many_requests(shared))?;
    let limit = shared.core.limits().max_size_request;
    let room = shared.bodies.of(login.who.account);
    let received = receive::receive(room, body, limit).await;
    let received = received.map_err(|error| receive_problem(error, || too_large(shared)))?;
    let octets = decompress(shared, received.octets, sent_as).await?;
    let request = read(octets).await.and_then(request::request)?;
    let response_as = headers::accepted_coding(&head.headers);
    let answered = answer(
        shared.clone(),
        login,
        base_url.to_owned(),
        request,
        response_as,
    );
    // A task of its own: what has been begun is done to its end, also when the client goes away.
    let answered = task::spawn(async move {
        let answered = answered.await;
        drop(received.room);
        (answered, slot)
    });
    let (answered, slot) = answered.await.map_err(|error| {
        tracing::error!(%error, "a request was not answered");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The server failed.")
    })?;
    let mut response = answered?;
    response.body_mut().keep(slot);
    Ok(response)
}

async fn answer(
    shared: Arc<Shared>,
    login: Login,
    base_url: String,
    request: Request,
    coding: Coding,
) -> Result<HttpResponse<Body>, Problem> {
    let (octets, mut room) = respond(&shared, &login, &base_url, request, to_json).await?;
    let mut response = json_response(octets, coding).await;
    let body = response.body_mut();
    room.shrink_to(body.octets() as u64);
    body.keep(room);
    Ok(response)
}

/// Checks and processes a request, and writes its response, which has room. For both HTTP and WebSocket.
pub async fn respond(
    shared: &Shared,
    login: &Login,
    base_url: &str,
    request: Request,
    write: impl FnOnce(&crate::encode::response::Response) -> Vec<u8>,
) -> Result<(Vec<u8>, Held), Problem> {
    let limits = &*shared.core.limits();
    let offered = |uri: &str| session::is_offered(limits, &shared.config, uri);
    process::check(&request, offered, shared.core.limits().max_calls_in_request)?;
    let who = login.who.clone();
    let core = shared.core.clone();
    let session = session::session(&core, &shared.config, &who, base_url).await?;
    let room = shared.responses.of(who.account);
    let bounds = &shared.config.bounds;
    let (response, mut room) =
        process::process(core, who, request, session.state, bounds, room).await;
    let octets = write(&response);
    drop(response);
    let size = octets.len() as u64;
    room.shrink_to(size);
    // What is escaped in JSON is longer than what was counted before.
    if size > RESPONSE_FREE_OCTETS && room.have_at_once(size).is_err() {
        return Err(no_room());
    }
    Ok((octets, room))
}

/// There is no room for a response.
pub fn no_room() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The server has no room for the response at the moment.",
    )
    .retry_after(BUSY_WAIT)
}

/// Reads JSON; much of it where it keeps nobody else waiting.
pub async fn read(octets: Bytes) -> Result<Value, RequestError> {
    if octets.len() < BLOCKING_OCTETS_MIN {
        return request::json(&octets);
    }
    let read = task::spawn_blocking(move || request::json(&octets)).await;
    read.unwrap_or_else(|_| Err(RequestError::NotJson("The request can't be read.".into())))
}

/// A response of type `application/json`, compressed if the client takes that.
pub async fn json_response(octets: Vec<u8>, coding: Coding) -> HttpResponse<Body> {
    let compressed = match octets.len() {
        0..COMPRESS_OCTETS_MIN => (octets, None),
        COMPRESS_OCTETS_MIN..BLOCKING_OCTETS_MIN => compressed(octets, coding),
        BLOCKING_OCTETS_MIN.. => {
            let work = task::spawn_blocking(move || compressed(octets, coding));
            work.await.unwrap_or_else(|_| (Vec::new(), None))
        }
    };
    let (octets, coding) = compressed;
    let mut response = HttpResponse::new(Body::full(octets));
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // RFC 8620 §2: nothing in between may keep a session object, nor anything else.
    let never = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    headers.insert(header::CACHE_CONTROL, never);
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn compressed(octets: Vec<u8>, coding: Coding) -> (Vec<u8>, Option<&'static str>) {
    let name = match coding {
        Coding::Identity => return (octets, None),
        Coding::Gzip => "gzip",
        Coding::Zstd => "zstd",
    };
    match compress::compress(&octets, coding) {
        Some(compressed) => (compressed, Some(name)),
        None => (octets, None),
    }
}

/// RFC 9110 §8.4: how a request's body is compressed.
fn content_coding(fields: &HeaderMap) -> Result<Coding, Problem> {
    let Some(field) = fields.get(header::CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    match field
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "identity" | "" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        _ => Err(unsupported_coding("gzip, zstd")),
    }
}

/// RFC 9110 §15.5.16, with what is supported.
pub fn unsupported_coding(supported: &'static str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The request's Content-Encoding is not supported here.",
    )
    .with(header::ACCEPT_ENCODING, HeaderValue::from_static(supported))
}

async fn decompress(shared: &Shared, octets: Bytes, coding: Coding) -> Result<Bytes, Problem> {
    if coding == Coding::Identity {
        return Ok(octets);
    }
    let limit = shared.core.limits().max_size_request as usize;
    let work = task::spawn_blocking(move || compress::decompress(&octets, coding, limit)).await;
    match work.unwrap_or(Err(DecompressError::Broken)) {
        Ok(octets) => Ok(octets.into()),
        Err(DecompressError::TooLarge) => Err(too_large(shared)),
        Err(DecompressError::Broken) => {
            Err(RequestError::NotJson("The request can't be decompressed.".into()).into())
        }
    }
}

fn too_large(shared: &Shared) -> Problem {
    let limit = shared.core.limits().max_size_request;
    let detail = format!("A request may have at most {limit} octets.");
    RequestError::Limit {
        limit: "maxSizeRequest",
        detail,
    }
    .into()
}

pub fn too_many_requests(shared: &Shared) -> Problem {
    let limit = shared.core.limits().max_concurrent_requests;
    Problem::limit(
        StatusCode::TOO_MANY_REQUESTS,
        "maxConcurrentRequests",
        format!("At most {limit} requests are processed at a time."),
    )
    .retry_after(BUSY_WAIT)
}

/// A body that was not received.
pub fn receive_problem(error: ReceiveError, too_large: impl FnOnce() -> Problem) -> Problem {
    match error {
        ReceiveError::TooLarge => too_large(),
        ReceiveError::TooSlow => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "The body of the request came too slowly.",
        ),
        ReceiveError::Broken => Problem::bad_request("The body of the request is broken."),
        ReceiveError::NoRoom => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The server has no room for the request at the moment.",
        )
        .retry_after(BUSY_WAIT),
    }
}
