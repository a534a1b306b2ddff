//! What is looked at of a header, and what of a body is hashed.

use super::*;

fn section(message: &[u8]) -> Section {
    Section::of(&Bytes::copy_from_slice(message))
}

#[test]
fn where_the_body_begins() {
    let rows: [(&[u8], usize, usize); 6] = [
        (b"From: a\r\nTo: b\r\n\r\nbody\r\n", 18, 1),
        (b"\r\nFrom: a\r\n", 2, 0),
        (b"From: a\r\n x\r\n", 13, 1),
        (b"", 0, 0),
        (b"from : a\r\nFROM: b\r\nFromx: c\r\n\r\n", 31, 2),
        (b"no header", 9, 0),
    ];
    for (message, body_at, from_fields) in rows {
        let section = section(message);
        let context = message.escape_ascii();
        assert_eq!(section.body_at, body_at, "{context}");
        assert_eq!(section.from_fields, from_fields, "{context}");
        assert_eq!(&section.octets[..], &message[..body_at], "{context}");
    }
}

#[test]
fn of_a_header_past_its_limits_only_from_is_seen() {
    let fields = |count: usize| {
        let mut message = b"From: a@b.example\r\n".to_vec();
        for _ in 1..count {
            message.extend_from_slice(b"X: y\r\n");
        }
        message.extend_from_slice(b"\r\nbody\r\n");
        message
    };
    assert!(!section(&fields(HEADER_FIELDS_MAX)).is_cut);
    let cut = section(&fields(HEADER_FIELDS_MAX + 1));
    assert!(cut.is_cut);
    assert_eq!(&cut.octets[..], b"From: a@b.example\r\n\r\n");

    let octets = |size: usize| {
        let mut message = b"From: a@b.example\r\nX: ".to_vec();
        message.resize(size - 4, b'x');
        message.extend_from_slice(b"\r\n\r\n");
        message
    };
    assert!(!section(&octets(HEADER_OCTETS_MAX)).is_cut);
    assert!(section(&octets(HEADER_OCTETS_MAX + 1)).is_cut);
}

/// RFC 6376 §3.4.4; the hash of an empty body is that of §3.4.4's text.
#[test]
fn a_relaxed_body_ends_before_its_blank_lines() {
    let rows: [(&[u8], &[u8]); 8] = [
        (b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n", b"a\r\n"),
        (b"a\r\n \r\n\t\t\r\n", b"a\r\n"),
        (b"a \r\n \r\nb\r\n \r\n", b"a \r\n \r\nb\r\n"),
        (b"a", b"a"),
        (b"a\r\n ", b"a\r\n"),
        (b" \r\n\t\r\n", b""),
        (b"", b""),
    ];
    for (body, expected) in rows {
        assert_eq!(without_blank_end(body), expected, "{}", body.escape_ascii());
        let kinds = [(Canonicalization::Relaxed, HashAlgorithm::Sha256)];
        assert_eq!(hashes(body, &kinds), hashes(expected, &kinds));
    }
    let empty = hashes(
        b" \r\n",
        &[(Canonicalization::Relaxed, HashAlgorithm::Sha256)],
    );
    let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let hex: String = empty[0]
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    assert_eq!(hex, known);
}
