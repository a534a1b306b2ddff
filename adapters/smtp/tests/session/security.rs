//! Smuggling, injection, and what TLS forgets.

use smtp::Mode;

use crate::fixture::start;

/// No other ending than CRLF, dot, CRLF ends a message; and a message in which another reader could find an ending is
/// refused.
#[tokio::test]
async fn smuggling_is_refused() {
    let server = start(Mode::Receive, |_| {});
    let endings = [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\n\n.\r\n",
        "\r\r\n.\r\r\n",
    ];
    for ending in endings {
        let mut client = server.hello("EHLO").await;
        client.envelope(&["bob@example.org"]).await;
        client.say("DATA", "354 ").await;
        let inner = "MAIL FROM:<evil@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nA: b";
        client
            .send(format!("A: b\r\n\r\nx{ending}{inner}\r\n.\r\n"))
            .await;
        client.expect("554 5.5.2 ").await;
        client.say("NOOP", "250 ").await;
    }
    assert!(server.fake.delivered().is_empty());
}

#[tokio::test]
async fn commands_end_with_crlf() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    for line in ["NOOP\n", "NO\rOP\r\n", "NOOP\r\r\n", "\n"] {
        client.send(line).await;
        client.expect("500 5.5.2 ").await;
    }
    client.send("BDAT 6 LAST\nQUIT\r\n").await;
    client.expect("421 4.5.2 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn nothing_follows_starttls() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    client
        .send("STARTTLS\r\nMAIL FROM:<evil@example.net>\r\n")
        .await;
    client.expect("421 4.7.0 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn tls_begins_anew() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.connect().await;
    client.say("STARTTLS", "503 5.5.1 ").await;
    client.say("EHLO plain.example", "250 ").await;
    client.say("STARTTLS", "220 ").await;
    let mut client = server.secure(client).await;
    client.say("MAIL FROM:<>", "503 5.5.1 ").await;
    let ehlo = client.say("EHLO tls.example", "250 ").await;
    assert!(!ehlo.contains("STARTTLS"), "{ehlo}");
    client.say("STARTTLS", "503 5.5.1 ").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n.\r\n").await;
    client.expect("250 ").await;
    let message = server.only_message();
    assert!(message.contains(
        "from tls.example ([127.0.0.1])\r\n\tby mx.example.org with ESMTPS (TLSv1.3 TLS_"
    ));
}

#[tokio::test]
async fn without_a_certificate_there_is_no_starttls() {
    let server = start(Mode::Receive, |config| config.tls = None);
    let mut client = server.connect().await;
    let ehlo = client.say("EHLO a", "250 ").await;
    assert!(!ehlo.contains("STARTTLS"), "{ehlo}");
    client.say("STARTTLS", "502 5.5.1 ").await;
}

#[tokio::test]
async fn a_message_for_nobody_is_not_read_as_commands() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    client
        .send("MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\nA: b\r\n\r\nMAIL FROM:<>\r\n.\r\n")
        .await;
    for start in ["250 ", "550 ", "421 4.7.0 "] {
        client.expect(start).await;
    }
    client.expect_end().await;
}

#[tokio::test]
async fn a_browser_is_sent_away() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nEHLO a\r\n").await;
    client.expect("421 4.7.0 ").await;
    client.expect_end().await;
}
