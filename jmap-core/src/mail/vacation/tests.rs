use bytes::Bytes;
use jmap_types::{
    mail::VacationResponse,
    method::{Get, Set},
};
use serde_json::{Value as Json, json};

use store::Record as _;

use super::{RepliedRecord, RepliedTo, SENDERS_MAX};
use crate::{
    inproc::deliver::Inbound,
    mail::{
        message::Summary,
        submission::tests::{ANN, BOB, HELLO, Server},
    },
};

async fn away(server: &Server, patch: Json) {
    let answer = server
        .call::<Set<VacationResponse>>(&server.bob, json!({"update": {"singleton": patch}}))
        .await;
    assert_eq!(answer["updated"], json!({"singleton": null}), "{answer}");
}

/// A message that comes from outside, for bob.
async fn arrives(server: &Server, mail_from: Option<&str>, message: &str) {
    let recipient = server.core.resolve_recipient(BOB).await.unwrap();
    let inbound = Inbound {
        mail_from: mail_from.map(str::to_owned),
        recipients: vec![recipient],
        message: Bytes::from(message.replace('\n', "\r\n")),
        peer: None,
        is_junk: false,
        answers_each: false,
        arrival: Default::default(),
    };
    assert_eq!(server.core.deliver(inbound).await, [Ok(())]);
    server.core.send_due().await.unwrap();
}

#[tokio::test]
async fn a_singleton() {
    let server = Server::new().await;
    let got = server
        .call::<Get<VacationResponse>>(&server.bob, json!({"ids": null}))
        .await;
    assert_eq!(
        got["list"],
        json!([{
            "id": "singleton", "isEnabled": false, "fromDate": null, "toDate": null, "subject": null,
            "textBody": null, "htmlBody": null,
        }])
    );
    let answer = server
        .call::<Set<VacationResponse>>(
            &server.bob,
            json!({"create": {"k": {}}, "destroy": ["singleton"]}),
        )
        .await;
    assert_eq!(answer["notCreated"]["k"]["type"], "singleton", "{answer}");
    assert_eq!(answer["notDestroyed"]["singleton"]["type"], "singleton");
    for (patch, kind) in [
        (json!({"isEnabled": 1}), "invalidProperties"),
        (json!({"fromDate": "x"}), "invalidProperties"),
        (json!({"other": 1}), "invalidProperties"),
        (json!({"subject": "a\nb"}), "invalidProperties"),
        // RFC 8620 §5.3: paths that can't be.
        (
            json!({"isEnabled": false, "isEnabled/x": 1}),
            "invalidPatch",
        ),
        (json!({"textBody/x": "y"}), "invalidPatch"),
    ] {
        let answer = server
            .call::<Set<VacationResponse>>(&server.bob, json!({"update": {"singleton": patch}}))
            .await;
        let error = &answer["notUpdated"]["singleton"];
        assert_eq!(error["type"], kind, "{patch}");
    }
}

#[tokio::test]
async fn a_reply_once_a_week() {
    let server = Server::new().await;
    away(
        &server,
        json!({"isEnabled": true, "subject": "Away", "htmlBody": "<p>Until <b>May</b></p>"}),
    )
    .await;
    let message = format!("Message-ID: <1@x>\nReferences: <0@x>\n{HELLO}");
    arrives(&server, Some(ANN), &message).await;
    let replies = server.inbox_messages(&server.ann).await;
    assert_eq!(replies.len(), 1);
    let text = String::from_utf8(replies[0].to_vec()).unwrap();
    assert!(text.starts_with("Return-Path: <>\r\n"), "{text}");
    assert!(text.contains("Auto-Submitted: auto-replied\r\n"), "{text}");
    let summary = Summary::parse(&replies[0]);
    assert_eq!(summary.subject.as_deref(), Some("Away"));
    assert_eq!(summary.in_reply_to, Some(vec!["1@x".to_owned()]));
    assert_eq!(
        summary.references,
        Some(vec!["0@x".to_owned(), "1@x".to_owned()])
    );
    assert_eq!(summary.parts.len(), 3);
    arrives(&server, Some(ANN), &message).await;
    assert_eq!(server.inbox(&server.ann).await.len(), 1);
    server.pass(8 * 86_400);
    arrives(&server, Some(ANN), &message).await;
    assert_eq!(server.inbox(&server.ann).await.len(), 2);
    // The server's own mail is nobody's submission, and leaves nothing behind.
    use jmap_types::{mail::EmailSubmission, method::Query};
    let found = server
        .call::<Query<EmailSubmission>>(&server.bob, json!({}))
        .await;
    assert_eq!(found["ids"], json!([]));
    assert_eq!(server.core.send_due().await.unwrap(), None);
}

/// RFC 5322 §2.1.1: an id that no line of the reply has room for.
#[tokio::test]
async fn a_reply_without_an_id_that_is_too_long() {
    let server = Server::new().await;
    away(&server, json!({"isEnabled": true})).await;
    let long = "z".repeat(1_000);
    let message = format!("Message-ID: <{long}@x>\nReferences: <0@x>\n{HELLO}");
    arrives(&server, Some(ANN), &message).await;
    let replies = server.inbox_messages(&server.ann).await;
    assert_eq!(replies.len(), 1);
    let summary = Summary::parse(&replies[0]);
    assert_eq!(summary.in_reply_to, None);
    assert_eq!(summary.references, Some(vec!["0@x".to_owned()]));
}

#[tokio::test]
async fn whom_nobody_answers() {
    let rows: &[(Option<&str>, &str)] = &[
        (None, ""),
        (Some("owner-list@example.org"), ""),
        (Some("list-request@example.org"), ""),
        (Some("MAILER-DAEMON@example.org"), ""),
        (Some(BOB), ""),
        (Some(ANN), "Auto-Submitted: auto-generated\n"),
        (Some(ANN), "Precedence: bulk\n"),
        (Some(ANN), "List-Id: <x.example.org>\n"),
        (Some(ANN), "List-Unsubscribe: <https://example.org>\n"),
    ];
    let server = Server::new().await;
    away(&server, json!({"isEnabled": true})).await;
    for (mail_from, header) in rows {
        arrives(&server, *mail_from, &format!("{header}{HELLO}")).await;
        assert!(
            server.inbox(&server.ann).await.is_empty(),
            "{mail_from:?} {header}"
        );
    }
    // It is not addressed to bob.
    arrives(&server, Some(ANN), &HELLO.replace(BOB, "all@example.org")).await;
    assert!(server.inbox(&server.ann).await.is_empty());
    arrives(&server, Some(ANN), &format!("Auto-Submitted: no\n{HELLO}")).await;
    assert_eq!(server.inbox(&server.ann).await, ["Auto: hello"]);
}

#[tokio::test]
async fn only_between_the_dates() {
    for (dates, replies) in [
        (
            json!({"isEnabled": true, "fromDate": "2023-11-14T22:13:21Z"}),
            0,
        ),
        (
            json!({"isEnabled": true, "fromDate": "2023-11-14T22:13:20Z"}),
            1,
        ),
        (
            json!({"isEnabled": true, "toDate": "2023-11-14T22:13:20Z"}),
            0,
        ),
        (
            json!({"isEnabled": true, "toDate": "2023-11-14T22:13:21Z"}),
            1,
        ),
        (json!({"isEnabled": false, "subject": "x"}), 0),
    ] {
        let server = Server::new().await;
        away(&server, dates.clone()).await;
        arrives(&server, Some(ANN), HELLO).await;
        assert_eq!(server.inbox(&server.ann).await.len(), replies, "{dates}");
    }
}

#[tokio::test]
async fn one_past_the_senders_that_are_remembered() {
    let server = Server::new().await;
    away(&server, json!({"isEnabled": true})).await;
    arrives(&server, Some(ANN), HELLO).await;
    let account = server.core.accounts.handle(server.bob.account);
    let key = super::replied_key(account.id);
    let kept = async || {
        let bytes = server.core.engine.get(&key).await.unwrap().unwrap();
        RepliedRecord::from_bytes(&key, &bytes).unwrap().senders
    };
    let first = kept().await;
    assert_eq!(first.len(), 1);
    // As many as there is room for, of whom ann is the first.
    let mut replied = RepliedRecord { senders: first };
    let at = replied.senders[0].at;
    let others = (1..SENDERS_MAX as u64).map(|hash| RepliedTo { hash, at });
    replied.senders.extend(others);
    let mut txn = account.writer.begin().await.unwrap();
    txn.put_record(key.clone(), &replied);
    txn.commit().await.unwrap();
    arrives(&server, Some(ANN), HELLO).await;
    assert_eq!(kept().await, replied.senders, "ann had a reply");
    let hello = HELLO.replace(ANN, "eve@example.net");
    arrives(&server, Some("eve@example.net"), &hello).await;
    let now = kept().await;
    assert_eq!(now.len(), SENDERS_MAX);
    assert_eq!(now[..SENDERS_MAX - 1], replied.senders[1..]);
}
