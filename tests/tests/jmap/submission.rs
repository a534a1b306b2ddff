//! Identity, EmailSubmission and VacationResponse (RFC 8621 §6 to §8).

use e2e::{
    Home, Jmap, Server,
    jmap::{string, strings},
};
use serde_json::{Value, json};

use super::{arrival, eventually, outcome};

fn identity(jmap: &mut Jmap) -> String {
    string(&jmap.call("Identity/get", json!({"ids": null}))["list"][0]["id"])
}

fn draft(jmap: &mut Jmap, subject: &str, from: &str, to: &str) -> String {
    let drafts = jmap.mailbox("drafts");
    let email = json!({
        "mailboxIds": {drafts: true}, "keywords": {"$draft": true}, "from": [{"email": from}], "to": [{"email": to}],
        "subject": subject, "textBody": [{"partId": "1"}], "bodyValues": {"1": {"value": "hello"}},
    });
    let response = jmap.call("Email/set", json!({"create": {"m": email}}));
    assert_eq!(outcome(&response, "m"), "ok", "{response}");
    string(&response["created"]["m"]["id"])
}

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

#[test]
fn identities_are_of_own_addresses() {
    let home = Home::with_people();
    home.cli(&["account", "alias", "add", ALICE, "sales@example.org"], "");
    let server = Server::start_in(home);
    let mut alice = server.jmap("alice");
    let before = alice.call("Identity/get", json!({"ids": null}));
    let mut emails: Vec<String> = before["list"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|i| string(&i["email"]))
        .collect();
    emails.sort();
    assert_eq!(emails, [ALICE, "sales@example.org"]);
    assert!(
        before["list"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|identity| identity["mayDelete"] == false)
    );
    let create = json!({"email": "alice+lists@example.org", "name": "Alice", "textSignature": "-- \nA",
        "bcc": [{"email": ALICE}], "replyTo": [{"name": "A", "email": ALICE}]});
    let created = alice.call("Identity/set", json!({"create": {"i": create}}));
    let id = string(&created["created"]["i"]["id"]);
    assert_eq!(created["created"]["i"]["mayDelete"], true, "{created}");
    let changes = alice.call("Identity/changes", json!({"sinceState": before["state"]}));
    assert_eq!(changes["created"], json!([id]));
    let default = string(&before["list"][0]["id"]);
    let rows = [
        (
            json!({"create": {"x": {"email": BOB}}}),
            "x",
            "forbiddenFrom",
        ),
        (
            json!({"create": {"x": {"email": "alice@elsewhere.example"}}}),
            "x",
            "forbiddenFrom",
        ),
        (
            json!({"create": {"x": {"name": "nobody"}}}),
            "x",
            "invalidProperties",
        ),
        (
            json!({"create": {"x": {"email": ALICE, "mayDelete": true}}}),
            "x",
            "invalidProperties",
        ),
        (
            json!({"create": {"x": {"email": ALICE, "bcc": "x"}}}),
            "x",
            "invalidProperties",
        ),
        (
            json!({"update": {&id: {"email": ALICE}}}),
            &*id,
            "invalidProperties",
        ),
        (json!({"update": {&id: {"name": "Alice B."}}}), &*id, "ok"),
        (
            json!({"update": {&default: {"htmlSignature": "<p>A"}}}),
            &*default,
            "ok",
        ),
        (json!({"destroy": [default]}), &*default, "forbidden"),
        (json!({"destroy": ["i999"]}), "i999", "notFound"),
        (json!({"destroy": [id]}), &*id, "ok"),
    ];
    for (arguments, item, expected) in rows {
        let response = alice.call("Identity/set", arguments.clone());
        assert_eq!(outcome(&response, item), expected, "{arguments} {response}");
    }
    let changes = alice.call(
        "Identity/changes",
        json!({"sinceState": changes["newState"]}),
    );
    assert_eq!(
        (&changes["updated"], &changes["destroyed"]),
        (&json!([default]), &json!([id]))
    );
}

#[test]
fn what_is_sent_arrives_and_the_draft_is_filed_or_destroyed() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let identity = identity(&mut alice);
    let (drafts, sent, account) = (
        alice.mailbox("drafts"),
        alice.mailbox("sent"),
        alice.account.clone(),
    );
    let filed = draft(&mut alice, "filed", ALICE, BOB);
    let patch = json!({format!("mailboxIds/{drafts}"): null, format!("mailboxIds/{sent}"): true, "keywords/$draft": null});
    let submit = json!({"accountId": account, "create": {"s": {"identityId": identity, "emailId": filed}}, "onSuccessUpdateEmail": {"#s": patch}});
    let responses = alice.request(json!([["EmailSubmission/set", submit, "0"]]));
    let created = &responses[0][1]["created"]["s"];
    assert_eq!(created["undoStatus"], "final", "{responses:?}");
    assert_eq!(created["envelope"]["mailFrom"]["email"], ALICE);
    assert_eq!(created["envelope"]["rcptTo"][0]["email"], BOB);
    assert_eq!(
        (&responses[1][0], &responses[1][1]["updated"]),
        (&json!("Email/set"), &json!({&filed: null}))
    );
    let email =
        alice.get_emails(std::slice::from_ref(&filed), &["mailboxIds", "keywords"])[0].clone();
    assert_eq!(
        (&email["mailboxIds"], &email["keywords"]),
        (&json!({sent: true}), &json!({}))
    );
    arrival(&mut bob, "filed");
    let id = string(&created["id"]);
    let status = eventually("delivered", || {
        let got = alice.call("EmailSubmission/get", json!({"ids": [id]}));
        let status = got["list"][0]["deliveryStatus"][BOB].clone();
        (status["delivered"] == "yes").then_some(status)
    });
    assert!(string(&status["smtpReply"]).starts_with("250 "), "{status}");

    let gone = draft(&mut alice, "gone", ALICE, BOB);
    let submit = json!({"accountId": account, "create": {"s": {"identityId": identity, "emailId": gone}}, "onSuccessDestroyEmail": ["#s"]});
    let responses = alice.request(json!([["EmailSubmission/set", submit, "0"]]));
    assert_eq!(responses[1][1]["destroyed"], json!([gone]), "{responses:?}");
    assert_eq!(alice.query_all(Value::Null), [filed]);
    arrival(&mut bob, "gone");

    let found = alice.call(
        "EmailSubmission/query",
        json!({"filter": {"undoStatus": "final"}, "sort": [{"property": "sentAt"}]}),
    );
    assert_eq!(found["ids"].as_array().map(Vec::len), Some(2), "{found}");
    let found = alice.call(
        "EmailSubmission/query",
        json!({"filter": {"emailIds": [gone]}}),
    );
    assert_eq!(strings(&found["ids"]).len(), 1);
}

#[test]
fn a_message_is_called_back_until_it_has_gone() {
    let home = Home::with_people().set("limits", "undo-time = \"1h\"");
    let server = Server::start_in(home);
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let identity = identity(&mut alice);
    let email = draft(&mut alice, "called back", ALICE, BOB);
    let created = alice.call(
        "EmailSubmission/set",
        json!({"create": {"s": {"identityId": identity, "emailId": email}}}),
    );
    let id = string(&created["created"]["s"]["id"]);
    assert_eq!(
        created["created"]["s"]["undoStatus"], "pending",
        "{created}"
    );
    let pending = alice.call(
        "EmailSubmission/query",
        json!({"filter": {"undoStatus": "pending"}}),
    );
    assert_eq!(pending["ids"], json!([id]));
    let rows = [
        (
            json!({"update": {&id: {"undoStatus": "final"}}}),
            "invalidProperties",
        ),
        (
            json!({"update": {&id: {"identityId": "i999"}}}),
            "invalidProperties",
        ),
        (json!({"update": {&id: {"undoStatus": "canceled"}}}), "ok"),
        (
            json!({"update": {&id: {"undoStatus": "pending"}}}),
            "invalidProperties",
        ),
    ];
    for (arguments, expected) in rows {
        let response = alice.call("EmailSubmission/set", arguments.clone());
        assert_eq!(outcome(&response, &id), expected, "{arguments} {response}");
    }
    let changes = alice.call(
        "EmailSubmission/changes",
        json!({"sinceState": created["newState"]}),
    );
    assert_eq!(changes["updated"], json!([id]));
    let canceled = alice.call("EmailSubmission/get", json!({"ids": [id]}));
    assert_eq!(canceled["list"][0]["undoStatus"], "canceled");
    // RFC 8621 §7: `queued` would say that it is still to change.
    let status = &canceled["list"][0]["deliveryStatus"]["bob@example.org"];
    assert_eq!(status["delivered"], "no", "{status}");
    assert!(bob.query_all(Value::Null).is_empty());
}

#[test]
fn what_has_gone_cannot_be_called_back() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    let identity = identity(&mut alice);
    let email = draft(&mut alice, "gone", ALICE, BOB);
    let created = alice.call(
        "EmailSubmission/set",
        json!({"create": {"s": {"identityId": identity, "emailId": email}}}),
    );
    let id = string(&created["created"]["s"]["id"]);
    let response = alice.call(
        "EmailSubmission/set",
        json!({"update": {&id: {"undoStatus": "canceled"}}}),
    );
    assert_eq!(outcome(&response, &id), "cannotUnsend", "{response}");
}

#[test]
fn submissions_that_are_refused() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let identity = identity(&mut alice);
    let good = draft(&mut alice, "good", ALICE, BOB);
    let of_bob = draft(&mut alice, "forged", BOB, ALICE);
    let inbox = alice.mailbox("inbox");
    let to_none = alice.import(
        b"From: alice@example.org\r\nSubject: x\r\n\r\ny\r\n",
        &inbox,
    );
    let envelope = |from: &str, to: &[&str]| {
        let to: Vec<Value> = to.iter().map(|to| json!({"email": to})).collect();
        json!({"mailFrom": {"email": from}, "rcptTo": to})
    };
    let with = |email: &str, envelope: Value| json!({"identityId": identity, "emailId": email, "envelope": envelope});
    let rows = [
        (with(&of_bob, Value::Null), "forbiddenFrom"),
        (with(&to_none, Value::Null), "noRecipients"),
        (with(&good, envelope(ALICE, &[])), "noRecipients"),
        (with(&good, envelope(BOB, &[BOB])), "forbiddenMailFrom"),
        (
            with(&good, envelope(ALICE, &["no address"])),
            "invalidRecipients",
        ),
        (with(&good, json!({"mailFrom": ALICE})), "invalidProperties"),
        (
            json!({"identityId": "i999", "emailId": good}),
            "invalidProperties",
        ),
        (
            json!({"identityId": identity, "emailId": "e999"}),
            "invalidProperties",
        ),
        (
            json!({"identityId": identity, "emailId": good, "undoStatus": "final"}),
            "invalidProperties",
        ),
        (
            json!({"identityId": identity, "emailId": good, "other": 1}),
            "invalidProperties",
        ),
    ];
    for (create, error) in rows {
        let submit = json!({"create": {"s": create}, "onSuccessDestroyEmail": ["#s"]});
        let response = alice.call("EmailSubmission/set", submit);
        assert_eq!(outcome(&response, "s"), error, "{create} {response}");
    }
    // What was not sent stays.
    assert_eq!(alice.query_all(Value::Null).len(), 3);
    assert!(bob.query_all(Value::Null).is_empty());
}

#[test]
fn a_vacation_response_answers_once() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.jmap("alice"), server.jmap("bob"));
    let got = alice.call("VacationResponse/get", json!({"ids": null}));
    assert_eq!(
        (&got["list"][0]["id"], &got["list"][0]["isEnabled"]),
        (&json!("singleton"), &json!(false))
    );
    let rows = [
        (json!({"isEnabled": 1}), "invalidProperties"),
        (json!({"fromDate": "tomorrow"}), "invalidProperties"),
        (json!({"other": 1}), "invalidProperties"),
        (
            json!({"isEnabled": true, "subject": "Away", "textBody": "Back in May."}),
            "ok",
        ),
    ];
    for (patch, expected) in rows {
        let response = alice.call(
            "VacationResponse/set",
            json!({"update": {"singleton": patch}}),
        );
        assert_eq!(
            outcome(&response, "singleton"),
            expected,
            "{patch} {response}"
        );
    }
    for subject in ["first", "second"] {
        let text = format!("From: {BOB}\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\r\nhello\r\n");
        let reply = server
            .smtp()
            .send(BOB, ALICE, text.as_bytes())
            .expect("no SMTP");
        assert!(reply.is_ok(), "{reply:?}");
        arrival(&mut alice, subject);
    }
    let answer = arrival(&mut bob, "Away");
    let properties = ["from", "header:Auto-Submitted:asText", "inReplyTo"];
    let answer = bob.get_emails(&[answer], &properties)[0].clone();
    assert_eq!(answer["from"][0]["email"], ALICE);
    assert!(
        string(&answer["header:Auto-Submitted:asText"]).starts_with("auto-replied"),
        "{answer}"
    );
    assert_eq!(bob.query_all(json!({"subject": "Away"})).len(), 1);
}
