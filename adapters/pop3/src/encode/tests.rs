use expect_test::{Expect, expect};

use super::message::PIECE_OCTETS;
use super::*;

fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut stuffing = Stuffing::new(message);
    while stuffing.next(&mut out) {}
    out
}

fn check_stuffing(message: &str, expected: Expect) {
    let out = String::from_utf8(stuffed(message.as_bytes())).unwrap();
    expected.assert_eq(&out.escape_debug().to_string());
}

#[test]
fn lines_are_stuffed_and_end_with_crlf() {
    check_stuffing("a\r\nb\r\n", expect![[r"a\r\nb\r\n.\r\n"]]);
    check_stuffing(".\r\n..x\r\n", expect![[r"..\r\n...x\r\n.\r\n"]]);
    check_stuffing("no end", expect![[r"no end\r\n.\r\n"]]);
    check_stuffing("", expect![[r".\r\n"]]);
    check_stuffing("a\n.\nb\n", expect![[r"a\r\n..\r\nb\r\n.\r\n"]]);
    check_stuffing("a\r.\r\n", expect![[r"a\r.\r\n.\r\n"]]);
}

#[test]
fn pieces_make_no_difference() {
    // Dots, CRs and LFs everywhere around the border of a piece.
    for before in PIECE_OCTETS - 4..PIECE_OCTETS + 4 {
        for tail in ["\r\n.\r\nx", "\r\r\n.", "\n.\n", "..\r", "\r"] {
            let mut message = vec![b'a'; before];
            message.extend_from_slice(tail.as_bytes());
            let mut expected = vec![b'a'; before];
            expected.extend_from_slice(&stuffed(tail.as_bytes()));
            // At the start of a line of its own the tail would be stuffed there too.
            if tail.starts_with('.') {
                expected.remove(before);
            }
            assert!(stuffed(&message) == expected, "{before} {tail:?}");
        }
    }
}

#[test]
fn pieces_are_bounded() {
    let message = b".\n".repeat(PIECE_OCTETS);
    let mut stuffing = Stuffing::new(&message);
    let mut out = Vec::new();
    while stuffing.next(&mut out) {
        assert!(out.len() <= PIECE_OCTETS * 2 + 5);
        out.clear();
    }
}

#[test]
fn top_counts_lines_of_the_body() {
    let message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
    let rows: [(u64, &[u8]); 5] = [
        (0, b"A: 1\r\nB: 2\r\n\r\n"),
        (1, b"A: 1\r\nB: 2\r\n\r\none\r\n"),
        (2, b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n"),
        (3, message),
        (u64::MAX, message),
    ];
    for (lines, expected) in rows {
        assert_eq!(top(message, lines), expected, "{lines}");
    }
    assert_eq!(top(b"A: 1\r\n", 5), b"A: 1\r\n");
    assert_eq!(top(b"", 5), b"");
    assert_eq!(top(b"\r\nx", 1), b"\r\nx");
    assert_eq!(top(b"A: 1\n \nB: 2\n\nx", 0), b"A: 1\n \nB: 2\n\n");
}

#[test]
fn replies_are_one_line_of_at_most_512_octets() {
    let check = |reply: Reply, expected: &str| {
        assert_eq!(String::from_utf8(reply.encode()).unwrap(), expected);
    };
    check(Reply::ok("hello"), "+OK hello\r\n");
    check(Reply::err("no"), "-ERR no\r\n");
    check(Reply::coded(Code::InUse, "no"), "-ERR [IN-USE] no\r\n");
    check(Reply::coded(Code::SysTemp, "no"), "-ERR [SYS/TEMP] no\r\n");
    check(Reply::err("a\r\n+OK b\0"), "-ERR a??+OK b?\r\n");
    let long = Reply::coded(Code::SysPerm, "x".repeat(10_000));
    assert!(long.encode().len() <= 512);
}

fn check_surrogate(header: &str, expected: Expect) {
    let message = format!("{header}\r\n\r\nbödy\r\n");
    let out = String::from_utf8(surrogate(message.as_bytes()).into_owned()).unwrap();
    let (header, body) = out.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "bödy\r\n");
    assert!(header.is_ascii());
    expected.assert_eq(&header.replace("\r\n", "\n"));
}

#[test]
fn headers_become_ascii() {
    check_surrogate("Subject: plain", expect!["Subject: plain"]);
    check_surrogate(
        "Subject: über\r\n alles\r\nX: y",
        expect![[r#"
            Subject: =?utf-8?q?=C3=BCber_alles?=
            X: y"#]],
    );
    check_surrogate(
        "From: Jörg <j@example.org>, \"a, b\" <c@d>, jörg@example.org",
        expect![[r#"
            From: =?utf-8?q?J=C3=B6rg?=
             <j@example.org>,
             "a, b" <c@d>,
             =?utf-8?q?j=C3=B6rg=40example=2Eorg?= :;"#]],
    );
    // A line of spaces goes on with the field before it.
    check_surrogate(
        "Subject: ü\r\n \r\nX: ü",
        expect![[r#"
            Subject: =?utf-8?q?=C3=BC?=
            X: =?utf-8?q?=C3=BC?="#]],
    );
    check_surrogate(
        "Content-Type: text/plain; name=ä.txt",
        expect!["Content-Type: text/plain; name=?.txt"],
    );
    check_surrogate(
        "Resent-To: \"Zoë\" <z@example.org>\r\nnø: field",
        expect![[r#"
            Resent-To: =?utf-8?q?Zo=C3=AB?=
             <z@example.org>
            n??: field"#]],
    );
}

#[test]
fn encoded_words_are_at_most_75_octets() {
    let subject = format!("Subject: {}\r\n\r\n", "語".repeat(100));
    let out = surrogate(subject.as_bytes()).into_owned();
    let out = String::from_utf8(out).unwrap();
    let words = out.split_whitespace().filter(|w| w.starts_with("=?"));
    let words: Vec<&str> = words.collect();
    assert!(
        words.len() > 10 && words.iter().all(|word| word.len() <= 75),
        "{out}"
    );
}

#[test]
fn any_octets_have_a_surrogate() {
    for octet in 0x80..=0xff_u8 {
        for shape in [
            &b"?\n\n"[..],
            b"?: ?\n",
            b"To: <?>,\"?\\\r\n ?",
            b"\n?",
            b"From:?:;",
        ] {
            let message: Vec<u8> = shape
                .iter()
                .map(|&b| if b == b'?' { octet } else { b })
                .collect();
            let out = surrogate(&message).into_owned();
            assert!(top(&out, 0).is_ascii(), "{message:?}");
        }
    }
}
