//! Encryption of push messages (RFC 8291).
//! Holds: each message has a key pair and a salt of its own; a message fits into what every push service takes.
//! Other half: [`super::content_coding`] is the format of the body; the receiver is a browser or an app.

use aws_lc_rs::agreement::{self, ECDH_P256, ParsedPublicKey, UnparsedPublicKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256};
use zeroize::Zeroizing;

use super::content_coding::{self, HEADER_OCTETS, Header, SALT_OCTETS, TAG_OCTETS, expand};
use super::{P256_POINT_OCTETS, PushCryptoError, decode_base64url, new_private_key, public_point};
use crate::rng::Rng;

/// The `Content-Encoding` of an encrypted push.
pub const CONTENT_ENCODING: &str = "aes128gcm";
/// Octets of the secret that subscription and sender share.
pub const AUTH_OCTETS: usize = 16;
/// What every push service takes at least, in octets (RFC 8030 §7.2, RFC 8291 §4).
pub const BODY_OCTETS_MAX: usize = 4096;
/// The longest message, in octets: 3993.
pub const PLAINTEXT_OCTETS_MAX: usize =
    BODY_OCTETS_MAX - HEADER_OCTETS - P256_POINT_OCTETS - TAG_OCTETS - 1;

/// RFC 8291 §4: one record; its size is more than the body can hold.
const RECORD_OCTETS: u32 = 4096;
/// Longest `p256dh` or `auth` that is looked at.
const KEY_TEXT_OCTETS_MAX: usize = 128;

/// The keys of a PushSubscription (RFC 8620 §7.2).
#[derive(Clone)]
pub struct SubscriptionKeys {
    public: [u8; P256_POINT_OCTETS],
    auth: Zeroizing<[u8; AUTH_OCTETS]>,
}

impl std::fmt::Debug for SubscriptionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubscriptionKeys(..)")
    }
}

impl SubscriptionKeys {
    /// From the properties `p256dh` and `auth`.
    ///
    /// # Errors
    /// [`PushCryptoError::BadPublicKey`], also for a point that is not on the curve;
    /// [`PushCryptoError::BadAuthSecret`].
    pub fn from_base64url(p256dh: &str, auth: &str) -> Result<SubscriptionKeys, PushCryptoError> {
        let decode = |text: &str, error| {
            if text.len() > KEY_TEXT_OCTETS_MAX {
                return Err(error);
            }
            decode_base64url(text).map(Zeroizing::new).ok_or(error)
        };
        let public = decode(p256dh, PushCryptoError::BadPublicKey)?;
        let auth = decode(auth, PushCryptoError::BadAuthSecret)?;
        SubscriptionKeys::from_octets(&public, &auth)
    }

    /// From the octets themselves.
    pub fn from_octets(public: &[u8], auth: &[u8]) -> Result<SubscriptionKeys, PushCryptoError> {
        let public: [u8; P256_POINT_OCTETS] = public
            .try_into()
            .map_err(|_| PushCryptoError::BadPublicKey)?;
        // The library also reads other forms, which the receiver does not have in its key derivation.
        if public[0] != 4 || ParsedPublicKey::try_from(unparsed(&public)).is_err() {
            return Err(PushCryptoError::BadPublicKey);
        }
        let auth = auth
            .try_into()
            .map(Zeroizing::new)
            .map_err(|_| PushCryptoError::BadAuthSecret)?;
        Ok(SubscriptionKeys { public, auth })
    }
}

/// Encrypts a message for a subscription: the body of the POST, with [`CONTENT_ENCODING`].
///
/// # Errors
/// [`PushCryptoError::TooLong`] beyond [`PLAINTEXT_OCTETS_MAX`].
pub fn encrypt(
    keys: &SubscriptionKeys,
    plaintext: &[u8],
    rng: &dyn Rng,
) -> Result<Vec<u8>, PushCryptoError> {
    let private = new_private_key(rng)?;
    let mut salt = [0; SALT_OCTETS];
    rng.fill(&mut salt);
    encrypt_with(keys, plaintext, &private, salt)
}

pub(super) fn encrypt_with(
    keys: &SubscriptionKeys,
    plaintext: &[u8],
    private: &agreement::PrivateKey,
    salt: [u8; SALT_OCTETS],
) -> Result<Vec<u8>, PushCryptoError> {
    if plaintext.len() > PLAINTEXT_OCTETS_MAX {
        return Err(PushCryptoError::TooLong);
    }
    let sender = public_point(private)?;
    let material = keying_material(private, &keys.public, &*keys.auth, &keys.public, &sender)?;
    let header = Header {
        salt,
        record_octets: RECORD_OCTETS,
        // RFC 8291 §4: the sender's public key stands in the place of the key id.
        key_id: &sender,
    };
    content_coding::seal(&header, &*material, plaintext, 0)
}

/// What the receiver does: for those who want to see what was sent, such as a push service of a test.
///
/// `private`: the receiver's private key.
pub fn decrypt(
    private: &agreement::PrivateKey,
    auth: &[u8; AUTH_OCTETS],
    body: &[u8],
) -> Result<Vec<u8>, PushCryptoError> {
    let (header, records) = Header::parse(body)?;
    let sender: &[u8; P256_POINT_OCTETS] = header
        .key_id
        .try_into()
        .map_err(|_| PushCryptoError::BadContent)?;
    let receiver = public_point(private)?;
    let material = keying_material(private, sender, auth, &receiver, sender)
        .map_err(|_| PushCryptoError::BadContent)?;
    content_coding::open(&header, &*material, records)
}

/// RFC 8291 §3.3 and §3.4.
fn keying_material(
    mine: &agreement::PrivateKey,
    theirs: &[u8; P256_POINT_OCTETS],
    auth: &[u8],
    receiver: &[u8; P256_POINT_OCTETS],
    sender: &[u8; P256_POINT_OCTETS],
) -> Result<Zeroizing<[u8; 32]>, PushCryptoError> {
    agreement::agree(
        mine,
        unparsed(theirs),
        PushCryptoError::BadPublicKey,
        |shared| {
            let secret = hkdf::Salt::new(HKDF_SHA256, auth).extract(shared);
            let mut material = Zeroizing::new([0; 32]);
            expand(
                &secret,
                &[b"WebPush: info\0", receiver, sender],
                &mut *material,
            )?;
            Ok(material)
        },
    )
}

fn unparsed(point: &[u8; P256_POINT_OCTETS]) -> UnparsedPublicKey<&[u8]> {
    UnparsedPublicKey::new(&ECDH_P256, point)
}
