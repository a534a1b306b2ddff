//! SCRAM-SHA-256 (RFC 5802, RFC 7677): what is kept of a password for it, and how a proof is checked.
//!
//! Holds: what is kept can't be used to log in, and nothing of it is logged; a proof is compared in constant time; an
//! account that doesn't exist, or has nothing kept, looks like one that does: its salt is the same every time.
//! Other half: `net::sasl` reads and writes the messages; `auth::login` asks here.

pub(crate) mod key;
mod login;

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

pub use self::{key::NAME as SECRET_ROW, login::ScramAttempt};
use super::secret::Secret;
use crate::rng::Rng;

/// Rounds of PBKDF2 of a new verifier. RFC 7677 §4 asks for 4096 at least; clients do as many for each login, and those over
/// Cyrus SASL fail where it is more than 65,536.
pub const ITERATIONS: u32 = 60_000;
/// Length of a salt, in octets.
pub const SALT_OCTETS: usize = 16;
/// Length of a key, a proof and a signature, in octets.
pub const KEY_OCTETS: usize = 32;
/// Random octets in the server's part of the nonce.
const NONCE_OCTETS: usize = 18;

/// What is kept of a password (RFC 5802 §3: the authentication information).
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct ScramVerifier {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub salt: Vec<u8>,
    #[n(1)]
    pub iterations: u32,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub stored_key: [u8; KEY_OCTETS],
    #[cbor(n(3), with = "minicbor::bytes")]
    pub server_key: [u8; KEY_OCTETS],
}

// Who has it can pose as the server.
impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramVerifier(..)")
    }
}

/// Makes a verifier with a salt of its own. It takes tens of milliseconds.
pub fn make(password: &Secret<String>, rng: &dyn Rng) -> ScramVerifier {
    let mut salt = [0; SALT_OCTETS];
    rng.fill(&mut salt);
    derive(password, &salt, ITERATIONS)
}

/// RFC 5802 §3: SaltedPassword, and what follows from it.
fn derive(password: &Secret<String>, salt: &[u8], iterations: u32) -> ScramVerifier {
    let prepared = saslprep(password.expose());
    let mut salted = Zeroizing::new([0; KEY_OCTETS]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
        salt,
        prepared.as_bytes(),
        &mut *salted,
    );
    let client_key = Zeroizing::new(hmac(&*salted, b"Client Key"));
    ScramVerifier {
        salt: salt.to_vec(),
        iterations,
        stored_key: sha256(&*client_key),
        server_key: hmac(&*salted, b"Server Key"),
    }
}

/// A verifier that no password has, the same each time for the same name and key.
pub fn fake(login: &str, key: &[u8; KEY_OCTETS]) -> ScramVerifier {
    let of = |what: &str| hmac(key, format!("{what} {login}").as_bytes());
    ScramVerifier {
        salt: of("salt")[..SALT_OCTETS].to_vec(),
        iterations: ITERATIONS,
        stored_key: of("stored key"),
        server_key: of("server key"),
    }
}

/// The server's part of a nonce: printable, without a comma.
pub fn nonce(rng: &dyn Rng) -> String {
    use base64::Engine as _;
    let mut octets = [0; NONCE_OCTETS];
    rng.fill(&mut octets);
    base64::engine::general_purpose::STANDARD.encode(octets)
}

/// Checks the proof of a client (RFC 5802 §3); the ServerSignature if it is right.
pub fn check(
    verifier: &ScramVerifier,
    auth_message: &[u8],
    proof: &[u8],
) -> Option<[u8; KEY_OCTETS]> {
    let client_signature = hmac(&verifier.stored_key, auth_message);
    let server_signature = hmac(&verifier.server_key, auth_message);
    let proof: &[u8; KEY_OCTETS] = proof.try_into().ok()?;
    let mut client_key = Zeroizing::new([0; KEY_OCTETS]);
    let xored = proof.iter().zip(client_signature).map(|(a, b)| a ^ b);
    client_key
        .iter_mut()
        .zip(xored)
        .for_each(|(to, from)| *to = from);
    let right: bool = sha256(&*client_key).ct_eq(&verifier.stored_key).into();
    right.then_some(server_signature)
}

/// RFC 4013 §2.1, §2.2: what clients do to a password that isn't ASCII. (What §2.3 prohibits is no password anybody
/// could have set.)
fn saslprep(password: &str) -> Zeroizing<String> {
    if password.is_ascii() {
        return Zeroizing::new(password.to_owned());
    }
    let mapped = password.chars().filter(|c| !is_mapped_to_nothing(*c));
    let mut prepared = Zeroizing::new(String::with_capacity(password.len() * 3));
    prepared.extend(mapped.map(space).nfkc());
    prepared
}

/// RFC 3454 table B.1.
fn is_mapped_to_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{1806}'
            | '\u{180b}'..='\u{180d}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
    )
}

/// RFC 3454 table C.1.2.
fn space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        c => c,
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; KEY_OCTETS] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    array(tag.as_ref())
}

fn sha256(octets: &[u8]) -> [u8; KEY_OCTETS] {
    array(digest::digest(&digest::SHA256, octets).as_ref())
}

/// Both functions above give as many octets as there are here.
fn array(octets: &[u8]) -> [u8; KEY_OCTETS] {
    let mut array = [0; KEY_OCTETS];
    array
        .iter_mut()
        .zip(octets)
        .for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests;
