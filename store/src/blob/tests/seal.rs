//! What is written of an encrypted blob, to the octet; and what happens to it when it is changed.

use expect_test::expect;

use super::*;
use crate::{
    Record,
    blob::{BlobStub, Seal, UseRecord, rewrite::RewriteMark, stub::ObjectName},
    record::hex,
};

fn seal(chunk: u32) -> Seal {
    Seal {
        chunk,
        ..Seal::new("2026", [5; 32])
    }
}

#[test]
fn golden_octets_of_an_encrypted_blob() {
    let octets = b"Subject: hello\r\n\r\nworld\r\n";
    let hash = crate::blob::hash(octets);
    let sealed = seal(16).seal(&master(9), &hash, octets);
    expect!["50485345414c3100043230323605050505050505050505050505050505050505050505050505050505050505050000001000000000000000198d8bc23852e59579c7cbbacbb413ba1676d303f0da7077163489f0f42682671c7c3902ffe42b74799b1851f65c341a623d104752d0ce6ed652"].assert_eq(&hex(&sealed));
    let opened = seal(16).open(&master(9), &hash, octets.len() as u64, &sealed);
    assert_eq!(opened.unwrap(), &octets[..]);
}

#[test]
fn golden_octets_of_records() {
    let seal = seal(65536);
    let rows = [
        BlobStub {
            size: 70_000,
            nonce: Some([7; 16]),
            seal: Some(seal.clone()),
        },
        BlobStub {
            size: 3,
            nonce: None,
            seal: Some(seal),
        },
        BlobStub {
            size: 3,
            nonce: Some([7; 16]),
            seal: None,
        },
    ];
    let mut text = String::new();
    for row in rows {
        let bytes = row.to_bytes();
        assert_eq!(BlobStub::read(b"", &bytes).unwrap(), row);
        text.push_str(&format!("{}\n", hex(&bytes)));
    }
    let used = UseRecord {
        mark: [8; 16],
        is_retiring: true,
    };
    assert_eq!(UseRecord::from_bytes(b"", &used.to_bytes()).unwrap(), used);
    text.push_str(&format!("{}\n", hex(&used.to_bytes())));
    let mark = RewriteMark {
        aim: "key=a".into(),
        done: [1; 32],
    };
    assert_eq!(
        RewriteMark::from_bytes(b"", &mark.to_bytes()).unwrap(),
        mark
    );
    text.push_str(&format!("{}\n", hex(&mark.to_bytes())));
    expect![[r#"
        831a000111705007070707070707070707070707070707836432303236582005050505050505050505050505050505050505050505050505050505050505051a00010000
        8303f6836432303236582005050505050505050505050505050505050505050505050505050505050505051a00010000
        82035007070707070707070707070707070707
        825008080808080808080808080808080808f5
        82656b65793d6158200101010101010101010101010101010101010101010101010101010101010101
    "#]].assert_eq(&text);
}

#[test]
fn a_stub_beyond_all_bounds_is_damaged() {
    let stub = BlobStub {
        size: u64::MAX,
        nonce: None,
        seal: None,
    };
    assert!(BlobStub::read(b"", &stub.to_bytes()).is_err());
    for chunk in [0, u32::MAX] {
        let stub = BlobStub {
            size: 1,
            nonce: None,
            seal: Some(seal(chunk)),
        };
        assert!(BlobStub::read(b"", &stub.to_bytes()).is_err());
    }
}

#[test]
fn names_of_objects_come_apart() {
    let name = ObjectName {
        hash: [0xab; 32],
        nonce: [0x01; 16],
    };
    assert_eq!(ObjectName::parse(&name.file()), Some(name));
    assert!(name.path().starts_with("ab/abab"));
    for text in ["", "ab", &name.file()[1..], &name.file().to_uppercase()] {
        assert_eq!(ObjectName::parse(text), None, "{text}");
    }
}

#[test]
fn sizes_around_chunks_come_back_in_all_ranges() {
    for size in [0u64, 1, 15, 16, 17, 32, 33, 100] {
        let octets = mail(size, size as usize);
        let hash = crate::blob::hash(&octets);
        let seal = seal(16);
        let sealed = seal.seal(&master(1), &hash, &octets);
        assert_eq!(sealed.len() as u64, seal.sealed_octets(size));
        assert_eq!(seal.open(&master(1), &hash, size, &sealed).unwrap(), octets);
        for start in 0..=size {
            for end in start..=size {
                let part = seal.sealed_range(start..end, size);
                let chunks = &sealed[part.start as usize..part.end as usize];
                let opened = seal.open_range(&master(1), &hash, size, start..end, chunks);
                assert_eq!(opened.unwrap(), octets[start as usize..end as usize]);
            }
        }
    }
}

#[test]
fn whatever_is_changed_is_noticed() {
    let octets = mail(1, 40);
    let hash = crate::blob::hash(&octets);
    let seal = seal(16);
    let sealed = seal.seal(&master(1), &hash, &octets);
    let open = |sealed: &[u8]| seal.open(&master(1), &hash, 40, sealed);
    assert!(open(&sealed).is_ok());
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        assert!(open(&changed).is_err(), "octet {at}");
    }
    for cut in 0..sealed.len() {
        assert!(open(&sealed[..cut]).is_err(), "cut at {cut}");
    }
    // Two chunks in each other's place.
    let header = sealed.len() - 40 - 3 * 16;
    let mut swapped = sealed.to_vec();
    swapped[header..header + 64].rotate_left(32);
    assert!(open(&swapped).is_err());
    // Another key, another blob, another size.
    assert!(seal.open(&master(2), &hash, 40, &sealed).is_err());
    assert!(seal.open(&master(1), &[0; 32], 40, &sealed).is_err());
    assert!(seal.open(&master(1), &hash, 39, &sealed).is_err());
    // The last chunk left out, with a size that fits.
    assert!(
        seal.open(&master(1), &hash, 32, &sealed[..header + 64])
            .is_err()
    );
}

#[test]
fn keys_are_read_and_never_shown() {
    let digits = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let key = MasterKey::parse(&format!(" {digits}\n")).unwrap();
    assert_eq!(format!("{key:?}"), "MasterKey(..)");
    for wrong in [
        "",
        &digits[1..],
        &format!("{digits}0"),
        &digits.replace('0', "g"),
    ] {
        let error = MasterKey::parse(wrong).unwrap_err();
        assert!(!error.to_string().contains(&digits[5..10]));
    }
    let mut keyring = keyring(&[("a", 1)]);
    assert!(keyring.add("a", master(2)).is_err());
    for id in ["", "a b", "a\"", &"a".repeat(33)] {
        assert!(Keyring::none().add(id, master(2)).is_err(), "{id}");
    }
    assert_eq!(keyring.newest().unwrap().0, "a");
    keyring.encrypt_no_more();
    assert!(keyring.newest().is_none() && keyring.get("a").is_some());
}
