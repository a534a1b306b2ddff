//! The content coding `aes128gcm` (RFC 8188).
//! Holds: what [`seal`] makes, [`open`] reads; what was cut off, reordered or changed is refused.
//! Other half: [`super::message`] makes the keying material of a push.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, KeyType, Prk};
use zeroize::Zeroizing;

use super::PushCryptoError;

/// Octets of the salt that begins the header.
pub const SALT_OCTETS: usize = 16;
/// Octets of the authentication tag that ends each record.
pub const TAG_OCTETS: usize = 16;
/// The smallest record size: a tag, a delimiter and one octet (RFC 8188 §2).
pub const RECORD_OCTETS_MIN: u32 = 18;
/// Octets of the header before the key id: salt, record size, length of the key id.
pub const HEADER_OCTETS: usize = SALT_OCTETS + 4 + 1;

const KEY_OCTETS: usize = 16;
/// RFC 8188 §2: what ends the data of a record, when another follows and when none does.
const DELIMITER: u8 = 1;
const LAST_DELIMITER: u8 = 2;

/// The header of an encrypted content (RFC 8188 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub salt: [u8; SALT_OCTETS],
    /// Octets of each record but the last, encrypted.
    pub record_octets: u32,
    /// What the receiver finds its key by; at most 255 octets.
    pub key_id: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header; also gives the records that follow it.
    pub fn parse(content: &'a [u8]) -> Result<(Header<'a>, &'a [u8]), PushCryptoError> {
        let bad = PushCryptoError::BadContent;
        let (salt, rest) = content.split_first_chunk().ok_or(bad)?;
        let (record_octets, rest) = rest.split_first_chunk().ok_or(bad)?;
        let (key_id_octets, rest) = rest.split_first().ok_or(bad)?;
        let (key_id, records) = rest
            .split_at_checked(usize::from(*key_id_octets))
            .ok_or(bad)?;
        let header = Header {
            salt: *salt,
            record_octets: u32::from_be_bytes(*record_octets),
            key_id,
        };
        Ok((header, records))
    }
}

/// Encrypts `plaintext` as one content. `padding` octets are added, as early as there is room for them.
///
/// # Errors
/// [`PushCryptoError::Failed`] for a record size too small, or a key id too long.
pub fn seal(
    header: &Header<'_>,
    keying_material: &[u8],
    plaintext: &[u8],
    padding: usize,
) -> Result<Vec<u8>, PushCryptoError> {
    let failed = PushCryptoError::Failed;
    let room = room_of(header.record_octets).ok_or(failed)?;
    let key_id_octets = u8::try_from(header.key_id.len()).map_err(|_| failed)?;
    let keys = Keys::derive(&header.salt, keying_material)?;

    let mut content =
        Vec::with_capacity(HEADER_OCTETS + header.key_id.len() + plaintext.len() + 64);
    content.extend_from_slice(&header.salt);
    content.extend_from_slice(&header.record_octets.to_be_bytes());
    content.push(key_id_octets);
    content.extend_from_slice(header.key_id);

    let (mut rest, mut padding) = (plaintext, padding);
    for sequence in 0.. {
        // One octet of data at least, while there is any, so that padding alone does not make the records.
        let pad = padding.min(room - usize::from(!rest.is_empty()));
        let (data, after) = rest.split_at(rest.len().min(room - pad));
        (rest, padding) = (after, padding - pad);
        let last = rest.is_empty() && padding == 0;
        let mut record = Vec::with_capacity(room + 1 + TAG_OCTETS);
        record.extend_from_slice(data);
        record.push(if last { LAST_DELIMITER } else { DELIMITER });
        record.resize(record.len() + pad, 0);
        keys.aead
            .seal_in_place_append_tag(keys.nonce(sequence), Aad::empty(), &mut record)
            .map_err(|_| failed)?;
        content.append(&mut record);
        if last {
            return Ok(content);
        }
    }
    Err(failed)
}

/// Decrypts the records of a content whose header was read with [`Header::parse`].
pub fn open(
    header: &Header<'_>,
    keying_material: &[u8],
    records: &[u8],
) -> Result<Vec<u8>, PushCryptoError> {
    let bad = PushCryptoError::BadContent;
    room_of(header.record_octets).ok_or(bad)?;
    let record_octets = usize::try_from(header.record_octets).map_err(|_| bad)?;
    let keys = Keys::derive(&header.salt, keying_material)?;
    let mut plaintext = Vec::with_capacity(records.len());
    let mut chunks = records.chunks(record_octets).zip(0u128..).peekable();
    while let Some((record, sequence)) = chunks.next() {
        let mut record = record.to_vec();
        let padded = keys
            .aead
            .open_in_place(keys.nonce(sequence), Aad::empty(), &mut record)
            .map_err(|_| bad)?;
        let end = padded.iter().rposition(|octet| *octet != 0).ok_or(bad)?;
        // RFC 8188 §2: the delimiter tells the last record, so that the end can't be cut off.
        let want = match chunks.peek() {
            Some(_) => DELIMITER,
            None => LAST_DELIMITER,
        };
        if padded[end] != want {
            return Err(bad);
        }
        plaintext.extend_from_slice(&padded[..end]);
        if want == LAST_DELIMITER {
            return Ok(plaintext);
        }
    }
    Err(bad)
}

/// Octets of data and padding in a record.
fn room_of(record_octets: u32) -> Option<usize> {
    if record_octets < RECORD_OCTETS_MIN {
        return None;
    }
    Some(usize::try_from(record_octets).ok()? - TAG_OCTETS - 1)
}

struct Keys {
    aead: LessSafeKey,
    base_nonce: [u8; NONCE_LEN],
}

impl Keys {
    /// RFC 8188 §2.2 and §2.3.
    fn derive(salt: &[u8], keying_material: &[u8]) -> Result<Keys, PushCryptoError> {
        let secret = hkdf::Salt::new(HKDF_SHA256, salt).extract(keying_material);
        let mut key = Zeroizing::new([0; KEY_OCTETS]);
        expand(&secret, &[b"Content-Encoding: aes128gcm\0"], &mut *key)?;
        let mut base_nonce = [0; NONCE_LEN];
        expand(&secret, &[b"Content-Encoding: nonce\0"], &mut base_nonce)?;
        let key = UnboundKey::new(&AES_128_GCM, &*key).map_err(|_| PushCryptoError::Failed)?;
        Ok(Keys {
            aead: LessSafeKey::new(key),
            base_nonce,
        })
    }

    /// The base nonce, exclusive or the number of the record in 96 bits.
    fn nonce(&self, sequence: u128) -> Nonce {
        let mut nonce = self.base_nonce;
        let sequence = sequence.to_be_bytes();
        for (octet, number) in nonce.iter_mut().zip(&sequence[16 - NONCE_LEN..]) {
            *octet ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// HKDF-Expand (RFC 5869) into the whole of `out`.
pub(super) fn expand(secret: &Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), PushCryptoError> {
    struct Octets(usize);
    impl KeyType for Octets {
        fn len(&self) -> usize {
            self.0
        }
    }
    secret
        .expand(info, Octets(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| PushCryptoError::Failed)
}
