//! Every mail of the corpus, with every property.

use jmap_types::{BlobId, mail::Email, method::Get};

use super::{Bench, OWNER, caller, rich_mail};

/// The mails of the corpus, or the one that is made here when there is no corpus.
fn mails(count_max: usize) -> Vec<Vec<u8>> {
    let found = crate::corpus::mails(count_max);
    if found.is_empty() {
        vec![rich_mail().into_bytes()]
    } else {
        found
    }
}

const EVERYTHING: &str = r#""properties": ["id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt",
    "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
    "hasAttachment", "preview", "headers", "bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments",
    "header:From:asGroupedAddresses", "header:Received:all", "header:Subject:asText"],
    "bodyProperties": ["partId", "blobId", "size", "headers", "name", "type", "charset", "disposition", "cid",
    "language", "location", "subParts", "header:Content-Type:asText"], "fetchAllBodyValues": true"#;

#[tokio::test]
async fn every_mail_with_every_property() {
    let bench = Bench::new().await;
    let who = caller(OWNER, &[]);
    for raw in mails(400) {
        let id = bench.deliver(raw.clone()).await;
        let id = jmap_types::mail::EmailId::new(id);
        let arguments = format!(r#"{{"accountId": "a1", "ids": ["{id}"], {EVERYTHING}}}"#);
        let answer = bench.json::<Get<Email>>(&who, &arguments).await;
        let email = &answer["list"][0];
        assert_eq!(email["id"], id.to_string(), "{answer}");
        assert_eq!(email["size"], raw.len());
        assert_eq!(email["subject"], email["header:Subject:asText"]);
        let read = |value: &serde_json::Value| BlobId::parse(value.as_str().unwrap()).unwrap();
        let whole = bench
            .core
            .read_blob(&who, who.account, read(&email["blobId"]))
            .await
            .unwrap();
        assert_eq!(whole, raw);
        let lists = ["textBody", "htmlBody", "attachments"];
        for part in lists
            .iter()
            .flat_map(|list| email[list].as_array().unwrap())
        {
            let blob = read(&part["blobId"]);
            let octets = bench.core.read_blob(&who, who.account, blob).await.unwrap();
            assert_eq!(part["size"], octets.len(), "{part}");
        }
    }
}
