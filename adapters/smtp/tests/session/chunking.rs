//! BDAT (RFC 3030).

use smtp::Mode;

use crate::fixture::start;

#[tokio::test]
async fn chunks_make_one_message() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.send("BDAT 6\r\nA: b\r\n").await;
    client.expect("250 2.0.0 6 octets").await;
    client.say("BDAT 0", "250 2.0.0 0 octets").await;
    client.say("DATA", "503 5.5.1 ").await;
    client.say("RCPT TO:<cid@example.org>", "503 5.5.1 ").await;
    client
        .send("BDAT 5\r\n\r\n.\r\nBDAT 0 LAST\r\nNOOP\r\n")
        .await;
    for start in ["250 2.0.0 5 octets", "250 2.0.0 Accepted", "250 2.0.0 "] {
        client.expect(start).await;
    }
    assert!(
        server
            .only_message()
            .ends_with("+0000\r\nA: b\r\n\r\n.\r\n")
    );
    // All in one group.
    client
        .send("MAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 8 LAST\r\nA: b\r\n\r\nQUIT\r\n")
        .await;
    for start in ["250 ", "250 ", "250 ", "221 "] {
        client.expect(start).await;
    }
    assert_eq!(server.fake.delivered().len(), 2);
}

#[tokio::test]
async fn chunks_that_nobody_wants_are_read_all_the_same() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    client.send("BDAT 6 LAST\r\nQUIT\r\n").await;
    client.expect("503 5.5.1 ").await;
    client.send("MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n").await;
    for start in ["250 ", "550 ", "503 ", "503 "] {
        client.expect(start).await;
    }
    client.say("NOOP", "250 ").await;
    // What follows can't be read as anything.
    client.say("BDAT many", "421 4.5.4 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn chunks_over_the_size() {
    let server = start(Mode::Receive, |config| config.limits.size_max = 10);
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client
        .send("BDAT 6\r\nA: b\r\nBDAT 4 LAST\r\n\r\nb\n")
        .await;
    client.expect("250 2.0.0 6 ").await;
    client.expect("554 5.5.2 ").await;
    client.envelope(&["bob@example.org"]).await;
    client
        .send("BDAT 6\r\nA: b\r\nBDAT 4 LAST\r\n\r\n\r\n")
        .await;
    client.expect("250 2.0.0 6 ").await;
    client.expect("250 2.0.0 Accepted").await;
    client.envelope(&["bob@example.org"]).await;
    client
        .send("BDAT 6\r\nA: b\r\nBDAT 5\r\n\r\nxxxBDAT 5 LAST\r\nQUIT\r")
        .await;
    client.expect("250 2.0.0 6 ").await;
    client.expect("552 5.3.4 ").await;
    client.expect("552 5.3.4 ").await;
    client.say("NOOP", "250 ").await;
    client.envelope(&["bob@example.org"]).await;
    client
        .say("BDAT 99999999999999999999 LAST", "552 5.3.4 ")
        .await;
    client.expect_end().await;
    assert_eq!(server.fake.delivered().len(), 1);
}

#[tokio::test]
async fn rset_forgets_chunks() {
    let server = start(Mode::Receive, |_| {});
    let free = server.budget.free_octets();
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.send("BDAT 6\r\nA: b\r\n").await;
    client.expect("250 ").await;
    assert!(server.budget.free_octets() < free);
    client.say("RSET", "250 ").await;
    assert_eq!(server.budget.free_octets(), free);
    client.say("BDAT 0 LAST", "503 ").await;
}

#[tokio::test]
async fn a_chunk_after_a_line_that_is_too_long_is_not_commands() {
    for mode in [Mode::Receive, Mode::Submission] {
        for spaces in [500, 2000, 20_000] {
            let server = start(mode, |_| {});
            let mut client = server.hello("EHLO").await;
            let spaces = " ".repeat(spaces);
            client
                .send(format!("bdat 12 LAST{spaces}\r\nNOOP\r\nNOOP\r\n"))
                .await;
            client.expect("421 4.5.4 ").await;
            client.expect_end().await;
        }
    }
    // Nor after one that has a line end of its own in it.
    for line in ["BDAT 6 LAST\n", "BDAT 6 \rLAST\r\n", "BDAT x\n"] {
        let server = start(Mode::Receive, |_| {});
        let mut client = server.hello("EHLO").await;
        client.send(format!("{line}NOOP\r\n")).await;
        client.expect("421 4.5.2 ").await;
        client.expect_end().await;
    }
}
