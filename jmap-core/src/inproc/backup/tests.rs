use std::sync::Arc;

use bytes::Bytes;
use jmap_types::{AccountId, DataType};
use store::{
    Head, Record as _, decode_numbers,
    engine::{Batch, Engine, MemoryEngine, Page, Snapshot},
    keys::{self, Subspace},
};

use super::{records::MarkRecord, whole::JUMP, *};
use crate::{
    directory::tests::Server,
    mail::{
        records::{EmailRecord, MailboxRecord},
        write::{self, INBOX, Message, Placement},
    },
    work::check::CheckOptions,
};

fn from_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let octet = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

#[test]
fn golden_repository() {
    let record = RepositoryRecord {
        place: "/b".to_owned(),
        naming_key: Some([7; 32]),
        success: Some(OutcomeRecord {
            at: 1,
            seconds: 2,
            sentence: "s".to_owned(),
            added_octets: 300,
        }),
        failure: None,
    };
    let bytes = from_hex(
        "83 62 2f62 5820 0707070707070707070707070707070707070707070707070707070707070707
         84 01 02 61 73 19012c",
    );
    assert_eq!(record.to_bytes(), bytes);
    assert_eq!(RepositoryRecord::from_bytes(b"", &bytes).unwrap(), record);
    assert!(!format!("{record:?}").contains("7, 7"));
}

#[test]
fn golden_mark() {
    let record = MarkRecord {
        snapshot: [1; 32],
        began: 5,
        upto: vec![0x11, 0xff],
    };
    let bytes = from_hex(
        "83 5820 0101010101010101010101010101010101010101010101010101010101010101 05 42 11ff",
    );
    assert_eq!(record.to_bytes(), bytes);
    assert_eq!(MarkRecord::from_bytes(b"", &bytes).unwrap(), record);
}

async fn deliver(server: &Server, account: AccountId, number: u64) -> u64 {
    let text = format!(
        "Message-ID: <{number}@example.net>\r\nSubject: {number}\r\n\r\nHello {number}\r\n"
    );
    let message = Message::parse(text.into());
    let handle = server.core.accounts.handle(account);
    let mut txn = handle.writer.begin().await.unwrap();
    let now = server.core.clock.now();
    let placement = Placement {
        mailboxes: vec![INBOX],
        keywords: vec!["$seen".to_owned()],
        received_at: now.seconds(),
        quota_octets: 0,
        is_delivery: true,
        is_deleted: false,
    };
    let inserted = write::insert_email(&mut txn, &message, &placement, now).await;
    txn.commit().await.unwrap();
    inserted.unwrap().id
}

async fn remove(server: &Server, account: AccountId, id: u64) {
    let handle = server.core.accounts.handle(account);
    let mut txn = handle.writer.begin().await.unwrap();
    let record = write::any_email(&txn, id).await.unwrap().unwrap();
    let removal = write::Removal {
        now: server.core.clock.now(),
        is_kept: false,
    };
    write::remove_email(&mut txn, id, &record, removal)
        .await
        .unwrap();
    txn.commit().await.unwrap();
}

async fn blobs(server: &Server) -> usize {
    let page = Page::first(keys::all(Subspace::Blob), 1000).keys_only();
    server.core.engine.scan(page).await.unwrap().len()
}

const HOURS: u64 = 3600;

#[tokio::test]
async fn no_blob_is_collected_while_a_backup_reads() {
    let server = Server::with_domain().await;
    let alice = server.person("alice@example.org").await;
    let id = deliver(&server, alice, 1).await;
    let mut source = server.core.begin_backup(&server.admin).await.unwrap();
    while source.next_rows().await.unwrap().is_some() {}
    let hashes = source.take_blobs();
    assert_eq!((hashes.len(), source.emails, source.accounts), (1, 1, 1));
    remove(&server, alice, id).await;
    // In a process, a hold that moves; here nobody's clock but the server's goes on.
    server.pass(2 * HOURS);
    assert!(!server.core.collect_blobs().await.unwrap());
    assert!(source.blob(&hashes[0]).await.unwrap().is_some());
    assert!(source.check_hold().await.unwrap());
    source.end().await.unwrap();
    while server.core.collect_blobs().await.unwrap() {}
    assert_eq!(blobs(&server).await, 0);
}

#[tokio::test]
async fn a_collection_that_has_begun_ends_at_a_backup() {
    let server = Server::with_domain().await;
    let alice = server.person("alice@example.org").await;
    let id = deliver(&server, alice, 1).await;
    remove(&server, alice, id).await;
    let source = server.core.begin_backup(&server.admin).await.unwrap();
    server.pass(2 * HOURS);
    // As if it had been looked before the backup began.
    let now = u64::try_from(server.core.clock.now().0).unwrap();
    store::blob::collect(&server.core.engine, now)
        .await
        .unwrap();
    assert_eq!(blobs(&server).await, 1);
    drop(source);
}

#[tokio::test]
async fn the_hold_of_a_backup_that_was_killed_goes() {
    let server = Server::with_domain().await;
    let alice = server.person("alice@example.org").await;
    let id = deliver(&server, alice, 1).await;
    remove(&server, alice, id).await;
    let mut batch = Batch::new();
    batch.put(keys::backup_hold(9), store::numbers(&[4]));
    server.core.engine.commit(batch).await.unwrap();
    server.pass(2 * HOURS);
    assert!(!server.core.collect_blobs().await.unwrap());
    server.pass(599);
    assert!(!server.core.collect_blobs().await.unwrap());
    assert_eq!(blobs(&server).await, 1);
    server.pass(1);
    while server.core.collect_blobs().await.unwrap() {}
    assert_eq!(blobs(&server).await, 0);
}

#[tokio::test]
async fn a_hold_that_others_took_away_is_noticed() {
    let server = Server::with_domain().await;
    let source = server.core.begin_backup(&server.admin).await.unwrap();
    assert!(source.check_hold().await.unwrap());
    let mut batch = Batch::new();
    batch.delete_range(keys::backup_holds());
    server.core.engine.commit(batch).await.unwrap();
    assert!(!source.check_hold().await.unwrap());
}

#[tokio::test]
async fn what_is_known_of_a_repository_is_kept() {
    let server = Server::with_domain().await;
    let (core, admin) = (&server.core, &server.admin);
    let note = |key| move |record: &mut RepositoryRecord| record.naming_key = Some([key; 32]);
    core.note_backup(admin, &[1; 16], note(1)).await.unwrap();
    core.note_backup(admin, &[2; 16], note(2)).await.unwrap();
    let known = core.backup_repository(admin, &[2; 16]).await.unwrap();
    assert_eq!(known.unwrap().naming_key, Some([2; 32]));
    assert_eq!(core.backup_repositories(admin).await.unwrap().len(), 2);
    assert_eq!(core.backup_repository(admin, &[3; 16]).await.unwrap(), None);
}

/// Rows as a backup has them, in pages of so many.
async fn pages(server: &Server, rows: usize) -> (Vec<Vec<(Bytes, Bytes)>>, Vec<[u8; 32]>) {
    let mut source = server.core.begin_backup(&server.admin).await.unwrap();
    let mut all = Vec::new();
    while let Some(rows) = source.next_rows().await.unwrap() {
        all.extend(rows);
    }
    let blobs = source.take_blobs();
    source.end().await.unwrap();
    (all.chunks(rows).map(<[_]>::to_vec).collect(), blobs)
}

/// Restores, stopped after each of the steps and gone on with.
async fn restore(server: &Server, hold_queue: bool) -> Arc<dyn Engine> {
    let archive = server.core.engine.snapshot().await.unwrap();
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    store::format::open(&engine).await.unwrap();
    let begin = || begin(&engine, &archive, [1; 32], hold_queue);
    let (pages, blobs) = pages(server, 3).await;
    for page in &pages {
        let mut restorer = begin().await.unwrap();
        let upto = restorer.upto().to_vec();
        assert!(upto.is_empty() || page[0].0[..] > upto[..]);
        restorer.put_rows(page).await.unwrap();
        restorer.flush().await.unwrap();
        assert!(is_unfinished(&engine).await.unwrap());
    }
    for blob in &blobs {
        let mut restorer = begin().await.unwrap();
        assert!(!restorer.has_blob(blob).await.unwrap());
        let octets = archive.get(&keys::blob(blob)).await.unwrap().unwrap();
        restorer.put_blob(blob, octets).await.unwrap();
        restorer.flush().await.unwrap();
    }
    let mut restorer = begin().await.unwrap();
    let mut count = 0;
    for page in &pages {
        count += restorer.verify_rows(page).await.unwrap();
    }
    for blob in &blobs {
        restorer.verify_blob(blob, blob).await.unwrap();
    }
    restorer.finish(count, blobs.len() as u64).await.unwrap();
    assert!(!is_unfinished(&engine).await.unwrap());
    engine
}

async fn begin(
    engine: &Arc<dyn Engine>,
    archive: &Arc<dyn Snapshot>,
    snapshot: [u8; 32],
    hold_queue: bool,
) -> Result<Restorer, WholeError> {
    let options = WholeOptions { hold_queue };
    let (engine, archive) = (engine.clone(), archive.clone());
    Restorer::begin(engine, archive, snapshot, options, 1_800_000_000).await
}

async fn with_mail() -> (Server, AccountId) {
    let server = Server::with_domain().await;
    let alice = server.person_with_password("alice@example.org").await;
    server.person("bob@example.org").await;
    for number in 0..20 {
        deliver(&server, alice, number).await;
    }
    (server, alice)
}

#[tokio::test]
async fn a_server_is_made_again() {
    let (server, alice) = with_mail().await;
    let before = server.core.accounts.handle(alice).head().await.unwrap();
    let engine = restore(&server, true).await;
    let again = Server::over(engine.clone(), 2).await;
    let report = again.core.check(CheckOptions::default(), &|_| {}).await;
    assert_eq!(report.unwrap().problems, []);
    let caller = again.login("alice@example.org", crate::directory::tests::PASSWORD);
    assert_eq!(caller.await.unwrap().account, alice);
    assert_eq!(
        again
            .core
            .accounts
            .handle(alice)
            .view()
            .await
            .unwrap()
            .emails()
            .count(),
        20
    );
    assert!(
        again
            .core
            .engine
            .contains(&keys::queue_pause(""))
            .await
            .unwrap()
    );
    let head: Head = again.core.accounts.handle(alice).head().await.unwrap();
    assert_eq!(head.sequence, before.sequence + JUMP);
    assert_eq!(head.log_trimmed, head.sequence);
    assert_eq!(head.last_id, before.last_id + JUMP);
    assert!(
        DataType::ALL
            .iter()
            .all(|of| head.state(*of) == head.sequence)
    );
    // Neither an id nor a number of an account is given again.
    assert_eq!(deliver(&again, alice, 99).await, before.last_id + JUMP + 1);
    let carol = again.person("carol@example.org").await;
    assert!(carol.number() > JUMP);
}

/// What a store says of where its blobs are, and by which keys.
fn rows_of_place(mark: u8) -> Batch {
    let mut batch = Batch::new();
    for name in ["blob-store", "blob-key/2026", "blob-listing"] {
        batch.put(keys::meta(name), vec![mark; 18]);
    }
    batch
}

#[tokio::test]
async fn where_blobs_are_is_not_in_a_backup_and_stays_in_what_is_restored() {
    let (server, alice) = with_mail().await;
    server.core.engine.commit(rows_of_place(1)).await.unwrap();
    let (rows, blobs) = pages(&server, 10_000).await;
    let is_of_place = |(key, _): &&(Bytes, Bytes)| store::blob::is_of_place(key);
    assert_eq!(rows[0].iter().find(is_of_place), None);
    // The new store has a place of its own before the first row is there.
    let archive = server.core.engine.snapshot().await.unwrap();
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    engine.commit(rows_of_place(2)).await.unwrap();
    let mut restorer = begin(&engine, &archive, [1; 32], false).await.unwrap();
    restorer.put_rows(&rows[0]).await.unwrap();
    for blob in &blobs {
        let octets = archive.get(&keys::blob(blob)).await.unwrap().unwrap();
        restorer.put_blob(blob, octets).await.unwrap();
    }
    restorer.flush().await.unwrap();
    let count = restorer.verify_rows(&rows[0]).await.unwrap();
    restorer.finish(count, blobs.len() as u64).await.unwrap();
    let all = Page::first(keys::all(Subspace::Meta), 1000);
    let mut found = engine.scan(all).await.unwrap();
    found.retain(|(key, _)| store::blob::is_of_place(key));
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(_, value)| value[..] == [2; 18]));
    assert!(engine.contains(&keys::head(alice)).await.unwrap());
}

/// Mail that was being sent when the backup was made is nobody's work in what is restored.
#[tokio::test]
async fn no_lease_of_the_queue_is_restored() {
    let (server, alice) = with_mail().await;
    let rows = [keys::queue_due(5, alice, 1), keys::queue_due(6, alice, 2)];
    let mut batch = Batch::new();
    batch.put(rows[0].clone(), store::numbers(&[77, u64::MAX]));
    batch.put(rows[1].clone(), Bytes::new());
    server.core.engine.commit(batch).await.unwrap();
    let engine = restore(&server, false).await;
    for row in &rows {
        assert_eq!(engine.get(row).await.unwrap(), Some(Bytes::new()));
    }
}

#[tokio::test]
async fn uid_validity_is_a_new_one_and_uids_stay() {
    let (server, alice) = with_mail().await;
    let engine = restore(&server, false).await;
    let mut seen = std::collections::BTreeSet::new();
    let page = Page::first(keys::objects(alice, DataType::Mailbox), 100);
    for (key, bytes) in engine.scan(page).await.unwrap() {
        let (_, _, id) = keys::decode_object(&key).unwrap();
        let mailbox = MailboxRecord::from_bytes(&key, &bytes).unwrap();
        assert!(mailbox.uid_validity >= 1_800_000_000);
        assert!(seen.insert(mailbox.uid_validity));
        let row = keys::mailbox_uid(alice, id);
        let bytes = engine.get(&row).await.unwrap().unwrap();
        let [validity, _] = decode_numbers(&row, &bytes).unwrap();
        assert_eq!(validity, u64::from(mailbox.uid_validity));
    }
    let page = Page::first(keys::objects(alice, DataType::Email), 100);
    let emails = engine.scan(page.clone()).await.unwrap();
    assert_eq!(emails, server.core.engine.scan(page).await.unwrap());
    let uid = |(key, bytes): &(Bytes, Bytes)| {
        EmailRecord::from_bytes(key, bytes).unwrap().all_places[0].uid
    };
    assert_eq!(
        emails.iter().map(uid).collect::<Vec<_>>(),
        (1..=20).collect::<Vec<u32>>()
    );
    let head = keys::head(alice);
    let bytes = engine.get(&head).await.unwrap().unwrap();
    let last = Head::from_bytes(&head, &bytes).unwrap().uid_validity;
    assert_eq!(last, seen.last().copied());
}

/// The clock of the new machine is behind, and nodes have written to the account.
#[tokio::test]
async fn numbers_go_on_whatever_the_clock_says_and_whoever_wrote() {
    let (server, alice) = with_mail().await;
    let engine = &server.core.engine;
    let row = keys::head(alice);
    let bytes = engine.get(&row).await.unwrap().unwrap();
    let head = Head {
        revision: Some(9),
        writers: Some(vec![store::account::Written {
            node: 8,
            revision: 9,
        }]),
        ..Head::from_bytes(&row, &bytes).unwrap()
    };
    let mut batch = Batch::new();
    batch.put(row.clone(), head.to_bytes());
    engine.commit(batch).await.unwrap();
    let validities = async |engine: &Arc<dyn Engine>| {
        let page = Page::first(keys::objects(alice, DataType::Mailbox), 100);
        let rows = engine.scan(page).await.unwrap();
        let validity = |(key, bytes): &(Bytes, Bytes)| {
            MailboxRecord::from_bytes(key, bytes).unwrap().uid_validity
        };
        rows.iter().map(validity).collect::<Vec<u32>>()
    };
    let before = validities(engine).await;
    let archive = engine.snapshot().await.unwrap();
    let (rows, _) = pages(&server, 10_000).await;
    let restored: Arc<dyn Engine> = MemoryEngine::new();
    let options = WholeOptions::default();
    let restorer = Restorer::begin(restored.clone(), archive, [1; 32], options, 5);
    let mut restorer = restorer.await.unwrap();
    restorer.put_rows(&rows[0]).await.unwrap();
    restorer.flush().await.unwrap();
    let after = validities(&restored).await;
    assert!(after.iter().min() > before.iter().max());
    let bytes = restored.get(&row).await.unwrap().unwrap();
    assert_eq!(Head::from_bytes(&row, &bytes).unwrap().writers, None);
}

#[tokio::test]
async fn a_store_that_has_something_is_left_alone() {
    let (server, _) = with_mail().await;
    let archive = server.core.engine.snapshot().await.unwrap();
    let begun = begin(&server.core.engine, &archive, [1; 32], false).await;
    assert!(matches!(begun, Err(WholeError::NotEmpty)));
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    begin(&engine, &archive, [1; 32], false).await.unwrap();
    let other = begin(&engine, &archive, [2; 32], false).await;
    assert!(matches!(other, Err(WholeError::OtherSnapshot(_))));
}

#[tokio::test]
async fn what_differs_is_found_at_the_end() {
    let (server, alice) = with_mail().await;
    let archive = server.core.engine.snapshot().await.unwrap();
    let engine: Arc<dyn Engine> = MemoryEngine::new();
    let mut restorer = begin(&engine, &archive, [1; 32], false).await.unwrap();
    let (pages, blobs) = pages(&server, 10_000).await;
    restorer.put_rows(&pages[0]).await.unwrap();
    restorer.flush().await.unwrap();
    let count = restorer.verify_rows(&pages[0]).await.unwrap();
    let lost = restorer.verify_blob(&blobs[0], &blobs[0]).await;
    assert!(matches!(lost, Err(WholeError::Differs(_))));
    let mut batch = Batch::new();
    batch.delete(keys::object(alice, DataType::Mailbox, INBOX));
    engine.commit(batch).await.unwrap();
    let lost = restorer.verify_rows(&pages[0]).await;
    assert!(matches!(lost, Err(WholeError::Differs(_))));
    assert!(matches!(
        restorer.finish(count, 0).await,
        Err(WholeError::Differs(_))
    ));
    assert!(is_unfinished(&engine).await.unwrap());
}

#[tokio::test]
async fn only_administrators_read_it_all() {
    let server = Server::with_domain().await;
    server.person_with_password("alice@example.org").await;
    let alice = server.login("alice@example.org", crate::directory::tests::PASSWORD);
    let alice = alice.await.unwrap();
    assert!(server.core.begin_backup(&alice).await.is_err());
    assert!(server.core.backup_repositories(&alice).await.is_err());
}
