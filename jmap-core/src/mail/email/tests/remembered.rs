//! What is remembered of messages: it changes no answer, and is given back.

use jmap_types::{
    Id,
    mail::Email,
    method::{Get, Query},
};

use super::{Bench, OWNER, caller, rich_mail};

async fn get(bench: &Bench) -> String {
    let arguments = r#"{"accountId": "a1", "ids": ["e7", "e8"], "properties":
        ["from", "to", "subject", "preview", "blobId", "bodyStructure", "header:Subject:asText"]}"#;
    let who = caller(OWNER, &[]);
    bench.json::<Get<Email>>(&who, arguments).await.to_string()
}

async fn ids(bench: &Bench, rest: &str) -> String {
    let arguments = format!(r#"{{"accountId": "a1", {rest}}}"#);
    let who = caller(OWNER, &[]);
    let answer = bench.json::<Query<Email>>(&who, &arguments).await;
    answer["ids"].to_string()
}

#[tokio::test]
async fn a_summary_is_the_same_from_memory_and_from_the_store() {
    let bench = Bench::new().await;
    bench.deliver(rich_mail()).await;
    bench.deliver("Subject: x\r\n\r\n").await;
    assert_eq!(bench.core.summaries.octets(), 0);
    let first = get(&bench).await;
    assert!(bench.core.summaries.octets() > 0);
    assert_eq!(get(&bench).await, first);
    bench.core.give_back_memory(0).await;
    assert_eq!(bench.core.summaries.octets(), 0);
    assert_eq!(get(&bench).await, first);
}

#[tokio::test]
async fn sorts_and_header_filters_read_all_and_keep_nothing() {
    let bench = Bench::new().await;
    // More than one batch of reading.
    let mut names = Vec::new();
    for n in 0..600 {
        let mail = format!("Subject: {:03}\r\nX-Third: {}\r\n\r\n", 599 - n, n % 3);
        names.push(Id::<Email>::new(bench.deliver(mail).await));
    }
    let pair = |a: usize, b: usize| format!(r#"["{}","{}"]"#, names[a], names[b]);
    let by_subject = r#""sort": [{"property": "subject", "isAscending": true}], "limit": 2"#;
    assert_eq!(ids(&bench, by_subject).await, pair(599, 598));
    let by_header = r#""filter": {"header": ["X-Third", "2"]}, "limit": 2,
        "sort": [{"property": "subject", "isAscending": false}]"#;
    assert_eq!(ids(&bench, by_header).await, pair(2, 5));
    assert_eq!(bench.core.summaries.octets(), 0);
}
