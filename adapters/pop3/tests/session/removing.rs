//! DELE, and what QUIT makes of it.

use crate::fixture::start;

#[tokio::test]
async fn only_quit_removes() {
    let server = start();
    (0..3).for_each(|_| server.fake.add("A: b\r\n\r\nx\r\n"));
    let mut client = server.login().await;
    client.say("DELE 1", "+OK ").await;
    client.say("DELE 3", "+OK ").await;
    assert_eq!(server.fake.emails(), [1, 2, 3]);
    client.say("QUIT", "+OK Goodbye").await;
    assert_eq!(server.fake.emails(), [2]);
}

#[tokio::test]
async fn rset_takes_marks_back() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.login().await;
    client.say("DELE 1", "+OK ").await;
    client.say("RSET", "+OK ").await;
    client.say("QUIT", "+OK ").await;
    assert_eq!(server.fake.emails(), [1]);
}

#[tokio::test]
async fn a_removal_that_fails_is_told_and_loses_nothing() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.login().await;
    client.say("DELE 1", "+OK ").await;
    server.fake.cannot_remove(true);
    client.say("QUIT", "-ERR [SYS/TEMP] ").await;
    client.expect_end().await;
    assert_eq!(server.login().await.list("LIST").await, ["1 11"]);
}

#[tokio::test]
async fn a_message_that_vanished_may_be_marked() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.login().await;
    server.fake.lose(1);
    client.say("DELE 1", "+OK ").await;
    client.say("QUIT", "+OK ").await;
}
