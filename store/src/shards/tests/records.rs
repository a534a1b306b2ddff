//! What is written of published shards, and what is read of that.

use super::*;
use crate::{
    blob::{Seal, packs::PackRecord},
    search::CopyFile,
};

#[test]
fn records_have_golden_bytes() {
    let hex = |bytes: Bytes| crate::record::hex(&bytes);
    let head = ShardHead {
        generation: 3,
        base: 1,
        mark: [0xab; 16],
    };
    assert_eq!(hex(head.to_bytes()), format!("83030150{}", "ab".repeat(16)));
    assert_eq!(ShardHead::from_bytes(b"", &head.to_bytes()).unwrap(), head);
    let file = CopyFile {
        name: "a.idx".into(),
        octets: 9,
        hash: [0xcd; 32],
    };
    let manifest = Manifest {
        generation: 3,
        base: 1,
        meta: b"{}".to_vec(),
        packs: vec![
            PackRecord {
                name: [1; 16],
                size: 12,
                seal: None,
            },
            PackRecord {
                name: [2; 16],
                size: 5,
                seal: Some(Seal::new("k", [3; 32])),
            },
        ],
        files: vec![PackedFile {
            file,
            pack: 0,
            offset: 3,
        }],
    };
    let golden = format!(
        "85030142 7b7d 82 82 50{} 0c 83 50{} 05 83 616b 5820{} 1a00010000 81 83 83 65612e696478 09 5820{} 00 03",
        "01".repeat(16),
        "02".repeat(16),
        "03".repeat(32),
        "cd".repeat(32)
    );
    assert_eq!(hex(manifest.to_bytes()), golden.replace(' ', ""));
    assert_eq!(Manifest::read(b"", &manifest.to_bytes()).unwrap(), manifest);
    let indexed = IndexedRecord {
        layout: (3, 4),
        pairs: vec![(1, 100), (2, 300)],
    };
    assert_eq!(hex(indexed.to_bytes()), "828203048282011864820219012c");
    let back = IndexedRecord::from_bytes(b"", &indexed.to_bytes()).unwrap();
    assert_eq!(back, indexed);
}

#[test]
fn a_manifest_that_leads_elsewhere_is_none() {
    let pack = PackRecord {
        name: [1; 16],
        size: 12,
        seal: None,
    };
    let check = |name: &str, pack_number, offset, octets, expected: bool| {
        let file = CopyFile {
            name: name.into(),
            octets,
            hash: [0; 32],
        };
        let manifest = Manifest {
            packs: vec![pack.clone()],
            files: vec![PackedFile {
                file,
                pack: pack_number,
                offset,
            }],
            ..Manifest::default()
        };
        let read = Manifest::read(b"", &manifest.to_bytes());
        assert_eq!(read.is_ok(), expected, "{name}");
    };
    check("a.idx", 0, 0, 12, true);
    check("a.idx", 1, 0, 12, false);
    check("a.idx", 0, 1, 12, false);
    check("a.idx", 0, u64::MAX, 12, false);
    check("a.idx", 0, 0, 0, false);
    for name in ["../a", ".note", "meta.json", "a/b", "a\\\"b"] {
        check(name, 0, 0, 12, false);
    }
}

#[test]
fn a_row_says_what_a_generation_has() {
    let layout = (3, 4);
    let mut record = IndexedRecord::default();
    assert_eq!(record.cursor(layout, 9, 1), 0);
    record.add(layout, 2, 1, 20);
    record.add(layout, 5, 1, 50);
    let check = |record: &IndexedRecord, generation, base, cursor| {
        assert_eq!(
            record.cursor(layout, generation, base),
            cursor,
            "{generation} {base}"
        );
    };
    check(&record, 1, 1, 0);
    check(&record, 2, 1, 20);
    check(&record, 4, 1, 20);
    check(&record, 5, 1, 50);
    check(&record, 9, 1, 50);
    // What was before the base says nothing.
    check(&record, 9, 6, 0);
    check(&record, 9, 5, 50);
    assert_eq!(record.cursor((3, 5), 9, 1), 0);
    // Cursors alone move within a generation.
    record.add(layout, 5, 1, 55);
    check(&record, 5, 1, 55);
    record.add(layout, 7, 7, 70);
    assert_eq!(record.pairs, [(7, 70)]);
    for generation in 8..30 {
        record.add(layout, generation, 7, generation * 10);
    }
    assert_eq!(record.pairs.len(), PAIRS_MAX);
    check(&record, 21, 7, 0);
    check(&record, 22, 7, 220);
    record.add((3, 5), 1, 1, 5);
    assert_eq!(record.pairs, [(1, 5)]);
}
