//! The messages of SCRAM (RFC 5802 §7), the server's side, for SHA-256 with and without channel binding (RFC 7677).
//!
//! Holds: no secret is here, and nothing is computed: whoever keeps the keys gets what was signed, and the proof. The
//! channel that the client binds to is the one it talks over, and a client that was kept from binding is told no.
//! Other half: `sasl`, which has the turns; `jmap_core::auth::scram`, which checks the proof.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::message::saslname;
use super::{NAME_OCTETS_MAX, SaslError};
use crate::stream::Stream;

/// Longest nonce of a client, in octets.
pub const CLIENT_NONCE_OCTETS_MAX: usize = 512;

/// What of its TLS connection a client can bind a login to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Channel {
    /// RFC 9266
    pub tls_exporter: Option<[u8; 32]>,
    /// RFC 5929 §4
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl Channel {
    pub fn of(stream: &Stream) -> Channel {
        Channel {
            tls_exporter: stream.tls_exporter(),
            tls_server_end_point: stream.tls_server_end_point().map(<[u8]>::to_vec),
        }
    }

    /// Whether there is anything to bind to, so that the mechanisms with PLUS can be offered.
    pub fn can_bind(&self) -> bool {
        self.tls_exporter.is_some() || self.tls_server_end_point.is_some()
    }

    fn data(&self, name: &str) -> Option<&[u8]> {
        match name {
            "tls-exporter" => self.tls_exporter.as_ref().map(|data| &data[..]),
            "tls-server-end-point" => self.tls_server_end_point.as_deref(),
            _ => None,
        }
    }
}

/// client-first-message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    /// What `c=` of the last message has to be, decoded.
    binding: Vec<u8>,
    pub(super) authzid: Option<String>,
    pub(super) login: String,
    nonce: String,
    bare: String,
}

/// What follows the server's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Started {
    first: ClientFirst,
    nonce: String,
    server_first: String,
}

/// `gs2-header client-first-message-bare`.
pub(super) fn client_first(
    message: &[u8],
    plus: bool,
    channel: &Channel,
) -> Result<ClientFirst, SaslError> {
    let message = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
    let (flag, rest) = message.split_once(',').ok_or(SaslError::Malformed)?;
    let (authzid, bare) = rest.split_once(',').ok_or(SaslError::Malformed)?;
    let header = &message[..message.len() - bare.len()];
    let data = match (flag, plus) {
        ("n", false) => &[][..],
        // RFC 5802 §6: it would have bound, and believes that there is nothing to bind to. If there is, somebody has taken
        // that out of what we have announced.
        ("y", false) if !channel.can_bind() => &[][..],
        (flag, true) => flag
            .strip_prefix("p=")
            .and_then(|name| channel.data(name))
            .ok_or(SaslError::Malformed)?,
        _ => return Err(SaslError::Malformed),
    };
    let binding = [header.as_bytes(), data].concat();
    let authzid = match authzid {
        "" => None,
        given => {
            let name = given.strip_prefix("a=").ok_or(SaslError::Malformed)?;
            Some(saslname(name.as_bytes())?)
        }
    };
    let mut attributes = bare.split(',');
    let mut attribute = |key| value(attributes.next(), key);
    // An extension that has to be understood (`m=`) comes first, and is none that there is.
    let login = saslname(attribute("n=")?.as_bytes())?;
    let nonce = attribute("r=")?.to_owned();
    if login.len() > NAME_OCTETS_MAX || nonce.len() > CLIENT_NONCE_OCTETS_MAX {
        return Err(SaslError::TooLong);
    }
    if nonce.is_empty() || !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(SaslError::Malformed);
    }
    Ok(ClientFirst {
        binding,
        authzid,
        login,
        nonce,
        bare: bare.to_owned(),
    })
}

impl ClientFirst {
    /// server-first-message, and what comes after it.
    pub(super) fn answer(self, salt: &[u8], iterations: u32, nonce: &str) -> (String, Started) {
        let nonce = format!("{}{nonce}", self.nonce);
        let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let started = Started {
            first: self,
            nonce,
            server_first: server_first.clone(),
        };
        (server_first, started)
    }
}

impl Started {
    /// client-final-message: what was signed, and the proof.
    pub(super) fn client_final(&self, message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SaslError> {
        let message = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let mut attribute = |key| value(attributes.next(), key);
        let binding = STANDARD
            .decode(attribute("c=")?)
            .map_err(|_| SaslError::Malformed)?;
        let nonce = attribute("r=")?;
        if binding != self.first.binding || nonce != self.nonce {
            return Err(SaslError::Malformed);
        }
        let proof = STANDARD.decode(proof).map_err(|_| SaslError::Malformed)?;
        let signed = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        Ok((signed.into_bytes(), proof))
    }
}

/// server-final-message.
pub(super) fn server_final(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn value<'m>(attribute: Option<&'m str>, key: &str) -> Result<&'m str, SaslError> {
    attribute
        .and_then(|attribute| attribute.strip_prefix(key))
        .ok_or(SaslError::Malformed)
}
