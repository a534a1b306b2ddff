//! Encryption of blobs at rest: AES-256-GCM in chunks, under a key of its own for each encryption.
//!
//! Holds: a data key is derived from a master key, 32 random octets, the header and the blob's hash, and encrypts this
//! once, so a nonce never meets a key twice; each chunk says which it is and whether it is the last one, so none can be
//! left out, moved, or taken from another blob; a range is read by the chunks that it touches.
//! Other half: `keyring` has the master keys; `stub` keeps what a [`Seal`] says.
//!
//! What is stored is the header (`PHSEAL1` and a zero octet, length of the key's id u8, the id, 32 random octets, octets of
//! a chunk u32, octets of the blob u64), then the chunks, each followed by its tag of 16 octets. An empty blob has one
//! empty chunk.

use std::ops::Range;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use bytes::Bytes;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::keyring::{KEY_ID_OCTETS_MAX, MasterKey};
use crate::keys::BlobHash;

const MAGIC: &[u8; 8] = b"PHSEAL1\0";
const TAG_OCTETS: u64 = 16;
/// Octets of a chunk that is written.
pub const CHUNK_OCTETS: u32 = 64 << 10;
/// Chunks larger than this are none of ours.
const CHUNK_OCTETS_MAX: u32 = 16 << 20;

/// How a blob is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Seal {
    /// The id of the master key.
    #[n(0)]
    pub key: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// Octets of all chunks but the last one.
    #[n(2)]
    pub chunk: u32,
}

/// The octets are not what was encrypted, or the key is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encrypted octets were changed, or the key is not the one that they were encrypted by")]
pub struct NotAuthentic;

impl Seal {
    /// A new one; `salt` is random.
    pub fn new(key: &str, salt: [u8; 32]) -> Seal {
        Seal {
            key: key.to_owned(),
            salt,
            chunk: CHUNK_OCTETS,
        }
    }

    /// The most that is stored for a blob of at most `size` octets.
    pub fn octets_max(size: u64) -> u64 {
        let chunks = size.div_ceil(u64::from(CHUNK_OCTETS)).max(1);
        let header = MAGIC.len() + 1 + KEY_ID_OCTETS_MAX + 32 + 4 + 8;
        size.saturating_add(chunks * TAG_OCTETS + header as u64)
    }

    /// Whether octets begin as encrypted ones do.
    pub(super) fn is_one(octets: &[u8]) -> bool {
        octets.starts_with(MAGIC)
    }

    /// Encrypts a blob. To be called once for a seal.
    pub fn seal(&self, key: &MasterKey, hash: &BlobHash, octets: &[u8]) -> Bytes {
        let size = octets.len() as u64;
        self.seal_part(key, hash, size, 0, octets).into()
    }

    /// Encrypts a part of what has `size` octets in all: as many whole chunks as `octets` are, or the last ones, which come
    /// after `start` octets. The header is in front of the first. Each part is to be encrypted once.
    pub(super) fn seal_part(
        &self,
        key: &MasterKey,
        hash: &BlobHash,
        size: u64,
        start: u64,
        octets: &[u8],
    ) -> Vec<u8> {
        let header = self.header(size);
        let data_key = self.data_key(key, hash, &header);
        let first = start / u64::from(self.chunk);
        let count = self.chunks(octets.len() as u64);
        let last = self.chunks(size) - 1;
        let mut sealed = Vec::with_capacity(self.sealed_octets(octets.len() as u64) as usize);
        if first == 0 {
            sealed.extend_from_slice(&header);
        }
        for index in first..first + count {
            let range = self.plain_range(index, size);
            let part = slice(octets, range.start - start..range.end - start);
            let at = sealed.len();
            sealed.extend_from_slice(part);
            let (_, room) = sealed.split_at_mut(at);
            let tag = data_key.seal_in_place_separate_tag(
                nonce(index),
                Aad::from(associated(hash, index, index == last)),
                room,
            );
            // It fails for texts of 64 GiB alone, and a chunk isn't one.
            if let Ok(tag) = tag {
                sealed.extend_from_slice(tag.as_ref());
            }
        }
        sealed
    }

    /// The blob of `size` octets that `sealed` is.
    pub fn open(
        &self,
        key: &MasterKey,
        hash: &BlobHash,
        size: u64,
        sealed: &[u8],
    ) -> Result<Bytes, NotAuthentic> {
        let header = self.header(size);
        let chunks = sealed.strip_prefix(&header[..]).ok_or(NotAuthentic)?;
        self.open_range(key, hash, size, 0..size, chunks)
    }

    /// A range of the blob, out of the chunks that [`Seal::sealed_range`] says.
    pub fn open_range(
        &self,
        key: &MasterKey,
        hash: &BlobHash,
        size: u64,
        range: Range<u64>,
        chunks: &[u8],
    ) -> Result<Bytes, NotAuthentic> {
        if !self.is_sound() || range.start > range.end || range.end > size {
            return Err(NotAuthentic);
        }
        let data_key = self.data_key(key, hash, &self.header(size));
        let last = self.chunks(size) - 1;
        let touched = self.touched(&range, size);
        let first = touched.start;
        let wanted = self.sealed_range(range.clone(), size);
        if chunks.len() as u64 != wanted.end - wanted.start {
            return Err(NotAuthentic);
        }
        let mut plain = Vec::with_capacity(chunks.len());
        let mut rest = chunks;
        for index in touched {
            let part = self.plain_range(index, size);
            let octets = (part.end - part.start + TAG_OCTETS) as usize;
            let (sealed, after) = rest.split_at_checked(octets).ok_or(NotAuthentic)?;
            rest = after;
            let mut room = sealed.to_vec();
            let opened = data_key.open_in_place(
                nonce(index),
                Aad::from(associated(hash, index, index == last)),
                &mut room,
            );
            plain.extend_from_slice(opened.map_err(|_| NotAuthentic)?);
        }
        let start = range.start - first * u64::from(self.chunk);
        let part = start as usize..(start + (range.end - range.start)) as usize;
        Ok(Bytes::from(plain).slice(part))
    }

    /// Where the chunks of a range are in what is stored.
    pub fn sealed_range(&self, range: Range<u64>, size: u64) -> Range<u64> {
        let header = self.header_octets();
        let whole = u64::from(self.chunk) + TAG_OCTETS;
        let touched = self.touched(&range, size);
        let last = self.plain_range(touched.end - 1, size);
        let end = (touched.end - 1) * whole + (last.end - last.start) + TAG_OCTETS;
        header + touched.start * whole..header + end
    }

    /// Octets of what is stored for a blob of `size`.
    pub fn sealed_octets(&self, size: u64) -> u64 {
        self.header_octets() + size + self.chunks(size) * TAG_OCTETS
    }

    /// What a record says can't be true of any seal, if this is false.
    pub(super) fn is_sound(&self) -> bool {
        (1..=CHUNK_OCTETS_MAX).contains(&self.chunk) && self.key.len() <= usize::from(u8::MAX)
    }

    fn chunks(&self, size: u64) -> u64 {
        size.div_ceil(u64::from(self.chunk.max(1))).max(1)
    }

    /// The numbers of the chunks that a range is in; at least one.
    fn touched(&self, range: &Range<u64>, size: u64) -> Range<u64> {
        let chunk = u64::from(self.chunk.max(1));
        let last = self.chunks(size) - 1;
        let first = (range.start / chunk).min(last);
        let end = range.end.div_ceil(chunk).clamp(first + 1, last + 1);
        first..end
    }

    fn plain_range(&self, index: u64, size: u64) -> Range<u64> {
        let chunk = u64::from(self.chunk);
        index * chunk..((index + 1) * chunk).min(size)
    }

    fn header_octets(&self) -> u64 {
        (MAGIC.len() + 1 + self.key.len() + self.salt.len() + 4 + 8) as u64
    }

    fn header(&self, size: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(self.header_octets() as usize);
        header.extend_from_slice(MAGIC);
        header.push(self.key.len() as u8);
        header.extend_from_slice(self.key.as_bytes());
        header.extend_from_slice(&self.salt);
        header.extend_from_slice(&self.chunk.to_be_bytes());
        header.extend_from_slice(&size.to_be_bytes());
        header
    }

    fn data_key(&self, key: &MasterKey, hash: &BlobHash, header: &[u8]) -> LessSafeKey {
        let octets = derive(key, &self.salt, &[b"posthorn blob", header, hash]);
        data_key_of(&octets)
    }
}

/// HKDF with SHA-256 (RFC 5869).
pub(super) fn derive(key: &MasterKey, salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut octets = Zeroizing::new([0; 32]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key.expose());
    // It fails for more than 255 times the length of a hash alone.
    let expanded = extracted.expand(info, hkdf::HKDF_SHA256);
    let filled = expanded.and_then(|output| output.fill(&mut octets[..]));
    debug_assert!(filled.is_ok());
    octets
}

fn data_key_of(octets: &[u8; 32]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM, octets) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("a key of AES-256 has 32 octets"),
    }
}

fn nonce(index: u64) -> Nonce {
    let mut octets = [0; 12];
    octets[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(octets)
}

fn associated(hash: &BlobHash, index: u64, is_last: bool) -> [u8; 41] {
    let mut octets = [0; 41];
    octets[..32].copy_from_slice(hash);
    octets[32..40].copy_from_slice(&index.to_be_bytes());
    octets[40] = u8::from(is_last);
    octets
}

fn slice(octets: &[u8], range: Range<u64>) -> &[u8] {
    octets
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}
