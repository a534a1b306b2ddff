use expect_test::expect;
use jmap_types::{
    AccountId,
    mail::{Email, Mailbox, Thread},
    method::{Changes, Get, Query, Set},
};

use super::{Bench, GUEST, OWNER, caller, rich_mail};
use crate::Caller;

type EmailGet = Get<Email>;
type EmailSet = Set<Email>;

/// An account whose inbox (m1) is shared with some rights, and its archive (m4) with all.
async fn shared(rights: &[&str]) -> (Bench, Caller) {
    let bench = Bench::new().await;
    bench.add_account(GUEST).await;
    let rights: Vec<String> = rights
        .iter()
        .map(|right| format!("\"{right}\": true"))
        .collect();
    let all = r#""mayReadItems": true, "mayAddItems": true, "mayRemoveItems": true, "maySetSeen": true, "maySetKeywords": true"#;
    let share = format!(
        r#"{{"accountId": "a1", "update": {{"m1": {{"shareWith": {{"a3": {{{}}}}}}}, "m4": {{"shareWith": {{"a3": {{{all}}}}}}}}}}}"#,
        rights.join(", ")
    );
    let answer = bench
        .json::<Set<Mailbox>>(&caller(OWNER, &[]), &share)
        .await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
    bench.place(rich_mail(), &[1, 2]).await;
    bench.place("Subject: hidden\r\n\r\n", &[2]).await;
    bench.place("Subject: free\r\n\r\n", &[4]).await;
    (bench, caller(GUEST, &[OWNER]))
}

#[tokio::test]
async fn guests_see_what_is_shared() {
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let get = r#"{"accountId": "a1", "ids": null, "properties": ["mailboxIds", "subject"]}"#;
    bench
        .check_as::<EmailGet>(
            &guest,
            get,
            "/list",
            expect![[r#"
        [
          {
            "id": "e7",
            "mailboxIds": {
              "m1": true
            },
            "subject": "Grüße"
          },
          {
            "id": "e9",
            "mailboxIds": {
              "m4": true
            },
            "subject": "free"
          }
        ]"#]],
        )
        .await;
    let get = r#"{"accountId": "a1", "ids": ["e8"]}"#;
    bench
        .check_as::<EmailGet>(
            &guest,
            get,
            "/notFound",
            expect![[r#"
        [
          "e8"
        ]"#]],
        )
        .await;
    let changes = r#"{"accountId": "a1", "sinceState": "s2"}"#;
    bench
        .check_as::<Changes<Email>>(
            &guest,
            changes,
            "/created",
            expect![[r#"
        [
          "e7",
          "e9"
        ]"#]],
        )
        .await;
}

#[tokio::test]
async fn guests_do_what_they_may() {
    let all = [
        ("e7", r#"{"keywords/$seen": null}"#),
        ("e7", r#"{"keywords/x": true}"#),
        ("e7", r#"{"mailboxIds/m4": true}"#),
        ("e7", r#"{"mailboxIds": {"m4": true}}"#),
        ("e7", r#"{"mailboxIds/m2": null}"#),
        ("e7", r#"{"mailboxIds/m3": true}"#),
        ("e8", r#"{"keywords/x": true}"#),
        ("e9", r#"{"keywords/$seen": null, "keywords/x": true}"#),
        ("e9", r#"{"mailboxIds": {"m1": true}}"#),
        ("e9", r#"{"mailboxIds/m1": true}"#),
    ];
    for (rights, expected) in [
        (
            &["mayReadItems"][..],
            expect![[r#"
            e7 {"keywords/$seen": null}: forbidden
            e7 {"keywords/x": true}: forbidden
            e7 {"mailboxIds/m4": true}: ok
            e7 {"mailboxIds": {"m4": true}}: forbidden
            e7 {"mailboxIds/m2": null}: ok
            e7 {"mailboxIds/m3": true}: invalidProperties
            e8 {"keywords/x": true}: notFound
            e9 {"keywords/$seen": null, "keywords/x": true}: ok
            e9 {"mailboxIds": {"m1": true}}: forbidden
            e9 {"mailboxIds/m1": true}: forbidden
        "#]],
        ),
        (
            &[
                "mayReadItems",
                "maySetSeen",
                "maySetKeywords",
                "mayRemoveItems",
            ],
            expect![[r#"
            e7 {"keywords/$seen": null}: forbidden
            e7 {"keywords/x": true}: forbidden
            e7 {"mailboxIds/m4": true}: ok
            e7 {"mailboxIds": {"m4": true}}: ok
            e7 {"mailboxIds/m2": null}: ok
            e7 {"mailboxIds/m3": true}: invalidProperties
            e8 {"keywords/x": true}: notFound
            e9 {"keywords/$seen": null, "keywords/x": true}: ok
            e9 {"mailboxIds": {"m1": true}}: forbidden
            e9 {"mailboxIds/m1": true}: forbidden
        "#]],
        ),
        (
            &["mayReadItems", "mayAddItems"],
            expect![[r#"
            e7 {"keywords/$seen": null}: forbidden
            e7 {"keywords/x": true}: forbidden
            e7 {"mailboxIds/m4": true}: ok
            e7 {"mailboxIds": {"m4": true}}: forbidden
            e7 {"mailboxIds/m2": null}: ok
            e7 {"mailboxIds/m3": true}: invalidProperties
            e8 {"keywords/x": true}: notFound
            e9 {"keywords/$seen": null, "keywords/x": true}: ok
            e9 {"mailboxIds": {"m1": true}}: ok
            e9 {"mailboxIds/m1": true}: ok
        "#]],
        ),
    ] {
        let mut lines = String::new();
        for (id, patch) in all {
            let (bench, guest) = shared(rights).await;
            let arguments = format!(r#"{{"accountId": "a1", "update": {{"{id}": {patch}}}}}"#);
            let answer = bench.json::<EmailSet>(&guest, &arguments).await;
            let outcome = answer["notUpdated"][id]["type"].as_str().unwrap_or("ok");
            lines.push_str(&format!("{id} {patch}: {outcome}\n"));
        }
        expected.assert_eq(&lines);
    }
}

/// What a guest does not see of an email's mailboxes stays.
#[tokio::test]
async fn hidden_mailboxes_stay() {
    let (bench, guest) = shared(&["mayReadItems", "mayRemoveItems"]).await;
    let arguments = r#"{"accountId": "a1", "update": {"e7": {"mailboxIds": {"m4": true}}}}"#;
    bench
        .check_as::<EmailSet>(
            &guest,
            arguments,
            "/updated",
            expect![[r#"
        {
          "e7": null
        }"#]],
        )
        .await;
    let get = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["mailboxIds"]}"#;
    bench
        .check::<EmailGet>(
            get,
            "/list/0",
            expect![[r#"
        {
          "id": "e7",
          "mailboxIds": {
            "m2": true,
            "m4": true
          }
        }"#]],
        )
        .await;
    let arguments = r#"{"accountId": "a1", "destroy": ["e7", "e8", "e9"]}"#;
    bench
        .check_as::<EmailSet>(
            &guest,
            arguments,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "created": null,
          "destroyed": [
            "e9"
          ],
          "newState": "s7",
          "notCreated": null,
          "notDestroyed": {
            "e7": {
              "description": "You may not remove it from all its mailboxes.",
              "type": "forbidden"
            },
            "e8": {
              "type": "notFound"
            }
          },
          "notUpdated": null,
          "oldState": "s6",
          "updated": null
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn guests_create_where_they_may_add() {
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let arguments = r#"{"accountId": "a1", "create": {"a": {"mailboxIds": {"m1": true}}, "b": {"mailboxIds": {"m4": true}},
        "c": {"mailboxIds": {"m2": true}}}}"#;
    bench
        .check_as::<EmailSet>(
            &guest,
            arguments,
            "/notCreated",
            expect![[r#"
        {
          "a": {
            "description": "You may not add emails to this mailbox.",
            "type": "forbidden"
          },
          "c": {
            "description": "One of the mailboxes does not exist.",
            "properties": [
              "mailboxIds"
            ],
            "type": "invalidProperties"
          }
        }"#]],
        )
        .await;
    let handle = bench.core.accounts.handle(AccountId::new(OWNER));
    assert_eq!(handle.view().await.unwrap().emails().count(), 4);
}

/// Which emails a guest sees follows from mailboxes as well: what was shared since their state is in no log.
#[tokio::test]
async fn a_guest_begins_anew_after_mailboxes_changed() {
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let before = r#"{"accountId": "a1", "sinceState": "s4"}"#;
    let created = bench.json::<Changes<Email>>(&guest, before).await;
    assert_eq!(created["created"], serde_json::json!(["e9"]), "{created}");
    let owner = caller(OWNER, &[]);
    let share =
        r#"{"accountId": "a1", "update": {"m2": {"shareWith/a3": {"mayReadItems": true}}}}"#;
    let shared = bench.json::<Set<Mailbox>>(&owner, share).await;
    assert!(shared["notUpdated"].is_null(), "{shared}");
    bench.place("Subject: later\r\n\r\n", &[4]).await;
    for (who, error) in [(&guest, "cannotCalculateChanges"), (&owner, "")] {
        let emails = bench.json::<Changes<Email>>(who, before).await;
        let threads = bench.json::<Changes<Thread>>(who, before).await;
        for changes in [emails, threads] {
            assert_eq!(
                changes["type"].as_str().unwrap_or_default(),
                error,
                "{changes}"
            );
        }
    }
    // What only counts emails is no change of that kind.
    let state = bench
        .json::<EmailGet>(&guest, r#"{"accountId": "a1", "ids": []}"#)
        .await;
    bench.place("Subject: last\r\n\r\n", &[4]).await;
    let since = format!(r#"{{"accountId": "a1", "sinceState": {}}}"#, state["state"]);
    let changes = bench.json::<Changes<Email>>(&guest, &since).await;
    assert_eq!(
        changes["created"].as_array().map(Vec::len),
        Some(1),
        "{changes}"
    );
}

#[tokio::test]
async fn a_mailbox_is_shared_with_those_who_are_there() {
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let owner = caller(OWNER, &[]);
    let rows = [
        (&owner, r#"{"shareWith/a3/mayAddItems": true}"#, "ok"),
        (
            &owner,
            r#"{"shareWith/a99": {"mayReadItems": true}}"#,
            "invalidProperties",
        ),
        (
            &owner,
            r#"{"shareWith/a1": {"mayReadItems": true}}"#,
            "invalidProperties",
        ),
        (
            &owner,
            r#"{"shareWith/a3": {"mayFly": true}}"#,
            "invalidProperties",
        ),
        (
            &owner,
            r#"{"shareWith": {"nonsense": {}}}"#,
            "invalidProperties",
        ),
        (&guest, r#"{"shareWith/a3/maySetSeen": true}"#, "forbidden"),
        (&guest, r#"{"name": "mine"}"#, "forbidden"),
        (&owner, r#"{"shareWith/a3/mayShare": true}"#, "ok"),
        (&guest, r#"{"shareWith/a3/maySetSeen": true}"#, "ok"),
    ];
    for (who, patch, expected) in rows {
        let set = format!(r#"{{"accountId": "a1", "update": {{"m1": {patch}}}}}"#);
        let answer = bench.json::<Set<Mailbox>>(who, &set).await;
        let outcome = answer["notUpdated"]["m1"]["type"].as_str().unwrap_or("ok");
        assert_eq!(outcome, expected, "{patch} {answer}");
    }
    let get = r#"{"accountId": "a1", "ids": ["m1"], "properties": ["shareWith"]}"#;
    let rights =
        bench.json::<Get<Mailbox>>(&owner, get).await["list"][0]["shareWith"]["a3"].clone();
    let has = |name: &str| rights[name] == true;
    // A patch keeps the rights that it doesn't name, the right to share among them.
    let names = [
        "mayReadItems",
        "mayAddItems",
        "maySetSeen",
        "mayShare",
        "mayRemoveItems",
    ];
    assert_eq!(names.map(has), [true, true, true, true, false], "{rights}");
}

/// The ids that a guest's Email/query gives.
async fn found(bench: &Bench, who: &Caller, query: serde_json::Value) -> serde_json::Value {
    let mut query = query;
    query["accountId"] = serde_json::json!("a1");
    let answer = bench.json::<Query<Email>>(who, &query.to_string()).await;
    match answer.get("ids") {
        Some(ids) => ids.clone(),
        None => answer,
    }
}

/// Filters tell a guest nothing of the mailboxes that an email is also in.
#[tokio::test]
async fn queries_of_guests_know_no_hidden_mailboxes() {
    use serde_json::json;
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let owner = caller(OWNER, &[]);
    let rows = [
        (json!({"inMailbox": "m1"}), json!(["e7"]), json!(["e7"])),
        (json!({"inMailbox": "m2"}), json!([]), json!(["e8", "e7"])),
        (
            json!({"inMailboxOtherThan": ["m1"]}),
            json!(["e9"]),
            json!(["e9", "e8", "e7"]),
        ),
        (
            json!({"operator": "NOT", "conditions": [{"inMailbox": "m2"}]}),
            json!(["e9", "e7"]),
            json!(["e9"]),
        ),
    ];
    for (filter, as_guest, as_owner) in rows {
        let query = json!({"filter": filter});
        assert_eq!(
            found(&bench, &guest, query.clone()).await,
            as_guest,
            "{query}"
        );
        assert_eq!(
            found(&bench, &owner, query.clone()).await,
            as_owner,
            "{query}"
        );
    }
}

/// Neither do conditions on threads, of the emails in them that are hidden.
#[tokio::test]
async fn queries_of_guests_know_no_hidden_emails_of_threads() {
    use serde_json::json;
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let owner = caller(OWNER, &[]);
    let first = "Message-ID: <first@x>\r\nSubject: a thread\r\n\r\n";
    let second = "References: <first@x>\r\nSubject: Re: a thread\r\n\r\n";
    let seen = bench.place(first, &[4]).await;
    let hidden = bench.place(second, &[3]).await;
    let id = |number: u64| jmap_types::mail::EmailId::new(number).to_string();
    let (seen, hidden) = (id(seen), id(hidden));
    let patch = json!({"keywords": {"x": true}});
    let update = json!({"accountId": "a1", "update": {&hidden: patch}});
    let answer = bench.json::<EmailSet>(&owner, &update.to_string()).await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
    let in_mailbox = |condition: serde_json::Value| json!({"filter": {"operator": "AND", "conditions": [{"inMailbox": "m4"}, condition]}});
    let rows = [
        (
            json!({"someInThreadHaveKeyword": "x"}),
            json!([]),
            json!([seen]),
        ),
        (
            json!({"allInThreadHaveKeyword": "work"}),
            json!([seen, "e9"]),
            json!(["e9"]),
        ),
        (
            json!({"noneInThreadHaveKeyword": "x"}),
            json!([seen, "e9"]),
            json!(["e9"]),
        ),
    ];
    for (condition, as_guest, as_owner) in rows {
        let query = in_mailbox(condition);
        assert_eq!(
            found(&bench, &guest, query.clone()).await,
            as_guest,
            "{query}"
        );
        assert_eq!(
            found(&bench, &owner, query.clone()).await,
            as_owner,
            "{query}"
        );
    }
    let sorted = |property: &str, keyword: &str| {
        json!({
            "filter": {"inMailbox": "m4"},
            "sort": [{"property": property, "keyword": keyword}],
        })
    };
    // To the guest all are equal, so the newest is first.
    let rows = [
        (sorted("someInThreadHaveKeyword", "x"), json!(["e9", seen])),
        (
            sorted("allInThreadHaveKeyword", "work"),
            json!([seen, "e9"]),
        ),
    ];
    for (query, as_owner) in rows {
        let as_guest = found(&bench, &guest, query.clone()).await;
        assert_eq!(as_guest, json!([seen, "e9"]), "{query}");
        assert_eq!(
            found(&bench, &owner, query.clone()).await,
            as_owner,
            "{query}"
        );
    }
}

/// Threads of which a guest sees no email aren't there, nor do they count.
#[tokio::test]
async fn all_threads_of_a_guest_are_those_that_they_see() {
    let (bench, guest) = shared(&["mayReadItems"]).await;
    let get = r#"{"accountId": "a1", "ids": null, "properties": ["id"]}"#;
    for (who, count) in [(&guest, 2), (&caller(OWNER, &[]), 3)] {
        let answer = bench.json::<Get<Thread>>(who, get).await;
        let list = answer["list"].as_array().unwrap();
        assert_eq!(list.len(), count, "{answer}");
        assert_eq!(answer["notFound"], serde_json::json!([]), "{answer}");
    }
}

#[tokio::test]
async fn hidden_threads_take_no_room_of_a_get() {
    let limits = crate::Limits {
        max_objects_in_get: 1,
        ..crate::Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    bench.add_account(GUEST).await;
    let share =
        r#"{"accountId": "a1", "update": {"m4": {"shareWith": {"a3": {"mayReadItems": true}}}}}"#;
    let answer = bench.json::<Set<Mailbox>>(&caller(OWNER, &[]), share).await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
    bench.place("Subject: hidden\r\n\r\n", &[2]).await;
    bench.place("Subject: free\r\n\r\n", &[4]).await;
    let get = r#"{"accountId": "a1", "ids": null}"#;
    let answer = bench
        .json::<Get<Thread>>(&caller(GUEST, &[OWNER]), get)
        .await;
    assert_eq!(answer["list"].as_array().map(Vec::len), Some(1), "{answer}");
    let answer = bench.json::<Get<Thread>>(&caller(OWNER, &[]), get).await;
    assert_eq!(answer["type"], "requestTooLarge", "{answer}");
}
