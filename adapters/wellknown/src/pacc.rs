//! Automatic configuration of user agents (draft-ietf-mailmaint-pacc-02).
//!
//! Holds: what is told of is at its usual port with TLS from the first octet, as the document has no room for ports.
//! Other half: `posthorn domain records`, which has the hash of the document.

use serde_json::{Map, Value, json};

use crate::{Protocol, Settings};

/// RFC 8314 §3, RFC 5804 §1.8
const USUAL: &[(&str, Protocol, u16)] = &[
    ("imap", Protocol::Imap, 993),
    ("pop3", Protocol::Pop3, 995),
    ("smtp", Protocol::Submission, 465),
];
const MANAGESIEVE_PORT: u16 = 4190;

pub fn document(settings: &Settings, domain: &str) -> String {
    let mut protocols = Map::new();
    if let Some(url) = &settings.jmap_url {
        protocols.insert("jmap".into(), json!({"url": url}));
    }
    let host = json!({"host": settings.hostname});
    for (name, protocol, port) in USUAL {
        let is_usual =
            |of: &crate::Service| of.protocol == *protocol && of.port == *port && of.implicit_tls;
        if settings.services.iter().any(is_usual) {
            protocols.insert((*name).into(), host.clone());
        }
    }
    if settings.managesieve_port == Some(MANAGESIEVE_PORT) {
        protocols.insert("managesieve".into(), host);
    }
    let document: Value = json!({
        "protocols": protocols,
        "authentication": {"password": true},
        "info": {"provider": {"name": domain}},
    });
    document.to_string()
}
