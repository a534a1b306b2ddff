//! Mail from users.

use expect_test::expect;
use smtp::Mode;

use crate::fixture::{Client, Fixture, start, start_implicit_tls};

/// NUL ann@example.org NUL secret
const PLAIN: &str = "AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=";
/// n,,^Aauth=Bearer token^A^A
const BEARER: &str = "biwsAWF1dGg9QmVhcmVyIHRva2VuAQE=";
/// n,,^Aauth=Bearer wrong^A^A
const WRONG_BEARER: &str = "biwsAWF1dGg9QmVhcmVyIHdyb25nAQE=";

async fn logged_in(server: &Fixture) -> Client {
    let mut client = server.hello_tls().await;
    client
        .say(&format!("AUTH PLAIN {PLAIN}"), "235 2.7.0 ")
        .await;
    client
}

#[tokio::test]
async fn login_is_for_tls() {
    let server = start(Mode::Submission, |_| {});
    let mut client = server.connect().await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(!ehlo.contains("AUTH"), "{ehlo}");
    client
        .say("MAIL FROM:<ann@example.org>", "530 5.7.0 ")
        .await;
    client
        .say(&format!("AUTH PLAIN {PLAIN}"), "538 5.7.11 ")
        .await;
    let mut client = server.hello_tls().await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(
        ehlo.ends_with("250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2"),
        "{ehlo}"
    );
    client
        .say("MAIL FROM:<ann@example.org>", "530 5.7.0 ")
        .await;
    client.say("AUTH SCRAM-SHA-1", "504 5.5.4 ").await;
    client.say("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    client.say("YW5uQGV4YW1wbGUub3Jn", "334 UGFzc3dvcmQ6").await;
    client.say("c2VjcmV0", "235 2.7.0 ").await;
    client
        .say(&format!("AUTH PLAIN {PLAIN}"), "503 5.5.1 ")
        .await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(!ehlo.contains("AUTH"), "{ehlo}");
    client
        .say("MAIL FROM:<ann@example.org> AUTH=<>", "250 ")
        .await;
}

#[tokio::test]
async fn logins_that_fail() {
    let server = start(Mode::Submission, |config| {
        config.limits.auth_failures_max = 20
    });
    let mut client = server.hello_tls().await;
    client
        .say("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwB3cm9uZw==", "535 5.7.8 ")
        .await;
    client.say("AUTH PLAIN", "334 ").await;
    client.say("*", "501 5.7.0 ").await;
    client.say("AUTH PLAIN", "334 ").await;
    client.say("!", "501 5.5.2 ").await;
    client.say("AUTH PLAIN", "334 ").await;
    client.say(PLAIN, "235 2.7.0 ").await;
    let mut client = server.hello_tls().await;
    client
        .say(&format!("AUTH OAUTHBEARER {WRONG_BEARER}"), "334 ")
        .await;
    client.say("AQ==", "535 5.7.8 ").await;
    // busy@, disabled@, limited@
    client
        .say("AUTH PLAIN AGJ1c3lAZXhhbXBsZS5vcmcAeA==", "454 4.7.0 ")
        .await;
    client
        .say("AUTH PLAIN AGRpc2FibGVkQGV4YW1wbGUub3JnAHg=", "525 5.7.13 ")
        .await;
    client
        .say("AUTH PLAIN AGxpbWl0ZWRAZXhhbXBsZS5vcmcAeA==", "454 4.7.0 ")
        .await;
    client
        .say(&format!("AUTH OAUTHBEARER {BEARER}"), "235 2.7.0 ")
        .await;
}

#[tokio::test]
async fn too_many_failed_logins() {
    let server = start(Mode::Submission, |_| {});
    let mut client = server.hello_tls().await;
    for _ in 0..3 {
        client
            .say("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwB3cm9uZw==", "535 5.7.8 ")
            .await;
    }
    client.expect("421 4.7.0 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_response_that_is_too_long() {
    let server = start(Mode::Submission, |_| {});
    let mut client = server.hello_tls().await;
    client.say("AUTH PLAIN", "334 ").await;
    client.say(&"A".repeat(12_289), "500 5.5.6 ").await;
    client
        .say(&format!("AUTH PLAIN {}", "A".repeat(20_000)), "500 5.5.2 ")
        .await;
    client.say("NOOP", "250 ").await;
}

#[tokio::test]
async fn what_is_missing_is_added_and_bcc_taken_out() {
    let server = start(Mode::Submission, |_| {});
    let mut client = logged_in(&server).await;
    client
        .envelope(&["bob@example.org", "someone@example.net"])
        .await;
    client.say("DATA", "354 ").await;
    client.send("From: ann@example.org\r\nBcc: someone@example.net,\r\n other@example.net\r\nSubject: x\r\n\r\nBcc: y\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    let submitted = server.fake.submitted();
    let message = String::from_utf8_lossy(&submitted[0].message).replace("\r\n", "\n");
    let message = message
        .replace("TLS_AES_256_GCM_SHA384", "CIPHER")
        .replace("TLS_AES_128_GCM_SHA256", "CIPHER");
    expect![[r#"
        Received: from client.example ([127.0.0.1])
        	by mx.example.org with ESMTPSA (TLSv1.3 CIPHER)
        	id 3559cd75f4fa1d08;
        	Mon, 23 Nov 2026 18:58:57 +0000
        Date: Mon, 23 Nov 2026 18:58:57 +0000
        Message-ID: <f5255c9639dabcdae9b822d8514cce0d@mx.example.org>
        From: ann@example.org
        Subject: x

        Bcc: y
    "#]]
    .assert_eq(&message);
    let recipients = submitted[0].recipients.iter().map(|to| to.email.as_str());
    let recipients: Vec<_> = recipients.collect();
    assert_eq!(recipients, ["bob@example.org", "someone@example.net"]);
    assert_eq!(submitted[0].mail_from.email, "ann@example.org");
}

#[tokio::test]
async fn what_is_there_is_left_alone() {
    let server = start_implicit_tls(Mode::Submission);
    let client = server.connect_raw().await;
    let mut client = server.secure(client).await;
    client.expect("220 ").await;
    client.say("EHLO a", "250 ").await;
    client.say(&format!("AUTH PLAIN {PLAIN}"), "235 ").await;
    client.envelope(&["bob@example.net"]).await;
    client.say("DATA", "354 ").await;
    let content = "date: x\r\nMESSAGE-ID: <y>\r\n\r\nbody\r\n";
    client.send(format!("{content}.\r\n")).await;
    client.expect("250 2.0.0 ").await;
    let message = server.fake.submitted()[0].message.clone();
    let message = String::from_utf8_lossy(&message).into_owned();
    assert!(
        message.ends_with(&format!("+0000\r\n{content}")),
        "{message}"
    );
    assert!(message.starts_with("Received: ") && message.contains(" for <bob@example.net>;"));
}

#[tokio::test]
async fn what_the_core_refuses() {
    let server = start(Mode::Submission, |_| {});
    let mut client = logged_in(&server).await;
    client.say("MAIL FROM:<ann@example.org>", "250 ").await;
    client
        .say("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
        .await;
    client.say("RCPT TO:<full@example.org>", "250 ").await;
    client.say("RCPT TO:<invalid@example.net>", "250 ").await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    client
        .expect("550 5.1.3 Can't be sent to: invalid@example.net")
        .await;
    client.say("MAIL FROM:<bob@example.org>", "250 ").await;
    client.say("RCPT TO:<a@example.net>", "250 ").await;
    client.send("BDAT 6 LAST\r\nA: b\r\n").await;
    client.expect("550 5.7.1 ").await;
    assert!(server.fake.submitted().is_empty());
}
