//! Pages that are not JMAP's, at the same listeners: the API for administrators, the pages of OAuth, the console, what `wellknown` has, and answers to ACME
//! servers.
//!
//! Holds: a body is read only at an address that wants one, and no more of it than a request there may have.
//! Other half: `jmap::Config::fallback`.

use std::{sync::Arc, time::Duration};

use acme::Challenges;
use admin::{Admin, Events};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use jmap::{Body, Client, Fallback, Incoming, Problem};
use wellknown::{BODY_OCTETS_MAX, Site};

/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers for the API, with the console and the pages of a site, and to ACME servers.
pub fn pages(
    admin: Admin,
    oauth: Option<oauth::Provider>,
    site: Site,
    challenges: Arc<Challenges>,
) -> Fallback {
    Arc::new(move |request, client| {
        if admin::is_ours(request.uri().path()) {
            let admin = admin.clone();
            return Box::pin(async move {
                let client = admin::Client {
                    ip: client.ip,
                    tls: client.tls,
                    host: client.host,
                };
                let mut response = admin.answer(request, client).await;
                match Events::take(&mut response) {
                    Some(events) => response.map(|_| Body::events(events)),
                    None => response.map(Body::full),
                }
            });
        }
        if let Some(oauth) = oauth
            .clone()
            .filter(|_| oauth::is_ours(request.uri().path()))
        {
            return Box::pin(async move {
                let client = oauth::Client {
                    ip: client.ip,
                    tls: client.tls,
                    base_url: client.base_url,
                    host: client.host,
                };
                oauth.answer(request, client).await.map(Body::full)
            });
        }
        let (site, challenges) = (site.clone(), challenges.clone());
        Box::pin(async move {
            let asked = console::Request {
                method: request.method(),
                path: request.uri().path(),
                fields: request.headers(),
            };
            if let Some(response) = console::answer(asked) {
                return response.map(Body::full);
            }
            let answer = match is_challenge(&request) {
                true => challenge(&challenges, &request).await,
                false => answer(&site, request, client).await,
            };
            let mut response = answer.unwrap_or_else(Problem::into_response);
            let nosniff = HeaderValue::from_static("nosniff");
            response
                .headers_mut()
                .insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
            response
        })
    })
}

fn is_challenge(request: &Request<Incoming>) -> bool {
    let path = request.uri().path();
    *request.method() == Method::GET && path.starts_with(acme::CHALLENGE_PATH)
}

/// RFC 8555 §8.3.
async fn challenge(
    challenges: &Challenges,
    request: &Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let answer = challenges.http(request.uri().path()).await;
    let mut response = Response::new(Body::full(answer.ok_or_else(Problem::not_found)?));
    let content_type = HeaderValue::from_static("application/octet-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

async fn answer(
    site: &Site,
    request: Request<Incoming>,
    client: Client,
) -> Result<Response<Body>, Problem> {
    let is_post = match *request.method() {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return Err(Problem::not_found()),
    };
    let uri = request.uri().clone();
    if !wellknown::is_ours(uri.path()) {
        return Err(Problem::not_found());
    }
    let body = match is_post {
        true => receive(request.into_body()).await?,
        false => bytes::Bytes::new(),
    };
    let asked = wellknown::Request {
        is_post,
        tls: client.tls,
        host: &client.host,
        path: uri.path(),
        query: uri.query(),
        body: &body,
    };
    let page = site.answer(asked).await.ok_or_else(Problem::not_found)?;
    let mut response = Response::new(Body::full(page.octets));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or_default();
    let content_type = HeaderValue::from_static(page.content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

async fn receive(body: Incoming) -> Result<bytes::Bytes, Problem> {
    let read = Limited::new(body, BODY_OCTETS_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request is too large.",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request took too long.",
        )),
    }
}
