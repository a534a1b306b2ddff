//! Imports over an engine in memory: what is written once, what becomes one email, and what flags do.

use bytes::Bytes;
use jmap_types::AccountId;
use store::Record as _;

use super::*;
use crate::{
    Caller,
    mail::{
        email::tests::{Bench, OWNER},
        write::{self, INBOX},
    },
};

const ARCHIVE: u64 = 4;
const TRASH: u64 = 6;
const FOLDER: Collection = [1; 16];
const OTHER_FOLDER: Collection = [2; 16];

fn account() -> AccountId {
    AccountId::new(OWNER)
}

fn item(collection: Collection, name: &str, mailbox: u64) -> Item {
    Item {
        collection,
        item: name.as_bytes().to_vec(),
        octets: Bytes::from_static(b"Subject: imported\r\n\r\nA text.\r\n"),
        mailboxes: vec![mailbox],
        keywords: vec!["$Seen".to_owned()],
        is_deleted: false,
        received_at: Some(1_400_000_000),
        meeting: Meeting::Join,
    }
}

async fn import(bench: &Bench, items: Vec<Item>) -> Vec<Result<Imported, SetError>> {
    let who = Caller::server();
    let done = bench.core.import_items(&who, account(), items).await;
    done.unwrap()
}

async fn emails(bench: &Bench) -> Vec<(u64, crate::mail::records::EmailRecord)> {
    let who = Caller::server();
    let rows = bench.core.export_emails(&who, account(), 0).await.unwrap();
    rows.into_iter()
        .map(|(id, record)| (id, record.unwrap()))
        .collect()
}

#[test]
fn golden_import_record() {
    let record = ImportRecord {
        email: 300,
        keywords: vec!["$seen".to_owned()],
        is_deleted: true,
    };
    let bytes = b"\x83\x19\x01\x2c\x81\x65$seen\xf5";
    assert_eq!(&record.to_bytes()[..], bytes);
    assert_eq!(ImportRecord::from_bytes(b"", bytes).unwrap(), record);
}

/// Another run's session, whose client is gone, may still be writing.
#[tokio::test]
async fn what_is_known_is_on_disk() {
    let bench = Bench::new().await;
    let account = bench.core.accounts.handle(account());
    let paused = account.writer.pause_commits().await;
    let run = || import(&bench, vec![item(FOLDER, "a", INBOX)]);
    let (mut first, mut second) = (std::pin::pin!(run()), std::pin::pin!(run()));
    let soon = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, &mut first).await.is_err());
    assert!(tokio::time::timeout(soon, &mut second).await.is_err());
    drop(paused);
    let second = second.await;
    let Ok(Imported::Known(id)) = second[0] else {
        panic!("{second:?}");
    };
    assert_eq!(emails(&bench).await[0].0, id);
    assert!(matches!(first.await[0], Ok(Imported::New(new)) if new == id));
}

#[tokio::test]
async fn an_item_is_imported_once() {
    let bench = Bench::new().await;
    let first = import(&bench, vec![item(FOLDER, "a", INBOX)]).await;
    let Ok(Imported::New(id)) = first[0] else {
        panic!("{first:?}");
    };
    let again = import(&bench, vec![item(FOLDER, "a", INBOX)]).await;
    assert!(matches!(again[0], Ok(Imported::Known(known)) if known == id));
    // Also twice at the same time.
    let both = vec![item(FOLDER, "b", INBOX), item(FOLDER, "b", INBOX)];
    let both = import(&bench, both).await;
    assert!(matches!(both[0], Ok(Imported::New(_))), "{both:?}");
    assert!(matches!(both[1], Ok(Imported::Known(_))), "{both:?}");
    let emails = emails(&bench).await;
    assert_eq!(emails.len(), 2);
    assert_eq!(emails[0].1.received_at, 1_400_000_000);
    assert_eq!(emails[0].1.keywords, ["$seen"]);
    let who = Caller::server();
    let known = bench.core.import_known(&who, account(), &FOLDER, None);
    assert_eq!(known.await.unwrap().len(), 2);
    let after = bench
        .core
        .import_known(&who, account(), &FOLDER, Some(b"a"));
    assert_eq!(after.await.unwrap()[0].0, b"b");
}

/// (mailbox of the first, how the second differs) -> whether they become one email.
#[tokio::test]
async fn equal_messages_become_one_email_only_where_nothing_is_lost() {
    type Row = (&'static str, u64, fn(&mut Item), bool);
    let rows: [Row; 6] = [
        ("another folder", INBOX, |_| {}, true),
        ("the same mailbox", ARCHIVE, |_| {}, false),
        ("the trash", TRASH, |_| {}, false),
        ("other flags", INBOX, |item| item.keywords.clear(), false),
        (
            "another date",
            INBOX,
            |item| item.received_at = Some(1),
            false,
        ),
        ("deleted", INBOX, |item| item.is_deleted = true, false),
    ];
    for (name, mailbox, change, is_one) in rows {
        let bench = Bench::new().await;
        import(&bench, vec![item(FOLDER, "a", mailbox)]).await;
        let mut second = item(OTHER_FOLDER, "a", ARCHIVE);
        change(&mut second);
        let done = import(&bench, vec![second.clone()]).await;
        let joined = matches!(done[0], Ok(Imported::Joined(_)));
        assert_eq!(joined, is_one, "{name}: {done:?}");
        assert_eq!(
            emails(&bench).await.len(),
            2 - usize::from(is_one),
            "{name}"
        );
        let again = import(&bench, vec![second]).await;
        assert!(matches!(again[0], Ok(Imported::Known(_))), "{name}");
    }
}

#[tokio::test]
async fn what_shows_all_mail_adds_only_what_nothing_else_has() {
    let bench = Bench::new().await;
    import(&bench, vec![item(FOLDER, "a", INBOX)]).await;
    let mut all = item(OTHER_FOLDER, "a", ARCHIVE);
    all.meeting = Meeting::Skip;
    all.keywords.clear();
    let mut alone = all.clone();
    alone.item = b"b".to_vec();
    alone.octets = Bytes::from_static(b"Subject: alone\r\n\r\n");
    let done = import(&bench, vec![all, alone]).await;
    assert!(matches!(done[0], Ok(Imported::Skipped(_))), "{done:?}");
    assert!(matches!(done[1], Ok(Imported::New(_))), "{done:?}");
    assert_eq!(emails(&bench).await.len(), 2);
}

#[tokio::test]
async fn one_bad_message_does_not_stop_the_others() {
    let bench = Bench::new().await;
    let mut empty = item(FOLDER, "empty", INBOX);
    empty.octets = Bytes::new();
    let mut nowhere = item(FOLDER, "nowhere", 999);
    nowhere.octets = Bytes::from_static(b"Subject: nowhere\r\n\r\n");
    let mut keyword = item(FOLDER, "keyword", INBOX);
    keyword.keywords = vec!["a(b".to_owned()];
    let items = vec![empty, nowhere, keyword, item(FOLDER, "good", INBOX)];
    let done = import(&bench, items).await;
    assert!(done[..3].iter().all(Result::is_err), "{done:?}");
    assert!(matches!(done[3], Ok(Imported::New(_))), "{done:?}");
}

#[tokio::test]
async fn flags_that_were_changed_here_stay_and_those_of_the_source_come() {
    let bench = Bench::new().await;
    let done = import(&bench, vec![item(FOLDER, "a", INBOX)]).await;
    let Ok(Imported::New(id)) = done[0] else {
        panic!("{done:?}");
    };
    let handle = bench.core.accounts.handle(account());
    let mut txn = handle.writer.begin().await.unwrap();
    let record = write::any_email(&txn, id).await.unwrap().unwrap();
    let (places, here) = (
        record.all_places.clone(),
        vec!["$seen".into(), "here".into()],
    );
    let set = write::set_places(&mut txn, id, record, places, here).await;
    set.unwrap();
    txn.commit().await.unwrap();
    let seen = [FlagsSeen {
        item: b"a".to_vec(),
        keywords: vec!["$Flagged".to_owned()],
        is_deleted: false,
    }];
    let who = Caller::server();
    for expected in [1, 0] {
        let changed = bench.core.import_flags(&who, account(), &FOLDER, &seen);
        assert_eq!(changed.await.unwrap(), expected);
    }
    assert_eq!(emails(&bench).await[0].1.keywords, ["$flagged", "here"]);
}

#[tokio::test]
async fn folders_become_the_mailboxes_of_their_roles_and_names() {
    let bench = Bench::new().await;
    let who = Caller::server();
    let place = async |levels: &[&str], role| {
        let made = bench
            .core
            .import_mailbox(&who, account(), levels, role, true);
        made.await.unwrap()
    };
    assert_eq!(place(&["INBOX"], None).await, (INBOX, false));
    assert_eq!(place(&["Papierkorb"], Some("trash")).await, (TRASH, false));
    let (id, is_new) = place(&["Lists", "Größe"], None).await;
    assert!(is_new);
    assert_eq!(place(&["Lists", "Größe"], None).await, (id, false));
    let stranger = crate::mail::email::tests::caller(OWNER, &[]);
    let refused = bench
        .core
        .import_mailbox(&stranger, account(), &["x"], None, true);
    assert!(matches!(
        refused.await,
        Err(ImportError::Directory(DirectoryError::Forbidden))
    ));
}
