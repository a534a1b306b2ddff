//! An SMTP server without a store, to be tried by hand with `swaks` or `curl`: receives on one port, submits on another,
//! speaks LMTP on a third, and keeps nothing but what it logs.
//!
//! `cargo run -p smtp --example receiver -- 2525 2587 2465 2424`

#[path = "../tests/session/fake.rs"]
#[allow(dead_code)]
mod fake;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use jmap_core::clock::SystemClock;
use jmap_core::rng::SystemRng;
use net::tls::TlsServer;
use net::{CertResolver, Identity, Listener, ListenerConfig, Shutdown};
use rcgen::{CertificateParams, KeyPair};
use smtp::{Budget, Config, Mode};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .init();
    let ports: Vec<u16> = std::env::args()
        .skip(1)
        .map(|port| port.parse())
        .collect::<Result<_, _>>()?;
    let [receive, submission, submissions, lmtp] = ports[..] else {
        return Err("four ports: SMTP, submission, submission over TLS, LMTP".into());
    };
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.as_bytes(), key_pem.as_bytes(), "example")?;
    let tls = TlsServer::new(&CertResolver::new(vec![identity]), &[])?;
    let shutdown = Shutdown::new();
    let (budget, fake) = (Budget::default(), fake::Fake::default());
    let listeners = [
        (receive, Mode::Receive, false),
        (submission, Mode::Submission, false),
        (submissions, Mode::Submission, true),
        (lmtp, Mode::Lmtp, false),
    ];
    for (port, mode, implicit_tls) in listeners {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut listening = ListenerConfig::new(mode.name(), address);
        listening.goodbye = smtp::goodbye();
        let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
        let mut config = Config::new(mode, "mx.example.org", budget.clone(), clock, rng);
        match implicit_tls {
            true => listening.tls = Some(tls.clone()),
            false => config.tls = Some(tls.clone()),
        }
        let listener = Listener::bind(listening)?;
        tokio::spawn(smtp::serve(
            listener,
            shutdown.clone(),
            fake.clone(),
            Arc::new(arc_swap::ArcSwap::from_pointee(config)),
        ));
    }
    tokio::signal::ctrl_c().await?;
    shutdown.drain(std::time::Duration::from_secs(10)).await;
    println!(
        "{} delivered, {} submitted",
        fake.delivered().len(),
        fake.submitted().len()
    );
    Ok(())
}
