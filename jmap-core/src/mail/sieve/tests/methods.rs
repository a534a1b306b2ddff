use expect_test::expect;
use jmap_types::{
    method::{Get, Query, Set},
    sieve::{SieveScript, SieveScriptValidate},
};
use serde_json::json;
use store::Record;

use super::*;
use crate::mail::sieve::{
    ActiveRecord, NAME_OCTETS_MAX, Remembered, RememberedRecord, SCRIPT_OCTETS_MAX, SCRIPTS_MAX,
    ScriptRecord,
};
use crate::{inproc::origin::Author, mail::submission::parameters};

#[tokio::test]
async fn a_script_of_another_client_before_the_activation_is_not_between_two_states() {
    let server = Server::new().await;
    let blob = upload(&server, &server.bob, "keep;\r\n").await;
    let account = server.core.accounts.handle(server.bob.account);
    let still = account.writer.pause_commits().await;
    let create = |name: &str, activate: Option<&str>| json!({"create": {"k": {"name": name, "blobId": blob}}, "onSuccessActivateScript": activate});
    let first = create("first", Some("#k"));
    let first = server.call::<Set<SieveScript>>(&server.bob, first);
    let second = async {
        tokio::task::yield_now().await;
        let both = server.call::<Set<SieveScript>>(&server.bob, create("second", None));
        let release = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            drop(still);
        };
        tokio::join!(both, release).0
    };
    let (first, second) = tokio::join!(first, second);
    assert!(second["oldState"].is_string(), "{second}");
    assert_eq!(first["created"]["k"]["isActive"], true, "{first}");
    assert!(first["oldState"].is_null(), "{first}");
    let alone = create("third", Some("#k"));
    let alone = server.call::<Set<SieveScript>>(&server.bob, alone).await;
    assert_eq!(alone["oldState"], first["newState"], "{alone}");
    assert_ne!(alone["newState"], alone["oldState"], "{alone}");
}

#[tokio::test]
async fn made_changed_activated_and_destroyed() {
    let server = Server::new().await;
    let blob = upload(&server, &server.bob, "keep;\r\n").await;
    let create = json!({
        "create": {"k": {"name": "first", "blobId": blob}, "l": {"blobId": blob}},
        "onSuccessActivateScript": "#k",
    });
    let answer = server.call::<Set<SieveScript>>(&server.bob, create).await;
    assert_eq!(answer["created"]["k"]["isActive"], true, "{answer}");
    assert_eq!(answer["created"]["l"]["isActive"], false);
    let (k, l) = (
        answer["created"]["k"]["id"].as_str().unwrap(),
        answer["created"]["l"]["id"].as_str().unwrap(),
    );
    assert_eq!(answer["created"]["l"]["name"], l, "a name of the server's");
    let state = answer["newState"].clone();
    assert_eq!(
        scripts(&server).await,
        json!([
            {"id": k, "name": "first", "blobId": blob, "isActive": true},
            {"id": l, "name": l, "blobId": blob, "isActive": false},
        ])
    );
    let got = server
        .call::<Get<SieveScript>>(&server.bob, json!({"ids": [k], "properties": ["name"]}))
        .await;
    assert_eq!(got["state"], state);
    assert_eq!(got["list"], json!([{"id": k, "name": "first"}]));
    // The active one can't go, and what fails leaves the other one inactive.
    let answer = server
        .call::<Set<SieveScript>>(
            &server.bob,
            json!({"destroy": [k], "onSuccessActivateScript": l}),
        )
        .await;
    assert_eq!(
        answer["notDestroyed"][k]["type"], "sieveIsActive",
        "{answer}"
    );
    assert_eq!(answer["updated"], json!(null));
    // RFC 8620 §5.3: paths that can't be.
    for patch in [
        json!({"name": "x", "name/y": "z"}),
        json!({"blobId/0": "z"}),
    ] {
        let update = json!({"update": {l: patch}});
        let answer = server.call::<Set<SieveScript>>(&server.bob, update).await;
        assert_eq!(answer["notUpdated"][l]["type"], "invalidPatch", "{answer}");
    }
    // Activating one deactivates the other.
    let answer = server
        .call::<Set<SieveScript>>(
            &server.bob,
            json!({"update": {l: {"name": "second"}}, "onSuccessActivateScript": l}),
        )
        .await;
    assert_eq!(
        answer["updated"],
        json!({l: {"isActive": true}, k: {"isActive": false}}),
        "{answer}"
    );
    let answer = server
        .call::<Set<SieveScript>>(&server.bob, json!({"onSuccessDeactivateScript": true}))
        .await;
    assert_eq!(answer["updated"], json!({l: {"isActive": false}}));
    // What isn't there is ignored.
    let answer = server
        .call::<Set<SieveScript>>(&server.bob, json!({"onSuccessActivateScript": "s9zz"}))
        .await;
    assert_eq!(answer["updated"], json!(null), "{answer}");
    let answer = server
        .call::<Set<SieveScript>>(&server.bob, json!({"destroy": [k, l]}))
        .await;
    assert_eq!(answer["destroyed"], json!([k, l]), "{answer}");
    assert_eq!(scripts(&server).await, json!([]));
    check(&server).await;
}

#[tokio::test]
async fn what_is_refused() {
    let server = Server::new().await;
    let blob = upload(&server, &server.bob, "keep;\r\n").await;
    let known = store_script(&server, "known", "stop;\n").await;
    let long = "n".repeat(NAME_OCTETS_MAX);
    let text = format!("#{}\r\nkeep;\r\n", "x".repeat(SCRIPT_OCTETS_MAX - 10));
    let (largest, too_large) = (
        upload(&server, &server.bob, &text).await,
        upload(&server, &server.bob, &format!("#{text}")).await,
    );
    let of = |text: &'static str| async { upload(&server, &server.bob, text).await };
    let rows = [
        (json!({"name": "a"}), "invalidProperties"),
        (json!({"name": "", "blobId": blob}), "invalidProperties"),
        (
            json!({"name": "a\u{7}", "blobId": blob}),
            "invalidProperties",
        ),
        (
            json!({"name": format!("{long}n"), "blobId": blob}),
            "invalidProperties",
        ),
        (json!({"name": long, "blobId": blob}), ""),
        (
            json!({"name": "a", "blobId": blob, "isActive": true}),
            "invalidProperties",
        ),
        (
            json!({"name": "a", "blobId": blob, "other": 1}),
            "invalidProperties",
        ),
        (json!({"name": "known", "blobId": blob}), "alreadyExists"),
        (json!({"name": "a", "blobId": "zzz"}), "blobNotFound"),
        (json!({"name": "a", "blobId": too_large}), "tooLarge"),
        (json!({"name": "b", "blobId": largest}), ""),
        (
            json!({"name": "c", "blobId": of("if {").await}),
            "invalidSieve",
        ),
        (
            json!({"name": "c", "blobId": of("fileinto \"x\";").await}),
            "invalidSieve",
        ),
        (
            json!({"name": "c", "blobId": of("require \"enotify\";").await}),
            "invalidSieve",
        ),
        (
            json!({"name": "c", "blobId": of("require [\"fileinto\", \"vnd.stalwart.while\"];").await}),
            "invalidSieve",
        ),
        (
            json!({"name": "c", "blobId": of("# require \"x\";\n/* require \"y\"; */ redirect text:\nrequire \"z\";\n.\n;").await}),
            "",
        ),
    ];
    for (properties, kind) in rows {
        let answer = server
            .call::<Set<SieveScript>>(&server.bob, json!({"create": {"k": properties}}))
            .await;
        match kind {
            "" => assert!(
                answer["created"]["k"]["id"].is_string(),
                "{properties} {answer}"
            ),
            kind => assert_eq!(answer["notCreated"]["k"]["type"], kind, "{properties}"),
        }
        if kind == "alreadyExists" {
            assert_eq!(answer["notCreated"]["k"]["existingId"], known.as_str());
        }
    }
    let unknown = of("require \"fileinto\";\nrequire \"nosuch\";\n").await;
    let answer = server
        .call::<SieveScriptValidate>(&server.bob, json!({"blobId": unknown}))
        .await;
    assert_eq!(
        answer["error"]["description"],
        "The extension \"nosuch\" is not supported (line 2)."
    );
    let answer = server
        .call::<SieveScriptValidate>(&server.bob, json!({"blobId": blob}))
        .await;
    assert_eq!(answer["error"], json!(null));
    // Another account's blob isn't there.
    let of_ann = upload(&server, &server.ann, "discard;\r\n").await;
    let answer = server
        .call::<SieveScriptValidate>(&server.bob, json!({"blobId": of_ann}))
        .await;
    assert_eq!(answer["error"]["type"], "blobNotFound");
}

#[tokio::test]
async fn one_past_the_scripts() {
    let server = Server::new().await;
    let blob = upload(&server, &server.bob, "keep;\r\n").await;
    let create: serde_json::Map<String, serde_json::Value> = (0..=SCRIPTS_MAX)
        .map(|n| {
            (
                format!("k{n:03}"),
                json!({"name": format!("n{n}"), "blobId": blob}),
            )
        })
        .collect();
    let answer = server
        .call::<Set<SieveScript>>(&server.bob, json!({"create": create}))
        .await;
    assert_eq!(answer["created"].as_object().unwrap().len(), SCRIPTS_MAX);
    let refused = answer["notCreated"].as_object().unwrap();
    assert_eq!(refused.len(), 1);
    assert!(refused.values().all(|error| error["type"] == "overQuota"));
}

#[tokio::test]
async fn found_by_name_and_by_being_active() {
    let server = Server::new().await;
    let b = store_script(&server, "Beta", "keep;\n").await;
    let a = activate(&server, "alpha", "keep;\n").await;
    let rows = [
        (json!({}), json!([b, a])),
        (json!({"sort": [{"property": "name"}]}), json!([a, b])),
        (
            json!({"sort": [{"property": "isActive", "isAscending": false}]}),
            json!([a, b]),
        ),
        (json!({"filter": {"name": "ETA"}}), json!([b])),
        (json!({"filter": {"isActive": true}}), json!([a])),
        (
            json!({"filter": {"operator": "NOT", "conditions": [{"isActive": true}]}}),
            json!([b]),
        ),
    ];
    for (query, ids) in rows {
        let answer = server
            .call::<Query<SieveScript>>(&server.bob, query.clone())
            .await;
        assert_eq!(answer["ids"], ids, "{query}");
        assert_eq!(answer["canCalculateChanges"], false);
    }
}

#[test]
fn golden() {
    fn bytes_of<R: Record + PartialEq + std::fmt::Debug>(record: R, want: expect_test::Expect) {
        let bytes = record.to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        want.assert_eq(&hex);
        assert_eq!(R::from_bytes(b"", &bytes).unwrap(), record);
    }
    let script = ScriptRecord {
        name: "n".into(),
        blob: [7; 32],
        size: 300,
    };
    bytes_of(
        script,
        expect!["83616e5820070707070707070707070707070707070707070707070707070707070707070719012c"],
    );
    bytes_of(ActiveRecord { script: Some(9) }, expect!["8109"]);
    let remembered = RememberedRecord {
        entries: vec![Remembered {
            hash: 1,
            until: 1000,
        }],
    };
    bytes_of(remembered, expect!["818182011903e8"]);
    // Of before the addresses were kept: four fields.
    let pending = crate::inproc::deliver::PendingDelivery {
        blob: [7; 32],
        accounts: vec![1],
        received_at: 2,
        mail_from: None,
        recipients: None,
        is_junk: None,
        mail_parameters: None,
        parameters: None,
        reported: None,
        author: None,
        full: None,
    };
    bytes_of(
        pending.clone(),
        expect!["8358200707070707070707070707070707070707070707070707070707070707070707810102"],
    );
    // With what was asked for.
    let given = parameters::of_mail("RET", Some("HDRS")).unwrap();
    let pending = crate::inproc::deliver::PendingDelivery {
        recipients: Some(vec!["b@c.d".to_owned()]),
        mail_parameters: Some(vec![given.clone()]),
        parameters: Some(vec![vec![given.clone()]]),
        reported: Some(vec![vec![parameters::with("b@c.d", vec![given])]]),
        ..pending
    };
    bytes_of(
        pending.clone(),
        expect![
            "8958200707070707070707070707070707070707070707070707070707070707070707810102f681656240632e64f68182635245546448445253818182635245546448445253818182656240632e648182635245546448445253"
        ],
    );
    // With who vouches for the author.
    let authors = [
        Author::Here,
        Author::Domain("c.d".to_owned()),
        Author::Trusted,
        Author::Unanswered,
    ];
    // The end of the bytes: the number of the kind, and what it has.
    let wants = ["820180", "82028163632e64", "820380", "820480"];
    for (author, want) in authors.into_iter().zip(wants) {
        let pending = crate::inproc::deliver::PendingDelivery {
            author: Some(author),
            ..pending.clone()
        };
        let bytes = pending.to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(hex.starts_with("8a5820") && hex.ends_with(want), "{hex}");
        let read = crate::inproc::deliver::PendingDelivery::from_bytes(b"", &bytes);
        assert_eq!(read.unwrap(), pending);
    }
}
