//! Quarantine: where a record goes that can't stay where it is.
//!
//! Holds: what repair takes away or writes over is in here first, in the same commit, with its key and the reason; nothing in here is
//! written over, and only the operator takes anything out.
//! Other half: the check of `jmap-core` puts records aside.

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::{
    Record,
    engine::{Batch, Key},
};

/// What was put aside from under one key, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct QuarantineRecord {
    #[n(0)]
    pub entries: Vec<Aside>,
}

/// One value that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Aside {
    /// Where it was.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub octets: Vec<u8>,
    /// The code of what was found to be wrong.
    #[n(2)]
    pub reason: String,
    /// Milliseconds since 1970; 0: not known.
    #[n(3)]
    pub at: i64,
}

impl Record for QuarantineRecord {
    const KIND: &'static str = "quarantine";
}

impl QuarantineRecord {
    /// What a row has. Of before there was a record, a row has the bad octets or a sentence alone.
    pub fn read(row: &[u8], value: &[u8]) -> Self {
        Self::from_bytes(row, value).unwrap_or_else(|_| Self {
            entries: vec![Aside {
                key: row.get(1..).unwrap_or_default().to_vec(),
                octets: value.to_vec(),
                reason: String::new(),
                at: 0,
            }],
        })
    }

    /// Adds an entry, unless the same octets are there already: so that the same repair twice puts them aside once.
    pub fn add(&mut self, aside: Aside) {
        let is_known = |known: &Aside| known.key == aside.key && known.octets == aside.octets;
        if !self.entries.iter().any(is_known) {
            self.entries.push(aside);
        }
    }
}

/// Adds to `batch` what puts `aside` aside; `known`: what the row [`keys::quarantine`] has now. The caller asserts that it has.
pub fn put(batch: &mut Batch, row: Key, known: Option<&Bytes>, aside: Aside) {
    let mut record = known.map_or_else(QuarantineRecord::default, |known| {
        QuarantineRecord::read(&row, known)
    });
    record.add(aside);
    batch.put(row, record.to_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn golden() {
        let record = QuarantineRecord {
            entries: vec![Aside {
                key: vec![0x10, 1],
                octets: vec![0xff],
                reason: "record/unreadable".into(),
                at: 300,
            }],
        };
        let bytes = b"\x81\x81\x84\x42\x10\x01\x41\xff\x71record/unreadable\x19\x01\x2c";
        assert_eq!(record.to_bytes(), &bytes[..]);
        assert_eq!(QuarantineRecord::read(b"", bytes), record);
    }

    #[test]
    fn rows_of_before_are_octets_alone() {
        let record = QuarantineRecord::read(&[0x50, 0x83, 1], b"bad");
        assert_eq!(record.entries[0].key, [0x83, 1]);
        assert_eq!(record.entries[0].octets, b"bad");
    }

    #[test]
    fn the_same_octets_are_kept_once_and_others_beside_them() {
        let row = keys::quarantine(&[0x10, 1]);
        let mut known = None;
        for octets in [b"a", b"b", b"a"] {
            let mut batch = Batch::new();
            let aside = Aside {
                key: vec![0x10, 1],
                octets: octets.to_vec(),
                reason: "x".into(),
                at: 1,
            };
            put(&mut batch, row.clone(), known.as_ref(), aside);
            let Some(crate::engine::Write::Put(_, value)) = batch.writes.pop() else {
                panic!("nothing was put");
            };
            known = Some(value);
        }
        let record = QuarantineRecord::read(&row, &known.unwrap());
        assert_eq!(record.entries.len(), 2);
    }
}
