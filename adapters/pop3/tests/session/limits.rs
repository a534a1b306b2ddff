//! One past each limit.

use std::time::Duration;

use net::reader::LinePace;
use pop3::Locks;
use pop3::parse::{AUTH_OCTETS_MAX, COMMAND_OCTETS_MAX};

use crate::fixture::{start, start_with};

#[tokio::test]
async fn long_lines_are_refused_and_passed_over() {
    let server = start();
    let mut client = server.connect().await;
    let name = "a".repeat(COMMAND_OCTETS_MAX - 2 - 5);
    client.say(&format!("USER {name}"), "+OK ").await;
    client
        .say(&format!("USER {name}a"), "-ERR The line is too long")
        .await;
    let longer = "a".repeat(AUTH_OCTETS_MAX);
    client.say(&longer, "-ERR The line is too long").await;
    client.login("ann", "+OK ").await;
    // Without logins there is nothing long to say.
    client
        .say(&"a".repeat(COMMAND_OCTETS_MAX), "-ERR The line is too long")
        .await;
    client.say("NOOP", "+OK ").await;
}

#[tokio::test]
async fn a_response_that_is_too_long_is_refused() {
    let server = start();
    let mut client = server.connect().await;
    client.say("AUTH PLAIN", "+ ").await;
    let long = "A".repeat(net::sasl::RESPONSE_OCTETS_MAX + 4);
    client.say(&long, "-ERR The response is too long").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn too_many_commands_without_a_login() {
    let server = start_with(|config| config.limits.stranger_commands_max = 3);
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.list("CAPA").await;
    }
    client
        .say("CAPA", "-ERR [SYS/TEMP] Too many commands")
        .await;
    client.expect_end().await;
    let mut client = server.login().await;
    for _ in 0..10 {
        client.say("NOOP", "+OK ").await;
    }
}

#[tokio::test]
async fn too_many_bad_commands() {
    let server = start_with(|config| config.limits.bad_commands_max = 3);
    let mut client = server.connect().await;
    for line in ["NONSENSE", "STAT", "RETR x"] {
        client.say(line, "-ERR ").await;
    }
    client
        .say("\u{1}", "-ERR [SYS/TEMP] Too many commands")
        .await;
    client.expect_end().await;
}

#[tokio::test]
async fn too_many_failed_logins() {
    let server = start_with(|config| config.limits.auth_failures_max = 2);
    let mut client = server.connect().await;
    client.say("USER ann", "+OK ").await;
    client.say("PASS wrong", "-ERR [AUTH] ").await;
    client.say("USER ann", "+OK ").await;
    client.say("PASS wrong", "-ERR [AUTH] ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn too_many_maildrops() {
    let server = start_with(|config| config.locks = Locks::new(1));
    let _first = server.login().await;
    let mut second = server.connect().await;
    second
        .login("bob", "-ERR [SYS/TEMP] Too many maildrops")
        .await;
}

#[tokio::test]
async fn silence_ends_a_session_and_removes_nothing() {
    let server = start_with(|config| {
        config.timeouts.command = LinePace {
            idle: Duration::from_millis(200),
            line: Duration::from_secs(5),
        };
    });
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.login().await;
    client.say("DELE 1", "+OK ").await;
    client.expect_end().await;
    assert_eq!(server.fake.emails(), [1]);
}

#[tokio::test]
async fn messages_on_their_way_out_share_their_memory() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let all = server.room.place(u64::MAX).await.unwrap();
    let mut client = server.login().await;
    client
        .say("RETR 1", "-ERR [SYS/TEMP] The server is busy")
        .await;
    drop(all);
    client.list("RETR 1").await;
}

#[tokio::test]
async fn lines_have_no_cr_of_their_own() {
    let server = start();
    let mut client = server.connect().await;
    client.send("NO\rOP\r\n").await;
    client.expect("-ERR Lines end with CRLF").await;
    client.send("CAPA\n").await;
    client.expect("+OK ").await;
}
