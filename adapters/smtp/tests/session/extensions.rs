//! What can be asked for with a message: DSN, BINARYMIME, REQUIRETLS, FUTURERELEASE, DELIVERBY, MT-PRIORITY, LIMITS.

use jmap_core::mail::submission::records::Parameter;
use smtp::Mode;

use crate::fixture::{Client, Fixture, start};

/// NUL ann@example.org NUL secret
const PLAIN: &str = "AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ=";

async fn logged_in(server: &Fixture) -> Client {
    let mut client = server.hello_tls().await;
    client.say(&format!("AUTH PLAIN {PLAIN}"), "235 ").await;
    client
}

fn shown(parameters: &[Parameter]) -> String {
    let one = |parameter: &Parameter| match &parameter.value {
        Some(value) => format!("{}={value}", parameter.name),
        None => parameter.name.clone(),
    };
    parameters.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_a_sender_elsewhere_asks_for_comes_with_the_message() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello_tls().await;
    let ehlo = client.say("EHLO client.example", "250 ").await;
    assert!(
        ehlo.contains("DSN|") && ehlo.contains("REQUIRETLS"),
        "{ehlo}"
    );
    for other in ["FUTURERELEASE", "DELIVERBY", "MT-PRIORITY"] {
        assert!(!ehlo.contains(other), "{ehlo}");
    }
    for refused in ["HOLDFOR=1", "BY=1;N", "MT-PRIORITY=1"] {
        client
            .say(
                &format!("MAIL FROM:<a@example.net> {refused}"),
                "555 5.5.4 ",
            )
            .await;
    }
    client
        .say(
            "MAIL FROM:<a@example.net> SIZE=10 RET=HDRS ENVID=x+2By REQUIRETLS SMTPUTF8",
            "250 ",
        )
        .await;
    client
        .say(
            "RCPT TO:<bob@example.org> NOTIFY=SUCCESS ORCPT=rfc822;B@old.example",
            "250 ",
        )
        .await;
    client.say("RCPT TO:<cid@example.org>", "250 ").await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    let arrival = &server.fake.delivered()[0].arrival;
    assert_eq!(
        shown(&arrival.mail),
        "RET=HDRS ENVID=x+y REQUIRETLS SMTPUTF8"
    );
    assert_eq!(
        shown(&arrival.recipients[0]),
        "NOTIFY=SUCCESS ORCPT=rfc822;B@old.example"
    );
    assert_eq!(shown(&arrival.recipients[1]), "");
    let session = arrival.session.as_ref().expect("a session");
    assert_eq!(
        (session.peer.as_str(), session.hello.as_str()),
        ("127.0.0.1", "client.example")
    );
    assert_eq!(session.protocol, "UTF8SMTPS");
}

#[tokio::test]
async fn requiretls_is_for_tls_and_priorities_for_the_trusted() {
    let server = start(Mode::Receive, |config| {
        config.trusted = vec!["127.0.0.0/8".parse().expect("a network")]
    });
    let mut client = server.hello("EHLO").await;
    client
        .say("MAIL FROM:<a@example.net> REQUIRETLS", "555 5.5.4 ")
        .await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(
        ehlo.contains("MT-PRIORITY") && !ehlo.contains("REQUIRETLS"),
        "{ehlo}"
    );
    client
        .say("MAIL FROM:<a@example.net> MT-PRIORITY=4", "250 ")
        .await;
    client.say("RCPT TO:<bob@example.org>", "250 ").await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    assert!(server.only_message().contains(" PRIORITY 4;\r\n"));
}

#[tokio::test]
async fn binary_messages_come_in_chunks_and_stay_as_they_are() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    let message = b"Subject: x\r\n\r\nbare \n and \r and \0\r\n.\r\n";
    client
        .say("MAIL FROM:<a@example.net> BODY=BINARYMIME", "250 ")
        .await;
    client.say("RCPT TO:<bob@example.org>", "250 ").await;
    client.say("DATA", "503 5.5.1 ").await;
    client
        .say("MAIL FROM:<a@example.net> BODY=BINARYMIME", "250 ")
        .await;
    client.say("RCPT TO:<bob@example.org>", "250 ").await;
    client
        .send(format!("BDAT {} LAST\r\n", message.len()))
        .await;
    client.send(message).await;
    client.expect("250 2.0.0 ").await;
    let delivered = server.fake.delivered();
    assert!(delivered[0].message.ends_with(message));
    assert_eq!(shown(&delivered[0].arrival.mail), "BODY=BINARYMIME");
    // A header has lines in any case, and so has what doesn't say that it is binary.
    for (body, octets) in [
        ("BINARYMIME", "A: b\nC: d\r\n\r\n"),
        ("8BITMIME", "A: b\r\n\r\nx\ny\r\n"),
    ] {
        client
            .say(&format!("MAIL FROM:<a@example.net> BODY={body}"), "250 ")
            .await;
        client.say("RCPT TO:<bob@example.org>", "250 ").await;
        client
            .send(format!("BDAT {} LAST\r\n{octets}", octets.len()))
            .await;
        client.expect("554 5.5.2 ").await;
    }
    // What follows a DATA that can't be would be taken for commands.
    client
        .send("MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nA: b\r\n.\r\n")
        .await;
    for start in ["250 ", "250 ", "421 "] {
        client.expect(start).await;
    }
}

#[tokio::test]
async fn what_users_ask_for_is_in_the_envelope() {
    let server = start(Mode::Submission, |config| {
        config.limits.hold_seconds_max = 3600;
    });
    let mut client = logged_in(&server).await;
    let ehlo = client.say("EHLO client.example", "250 ").await;
    for keyword in [
        "FUTURERELEASE 3600 2026-11-23T19:58:57Z",
        "DELIVERBY",
        "MT-PRIORITY",
        "REQUIRETLS",
        "DSN",
    ] {
        assert!(ehlo.contains(keyword), "{keyword}: {ehlo}");
    }
    for (refused, reply) in [
        ("HOLDFOR=3601", "501 5.5.4 "),
        ("HOLDUNTIL=2026-11-23T19:58:58Z", "501 5.5.4 "),
        ("HOLDFOR=1 HOLDUNTIL=2026-11-23T19:00:00Z", "501 5.5.4 "),
        ("BY=0;R", "501 5.5.4 "),
        ("MT-PRIORITY=10", "501 5.5.4 "),
        ("SIZE=52428801", "552 5.3.4 "),
    ] {
        client
            .say(&format!("MAIL FROM:<ann@example.org> {refused}"), reply)
            .await;
    }
    let all = "HOLDFOR=3600 BY=7200;NT MT-PRIORITY=3 REQUIRETLS RET=FULL";
    client
        .say(&format!("MAIL FROM:<ann@example.org> {all}"), "250 ")
        .await;
    client
        .say("RCPT TO:<x@example.net> NOTIFY=NEVER", "250 ")
        .await;
    client.say("DATA", "354 ").await;
    client.send("From: ann@example.org\r\n\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    let submitted = &server.fake.submitted()[0];
    let given = submitted
        .mail_from
        .parameters
        .as_deref()
        .unwrap_or_default();
    assert_eq!(shown(given), all);
    let given = submitted.recipients[0]
        .parameters
        .as_deref()
        .unwrap_or_default();
    assert_eq!(shown(given), "NOTIFY=NEVER");
}

#[tokio::test]
async fn a_header_is_in_utf8_or_ascii() {
    let server = start(Mode::Submission, |_| {});
    let mut client = logged_in(&server).await;
    for (subject, reply) in [
        (&b"gr\xc3\xbc\xc3\x9fe"[..], "250 2.0.0 "),
        (b"gr\xfc\xdfe", "550 5.6.7 "),
    ] {
        client.envelope(&["x@example.net"]).await;
        client.say("DATA", "354 ").await;
        let message = [b"Subject: ", subject, b"\r\n\r\n\xfc\r\n.\r\n"].concat();
        client.send(message).await;
        client.expect(reply).await;
    }
}

#[tokio::test]
async fn the_limits_that_are_announced_are_true() {
    let server = start(Mode::Receive, |config| {
        config.limits.recipients_max = 2;
        config.limits.transactions_max = 2;
    });
    let mut client = server.connect().await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(ehlo.contains("LIMITS MAILMAX=2 RCPTMAX=2"), "{ehlo}");
    for _ in 0..2 {
        client
            .envelope(&["bob@example.org", "cid@example.org"])
            .await;
        client.say("RCPT TO:<ann@example.org>", "452 4.5.3 ").await;
        client.say("DATA", "354 ").await;
        client.send("A: b\r\n\r\n.\r\n").await;
        client.expect("250 2.0.0 ").await;
    }
    client.say("MAIL FROM:<a@example.net>", "421 4.7.0 ").await;
}

#[tokio::test]
async fn refusals_are_noted_and_no_more_of_one_client_than_that() {
    let server = start(Mode::Receive, |config| {
        config.limits.traced_refusals = net::Rate::new(3, std::time::Duration::from_secs(3600));
    });
    let mut client = server.hello("EHLO").await;
    client.say("MAIL FROM:<a@example.net>", "250 ").await;
    client
        .say("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
        .await;
    client.say("RCPT TO:<bob@example.org>", "250 ").await;
    client.say("DATA", "354 ").await;
    client.send("Message-ID: <x@y>\r\n\r\na\rb\r\n.\r\n").await;
    client.expect("554 5.5.2 ").await;
    let refusals = server.fake.refusals();
    assert_eq!(refusals.len(), 2);
    assert_eq!(refusals[0].recipients[0].address, "nobody@example.org");
    assert_eq!(refusals[0].mail_from.as_deref(), Some("a@example.net"));
    assert!(refusals[0].reply.starts_with("550 5.1.1 "));
    assert_eq!(refusals[1].recipients[0].address, "bob@example.org");
    assert_eq!(refusals[1].message_id.as_deref(), Some("x@y"));
    client.say("MAIL FROM:<a@example.net>", "250 ").await;
    for _ in 0..3 {
        client
            .say("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
            .await;
    }
    assert_eq!(server.fake.refusals().len(), 3);
}
