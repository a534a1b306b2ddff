//! Capabilities, logins, states, ENABLE, COMPRESS, the end.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jmap_core::Limits;

use crate::fixture::{PASSWORD, start, start_with};

fn plain(name: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("\0{name}\0{password}"))
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Nothing is announced that `README.md` of the adapter doesn't have.
#[tokio::test]
async fn all_that_is_announced() {
    let server = start().await;
    let mut client = server.connect().await;
    let before = client.ok("CAPABILITY").await.remove(0);
    assert_eq!(
        before,
        "* CAPABILITY IMAP4rev2 IMAP4rev1 LITERAL- ID AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN AUTH=OAUTHBEARER AUTH=XOAUTH2 \
         SASL-IR ENABLE"
    );
    let mut client = server.login("ann").await;
    let after = client.ok("CAPABILITY").await.remove(0);
    assert_eq!(
        after,
        "* CAPABILITY IMAP4rev2 IMAP4rev1 LITERAL+ CONDSTORE QRESYNC OBJECTID MULTIAPPEND CATENATE IDLE UNSELECT UIDPLUS BINARY \
         PREVIEW ESEARCH SEARCHRES PARTIAL WITHIN SAVEDATE I18NLEVEL=1 CONTEXT=SEARCH INPROGRESS MULTISEARCH SORT \
         SORT=DISPLAY ESORT CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES MOVE REPLACE ID UNAUTHENTICATE ENABLE UIDONLY UTF8=ACCEPT COMPRESS=DEFLATE NAMESPACE \
         LIST-EXTENDED LIST-STATUS LIST-MYRIGHTS CHILDREN SPECIAL-USE LIST-METADATA STATUS=SIZE CREATE-SPECIAL-USE QUOTA QUOTA=RES-STORAGE ACL \
         RIGHTS=kxte METADATA NOTIFY APPENDLIMIT=52428800"
    );
}

#[tokio::test]
async fn capabilities_are_of_the_moment() {
    let server = start().await;
    let mut client = server.connect().await;
    let before = client.ok("CAPABILITY").await.remove(0);
    for name in ["IMAP4rev1", "LITERAL-", "AUTH=PLAIN", "SASL-IR", "ID"] {
        assert!(words(&before).contains(&name), "{name}: {before}");
    }
    for name in [
        "LITERAL+",
        "QUOTA",
        "LOGINDISABLED",
        "STARTTLS",
        "COMPRESS=DEFLATE",
    ] {
        assert!(!words(&before).contains(&name), "{name}: {before}");
    }
    let login = format!("LOGIN ann@example.org \"{PASSWORD}\"");
    let welcome = client.end(&login).await;
    assert!(
        welcome.starts_with("OK [CAPABILITY IMAP4rev2 "),
        "{welcome}"
    );
    let after = client.ok("CAPABILITY").await.remove(0);
    for name in [
        "LITERAL+",
        "ACL",
        "RIGHTS=kxte",
        "QUOTA",
        "COMPRESS=DEFLATE",
        "NAMESPACE",
    ] {
        assert!(words(&after).contains(&name), "{name}: {after}");
    }
    for name in ["LITERAL-", "AUTH=PLAIN", "JMAPACCESS"] {
        assert!(!words(&after).contains(&name), "{name}: {after}");
    }
    let mut sorted = words(&after);
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), words(&after).len(), "twice: {after}");
}

#[tokio::test]
async fn logins_in_every_way() {
    let server = start().await;
    let response = plain("ann@example.org", PASSWORD);
    let mut client = server.connect().await;
    client.ok(&format!("AUTHENTICATE PLAIN {response}")).await;
    client.ok("UNAUTHENTICATE").await;
    client.send("x AUTHENTICATE plain\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send(format!("{response}\r\n")).await;
    assert!(client.until("x").await[0].starts_with("OK [CAPABILITY "));
    client.ok("UNAUTHENTICATE").await;
    client.send("y AUTHENTICATE LOGIN\r\n").await;
    for answer in ["ann@example.org", PASSWORD] {
        assert!(client.line().await.starts_with("+ "));
        let answer = BASE64_STANDARD.encode(answer);
        client.send(format!("{answer}\r\n")).await;
    }
    assert!(client.until("y").await[0].starts_with("OK "));
    client.ok("UNAUTHENTICATE").await;
    // In literals, with waiting and without.
    client.send("z LOGIN {15}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client
        .send(format!("ann@example.org {{21+}}\r\n{PASSWORD}\r\n"))
        .await;
    assert!(client.until("z").await[0].starts_with("OK "));
}

#[tokio::test]
async fn logins_that_fail() {
    let server = start().await;
    let mut client = server.connect().await;
    let rows = [
        ("AUTHENTICATE NONE", "NO [CANNOT]"),
        ("AUTHENTICATE PLAIN !", "BAD "),
        ("AUTHENTICATE PLAIN abcd", "BAD "),
        ("LIST \"\" *", "BAD Log in first"),
        ("LOGIN ann@example.org wrong", "NO [AUTHENTICATIONFAILED] "),
        (
            "LOGIN nobody@example.org wrong",
            "NO [AUTHENTICATIONFAILED] ",
        ),
    ];
    for (command, expected) in rows {
        let end = client.end(command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
    client.send("c AUTHENTICATE PLAIN\r\n").await;
    client.line().await;
    client.send("*\r\n").await;
    assert_eq!(client.until("c").await, ["BAD Authentication cancelled"]);
    // The third is one too many.
    let end = client.end("LOGIN ann@example.org wrong").await;
    assert!(end.starts_with("NO [AUTHENTICATIONFAILED] "), "{end}");
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
}

#[tokio::test]
async fn an_account_that_is_disabled_is_out_at_once() {
    let server = start().await;
    let mut client = server.login("bob").await;
    let id = server
        .core
        .account_named("bob@example.org")
        .await
        .unwrap()
        .id;
    let admin = jmap_core::Caller::server();
    server.core.set_disabled(&admin, id, true).await.unwrap();
    client.send("x NOOP\r\n").await;
    let bye = client.farewell().await;
    assert!(bye.starts_with("* BYE [AUTHORIZATIONFAILED] "), "{bye}");
}

#[tokio::test]
async fn what_can_not_be_said_is_bad() {
    let server = start_with(Limits::default(), |config| {
        config.limits.bad_commands_max = 8
    })
    .await;
    let mut client = server.login("ann").await;
    let rows = [
        ("NONSENSE", "BAD "),
        ("LOGIN a b", "BAD You are logged in already"),
        ("STARTTLS", "BAD "),
        ("CLOSE", "BAD "),
        ("STATUS", "BAD "),
        ("GETJMAPACCESS", "BAD "),
        ("GETMETADATA \"\" /comment", "BAD "),
        ("LIST \"\" \"%\" RETURN (METADATA (/comment))", "BAD "),
    ];
    for (command, expected) in rows {
        let end = client.end(command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
    // One past the limit.
    client.send("\r\n").await;
    assert!(client.line().await.starts_with("* BAD "));
    assert!(client.farewell().await.starts_with("* BYE [LIMIT] "));
}

#[tokio::test]
async fn enable_tells_what_is_new() {
    let server = start().await;
    let mut client = server.login("ann").await;
    let lines = client.ok("ENABLE imap4rev2 X-NONE").await;
    assert_eq!(lines, ["* ENABLED IMAP4rev2"]);
    assert_eq!(client.ok("ENABLE IMAP4rev2").await, ["* ENABLED"]);
    // Names are UTF-8 from now on.
    client.ok("CREATE \"Entwürfe\"").await;
    let lines = client.ok("LIST \"\" \"Entw*\"").await;
    assert!(lines[0].ends_with(" \"/\" \"Entwürfe\""), "{lines:?}");
    client.ok("UNAUTHENTICATE").await;
    client
        .ok(&format!("LOGIN ann@example.org \"{PASSWORD}\""))
        .await;
    let lines = client.ok("LIST \"\" \"Entw*\"").await;
    assert!(lines[0].ends_with(" \"/\" \"Entw&APw-rfe\""), "{lines:?}");
}

#[tokio::test]
async fn compressed_connections_go_on() {
    let server = start_with(Limits::default(), |config| config.limits.compressed_max = 1).await;
    let mut client = server.login("ann").await;
    client.ok("COMPRESS DEFLATE").await;
    client.wire = client.wire.deflate().await.unwrap();
    client.ok("NOOP").await;
    let end = client.end("COMPRESS DEFLATE").await;
    assert!(end.starts_with("NO [COMPRESSIONACTIVE] "), "{end}");
    let capabilities = client.ok("CAPABILITY").await.remove(0);
    assert!(!capabilities.contains("COMPRESS"), "{capabilities}");
    // Only so many.
    let mut other = server.login("bob").await;
    let end = other.end("COMPRESS DEFLATE").await;
    assert!(end.starts_with("NO [LIMIT] "), "{end}");
    other.ok("NOOP").await;
    client.ok("LOGOUT").await;
    client.farewell().await;
    drop(client);
    for _ in 0..100 {
        if other.end("COMPRESS DEFLATE").await.starts_with("OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place of a connection that has ended is not given back");
}

#[tokio::test]
async fn id_and_logout_and_jmap() {
    let url = "https://mail.example.org/jmap/session";
    let server = start_with(Limits::default(), |config| {
        config.jmap_url = Some(url.to_owned());
    })
    .await;
    let mut client = server.connect().await;
    let lines = client.ok("ID (\"name\" \"test\" \"version\" NIL)").await;
    assert_eq!(lines, ["* ID (\"name\" \"Posthorn\")"]);
    client
        .ok(&format!("LOGIN ann@example.org \"{PASSWORD}\""))
        .await;
    let lines = client.ok("GETJMAPACCESS").await;
    assert_eq!(lines, [format!("* JMAPACCESS \"{url}\"")]);
    assert_eq!(client.ok("LOGOUT").await, ["* BYE Goodbye"]);
    assert_eq!(client.farewell().await, "");
}

#[tokio::test]
async fn silence_ends_a_session_and_so_does_a_stop() {
    let server = start_with(Limits::default(), |config| {
        config.timeouts.stranger.idle = Duration::from_millis(300);
    })
    .await;
    let mut stranger = server.connect().await;
    let mut client = server.login("ann").await;
    assert!(stranger.farewell().await.starts_with("* BYE Autologout"));
    client.ok("NOOP").await;
    server.shutdown.request();
    let bye = client.farewell().await;
    assert!(bye.starts_with("* BYE [UNAVAILABLE] "), "{bye}");
}
