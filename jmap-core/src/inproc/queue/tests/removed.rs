//! What the queue has of an account, an alias or a list that is removed.

use store::engine::Batch;

use super::*;
use crate::{
    directory::AccountRecord,
    inproc::{
        deliver::{Arrival, Inbound},
        origin::Author,
        queue::QueueFilter,
    },
    mail::submission::tests::core_over,
};

const FAR: &str = "far@example.net";
const INFO: &str = "info@example.org";

fn later(job: &Job) -> Attempt {
    all(job, Fate::Later, "450 4.7.1 Later", Some("mx"))
}

/// An alias whose mail goes on to another server.
async fn alias(server: &Server) -> jmap_types::AccountId {
    let to = vec!["x@a.example".to_owned()];
    let alias = server
        .core
        .add_forwarding_alias(&Caller::server(), INFO, to)
        .await;
    alias.unwrap().id
}

/// A message from another server comes to the alias.
async fn arrives(server: &Server) {
    let recipient = server.core.resolve_recipient(INFO).await.unwrap();
    let inbound = Inbound {
        mail_from: Some(FAR.to_owned()),
        recipients: vec![recipient],
        message: Bytes::from(HELLO.replace('\n', "\r\n")),
        arrival: Arrival {
            author: Author::Trusted,
            ..Arrival::default()
        },
        peer: None,
        answers_each: false,
        is_junk: false,
    };
    let taken = server.core.deliver(inbound).await;
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
}

/// How many rows begin with its number; its record is among them.
async fn rows_of(core: &Core, id: jmap_types::AccountId) -> usize {
    let page = Page::first(vec![0x01]..vec![0xff], 100_000).keys_only();
    let rows = core.engine.scan(page).await;
    let number = id.number().to_be_bytes();
    let is_its = |key: &[u8]| key.get(1..9) == Some(&number[..]) && !matches!(key[0], 0x03 | 0x04);
    rows.unwrap().iter().filter(|(key, _)| is_its(key)).count()
}

async fn length(server: &Server) -> u64 {
    server.core.send_due().await.unwrap();
    server.core.queue.gauges().0
}

#[tokio::test]
async fn what_an_alias_has_sent_on_still_arrives() {
    let server = Server::new().await;
    let (core, admin) = (&server.core, Caller::server());
    let others = Others::new(later);
    core.send_with(others.clone());
    let info = alias(&server).await;
    arrives(&server).await;
    core.send_due().await.unwrap();
    assert_eq!(others.tries(), 1);
    core.remove_account(&admin, info).await.unwrap();
    assert!(core.resolve_recipient(INFO).await.is_err());
    assert_eq!(core.resume_removals().await.unwrap(), 0);
    check_is_clean(core).await;
    // Whoever doesn't want it to go on can still take it out.
    let all = QueueFilter {
        account: Some(info),
        limit: 9,
        ..QueueFilter::default()
    };
    assert_eq!(core.queue_entries(&admin, &all).await.unwrap().0.len(), 1);
    others.answers(takes);
    server.pass(86_400);
    core.collect_blobs().await.unwrap();
    assert_eq!(length(&server).await, 0);
    assert_eq!(others.taken("x@a.example"), 1);
    assert_eq!(core.resume_removals().await.unwrap(), 1);
    assert_eq!(rows_of(core, info).await, 0);
    check_is_clean(core).await;
}

#[tokio::test]
async fn who_wrote_to_a_removed_alias_is_told_of_the_failure() {
    let server = Server::new().await;
    let core = &server.core;
    let others = Others::new(later);
    core.send_with(others.clone());
    let info = alias(&server).await;
    arrives(&server).await;
    core.send_due().await.unwrap();
    core.remove_account(&Caller::server(), info).await.unwrap();
    others.answers(|job| match &*job.domain {
        "a.example" => all(job, Fate::Refused, "550 5.1.1 Nobody", Some("mx")),
        _ => takes(job),
    });
    server.pass(86_400);
    for _ in 0..3 {
        core.send_due().await.unwrap();
    }
    assert_eq!(others.taken(FAR), 1, "{:?}", others.jobs.lock());
    assert_eq!(core.resume_removals().await.unwrap(), 1);
    assert_eq!(rows_of(core, info).await, 0);
    check_is_clean(core).await;
}

#[tokio::test]
async fn what_a_removed_person_has_sent_still_arrives() {
    let server = Server::new().await;
    let core = &server.core;
    let others = Others::new(takes);
    core.send_with(others.clone());
    // One that the queue is done with, and one that waits.
    submit(&server, &["y@b.example"]).await;
    core.send_due().await.unwrap();
    others.answers(later);
    submit(&server, &["x@a.example"]).await;
    core.send_due().await.unwrap();
    let ann = server.ann.account;
    core.remove_account(&Caller::server(), ann).await.unwrap();
    assert_eq!(records(core, &server.ann).await.len(), 1);
    assert_eq!(length(&server).await, 1);
    others.answers(takes);
    server.pass(86_400);
    assert_eq!(length(&server).await, 0);
    assert_eq!(others.taken("x@a.example"), 1);
    assert_eq!(core.resume_removals().await.unwrap(), 1);
    assert_eq!(rows_of(core, ann).await, 0);
    check_is_clean(core).await;
    // Nothing comes up again when what is done with would have gone.
    server.pass(400 * 86_400);
    assert_eq!(length(&server).await, 0);
    check_is_clean(core).await;
}

#[tokio::test]
async fn a_damaged_account_goes_too_and_keeps_no_others() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    // Their removal was cut short.
    let (ann, bob) = (server.ann.account, server.bob.account);
    let mut batch = Batch::new();
    for id in [ann, bob] {
        let key = keys::account(id);
        let bytes = server.core.engine.get(&key).await.unwrap().unwrap();
        let mut record = AccountRecord::from_bytes(&key, &bytes).unwrap();
        for address in record.addresses.drain(..) {
            batch.delete(keys::address(&address));
        }
        batch.delete(keys::login_name(&record.name));
        record.removed = true;
        batch.put(key, record.to_bytes());
    }
    batch.put(keys::head(ann), "damaged");
    server.core.engine.commit(batch).await.unwrap();
    let (core, clock, _folder) = core_over(engine, 2, Default::default()).await;
    core.send_with(others.clone());
    assert_eq!(core.resume_removals().await.unwrap(), 1);
    assert_eq!(rows_of(&core, bob).await, 0);
    assert_ne!(rows_of(&core, ann).await, 0);
    others.answers(takes);
    clock.advance(Duration::from_secs(86_400));
    core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    assert_eq!(core.resume_removals().await.unwrap(), 1);
    assert_eq!(rows_of(&core, ann).await, 0);
    check_is_clean(&core).await;
}
