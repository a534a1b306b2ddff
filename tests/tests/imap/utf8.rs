//! UTF8=ACCEPT (RFC 6855).

use crate::fixture::{Client, start};

const SUBJECT: &str = "Subject: \u{e9}t\u{e9}\r\n\r\nbody";

async fn append(client: &mut Client, data: &str) -> Vec<String> {
    client.say(&format!("APPEND INBOX {data}")).await
}

#[tokio::test]
async fn names_are_in_utf8_for_who_has_enabled_it() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let mut old = server.login("ann").await;
    assert_eq!(
        ann.ok("ENABLE UTF8=ACCEPT").await,
        ["* ENABLED UTF8=ACCEPT"]
    );
    assert_eq!(ann.ok("ENABLE UTF8=ACCEPT").await, ["* ENABLED"]);
    ann.ok("CREATE \"\u{e9}t\u{e9} & co\"").await;
    let list = "LIST \"\" \"*co*\"";
    let of_old = old.ok(list).await;
    assert_eq!(
        of_old,
        ["* LIST (\\HasNoChildren) \"/\" \"&AOk-t&AOk- &- co\""]
    );
    let of_new = ann.ok(list).await;
    assert_eq!(
        of_new,
        ["* LIST (\\HasNoChildren) \"/\" \"\u{e9}t\u{e9} & co\""]
    );
    let lines = ann.ok("STATUS \"\u{e9}t\u{e9} & co\" (MESSAGES)").await;
    assert_eq!(lines, ["* STATUS \"\u{e9}t\u{e9} & co\" (MESSAGES 0)"]);
    ann.ok("SELECT \"\u{e9}t\u{e9} & co\"").await;
    old.ok("SELECT \"&AOk-t&AOk- &- co\"").await;
    ann.send(b"x CREATE \"\xe9\"\r\n").await;
    assert!(ann.until("x").await[0].starts_with("BAD "));
}

#[tokio::test]
async fn messages_have_headers_in_utf8() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let octets = SUBJECT.len();
    let utf8 = format!("UTF8 (~{{{octets}+}}\r\n{SUBJECT})");
    let end = append(&mut ann, &utf8).await.pop().unwrap();
    assert!(end.starts_with("BAD ENABLE UTF8=ACCEPT first"), "{end}");
    // Kept, though RFC 6855 §4 would have it refused: a mail that is moved here from another server is not lost.
    let plain = format!("{{{octets}+}}\r\n{SUBJECT}");
    let end = append(&mut ann, &plain).await.pop().unwrap();
    assert!(end.starts_with("OK [APPENDUID "), "{end}");
    ann.ok("ENABLE UTF8=ACCEPT").await;
    let end = append(&mut ann, &utf8).await.pop().unwrap();
    assert!(end.starts_with("OK [APPENDUID "), "{end}");
    let parts = format!("CATENATE (UTF8 (~{{{octets}+}}\r\n{SUBJECT}) TEXT {{2+}}\r\n..)");
    let end = append(&mut ann, &parts).await.pop().unwrap();
    assert!(end.starts_with("OK [APPENDUID "), "{end}");
    ann.ok("SELECT INBOX").await;
    let found = ann.ok("SEARCH SUBJECT \"\u{c9}T\u{c9}\"").await;
    assert_eq!(found[0], "* SEARCH 1 2 3");
    let mut old = server.login("ann").await;
    old.ok("SELECT INBOX").await;
    // To either, the message is what it is: its octets, its size.
    for client in [&mut ann, &mut old] {
        let lines = client
            .ok("FETCH 2 BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
            .await;
        assert_eq!(lines[1], "Subject: \u{e9}t\u{e9}", "{lines:?}");
        let lines = client.ok("FETCH 2 (RFC822.SIZE ENVELOPE)").await;
        let size = format!("RFC822.SIZE {octets}");
        assert!(lines[0].contains(&size), "{lines:?}");
        let envelope = lines.join("\r\n");
        assert!(envelope.contains("{5}\r\n\u{e9}t\u{e9} "), "{envelope}");
    }
}

#[tokio::test]
async fn searches_name_no_charset() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.ok("SELECT INBOX").await;
    ann.ok("SEARCH CHARSET UTF-8 ALL").await;
    ann.ok("ENABLE UTF8=ACCEPT").await;
    let end = ann.end("SEARCH CHARSET UTF-8 ALL").await;
    assert!(end.starts_with("BAD "), "{end}");
    ann.ok("SEARCH ALL").await;
    // Their grammar has one always.
    ann.ok("SORT (DATE) UTF-8 ALL").await;
    ann.ok("THREAD REFERENCES UTF-8 ALL").await;
}
