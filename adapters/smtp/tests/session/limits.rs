//! Each limit, and one past it; clients that are slow, and clients that never read.

use std::time::{Duration, Instant};

use net::reader::{LinePace, ReadError};
use net::{Pace, Rate};
use smtp::message::RECEIVED_FIELDS_MAX;
use smtp::parse::{AUTH_OCTETS_MAX, COMMAND_OCTETS_MAX};
use smtp::{Budget, Mode};

use crate::fixture::{Client, start};

const SHORT: Pace = Pace {
    stall: Duration::from_millis(200),
    grace: Duration::from_millis(500),
    rate_min: 1000,
};

#[tokio::test]
async fn message_size() {
    let server = start(Mode::Receive, |config| config.limits.size_max = 100);
    let mut client = server.hello("EHLO").await;
    client.say("MAIL FROM:<> SIZE=101", "552 5.3.4 ").await;
    for (length, reply) in [(100, "250 2.0.0 "), (101, "552 5.3.4 ")] {
        client.say("MAIL FROM:<> SIZE=100", "250 ").await;
        client.say("RCPT TO:<bob@example.org>", "250 ").await;
        client.say("DATA", "354 ").await;
        // One line, longer than RFC 5321 §4.5.3.1.6 has it; its stuffed dot does not count.
        let filler = "x".repeat(length - 9);
        client.send(format!("A: b\r\n..{filler}\r\n.\r\n")).await;
        client.expect(reply).await;
    }
    client.say("NOOP", "250 ").await;
    assert_eq!(server.fake.delivered().len(), 1);
}

#[tokio::test]
async fn a_flood_is_not_read_to_its_end() {
    let server = start(Mode::Receive, |config| {
        config.limits.size_max = 1000;
        config.limits.discard_max = 1000;
    });
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client.send("x".repeat(2001)).await;
    client.expect("552 5.3.4 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_large_message_is_kept_whole() {
    let server = start(Mode::Receive, |_| {});
    let free = server.budget.free_octets();
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    let content = format!("A: b\r\n\r\n{}\r\n", "0123456789abcdef".repeat(200_000));
    client.send(format!("{content}.\r\n")).await;
    client.expect("250 ").await;
    assert!(server.only_message().ends_with(&content));
    assert_eq!(server.budget.free_octets(), free);
}

#[tokio::test]
async fn recipients() {
    let server = start(Mode::Receive, |config| {
        config.limits.recipients_max = 2;
        config.limits.refused_recipients_max = 2;
    });
    let mut client = server.hello("EHLO").await;
    client
        .envelope(&["bob@example.org", "cid@example.org"])
        .await;
    client.say("RCPT TO:<ann@example.org>", "452 4.5.3 ").await;
    client
        .say("RCPT TO:<nobody@example.org>", "452 4.5.3 ")
        .await;
    client
        .say("RCPT TO:<nobody@example.org>", "421 4.7.0 ")
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn commands() {
    let server = start(Mode::Receive, |config| {
        config.limits.bad_commands_max = 2;
        config.limits.idle_commands_max = 3;
    });
    let mut client = server.hello("EHLO").await;
    // "NOOP " and CRLF
    let longest = COMMAND_OCTETS_MAX - 7;
    client
        .say(&format!("NOOP {}", "x".repeat(longest)), "250 ")
        .await;
    client
        .say(&format!("NOOP {}", "x".repeat(longest + 1)), "500 5.5.2 ")
        .await;
    client.say(&"x".repeat(5000), "500 5.5.2 ").await;
    client.say("WHAT", "500 5.5.1 ").await;
    client.expect("421 4.7.0 ").await;
    client.expect_end().await;
    let mut client = server.hello("EHLO").await;
    client.say("NOOP", "250 ").await;
    client.say("RSET", "250 ").await;
    client.say("NOOP", "421 4.7.0 ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_login_in_one_line() {
    let server = start(Mode::Submission, |_| {});
    let mut client = server.hello_tls().await;
    // Longer than a response may be, but not than a line: what is wrong is another thing.
    let line = |octets: usize| format!("AUTH PLAIN {}", "A".repeat(octets - 13));
    client.say(&line(AUTH_OCTETS_MAX), "500 5.5.6 ").await;
    client.say(&line(AUTH_OCTETS_MAX + 1), "500 5.5.2 ").await;
    // RFC 4954 §4: the longest response fits.
    let initial = "A".repeat(net::sasl::RESPONSE_OCTETS_MAX);
    client.say(&format!("AUTH PLAIN {initial}"), "501 ").await;
    client.say("NOOP", "250 ").await;
}

#[tokio::test]
async fn transactions_and_rates() {
    let server = start(Mode::Receive, |config| {
        config.limits.transactions_max = 1;
        config.limits.client_rate = Rate::new(2, Duration::from_secs(3600));
    });
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.send("BDAT 6 LAST\r\nA: b\r\n").await;
    client.expect("250 ").await;
    client.say("MAIL FROM:<>", "421 4.7.0 ").await;
    client.expect_end().await;
    let mut client = server.hello("EHLO").await;
    client.say("MAIL FROM:<>", "250 ").await;
    client.say("RSET", "250 ").await;
    client.say("MAIL FROM:<>", "451 4.7.1 ").await;
}

#[tokio::test]
async fn loops_end() {
    let server = start(Mode::Receive, |_| {});
    let mut client = server.hello("EHLO").await;
    let most = RECEIVED_FIELDS_MAX;
    for (count, reply) in [(most, "250 2.0.0 "), (most + 1, "554 5.4.6 ")] {
        client.envelope(&["bob@example.org"]).await;
        client.say("DATA", "354 ").await;
        client
            .send(format!(
                "{}\r\nReceived: x\r\n.\r\n",
                "Received: x\r\n".repeat(count)
            ))
            .await;
        client.expect(reply).await;
    }
}

#[tokio::test]
async fn octets_in_flight() {
    let server = start(Mode::Receive, |config| {
        config.budget = Budget::new(64 * 1024, Duration::from_millis(50));
    });
    let mut client = server.hello("EHLO").await;
    for (length, reply) in [
        (1000, "250 2.0.0 "),
        (100_000, "451 4.3.2 "),
        (20_000, "250 2.0.0 "),
    ] {
        client.envelope(&["bob@example.org"]).await;
        client.say("DATA", "354 ").await;
        client
            .send(format!("A: b\r\n\r\n{}\r\n.\r\n", "x".repeat(length)))
            .await;
        client.expect(reply).await;
    }
    assert_eq!(server.budget.free_octets(), 64 * 1024);
    // Somebody else holds all of it.
    let mut other = server.budget.share();
    other.grow(63 * 1024).await.unwrap();
    client.envelope(&["bob@example.org"]).await;
    client
        .send("BDAT 6\r\nA: b\r\nBDAT 6 LAST\r\nQUIT\r\n")
        .await;
    client.expect("451 4.3.2 ").await;
    client.expect("451 4.3.2 ").await;
    client.say("NOOP", "250 ").await;
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let server = start(Mode::Receive, |config| {
        config.timeouts.command = LinePace {
            idle: Duration::from_millis(200),
            line: Duration::from_millis(200),
        };
        config.timeouts.data = SHORT;
    });
    let mut client = server.hello("EHLO").await;
    client.expect("421 4.4.2 ").await;
    client.expect_end().await;
    let mut client = server.hello("EHLO").await;
    client.send("NOO").await;
    client.expect("421 4.4.2 ").await;
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.say("DATA", "354 ").await;
    client.send("A: b\r\n\r\n").await;
    client.expect("421 4.4.2 ").await;
    client.expect_end().await;
    assert!(server.fake.delivered().is_empty());
}

#[tokio::test]
async fn an_octet_at_a_time_is_too_slow() {
    let server = start(Mode::Receive, |config| config.timeouts.data = SHORT);
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.send("BDAT 1000000 LAST\r\n").await;
    for _ in 0..50 {
        let _ = client.0.send(b"x").await;
        let _ = client.0.flush().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.expect_end_or("421 4.4.2 ").await;
    assert!(server.fake.delivered().is_empty());
}

/// Says so every 50 ms until the server has had enough, and how long that took.
async fn drip(client: &mut Client, octets: &str) -> Duration {
    let started = Instant::now();
    while started.elapsed() < SOON * 2 {
        if client.0.send(octets.as_bytes()).await.is_err() || client.0.flush().await.is_err() {
            break;
        }
        let reply = client.0.read_line(1000, QUICK).await;
        match reply {
            Ok(line) if line.octets.starts_with(b"250 ") => {
                tokio::time::sleep(QUICK.idle).await;
            }
            Ok(line) => {
                assert!(line.octets.starts_with(b"421 4.4.2 "), "{line:?}");
                break;
            }
            Err(ReadError::Idle) => {}
            Err(_) => break,
        }
    }
    started.elapsed()
}

const QUICK: LinePace = LinePace {
    idle: Duration::from_millis(50),
    line: Duration::from_secs(10),
};
/// Longer than the grace of `SHORT`, and much shorter than what a megabyte would earn.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn what_was_sent_fast_earns_no_time() {
    for command in ["DATA", "BDAT 2000000"] {
        let server = start(Mode::Receive, |config| config.timeouts.data = SHORT);
        let free = server.budget.free_octets();
        let mut client = server.hello("EHLO").await;
        client.envelope(&["bob@example.org"]).await;
        client.send(format!("{command}\r\n")).await;
        if command == "DATA" {
            client.expect("354 ").await;
        }
        client.send("x".repeat(1_000_000)).await;
        assert!(drip(&mut client, "x").await < SOON, "{command}");
        while server.budget.free_octets() < free {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(server.fake.delivered().is_empty());
    }
}

#[tokio::test]
async fn all_chunks_have_one_pace() {
    let server = start(Mode::Receive, |config| config.timeouts.data = SHORT);
    for dripping in ["BDAT 1\r\nx", "BDAT 0\r\n", "NOOP\r\n", ""] {
        let mut client = server.hello("EHLO").await;
        client.envelope(&["bob@example.org"]).await;
        client.send("BDAT 6\r\nA: b\r\n").await;
        client.expect("250 ").await;
        assert!(drip(&mut client, dripping).await < SOON, "{dripping}");
    }
    assert!(server.fake.delivered().is_empty());
}

#[tokio::test]
async fn chunks_that_keep_their_pace_may_take_longer_than_the_grace() {
    let pace = Pace {
        grace: Duration::from_secs(2),
        stall: Duration::from_secs(10),
        ..SHORT
    };
    let server = start(Mode::Receive, |config| config.timeouts.data = pace);
    let mut client = server.hello("EHLO").await;
    client.envelope(&["bob@example.org"]).await;
    client.send("BDAT 8\r\nA: b\r\n\r\n").await;
    client.expect("250 ").await;
    let chunk = format!("BDAT 1000\r\n{}\r\n", "x".repeat(998));
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        client.send(&chunk).await;
        client.expect("250 ").await;
    }
    client.say("BDAT 0 LAST", "250 2.0.0 Accepted").await;
    assert_eq!(server.fake.delivered().len(), 1);
}

#[tokio::test]
async fn strangers_from_one_place_have_a_part_of_the_budget() {
    const MIB: usize = 1 << 20;
    for is_trusted in [false, true] {
        let server = start(Mode::Receive, |config| {
            config.budget = Budget::new(16 * MIB as u64, Duration::from_millis(50));
            config.limits.size_max = MIB as u64;
            if is_trusted {
                config.trusted = vec!["127.0.0.0/8".parse().unwrap()];
            }
        });
        let mut clients = Vec::new();
        for at in 0..4 {
            let mut client = server.hello("EHLO").await;
            client.envelope(&["bob@example.org"]).await;
            client
                .send(format!("BDAT {MIB}\r\n{}", "x".repeat(MIB)))
                .await;
            // Each takes a little more than a mebibyte.
            let reply = match at < 3 || is_trusted {
                true => "250 ",
                false => "451 4.3.2 ",
            };
            client.expect(reply).await;
            clients.push(client);
        }
        assert!(server.budget.free_octets() > 11 * MIB as u64);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go() {
    let server = start(Mode::Receive, |config| {
        config.limits.idle_commands_max = u32::MAX;
        config.timeouts.write = SHORT;
    });
    let mut client = server.hello("EHLO").await;
    let started = Instant::now();
    let commands = "HELP\r\n".repeat(10_000);
    let flood = async { while client.0.send(commands.as_bytes()).await.is_ok() {} };
    let ended = tokio::time::timeout(Duration::from_secs(20), flood).await;
    assert!(ended.is_ok(), "{:?}", started.elapsed());
}
