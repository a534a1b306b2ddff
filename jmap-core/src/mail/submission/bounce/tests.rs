use expect_test::{Expect, expect};

use super::*;
use crate::mail::submission::records::Delivered;

const MESSAGE: &[u8] = b"From: a@b.c\r\nSubject: hello\r\n\r\nHi\r\n";

fn parameters(list: &[(&str, &str)]) -> Option<Vec<Parameter>> {
    let each = list.iter().map(|(name, value)| Parameter {
        name: (*name).to_owned(),
        value: (!value.is_empty()).then(|| (*value).to_owned()),
    });
    Some(each.collect())
}

fn recipient(email: &str, given: &[(&str, &str)], reply: &str) -> RecipientRecord {
    let address = EnvelopeAddress {
        email: email.to_owned(),
        parameters: parameters(given),
    };
    RecipientRecord {
        delivered: Delivered::No,
        smtp_reply: reply.to_owned(),
        remote: Some("mx.c.d".to_owned()),
        last_try: Some(1_700_000_060_000),
        ..RecipientRecord::new(address)
    }
}

fn record(given: &[(&str, &str)]) -> SubmissionRecord {
    SubmissionRecord {
        mail_from: EnvelopeAddress {
            email: "a@b.c".to_owned(),
            parameters: parameters(given),
        },
        send_at: 1_700_000_000,
        arrived: Some(1_700_000_000),
        ..SubmissionRecord::default()
    }
}

fn report(
    action: Action,
    record: &SubmissionRecord,
    recipients: &[RecipientRecord],
    message: &[u8],
) -> String {
    let report = Report {
        hostname: "mail.b.c",
        action,
        record,
        recipients,
        message,
        now: 1_700_000_100,
        retry_until: 1_700_432_000,
        random: [0xab; 32],
    };
    String::from_utf8(report.build()).unwrap()
}

fn check(text: &str, want: Expect) {
    want.assert_eq(&text.replace("\r\n", "\n"));
}

#[test]
fn a_failure() {
    let record = record(&[("ENVID", "QQ314159"), ("RET", "HDRS")]);
    let failed = recipient(
        "x@c.d",
        &[("ORCPT", "rfc822;orig@c.d")],
        "550 5.1.1 No such user",
    );
    check(
        &report(Action::Failed, &record, &[failed], MESSAGE),
        expect![[r#"
            From: Mail Delivery System <MAILER-DAEMON@mail.b.c>
            To: <a@b.c>
            Subject: Your message could not be delivered
            Date: Tue, 14 Nov 2023 22:15:00 +0000
            Message-ID: <abababababababababababababababab@mail.b.c>
            Auto-Submitted: auto-replied
            MIME-Version: 1.0
            Content-Type: multipart/report; report-type=delivery-status;
             boundary="=_abababababababababababababababab"

            --=_abababababababababababababababab
            Content-Type: text/plain; charset=utf-8

            This is the mail system at mail.b.c.

            Your message could not be delivered to:

              x@c.d
                mx.c.d said: 550 5.1.1 No such user

            Nothing more will be tried for these recipients.

            --=_abababababababababababababababab
            Content-Type: message/delivery-status

            Reporting-MTA: dns; mail.b.c
            Original-Envelope-Id: QQ314159
            Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000

            Original-Recipient: rfc822; orig@c.d
            Final-Recipient: rfc822; x@c.d
            Action: failed
            Status: 5.1.1
            Remote-MTA: dns; mx.c.d
            Diagnostic-Code: smtp; 550 5.1.1 No such user
            Last-Attempt-Date: Tue, 14 Nov 2023 22:14:20 +0000

            --=_abababababababababababababababab
            Content-Type: text/rfc822-headers

            From: a@b.c
            Subject: hello

            --=_abababababababababababababababab--
        "#]],
    );
}

/// A parser that isn't ours reads it, too.
#[test]
fn others_read_it() {
    use mail_parser::MimeHeaders as _;
    let failed = recipient("x@c.d", &[], "550 5.1.1 No such user");
    let full = record(&[("RET", "FULL")]);
    let text = report(Action::Failed, &full, &[failed], MESSAGE);
    let parser = mail_parser::MessageParser::default();
    let parsed = parser.parse(text.as_bytes()).unwrap();
    let content_type = parsed.content_type().unwrap();
    assert_eq!(content_type.subtype(), Some("report"));
    assert_eq!(
        content_type.attribute("report-type"),
        Some("delivery-status")
    );
    let types: Vec<&str> = parsed
        .parts
        .iter()
        .filter_map(|part| part.content_type()?.subtype())
        .collect();
    assert_eq!(types, ["report", "plain", "delivery-status", "rfc822"]);
    let returned = parsed.parts[3].message().unwrap();
    assert_eq!(returned.subject(), Some("hello"));
    assert_eq!(returned.body_text(0).as_deref(), Some("Hi\r\n"));
}

#[test]
fn a_delay() {
    let record = record(&[("BY", "3600;N")]);
    let delayed = recipient("x@c.d", &[], "450 4.7.1 Greylisted");
    let text = report(Action::Delayed, &record, &[delayed], MESSAGE);
    for line in [
        "Subject: Your message is delayed\r\n",
        "Action: delayed\r\nStatus: 4.7.1\r\n",
        "Will-Retry-Until: Sun, 19 Nov 2023 22:13:20 +0000\r\n",
        "Deliver-By-Date: Tue, 14 Nov 2023 23:13:20 +0000\r\n",
        "    mx.c.d said: 450 4.7.1 Greylisted\r\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn the_status_of_a_delay() {
    // The report is written 100 seconds after the message came.
    let rows = [
        ("3600;N", "450 4.7.1 Greylisted", "4.7.1"),
        ("3600;N", "250 2.0.0 Queued", "4.0.0"),
        ("60;N", "450 4.7.1 Greylisted", "4.4.7"),
        ("30;NT", "250 2.0.0 Queued", "4.4.7"),
    ];
    for (by, reply, status) in rows {
        let delayed = recipient("x@c.d", &[], reply);
        let text = report(Action::Delayed, &record(&[("BY", by)]), &[delayed], MESSAGE);
        let want = format!("Action: delayed\r\nStatus: {status}\r\n");
        assert!(text.contains(&want), "{by} {reply}: {text}");
    }
}

#[test]
fn all_of_it_comes_back_where_that_was_asked_for_and_may_be() {
    let failed = [recipient("x@c.d", &[], "550 No")];
    let full = record(&[("RET", "FULL")]);
    let text = report(Action::Failed, &full, &failed, MESSAGE);
    assert!(text.contains("Content-Type: message/rfc822\r\n\r\nFrom: a@b.c\r\n"));
    assert!(text.contains("\r\n\r\nHi\r\n"), "{text}");
    assert!(text.contains("Status: 5.0.0\r\n"), "{text}");
    let headers = [
        report(Action::Relayed, &full, &failed, MESSAGE),
        report(Action::Failed, &record(&[]), &failed, MESSAGE),
        report(
            Action::Failed,
            &record(&[("RET", "FULL"), ("REQUIRETLS", "")]),
            &failed,
            MESSAGE,
        ),
        report(
            Action::Failed,
            &full,
            &failed,
            &[MESSAGE, &vec![b'x'; FULL_OCTETS_MAX]].concat(),
        ),
    ];
    for text in headers {
        assert!(text.contains("Content-Type: text/rfc822-headers\r\n\r\nFrom: a@b.c\r\n"));
        assert!(!text.contains("Hi\r\n"));
    }
}

#[test]
fn addresses_beyond_ascii() {
    let failed = [recipient("jürgen@c.d", &[], "550 5.1.1 Unbekannt: ü")];
    let record = record(&[("SMTPUTF8", "")]);
    let message = "From: a@b.c\r\nSubject: hellö\r\n\r\nHi\r\n";
    let text = report(Action::Failed, &record, &failed, message.as_bytes());
    for line in [
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n",
        "Final-Recipient: utf-8; jürgen@c.d\r\n",
        "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn nothing_breaks_out_of_its_line() {
    let failed = [recipient(
        "x@c.d",
        &[("ORCPT", "rfc822;x\r\nAction: delivered")],
        "550 5.1.1 No\r\nAction: delivered",
    )];
    let record = record(&[("ENVID", "a\nAction: delivered")]);
    let text = report(Action::Failed, &record, &failed, MESSAGE);
    assert!(!text.contains("\nAction: delivered"), "{text}");
}

#[test]
fn what_the_sender_wants_to_know() {
    use Action::{Delayed, Delivered, Failed, Relayed};
    let rows = [
        (None, [true, true, false, false]),
        (Some("NEVER"), [false, false, false, false]),
        (Some("SUCCESS"), [false, false, true, true]),
        (Some("failure"), [true, false, false, false]),
        (Some("DELAY,SUCCESS"), [false, true, true, true]),
    ];
    for (value, want) in rows {
        let given = value.map(|value| [("NOTIFY", value)]);
        let address = recipient("x@c.d", given.as_ref().map_or(&[][..], |l| l), "").address;
        let got = [Failed, Delayed, Delivered, Relayed].map(|action| is_wanted(&address, action));
        assert_eq!(got, want, "{value:?}");
    }
}

#[test]
fn deliver_by() {
    let by = |value: &str| DeliverBy::of(&record(&[("BY", value)]));
    let got = by("120;R").unwrap();
    assert_eq!(
        (got.deadline, got.returns, got.traces),
        (1_700_000_120, true, false)
    );
    assert_eq!(got.passed_on(1_700_000_100).value.as_deref(), Some("20;R"));
    let got = by("-5;nt").unwrap();
    assert_eq!(got.passed_on(1_700_000_000).value.as_deref(), Some("-5;NT"));
    for wrong in ["", "120", "120;X", "x;R", "120;RR"] {
        assert_eq!(by(wrong), None, "{wrong}");
    }
}

#[test]
fn status_codes() {
    let rows = [
        ("550 5.1.1 No", "5.1.1"),
        ("550 No", "5.0.0"),
        ("450 5.1.1 No", "4.0.0"),
        ("250 2.0.0 OK", "2.0.0"),
        ("550 5.1.1.1 No", "5.0.0"),
        ("550 5.1234.1 No", "5.0.0"),
        ("", "5.0.0"),
    ];
    for (reply, want) in rows {
        assert_eq!(status(reply), want, "{reply}");
    }
}
