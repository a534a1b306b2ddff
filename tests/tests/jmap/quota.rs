//! Quotas (RFC 9425).

use e2e::{Home, Server, corpus, jmap::strings};
use serde_json::{Value, json};

use super::{mail, outcome};

fn with_quota(quota: &str) -> Server {
    let home = Home::with_people();
    home.cli(&["account", "quota", "alice@example.org", quota], "");
    Server::start_in(home)
}

#[test]
fn a_quota_says_what_is_used_and_follows_the_mail() {
    let server = with_quota("1 MiB");
    let mut alice = server.jmap("alice");
    let before = alice.call("Quota/get", json!({"ids": null}));
    let quota = before["list"][0].clone();
    assert_eq!(quota["hardLimit"], 1 << 20);
    assert_eq!(
        (&quota["used"], &quota["resourceType"]),
        (&json!(0), &json!("octets"))
    );
    assert_eq!(
        (&quota["scope"], &quota["types"]),
        (&json!("account"), &json!(["Email"]))
    );
    let id = quota["id"].clone();
    let email = mail(&mut alice, "counted");
    let size = alice.get_emails(std::slice::from_ref(&email), &["size"])[0]["size"].clone();
    let changes = alice.call("Quota/changes", json!({"sinceState": before["state"]}));
    assert_eq!(changes["updated"], json!([id]), "{changes}");
    assert!(changes.get("updatedProperties").is_some());
    let used = |alice: &mut e2e::Jmap| {
        alice.call(
            "Quota/get",
            json!({"ids": [id, "q999"], "properties": ["used"]}),
        )
    };
    let now = used(&mut alice);
    assert_eq!(now["list"], json!([{"id": id, "used": size}]));
    assert_eq!(now["notFound"], json!(["q999"]));
    alice.call("Email/set", json!({"destroy": [email]}));
    assert_eq!(used(&mut alice)["list"][0]["used"], 0);
}

#[test]
fn quotas_are_searched_for() {
    let server = with_quota("1 MiB");
    let mut alice = server.jmap("alice");
    let all = strings(&alice.call("Quota/query", json!({}))["ids"]);
    assert_eq!(all.len(), 1);
    let rows = [
        (json!({"resourceType": "octets"}), 1),
        (json!({"resourceType": "count"}), 0),
        (json!({"scope": "account", "type": "Email"}), 1),
        (json!({"scope": "domain"}), 0),
        (json!({"type": "Calendar"}), 0),
        (json!({"name": "nothing of this name"}), 0),
        (
            json!({"operator": "NOT", "conditions": [{"scope": "domain"}]}),
            1,
        ),
    ];
    for (filter, count) in rows {
        let found = alice.call(
            "Quota/query",
            json!({"filter": filter, "calculateTotal": true}),
        );
        assert_eq!(found["total"], count, "{filter} {found}");
    }
    assert_eq!(
        alice.error_of("Quota/query", json!({"filter": {"nonsense": 1}})),
        "unsupportedFilter"
    );
    assert_eq!(
        alice.error_of("Quota/query", json!({"sort": [{"property": "nonsense"}]})),
        "unsupportedSort"
    );
    let before = alice.call("Quota/query", json!({}));
    mail(&mut alice, "counted");
    let asked = json!({"sinceQueryState": before["queryState"]});
    if before["canCalculateChanges"] == json!(true) {
        let changes = alice.call("Quota/queryChanges", asked);
        assert_eq!(changes["removed"], json!(all));
        assert_eq!(changes["added"], json!([{"id": all[0], "index": 0}]));
    } else {
        assert_eq!(
            alice.error_of("Quota/queryChanges", asked),
            "cannotCalculateChanges"
        );
    }
    let asked = json!({"sinceQueryState": "nonsense"});
    assert_eq!(
        alice.error_of("Quota/queryChanges", asked),
        "cannotCalculateChanges"
    );
}

#[test]
fn what_is_full_takes_nothing_more() {
    let server = with_quota("2 KB");
    let mut alice = server.jmap("alice");
    let inbox = alice.mailbox("inbox");
    let large = corpus::message("large@jmap.example", "large", &"x".repeat(3000));
    let blob = alice.upload(&large, "message/rfc822");
    let import = json!({"emails": {"m": {"blobId": blob, "mailboxIds": {&inbox: true}}}});
    let refused = alice.call("Email/import", import);
    assert_eq!(outcome(&refused, "m"), "overQuota", "{refused}");
    let create = json!({"create": {"m": {"mailboxIds": {&inbox: true}, "attachments": [{"blobId": blob, "type": "text/plain"}]}}});
    let refused = alice.call("Email/set", create);
    assert_eq!(outcome(&refused, "m"), "overQuota", "{refused}");
    mail(&mut alice, "small");
    assert_eq!(alice.query_all(Value::Null).len(), 1);
}

#[test]
fn without_a_limit_there_is_no_quota() {
    let server = Server::start();
    let mut alice = server.jmap("alice");
    assert_eq!(
        alice.call("Quota/get", json!({"ids": null}))["list"],
        json!([])
    );
    assert_eq!(alice.call("Quota/query", json!({}))["ids"], json!([]));
}
