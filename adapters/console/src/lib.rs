//! The web console: its files at `/admin/` and `/account/`, out of the binary.
//!
//! Holds: a page may run the console's own code alone, and speak with this server alone; what has its hash in its name is kept
//! by browsers for ever, and the page that names it never.
//! Other half: `web-admin` is what runs in the browser; the binary puts this behind the HTTP server.

mod assets;
mod coding;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use assets::{ASSETS, Asset, PAGE};
use coding::Coding;

/// What administrators work with.
pub const ADMIN_PATH: &str = "/admin/";
/// Everybody's own page.
pub const ACCOUNT_PATH: &str = "/account/";
/// Where the page finds its files.
const ASSETS_PATH: &str = "/admin/assets/";

/// Nothing but the console's own files, and no code in the page itself. `wasm-unsafe-eval` is what compiling WebAssembly needs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// The page of a binary that has no console.
const WITHOUT: &str = include_str!("without.html");

/// What of a request counts here.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    pub method: &'r Method,
    pub path: &'r str,
    pub fields: &'r HeaderMap,
}

/// Answers at the console's addresses, and sends a browser that names no page there. `None`: the address is another's.
pub fn answer(request: Request<'_>) -> Option<Response<Bytes>> {
    let answer = match request.path {
        "/" if accepts_html(request.fields) => redirect(ADMIN_PATH),
        "/admin" => redirect(ADMIN_PATH),
        "/account" => redirect(ACCOUNT_PATH),
        path => match path.strip_prefix(ASSETS_PATH) {
            Some(name) => file(ASSETS, name, request.fields),
            None if is_page(path) => page(ASSETS, request.fields),
            None => return None,
        },
    };
    Some(match *request.method {
        Method::GET | Method::HEAD => answer,
        _ => not_allowed(),
    })
}

/// Which of the pages it is, the console finds out by itself.
fn is_page(path: &str) -> bool {
    path.starts_with(ADMIN_PATH) || path.starts_with(ACCOUNT_PATH)
}

fn accepts_html(fields: &HeaderMap) -> bool {
    let accept = fields.get(header::ACCEPT).map(HeaderValue::as_bytes);
    accept.is_some_and(|accept| accept.windows(9).any(|part| part == b"text/html"))
}

fn page(assets: &'static [Asset], fields: &HeaderMap) -> Response<Bytes> {
    let Some(page) = assets.iter().find(|asset| asset.name == PAGE) else {
        let mut response = Response::new(Bytes::from_static(WITHOUT.as_bytes()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        set(
            &mut response,
            header::CONTENT_TYPE,
            "text/html; charset=utf-8",
        );
        set(&mut response, header::CACHE_CONTROL, "no-store");
        protect(&mut response);
        return response;
    };
    let mut response = content(page, Coding::accepted(fields));
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

fn file(assets: &'static [Asset], name: &str, fields: &HeaderMap) -> Response<Bytes> {
    let found = assets
        .iter()
        .find(|asset| asset.name == name && name != PAGE);
    let Some(asset) = found else {
        return empty(StatusCode::NOT_FOUND);
    };
    let coding = Coding::accepted(fields);
    // The name has the hash of what is in it; each coding of that has other octets (RFC 9110 §8.8.3).
    let tag = format!("\"{name}{}\"", coding.suffix());
    let known = fields.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes);
    let is_known = known.is_some_and(|known| matches(known, tag.as_bytes()));
    let mut response = match is_known {
        true => empty(StatusCode::NOT_MODIFIED),
        false => content(asset, coding),
    };
    set(&mut response, header::VARY, "Accept-Encoding");
    set(
        &mut response,
        header::CACHE_CONTROL,
        "public, max-age=31536000, immutable",
    );
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// RFC 9110 §13.1.2: a list of tags, or `*`; compared weakly.
fn matches(known: &[u8], tag: &[u8]) -> bool {
    known.split(|octet| *octet == b',').any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag
    })
}

fn content(asset: &'static Asset, coding: Coding) -> Response<Bytes> {
    let octets = match coding {
        Coding::Brotli => asset.brotli,
        Coding::Gzip => asset.gzip,
        Coding::Identity => asset.plain,
    };
    let mut response = Response::new(Bytes::from_static(octets));
    set(&mut response, header::CONTENT_TYPE, asset.content_type());
    set(&mut response, header::VARY, "Accept-Encoding");
    if let Some(name) = coding.name() {
        set(&mut response, header::CONTENT_ENCODING, name);
    }
    protect(&mut response);
    response
}

fn redirect(to: &'static str) -> Response<Bytes> {
    let mut response = empty(StatusCode::FOUND);
    set(&mut response, header::LOCATION, to);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

fn not_allowed() -> Response<Bytes> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    set(&mut response, header::ALLOW, "GET, HEAD");
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    protect(&mut response);
    response
}

fn protect(response: &mut Response<Bytes>) {
    for (name, value) in [
        ("content-security-policy", CONTENT_SECURITY_POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", PERMISSIONS_POLICY),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        // For browsers that don't know `frame-ancestors`.
        ("x-frame-options", "DENY"),
    ] {
        set(response, HeaderName::from_static(name), value);
    }
}

fn set(response: &mut Response<Bytes>, name: HeaderName, value: &'static str) {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
}
