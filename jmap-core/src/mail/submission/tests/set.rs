//! EmailSubmission/set: what is refused, and what comes with success.

use jmap_types::{
    Property, Value,
    mail::{Email, EmailSubmission, SubmissionSetArguments},
    method::{Changes, CreatedIds, Get, MethodResponse as _, Query, Set},
    value::{Map, MapExt as _, key},
};
use serde_json::{Value as Json, json};

use super::{ANN, BOB, HELLO, Server};
use crate::Limits;
use store::engine::MemoryEngine;

fn envelope(from: &str, to: &[&str]) -> Json {
    let to: Vec<Json> = to
        .iter()
        .map(|to| json!({"email": to, "parameters": null}))
        .collect();
    json!({"mailFrom": {"email": from, "parameters": null}, "rcptTo": to})
}

async fn refused(message: &str, envelope: Json, kind: &str) -> Json {
    let limits = Limits {
        max_recipients: 3,
        max_size_message: 2000,
        ..Limits::default()
    };
    let server = Server::with(MemoryEngine::new(), limits).await;
    let answer = server.send(message, envelope).await;
    let error = answer["notCreated"]["k"].clone();
    assert_eq!(error["type"], kind, "{answer}");
    assert_eq!(server.inbox(&server.bob).await, Vec::<String>::new());
    error
}

#[tokio::test]
async fn refusals() {
    let from = "From: ann@example.org\n";
    let big = format!("{HELLO}{}", "x".repeat(3000));
    let error = refused(&big, Json::Null, "tooLarge").await;
    assert_eq!(error["maxSize"], 2000);
    refused(&format!("{from}\nHi\n"), Json::Null, "noRecipients").await;
    refused(HELLO, envelope(ANN, &[]), "noRecipients").await;
    let error = refused(
        HELLO,
        envelope(ANN, &["a@x.org", "b@x.org", "c@x.org", "d@x.org"]),
        "tooManyRecipients",
    )
    .await;
    assert_eq!(error["maxRecipients"], 3);
    let error = refused(
        HELLO,
        envelope(ANN, &[BOB, "no address"]),
        "invalidRecipients",
    )
    .await;
    assert_eq!(error["invalidRecipients"], json!(["no address"]));
    refused(HELLO, envelope(BOB, &[BOB]), "forbiddenMailFrom").await;
    refused(
        "From: bob@example.org\nTo: eve@example.org\n\nHi\n",
        Json::Null,
        "forbiddenFrom",
    )
    .await;
    let error = refused("To: bob@example.org\n\nHi\n", Json::Null, "invalidEmail").await;
    assert_eq!(error["properties"], json!(["from"]));
    let two = "From: ann@example.org, ann+x@example.org\nTo: bob@example.org\n\nHi\n";
    let error = refused(two, Json::Null, "invalidEmail").await;
    assert_eq!(error["properties"], json!(["sender"]));
    for parameters in [
        json!({"HOLDFOR": "x"}),
        json!({"HOLDFOR": "1", "HOLDUNTIL": "2030-01-01T00:00:00Z"}),
        json!({"HOLDFOR": "99999999999"}),
        json!({"UNKNOWN": null}),
    ] {
        let mut envelope = envelope(ANN, &[BOB]);
        envelope["mailFrom"]["parameters"] = parameters;
        refused(HELLO, envelope, "invalidProperties").await;
    }
}

#[tokio::test]
async fn unknown_ids_and_properties() {
    let server = Server::new().await;
    let (identity, email) = (
        server.identity(&server.ann).await,
        server.draft(HELLO).await,
    );
    for (create, properties) in [
        (
            json!({"identityId": "i9999", "emailId": email}),
            json!(["identityId"]),
        ),
        (
            json!({"identityId": identity, "emailId": "e9999"}),
            json!(["emailId"]),
        ),
        (json!({"identityId": identity}), json!(["emailId"])),
        (
            json!({"identityId": identity, "emailId": email, "sendAt": "2030-01-01T00:00:00Z"}),
            json!(["sendAt"]),
        ),
    ] {
        let answer = server
            .call::<Set<EmailSubmission>>(&server.ann, json!({"create": {"k": create}}))
            .await;
        let error = &answer["notCreated"]["k"];
        assert_eq!(
            (&error["type"], &error["properties"]),
            (&json!("invalidProperties"), &properties),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_local_recipient_has_it_before_the_answer() {
    let server = Server::new().await;
    let message = "From: ann@example.org\nTo: bob@example.org, bob@EXAMPLE.org\nBcc: eve@example.org,\n ann@example.org\nSubject: x\n\nHi\n";
    let answer = server.send(message, Json::Null).await;
    let created = &answer["created"]["k"];
    assert_eq!(created["undoStatus"], "final", "{answer}");
    assert_eq!(created["envelope"]["mailFrom"]["email"], ANN);
    assert_eq!(created["envelope"]["rcptTo"].as_array().unwrap().len(), 3);
    assert_eq!(
        created["deliveryStatus"][BOB],
        json!({"smtpReply": "250 2.1.5 Delivered to the mailbox", "delivered": "yes", "displayed": "unknown"})
    );
    for who in [&server.bob, &server.eve, &server.ann] {
        let messages = server.inbox_messages(who).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(
            &messages[0][..],
            b"Return-Path: <ann@example.org>\r\nFrom: ann@example.org\r\nTo: bob@example.org, bob@EXAMPLE.org\r\nSubject: x\r\n\r\nHi\r\n"
        );
    }
    assert!(server.core.send_due().await.unwrap().is_some());
    assert_eq!(server.inbox(&server.bob).await.len(), 1);
}

#[tokio::test]
async fn on_success_updates_and_destroys() {
    let server = Server::new().await;
    let (identity, email) = (
        server.identity(&server.ann).await,
        server.draft(HELLO).await,
    );
    let doomed = server.draft(&HELLO.replace("hello", "doomed")).await;
    let answer = server
        .call::<Set<EmailSubmission>>(
            &server.ann,
            json!({
                "create": {
                    "a": {"identityId": identity, "emailId": email},
                    "b": {"identityId": identity, "emailId": doomed},
                    "c": {"identityId": identity, "emailId": "e9999"},
                },
                "onSuccessUpdateEmail": {
                    "#a": {"keywords/$draft": null, "mailboxIds/m2": null, "mailboxIds/m3": true},
                    "#c": {"keywords/$seen": true},
                },
                "onSuccessDestroyEmail": ["#b"],
            }),
        )
        .await;
    let implicit = &answer["implicit"][0];
    assert_eq!(implicit[0], "Email/set", "{answer}");
    assert_eq!(implicit[1]["updated"], json!({email.clone(): null}));
    assert_eq!(implicit[1]["destroyed"], json!([doomed]));
    assert!(!server.email_exists(&doomed).await);
    // RFC 8621 §7.5: the email's end changes nothing of the submission.
    let id = answer["created"]["b"]["id"].as_str().unwrap();
    assert_eq!(server.submission(id).await["emailId"], json!(doomed));
    assert_eq!(server.inbox(&server.bob).await.len(), 2);
    let destroyed = server
        .call::<Set<EmailSubmission>>(
            &server.ann,
            json!({"destroy": [answer["created"]["a"]["id"]], "onSuccessDestroyEmail": [answer["created"]["a"]["id"]]}),
        )
        .await;
    assert_eq!(
        destroyed["implicit"][0][1]["destroyed"],
        json!([email]),
        "{destroyed}"
    );
}

/// RFC 7493 §2.3: no name twice.
#[tokio::test]
async fn an_email_that_was_submitted_twice_is_updated_once() {
    let server = Server::new().await;
    let identity = server.identity(&server.ann).await;
    let email = server.draft(HELLO).await;
    let submission = json!({"identityId": identity, "emailId": email});
    let answer = server
        .call::<Set<EmailSubmission>>(
            &server.ann,
            json!({
                "create": {"a": submission, "b": submission},
                "onSuccessUpdateEmail": {
                    "#a": {"keywords/$draft": null, "keywords/a": true},
                    "#b": {"keywords/$draft": null, "keywords/b": true},
                },
            }),
        )
        .await;
    let implicit = &answer["implicit"][0];
    assert_eq!(implicit[1]["updated"], json!({email.clone(): null}));
    assert!(implicit[1]["notUpdated"].is_null(), "{answer}");
    let got = server
        .call::<Get<Email>>(
            &server.ann,
            json!({"ids": [email], "properties": ["keywords"]}),
        )
        .await;
    let keywords = &got["list"][0]["keywords"];
    assert_eq!(
        (&keywords["a"], &keywords["b"]),
        (&json!(true), &json!(true))
    );
    // The call itself, as its members are counted before they are JSON.
    let again = Set::<EmailSubmission> {
        account_id: server.ann.account,
        if_in_state: None,
        create: ["c", "d"]
            .map(|name| {
                let map = Map::new()
                    .with(Property::IdentityId, identity.clone())
                    .with(Property::EmailId, email.clone());
                (name.to_owned(), map)
            })
            .into(),
        update: Vec::new(),
        destroy: Vec::new(),
        arguments: SubmissionSetArguments {
            on_success_update_email: ["#c", "#d"]
                .map(|name| {
                    let mut patch = Map::new();
                    patch.insert(key("keywords/a"), Value::Null);
                    (name.to_owned(), patch)
                })
                .into(),
            on_success_destroy_email: Vec::new(),
        },
        created_ids: CreatedIds::default(),
    };
    let mut response = server.core.call(&server.ann, again).await.unwrap();
    let (_, updated) = response.take_implicit().remove(0);
    let updated = updated.unwrap();
    let updated = updated.find(Property::Updated).unwrap();
    assert_eq!(updated.as_object().map(Map::len), Some(1));
}

fn held(seconds: &str) -> Json {
    let mut envelope = envelope(ANN, &[BOB]);
    envelope["mailFrom"]["parameters"] = json!({"HOLDFOR": seconds});
    envelope
}

#[tokio::test]
async fn holds_and_undoing() {
    let server = Server::new().await;
    let answer = server.send(HELLO, held("600")).await;
    let created = &answer["created"]["k"];
    assert_eq!(
        (&created["undoStatus"], &created["sendAt"]),
        (&json!("pending"), &json!("2023-11-14T22:23:20Z")),
        "{answer}"
    );
    let id = created["id"].as_str().unwrap();
    server.pass(599);
    server.core.send_due().await.unwrap();
    assert!(server.inbox(&server.bob).await.is_empty());
    server.pass(2);
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.bob).await, ["hello"]);
    assert_eq!(server.submission(id).await["undoStatus"], "final");
    let cancel = json!({"update": {id: {"undoStatus": "canceled"}}});
    let answer = server
        .call::<Set<EmailSubmission>>(&server.ann, cancel)
        .await;
    assert_eq!(answer["notUpdated"][id]["type"], "cannotUnsend", "{answer}");

    let answer = server
        .send(&HELLO.replace("hello", "second"), held("600"))
        .await;
    let id = answer["created"]["k"]["id"].as_str().unwrap();
    let send_at = answer["created"]["k"]["sendAt"].clone();
    // RFC 8620 §5.3: paths that can't be.
    for patch in [
        json!({"undoStatus": "canceled", "undoStatus/x": 1}),
        json!({"undoStatus/x": 1}),
        json!({"envelope/rcptTo/0/email": "eve@example.org"}),
    ] {
        let answer = server
            .call::<Set<EmailSubmission>>(&server.ann, json!({"update": {id: patch}}))
            .await;
        assert_eq!(answer["notUpdated"][id]["type"], "invalidPatch", "{answer}");
    }
    // What can't change may be given as it is, also within a property.
    let same = json!({"update": {id: {"envelope/mailFrom/email": ANN}}});
    let answer = server.call::<Set<EmailSubmission>>(&server.ann, same).await;
    assert_eq!(answer["updated"], json!({id: null}), "{answer}");
    let cancel = json!({"update": {id: {"undoStatus": "canceled", "sendAt": send_at}}});
    let answer = server
        .call::<Set<EmailSubmission>>(&server.ann, cancel)
        .await;
    let status = json!({BOB: {
        "smtpReply": "554 5.7.0 The message was canceled by its sender",
        "delivered": "no",
        "displayed": "unknown",
    }});
    let told = json!({id: {"deliveryStatus": status}});
    assert_eq!(answer["updated"], told, "{answer}");
    server.pass(3600);
    server.core.send_due().await.unwrap();
    assert_eq!(server.inbox(&server.bob).await, ["hello"]);
    let canceled = server.submission(id).await;
    assert_eq!(canceled["undoStatus"], "canceled");
    // RFC 8621 §7: `queued` would say that it is still to change.
    assert_eq!(canceled["deliveryStatus"], status);
    let other = json!({"update": {id: {"identityId": "i999"}}});
    let answer = server
        .call::<Set<EmailSubmission>>(&server.ann, other)
        .await;
    assert_eq!(answer["notUpdated"][id]["type"], "invalidProperties");
}

#[tokio::test]
async fn an_undo_window_and_a_destroyed_submission() {
    let limits = Limits {
        undo_seconds: 10,
        ..Limits::default()
    };
    let server = Server::with(MemoryEngine::new(), limits).await;
    let answer = server.send(HELLO, Json::Null).await;
    assert_eq!(answer["created"]["k"]["undoStatus"], "pending");
    let id = answer["created"]["k"]["id"].as_str().unwrap();
    let destroyed = server
        .call::<Set<EmailSubmission>>(&server.ann, json!({"destroy": [id]}))
        .await;
    assert_eq!(destroyed["destroyed"], json!([id]));
    assert_eq!(server.submission(id).await, Json::Null);
    server.pass(11);
    server.core.send_due().await.unwrap();
    // RFC 8621 §7.5: destroying the record doesn't stop the message.
    assert_eq!(server.inbox(&server.bob).await, ["hello"]);
    assert_eq!(server.core.send_due().await.unwrap(), None);
}

#[tokio::test]
async fn queries_and_changes() {
    let server = Server::new().await;
    let first = server.send(HELLO, Json::Null).await["created"]["k"]["id"].clone();
    let answer = server.send(HELLO, held("600")).await;
    let second = answer["created"]["k"]["id"].clone();
    for (filter, ids) in [
        (json!(null), json!([first, second])),
        (json!({"undoStatus": "pending"}), json!([second])),
        (json!({"before": "2023-11-14T22:20:00Z"}), json!([first])),
        (json!({"after": "2023-11-14T22:20:00Z"}), json!([second])),
        (json!({"identityIds": []}), json!([])),
        (json!({"emailIds": ["e1"]}), json!([])),
        (
            json!({"operator": "NOT", "conditions": [{"undoStatus": "final"}]}),
            json!([second]),
        ),
    ] {
        let sort = json!([{"property": "sentAt"}]);
        let found = server
            .call::<Query<EmailSubmission>>(&server.ann, json!({"filter": filter, "sort": sort}))
            .await;
        assert_eq!(found["ids"], ids, "{filter}");
    }
    let changes = server
        .call::<Changes<EmailSubmission>>(&server.ann, json!({"sinceState": answer["oldState"]}))
        .await;
    assert_eq!(changes["created"], json!([second]), "{changes}");
    // What comes by SMTP, and what nobody may see, is bob's and not ann's.
    let found = server
        .call::<Query<EmailSubmission>>(&server.bob, json!({}))
        .await;
    assert_eq!(found["ids"], json!([]));
}
