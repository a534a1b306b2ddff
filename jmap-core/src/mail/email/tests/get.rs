use expect_test::expect;
use jmap_types::{
    mail::Email,
    method::{Changes, Get},
};

use super::{Bench, rich_mail};
use crate::mail::email::plan::PROPERTIES_MAX;

type EmailGet = Get<Email>;

#[tokio::test]
async fn default_properties() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    bench
        .check::<EmailGet>(
            r#"{"accountId": "a1", "ids": ["e7", "e9", "x"]}"#,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "list": [
            {
              "attachments": [
                {
                  "blobId": "b523f~-b-11a-11j",
                  "charset": null,
                  "cid": "cid@x",
                  "disposition": "attachment",
                  "language": null,
                  "location": "https://example.com/x.pdf",
                  "name": "x.pdf",
                  "partId": "5",
                  "size": 5,
                  "type": "application/pdf"
                }
              ],
              "bcc": [
                {
                  "email": "e@example.com",
                  "name": null
                }
              ],
              "blobId": "b523f~",
              "bodyValues": {},
              "cc": [
                {
                  "email": "d@example.com",
                  "name": null
                }
              ],
              "from": [
                {
                  "email": "joe@example.org",
                  "name": "Jö"
                }
              ],
              "hasAttachment": true,
              "htmlBody": [
                {
                  "blobId": "b523f~-i-s7-ts",
                  "charset": "us-ascii",
                  "cid": null,
                  "disposition": null,
                  "language": null,
                  "location": null,
                  "name": null,
                  "partId": "4",
                  "size": 50,
                  "type": "text/html"
                }
              ],
              "id": "e7",
              "inReplyTo": [
                "0@example.org"
              ],
              "keywords": {
                "$seen": true,
                "work": true
              },
              "mailboxIds": {
                "m1": true
              },
              "messageId": [
                "1@example.org"
              ],
              "preview": "Schön und gut",
              "receivedAt": "2020-01-02T03:03:05Z",
              "references": [
                "00@example.org",
                "0@example.org"
              ],
              "replyTo": [
                {
                  "email": "f@example.com",
                  "name": null
                }
              ],
              "sender": [
                {
                  "email": "sender@example.org",
                  "name": null
                }
              ],
              "sentAt": "2020-01-01T09:59:58+01:00",
              "size": 1083,
              "subject": "Grüße",
              "textBody": [
                {
                  "blobId": "b523f~-q-qj-r5",
                  "charset": "utf-8",
                  "cid": null,
                  "disposition": null,
                  "language": [
                    "de",
                    "en"
                  ],
                  "location": null,
                  "name": null,
                  "partId": "3",
                  "size": 15,
                  "type": "text/plain"
                }
              ],
              "threadId": "t7",
              "to": [
                {
                  "email": "a@example.com",
                  "name": null
                },
                {
                  "email": "b@example.com",
                  "name": "B"
                },
                {
                  "email": "c@example.com",
                  "name": null
                }
              ]
            }
          ],
          "notFound": [
            "x",
            "e9"
          ],
          "state": "s2"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn list_properties() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let arguments = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["threadId", "mailboxIds",
        "keywords", "size", "receivedAt", "from", "to", "subject", "preview", "hasAttachment", "from"]}"#;
    bench
        .check::<EmailGet>(
            arguments,
            "/list/0",
            expect![[r#"
        {
          "from": [
            {
              "email": "joe@example.org",
              "name": "Jö"
            }
          ],
          "hasAttachment": true,
          "id": "e7",
          "keywords": {
            "$seen": true,
            "work": true
          },
          "mailboxIds": {
            "m1": true
          },
          "preview": "Schön und gut",
          "receivedAt": "2020-01-02T03:03:05Z",
          "size": 1083,
          "subject": "Grüße",
          "threadId": "t7",
          "to": [
            {
              "email": "a@example.com",
              "name": null
            },
            {
              "email": "b@example.com",
              "name": "B"
            },
            {
              "email": "c@example.com",
              "name": null
            }
          ]
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn structure_and_values() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let arguments = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["bodyStructure", "bodyValues"],
        "bodyProperties": ["partId", "blobId", "size", "type", "header:Content-Type", "header:content-id:asMessageIds:all"],
        "fetchAllBodyValues": true, "maxBodyValueBytes": 20}"#;
    bench
        .check::<EmailGet>(
            arguments,
            "/list/0",
            expect![[r#"
        {
          "bodyStructure": {
            "blobId": null,
            "header:Content-Type": " multipart/mixed; boundary=m",
            "header:content-id:asMessageIds:all": [],
            "partId": null,
            "size": 0,
            "subParts": [
              {
                "blobId": null,
                "header:Content-Type": " multipart/alternative; boundary=a",
                "header:content-id:asMessageIds:all": [],
                "partId": null,
                "size": 0,
                "subParts": [
                  {
                    "blobId": "b523f~-q-qj-r5",
                    "header:Content-Type": " text/plain; charset=utf-8",
                    "header:content-id:asMessageIds:all": [],
                    "partId": "3",
                    "size": 15,
                    "type": "text/plain"
                  },
                  {
                    "blobId": "b523f~-i-s7-ts",
                    "header:Content-Type": " text/html",
                    "header:content-id:asMessageIds:all": [],
                    "partId": "4",
                    "size": 50,
                    "type": "text/html"
                  }
                ],
                "type": "multipart/alternative"
              },
              {
                "blobId": "b523f~-b-11a-11j",
                "header:Content-Type": " application/pdf; name=x.pdf",
                "header:content-id:asMessageIds:all": [
                  [
                    "cid@x"
                  ]
                ],
                "partId": "5",
                "size": 5,
                "type": "application/pdf"
              }
            ],
            "type": "multipart/mixed"
          },
          "bodyValues": {
            "3": {
              "isEncodingProblem": false,
              "isTruncated": false,
              "value": "Schön\nund gut"
            },
            "4": {
              "isEncodingProblem": false,
              "isTruncated": true,
              "value": "<p>Nice "
            }
          },
          "id": "e7"
        }"#]],
        )
        .await;
    for (fetch, expected) in [
        (
            "Text",
            expect![[r#"
            {
              "bodyValues": {
                "3": {
                  "isEncodingProblem": false,
                  "isTruncated": false,
                  "value": "Schön\nund gut"
                }
              },
              "id": "e7"
            }"#]],
        ),
        (
            "HTML",
            expect![[r#"
            {
              "bodyValues": {
                "4": {
                  "isEncodingProblem": false,
                  "isTruncated": false,
                  "value": "<p>Nice <a href=\"https://example.com\">link</a></p>"
                }
              },
              "id": "e7"
            }"#]],
        ),
    ] {
        let arguments = format!(
            r#"{{"accountId": "a1", "ids": ["e7"], "properties": ["bodyValues"], "fetch{fetch}BodyValues": true}}"#
        );
        bench
            .check::<EmailGet>(&arguments, "/list/0", expected)
            .await;
    }
    let arguments = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["attachments", "textBody"],
        "bodyProperties": ["headers", "subParts"]}"#;
    bench
        .check::<EmailGet>(
            arguments,
            "/list/0",
            expect![[r#"
        {
          "attachments": [
            {
              "headers": [
                {
                  "name": "Content-Type",
                  "value": " application/pdf; name=x.pdf"
                },
                {
                  "name": "Content-Disposition",
                  "value": " attachment; filename=x.pdf"
                },
                {
                  "name": "Content-Id",
                  "value": " <cid@x>"
                },
                {
                  "name": "Content-Location",
                  "value": " https://example.com/x.pdf"
                },
                {
                  "name": "Content-Transfer-Encoding",
                  "value": " base64"
                }
              ],
              "subParts": null
            }
          ],
          "id": "e7",
          "textBody": [
            {
              "headers": [
                {
                  "name": "Content-Type",
                  "value": " text/plain; charset=utf-8"
                },
                {
                  "name": "Content-Transfer-Encoding",
                  "value": " quoted-printable"
                },
                {
                  "name": "Content-Language",
                  "value": " de, en"
                }
              ],
              "subParts": null
            }
          ]
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn header_forms() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    let arguments = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["subject", "header:Subject",
        "header:SUBJECT:asText", "header:From:asRaw", "header:from:asAddresses", "from",
        "header:To:asGroupedAddresses", "header:To:asAddresses:all", "header:Message-ID:asMessageIds",
        "header:Date:asDate", "sentAt", "header:List-Post:asURLs", "header:X-Loop", "header:X-Loop:asText:all",
        "header:X-None", "header:X-None:all", "header:From:asAddresses:all", "header:Cc:asAddresses"]}"#;
    bench
        .check::<EmailGet>(
            arguments,
            "/list/0",
            expect![[r#"
        {
          "from": [
            {
              "email": "joe@example.org",
              "name": "Jö"
            }
          ],
          "header:Cc:asAddresses": [
            {
              "email": "d@example.com",
              "name": null
            }
          ],
          "header:Date:asDate": "2020-01-01T09:59:58+01:00",
          "header:From:asAddresses:all": [
            [
              {
                "email": "joe@example.org",
                "name": "Jö"
              }
            ]
          ],
          "header:From:asRaw": " =?utf-8?Q?J=C3=B6?= <joe@example.org>",
          "header:List-Post:asURLs": [
            "mailto:list@example.org"
          ],
          "header:Message-ID:asMessageIds": [
            "1@example.org"
          ],
          "header:SUBJECT:asText": "Grüße",
          "header:Subject": " =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
          "header:To:asAddresses:all": [
            [
              {
                "email": "a@example.com",
                "name": null
              },
              {
                "email": "b@example.com",
                "name": "B"
              },
              {
                "email": "c@example.com",
                "name": null
              }
            ]
          ],
          "header:To:asGroupedAddresses": [
            {
              "addresses": [
                {
                  "email": "a@example.com",
                  "name": null
                },
                {
                  "email": "b@example.com",
                  "name": "B"
                }
              ],
              "name": "Team"
            },
            {
              "addresses": [
                {
                  "email": "c@example.com",
                  "name": null
                }
              ],
              "name": null
            }
          ],
          "header:X-Loop": " two",
          "header:X-Loop:asText:all": [
            "one",
            "two"
          ],
          "header:X-None": null,
          "header:X-None:all": [],
          "header:from:asAddresses": [
            {
              "email": "joe@example.org",
              "name": "Jö"
            }
          ],
          "id": "e7",
          "sentAt": "2020-01-01T09:59:58+01:00",
          "subject": "Grüße"
        }"#]],
        )
        .await;
    let arguments = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["headers"]}"#;
    bench
        .check::<EmailGet>(
            arguments,
            "/list/0/headers/5",
            expect![[r#"
        {
          "name": "From",
          "value": " =?utf-8?Q?J=C3=B6?= <joe@example.org>"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn wrong_arguments() {
    let bench = Bench::new().await;
    for (more, expected) in [
        (
            r#""properties": ["x"]"#,
            expect![[r#"
            {
              "description": "Email has no property \"x\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""properties": ["header:From:asDate"]"#,
            expect![[r#"
            {
              "description": "Email has no property \"header:From:asDate\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""properties": ["header:X:all:asText"]"#,
            expect![[r#"
            {
              "description": "Email has no property \"header:X:all:asText\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""properties": ["totalEmails"]"#,
            expect![[r#"
            {
              "description": "Email has no property \"totalEmails\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""bodyProperties": ["header:From:asDate"]"#,
            expect![[r#"
            {
              "description": "EmailBodyPart has no property \"header:From:asDate\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""bodyProperties": ["keywords"]"#,
            expect![[r#"
            {
              "description": "EmailBodyPart has no property \"keywords\".",
              "type": "invalidArguments"
            }"#]],
        ),
        (
            r#""maxBodyValueBytes": -1"#,
            expect![[r#"
            {
              "description": "\"maxBodyValueBytes\" must be an UnsignedInt.",
              "type": "invalidArguments"
            }"#]],
        ),
    ] {
        let arguments = format!(r#"{{"accountId": "a1", "ids": [], {more}}}"#);
        bench.check::<EmailGet>(&arguments, "", expected).await;
    }
    let names = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("\"header:x{at}\"")).collect();
        format!(
            r#"{{"accountId": "a1", "ids": [], "properties": [{}]}}"#,
            names.join(",")
        )
    };
    bench
        .check::<EmailGet>(&names(PROPERTIES_MAX), "/list", expect!["[]"])
        .await;
    bench
        .check::<EmailGet>(
            &names(PROPERTIES_MAX + 1),
            "/type",
            expect![[r#""requestTooLarge""#]],
        )
        .await;
    bench
        .check::<EmailGet>(
            r#"{"accountId": "a2", "ids": []}"#,
            "",
            expect![[r#"
        {
          "type": "accountNotFound"
        }"#]],
        )
        .await;
}

#[tokio::test]
async fn all_ids_and_changes() {
    let bench = Bench::new().await;
    let first = bench.deliver("Subject: 1\r\n\r\n").await;
    bench.deliver("Subject: 2\r\n\r\n").await;
    assert_eq!(first, 7);
    bench
        .check::<EmailGet>(
            r#"{"accountId": "a1", "ids": null, "properties": ["subject"]}"#,
            "",
            expect![[r#"
            {
              "accountId": "a1",
              "list": [
                {
                  "id": "e7",
                  "subject": "1"
                },
                {
                  "id": "e8",
                  "subject": "2"
                }
              ],
              "notFound": [],
              "state": "s3"
            }"#]],
        )
        .await;
    bench
        .check::<Changes<Email>>(
            r#"{"accountId": "a1", "sinceState": "s1"}"#,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "created": [
            "e7",
            "e8"
          ],
          "destroyed": [],
          "hasMoreChanges": false,
          "newState": "s3",
          "oldState": "s1",
          "updated": []
        }"#]],
        )
        .await;
}

/// Also where nothing has to be read for the answer.
#[tokio::test]
async fn body_values_are_never_null() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    for properties in [
        r#"["bodyValues"]"#,
        r#"["id", "keywords", "bodyValues"]"#,
        r#"["bodyValues", "subject"]"#,
    ] {
        let get = format!(r#"{{"accountId": "a1", "ids": ["e7"], "properties": {properties}}}"#);
        bench
            .check::<EmailGet>(&get, "/list/0/bodyValues", expect!["{}"])
            .await;
    }
}
