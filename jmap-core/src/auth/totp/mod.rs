//! Codes of six digits that a device makes out of the time: TOTP (RFC 6238) over HOTP (RFC 4226), and the recovery codes for
//! whoever has lost the device.
//!
//! Holds: a code counts once, and so does every earlier one (RFC 6238 §5.2); a recovery code counts once, and is kept as a hash;
//! codes are compared in constant time.
//! Other half: `directory::factors`, which keeps what is left over after a code was used.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use minicbor::{Decode, Encode, bytes::ByteArray};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use super::secret::Secret;
use crate::{clock::UtcMillis, directory::dkim::records::secret_octets, rng::Rng};

/// Octets of a secret: RFC 4226 §4 recommends as many as SHA-1 has.
pub const SECRET_OCTETS: usize = 20;
/// Seconds that a code is good for.
pub const STEP_SECONDS: u64 = 30;
/// Steps before and after the present one whose codes count too: clocks differ (RFC 6238 §5.2).
pub const STEPS_AROUND: u64 = 1;
pub const DIGITS: usize = 6;
/// Recovery codes that an account has.
pub const RECOVERY_CODES: usize = 10;
/// Random octets of a recovery code.
const RECOVERY_OCTETS: usize = 10;
const RECOVERY_KIND: &str = "posthorn 2026 recovery code";
/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

type Hash = ByteArray<32>;

/// What is kept of a device that makes codes.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Totp {
    #[cbor(n(0), with = "secret_octets")]
    pub secret: Secret<Vec<u8>>,
    /// A code has shown that the device has the secret; before that, nothing is asked of it.
    #[n(1)]
    pub is_confirmed: bool,
    /// The step of the last code that was used.
    #[n(2)]
    pub last_step: u64,
    /// Hashes of the recovery codes that are left.
    #[n(3)]
    pub recovery: Vec<Hash>,
}

impl Totp {
    /// One that is to be confirmed.
    pub fn new(rng: &dyn Rng) -> Self {
        let mut octets = [0; SECRET_OCTETS];
        rng.fill(&mut octets);
        let secret = Secret::new(octets.to_vec());
        octets.zeroize();
        Self {
            secret,
            is_confirmed: false,
            last_step: 0,
            recovery: Vec::new(),
        }
    }

    /// Whether it is a code that counts at this time, or a recovery code; it counts no more then.
    pub fn use_code(&mut self, text: &str, now: UtcMillis) -> bool {
        if text.len() > 64 {
            return false;
        }
        let text: String = text
            .chars()
            .filter(|character| !matches!(character, ' ' | '-'))
            .collect();
        if text.len() == DIGITS {
            return self.use_digits(&text, now);
        }
        self.use_recovery(&text)
    }

    fn use_digits(&mut self, text: &str, now: UtcMillis) -> bool {
        let step = u64::try_from(now.seconds()).unwrap_or(0) / STEP_SECONDS;
        let steps = step.saturating_sub(STEPS_AROUND)..=step.saturating_add(STEPS_AROUND);
        let mut found = None;
        for step in steps {
            let code = hotp(self.secret.expose(), step);
            // All are compared, whichever it is.
            let is_it: bool = code.as_bytes().ct_eq(text.as_bytes()).into();
            if is_it && step > self.last_step {
                found = Some(step);
            }
        }
        self.last_step = found.unwrap_or(self.last_step);
        found.is_some()
    }

    fn use_recovery(&mut self, text: &str) -> bool {
        let hash = recovery_hash(text);
        let is_it = |kept: &Hash| bool::from(kept[..].ct_eq(&hash[..]));
        let Some(at) = self.recovery.iter().position(is_it) else {
            return false;
        };
        self.recovery.remove(at);
        true
    }

    /// Makes new recovery codes, in place of those that are left.
    pub fn new_recovery_codes(&mut self, rng: &dyn Rng) -> Vec<Secret<String>> {
        let codes: Vec<Secret<String>> = (0..RECOVERY_CODES).map(|_| recovery_code(rng)).collect();
        self.recovery = codes
            .iter()
            .map(|code| recovery_hash(&code.expose().replace('-', "")))
            .collect();
        codes
    }

    /// The secret, as people type it.
    pub fn base32(&self) -> Secret<String> {
        Secret::new(base32(self.secret.expose()))
    }

    /// What a device reads as a QR code (the key URI of Google Authenticator, which all have).
    pub fn uri(&self, issuer: &str, account: &str) -> Secret<String> {
        let (issuer, account) = (encoded(issuer), encoded(account));
        let secret = self.base32();
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECONDS}",
            secret.expose()
        ))
    }
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Totp")
            .field("is_confirmed", &self.is_confirmed)
            .finish_non_exhaustive()
    }
}

/// RFC 4226 §5.3, with six digits.
pub fn hotp(secret: &[u8], counter: u64) -> String {
    format!("{:06}", truncated(secret, counter) % 1_000_000)
}

/// RFC 4226 §5.3: the dynamic truncation.
fn truncated(secret: &[u8], counter: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let tag = tag.as_ref();
    let offset = tag.last().map_or(0, |last| usize::from(last & 0xf));
    let four = tag.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    four.map_or(0, |four| u32::from_be_bytes(*four) & 0x7fff_ffff)
}

fn recovery_code(rng: &dyn Rng) -> Secret<String> {
    let mut octets = [0; RECOVERY_OCTETS];
    rng.fill(&mut octets);
    let letters = base32(&octets).to_ascii_lowercase();
    octets.zeroize();
    let groups: Vec<&str> = (0..letters.len())
        .step_by(4)
        .filter_map(|at| letters.get(at..at + 4))
        .collect();
    Secret::new(groups.join("-"))
}

/// Eighty bits are too many to try, so a fast hash does.
fn recovery_hash(letters: &str) -> Hash {
    blake3::derive_key(RECOVERY_KIND, letters.to_ascii_lowercase().as_bytes()).into()
}

/// RFC 4648 §6, without padding.
fn base32(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0_u32, 0);
    for octet in octets {
        bits = bits << 8 | u32::from(*octet);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(BASE32[(bits >> count & 31) as usize]));
        }
    }
    if count > 0 {
        text.push(char::from(BASE32[(bits << (5 - count) & 31) as usize]));
    }
    text
}

/// RFC 3986 §2.1: all but what is unreserved.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet));
            }
            _ => {
                let _ = write!(encoded, "%{octet:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
