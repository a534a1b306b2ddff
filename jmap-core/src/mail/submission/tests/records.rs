//! The bytes of every version of every record: what was written once stays readable.

use expect_test::{Expect, expect};
use store::Record;

use crate::mail::{
    identity::{IdentityRecord, NamedAddress},
    submission::records::*,
    vacation::{RepliedRecord, RepliedTo, VacationRecord},
};

fn check<R: Record + PartialEq + std::fmt::Debug>(record: R, want: Expect) {
    let bytes = record.to_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    want.assert_eq(&hex);
    assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn version_1() {
    let parameter = Parameter {
        name: "ENVID".into(),
        value: Some("x".into()),
    };
    let recipient = RecipientRecord {
        address: EnvelopeAddress::plain("b@c.d"),
        delivered: Delivered::No,
        smtp_reply: "550 5.1.1 No".into(),
        is_displayed: true,
        ..RecipientRecord::default()
    };
    let submission = SubmissionRecord {
        identity: 1,
        email: 2,
        thread: 3,
        mail_from: EnvelopeAddress {
            email: "a@b.c".into(),
            parameters: Some(vec![parameter]),
        },
        recipients: vec![recipient],
        send_at: 4,
        undo_status: UndoStatus::Final,
        blob: [5; 32],
        due: 6,
        attempts: 7,
        dsns: vec![BlobRecord { hash: [8; 32] }],
        mdns: Vec::new(),
        is_hidden: true,
        is_done: true,
        delivered_to: vec![9],
        ..SubmissionRecord::default()
    };
    check(
        submission,
        expect![
            "8f01020382656140622e63818265454e5649446178818481656240632e64026c35353020352e312e31204e6ff5040158200505050505050505050505050505050505050505050505050505050505050505060781815820080808080808080808080808080808080808080808080808080808080808080880f5f58109"
        ],
    );
    let address = NamedAddress {
        name: Some("B".into()),
        email: "b@c.d".into(),
    };
    let identity = IdentityRecord {
        name: "A".into(),
        email: "a@b.c".into(),
        reply_to: Some(vec![address]),
        bcc: None,
        text_signature: "t".into(),
        html_signature: "h".into(),
        is_default: true,
    };
    check(
        identity,
        expect!["876141656140622e6381826142656240632e64f661746168f5"],
    );
    let vacation = VacationRecord {
        is_enabled: true,
        from_date: Some(1),
        to_date: Some(2),
        subject: Some("s".into()),
        text_body: Some("t".into()),
        html_body: None,
    };
    check(vacation, expect!["85f5010261736174"]);
    check(
        RepliedRecord {
            senders: vec![RepliedTo { hash: 1, at: 2 }],
        },
        expect!["8181820102"],
    );
}

#[test]
fn version_2_says_what_the_queue_has_tried() {
    let recipient = RecipientRecord {
        attempts: Some(1),
        next_try: Some(2),
        last_try: Some(3),
        remote: Some("mx".into()),
        told_delay: Some(true),
        ..RecipientRecord::new(EnvelopeAddress::plain("b@c.d"))
    };
    let host = HostRecord {
        when: 1,
        domain: "c.d".into(),
        host: "mx".into(),
        address: Some("::1".into()),
        tls: Some("TLSv1.3".into()),
        result: "250 OK".into(),
    };
    let submission = SubmissionRecord {
        recipients: vec![recipient],
        arrived: Some(4),
        size: Some(5),
        history: Some(vec![host]),
        ..SubmissionRecord::default()
    };
    check(
        submission,
        expect![
            "920000008160818981656240632e64007032353020322e302e3020517565756564f4010203626d78f500005820000000000000000000000000000000000000000000000000000000000000000000008080f4f480040581860163632e64626d78633a3a3167544c5376312e3366323530204f4b"
        ],
    );
}

/// With who vouches for the author.
#[test]
fn version_3() {
    let submission = SubmissionRecord {
        author: Some(crate::inproc::origin::Author::Domain("c.d".into())),
        ..SubmissionRecord::default()
    };
    check(
        submission,
        expect![
            "9300000081608000005820000000000000000000000000000000000000000000000000000000000000000000008080f4f480f6f6f682028163632e64"
        ],
    );
}

/// On hold.
#[test]
fn version_4() {
    let submission = SubmissionRecord {
        due: DUE_NEVER,
        on_hold: Some(OnHold { since: 1, due: 2 }),
        ..SubmissionRecord::default()
    };
    check(
        submission,
        expect![
            "940000008160800000582000000000000000000000000000000000000000000000000000000000000000001bffffffffffffffff008080f4f480f6f6f6f6820102"
        ],
    );
}

#[test]
fn the_history_is_bounded() {
    let mut record = SubmissionRecord::default();
    for when in 0..=HISTORY_MAX {
        record.remember(HostRecord {
            when: when as i64,
            result: "ä".repeat(HISTORY_TEXT_MAX),
            ..HostRecord::default()
        });
    }
    let history = record.history.unwrap();
    assert_eq!((history.len(), history[0].when), (HISTORY_MAX, 1));
    assert_eq!(history[0].result.len(), HISTORY_TEXT_MAX);
}
