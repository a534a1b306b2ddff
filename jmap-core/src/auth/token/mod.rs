//! Secrets that the server makes: app passwords and bearer tokens.
//! Holds: each carries an id, by which its record is found without trying them all, and enough randomness that a
//! fast hash of it is safe to store. The text is shown once, when it is made, and can't be got back.
//! Other half: the core's `login` finds the record by the id and compares; the admin methods make and revoke.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::secret::Secret;
use crate::clock::UtcMillis;
use crate::rng::Rng;

/// How every bearer token begins, so that it is recognised in a log, a repository, or by a scanner of leaks.
pub const BEARER_PREFIX: &str = "ph_";
/// Octets of a bearer token's id.
pub const TOKEN_ID_OCTETS: usize = 8;
/// Random octets of a bearer token.
pub const TOKEN_SECRET_OCTETS: usize = 32;
/// Octets of an app password's id: one of an account's few app passwords.
pub const APP_PASSWORD_ID_OCTETS: usize = 5;
/// Random octets of an app password: 80 bits.
pub const APP_PASSWORD_SECRET_OCTETS: usize = 10;
/// Octets of the stored hash.
pub const TOKEN_HASH_OCTETS: usize = 32;

const APP_PASSWORD_OCTETS: usize = APP_PASSWORD_ID_OCTETS + APP_PASSWORD_SECRET_OCTETS;
const APP_PASSWORD_CHARACTERS: usize = APP_PASSWORD_OCTETS * 8 / 5;
const APP_PASSWORD_GROUP: usize = 4;
const TOKEN_OCTETS: usize = TOKEN_ID_OCTETS + TOKEN_SECRET_OCTETS;
/// 40 octets as base64url without padding.
const TOKEN_CHARACTERS: usize = 54;

/// The letters and digits that are not taken for one another (Crockford's base 32, in lower case).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is stored of an app password or token: enough to recognise it, not to use it.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; TOKEN_HASH_OCTETS]);

impl TokenHash {
    /// From a record.
    pub fn from_octets(octets: [u8; TOKEN_HASH_OCTETS]) -> TokenHash {
        TokenHash(octets)
    }

    /// For a record.
    pub fn octets(&self) -> &[u8; TOKEN_HASH_OCTETS] {
        &self.0
    }

    fn new(kind: &str, octets: &[u8]) -> TokenHash {
        TokenHash(blake3::derive_key(kind, octets))
    }
}

impl PartialEq for TokenHash {
    /// In constant time.
    fn eq(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// Why a token is not accepted. A client is told no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is wrong")]
    Wrong,
    #[error("the token has expired")]
    Expired,
}

/// A secret that was just made.
#[derive(Clone, Debug)]
pub struct Minted<Id> {
    /// What its record is stored under.
    pub id: Id,
    /// What its record holds.
    pub hash: TokenHash,
    /// What the user gets, once.
    pub text: Secret<String>,
}

/// A secret as a client presents it: well-formed, not yet compared.
#[derive(Clone, Debug)]
pub struct Presented<Id> {
    pub id: Id,
    hash: TokenHash,
}

impl<Id> Presented<Id> {
    /// Whether it is the one that this was made of, whatever its time.
    pub fn is(&self, stored: &TokenHash) -> bool {
        self.hash == *stored
    }

    /// Compares with the record of this id, in constant time. `expires`: the first moment it is no longer good;
    /// `None` if it is good for ever.
    pub fn verify(
        &self,
        stored: &TokenHash,
        expires: Option<UtcMillis>,
        now: UtcMillis,
    ) -> Result<(), TokenError> {
        if self.hash != *stored {
            return Err(TokenError::Wrong);
        }
        match expires {
            Some(expires) if now >= expires => Err(TokenError::Expired),
            _ => Ok(()),
        }
    }
}

/// The id of a bearer token, unique in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; TOKEN_ID_OCTETS]);

/// The id of an app password, unique in its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppPasswordId(pub [u8; APP_PASSWORD_ID_OCTETS]);

const BEARER_KIND: &str = "posthorn 2026 bearer token";
const APP_PASSWORD_KIND: &str = "posthorn 2026 app password";

/// Makes a bearer token: `ph_` and base64url of id and randomness.
pub fn mint_bearer(rng: &dyn Rng) -> Minted<TokenId> {
    let mut id = TokenId([0; TOKEN_ID_OCTETS]);
    rng.fill(&mut id.0);
    mint_bearer_as(id, rng)
}

/// The same, in place of another one with this id.
pub fn mint_bearer_as(id: TokenId, rng: &dyn Rng) -> Minted<TokenId> {
    let mut octets = [0; TOKEN_OCTETS];
    let (front, secret) = octets.split_at_mut(TOKEN_ID_OCTETS);
    front.copy_from_slice(&id.0);
    rng.fill(secret);
    let minted = Minted {
        id: TokenId(first(&octets)),
        hash: TokenHash::new(BEARER_KIND, &octets),
        text: Secret::new(format!("{BEARER_PREFIX}{}", URL_SAFE_NO_PAD.encode(octets))),
    };
    octets.zeroize();
    minted
}

/// Reads a bearer token. `None`: it is none of ours.
pub fn parse_bearer(text: &str) -> Option<Presented<TokenId>> {
    let text = text.strip_prefix(BEARER_PREFIX)?;
    if text.len() != TOKEN_CHARACTERS {
        return None;
    }
    // A little more room than needed: the decoder asks for it.
    let mut octets = [0; TOKEN_OCTETS + 2];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut octets).ok()?;
    let token = octets.get(..length).filter(|_| length == TOKEN_OCTETS)?;
    let presented = Presented {
        id: TokenId(first(token)),
        hash: TokenHash::new(BEARER_KIND, token),
    };
    octets.zeroize();
    Some(presented)
}

/// Makes an app password: `xxxx-xxxx-xxxx-xxxx-xxxx-xxxx`, of which the first two groups are its id.
pub fn mint_app_password(rng: &dyn Rng) -> Minted<AppPasswordId> {
    let mut octets = [0; APP_PASSWORD_OCTETS];
    rng.fill(&mut octets);
    let minted = Minted {
        id: AppPasswordId(first(&octets)),
        hash: TokenHash::new(APP_PASSWORD_KIND, &octets),
        text: Secret::new(encode_groups(&octets)),
    };
    octets.zeroize();
    minted
}

/// Reads an app password as people type it: case, spaces and dashes do not count, and `o` is zero, `i` and `l` one.
/// `None`: it does not look like one. What does may still be an ordinary password.
pub fn parse_app_password(text: &str) -> Option<Presented<AppPasswordId>> {
    let mut octets = decode_groups(text)?;
    let presented = Presented {
        id: AppPasswordId(first(&octets)),
        hash: TokenHash::new(APP_PASSWORD_KIND, &octets),
    };
    octets.zeroize();
    Some(presented)
}

/// The first `N` octets; zeros where there are fewer.
fn first<const N: usize>(octets: &[u8]) -> [u8; N] {
    octets.first_chunk().copied().unwrap_or([0; N])
}

fn encode_groups(octets: &[u8; APP_PASSWORD_OCTETS]) -> String {
    let groups = APP_PASSWORD_CHARACTERS / APP_PASSWORD_GROUP;
    let mut text = String::with_capacity(APP_PASSWORD_CHARACTERS + groups);
    // 15 octets are 120 bits are 24 characters, the most significant first.
    for character in 0..APP_PASSWORD_CHARACTERS {
        if character > 0 && character % APP_PASSWORD_GROUP == 0 {
            text.push('-');
        }
        let mut value = 0;
        for bit in character * 5..character * 5 + 5 {
            value = value << 1 | (octets[bit / 8] >> (7 - bit % 8) & 1);
        }
        text.push(char::from(ALPHABET[usize::from(value)]));
    }
    text
}

fn decode_groups(text: &str) -> Option<[u8; APP_PASSWORD_OCTETS]> {
    let mut octets = [0; APP_PASSWORD_OCTETS];
    let mut character = 0;
    for octet in text.bytes() {
        if matches!(octet, b'-' | b' ') {
            continue;
        }
        if character == APP_PASSWORD_CHARACTERS {
            return None;
        }
        let value = value_of(octet)?;
        for place in 0..5 {
            let bit = character * 5 + place;
            octets[bit / 8] |= (value >> (4 - place) & 1) << (7 - bit % 8);
        }
        character += 1;
    }
    (character == APP_PASSWORD_CHARACTERS).then_some(octets)
}

fn value_of(octet: u8) -> Option<u8> {
    let octet = match octet.to_ascii_lowercase() {
        b'o' => b'0',
        b'i' | b'l' => b'1',
        other => other,
    };
    let value = ALPHABET.iter().position(|known| *known == octet)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
