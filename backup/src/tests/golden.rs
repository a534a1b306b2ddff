//! The bytes of each record.

use expect_test::{Expect, expect};

use crate::{
    Name, Reference, SnapshotRecord, Substitute,
    pack::{Builder, Pack},
    records::{
        Child, Framed, IndexPack, IndexRecord, LockRecord, NodeRecord, RefsRecord, RepositoryRecord,
    },
    seal::keyed,
};

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The CBOR of a record, between its magic number and its hash.
fn check<R: Framed + PartialEq + std::fmt::Debug>(record: &R, want: Expect) {
    let frame = record.to_frame();
    assert_eq!(&frame[..8], R::MAGIC);
    want.assert_eq(&hex(&frame[8..frame.len() - 32]));
    assert_eq!(R::from_frame("", &frame).unwrap(), *record);
    for at in 0..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 1;
        assert!(R::from_frame("", &damaged).is_err());
    }
}

#[test]
fn repository() {
    let record = RepositoryRecord {
        format: 1,
        id: [1; 16],
        recipients: vec!["age1x".to_owned()],
        has_passphrase: true,
        created: 1_577_934_245,
    };
    check(
        &record,
        expect![["8501500101010101010101010101010101010181656167653178f51a5e0d5da5"]],
    );
}

#[test]
fn index() {
    let record = IndexRecord {
        packs: vec![IndexPack {
            pack: Name([2; 32]),
            objects: vec![3; 32],
        }],
    };
    check(
        &record,
        expect![[
            "8181825820020202020202020202020202020202020202020202020202020202020202020258200303030303030303030303030303030303030303030303030303030303030303"
        ]],
    );
}

#[test]
fn refs() {
    let record = RefsRecord {
        time: -1,
        packs: vec![Name([2; 32])],
        number: 7,
    };
    check(
        &record,
        expect![["8320815820020202020202020202020202020202020202020202020202020202020202020207"]],
    );
}

fn child() -> Child {
    Child {
        first_key: vec![0x11, 0],
        name: Name([4; 32]),
        rows: 300,
        octets: 70_000,
    }
}

#[test]
fn node() {
    check(
        &NodeRecord {
            leaves: vec![child()],
        },
        expect![[
            "8181844211005820040404040404040404040404040404040404040404040404040404040404040419012c1a00011170"
        ]],
    );
}

#[test]
fn snapshot() {
    let record = SnapshotRecord {
        time: 1_577_934_245,
        hostname: "mx".to_owned(),
        version: "0.1".to_owned(),
        store_format: 1,
        nodes: vec![child()],
        references: vec![Reference { prefix: vec![0x21] }],
        blobs: 2,
        substitutes: vec![
            Substitute {
                blob: Name([5; 32]),
                object: None,
            },
            Substitute {
                blob: Name([6; 32]),
                object: Some(Name([7; 32])),
            },
        ],
        accounts: 4,
        emails: 5,
        added_octets: 6,
    };
    check(
        &record,
        expect![[
            "8b1a5e0d5da5626d7863302e310181844211005820040404040404040404040404040404040404040404040404040404040404040419012c1a000111708181412102828158200505050505050505050505050505050505050505050505050505050505050505825820060606060606060606060606060606060606060606060606060606060606060658200707070707070707070707070707070707070707070707070707070707070707040506"
        ]],
    );
}

#[test]
fn lock() {
    let record = LockRecord {
        purpose: "a".to_owned(),
        hostname: "b".to_owned(),
        machine: "c".to_owned(),
        process: 1,
        started: 2,
        beat: 3,
    };
    check(&record, expect![["86616161626163010203"]]);
}

/// zstd may come to compress in another way; what it has compressed stays readable.
#[test]
fn pack() {
    let content = concat!(
        "00000072",
        "70687061636b3031",
        "8182",
        "8258206437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d8503",
        "825820af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f326200",
        "8855199b88572223258baf5236e5ac8e808cab9f704e256ce359f63b99280186",
        "28b52ffd2003190000616263",
    );
    let octets = content.as_bytes().chunks(2);
    let octets = octets.map(|pair| std::str::from_utf8(pair).unwrap());
    let content: Vec<u8> = octets
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect();
    let mut builder = Builder::default();
    builder.add(Name::of(b"abc"), b"abc");
    builder.add(Name::of(b""), b"");
    let head = 4 + 0x72;
    assert_eq!(builder.build().unwrap()[..head], content[..head]);
    let pack = Pack::parse("", &content).unwrap();
    assert_eq!(pack.names, [Name::of(b"abc"), Name::of(b"")]);
    assert_eq!(pack.get(&Name::of(b"abc")).unwrap(), "abc");
    assert_eq!(pack.get(&Name::of(b"")).unwrap(), "");
}

#[test]
fn leaf() {
    let leaf = bytes::Bytes::from_static(b"phleaf01\0\x02\0\0\0\x01abc\0\x01\0\0\0\0d");
    let rows = crate::tree::rows(&Name::of(&leaf), &leaf).unwrap();
    let want: [(&[u8], &[u8]); 2] = [(b"ab", b"c"), (b"d", b"")];
    let rows: Vec<(&[u8], &[u8])> = rows.iter().map(|(k, v)| (&k[..], &v[..])).collect();
    assert_eq!(rows, want);
    for cut in 9..leaf.len() - 7 {
        let cut = leaf.slice(..cut);
        assert!(crate::tree::rows(&Name::of(&cut), &cut).is_err());
    }
}

#[test]
fn keyed_names() {
    let name = Name::of(b"abc");
    assert_eq!(keyed(None, &name), name.0);
    expect![["40b6f7a4822f158c26c824edcd889777b16951443649dfecf82cd3c8f9038457"]]
        .assert_eq(&hex(&keyed(Some(&[8; 32]), &name)));
}
