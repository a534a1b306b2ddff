use expect_test::expect;
use jmap_types::{
    mail::Email,
    method::{Copy, Get},
};

use super::{Bench, OTHER, OWNER, caller, rich_mail};

type EmailCopy = Copy<Email>;

/// Calls of somebody who owns both accounts, by a group.
fn both() -> crate::Caller {
    crate::Caller::new(crate::caller::Identity {
        domains: Vec::new(),
        account: jmap_types::AccountId::new(OTHER),
        name: "u2@example.com".to_owned(),
        role: crate::Role::User,
        credential: 1,
        kind: None,
        groups: vec![jmap_types::AccountId::new(OWNER)],
        shares: Vec::new(),
    })
}

#[tokio::test]
async fn copies_and_destroys() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let arguments = r#"{"fromAccountId": "a1", "accountId": "a2", "onSuccessDestroyOriginal": true, "create": {
        "k": {"id": "e7", "mailboxIds": {"m4": true}}, "l": {"id": "e9", "mailboxIds": {"m4": true}}}}"#;
    bench
        .check_as::<EmailCopy>(
            &both(),
            arguments,
            "",
            expect![[r#"
        {
          "Email/set": {
            "accountId": "a1",
            "created": null,
            "destroyed": [
              "e7"
            ],
            "newState": "s3",
            "notCreated": null,
            "notDestroyed": null,
            "notUpdated": null,
            "oldState": "s2",
            "updated": null
          },
          "accountId": "a2",
          "created": {
            "k": {
              "blobId": "b523f~",
              "id": "e7",
              "size": 1083,
              "threadId": "t7"
            }
          },
          "fromAccountId": "a1",
          "newState": "s2",
          "notCreated": {
            "l": {
              "type": "notFound"
            }
          },
          "oldState": "s0"
        }"#]],
        )
        .await;
    let get = r#"{"accountId": "a2", "ids": null, "properties": ["receivedAt", "keywords", "mailboxIds", "subject"]}"#;
    bench
        .check_as::<Get<Email>>(
            &both(),
            get,
            "/list",
            expect![[r#"
        [
          {
            "id": "e7",
            "keywords": {
              "$seen": true,
              "work": true
            },
            "mailboxIds": {
              "m4": true
            },
            "receivedAt": "2020-01-02T03:03:05Z",
            "subject": "Grüße"
          }
        ]"#]],
        )
        .await;
    let get = r#"{"accountId": "a1", "ids": null, "properties": []}"#;
    bench
        .check_as::<Get<Email>>(&both(), get, "/list", expect!["[]"])
        .await;
}

#[tokio::test]
async fn copies_with_other_values() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let arguments = r#"{"fromAccountId": "a1", "accountId": "a2", "create": {
        "k": {"id": "e7", "mailboxIds": {"m4": true}, "keywords": {"new": true}, "receivedAt": "2001-02-03T04:05:06Z"}}}"#;
    bench
        .check_as::<EmailCopy>(
            &both(),
            arguments,
            "/created",
            expect![[r#"
        {
          "k": {
            "blobId": "b523f~",
            "id": "e7",
            "size": 1083,
            "threadId": "t7"
          }
        }"#]],
        )
        .await;
    let get = r#"{"accountId": "a2", "ids": null, "properties": ["receivedAt", "keywords"]}"#;
    bench
        .check_as::<Get<Email>>(
            &both(),
            get,
            "/list",
            expect![[r#"
        [
          {
            "id": "e7",
            "keywords": {
              "new": true
            },
            "receivedAt": "2001-02-03T04:05:06Z"
          }
        ]"#]],
        )
        .await;
}

#[tokio::test]
async fn wrong_copies() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    for (email, expected) in [
        (
            r#""id": "e7""#,
            expect![[r#"
            {
              "description": "A copy needs mailboxes of its account.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}"#,
            expect![[r#"
            {
              "description": "It must be the Id of an email.",
              "properties": [
                "id"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""id": "e7", "mailboxIds": {"m1": true}, "subject": "x""#,
            expect![[r#"
            {
              "description": "Only mailboxIds, keywords and receivedAt can be set in a copy.",
              "properties": [
                "subject"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""id": "e7", "mailboxIds": {"m99": true}"#,
            expect![[r#"
            {
              "description": "One of the mailboxes does not exist.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
    ] {
        let arguments = format!(
            r#"{{"fromAccountId": "a1", "accountId": "a2", "create": {{"k": {{{email}}}}}}}"#
        );
        bench
            .check_as::<EmailCopy>(&both(), &arguments, "/notCreated/k", expected)
            .await;
    }
    for (more, expected) in [
        (
            r#""fromAccountId": "a2""#,
            expect![[r#"
            {
              "description": "\"fromAccountId\" must be another account than \"accountId\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""fromAccountId": "a9""#,
            expect![[r#"
            {
              "type": "fromAccountNotFound"
            }"#]],
        ),
        (
            r#""fromAccountId": "x""#,
            expect![[r#"
            {
              "type": "fromAccountNotFound"
            }"#]],
        ),
        (
            r#""fromAccountId": "a1", "ifFromInState": "s77""#,
            expect![[r#"
            {
              "type": "stateMismatch"
            }"#]],
        ),
        (
            r#""fromAccountId": "a1", "ifInState": "s77""#,
            expect![[r#"
            {
              "type": "stateMismatch"
            }"#]],
        ),
    ] {
        let arguments = format!(r#"{{{more}, "accountId": "a2", "create": {{}}}}"#);
        bench
            .check_as::<EmailCopy>(&both(), &arguments, "", expected)
            .await;
    }
    let stranger = caller(OTHER, &[]);
    let arguments = r#"{"fromAccountId": "a1", "accountId": "a2", "create": {}}"#;
    bench
        .check_as::<EmailCopy>(
            &stranger,
            arguments,
            "",
            expect![[r#"
        {
          "type": "fromAccountNotFound"
        }"#]],
        )
        .await;
}
