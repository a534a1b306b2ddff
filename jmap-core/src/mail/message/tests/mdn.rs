use crate::mail::message::mdn::{Disposition, Mdn, MdnEnvelope, MdnError};
use crate::mail::message::*;
use std::collections::BTreeMap;

fn sample() -> Mdn {
    Mdn {
        subject: Some("Read: Grüße".into()),
        text_body: Some("It was read.\n".into()),
        include_original_message: true,
        reporting_ua: Some("pc.example.com; Mail 1".into()),
        disposition: Disposition {
            action_mode: "manual-action".into(),
            sending_mode: "mdn-sent-manually".into(),
            kind: "displayed".into(),
        },
        final_recipient: Some("rfc822; john@example.com".into()),
        original_message_id: Some("<1@example.org>".into()),
        extension_fields: Some(BTreeMap::from([("X-Y".into(), "z".into())])),
        ..Mdn::default()
    }
}

fn build(mdn: &Mdn) -> Result<Vec<u8>, MdnError> {
    let envelope = MdnEnvelope {
        from: EmailAddress {
            email: "john@example.com".into(),
            name: None,
        },
        to: vec![EmailAddress {
            email: "jane@example.com".into(),
            name: None,
        }],
        original: Some(b"Subject: x\r\n\r\ny\r\n"),
    };
    let context = BuildContext {
        now: SentAt::utc(0),
        random: [7; 32],
        domain: "example.com",
        blob: &|_| None,
    };
    mdn.build(&envelope, &context)
}

#[test]
fn built_and_parsed() {
    let raw = build(&sample()).unwrap();
    let summary = Summary::parse(&raw);
    super::check_summary(&raw, &summary);
    assert_eq!(summary.parts[0].media_type, "multipart/report");
    assert!(
        summary.parts[0]
            .params
            .contains(&"disposition-notification".to_owned())
    );
    assert_eq!(Mdn::parse(&raw, &summary).unwrap(), sample());
    let text = String::from_utf8(raw).unwrap();
    assert!(
        text.contains("\r\nDisposition: manual-action/mdn-sent-manually; displayed\r\n"),
        "{text}"
    );
}

#[test]
fn letter_case_and_errors() {
    let raw = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\nFINAL-Recipient: rfc822;a@b\r\nDisposition: Automatic-Action/MDN-sent-automatically;\r\n  Processed/Error\r\nError: e1\r\nError: e2\r\n--b--\r\n";
    let mdn = Mdn::parse(raw, &Summary::parse(raw)).unwrap();
    assert_eq!(mdn.disposition.kind, "processed");
    assert_eq!(mdn.disposition.sending_mode, "mdn-sent-automatically");
    assert_eq!(mdn.error, Some(vec!["e1".into(), "e2".into()]));
    assert_eq!(
        Mdn::parse(b"X: y\r\n\r\n", &Summary::parse(b"X: y\r\n\r\n")),
        None
    );
}

#[test]
fn invalid_properties() {
    let row = |change: fn(&mut Mdn), property: &'static str| {
        let mut mdn = sample();
        change(&mut mdn);
        assert_eq!(build(&mdn), Err(MdnError::InvalidProperty(property)));
    };
    row(|m| m.disposition.kind = "Displayed".into(), "disposition");
    row(|m| m.final_recipient = None, "finalRecipient");
    row(|m| m.reporting_ua = Some("a\r\nX: y".into()), "reportingUA");
    row(
        |m| m.extension_fields = Some(BTreeMap::from([("a b".into(), "c".into())])),
        "extensionFields",
    );
    row(
        |m| m.extension_fields = Some(BTreeMap::from([("Error".into(), "c".into())])),
        "extensionFields",
    );
}
