//! Names and trees.

use jmap_core::access::MailboxRights;

use super::*;

#[test]
fn levels_are_escaped_and_come_back() {
    let rows = [
        ("Drafts", "Drafts"),
        ("a/b", "a=2Fb"),
        ("a=b", "a=b"),
        ("a=2Fb", "a=3D2Fb"),
        ("=/", "==2F"),
        ("=2/", "=2=2F"),
        ("50=20off", "50=3D20off"),
        ("tab\there", "tab=09here"),
        ("Entwürfe", "Entwürfe"),
        ("Entwu\u{308}rfe", "Entwu=CC=88rfe"),
        ("\u{85}", "=C2=85"),
        ("日本語", "日本語"),
        ("=", "="),
        ("=3D", "=3D3D"),
    ];
    for (name, escaped) in rows {
        assert_eq!(escape(name), escaped);
        assert_eq!(unescape(escaped), name);
    }
    // Not made here, and not understood.
    for level in ["=FF", "=2f", "=G0", "=ü"] {
        assert_eq!(unescape(level), level);
    }
}

#[test]
fn inbox_is_inbox_in_any_letter_case() {
    let rows = [
        ("inbox", Some("INBOX")),
        ("Inbox/a", Some("INBOX/a")),
        ("inboxes", Some("inboxes")),
        ("a/inbox", Some("a/inbox")),
        ("a/", Some("a")),
        ("a//b", None),
        ("/a", None),
        ("", None),
        ("/", None),
        ("e\u{301}", Some("é")),
    ];
    for (name, expected) in rows {
        assert_eq!(canonical(name).as_deref(), expected, "{name}");
    }
    assert!(canonical(&"a".repeat(NAME_OCTETS_MAX)).is_some());
    assert!(canonical(&"a".repeat(NAME_OCTETS_MAX + 1)).is_none());
    assert!(canonical(&vec!["a"; LEVELS_MAX].join("/")).is_some());
    assert!(canonical(&vec!["a"; LEVELS_MAX + 1].join("/")).is_none());
}

fn mailbox(account: u64, id: u64, name: &str, parent: Option<u64>) -> ViewMailbox {
    ViewMailbox {
        key: MailboxKey {
            account: AccountId::new(account),
            mailbox: id,
        },
        name: name.to_owned(),
        parent,
        role: None,
        sort_order: 0,
        is_subscribed: false,
        rights: MailboxRights::ALL,
        uid_validity: 1,
    }
}

fn account(id: u64, name: &str) -> ViewAccount {
    ViewAccount {
        id: AccountId::new(id),
        name: name.to_owned(),
        is_own: id == 1,
    }
}

fn tree() -> Tree {
    let accounts = vec![account(1, "ann@example.org"), account(2, "bob@example.org")];
    let inbox = ViewMailbox {
        role: Some("inbox".to_owned()),
        ..mailbox(1, 1, "Posteingang", Some(2))
    };
    let mailboxes = vec![
        inbox,
        mailbox(1, 2, "Work", None),
        mailbox(1, 3, "a/b", Some(2)),
        mailbox(1, 4, "Inbox", None),
        mailbox(1, 5, "Shared", None),
        mailbox(1, 6, "child", Some(1)),
        // A circle.
        mailbox(1, 7, "x", Some(8)),
        mailbox(1, 8, "y", Some(7)),
        mailbox(2, 1, "Plans", None),
        mailbox(2, 2, "Plans", None),
        mailbox(2, 3, "Shared", None),
    ];
    Tree::new(accounts, mailboxes)
}

#[test]
fn every_mailbox_has_one_name() {
    let tree = tree();
    let names: Vec<&str> = tree.nodes().iter().map(|n| n.name.as_str()).collect();
    let expected = [
        "INBOX",
        "INBOX/child",
        "=49nbox",
        "=53hared",
        "Shared",
        "Shared/bob@example.org",
        "Shared/bob@example.org/Plans",
        "Shared/bob@example.org/Plans~2",
        "Shared/bob@example.org/Shared",
        "Work",
        "Work/a=2Fb",
    ];
    assert_eq!(names, expected);
    assert_eq!(tree.mailbox("inbox").unwrap().key.mailbox, 1);
    assert_eq!(tree.mailbox("Work/a=2Fb").unwrap().name, "a/b");
    assert!(tree.mailbox("Shared").is_none() && tree.get("Shared").unwrap().has_children);
    assert!(tree.get("Work").unwrap().has_children);
    assert!(!tree.get("=53hared").unwrap().has_children);
}

#[test]
fn new_names_have_a_place() {
    let tree = tree();
    let place = |account, parent, missing: &[&str]| {
        Ok(Place {
            account: AccountId::new(account),
            parent,
            missing: missing.iter().map(|&level| level.to_owned()).collect(),
        })
    };
    let rows = [
        ("New", place(1, None, &["New"])),
        ("New/", place(1, None, &["New"])),
        ("Work/a/b", place(1, Some(2), &["a", "b"])),
        ("INBOX/x", place(1, Some(1), &["x"])),
        ("x=2Fy", place(1, None, &["x/y"])),
        ("Shared/bob@example.org/New", place(2, None, &["New"])),
        ("Shared/bob@example.org/Plans/x", place(2, Some(1), &["x"])),
        ("inbox", Err(NameError::Exists)),
        ("Work", Err(NameError::Exists)),
        ("Shared", Err(NameError::Exists)),
        ("Shared/eve@example.org", Err(NameError::NoAccount)),
        ("Shared/eve@example.org/x", Err(NameError::NoAccount)),
        ("a//b", Err(NameError::Levels)),
        ("=41", Err(NameError::Escape)),
        ("shared", Err(NameError::Escape)),
    ];
    for (name, expected) in rows {
        assert_eq!(tree.place(name), expected, "{name}");
    }
}
