//! Sharing by ACL, the mailboxes of others, quotas.

use jmap_core::{Caller, Limits};

use crate::fixture::{start, start_with};

#[tokio::test]
async fn rights_are_given_seen_and_taken() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let mut bob = server.login("bob").await;
    ann.ok("CREATE Team/Plans").await;
    ann.ok("SETACL Team/Plans bob@example.org lr").await;
    let acl = ann.ok("GETACL Team/Plans").await;
    assert_eq!(
        acl,
        ["* ACL Team/Plans \"ann@example.org\" lrswipkxteacd \"bob@example.org\" lr"]
    );
    // Without another login. The level above is hidden from him.
    let shared = "Shared/ann@example.org/Plans";
    let names = bob.names().await;
    let of_others: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("Shared"))
        .collect();
    assert_eq!(of_others, ["Shared", "Shared/ann@example.org", shared]);
    let lines = bob.ok("LIST \"\" \"Shared%\"").await;
    assert_eq!(lines, ["* LIST (\\Noselect \\HasChildren) \"/\" Shared"]);
    let lines = bob.ok(&format!("MYRIGHTS {shared}")).await;
    assert_eq!(lines, [format!("* MYRIGHTS \"{shared}\" lr")]);
    let rows = [
        (format!("GETACL {shared}"), "NO [NOPERM] "),
        (
            format!("SETACL {shared} eve@example.org lr"),
            "NO [NOPERM] ",
        ),
        (format!("DELETE {shared}"), "NO [NOPERM] "),
        (format!("CREATE {shared}/x"), "NO [NOPERM] "),
        (format!("RENAME {shared} Mine"), "NO [CANNOT] "),
        ("STATUS Shared (MESSAGES)".to_owned(), "NO [CANNOT] "),
    ];
    for (command, expected) in rows {
        let end = bob.end(&command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
    bob.ok(&format!("STATUS {shared} (MESSAGES)")).await;
    bob.ok(&format!("SUBSCRIBE {shared}")).await;
    let line = format!("* LSUB () \"/\" \"{shared}\"");
    assert!(bob.ok("LSUB \"\" \"*\"").await.contains(&line));
    ann.ok("SETACL Team/Plans bob@example.org +kx").await;
    bob.ok(&format!("CREATE {shared}/x")).await;
    ann.ok("SETACL Team/Plans bob@example.org -l").await;
    ann.ok("DELETEACL Team/Plans bob@example.org").await;
    let end = bob.end(&format!("STATUS {shared} (MESSAGES)")).await;
    assert!(end.starts_with("NO [NONEXISTENT] "), "{end}");
}

/// RFC 4314 §4: RENAME needs `x` of the mailbox and `k` of where it goes.
#[tokio::test]
async fn a_mailbox_of_others_is_renamed_only_to_where_one_may_be_made() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let mut bob = server.login("bob").await;
    for (name, rights) in [("Team/Plans", "lrkx"), ("Open", "lrk"), ("Closed", "lr")] {
        ann.ok(&format!("CREATE {name}")).await;
        ann.ok(&format!("SETACL {name} bob@example.org {rights}"))
            .await;
    }
    let shared = |name: &str| format!("Shared/ann@example.org/{name}");
    let rows = [
        // Shown at the top, it stays below the level that is hidden.
        ("Plans", "Ideas", "OK "),
        ("Ideas", "Closed/Ideas", "NO [NOPERM] "),
        ("Ideas", "Team/Ideas", "NO [NOPERM] "),
        ("Ideas", "Open/Ideas", "OK "),
        ("Open/Ideas", "Ideas", "NO [NOPERM] "),
    ];
    for (from, to, expected) in rows {
        let command = format!("RENAME {} {}", shared(from), shared(to));
        let end = bob.end(&command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
        if to == "Ideas" && expected == "OK " {
            assert!(ann.names().await.contains(&"Team/Ideas".to_owned()));
        }
    }
    assert!(ann.names().await.contains(&"Open/Ideas".to_owned()));
}

#[tokio::test]
async fn rights_that_can_not_be_given() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.ok("CREATE Team").await;
    let rows = [
        ("SETACL Team bob@example.org lrq", "BAD "),
        ("SETACL Team anyone lr", "NO [CANNOT] "),
        ("SETACL Team -bob@example.org lr", "NO [CANNOT] "),
        ("SETACL Team nobody@example.org lr", "NO [CANNOT] "),
        ("SETACL Team ann@example.org lr", "NO [CANNOT] "),
        ("DELETEACL Team ann@example.org", "NO [CANNOT] "),
        ("GETACL None", "NO [NONEXISTENT] "),
    ];
    for (command, expected) in rows {
        let end = ann.end(command).await;
        assert!(end.starts_with(expected), "{command}: {end}");
    }
    let lines = ann.ok("LISTRIGHTS Team bob@example.org").await;
    assert_eq!(
        lines,
        ["* LISTRIGHTS Team \"bob@example.org\" \"\" lr s w i p k x te a"]
    );
    let lines = ann.ok("LISTRIGHTS Team ann@example.org").await;
    assert_eq!(
        lines,
        ["* LISTRIGHTS Team \"ann@example.org\" lrswipkxteacd"]
    );
    // INBOX can't be deleted.
    let lines = ann.ok("MYRIGHTS INBOX").await;
    assert_eq!(lines, ["* MYRIGHTS INBOX lrswipkteacd"]);
}

#[tokio::test]
async fn quotas_are_told_where_there_are_any() {
    let server = start_with(
        Limits {
            default_quota_octets: 0,
            ..Limits::default()
        },
        |_| {},
    )
    .await;
    let mut bob = server.login("bob").await;
    assert_eq!(bob.ok("GETQUOTAROOT INBOX").await, ["* QUOTAROOT INBOX"]);
    let end = bob.end("GETQUOTA bob@example.org").await;
    assert!(end.starts_with("NO [NONEXISTENT] "), "{end}");
    let id = server
        .core
        .account_named("bob@example.org")
        .await
        .unwrap()
        .id;
    server
        .core
        .set_quota(&Caller::server(), id, Some(10 << 20))
        .await
        .unwrap();
    let lines = bob.ok("GETQUOTAROOT inbox").await;
    let quota = "* QUOTA \"bob@example.org\" (STORAGE 0 10240)";
    assert_eq!(lines, ["* QUOTAROOT INBOX \"bob@example.org\"", quota]);
    assert_eq!(bob.ok("GETQUOTA bob@example.org").await, [quota]);
    for command in ["GETQUOTA \"\"", "GETQUOTA ann@example.org"] {
        assert!(bob.end(command).await.starts_with("NO [NONEXISTENT] "));
    }
    let end = bob.end("SETQUOTA bob@example.org (STORAGE 1)").await;
    assert!(end.starts_with("NO [NOPERM] "), "{end}");
}
