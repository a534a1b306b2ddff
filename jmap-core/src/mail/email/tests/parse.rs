use expect_test::expect;
use jmap_types::email::Parse;

use super::{Bench, OWNER, caller, mail, rich_mail};

#[tokio::test]
async fn parses() {
    let bench = Bench::new().await;
    let rich = bench.upload(rich_mail()).await;
    let noise = bench.upload(vec![0u8, 1, 2, 255]).await;
    let arguments = format!(
        r#"{{"accountId": "a1", "blobIds": ["{rich}", "{noise}", "b1", "{rich}"], "fetchTextBodyValues": true}}"#
    );
    bench
        .check::<Parse>(
            &arguments,
            "",
            expect![[r#"
        {
          "accountId": "a1",
          "notFound": [
            "b1"
          ],
          "notParsable": [
            "b10f8~"
          ],
          "parsed": {
            "b523f~": {
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
              "bodyValues": {
                "3": {
                  "isEncodingProblem": false,
                  "isTruncated": false,
                  "value": "Schön\nund gut"
                }
              },
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
              "inReplyTo": [
                "0@example.org"
              ],
              "messageId": [
                "1@example.org"
              ],
              "preview": "Schön und gut",
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
          }
        }"#]],
        )
        .await;
    let arguments = format!(
        r#"{{"accountId": "a1", "blobIds": ["{rich}"], "properties": ["id", "blobId", "threadId", "mailboxIds", "keywords",
            "receivedAt", "size", "header:X-Loop:all"]}}"#
    );
    let pointer = format!("/parsed/{rich}");
    bench
        .check::<Parse>(
            &arguments,
            &pointer,
            expect![[r#"
        {
          "blobId": "b523f~",
          "header:X-Loop:all": [
            " one",
            " two"
          ],
          "id": null,
          "keywords": null,
          "mailboxIds": null,
          "receivedAt": null,
          "size": 1083,
          "threadId": null
        }"#]],
        )
        .await;
    let arguments = r#"{"accountId": "a1", "blobIds": [], "properties": ["header:From:asDate"]}"#;
    bench
        .check::<Parse>(
            arguments,
            "",
            expect![[r#"
        {
          "description": "Email has no property \"header:From:asDate\".",
          "type": "invalidArguments"
        }"#]],
        )
        .await;
}

/// A message inside of a message: its parts' blobs can be read, however it is encoded.
#[tokio::test]
async fn parses_attached_messages() {
    let inner = mail(&[
        "Subject: inner",
        "Content-Type: text/plain",
        "",
        "inner text",
    ]);
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &inner);
    for (encoding, body) in [("8bit", inner.as_str()), ("base64", encoded.as_str())] {
        let bench = Bench::new().await;
        let who = caller(OWNER, &[]);
        let encoding = format!("Content-Transfer-Encoding: {encoding}");
        bench
            .deliver(mail(&[
                "Subject: outer",
                "Content-Type: multipart/mixed; boundary=b",
                "",
                "--b",
                "Content-Type: message/rfc822",
                &encoding,
                "",
                body,
                "--b--",
                "",
            ]))
            .await;
        let get = r#"{"accountId": "a1", "ids": ["e7"], "properties": ["attachments"]}"#;
        let answer = bench
            .json::<jmap_types::method::Get<jmap_types::mail::Email>>(&who, get)
            .await;
        let blob = answer["list"][0]["attachments"][0]["blobId"]
            .as_str()
            .unwrap();
        let parse = format!(
            r#"{{"accountId": "a1", "blobIds": ["{blob}"], "properties": ["subject", "textBody", "bodyValues"], "fetchAllBodyValues": true}}"#
        );
        let answer = bench.json::<Parse>(&who, &parse).await;
        let email = &answer["parsed"][blob];
        assert_eq!(email["subject"], "inner", "{answer}");
        assert_eq!(email["bodyValues"]["1"]["value"], "inner text");
        let part = email["textBody"][0]["blobId"].as_str().unwrap();
        let part = jmap_types::BlobId::parse(part).unwrap();
        let octets = bench.core.read_blob(&who, who.account, part).await.unwrap();
        assert_eq!(octets, "inner text");
    }
}

#[tokio::test]
async fn parses_notifications() {
    let bench = Bench::new().await;
    let report = bench
        .upload(mail(&[
            "Subject: read",
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b",
            "",
            "--b",
            "",
            "It was read.",
            "--b",
            "Content-Type: message/disposition-notification",
            "",
            "Reporting-UA: joes-pc; Foomail",
            "Final-Recipient: rfc822; john@example.com",
            "Original-Message-ID: <1@example.org>",
            "Disposition: Manual-Action/MDN-sent-manually; displayed",
            "X-More: y",
            "",
            "--b--",
            "",
        ]))
        .await;
    let plain = bench.upload(rich_mail()).await;
    let arguments = format!(r#"{{"accountId": "a1", "blobIds": ["{report}", "{plain}", "b1"]}}"#);
    bench
        .check::<jmap_types::mdn::MdnParse>(
            &arguments,
            "",
            expect![[r#"
            {
              "accountId": "a1",
              "notFound": [
                "b1"
              ],
              "notParsable": [
                "b523f~"
              ],
              "parsed": {
                "b2725~": {
                  "disposition": {
                    "actionMode": "manual-action",
                    "sendingMode": "mdn-sent-manually",
                    "type": "displayed"
                  },
                  "error": null,
                  "extensionFields": {
                    "X-More": "y"
                  },
                  "finalRecipient": "rfc822; john@example.com",
                  "forEmailId": null,
                  "includeOriginalMessage": false,
                  "mdnGateway": null,
                  "originalMessageId": "<1@example.org>",
                  "originalRecipient": null,
                  "reportingUA": "joes-pc; Foomail",
                  "subject": "read",
                  "textBody": "It was read."
                }
              }
            }"#]],
        )
        .await;
}
