//! STAT, LIST, UIDL, RETR and TOP.

use crate::fixture::start;

#[tokio::test]
async fn lists_tell_number_size_and_unique_id() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    server.fake.add("A: b\r\n\r\n");
    let mut client = server.login().await;
    assert_eq!(client.list("LIST").await, ["1 11", "2 8"]);
    client.say("LIST 2", "+OK 2 8").await;
    client.say("LIST 3", "-ERR There is no such message").await;
    client.say("LIST 0", "-ERR There is no such message").await;
    assert_eq!(client.list("UIDL").await, ["1 5-77-10", "2 5-77-20"]);
    client.say("UIDL 2", "+OK 2 5-77-20").await;
    client
        .say("UIDL 99999999999", "-ERR There is no such message")
        .await;
    client.say("DELE 1", "+OK ").await;
    assert_eq!(client.list("LIST").await, ["2 8"]);
    assert_eq!(client.list("UIDL").await, ["2 5-77-20"]);
    client.say("LIST 1", "-ERR ").await;
    client.say("RETR 1", "-ERR ").await;
    client.say("TOP 1 0", "-ERR ").await;
    client.say("DELE 1", "-ERR ").await;
    client.say("RSET", "+OK 2 messages (19 octets)").await;
    client.say("STAT", "+OK 2 19").await;
}

#[tokio::test]
async fn retr_sends_what_list_has_promised() {
    let server = start();
    let long: String = (0..20_000).map(|n| format!(".line {n}\r\n")).collect();
    let message = format!("A: b\r\n\r\n{long}");
    server.fake.add(message.clone());
    let mut client = server.login().await;
    client
        .say("LIST 1", &format!("+OK 1 {}", message.len()))
        .await;
    client
        .say("RETR 1", &format!("+OK {} octets", message.len()))
        .await;
    let got = client.lines().await.join("\r\n") + "\r\n";
    assert!(got == message);
    client.say("NOOP", "+OK ").await;
}

#[tokio::test]
async fn top_sends_the_header_and_some_lines() {
    let server = start();
    server.fake.add("A: b\r\n\r\none\r\n.two\r\n");
    let mut client = server.login().await;
    assert_eq!(client.list("TOP 1 0").await, ["A: b", ""]);
    assert_eq!(client.list("TOP 1 1").await, ["A: b", "", "one"]);
    let all = client.list("TOP 1 99999999999999999999999").await;
    assert_eq!(all, ["A: b", "", "one", ".two"]);
}

#[tokio::test]
async fn utf8_decides_how_headers_come() {
    let server = start();
    server.fake.add("Subject: grün\r\n\r\ngrün\r\n");
    let mut client = server.login().await;
    let ascii = ["Subject: =?utf-8?q?gr=C3=BCn?=", "", "grün"];
    assert_eq!(client.list("RETR 1").await, ascii);
    client.say("UTF8", "-ERR ").await;
    client.say("QUIT", "+OK ").await;
    let mut client = server.connect().await;
    client.say("UTF8", "+OK ").await;
    client.login("ann", "+OK ").await;
    let utf8 = ["Subject: grün", "", "grün"];
    assert_eq!(client.list("RETR 1").await, utf8);
}

#[tokio::test]
async fn what_vanished_or_cannot_be_read_is_an_error() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    server.fake.add("A: b\r\n\r\ny\r\n");
    let mut client = server.login().await;
    server.fake.lose(1);
    client
        .say("RETR 1", "-ERR The message is not there any more")
        .await;
    client
        .say("TOP 1 0", "-ERR The message is not there any more")
        .await;
    server.fake.cannot_read(true);
    client.say("RETR 2", "-ERR [SYS/TEMP] ").await;
    server.fake.cannot_read(false);
    assert_eq!(client.list("RETR 2").await, ["A: b", "", "y"]);
}

#[tokio::test]
async fn new_mail_waits_for_the_next_session() {
    let server = start();
    let mut client = server.login().await;
    server.fake.add("A: b\r\n\r\nx\r\n");
    client.say("STAT", "+OK 0 0").await;
    client.say("QUIT", "+OK ").await;
    server.login().await.say("STAT", "+OK 1 11").await;
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.connect().await;
    client
        .send("USER ann\r\nPASS se cret\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
        .await;
    client.expect("+OK Now").await;
    client.expect("+OK 1 messages").await;
    client.expect("+OK 1 11").await;
    client.expect("+OK 11 octets").await;
    assert_eq!(client.lines().await, ["A: b", "", "x"]);
    client.expect("+OK It will").await;
    client.expect("+OK Goodbye").await;
    client.expect_end().await;
    assert!(server.fake.emails().is_empty());
}
