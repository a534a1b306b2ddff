//! Mailbox/set: whole objects that come back, and where a guest may put mailboxes.

use jmap_types::{
    mail::Mailbox,
    method::{Get, Set},
};
use serde_json::{Value as Json, json};

use crate::{
    Caller,
    mail::email::tests::{Bench, GUEST, OWNER, caller},
};

const ALL: &[&str] = &[
    "mayReadItems",
    "mayAddItems",
    "mayRemoveItems",
    "maySetSeen",
    "maySetKeywords",
    "mayCreateChild",
    "mayRename",
    "mayDelete",
    "maySubmit",
];

async fn set(bench: &Bench, who: &Caller, mut call: Json) -> Json {
    call["accountId"] = json!("a1");
    bench.json::<Set<Mailbox>>(who, &call.to_string()).await
}

async fn update(bench: &Bench, who: &Caller, id: &str, patch: Json) -> Json {
    let answer = set(bench, who, json!({"update": {id: patch}})).await;
    match answer["updated"].get(id) {
        Some(_) => json!("ok"),
        None => answer["notUpdated"][id].clone(),
    }
}

/// All of a mailbox, as the caller is shown it.
async fn whole(bench: &Bench, who: &Caller, id: &str) -> Json {
    let properties = [
        "name",
        "parentId",
        "role",
        "sortOrder",
        "totalEmails",
        "unreadEmails",
        "totalThreads",
        "unreadThreads",
        "myRights",
        "isSubscribed",
        "shareWith",
    ];
    let get = json!({"accountId": "a1", "ids": [id], "properties": properties});
    let got = bench.json::<Get<Mailbox>>(who, &get.to_string()).await;
    got["list"][0].clone()
}

/// Makes a mailbox below another one, shared with the guest: its id.
async fn make(bench: &Bench, name: &str, parent: Option<&str>, rights: &[&str]) -> String {
    let rights: serde_json::Map<String, Json> = rights
        .iter()
        .map(|right| ((*right).to_owned(), json!(true)))
        .collect();
    let shares = match rights.is_empty() {
        true => Json::Null,
        false => json!({"a3": rights}),
    };
    let object = json!({"name": name, "parentId": parent, "shareWith": shares});
    let owner = caller(OWNER, &[]);
    let answer = set(bench, &owner, json!({"create": {"n": object}})).await;
    let id = answer["created"]["n"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn bench() -> (Bench, Caller, Caller) {
    let bench = Bench::new().await;
    bench.add_account(GUEST).await;
    (bench, caller(OWNER, &[]), caller(GUEST, &[OWNER]))
}

#[tokio::test]
async fn a_whole_object_comes_back() {
    let (bench, owner, guest) = bench().await;
    let room = make(&bench, "room", Some("m4"), ALL).await;
    let number = jmap_types::Id::<Mailbox>::parse(&room).unwrap().number();
    bench.place("Subject: one\r\n\r\n", &[number]).await;
    for (who, name) in [(&owner, "by its owner"), (&guest, "by a guest")] {
        let mut object = whole(&bench, who, &room).await;
        assert_eq!(object["totalEmails"], 1, "{object}");
        object["name"] = json!(name);
        let outcome = update(&bench, who, &room, object.clone()).await;
        assert_eq!(outcome, "ok", "{name}");
        assert_eq!(whole(&bench, who, &room).await, object);
        // Paths into what the server sets are no other thing.
        let right = json!({"myRights/mayReadItems": true, "id": room});
        assert_eq!(update(&bench, who, &room, right).await, "ok");
    }
    // The guest is shown it at the top, and has left it where it is.
    assert_eq!(whole(&bench, &guest, &room).await["parentId"], Json::Null);
    assert_eq!(whole(&bench, &owner, &room).await["parentId"], "m4");
}

#[tokio::test]
async fn what_the_server_sets_has_to_be_as_it_is() {
    let (bench, owner, _) = bench().await;
    let rows = [
        (json!({"totalEmails": 1}), "totalEmails"),
        (json!({"unreadThreads": null}), "unreadThreads"),
        (json!({"id": "m4"}), "id"),
        (json!({"myRights/mayReadItems": false}), "myRights"),
        (json!({"myRights": {"mayReadItems": true}}), "myRights"),
        (json!({"myRights/mayFly": true}), "myRights"),
        (json!({"colour": "red"}), "colour"),
    ];
    for (mut patch, property) in rows {
        patch["name"] = json!("other");
        let error = update(&bench, &owner, "m3", patch).await;
        assert_eq!(error["type"], "invalidProperties", "{property}: {error}");
        assert_eq!(error["properties"], json!([property]), "{error}");
    }
    let error = update(&bench, &owner, "m3", json!({"totalEmails/x": 1})).await;
    assert_eq!(error["type"], "invalidPatch", "{error}");
    assert_ne!(whole(&bench, &owner, "m3").await["name"], "other");
}

#[tokio::test]
async fn a_mailbox_is_updated_whole_in_the_call_that_makes_it() {
    let (bench, owner, _) = bench().await;
    let call = json!({
        "create": {"n": {"name": "new"}},
        "update": {"#n": {"name": "newer", "totalEmails": 0, "unreadThreads": 0}},
    });
    let answer = set(&bench, &owner, call).await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
}

#[tokio::test]
async fn a_guest_moves_mailboxes_only_to_where_they_may_make_some() {
    let (bench, owner, guest) = bench().await;
    let room = make(&bench, "room", Some("m4"), ALL).await;
    let open = make(&bench, "open", None, &["mayReadItems", "mayCreateChild"]).await;
    let closed = make(&bench, "closed", None, &["mayReadItems"]).await;
    let hidden = make(&bench, "hidden", None, &[]).await;
    let nowhere = json!("m9999");
    let rows = [
        (json!({"parentId": hidden}), "invalidProperties"),
        (json!({"parentId": nowhere}), "invalidProperties"),
        (json!({"parentId": "m4"}), "invalidProperties"),
        (json!({"parentId": closed}), "forbidden"),
        // What they are shown.
        (json!({"parentId": null}), "ok"),
        (json!({"parentId": open}), "ok"),
        (json!({"parentId": open, "name": "other"}), "ok"),
        (json!({"parentId": null}), "forbidden"),
    ];
    for (patch, expected) in rows {
        let outcome = update(&bench, &guest, &room, patch.clone()).await;
        let kind = outcome.get("type").unwrap_or(&outcome);
        assert_eq!(kind, expected, "{patch}");
    }
    assert_eq!(
        whole(&bench, &owner, &room).await["parentId"],
        json!(open),
        "where the guest has put it"
    );
    let make_rows = [
        (json!(hidden), "invalidProperties"),
        (nowhere, "invalidProperties"),
        (json!(closed), "forbidden"),
        (Json::Null, "forbidden"),
    ];
    for (parent, expected) in make_rows {
        let object = json!({"name": "new", "parentId": parent});
        let answer = set(&bench, &guest, json!({"create": {"n": object}})).await;
        assert_eq!(answer["notCreated"]["n"]["type"], expected, "{parent}");
    }
}

#[tokio::test]
async fn a_guest_is_not_told_which_hidden_mailbox_has_a_name() {
    let (bench, owner, guest) = bench().await;
    let parent = make(&bench, "parent", None, ALL).await;
    let room = make(&bench, "room", Some(&parent), ALL).await;
    make(&bench, "hidden", Some(&parent), &[]).await;
    let shown = make(&bench, "shown", Some(&parent), ALL).await;
    for (who, name, existing) in [
        (&guest, "hidden", None),
        (&guest, "shown", Some(&shown)),
        (&owner, "shown", Some(&shown)),
    ] {
        let error = update(&bench, who, &room, json!({"name": name})).await;
        assert_eq!(error["type"], "alreadyExists", "{error}");
        let existing = existing.map_or(Json::Null, |id| json!(id));
        assert_eq!(error["existingId"], existing, "{name}");
    }
    let object = json!({"name": "hidden", "parentId": parent});
    let answer = set(&bench, &guest, json!({"create": {"n": object}})).await;
    let error = &answer["notCreated"]["n"];
    assert_eq!(error["type"], "alreadyExists", "{answer}");
    assert!(error["existingId"].is_null(), "{answer}");
}
