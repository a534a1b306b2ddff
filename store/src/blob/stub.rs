//! What is written about a blob whose octets don't simply lie in its row.
//!
//! Holds: a blob without a stub lies in its row as it is; with one that names an object, the row is empty.
//! Other half: `engine` reads by it, `commit` and `rewrite` write it.

use minicbor::{Decode, Encode};

use super::seal::Seal;
use crate::{
    Error, Record,
    keys::{BlobHash, BlobNonce},
    record::hex,
};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BlobStub {
    /// Octets of the blob.
    #[n(0)]
    pub size: u64,
    /// `None`: what is stored is in the blob's row.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: Option<BlobNonce>,
    /// `None`: it is stored as it is.
    #[n(2)]
    pub seal: Option<Seal>,
}

impl Record for BlobStub {
    const KIND: &'static str = "blob stub";
}

/// A blob that is larger than this is none of ours.
const SIZE_MAX: u64 = 1 << 40;

impl BlobStub {
    /// As [`Record::from_bytes`], and nothing in it is beyond all bounds.
    pub fn read(key: &[u8], bytes: &[u8]) -> Result<BlobStub, Error> {
        let stub = BlobStub::from_bytes(key, bytes)?;
        if stub.size > SIZE_MAX || stub.seal.as_ref().is_some_and(|seal| !seal.is_sound()) {
            return Err(Error::Corrupt {
                kind: BlobStub::KIND,
                key: hex(key),
                cause: "its numbers are beyond all bounds".into(),
            });
        }
        Ok(stub)
    }

    /// The object outside, if the octets are in one.
    pub fn object(&self, hash: &BlobHash) -> Option<ObjectName> {
        self.nonce.map(|nonce| ObjectName { hash: *hash, nonce })
    }

    /// Octets of what is stored.
    pub fn stored_octets(&self) -> u64 {
        match &self.seal {
            Some(seal) => seal.sealed_octets(self.size),
            None => self.size,
        }
    }

    pub fn key(&self) -> Option<&str> {
        self.seal.as_ref().map(|seal| &*seal.key)
    }
}

/// An object outside, by what its name is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub hash: BlobHash,
    pub nonce: BlobNonce,
}

impl ObjectName {
    /// As a file name.
    pub fn file(&self) -> String {
        format!("{}{}", hex(&self.hash), hex(&self.nonce))
    }

    /// With the folder that it is in: there are 256 of them.
    pub fn path(&self) -> String {
        let file = self.file();
        format!("{}/{file}", &file[..2])
    }

    pub fn parse(file: &str) -> Option<ObjectName> {
        let (hash, nonce) = file.split_at_checked(64)?;
        Some(ObjectName {
            hash: unhex(hash)?,
            nonce: unhex(nonce)?,
        })
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    };
    for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
        *octet = digit(*high)? << 4 | digit(*low)?;
    }
    Some(octets)
}
