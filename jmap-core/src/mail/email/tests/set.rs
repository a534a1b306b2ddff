use expect_test::expect;
use jmap_types::{
    mail::Email,
    method::{Changes, Get, Set},
};

use super::{Bench, OWNER, caller, rich_mail};
use crate::Limits;

type EmailGet = Get<Email>;
type EmailSet = Set<Email>;

fn update(patch: &str) -> String {
    format!(r#"{{"accountId": "a1", "update": {{"e7": {patch}}}}}"#)
}

fn create(email: &str) -> String {
    format!(r#"{{"accountId": "a1", "create": {{"k": {{{email}}}}}}}"#)
}

const METADATA: &str =
    r#"{"accountId": "a1", "ids": ["e7"], "properties": ["mailboxIds", "keywords"]}"#;

#[tokio::test]
async fn patches() {
    for (patch, expected) in [
        (
            r#"{"keywords/$flagged": true}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "$flagged": true,
                "$seen": true,
                "work": true
              },
              "mailboxIds": {
                "m1": true
              }
            }"#]],
        ),
        (
            r#"{"keywords/$seen": null, "keywords/$none": null}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "work": true
              },
              "mailboxIds": {
                "m1": true
              }
            }"#]],
        ),
        (
            r#"{"keywords": {"a~1/b": true}}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "a~1/b": true
              },
              "mailboxIds": {
                "m1": true
              }
            }"#]],
        ),
        (
            r#"{"keywords/a~1b": true}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "$seen": true,
                "a/b": true,
                "work": true
              },
              "mailboxIds": {
                "m1": true
              }
            }"#]],
        ),
        (
            r#"{"keywords": null}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {},
              "mailboxIds": {
                "m1": true
              }
            }"#]],
        ),
        (
            r#"{"mailboxIds/m2": true}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "$seen": true,
                "work": true
              },
              "mailboxIds": {
                "m1": true,
                "m2": true
              }
            }"#]],
        ),
        (
            r#"{"mailboxIds/m1": null, "mailboxIds/m6": true}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "$seen": true,
                "work": true
              },
              "mailboxIds": {
                "m6": true
              }
            }"#]],
        ),
        (
            r#"{"mailboxIds": {"m2": true, "m1": true}, "keywords/$seen": null}"#,
            expect![[r#"
            {
              "id": "e7",
              "keywords": {
                "work": true
              },
              "mailboxIds": {
                "m1": true,
                "m2": true
              }
            }"#]],
        ),
        (
            r#"{"subject": "Grüße", "size": 1083, "keywords/x": true, "from": [{"email": "joe@example.org", "name": "Jö"}]}"#,
            expect![[r#"
                {
                  "id": "e7",
                  "keywords": {
                    "$seen": true,
                    "work": true,
                    "x": true
                  },
                  "mailboxIds": {
                    "m1": true
                  }
                }"#]],
        ),
    ] {
        let bench = Bench::new().await;
        bench.deliver(rich_mail()).await;
        let answer = bench
            .json::<EmailSet>(&caller(OWNER, &[]), &update(patch))
            .await;
        assert!(answer["notUpdated"].is_null(), "{patch}: {answer}");
        assert!(answer["updated"]["e7"].is_null(), "{patch}: {answer}");
        bench.check::<EmailGet>(METADATA, "/list/0", expected).await;
    }
}

#[tokio::test]
async fn upper_case_is_told() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    bench
        .check::<EmailSet>(
            &update(r#"{"keywords/$FLAGGED": true}"#),
            "/updated",
            expect![[r#"
        {
          "e7": {
            "keywords": {
              "$flagged": true,
              "$seen": true,
              "work": true
            }
          }
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn nothing_changes_nothing() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let who = caller(OWNER, &[]);
    for patch in [
        "{}",
        r#"{"keywords/$seen": true}"#,
        r#"{"mailboxIds": {"m1": true}}"#,
    ] {
        let answer = bench.json::<EmailSet>(&who, &update(patch)).await;
        assert_eq!(
            answer["updated"],
            serde_json::json!({"e7": null}),
            "{patch}"
        );
        assert_eq!(answer["newState"], "s2", "{patch}");
    }
}

#[tokio::test]
async fn wrong_patches() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    for (patch, expected) in [
        (
            r#"{"keywords/$seen": false}"#,
            expect![[r#"
            {
              "description": "The value of each member must be true.",
              "properties": [
                "keywords/$seen"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"keywords/a b": true}"#,
            expect![[r#"
            {
              "description": "A keyword has 1 to 255 printable ASCII characters without ( ) { ] % * \" and \\.",
              "properties": [
                "keywords/a b"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"keywords/a(": true}"#,
            expect![[r#"
            {
              "description": "A keyword has 1 to 255 printable ASCII characters without ( ) { ] % * \" and \\.",
              "properties": [
                "keywords/a("
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"keywords/": true}"#,
            expect![[r#"
            {
              "description": "A keyword has 1 to 255 printable ASCII characters without ( ) { ] % * \" and \\.",
              "properties": [
                "keywords/"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"keywords": []}"#,
            expect![[r#"
            {
              "description": "It must be an object.",
              "properties": [
                "keywords"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"keywords": {"x": true}, "keywords/y": true}"#,
            expect![[r#"
            {
              "description": "Another path of the patch is a prefix of this one.",
              "properties": [
                "keywords"
              ],
              "type": "invalidPatch"
            }"#]],
        ),
        (
            r#"{"keywords/x/y": true}"#,
            expect![[r#"
            {
              "description": "Only the members of keywords and mailboxIds can be patched.",
              "properties": [
                "keywords/x/y"
              ],
              "type": "invalidPatch"
            }"#]],
        ),
        (
            r#"{"keywords/~2": true}"#,
            expect![[r#"
            {
              "description": "The path is not a JSON Pointer.",
              "properties": [
                "keywords/~2"
              ],
              "type": "invalidPatch"
            }"#]],
        ),
        (
            r#"{"mailboxIds": {}}"#,
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
            r#"{"mailboxIds": null}"#,
            expect![[r#"
            {
              "description": "It must be an object of mailbox ids.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"mailboxIds/m1": null}"#,
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
            r#"{"mailboxIds/m77": true}"#,
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
            r#"{"mailboxIds/x": true}"#,
            expect![[r#"
            {
              "description": "One of the mailboxes does not exist.",
              "properties": [
                "mailboxIds/x"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"mailboxIds": {"m2": 1}}"#,
            expect![[r#"
            {
              "description": "The value of each member must be true.",
              "properties": [
                "mailboxIds/m2"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"subject": "other", "from": null}"#,
            expect![[r#"
            {
              "description": "Only mailboxIds and keywords of an email can change.",
              "properties": [
                "subject",
                "from"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"from/0/name": "x"}"#,
            expect![[r#"
            {
              "description": "Only the members of keywords and mailboxIds can be patched.",
              "properties": [
                "from/0/name"
              ],
              "type": "invalidPatch"
            }"#]],
        ),
        (
            r#"{"nonsense": 1}"#,
            expect![[r#"
            {
              "description": "There is no such property.",
              "properties": [
                "nonsense"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#"{"receivedAt": "2020-01-01T00:00:00Z"}"#,
            expect![[r#"
            {
              "description": "Only mailboxIds and keywords of an email can change.",
              "properties": [
                "receivedAt"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
    ] {
        bench
            .check::<EmailSet>(&update(patch), "/notUpdated/e7", expected)
            .await;
    }
    let missing = r#"{"accountId": "a1", "update": {"e99": {"keywords/x": true}, "m1": {}}, "destroy": ["e98"]}"#;
    bench
        .check::<EmailSet>(
            missing,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "created": null,
          "destroyed": null,
          "newState": "s2",
          "notCreated": null,
          "notDestroyed": {
            "e98": {
              "type": "notFound"
            }
          },
          "notUpdated": {
            "e99": {
              "type": "notFound"
            },
            "m1": {
              "type": "notFound"
            }
          },
          "oldState": "s2",
          "updated": null
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn limits() {
    let bench = Bench::with_limits(Limits {
        max_keywords_per_email: 2,
        max_mailboxes_per_email: 1,
        max_size_message: 2000,
        max_size_attachments_per_email: 10,
        ..Limits::default()
    })
    .await;
    bench.deliver(rich_mail()).await;
    bench
        .check::<EmailSet>(
            &update(r#"{"keywords/x": true}"#),
            "/notUpdated/e7",
            expect![[r#"
        {
          "type": "tooManyKeywords"
        }"#]],
        )
        .await;
    bench
        .check::<EmailSet>(
            &update(r#"{"mailboxIds/m2": true}"#),
            "/notUpdated/e7",
            expect![[r#"
        {
          "type": "tooManyMailboxes"
        }"#]],
        )
        .await;
    let paths: Vec<String> = (0..1001)
        .map(|at| format!("\"keywords/x{at}\": null"))
        .collect();
    bench
        .check::<EmailSet>(
            &update(&format!("{{{}}}", paths.join(","))),
            "/notUpdated/e7/type",
            expect![[r#""tooLarge""#]],
        )
        .await;
    let blob = bench.upload("0123456").await;
    let part = format!(r#"{{"blobId": "{blob}", "type": "text/x"}}"#);
    let one = create(&format!(
        r#""mailboxIds": {{"m1": true}}, "attachments": [{part}]"#
    ));
    bench
        .check::<EmailSet>(&one, "/notCreated", expect!["null"])
        .await;
    let two = create(&format!(
        r#""mailboxIds": {{"m1": true}}, "attachments": [{part}, {part}]"#
    ));
    bench
        .check::<EmailSet>(
            &two,
            "/notCreated/k",
            expect![[r#"
        {
          "maxSize": 10,
          "type": "tooLarge"
        }"#]],
        )
        .await;
    let long = "x".repeat(2000);
    let long = create(&format!(
        r#""mailboxIds": {{"m1": true}}, "subject": "{long}""#
    ));
    bench
        .check::<EmailSet>(
            &long,
            "/notCreated/k",
            expect![[r#"
        {
          "maxSize": 2000,
          "type": "tooLarge"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn destroys() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    bench
        .check::<EmailSet>(
            r#"{"accountId": "a1", "destroy": ["e7"]}"#,
            "",
            expect![[r#"
        {
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
        }"#]],
        )
        .await;
    bench
        .check::<EmailGet>(
            METADATA,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "list": [],
          "notFound": [
            "e7"
          ],
          "state": "s3"
        }"#]],
        )
        .await;
    bench
        .check::<Changes<Email>>(
            r#"{"accountId": "a1", "sinceState": "s2"}"#,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "created": [],
          "destroyed": [
            "e7"
          ],
          "hasMoreChanges": false,
          "newState": "s3",
          "oldState": "s2",
          "updated": []
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn creates_a_draft() {
    let bench = Bench::new().await;
    let email = r#""mailboxIds": {"m2": true}, "keywords": {"$Draft": true}, "from": [{"name": "Jö", "email": "j@example.com"}],
        "to": [{"email": "a@example.com"}], "subject": "Grüße", "header:X-Loop:asText:all": ["a", "b"],
        "header:List-Post:asURLs": ["mailto:x@example.com"], "inReplyTo": ["1@x"], "cc": null,
        "sentAt": "2019-12-31T23:00:00+01:00",
        "bodyValues": {"t": {"value": "Hallo\n"}, "h": {"value": "<p>Hallo", "isTruncated": false}},
        "textBody": [{"partId": "t", "type": "text/plain"}], "htmlBody": [{"partId": "h", "type": "text/html"}]"#;
    bench
        .check::<EmailSet>(
            &create(email),
            "",
            expect![[r#"
                {
                  "accountId": "a1",
                  "created": {
                    "k": {
                      "blobId": "b6eb4~",
                      "hasAttachment": false,
                      "id": "e7",
                      "messageId": [
                        "bdb004fd46f354c300c25b2a539866da@mail.example.com"
                      ],
                      "preview": "Hallo",
                      "receivedAt": "2020-01-02T03:04:05Z",
                      "size": 698,
                      "threadId": "t7"
                    }
                  },
                  "destroyed": null,
                  "newState": "s2",
                  "notCreated": null,
                  "notDestroyed": null,
                  "notUpdated": null,
                  "oldState": "s0",
                  "updated": null
                }"#]],
        )
        .await;
    let get = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["keywords", "mailboxIds", "receivedAt", "from", "to", "cc",
        "subject", "header:X-Loop:all", "header:List-Post", "inReplyTo", "sentAt", "messageId", "bodyValues", "bodyStructure"],
        "bodyProperties": ["type", "charset"], "fetchAllBodyValues": true}"#;
    bench
        .check::<EmailGet>(
            get,
            "/list/0",
            expect![[r#"
                {
                  "bodyStructure": {
                    "charset": null,
                    "subParts": [
                      {
                        "charset": "utf-8",
                        "type": "text/plain"
                      },
                      {
                        "charset": "utf-8",
                        "type": "text/html"
                      }
                    ],
                    "type": "multipart/alternative"
                  },
                  "bodyValues": {
                    "2": {
                      "isEncodingProblem": false,
                      "isTruncated": false,
                      "value": "Hallo\n"
                    },
                    "3": {
                      "isEncodingProblem": false,
                      "isTruncated": false,
                      "value": "<p>Hallo"
                    }
                  },
                  "cc": null,
                  "from": [
                    {
                      "email": "j@example.com",
                      "name": "Jö"
                    }
                  ],
                  "header:List-Post": " <mailto:x@example.com>",
                  "header:X-Loop:all": [
                    " a",
                    " b"
                  ],
                  "id": "e7",
                  "inReplyTo": [
                    "1@x"
                  ],
                  "keywords": {
                    "$draft": true
                  },
                  "mailboxIds": {
                    "m2": true
                  },
                  "messageId": [
                    "bdb004fd46f354c300c25b2a539866da@mail.example.com"
                  ],
                  "receivedAt": "2020-01-02T03:04:05Z",
                  "sentAt": "2019-12-31T23:00:00+01:00",
                  "subject": "Grüße",
                  "to": [
                    {
                      "email": "a@example.com",
                      "name": null
                    }
                  ]
                }"#]],
        )
        .await;
}

/// RFC 8621 §4.6, RFC 8620 §5.3: an id that the server has made is told.
#[tokio::test]
async fn creates_with_a_message_id_of_the_server() {
    let bench = Bench::new().await;
    for given in [
        r#""subject": "x""#,
        r#""messageId": []"#,
        r#""messageId": null"#,
        r#""header:Message-ID": " ""#,
    ] {
        let email = format!(r#""mailboxIds": {{"m2": true}}, {given}"#);
        let answer = bench
            .json::<EmailSet>(&caller(OWNER, &[]), &create(&email))
            .await;
        let ids = answer["created"]["k"]["messageId"].as_array();
        assert_eq!(ids.map(Vec::len), Some(1), "{given}: {answer}");
    }
    bench
        .check::<EmailSet>(
            &create(r#""mailboxIds": {"m2": true}, "messageId": ["a@b", "c@d"]"#),
            "/notCreated/k",
            expect![[r#"
                {
                  "description": "messageId: a message has exactly one Message-ID, in angle brackets.",
                  "properties": [
                    "messageId"
                  ],
                  "type": "invalidProperties"
                }"#]],
        )
        .await;
}

#[tokio::test]
async fn creates_with_blobs() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let whole = bench.upload("some octets").await;
    let answer = bench
        .json::<EmailGet>(
            &caller(OWNER, &[]),
            r#"{"accountId": "a1", "ids": ["e7"], "properties": ["blobId", "attachments"]}"#,
        )
        .await;
    let part = answer["list"][0]["attachments"][0]["blobId"]
        .as_str()
        .unwrap();
    let mail = answer["list"][0]["blobId"].as_str().unwrap();
    let email = format!(
        r#""mailboxIds": {{"m2": true}}, "receivedAt": "2001-02-03T04:05:06Z", "bodyStructure": {{"type": "multipart/mixed", "subParts": [
            {{"partId": "1", "type": "text/plain"}}, {{"blobId": "{part}", "type": "application/pdf", "name": "y.pdf", "size": 3}},
            {{"blobId": "{whole}", "cid": "c", "disposition": "inline", "language": ["de"], "location": "x", "header:X-A": " b"}},
            {{"blobId": "{mail}", "type": "message/rfc822"}}]}}, "bodyValues": {{"1": {{"value": "see"}}}}"#
    );
    bench
        .check::<EmailSet>(&create(&email), "/notCreated", expect!["null"])
        .await;
    let get = r#"{"accountId": "a1", "ids": ["e8"], "properties": ["receivedAt", "attachments", "preview"],
        "bodyProperties": ["partId", "size", "name", "type", "cid", "disposition", "language", "location", "header:X-A"]}"#;
    bench
        .check::<EmailGet>(
            get,
            "/list/0",
            expect![[r#"
        {
          "attachments": [
            {
              "cid": null,
              "disposition": null,
              "header:X-A": null,
              "language": null,
              "location": null,
              "name": "y.pdf",
              "partId": "3",
              "size": 5,
              "type": "application/pdf"
            },
            {
              "cid": "c",
              "disposition": "inline",
              "header:X-A": " b",
              "language": [
                "de"
              ],
              "location": "x",
              "name": null,
              "partId": "4",
              "size": 11,
              "type": "application/octet-stream"
            },
            {
              "cid": null,
              "disposition": null,
              "header:X-A": null,
              "language": null,
              "location": null,
              "name": null,
              "partId": "5",
              "size": 1083,
              "type": "message/rfc822"
            }
          ],
          "id": "e8",
          "preview": "see",
          "receivedAt": "2001-02-03T04:05:06Z"
        }"#]],
        )
        .await;
    let missing = format!("b{}", "0".repeat(64));
    let email = format!(
        r#""mailboxIds": {{"m2": true}}, "attachments": [{{"blobId": "{missing}"}}, {{"blobId": "nonsense"}}, {{"blobId": "{whole}"}}]"#
    );
    bench
        .check::<EmailSet>(
            &create(&email),
            "/notCreated/k",
            expect![[r#"
        {
          "notFound": [
            "b0000~",
            "nonsense"
          ],
          "type": "blobNotFound"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn wrong_creations() {
    let bench = Bench::new().await;
    let body = r#""bodyValues": {"1": {"value": "x"}}"#;
    for (email, expected) in [
        (
            r#""subject": "x""#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "mailboxIds"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {}, "subject": 1, "from": "x", "x": 1, "id": "e1", "size": 1, "preview": "", "receivedAt": "x""#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "mailboxIds",
                "subject",
                "from",
                "x",
                "id",
                "size",
                "preview",
                "receivedAt"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m99": true}"#,
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
            r#""mailboxIds": {"m1": true}, "keywords": {"a b": true}"#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "keywords/a b"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "headers": []"#,
            expect![[r#"
            {
              "description": "headers: the headers property can't be set; set each header field as a property.",
              "properties": [
                "headers"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "from": [], "header:From": " x""#,
            expect![[r#"
            {
              "description": "header:From: two properties stand for the same header field.",
              "properties": [
                "header:From"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "header:From:asDate": "x""#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "header:From:asDate"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "header:Content-Type": " text/plain""#,
            expect![[r#"
            {
              "description": "header:Content-Type: Content-* header fields can be set on body parts only.",
              "properties": [
                "header:Content-Type"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "subject": "a\r\nBcc: b""#,
            expect![[r#"
            {
              "description": "subject: the value is not valid for this header field.",
              "properties": [
                "subject"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "from": [{"name": "x"}], "to": [{"email": "a", "x": 1}]"#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "from",
                "to"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "textBody": [{"partId": "2", "type": "text/plain"}]"#,
            expect![[r#"
            {
              "description": "textBody/0/partId: there is no such partId in bodyValues.",
              "properties": [
                "textBody/0/partId"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "textBody": [{"partId": "1", "type": "text/html", "size": 1, "charset": "x", "blobId": 1}]"#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "textBody/0/blobId"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "htmlBody": [], "bodyStructure": {"partId": "1", "header:Content-Transfer-Encoding": " 7bit"}"#,
            expect![[r#"
            {
              "description": "bodyStructure: bodyStructure can't be given together with textBody, htmlBody or attachments.",
              "properties": [
                "bodyStructure",
                "bodyStructure/header:Content-Transfer-Encoding",
                "htmlBody"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
        (
            r#""mailboxIds": {"m1": true}, "bodyStructure": {"subParts": [{"headers": [], "nonsense": 1}]}"#,
            expect![[r#"
            {
              "description": "These are missing, unknown, of the wrong type, or set by the server.",
              "properties": [
                "bodyStructure/subParts/0/nonsense"
              ],
              "type": "invalidProperties"
            }"#]],
        ),
    ] {
        bench
            .check::<EmailSet>(
                &create(&format!("{email}, {body}")),
                "/notCreated/k",
                expected,
            )
            .await;
    }
    let flags = r#""mailboxIds": {"m1": true}, "bodyValues": {"1": {"value": "x", "isTruncated": true}, "2": {}}"#;
    bench
        .check::<EmailSet>(
            &create(flags),
            "/notCreated/k",
            expect![[r#"
        {
          "description": "These are missing, unknown, of the wrong type, or set by the server.",
          "properties": [
            "bodyValues/2"
          ],
          "type": "invalidProperties"
        }"#]],
        )
        .await;
    let deep = format!(
        "{}{}{}",
        r#"{"subParts": ["#.repeat(40),
        "{}",
        "]}".repeat(40)
    );
    let deep = format!(r#""mailboxIds": {{"m1": true}}, "bodyStructure": {deep}"#);
    bench
        .check::<EmailSet>(
            &create(&deep),
            "/notCreated/k/type",
            expect![[r#""invalidProperties""#]],
        )
        .await;
}

#[tokio::test]
async fn creation_ids_are_ids() {
    let bench = Bench::new().await;
    let arguments = r##"{"accountId": "a1", "create": {"k": {"mailboxIds": {"m2": true}}},
        "update": {"#k": {"keywords/x": true}}, "ifInState": "s0"}"##;
    bench
        .check::<EmailSet>(
            arguments,
            "/updated",
            expect![[r#"
        {
          "e7": null
        }"#]],
        )
        .await;
    bench
        .check::<EmailSet>(
            arguments,
            "",
            expect![[r#"
        {
          "type": "stateMismatch"
        }"#]],
        )
        .await;
}
