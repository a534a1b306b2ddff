//! What comes by SMTP.

use bytes::Bytes;
use jmap_types::{mail::EmailSubmission, method::Get};
use serde_json::json;

use crate::mail::submission::{parameters, records::EnvelopeAddress};

use super::{ANN, BOB, HELLO, Server};
use crate::inproc::submit::SubmitError;

async fn check(message: &str, from: Option<&str>, to: &[&str], expected: Result<(), SubmitError>) {
    let server = Server::new().await;
    let message = Bytes::from(message.replace('\n', "\r\n"));
    let to = to.iter().map(|to| EnvelopeAddress::plain(*to)).collect();
    let result = server
        .core
        .submit(
            &server.ann,
            EnvelopeAddress::plain(from.unwrap_or_default()),
            to,
            message,
            None,
        )
        .await;
    assert_eq!(result, expected);
    server.core.send_due().await.unwrap();
    let arrived = server.inbox(&server.bob).await.len();
    assert_eq!(arrived, usize::from(expected.is_ok()));
    let list = server
        .call::<Get<EmailSubmission>>(&server.ann, json!({"ids": null}))
        .await;
    assert_eq!(list["list"].as_array().unwrap().len(), arrived);
}

#[tokio::test]
async fn submissions() {
    check(HELLO, Some(ANN), &[BOB], Ok(())).await;
    check(HELLO, Some("Ann+tag@EXAMPLE.org"), &[BOB], Ok(())).await;
    check(HELLO, None, &[BOB], Ok(())).await;
    check(
        HELLO,
        Some(BOB),
        &[BOB],
        Err(SubmitError::ForbiddenMailFrom),
    )
    .await;
    check(
        &HELLO.replace("ann@", "eve@"),
        Some(ANN),
        &[BOB],
        Err(SubmitError::ForbiddenFrom),
    )
    .await;
    check(
        "To: bob@example.org\n\nHi\n",
        Some(ANN),
        &[BOB],
        Err(SubmitError::ForbiddenFrom),
    )
    .await;
    check(
        HELLO,
        Some(ANN),
        &[BOB, "x"],
        Err(SubmitError::InvalidRecipients(vec!["x".into()])),
    )
    .await;
}

#[tokio::test]
async fn what_is_asked_for_by_smtp_is_in_the_envelope() {
    let server = Server::new().await;
    let given = |name: &str, value: Option<&str>| parameters::of_mail(name, value).unwrap();
    let mail = |parameters| parameters::with(ANN, parameters);
    let never = parameters::of_rcpt("NOTIFY", Some("NEVER")).unwrap();
    let to = vec![parameters::with(BOB, vec![never])];
    let message = Bytes::from(HELLO.replace('\n', "\r\n"));
    let core = &server.core;
    let submit = async |from, message: &Bytes| {
        core.submit(&server.ann, from, to.clone(), message.clone(), None)
            .await
    };
    let hold = given("HOLDFOR", Some("60"));
    let wanted = mail(vec![
        hold.clone(),
        given("BY", Some("120;N")),
        given("REQUIRETLS", None),
    ]);
    assert_eq!(submit(wanted, &message).await, Ok(()));
    core.send_due().await.unwrap();
    assert!(server.inbox(&server.bob).await.is_empty());
    let got = server
        .call::<Get<EmailSubmission>>(&server.ann, json!({"ids": null}))
        .await;
    let submission = &got["list"][0];
    assert_eq!(submission["undoStatus"], "pending");
    assert_eq!(submission["sendAt"], "2023-11-14T22:14:20Z");
    assert_eq!(
        submission["envelope"],
        json!({
            "mailFrom": {"email": ANN, "parameters": {"HOLDFOR": "60", "BY": "120;N", "REQUIRETLS": null}},
            "rcptTo": [{"email": BOB, "parameters": {"NOTIFY": "NEVER"}}],
        })
    );
    server.pass(61);
    core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.bob).await, ["hello"]);
    // One past the longest hold, two holds, and a sender who isn't hers.
    let max = core.limits().max_delayed_send;
    let hold_for = |seconds: u64| mail(vec![given("HOLDFOR", Some(&seconds.to_string()))]);
    assert_eq!(submit(hold_for(max), &message).await, Ok(()));
    let until = given("HOLDUNTIL", Some("2023-11-14T23:00:00Z"));
    for wrong in [hold_for(max + 1), mail(vec![hold, until])] {
        let refused = submit(wrong, &message).await;
        assert!(
            matches!(refused, Err(SubmitError::Parameter(_))),
            "{refused:?}"
        );
    }
    let with_sender = |sender: &str| {
        let sender = format!("Sender: {sender}\r\n");
        Bytes::from([sender.as_bytes(), &message].concat())
    };
    let own = submit(mail(Vec::new()), &with_sender(ANN)).await;
    assert_eq!(own, Ok(()));
    let foreign = submit(mail(Vec::new()), &with_sender(BOB)).await;
    assert_eq!(foreign, Err(SubmitError::ForbiddenSender));
}
