//! Upload and download (RFC 8620 §6.1, §6.2).
//!
//! Holds: a download has exactly the media type that was asked for and can do no harm in a browser: it is never shown as
//! a page of this host.
//! Other half: `jmap_core::Core::write_blob` and `read_blob`, which decide who may.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{self, HeaderName},
};
use jmap_types::{AccountId, BlobId};
use serde_json::json;

use crate::{
    api,
    auth::Login,
    bounds::RESPONSE_FREE_OCTETS,
    connection::Shared,
    encode::{body::Body, problem::Problem},
    incoming::Incoming,
    parse::{
        headers::{self, Coding, Range},
        url,
    },
    receive,
    room::Held,
    translate::{BUSY_WAIT, blob_problem},
};

const OCTET_STREAM: &str = "application/octet-stream";

/// Answers a POST to an account's upload address.
pub async fn upload(
    shared: &Arc<Shared>,
    login: Login,
    account: &str,
    http: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let account = account_id(account)?;
    let (head, body) = http.into_parts();
    let coding = head.headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        return Err(api::unsupported_coding("identity"));
    }
    let media_type = match head.headers.get(header::CONTENT_TYPE) {
        None => OCTET_STREAM.to_owned(),
        Some(field) => field
            .to_str()
            .ok()
            .and_then(headers::media_type)
            .ok_or_else(|| Problem::bad_request("The Content-Type is not a media type."))?
            .to_owned(),
    };
    let _slot = shared.uploads.enter(login.who.account).await.map_err(|_| {
        let limit = shared.core.limits().max_concurrent_upload;
        Problem::limit(
            StatusCode::TOO_MANY_REQUESTS,
            "maxConcurrentUpload",
            format!("At most {limit} uploads are received at a time."),
        )
        .retry_after(BUSY_WAIT)
    })?;
    let limit = shared.core.limits().max_size_upload;
    let room = shared.bodies.of(login.who.account);
    let received = receive::receive(room, body, limit).await;
    let received = received.map_err(|error| {
        api::receive_problem(error, || {
            Problem::limit(
                StatusCode::PAYLOAD_TOO_LARGE,
                "maxSizeUpload",
                format!("An upload may have at most {limit} octets."),
            )
        })
    })?;
    let size = received.octets.len();
    let written = shared
        .core
        .write_blob(&login.who, account, received.octets, &media_type)
        .await;
    let blob_id = written.map_err(blob_problem)?;
    let object = json!({
        "accountId": account.to_string(),
        "blobId": blob_id.to_string(),
        "type": media_type,
        "size": size,
    });
    let octets = object.to_string().into_bytes();
    let mut response = api::json_response(octets, Coding::Identity).await;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// What a download's address says.
#[derive(Debug, PartialEq, Eq)]
pub struct Download {
    account: AccountId,
    blob: BlobId,
    media_type: String,
    name: String,
}

impl Download {
    pub fn parse(
        account: &str,
        blob: &str,
        name: &str,
        query: Option<&str>,
    ) -> Result<Download, Problem> {
        let blob = url::decode(blob).as_deref().and_then(BlobId::parse);
        let name = url::decode(name)
            .ok_or_else(|| Problem::bad_request("The name is not percent-encoded UTF-8."))?;
        let media_type = match url::parameter(query, "type") {
            None => OCTET_STREAM.to_owned(),
            Some(text) => text
                .as_deref()
                .and_then(headers::media_type)
                .ok_or_else(|| Problem::bad_request("The type is not a media type."))?
                .to_owned(),
        };
        Ok(Download {
            account: account_id(account)?,
            blob: blob.ok_or_else(Problem::not_found)?,
            media_type,
            name,
        })
    }
}

/// Answers a GET.
pub async fn download(
    shared: &Arc<Shared>,
    login: Login,
    what: Download,
    fields: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let slot = shared.downloads.enter(login.who.account).await;
    let slot = slot.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many downloads are going on at a time.",
        )
        .retry_after(BUSY_WAIT)
    })?;
    let (octets, room) = read(shared, &login, &what).await?;
    let etag = format!("\"{}\"", what.blob);
    let size = octets.len() as u64;
    let unchanged = headers::text(fields, &header::IF_NONE_MATCH)
        .is_some_and(|field| headers::matches_etag(field, &etag));
    let range = match headers::text(fields, &header::IF_RANGE) {
        // RFC 9110 §13.1.5: the range is meant for another state of the entity.
        Some(field) if field.trim() != etag => Range::Whole,
        _ => headers::range(headers::text(fields, &header::RANGE), size),
    };
    let mut response = match range {
        _ if unchanged => with_status(StatusCode::NOT_MODIFIED, Body::empty()),
        Range::Whole => Response::new(Body::full(octets)),
        Range::Part(first, last) => {
            let part = octets.slice(first as usize..=last as usize);
            let mut response = with_status(StatusCode::PARTIAL_CONTENT, Body::full(part));
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes {first}-{last}/{size}"),
            );
            response
        }
        Range::Unsatisfiable => {
            let mut response = with_status(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty());
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            return Ok(response);
        }
    };
    response.body_mut().keep((slot, room));
    set(&mut response, header::ETAG, &etag);
    set(&mut response, header::CONTENT_TYPE, &what.media_type);
    // RFC 8620 §6.2, RFC 8246.
    let cache = "private, immutable, max-age=31536000";
    set(&mut response, header::CACHE_CONTROL, cache);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    // Mail brings HTML of strangers along: it is not to run as a page of this host.
    let policy = "sandbox; default-src 'none'";
    set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_DISPOSITION, headers::attachment(&what.name));
    fields.insert(header::VARY, HeaderValue::from_static("Authorization"));
    Ok(response)
}

/// The octets of a blob, with the room that they take until they are sent.
async fn read(shared: &Shared, login: &Login, what: &Download) -> Result<(Bytes, Held), Problem> {
    let read = || shared.core.read_blob(&login.who, what.account, what.blob);
    let octets = read().await.map_err(blob_problem)?;
    let mut room = shared.responses.of(login.who.account);
    let size = octets.len() as u64;
    if size <= RESPONSE_FREE_OCTETS || room.have_at_once(size).is_ok() {
        return Ok((octets, room));
    }
    // Nothing is kept in memory while it waits; a blob never changes.
    drop(octets);
    room.have(size).await.map_err(|_| api::no_room())?;
    let octets = read().await.map_err(blob_problem)?;
    Ok((octets, room))
}

fn with_status(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// RFC 8620 §6: an account that isn't one is an address that isn't one.
fn account_id(text: &str) -> Result<AccountId, Problem> {
    let decoded = url::decode(text);
    let id = decoded.as_deref().and_then(AccountId::parse);
    id.ok_or_else(Problem::not_found)
}
