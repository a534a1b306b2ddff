//! Requests to an OpenID provider.
//!
//! Holds: no redirect is followed; a request has an end, and little of an answer is read; only https, but for this machine.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use jmap_core::{auth::Secret, directory::external::Away};
use rustls::ClientConfig;
use serde_json::Value;

/// Octets of an answer.
pub const ANSWER_OCTETS_MAX: usize = 1 << 20;
const IDLE_PER_HOST_MAX: usize = 4;

/// Whether a provider may be asked at this address.
pub fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => is_here,
        _ => false,
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Fetcher {
    pub fn new(tls: &Arc<ClientConfig>, timeout: Duration) -> Fetcher {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(timeout));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(tls))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build(https);
        Fetcher { client, timeout }
    }

    pub async fn get(&self, url: &str) -> Result<Value, Away> {
        let request = Request::get(url)
            .header(header::ACCEPT, "application/json")
            .body(Full::default());
        self.ask(url, request).await
    }

    /// RFC 7662 §2.1, as a client with a password (RFC 6749 §2.3.1).
    pub async fn post(
        &self,
        url: &str,
        form: String,
        client: &str,
        secret: &Secret<String>,
    ) -> Result<Value, Away> {
        let encode =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = format!("{}:{}", encode(client), encode(secret.expose()));
        let request = Request::post(url)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                header::AUTHORIZATION,
                format!("Basic {}", BASE64_STANDARD.encode(pair)),
            )
            .body(Full::from(form));
        self.ask(url, request).await
    }

    async fn ask(
        &self,
        url: &str,
        request: Result<Request<Full<Bytes>>, http::Error>,
    ) -> Result<Value, Away> {
        let away = |why: String| Away(format!("{url}: {why}"));
        if !is_safe(url) {
            return Err(away("only https is asked".to_owned()));
        }
        let request = request.map_err(|error| away(error.to_string()))?;
        let asking = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| away(reason(&error)))?;
            if !response.status().is_success() {
                return Err(away(format!("answered {}", response.status())));
            }
            let body = Limited::new(response.into_body(), ANSWER_OCTETS_MAX);
            let body = body.collect().await;
            let octets = body.map_err(|error| away(error.to_string()))?.to_bytes();
            serde_json::from_slice(&octets).map_err(|error| away(error.to_string()))
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(away("no answer in time".to_owned())),
        }
    }
}

/// An error with what has caused it, which says more.
fn reason(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Errors of the configuration, for whoever has written it.
pub fn check(url: &str) -> io::Result<()> {
    match is_safe(url) {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "\"{url}\" has to be an address of https (http, for this machine alone)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn who_is_asked() {
        for (url, want) in [
            ("https://id.example.org", true),
            ("http://id.example.org", false),
            ("http://localhost:8000/a", true),
            ("http://127.0.0.1:8000", true),
            ("http://[::1]:8000", true),
            ("http://localhost.example.org", false),
            ("ftp://localhost", false),
            ("/path", false),
            ("", false),
        ] {
            assert_eq!(is_safe(url), want, "{url}");
        }
    }
}
