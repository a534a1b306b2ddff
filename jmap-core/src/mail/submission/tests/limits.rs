//! One past the limits on how much an account may send, and on how many submissions are kept.

use bytes::Bytes;
use jmap_types::{
    mail::EmailSubmission,
    method::{Get, Set},
};
use serde_json::{Value as Json, json};
use store::engine::MemoryEngine;

use crate::mail::submission::records::EnvelopeAddress;

use super::{ANN, BOB, HELLO, Server};
use crate::{Limits, inproc::submit::SubmitError, work::check::CheckOptions};

async fn server(limits: Limits) -> Server {
    Server::with(MemoryEngine::new(), limits).await
}

async fn submit(server: &Server, to: &[&str]) -> Result<(), SubmitError> {
    let message = Bytes::from(HELLO.replace('\n', "\r\n"));
    let to = to.iter().map(|to| EnvelopeAddress::plain(*to)).collect();
    let core = &server.core;
    core.submit(&server.ann, EnvelopeAddress::plain(ANN), to, message, None)
        .await
}

async fn kept(server: &Server) -> usize {
    let got = server
        .call::<Get<EmailSubmission>>(&server.ann, json!({"ids": null}))
        .await;
    got["list"].as_array().unwrap().len()
}

#[tokio::test]
async fn recipients_past_the_hourly_limit_are_refused_by_both_ways() {
    let server = server(Limits {
        max_recipients_per_hour: 3,
        ..Limits::default()
    })
    .await;
    assert_eq!(submit(&server, &[BOB, "eve@example.org"]).await, Ok(()));
    let answer = server.send(HELLO, Json::Null).await;
    assert!(answer["created"]["k"].is_object(), "{answer}");
    assert_eq!(
        submit(&server, &[BOB]).await,
        Err(SubmitError::SentTooMuch { minutes: 61 })
    );
    server.pass(1800);
    let refused = server.send(HELLO, Json::Null).await;
    let error = &refused["notCreated"]["k"];
    assert_eq!(error["type"], "rateLimit", "{refused}");
    assert_eq!(
        error["description"],
        "You have sent to too many recipients lately; try again in 31 minutes."
    );
    server.pass(1800);
    assert_eq!(submit(&server, &[BOB]).await, Ok(()));
}

#[tokio::test]
async fn a_message_that_is_not_taken_does_not_count() {
    let server = server(Limits {
        max_recipients_per_hour: 1,
        max_submissions: 1,
        max_delayed_send: 3600,
        ..Limits::default()
    })
    .await;
    let hold = json!({
        "mailFrom": {"email": ANN, "parameters": {"HOLDFOR": "3000"}},
        "rcptTo": [{"email": BOB}],
    });
    let answer = server.send(HELLO, hold).await;
    let id = answer["created"]["k"]["id"].as_str().unwrap().to_owned();
    server.pass(3000 - 1);
    // The window of the first is over when the second is refused for want of room.
    server.clock.advance(std::time::Duration::from_secs(601));
    let full = submit(&server, &[BOB]).await;
    assert_eq!(full, Err(SubmitError::TooManyWaiting));
    server.core.send_due().await.unwrap();
    assert_eq!(server.submission(&id).await["undoStatus"], "final");
    assert_eq!(submit(&server, &[BOB]).await, Ok(()), "given back");
}

#[tokio::test]
async fn submissions_past_the_limit_that_are_not_sent_are_refused() {
    let server = server(Limits {
        max_submissions: 2,
        ..Limits::default()
    })
    .await;
    let elsewhere = HELLO.replace("bob@example.org", "x@elsewhere.example");
    for _ in 0..2 {
        let answer = server.send(&elsewhere, Json::Null).await;
        assert!(answer["created"]["k"].is_object(), "{answer}");
    }
    let refused = server.send(&elsewhere, Json::Null).await;
    let error = &refused["notCreated"]["k"];
    assert_eq!(error["type"], "overQuota", "{refused}");
    assert_eq!(
        submit(&server, &[BOB]).await,
        Err(SubmitError::TooManyWaiting)
    );
    // To destroy one that isn't sent makes no room: it is sent all the same.
    let got = server
        .call::<Get<EmailSubmission>>(&server.ann, json!({"ids": null}))
        .await;
    let id = got["list"][0]["id"].clone();
    server
        .call::<Set<EmailSubmission>>(&server.ann, json!({"destroy": [id]}))
        .await;
    assert_eq!(kept(&server).await, 1);
    assert_eq!(
        submit(&server, &[BOB]).await,
        Err(SubmitError::TooManyWaiting)
    );
    let report = server
        .core
        .check(CheckOptions::default(), &|_| ())
        .await
        .unwrap();
    assert_eq!(report.problems, []);
}

#[tokio::test]
async fn the_oldest_that_are_done_make_room() {
    let server = server(Limits {
        max_submissions: 3,
        ..Limits::default()
    })
    .await;
    for _ in 0..8 {
        let answer = server.send(HELLO, Json::Null).await;
        assert!(answer["created"]["k"].is_object(), "{answer}");
        assert!(kept(&server).await <= 3);
    }
    assert_eq!(server.inbox(&server.bob).await.len(), 8);
}

#[tokio::test]
async fn an_account_from_before_they_were_counted_is_counted_once() {
    let server = server(Limits {
        max_submissions: 2,
        ..Limits::default()
    })
    .await;
    let elsewhere = HELLO.replace("bob@example.org", "x@elsewhere.example");
    server.send(&elsewhere, Json::Null).await;
    server.send(&elsewhere, Json::Null).await;
    let account = server.core.accounts.handle(server.ann.account);
    let mut txn = account.writer.begin().await.unwrap();
    assert_eq!(txn.head.submissions, Some(2));
    txn.head.submissions = None;
    txn.commit().await.unwrap();
    let refused = server.send(&elsewhere, Json::Null).await;
    assert_eq!(refused["notCreated"]["k"]["type"], "overQuota", "{refused}");
}

#[tokio::test]
async fn one_past_the_limits_of_an_envelope() {
    let address = |octets: usize| {
        // Labels of 60 octets: only the length of the whole is wrong, if anything.
        let mut domain = "d".repeat(octets - 2);
        for at in (60..domain.len()).step_by(61) {
            domain.replace_range(at..=at, ".");
        }
        format!("x@{domain}")
    };
    let to = |addresses: Vec<String>| -> Json {
        let rcpt: Vec<Json> = addresses.iter().map(|a| json!({"email": a})).collect();
        json!({"mailFrom": {"email": ANN}, "rcptTo": rcpt})
    };
    let from = |parameters: Json| json!({"mailFrom": {"email": ANN, "parameters": parameters}, "rcptTo": [{"email": BOB}]});
    let hold = |seconds: u64| from(json!({"HOLDFOR": seconds.to_string()}));
    let people = |count: usize| to((0..count).map(|n| format!("p{n}@example.org")).collect());
    let rows = [
        ("recipients", people(3), None),
        ("more recipients", people(4), Some("tooManyRecipients")),
        (
            "a longer address",
            to(vec![address(1025)]),
            Some("invalidRecipients"),
        ),
        ("held", hold(100), None),
        ("held for longer", hold(101), Some("invalidProperties")),
        (
            "a longer parameter",
            from(json!({"ENVID": "x".repeat(1025)})),
            Some("invalidProperties"),
        ),
    ];
    for (what, envelope, error) in rows {
        let server = server(Limits {
            max_recipients: 3,
            max_delayed_send: 100,
            ..Limits::default()
        })
        .await;
        let answer = server.send(HELLO, envelope).await;
        assert_eq!(
            answer["notCreated"]["k"]["type"].as_str(),
            error,
            "{what}: {answer}"
        );
    }
}
