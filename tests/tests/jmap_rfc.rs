//! What RFC 8621 says of mail, asked from outside.

use e2e::{
    Jmap, Server,
    corpus::message,
    jmap::{string, strings},
};
use serde_json::{Value, json};

fn mail(jmap: &mut Jmap, n: usize) -> String {
    let inbox = jmap.mailbox("inbox");
    jmap.import(
        &message(
            &format!("{n}@rfc.example"),
            &format!("subject {n}"),
            &format!("body {n}"),
        ),
        &inbox,
    )
}

#[test]
fn email_query_changes_give_the_new_result() {
    let server = Server::start();
    let mut jmap = server.jmap("alice");
    let mut ids: Vec<String> = (0..12).map(|n| mail(&mut jmap, n)).collect();
    let query = json!({"filter": {"notKeyword": "$flagged"}, "sort": [{"property": "subject"}]});
    let before = jmap.call("Email/query", query.clone());
    let removed = ids.remove(3);
    jmap.call(
        "Email/set",
        json!({"destroy": [removed], "update": {&ids[5]: {"keywords/$flagged": true}}}),
    );
    mail(&mut jmap, 50);
    let mut asked = query.clone();
    asked["sinceQueryState"] = before["queryState"].clone();
    if before["canCalculateChanges"] != json!(true) {
        assert_eq!(
            jmap.error_of("Email/queryChanges", asked),
            "cannotCalculateChanges"
        );
        return;
    }
    let changes = jmap.call("Email/queryChanges", asked);
    // RFC 8620 §5.6: take out what was removed, put in what was added, by index.
    let removed = strings(&changes["removed"]);
    let mut result: Vec<String> = strings(&before["ids"])
        .into_iter()
        .filter(|id| !removed.contains(id))
        .collect();
    for added in changes["added"].as_array().expect("no list") {
        let index = added["index"].as_u64().expect("no index") as usize;
        result.insert(index.min(result.len()), string(&added["id"]));
    }
    assert_eq!(result, strings(&jmap.call("Email/query", query)["ids"]));
}

#[test]
fn a_state_that_is_not_the_last_one_stops_a_set() {
    let server = Server::start();
    let mut jmap = server.jmap("alice");
    let state = jmap.email_state();
    let id = mail(&mut jmap, 1);
    assert_eq!(
        jmap.error_of("Email/set", json!({"ifInState": state, "destroy": [id]})),
        "stateMismatch"
    );
    assert_eq!(jmap.query_all(Value::Null), [id]);
}

#[test]
fn a_mailbox_with_mail_is_destroyed_only_when_asked_to() {
    let server = Server::start();
    let mut jmap = server.jmap("alice");
    let created = jmap.call(
        "Mailbox/set",
        json!({"create": {"m": {"name": "Projects"}}}),
    );
    let mailbox = string(&created["created"]["m"]["id"]);
    jmap.import(&message("m@rfc.example", "in it", "body"), &mailbox);
    let refused = jmap.call("Mailbox/set", json!({"destroy": [mailbox]}));
    assert_eq!(
        refused["notDestroyed"][&mailbox]["type"], "mailboxHasEmail",
        "{refused}"
    );
    let done = jmap.call(
        "Mailbox/set",
        json!({"destroy": [mailbox], "onDestroyRemoveEmails": true}),
    );
    assert_eq!(done["destroyed"], json!([mailbox]), "{done}");
    assert!(jmap.query_all(Value::Null).is_empty());
}

#[test]
fn accounts_of_others_are_not_found() {
    let server = Server::start();
    let (alice, bob) = (server.jmap("alice"), server.jmap("bob").account);
    let mut alice = alice;
    for name in [
        "Email/get",
        "Mailbox/get",
        "Thread/get",
        "Identity/get",
        "Email/query",
    ] {
        let arguments = if name.ends_with("query") {
            json!({"accountId": bob})
        } else {
            json!({"accountId": bob, "ids": []})
        };
        assert_eq!(alice.error_of(name, arguments), "accountNotFound", "{name}");
    }
}
