//! SORT.

use super::*;

const MESSAGES: [&str; 4] = [
    "From: Zoe <amy@example.com>\nTo: x@example.com\nSubject: Re: [list] b\nDate: Mon, 1 Jan 2018 10:00:00 +0000\n\nlonger text\n",
    "From: bob@example.com\nTo: Team: y@example.com;\nSubject: A\nDate: Mon, 1 Jan 2018 10:30:00 +0100\n\n.\n",
    "From: \"=?utf-8?q?=C3=84nne?=\" <carl@example.com>\nCc: q@x\nSubject: B (fwd)\nDate: never\n\n..\n",
    "Subject:\nDate: Mon, 1 Jan 2018 10:00:00 +0000\n\n...\n",
];

#[tokio::test]
async fn every_key_sorts() {
    use SortBy::*;
    let inbox_of = Inbox::new(&MESSAGES).await;
    let rows: [(&[(SortBy, bool)], &str); 15] = [
        (&[], "1 2 3 4"),
        (&[(Arrival, false)], "1 2 3 4"),
        // Equal ones stay as they were.
        (&[(Arrival, true)], "1 2 3 4"),
        (&[(Date, false)], "2 1 4 3"),
        (&[(Date, true)], "3 1 4 2"),
        (&[(Size, false)], "4 3 2 1"),
        (&[(Size, true)], "1 2 3 4"),
        (&[(Subject, false)], "4 2 1 3"),
        (&[(Subject, true), (Date, true)], "3 1 2 4"),
        (&[(From, false)], "4 1 2 3"),
        (&[(To, false)], "3 4 2 1"),
        (&[(Cc, true)], "3 1 2 4"),
        (&[(DisplayFrom, false)], "4 3 2 1"),
        (&[(DisplayTo, false)], "3 4 2 1"),
        (&[(Subject, false), (Size, true)], "4 2 1 3"),
    ];
    for (keys, want) in rows {
        let keys: Vec<SortKey> = keys
            .iter()
            .map(|&(by, is_reverse)| SortKey { by, is_reverse })
            .collect();
        let who = caller(OWNER, &[]);
        let core = &inbox_of.bench.core;
        let sorted = core
            .view_sort(&who, inbox(), &inbox_of.emails, &keys)
            .await
            .unwrap();
        assert_eq!(inbox_of.numbers(sorted), want, "{keys:?}");
    }
}
