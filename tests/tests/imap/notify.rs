//! NOTIFY (RFC 5465): what a client is told of while it says nothing.

use std::time::Duration;

use jmap_core::Limits;
use tokio::time::timeout;

use crate::fixture::{Client, Fixture, start, start_with};

async fn append(client: &mut Client, mailbox: &str, subject: &str) {
    let text = format!("Subject: {subject}\r\n\r\nbody");
    let command = format!("APPEND {mailbox} {{{}+}}\r\n{text}", text.len());
    client.ok(&command).await;
}

/// Nothing comes for a moment.
async fn silence(client: &mut Client) {
    let line = timeout(Duration::from_millis(300), client.line()).await;
    assert!(line.is_err(), "{line:?}");
}

/// Two sessions of ann; the first has INBOX selected, with two messages in it.
async fn pair(server: &Fixture) -> (Client, Client) {
    let mut other = server.login("ann").await;
    append(&mut other, "INBOX", "one").await;
    append(&mut other, "INBOX", "two").await;
    let mut client = server.login("ann").await;
    client.ok("ENABLE IMAP4rev2").await;
    client.ok("SELECT INBOX").await;
    (client, other)
}

#[tokio::test]
async fn the_selected_mailbox_is_told_of_at_once() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (SELECTED (MessageNew (BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))")
        .await;
    append(&mut other, "INBOX", "three").await;
    assert_eq!(client.line().await, "* 3 EXISTS");
    let line = client.line().await;
    assert!(
        line.starts_with("* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)] {"),
        "{line}"
    );
    assert_eq!(client.line().await, "Subject: three");
    assert_eq!(client.line().await, "");
    assert_eq!(client.line().await, ")");
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(client.line().await, "* 1 FETCH (UID 1 FLAGS (\\Seen))");
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    let line = client.line().await;
    assert!(
        line.starts_with("* 1 FETCH (UID 1 FLAGS (") && line.contains("\\Deleted"),
        "{line}"
    );
    other.ok("EXPUNGE").await;
    assert_eq!(client.line().await, "* 1 EXPUNGE");
    // One's own messages are announced, and not shown.
    let text = "Subject: x\r\n\r\n";
    let lines = client
        .ok(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()))
        .await;
    assert_eq!(lines, ["* 3 EXISTS"]);
    let lines = client.ok("UID COPY 2 INBOX").await;
    assert_eq!(lines, ["* 4 EXISTS"]);
    silence(&mut client).await;
}

#[tokio::test]
async fn delayed_keeps_the_numbers_until_a_command() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))")
        .await;
    other.ok("SELECT INBOX").await;
    // Flags are not asked for.
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    append(&mut other, "INBOX", "three").await;
    assert_eq!(client.line().await, "* 3 EXISTS");
    silence(&mut client).await;
    let lines = client.ok("NOOP").await;
    assert_eq!(lines, ["* 1 EXPUNGE"]);
    let lines = client.ok("STORE 1 +FLAGS (\\Flagged)").await;
    assert_eq!(lines, ["* 1 FETCH (UID 2 FLAGS (\\Flagged))"]);
}

#[tokio::test]
async fn who_asks_for_nothing_is_told_nothing() {
    let server = start().await;
    for command in ["NOTIFY NONE", "NOTIFY SET (personal (MailboxName))"] {
        let (mut client, mut other) = pair(&server).await;
        client.ok(command).await;
        append(&mut other, "INBOX", "more").await;
        silence(&mut client).await;
        assert!(client.ok("NOOP").await.is_empty(), "{command}");
        // What it does itself it is told of: the numbers are others.
        client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
        let lines = client.ok("EXPUNGE").await;
        assert_eq!(lines[0], "* 1 EXPUNGE", "{command}");
        other.ok("SELECT INBOX").await;
        other.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").await;
        other.ok("EXPUNGE").await;
    }
}

#[tokio::test]
async fn other_mailboxes_are_told_of_by_status() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    other.ok("CREATE Lists/a").await;
    append(&mut other, "Lists/a", "x").await;
    let lines = client
        .ok("NOTIFY SET STATUS (selected (MessageNew MessageExpunge)) (subtree Lists (MessageNew MessageExpunge FlagChange))")
        .await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[1].starts_with("* STATUS Lists/a (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "),
        "{lines:?}"
    );
    assert!(lines[1].contains(" HIGHESTMODSEQ "), "{lines:?}");
    append(&mut other, "Lists/a", "y").await;
    let line = client.line().await;
    let start = "* STATUS Lists/a (MESSAGES 2 UIDNEXT 3 UNSEEN 2 UIDVALIDITY ";
    assert!(line.starts_with(start), "{line}");
    other.ok("SELECT Lists/a").await;
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    let line = client.line().await;
    assert!(
        line.starts_with("* STATUS Lists/a (UNSEEN 1 UIDVALIDITY "),
        "{line}"
    );
    // Without CONDSTORE there is nothing to tell of other flags.
    other.ok("STORE 1 +FLAGS (\\Flagged)").await;
    silence(&mut client).await;
    client.ok("ENABLE CONDSTORE").await;
    other.ok("STORE 1 -FLAGS (\\Flagged)").await;
    let line = client.line().await;
    assert!(
        line.starts_with("* STATUS Lists/a (HIGHESTMODSEQ "),
        "{line}"
    );
    // The selected one is told of as the selected one is, whatever else it matches.
    client.ok("SELECT Lists/a").await;
    append(&mut other, "Lists/a", "z").await;
    assert_eq!(client.line().await, "* 3 EXISTS");
    silence(&mut client).await;
    // Others that nobody asked for.
    append(&mut other, "Trash", "z").await;
    silence(&mut client).await;
}

#[tokio::test]
async fn names_and_subscriptions_are_told() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (personal (MailboxName SubscriptionChange))")
        .await;
    other.ok("CREATE a").await;
    assert_eq!(client.line().await, "* LIST (\\HasNoChildren) \"/\" a");
    other.ok("CREATE a/b").await;
    assert_eq!(client.line().await, "* LIST (\\HasNoChildren) \"/\" a/b");
    assert_eq!(client.line().await, "* LIST (\\HasChildren) \"/\" a");
    other.ok("SUBSCRIBE a").await;
    assert_eq!(
        client.line().await,
        "* LIST (\\HasChildren \\Subscribed) \"/\" a"
    );
    other.ok("UNSUBSCRIBE a").await;
    assert_eq!(client.line().await, "* LIST (\\HasChildren) \"/\" a");
    other.ok("RENAME a c").await;
    assert_eq!(
        client.line().await,
        "* LIST (\\HasChildren) \"/\" c (\"OLDNAME\" (a))"
    );
    other.ok("DELETE c/b").await;
    assert_eq!(client.line().await, "* LIST (\\NonExistent) \"/\" c/b");
    assert_eq!(client.line().await, "* LIST (\\HasNoChildren) \"/\" c");
    // Nothing of what it does itself.
    assert!(client.ok("CREATE d/e").await.is_empty());
    assert!(client.ok("SUBSCRIBE d").await.is_empty());
    assert!(client.ok("DELETE d/e").await.is_empty());
    silence(&mut client).await;
    // A mailbox that is shared is there, and one that is no longer isn't.
    client.ok("NOTIFY SET (subtree Shared (MailboxName)) (mailboxes Shared/bob@example.org/x (MailboxName))")
        .await;
    let mut bob = server.login("bob").await;
    bob.ok("CREATE x").await;
    bob.ok("SETACL x ann@example.org lr").await;
    let line = client.line().await;
    assert!(
        line.ends_with(" \"/\" \"Shared/bob@example.org/x\""),
        "{line}"
    );
    bob.ok("DELETEACL x ann@example.org").await;
    assert_eq!(
        client.line().await,
        "* LIST (\\NonExistent) \"/\" \"Shared/bob@example.org/x\""
    );
}

#[tokio::test]
async fn annotations_are_told_by_name() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (mailboxes INBOX (MailboxMetadataChange ServerMetadataChange))")
        .await;
    other
        .ok("SETMETADATA INBOX (/private/comment \"x\" /shared/comment \"y\")")
        .await;
    assert_eq!(
        client.line().await,
        "* METADATA INBOX /private/comment /shared/comment"
    );
    other.ok("SETMETADATA INBOX (/shared/comment NIL)").await;
    assert_eq!(client.line().await, "* METADATA INBOX /shared/comment");
    other
        .ok("SETMETADATA \"\" (/private/vendor/x/y \"1\")")
        .await;
    assert_eq!(client.line().await, "* METADATA \"\" /private/vendor/x/y");
    other.ok("SETMETADATA Sent (/private/comment \"x\")").await;
    silence(&mut client).await;
}

#[tokio::test]
async fn idle_tells_the_same() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge)) (mailboxes Sent (MessageNew MessageExpunge))")
        .await;
    client.send("i IDLE\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    append(&mut other, "Sent", "x").await;
    assert!(
        client
            .line()
            .await
            .starts_with("* STATUS Sent (MESSAGES 1 UIDNEXT 2 ")
    );
    other.ok("SELECT INBOX").await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    assert_eq!(client.line().await, "* 1 EXPUNGE");
    client.send("DONE\r\n").await;
    assert!(client.until("i").await[0].starts_with("OK "));
}

#[tokio::test]
async fn searches_show_what_they_find() {
    let server = start().await;
    let (mut client, mut other) = pair(&server).await;
    client
        .ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
        .await;
    client
        .send("s UID SEARCH RETURN (UPDATE (RFC822.SIZE) COUNT) SUBJECT boss\r\n")
        .await;
    assert_eq!(
        client.until("s").await[0],
        "* ESEARCH (TAG \"s\") UID COUNT 0"
    );
    append(&mut other, "INBOX", "nobody").await;
    assert_eq!(client.line().await, "* 3 EXISTS");
    append(&mut other, "INBOX", "boss").await;
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(client.line().await);
    }
    assert_eq!(
        lines,
        [
            "* 4 EXISTS",
            "* ESEARCH (TAG \"s\") UID ADDTO (0 4)",
            "* 4 FETCH (UID 4 RFC822.SIZE 21)"
        ]
    );
}

#[tokio::test]
async fn what_can_not_be_asked_for() {
    let server = start().await;
    let mut client = server.login("ann").await;
    let events = "(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
                  MailboxMetadataChange ServerMetadataChange)";
    let bad_event = format!("NO [BADEVENT {events}] ");
    let rows = [
        ("(personal (AnnotationChange))", bad_event.as_str()),
        ("(personal (Unheard))", &bad_event),
        ("(selected (MailboxName))", "BAD "),
        ("(selected (MessageNew))", "BAD "),
        ("(personal (MessageExpunge))", "BAD "),
        ("(personal (FlagChange))", "BAD "),
        ("(personal (MessageNew (UID) MessageExpunge))", "BAD "),
        (
            "(selected (MessageNew MessageExpunge)) (selected-delayed NONE)",
            "BAD ",
        ),
    ];
    for (groups, expected) in rows {
        let end = client.end(&format!("NOTIFY SET {groups}")).await;
        assert!(end.starts_with(expected), "{groups}: {end}");
    }
    // One past `NEW_ITEMS_MAX`.
    let show = |count: usize| {
        let items: Vec<String> = (1..=count).map(|n| format!("BODY.PEEK[{n}]")).collect();
        let items = items.join(" ");
        format!("NOTIFY SET (selected (MessageNew ({items}) MessageExpunge))")
    };
    client.ok(&show(50)).await;
    assert!(client.end(&show(51)).await.starts_with("BAD "));
    // Mailboxes that aren't there are passed over.
    client
        .ok("NOTIFY SET (mailboxes none (MessageNew MessageExpunge))")
        .await;
}

/// One past `WATCHED_MAILBOXES_MAX`, which is 2000.
#[tokio::test]
async fn too_many_mailboxes_are_not_watched() {
    let server = start_with(Limits::default(), |_| {}).await;
    let mut client = server.login("ann").await;
    let there = client.names().await.len();
    for first in (there..2000).step_by(100) {
        let mut commands = String::new();
        let last = (first + 100).min(2000);
        for number in first..last {
            commands.push_str(&format!("c{number} CREATE m{number}\r\n"));
        }
        client.send(commands).await;
        client.until(&format!("c{}", last - 1)).await;
    }
    client.ok("NOTIFY SET (personal (MailboxName))").await;
    let mut other = server.login("ann").await;
    other.ok("CREATE more").await;
    assert!(
        client
            .line()
            .await
            .starts_with("* OK [NOTIFICATIONOVERFLOW] ")
    );
    let end = client.end("NOTIFY SET (personal (MailboxName))").await;
    assert!(end.starts_with("NO [NOTIFICATIONOVERFLOW] "), "{end}");
    client
        .ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
        .await;
}
