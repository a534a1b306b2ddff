use expect_test::expect;
use jmap_types::{
    AccountId, Property,
    email::Import,
    mail::{Email, MailboxId},
    method::{CreatedIds, Get, Set},
    value::{Map, MapExt as _, set_of},
};

use super::{Bench, OWNER, caller, mail, rich_mail};
use crate::mail::write::INBOX;

#[tokio::test]
async fn imports() {
    let bench = Bench::new().await;
    let rich = bench.upload(rich_mail()).await;
    let plain = bench.upload(mail(&["Subject: x", "", "y"])).await;
    let arguments = format!(
        r#"{{"accountId": "a1", "ifInState": "s0", "emails": {{
            "a": {{"blobId": "{rich}", "mailboxIds": {{"m1": true, "m2": true}}, "keywords": {{"$SEEN": true}}}},
            "b": {{"blobId": "{plain}", "mailboxIds": {{"m1": true}}}},
            "c": {{"blobId": "{plain}", "mailboxIds": {{"m1": true}}, "receivedAt": "2001-02-03T04:05:06Z"}}}}}}"#
    );
    bench
        .check::<Import>(
            &arguments,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "created": {
            "a": {
              "blobId": "b523f~",
              "id": "e7",
              "size": 1083,
              "threadId": "t7"
            },
            "b": {
              "blobId": "ba5f1~",
              "id": "e8",
              "size": 15,
              "threadId": "t8"
            },
            "c": {
              "blobId": "ba5f1~",
              "id": "e9",
              "size": 15,
              "threadId": "t9"
            }
          },
          "newState": "s4",
          "notCreated": null,
          "oldState": "s0"
        }"#]],
        )
        .await;
    let get = r#"{"accountId": "a1", "ids": null, "properties": ["receivedAt", "mailboxIds", "keywords"]}"#;
    bench
        .check::<Get<Email>>(
            get,
            "/list",
            expect![[r#"
        [
          {
            "id": "e7",
            "keywords": {
              "$seen": true
            },
            "mailboxIds": {
              "m1": true,
              "m2": true
            },
            "receivedAt": "2020-01-01T09:00:00Z"
          },
          {
            "id": "e8",
            "keywords": {},
            "mailboxIds": {
              "m1": true
            },
            "receivedAt": "2020-01-02T03:04:05Z"
          },
          {
            "id": "e9",
            "keywords": {},
            "mailboxIds": {
              "m1": true
            },
            "receivedAt": "2001-02-03T04:05:06Z"
          }
        ]"#]],
        )
        .await;
    bench
        .check::<Import>(
            &arguments,
            "",
            expect![[r#"
        {
          "type": "stateMismatch"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn wrong_imports() {
    let bench = Bench::new().await;
    let good = bench.upload(mail(&["Subject: x", "", "y"])).await;
    let empty = bench.upload("").await;
    let noise = bench.upload(vec![0u8, 1, 2, 255]).await;
    for (email, expected) in [
        (
            format!(r#""blobId": "{good}""#),
            expect![[r#"
            {
              "description": "An email is in at least one mailbox.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(r#""blobId": "{good}", "mailboxIds": {{}}"#),
            expect![[r#"
            {
              "description": "An email is in at least one mailbox.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(r#""blobId": "{good}", "mailboxIds": {{"m9": true}}"#),
            expect![[r#"
            {
              "description": "One of the mailboxes does not exist.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(
                r#""blobId": "{good}", "mailboxIds": {{"m1": true}}, "keywords": {{"%": true}}"#
            ),
            expect![[r#"
            {
              "description": "A keyword has 1 to 255 printable ASCII characters without ( ) { ] % * \" and \\.",
              "properties": [
                "keywords/%"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(r#""blobId": "{good}", "mailboxIds": {{"m1": true}}, "receivedAt": null"#),
            expect![[r#"
            {
              "description": "It must be a UTCDate.",
              "properties": [
                "receivedAt"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(r#""blobId": "{good}", "mailboxIds": {{"m1": true}}, "x": 1"#),
            expect![[r#"
            {
              "description": "An EmailImport has no such property.",
              "properties": [
                "x"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}"#.to_owned(),
            expect![[r#"
            {
              "description": "It must be an Id.",
              "properties": [
                "blobId"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""blobId": "b0", "mailboxIds": {"m1": true}"#.to_owned(),
            expect![[r#"
            {
              "description": "There is no such blob.",
              "notFound": [
                "b0"
              ],
              "properties": [
                "blobId"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            format!(r#""blobId": "{empty}", "mailboxIds": {{"m1": true}}"#),
            expect![[r#"
            {
              "description": "The blob is no message: it begins without a header field.",
              "type": "invalidEmail"
            }"#]],
        ),
        (
            format!(r#""blobId": "{noise}", "mailboxIds": {{"m1": true}}"#),
            expect![[r#"
            {
              "description": "The blob is no message: it begins without a header field.",
              "type": "invalidEmail"
            }"#]],
        ),
    ] {
        let arguments = format!(r#"{{"accountId": "a1", "emails": {{"k": {{{email}}}}}}}"#);
        bench
            .check::<Import>(&arguments, "/notCreated/k", expected)
            .await;
    }
}

#[tokio::test]
async fn a_mailbox_under_two_names_is_one_place() {
    let bench = Bench::new().await;
    let blob = bench.upload(mail(&["Subject: x", "", "y"])).await;
    let inbox = MailboxId::new(INBOX);
    let created_ids = CreatedIds::default();
    created_ids.insert("x".to_owned(), inbox.to_wire());
    let email = || Map::new().with(Property::MailboxIds, set_of(["#x", &*inbox.to_string()]));
    let import = Import {
        account_id: AccountId::new(OWNER),
        if_in_state: None,
        emails: vec![(
            "i".to_owned(),
            email().with(Property::BlobId, blob.to_string()),
        )],
        created_ids: created_ids.clone(),
    };
    let set = Set::<Email> {
        account_id: AccountId::new(OWNER),
        if_in_state: None,
        create: vec![("s".to_owned(), email())],
        update: Vec::new(),
        destroy: Vec::new(),
        arguments: (),
        created_ids: created_ids.clone(),
    };
    let who = caller(OWNER, &[]);
    let imported = bench.core.call(&who, import).await.unwrap();
    assert_eq!(imported.created.len(), 1, "{imported:?}");
    let set = bench.core.call(&who, set).await.unwrap();
    assert_eq!(set.created.len(), 1, "{set:?}");
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let view = account.view().await.unwrap();
    let places: Vec<usize> = view.emails().map(|(_, row)| row.places().count()).collect();
    assert_eq!(places, [1, 1]);
    assert_eq!(view.counts(INBOX).total_emails, 2);
}
