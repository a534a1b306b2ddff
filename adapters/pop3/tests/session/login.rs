//! USER and PASS, AUTH, STLS, CAPA, and who gets the maildrop.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jmap_types::AccountId;

use crate::fixture::{start, start_for_strangers, start_implicit_tls, start_with};

#[tokio::test]
async fn user_and_pass_open_the_maildrop() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.connect().await;
    client.say("STAT", "-ERR Log in first").await;
    client.say("PASS se cret", "-ERR Say USER first").await;
    client.login("ann", "+OK 1 messages (11 octets)").await;
    client.say("USER ann", "-ERR You are logged in").await;
    client.say("STAT", "+OK 1 11").await;
    client.say("QUIT", "+OK ").await;
    client.expect_end().await;
}

#[tokio::test]
async fn failures_say_whose_fault_it_is() {
    let server = start();
    let rows = [
        ("disabled", "-ERR [AUTH] "),
        ("busy", "-ERR [SYS/TEMP] "),
        (
            "limited",
            "-ERR [SYS/TEMP] Too many failed logins; try again in 7 seconds",
        ),
        ("homeless", "-ERR [SYS/PERM] "),
    ];
    for (name, reply) in rows {
        server.connect().await.login(name, reply).await;
    }
    let mut client = server.connect().await;
    client.say("USER ann", "+OK ").await;
    client.say("PASS wrong", "-ERR [AUTH] ").await;
    client.say("PASS se cret", "-ERR Say USER first").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn auth_has_every_mechanism_with_and_without_an_initial_response() {
    let server = start();
    let plain = STANDARD.encode("\0ann\0se cret");
    let bearer = STANDARD.encode("n,a=ann,\x01auth=Bearer token\x01\x01");
    let xoauth2 = STANDARD.encode("user=ann\x01auth=Bearer token\x01\x01");
    for (mechanism, response) in [
        ("PLAIN", &plain),
        ("OAUTHBEARER", &bearer),
        ("XOAUTH2", &xoauth2),
    ] {
        let mut client = server.connect().await;
        let line = format!("AUTH {mechanism} {response}");
        client.say(&line, "+OK 0 messages").await;
        client.say("QUIT", "+OK").await;
        let mut client = server.connect().await;
        let line = client.say(&format!("auth {mechanism}"), "+").await;
        assert_eq!(line, "+ ");
        client.say(response, "+OK 0 messages").await;
        client.say("QUIT", "+OK").await;
    }
    let mut client = server.connect().await;
    let prompt = client.say("AUTH LOGIN", "+ ").await;
    assert_eq!(prompt, format!("+ {}", STANDARD.encode("Username:")));
    client.say(&STANDARD.encode("ann"), "+ ").await;
    client
        .say(&STANDARD.encode("se cret"), "+OK 0 messages")
        .await;
}

#[tokio::test]
async fn auth_fails_with_a_reason() {
    let server = start_with(|config| config.limits.auth_failures_max = 10);
    let mut client = server.connect().await;
    client
        .say("AUTH NOSUCH", "-ERR There is no such mechanism")
        .await;
    client.say("AUTH PLAIN", "+ ").await;
    client.say("*", "-ERR Authentication cancelled").await;
    client
        .say("AUTH PLAIN !", "-ERR The response is not base64")
        .await;
    client.say("AUTH PLAIN =", "-ERR ").await;
    let wrong = STANDARD.encode("\0ann\0wrong");
    client
        .say(&format!("AUTH PLAIN {wrong}"), "-ERR [AUTH] ")
        .await;
    let other = STANDARD.encode("bob\0ann\0se cret");
    client
        .say(&format!("AUTH PLAIN {other}"), "-ERR [AUTH] ")
        .await;
    // RFC 7628 §3.2.3
    let bearer = STANDARD.encode("n,,\x01auth=Bearer wrong\x01\x01");
    client
        .say(&format!("AUTH OAUTHBEARER {bearer}"), "+ ")
        .await;
    client.say("AQ==", "-ERR [AUTH] ").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn capa_tells_what_works() {
    let server = start();
    let mut client = server.connect().await;
    let stranger = client.list("CAPA").await;
    let expected = [
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
        "IMPLEMENTATION Posthorn",
        "USER",
        "SASL SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2",
        "STLS",
        "UTF8 USER",
        "UIDL",
        "TOP",
        "EXPIRE NEVER",
    ];
    assert_eq!(stranger, expected);
    client.login("ann", "+OK ").await;
    // RFC 2449 §5: the same after a login.
    assert_eq!(client.list("CAPA").await, stranger);
}

#[tokio::test]
async fn secrets_are_for_tls() {
    let server = start_for_strangers();
    let mut client = server.connect().await;
    let offered = client.list("CAPA").await;
    assert!(!offered.iter().any(|c| c == "USER" || c.starts_with("SASL")));
    client.say("USER ann", "-ERR Say STLS first").await;
    client.say("AUTH PLAIN", "-ERR Say STLS first").await;
    client.say("STLS", "+OK ").await;
    let mut client = server.secure(client).await;
    let offered = client.list("CAPA").await;
    assert!(!offered.contains(&"STLS".to_owned()));
    assert!(offered.contains(&"USER".to_owned()));
    client.say("STLS", "-ERR TLS is active already").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn tls_may_come_first() {
    let server = start_implicit_tls();
    let client = server.connect_raw().await;
    let mut client = server.secure(client).await;
    client.expect("+OK mx.example.org ").await;
    let offered = client.list("CAPA").await;
    assert!(!offered.contains(&"STLS".to_owned()));
    client.say("STLS", "-ERR ").await;
    client.login("ann", "+OK ").await;
}

#[tokio::test]
async fn stls_forgets_and_nothing_may_follow_it() {
    let server = start();
    let mut client = server.connect().await;
    client.say("USER ann", "+OK ").await;
    client.say("STLS", "+OK ").await;
    let mut client = server.secure(client).await;
    client.say("PASS se cret", "-ERR Say USER first").await;

    let mut client = server.connect().await;
    client.send("STLS\r\nUSER evil\r\n").await;
    client.expect("-ERR ").await;
    client.expect_end().await;

    let mut client = server.connect().await;
    client.say("UTF8", "+OK ").await;
    client.say("STLS", "-ERR STLS comes before UTF8").await;
}

#[tokio::test]
async fn a_maildrop_has_one_session() {
    let server = start();
    let mut first = server.login().await;
    let mut second = server.connect().await;
    second.login("ann", "-ERR [IN-USE] ").await;
    server.connect().await.login("bob", "+OK ").await;
    first.say("QUIT", "+OK ").await;
    second.login("ann", "+OK ").await;
}

#[tokio::test]
async fn a_session_that_breaks_off_frees_the_maildrop() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut first = server.login().await;
    first.say("DELE 1", "+OK ").await;
    drop(first);
    let account = AccountId::new("ann".bytes().map(u64::from).sum());
    for _ in 0..200 {
        if server.locks.take(account).is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut second = server.login().await;
    second.say("STAT", "+OK 1 11").await;
}

#[tokio::test]
async fn a_stop_ends_sessions_and_removes_nothing() {
    let server = start();
    server.fake.add("A: b\r\n\r\nx\r\n");
    let mut client = server.login().await;
    client.say("DELE 1", "+OK ").await;
    server.shutdown.request();
    client.expect_end().await;
    assert_eq!(server.fake.emails(), [1]);
}
