//! What senders are told.

use serde_json::json;

use super::*;
use crate::mail::{
    message::Summary,
    submission::{
        self,
        envelope::Envelope,
        records::{Delivered, UndoStatus},
        stage,
    },
};

#[tokio::test]
async fn each_fate_is_told_as_it_was_asked_for() {
    let server = Server::new().await;
    let others = Others::new(|job| match &*job.domain {
        "no.example" => all(job, Fate::Refused, "550 5.1.1 No", Some("mx.no.example")),
        "plain.example" => {
            let fate = Fate::Accepted {
                tells_success: false,
            };
            all(job, fate, "250 2.6.0 Queued", Some("mx.plain.example"))
        }
        _ => takes(job),
    });
    server.core.send_with(others.clone());
    let success = json!({"NOTIFY": "SUCCESS,FAILURE"});
    let envelope = envelope(
        json!({"ENVID": "id-7", "RET": "FULL"}),
        &[
            ("a@no.example", json!({"ORCPT": "rfc822;A@no.example"})),
            ("b@no.example", json!({"NOTIFY": "NEVER"})),
            ("c@plain.example", success.clone()),
            ("d@plain.example", Json::Null),
            ("e@dsn.example", success.clone()),
            ("bob@example.org", success),
        ],
    );
    let answer = server.send(HELLO, envelope).await;
    let id = answer["created"]["k"]["id"].as_str().unwrap().to_owned();
    server.core.send_due().await.unwrap();
    let submission = server.submission(&id).await;
    let delivered = |email: &str| submission["deliveryStatus"][email]["delivered"].clone();
    assert_eq!(delivered("a@no.example"), "no");
    assert_eq!(delivered("e@dsn.example"), "unknown");
    assert_eq!(delivered("bob@example.org"), "yes");
    assert_eq!(submission["undoStatus"], "final");
    let texts = texts(&server, &server.ann).await;
    let of = |subject: &str| {
        let found: Vec<&String> = texts.iter().filter(|text| text.contains(subject)).collect();
        assert_eq!(found.len(), 1, "{subject}: {texts:#?}");
        found[0].clone()
    };
    assert_eq!(texts.len(), 3);
    let failed = of("Subject: Your message could not be delivered");
    assert!(failed.contains("Original-Envelope-Id: id-7\r\n"));
    assert!(failed.contains("Original-Recipient: rfc822; A@no.example\r\n"));
    assert!(failed.contains("Remote-MTA: dns; mx.no.example\r\n"));
    assert!(failed.contains("\r\n\r\nHi\r\n"), "{failed}");
    assert!(!failed.contains("b@no.example"));
    let relayed = of("Subject: Your message was passed on");
    assert!(relayed.contains("Action: relayed\r\nStatus: 2.6.0\r\n"));
    assert!(!relayed.contains("d@plain.example") && !relayed.contains("e@dsn.example"));
    let delivered = of("Subject: Your message was delivered");
    assert!(delivered.contains("Action: delivered\r\nStatus: 2.0.0\r\n"));
    assert_eq!(submission["dsnBlobIds"].as_array().unwrap().len(), 3);
}

/// A message that an account passes on for somebody else.
async fn forward(server: &Server, sender: &str, to: &str) {
    let octets = Bytes::from(HELLO.replace('\n', "\r\n"));
    let envelope = Envelope {
        mail_from: EnvelopeAddress::plain(sender),
        recipients: vec![EnvelopeAddress::plain(to)],
    };
    let mut record = submission::new_record(&server.core, envelope, &octets, None);
    (record.undo_status, record.is_hidden) = (UndoStatus::Final, true);
    let account = server.core.accounts.handle(server.bob.account);
    let mut txn = account.writer.begin().await.unwrap();
    stage::insert(&mut txn, &record, &octets, Bytes::new(), 1000)
        .await
        .unwrap();
    txn.commit().await.unwrap();
}

fn refuses_users(job: &Job) -> Attempt {
    match &*job.domain {
        "no.example" => all(job, Fate::Refused, "550 5.1.1 No", Some("mx")),
        _ => takes(job),
    }
}

#[tokio::test]
async fn a_sender_elsewhere_gets_mail_and_the_null_sender_nothing() {
    let server = Server::new().await;
    let others = Others::new(refuses_users);
    server.core.send_with(others.clone());
    forward(&server, "s@far.example", "x@no.example").await;
    forward(&server, "eve@example.org", "x@no.example").await;
    forward(&server, "", "x@no.example").await;
    // The report to a sender that refuses it ends there.
    forward(&server, "gone@no.example", "x@no.example").await;
    for _ in 0..3 {
        server.core.send_due().await.unwrap();
    }
    assert_eq!(others.taken("s@far.example"), 1);
    {
        let jobs = others.jobs.lock();
        assert_eq!(jobs.len(), 6, "{jobs:?}");
    }
    assert_eq!(server.inbox(&server.eve).await.len(), 1);
    let report = texts(&server, &server.eve).await.remove(0);
    assert!(report.starts_with("Return-Path: <>\r\nFrom: Mail Delivery System"));
    assert!(server.inbox(&server.bob).await.is_empty());
    assert!(records(&server.core, &server.bob).await.is_empty());
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn the_report_that_goes_out_is_a_report() {
    let server = Server::new().await;
    let others = Others::new(refuses_users);
    server.core.send_with(others.clone());
    forward(&server, "s@far.example", "x@no.example").await;
    server.core.send_due().await.unwrap();
    server.core.send_due().await.unwrap();
    let job = others.last.lock().clone().unwrap();
    assert_eq!(job.mail_from.email, "");
    let recipient = &job.recipients[0].address;
    assert_eq!(recipient.email, "s@far.example");
    let notify = recipient.parameter("NOTIFY").unwrap();
    assert_eq!(notify.value.as_deref(), Some("NEVER"));
    let summary = Summary::parse(&job.message);
    let types: Vec<&str> = summary.parts.iter().map(|part| &*part.media_type).collect();
    assert_eq!(
        types,
        [
            "multipart/report",
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers"
        ]
    );
}

#[tokio::test]
async fn a_sender_is_not_buried_under_reports() {
    let server = Server::new().await;
    let others = Others::new(refuses_users);
    server.core.send_with(others.clone());
    for _ in 0..12 {
        submit(&server, &["x@no.example"]).await;
    }
    submit(&server, &["y@no.example"]).await;
    server.core.send_due().await.unwrap();
    // Ten of the same, and the other one.
    assert_eq!(server.inbox(&server.ann).await.len(), 11);
    let all = recipients(&server.core, &server.ann).await;
    assert!(
        all.iter()
            .all(|recipient| recipient.delivered == Delivered::No)
    );
    server.pass(3601);
    submit(&server, &["x@no.example"]).await;
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.ann).await.len(), 12);
    // Senders elsewhere may have written nothing at all: there is a limit for all that they get.
    for n in 0..105 {
        forward(&server, "victim@far.example", &format!("u{n}@no.example")).await;
    }
    for _ in 0..3 {
        server.core.send_due().await.unwrap();
    }
    assert_eq!(others.taken("victim@far.example"), 100);
}

#[tokio::test]
async fn addresses_beyond_ascii_make_an_international_report() {
    let server = Server::new().await;
    let others = Others::new(refuses_users);
    server.core.send_with(others.clone());
    forward(&server, "s@far.example", "jürgen@no.example").await;
    server.core.send_due().await.unwrap();
    server.core.send_due().await.unwrap();
    let job = others.last.lock().clone().unwrap();
    assert!(job.mail_from.parameter("SMTPUTF8").is_some());
    let body = job.mail_from.parameter("BODY").unwrap();
    assert_eq!(body.value.as_deref(), Some("8BITMIME"));
    let text = String::from_utf8_lossy(&job.message).into_owned();
    assert!(text.contains("Content-Type: message/global-delivery-status\r\n"));
    assert!(text.contains("Final-Recipient: utf-8; jürgen@no.example\r\n"));
}
