//! Records: values with numbered fields that stay readable for ever.
//!
//! Holds: a field's number is never used for anything else; fields are only added, as
//! `Option` or with `#[cbor(default)]`; every record type has golden bytes in a test.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::Error;

/// A value of the store in CBOR with numbered fields.
pub trait Record: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    /// What an error message calls it.
    const KIND: &'static str;

    fn to_bytes(&self) -> Bytes {
        let mut buffer = Vec::with_capacity(128);
        // Writing to a vector can't fail, and derived encoders have no errors of their own.
        let _ = minicbor::encode(self, &mut buffer);
        buffer.into()
    }

    /// `key` is for the error alone.
    fn from_bytes(key: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        minicbor::decode(bytes).map_err(|source| Error::Corrupt {
            kind: Self::KIND,
            key: hex(key),
            cause: source.to_string(),
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Big-endian numbers side by side, for values of a few counters.
pub fn numbers(values: &[u64]) -> Bytes {
    values
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect::<Vec<u8>>()
        .into()
}

/// `N` numbers written by [`numbers`].
pub fn decode_numbers<const N: usize>(key: &[u8], bytes: &[u8]) -> Result<[u64; N], Error> {
    let mut numbers = [0; N];
    if bytes.len() != N * 8 {
        return Err(Error::Corrupt {
            kind: "numbers",
            key: hex(key),
            cause: "wrong length".into(),
        });
    }
    for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = u64::from_be_bytes(chunk.try_into().unwrap_or_default());
    }
    Ok(numbers)
}
