//! HTTP to an ACME server.
//!
//! Holds: a request ends within [`REQUEST_TIME_MAX`]; of an answer no more than [`ANSWER_OCTETS_MAX`] octets are kept; nothing
//! goes over a connection that isn't encrypted.
//! Other half: `instant_acme`, which says what is asked.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;

/// Time for a request and its answer.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);
/// Octets of an answer: a chain of certificates is some thousands.
pub const ANSWER_OCTETS_MAX: usize = 1 << 20;

/// Makes requests of its own each time: days lie between two of them.
pub struct AcmeHttp(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl AcmeHttp {
    pub fn new(tls: &ClientConfig) -> AcmeHttp {
        let mut http = HttpConnector::new();
        // The other connector does TLS, and refuses what isn't https.
        http.enforce_http(false);
        http.set_connect_timeout(Some(REQUEST_TIME_MAX));
        let mut tls = tls.clone();
        tls.alpn_protocols.clear();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .enable_http2()
            .wrap_connector(http);
        AcmeHttp(Client::builder(TokioExecutor::new()).build(https))
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let response = self.0.request(request);
        Box::pin(async move {
            let exchange = async {
                let (parts, body) = response.await.map_err(other)?.into_parts();
                let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await;
                let body = body.map_err(Error::Other)?.to_bytes();
                Ok(BytesResponse::from(Response::from_parts(
                    parts,
                    Full::new(body),
                )))
            };
            match tokio::time::timeout(REQUEST_TIME_MAX, exchange).await {
                Ok(done) => done,
                Err(_) => Err(Error::Other("the ACME server does not answer".into())),
            }
        })
    }
}

/// With its causes: the outermost alone says only that something failed.
fn other(error: hyper_util::client::legacy::Error) -> Error {
    let mut sentence = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    Error::Other(sentence.into())
}
