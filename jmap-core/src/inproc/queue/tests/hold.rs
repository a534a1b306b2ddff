//! One message that an administrator holds back.

use super::*;
use crate::{
    inproc::queue::{QueueError, QueueFilter, QueueState, Which},
    mail::submission::{
        records::{DUE_NEVER, Delivered},
        tests::core_over,
    },
};

fn later(job: &Job) -> Attempt {
    all(job, Fate::Later, "450 4.7.1 Later", Some("mx"))
}

async fn ids(server: &Server) -> Vec<u64> {
    let all = records(&server.core, &server.ann).await;
    all.into_iter().map(|(id, _)| id).collect()
}

async fn states(core: &Core) -> Vec<QueueState> {
    let everything = QueueFilter {
        limit: 100,
        ..QueueFilter::default()
    };
    let (entries, _) = core
        .queue_entries(&Caller::server(), &everything)
        .await
        .unwrap();
    entries.into_iter().map(|entry| entry.state).collect()
}

#[tokio::test]
async fn it_is_not_tried_and_does_not_expire() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let admin = Caller::server();
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    submit(&server, &["y@b.example"]).await;
    server.core.send_due().await.unwrap();
    let first = ids(&server).await[0];
    let ann = server.ann.account;
    server.core.hold_queued(&admin, ann, first).await.unwrap();
    // Once more is no other thing.
    server.core.hold_queued(&admin, ann, first).await.unwrap();
    assert_eq!(
        states(&server.core).await,
        [QueueState::Deferred, QueueState::OnHold]
    );
    let entry = server.core.queue_entry(&admin, ann, first).await.unwrap();
    assert_eq!((entry.due, entry.record.due), (None, DUE_NEVER));
    check_is_clean(&server.core).await;
    // A retry of everything isn't meant for it, and one of its own is refused.
    let count = server.core.retry_queue(&admin, &Which::All).await;
    assert_eq!(count.unwrap(), 1);
    let one = Which::One(ann, first);
    assert!(matches!(
        server.core.retry_queue(&admin, &one).await,
        Err(QueueError::IsOnHold)
    ));
    // After a restart, a month later, the other one has expired.
    let (core, clock, _folder) = core_over(engine, 2, Default::default()).await;
    core.send_with(others.clone());
    for _ in 0..3 {
        clock.advance(Duration::from_secs(10 * 86_400));
        core.send_due().await.unwrap();
    }
    let all = records(&core, &server.ann).await;
    assert_eq!(all[1].1.recipients[0].delivered, Delivered::No);
    let held = &all[0].1;
    assert_eq!(held.recipients[0].attempts, Some(1));
    assert_eq!(held.recipients[0].delivered, Delivered::Queued);
    assert_eq!(held.recipients[0].told_delay, None);
    assert_eq!(core.gauges().queue_length, 1);
    check_is_clean(&core).await;
    // It has one more try all the same, however late it is.
    others.answers(takes);
    core.release_queued(&admin, ann, first).await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    assert!(records(&core, &server.ann).await[0].1.is_done);
    check_is_clean(&core).await;
    assert!(matches!(
        core.hold_queued(&admin, ann, first).await,
        Err(QueueError::NotFound)
    ));
}

#[tokio::test]
async fn what_is_late_when_it_is_released_comes_back_after_one_try() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(later);
    server.core.send_with(others.clone());
    submit(&server, &["x@a.example"]).await;
    let first = ids(&server).await[0];
    let ann = server.ann.account;
    server.core.hold_queued(&admin, ann, first).await.unwrap();
    server.pass(30 * 86_400);
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    server
        .core
        .release_queued(&admin, ann, first)
        .await
        .unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 1);
    assert_eq!(server.inbox(&server.ann).await.len(), 1);
    // What isn't on hold can be released: nothing comes of it.
    submit(&server, &["y@b.example"]).await;
    server.core.send_due().await.unwrap();
    let second = ids(&server).await[1];
    let before = records(&server.core, &server.ann).await;
    server
        .core
        .release_queued(&admin, ann, second)
        .await
        .unwrap();
    assert_eq!(records(&server.core, &server.ann).await, before);
}

#[tokio::test]
async fn what_is_being_sent_goes_on_and_the_rest_waits() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let admin = Caller::server();
    let others = Others::new(|job| match &*job.domain {
        "a.example" => takes(job),
        _ => later(job),
    });
    server.core.send_with(others.clone());
    let slow = Duration::from_millis(300);
    for domain in ["a.example", "b.example"] {
        others.slow.lock().insert(domain.to_owned(), slow);
    }
    submit(&server, &["x@a.example", "y@b.example"]).await;
    let core = server.core.clone();
    let sending = tokio::spawn(async move { core.send_due().await });
    while others.tries() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (id, ann) = (ids(&server).await[0], server.ann.account);
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    assert_eq!(states(&server.core).await, [QueueState::Sending]);
    sending.await.unwrap().unwrap();
    assert_eq!(states(&server.core).await, [QueueState::OnHold]);
    check_is_clean(&server.core).await;
    let (_, record) = records(&server.core, &server.ann).await.remove(0);
    let delivered = record.recipients.iter().map(|of| of.delivered);
    assert_eq!(
        delivered.collect::<Vec<_>>(),
        [Delivered::Unknown, Delivered::Queued]
    );
    server.pass(86_400);
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 2);
    others.answers(takes);
    server.core.release_queued(&admin, ann, id).await.unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    assert_eq!(others.taken("y@b.example"), 1);
    check_is_clean(&server.core).await;
}

/// The row isn't moved before the last lane has ended: who dies before that leaves one that is due.
#[tokio::test]
async fn a_hold_while_it_is_being_sent_outlives_a_crash() {
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine.clone(), Default::default()).await;
    let admin = Caller::server();
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    let slow = Duration::from_secs(3600);
    others.slow.lock().insert("a.example".to_owned(), slow);
    submit(&server, &["x@a.example"]).await;
    let core = server.core.clone();
    let sending = tokio::spawn(async move { core.send_due().await });
    while others.tries() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (id, ann) = (ids(&server).await[0], server.ann.account);
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    sending.abort();
    let (core, clock, _folder) = core_over(engine, 2, Default::default()).await;
    clock.advance(Duration::from_secs(86_400));
    let again = Others::new(takes);
    core.send_with(again.clone());
    core.send_due().await.unwrap();
    assert_eq!(states(&core).await, [QueueState::OnHold]);
    assert_eq!(again.tries(), 0);
    check_is_clean(&core).await;
    core.release_queued(&admin, ann, id).await.unwrap();
    core.send_due().await.unwrap();
    assert_eq!(again.taken("x@a.example"), 1);
}

#[tokio::test]
async fn what_waits_in_line_does_not_start() {
    let server = Server::new().await;
    let admin = Caller::server();
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    server
        .core
        .pause_queue(&admin, Some("a.example"))
        .await
        .unwrap();
    submit(&server, &["x@a.example"]).await;
    server.core.send_due().await.unwrap();
    let (id, ann) = (ids(&server).await[0], server.ann.account);
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    server
        .core
        .resume_queue(&admin, Some("a.example"))
        .await
        .unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    server.core.release_queued(&admin, ann, id).await.unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
}

#[tokio::test]
async fn what_its_sender_wants_to_go_later_goes_later_all_the_same() {
    let limits = crate::Limits {
        max_delayed_send: 86_400,
        ..crate::Limits::default()
    };
    let engine = store::engine::MemoryEngine::new();
    let server = Server::with(engine, limits).await;
    let admin = Caller::server();
    let others = Others::new(takes);
    server.core.send_with(others.clone());
    let hold = envelope(
        serde_json::json!({"HOLDFOR": "3600"}),
        &[("x@a.example", Json::Null)],
    );
    server.send(HELLO, hold).await;
    let (id, before) = records(&server.core, &server.ann).await.remove(0);
    let ann = server.ann.account;
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    assert_eq!(states(&server.core).await, [QueueState::OnHold]);
    server.core.release_queued(&admin, ann, id).await.unwrap();
    let (_, after) = records(&server.core, &server.ann).await.remove(0);
    assert_eq!(after, before);
    assert_eq!(states(&server.core).await, [QueueState::Held]);
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    server.pass(7200);
    server.core.send_due().await.unwrap();
    assert_eq!(others.tries(), 0);
    server.core.release_queued(&admin, ann, id).await.unwrap();
    server.core.send_due().await.unwrap();
    assert_eq!(others.taken("x@a.example"), 1);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn it_can_be_given_up() {
    let server = Server::new().await;
    let admin = Caller::server();
    server.core.send_with(Others::new(later));
    submit(&server, &["x@a.example", "y@b.example"]).await;
    let (id, ann) = (ids(&server).await[0], server.ann.account);
    server.core.hold_queued(&admin, ann, id).await.unwrap();
    // For one domain: the rest stays on hold.
    let domain = Which::Domain("b.example".into());
    let count = server.core.cancel_queue(&admin, &domain, false).await;
    assert_eq!(count.unwrap(), 1);
    assert_eq!(states(&server.core).await, [QueueState::OnHold]);
    check_is_clean(&server.core).await;
    let one = Which::One(ann, id);
    let count = server.core.cancel_queue(&admin, &one, false).await;
    assert_eq!(count.unwrap(), 1);
    let (_, record) = records(&server.core, &server.ann).await.remove(0);
    assert_eq!((record.is_done, record.on_hold), (true, None));
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn it_outlives_its_account_until_somebody_decides() {
    let server = Server::new().await;
    let admin = Caller::server();
    server.core.send_with(Others::new(later));
    for to in ["x@a.example", "y@b.example"] {
        submit(&server, &[to]).await;
    }
    let ann = server.ann.account;
    for id in ids(&server).await {
        server.core.hold_queued(&admin, ann, id).await.unwrap();
    }
    server.core.remove_account(&admin, ann).await.unwrap();
    server.core.send_due().await.unwrap();
    server.core.resume_removals().await.unwrap();
    assert_eq!(server.core.gauges().queue_length, 2);
    let cancelled = server.core.cancel_queue(&admin, &Which::All, false).await;
    assert_eq!(cancelled.unwrap(), 2);
    server.core.send_due().await.unwrap();
    server.core.resume_removals().await.unwrap();
    assert_eq!(server.core.gauges().queue_length, 0);
    let all = Page::first(keys::all(keys::Subspace::QueueDue), 10);
    assert_eq!(server.core.engine.scan(all).await.unwrap().len(), 0);
    check_is_clean(&server.core).await;
}

#[tokio::test]
async fn nobody_else_holds_or_releases() {
    let server = Server::new().await;
    submit(&server, &["x@a.example"]).await;
    let (id, ann) = (ids(&server).await[0], &server.ann);
    let refused = [
        server.core.hold_queued(ann, ann.account, id).await,
        server.core.release_queued(ann, ann.account, id).await,
    ];
    for result in refused {
        assert!(matches!(result, Err(QueueError::Directory(_))));
    }
}
