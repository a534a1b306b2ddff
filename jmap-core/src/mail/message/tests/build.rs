use crate::mail::message::build::{InvalidProperty, Problem, convenience};
use crate::mail::message::*;
use std::collections::BTreeMap;

fn header(property: &str, value: NewHeaderValue) -> NewHeader {
    NewHeader::new(property, vec![value]).unwrap()
}

fn address(name: Option<&str>, email: &str) -> EmailAddress {
    EmailAddress {
        email: email.into(),
        name: name.map(str::to_owned),
    }
}

fn values(list: &[(&str, &str)]) -> BTreeMap<String, NewBodyValue> {
    let value = |text: &str| NewBodyValue {
        value: text.into(),
        ..NewBodyValue::default()
    };
    list.iter()
        .map(|(id, text)| (id.to_string(), value(text)))
        .collect()
}

fn text_part(id: &str, media_type: &str) -> NewPart {
    NewPart {
        part_id: Some(id.into()),
        media_type: Some(media_type.into()),
        ..NewPart::default()
    }
}

fn blob_part(id: &str, media_type: &str) -> NewPart {
    NewPart {
        blob_id: Some(id.into()),
        media_type: Some(media_type.into()),
        ..NewPart::default()
    }
}

fn blobs(id: &str) -> Option<Vec<u8>> {
    match id {
        "binary" => Some((0..=255u8).cycle().take(3_000).collect()),
        "text" => Some(b"a\nb\r\nc".to_vec()),
        "mail" => Some(b"Subject: inner\r\n\r\n\xe4\r\n".to_vec()),
        _ => None,
    }
}

fn build(message: &NewMessage) -> Result<Vec<u8>, BuildError> {
    let context = BuildContext {
        now: SentAt::utc(1_414_649_520),
        random: [0xab; 32],
        domain: "example.com",
        blob: &blobs,
    };
    let raw = message.build(&context)?;
    super::check_summary(&raw, &Summary::parse(&raw));
    assert_eq!(
        raw.iter().filter(|c| **c == b'\n').count(),
        memchr::memmem::find_iter(&raw, b"\r\n").count()
    );
    Ok(raw)
}

#[test]
fn headers_come_back() {
    let long: String = "Grüße aus dem hohen Norden, ".repeat(20);
    let many: Vec<EmailAddress> = (0..50)
        .map(|at| {
            address(
                Some(&format!("Nämе, {at} \"x\"")),
                &format!("a{at}@example.com"),
            )
        })
        .collect();
    let group = vec![EmailAddressGroup {
        addresses: many[..3].to_vec(),
        name: Some("Team".into()),
    }];
    let ids: Vec<String> = (0..30)
        .map(|at| format!("{at}.abcdefghij@example.com"))
        .collect();
    let message = NewMessage {
        headers: vec![
            header(
                "from",
                NewHeaderValue::Addresses(vec![address(Some("Jörg"), "j@example.com")]),
            ),
            header("to", NewHeaderValue::Addresses(many.clone())),
            header(
                "header:Reply-To:asGroupedAddresses",
                NewHeaderValue::GroupedAddresses(group.clone()),
            ),
            header("subject", NewHeaderValue::Text(long.clone())),
            header("references", NewHeaderValue::MessageIds(ids.clone())),
            header(
                "sentAt",
                NewHeaderValue::Date("2014-10-30T14:12:00+08:00".into()),
            ),
            header(
                "header:List-Post:asURLs",
                NewHeaderValue::Urls(vec!["mailto:a@b".into()]),
            ),
            header("header:X-Raw", NewHeaderValue::Raw(" a\r\n b".into())),
        ],
        ..NewMessage::default()
    };
    let raw = build(&message).unwrap();
    let head = String::from_utf8_lossy(&raw);
    assert!(
        head.is_ascii() && head.lines().all(|line| line.len() <= 100),
        "{head}"
    );
    let summary = Summary::parse(&raw);
    assert_eq!(summary.subject.unwrap().trim_end(), long.trim_end());
    assert_eq!(Summary::addresses(&summary.to).unwrap(), many);
    assert_eq!(summary.reply_to.unwrap(), group);
    assert_eq!(summary.references.unwrap(), ids);
    assert_eq!(
        summary.sent_at.unwrap().to_rfc3339(),
        "2014-10-30T14:12:00+08:00"
    );
    assert_eq!(
        summary.message_id.unwrap(),
        ["abababababababababababababababab@example.com"]
    );
    assert!(head.contains("\r\nX-Raw: a\r\n b\r\n"));
    assert!(head.contains("\r\nMIME-Version: 1.0\r\n"));
}

#[test]
fn bodies_come_back() {
    let long_line = "x".repeat(2_000);
    let rows = [
        ("hello\n", "7bit"),
        ("", "7bit"),
        ("Viele Grüße aus Hamburg, bis morgen!\n", "quoted-printable"),
        ("日本語日本語", "base64"),
        ("trailing \nFrom me\n. dot\n", "quoted-printable"),
        (&long_line, "quoted-printable"),
        ("a\u{0}b", "base64"),
        ("=_abababababababababababababababab_00001", "7bit"),
    ];
    for (text, encoding) in rows {
        let message = NewMessage {
            text_body: Some(vec![text_part("1", "text/plain")]),
            html_body: Some(vec![text_part("2", "text/html")]),
            attachments: Some(vec![
                blob_part("binary", "application/octet-stream"),
                blob_part("text", "text/csv"),
                blob_part("mail", "message/rfc822"),
            ]),
            body_values: values(&[
                ("1", text),
                ("2", "<p>--=_abababababababababababababababab_00002"),
            ]),
            ..NewMessage::default()
        };
        let raw = build(&message).unwrap();
        let summary = Summary::parse(&raw);
        let part = &summary.parts[summary.text_body[0] as usize];
        assert_eq!(body_value(&raw, part, 0).value, *text);
        assert!(
            String::from_utf8_lossy(&raw).contains(&format!("Encoding: {encoding}\r\n")),
            "{text}"
        );
        assert_eq!(summary.html_body.len(), 1);
        let octets = |at: usize| {
            part_octets(&raw, &summary.parts[summary.attachments[at] as usize]).into_owned()
        };
        assert_eq!(Some(octets(0)), blobs("binary"));
        assert_eq!(Some(octets(1)), blobs("text"));
        assert_eq!(Some(octets(2)), blobs("mail"));
        assert!(summary.has_attachment);
    }
}

#[test]
fn structure_comes_back() {
    let mut image = blob_part("binary", "image/png");
    image.cid = Some("c@d".into());
    image.name = Some("Bild ä \"1\".png".into());
    image.disposition = Some("inline".into());
    image.language = Some(vec!["de".into(), "en".into()]);
    image.location = Some("http://x/y".into());
    let message = NewMessage {
        body_structure: Some(NewPart {
            media_type: Some("multipart/related".into()),
            sub_parts: Some(vec![text_part("h", "text/html"), image]),
            headers: vec![header(
                "header:X-Root:asText",
                NewHeaderValue::Text("ä".into()),
            )],
            ..NewPart::default()
        }),
        body_values: values(&[("h", "<p>hi")]),
        ..NewMessage::default()
    };
    let raw = build(&message).unwrap();
    let summary = Summary::parse(&raw);
    assert_eq!(summary.parts[0].media_type, "multipart/related");
    let part = &summary.parts[2];
    assert_eq!(part.name.as_deref(), Some("Bild ä \"1\".png"));
    assert_eq!(part.cid.as_deref(), Some("c@d"));
    assert_eq!(part.disposition.as_deref(), Some("inline"));
    assert_eq!(part.language, ["de", "en"]);
    assert_eq!(part.location.as_deref(), Some("http://x/y"));
    assert!(!summary.has_attachment);
}

/// Changes a good message and tells what is wrong then.
fn problems(change: impl Fn(&mut NewMessage)) -> String {
    let mut message = NewMessage {
        text_body: Some(vec![text_part("1", "text/plain")]),
        body_values: values(&[("1", "x")]),
        ..NewMessage::default()
    };
    change(&mut message);
    let show = |found: &InvalidProperty| format!("{} {:?}", found.path, found.problem);
    match build(&message) {
        Ok(_) => "ok".to_owned(),
        Err(BuildError::InvalidProperties(found)) => {
            found.iter().map(show).collect::<Vec<_>>().join(", ")
        }
        Err(BuildError::BlobNotFound(ids)) => format!("no blob {}", ids.join(" ")),
    }
}

fn part(message: &mut NewMessage) -> &mut NewPart {
    &mut message.text_body.as_mut().unwrap()[0]
}

#[test]
fn what_is_refused() {
    let text = |value: &str| NewHeaderValue::Text(value.into());
    let raw = |value: &str| NewHeaderValue::Raw(value.into());
    assert_eq!(problems(|_| {}), "ok");
    assert_eq!(problems(|m| m.has_headers = true), "headers HeadersGiven");
    assert_eq!(
        problems(|m| m.headers = vec![
            header("subject", text("a")),
            header("header:SUBJECT", raw(" b"))
        ]),
        "header:SUBJECT DuplicateField"
    );
    assert_eq!(
        problems(|m| m.headers = vec![header("subject", text("a\r\nX: y"))]),
        "subject BadValue"
    );
    assert_eq!(
        problems(|m| m.headers = vec![header("header:X", raw(" a\r\nY: b"))]),
        "header:X BadValue"
    );
    assert_eq!(
        problems(|m| m.headers = vec![header("header:X", raw(" a\nY: b"))]),
        "header:X BadValue"
    );
    assert_eq!(
        problems(|m| m.headers = vec![header("header:X", raw(" a\r\n\r\n b"))]),
        "header:X BadValue"
    );
    let evil = address(Some("a\r\nX: y"), "a@b");
    assert_eq!(
        problems(|m| m.headers = vec![header("to", NewHeaderValue::Addresses(vec![evil.clone()]))]),
        "to BadValue"
    );
    let evil = address(None, "a@b>\r\nX: y");
    assert_eq!(
        problems(|m| m.headers = vec![header("to", NewHeaderValue::Addresses(vec![evil.clone()]))]),
        "to BadValue"
    );
    assert_eq!(
        problems(|m| m.headers = vec![NewHeader {
            property: "header:From:asText".into(),
            name: "From".into(),
            values: vec![text("x")]
        }]),
        "header:From:asText Field(FormNotAllowed)"
    );
    assert_eq!(
        problems(|m| m.headers = vec![header("header:Content-Language", raw(" x"))]),
        "header:Content-Language ContentFieldOnEmail"
    );
    assert_eq!(
        problems(|m| m.body_structure = Some(text_part("1", "text/plain"))),
        "bodyStructure StructureAndBodies"
    );
    assert_eq!(
        problems(|m| m.text_body = Some(vec![])),
        "textBody BodyShape"
    );
    assert_eq!(
        problems(|m| part(m).media_type = Some("text/html".into())),
        "textBody BodyShape"
    );
    assert_eq!(
        problems(|m| part(m).blob_id = Some("text".into())),
        "textBody/0/blobId PartIdAndBlobId"
    );
    assert_eq!(
        problems(|m| part(m).part_id = None),
        "textBody/0/partId NoContent"
    );
    assert_eq!(
        problems(|m| part(m).part_id = Some("2".into())),
        "textBody/0/partId UnknownPartId"
    );
    assert_eq!(
        problems(|m| part(m).charset = Some("utf-8".into())),
        "textBody/0/charset CharsetWithPartId"
    );
    assert_eq!(
        problems(|m| part(m).has_size = true),
        "textBody/0/size SizeWithPartId"
    );
    assert_eq!(
        problems(|m| part(m).has_headers = true),
        "textBody/0/headers HeadersGiven"
    );
    assert_eq!(
        problems(
            |m| part(m).headers = vec![header("header:Content-Transfer-Encoding", raw(" 8bit"))]
        ),
        "textBody/0/header:Content-Transfer-Encoding TransferEncodingGiven"
    );
    assert_eq!(
        problems(|m| part(m).headers = vec![header("header:Content-Type", raw(" text/plain"))]),
        "textBody/0/header:Content-Type DuplicateField"
    );
    assert_eq!(
        problems(|m| part(m).cid = Some("a>\r\nX: y".into())),
        "textBody/0/cid BadValue"
    );
    assert_eq!(
        problems(|m| part(m).name = Some("a\r\nX: y".into())),
        "textBody/0/name BadValue"
    );
    assert_eq!(
        problems(|m| m.body_values.get_mut("1").unwrap().is_truncated = true),
        "bodyValues/1 FlagOnBodyValue"
    );
    assert_eq!(
        problems(|m| m.attachments = Some(vec![blob_part("none", "a/b"), blob_part("none", "a/b")])),
        "no blob none"
    );
    assert_eq!(
        problems(|m| m.attachments = Some(vec![blob_part("text", "multipart/mixed")])),
        "attachments/0/subParts MultipartContent"
    );
    for sub_parts in [None, Some(vec![])] {
        for media_type in [Some("multipart/mixed".to_owned()), None] {
            if media_type.is_none() && sub_parts.is_none() {
                continue;
            }
            let empty = NewPart {
                media_type,
                sub_parts: sub_parts.clone(),
                ..NewPart::default()
            };
            assert_eq!(
                problems(|m| {
                    m.text_body = None;
                    m.body_structure = Some(empty.clone());
                }),
                "bodyStructure/subParts MultipartContent"
            );
            assert_eq!(
                problems(|m| m.attachments = Some(vec![empty.clone()])),
                "attachments/0/subParts MultipartContent"
            );
        }
    }
    assert_eq!(
        problems(|m| m.attachments = Some(vec![blob_part("text", "a/b\r\nX: y")])),
        "attachments/0/type BadValue"
    );
}

#[test]
fn too_much_is_refused() {
    let deep = |levels: usize| {
        (0..levels).fold(text_part("1", "text/plain"), |inner, _| NewPart {
            sub_parts: Some(vec![inner]),
            ..NewPart::default()
        })
    };
    let of = |root: NewPart| {
        problems(|m| {
            m.text_body = None;
            m.body_structure = Some(root.clone());
        })
    };
    assert_eq!(of(deep(20)), "ok");
    assert!(of(deep(200)).ends_with("TooMany"));
    let wide = NewPart {
        sub_parts: Some(vec![text_part("1", "text/plain"); 2_000]),
        ..NewPart::default()
    };
    assert!(of(wide).ends_with("TooMany"));
    assert_eq!(convenience("sentAt"), Some(("Date", Form::Date)));
    assert_eq!(
        Problem::NoContent.to_string(),
        "a part needs a partId or a blobId"
    );
}

/// Texts, names and file names of all kinds come back as they were.
#[test]
fn any_text_comes_back() {
    let pieces = [
        "a",
        "word",
        " ",
        "é",
        "日",
        "=?",
        "?=",
        "=?utf-8?Q?x?=",
        "\"",
        "<",
        ">",
        "(",
        ")",
        ",",
        ";",
        ":",
        "@",
        "\\",
        "_",
        "=",
        "😀",
        "e\u{301}",
        "%",
        "'",
        "*",
        "[",
        "]",
    ];
    let normal = |text: &str| {
        words::text(
            text.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .replace("=?", "= ?")
                .as_bytes(),
        )
        .replace("= ?", "=?")
    };
    for seed in 0..1_500 {
        let mut dice = super::Dice(seed);
        let count = 1 + dice.below(40);
        let text: String = (0..count)
            .map(|_| pieces[dice.below(pieces.len())])
            .collect();
        let text = format!("x{text}x");
        let mut file = text_part("1", "text/plain");
        file.name = Some(text.clone());
        let group = EmailAddressGroup {
            addresses: vec![address(Some(&text), "a@b.c"), address(None, "d@e.f")],
            name: Some(text.clone()),
        };
        let message = NewMessage {
            headers: vec![
                header("subject", NewHeaderValue::Text(text.clone())),
                header(
                    "from",
                    NewHeaderValue::Addresses(vec![address(Some(&text), "a@b.c")]),
                ),
                header(
                    "header:To:asGroupedAddresses",
                    NewHeaderValue::GroupedAddresses(vec![group]),
                ),
            ],
            body_structure: Some(file),
            body_values: values(&[("1", &text)]),
            ..NewMessage::default()
        };
        let raw = build(&message).unwrap();
        let summary = Summary::parse(&raw);
        let show = String::from_utf8_lossy(&raw);
        let found = summary.subject.unwrap_or_default();
        assert_eq!(normal(&found), normal(&text), "seed {seed}: {show}");
        let from = summary.from.unwrap_or_default();
        assert_eq!(from.len(), 1, "seed {seed}: {show}");
        assert_eq!(from[0].addresses[0].email, "a@b.c", "seed {seed}: {show}");
        let name = from[0].addresses[0].name.clone().unwrap_or_default();
        assert_eq!(normal(&name), normal(&text), "seed {seed}: {show}");
        let to = summary.to.unwrap_or_default();
        assert_eq!(to[0].addresses.len(), 2, "seed {seed}: {show}");
        assert_eq!(
            normal(to[0].name.as_deref().unwrap_or("")),
            normal(&text),
            "seed {seed}: {show}"
        );
        let name = summary.parts[0].name.clone().unwrap_or_default();
        assert_eq!(normal(&name), normal(&text), "seed {seed}: {show}");
        assert_eq!(body_value(&raw, &summary.parts[0], 0).value, text);
    }
}

/// What looks like encoded words is no less a text (RFC 2047).
#[test]
fn a_text_that_looks_encoded_comes_back() {
    let long = "=?utf-8?q?a?= and more of it, ".repeat(20);
    let rows = [
        "=?utf-8?q?a?= b",
        "=?utf-8?B?YQ==?=",
        "a =?iso-8859-1?Q?b_c?=  =?us-ascii?q?d?= e",
        "=?",
        "2 =? 1+1",
        "ä =?utf-8?q?a?= b",
        long.trim_end(),
    ];
    for text in rows {
        let long_name = format!("header:X-{}:asText", "x".repeat(70));
        let mut file = text_part("1", "text/plain");
        file.name = Some(text.to_owned());
        file.disposition = Some("attachment".to_owned());
        let message = NewMessage {
            headers: vec![
                header("subject", NewHeaderValue::Text(text.to_owned())),
                header(&long_name, NewHeaderValue::Text(text.to_owned())),
                header(
                    "from",
                    NewHeaderValue::Addresses(vec![address(Some(text), "a@b.c")]),
                ),
            ],
            body_structure: Some(file),
            body_values: values(&[("1", "x")]),
            ..NewMessage::default()
        };
        let raw = build(&message).unwrap();
        let show = String::from_utf8_lossy(&raw);
        let is_short = |line: &str| line.len() <= 78 || line.starts_with("X-");
        assert!(show.lines().all(is_short), "{show}");
        let summary = Summary::parse(&raw);
        assert_eq!(summary.subject.as_deref(), Some(text), "{show}");
        let other = HeaderProperty::parse(&long_name).unwrap();
        assert_eq!(
            other.value(&raw, &summary.fields),
            PropertyValue::One(HeaderValue::Text(text.to_owned())),
            "{show}"
        );
        let from = summary.from.unwrap();
        assert_eq!(from[0].addresses[0].name.as_deref(), Some(text), "{show}");
        assert_eq!(summary.parts[0].name.as_deref(), Some(text), "{show}");
    }
}

/// RFC 5322 §2.1.1: no line has more than 998 octets, whatever the value is given as.
#[test]
fn lines_that_would_be_too_long_are_refused() {
    let long = "z".repeat(1200);
    let raw = NewHeaderValue::Raw;
    let addresses = NewHeaderValue::Addresses(vec![address(None, &format!("{long}@b.c"))]);
    let group = EmailAddressGroup {
        addresses: vec![address(None, &format!("{long}@b.c"))],
        name: None,
    };
    let rows = [
        (
            "header:List-Post:asURLs",
            NewHeaderValue::Urls(vec![format!("http://x/{long}")]),
        ),
        (
            "references",
            NewHeaderValue::MessageIds(vec![format!("{long}@x")]),
        ),
        ("to", addresses),
        (
            "header:Cc:asGroupedAddresses",
            NewHeaderValue::GroupedAddresses(vec![group]),
        ),
        // The name of the field is part of the line.
        ("header:X-Long", raw(format!(" {}", "z".repeat(997)))),
    ];
    for (property, value) in rows {
        let header = header(property, value);
        assert_eq!(
            problems(|m| m.headers = vec![header.clone()]),
            format!("{property} BadValue")
        );
        assert_eq!(
            problems(|m| part(m).headers = vec![header.clone()]),
            format!("textBody/0/{property} BadValue")
        );
    }
    let fits = header("header:X-Long", raw(format!(" {}", "z".repeat(990))));
    assert_eq!(problems(|m| m.headers = vec![fits.clone()]), "ok");
    let text = header("subject", NewHeaderValue::Text(long.clone()));
    assert_eq!(problems(|m| m.headers = vec![text.clone()]), "ok");
    assert_eq!(problems(|m| part(m).name = Some(long.clone())), "ok");
    assert_eq!(
        problems(|m| part(m).cid = Some(long.clone())),
        "textBody/0/cid BadValue"
    );
    assert_eq!(
        problems(|m| part(m).disposition = Some(long.clone())),
        "textBody/0/disposition BadValue"
    );
    assert_eq!(
        problems(|m| part(m).language = Some(vec!["de".to_owned(); 400])),
        "textBody/0/language BadValue"
    );
    let given = format!(" text/plain;\r\n {}=x", "y".repeat(995));
    let given = header("header:Content-Type", raw(given));
    assert_eq!(
        problems(|m| {
            part(m).media_type = None;
            part(m).headers = vec![given.clone()];
        }),
        "textBody/0/header:Content-Type BadValue"
    );
}

/// RFC 8621 §4.6, RFC 5322 §3.6.4.
#[test]
fn a_message_has_one_message_id() {
    let ids = |list: &[&str]| {
        let list = list.iter().map(|id| (*id).to_owned());
        NewHeaderValue::MessageIds(list.collect())
    };
    let raw = |value: &str| NewHeaderValue::Raw(value.into());
    let generated = "abababababababababababababababab@example.com";
    let rows = [
        ("messageId", vec![], generated),
        ("messageId", vec![ids(&[])], generated),
        ("messageId", vec![ids(&["a@b"])], "a@b"),
        ("messageId", vec![ids(&["a@b", "c@d"])], "no"),
        ("header:Message-ID", vec![raw(" ")], generated),
        ("header:message-id", vec![raw("")], generated),
        ("header:Message-ID", vec![raw(" <a@b>")], "a@b"),
        ("header:Message-ID", vec![raw(" <a@b> <c@d>")], "no"),
        ("header:Message-ID", vec![raw(" a@b")], "no"),
        ("header:Message-ID:asMessageIds", vec![ids(&[])], generated),
        ("header:Message-ID:asMessageIds", vec![ids(&["a@b"])], "a@b"),
        (
            "header:Message-ID:asMessageIds",
            vec![ids(&["a@b", "c@d"])],
            "no",
        ),
        (
            "header:Message-ID:asMessageIds:all",
            vec![ids(&["a@b"]); 2],
            "no",
        ),
        (
            "header:Message-ID:all",
            vec![raw(" "), raw(" <a@b>")],
            "a@b",
        ),
        ("header:Message-ID:all", vec![raw(" "), raw("")], generated),
    ];
    for (property, values, expected) in rows {
        let header = NewHeader::new(property, values).unwrap();
        let message = |is_root: bool| {
            let mut message = NewMessage {
                body_structure: Some(text_part("1", "text/plain")),
                body_values: self::values(&[("1", "x")]),
                ..NewMessage::default()
            };
            match is_root {
                true => message.body_structure.as_mut().unwrap().headers = vec![header.clone()],
                false => message.headers = vec![header.clone()],
            }
            message
        };
        // The root part's fields are the message's. Its properties are header properties alone.
        for is_root in [false, true] {
            if is_root && property == "messageId" {
                continue;
            }
            let built = build(&message(is_root));
            if expected == "no" {
                let Err(BuildError::InvalidProperties(found)) = built else {
                    panic!("{header:?}");
                };
                assert_eq!(found.len(), 1, "{found:?}");
                assert_eq!(found[0].problem, Problem::NotOneMessageId);
                continue;
            }
            let raw = built.unwrap();
            let show = String::from_utf8_lossy(&raw).to_ascii_lowercase();
            assert_eq!(show.matches("message-id:").count(), 1, "{show}");
            assert_eq!(Summary::parse(&raw).message_id.unwrap(), [expected]);
        }
    }
}
