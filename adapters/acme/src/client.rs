//! HTTP to an ACME server.
//!
//! Holds: a request ends within [`REQUEST_TIME_MAX`]; of an answer no more than [`ANSWER_OCTETS_MAX`] octets are kept; nothing
//! goes over a connection that isn't encrypted.
//! Other half: `instant_acme`, which says what is asked.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Body;
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
                let body = bounded(body).await?;
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

/// All of a body, if it isn't too long.
async fn bounded<B>(body: B) -> Result<Bytes, Error>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await;
    body.map(Collected::to_bytes).map_err(Error::Other)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_none() {
        let of = |octets: usize| Full::new(Bytes::from(vec![b' '; octets]));
        let most = bounded(of(ANSWER_OCTETS_MAX)).await;
        assert_eq!(most.unwrap().len(), ANSWER_OCTETS_MAX);
        assert!(bounded(of(ANSWER_OCTETS_MAX + 1)).await.is_err());
    }
}
