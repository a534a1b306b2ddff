//! Requests to push services, over real connections.
//!
//! Holds: a connection goes to an address that was checked, and no name is looked up twice for it; no redirect is
//! followed; a request takes `TIMEOUT` at the most, whatever the other side does, and little of the answer is read.
//! Other half: `jmap_core::push` says what is sent, and when.

use std::{
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use jmap_core::push::{
    PushError, PushRequest, PushResponse, PushTransport,
    crypto::{EndpointPolicy, is_public},
};
use tower_service::Service;

/// From looking the name up to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of an answer's body that are read, so that the connection can be used again.
const BODY_OCTETS_MAX: usize = 16 << 10;
/// Connections to one host that are kept open without a request.
const IDLE_PER_HOST_MAX: usize = 4;
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type HttpClient = Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>;

/// The [`PushTransport`] of a running server.
#[derive(Clone, Debug)]
pub struct HttpPushTransport {
    client: HttpClient,
}

impl HttpPushTransport {
    /// Trusts the certification authorities that the system trusts.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(policy: EndpointPolicy) -> io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver { policy });
        // The other connector does TLS where the URL says https.
        http.enforce_http(false);
        http.set_connect_timeout(Some(TIMEOUT));
        http.set_nodelay(true);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build(https);
        Ok(Self { client })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<PushResponse, PushError> {
        let response = self.client.request(request).await.map_err(reason)?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        // A body that is too long closes the connection; the status says all that matters.
        if let Err(error) = Limited::new(response.into_body(), BODY_OCTETS_MAX)
            .collect()
            .await
        {
            tracing::debug!(%error, "the answer of a push service was not read to its end");
        }
        Ok(PushResponse {
            status,
            retry_after,
        })
    }
}

#[async_trait]
impl PushTransport for HttpPushTransport {
    async fn post(&self, request: PushRequest) -> Result<PushResponse, PushError> {
        let request = to_http(request)?;
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(PushError::TimedOut),
        }
    }
}

fn to_http(request: PushRequest) -> Result<Request<Full<Bytes>>, PushError> {
    let malformed = |error: http::Error| PushError::Unreachable(error.to_string());
    let mut http = Request::post(request.endpoint.url())
        .body(Full::new(request.body))
        .map_err(malformed)?;
    for (name, value) in request.headers {
        let value = HeaderValue::try_from(value).map_err(|error| malformed(error.into()))?;
        http.headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
    Ok(http)
}

/// RFC 9110 §10.2.3, in seconds. A date is a matter of clocks, and the back-off without it does as well.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn reason(error: hyper_util::client::legacy::Error) -> PushError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    let mut innermost = error.to_string();
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return PushError::NotPublic;
        }
        innermost = error.to_string();
        // An io::Error hides what it was made of from `source`.
        cause = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    PushError::Unreachable(innermost)
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NotPublic;

/// Looks names up, and leaves out the addresses that pushes must not go to.
#[derive(Clone, Debug)]
struct CheckedResolver {
    policy: EndpointPolicy,
}

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = match policy {
                EndpointPolicy::Public => found.filter(|address| is_public(address.ip())).collect(),
                EndpointPolicy::AllowInsecure => found.collect(),
            };
            if allowed.is_empty() {
                return Err(io::Error::other(NotPublic));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use jmap_core::push::crypto::PushEndpoint;
    use parking_lot::Mutex;
    use tokio::net::TcpListener;

    use super::*;

    /// A push service that gives the same answer to each request; what it was asked, and its URL.
    async fn push_service(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
    ) -> (Arc<Mutex<Vec<String>>>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://localhost:{}/push?x=1",
            listener.local_addr().unwrap().port()
        );
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let log = log.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    answer(request, log.clone(), status, headers)
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (seen, url)
    }

    async fn answer(
        request: Request<Incoming>,
        log: Arc<Mutex<Vec<String>>>,
        status: u16,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let line = format!(
            "{} {} ttl={:?}",
            request.method(),
            request.uri(),
            request.headers().get("ttl")
        );
        let body = request
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        log.lock()
            .push(format!("{line} {}", String::from_utf8_lossy(&body)));
        let mut response = Response::new(Full::new(Bytes::from(vec![b'x'; 100_000])));
        *response.status_mut() = status.try_into().unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    async fn post(url: &str, policy: EndpointPolicy) -> Result<PushResponse, PushError> {
        let request = PushRequest {
            endpoint: PushEndpoint::parse(url, EndpointPolicy::AllowInsecure).unwrap(),
            headers: vec![
                ("ttl", "60".into()),
                ("content-type", "application/json".into()),
            ],
            body: Bytes::from_static(b"{}"),
        };
        HttpPushTransport::new(policy).unwrap().post(request).await
    }

    #[tokio::test]
    async fn posts_once_and_follows_nothing() {
        type Row = (u16, &'static [(&'static str, &'static str)], Option<u64>);
        let rows: [Row; 4] = [
            (201, &[], None),
            (302, &[("location", "/elsewhere")], None),
            (429, &[("retry-after", "120")], Some(120)),
            (
                503,
                &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")],
                None,
            ),
        ];
        for (status, headers, retry_after) in rows {
            let (seen, url) = push_service(status, headers).await;
            let retry_after = retry_after.map(Duration::from_secs);
            let want = PushResponse {
                status,
                retry_after,
            };
            assert_eq!(post(&url, EndpointPolicy::AllowInsecure).await, Ok(want));
            assert_eq!(*seen.lock(), ["POST /push?x=1 ttl=Some(\"60\") {}"]);
        }
    }

    #[tokio::test]
    async fn a_name_with_a_private_address_is_refused() {
        let (seen, url) = push_service(201, &[]).await;
        assert_eq!(
            post(&url, EndpointPolicy::Public).await,
            Err(PushError::NotPublic)
        );
        assert!(seen.lock().is_empty());
    }
}
