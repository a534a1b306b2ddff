//! Filters and sorts by keywords of threads (RFC 8621 §4.4.1, §4.4.2).

use std::time::{Duration, Instant};

use jmap_types::{AccountId, mail::Email, mail::EmailId, method::Query};
use serde_json::{Value as Json, json};

use crate::mail::{
    email::tests::{Bench, OWNER, caller},
    write::{self, INBOX, Message, Placement},
};

/// Puts emails into the inbox, each with its thread and whether it is flagged: their ids.
async fn place(bench: &Bench, emails: impl IntoIterator<Item = (u32, bool)>) -> Vec<String> {
    let account = bench.core.accounts.handle(AccountId::new(OWNER));
    let mut txn = account.writer.begin().await.unwrap();
    let now = bench.core.clock.now();
    let mut ids = Vec::new();
    for (at, (thread, is_flagged)) in emails.into_iter().enumerate() {
        let octets = format!("Subject: t{thread}\r\nMessage-ID: <t{thread}@example.com>\r\n\r\nx");
        let message = Message::parse(octets.into());
        let placement = Placement {
            mailboxes: vec![INBOX],
            keywords: match is_flagged {
                true => vec!["$flagged".to_owned()],
                false => Vec::new(),
            },
            received_at: at as i64,
            quota_octets: 0,
            is_delivery: true,
            is_deleted: false,
        };
        let inserted = write::insert_email(&mut txn, &message, &placement, now);
        ids.push(EmailId::new(inserted.await.unwrap().id).to_string());
    }
    txn.commit().await.unwrap();
    ids
}

async fn query(bench: &Bench, mut arguments: Json) -> Json {
    arguments["accountId"] = json!("a1");
    let who = caller(OWNER, &[]);
    let arguments = arguments.to_string();
    let answer = bench.json::<Query<Email>>(&who, &arguments).await;
    answer["ids"].clone()
}

#[tokio::test]
async fn threads_are_found_and_sorted_by_the_keywords_of_their_emails() {
    let bench = Bench::new().await;
    let emails = [(1, true), (2, false), (3, false), (1, true), (2, true)];
    let ids = place(&bench, emails).await;
    let some = |numbers: &[usize]| json!(numbers.iter().map(|&n| &ids[n]).collect::<Vec<_>>());
    let rows: [(Json, &[usize]); 5] = [
        (json!({"allInThreadHaveKeyword": "$flagged"}), &[3, 0]),
        (
            json!({"someInThreadHaveKeyword": "$flagged"}),
            &[4, 3, 1, 0],
        ),
        (json!({"noneInThreadHaveKeyword": "$flagged"}), &[2]),
        (json!({"allInThreadHaveKeyword": "unheard"}), &[]),
        (
            json!({"noneInThreadHaveKeyword": "unheard"}),
            &[4, 3, 2, 1, 0],
        ),
    ];
    for (filter, found) in rows {
        let got = query(&bench, json!({"filter": filter})).await;
        assert_eq!(got, some(found), "{filter}");
    }
    for (property, keyword, order) in [
        ("allInThreadHaveKeyword", "$flagged", [4, 2, 1, 3, 0]),
        ("someInThreadHaveKeyword", "$flagged", [2, 4, 3, 1, 0]),
        ("someInThreadHaveKeyword", "unheard", [4, 3, 2, 1, 0]),
    ] {
        let sort = json!([{"property": property, "keyword": keyword}]);
        let got = query(&bench, json!({"sort": sort})).await;
        assert_eq!(got, some(&order), "{property} {keyword}");
    }
}

/// Going through the thread for each email, and in each comparison, took minutes.
#[tokio::test]
async fn a_long_thread_is_gone_through_once() {
    const EMAILS: usize = 4000;
    let bench = Bench::new().await;
    let ids = place(&bench, (0..EMAILS).map(|_| (1, true))).await;
    let began = Instant::now();
    let sort = json!([{"property": "allInThreadHaveKeyword", "keyword": "$flagged"},
        {"property": "someInThreadHaveKeyword", "keyword": "$flagged"}]);
    let filter = json!({"allInThreadHaveKeyword": "$flagged"});
    let found = query(&bench, json!({"filter": filter, "sort": sort})).await;
    assert_eq!(found.as_array().unwrap().len(), ids.len());
    assert!(began.elapsed() < Duration::from_secs(60));
}
