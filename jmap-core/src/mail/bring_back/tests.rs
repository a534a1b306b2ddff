use std::sync::Arc;

use bytes::Bytes;
use jmap_types::{AccountId, DataType, Id, mail::Email};
use store::engine::{EngineError, Key, Page, Snapshot};

use super::*;
use crate::{
    directory::tests::{PASSWORD, Server},
    mail::{
        records::EmailRecord,
        write::{self, INBOX, Message, Placement},
    },
    work::check::CheckOptions,
};

/// Mailboxes that every account has.
const ARCHIVE: u64 = 4;
const TRASH: u64 = 6;

async fn add(server: &Server, account: AccountId, number: u64, mailboxes: &[u64]) -> u64 {
    let text = format!(
        "Message-ID: <{number}@example.net>\r\nSubject: {number}\r\n\r\nHello {number}\r\n"
    );
    let message = Message::parse(text.into());
    let handle = server.core.accounts.handle(account);
    let mut txn = handle.writer.begin().await.unwrap();
    let placement = Placement {
        mailboxes: mailboxes.to_vec(),
        keywords: vec!["$flagged".to_owned(), "work".to_owned()],
        received_at: 1_600_000_000 + number as i64,
        quota_octets: 0,
        is_delivery: true,
        is_deleted: false,
    };
    let now = server.core.clock.now();
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

async fn move_to(server: &Server, account: AccountId, id: u64, mailbox: u64) {
    let handle = server.core.accounts.handle(account);
    let mut txn = handle.writer.begin().await.unwrap();
    let record = write::any_email(&txn, id).await.unwrap().unwrap();
    let keywords = record.keywords.clone();
    let now = server.core.clock.now();
    let moved = write::change_email(&mut txn, id, record, &[mailbox], keywords, now).await;
    assert!(moved.is_ok());
    txn.commit().await.unwrap();
}

async fn make_mailbox(server: &Server, account: AccountId, path: &str) -> u64 {
    let handle = server.core.accounts.handle(account);
    let mut txn = handle.writer.begin().await.unwrap();
    let id = crate::mail::mailbox::create_path(&server.core, &mut txn, path, None).await;
    txn.commit().await.unwrap();
    match id {
        Ok(id) => id,
        Err(_) => panic!("{path} can't be made"),
    }
}

/// What an account has: subject number by received date, paths of mailboxes, and keywords.
async fn content(server: &Server, account: AccountId) -> Vec<(i64, Vec<String>, Vec<String>)> {
    let handle = server.core.accounts.handle(account);
    let txn = handle.writer.begin().await.unwrap();
    let paths = crate::mail::mailbox::all_in(&txn).await.unwrap();
    drop(txn);
    let view = handle.view().await.unwrap();
    let path = |id: u64| paths.iter().find(|row| row.0 == id).unwrap().1.clone();
    let mut content: Vec<_> = view
        .emails()
        .map(|(_, row)| {
            let mut places: Vec<String> = row.places().map(|place| path(place.mailbox)).collect();
            places.sort_unstable();
            let mut keywords: Vec<String> = view.keywords(row).map(|k| k.to_string()).collect();
            keywords.sort_unstable();
            (row.received_at, places, keywords)
        })
        .collect();
    content.sort_unstable();
    content
}

fn what(account: &str) -> BringBack {
    BringBack {
        account: account.to_owned(),
        into: None,
        mailbox: None,
        messages: Messages::All,
    }
}

async fn archive(server: &Server) -> Arc<dyn Snapshot> {
    server.core.engine.snapshot().await.unwrap()
}

async fn bring(
    server: &Server,
    archive: &Arc<dyn Snapshot>,
    what: BringBack,
) -> Result<BroughtBack, BringBackError> {
    let core = &server.core;
    let brought = core.bring_back(&server.admin, archive.clone(), &what, &|_| {});
    let brought = brought.await;
    let report = core.check(CheckOptions::default(), &|_| {}).await.unwrap();
    assert_eq!(report.problems, []);
    brought
}

struct Case {
    server: Server,
    alice: AccountId,
    emails: Vec<u64>,
}

/// Emails 0 to 9: the inbox, the archive, a mailbox below another one.
async fn case() -> Case {
    let server = Server::with_domain().await;
    let alice = server.person_with_password("alice@example.org").await;
    let deep = make_mailbox(&server, alice, "Projects/2026").await;
    let mut emails = Vec::new();
    for number in 0..10 {
        let mailboxes: &[u64] = match number % 3 {
            0 => &[INBOX],
            1 => &[INBOX, ARCHIVE],
            _ => &[deep],
        };
        emails.push(add(&server, alice, number, mailboxes).await);
    }
    Case {
        server,
        alice,
        emails,
    }
}

#[tokio::test]
async fn what_is_gone_comes_back_and_what_is_there_is_not_doubled() {
    let case = case().await;
    let server = &case.server;
    let before = content(server, case.alice).await;
    let archive = archive(server).await;
    for &id in &case.emails[2..6] {
        remove(server, case.alice, id).await;
    }
    add(server, case.alice, 50, &[INBOX]).await;
    let done = bring(server, &archive, what("alice@example.org"))
        .await
        .unwrap();
    assert_eq!((done.emails, done.there, done.put_back), (4, 6, 0));
    assert!(!done.made_account);
    let mut after = content(server, case.alice).await;
    assert_eq!(after.pop().unwrap().0, 1_600_000_050);
    assert_eq!(after, before);
    let again = bring(server, &archive, what("alice@example.org"))
        .await
        .unwrap();
    assert_eq!((again.emails, again.there, again.mailboxes), (0, 10, 0));
}

/// A backup of which one row can't be read.
struct WithDamage(Arc<dyn Snapshot>, Vec<u8>);

#[async_trait::async_trait]
impl Snapshot for WithDamage {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match key == self.1 {
            true => Err(EngineError::Corrupt("damaged".into())),
            false => self.0.get(key).await,
        }
    }

    async fn multi_get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.0.multi_get(keys).await
    }

    async fn scan(&self, page: Page) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        self.0.scan(page).await
    }
}

#[tokio::test]
async fn a_mail_that_is_damaged_in_the_backup_costs_no_other() {
    let case = case().await;
    let server = &case.server;
    let archive = archive(server).await;
    let key = keys::object(case.alice, DataType::Email, case.emails[4]);
    let bytes = archive.get(&key).await.unwrap().unwrap();
    let record = EmailRecord::from_bytes(&key, &bytes).unwrap();
    for &id in &case.emails {
        remove(server, case.alice, id).await;
    }
    let damaged = WithDamage(archive, keys::blob(&record.blob).to_vec());
    let archive: Arc<dyn Snapshot> = Arc::new(damaged);
    let done = bring(server, &archive, what("alice@example.org"))
        .await
        .unwrap();
    assert_eq!((done.emails, done.lost), (9, 1));
}

#[tokio::test]
async fn what_is_in_the_trash_gets_its_mailboxes_back() {
    let case = case().await;
    let server = &case.server;
    let before = content(server, case.alice).await;
    let archive = archive(server).await;
    move_to(server, case.alice, case.emails[1], TRASH).await;
    // Moved by its owner, it stays where it is.
    move_to(server, case.alice, case.emails[0], ARCHIVE).await;
    let done = bring(server, &archive, what("alice@example.org"))
        .await
        .unwrap();
    assert_eq!((done.emails, done.put_back, done.there), (0, 1, 9));
    let after = content(server, case.alice).await;
    assert_eq!(after[1..], before[1..]);
    assert_eq!(after[0].1, ["Archive"]);
}

#[tokio::test]
async fn one_mailbox_comes_back_with_those_below_it() {
    let case = case().await;
    let server = &case.server;
    let archive = archive(server).await;
    for &id in &case.emails {
        remove(server, case.alice, id).await;
    }
    let of = |path: &str| BringBack {
        mailbox: Some(path.to_owned()),
        ..what("alice@example.org")
    };
    let done = bring(server, &archive, of("Projects")).await.unwrap();
    assert_eq!(done.emails, 3);
    let done = bring(server, &archive, of("inbox")).await.unwrap();
    assert_eq!(done.emails, 7);
    // Those of the archive are back in the inbox alone, where they were wanted.
    let content = content(server, case.alice).await;
    let places: Vec<&[String]> = content.iter().map(|row| &row.1[..]).collect();
    assert!(
        places
            .iter()
            .all(|of| *of == ["INBOX"] || *of == ["Projects/2026"])
    );
    let none = bring(server, &archive, of("Nowhere")).await;
    assert!(matches!(none, Err(BringBackError::NoMailbox(_))));
}

#[tokio::test]
async fn one_mail_comes_back_by_message_id_or_id() {
    let case = case().await;
    let server = &case.server;
    let archive = archive(server).await;
    for &id in &case.emails[3..6] {
        remove(server, case.alice, id).await;
    }
    let one = |messages: Messages| BringBack {
        messages,
        ..what("alice@example.org")
    };
    let by_message_id = one(Messages::MessageId("<4@example.net>".to_owned()));
    let done = bring(server, &archive, by_message_id).await.unwrap();
    assert_eq!((done.emails, done.there), (1, 0));
    let id = Id::<Email>::new(case.emails[5]).to_string();
    let done = bring(server, &archive, one(Messages::Email(id)))
        .await
        .unwrap();
    assert_eq!(done.emails, 1);
    assert_eq!(content(server, case.alice).await.len(), 9);
    let unknown = one(Messages::MessageId("none@example.net".to_owned()));
    let none = bring(server, &archive, unknown).await;
    assert!(matches!(none, Err(BringBackError::NoEmail)));
}

#[tokio::test]
async fn an_account_that_was_removed_is_made_again() {
    let case = case().await;
    let server = &case.server;
    let (core, admin) = (&server.core, &server.admin);
    core.add_alias(admin, case.alice, "al@example.org")
        .await
        .unwrap();
    core.add_alias(admin, case.alice, "a@example.org")
        .await
        .unwrap();
    let group = core
        .add_account(
            admin,
            crate::directory::NewAccount::group("team@example.org"),
        )
        .await
        .unwrap();
    core.add_member(admin, group.id, case.alice).await.unwrap();
    let before = content(server, case.alice).await;
    let archive = archive(server).await;
    core.remove_account(admin, case.alice).await.unwrap();
    let bob = server.person("bob@example.org").await;
    core.add_alias(admin, bob, "a@example.org").await.unwrap();
    let partly = BringBack {
        mailbox: Some("INBOX".to_owned()),
        ..what("alice@example.org")
    };
    let refused = bring(server, &archive, partly).await;
    assert!(matches!(refused, Err(BringBackError::AccountGone(_))));
    let done = bring(server, &archive, what("alice@example.org"))
        .await
        .unwrap();
    assert!(done.made_account);
    assert_eq!(done.taken_addresses, ["a@example.org"]);
    assert_eq!(done.emails, 10);
    let alice = server.login("alice@example.org", PASSWORD).await.unwrap();
    assert_ne!(alice.account, case.alice);
    assert_eq!(alice.groups, [group.id]);
    assert_eq!(content(server, alice.account).await, before);
}

#[tokio::test]
async fn another_account_may_get_it() {
    let case = case().await;
    let server = &case.server;
    let bob = server.person("bob@example.org").await;
    let archive = archive(server).await;
    let into = BringBack {
        into: Some("bob@example.org".to_owned()),
        ..what("alice@example.org")
    };
    let done = bring(server, &archive, into).await.unwrap();
    assert_eq!(
        (done.account.as_str(), done.emails),
        ("bob@example.org", 10)
    );
    assert_eq!(
        content(server, bob).await,
        content(server, case.alice).await
    );
    let none = bring(server, &archive, what("carol@example.org")).await;
    assert!(matches!(none, Err(BringBackError::NoAccount(_))));
}
