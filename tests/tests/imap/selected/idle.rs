//! IDLE (RFC 2177).

use super::{Server, message};

#[tokio::test(flavor = "multi_thread")]
async fn idle_tells_what_happens() {
    let server = Server::start().await;
    let mut client = server.with_messages(2).await;
    let mut other = server.login().await;
    other.ok("SELECT INBOX").await;
    client.send("i IDLE\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    other.append("INBOX", "", &message(3)).await;
    assert_eq!(client.line().await, "* 3 EXISTS");
    assert!(client.quiet().await.contains("RECENT"));
    other.ok("STORE 1 +FLAGS (\\Flagged)").await;
    assert_eq!(client.line().await, "* 1 FETCH (UID 1 FLAGS (\\Flagged))");
    other.ok("STORE 2 +FLAGS (\\Deleted)").await;
    assert_eq!(client.line().await, "* 2 FETCH (UID 2 FLAGS (\\Deleted))");
    other.ok("EXPUNGE").await;
    assert_eq!(client.line().await, "* 2 EXPUNGE");
    client.send("done\r\n").await;
    assert_eq!(client.answer("i").await, ". OK IDLE done\n");
    client.expect("FETCH 2 UID", &["* 2 FETCH (UID 3)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_ends_with_done_alone() {
    let server = Server::start().await;
    let mut client = server.with_messages(1).await;
    client.send("i IDLE\r\nx NOOP\r\n").await;
    let answer = client.answer("i").await;
    assert!(answer.ends_with(". BAD IDLE ends with DONE\n"), "{answer}");
    client.ok("NOOP").await;
}
