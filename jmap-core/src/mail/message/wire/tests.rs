//! Rows: a message, and what IMAP sends of it.

use bytes::Bytes;
use expect_test::{Expect, expect};

use super::*;

fn of(raw: &[u8]) -> WireStructure {
    WireStructure::new(raw, &Summary::parse(raw))
}

fn text(octets: &Bytes) -> String {
    String::from_utf8_lossy(octets).replace("\r\n", "\\r\\n")
}

fn mail(lines: &[&str]) -> Vec<u8> {
    lines.join("\r\n").into_bytes()
}

fn envelope(lines: &[&str], expected: Expect) {
    let mut lines = lines.to_vec();
    lines.extend(["", ""]);
    expected.assert_eq(&text(&of(&mail(&lines)).envelope));
}

/// BODY, and BODYSTRUCTURE below it.
fn body(lines: &[&str], expected: Expect) {
    let structure = of(&mail(lines));
    expected.assert_eq(&format!(
        "{}\n{}",
        text(&structure.body),
        text(&structure.body_structure)
    ));
}

#[test]
fn envelope_of_rfc_3501() {
    envelope(
        &[
            "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
            "From: Terry Gray <gray@cac.washington.edu>",
            "Subject: IMAP4rev1 WG mtg summary and minutes",
            "To: imap@cac.washington.edu",
            "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>",
            "Message-Id: <B27397-0100000@cac.washington.edu>",
        ],
        expect![[
            r#"("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")"#
        ]],
    );
}

#[test]
fn envelope_without_any_field() {
    envelope(
        &["X: y"],
        expect!["(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"],
    );
}

#[test]
fn empty_sender_and_reply_to_are_from() {
    envelope(
        &["From: a@b", "Sender:", "Reply-To: c@d", "To: "],
        expect![[
            r#"(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) NIL NIL NIL NIL NIL)"#
        ]],
    );
}

#[test]
fn groups_begin_and_end_with_addresses_without_a_host() {
    envelope(
        &["To: Team: a@b, C <c@d>;, e@f", "Cc: nobody:;"],
        expect![[
            r#"(NIL NIL NIL NIL NIL ((NIL NIL "Team" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f")) ((NIL NIL "nobody" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)"#
        ]],
    );
}

#[test]
fn encoded_words_stay_and_folds_go() {
    envelope(
        &[
            "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
            "  and so on",
            "From: =?utf-8?Q?J=C3=B6?= \"the \\\"one\\\"\" <joe@example.org>",
        ],
        expect![[
            r#"(NIL "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=  and so on" (("=?utf-8?Q?J=C3=B6?= the \"one\"" NIL "joe" "example.org")) (("=?utf-8?Q?J=C3=B6?= the \"one\"" NIL "joe" "example.org")) (("=?utf-8?Q?J=C3=B6?= the \"one\"" NIL "joe" "example.org")) NIL NIL NIL NIL NIL)"#
        ]],
    );
}

#[test]
fn odd_addresses_have_a_local_part_and_a_host() {
    envelope(
        &["To: \"a b\"@c, undisclosed, <@x,@y:d@e>, <>"],
        expect![[
            r#"(NIL NIL NIL NIL NIL ((NIL NIL "a b" "c")(NIL NIL "undisclosed" "")(NIL NIL "d" "e")) NIL NIL NIL NIL)"#
        ]],
    );
}

#[test]
fn what_is_not_of_7_bits_or_is_long_is_a_literal() {
    envelope(
        &["Subject: Grüße"],
        expect![[r#"(NIL {7}\r\nGrüße NIL NIL NIL NIL NIL NIL NIL NIL)"#]],
    );
    let long = "x".repeat(QUOTED_OCTETS_MAX + 1);
    let mut out = Vec::new();
    string(&mut out, &long[1..]);
    assert!(out.starts_with(b"\"x"));
    out.clear();
    string(&mut out, &long);
    assert!(out.starts_with(b"{1001}\r\nx"));
    out.clear();
    string(&mut out, "a\0b\rc");
    assert_eq!(out, b"\"ab c\"");
}

#[test]
fn addresses_past_the_limit_are_left_out() {
    let to = vec!["a@b"; ENVELOPE_ADDRESSES_MAX + 1].join(",");
    let structure = of(&mail(&[&format!("To: {to}"), "", ""]));
    let count = text(&structure.envelope).matches("\"a\" \"b\"").count();
    assert_eq!(count, ENVELOPE_ADDRESSES_MAX);
}

#[test]
fn one_text_part() {
    body(
        &["Subject: x", "", "one", "two", ""],
        expect![[r#"
            ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2)
            ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2 NIL NIL NIL NIL)"#]],
    );
}

#[test]
fn all_fields_of_a_part() {
    body(
        &[
            "Content-Type: text/html; charset=UTF-8; format=\"flo\\\"wed\";",
            " name*=utf-8''x%20y",
            "Content-Transfer-Encoding: Quoted-Printable (yes)",
            "Content-Id: <a@b>",
            "Content-Description: what",
            " it is",
            "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
            "Content-Disposition: attachment; filename=\"a b.html\"",
            "Content-Language: de, en",
            "Content-Location: http://x/y",
            "",
            "x=",
            "",
        ],
        expect![[r#"
            ("text" "html" ("charset" "UTF-8" "format" "flo\"wed" "name*" "utf-8''x%20y") "<a@b>" "what it is" "Quoted-Printable" 4 1)
            ("text" "html" ("charset" "UTF-8" "format" "flo\"wed" "name*" "utf-8''x%20y") "<a@b>" "what it is" "Quoted-Printable" 4 1 "Q2hlY2sgSW50ZWdyaXR5IQ==" ("attachment" ("filename" "a b.html")) ("de" "en") "http://x/y")"#]],
    );
}

#[test]
fn multiparts_nest() {
    body(
        &[
            "Content-Type: multipart/mixed; boundary=m",
            "",
            "--m",
            "Content-Type: multipart/alternative; boundary=a",
            "Content-Language: de",
            "",
            "--a",
            "",
            "one",
            "--a",
            "Content-Type: text/html",
            "",
            "<p>",
            "--a--",
            "--m",
            "Content-Type: image/png; name=x.png",
            "Content-Disposition: inline",
            "Content-Transfer-Encoding: base64",
            "",
            "aGFsbG8=",
            "--m--",
            "",
        ],
        expect![[r#"
            ((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0)("text" "html" NIL NIL NIL "7bit" 3 0) "alternative")("image" "png" ("name" "x.png") NIL NIL "base64" 8) "mixed")
            ((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0 NIL NIL NIL NIL)("text" "html" NIL NIL NIL "7bit" 3 0 NIL NIL NIL NIL) "alternative" ("boundary" "a") NIL "de" NIL)("image" "png" ("name" "x.png") NIL NIL "base64" 8 NIL ("inline" NIL) NIL NIL) "mixed" ("boundary" "m") NIL NIL NIL)"#]],
    );
}

#[test]
fn a_message_in_a_message_has_its_own_envelope_and_structure() {
    body(
        &[
            "Content-Type: message/rfc822",
            "",
            "Subject: inner",
            "Content-Type: multipart/digest; boundary=d",
            "",
            "--d",
            "",
            "Subject: innermost",
            "",
            "text",
            "--d--",
        ],
        expect![[r#"
            ("message" "rfc822" NIL NIL NIL "7bit" 102 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) (("message" "rfc822" NIL NIL NIL "7bit" 26 (NIL "innermost" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0) 2) "digest") 8)
            ("message" "rfc822" NIL NIL NIL "7bit" 102 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) (("message" "rfc822" NIL NIL NIL "7bit" 26 (NIL "innermost" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "digest" ("boundary" "d") NIL NIL NIL) 8 NIL NIL NIL NIL)"#]],
    );
}

#[test]
fn an_encoded_message_is_opaque() {
    body(
        &[
            "Content-Type: message/rfc822",
            "Content-Transfer-Encoding: base64",
            "",
            "U3ViamVjdDogeA==",
        ],
        expect![[r#"
            ("application" "octet-stream" NIL NIL NIL "base64" 16)
            ("application" "octet-stream" NIL NIL NIL "base64" 16 NIL NIL NIL NIL)"#]],
    );
}

#[test]
fn messages_nested_deeper_than_the_limit_are_opaque() {
    let nested = |depth: usize| {
        let mut lines = vec!["Content-Type: message/rfc822"; 0];
        for _ in 0..depth {
            lines.extend(["Content-Type: message/rfc822", ""]);
        }
        lines.extend(["Subject: x", "", "end"]);
        text(&of(&mail(&lines)).body)
    };
    assert!(!nested(NESTED_MESSAGES_MAX).contains("octet-stream"));
    let beyond = nested(NESTED_MESSAGES_MAX + 1);
    assert_eq!(beyond.matches("octet-stream").count(), 1);
    assert_eq!(beyond.matches("\"rfc822\"").count(), NESTED_MESSAGES_MAX);
}

#[test]
fn a_structure_does_not_grow_past_its_limit() {
    let mut lines = vec![
        "Content-Type: multipart/mixed; boundary=m".to_owned(),
        String::new(),
    ];
    let description = format!("Content-Type: x/y; a={}", "\"\\\"".repeat(900));
    for _ in 0..900 {
        lines.extend([
            "--m".to_owned(),
            "Content-Type: message/rfc822".to_owned(),
            String::new(),
            description.clone(),
            format!("To: {}", "a,".repeat(4000)),
            String::new(),
        ]);
    }
    let structure = of(lines.join("\r\n").as_bytes());
    let octets = structure.body_structure.len();
    assert!(octets > STRUCTURE_OCTETS_MAX, "{octets}");
    assert!(octets < STRUCTURE_OCTETS_MAX + (256 << 10), "{octets}");
    assert!(text(&structure.body).contains("octet-stream"));
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let structure = of(&mail(&["Subject: x", "", "y"]));
    let record = Bytes::from(structure.encode());
    assert_eq!(WireStructure::decode(&record), Some(structure));
    for end in 0..record.len() {
        assert_eq!(WireStructure::decode(&record.slice(..end)), None);
    }
}

#[test]
fn golden_record() {
    let structure = WireStructure {
        envelope: Bytes::from_static(b"e"),
        body: Bytes::from_static(b"b"),
        body_structure: Bytes::from_static(b"bs"),
    };
    assert_eq!(structure.encode(), b"\x84\x01\x41e\x41b\x42bs");
}

/// Whatever the message is: parentheses, quotes and literals are in balance, and no octet is NUL.
pub(in crate::mail::message) fn check_structure(structure: &WireStructure) {
    check_balance(&structure.envelope);
    check_balance(&structure.body);
    check_balance(&structure.body_structure);
}

fn check_balance(octets: &[u8]) {
    let mut depth = 0i32;
    let mut rest = octets;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'"' => loop {
                let [c, tail @ ..] = rest else {
                    panic!("a quoted string without an end")
                };
                rest = tail;
                assert!(!matches!(c, b'\r' | b'\n' | 0 | 0x80..), "{c}");
                match c {
                    b'"' => break,
                    b'\\' => rest = &rest[1..],
                    _ => {}
                }
            },
            b'{' => {
                let end = rest.iter().position(|c| *c == b'}').unwrap();
                let count: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
                assert!(rest[end..].starts_with(b"}\r\n"));
                let literal = &rest[end + 3..end + 3 + count];
                assert!(!literal.contains(&0));
                rest = &rest[end + 3 + count..];
            }
            _ => assert!(b" NIL0123456789".contains(first), "{first}"),
        }
        assert!(depth > 0 || rest.is_empty());
    }
    assert_eq!(depth, 0);
}

#[test]
fn whatever_the_message_is_the_syntax_is_right() {
    let seed = b"Content-Type: multipart/mixed; boundary=\"m\"; a=\"\\\"(\"\r\nFrom: \"a\" (x) <b@c>, g:h@i;\r\n\
        Subject: {3}\r\n (\r\n\r\n--m\r\nContent-Type: message/rfc822\r\n\r\nTo: x@y\r\n\r\nz\r\n--m\r\n\r\n\xffq\r\n--m--\r\n";
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..20_000 {
        let mut octets = seed.to_vec();
        for _ in 0..round % 12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 16) as usize % octets.len();
            match state % 3 {
                0 => octets[at] = (state >> 40) as u8,
                1 => drop(octets.remove(at)),
                _ => octets.insert(at, b"\"\\(){}\r\n\0;:,@<>="[(state >> 40) as usize % 16]),
            }
        }
        check_structure(&of(&octets));
    }
}
