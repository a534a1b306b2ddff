use super::{check_summary, mail};
use crate::mail::message::subject::base_subject;
use crate::mail::message::*;
use expect_test::{Expect, expect};

/// Structure and lists of a mail as lines.
fn outline(raw: &[u8]) -> String {
    let summary = Summary::parse(raw);
    check_summary(raw, &summary);
    let mut out = String::new();
    for part in &summary.parts {
        let mut depth = 0;
        let mut up = part.parent;
        while let Some(parent) = up {
            depth += 1;
            up = summary.parts[parent as usize].parent;
        }
        let text = String::from_utf8_lossy(&part_octets(raw, part)).into_owned();
        let shown = if part.is_multipart() {
            String::new()
        } else {
            format!(" {text:?}")
        };
        let name = part
            .name
            .as_ref()
            .map_or(String::new(), |name| format!(" name={name}"));
        out += &format!("{}{}{name}{shown}\n", "  ".repeat(depth), part.media_type);
    }
    out += &format!(
        "text {:?} html {:?} attachments {:?}{}\n",
        summary.text_body,
        summary.html_body,
        summary.attachments,
        if summary.has_attachment { " +" } else { "" }
    );
    out
}

fn check(lines: &[&str], expected: Expect) {
    expected.assert_eq(&outline(&mail(lines)));
}

#[test]
fn simple_mails() {
    check(
        &["Subject: x", "", "body", ""],
        expect![[r#"
        text/plain "body\r\n"
        text [0] html [0] attachments []
    "#]],
    );
    check(
        &[""],
        expect![[r#"
        text/plain ""
        text [0] html [0] attachments []
    "#]],
    );
    check(
        &["Subject: headers only"],
        expect![[r#"
        text/plain ""
        text [0] html [0] attachments []
    "#]],
    );
    check(
        &["not a field: it has spaces", "hello there", "world"],
        expect![[r#"
            text/plain "not a field: it has spaces\r\nhello there\r\nworld"
            text [0] html [0] attachments []
        "#]],
    );
    check(
        &["hello there", "world: x"],
        expect![[r#"
        text/plain "hello there\r\nworld: x"
        text [0] html [0] attachments []
    "#]],
    );
    check(
        &["From a@b Mon Jan 1", "Subject: x", "", "y"],
        expect![[r#"
        text/plain "y"
        text [0] html [0] attachments []
    "#]],
    );
}

#[test]
fn multiparts() {
    check(
        &[
            "Content-Type: multipart/mixed; boundary=\"b 1\"",
            "",
            "preamble",
            "--b 1",
            "Content-Type: multipart/alternative; boundary=b2",
            "",
            "--b2",
            "",
            "plain",
            "--b2",
            "Content-Type: text/html",
            "",
            "<p>html",
            "--b2--",
            "epilogue",
            "--b 1  ",
            "Content-Type: application/pdf; name=x.pdf",
            "Content-Transfer-Encoding: base64",
            "",
            "aGFs",
            "bG8=",
            "--b 1--",
            "bye",
        ],
        expect![[r#"
            multipart/mixed
              multipart/alternative
                text/plain "plain"
                text/html "<p>html"
              application/pdf name=x.pdf "hallo"
            text [2] html [3] attachments [4] +
        "#]],
    );
    // No end, no boundary, a boundary that never comes, and an outer one that ends the inner.
    check(
        &[
            "Content-Type: multipart/mixed; boundary=b",
            "",
            "--b",
            "",
            "x",
        ],
        expect![[r#"
        multipart/mixed
          text/plain "x"
        text [1] html [1] attachments []
    "#]],
    );
    check(
        &["Content-Type: multipart/mixed", "", "--b", "", "x"],
        expect![[r#"
        text/plain "--b\r\n\r\nx"
        text [0] html [0] attachments []
    "#]],
    );
    check(
        &[
            "Content-Type: multipart/mixed; boundary=a",
            "",
            "--a",
            "Content-Type: multipart/mixed; boundary=b",
            "",
            "--b",
            "",
            "x",
            "--a",
            "--a",
            "X: y",
            "--a--",
        ],
        expect![[r#"
            multipart/mixed
              multipart/mixed
                text/plain "x"
              text/plain ""
              text/plain ""
            text [2, 3, 4] html [2, 3, 4] attachments []
        "#]],
    );
    check(
        &[
            "Content-Type: multipart/digest; boundary=a",
            "",
            "--a",
            "",
            "Subject: inner",
            "",
            "x",
            "--a--",
        ],
        expect![[r#"
            multipart/digest
              message/rfc822 "Subject: inner\r\n\r\nx"
            text [] html [] attachments [1] +
        "#]],
    );
}

/// The example of RFC 8621 §4.1.4.
#[test]
fn rfc_8621_example() {
    let part = |media_type: &str, disposition: &str, name: &str| {
        format!(
            "Content-Type: {media_type}\r\nContent-Disposition: {disposition}\r\n\r\n{name}\r\n"
        )
    };
    let multi = |subtype: &str, boundary: &str, parts: &[String]| {
        let mut out = format!("Content-Type: multipart/{subtype}; boundary={boundary}\r\n\r\n");
        parts
            .iter()
            .for_each(|part| out += &format!("--{boundary}\r\n{part}"));
        out + &format!("--{boundary}--\r\n")
    };
    let inner = multi(
        "mixed",
        "m3",
        &[
            part("text/plain", "inline", "B"),
            part("image/jpeg", "inline", "C"),
            part("text/plain", "inline", "D"),
        ],
    );
    let related = multi(
        "related",
        "r",
        &[
            part("text/html", "inline", "E"),
            part("image/jpeg", "inline", "F"),
        ],
    );
    let raw = multi(
        "mixed",
        "m1",
        &[
            part("text/plain", "inline", "A"),
            multi(
                "mixed",
                "m2",
                &[
                    multi("alternative", "alt", &[inner, related]),
                    part("image/jpeg", "attachment", "G"),
                    part("application/x-excel", "inline", "H"),
                    part("message/rfc822", "inline", "J"),
                ],
            ),
            part("text/plain", "inline", "K"),
        ],
    );
    let summary = Summary::parse(raw.as_bytes());
    let names = |list: &[u32]| {
        let text =
            |&at: &u32| part_octets(raw.as_bytes(), &summary.parts[at as usize]).into_owned();
        String::from_utf8(list.iter().map(text).collect::<Vec<_>>().concat()).unwrap()
    };
    assert_eq!(names(&summary.text_body), "ABCDK");
    assert_eq!(names(&summary.html_body), "AEK");
    assert_eq!(names(&summary.attachments), "CFGHJ");
}

#[test]
fn part_properties() {
    let raw = mail(&[
        "Content-Type: TEXT/Plain (comment); charset=\"iso-8859-1\"; format=flowed;\r\n name=\r\n \"x y.txt\"",
        "Content-Disposition: Attachment; filename*0*=utf-8'en'%C3%A4; filename*1=b.txt",
        "Content-ID: (c) <id@x>",
        "Content-Language: de, en (x)",
        "Content-Location: http://a/\r\n b",
        "Content-Transfer-Encoding: Quoted-Printable",
        "",
        "=E4=\r\nb  \r\nc",
    ]);
    let part = &Summary::parse(&raw).parts[0];
    assert_eq!(part.media_type, "text/plain");
    assert_eq!(part.charset(), Some("iso-8859-1"));
    assert_eq!(part.name.as_deref(), Some("äb.txt"));
    assert_eq!(part.disposition.as_deref(), Some("attachment"));
    assert_eq!(part.cid.as_deref(), Some("id@x"));
    assert_eq!(part.language, ["de", "en"]);
    assert_eq!(part.location.as_deref(), Some("http://a/b"));
    assert_eq!(part.encoding, Encoding::QuotedPrintable);
    assert_eq!(part.params, ["format", "flowed"]);
    assert_eq!(part.size, 5);
    assert_eq!(body_value(&raw, part, 0).value, "äb\nc");
}

/// A fold before a quoted file name must not lose it.
#[test]
fn file_names() {
    let rows = [
        ("name=\r\n \"x.pdf\"", Some("x.pdf")),
        ("name=\r\n x.pdf", Some("x.pdf")),
        ("name = \"x.pdf\"", Some("x.pdf")),
        ("name=x y.pdf", Some("x y.pdf")),
        ("name=\"=?utf-8?Q?=C3=A4.pdf?=\"", Some("ä.pdf")),
        ("name*=utf-8''%C3%A4.pdf", Some("ä.pdf")),
        ("name*0=\"a;\"; name*1=\"b\"", Some("a;b")),
        ("name*1=\"b\"; name*0=\"a\"", Some("ab")),
        ("name*=utf-8''x; name=y", Some("x")),
        ("name*=iso-8859-1''%E4", Some("ä")),
        ("name*=''%C3%A4", Some("ä")),
        ("name=\"a\\\"b\"", Some("a\"b")),
        ("name=\"\"", None),
        ("charset=x", None),
    ];
    for (params, expected) in rows {
        let raw = mail(&[&format!("Content-Type: application/pdf; {params}"), "", "x"]);
        let name = Summary::parse(&raw).parts[0].name.clone();
        assert_eq!(name.as_deref(), expected, "{params}");
        let params = params.replace("name", "filename");
        let raw = mail(&[
            &format!("Content-Disposition: attachment; {params}"),
            "",
            "x",
        ]);
        let name = Summary::parse(&raw).parts[0].name.clone();
        assert_eq!(name.as_deref(), expected, "{params}");
    }
}

#[test]
fn body_values() {
    let value = |headers: &str, body: &[u8], max: usize| {
        let mut raw = format!("{headers}\r\n\r\n").into_bytes();
        raw.extend_from_slice(body);
        let summary = Summary::parse(&raw);
        let found = body_value(&raw, &summary.parts[0], max);
        let flags = [
            (found.is_encoding_problem, " problem"),
            (found.is_truncated, " cut"),
        ];
        let flags: String = flags
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, name)| *name)
            .collect();
        format!("{:?}{flags}", found.value)
    };
    let text = "Content-Type: text/plain; charset";
    assert_eq!(value("X: y", b"a\r\nb", 0), r#""a\nb""#);
    assert_eq!(value("X: y", "ä".as_bytes(), 0), r#""ä""#);
    assert_eq!(value("X: y", b"\xe4", 0), r#""ä" problem"#);
    assert_eq!(
        value(&format!("{text}=us-ascii"), "ä".as_bytes(), 0),
        r#""ä" problem"#
    );
    assert_eq!(value(&format!("{text}=iso-8859-1"), b"\xe4", 0), r#""ä""#);
    assert_eq!(
        value(&format!("{text}=utf-8"), b"a\xe4b", 0),
        "\"a\u{fffd}b\" problem"
    );
    assert_eq!(value(&format!("{text}=none"), b"ab", 0), r#""ab" problem"#);
    assert_eq!(
        value("Content-Transfer-Encoding: x-none", b"ab", 0),
        r#""ab" problem"#
    );
    assert_eq!(
        value("Content-Transfer-Encoding: base64", b"YWI=\r\n*Y2Q", 0),
        r#""abcd" problem"#
    );
    assert_eq!(
        value(
            "Content-Transfer-Encoding: quoted-printable",
            b"a=3Db=XY= \r\nc",
            0
        ),
        r#""a=b=XYc" problem"#
    );
    assert_eq!(value("X: y", "aäb".as_bytes(), 2), r#""a" cut"#);
    assert_eq!(value("X: y", b"abc", 3), r#""abc""#);
    assert_eq!(
        value("Content-Type: text/html", b"<p>ab<a href=x>", 10),
        r#""<p>ab" cut"#
    );
    assert_eq!(
        value("Content-Type: text/html", b"<p>a < b and more", 10),
        r#""<p>a < b a" cut"#
    );
}

#[test]
fn previews() {
    let preview = |headers: &str, body: &str| {
        Summary::parse(format!("{headers}\r\n\r\n{body}").as_bytes()).preview
    };
    assert_eq!(preview("X: y", "a\r\n\r\n  b\tc\r\n> quoted\r\n"), "a b c");
    assert_eq!(preview("X: y", "> only\r\n> quoted\r\n"), "> only > quoted");
    assert_eq!(preview("X: y", &"ab ".repeat(200)).chars().count(), 256);
    // A cut in the middle of a character does not change how the text is read.
    for pad in 0..3 {
        let body = format!("{}{}", "x".repeat(pad), "ä日".repeat(20_000));
        assert!(preview("X: y", &body).contains("ä日ä"));
    }
    assert_eq!(
        preview(
            "Content-Type: text/html",
            "<html><head><title>t</title><style>p{}</style></head><body><p>a&amp;b &lt;<br>c<script>x</script><b>d</b>e</p><!-- no > --></body>"
        ),
        "a&b < cde"
    );
    assert_eq!(
        preview("Content-Type: text/html", "<p>x &unknown; &nbsp;y & z < 3"),
        "x &unknown; y & z < 3"
    );
}

#[test]
fn base_subjects() {
    let rows = [
        ("Re: x", "x"),
        ("RE: Fwd: re[2]: [list] x (fwd) (FWD)", "x"),
        ("[list] Re: [list] x", "x"),
        ("[only]", "[only]"),
        ("[fwd: Re: x]", "x"),
        ("Re:", ""),
        ("report: x", "report: x"),
        ("  a \t b ", "a b"),
        ("Fw: FW: a", "a"),
        ("Re : a", "a"),
        ("[fwd:]", ""),
        ("ä(fwd)", "ä"),
        ("", ""),
    ];
    for (subject, expected) in rows {
        assert_eq!(base_subject(subject), expected, "{subject}");
    }
    assert_eq!(
        subject::subject_hash("Re: A b"),
        subject::subject_hash("a B")
    );
}

fn sample() -> Vec<u8> {
    mail(&[
        "From: Jane <jane@example.com>",
        "To: Team: a@b.c, \"D\" <d@e.f>;",
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
        "Date: Thu, 30 Oct 2014 14:12:00 +0800",
        "Message-ID: <1@example.com>",
        "In-Reply-To: <0@example.com>",
        "Content-Type: text/plain; charset=utf-8",
        "",
        "Hallo",
        "",
    ])
}

/// The octets of version 1 of the record. Never change them: add a new test for a new version.
#[test]
fn golden_octets() {
    let encoded = Summary::parse(&sample()).encode();
    let hex: String = encoded.iter().map(|octet| format!("{octet:02x}")).collect();
    expect!["af0018f801816d31406578616d706c652e636f6d02816d30406578616d706c652e636f6d0581818182706a616e65406578616d706c652e636f6d644a616e650681828281656140622e6382656440652e666144645465616d0a674772c3bcc39f650b831a5451d6b01901e0f40cf40d6548616c6c6f0e81a801000218f10318f80407056a746578742f706c61696e06657574662d380c000d010f810010810012581c000401180202011a0207011c02040120020a0110020b0110020c011a131b0478c162b7cd8f8714f4"].assert_eq(&hex);
    assert!(encoded.len() < 512);
}

/// A record with fields that are not known yet, or with fewer fields, can be read.
#[test]
fn other_versions() {
    let mut encoded = Summary::parse(&sample()).encode();
    // A map of n pairs becomes one of n + 1: number 99 with a text.
    assert_eq!(encoded[0] & 0xe0, 0xa0);
    assert!(encoded[0] < 0xb7);
    encoded[0] += 1;
    encoded.extend_from_slice(&[0x18, 99, 0x61, b'x']);
    assert_eq!(
        Summary::decode(&encoded).unwrap(),
        Summary::parse(&sample())
    );
    assert!(Summary::decode(b"").is_err());
    assert!(Summary::decode(&encoded[..encoded.len() / 2]).is_err());
}

#[test]
fn headers_of_summary() {
    let raw = sample();
    let summary = Summary::parse(&raw);
    assert_eq!(summary.subject.as_deref(), Some("Grüße"));
    assert_eq!(
        summary.message_id.as_deref(),
        Some(&["1@example.com".to_owned()][..])
    );
    assert_eq!(summary.thread_hashes().len(), 2);
    assert_eq!(Summary::addresses(&summary.to).unwrap().len(), 2);
    assert_eq!(
        summary.to.as_ref().unwrap()[0].name.as_deref(),
        Some("Team")
    );
    assert_eq!(
        summary.sent_at.unwrap().to_rfc3339(),
        "2014-10-30T14:12:00+08:00"
    );
    let text = search_text(&raw, &summary);
    assert_eq!(
        (text.from.as_str(), text.body.as_str()),
        ("Jane jane@example.com", "Hallo\n")
    );
    // Any header form comes from the header octets alone.
    let head = &raw[..summary.header_len() as usize];
    let property = HeaderProperty::parse("header:subject:asText").unwrap();
    let value = property.value(head, &summary.fields);
    assert_eq!(value, PropertyValue::One(HeaderValue::Text("Grüße".into())));
}
