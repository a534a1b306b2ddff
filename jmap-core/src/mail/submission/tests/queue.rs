//! What the queue does with failures, and with what isn't for this server.

use serde_json::{Value as Json, json};

use super::{HELLO, Server};

fn to(recipients: &str) -> String {
    HELLO.replace("bob@example.org", recipients)
}

#[tokio::test]
async fn a_permanent_failure_comes_back() {
    let server = Server::new().await;
    let answer = server
        .send(&to("nobody@example.org, bob@example.org"), Json::Null)
        .await;
    let status = &answer["created"]["k"]["deliveryStatus"];
    assert_eq!(status["nobody@example.org"]["delivered"], "no", "{answer}");
    assert_eq!(
        status["nobody@example.org"]["smtpReply"],
        "550 5.1.1 There is no such mailbox"
    );
    assert_eq!(status["bob@example.org"]["delivered"], "yes");
    assert_eq!(
        answer["created"]["k"]["dsnBlobIds"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let report = server.inbox_messages(&server.ann).await.remove(0);
    let text = String::from_utf8(report.to_vec()).unwrap();
    for line in [
        "Content-Type: multipart/report; report-type=delivery-status;",
        "Final-Recipient: rfc822; nobody@example.org\r\n",
        "Action: failed\r\nStatus: 5.1.1\r\n",
        "Subject: hello\r\n",
        "Auto-Submitted: auto-replied\r\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("bob@example.org\r\nAction"));
    assert_eq!(crate::mail::message::Summary::parse(&report).parts.len(), 4);
}

#[tokio::test]
async fn notify_never_and_the_null_sender_get_no_report() {
    for (mail_from, parameters) in [
        ("ann@example.org", json!({"NOTIFY": "NEVER"})),
        ("", Json::Null),
    ] {
        let server = Server::new().await;
        let rcpt = json!({"email": "nobody@example.org", "parameters": parameters});
        let envelope = json!({"mailFrom": {"email": mail_from}, "rcptTo": [rcpt]});
        let answer = server.send(HELLO, envelope).await;
        assert_eq!(
            answer["created"]["k"]["deliveryStatus"]["nobody@example.org"]["delivered"], "no",
            "{answer}"
        );
        assert!(server.inbox(&server.ann).await.is_empty());
    }
}

#[tokio::test]
async fn mail_for_others_waits_without_a_storm() {
    let server = Server::new().await;
    let answer = server.send(&to("x@elsewhere.example"), Json::Null).await;
    let status = &answer["created"]["k"]["deliveryStatus"]["x@elsewhere.example"];
    assert_eq!(status["delivered"], "queued", "{answer}");
    assert!(
        status["smtpReply"]
            .as_str()
            .unwrap()
            .starts_with("250 2.0.0 ")
    );
    let now = server.core.queue_now();
    assert_eq!(
        server.core.send_due().await.unwrap(),
        Some(now + 86_400_000)
    );
    server.pass(86_400 * 20);
    let next = server.core.send_due().await.unwrap();
    assert_eq!(next, Some(server.core.queue_now() + 86_400_000));
}

#[tokio::test]
async fn a_full_mailbox_is_tried_again_and_given_up() {
    let server = Server::new().await;
    let admin = crate::Caller::server();
    server
        .core
        .set_quota(&admin, server.bob.account, Some(10))
        .await
        .unwrap();
    let answer = server.send(HELLO, Json::Null).await;
    let id = answer["created"]["k"]["id"].as_str().unwrap();
    assert_eq!(
        answer["created"]["k"]["deliveryStatus"]["bob@example.org"]["smtpReply"],
        "452 4.2.2 The mailbox is full"
    );
    let now = server.core.queue_now();
    let next = server.core.send_due().await.unwrap().unwrap();
    assert!((60_000..66_000).contains(&(next - now)), "{}", next - now);
    server.pass(67);
    server.core.send_due().await.unwrap();
    assert!(server.inbox(&server.bob).await.is_empty());
    server.pass(6 * 86_400);
    server.core.send_due().await.unwrap();
    assert_eq!(
        server.submission(id).await["deliveryStatus"]["bob@example.org"]["delivered"],
        "no"
    );
    assert_eq!(
        server.inbox(&server.ann).await,
        ["Your message could not be delivered"]
    );
    // The record goes after its time.
    server.pass(31 * 86_400);
    assert_eq!(server.core.send_due().await.unwrap(), None);
    assert_eq!(server.submission(id).await, Json::Null);
}
