//! METADATA (RFC 5464) and LIST-METADATA (RFC 9590).

use jmap_core::Limits;
use jmap_core::inproc::imap_view::{
    METADATA_ENTRIES_MAX, METADATA_NAME_OCTETS_MAX, METADATA_OCTETS_MAX, METADATA_VALUE_OCTETS_MAX,
};

use crate::fixture::{Client, start, start_with};

/// Lines, and the literals in them, of a GETMETADATA that has one response.
async fn get(client: &mut Client, rest: &str) -> String {
    client.ok(&format!("GETMETADATA {rest}")).await.join("\n")
}

#[tokio::test]
async fn annotations_are_set_read_and_removed() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let absent = get(&mut ann, "INBOX /private/comment").await;
    assert_eq!(absent, "* METADATA INBOX (/private/comment NIL)");
    ann.ok("SETMETADATA inbox (/Private/Comment \"mine\" /shared/comment \"for all\")")
        .await;
    let both = get(&mut ann, "INBOX (/shared/comment /private/comment)").await;
    let expected = "* METADATA INBOX (/private/comment mine /shared/comment \"for all\")";
    assert_eq!(both.replace("\"mine\"", "mine"), expected);
    ann.ok("SETMETADATA INBOX (/private/comment NIL)").await;
    let absent = get(&mut ann, "INBOX /private/comment").await;
    assert_eq!(absent, "* METADATA INBOX (/private/comment NIL)");
    // An empty value is one.
    ann.ok("SETMETADATA INBOX (/private/comment \"\")").await;
    let empty = get(&mut ann, "INBOX /private/comment").await;
    assert_eq!(empty, "* METADATA INBOX (/private/comment \"\")");
    for name in ["/private", "/other/comment", "/shared/vendor/x"] {
        for command in [
            format!("SETMETADATA INBOX ({name} \"x\")"),
            format!("GETMETADATA INBOX {name}"),
        ] {
            assert!(ann.end(&command).await.starts_with("BAD "), "{command}");
        }
    }
    let end = ann.end("GETMETADATA none /private/comment").await;
    assert!(end.starts_with("NO [NONEXISTENT] "), "{end}");
}

#[tokio::test]
async fn octets_of_any_kind_come_back() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.send(b"x SETMETADATA INBOX (/private/comment ~{4+}\r\na\0\xff\n)\r\n")
        .await;
    assert!(ann.until("x").await[0].starts_with("OK "));
    ann.send("y GETMETADATA INBOX /private/comment\r\n").await;
    assert_eq!(ann.line().await, "* METADATA INBOX (/private/comment ~{4}");
    let octets = ann.wire.read_exact(4, 4, net::Pace::DATA).await.unwrap();
    assert_eq!(octets, b"a\0\xff\n");
    assert_eq!(ann.line().await, ")");
    assert!(ann.until("y").await[0].starts_with("OK "));
}

#[tokio::test]
async fn depth_and_size_choose() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.ok("SETMETADATA INBOX (/private/f/v \"12345\" /private/f/v/a \"1\" /private/f/v/a/b \"22\" /private/f/vx \"3\")")
        .await;
    let rows = [
        ("INBOX (DEPTH 0) /private/f", "(/private/f NIL)"),
        ("INBOX /private/f/v", "(/private/f/v \"12345\")"),
        (
            "INBOX (DEPTH 1) /private/f/v",
            "(/private/f/v \"12345\" /private/f/v/a \"1\")",
        ),
        (
            "INBOX (DEPTH infinity) (/private /private/f/v)",
            "(/private/f/v \"12345\" /private/f/v/a \"1\" /private/f/v/a/b \"22\" /private/f/vx \"3\")",
        ),
    ];
    for (rest, expected) in rows {
        let line = get(&mut ann, rest).await;
        assert_eq!(line, format!("* METADATA INBOX {expected}"), "{rest}");
    }
    let lines = ann
        .say("GETMETADATA (MAXSIZE 2 DEPTH infinity) INBOX (/private/f/v)")
        .await;
    assert_eq!(
        lines[0],
        "* METADATA INBOX (/private/f/v/a \"1\" /private/f/v/a/b \"22\")"
    );
    assert!(
        lines[1].starts_with("OK [METADATA LONGENTRIES 5] "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn what_is_private_is_ones_own_and_rights_decide() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let mut bob = server.login("bob").await;
    ann.ok("CREATE Team").await;
    ann.ok("SETMETADATA Team (/private/comment \"ann\" /shared/comment \"all\")")
        .await;
    let team = "Shared/ann@example.org/Team";
    let command = format!("GETMETADATA {team} /shared/comment");
    let end = bob.end(&command).await;
    assert!(end.starts_with("NO [NONEXISTENT] "), "{end}");
    ann.ok("SETACL Team bob@example.org lr").await;
    let lines = bob
        .ok(&format!(
            "GETMETADATA {team} (/private/comment /shared/comment)"
        ))
        .await;
    let expected = format!("* METADATA \"{team}\" (/private/comment NIL /shared/comment \"all\")");
    assert_eq!(lines, [expected]);
    bob.ok(&format!("SETMETADATA {team} (/private/comment \"bob\")"))
        .await;
    let line = get(&mut ann, "Team /private/comment").await;
    assert_eq!(line, "* METADATA Team (/private/comment \"ann\")");
    // Both, or none.
    let both = format!("SETMETADATA {team} (/private/comment \"x\" /shared/comment \"y\")");
    let end = bob.end(&both).await;
    assert!(end.starts_with("NO [NOPERM] "), "{end}");
    let lines = bob
        .ok(&format!("GETMETADATA {team} /private/comment"))
        .await;
    assert!(lines[0].ends_with("\"bob\")"), "{lines:?}");
    ann.ok("SETACL Team bob@example.org lrs").await;
    bob.ok(&both).await;
    let line = get(&mut ann, "Team /shared/comment").await;
    assert_eq!(line, "* METADATA Team (/shared/comment \"y\")");
}

#[tokio::test]
async fn they_go_where_their_mailbox_goes() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.ok("CREATE a").await;
    ann.ok("SETMETADATA a (/private/comment \"x\")").await;
    ann.ok("RENAME a b").await;
    let line = get(&mut ann, "b /private/comment").await;
    assert_eq!(line, "* METADATA b (/private/comment \"x\")");
    ann.ok("DELETE b").await;
    ann.ok("CREATE b").await;
    let line = get(&mut ann, "b /private/comment").await;
    assert_eq!(line, "* METADATA b (/private/comment NIL)");
    ann.ok("SETMETADATA INBOX (/shared/comment \"old\")").await;
    ann.ok("RENAME INBOX c").await;
    for name in ["INBOX", "c"] {
        let line = get(&mut ann, &format!("{name} /shared/comment")).await;
        assert_eq!(line, format!("* METADATA {name} (/shared/comment \"old\")"));
    }
    let problems = server
        .core
        .check(Default::default(), &|_| ())
        .await
        .unwrap()
        .problems;
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test]
async fn the_server_has_some_too() {
    let server = start_with(Limits::default(), |config| {
        config.admin_uri = Some("mailto:postmaster@example.org".to_owned());
    })
    .await;
    let mut ann = server.login("ann").await;
    let line = get(&mut ann, "\"\" (/shared/admin /shared/comment)").await;
    assert_eq!(
        line,
        "* METADATA \"\" (/shared/admin \"mailto:postmaster@example.org\" /shared/comment NIL)"
    );
    ann.ok("SETMETADATA \"\" (/private/vendor/x/y \"1\")").await;
    let line = get(&mut ann, "\"\" (DEPTH infinity) /private").await;
    assert_eq!(line, "* METADATA \"\" (/private/vendor/x/y \"1\")");
    let end = ann.end("SETMETADATA \"\" (/shared/admin \"x\")").await;
    assert!(end.starts_with("NO [NOPERM] "), "{end}");
    let mut bob = server.login("bob").await;
    let lines = bob.ok("GETMETADATA \"\" (DEPTH infinity) /private").await;
    assert!(lines.is_empty(), "{lines:?}");
}

#[tokio::test]
async fn special_uses_are_annotations_too() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let line = get(&mut ann, "Sent /private/specialuse").await;
    assert_eq!(line, "* METADATA Sent (/private/specialuse \"\\\\Sent\")");
    let end = ann.end("SETMETADATA Sent (/private/specialuse NIL)").await;
    assert!(end.starts_with("NO [USEATTR] "), "{end}");
}

#[tokio::test]
async fn there_are_limits() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    let set = |name: &str, octets: usize| {
        let value = "x".repeat(octets);
        format!("SETMETADATA INBOX ({name} \"{value}\")")
    };
    ann.ok(&set("/private/a", METADATA_VALUE_OCTETS_MAX)).await;
    let end = ann
        .end(&set("/private/a", METADATA_VALUE_OCTETS_MAX + 1))
        .await;
    assert!(end.starts_with("NO [METADATA MAXSIZE 16384] "), "{end}");
    let name = |octets: usize| format!("/private/{}", "n".repeat(octets - "/private/".len()));
    ann.ok(&set(&name(METADATA_NAME_OCTETS_MAX), 1)).await;
    let end = ann.end(&set(&name(METADATA_NAME_OCTETS_MAX + 1), 1)).await;
    assert!(end.starts_with("NO [LIMIT] "), "{end}");
    for at in 2..METADATA_ENTRIES_MAX {
        ann.ok(&set(&format!("/private/e{at}"), 1)).await;
    }
    let end = ann.end(&set("/private/more", 1)).await;
    assert!(end.starts_with("NO [METADATA TOOMANY] "), "{end}");
    // One in the place of another, and shared ones, which are counted by themselves.
    ann.ok(&set("/private/e2", 2)).await;
    let fit = METADATA_OCTETS_MAX / (METADATA_VALUE_OCTETS_MAX + 16);
    for at in 0..fit {
        ann.ok(&set(&format!("/shared/e{at}"), METADATA_VALUE_OCTETS_MAX))
            .await;
    }
    let end = ann
        .end(&set("/shared/more", METADATA_VALUE_OCTETS_MAX))
        .await;
    assert!(end.starts_with("NO [METADATA TOOMANY] "), "{end}");
    // What was removed makes room.
    ann.ok("SETMETADATA INBOX (/shared/e0 NIL)").await;
    ann.ok(&set("/shared/more", METADATA_VALUE_OCTETS_MAX))
        .await;
}

#[tokio::test]
async fn lists_tell_annotations() {
    let server = start().await;
    let mut ann = server.login("ann").await;
    ann.ok("CREATE a").await;
    ann.ok("CREATE ab").await;
    ann.ok("SETMETADATA a (/shared/comment \"x\")").await;
    let lines = ann
        .ok("LIST \"\" a% RETURN (METADATA (/shared/comment))")
        .await;
    let expected = [
        "* LIST (\\HasNoChildren) \"/\" a",
        "* METADATA a (/shared/comment \"x\")",
        "* LIST (\\HasNoChildren) \"/\" ab",
        "* METADATA ab (/shared/comment NIL)",
    ];
    assert_eq!(lines, expected);
    let end = ann.end("LIST \"\" a RETURN (METADATA (/x/y))").await;
    assert!(end.starts_with("BAD "), "{end}");
}
