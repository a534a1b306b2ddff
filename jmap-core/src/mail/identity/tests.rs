use jmap_types::{
    mail::Identity,
    method::{Changes, Get, Set},
};
use serde_json::{Value as Json, json};

use store::log::ChangeKind;

use super::{IDENTITIES_MAX, IdentityRecord, put};
use crate::{
    Caller,
    mail::submission::tests::{ANN, Server},
};

async fn list(server: &Server, who: &Caller) -> Vec<Json> {
    server
        .call::<Get<Identity>>(who, json!({"ids": null}))
        .await["list"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn each_address_has_one() {
    let server = Server::new().await;
    let first = list(&server, &server.ann).await;
    assert_eq!(first.len(), 1);
    assert_eq!(
        (&first[0]["email"], &first[0]["mayDelete"]),
        (&json!(ANN), &json!(false))
    );
    assert_eq!(list(&server, &server.ann).await, first);
    let admin = Caller::server();
    server
        .core
        .add_alias(&admin, server.ann.account, "a@example.org")
        .await
        .unwrap();
    let state = server
        .call::<Get<Identity>>(&server.ann, json!({"ids": []}))
        .await["state"]
        .clone();
    let both = list(&server, &server.ann).await;
    assert_eq!(both.len(), 2);
    let changes = server
        .call::<Changes<Identity>>(&server.ann, json!({"sinceState": state}))
        .await;
    assert_eq!(
        (&changes["created"], &changes["newState"]),
        (&json!([]), &state)
    );
    server
        .core
        .remove_alias(&admin, server.ann.account, "a@example.org")
        .await
        .unwrap();
    assert_eq!(list(&server, &server.ann).await[1]["mayDelete"], true);
}

async fn create(server: &Server, properties: Json) -> Json {
    let answer = server
        .call::<Set<Identity>>(&server.ann, json!({"create": {"k": properties}}))
        .await;
    match &answer["created"] {
        Json::Null => answer["notCreated"]["k"].clone(),
        created => created["k"].clone(),
    }
}

#[tokio::test]
async fn creation() {
    let server = Server::new().await;
    for (properties, kind) in [
        (json!({"email": "bob@example.org"}), "forbiddenFrom"),
        (json!({"email": "*@example.org"}), "forbiddenFrom"),
        (json!({"name": "x"}), "invalidProperties"),
        (
            json!({"email": ANN, "mayDelete": true}),
            "invalidProperties",
        ),
        (json!({"email": ANN, "name": "a\nb"}), "invalidProperties"),
        (
            json!({"email": ANN, "replyTo": [{"name": "x"}]}),
            "invalidProperties",
        ),
        (
            json!({"email": ANN, "textSignature": "x".repeat(70_000)}),
            "invalidProperties",
        ),
        (json!({"email": ANN, "other": 1}), "invalidProperties"),
    ] {
        assert_eq!(
            create(&server, properties.clone()).await["type"],
            kind,
            "{properties}"
        );
    }
    let bcc = json!([{"name": null, "email": "c@example.net"}]);
    let created = create(
        &server,
        json!({"email": "ann+work@example.org", "name": "Ann", "bcc": bcc}),
    )
    .await;
    assert_eq!(created["mayDelete"], true, "{created}");
    let id = created["id"].as_str().unwrap();
    let got = server
        .call::<Get<Identity>>(&server.ann, json!({"ids": [id]}))
        .await;
    assert_eq!(
        got["list"][0],
        json!({
            "id": id, "name": "Ann", "email": "ann+work@example.org", "replyTo": null, "bcc": bcc,
            "textSignature": "", "htmlSignature": "", "mayDelete": true,
        })
    );
}

#[tokio::test]
async fn changes_and_the_end() {
    let server = Server::new().await;
    let default = server.identity(&server.ann).await;
    let own = create(&server, json!({"email": ANN})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = server
        .call::<Set<Identity>>(
            &server.ann,
            json!({
                "update": {&own: {"name": "Ann", "email": ANN}, &default: {"email": "ann+x@example.org"}},
                "destroy": [],
            }),
        )
        .await;
    assert_eq!(answer["updated"], json!({&own: null}), "{answer}");
    assert_eq!(answer["notUpdated"][&default]["type"], "invalidProperties");
    let answer = server
        .call::<Set<Identity>>(&server.ann, json!({"destroy": [own, default, "i999"]}))
        .await;
    assert_eq!(answer["destroyed"], json!([own]), "{answer}");
    assert_eq!(answer["notDestroyed"][&default]["type"], "forbidden");
    assert_eq!(answer["notDestroyed"]["i999"]["type"], "notFound");
}

/// RFC 8620 §5.3: such paths make a patch invalid, whatever is to be set.
#[tokio::test]
async fn patches_that_are_none() {
    let server = Server::new().await;
    let addresses = json!([{"name": null, "email": "x@example.net"}]);
    let id = create(&server, json!({"email": ANN, "replyTo": addresses})).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (patch, kind) in [
        (json!({"replyTo/0/email": "x@z"}), "invalidPatch"),
        (json!({"replyTo/-": {"email": "x@z"}}), "invalidPatch"),
        (json!({"bcc/0": {"email": "x@z"}}), "invalidPatch"),
        (json!({"name": "a", "name/b": "c"}), "invalidPatch"),
        (json!({"replyTo": null, "replyTo/0": null}), "invalidPatch"),
        (json!({"other/x": 1}), "invalidPatch"),
        (json!({"na~me": 1}), "invalidPatch"),
        (json!({"other": 1}), "invalidProperties"),
        (json!({"replyTo": 1, "bcc": null}), "invalidProperties"),
    ] {
        let answer = server
            .call::<Set<Identity>>(&server.ann, json!({"update": {&id: patch.clone()}}))
            .await;
        let error = &answer["notUpdated"][&id];
        assert_eq!(error["type"], kind, "{patch} {answer}");
    }
    let list = list(&server, &server.ann).await;
    assert_eq!(list[1]["replyTo"], addresses, "nothing was changed");
}

#[tokio::test]
async fn one_past_the_number_of_identities() {
    let server = Server::new().await;
    let account = server.core.accounts.handle(server.ann.account);
    let mut txn = account.writer.begin().await.unwrap();
    for _ in 1..IDENTITIES_MAX {
        let record = IdentityRecord {
            email: ANN.to_owned(),
            ..IdentityRecord::default()
        };
        let id = txn.new_id();
        put(&mut txn, id, &record, ChangeKind::Created);
    }
    txn.commit().await.unwrap();
    let last = create(&server, json!({"email": ANN})).await;
    assert!(last["id"].is_string(), "{last}");
    let more = create(&server, json!({"email": ANN})).await;
    assert_eq!(more["type"], "overQuota", "{more}");
}
