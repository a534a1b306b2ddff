//! LIST, STATUS, NAMESPACE.

use crate::fixture::start;

#[tokio::test]
async fn the_delimiter_and_the_namespaces_are_told() {
    let server = start().await;
    let mut client = server.login("ann").await;
    assert_eq!(
        client.ok("LIST \"\" \"\"").await,
        ["* LIST (\\Noselect) \"/\" \"\""]
    );
    let lines = client.ok("NAMESPACE").await;
    assert_eq!(
        lines,
        ["* NAMESPACE ((\"\" \"/\")) ((\"Shared/\" \"/\")) NIL"]
    );
}

#[tokio::test]
async fn patterns_choose() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE a/b/c").await;
    let rows: [(&str, &[&str]); 6] = [
        ("LIST \"\" \"a%\"", &["a"]),
        ("LIST \"a/\" \"%\"", &["a/b"]),
        ("LIST \"\" \"a/*\"", &["a/b", "a/b/c"]),
        ("LIST \"\" inbox", &["INBOX"]),
        ("LIST \"\" (\"a\" \"a/b\")", &["a", "a/b"]),
        ("LIST \"\" none", &[]),
    ];
    for (command, expected) in rows {
        let lines = client.ok(command).await;
        let names: Vec<&str> = lines
            .iter()
            .map(|line| line.split_once(" \"/\" ").unwrap().1)
            .collect();
        assert_eq!(names, expected, "{command}");
    }
    let long = |octets: usize| format!("LIST \"\" {}", "x".repeat(octets));
    client.ok(&long(2048)).await;
    let end = client.end(&long(2049)).await;
    assert!(end.starts_with("NO [LIMIT] "), "{end}");
}

#[tokio::test]
async fn lists_return_what_they_are_asked_for() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE a/b").await;
    let command = "LIST \"\" \"a*\" RETURN (CHILDREN SUBSCRIBED MYRIGHTS STATUS (MESSAGES UNSEEN))";
    let lines = client.ok(command).await;
    let expected = [
        "* LIST (\\HasChildren) \"/\" a",
        "* MYRIGHTS a lrswipkxteacd",
        "* STATUS a (MESSAGES 0 UNSEEN 0)",
        "* LIST (\\HasNoChildren) \"/\" a/b",
        "* MYRIGHTS a/b lrswipkxteacd",
        "* STATUS a/b (MESSAGES 0 UNSEEN 0)",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn status_has_every_item() {
    let server = start().await;
    let mut client = server.login("ann").await;
    let end = client.end("CREATE box").await;
    let id = end.split(['(', ')']).nth(1).unwrap().to_owned();
    let items = "MESSAGES RECENT UIDNEXT UNSEEN DELETED SIZE DELETED-STORAGE APPENDLIMIT MAILBOXID";
    let line = client.ok(&format!("STATUS box ({items})")).await.remove(0);
    let expected = format!(
        "* STATUS box (MESSAGES 0 RECENT 0 UIDNEXT 1 UNSEEN 0 DELETED 0 SIZE 0 DELETED-STORAGE 0 APPENDLIMIT 52428800 MAILBOXID ({id}))"
    );
    assert_eq!(line, expected);
    let line = client
        .ok("STATUS inbox (UIDVALIDITY HIGHESTMODSEQ)")
        .await
        .remove(0);
    assert!(line.starts_with("* STATUS INBOX (UIDVALIDITY "), "{line}");
    assert!(!line.contains(" 0"), "{line}");
}
