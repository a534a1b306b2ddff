//! How far a step of an upgrade is.

use minicbor::{Decode, Encode};

use crate::Record;

/// What is kept while a step is under way: each batch of it changes the row, so that of two nodes at one step only one goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct UpgradeRecord {
    /// The format that the step leads to.
    #[n(0)]
    pub to: u64,
    /// Which of the step's ranges, from 0.
    #[n(1)]
    pub range: u64,
    /// The last key of it that is done; empty: none.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub after: Vec<u8>,
    /// Rows that are done, in all ranges.
    #[n(3)]
    pub rows: u64,
}

impl Record for UpgradeRecord {
    const KIND: &'static str = "upgrade";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let record = UpgradeRecord {
            to: 2,
            range: 1,
            after: vec![0x11, 0xff],
            rows: 300,
        };
        let bytes = b"\x84\x02\x01\x42\x11\xff\x19\x01\x2c";
        assert_eq!(record.to_bytes(), &bytes[..]);
        assert_eq!(UpgradeRecord::from_bytes(b"", bytes).unwrap(), record);
    }
}
