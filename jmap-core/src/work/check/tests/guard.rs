//! What keeps mail from being lost before a repair: numbers that would be given again take the place of nothing.

use store::{Record as _, keys};

use super::{Code, fixture};
use crate::mail::write;

#[tokio::test]
async fn a_head_that_went_back_has_no_email_written_over() {
    let fixture = fixture().await;
    let (key, record) = fixture.email().await;
    let mut head = fixture.head().await;
    // As if the first email came next.
    let (_, _, id) = keys::decode_object(&key).unwrap();
    head.last_id = id - 1;
    fixture
        .write(|batch| drop(batch.put(keys::head(fixture.alice), head.to_bytes())))
        .await;
    // A server that has just been started: nothing is remembered of the head.
    let core = fixture.anew().await;
    let recipient = core.resolve_recipient("alice@example.org").await.unwrap();
    let inbound = super::inbound(super::MAIL, vec![recipient]);
    let refused = core.deliver(inbound).await;
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(fixture.email().await, (key, record));
    let repair = core
        .repair(super::CheckOptions::default(), &|_| ())
        .await
        .unwrap();
    assert!(repair.problems.iter().any(|p| p.code == Code::EmailId));
    let recipient = core.resolve_recipient("alice@example.org").await.unwrap();
    let inbound = super::inbound(super::MAIL, vec![recipient]);
    assert!(core.deliver(inbound).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_account_that_has_lost_its_head_doesnt_begin_again() {
    let fixture = fixture().await;
    fixture
        .write(|batch| drop(batch.delete(keys::head(fixture.alice))))
        .await;
    let core = fixture.anew().await;
    let handle = core.accounts.handle(fixture.alice);
    assert!(matches!(
        handle.writer.begin().await.map(drop),
        Err(store::Error::Corrupt { .. })
    ));
    // What there is can be read.
    let view = handle.view().await.unwrap();
    assert_eq!(view.all_emails().len(), 2);
    assert!(view.mailbox(write::INBOX).is_some());
}
