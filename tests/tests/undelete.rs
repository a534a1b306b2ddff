//! Mail that was deleted, by each protocol, is brought back by its owner and by the administrator; also after a kill.

use std::collections::BTreeSet;

use e2e::{Jmap, Server, corpus::message};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";

/// What is in mailboxes by name: subjects with their keywords.
fn shown(jmap: &mut Jmap) -> BTreeSet<String> {
    let ids = jmap.query_all(json!({}));
    let emails = jmap.get_emails(&ids, &["subject", "keywords", "mailboxIds"]);
    let mailboxes = jmap.call("Mailbox/get", json!({"ids": null}));
    let name = |id: &String| {
        let list = mailboxes["list"].as_array().expect("no list");
        let row = list.iter().find(|row| row["id"] == id.as_str());
        row.expect("no mailbox")["name"]
            .as_str()
            .expect("no name")
            .to_owned()
    };
    let keys = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .expect("no object")
            .keys()
            .cloned()
            .collect()
    };
    let show = |email: &Value| {
        let mut places: Vec<String> = keys(&email["mailboxIds"]).iter().map(name).collect();
        places.sort();
        let mut keywords = keys(&email["keywords"]);
        keywords.sort();
        format!("{} {places:?} {keywords:?}", email["subject"])
    };
    emails.iter().map(show).collect()
}

fn deleted(jmap: &mut Jmap, filter: Value) -> Vec<String> {
    let found = jmap.call("DeletedEmail/query", json!({"filter": filter}));
    e2e::jmap::strings(&found["ids"])
}

#[test]
fn mail_deleted_by_each_protocol_comes_back() {
    let mut server = Server::start();
    let mut imap = server.imap("alice");
    imap.ok("CREATE Projects");
    for (subject, mailbox, flags) in [
        ("expunged", "INBOX", "\\Seen"),
        ("destroyed", "INBOX", "\\Flagged work"),
        ("moved", "INBOX", ""),
        ("with its mailbox", "Projects", "\\Seen"),
        ("left alone", "INBOX", ""),
    ] {
        let mail = message(
            &format!("{}@example.net", subject.len()),
            subject,
            "A text.",
        );
        assert!(imap.append(mailbox, flags, &mail).is_ok());
    }
    let mut jmap = server.jmap("alice");
    let before = shown(&mut jmap);
    // Expunged.
    imap.ok("SELECT INBOX");
    imap.ok("UID STORE 1 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    // To the trash, and within the account: nothing is deleted.
    imap.ok("UID MOVE 3 Trash");
    let moved = jmap.query_all(json!({"subject": "moved"}));
    let inbox = jmap.mailbox("inbox");
    let update = json!({"update": {moved[0].as_str(): {"mailboxIds": {inbox.as_str(): true}}}});
    jmap.call("Email/set", update);
    assert_eq!(deleted(&mut jmap, json!(null)).len(), 1);
    // Destroyed by JMAP, one by one and with its mailbox.
    let ids = jmap.query_all(json!({"subject": "destroyed"}));
    jmap.call("Email/set", json!({"destroy": ids}));
    let list = jmap.call("Mailbox/query", json!({"filter": {"name": "Projects"}}));
    let arguments = json!({"destroy": list["ids"], "onDestroyRemoveEmails": true});
    let done = jmap.call("Mailbox/set", arguments);
    assert_eq!(done["destroyed"], list["ids"], "{done}");
    // A kill changes nothing of it.
    drop((imap, jmap));
    server.kill();
    server.restart();
    let mut jmap = server.jmap("alice");
    let all = deleted(&mut jmap, json!(null));
    assert_eq!(all.len(), 3);
    let with_mailbox = deleted(
        &mut jmap,
        json!({"subject": "its mailbox", "from": "carol"}),
    );
    assert_eq!(with_mailbox.len(), 1);
    let get = jmap.call("DeletedEmail/get", json!({"ids": with_mailbox}));
    assert_eq!(get["list"][0]["subject"], "with its mailbox", "{get}");
    assert_eq!(get["list"][0]["mailboxIds"], json!({}), "{get}");
    assert_eq!(get["list"][0]["keywords"], json!({"$seen": true}), "{get}");
    // Nobody else sees it.
    let bob = server.jmap("bob").call("DeletedEmail/query", json!({}));
    assert_eq!(bob["ids"], json!([]));
    // The owner brings one back, once; the administrator the others.
    let restored = jmap.call("DeletedEmail/restore", json!({"ids": with_mailbox}));
    assert_eq!(restored["notRestored"], json!(null), "{restored}");
    let again = jmap.call("DeletedEmail/restore", json!({"ids": with_mailbox}));
    assert_eq!(
        again["notRestored"][&with_mailbox[0]]["type"], "notFound",
        "{again}"
    );
    let listed = server
        .home
        .cli(&["undelete", "list", ALICE, "--subject", "destroyed"], "");
    assert!(
        listed.contains("carol@example.net") && listed.lines().count() == 1,
        "{listed}"
    );
    let id = listed.split_whitespace().next().expect("no id");
    server.home.cli(&["undelete", "restore", ALICE, id], "");
    let failed = server.home.try_cli(&["undelete", "restore", ALICE, id], "");
    assert!(!failed.status.success());
    server
        .home
        .cli(&["undelete", "restore", ALICE, "--all"], "");
    assert_eq!(deleted(&mut jmap, json!(null)), Vec::<String>::new());
    // Its mailbox is gone.
    let moved = |row: String| row.replace("[\"Projects\"]", "[\"Inbox\"]");
    let wanted: BTreeSet<String> = before.into_iter().map(moved).collect();
    assert_eq!(shown(&mut jmap), wanted);
    jmap.check_counts();
    server.home.check();
}

#[test]
fn a_server_that_keeps_nothing_has_nothing_to_bring_back() {
    let server = Server::start_in(e2e::Home::with_people().set("undelete", "keep = \"0s\""));
    let mut jmap = server.jmap("alice");
    let inbox = jmap.mailbox("inbox");
    let id = jmap.import(&message("a@example.net", "gone", "A text."), &inbox);
    jmap.call("Email/set", json!({"destroy": [id]}));
    let listed = server.home.cli(&["undelete", "list", ALICE], "");
    assert!(listed.contains("nothing was deleted"), "{listed}");
    server.home.check();
}
