//! Passkeys: Web Authentication (W3C WebAuthn Level 2), the relying party's side.
//!
//! Holds: the person is verified each time (UV), so that a passkey is both factors; a challenge is this server's, for one purpose,
//! minutes old and good once; attestation isn't asked for and not looked at; what comes from a browser is bounded.
//! Other half: `directory::passkeys` keeps them; `key` has the algorithms.

pub mod key;
pub(crate) mod login;
mod records;
#[cfg(test)]
mod tests;

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use minicbor::{Decoder, data::Type};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

pub use records::Passkey;

use key::PublicKey;

/// Octets of what a browser sends of one thing.
pub const PART_OCTETS_MAX: usize = 8192;
/// Octets of the id of a credential (§4, Credential ID).
pub const CREDENTIAL_ID_OCTETS_MAX: usize = 1023;

/// Octets of authenticator data up to the counter (§6.1).
const HEAD_OCTETS: usize = 37;
const AAGUID_OCTETS: usize = 16;
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const ATTESTED: u8 = 1 << 6;

/// The server, as browsers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelyingParty<'r> {
    /// Scheme, host and port.
    pub origin: &'r str,
}

impl<'r> RelyingParty<'r> {
    /// The host (§5.1.2, effective domain).
    pub fn id(&self) -> &'r str {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
            _ => host,
        }
    }
}

/// Why a passkey isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyError {
    #[error("it is not what a browser sends")]
    Malformed,
    #[error("it is for something else, or for another server")]
    Elsewhere,
    #[error("the challenge is not this server's, was answered before, or its time is over")]
    Challenge,
    #[error("the device has not verified the person")]
    Unverified,
    #[error("keys of this kind are not taken")]
    Algorithm,
    #[error("the signature is wrong")]
    Signature,
    /// §6.1.1: there may be two of it.
    #[error("the device has counted backwards")]
    Counter,
}

/// What a browser sends of a new passkey (§5.2.1), decoded.
#[derive(Clone, Debug)]
pub struct Attestation {
    pub client_data: Vec<u8>,
    pub attestation_object: Vec<u8>,
}

/// What a browser is asked when a passkey is to be used (§5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialRequest {
    pub challenge: Vec<u8>,
    /// The passkeys that will do; empty: any.
    pub allowed: Vec<Vec<u8>>,
}

/// What a browser sends of one that is used (§5.2.2), decoded. Until it was answered it lets somebody in.
#[derive(Clone)]
pub struct Assertion {
    pub credential_id: Vec<u8>,
    pub client_data: Vec<u8>,
    pub authenticator_data: Vec<u8>,
    pub signature: Vec<u8>,
    /// What the passkey was made for.
    pub user_handle: Vec<u8>,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assertion(..)")
    }
}

/// §5.8.1
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
}

/// The challenge that is answered, in octets.
fn challenge(octets: &[u8], kind: &str, of: RelyingParty<'_>) -> Result<Vec<u8>, PasskeyError> {
    if octets.len() > PART_OCTETS_MAX {
        return Err(PasskeyError::Malformed);
    }
    let data: ClientData = serde_json::from_slice(octets).map_err(|_| PasskeyError::Malformed)?;
    if data.kind != kind || data.origin != of.origin || data.cross_origin {
        return Err(PasskeyError::Elsewhere);
    }
    let challenge = BASE64_URL_SAFE_NO_PAD.decode(&data.challenge);
    challenge.map_err(|_| PasskeyError::Malformed)
}

/// Authenticator data (§6.1), up to what follows the counter.
struct Head<'h> {
    flags: u8,
    counter: u32,
    rest: &'h [u8],
}

fn head<'h>(octets: &'h [u8], of: RelyingParty<'_>) -> Result<Head<'h>, PasskeyError> {
    if octets.len() > PART_OCTETS_MAX {
        return Err(PasskeyError::Malformed);
    }
    let malformed = PasskeyError::Malformed;
    let (head, rest) = octets.split_at_checked(HEAD_OCTETS).ok_or(malformed)?;
    let (hash, head) = head.split_first_chunk::<32>().ok_or(malformed)?;
    let wanted = digest::digest(&digest::SHA256, of.id().as_bytes());
    if !bool::from(wanted.as_ref().ct_eq(hash)) {
        return Err(PasskeyError::Elsewhere);
    }
    let (flags, counter) = head.split_first().ok_or(malformed)?;
    let counter = counter.first_chunk::<4>().ok_or(malformed)?;
    let wanted = USER_PRESENT | USER_VERIFIED;
    if flags & wanted != wanted {
        return Err(PasskeyError::Unverified);
    }
    Ok(Head {
        flags: *flags,
        counter: u32::from_be_bytes(*counter),
        rest,
    })
}

impl Attestation {
    /// The challenge that it answers.
    pub fn challenge(&self, of: RelyingParty<'_>) -> Result<Vec<u8>, PasskeyError> {
        challenge(&self.client_data, "webauthn.create", of)
    }

    /// §7.1: the new passkey, once its challenge is known to be right.
    pub fn passkey(&self, of: RelyingParty<'_>) -> Result<Passkey, PasskeyError> {
        if self.attestation_object.len() > PART_OCTETS_MAX {
            return Err(PasskeyError::Malformed);
        }
        let data = authenticator_data(&self.attestation_object);
        let data = data.ok_or(PasskeyError::Malformed)?;
        let head = head(data, of)?;
        if head.flags & ATTESTED == 0 {
            return Err(PasskeyError::Malformed);
        }
        let malformed = PasskeyError::Malformed;
        let (_, rest) = head.rest.split_at_checked(AAGUID_OCTETS).ok_or(malformed)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if !(1..=CREDENTIAL_ID_OCTETS_MAX).contains(&length) {
            return Err(malformed);
        }
        let (id, key) = rest.split_at_checked(length).ok_or(malformed)?;
        Ok(Passkey {
            id: id.to_vec(),
            key: PublicKey::read(key)?,
            counter: head.counter,
            rp_id: of.id().to_owned(),
        })
    }
}

/// The member `authData` of an attestation object (§6.5.4).
fn authenticator_data(object: &[u8]) -> Option<&[u8]> {
    let mut decoder = Decoder::new(object);
    let members = decoder.map().ok()??;
    for _ in 0..members.min(16) {
        if decoder.datatype().ok()? != Type::String {
            return None;
        }
        match decoder.str().ok()? {
            "authData" => return decoder.bytes().ok(),
            _ => decoder.skip().ok()?,
        }
    }
    None
}

impl Assertion {
    /// The challenge that it answers.
    pub fn challenge(&self, of: RelyingParty<'_>) -> Result<Vec<u8>, PasskeyError> {
        challenge(&self.client_data, "webauthn.get", of)
    }

    /// §7.2: the new counter, once its challenge is known to be right.
    pub fn verify(&self, passkey: &Passkey, of: RelyingParty<'_>) -> Result<u32, PasskeyError> {
        if passkey.rp_id != of.id() || passkey.id != self.credential_id {
            return Err(PasskeyError::Elsewhere);
        }
        let head = head(&self.authenticator_data, of)?;
        let hash = digest::digest(&digest::SHA256, &self.client_data);
        let signed = [&self.authenticator_data, hash.as_ref()].concat();
        passkey.key.verify(&signed, &self.signature)?;
        let counts = head.counter != 0 || passkey.counter != 0;
        match counts && head.counter <= passkey.counter {
            true => Err(PasskeyError::Counter),
            false => Ok(head.counter),
        }
    }
}
