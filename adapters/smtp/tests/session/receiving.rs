//! Mail from other servers, and LMTP.

use expect_test::expect;
use smtp::Mode;

use crate::fixture::{Fixture, start};

fn receive() -> Fixture {
    start(Mode::Receive, |_| {})
}

#[tokio::test]
async fn a_message_arrives_as_it_was_sent_behind_our_trace_fields() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client
        .send("Return-Path: <old@example.net>\r\nSubject: hi\r\n\r\n..dot\r\nbody \u{fc}\r\n.\r\n")
        .await;
    client.expect("250 2.0.0 Accepted as ").await;
    client.say("QUIT", "221 2.0.0 ").await;
    client.expect_end().await;
    expect![[r#"
        Return-Path: <ann@example.org>
        Received: from client.example ([127.0.0.1])
        	by mx.example.org with ESMTP
        	id 3559cd75f4fa1d08 for <bob@example.org>;
        	Mon, 23 Nov 2026 18:58:57 +0000
        Return-Path: <old@example.net>
        Subject: hi

        .dot
        body ü
    "#]]
    .assert_eq(&server.only_message().replace("\r\n", "\n"));
    let delivered = &server.fake.delivered()[0];
    assert_eq!(delivered.mail_from.as_deref(), Some("ann@example.org"));
    assert_eq!(delivered.peer, Some("127.0.0.1".parse().unwrap()));
}

#[tokio::test]
async fn what_ehlo_announces() {
    let mut client = receive().connect().await;
    let ehlo = client.say("EHLO client.example", "250 ").await;
    expect!["250-mx.example.org|250-PIPELINING|250-ENHANCEDSTATUSCODES|250-SIZE 52428800|250-8BITMIME|250-SMTPUTF8|250-DSN|250-LIMITS MAILMAX=10000 RCPTMAX=1000|250-CHUNKING|250-BINARYMIME|250 STARTTLS"].assert_eq(&ehlo);
    let helo = client.say("HELO client.example", "250 ").await;
    assert_eq!(helo, "250 mx.example.org");
}

#[tokio::test]
async fn recipients_are_answered_one_by_one() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    client.say("MAIL FROM:<>", "250 2.1.0 ").await;
    let rows = [
        ("<bob@example.org>", "250 2.1.5 "),
        ("<nobody@example.org>", "550 5.1.1 "),
        ("<bob@example.net>", "550 5.7.1 "),
        ("<full@example.org>", "452 4.2.2 "),
        ("<disabled@example.org>", "550 5.2.1 "),
        ("<broken@example.org>", "451 4.3.0 "),
        ("<postMaster>", "250 2.1.5 "),
        ("<bob@example.org> X=NEVER", "555 5.5.4 "),
        ("<\u{7528}\u{6237}@example.org>", "553 5.6.7 "),
        ("bob", "501 5.1.3 "),
    ];
    for (path, reply) in rows {
        client.say(&format!("RCPT TO:{path}"), reply).await;
    }
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    let delivered = &server.fake.delivered()[0];
    let recipients: Vec<_> = delivered
        .recipients
        .iter()
        .map(|r| r.address.as_str())
        .collect();
    assert_eq!(recipients, ["bob@example.org", "postMaster"]);
    assert_eq!(delivered.mail_from, None);
    // With two recipients there is no `for`.
    let message = server.only_message();
    assert!(message.starts_with("Return-Path: <>\r\n") && !message.contains(" for <"));
}

#[tokio::test]
async fn a_pipelined_group_is_answered_in_order() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    client
        .send("MAIL FROM:<a@example.net>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n")
        .await;
    for start in ["250 2.1.0 ", "250 2.1.5 ", "550 5.1.1 ", "354 "] {
        client.expect(start).await;
    }
    client
        .send("Subject: x\r\n\r\nx\r\n.\r\nRSET\r\nQUIT\r\n")
        .await;
    for start in ["250 2.0.0 Accepted", "250 2.0.0 ", "221 2.0.0 "] {
        client.expect(start).await;
    }
    // All at once, without waiting for 354: not proper, but unambiguous.
    let mut client = server.connect_raw().await;
    client
        .send("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n")
        .await;
    for start in ["220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "] {
        client.expect(start).await;
    }
    assert_eq!(server.fake.delivered().len(), 2);
}

#[tokio::test]
async fn one_answer_for_all_says_whether_the_message_comes_again() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    let rows: [(&[&str], &str); 7] = [
        (&["failing@example.org"], "451 4.3.0 "),
        (&["filling@example.org"], "452 4.2.2 "),
        (&["vanishing@example.org"], "550 5.1.1 "),
        (
            &["filling@example.org", "vanishing@example.org"],
            "452 4.2.2 ",
        ),
        // The core has it for one of them, and tells the sender of the other: it must not come again.
        (&["bob@example.org", "failing@example.org"], "250 2.0.0 "),
        (&["vanishing@example.org", "bob@example.org"], "250 2.0.0 "),
        (&["filling@example.org", "bob@example.org"], "250 2.0.0 "),
    ];
    for (recipients, reply) in rows {
        client.envelope(recipients).await;
        client.say("DATA", "354 ").await;
        client.send("A: b\r\n\r\n.\r\n").await;
        client.expect(reply).await;
    }
}

#[tokio::test]
async fn what_takes_reports_alone_refuses_others_at_rcpt() {
    for mode in [Mode::Receive, Mode::Lmtp] {
        let server = start(mode, |_| {});
        let mut client = server.connect().await;
        let hello = match mode {
            Mode::Lmtp => "LHLO a",
            _ => "EHLO a",
        };
        client.say(hello, "250 ").await;
        for (sender, reply) in [("ann@example.net", "550 5.7.1 "), ("", "250 2.1.5 ")] {
            let mail = format!("MAIL FROM:<{sender}>");
            client.say(&mail, "250 2.1.0 ").await;
            client.say("RCPT TO:<reports@example.org>", reply).await;
            client.say("RSET", "250 ").await;
        }
    }
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let server = start(Mode::Lmtp, |_| {});
    let mut client = server.connect().await;
    client.say("EHLO a", "502 5.5.1 ").await;
    client.say("LHLO client.example", "250 ").await;
    client
        .envelope(&[
            "bob@example.org",
            "failing@example.org",
            "vanishing@example.org",
        ])
        .await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    for start in ["250 2.0.0 ", "451 4.3.0 ", "550 5.1.1 "] {
        client.expect(start).await;
    }
    assert!(
        server
            .only_message()
            .contains("by mx.example.org with LMTP\r\n")
    );
    client
        .envelope(&["bob@example.org", "cid@example.org"])
        .await;
    client.send("BDAT 6 LAST\r\nA: b\r\n").await;
    client.expect("250 2.0.0 ").await;
    client.expect("250 2.0.0 ").await;
    // What is refused as a whole is refused for each.
    client
        .envelope(&["bob@example.org", "cid@example.org"])
        .await;
    client.say("DATA", "354 ").await;
    client.send("A: b\nc\r\n.\r\n").await;
    client.expect("554 5.5.2 ").await;
    client.expect("554 5.5.2 ").await;
    client.say("NOOP", "250 2.0.0 ").await;
    client.say("MAIL FROM:<>", "250 ").await;
    client.say("DATA", "503 5.5.1 ").await;
}

#[tokio::test]
async fn commands_out_of_sequence() {
    let server = receive();
    let mut client = server.connect().await;
    client.say("MAIL FROM:<>", "503 5.5.1 ").await;
    client.say("EHLO a", "250 ").await;
    client.say("RCPT TO:<bob@example.org>", "503 5.5.1 ").await;
    client.say("DATA", "503 5.5.1 ").await;
    client.say("MAIL FROM:<>", "250 ").await;
    client.say("MAIL FROM:<>", "503 5.5.1 ").await;
    client.say("DATA", "503 5.5.1 ").await;
    client.say("RSET", "250 ").await;
    client.say("RCPT TO:<bob@example.org>", "503 5.5.1 ").await;
    client.say("MAIL FROM:<>", "250 ").await;
    // RFC 5321 §4.1.4
    client.say("EHLO a", "250 ").await;
    client.say("RCPT TO:<bob@example.org>", "503 5.5.1 ").await;
    client.say("VRFY bob", "252 ").await;
    client.say("EXPN list", "502 5.5.1 ").await;
    client.say("HELP", "214 ").await;
    client.say("AUTH PLAIN AGEAYg==", "502 5.5.1 ").await;
    client.say("LHLO a", "502 5.5.1 ").await;
    client.say("WHAT", "500 5.5.1 ").await;
}

#[tokio::test]
async fn eight_bits_and_smtputf8() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    client
        .say("MAIL FROM:<\u{fc}@example.net>", "553 5.6.7 ")
        .await;
    client
        .say("MAIL FROM:<a@example.net> BODY=9BIT", "501 5.5.4 ")
        .await;
    client
        .say("MAIL FROM:<a@example.net> AUTH=<>", "555 5.5.4 ")
        .await;
    client
        .say(
            "MAIL FROM:<\u{fc}@example.net> SMTPUTF8 BODY=8BITMIME",
            "250 ",
        )
        .await;
    client
        .say("RCPT TO:<\u{7528}\u{6237}@example.org>", "250 ")
        .await;
    client.say("DATA", "354 ").await;
    client.send(b"A: b\r\n\r\n\xff\x00\r\n.\r\n").await;
    client.expect("250 2.0.0 ").await;
    let message = &server.fake.delivered()[0].message;
    assert!(message.ends_with(b"A: b\r\n\r\n\xff\x00\r\n"));
    assert!(server.only_message().contains(" with UTF8SMTP\r\n"));
}

#[tokio::test]
async fn a_message_without_a_header_gets_one() {
    let server = receive();
    let mut client = server.hello("HELO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client.send("hello\r\n.\r\n").await;
    client.expect("250 ").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client.send(".\r\n").await;
    client.expect("250 ").await;
    let delivered = server.fake.delivered();
    assert!(delivered[0].message.ends_with(b"+0000\r\n\r\nhello\r\n"));
    assert!(delivered[1].message.ends_with(b"+0000\r\n\r\n"));
}

#[tokio::test]
async fn a_stop_waits_for_the_message_under_way() {
    let server = receive();
    let mut idle = server.hello("EHLO").await;
    let mut busy = server.hello("EHLO").await;
    busy.envelope(&["slow@example.org"]).await;
    server.shutdown.request();
    idle.expect("421 4.3.2 ").await;
    idle.expect_end().await;
    busy.say("DATA", "354 ").await;
    busy.send("A: b\r\n\r\n.\r\n").await;
    busy.expect("250 2.0.0 ").await;
    busy.expect("421 4.3.2 ").await;
    busy.expect_end().await;
    assert_eq!(server.fake.delivered().len(), 1);
}

#[tokio::test]
async fn it_does_not_matter_how_the_octets_arrive() {
    let server = receive();
    let content = "A: b\r\n\r\n..\r\n..x\r\n.y\r\n \r\nz.\r\n.\r\n";
    for piece in [1, 2, 3, 5, 100] {
        let mut client = server.hello("EHLO").await;
        client.envelope(&["bob@example.org"]).await;
        client.say("DATA", "354 ").await;
        for octets in content.as_bytes().chunks(piece) {
            client.send(octets).await;
            tokio::task::yield_now().await;
        }
        client.expect("250 ").await;
    }
    for inbound in server.fake.delivered() {
        assert!(
            inbound
                .message
                .ends_with(b"A: b\r\n\r\n.\r\n.x\r\ny\r\n \r\nz.\r\n")
        );
    }
}

/// RFC 8601 §5: nobody else says in our name what was verified.
#[tokio::test]
async fn results_in_our_name_are_taken_out() {
    let server = receive();
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client
        .send(
            "Authentication-Results: mx.example.org; dmarc=pass\r\nSubject: hi\r\n\
             authentication-results : (we) \"MX.example.org\"\r\n\t; dmarc=pass\r\n\
             Authentication-Results: mx.example.net; none\r\n\r\n\
             Authentication-Results: mx.example.org; none\r\n.\r\n",
        )
        .await;
    client.expect("250 2.0.0 Accepted as ").await;
    let message = server.only_message();
    let (_, after) = message.split_once("+0000\r\n").unwrap();
    assert_eq!(
        after,
        "Subject: hi\r\nAuthentication-Results: mx.example.net; none\r\n\r\n\
         Authentication-Results: mx.example.org; none\r\n"
    );
}
