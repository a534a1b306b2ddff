//! Strangers, and what they send to make a server grow.

use std::time::Duration;

use jmap_core::Limits;

use crate::fixture::{start, start_with};

#[tokio::test]
async fn lines_have_a_limit() {
    let server = start().await;
    let mut client = server.connect().await;
    let tag = "t".repeat(256);
    client.send(format!("{tag} NOOP\r\n")).await;
    assert!(client.until(&tag).await[0].starts_with("OK"));
    client.send(format!("{tag}t NOOP\r\n")).await;
    assert!(client.line().await.starts_with("* BAD "));
    // A tag of 64 KiB.
    client
        .send(format!("{} NOOP\r\n", "t".repeat(65_536)))
        .await;
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
    // No end at all.
    let mut client = server.connect().await;
    let line = vec![b'a'; 1 << 20];
    for _ in 0..3 {
        if client.wire.send(&line).await.is_err() || client.wire.flush().await.is_err() {
            break;
        }
    }
    client.farewell().await;
}

#[tokio::test]
async fn literals_of_strangers_are_small() {
    let server = start().await;
    let mut client = server.connect().await;
    // Refused before it is sent: the command is over.
    let end = client.end("LOGIN {4097}").await;
    assert!(end.starts_with("BAD [LIMIT] "), "{end}");
    let end = client.end("LOGIN {99999999999999999999999}").await;
    assert!(end.starts_with("BAD [LIMIT] "), "{end}");
    // The largest that is taken.
    client.send("b LOGIN {4096}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send(format!("{} x\r\n", "n".repeat(4096))).await;
    assert!(!client.until("b").await[0].starts_with("OK"));
    // Two of them, and a third is too much.
    let two = "n".repeat(4096);
    client
        .send(format!(
            "c LOGIN {{4096+}}\r\n{two} {{4096+}}\r\n{two} {{1+}}\r\nx\r\n"
        ))
        .await;
    let end = client.until("c").await.remove(0);
    assert!(end.starts_with("BAD [LIMIT] "), "{end}");
    client.ok("NOOP").await;
    // What comes without being asked for, and is too large: nothing of it is read.
    client.send("d LOGIN {4097+}\r\n").await;
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
}

#[tokio::test]
async fn too_large_messages_are_refused_unsent_or_thrown_away() {
    let server = start_with(Limits::default(), |config| {
        config.limits.message_octets_max = 100_000;
        config.limits.append_octets_max = 150_000;
        config.limits.discard_octets_max = 200_000;
    })
    .await;
    let mut client = server.login("ann").await;
    let end = client.end("APPEND INBOX {100001}").await;
    assert!(end.starts_with("NO [TOOBIG] "), "{end}");
    let end = client.end("NOOP {65537}").await;
    assert!(end.starts_with("BAD [LIMIT] "), "{end}");
    let large = "m".repeat(100_001);
    client
        .send(format!("b APPEND INBOX {{100001+}}\r\n{large}\r\n"))
        .await;
    let end = client.until("b").await.remove(0);
    assert!(end.starts_with("NO [TOOBIG] "), "{end}");
    client.ok("NOOP").await;
    client.send("c APPEND INBOX {200001+}\r\n").await;
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
    assert_eq!(server.budget.free_octets(), 64 << 20);
}

#[tokio::test]
async fn messages_share_one_budget() {
    let server = start_with(Limits::default(), |config| {
        config.limits.message_octets_max = 30 << 20;
    })
    .await;
    let mut first = server.login("ann").await;
    // What is announced takes nothing from others: 20 MiB of 25 have come, and count twice.
    first.send("a APPEND INBOX {26214400}\r\n").await;
    assert!(first.line().await.starts_with("+ "));
    assert_eq!(server.budget.free_octets(), 64 << 20);
    first.send(vec![b'm'; 20 << 20]).await;
    let mut second = server.login("bob").await;
    second.send("b APPEND INBOX {26214400}\r\n").await;
    assert!(second.line().await.starts_with("+ "));
    second.send(vec![b'm'; 26_214_400]).await;
    second.send("\r\n").await;
    let end = second.until("b").await.remove(0);
    assert!(end.starts_with("NO [UNAVAILABLE] "), "{end}");
    second.ok("NOOP").await;
    drop(first);
    for _ in 0..100 {
        if server.budget.free_octets() == 64 << 20 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a connection that has ended keeps its share");
}

#[tokio::test]
async fn what_is_put_together_has_a_limit() {
    let server = start_with(Limits::default(), |config| {
        config.limits.message_octets_max = 100_000;
        config.limits.append_octets_max = 150_000;
    })
    .await;
    let mut client = server.login("ann").await;
    let mail = format!("Subject: large\r\n\r\n{}\r\n", "m".repeat(60_000));
    client
        .ok(&format!("APPEND INBOX {{{}+}}\r\n{mail}", mail.len()))
        .await;
    let url = "URL \"/INBOX/;UID=1\"";
    let one = format!("CATENATE ({url})");
    client.ok(&format!("APPEND INBOX {one} {one}")).await;
    for command in [
        format!("APPEND INBOX CATENATE ({url} {url})"),
        format!("APPEND INBOX {one} {one} {one}"),
    ] {
        let end = client.end(&command).await;
        assert!(end.starts_with("NO [TOOBIG] "), "{end}");
    }
    assert_eq!(server.budget.free_octets(), 64 << 20);
}

#[tokio::test]
async fn messages_on_their_way_out_share_one_budget() {
    let sending = net::Budget::new(100_000, Duration::from_millis(200));
    let of_config = sending.clone();
    let server = start_with(Limits::default(), |config| config.sending = of_config).await;
    let mut client = server.login("ann").await;
    let mail = format!("Subject: large\r\n\r\n{}\r\n", "m".repeat(80_000));
    client
        .ok(&format!("APPEND INBOX {{{}+}}\r\n{mail}", mail.len()))
        .await;
    client.ok("SELECT INBOX").await;
    client.ok("FETCH 1 BODY.PEEK[]").await;
    assert_eq!(sending.free_octets(), 97 * 1024);
    // Another session has it.
    let mut share = sending.share();
    share.grow(50_000).await.unwrap();
    let end = client.end("FETCH 1 BODY.PEEK[]").await;
    assert!(end.starts_with("NO [UNAVAILABLE] "), "{end}");
    client.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").await;
    drop(share);
    client.ok("FETCH 1 BODY.PEEK[]").await;
}

#[tokio::test]
async fn strangers_have_few_commands() {
    let server = start_with(Limits::default(), |config| {
        config.limits.stranger_commands_max = 5;
    })
    .await;
    let mut client = server.connect().await;
    for _ in 0..5 {
        client.ok("NOOP").await;
    }
    client.send("x NOOP\r\n").await;
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
}

#[tokio::test]
async fn bare_line_ends_are_bad() {
    let server = start().await;
    let mut client = server.connect().await;
    for line in ["a NOOP\n", "a NOOP\r\r\n", "a NO\rOP\r\n"] {
        client.send(line).await;
        let answer = client.line().await;
        assert!(answer.contains("BAD "), "{line:?}: {answer}");
    }
    client.ok("NOOP").await;
}

#[tokio::test]
async fn nesting_and_nonsense_are_survived() {
    let server = start_with(Limits::default(), |config| {
        config.limits.bad_commands_max = 1000;
        config.limits.stranger_commands_max = 1000;
    })
    .await;
    let mut client = server.connect().await;
    let deep = "(".repeat(16_000);
    for command in [
        format!("ID {deep}"),
        format!("SEARCH {}", "NOT ".repeat(4000)),
        format!("LIST {deep} x"),
        "\u{0}\u{1}".to_owned(),
        "FETCH 1:4294967295,4294967296 FLAGS".to_owned(),
        "AUTHENTICATE PLAIN ====".to_owned(),
    ] {
        let end = client.end(&command).await;
        assert!(end.starts_with("BAD "), "{end}");
    }
    client.ok("NOOP").await;
}

#[tokio::test]
async fn slow_and_deaf_clients_are_let_go() {
    let server = start_with(Limits::default(), |config| {
        config.timeouts.stranger.line = Duration::from_millis(300);
        config.timeouts.write.stall = Duration::from_millis(300);
    })
    .await;
    let mut slow = server.connect().await;
    slow.send("a NO").await;
    assert!(slow.farewell().await.starts_with("* BYE Too slow"));
    // Half a literal.
    let mut slow = server.connect().await;
    slow.send("a LOGIN {10+}\r\nabcdefghij").await;
    assert!(slow.farewell().await.starts_with("* BYE Too slow"));
    // It never reads: what it is sent fills the sockets, and then it is let go.
    let mut deaf = server.login("ann").await;
    let command = "x LIST \"\" \"*\"\r\n".repeat(1000);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        assert!(tokio::time::Instant::now() < deadline, "it is still there");
        if deaf.wire.send(command.as_bytes()).await.is_err() || deaf.wire.flush().await.is_err() {
            break;
        }
    }
}
