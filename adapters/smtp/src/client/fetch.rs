//! Gets the file of an MTA-STS policy (RFC 8461 §3.3).
//!
//! Holds: HTTPS with a certificate for the policy host, from an address that is public, no redirect, no more than
//! [`FETCH_TIMEOUT`] and [`POLICY_OCTETS_MAX`].
//! Other half: `sts`, which reads it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use mail_auth_adapter::Dns;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::hosts::may_connect;
use super::sts::POLICY_OCTETS_MAX;
use super::tls::Failure;

/// RFC 8461 §3.3 suggests a minute.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Addresses of a policy host that are tried.
const ADDRESSES_MAX: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Fetches policies.
#[derive(Debug)]
pub struct Fetcher {
    pub dns: Dns,
    pub tls: Arc<ClientConfig>,
    pub port: u16,
    pub allow_private: bool,
}

impl Fetcher {
    /// The policy file of a domain.
    pub async fn fetch(&self, domain: &str) -> Result<String, Failure> {
        match timeout(FETCH_TIMEOUT, self.get(domain)).await {
            Ok(result) => result,
            Err(_) => Err(failed("no answer in time")),
        }
    }

    async fn get(&self, domain: &str) -> Result<String, Failure> {
        let host = format!("mta-sts.{domain}");
        let name = ServerName::try_from(host.clone())
            .map_err(|_| failed("the policy host has no proper name"))?;
        let mut last = failed("the policy host has no address that can be connected to");
        for address in self.addresses(&host).await? {
            let at = SocketAddr::new(address, self.port);
            let tcp = match timeout(CONNECT_TIMEOUT, TcpStream::connect(at)).await {
                Ok(Ok(tcp)) => tcp,
                Ok(Err(error)) => {
                    last = failed(error.to_string());
                    continue;
                }
                Err(_) => {
                    last = failed("no connection in time");
                    continue;
                }
            };
            let tls = TlsConnector::from(self.tls.clone())
                .connect(name, tcp)
                .await;
            let tls = tls.map_err(|error| Failure::new("sts-webpki-invalid", error.to_string()))?;
            return exchange(&host, tls).await;
        }
        Err(last)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let (v4, v6) = tokio::join!(self.dns.a(host), self.dns.aaaa(host));
        let error = match (&v4, &v6) {
            (Err(error), Err(_)) => {
                Some(failed(format!("the policy host has no address: {error}")))
            }
            _ => None,
        };
        let found = [v4, v6]
            .into_iter()
            .flatten()
            .flat_map(|answer| answer.records);
        let allowed = found.filter(|address| may_connect(*address, self.allow_private));
        match error {
            Some(error) => Err(error),
            None => Ok(allowed.take(ADDRESSES_MAX).collect()),
        }
    }
}

async fn exchange(
    host: &str,
    tls: tokio_rustls::client::TlsStream<TcpStream>,
) -> Result<String, Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let _driver = Driver(tokio::spawn(async {
        let _ = connection.await;
    }));
    let request = Request::get("/.well-known/mta-sts.txt")
        .header(hyper::header::HOST, host)
        .header(hyper::header::USER_AGENT, "posthorn")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| failed(error.to_string()))?;
        // RFC 8461 §3.3: redirects are not followed, and only 200 is a policy.
        if response.status() != hyper::StatusCode::OK {
            return Err(failed(format!(
                "the policy host answers {}",
                response.status()
            )));
        }
        let body = Limited::new(response.into_body(), POLICY_OCTETS_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        String::from_utf8(body.to_vec())
            .map_err(|_| Failure::new("sts-policy-invalid", "the policy is not UTF-8"))
    }
}

/// Reads and writes the connection; it ends with the exchange.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed(why: impl Into<String>) -> Failure {
    Failure::new("sts-policy-fetch-error", why)
}
