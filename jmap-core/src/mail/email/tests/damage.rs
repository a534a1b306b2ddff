//! Damaged and missing records: each costs its own email at most.

use jmap_types::{AccountId, DataType, mail::Email, method::Get};
use store::{
    engine::{Batch, Key},
    keys,
};

use super::{Bench, OWNER, caller, rich_mail};
use crate::mail::write::Message;

async fn outcome(bench: &Bench, properties: &str) -> String {
    let arguments =
        format!(r#"{{"accountId": "a1", "ids": ["e7", "e8"], "properties": [{properties}]}}"#);
    let answer = bench
        .json::<Get<Email>>(&caller(OWNER, &[]), &arguments)
        .await;
    let ids = answer["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|email| email["id"].to_string());
    ids.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn one_email_at_most() {
    let hash = Message::parse(rich_mail().into()).hash;
    let record = keys::object(AccountId::new(OWNER), DataType::Email, 7);
    let (both, second) = (r#""e7" "e8""#, r#""e8""#);
    let rows: [(&[Key], &str, &str); 7] = [
        (&[keys::summary(&hash)], r#""subject""#, both),
        (&[keys::summary(&hash)], r#""headers""#, both),
        (&[keys::blob(&hash)], r#""subject""#, both),
        (&[keys::blob(&hash)], r#""headers""#, second),
        (
            &[keys::blob(&hash), keys::summary(&hash)],
            r#""subject""#,
            second,
        ),
        (std::slice::from_ref(&record), r#""subject""#, both),
        (std::slice::from_ref(&record), r#""keywords""#, both),
    ];
    for (damaged, properties, expected) in rows {
        // Octets that are no record, and then no row at all. (A blob is never looked into.)
        for remove in [false, true] {
            let bench = Bench::new().await;
            bench.deliver(rich_mail()).await;
            bench.deliver("Subject: x\r\n\r\n").await;
            // The view is as it was before the damage.
            assert_eq!(outcome(&bench, r#""keywords""#).await, both);
            let mut batch = Batch::new();
            for key in damaged {
                match remove || *key == keys::blob(&hash) {
                    true => batch.delete(key.clone()),
                    false => batch.put(key.clone(), &b"\xff\xffdamaged"[..]),
                };
            }
            bench.engine.commit(batch).await.unwrap();
            assert_eq!(outcome(&bench, properties).await, expected, "{properties}");
        }
    }
}
