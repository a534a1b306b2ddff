//! Deleted emails over an engine in memory: kept, found, brought back once, and purged.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{Record as _, keys};

use super::*;
use crate::{
    Caller, Limits,
    clock::TestClock,
    inproc::import::{Imported, Item, Meeting},
    mail::{
        email::tests::{Bench, GUEST, OWNER, caller},
        write::{self, INBOX},
    },
    work::{ROUNDS_MAX, check::CheckOptions},
};

const ARCHIVE: u64 = 4;
const DAY: u64 = 86_400;

fn account() -> AccountId {
    AccountId::new(OWNER)
}

async fn bench(max_octets: u64) -> Bench {
    Bench::with_limits(Limits {
        undelete_seconds: 30 * DAY,
        max_undelete_octets: max_octets,
        ..Limits::default()
    })
    .await
}

async fn add(bench: &Bench, subject: &str, mailboxes: &[u64]) -> u64 {
    let octets =
        format!("From: Carol <carol@example.net>\r\nSubject: {subject}\r\n\r\nA text.\r\n");
    let item = Item {
        collection: [0; 16],
        item: subject.as_bytes().to_vec(),
        octets: Bytes::from(octets),
        mailboxes: mailboxes.to_vec(),
        keywords: vec!["$seen".to_owned(), "work".to_owned()],
        is_deleted: false,
        received_at: Some(1_400_000_000),
        meeting: Meeting::Separate,
    };
    let done = bench
        .core
        .import_items(&Caller::server(), account(), vec![item])
        .await;
    match done.unwrap().remove(0) {
        Ok(Imported::New(id)) => id,
        other => panic!("{other:?}"),
    }
}

async fn remove(bench: &Bench, id: u64) {
    let handle = bench.core.accounts.handle(account());
    let mut txn = handle.writer.begin().await.unwrap();
    let record = write::any_email(&txn, id).await.unwrap().unwrap();
    let removed = write::remove_email(&mut txn, id, &record, bench.core.removal()).await;
    removed.unwrap();
    txn.commit().await.unwrap();
}

async fn listed(bench: &Bench, filter: &DeletedFilter) -> Vec<Deleted> {
    let who = caller(OWNER, &[]);
    let found = bench.core.deleted_emails(&who, account(), filter);
    found.await.unwrap()
}

async fn record(bench: &Bench, id: u64) -> EmailRecord {
    let key = keys::object(account(), DataType::Email, id);
    let bytes = bench.core.engine.get(&key).await.unwrap().unwrap();
    EmailRecord::from_bytes(&key, &bytes).unwrap()
}

async fn assert_sound(bench: &Bench) {
    bench.add_account(OWNER).await;
    let mut problems = bench
        .core
        .check(CheckOptions::default(), &|_| ())
        .await
        .unwrap()
        .problems;
    // The bench's accounts are not whole in the directory.
    problems.retain(|problem| !problem.code.name().starts_with("directory/"));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn golden_deleted_email() {
    let record = DeletedRecord {
        blob: [7; 32],
        received_at: 5,
        size: 300,
        mailboxes: vec![1, 4],
        keywords: vec!["$seen".to_owned()],
    };
    let mut bytes = vec![0x85, 0x58, 0x20];
    bytes.extend([7; 32]);
    bytes.extend(b"\x05\x19\x01\x2c\x82\x01\x04\x81\x65$seen");
    assert_eq!(record.to_bytes(), bytes);
    assert_eq!(DeletedRecord::from_bytes(b"", &bytes).unwrap(), record);
}

#[test]
fn ids_have_one_spelling() {
    let id = DeletedId { time: 12, email: 3 };
    assert_eq!(id.to_wire().as_str(), "y12-3");
    assert_eq!(DeletedId::parse("y12-3"), Some(id));
    for wrong in ["", "y", "y12", "y012-3", "y12-+3", "x12-3", "y12-3-4"] {
        assert_eq!(DeletedId::parse(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn what_was_deleted_comes_back_once_and_as_it_was() {
    let bench = bench(1 << 20).await;
    let id = add(&bench, "first", &[INBOX, ARCHIVE]).await;
    let before = record(&bench, id).await;
    let used = bench.core.used_octets(account()).await.unwrap();
    remove(&bench, id).await;
    assert_eq!(bench.core.used_octets(account()).await.unwrap(), 0);
    assert_sound(&bench).await;
    let found = listed(&bench, &DeletedFilter::default()).await;
    assert_eq!(found.len(), 1);
    let who = caller(OWNER, &[]);
    let restore = || {
        bench
            .core
            .restore_deleted(&who, account(), found[0].id, None)
    };
    let restored = restore().await.unwrap();
    let after = record(&bench, restored.email).await;
    assert_eq!(
        (after.blob, after.keywords, after.received_at),
        (before.blob, before.keywords, before.received_at)
    );
    assert_eq!(restored.mailboxes, [INBOX, ARCHIVE]);
    assert!(after.all_places[0].uid > before.all_places[0].uid);
    assert_eq!(bench.core.used_octets(account()).await.unwrap(), used);
    assert!(matches!(restore().await, Err(UndeleteError::NotFound)));
    assert!(listed(&bench, &DeletedFilter::default()).await.is_empty());
    assert_sound(&bench).await;
}

#[tokio::test]
async fn both_of_two_that_ask_at_once_do_not_get_it() {
    let bench = bench(1 << 20).await;
    let id = add(&bench, "first", &[INBOX]).await;
    remove(&bench, id).await;
    let found = listed(&bench, &DeletedFilter::default()).await;
    let who = caller(OWNER, &[]);
    let restore = || {
        bench
            .core
            .restore_deleted(&who, account(), found[0].id, Some(ARCHIVE))
    };
    let (first, second) = tokio::join!(restore(), restore());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(first.or(second).unwrap().mailboxes, [ARCHIVE]);
    assert_sound(&bench).await;
}

#[tokio::test]
async fn the_owner_finds_it_by_subject_sender_and_time_and_others_do_not() {
    let bench = bench(1 << 20).await;
    for subject in ["Green bicycles", "Red cups"] {
        let id = add(&bench, subject, &[INBOX]).await;
        remove(&bench, id).await;
    }
    let of = |subject: Option<&str>, from: Option<&str>| DeletedFilter {
        subject: subject.map(str::to_owned),
        from: from.map(str::to_owned),
        ..DeletedFilter::default()
    };
    let rows = [
        (of(Some("BICYCLE"), None), 1),
        (of(None, Some("carol@")), 2),
        (of(Some("cups"), Some("dave")), 0),
        (
            DeletedFilter {
                text: Some("cups".to_owned()),
                ..of(None, None)
            },
            1,
        ),
        (
            DeletedFilter {
                after: Some(u64::MAX),
                ..of(None, None)
            },
            0,
        ),
        (
            DeletedFilter {
                before: Some(1),
                ..of(None, None)
            },
            0,
        ),
    ];
    for (filter, count) in rows {
        assert_eq!(listed(&bench, &filter).await.len(), count, "{filter:?}");
    }
    let guest = caller(GUEST, &[OWNER]);
    let all = DeletedFilter::default();
    let refused = bench.core.deleted_emails(&guest, account(), &all);
    assert!(matches!(refused.await, Err(UndeleteError::Forbidden)));
}

#[tokio::test]
async fn it_goes_when_its_time_is_over_or_there_is_too_much() {
    let bench = bench(150).await;
    let clock: Arc<TestClock> = bench.clock.clone();
    for subject in ["one", "two", "three"] {
        let id = add(&bench, subject, &[INBOX]).await;
        remove(&bench, id).await;
        clock.advance(Duration::from_secs(1));
    }
    let size = listed(&bench, &DeletedFilter::default()).await[0]
        .record
        .size;
    assert!(size * 3 > 150 && size * 4 / 3 < 150, "{size}");
    assert_eq!(bench.core.purge_deleted(0).await.unwrap(), None);
    let left = listed(&bench, &DeletedFilter::default()).await.len();
    assert!((1..3).contains(&left), "{left}");
    assert_sound(&bench).await;
    clock.advance(Duration::from_secs(31 * DAY));
    bench.core.purge_deleted(0).await.unwrap();
    assert!(listed(&bench, &DeletedFilter::default()).await.is_empty());
    assert_sound(&bench).await;
    while bench.core.collect_blobs().await.unwrap() {}
    clock.advance(Duration::from_secs(2 * 3600));
    while bench.core.collect_blobs().await.unwrap() {}
    assert_sound(&bench).await;
}

/// Purging goes on where it was, so that every account has its turn.
#[tokio::test]
async fn it_goes_also_from_the_last_of_many_accounts() {
    let bench = bench(u64::MAX).await;
    let now = u64::try_from(bench.core.clock.now().0).unwrap();
    let last = (ROUNDS_MAX * ACCOUNTS_PER_ROUND) as u64 + 1;
    let deleted = DeletedRecord {
        blob: [1; 32],
        received_at: 0,
        size: 1,
        mailboxes: vec![INBOX],
        keywords: Vec::new(),
    };
    let mut batch = Batch::new();
    for account in 1..=last {
        let time = if account == last { 1 } else { now };
        let key = keys::undelete(AccountId::new(account), time, 1);
        batch.put(key, deleted.to_bytes());
    }
    bench.core.engine.commit(batch).await.unwrap();
    let key = keys::undelete(AccountId::new(last), 1, 1);
    bench.core.work_once(usize::MAX).await;
    assert!(bench.core.engine.contains(&key).await.unwrap());
    bench.core.work_once(usize::MAX).await;
    assert!(!bench.core.engine.contains(&key).await.unwrap());
    // And begins again with the first.
    assert_eq!(bench.core.purged_upto.load(Ordering::Relaxed), 0);
}
