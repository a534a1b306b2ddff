//! CREATE, DELETE, RENAME, SUBSCRIBE.

use crate::fixture::start;

#[tokio::test]
async fn levels_above_are_made() {
    let server = start().await;
    let mut client = server.login("ann").await;
    let end = client.end("CREATE Work/2026/Plans").await;
    assert!(end.starts_with("OK [MAILBOXID (m"), "{end}");
    client.ok("CREATE Later/").await;
    let names = client.names().await;
    for name in ["INBOX", "Work", "Work/2026", "Work/2026/Plans", "Later"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert_eq!(names[0], "INBOX");
}

#[tokio::test]
async fn names_that_can_not_be() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE Work").await;
    let rows = [
        ("CREATE inbox", "NO [ALREADYEXISTS] "),
        ("CREATE Work", "NO [ALREADYEXISTS] "),
        ("CREATE a//b", "NO [CANNOT] "),
        ("CREATE =41", "NO [CANNOT] "),
        ("CREATE Shared/bob@example.org/x", "NO [NOPERM] "),
        ("DELETE INBOX", "NO [CANNOT] "),
        ("DELETE None", "NO [NONEXISTENT] "),
        ("RENAME None Other", "NO [NONEXISTENT] "),
        ("RENAME Work INBOX", "NO [ALREADYEXISTS] "),
        ("RENAME Work Work/below", "NO [CANNOT] "),
        ("SUBSCRIBE None", "NO [NONEXISTENT] "),
        ("STATUS None (MESSAGES)", "NO [NONEXISTENT] "),
    ];
    for (command, expected) in rows {
        let end = client.end(command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
    let long = format!("CREATE {}", "x".repeat(9000));
    assert!(client.end(&long).await.starts_with("NO [CANNOT] "));
}

#[tokio::test]
async fn special_uses_are_given() {
    let server = start().await;
    let mut client = server.login("ann").await;
    let lines = client.ok("LIST (SPECIAL-USE) \"\" \"*\"").await;
    let taken = lines.iter().any(|line| line.contains("\\Archive"));
    let end = client.end("CREATE Old (USE (\\Archive))").await;
    match taken {
        true => assert!(end.starts_with("NO [USEATTR] "), "{end}"),
        false => assert!(end.starts_with("OK "), "{end}"),
    }
    let rows = [
        ("CREATE Two (USE (\\Sent \\Drafts))", "NO [USEATTR] "),
        ("CREATE Odd (USE (\\Nothing))", "NO [USEATTR] "),
        ("CREATE More (USE (\\Sent))", "NO [USEATTR] "),
    ];
    for (command, expected) in rows {
        let end = client.end(command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
}

#[tokio::test]
async fn renaming_takes_what_is_below_along() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE Work/2026/Plans").await;
    client.ok("RENAME Work/2026 Old/Years/2026").await;
    let names = client.names().await;
    for name in ["Work", "Old", "Old/Years/2026", "Old/Years/2026/Plans"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name == "Work/2026"));
    let end = client.end("DELETE Old").await;
    assert!(end.starts_with("NO [HASCHILDREN] "), "{end}");
    client.ok("DELETE Old/Years/2026/Plans").await;
    client.ok("DELETE Old/Years/2026").await;
}

#[tokio::test]
async fn renaming_inbox_leaves_it_empty() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE INBOX/below").await;
    client.ok("RENAME INBOX Moved/All").await;
    let names = client.names().await;
    for name in ["INBOX", "INBOX/below", "Moved/All"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
}

#[tokio::test]
async fn other_names_come_back_as_they_are() {
    let server = start().await;
    let mut client = server.login("ann").await;
    for name in ["Entw&APw-rfe", "Tom &- Jerry", "\"a=b\"", "&ZeVnLIqe-"] {
        client
            .ok(&format!("CREATE \"{}\"", name.trim_matches('"')))
            .await;
        let list = format!("LIST \"\" \"{}\"", name.trim_matches('"'));
        let lines = client.ok(&list).await;
        assert_eq!(lines.len(), 1, "{name}");
        let listed = lines[0].split_once(" \"/\" ").unwrap().1;
        assert_eq!(listed.trim_matches('"'), name.trim_matches('"'));
    }
}

#[tokio::test]
async fn subscriptions_are_listed() {
    let server = start().await;
    let mut client = server.login("ann").await;
    client.ok("CREATE a/b/c").await;
    client.ok("SUBSCRIBE a/b/c").await;
    client.ok("SUBSCRIBE a/b/c").await;
    assert_eq!(
        client.ok("LSUB \"\" \"a/*\"").await,
        ["* LSUB () \"/\" a/b/c"]
    );
    // RFC 3501 §6.3.9
    assert_eq!(
        client.ok("LSUB \"\" \"a/%\"").await,
        ["* LSUB (\\Noselect) \"/\" a/b"]
    );
    let lines = client.ok("LIST (SUBSCRIBED) \"\" \"a*\"").await;
    assert_eq!(lines, ["* LIST (\\HasNoChildren \\Subscribed) \"/\" a/b/c"]);
    let lines = client
        .ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"a\"")
        .await;
    assert_eq!(
        lines,
        ["* LIST (\\HasChildren) \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))"]
    );
    client.ok("UNSUBSCRIBE a/b/c").await;
    assert!(client.ok("LSUB \"\" \"a*\"").await.is_empty());
}
