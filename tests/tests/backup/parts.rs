//! One mail, one mailbox, one account come back into a server that works.

use e2e::{Server, jmap::string};
use serde_json::json;

use crate::{
    deliver, folder, json,
    model::{Model, make_it_various},
    number, text, text_of,
};

#[test]
fn one_mail_one_mailbox_and_one_account_come_back() {
    let server = Server::start();
    deliver(server.home.smtp, 0..60);
    make_it_various(&server);
    let repository = folder(&server.home, "backup");
    let place = text(&repository);
    json(&server.home, &["backup", place]);
    let before = Model::of(&server, "alice");
    let restore = |args: &[&str]| {
        let of = ["restore", place, "--account", "alice@example.org"];
        json(&server.home, &[&of, args].concat())
    };

    // One mail, while a session of IMAP and one of JMAP look on.
    let mut jmap = server.jmap("alice");
    let mut imap = server.imap("alice");
    let gone = jmap.query_all(json!({"subject": "message 7"}));
    jmap.call("Email/set", json!({"destroy": gone}));
    imap.ok("SELECT INBOX");
    let state = jmap.email_state();
    let done = restore(&["--message-id", "<7@backup.example>"]);
    assert_eq!(number(&done, "emails"), 1, "{done}");
    let changes = jmap.call("Email/changes", json!({"sinceState": state}));
    assert_eq!(changes["created"].as_array().map(Vec::len), Some(1));
    let news = imap.ok("NOOP");
    assert!(news.number_after("* ").is_some(), "{news:?}");
    assert_eq!(jmap.query_all(json!({"subject": "message 7"})).len(), 1);

    // One mailbox, with what is below it.
    let projects: Vec<String> = {
        let found = jmap.call("Mailbox/query", json!({"filter": {"name": "2026"}}));
        e2e::jmap::strings(&found["ids"])
    };
    let there = jmap.query_all(json!({"inMailbox": projects[0]}));
    assert!(there.len() > 5);
    jmap.call("Email/set", json!({"destroy": there}));
    jmap.call("Mailbox/set", json!({"destroy": projects}));
    let done = restore(&["--mailbox", "Projects"]);
    assert_eq!(number(&done, "emails"), there.len() as u64, "{done}");
    assert_eq!(number(&done, "madeMailboxes"), 1, "{done}");
    let found = jmap.call("Mailbox/query", json!({"filter": {"name": "2026"}}));
    let back = jmap.query_all(json!({"inMailbox": string(&found["ids"][0])}));
    assert_eq!(back.len(), there.len());

    // All of it: some are back in one mailbox where they were in two.
    let again = restore(&[]);
    assert_eq!(number(&again, "emails"), 0, "{again}");
    assert_eq!(number(&again, "alreadyThere"), before.emails() as u64);

    // An account that was removed.
    server
        .home
        .cli(&["account", "remove", "alice@example.org"], "");
    let done = restore(&[]);
    assert_eq!(done["madeAccount"], json!(true));
    assert_eq!(number(&done, "emails"), before.emails() as u64, "{done}");
    let mut jmap = server.jmap("alice");
    assert_eq!(jmap.query_all(json!({})).len(), before.emails());
    let scripts = jmap.call("SieveScript/get", json!({"ids": null}));
    assert_eq!(scripts["list"][0]["name"], json!("mine"));
    assert_eq!(scripts["list"][0]["isActive"], json!(true));
    let identities = jmap.call("Identity/get", json!({"ids": null}));
    assert!(identities.to_string().contains("Alice at work"));

    // Into another account.
    let done = restore(&[
        "--into",
        "bob@example.org",
        "--message-id",
        "7@backup.example",
    ]);
    assert_eq!(done["account"], json!("bob@example.org"));
    assert_eq!(
        server
            .jmap("bob")
            .query_all(json!({"subject": "message 7"}))
            .len(),
        1
    );
    let refused = server.home.try_cli(&["restore", place], "");
    assert!(
        text_of(&refused).contains("a server runs"),
        "{}",
        text_of(&refused)
    );
    server.home.check();
}
