//! Names of mailboxes are Net-Unicode (RFC 8621 §2, RFC 5198); those from before that was so stay.

use jmap_types::{AccountId, mail::Mailbox, method::Set};
use serde_json::{Value as Json, json};
use store::ChangeKind;

use super::mailboxes;
use crate::mail::{
    email::tests::{Bench, OWNER, caller},
    mailbox::create_path,
    write,
};

const DECOMPOSED: &str = "e\u{301}zz";
const COMPOSED: &str = "\u{e9}zz";

async fn set(bench: &Bench, mut call: Json) -> Json {
    call["accountId"] = json!("a1");
    bench
        .json::<Set<Mailbox>>(&caller(OWNER, &[]), &call.to_string())
        .await
}

async fn name(bench: &Bench, id: &str) -> Json {
    mailboxes(bench).await.mailboxes[id]["name"].clone()
}

/// A mailbox whose name was not normalized when it was made.
async fn make_old(bench: &Bench) {
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let view = account.view().await.unwrap();
    let mut record = (*view.mailbox(4).unwrap().record).clone();
    drop(view);
    record.name = DECOMPOSED.to_owned();
    let mut txn = account.writer.begin().await.unwrap();
    write::put_mailbox(&mut txn, 4, record, ChangeKind::Updated);
    txn.commit().await.unwrap();
}

#[tokio::test]
async fn a_new_name_is_normalized_and_the_client_is_told() {
    let bench = Bench::new().await;
    let made = set(&bench, json!({"create": {"n": {"name": DECOMPOSED}}})).await;
    assert_eq!(made["created"]["n"]["name"], COMPOSED, "{made}");
    let id = made["created"]["n"]["id"].as_str().unwrap();
    assert_eq!(name(&bench, id).await, COMPOSED);
    for twice in [COMPOSED, DECOMPOSED] {
        let answer = set(&bench, json!({"create": {"n": {"name": twice}}})).await;
        let error = &answer["notCreated"]["n"];
        assert_eq!(error["type"], "alreadyExists", "{answer}");
        assert_eq!(error["existingId"], id, "{answer}");
    }
    let made = set(&bench, json!({"create": {"n": {"name": "other"}}})).await;
    assert!(made["created"]["n"]["name"].is_null(), "{made}");
    // As it is, in other characters.
    let answer = set(&bench, json!({"update": {id: {"name": DECOMPOSED}}})).await;
    assert_eq!(answer["updated"][id], json!({"name": COMPOSED}), "{answer}");
    assert_eq!(answer["oldState"], answer["newState"], "{answer}");
    let renamed = json!({"update": {id: {"name": "o\u{308}"}}});
    let answer = set(&bench, renamed).await;
    assert_eq!(answer["updated"][id], json!({"name": "\u{f6}"}), "{answer}");
    assert_eq!(name(&bench, id).await, "\u{f6}");
}

#[tokio::test]
async fn a_name_is_one_line_without_control_characters() {
    let bench = Bench::new().await;
    for wrong in [
        "",
        " ",
        "a\u{2028}b",
        "a\u{2029}",
        "a\u{7}b",
        "a\nb",
        "a\u{85}",
        "\u{7f}",
    ] {
        let answer = set(&bench, json!({"create": {"n": {"name": wrong}}})).await;
        let error = &answer["notCreated"]["n"];
        assert_eq!(error["type"], "invalidProperties", "{wrong:?}: {answer}");
        assert_eq!(error["properties"], json!(["name"]), "{wrong:?}: {answer}");
        let answer = set(&bench, json!({"update": {"m4": {"name": wrong}}})).await;
        let error = &answer["notUpdated"]["m4"];
        assert_eq!(error["properties"], json!(["name"]), "{wrong:?}: {answer}");
    }
}

#[tokio::test]
async fn an_old_name_stays_and_counts() {
    let bench = Bench::new().await;
    make_old(&bench).await;
    assert_eq!(name(&bench, "m4").await, DECOMPOSED);
    let answer = set(&bench, json!({"create": {"n": {"name": COMPOSED}}})).await;
    assert_eq!(answer["notCreated"]["n"]["existingId"], "m4", "{answer}");
    let changed = json!({"update": {"m4": {"sortOrder": 9, "name": DECOMPOSED}}});
    let answer = set(&bench, changed).await;
    assert_eq!(answer["updated"], json!({"m4": null}), "{answer}");
    assert_eq!(name(&bench, "m4").await, DECOMPOSED);
    // By its name, in either form.
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    for known in [COMPOSED, DECOMPOSED] {
        let mut txn = account.writer.begin().await.unwrap();
        let found = create_path(&bench.core, &mut txn, known, None).await;
        assert_eq!(found.unwrap(), 4, "{known}");
    }
    let answer = set(&bench, json!({"update": {"m4": {"name": COMPOSED}}})).await;
    assert_eq!(answer["updated"], json!({"m4": null}), "{answer}");
    assert_eq!(name(&bench, "m4").await, COMPOSED);
}
